"""Reading what an export holds, from database and archive, in batches of bounded size that each are a transaction.

All of it runs as `audit_app` with the tenant set, so row-level security decides what exists. Arrow carries the rows:
objects for each would cost three times as much. Names are asked of the vault with each batch, so an erasure counts from
its commit on.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import polars as pl
import psycopg

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import DatabaseUnavailableError, TamperedError
from audit_pipelines.exports.selection import CancelledError, Head, Selection
from audit_pipelines.installation import Installation
from audit_pipelines.lake.archived import archived_table
from audit_pipelines.lake.datasets import parquet_schema
from audit_pipelines.ledger.access import ENTITY_TYPE
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of, released
from audit_pipelines.ledger.event import ACCESS_PREFIX
from audit_pipelines.ledger.segment import Row, read_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

_UTC: Final = pl.Datetime("us", "UTC")
COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "seq": pl.Int64(),
    "event_id": pl.String(),
    "occurred_at": _UTC,
    "recorded_at": _UTC,
    "actor": pl.String(),
    "actor_ref": pl.String(),
    "event_type": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "outcome": pl.String(),
    "ip_index": pl.String(),
    "user_agent": pl.String(),
    "details": pl.String(),
    "entry_hash": pl.String(),
    "prev_hash": pl.String(),
    "row_hash": pl.String(),
}
"""What a row of an export has; `actor`, the name in clear, is there only for those who may see it. Hashes are hex."""

# A statement looks through so many rows at most, so that a rare thing in a large ledger does not meet its time-out.
_WINDOW: Final = 1_000_000
# Ten thousand events of the largest size would be 10 GB: a batch ends early at the first of Arrow's own batches (16 MB)
# that takes it over this.
_MOST_BYTES: Final = 24 * 1024 * 1024
_PREFIX: Final = b',"details":'
_SUFFIX: Final = b',"entity_id":'
# `{"actor_ref":"…"` with a UUID in it.
_LONGEST_REF: Final = 64


def head_of(installation: Installation, tenant_id: UUID) -> Head:
    """Return where the tenant's ledger ends now."""
    with installation.database.tenant_connection(tenant_id) as conn:
        row = conn.execute(query("exports/select_head")).fetchone()
    return Head(*row) if row else Head(-1, b"", 0)


def count(installation: Installation, tenant_id: UUID, selection: Selection, head: Head, *, most: int | None) -> int:
    """Return how many events match, no further than its limits and `most`; of archived months, all rows.

    Without `most` it may take as long as it takes; with it, no longer than DATABASE_TIMEOUT.
    """
    # Of chosen events there are no more than ids, however many rows the archive has.
    chosen = None if selection.event_ids is None else len(selection.event_ids)
    limit = min((each for each in (most, selection.limit, chosen) if each is not None), default=None)
    with installation.database.tenant_connection(tenant_id) as conn:
        if most is None:
            conn.execute("set local statement_timeout = 0")
        parameters = _parameters(selection) | {"first": 0, "last": head.seq, "limit": limit}
        (stored,) = conn.execute(query("exports/count_events"), parameters, prepare=False).fetchone() or (0,)
        archived = sum(one.rows for one in _readable(conn, tenant_id, selection))
    found = int(stored) + archived
    return found if limit is None else min(found, limit)


def left_out(installation: Installation, tenant_id: UUID, selection: Selection) -> list[str]:
    """Return the archived months that an export does not look into: deleted ones, and all when words are asked for."""
    with installation.database.tenant_connection(tenant_id) as conn:
        archives = [one for one in released(archives_of(conn, tenant_id)) if _reaches_into(one, selection)]
    return [one.month for one in archives if one.deleted_at or selection.q is not None]


