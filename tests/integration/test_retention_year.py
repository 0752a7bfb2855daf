"""A year of events leaves the database: disk is free, nothing is lost, a dump and HTTP reach it all the same."""

import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from moved_clock import MovedClock, month, named
from test_no_false_alarm import _restore
from test_server_running import Api

from audit_pipelines.db.database import Database, ensure_database
from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archiving import retain
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.settings import Settings

pytest_plugins = ["test_server_running"]

YEAR = range(24, 12, -1)
A_MONTH = 2_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, audit_home=tmp_path / "home", audit_archive_grace_days=0, audit_archive_years=1)


def fill(installation: Installation, tenant_id: uuid.UUID, months: range, count: int) -> None:
    clock = MovedClock(installation)
    for ago in months:
        for half in range(2):
            events = [
                Event(
                    event_type="invoice.read",
                    entity_type="invoice",
                    entity_id=f"{ago}-{place}",
                    actor=f"person {place % 50}",
                    outcome="success",
                    ip_address=f"192.0.2.{place % 200}",
                    user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
                    details={"amount": place, "note": f"seen in month {ago}", "fields": ["a", "b", "c"]},
                    # Half of them keep the most that is kept of an archived event.
                    event_id=f"own-{ago}-{place}" if half else None,
                )
                for place in range(count // 2)
            ]
            clock_at = month(ago) + timedelta(days=half)
            clock.append(clock_at, tenant_id, events)
    installation.seal(tenant_id)


def size_of(database: Database) -> int:
    with database.connect_admin() as conn:
        row = conn.execute("select pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0


def test_disk_is_free_and_nothing_is_lost(installation: Installation, tenant_id: uuid.UUID) -> None:
    fill(installation, tenant_id, YEAR, A_MONTH)
    installation.ledger.append(tenant_id, [Event(event_type="a", entity_type="b", entity_id="c")])
    installation.seal(tenant_id)
    [before] = installation.verify()
    size_before = size_of(installation.database)
    done = retain(installation, run_id="a test")
    size_after = size_of(installation.database)
    archived = sum(one.bytes for one in done.released)
    in_files = sum(path.stat().st_size for path in installation.database.archives_dir.rglob("*.parquet"))
    sys.stdout.write(
        f"{before.events:,} events; database {size_before:,} -> {size_after:,} bytes; partitions had {archived:,}, "
        f"of which {(size_before - size_after) / archived:.0%} are free; the segments have {in_files:,}\n"
    )
    assert [one.rows for one in done.released] == [A_MONTH] * 12
    assert size_before - size_after > 0.6 * archived
    [after] = installation.verify()
    assert after.findings == ()
    assert (after.events, after.head, after.archived) == (before.events, before.head, 12 * A_MONTH)


def test_a_dump_verifies_with_the_archive_beside_it(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path, restored: Database
) -> None:
    fill(installation, tenant_id, range(15, 12, -1), 300)
    retain(installation, run_id="a test")
    _restore(tmp_path / "dump", installation.database.conninfo(None), restored, "custom")
    moved = assemble(installation.settings, installation.keyring, restored)
    [result] = moved.verify()
    assert result.findings == ()
    assert result.archived == 900
    assert check_evidence(evidence_for(restored, tenant_id, ["own-14-3"], *moved.verifier_keys))
    installation.database.archives_dir.rename(tmp_path / "forgotten")
    assert {finding.kind for finding in moved.verify()[0].findings} >= {"archive"}


@pytest.fixture
def restored(installation: Installation) -> Iterator[Database]:
    name = f"restored_{uuid.uuid4().hex}"
    database = Database(installation.settings, installation.database._embedded, name)
    ensure_database(database, name)
    yield database
    database.close()
    with database.connect_admin(dbname="postgres") as conn:
        conn.execute(psycopg.sql.SQL("drop database {} with (force)").format(psycopg.sql.Identifier(name)))


def test_http_shows_archived_events(api: Api, tenant_id: uuid.UUID) -> None:
    installation = api.installation
    fill(installation, tenant_id, range(15, 12, -1), 100)
    client = api.client(tenant_id)
    path = f"/api/audit/events/{quote('own-14-3')}"
    before = client.get(path).json()
    retain(installation, run_id="a test")
    assert client.get(path).json() == before
    assert before["proof"]["hash_ok"]
    page = client.get("/api/audit/events").json()
    assert page["archived"] == {"events": 300, "through": named(13)}
    # Another tenant neither has it nor hears of it.
    stranger = api.client(uuid.uuid4())
    assert stranger.get(path).status_code == 404
    assert "archived" not in stranger.get("/api/audit/events").json()
    assert stranger.get("/api/admin/archives").json() == {"archives": []}

    archives = f"/api/admin/archives/{named(14)}/approvals"
    assert client.post(archives).status_code == 422
    archive_deletion.mark_due(installation)
    assert api.client(tenant_id, "audit:read").post(archives).status_code == 403
    assert stranger.post(archives).status_code == 422
    assert client.post(archives).json()["approvals"] == 1
    assert client.post(archives).status_code == 409
    other = api.client(tenant_id, subject="another")
    assert other.post(archives).json() == {"month": named(14), "approvals": 2, "needed": 2}
    archive_deletion.delete_approved(installation)
    gone = client.get(path)
    assert gone.status_code == 410
    assert "two persons approved" in gone.json()["detail"]
    states = {one["month"]: one["state"] for one in client.get("/api/admin/archives").json()["archives"]}
    assert states[named(14)] == "deleted"
    shutil.rmtree(installation.database.archives_dir)
    assert client.get(f"/api/audit/events/{quote('own-15-3')}").status_code == 503
    # Each of these reads is written down, with what it found.
    with installation.database.tenant_connection(tenant_id) as conn:
        counts = conn.execute(
            "select result_count from audit_access_log where action = 'events.show' order by accessed_at"
        )
        assert [count for (count,) in counts] == [1, 1, 0, 0]


def test_the_default_does_not_drop_what_was_just_archived(installation: Installation, tenant_id: uuid.UUID) -> None:
    fill(installation, tenant_id, range(14, 13, -1), 20)
    careful = replace(installation, settings=Settings(_env_file=None, audit_home=installation.settings.audit_home))
    assert retain(careful, run_id="a test").released == []
