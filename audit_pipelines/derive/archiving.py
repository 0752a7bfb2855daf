"""Months older than the retention: into the archive, and then out of the database.

A month's rows are written per tenant as a segment with a signed manifest, read back from disk and recomputed, held
against the rows and the checkpoint that covers them, and registered. Only a month of which all of that is true for
every tenant is dropped, by the database's own function, which checks it again. Each step can be cut off: the next run
repeats what is not registered and drops what is. Deleting archives is `archive_deletion.py`'s.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.errors import TamperedError
from audit_pipelines.files import replacing
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of
from audit_pipelines.ledger.checkpoint import Checkpoint, open_note
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.keys import sync_directory
from audit_pipelines.ledger.merkle import Frontier
from audit_pipelines.ledger.segment import (
    Day,
    Manifest,
    SegmentWalk,
    SubtreeBuilder,
    join,
    open_manifest,
    read_rows,
    with_file,
    write_rows,
)
from audit_pipelines.ledger.verify_archives import file_faults
from audit_pipelines.ledger.verify_rows import Start, Walk, check_columns
from audit_pipelines.ledger.verify_rows import read_rows as read_stored_rows

# Rows have up to a megabyte each.
_FETCH: Final = 500
# Appends wait behind the lock that drops a partition, so it is given up soon and tried again.
_LOCK_TIMEOUT_MS: Final = 1_000
_LOCK_ATTEMPTS: Final = 5
_LOCK_PAUSE_S: Final = 1.0
_REFUSED: Final = frozenset({"AU002", "AU010", "AU011", "AU012"})

STEPS: Final = (
    "segment written",
    "segment read back",
    "segment in place",
    "manifest in place",
    "registered",
    "ids kept",
    "releasing",
    "released",
    "deletion recorded",
    "segment deleted",
    "lake purged",
)
"""Where a run can be cut off; `OnStep` is told each when it is done."""

OnStep = Callable[[str], None]


def ignore(step: str) -> None:
    """Do nothing about a step."""
    del step


@dataclass(frozen=True, slots=True)
class Segment:
    """One tenant's month in the ledger: the rows `first_seq` to `last_seq`."""

    tenant_id: UUID
    month: str
    """Year and month of recorded_at, UTC, as in 2026-11."""
    first_seq: int
    last_seq: int
    occurred_from: str = ""
    occurred_to: str = ""


@dataclass(frozen=True, slots=True)
class Archived:
    """A segment in the archive."""

    segment: Segment
    path: Path
    digest: str
    """SHA-256 of the Parquet file, hex."""
    is_new: bool


@dataclass(frozen=True, slots=True)
class Released:
    """A month that left the database, and what it took there."""

    month: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A month that is older than the retention and still in the database, and why."""

    month: str
    why: str
    tenant_id: UUID | None = None
    """Whose rows it is about, where it is about one tenant's: no reason of one tenant is shown to another."""

    def told_to(self, tenant_id: UUID) -> str:
        """Return the reason as a tenant may read it."""
        if self.tenant_id in {None, tenant_id}:
            return self.why
        return "it waits for rows of another tenant in the same month"


