"""Doing one anomaly again from its sources: the model by its digest, the events by `seq` out of the ledger.

Nothing is read from the lake: whoever changed a file there, or a row of `audit_anomalies`, is found out. The whole past
of the tenant is read and hashed anew, up to the last event that the score could depend on, wherever it lies.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import polars as pl
from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import business
from audit_pipelines.derive.anomalies import explained
from audit_pipelines.derive.models import digests
from audit_pipelines.derive.scoring import detector
from audit_pipelines.errors import AuditError, ConfigurationError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.detectors import hour_before, score
from audit_pipelines.intelligence.features import compute_features
from audit_pipelines.lake.archived import archived_table
from audit_pipelines.lake.datasets import parquet_schema
from audit_pipelines.lake.redaction import redacted_table
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of, refuse_deleted, released
from audit_pipelines.ledger.segment import Row, read_rows

_FETCH: Final = 5_000


class NotCheckableError(AuditError):
    """Something that computing an anomaly again takes is not there."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What computing an anomaly again came to."""

    anomaly_id: UUID
    tenant_id: UUID
    seq: int
    model_id: str
    model_digest: str
    events: int
    """Rows of the ledger that were hashed again."""
    score: float
    severity: str
    reasons: tuple[str, ...]
    differences: tuple[str, ...]
    """In words, what is not as it was recorded; none where all is the same."""

    @property
    def same(self) -> bool:
        """Whether score, severity, meaning, reasons and compared events are what was recorded."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Recorded:
    """The row of `audit_anomalies`."""

    tenant_id: UUID
    anomaly_id: UUID
    seq: int
    row_hash: str
    score: float
    severity: str
    meaning: str
    reasons: list[dict[str, Any]]
    compared_with: list[dict[str, Any]]
    model_id: str
    code_version: str


def recompute(installation: Installation, anomaly_id: UUID) -> Recomputed:
    """Compute an anomaly again and compare.

    Raises:
        NotCheckableError: for an unknown anomaly, a model or archive that is not there, or one computed by other code.
        TamperedError: when the model's file is not the one that was recorded.
        DeletedArchiveError: when some of the events were deleted by approval.
    """
    with installation.database.connection("audit_pipeline") as conn:
        with conn.cursor(row_factory=class_row(_Recorded)) as cursor:
            known = cursor.execute(query("derive/select_anomaly"), {"anomaly_id": anomaly_id}).fetchone()
        if known is None:
            raise NotCheckableError("expected an anomaly of this installation, got none of this id")
        digest = digests(conn, known.tenant_id, [known.model_id]).get(known.model_id)
        if digest is None:
            raise NotCheckableError(f"expected the model {known.model_id} in the register, found none")
    try:
        model = detector(installation, digest)
    except ConfigurationError as error:
        raise NotCheckableError(str(error)) from error
    faults: list[str] = []
    events = _ledger_events(installation, known.tenant_id, faults)
    target = events.filter(pl.col("seq") == known.seq)
    if target.is_empty():
        return _result(known, digest, events.height, (*faults, f"the ledger has no event at seq {known.seq}"))
    if (found := target["row_hash"].item()) != known.row_hash:
        faults.append(f"row_hash of seq {known.seq}: recorded {known.row_hash}, the ledger has {found}")
    moment = target["occurred_at"].item()
    past = business(events).filter(
        (pl.col("occurred_at") < moment) | ((pl.col("occurred_at") == moment) & (pl.col("seq") <= known.seq))
    )
    if past.filter(pl.col("seq") == known.seq).is_empty():
        return _result(known, digest, events.height, (*faults, "the event is an access, which nothing scores"))
    features = compute_features(past)
    since = hour_before(features, features.height - 1)
    last = score(model, features.slice(since), lead=features.height - 1 - since)
    scored = features.tail(1).with_columns(score=pl.Series(last), model_id=pl.lit(known.model_id))
    own = pl.col("actor_ref").eq_missing(pl.lit(target["actor_ref"].item(), dtype=pl.String))
    now = explained(scored, lambda _: model, past.filter(own)).row(0, named=True)
    faults += _differences(known, now, dict(events.select("seq", "row_hash").iter_rows()))
    if faults and known.code_version != lineage.code_version():
        raise NotCheckableError(
            f"it was computed by {known.code_version} and this is {lineage.code_version()}, which finds otherwise "
            f"({'; '.join(faults)}): check it with the version it was computed by"
        )
    return _result(known, digest, events.height, tuple(faults), now)


def _result(
    known: _Recorded, digest: str, events: int, faults: tuple[str, ...], now: dict[str, Any] | None = None
) -> Recomputed:
    reasons = [one["text"] for one in json.loads(now["reasons"])] if now else []
    return Recomputed(
        anomaly_id=known.anomaly_id,
        tenant_id=known.tenant_id,
        seq=known.seq,
        model_id=known.model_id,
        model_digest=digest,
        events=events,
        score=now["score"] if now else 0.0,
        severity=now["severity"] if now else "",
        reasons=tuple(reasons),
        differences=faults,
    )


def _differences(known: _Recorded, now: dict[str, Any], hashes: dict[int, str]) -> Iterator[str]:
    for name in ("score", "severity", "meaning"):
        if (was := getattr(known, name)) != now[name]:
            yield f"{name}: recorded {was!r}, computed {now[name]!r}"
    for name in ("reasons", "compared_with"):
        if (was := getattr(known, name)) != (computed := json.loads(now[name])):
            yield f"{name}: recorded {_told(was)}, computed {_told(computed)}"
    for one in known.compared_with:
        if hashes.get(one["seq"]) != one["row_hash"]:
            yield f"compared with seq {one['seq']}: recorded {one['row_hash']}, the ledger has {hashes.get(one['seq'])}"


def _told(items: list[dict[str, Any]]) -> str:
    return "; ".join(str(one.get("text") or f"{one.get('part')} {one.get('seq')}") for one in items) or "none"


def _ledger_events(installation: Installation, tenant_id: UUID, faults: list[str]) -> pl.DataFrame:
    """Read a tenant's events as the lake keeps them, each row hashed again and linked to the one before."""
    link, at, frames = chain.genesis(tenant_id), 0, []
    with installation.database.connection("audit_pipeline") as conn:
        erased = [ref for (ref,) in conn.execute(query("lake/select_erased"), {"tenant_id": tenant_id}).fetchall()]
        # No month changes places meanwhile, from the database to the archive.
        conn.execute(query("ledger/lock_partitions"))
        folder = ArchiveFolder(installation.database.archives_dir)
        for rows in _rows(conn, folder, tenant_id):
            for row in rows:
                if row.seq != at:
                    faults.append(f"the ledger lacks seq {at} to {row.seq - 1}")
                elif not _continues(tenant_id, row, link):
                    faults.append(f"the ledger's row at seq {row.seq} does not have its hashes")
                link, at = row.row_hash, row.seq + 1
            table = archived_table(tenant_id, rows, parquet_schema())
            frames.append(pl.DataFrame(redacted_table(table, erased) if erased else table))
    if not frames:
        raise NotCheckableError(f"expected events of tenant {tenant_id} in the ledger, found none")
    return pl.concat(frames)


