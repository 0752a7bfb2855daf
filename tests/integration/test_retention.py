"""Months leave the database for the archive, and the ledger stays whole for everybody who reads it."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_pipelines.db.database import Database
from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archiving import Retention, retain
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import count_days, export_window, pending_days
from audit_pipelines.ledger.archives import DeletedArchiveError
from audit_pipelines.ledger.erasure import LegalHoldError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.tiles import write_tiles
from audit_pipelines.settings import Settings

from moved_clock import MovedClock, month

OTHER = uuid.UUID(int=0xB << 120)
A_MONTH = 300
OLD = (16, 15, 14, 13)
"""How many months ago the old events were recorded; the retention is 365 days."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, audit_home=tmp_path / "home", audit_archive_grace_days=0)


def events(count: int, name: str, *, chosen: bool = False) -> list[Event]:
    return [
        Event(
            event_type="file.read" if place % 2 else "file.geöffnet",
            entity_type="document",
            entity_id=f"{name}-{place}",
            actor=f"person {place % 7}",
            ip_address="192.0.2.7",
            details={"note": f'of "{name}"', "n": place},
            event_id=f"{name}-{place}" if chosen else None,
        )
        for place in range(count)
    ]


@pytest.fixture
def clock(installation: Installation) -> MovedClock:
    return MovedClock(installation)


@pytest.fixture
def aged(installation: Installation, clock: MovedClock, tenant_id: uuid.UUID) -> Installation:
    """Four old months and the present one, of two tenants; every second month with ids that clients chose."""
    for place, ago in enumerate(OLD):
        clock.append(month(ago), tenant_id, events(A_MONTH, f"m{ago}", chosen=place % 2 == 0))
        clock.append(month(ago) + timedelta(days=3), tenant_id, events(17, f"m{ago}b"))
    clock.append(month(15), OTHER, events(20, "other"))
    installation.ledger.append(tenant_id, events(50, "now", chosen=True))
    for each in (tenant_id, OTHER):
        installation.seal(each)
    return installation


def months_there(database: Database) -> list[str]:
    with database.connect_admin() as conn:
        rows = conn.execute(
            "select tablename from pg_tables where tablename ~ '^audit_logs_\\d+$' order by 1"
        ).fetchall()
    return [name[11:15] + "-" + name[15:] for (name,) in rows]


def named(ago: int) -> str:
    return f"{month(ago):%Y-%m}"


def findings(installation: Installation) -> list[str]:
    return [str(finding) for one in installation.verify() for finding in one.findings]


def total(installation: Installation) -> int:
    return sum(one.events for one in installation.verify())


def run(installation: Installation) -> Retention:
    return retain(installation, run_id="a test")


def test_old_months_leave_the_database_and_nothing_is_lost(aged: Installation, tenant_id: uuid.UUID) -> None:
    before = {one.tenant_id: (one.events, one.head) for one in aged.verify()}
    assert findings(aged) == []
    done = run(aged)
    assert done.waiting == []
    assert [one.month for one in done.released] == [named(ago) for ago in OLD]
    assert done.waiting == []
    assert not set(months_there(aged.database)) & {named(ago) for ago in OLD}
    assert findings(aged) == []
    assert {one.tenant_id: (one.events, one.head) for one in aged.verify()} == before
    assert {one.tenant_id: one.archived for one in aged.verify()} == {tenant_id: 4 * (A_MONTH + 17), OTHER: 20}
    # A second run finds nothing to do, and the ledger goes on.
    assert run(aged) == Retention()
    aged.ledger.append(tenant_id, events(10, "later"))
    aged.seal(tenant_id)
    assert findings(aged) == []