@dataclass(slots=True)
class Retention:
    """What a run did."""

    archived: list[Archived] = field(default_factory=list)
    released: list[Released] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Months whose rows, or archives, are not what was signed."""


def retain(
    installation: Installation, *, run_id: str, now: datetime | None = None, on_step: OnStep = ignore
) -> Retention:
    """Archive what is older than AUDIT_RETENTION_DAYS, and drop from the database what has lain archived long enough.

    Raises:
        TamperedError: after everything else was done, naming each month whose rows are not what was signed.
    """
    moment = now or datetime.now(UTC)
    done = Retention()
    with exclusive(installation.database, "archived_segments"):
        months = _due_months(installation, moment)
        for month, _ in months:
            _archive_month(installation, month, run_id, done, on_step)
        for month, size in months:
            if waiting := _reason_to_wait(installation, month, moment):
                done.waiting.append(waiting)
            else:
                _release(installation, month, size, done, on_step)
    if done.refused:
        raise TamperedError("; ".join(done.refused))
    return done


def archive_segments(
    installation: Installation, *, run_id: str, now: datetime | None = None, on_step: OnStep = ignore
) -> list[Archived]:
    """Copy every whole month that ended AUDIT_RETENTION_DAYS ago or earlier, unless its archive is there and unchanged.

    A copy is accepted only after it was read back from disk and every hash in it was computed again. Drops nothing.

    Raises:
        TamperedError: when a segment's rows do not form a chain; no archive of that segment is left behind.
    """
    done = Retention()
    with exclusive(installation.database, "archived_segments"):
        for month, _ in _due_months(installation, now or datetime.now(UTC)):
            _archive_month(installation, month, run_id, done, on_step)
    if done.refused:
        raise TamperedError("; ".join(done.refused))
    return done.archived


def waiting_months(installation: Installation, *, now: datetime | None = None) -> list[Waiting]:
    """Return which months are older than the retention and still in the database, and why, without doing anything."""
    moment = now or datetime.now(UTC)
    return [
        _reason_to_wait(installation, month, moment) or Waiting(month, "the next run of retention_job drops it")
        for month, _ in _due_months(installation, moment)
    ]


def ensure_partitions(installation: Installation, *, months: int = 3, now: datetime | None = None) -> int:
    """Make the ledger's monthly partitions from this month to `months` ahead; return how many were missing."""
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(
            query("derive/ensure_partitions"), {"now": now or datetime.now(UTC), "months": months}
        ).fetchone()
    return int(row[0]) if row else 0


def folder_of(installation: Installation) -> ArchiveFolder:
    """Return where the installation's archives lie."""
    return ArchiveFolder(installation.database.archives_dir)


def month_start(month: str) -> datetime:
    """Return the beginning of a month."""
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def month_end(month: str) -> datetime:
    """Return the end of a month, which is the beginning of the next."""
    return (month_start(month) + timedelta(days=32)).replace(day=1)


def _due_months(installation: Installation, now: datetime) -> list[tuple[str, int]]:
    """Return the months in the database that ended before the retention begins, and their sizes, oldest first."""
    horizon = now - timedelta(days=installation.settings.audit_retention_days)
    with installation.database.connection("audit_pipeline") as conn:
        partitions = conn.execute(query("derive/select_partitions")).fetchall()
    return [(month, size) for month, size in partitions if month_end(month) <= horizon]


def _segments(conn: Connection, month: str) -> list[Segment]:
    bounds = {"since": month_start(month), "until": month_end(month)}
    segments = []
    for tenant_id, count, first_seq, last_seq, since, until in conn.execute(query("derive/select_month"), bounds):
        if count != last_seq - first_seq + 1:
            raise TamperedError(
                f"tenant {tenant_id}: {month} has {count} rows from seq {first_seq} to {last_seq}; "
                "run `audit-pipelines verify`"
            )
        segments.append(Segment(tenant_id, month, first_seq, last_seq, since, until))
    return segments


# Into the archive


def _archive_month(installation: Installation, month: str, run_id: str, done: Retention, on_step: OnStep) -> None:
    try:
        with installation.database.connection("audit_pipeline") as conn:
            segments = _segments(conn, month)
    except TamperedError as error:
        done.refused.append(str(error))
        return
    for segment in segments:
        try:
            done.archived.append(_archive(installation, segment, run_id, on_step))
        except TamperedError as error:
            # One tenant's trouble must not keep the others' rows from the archive.
            done.refused.append(str(error))


