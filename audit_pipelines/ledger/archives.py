"""Which months are in the archive, and reading the ledger across database and archive.

Belongs here: the register `audit_archives` as Python sees it, where the files lie, single archived rows, and leaves for
proofs and tiles from wherever they are. What the files hold, `segment.py` says; writing and dropping is
`derive/archiving.py`'s, verifying `verify_archives.py`'s.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.segment import ROW_GROUP_ROWS, Row, Subtree, open_manifest, read_batches, read_rows

_FETCH: Final = 5_000
_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_NO_LEAF: Final = bytes(32)


class DeletedArchiveError(AuditError):
    """What was asked for was in an archive that was deleted, as two persons approved."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One tenant's month in the archive, as the register has it."""

    tenant_id: UUID
    month: str
    """Year and month of recorded_at, UTC, as in 2026-11."""
    first_seq: int
    last_seq: int
    first_prev_hash: bytes
    last_row_hash: bytes
    occurred_from: datetime
    occurred_to: datetime
    file_sha256: bytes
    file_bytes: int
    manifest: str
    """The signed note."""
    checkpoint_size: int
    verified_at: datetime
    released_at: datetime | None
    """When the rows left the database."""
    due_at: datetime | None
    deleted_at: datetime | None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.last_seq - self.first_seq + 1


@dataclass(frozen=True, slots=True)
class ArchiveFolder:
    """Where segments and manifests lie: `<tenant>/<month>.parquet` and `<tenant>/<month>.manifest`."""

    root: Path

    def segment(self, tenant_id: UUID, month: str) -> Path:
        """Return the path of a segment."""
        return self.root / str(tenant_id) / f"{month}.parquet"

    def manifest(self, tenant_id: UUID, month: str) -> Path:
        """Return the path of a manifest."""
        return self.root / str(tenant_id) / f"{month}.manifest"


def archives_of(conn: Connection, tenant_id: UUID) -> list[Archive]:
    """Return what is archived of a tenant, in the order of the chain; `conn` must see the tenant."""
    rows = conn.execute(query("ledger/select_archives"), {"tenant_id": tenant_id}).fetchall()
    return [Archive(*row) for row in rows]


def released(archives: Iterable[Archive]) -> list[Archive]:
    """Return those whose rows are in the archive alone."""
    return [archive for archive in archives if archive.released_at]


def multirange(archives: Iterable[Archive]) -> str:
    """Return the seqs of some archives in Postgres's words."""
    return "{" + ",".join(f"[{archive.first_seq},{archive.last_seq}]" for archive in archives) + "}"


def is_server_made(event_id: str) -> bool:
    """Return whether an id has the form of those that the server makes."""
    return _UUID7.fullmatch(event_id) is not None


def archived_rows(conn: Connection, folder: ArchiveFolder, tenant_id: UUID, event_ids: Sequence[str]) -> list[Row]:
    """Return archived rows by event id, in order of seq; ids that are not archived are left out.

    `conn` sees the tenant alone.

    Raises:
        DeletedArchiveError: when one of them was deleted with its archive.
        TamperedError: when a segment is missing or does not hold what it should.
    """
    places = _places(conn, event_ids)
    if not places:
        return []
    archives = {archive.month: archive for archive in archives_of(conn, tenant_id)}
    found = []
    for event_id, seq, month in places:
        archive = archives[month]
        refuse_deleted([archive])
        row = next((row for rows in read_rows(folder.segment(tenant_id, month), seq, seq) for row in rows), None)
        if row is None or row.event_id != event_id:
            raise TamperedError(
                f"tenant {tenant_id}: the archive of {month} does not hold seq {seq} as it should; "
                "run `audit-pipelines verify`"
            )
        found.append(row)
    return found


def archived_seqs(conn: Connection, event_ids: Sequence[str]) -> dict[str, int]:
    """Return where events lie that are in the archive alone or were deleted from it; `conn` sees one tenant."""
    return {event_id: seq for event_id, seq, _ in _places(conn, event_ids)}


