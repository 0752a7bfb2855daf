"""A chain that several processes walk in parts is judged as one that is walked in one piece."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit_pipelines.installation import Installation
from audit_pipelines.ledger import verify_parts
from audit_pipelines.ledger.event import Event

PART = 8
CHECKPOINTS = (3, 8, 21)
EVENTS = 30
# The last row of a part, the first of the next, one in the middle, the very last.
PLACES = (PART - 1, PART, 2 * PART + 4, EVENTS - 1)

Change = Callable[[str], Any]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_parts, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(verify_parts, "_PART_BITS", PART.bit_length() - 1)


@pytest.fixture
def stored(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    done = 0
    for size in (*CHECKPOINTS, EVENTS):
        events = [
            Event(event_type="a.b", entity_type="thing", entity_id=str(number), actor="alice", event_id=str(number))
            for number in range(done, size)
        ]
        installation.ledger.append(tenant_id, events)
        done = size
        if size in CHECKPOINTS:
            installation.seal(tenant_id)
    return installation


@pytest.fixture
def change(stored: Installation) -> Iterator[Change]:
    with stored.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        yield conn.execute


@pytest.mark.usefixtures("in_parts")
def test_parts_of_an_untouched_chain_join_to_the_whole(
    stored: Installation, tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    [joined] = stored.verify(tenant_id, counted.append)
    monkeypatch.undo()
    [whole] = stored.verify(tenant_id)
    assert joined == whole
    assert whole.intact
    assert counted == [PART, PART, PART, EVENTS % PART]


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("seq", PLACES)
def test_a_changed_row_is_named_wherever_the_chain_is_cut(
    stored: Installation, change: Change, tenant_id: uuid.UUID, seq: int
) -> None:
    change(f"update audit_logs set entry = set_byte(entry, 5, get_byte(entry, 5) # 1) where seq = {seq}")
    [result] = stored.verify(tenant_id)
    assert seq in {finding.seq for finding in result.findings if finding.kind == "content"}


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("seq", PLACES)
def test_a_missing_row_is_noticed_wherever_the_chain_is_cut(
    stored: Installation, change: Change, tenant_id: uuid.UUID, seq: int
) -> None:
    change(f"delete from audit_logs where seq = {seq}")
    change(f"delete from audit_event_ids where seq = {seq}")
    [result] = stored.verify(tenant_id)
    places = {finding.seq for finding in result.findings if finding.kind in {"sequence", "head"}}
    assert places & {seq, seq + 1, None}


@pytest.mark.usefixtures("in_parts")
def test_a_part_that_begins_with_another_history_does_not_fit(
    stored: Installation, change: Change, tenant_id: uuid.UUID
) -> None:
    change(f"update audit_logs set prev_hash = sha256('x') where seq = {PART}")
    [result] = stored.verify(tenant_id)
    assert (PART, "link") in {(finding.seq, finding.kind) for finding in result.findings}


@pytest.mark.usefixtures("in_parts")
def test_a_chain_without_rows_is_missing_its_end(stored: Installation, change: Change, tenant_id: uuid.UUID) -> None:
    change("delete from audit_logs")
    [result] = stored.verify(tenant_id)
    assert any("the end is missing" in finding.what for finding in result.findings)


def test_since_reads_what_came_after_the_newest_checkpoint_of_that_time(
    stored: Installation, change: Change, tenant_id: uuid.UUID
) -> None:
    now = datetime.now(UTC)
    [recent] = stored.verify(tenant_id, since=now)
    assert (recent.first_seq, recent.events, recent.intact) == (CHECKPOINTS[-1], EVENTS - CHECKPOINTS[-1], True)
    [everything] = stored.verify(tenant_id, since=now - timedelta(days=1))
    assert (everything.first_seq, everything.events) == (0, EVENTS)
    change(f"update audit_logs set event_type = 'other' where seq in (1, {EVENTS - 1})")
    [recent] = stored.verify(tenant_id, since=now)
    assert {finding.seq for finding in recent.findings} == {EVENTS - 1}
