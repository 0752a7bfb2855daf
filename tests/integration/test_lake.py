"""The ledger's copy in Parquet and the catalog over it, on a real Postgres."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl
import psycopg
import pytest

from audit_pipelines.derive import archiving
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import COMMENTS, build_catalog
from audit_pipelines.lake.datasets import RAW_EVENTS, Lake
from audit_pipelines.lake.export import count_days, export_window, pending_days
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.segment import open_manifest

FROM = date(2025, 1, 1)
ONE_DAY = timedelta(days=1)


def _events(count: int, **fields: object) -> list[Event]:
    return [
        Event(
            event_type="file.read",
            entity_type="file",
            entity_id=f"f{number}",
            details={"n": number, "text": 'a "quoted" € \u0001 \\ line\n'},
            actor="ann",
            ip_address="192.0.2.7",
            **fields,
        )
        for number in range(count)
    ]


@pytest.fixture
def today() -> date:
    return datetime.now(UTC).date()


def _export(installation: Installation, today: date, *, now: datetime | None = None):
    return export_window(installation, FROM, today + ONE_DAY, run_id="test", now=now)


def test_the_lake_says_what_the_ledger_says(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    installation.ledger.append(tenant_id, [*_events(5), Event(event_type="e", entity_type="x", entity_id="1")])
    _export(installation, today)
    frame = Lake(installation.settings.lake_dir).events(tenant_id)
    assert frame.schema == pl.Schema(RAW_EVENTS)
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(
            "select tenant_id::text, seq, recorded_at, event_id, occurred_at, actor_ref::text, event_type, entity_type,"
            " entity_id, outcome, ip_index, user_agent, details::text, row_hash from audit_events order by seq"
        ).fetchall()
        entries = [row[0] for row in conn.execute("select entry from audit_logs order by seq")]
    assert frame.rows() == [tuple(None if value == "null" else value for value in row) for row in rows]
    for details, entry in zip(frame["details"], entries, strict=True):
        assert (json.loads(details) if details else None) == json.loads(entry)["details"]


def test_nothing_is_exported_twice(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    installation.ledger.append(tenant_id, _events(7))
    assert [day.new_rows for day in _export(installation, today)] == [7]
    assert [day.new_rows for day in _export(installation, today)] == [0]
    installation.ledger.append(tenant_id, _events(3))
    (day,) = _export(installation, today)
    assert (day.rows, day.new_rows) == (10, 3)
    assert len(Lake(installation.settings.lake_dir).parts(tenant_id)) == 2


def test_a_day_that_is_over_becomes_one_part(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    for _ in range(3):
        installation.ledger.append(tenant_id, _events(4))
        _export(installation, today)
    lake = Lake(installation.settings.lake_dir)
    before = lake.events(tenant_id)
    tomorrow = datetime.now(UTC) + ONE_DAY
    assert pending_days(installation, now=tomorrow) == (today, today + ONE_DAY)

    _export(installation, today, now=tomorrow)
    (part,) = lake.parts(tenant_id)
    assert (part.first_seq, part.last_seq) == (0, 11)
    assert lake.events(tenant_id).equals(before)
    assert pending_days(installation, now=tomorrow) == (today + ONE_DAY, today + ONE_DAY)


def test_days_are_cut_at_midnight_utc(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    installation.ledger.append(tenant_id, _events(10))
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("select audit_ensure_partitions(%s, 0)", [midnight - ONE_DAY])
        # Rows 0-3 the last microsecond of yesterday, the rest from the first of today on.
        conn.execute(
            "update audit_logs set recorded_at = case when seq < 4 then %s else %s end where tenant_id = %s",
            [midnight - timedelta(microseconds=1), midnight, tenant_id],
        )
    assert pending_days(installation)[0] == today - ONE_DAY
    days = {day.day: day.rows for day in _export(installation, today)}
    assert days == {today - ONE_DAY: 4, today: 6}
    assert all(count.ledger == count.lake for count in count_days(installation, FROM, today + ONE_DAY))


def test_a_gap_in_the_lake_is_pending_and_mended(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    for _ in range(3):
        installation.ledger.append(tenant_id, _events(2))
        _export(installation, today)
    lake = Lake(installation.settings.lake_dir)
    lake.parts(tenant_id)[1].path.unlink()
    (count,) = count_days(installation, FROM, today + ONE_DAY)
    assert (count.ledger, count.lake) == (6, 4)
    _export(installation, today)
    assert lake.events(tenant_id)["seq"].to_list() == list(range(6))


def test_a_part_of_another_day_never_hides_rows(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    installation.ledger.append(tenant_id, _events(3))
    _export(installation, today)
    lake = Lake(installation.settings.lake_dir)
    (part,) = lake.parts(tenant_id)
    part.path.rename(lake.part_path(tenant_id, today, 0, 99))
    _export(installation, today)
    assert [(each.first_seq, each.last_seq) for each in lake.parts(tenant_id)] == [(0, 2)]


def test_missing_rows_are_tampering_not_a_short_file(
    installation: Installation, tenant_id: uuid.UUID, today: date
) -> None:
    installation.ledger.append(tenant_id, _events(9))
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from audit_logs where tenant_id = %s and seq = 5", [tenant_id])
    with pytest.raises(TamperedError, match="verify"):
        _export(installation, today)
    assert not list(installation.settings.lake_dir.rglob("*.parquet"))


def test_every_part_has_its_record(installation: Installation, tenant_id: uuid.UUID, today: date) -> None:
    installation.ledger.append(tenant_id, _events(2))
    (day,) = _export(installation, today)
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute("select output_key, output_digest, inputs, run_id from audit_lineage").fetchall()
        (head,) = conn.execute("select encode(head_hash, 'hex') from audit_chain_heads").fetchone()
    ((key, digest, inputs, run_id),) = rows
    assert (installation.settings.home / key) == day.written[0].path
    assert digest == day.written[0].digest
    assert inputs == [{"kind": "audit_logs", "first_seq": 0, "last_seq": 1, "digest": head}]
    assert run_id == "test"
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        installation.database.connection("audit_pipeline") as conn,
    ):
        conn.execute("delete from audit_lineage")


def test_the_catalog_of_an_empty_lake_opens(installation: Installation) -> None:
    catalog = build_catalog(installation)
    with duckdb.connect(str(catalog.path), read_only=True) as conn:
        for name in [*COMMENTS, "events", "daily_activity"]:
            assert conn.execute(f"select * from {name}").fetchall() == []
        types = dict(
            conn.execute(
                "select column_name, data_type from duckdb_columns() where table_name = 'raw_events'"
            ).fetchall()
        )
    assert types["seq"] == "BIGINT"
    assert types["recorded_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["day"] == "DATE"


def test_the_catalog_counts_what_the_ledger_counts(
    installation: Installation, tenant_id: uuid.UUID, today: date
) -> None:
    build_catalog(installation)
    other = uuid.uuid4()
    installation.ledger.append(tenant_id, _events(6))
    installation.ledger.append(other, _events(2))
    installation.seal(tenant_id)
    _export(installation, today)
    with duckdb.connect(str(installation.settings.catalog_path), read_only=True) as before:
        catalog = build_catalog(installation)
        # Who has the old file open goes on reading it; the empty lake it was built over.
        assert before.execute("select count(*) from checkpoints").fetchone() == (0,)
    assert catalog.rows["raw_events"] == 8
    with duckdb.connect(str(catalog.path), read_only=True) as conn:
        counted = conn.execute("select tenant_id, day, count(*) from raw_events group by all order by 3").fetchall()
        assert counted == [(str(other), today, 2), (str(tenant_id), today, 6)]
        assert conn.execute("select size from checkpoints").fetchall() == [(6,)]
        assert conn.execute("select details ->> 'n' from events where seq = 5").fetchall() == [("5",)]
        comments = conn.execute("select view_name, comment from duckdb_views() where not internal").fetchall()
        version = conn.execute("select tags from duckdb_databases() where database_name = 'audit'").fetchone()
    assert all(comment for _, comment in comments)
    assert "v1.0" in str(version)


def test_an_old_month_is_archived_and_checked(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, _events(5))
    assert archiving.archive_segments(installation, run_id="test") == []
    later = datetime.now(UTC) + timedelta(days=400)
    (archived,) = archiving.archive_segments(installation, run_id="test", now=later)
    manifest = open_manifest(archived.path.with_suffix(".manifest").read_text(), installation.verifier_keys)
    with installation.database.connection("audit_pipeline") as conn:
        links = conn.execute(
            "select encode(prev_hash, 'hex'), encode(row_hash, 'hex') from audit_logs order by seq"
        ).fetchall()
    assert (manifest.first_seq, manifest.last_seq, manifest.rows) == (0, 4, 5)
    assert manifest.first_prev_hash.hex() == links[0][0]
    assert manifest.last_row_hash.hex() == links[4][1]
    assert [one.is_new for one in archiving.archive_segments(installation, run_id="test", now=later)] == [False]

    archived.path.write_bytes(b"something else")
    assert [one.is_new for one in archiving.archive_segments(installation, run_id="test", now=later)] == [True]


def test_a_broken_month_is_not_archived(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, _events(5))
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set entry = entry || ' ' where tenant_id = %s and seq = 3", [tenant_id])
    with pytest.raises(TamperedError, match="seq 3"):
        archiving.archive_segments(installation, run_id="test", now=datetime.now(UTC) + timedelta(days=400))
    assert not list(installation.settings.storage_dir.rglob("*.parquet"))


def test_partitions_are_made_ahead(installation: Installation) -> None:
    later = datetime.now(UTC) + timedelta(days=200)
    assert archiving.ensure_partitions(installation, now=later) == 4
    assert archiving.ensure_partitions(installation, now=later) == 0
