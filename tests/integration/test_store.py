"""Appending: the database's hashes, idempotency, all or nothing, many writers at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import CALL_EVENTS


def event(event_id: str | None = None, number: int = 0, **changes: Any) -> Event:
    fields: dict[str, Any] = {"event_type": "a.b", "entity_type": "thing", "entity_id": "1", "actor": "alice"}
    return Event(**fields | {"details": {"n": number}, "event_id": event_id} | changes)


def count(installation: Installation) -> int:
    with installation.database.connection("audit_pipeline") as conn:
        (rows,) = conn.execute("select count(*) from audit_logs").fetchone() or (0,)
    return int(rows)


def test_the_database_and_python_compute_the_same_hashes(installation: Installation, tenant_id: uuid.UUID) -> None:
    receipts = installation.ledger.append(tenant_id, [event(), event("mine"), event()])
    prev = chain.genesis(tenant_id)
    with installation.database.tenant_connection(tenant_id) as conn:
        rows = conn.execute("select seq, recorded_at, entry from audit_logs order by seq").fetchall()
    for receipt, (seq, recorded_at, entry) in zip(receipts, rows, strict=True):
        leaf = chain.leaf(tenant_id, seq, chain.microseconds(recorded_at), chain.entry_hash(entry))
        expected = chain.row_hash(prev, chain.leaf_hash(leaf))
        assert (receipt.seq, receipt.recorded_at) == (seq, recorded_at)
        assert (receipt.entry_hash, receipt.prev_hash, receipt.row_hash) == (chain.entry_hash(entry), prev, expected)
        prev = expected


def test_a_repeated_event_gets_its_first_receipt(installation: Installation, tenant_id: uuid.UUID) -> None:
    (first,) = installation.ledger.append(tenant_id, [event("e1")])
    again = installation.ledger.append(tenant_id, [event("e0"), event("e1"), event("e1"), event("e2")])
    assert [receipt.duplicate for receipt in again] == [False, True, True, False]
    assert again[1].row_hash == first.row_hash
    assert [receipt.seq for receipt in again] == [1, 0, 0, 2]
    assert count(installation) == 3


def test_the_same_id_belongs_to_each_tenant_alone(installation: Installation) -> None:
    receipts = [installation.ledger.append(uuid.uuid4(), [event("e1")])[0] for _ in range(2)]
    assert [receipt.duplicate for receipt in receipts] == [False, False]


def test_other_content_under_a_known_id_is_a_conflict_and_stores_nothing(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event("e1")])
    with pytest.raises(ConflictError) as caught:
        installation.ledger.append(tenant_id, [event("e0"), event("e1", number=2)])
    assert [where for where, _ in caught.value.faults] == ["/1/event_id"]
    with pytest.raises(ConflictError):
        installation.ledger.append(tenant_id, [event("e5"), event("e5", number=2)])
    assert count(installation) == 1


def test_one_bad_event_stores_none_and_every_fault_is_named(installation: Installation, tenant_id: uuid.UUID) -> None:
    bad = Event(event_type="a", entity_type="b", entity_id="c", ip_address="nowhere")
    with pytest.raises(ValidationError) as caught:
        installation.ledger.append(tenant_id, [event(), bad, event(), bad])
    assert [where for where, _ in caught.value.faults] == ["/1/ip_address", "/3/ip_address"]
    assert count(installation) == 0


def test_batches_beyond_one_call_are_still_all_or_nothing(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [event("taken")])
    events = [event(f"e{number}") for number in range(2_500)] + [event("taken", number=9)]
    with pytest.raises(ConflictError):
        installation.ledger.append(tenant_id, events)
    assert count(installation) == 1
    receipts = installation.ledger.append(tenant_id, events[:-1])
    assert [receipt.seq for receipt in receipts] == list(range(1, 2_501))


def test_many_writers_make_one_dense_chain(installation: Installation, tenant_id: uuid.UUID) -> None:
    other = uuid.uuid4()

    def write(writer: int) -> None:
        for number in range(10):
            tenant = tenant_id if (writer + number) % 3 else other
            installation.ledger.append(tenant, [event(f"{writer}-{number}-{place}") for place in range(3)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    results = installation.verify()
    assert sum(result.events for result in results) == 8 * 10 * 3
    assert [result.findings for result in results] == [(), ()]


def test_months_get_their_partition_when_the_first_event_comes(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    with installation.database.connect_admin() as conn:
        months = "select tablename from pg_tables where tablename ~ '^audit_logs_\\d+$' order by 1"
        ahead = conn.execute(months).fetchall()
        assert len(ahead) >= 4
        for (name,) in ahead:
            conn.execute(f"drop table {name}")
        installation.ledger.append(tenant_id, [event()])
        assert len(conn.execute(months).fetchall()) == 2


def test_events_of_mixed_order_are_refused_by_the_database(installation: Installation) -> None:
    nothing = [None, None]
    arguments = [
        [uuid.UUID(int=2), uuid.UUID(int=1)], [1, 1], [0, 0], ["a", "b"], nothing, [b"{}", b"{}"], nothing, nothing,
        ["t", "t"], ["e", "e"], ["1", "2"], nothing, nothing, nothing, nothing,
    ]  # fmt: skip
    call = f"select * from audit_append({', '.join(['%s'] * len(arguments))})"
    conninfo = installation.database.conninfo("audit_app")
    with pytest.raises(psycopg.errors.RaiseException, match="ascending order"), psycopg.connect(conninfo) as conn:
        conn.execute(call, arguments)


def numbered(count: int, **changes: Any) -> list[Event]:
    return [event(f"n-{number}", **changes) for number in range(count)]


def test_a_long_call_is_stored_in_order(installation: Installation, tenant_id: uuid.UUID) -> None:
    events = numbered(2 * CALL_EVENTS + 7)
    receipts = installation.ledger.append(tenant_id, [*events, events[0], events[-1]])
    assert [receipt.seq for receipt in receipts] == [*range(len(events)), 0, len(events) - 1]
    assert [receipt.duplicate for receipt in receipts] == [False] * len(events) + [True, True]
    again = installation.ledger.append(tenant_id, [event("new"), *events])
    assert [receipt.seq for receipt in again] == [len(events), *range(len(events))]
    assert {(one.row_hash, one.prev_hash) for one in again[1:]} == {(one.row_hash, one.prev_hash) for one in receipts}
    [result] = installation.verify()
    assert (result.events, result.findings) == (len(events) + 1, ())


def test_every_fault_of_a_long_call_is_named_and_nothing_is_stored(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    events = numbered(3 * CALL_EVENTS)
    faulty = {5, CALL_EVENTS + 1, 3 * CALL_EVENTS - 1}
    broken = [event(f"n-{place}", ip_address="nowhere") if place in faulty else one for place, one in enumerate(events)]
    with pytest.raises(ValidationError) as refused:
        installation.ledger.append(tenant_id, broken)
    assert [where for where, _ in refused.value.faults] == [f"/{place}/ip_address" for place in sorted(faulty)]
    assert installation.verify() == []


def test_a_clash_late_in_a_long_call_is_named_and_nothing_is_stored(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event(f"n-{CALL_EVENTS + 1}", outcome="other")])
    with pytest.raises(ConflictError) as refused:
        installation.ledger.append(tenant_id, numbered(3 * CALL_EVENTS))
    assert [where for where, _ in refused.value.faults] == [f"/{CALL_EVENTS + 1}/event_id"]
    with pytest.raises(ConflictError) as refused:
        installation.ledger.append(tenant_id, [*numbered(2 * CALL_EVENTS, actor="x"), event("n-1", outcome="other")])
    assert [where for where, _ in refused.value.faults] == [f"/{2 * CALL_EVENTS}/event_id"]
    assert [result.events for result in installation.verify()] == [1]


def test_a_number_that_is_taken_is_no_clash_of_ids(installation: Installation, tenant_id: uuid.UUID) -> None:
    """A forged row where the next one belongs: the append fails closed, and nobody is told that an id was reused."""
    installation.ledger.append(tenant_id, [event("a")])
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set seq = 1 where tenant_id = %s", [tenant_id])
    with pytest.raises(psycopg.errors.UniqueViolation):
        installation.ledger.append(tenant_id, [event("b")])
    assert count(installation) == 1