def _archive(installation: Installation, segment: Segment, run_id: str, on_step: OnStep) -> Archived:
    folder = folder_of(installation)
    path = folder.segment(segment.tenant_id, segment.month)
    with installation.database.connection("audit_pipeline") as conn:
        known = archives_of(conn, segment.tenant_id)
    for one in known:
        if one.month == segment.month:
            if one.released_at:
                raise TamperedError(
                    f"tenant {segment.tenant_id}: {segment.month} left the database before, and there are rows of it; "
                    "run `audit-pipelines verify`"
                )
            if _is_same(one, segment) and not file_faults(folder, one):
                return Archived(segment, path, one.file_sha256.hex(), is_new=False)
    checkpoint, note = _covering(installation, segment)
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn(path)
    with installation.database.connection("audit_pipeline") as conn, replacing(path) as staging:
        start = _start(installation, segment, known)
        _check_stored(conn, segment, start, checkpoint)
        write_rows(staging, _stored(conn, segment))
        _to_disk(staging)
        on_step("segment written")
        manifest = _read_back(installation, segment, staging, start, note)
        on_step("segment read back")
    on_step("segment in place")
    signed = manifest.sign(installation.keyring.signer)
    with replacing(folder.manifest(segment.tenant_id, segment.month)) as staging:
        staging.write_text(signed, encoding="utf-8")
    sync_directory(path.parent)
    sync_directory(path.parent.parent)
    on_step("manifest in place")
    _register(installation, manifest, signed, checkpoint.size, run_id)
    on_step("registered")
    return Archived(segment, path, manifest.file_sha256, is_new=True)


def _is_same(one: Archive, segment: Segment) -> bool:
    return (one.first_seq, one.last_seq) == (segment.first_seq, segment.last_seq)


def _covering(installation: Installation, segment: Segment) -> tuple[Checkpoint, str]:
    """Return the oldest checkpoint over the segment; where there is none yet, one is signed."""
    wanted = {"tenant_id": segment.tenant_id, "seq": segment.last_seq}
    for attempt in range(2):
        with installation.database.connection("audit_pipeline") as conn:
            row = conn.execute(query("derive/select_first_covering"), wanted).fetchone()
        if row:
            return open_note(row[1], installation.verifier_keys), row[1]
        if attempt == 0:
            installation.seal(segment.tenant_id)
    raise TamperedError(
        f"tenant {segment.tenant_id}: no checkpoint covers {segment.month}, and none could be signed; "
        "run `audit-pipelines verify`"
    )


def _start(installation: Installation, segment: Segment, known: Sequence[Archive]) -> Start:
    """Return what the row before the segment left behind, from the manifest of the month before."""
    if segment.first_seq == 0:
        return Start(0, chain.genesis(segment.tenant_id))
    before = next((one for one in known if one.last_seq == segment.first_seq - 1), None)
    if before is None:
        raise TamperedError(
            f"tenant {segment.tenant_id}: the rows before {segment.month} are not in the archive; it comes after them"
        )
    manifest = open_manifest(before.manifest, installation.verifier_keys)
    return Start(segment.first_seq, manifest.last_row_hash, manifest.last_recorded_at_us, manifest.after())


def _check_stored(conn: Connection, segment: Segment, start: Start, checkpoint: Checkpoint) -> None:
    """Recompute the rows in the database, columns included, up to the covering checkpoint, which they must lead to."""
    findings = Findings(segment.tenant_id)
    walk = Walk(segment.tenant_id, findings, start, [checkpoint.size])
    rows = read_stored_rows(conn, segment.tenant_id, segment.first_seq, checkpoint.size)
    while walk.take(rows):
        pass
    check_columns(conn, segment.tenant_id, [seq for seq in walk.suspects if seq <= segment.last_seq], findings)
    # What is wrong with later rows is another month's trouble, as long as they lead to the checkpoint.
    if found := [one for one in findings.all() if one.seq is None or one.seq <= segment.last_seq]:
        raise TamperedError(f"{found[0]}; {segment.month} was not archived: run `audit-pipelines verify`")
    marks = [(mark.frontier.root(), mark.head) for mark in walk.marks]
    if marks != [(checkpoint.root, checkpoint.chain_head)]:
        raise TamperedError(
            f"tenant {segment.tenant_id}: the rows up to {segment.month} are not those that the checkpoint over "
            f"{checkpoint.size} events signs; it was not archived: run `audit-pipelines verify`"
        )