def archived_rows_at(
    conn: Connection, folder: ArchiveFolder, tenant_id: UUID, seqs: Iterable[int]
) -> dict[int, Row | DeletedArchiveError | TamperedError]:
    """Return archived rows by seq, and why where one cannot be had; what is not in the archive alone is left out.

    Rows that lie together are read together. `conn` sees the tenant.
    """
    wanted = sorted(set(seqs))
    found: dict[int, Row | DeletedArchiveError | TamperedError] = {}
    for archive in released(archives_of(conn, tenant_id)) if wanted else []:
        theirs = [seq for seq in wanted if archive.first_seq <= seq <= archive.last_seq]
        try:
            refuse_deleted([archive])
            for _, together in groupby(theirs, key=lambda seq: seq // ROW_GROUP_ROWS):
                some = frozenset(together)
                for rows in read_rows(folder.segment(tenant_id, archive.month), min(some), max(some)):
                    found.update((row.seq, row) for row in rows if row.seq in some)
        except (DeletedArchiveError, TamperedError) as error:
            found.update((seq, error) for seq in theirs if seq not in found)
        for seq in theirs:
            found.setdefault(seq, TamperedError(f"the archive of {archive.month} does not hold seq {seq}"))
    return found


def _places(conn: Connection, event_ids: Sequence[str]) -> list[tuple[str, int, str]]:
    wanted = {"event_ids": list(event_ids), "made_ids": [each for each in event_ids if is_server_made(each)]}
    return conn.execute(query("ledger/select_archived_places"), wanted).fetchall()


def refuse_deleted(archives: Iterable[Archive]) -> None:
    """Raise `DeletedArchiveError` if any of them was deleted."""
    for archive in archives:
        if archive.deleted_at:
            raise DeletedArchiveError(
                f"the events of {archive.month} (seq {archive.first_seq} to {archive.last_seq}) were deleted on "
                f"{archive.deleted_at:%Y-%m-%d}, as two persons approved"
            )


def leaves(
    conn: Connection, folder: ArchiveFolder, tenant_id: UUID, first_seq: int, size: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yield `(seq, recorded_at_us, entry_hash)` of the rows from `first_seq` to before `size`, wherever they are.

    `conn` sees the tenant alone, and in this transaction no month is dropped.

    Raises:
        DeletedArchiveError: when some were deleted with their archive.
        TamperedError: when a segment is missing or cut.
    """
    at = first_seq
    for archive in released(archives_of(conn, tenant_id)):
        if archive.last_seq < at or archive.first_seq >= size:
            continue
        refuse_deleted([archive])
        yield from _stored_leaves(conn, at, min(archive.first_seq, size))
        at = max(at, archive.first_seq)
        end = min(archive.last_seq + 1, size)
        yield from _segment_leaves(folder.segment(tenant_id, archive.month), at, end - 1)
        at = end
    yield from _stored_leaves(conn, at, size)


def leaf_hashes(
    conn: Connection,
    folder: ArchiveFolder,
    tenant_id: UUID,
    size: int,
    *,
    seqs: Iterable[int],
    sizes: Iterable[int],
    verifier_keys: Sequence[VerifierKey],
) -> tuple[list[bytes], list[Subtree]]:
    """Return what a tree over the first `size` rows is built of: leaf hashes, and subtrees of leaves left unread.

    Archives that hold none of the rows `seqs`, and within which none of the trees of `sizes` ends, are not read: their
    manifests have the subtrees that proofs about other rows need.

    Raises:
        DeletedArchiveError: when a touched archive was deleted.
        TamperedError: when a manifest is not validly signed, a segment is missing, or rows are.
    """
    hashes: list[bytes] = []
    subtrees: list[Subtree] = []
    wanted, ends = set(seqs), set(sizes)
    for archive in released(archives_of(conn, tenant_id)):
        if archive.first_seq >= size:
            break
        hashes += _hashed(tenant_id, _stored_leaves(conn, len(hashes), archive.first_seq), len(hashes))
        if any(archive.first_seq <= seq <= archive.last_seq for seq in wanted) or any(
            archive.first_seq < end <= archive.last_seq for end in ends
        ):
            refuse_deleted([archive])
            path = folder.segment(tenant_id, archive.month)
            hashes += _hashed(tenant_id, _segment_leaves(path, archive.first_seq, archive.last_seq), len(hashes))
        else:
            subtrees += open_manifest(archive.manifest, verifier_keys).subtrees
            hashes += [_NO_LEAF] * archive.rows
    hashes += _hashed(tenant_id, _stored_leaves(conn, len(hashes), size), len(hashes))
    return hashes[:size], subtrees


def _hashed(tenant_id: UUID, rows: Iterable[tuple[int, int, bytes]], first_seq: int) -> list[bytes]:
    hashes = []
    for expected, (seq, recorded_at_us, entry_hash) in enumerate(rows, first_seq):
        if seq != expected:
            raise TamperedError(
                f"tenant {tenant_id}: expected the row with seq {expected}, got {seq}; run `audit-pipelines verify`"
            )
        hashes.append(chain.leaf_hash(chain.leaf(tenant_id, seq, recorded_at_us, entry_hash)))
    return hashes


def _stored_leaves(conn: Connection, first_seq: int, end_seq: int) -> Iterator[tuple[int, int, bytes]]:
    if first_seq >= end_seq:
        return
    with conn.cursor(name=f"leaves_{first_seq}") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query("ledger/select_leaves_from"), {"first": first_seq, "size": end_seq}, binary=True)
        for seq, recorded_at, entry_hash in cursor:
            yield seq, chain.microseconds(recorded_at), entry_hash


def _segment_leaves(path: Path, first_seq: int, last_seq: int) -> Iterator[tuple[int, int, bytes]]:
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that most commands need not pay

    for batch in read_batches(path, ("seq", "recorded_at", "entry_hash"), first_seq, last_seq):
        seqs, moments, hashes = batch.columns
        rows = zip(seqs.to_pylist(), moments.cast(pa.int64()).to_pylist(), hashes.to_pylist(), strict=True)
        yield from (row for row in rows if first_seq <= row[0] <= last_seq)
