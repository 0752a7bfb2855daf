"""What bounds taking events in: a queue that is full, a tenant that waits, an event the database refuses, the pool."""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from test_server_running import Api

from audit_pipelines.db.database import Database
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.ledger import group_commit
from audit_pipelines.settings import Settings

pytest_plugins = ["test_server_running"]

EVENTS = "/api/audit/events"
WAITING = 8


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # No statement may end by itself while a test holds a head.
    return settings.model_copy(update={"database_timeout": 120_000})


@pytest.fixture
def admin(api: Api) -> Iterator[psycopg.Connection]:
    with api.installation.database.connect_admin() as conn:
        yield conn


def body(number: int, **more: object) -> dict[str, object]:
    return {"event_type": "a.b", "entity_type": "thing", "entity_id": str(number), **more}


def until_held(admin: psycopg.Connection) -> None:
    """Return when a backend waits for a lock."""
    statement = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    turn = threading.Event()
    for _ in range(1_200):
        if admin.execute(statement).fetchone() != (0,):
            return
        turn.wait(0.05)
    pytest.fail("nobody waits for the lock")


def test_a_full_queue_is_503_and_who_waited_is_stored(
    api: Api, tenant_id: UUID, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE_WRITES", WAITING)
    client = api.client(tenant_id, "audit:write")
    assert client.post(EVENTS, json=body(0)).status_code == 201
    with ThreadPoolExecutor(WAITING + 1) as pool:
        with admin.transaction():
            admin.execute("select * from audit_chain_heads where tenant_id = %s for update", [tenant_id])
            posts = [pool.submit(client.post, EVENTS, json=body(number)) for number in range(1, WAITING + 2)]
            early, _ = wait(posts, timeout=55, return_when=FIRST_COMPLETED)
        answers = [future.result() for future in posts]
    (refused,) = [future.result() for future in early]
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert sorted(answer.status_code for answer in answers) == [201] * WAITING + [503]
    assert api.count(tenant_id) == 1 + WAITING
    assert client.post(EVENTS, json=body(100)).status_code == 201


def test_a_tenant_that_waits_holds_up_nobody_else(api: Api, tenant_id: UUID, admin: psycopg.Connection) -> None:
    slow, other = api.client(tenant_id, "audit:write"), api.client(uuid4(), "audit:write")
    assert slow.post(EVENTS, json=body(0)).status_code == 201
    with ThreadPoolExecutor(4) as pool:
        with admin.transaction():
            admin.execute("select * from audit_chain_heads where tenant_id = %s for update", [tenant_id])
            waiting: list[Future[httpx.Response]] = [
                pool.submit(slow.post, EVENTS, json=body(number)) for number in range(1, 4)
            ]
            until_held(admin)
            assert {other.post(EVENTS, json=body(number)).status_code for number in range(20)} == {201}
            assert not any(future.done() for future in waiting)
        assert {future.result().status_code for future in waiting} == {201}
    assert [result.findings for result in api.installation.verify()] == [(), ()]


def test_an_event_the_database_refuses_fails_alone(api: Api, tenant_id: UUID, admin: psycopg.Connection) -> None:
    admin.execute(
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin if new.entity_id = 'poison' then raise 'refused for the test'; end if; return new; end $$"
    )
    admin.execute("create trigger refuse before insert on audit_logs for each row execute function refuse()")
    clients = [api.client(tenant_id, "audit:write"), api.client(uuid4(), "audit:write")]
    barrier = threading.Barrier(12)

    def post(number: int) -> tuple[bool, int]:
        poison = number % 6 == 0
        barrier.wait(60)
        answer = clients[number % 2].post(EVENTS, json=body(number, **({"entity_id": "poison"} if poison else {})))
        return poison, answer.status_code

    with ThreadPoolExecutor(12) as pool:
        outcomes = [outcome for _ in range(5) for outcome in pool.map(post, range(12))]
    assert {code for poison, code in outcomes if not poison} == {201}
    assert {code for poison, code in outcomes if poison} == {500}
    assert sum(result.events for result in api.installation.verify()) == 50


@pytest.mark.parametrize(("hours", "status"), [("23:59:00", 409), ("24:00:01", 201)])
def test_a_key_is_kept_for_24_hours(
    api: Api, tenant_id: UUID, admin: psycopg.Connection, hours: str, status: int
) -> None:
    client, headers = api.client(tenant_id, "audit:write"), {"Idempotency-Key": "once"}
    assert client.post(EVENTS, json=body(1), headers=headers).status_code == 201
    admin.execute("set session_replication_role = replica")
    admin.execute("update audit_idempotency_keys set created_at = created_at - %s::interval", [hours])
    assert client.post(EVENTS, json=body(2), headers=headers).status_code == status
    assert client.post(EVENTS, json=body(2), headers=headers).status_code == status
    assert api.count(tenant_id) == (2 if status == 201 else 1)


def test_the_connection_used_last_is_used_next(database: Database, settings: Settings) -> None:
    pooled = Database(settings.model_copy(update={"database_pool_min": 3}), database._embedded, database._dbname)

    def borrowed(count: int) -> set[int]:
        with ExitStack() as held:
            return {held.enter_context(pooled.connection("audit_app")).info.backend_pid for _ in range(count)}

    try:
        pooled.keep_warm()
        [last] = borrowed(1)
        assert [borrowed(1) for _ in range(4)] == [{last}] * 4
        # The others are there, and none is given out twice.
        assert len(borrowed(3)) == 3
    finally:
        pooled.close()


def test_the_pool_has_as_many_connections_as_configured(database: Database, settings: Settings) -> None:
    limited = settings.model_copy(update={"database_pool_min": 2, "database_pool_max": 3, "database_timeout": 1_500})
    pooled = Database(limited, database._embedded, database._dbname)
    count = sql.SQL(
        "select count(*) from pg_stat_activity where datname = current_database() and usename = 'audit_app'"
    )
    try:
        pooled.keep_warm()
        with database.connect_admin() as admin, ExitStack() as held:
            assert admin.execute(count).fetchone() == (2,)
            for _ in range(3):
                held.enter_context(pooled.connection("audit_app")).execute("select 1")
            assert admin.execute(count).fetchone() == (3,)
            with pytest.raises(DatabaseUnavailableError, match="no database connection within 1500 ms"):
                held.enter_context(pooled.connection("audit_app"))
        with pooled.connection("audit_app") as conn:
            conn.execute("select 1")
    finally:
        pooled.close()
