"""Whoever changes the ledger with a superuser's rights is found, and told where."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event

EVENTS = 12
CHANGES = {
    "entry": "set entry = set_byte(entry, 5, get_byte(entry, 5) # 1)",
    "entry_hash": "set entry_hash = sha256('x')",
    "prev_hash": "set prev_hash = sha256('x')",
    "row_hash": "set row_hash = sha256('x')",
    "recorded_at": "set recorded_at = recorded_at + interval '1 microsecond'",
    "event_id": "set event_id = 'another'",
    "occurred_at": "set occurred_at = occurred_at - interval '1 microsecond'",
    "actor_ref": "set actor_ref = gen_random_uuid()",
    "event_type": "set event_type = 'harmless'",
    "entity_type": "set entity_type = 'other'",
    "entity_id": "set entity_id = 'other'",
    "outcome": "set outcome = 'failure'",
    "ip_address": "set ip_address = null",
    "ip_index": "set ip_index = sha256('x')",
    "user_agent": "set user_agent = 'curl'",
    "seq": "set seq = 1000",
}


def events(count: int = EVENTS, label: str = "") -> list[Event]:
    return [
        Event(
            event_type="record.read",
            entity_type="record",
            entity_id=f"r-{number}",
            actor="alice@example.org",
            outcome="success",
            ip_address="192.0.2.7",
            user_agent="browser",
            details={"number": number},
            event_id=f"{label}{number}",
        )
        for number in range(count)
    ]


@pytest.fixture
def stored(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    installation.ledger.append(tenant_id, events())
    installation.seal(tenant_id)
    return installation


@pytest.fixture
def superuser(stored: Installation) -> Iterator[psycopg.Connection]:
    with stored.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        yield conn


def test_untouched_ledger_is_intact(stored: Installation, tenant_id: uuid.UUID) -> None:
    stored.ledger.append(tenant_id, events(3, "later-"))
    stored.ledger.append(uuid.uuid4(), events())
    results = stored.verify()
    assert [item.findings for item in results] == [(), ()]
    assert {item.tenant_id: item.events for item in results}[tenant_id] == EVENTS + 3


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_column_is_found_at_its_row(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID, column: str
) -> None:
    superuser.execute(f"update audit_logs {CHANGES[column]} where tenant_id = %s and seq = 5", [tenant_id])
    (result,) = stored.verify()
    assert not result.intact
    assert {finding.tenant_id for finding in result.findings} == {tenant_id}
    assert {5, 1000} & {finding.seq for finding in result.findings}


@pytest.mark.parametrize("seq", [0, 5, EVENTS - 1])
def test_a_deleted_row_is_found(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID, seq: int
) -> None:
    superuser.execute("delete from audit_logs where tenant_id = %s and seq = %s", [tenant_id, seq])
    superuser.execute("delete from audit_event_ids where tenant_id = %s and seq = %s", [tenant_id, seq])
    (result,) = stored.verify()
    assert not result.intact


def test_a_cut_tail_is_found_even_when_every_trace_in_the_database_fits(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    superuser.execute("delete from audit_logs where seq >= 8")
    superuser.execute("delete from audit_event_ids where seq >= 8")
    superuser.execute("delete from audit_checkpoints")
    superuser.execute(
        "update audit_chain_heads set next_seq = 8, head_hash = (select row_hash from audit_logs where seq = 7)"
    )
    (result,) = stored.verify()
    assert {finding.kind for finding in result.findings} == {"anchor"}


def test_a_deleted_tenant_is_found(stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID) -> None:
    for table in ("audit_logs", "audit_event_ids", "audit_checkpoints", "audit_chain_heads", "audit_subjects"):
        superuser.execute(f"delete from {table}")
    (result,) = stored.verify()
    assert result.tenant_id == tenant_id
    assert not result.intact


def test_swapped_contents_are_found(stored: Installation, superuser: psycopg.Connection) -> None:
    superuser.execute(
        "update audit_logs a set entry = b.entry from audit_logs b "
        "where (a.seq, b.seq) in ((3, 4), (4, 3)) and a.tenant_id = b.tenant_id"
    )
    (result,) = stored.verify()
    assert {3, 4} <= {finding.seq for finding in result.findings}


def test_a_row_moved_to_another_tenant_is_found_in_both(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    other = uuid.uuid4()
    stored.ledger.append(other, events(5))
    superuser.execute(
        "update audit_logs set tenant_id = %s, seq = 5 where tenant_id = %s and seq = 11", [other, tenant_id]
    )
    assert [item.intact for item in stored.verify()] == [False, False]


def test_an_edited_checkpoint_and_an_edited_head_are_found(stored: Installation, superuser: psycopg.Connection) -> None:
    superuser.execute("update audit_checkpoints set root = sha256('x')")
    superuser.execute("update audit_chain_heads set next_seq = next_seq + 1")
    (result,) = stored.verify()
    assert {"checkpoint", "head"} <= {finding.kind for finding in result.findings}


def test_an_older_database_is_found_by_its_anchors(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    stored.ledger.append(tenant_id, events(4, "new-"))
    stored.seal(tenant_id)
    superuser.execute("delete from audit_checkpoints where size > %s", [EVENTS])
    superuser.execute("delete from audit_logs where seq >= %s", [EVENTS])
    superuser.execute("delete from audit_event_ids where seq >= %s", [EVENTS])
    superuser.execute(
        "update audit_chain_heads set next_seq = %s, head_hash = (select row_hash from audit_logs where seq = %s)",
        [EVENTS, EVENTS - 1],
    )
    (result,) = stored.verify()
    assert not result.intact


def test_the_sealer_signs_nothing_over_a_broken_chain(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    stored.ledger.append(tenant_id, events(3, "new-"))
    superuser.execute("update audit_logs set entry = set_byte(entry, 9, 65) where seq = 13")
    with pytest.raises(TamperedError, match="seq 13"):
        stored.seal(tenant_id)
    assert superuser.execute("select max(size) from audit_checkpoints").fetchone() == (EVENTS,)


@pytest.mark.parametrize("kept", [0, EVENTS])
@pytest.mark.parametrize("regrown", [0, 2, 4, 9])
def test_the_sealer_signs_no_second_history_after_a_roll_back(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID, kept: int, regrown: int
) -> None:
    stored.ledger.append(tenant_id, events(4, "new-"))
    stored.seal(tenant_id)
    superuser.execute("delete from audit_checkpoints where size > %s", [kept])
    superuser.execute("delete from audit_logs where seq >= %s", [kept])
    superuser.execute("delete from audit_event_ids where seq >= %s", [kept])
    if kept:
        superuser.execute(
            "update audit_chain_heads set next_seq = %s, head_hash = (select row_hash from audit_logs where seq = %s)",
            [kept, kept - 1],
        )
    else:
        superuser.execute("delete from audit_chain_heads")
    if regrown:
        stored.ledger.append(tenant_id, events(EVENTS - kept + regrown, "other-"))
    before = stored.anchor.read(tenant_id)
    with pytest.raises(TamperedError, match=rf"has a checkpoint of size 16 .* has size {kept},"):
        stored.seal(tenant_id)
    assert superuser.execute("select coalesce(max(size), 0) from audit_checkpoints").fetchone() == (kept,)
    assert stored.anchor.read(tenant_id) == before


def test_an_anchor_that_is_behind_or_holds_junk_does_not_stop_sealing(
    stored: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    (first,) = stored.anchor.read(tenant_id).notes
    stored.ledger.append(tenant_id, events(4, "new-"))
    stored.seal(tenant_id)
    file = stored.settings.anchors_dir / f"{tenant_id}.notes"
    file.unlink()
    stored.anchor.publish(first)
    stored.anchor.publish(first.replace("\n12\n", "\n99\n"))
    stored.ledger.append(tenant_id, events(1, "last-"))
    assert stored.seal(tenant_id)
    assert [note.split("\n")[1] for note in stored.anchor.read(tenant_id).notes] == ["12", "99", "16", "17"]


def test_sealing_twice_signs_once(stored: Installation, tenant_id: uuid.UUID) -> None:
    assert stored.seal(tenant_id) is None
    assert len(stored.anchor.read(tenant_id).notes) == 1
