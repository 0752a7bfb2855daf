"""Calls that meet in the database: heads are locked in one order, and who waits for whom and how long.

Whole server processes at work together are test_concurrency.py's.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger.entry import Draft
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import HeadLockedError, store_drafts
from audit_pipelines.server.idempotency import RequestKey, recall

PATIENCE_S = 240
WRITERS = 6
CALLS = 40


def event(number: int, event_id: str | None = None) -> Event:
    return Event(event_type="a.b", entity_type="thing", entity_id=str(number), event_id=event_id)


def test_calls_with_overlapping_tenants_never_deadlock(installation: Installation) -> None:
    """Also where their heads are made by the very calls, and where ids are in several of them."""
    tenants = [uuid4() for _ in range(12)]
    shared = [[installation.ledger.prepare(tenant, event(0, f"shared {n}")) for n in range(4)] for tenant in tenants]
    first_time: Counter[tuple[UUID, str]] = Counter()

    def write(writer: int) -> int:
        chance = random.Random(writer)
        stored = 0
        with psycopg.connect(installation.database.conninfo("audit_app"), autocommit=True) as conn:
            for call in range(CALLS):
                chosen = chance.sample(range(len(tenants)), chance.randint(2, 8))
                drafts = [
                    draft
                    for place in chosen
                    for draft in (
                        installation.ledger.prepare(tenants[place], event(writer)),
                        installation.ledger.prepare(tenants[place], event(call, f"{writer} {call}")),
                        *chance.sample(shared[place], chance.randint(0, 2)),
                    )
                ]
                receipts = store_drafts(conn, drafts)
                assert [receipt.event_id for receipt in receipts] == [draft.event_id for draft in drafts]
                pairs = zip(drafts, receipts, strict=True)
                new = [(draft.tenant_id, draft.event_id) for draft, receipt in pairs if not receipt.duplicate]
                first_time.update(new)
                stored += len(new)
        return stored

    with ThreadPoolExecutor(WRITERS) as pool:
        stored = list(pool.map(write, range(WRITERS), timeout=PATIENCE_S))
    assert set(first_time.values()) == {1}
    results = installation.verify()
    assert sum(result.events for result in results) == sum(stored)
    assert [result.findings for result in results] == [()] * len(tenants)


@pytest.fixture
def three(installation: Installation) -> list[UUID]:
    """Three tenants with an event each, in the order of their heads."""
    tenants = sorted((uuid4() for _ in range(3)), key=lambda tenant: tenant.int)
    for tenant in tenants:
        installation.ledger.append(tenant, [event(0)])
    return tenants


def prepared(installation: Installation, *tenants: UUID) -> list[Draft]:
    return [installation.ledger.prepare(tenant, event(1)) for tenant in tenants]


def test_heads_are_locked_in_tenant_order(installation: Installation, database: Database, three: list[UUID]) -> None:
    low, middle, high = three
    lock = "select from audit_chain_heads where tenant_id = %s for update nowait"
    with database.connect_admin() as admin, database.connect_admin() as holder, ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute(lock, [middle])

            def append() -> int:
                with psycopg.connect(database.conninfo("audit_app")) as conn:
                    return len(store_drafts(conn, prepared(installation, high, low, middle)))

            waiting = pool.submit(append)
            wait_for_waiters(admin, 1)
            # It has the first, waits for the second and has not touched the third.
            with pytest.raises(psycopg.errors.LockNotAvailable):
                admin.execute(lock, [low])
            assert admin.execute(lock, [high]).rowcount == 1
        assert waiting.result(PATIENCE_S) == 3
    assert [(result.events, result.findings) for result in installation.verify()] == [(2, ())] * 3


def test_tenants_out_of_order_are_refused_and_hold_up_nobody(
    installation: Installation, database: Database, three: list[UUID]
) -> None:
    low, middle, high = three
    mixed = [(high, low), (low, high, low), (middle, low, high), (low, high, middle)]

    def refused(order: Sequence[UUID]) -> str:
        drafts = prepared(installation, *order)
        columns = {name: [getattr(draft, name) for draft in drafts] for name in Draft.__struct_fields__}
        limits = {
            "tenant_id": list(order),
            "count": [1] * len(order),
            "erasures": [0] * len(order),
            "lock_timeout_ms": "0",
        }
        with closing(psycopg.connect(database.conninfo("audit_app"))) as conn:
            with pytest.raises(psycopg.errors.RaiseException, match="once, in ascending order") as caught:
                conn.execute(query("ledger/append"), columns | limits)
            conn.rollback()
        return str(caught.value.sqlstate)

    with ThreadPoolExecutor(len(mixed)) as pool:
        assert set(pool.map(refused, mixed * 5, timeout=PATIENCE_S)) == {"P0001"}
    assert [(result.events, result.findings) for result in installation.verify()] == [(1, ())] * 3


def test_persons_who_are_new_to_two_processes_at_once(
    installation: Installation, database: Database, tenant_id: UUID
) -> None:
    """Each meets them in an order of its own, and both wait for a third one: that they do not wait for each other."""
    names = ["first", "second", "third"]
    one, other, third = (anew(installation) for _ in range(3))
    index = third.vault._tenant(tenant_id).index("second")
    with ThreadPoolExecutor(2) as pool:
        with database.tenant_connection(tenant_id) as holder:
            holder.execute(query("ledger/insert_subjects"), third.vault._new_rows(tenant_id, {index: "second"}))
            made = [
                pool.submit(process.vault.keys, tenant_id, order)
                for process, order in ((one, names), (other, names[::-1]))
            ]
            with database.connect_admin() as admin:
                wait_for_waiters(admin, 2)
        assert made[0].result(PATIENCE_S) == made[1].result(PATIENCE_S)


def wait_for_waiters(admin: psycopg.Connection[Any], count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while admin.execute("select count(*) from pg_locks where not granted").fetchone() != (count,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def anew(installation: Installation) -> Installation:
    """Return the installation as another process has it, with caches of its own."""
    return assemble(installation.settings, open_keyring(installation.settings), installation.database)


def test_keys_whose_time_is_over_are_deleted_without_waiting(database: Database, tenant_id: UUID) -> None:
    """Each request deletes some that are not its own; those that another one is deleting it leaves alone."""
    keys = {name: RequestKey(tenant_id, name, bytes(32)) for name in "abcdef"}
    left = "select key from audit_idempotency_keys order by key"
    with database.connect_admin() as admin:
        admin.cursor().executemany(
            "insert into audit_idempotency_keys values (%s, %s, %s, '{}', now() - interval '25 hours')",
            [(tenant_id, name, bytes(32)) for name in keys],
        )
        with database.connection("audit_app") as one, database.connection("audit_app") as other:
            assert recall(one, [keys["c"]]) == {}
            assert one.execute(left).fetchall() == []
            with pytest.raises(HeadLockedError), other.transaction():
                recall(other, [keys["a"]], lock_timeout_ms=100)
            one.rollback()
            with one.transaction(), other.transaction():
                one.execute(query("server/lock_idempotency_keys"), waiting(tenant_id, "b", "d"))
                assert recall(other, [keys["e"]], lock_timeout_ms=10_000) == {}
                assert [key for (key,) in other.execute(left)] == ["b", "d"]
                assert recall(one, [keys["b"], keys["d"]], lock_timeout_ms=10_000) == {}
        assert admin.execute(left).fetchall() == []


def waiting(tenant_id: UUID, *keys: str) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "keys": list(keys), "lock_timeout_ms": "10000"}
