"""From the ledger to `raw_events`: daily Parquet parts per tenant, by the UTC day of `recorded_at`.

A recorded day never changes once it is over, so a part is final; today grows by parts. Which rows a day has is found by
bisection over `seq`, because `recorded_at` never decreases with it: the cost follows the new rows, not the history.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.errors import TamperedError
from audit_pipelines.files import replacing
from audit_pipelines.installation import Installation
from audit_pipelines.lake.archived import archived_table
from audit_pipelines.lake.datasets import ROW_GROUP, Lake, Part, Written, describe, parquet_schema
from audit_pipelines.lake.redaction import redacted_table
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of, released
from audit_pipelines.ledger.segment import read_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

_ONE_DAY: Final = timedelta(days=1)
_READERS: Final = 2
"""Days that are read at once, each over a connection of its own: the server takes 8 times as long for the rows of a day
as Parquet does for writing them, and 160 MB go with each."""


@dataclass(frozen=True, slots=True)
class DayCount:
    """Rows of one tenant and day in the ledger and in the lake."""

    tenant_id: UUID
    day: date
    ledger: int
    lake: int


@dataclass(frozen=True, slots=True)
class DayExport:
    """What an export did to one tenant's day."""

    tenant_id: UUID
    day: date
    rows: int
    """Rows of the day in the lake now."""
    new_rows: int
    """Rows read from the ledger by this export."""
    written: tuple[Written, ...]


def export_window(
    installation: Installation, since: date, until: date, *, run_id: str, now: datetime | None = None
) -> list[DayExport]:
    """Bring the days `since <= day < until` of every tenant into the lake; return those that have rows.

    Of a day that is not over, only rows that are not there yet are read, into a part of their own. A day that is over
    is read anew and becomes one part, so repeating it also mends a damaged lake. Files appear whole, each after its
    row in `audit_lineage`.

    Raises:
        TamperedError: when the ledger lacks a row that its head counts.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "raw_events"), ExitStack() as connections:
        with installation.database.connection("audit_pipeline") as conn:
            plan = [
                (tenant_id, day, first, end)
                for tenant_id, next_seq in conn.execute(query("lake/select_heads")).fetchall()
                for day, first, end in _days(conn, tenant_id, next_seq, since, until)
                if not any(one.first_seq <= first <= one.last_seq for one in deleted(conn, tenant_id))
            ]
        free: SimpleQueue[ArrowConnection] = SimpleQueue()
        readers = min(_READERS, len(plan))
        for _ in range(readers):
            free.put(connections.enter_context(arrow_connection(installation)))

        def export(planned: tuple[UUID, date, int, int]) -> DayExport:
            arrow = free.get()
            try:
                return _export_day(installation, arrow, lake, planned, today=today, run_id=run_id)
            finally:
                free.put(arrow)

        if readers < _READERS:
            return [export(planned) for planned in plan]
        with ThreadPoolExecutor(readers, thread_name_prefix="export") as pool:
            return list(pool.map(export, plan))


def _export_day(
    installation: Installation,
    arrow: "ArrowConnection",
    lake: Lake,
    planned: tuple[UUID, date, int, int],
    *,
    today: date,
    run_id: str,
) -> DayExport:
    tenant_id, day, first, end = planned
    there = [part for part in lake.parts(tenant_id) if part.day == day]
    keep = _kept(there, first, end) if day >= today else []
    written = tuple(
        _write_part(installation, arrow, lake, Part(start, stop, day, lake.root), tenant_id, run_id=run_id)
        for start, stop in gaps(keep, first, end)
    )
    # The new part may have the name of an old one, which it then has replaced already.
    for part in there:
        if part not in keep and part.path not in {one.path for one in written}:
            part.path.unlink()
    return DayExport(tenant_id, day, end - first, sum(one.rows for one in written), written)


def pending_days(installation: Installation, *, now: datetime | None = None) -> tuple[date, date]:
    """Return the first and last day (both inclusive) that an export must cover to be up to date; the last is today.

    A day is pending when the lake lacks rows of it, or when it is over and still lies in several parts.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    lake = Lake(installation.settings.lake_dir)
    first = today
    with installation.database.connection("audit_pipeline") as conn:
        for tenant_id, next_seq in conn.execute(query("lake/select_heads")).fetchall():
            parts = lake.parts(tenant_id)
            gone = [Part(one.first_seq, one.last_seq, date.min, lake.root) for one in deleted(conn, tenant_id)]
            missing = next(iter(gaps([*parts, *gone], 0, next_seq)), None)
            if missing:
                first = min(first, recorded_at(conn, tenant_id, missing[0]).date())
            days = [part.day for part in parts]
            first = min([first, *(day for day in set(days) if day < today and days.count(day) > 1)])
    return first, today