class Reader:
    """One reading of a selection; iterate it in one thread, and cancel it from any other."""

    def __init__(
        self, installation: Installation, tenant_id: UUID, selection: Selection, head: Head, *, with_names: bool
    ) -> None:
        self._installation = installation
        self._tenant_id = tenant_id
        self._selection = selection
        self._head = head
        self._with_names = with_names
        self._folder = ArchiveFolder(installation.database.archives_dir)
        self._batch = installation.settings.audit_export_batch_size
        self._arrow: ArrowConnection | None = None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self.looked_at: int = 0
        """How many rows of the ledger have been looked at, of `head.seq + 1`."""

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield frames with the columns of `columns`, none of them empty.

        Raises:
            CancelledError: after `cancel`.
            DatabaseUnavailableError: when the database does not answer in time.
            TamperedError: when an archive cannot be read.
        """
        try:
            yield from self._frames()
        finally:
            self._disconnect()

    def cancel(self) -> None:
        """Stop the statement that runs, and whatever would come next."""
        self._cancelled.set()
        with self._lock, suppress(Exception):
            if self._arrow is not None:
                self._arrow.adbc_cancel()

    def _frames(self) -> Iterator[pl.DataFrame]:
        newest = self._selection.newest_first
        low, high = 0, self._head.seq
        wanted = self._selection.limit
        archives, version = self._archives()
        while low <= high and wanted != 0:
            if self._cancelled.is_set():
                raise CancelledError("the export was cancelled")
            first, last, archive = _next_part(archives, low, high, self._batch, newest=newest)
            most = self._batch if wanted is None else min(self._batch, wanted)
            if archive is None:
                part = replace(self._selection, limit=most)
                frame, through = self._stored(part, first, last)
                names, now = self._names(frame)
                if now != version:
                    # A month left the database meanwhile; what was read may lack its rows.
                    archives, version = self._archives()
                    continue
            else:
                frame, through = self._archived(archive, first, last, most)
                names, _ = self._names(frame)
            low, high = (low, through - 1) if newest else (through + 1, high)
            self.looked_at = self._head.seq - high + low
            if frame.height:
                wanted = None if wanted is None else wanted - frame.height
                yield _with_names(frame, names)

    def _archives(self) -> tuple[list[Archive], int]:
        with self._installation.database.tenant_connection(self._tenant_id) as conn:
            version = _version(conn)
            known = released(archives_of(conn, self._tenant_id))
            readable = {one.month for one in _readable(conn, self._tenant_id, self._selection)}
        missing = [one.month for one in known if one.month in readable and not self._segment(one).exists()]
        if missing:
            raise TamperedError(f"the archive of {', '.join(missing)} is missing; run `audit-pipelines verify`")
        # What is not read is stepped over, so that the rows of the database around it are asked for by themselves.
        return [one if one.month in readable else replace(one, deleted_at=one.released_at) for one in known], version

    def _segment(self, archive: Archive) -> Any:
        return self._folder.segment(self._tenant_id, archive.month)

    def _names(self, frame: pl.DataFrame) -> tuple[dict[str, str] | None, int]:
        with self._installation.database.tenant_connection(self._tenant_id) as conn:
            version = _version(conn)
            if not self._with_names:
                return None, version
            refs = [UUID(ref) for ref in frame["actor_ref"].drop_nulls().unique()]
            found = self._installation.vault.identities(conn, refs) if refs else {}
        return {str(ref): name for ref, name in found.items()}, version

    def _stored(self, selection: Selection, first: int, last: int) -> tuple[pl.DataFrame, int]:
        """Return what matches from `first` to `last`, and through which seq it was looked for."""
        import pyarrow as pa  # noqa: PLC0415 — 0.3 s that a server that exports nothing need not pay
        from adbc_driver_manager import Error  # noqa: PLC0415

        with self._installation.database.tenant_connection(self._tenant_id) as conn:
            parameters = _parameters(selection) | {"first": first, "last": last}
            statement = psycopg.ClientCursor(conn).mogrify(query("exports/select_events"), parameters)
        batches: list[pa.RecordBatch] = []
        whole = True
        try:
            with self._connected().cursor() as cursor:
                cursor.execute(statement)
                reader = cursor.fetch_record_batch()
                size = 0
                for batch in reader:
                    batches.append(batch)
                    size += batch.nbytes
                    if size > _MOST_BYTES:
                        whole = False
                        break
                table = pa.Table.from_batches(batches, reader.schema)
        except Error as error:
            if self._cancelled.is_set():
                raise CancelledError("the export was cancelled") from error
            raise DatabaseUnavailableError(f"reading for an export failed: {str(error).splitlines()[0]}") from error
        finally:
            if not whole:
                # The rest of the answer is still under way on this connection.
                self._disconnect()
        frame = _frame(table)
        if frame.height and (not whole or frame.height == selection.limit):
            return frame, int(frame["seq"][-1])
        return frame, first if selection.newest_first else last

    def _archived(self, archive: Archive, first: int, last: int, most: int) -> tuple[pl.DataFrame, int]:
        rows = [row for some in read_rows(self._segment(archive), first, last) for row in some]
        if len(rows) != last - first + 1:
            raise TamperedError(f"the archive of {archive.month} lacks rows; run `audit-pipelines verify`")
        frame = matching(_of_archive(self._tenant_id, rows), self._selection)
        if self._selection.newest_first:
            frame = frame.reverse()
        return frame.head(most), first if self._selection.newest_first else last

    def _connected(self) -> "ArrowConnection":
        """Return the connection of this reading; between batches it is in no transaction."""
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 — 0.4 s with pyarrow

        if self._arrow is None:
            arrow = dbapi.connect(self._installation.database.conninfo("audit_app"), autocommit=True)
            timeout = self._installation.settings.database_timeout
            with arrow.cursor() as cursor:
                for statement in (
                    f"select set_config('app.current_tenant_id', '{self._tenant_id}', false)",
                    f"select set_config('statement_timeout', '{timeout:d}', false), set_config('jit', 'off', false)",
                ):
                    cursor.execute(statement)
                    cursor.fetchall()
            with self._lock:
                self._arrow = arrow
        return self._arrow

    def _disconnect(self) -> None:
        with self._lock:
            arrow, self._arrow = self._arrow, None
        if arrow is not None:
            arrow.close()


def columns(*, with_names: bool) -> list[str]:
    """Return the columns of an export in their order."""
    return [name for name in COLUMNS if with_names or name != "actor"]


def matching(frame: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """Return the rows of a frame with columns of `COLUMNS` that match, in its order; `q` is not looked at."""
    conditions = [
        pl.col(name) == wanted
        for name in ("event_type", "entity_type", "outcome")
        if (wanted := getattr(selection, name)) is not None
    ]
    if selection.event_ids is not None:
        conditions.append(pl.col("event_id").is_in(selection.event_ids))
    if selection.entity_ids is not None:
        conditions.append(pl.col("entity_id").is_in(selection.entity_ids))
    if selection.actor_ref is not None:
        conditions.append(pl.col("actor_ref") == str(selection.actor_ref))
    if selection.ip_index is not None:
        conditions.append(pl.col("ip_index").str.starts_with(selection.ip_index.hex()))
    if selection.since is not None:
        conditions.append(pl.col("occurred_at") >= selection.since)
    if selection.until is not None:
        conditions.append(pl.col("occurred_at") < selection.until)
    if not selection.with_accesses:
        conditions.append((pl.col("entity_type") != ENTITY_TYPE) | ~pl.col("event_type").str.starts_with(ACCESS_PREFIX))
    return frame.filter(conditions)


def _next_part(
    archives: list[Archive], low: int, high: int, batch: int, *, newest: bool
) -> tuple[int, int, Archive | None]:
    """Return the next stretch of `low` to `high` that lies in one place, and the archive if it is one."""
    at = high if newest else low
    inside = next((one for one in archives if one.first_seq <= at <= one.last_seq), None)
    if inside is not None and inside.deleted_at is None:
        if newest:
            return max(low, inside.first_seq, at - batch + 1), at, inside
        return at, min(high, inside.last_seq, at + batch - 1), inside
    if newest:
        ends = [one.last_seq + 1 for one in archives if one.last_seq < at]
        return max([low, at - _WINDOW + 1, *ends]), at, None
    begins = [one.first_seq - 1 for one in archives if one.first_seq > at]
    return at, min([high, at + _WINDOW - 1, *begins]), None


def _readable(conn: Connection, tenant_id: UUID, selection: Selection) -> list[Archive]:
    """Return the archives that are read: none that was deleted, and none for words, which Postgres alone finds."""
    if selection.q is not None:
        return []
    archives = released(archives_of(conn, tenant_id))
    return [one for one in archives if not one.deleted_at and _reaches_into(one, selection)]


def _reaches_into(archive: Archive, selection: Selection) -> bool:
    """Return whether events of an archive may have happened in the selection's period."""
    return (selection.since is None or archive.occurred_to >= selection.since) and (
        selection.until is None or archive.occurred_from < selection.until
    )