def _stored(conn: Connection, segment: Segment) -> Iterator[Sequence[Any]]:
    bounds = {"tenant_id": segment.tenant_id, "first_seq": segment.first_seq, "last_seq": segment.last_seq}
    with conn.cursor(name="archive") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query("derive/read_segment"), bounds, binary=True)
        yield from cursor


def _to_disk(path: Path) -> None:
    """Force a file to disk and out of memory, so that reading it back reads what is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _read_back(installation: Installation, segment: Segment, path: Path, start: Start, note: str) -> Manifest:
    """Recompute every hash in the file, and return its manifest; it must end as the rows in the database do."""
    findings = Findings(segment.tenant_id)
    walk = SegmentWalk(segment.tenant_id, findings, start, [])
    subtrees = SubtreeBuilder(segment.first_seq)
    days: dict[str, list[int]] = {}
    first_at = 0
    for rows in read_rows(path):
        first_at = first_at or rows[0].recorded_at_us
        subtrees.extend(walk.take(rows))
        for row in rows:
            days.setdefault(_day(row.recorded_at_us), [row.seq, row.seq])[1] = row.seq
    with installation.database.connection("audit_pipeline") as conn:
        end = {"tenant_id": segment.tenant_id, "seqs": [segment.last_seq]}
        last = conn.execute(query("ledger/select_rows_before"), end).fetchone()
    whole = join(start.frontier, subtrees.subtrees()) == walk.frontier
    if findings.all() or walk.next_seq != segment.last_seq + 1 or not last or last[1] != walk.head or not whole:
        what = str(findings.all()[0]) if findings.all() else f"it ends at seq {walk.next_seq - 1}"
        raise TamperedError(f"tenant {segment.tenant_id}: the archive of {segment.month} was read back wrong: {what}")
    manifest = Manifest(
        tenant_id=segment.tenant_id,
        month=segment.month,
        first_seq=segment.first_seq,
        last_seq=segment.last_seq,
        first_prev_hash=start.head,
        last_row_hash=walk.head,
        first_recorded_at_us=first_at,
        last_recorded_at_us=walk.recorded_at_us or 0,
        occurred_from=segment.occurred_from,
        occurred_to=segment.occurred_to,
        days=tuple(Day(day, first, last) for day, (first, last) in days.items()),
        before=start.frontier if segment.first_seq else Frontier(),
        subtrees=subtrees.subtrees(),
        checkpoint=note,
        file=f"{segment.month}.parquet",
        file_bytes=0,
        file_sha256="",
    )
    return with_file(manifest, path.stat().st_size, lineage.file_digest(path))


def _day(recorded_at_us: int) -> str:
    return (_EPOCH + timedelta(days=recorded_at_us // _DAY_US)).strftime("%Y-%m-%d")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US: Final = 86_400_000_000


def _register(installation: Installation, manifest: Manifest, note: str, checkpoint_size: int, run_id: str) -> None:
    row = {
        "tenant_id": manifest.tenant_id,
        "month": manifest.month,
        "first_seq": manifest.first_seq,
        "last_seq": manifest.last_seq,
        "first_prev_hash": manifest.first_prev_hash,
        "last_row_hash": manifest.last_row_hash,
        "occurred_from": manifest.occurred_from,
        "occurred_to": manifest.occurred_to,
        "file_sha256": bytes.fromhex(manifest.file_sha256),
        "file_bytes": manifest.file_bytes,
        "manifest": note,
        "checkpoint_size": checkpoint_size,
    }
    source = lineage.ledger_input(manifest.first_seq, manifest.last_seq, manifest.last_row_hash.hex())
    key = f"archives/{manifest.tenant_id}/{manifest.month}.parquet"
    digest = bytes.fromhex(manifest.file_sha256)
    output = lineage.Output(manifest.tenant_id, "archived_segments", key, digest, (source,))
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("derive/upsert_archive"), row)
        lineage.record(conn, [output], run_id=run_id)


def _drop_torn(path: Path) -> None:
    """Delete what a run that was cut off left of the segment: half a file under a name of its own."""
    for torn in path.parent.glob(f".{path.stem}.*"):
        if re.fullmatch(rf"\.{re.escape(path.stem)}\.(parquet|manifest)\..+", torn.name):
            torn.unlink()


# Out of the database


def _reason_to_wait(installation: Installation, month: str, now: datetime) -> Waiting | None:
    """Return why a month cannot be dropped yet; None if nothing stands against it."""
    if not installation.settings.audit_auto_archive:
        return Waiting(month, "AUDIT_AUTO_ARCHIVE is false: nothing leaves the database")
    with installation.database.connection("audit_pipeline") as conn:
        try:
            segments = _segments(conn, month)
        except TamperedError as error:
            return Waiting(month, str(error))
        for segment in segments:
            if why := _reason_of(installation, conn, segment, now):
                return Waiting(month, f"tenant {segment.tenant_id}: {why}", segment.tenant_id)
    return None


def _reason_of(installation: Installation, conn: Connection, segment: Segment, now: datetime) -> str | None:
    known = {one.month: one for one in archives_of(conn, segment.tenant_id)}
    one = known.get(segment.month)
    if one is None or not _is_same(one, segment):
        return "its rows are not archived yet"
    if faults := file_faults(folder_of(installation), one):
        return faults[0]
    since = min(month_start(segment.month), one.occurred_from)
    span = {"tenant_id": segment.tenant_id, "since": since, "until": max(month_end(segment.month), one.occurred_to)}
    held = conn.execute(query("derive/select_archive_hold"), span).fetchone()
    if held and held[0]:
        return f"a legal hold covers its rows: {held[0]}"
    grace = installation.settings.audit_archive_grace_days
    free_at = one.verified_at + timedelta(days=grace)
    if grace and free_at > now:
        return f"archived on {one.verified_at:%Y-%m-%d}; AUDIT_ARCHIVE_GRACE_DAYS end on {free_at:%Y-%m-%d}"
    return None


def _release(installation: Installation, month: str, size: int, done: Retention, on_step: OnStep) -> None:
    with installation.database.connection("audit_pipeline") as conn:
        tenants = [segment.tenant_id for segment in _segments(conn, month)]
    try:
        for tenant_id in tenants:
            with installation.database.connection("audit_custodian") as conn:
                conn.execute(query("derive/keep_ids"), {"tenant_id": tenant_id, "month": month})
        on_step("ids kept")
        # Whoever brings days into the lake reads a month here or from its archive, and must not see it change places.
        with exclusive(installation.database, "raw_events"):
            rows = _drop(installation, month, on_step)
    except psycopg.DatabaseError as error:
        if error.sqlstate not in _REFUSED:
            raise
        done.waiting.append(Waiting(month, f"{error.diag.message_primary}: {error.diag.message_detail or 'refused'}"))
        return
    if rows is None:
        done.waiting.append(Waiting(month, "the ledger was being read all the time; the next run tries again"))
        return
    on_step("released")
    done.released.append(Released(month, rows, size))


def _drop(installation: Installation, month: str, on_step: OnStep) -> int | None:
    """Drop a month and return how many rows it had; None if the ledger could not be had for it."""
    limits = {"month": month, "lock_timeout_ms": _LOCK_TIMEOUT_MS}
    for attempt in range(_LOCK_ATTEMPTS):
        if attempt:
            time.sleep(_LOCK_PAUSE_S)
        with installation.database.connection("audit_custodian") as conn:
            try:
                row = conn.execute(query("derive/release_partition"), limits).fetchone()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                conn.rollback()
                continue
            on_step("releasing")
        return int(row[0]) if row else 0
    return None
