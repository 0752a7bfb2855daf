"""Months older than the retention as files of their own: `archives/<tenant>/<month>.parquet` and a manifest.

Copies, read back and recomputed before they count; nothing is deleted from the ledger here or anywhere in the graph.
Archives hold the hashed bytes themselves, so that they can be verified without any database.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.errors import TamperedError
from audit_pipelines.files import replacing
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import first_seq_at, recorded_at
from audit_pipelines.ledger import chain

if TYPE_CHECKING:
    import pyarrow as pa

_FETCH = 10_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One tenant's month in the ledger: the rows `first_seq` to `last_seq`."""

    tenant_id: UUID
    month: str
    """Year and month of recorded_at, UTC, as in 2026-11."""
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Archived:
    """A segment in the archive."""

    segment: Segment
    path: Path
    digest: str
    """SHA-256 of the Parquet file, hex."""
    is_new: bool


def archive_segments(installation: Installation, *, run_id: str, now: datetime | None = None) -> list[Archived]:
    """Copy every whole month that ended AUDIT_RETENTION_DAYS ago or earlier, unless its archive is there and unchanged.

    A copy is accepted only after it was read back from disk and every hash in it was computed again.

    Raises:
        TamperedError: when a segment's rows do not form a chain; no archive of that segment is left behind.
    """
    horizon = (now or datetime.now(UTC)) - timedelta(days=installation.settings.audit_retention_days)
    with exclusive(installation.database, "archived_segments"):
        with installation.database.connection("audit_pipeline") as conn:
            due = list(_due(conn, horizon))
        return [_archive(installation, segment, run_id) for segment in due]


def ensure_partitions(installation: Installation, *, months: int = 3, now: datetime | None = None) -> int:
    """Make the ledger's monthly partitions from this month to `months` ahead; return how many were missing."""
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(
            query("derive/ensure_partitions"), {"now": now or datetime.now(UTC), "months": months}
        ).fetchone()
    return int(row[0]) if row else 0


def _due(conn: Connection, horizon: datetime) -> Iterator[Segment]:
    for tenant_id, next_seq in conn.execute(query("lake/select_heads")).fetchall():
        moment = recorded_at(conn, tenant_id, 0)
        start, first = _month(moment), 0
        while (end := _month(start + timedelta(days=32))) <= horizon and first < next_seq:
            until = first_seq_at(conn, tenant_id, end, first, next_seq)
            if until > first:
                yield Segment(tenant_id, f"{start:%Y-%m}", first, until - 1)
            start, first = end, until


def _month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _archive(installation: Installation, segment: Segment, run_id: str) -> Archived:
    folder = installation.settings.storage_dir / "archives" / str(segment.tenant_id)
    path, manifest_path = folder / f"{segment.month}.parquet", folder / f"{segment.month}.manifest.json"
    if manifest_path.exists() and path.exists():
        said = json.loads(manifest_path.read_text())
        if said["last_seq"] == segment.last_seq and said["sha256"] == lineage.file_digest(path).hex():
            return Archived(segment, path, said["sha256"], is_new=False)
    with replacing(path) as staging:
        _write(installation, segment, staging)
        first_prev, last_row = _check(segment, staging)
        digest = lineage.file_digest(staging)
        manifest: dict[str, Any] = {
            "format": 1,
            "tenant_id": str(segment.tenant_id),
            "month": segment.month,
            "first_seq": segment.first_seq,
            "last_seq": segment.last_seq,
            "rows": segment.last_seq - segment.first_seq + 1,
            "prev_hash_of_first": first_prev,
            "row_hash_of_last": last_row,
            "file": path.name,
            "sha256": digest.hex(),
        }
        source = lineage.ledger_input(segment.first_seq, segment.last_seq, last_row)
        key = str(path.relative_to(installation.settings.storage_dir))
        with installation.database.connection("audit_pipeline") as conn:
            output = lineage.Output(segment.tenant_id, "archived_segments", key, digest, (source,))
            lineage.record(conn, [output], run_id=run_id)
    with replacing(manifest_path) as staging:
        staging.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return Archived(segment, path, digest.hex(), is_new=True)


def _write(installation: Installation, segment: Segment, path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that importing the asset graph need not pay
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = _schema()
    bounds = {"tenant_id": segment.tenant_id, "first_seq": segment.first_seq, "last_seq": segment.last_seq}
    with (
        installation.database.connection("audit_pipeline") as conn,
        conn.cursor(name="archive") as cursor,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        cursor.execute(query("derive/read_segment"), bounds, binary=True)
        while rows := cursor.fetchmany(_FETCH):
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _check(segment: Segment, path: Path) -> tuple[str, str]:
    """Read the file back, compute every hash again and return the boundary hashes (hex)."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    expected, first_prev, head = segment.first_seq, b"", b""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_FETCH):
            for row in batch.to_pylist():
                if expected == segment.first_seq:
                    first_prev = head = row["prev_hash"]
                moment = chain.microseconds(row["recorded_at"])
                leaf = chain.leaf(segment.tenant_id, row["seq"], moment, hashlib.sha256(row["entry"]).digest())
                computed = chain.row_hash(head, chain.leaf_hash(leaf))
                if row["seq"] != expected or row["prev_hash"] != head or row["row_hash"] != computed:
                    raise TamperedError(
                        f"tenant {segment.tenant_id}: the archive of {segment.month} breaks at seq {row['seq']} "
                        f"(expected seq {expected} after {head.hex()[:16]}…); run `audit-pipelines verify`"
                    )
                head, expected = computed, expected + 1
    if expected != segment.last_seq + 1:
        raise TamperedError(
            f"tenant {segment.tenant_id}: the archive of {segment.month} ends at seq {expected - 1}, expected "
            f"{segment.last_seq}; run `audit-pipelines verify`"
        )
    return first_prev.hex(), head.hex()


def _schema() -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415

    fields = {
        "seq": pa.int64(),
        "recorded_at": pa.timestamp("us", tz="UTC"),
        "event_id": pa.string(),
        "entry": pa.binary(),
        "prev_hash": pa.binary(),
        "row_hash": pa.binary(),
    }
    return pa.schema(list(fields.items()))
