"""Going on from where the last verification ended: what is read, what is found, and whom a statement is believed."""

import uuid
from pathlib import Path

import pytest
from test_verify import events

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.keys import load_or_create
from audit_pipelines.ledger.verified import remember
from audit_pipelines.ledger.verify import Verification


@pytest.fixture
def verified(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    """Twelve verified events, and twelve behind them that nobody verified."""
    add(installation, tenant_id, "a")
    assert resumed(installation, tenant_id).first_seq == 0
    add(installation, tenant_id, "b")
    return installation


def add(installation: Installation, tenant_id: uuid.UUID, label: str) -> None:
    installation.ledger.append(tenant_id, events(label=label))
    installation.seal(tenant_id)


def resumed(installation: Installation, tenant_id: uuid.UUID) -> Verification:
    [result] = installation.verify(tenant_id, resume=True)
    return result


def change(installation: Installation, seq: int) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set event_type = 'harmless' where seq = %s", [seq])


def statement(installation: Installation, tenant_id: uuid.UUID) -> Path:
    return installation.settings.home / "verified" / f"{tenant_id}.note"


def test_each_run_reads_what_is_new(verified: Installation, tenant_id: uuid.UUID) -> None:
    first = verified.verified(tenant_id)
    assert (resumed(verified, tenant_id).first_seq, resumed(verified, tenant_id).first_seq) == (12, 24)
    last = verified.verified(tenant_id)
    assert first
    assert last
    # What was read on from there is as old as what was read before.
    assert (first.size, last.size, last.whole_at) == (12, 24, first.whole_at)
    verified.verify(tenant_id)
    whole = verified.verified(tenant_id)
    assert whole
    assert whole.whole_at > last.whole_at


def test_what_is_new_is_checked_and_nothing_broken_is_remembered(verified: Installation, tenant_id: uuid.UUID) -> None:
    change(verified, 14)
    for _ in range(2):
        result = resumed(verified, tenant_id)
        assert (result.first_seq, [finding.seq for finding in result.findings]) == (12, [14])


def test_what_was_verified_before_is_left_to_the_whole_run(verified: Installation, tenant_id: uuid.UUID) -> None:
    change(verified, 3)
    assert resumed(verified, tenant_id).intact
    [whole] = verified.verify(tenant_id)
    assert [finding.seq for finding in whole.findings] == [3]


def test_a_statement_that_somebody_else_wrote_counts_for_nothing(
    verified: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    path = statement(verified, tenant_id)
    genuine = path.read_text()
    said = verified.verified(tenant_id)
    assert said
    for forged in (genuine.replace("\n12\n", "\n24\n"), genuine.replace(said.root.hex(), "00" * 32), "", "\x00", "—"):
        path.write_text(forged)
        assert verified.verified(tenant_id) is None
        assert resumed(verified, tenant_id).first_seq == 0
    remember(path.parent, said, load_or_create(tmp_path / "foreign.key"))
    assert resumed(verified, tenant_id).first_seq == 0


def test_a_statement_about_another_tenant_counts_for_nothing(verified: Installation, tenant_id: uuid.UUID) -> None:
    other = uuid.uuid4()
    add(verified, other, "c")
    statement(verified, other).write_text(statement(verified, tenant_id).read_text())
    assert verified.verified(other) is None
    assert resumed(verified, other).first_seq == 0


def test_a_database_that_was_rolled_back_is_read_whole(verified: Installation, tenant_id: uuid.UUID) -> None:
    resumed(verified, tenant_id)
    with verified.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from audit_checkpoints where size = 24")
    result = resumed(verified, tenant_id)
    assert result.first_seq == 0
    assert {finding.kind for finding in result.findings} == {"anchor"}
