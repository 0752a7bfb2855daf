"""Erasing a person: whoever holds their key in memory, nobody seals or shows anything under it afterwards."""

import base64
import multiprocessing
import secrets
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Event as Flag
from multiprocessing.synchronize import Semaphore
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr
from test_server_running import Api

from audit_pipelines.db.database import Database
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.erasure import EVENT_TYPE, Erasure, LegalHoldError, UnknownPersonError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.server.writing import EventWrite, store
from audit_pipelines.settings import Settings

pytest_plugins = ["test_server_running"]

ALICE, BOB = "alice@example.org", "bob@example.org"
ADDRESS = "192.0.2.77"
EVENTS = "/api/audit/events"
WRITERS = 2
ERASURES = 4
# Enough that every writer meets every erasure with its keys read before it.
BETWEEN = 12


def event(actor: str = ALICE, **changes: Any) -> Event:
    fields = {
        "event_type": "record.read",
        "entity_type": "record",
        "entity_id": "r-1",
        "actor": actor,
        "ip_address": ADDRESS,
        "details": {"note": f"by {actor}"},
    }
    return Event(**fields | changes)


@pytest.fixture
def elsewhere(installation: Installation) -> Installation:
    """The same installation as another process has it, with a cache of its own."""
    return assemble(installation.settings, open_keyring(installation.settings), installation.database)


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect_admin() as conn:
        yield conn


def refs(admin: psycopg.Connection[Any], tenant_id: uuid.UUID, **where: str) -> list[uuid.UUID]:
    """Return the actors of a tenant's events in their order; events without one are left out."""
    rows = admin.execute(
        "select actor_ref from audit_logs where tenant_id = %s and actor_ref is not null order by seq", [tenant_id]
    )
    return [ref for (ref,) in rows]


def assert_intact(installation: Installation) -> None:
    assert [result.findings for result in installation.verify() if result.findings] == []


def test_an_erased_person_is_nobody_and_the_ledger_is_whole(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event(), event(BOB)])
    alice, bob = refs(admin, tenant_id)
    installation.seal(tenant_id)
    rows = "select seq, entry, row_hash from audit_logs where seq < 2 order by seq"
    before = admin.execute(rows).fetchall()

    erasure = installation.erase(tenant_id, f" {ALICE.upper()} ")

    assert erasure.actor_ref == alice
    assert erasure.receipt
    assert erasure.receipt.seq == 2
    assert admin.execute(rows).fetchall() == before
    with installation.database.tenant_connection(tenant_id) as conn:
        assert installation.vault.identities(conn, [alice, bob]) == {alice: "erased", bob: BOB}
        assert installation.vault.living_keys(conn, [alice, bob]).keys() == {bob}
    kept = admin.execute(
        "select wrapped_key, sealed_identity, erased_at from audit_subjects where actor_ref = %s", [alice]
    ).fetchone()
    assert kept == (None, None, erasure.erased_at)
    assert admin.execute("select event_type, entity_id, actor_ref from audit_logs where seq = 2").fetchone() == (
        EVENT_TYPE,
        str(alice),
        None,
    )
    assert installation.vault.find(tenant_id, ALICE) is None
    installation.seal(tenant_id)
    assert_intact(installation)


def test_the_name_cannot_be_tried_out_on_what_remains(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event()])
    index = sealing.keyed_hash(installation.vault.tenant_key(tenant_id), "actor", ALICE.encode())
    seen = "select count(*) from audit_subjects where actor_index = %s"
    assert admin.execute(seen, [index]).fetchone() == (1,)
    installation.erase(tenant_id, ALICE)
    assert admin.execute(seen, [index]).fetchone() == (0,)