def _version(conn: Connection) -> int:
    row = conn.execute(query("exports/select_released")).fetchone()
    return int(row[0]) if row else 0


def _parameters(selection: Selection) -> dict[str, Any]:
    values = asdict(selection)
    for name in ("event_ids", "entity_ids", "pieces"):
        values[name] = None if values[name] is None else list(values[name])
    return values | {"newest": values.pop("newest_first")}


def _frame(table: "pa.Table") -> pl.DataFrame:
    """Return rows of the ledger with the columns of an export, but the names."""
    entries = pl.Series("details", list(map(_details_of, table["entry"].to_pylist())), pl.Binary)
    frame = pl.DataFrame(pl.from_arrow(table.drop_columns("entry")))
    return frame.with_columns(
        # Whoever destroyed an entry may have left anything.
        entries.cast(pl.String, strict=False),
        *(pl.col(name).bin.encode("hex") for name in ("ip_index", "entry_hash", "prev_hash", "row_hash")),
    ).select(columns(with_names=False))


def _details_of(entry: bytes) -> bytes | None:
    """Return the details out of the hashed bytes, whose names are sorted; none of `null`, or of what is no entry."""
    begin, end = entry.find(_PREFIX, 0, _LONGEST_REF), entry.rfind(_SUFFIX)
    if begin < 0 or end < begin:
        return None
    details = entry[begin + len(_PREFIX) : end]
    return None if details == b"null" else details


def _of_archive(tenant_id: UUID, rows: list[Row]) -> pl.DataFrame:
    table = archived_table(tenant_id, rows, parquet_schema())
    return (
        pl.DataFrame(pl.from_arrow(table))
        .with_columns(
            pl.Series("entry_hash", [row.entry_hash.hex() for row in rows], pl.String),
            pl.Series("prev_hash", [row.prev_hash.hex() for row in rows], pl.String),
        )
        .select(pl.col(name).cast(COLUMNS[name]) for name in columns(with_names=False))
    )


def _with_names(frame: pl.DataFrame, names: dict[str, str] | None) -> pl.DataFrame:
    if names is None:
        return frame
    known = pl.DataFrame(
        {"actor_ref": list(names), "actor": list(names.values())}, {"actor_ref": pl.String, "actor": pl.String}
    )
    return frame.join(known, on="actor_ref", how="left", maintain_order="left").select(columns(with_names=True))