def count_days(installation: Installation, since: date, until: date) -> list[DayCount]:
    """Count the rows of `since <= day < until` per tenant and day on both sides, each by its own means.

    The ledger is counted row by row up to the last `seq` that the lake has; the lake by the rows inside its files.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 — 0.3 s that importing the asset graph need not pay

    lake = Lake(installation.settings.lake_dir)
    in_lake: dict[tuple[UUID, date], int] = {}
    through: dict[UUID, int] = {}
    for tenant_id in lake.tenants():
        for part in lake.parts(tenant_id):
            through[tenant_id] = max(through.get(tenant_id, -1), part.last_seq)
            if since <= part.day < until:
                rows = pq.read_metadata(part.path).num_rows
                in_lake[tenant_id, part.day] = in_lake.get((tenant_id, part.day), 0) + rows
    window = {
        "tenants": list(through),
        "through": list(through.values()),
        "since": midnight(since),
        "until": midnight(until),
    }
    with installation.database.connection("audit_pipeline") as conn:
        in_ledger = {(tenant, day): rows for tenant, day, rows in conn.execute(query("lake/count_rows"), window)}
    return [
        DayCount(tenant, day, in_ledger.get((tenant, day), 0), in_lake.get((tenant, day), 0))
        for tenant, day in sorted(in_ledger.keys() | in_lake.keys())
    ]


def gaps(parts: Iterable[Part], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges (both ends inclusive) of `first <= seq < end` that no part covers; parts come in order."""
    at = first
    for part in sorted(parts):
        if part.first_seq > at:
            yield at, min(part.first_seq, end) - 1
        at = max(at, part.last_seq + 1)
        if at >= end:
            return
    if at < end:
        yield at, end - 1


def _kept(parts: list[Part], first: int, end: int) -> list[Part]:
    """Return the parts of an unfinished day; none of them if any lies outside the day or over another."""
    ordered = sorted(parts)
    ends = [first - 1, *(part.last_seq for part in ordered)]
    fits = all(part.first_seq > before for part, before in zip(ordered, ends, strict=False)) and ends[-1] < end
    return ordered if fits else []


def _days(
    conn: Connection, tenant_id: UUID, next_seq: int, since: date, until: date
) -> Iterator[tuple[date, int, int]]:
    """Yield each day of the window that has rows, with its range `first <= seq < end`."""
    day = max(since, recorded_at(conn, tenant_id, 0).date())
    last = min(until - _ONE_DAY, recorded_at(conn, tenant_id, next_seq - 1).date())
    first = first_seq_at(conn, tenant_id, midnight(day), 0, next_seq)
    while day <= last:
        end = first_seq_at(conn, tenant_id, midnight(day + _ONE_DAY), first, next_seq)
        if end > first:
            yield day, first, end
        day, first = day + _ONE_DAY, end


def first_seq_at(conn: Connection, tenant_id: UUID, moment: datetime, low: int, high: int) -> int:
    """Return the first `seq` in `low <= seq <= high` that was recorded at or after `moment`."""
    while low < high:
        middle = (low + high) // 2
        if recorded_at(conn, tenant_id, middle) >= moment:
            high = middle
        else:
            low = middle + 1
    return low


def deleted(conn: Connection, tenant_id: UUID) -> list[Archive]:
    """Return the months of a tenant that were deleted from the archive, which no lake has to have."""
    return [one for one in archives_of(conn, tenant_id) if one.deleted_at]


