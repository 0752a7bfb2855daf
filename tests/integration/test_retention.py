"""Months leave the database for the archive, and the ledger stays whole for everybody who reads it.

Here: what is released, what keeps a month in the database, the end of an archive, a run that is cut off; and the ledger
of old months that its sibling takes. Not here: archives that a forger changed, in `test_changed_archives.py`.
"""

import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event as Event_
from threading import Thread
from typing import Final

import msgspec
import psycopg
import pytest
from moved_clock import MovedClock, month, named

from audit_pipelines.db.database import LOGIN_ROLES, Database, Role
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.derive import archive_deletion, archiving
from audit_pipelines.derive.archiving import STEPS, Retention, retain, waiting_months
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import count_days, export_window, pending_days
from audit_pipelines.ledger import verify_parts
from audit_pipelines.ledger.archives import DeletedArchiveError
from audit_pipelines.ledger.erasure import LegalHoldError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.tiles import write_tiles
from audit_pipelines.settings import Settings

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
def aged(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    """Four old months and the present one, of two tenants; every second month with ids that clients chose."""
    clock = MovedClock(installation)
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


def dated(ago: int, made: list[Event]) -> list[Event]:
    """Return events as the moved clock stored them, to be sent again."""
    return [msgspec.structs.replace(event, occurred_at=month(ago)) for event in made]


def event_ids(installation: Installation, tenant_id: uuid.UUID, where: str = "true") -> list[str]:
    with installation.database.connect_admin() as conn:
        rows = conn.execute(
            f"select event_id from audit_logs where tenant_id = %s and {where} order by seq", [tenant_id]
        )
        return [event_id for (event_id,) in rows]


def prove(installation: Installation, tenant_id: uuid.UUID, *ids: str) -> list[str]:
    content = evidence_for(installation.database, tenant_id, ids, *installation.verifier_keys)
    return check_evidence(content, str(installation.verifier_keys[0]))


def test_evidence_and_tiles_reach_the_archive(aged: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    ids = event_ids(aged, tenant_id)
    write_tiles(aged.database, tenant_id, tmp_path / "before", aged.verifier_keys)
    run(aged)
    for chosen in ([ids[0]], [ids[A_MONTH + 3]], [ids[A_MONTH + 40], ids[-1]], ids[::400]):
        assert prove(aged, tenant_id, *chosen)
    write_tiles(aged.database, tenant_id, tmp_path / "after", aged.verifier_keys)
    files = [path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert all((tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes() for name in files)
    # Of an event that is in the database, the manifests say all that its proof needs of the rest.
    (aged.database.archives_dir / str(tenant_id)).rename(tmp_path / "away")
    assert prove(aged, tenant_id, ids[-1])
    with pytest.raises(AuditError, match="expected a whole segment"):
        prove(aged, tenant_id, ids[0])


def test_ids_stay_unique_for_ever(aged: Installation, tenant_id: uuid.UUID) -> None:
    repeated = dated(16, events(A_MONTH, "m16", chosen=True))
    first = aged.ledger.append(tenant_id, repeated)
    made = event_ids(aged, tenant_id, "event_id ~ '^[0-9a-f]{8}-'")[5]
    run(aged)
    assert aged.ledger.append(tenant_id, repeated) == first
    assert all(receipt.duplicate for receipt in first)
    with pytest.raises(ConflictError):
        aged.ledger.append(tenant_id, [Event(event_type="x", entity_type="y", entity_id="z", event_id="m16-7")])
    with pytest.raises(ConflictError):
        aged.ledger.append(tenant_id, [Event(event_type="x", entity_type="y", entity_id="z", event_id=made)])
    # The other tenant never had it.
    assert aged.ledger.append(OTHER, [Event(event_type="x", entity_type="y", entity_id="z", event_id=made)])
    aged.seal(OTHER)
    assert findings(aged) == []


def test_the_lake_equals_the_ledger_and_is_rebuilt_from_the_archive(aged: Installation, tenant_id: uuid.UUID) -> None:
    until = datetime.now(UTC).date() + timedelta(days=1)
    first, _ = pending_days(aged)
    assert first == month(16).date()
    export_window(aged, first, until, run_id="a test")
    lake = Lake(aged.settings.lake_dir)
    before = lake.events(tenant_id)
    run(aged)
    days = count_days(aged, first, until)
    assert sum(day.ledger for day in days) == before.height + 20
    assert [day for day in days if day.ledger != day.lake] == []
    assert pending_days(aged)[0] == datetime.now(UTC).date()
    shutil.rmtree(lake.root)
    assert pending_days(aged)[0] == month(16).date()
    export_window(aged, first, until, run_id="a test")
    assert lake.events(tenant_id).equals(before)
    assert [day for day in count_days(aged, first, until) if day.ledger != day.lake] == []


@pytest.mark.parametrize("bits", [6, 9])
def test_parts_in_processes_meet_the_archive(
    aged: Installation, tenant_id: uuid.UUID, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with aged.database.connect_admin() as conn:
        hold(conn, tenant_id, {"from": f"{month(15):%Y-%m-%d}", "to": f"{month(15) + timedelta(days=5):%Y-%m-%d}"})
    done = run(aged)
    # The held month lies in the database between two that are in the archive.
    assert [one.month for one in done.released] == [named(ago) for ago in OLD if ago != 15]
    monkeypatch.setattr(verify_parts, "_WORTH_PROCESSES", 10)
    monkeypatch.setattr(verify_parts, "_PART_BITS", bits)
    assert findings(aged) == []
    assert total(aged) == 4 * (A_MONTH + 17) + 50 + 20


def test_a_pass_may_begin_in_the_archive(aged: Installation, tenant_id: uuid.UUID) -> None:
    run(aged)
    [whole] = aged.verify(tenant_id)
    sealed_at = datetime.now(UTC)
    aged.ledger.append(tenant_id, events(5, "since"))
    aged.seal(tenant_id)
    [since] = aged.verify(tenant_id, since=sealed_at)
    assert since.intact
    assert (since.events, since.archived, since.first_seq) == (5, 0, whole.events)


# What keeps a month in the database


def hold(conn: psycopg.Connection, tenant: uuid.UUID, filters: dict[str, str]) -> None:
    conn.execute(
        "insert into audit_legal_holds (tenant_id, reason, filters, placed_by) values (%s, 'case 7', %s, %s)",
        [tenant, psycopg.types.json.Jsonb(filters), uuid.uuid4()],
    )


MONTH_15 = {"from": f"{month(15):%Y-%m-%d}", "to": f"{month(15) + timedelta(days=1):%Y-%m-%d}"}
HOLDS: Final[Mapping[str, tuple[dict[str, str], set[int]]]] = {
    "the whole tenant": ({}, set(OLD)),
    "a person of whom there is an event in each": ({"actor_ref": "person 3"}, set(OLD)),
    "somebody of whom there is none": ({"actor_ref": str(uuid.uuid4())}, set()),
    "a span": (MONTH_15, {15}),
    "a span without end": ({"from": f"{month(14):%Y-%m-%d}"}, {14, 13}),
    "a span long ago": ({"to": "2001-01-01"}, set()),
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_hold_keeps_rows_in_the_database(aged: Installation, tenant_id: uuid.UUID, name: str) -> None:
    filters, kept = HOLDS[name]
    if person := aged.vault.find(tenant_id, filters.get("actor_ref", "")):
        filters = {"actor_ref": str(person)}
    with aged.database.connect_admin() as conn:
        hold(conn, tenant_id, filters)
        # The hold of a tenant keeps the others' rows of the same month too: they share the partition.
        done = run(aged)
        assert {one.month for one in done.waiting} == {named(ago) for ago in kept}
        assert all("case 7" in one.why for one in done.waiting)
        assert all("case 7" not in one.told_to(OTHER) for one in done.waiting)
        assert {one.month for one in done.released} == {named(ago) for ago in OLD if ago not in kept}
        assert findings(aged) == []
        conn.execute("update audit_legal_holds set released_at = now() where released_at is null")
    assert {one.month for one in run(aged).released} == {named(ago) for ago in kept}
    assert findings(aged) == []


def test_the_function_itself_obeys_a_hold(aged: Installation, tenant_id: uuid.UUID) -> None:
    with aged.database.connect_admin() as conn:
        hold(conn, tenant_id, {})
        run(aged)
        conn.execute("select audit_keep_ids(%s, %s)", [tenant_id, named(16)])
        with aged.database.connection("audit_custodian") as custodian, pytest.raises(psycopg.Error, match="legal hold"):
            custodian.execute("select * from audit_release_partition(%s, 1000)", [named(16)])
        conn.execute("update audit_legal_holds set released_at = now() where released_at is null")
        for what, statement in {
            "not archived": "update audit_archives set last_seq = last_seq - 1",
            "no checkpoint": "update audit_archives set checkpoint_size = checkpoint_size + 100000",
            "are not kept": "delete from audit_archived_ids where first_seq = 0",
        }.items():
            with conn.transaction(force_rollback=True):
                conn.execute("set local session_replication_role = replica")
                conn.execute(statement)
                conn.execute("set local session_replication_role = origin")
                conn.execute("set local role audit_custodian")
                with pytest.raises(psycopg.Error, match=what):
                    conn.execute("select * from audit_release_partition(%s, 1000)", [named(16)])
        with pytest.raises(psycopg.Error, match="may still get rows"):
            conn.execute("select * from audit_release_partition(%s, 1000)", [named(0)])
    assert named(16) in months_there(aged.database)


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_only_the_custodian_has_the_path_and_nobody_another(aged: Installation, role: Role) -> None:
    run(aged)
    table = f"audit_logs_{month(0):%Y%m}"
    for statement in (
        f"drop table {table}",
        f"alter table audit_logs detach partition {table}",
        "delete from audit_archives",
        "update audit_archives set released_at = null",
        "update audit_archives set first_seq = 0",
        "truncate audit_archives",
        "insert into audit_archive_approvals values (gen_random_uuid(), '2020-01', gen_random_uuid(), 1)",
        "insert into audit_archived_ids values (gen_random_uuid(), 0, 0, null, null, '', null)",
        "delete from audit_archived_ids",
    ):
        with psycopg.connect(aged.database.conninfo(role)) as conn:
            conn.execute("select set_config('app.current_tenant_id', %s, false)", [str(OTHER)])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)
    for function in ("release_partition('2020-01', 10)", "mark_due(now())", "delete_archive('2020-01')"):
        if role != "audit_custodian":
            with (
                psycopg.connect(aged.database.conninfo(role)) as conn,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                conn.execute(f"select * from audit_{function}")


def test_nothing_is_dropped_by_default_before_the_grace_or_when_switched_off(aged: Installation) -> None:
    waits = Settings(_env_file=None, audit_home=aged.settings.audit_home)
    for settings, why in (
        (waits, "AUDIT_ARCHIVE_GRACE_DAYS"),
        (waits.model_copy(update={"audit_auto_archive": False, "audit_archive_grace_days": 0}), "AUDIT_AUTO_ARCHIVE"),
    ):
        done = retain(replace(aged, settings=settings), run_id="a test")
        assert {one.month for one in done.waiting} == {named(ago) for ago in OLD}
        assert all(why in one.why for one in done.waiting)
    assert set(months_there(aged.database)) >= {named(ago) for ago in OLD}
    later = datetime.now(UTC) + timedelta(days=15)
    done = retain(replace(aged, settings=waits), run_id="a test", now=later)
    assert {named(ago) for ago in OLD} <= {one.month for one in done.released}


def test_an_empty_month_is_dropped_too(installation: Installation) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("select audit_ensure_partitions(%s, 0)", [month(20)])
    assert [(one.month, one.rows) for one in run(installation).released] == [(named(20), 0)]


def test_a_reader_makes_the_job_wait_and_never_sees_a_gap(aged: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(archiving, "_LOCK_PAUSE_S", 0.01)
    with aged.database.connection("audit_pipeline") as conn:
        conn.execute("lock table audit_logs in access share mode")
        [first, *_] = run(aged).waiting
        assert "being read" in first.why
    assert len(run(aged).released) == len(OLD)


def test_a_tampered_month_stays_in_the_database(aged: Installation, tenant_id: uuid.UUID) -> None:
    with aged.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set event_type = 'harmless' where tenant_id = %s and seq = 400", [tenant_id])
    with pytest.raises(AuditError, match="seq 400"):
        run(aged)
    # The months before it go; it stays, and so do those after it, which nothing vouches for without it.
    assert [one for one in months_there(aged.database) if one in {named(ago) for ago in OLD}] == [
        named(15),
        named(14),
        named(13),
    ]
    assert any("event_type" in what for what in findings(aged))


# The end of an archive


def due(installation: Installation) -> Installation:
    """Return the installation with archives of a year due for deletion."""
    old = replace(installation, settings=installation.settings.model_copy(update={"audit_archive_years": 1}))
    retain(old, run_id="a test")
    assert archive_deletion.mark_due(old) == 5
    return old


def test_two_persons_end_an_archive(aged: Installation, tenant_id: uuid.UUID) -> None:
    until = datetime.now(UTC).date() + timedelta(days=1)
    repeated = aged.ledger.append(tenant_id, dated(16, events(3, "m16", chosen=True)))
    export_window(aged, month(16).date(), until, run_id="a test")
    ids = event_ids(aged, tenant_id)
    with pytest.raises(ValidationError, match="not marked"):
        archive_deletion.approve(aged, tenant_id, named(16), "alice")
    old = due(aged)
    assert archive_deletion.approve(old, tenant_id, named(16), "alice") == 1
    with pytest.raises(ConflictError, match="another person"):
        archive_deletion.approve(old, tenant_id, named(16), "alice")
    assert archive_deletion.delete_approved(old) == ([], [])
    with old.database.connect_admin() as conn:
        hold(conn, tenant_id, {})
        with pytest.raises(LegalHoldError):
            archive_deletion.approve(old, tenant_id, named(16), "bob")
        conn.execute("update audit_legal_holds set released_at = now() where released_at is null")
        assert archive_deletion.approve(old, tenant_id, named(16), "bob") == 2
        hold(conn, tenant_id, {})
        deleted, refused = archive_deletion.delete_approved(old)
        assert (deleted, len(refused)) == ([], 1)
        conn.execute("update audit_legal_holds set released_at = now() where released_at is null")
    [done], refused = archive_deletion.delete_approved(old)
    assert (done.archive.month, refused) == (named(16), [])
    assert archive_deletion.delete_approved(old) == ([], [])
    folder = old.database.archives_dir / str(tenant_id)
    assert not (folder / f"{named(16)}.parquet").exists()
    assert (folder / f"{named(16)}.manifest").exists()
    old.seal(tenant_id)
    [whole] = old.verify(tenant_id)
    assert whole.findings == ()
    [sentence] = old.deletions(whole)
    assert sentence.endswith("by approval of alice and bob")
    assert named(16) in sentence
    with old.database.tenant_connection(tenant_id) as conn:
        said = conn.execute("select event_type from audit_logs where entity_type = 'audit_archive' order by seq")
        assert [name for (name,) in said] == ["audit.archive.deletion_approved"] * 2 + ["audit.archive.deleted"]
    # What came after is proven by what the manifest kept; what was deleted says so; its ids stay taken.
    for event_id in (ids[A_MONTH + 17], ids[2 * A_MONTH + 40], ids[-1]):
        assert prove(old, tenant_id, event_id)
    with pytest.raises(DeletedArchiveError, match="two persons approved"):
        prove(old, tenant_id, ids[0])
    assert old.ledger.append(tenant_id, dated(16, events(3, "m16", chosen=True))) == repeated
    # The lake has no copy of it, and nobody asks for one.
    assert Lake(old.settings.lake_dir).events(tenant_id)["seq"].min() == A_MONTH + 17
    assert pending_days(old)[0] >= datetime.now(UTC).date() - timedelta(days=1)
    export_window(old, month(16).date(), until, run_id="a test")
    assert [day for day in count_days(old, date(2000, 1, 1), until) if day.ledger != day.lake] == []


def test_a_forged_approval_is_found(aged: Installation, tenant_id: uuid.UUID) -> None:
    old = due(aged)
    archive_deletion.approve(old, tenant_id, named(16), "alice")
    with old.database.connect_admin() as conn:
        conn.execute(
            "insert into audit_archive_approvals values (%s, %s, gen_random_uuid(), 3)", [tenant_id, named(16)]
        )
    archive_deletion.delete_approved(old)
    [finding] = old.verify(tenant_id)[0].findings
    assert (finding.kind, finding.seq) == ("archive", 0)
    assert "approval of 1 of two persons" in finding.what


# A run that is cut off


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_is_finished_by_the_next(
    aged: Installation, tenant_id: uuid.UUID, postgres: EmbeddedPostgres, step: str
) -> None:
    if STEPS.index(step) >= STEPS.index("deletion recorded"):
        old = due(aged)
        for person in ("alice", "bob"):
            archive_deletion.approve(old, tenant_id, named(16), person)
    aged.seal(tenant_id)
    before = total(aged)
    worker = Path(__file__).with_name("retention_worker.py")
    arguments = [postgres.home, aged.database._dbname, aged.settings.audit_home, step]
    killed = subprocess.run([sys.executable, worker, *map(str, arguments)], timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert findings(aged) == []
    [result] = aged.verify(tenant_id)
    run(aged)
    archive_deletion.delete_approved(aged)
    aged.seal(tenant_id)
    assert findings(aged) == []
    assert not set(months_there(aged.database)) & {named(ago) for ago in OLD}
    if STEPS.index(step) < STEPS.index("deletion recorded"):
        assert total(aged) == before
        assert result.deletions == ()
    else:
        assert [one.month for one in result.deletions] == [named(16)]
        assert not (aged.database.archives_dir / str(tenant_id) / f"{named(16)}.parquet").exists()
    assert list(aged.database.archives_dir.rglob(".*")) == []
    assert waiting_months(aged) == []


def test_nobody_sees_a_month_change_places(aged: Installation, tenant_id: uuid.UUID) -> None:
    """Verification, proofs and the lake go on while months are dropped under them; none of them sees a gap."""
    ids = event_ids(aged, tenant_id)
    expected = total(aged)
    until = datetime.now(UTC).date() + timedelta(days=1)
    done = Event_()
    worker = Thread(target=lambda: (run(aged), done.set()))
    worker.start()
    rounds = 0
    while not done.is_set() or not rounds:
        assert findings(aged) == []
        assert total(aged) == expected
        assert prove(aged, tenant_id, ids[5], ids[-1])
        export_window(aged, month(16).date(), until, run_id="a test")
        rounds += 1
    worker.join()
    run(aged)
    assert not set(months_there(aged.database)) & {named(ago) for ago in OLD}
    assert findings(aged) == []
    assert [day for day in count_days(aged, month(16).date(), until) if day.ledger != day.lake] == []