def _continues(tenant_id: UUID, row: Row, link: bytes) -> bool:
    digest = chain.entry_hash(row.entry)
    leaf = chain.leaf(tenant_id, row.seq, row.recorded_at_us, digest)
    hashed = chain.row_hash(row.prev_hash, chain.leaf_hash(leaf))
    return (digest, row.prev_hash, hashed) == (row.entry_hash, link, row.row_hash)


def _rows(conn: Connection, folder: ArchiveFolder, tenant_id: UUID) -> Iterator[list[Row]]:
    """Yield the rows of a tenant in order, those in the archive alone from there."""
    at = 0
    for archive in released(archives_of(conn, tenant_id)):
        yield from _stored(conn, tenant_id, at, archive.first_seq)
        yield from _archived(folder, archive)
        at = archive.last_seq + 1
    yield from _stored(conn, tenant_id, at, None)


def _archived(folder: ArchiveFolder, archive: Archive) -> Iterator[list[Row]]:
    refuse_deleted([archive])
    path = folder.segment(archive.tenant_id, archive.month)
    if not path.exists():
        raise NotCheckableError(
            f"expected the archive of {archive.month} (seq {archive.first_seq} to {archive.last_seq}) at {path}, found "
            "none; restore it"
        )
    yield from read_rows(path, archive.first_seq, archive.last_seq)


def _stored(conn: Connection, tenant_id: UUID, first: int, end: int | None) -> Iterator[list[Row]]:
    with conn.cursor(name=f"rows_{first}") as cursor:
        cursor.itersize = _FETCH
        bounds = {"tenant_id": tenant_id, "first_seq": first, "end_seq": end}
        cursor.execute(query("derive/select_ledger_rows"), bounds, binary=True)
        while rows := cursor.fetchmany(_FETCH):
            yield [
                Row(seq, chain.microseconds(recorded_at), event_id, *hashes)
                for seq, recorded_at, event_id, *hashes in rows
            ]