def recorded_at(conn: Connection, tenant_id: UUID, seq: int) -> datetime:
    """Return when a row was recorded, in UTC: to the microsecond, or to the day if its month was dropped.

    Raises:
        TamperedError: where there is no such row.
    """
    row = conn.execute(query("lake/select_recorded_at"), {"tenant_id": tenant_id, "seq": seq}).fetchone()
    if row is None or row[0] is None:
        raise TamperedError(
            f"tenant {tenant_id}: the head counts a row at seq {seq}, the ledger has none; run `audit-pipelines verify`"
        )
    moment: datetime = row[0]
    return moment.astimezone(UTC)


def midnight(day: date) -> datetime:
    """Return the beginning of a UTC day."""
    return datetime.combine(day, time(), UTC)


@contextmanager
def arrow_connection(installation: Installation) -> Iterator["ArrowConnection"]:
    """Open an Arrow connection: 3 times psycopg's rows/s, and batches go to Parquet without passing Python."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415 — 0.4 s with pyarrow, only exporting needs it

    with dbapi.connect(installation.database.conninfo("audit_pipeline"), autocommit=True) as connection:
        yield connection


def _write_part(
    installation: Installation, arrow: "ArrowConnection", lake: Lake, part: Part, tenant_id: UUID, *, run_id: str
) -> Written:
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = lake.part_path(tenant_id, part.day, part.first_seq, part.last_seq)
    expected = part.last_seq - part.first_seq + 1
    rows, last_hash = 0, ""
    with replacing(path) as staging:
        with pq.ParquetWriter(staging, parquet_schema(), compression="zstd") as writer:
            for table in tables(installation, arrow, tenant_id, part):
                writer.write_table(table, row_group_size=ROW_GROUP)
                rows += table.num_rows
                last_hash = table["row_hash"][-1].as_py()
        if rows != expected:
            raise TamperedError(
                f"tenant {tenant_id}: expected {expected} rows from seq {part.first_seq} to {part.last_seq}, recorded "
                f"on {part.day}, got {rows}; run `audit-pipelines verify`"
            )
        written = describe(staging, rows, path)
        output = lineage.Output(
            tenant_id,
            "raw_events",
            str(path.relative_to(lake.root.parent)),
            written.digest,
            (lineage.ledger_input(part.first_seq, part.last_seq, last_hash),),
        )
        with installation.database.connection("audit_pipeline") as conn:
            lineage.record(conn, [output], run_id=run_id)
    return written


def tables(installation: Installation, arrow: "ArrowConnection", tenant_id: UUID, part: Part) -> Iterator["pa.Table"]:
    """Yield a part's rows as the lake must have them: from the ledger, or the archive where their month was dropped."""
    with installation.database.connection("audit_pipeline") as conn:
        archived = [
            one for one in released(archives_of(conn, tenant_id)) if one.first_seq <= part.first_seq <= one.last_seq
        ]
        erased = [ref for (ref,) in conn.execute(query("lake/select_erased"), {"tenant_id": tenant_id}).fetchall()]
    if not archived:
        yield from _read(arrow, tenant_id, part)
        return
    path = ArchiveFolder(installation.database.archives_dir).segment(tenant_id, archived[0].month)
    for rows in read_rows(path, part.first_seq, part.last_seq):
        table = archived_table(tenant_id, rows, parquet_schema())
        yield redacted_table(table, erased) if erased else table


def _read(arrow: "ArrowConnection", tenant_id: UUID, part: Part) -> Iterator["pa.Table"]:
    import pyarrow as pa  # noqa: PLC0415

    bounds: dict[str, Any] = {
        "lake.tenant_id": tenant_id,
        "lake.first_seq": part.first_seq,
        "lake.last_seq": part.last_seq,
        "lake.since": midnight(part.day).isoformat(),
        "lake.until": midnight(part.day + _ONE_DAY).isoformat(),
    }
    with arrow.cursor() as cursor:
        for name, value in bounds.items():
            cursor.execute("select set_config($1, $2, false)", (name, str(value)))
            cursor.fetchall()
        cursor.execute(query("lake/read_events").decode())
        for batch in cursor.fetch_record_batch():
            if batch.num_rows:
                yield pa.Table.from_batches([batch]).cast(parquet_schema())