def test_who_acts_again_is_somebody_new(
    installation: Installation, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    for process in (installation, elsewhere):
        process.ledger.append(tenant_id, [event(), event(BOB)])
    installation.erase(tenant_id, ALICE)
    for process in (elsewhere, installation):
        process.ledger.append(tenant_id, [event(), event(BOB), event(entity_type="user", entity_id=ALICE)])
    seen = refs(admin, tenant_id)
    old, bob, new = seen[0], seen[1], seen[4]
    assert seen == [old, bob, old, bob, new, bob, new, new, bob, new]
    assert old != new
    named = admin.execute("select distinct entity_id from audit_logs where entity_type = 'user'").fetchall()
    assert named == [(str(new),)]
    with installation.database.tenant_connection(tenant_id) as conn:
        assert elsewhere.vault.identities(conn, [old, new]) == {old: "erased", new: ALICE}
    assert_intact(installation)


def test_an_append_that_waits_for_an_erasure_comes_after_it(
    installation: Installation, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    elsewhere.ledger.append(tenant_id, [event()])
    [old] = refs(admin, tenant_id)
    with ThreadPoolExecutor(1) as pool:
        with installation.database.tenant_connection(tenant_id, "audit_custodian") as conn:
            conn.execute("select audit_erase_subject(%s)", [old])
            waiting = pool.submit(elsewhere.ledger.append, tenant_id, [event()])
            while not admin.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock'").fetchone():
                assert not waiting.done()
        waiting.result(60)
    assert old != refs(admin, tenant_id)[1]


def test_a_single_event_and_a_batch_of_a_server_that_holds_the_key(
    api: Api, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    client = api.client(tenant_id)
    posted = {"event_type": "a.b", "entity_type": "thing", "entity_id": "1", "actor": ALICE, "ip_address": ADDRESS}
    assert client.post(EVENTS, json=posted).status_code == 201
    for path, body in ((EVENTS, posted), (f"{EVENTS}/batch", [posted, posted])):
        old = refs(admin, tenant_id)[-1]
        elsewhere.erase(tenant_id, ALICE)
        assert client.post(path, json=body, headers={"Idempotency-Key": path}).status_code == 201
        assert client.post(path, json=body, headers={"Idempotency-Key": path}).status_code == 201
        assert old not in refs(admin, tenant_id)[-len(body) if isinstance(body, list) else -1 :]
    assert len(refs(admin, tenant_id)) == 4
    shown = client.get(EVENTS, params={"order": "asc"}).json()["events"]
    assert [item["actor"] for item in shown if item["actor_ref"]] == ["erased", "erased", ALICE, ALICE]
    assert_intact(api.installation)


def test_neighbours_in_one_flush_are_stored_as_they_are(
    installation: Installation, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    neighbour = uuid.uuid4()
    for tenant in (tenant_id, neighbour):
        elsewhere.ledger.append(tenant, [event()])

    def write(tenant: uuid.UUID, prepared: list[int | None], actor: str = ALICE) -> EventWrite:
        def prepare(stale: int | None = None) -> Any:
            prepared.append(stale)
            if actor == "gone":
                raise ValidationError("cannot be sealed any more")
            return elsewhere.ledger.prepare(tenant, event(), stale=stale)

        made = elsewhere.ledger.prepare(tenant, event())
        return EventWrite(tenant, event(), datetime.now(UTC), 0, None, lambda receipt: receipt, prepare, made)

    stale, fresh, gone = [], [], []
    writes = [write(tenant_id, stale), write(neighbour, fresh), write(tenant_id, gone, "gone"), write(tenant_id, stale)]
    installation.erase(tenant_id, ALICE)
    outcomes = store(installation.database, writes)
    assert (stale, fresh, gone) == ([0, 0], [], [0])
    assert isinstance(outcomes[2], ValidationError)
    assert [getattr(outcomes[place], "seq", None) for place in (0, 1, 3)] == [2, 1, 3]
    first, *later = refs(admin, tenant_id)
    assert first not in later
    assert_intact(installation)


def test_a_reader_who_was_erased_is_logged_as_somebody_new(
    api: Api, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    client = api.client(tenant_id, subject=ALICE)
    assert client.get(EVENTS).status_code == 200
    elsewhere.erase(tenant_id, ALICE)
    assert client.get(EVENTS).status_code == 200
    logged = admin.execute("select subject_ref from audit_access_log order by access_id").fetchall()
    assert len(set(logged)) == len(logged) == 2


def test_their_address_is_still_found_by_its_keyed_hash(
    api: Api, elsewhere: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    """Documented, since it is in the hashed entry and cannot go: the tenant's key still links events and addresses."""
    api.installation.ledger.append(tenant_id, [event(), event(BOB, ip_address="192.0.2.78")])
    elsewhere.erase(tenant_id, ALICE)
    client = api.client(tenant_id)
    for place, found in ((ADDRESS, ["erased"]), ("192.0.2.0/24", ["erased", BOB]), ("192.0.2.79", [])):
        shown = client.get(EVENTS, params={"ip_address": place, "order": "asc"}).json()["events"]
        assert [item["actor"] for item in shown] == found


def test_nothing_sealed_about_them_is_disclosed(
    installation: Installation, elsewhere: Installation, tenant_id: uuid.UUID
) -> None:
    elsewhere.ledger.append(tenant_id, [event(event_id="e-0"), event(BOB, event_id="e-1")])
    installation.seal(tenant_id)
    installation.erase(tenant_id, ALICE)
    elsewhere.ledger.append(tenant_id, [event(event_id="e-2")])
    installation.seal(tenant_id)
    for process in (elsewhere, installation):
        discloser = Discloser(process.database, process.vault, ["/ip_address"])
        with pytest.raises(ValidationError, match=r"seq 0.*erased.*never be shown again"):
            evidence_for(process.database, tenant_id, ["e-0"], *process.verifier_keys, discloser=discloser)
        opened = evidence_for(process.database, tenant_id, ["e-1", "e-2"], *process.verifier_keys, discloser=discloser)
        assert opened.count(ADDRESS.encode()) == 2


def test_a_retry_of_what_they_posted_before_is_a_conflict(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [event(event_id="e-0")])
    installation.erase(tenant_id, ALICE)
    # The fingerprint was made under the destroyed key: nobody can tell any more whether it is the same event.
    with pytest.raises(ConflictError):
        installation.ledger.append(tenant_id, [event(event_id="e-0")])


@pytest.mark.parametrize("person", ["nobody@example.org", str(uuid.UUID(int=404))])
def test_an_unknown_person_is_an_error_that_does_not_name_them(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID, person: str
) -> None:
    for tenant in (tenant_id, uuid.uuid4()):
        with pytest.raises(ValidationError, match="no living person") as caught:
            installation.erase(tenant, person)
        assert person not in str(caught.value)
    assert admin.execute("select count(*) from audit_subjects").fetchone() == (0,)
    assert admin.execute("select count(*) from audit_chain_heads").fetchone() == (0,)


def test_another_tenants_person_and_the_tenants_own_key_are_out_of_reach(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    other = uuid.uuid4()
    for tenant in (tenant_id, other):
        installation.ledger.append(tenant, [event()])
    [theirs] = refs(admin, other)
    own_key = admin.execute(
        "select actor_ref from audit_subjects where tenant_id = %s and sealed_identity is null", [tenant_id]
    ).fetchone()
    assert own_key
    for ref in (theirs, own_key[0]):
        with pytest.raises(ValidationError, match="no living person"):
            installation.erase(tenant_id, str(ref))
    assert admin.execute("select count(*) from audit_subjects where erased_at is not null").fetchone() == (0,)
    installation.erase(other, ALICE)
    with installation.database.tenant_connection(tenant_id) as conn:
        assert list(installation.vault.identities(conn, refs(admin, tenant_id)).values()) == [ALICE]


def test_the_second_erasure_does_nothing(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event()])
    first = installation.erase(tenant_id, ALICE)
    again = installation.erase(tenant_id, str(first.actor_ref))
    by_name = installation.erase(tenant_id, f" {ALICE.upper()} ")
    assert again == by_name == Erasure(first.actor_ref, first.erased_at, None)
    admin.execute("alter table audit_erasures disable trigger keep_erasures")
    admin.execute("update audit_erasures set erased_at = erased_at - interval '31 days'")
    with pytest.raises(UnknownPersonError, match="no living person"):
        installation.erase(tenant_id, ALICE)
    assert admin.execute("select erasures, next_seq from audit_chain_heads").fetchone() == (1, 2)


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({}, True),
        ({"actor_ref": "ALICE"}, True),
        ({"actor_ref": ["ALICE", "BOB"]}, True),
        ({"event_type": "record.read"}, True),
        ({"actor_ref": "BOB"}, False),
    ],
)
def test_a_legal_hold_that_may_concern_the_person_prevents_it(
    installation: Installation,
    admin: psycopg.Connection[Any],
    tenant_id: uuid.UUID,
    filters: dict[str, Any],
    holds: bool,
) -> None:
    installation.ledger.append(tenant_id, [event(), event(BOB)])
    names = dict(zip(("ALICE", "BOB"), map(str, refs(admin, tenant_id)), strict=True))
    value = filters.get("actor_ref")
    named = {"actor_ref": [names[item] for item in value] if isinstance(value, list) else names[value]} if value else {}
    admin.execute(
        "insert into audit_legal_holds (tenant_id, reason, filters, placed_by) values (%s, 'case 4711', %s, %s)",
        [tenant_id, Jsonb(filters | named), uuid.uuid4()],
    )
    if holds:
        with pytest.raises(LegalHoldError, match="case 4711"):
            installation.erase(tenant_id, ALICE)
        with installation.database.tenant_connection(tenant_id) as conn:
            assert ALICE in installation.vault.identities(conn, refs(admin, tenant_id)).values()
        admin.execute("update audit_legal_holds set released_at = now(), released_by = placed_by")
    assert installation.erase(tenant_id, ALICE).receipt


@pytest.mark.parametrize("role", ["audit_app", "audit_pipeline", "audit_reader", "audit_custodian"])
@pytest.mark.parametrize(
    "statement",
    [
        "update audit_subjects set wrapped_key = null, erased_at = now()",
        "delete from audit_subjects",
        "update audit_chain_heads set erasures = 0",
        "update audit_master_keys set retired_at = null",
        "select sealed_identity from audit_subjects",
        "select audit_erase_subject(gen_random_uuid())",
        "select audit_use_master_key('x')",
    ],
)
def test_no_role_has_another_way(installation: Installation, role: Any, statement: str) -> None:
    allowed = {
        "audit_app": "select sealed_identity",
        "audit_custodian": "select audit_",
    }
    with psycopg.connect(installation.database.conninfo(role)) as conn:
        if statement.startswith(allowed.get(role, "-")):
            conn.execute(statement)
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)


def test_an_erasure_that_fails_midway_erases_nothing(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event()])
    # The event that says so cannot be stored: no partition takes it.
    admin.execute("alter table audit_logs add constraint shut check (event_type <> 'audit.subject.erased') not valid")
    with pytest.raises(psycopg.errors.CheckViolation):
        installation.erase(tenant_id, ALICE)
    admin.execute("alter table audit_logs drop constraint shut")
    with installation.database.tenant_connection(tenant_id) as conn:
        assert list(installation.vault.identities(conn, refs(admin, tenant_id)).values()) == [ALICE]
    assert admin.execute("select erasures from audit_chain_heads").fetchone() == (0,)
    assert installation.erase(tenant_id, ALICE).receipt


def write_until(
    settings: dict[str, Any], tenants: Sequence[uuid.UUID], number: int, written: Semaphore, enough: Flag
) -> None:
    """Be another server: append as Alice and Bob, one tenant or both at a time, with keys kept in memory."""
    given = Settings(_env_file=None, **settings)
    with Database(given, None) as database:
        installation = assemble(given, open_keyring(given), database)
        events = [event(), event(BOB), event(BOB, entity_type="user", entity_id=ALICE)]
        turn = 0
        while not enough.is_set():
            turn += 1
            if (turn + number) % 2:
                installation.ledger.append(tenants[0], events)
                written.release()
                continue
            writes = [
                EventWrite(
                    tenant,
                    item,
                    datetime.now(UTC),
                    0,
                    None,
                    lambda receipt: receipt,
                    partial(installation.ledger.prepare, tenant, item),
                )
                for tenant in tenants
                for item in events
            ]
            for outcome in store(database, writes):
                if isinstance(outcome, Exception):
                    raise outcome
            written.release()


def test_no_event_is_sealed_under_a_destroyed_key_while_processes_append(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    tenants = [tenant_id, uuid.uuid4()]
    home = installation.settings.keys_dir
    settings = {
        "audit_home": installation.settings.home / "elsewhere",
        "database_url": SecretStr(installation.database.conninfo(None)),
        "audit_encryption_key": SecretStr((home / "encryption.key").read_text()),
        "audit_signing_key": SecretStr(base64.b64encode(secrets.token_bytes(32)).decode()),
        "jwt_secret": SecretStr(secrets.token_hex(32)),
        "database_pool_min": 1,
        "database_pool_max": 3,
    }
    spawn = multiprocessing.get_context("spawn")
    enough = spawn.Event()
    semaphores = [spawn.Semaphore(0) for _ in range(WRITERS)]
    writers = [
        spawn.Process(target=write_until, args=(settings, tenants, number, written, enough))
        for number, written in enumerate(semaphores)
    ]
    for writer in writers:
        writer.start()
    ends: dict[uuid.UUID, int] = {}
    try:
        for turn in range(ERASURES + 1):
            for written in semaphores:
                while written.acquire(block=False):
                    pass
                for _ in range(BETWEEN):
                    assert written.acquire(timeout=60), "a writer stopped"
            if turn < ERASURES:
                erasure = installation.erase(tenants[0], ALICE)
                assert erasure.receipt
                ends[erasure.actor_ref] = erasure.receipt.seq
    finally:
        enough.set()
        for writer in writers:
            writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS

    assert len(ends) == ERASURES
    for ref, end in ends.items():
        last = admin.execute(
            "select max(seq) from audit_logs where tenant_id = %s and event_type <> %s "
            "and (actor_ref = %s or entity_id = %s)",
            [tenants[0], EVENT_TYPE, ref, str(ref)],
        ).fetchone()
        assert last
        assert last[0] < end
    with installation.database.tenant_connection(tenants[0]) as conn:
        rows = conn.execute(
            "select actor_ref, ip_address from audit_logs where actor_ref <> all (%s)", [[*ends]]
        ).fetchall()
        keys = installation.vault.living_keys(conn, {ref for ref, _ in rows})
    assert {sealing.unseal(keys[ref], sealed) for ref, sealed in rows} == {ADDRESS}
    neighbours = refs(admin, tenants[1])
    assert len(set(neighbours)) == 2
    assert_intact(installation)
