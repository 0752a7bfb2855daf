"""Months in the archive under verification: one chain across database and archive, in the order of its rows.

Belongs here: opening manifests, reading segments, joining them to what the database holds around them, and what is kept
of archived rows in the database (ids, links, days). A month that was deleted by approval is stepped over by its signed
manifest; one that is just not there is a finding. Rows in the database are `verify_parts.py`'s.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of, is_server_made, released
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Frontier
from audit_pipelines.ledger.segment import Manifest, Row, SegmentWalk, join, open_manifest, read_rows
from audit_pipelines.ledger.verify_access import ArchivedAccesses
from audit_pipelines.ledger.verify_parts import OnRows, Walked, Walkers
from audit_pipelines.ledger.verify_rows import Mark, Start

APPROVAL_EVENT: Final = "audit.archive.deletion_approved"
DELETION_EVENT: Final = "audit.archive.deleted"
ARCHIVE_ENTITY: Final = "audit_archive"
_APPROVALS_NEEDED: Final = 2
_LEAST: Final = -(1 << 63)
_CHUNK: Final = 256
_ZEROS: Final = bytes(16)


class _Said(msgspec.Struct):
    event_id: str = ""
    event_type: str = ""
    entity_type: str = ""
    entity_id: str = ""
    actor_ref: str | None = None


_decode: Final = msgspec.json.Decoder(_Said).decode


@dataclass(frozen=True, slots=True)
class Deletion:
    """A month that was deleted as two persons approved, by their references."""

    month: str
    first_seq: int
    last_seq: int
    deleted_at: datetime
    approvers: tuple[UUID, ...]

    def sentence(self, names: dict[UUID, str] | None = None) -> str:
        """Say so in words; by name where `names` has one."""
        who = " and ".join((names or {}).get(ref, str(ref)) for ref in self.approvers)
        return (
            f"{self.month} (seq {self.first_seq} to {self.last_seq}) was deleted on {self.deleted_at:%Y-%m-%d} by "
            f"approval of {who}"
        )


@dataclass(frozen=True, slots=True)
class WalkedLedger:
    """What walking a tenant's whole chain came to."""

    walked: Walked
    """`rows` counts those that were stepped over too."""
    archived: int
    """Rows read from the archive."""
    unread: int
    """Rows that were stepped over: deleted, or in a segment that cannot be read."""
    gaps: tuple[tuple[int, int], ...]
    deletions: tuple[Deletion, ...]
    warnings: tuple[str, ...]

    def is_unread(self, size: int) -> bool:
        """Return whether the tree of the first `size` rows ends among rows that were stepped over."""
        return any(first < size <= last for first, last in self.gaps)


@dataclass(frozen=True)
class ArchiveReading:
    """One tenant's archive as verification reads it, over a connection that sees the tenant."""

    conn: Connection
    tenant_id: UUID
    folder: ArchiveFolder
    verifier_keys: Sequence[VerifierKey]

    @cached_property
    def all(self) -> list[Archive]:
        """All that the register has."""
        return archives_of(self.conn, self.tenant_id)

    @property
    def released(self) -> list[Archive]:
        """Those whose rows are in the archive alone."""
        return released(self.all)

    @cached_property
    def approvals(self) -> list[tuple[str, UUID, int]]:
        """Who approved the deletion of which month, and the seq that says so."""
        rows = self.conn.execute(query("ledger/select_archive_approvals"), {"tenant_id": self.tenant_id})
        return [(month, ref, seq) for month, ref, seq, _ in rows]


def walk_ledger(
    archive: ArchiveReading,
    helping: Walkers,
    start: Start,
    sizes: Sequence[int],
    *,
    last_seq: int,
    on_rows: OnRows | None,
) -> WalkedLedger:
    """Walk a tenant's chain from `start` to its end, through database and archive.

    Raises:
        AuditError, DatabaseUnavailableError: as `Walkers.walk`.
    """
    way = _Way(archive, helping, start, sorted(sizes), last_seq, on_rows)
    for one in archive.all:
        if not one.released_at:
            # Its rows are still in the database; with --since, what lies before the start was not asked for.
            way.warnings += _unreleased_faults(archive, one) if one.last_seq >= start.first_seq else ()
        elif one.last_seq >= way.position.first_seq:
            way.through_database(one.first_seq)
            way.through_archive(one)
    way.through_database(None)
    return way.result()


@dataclass
class _Way:
    """Where a walk through database and archive has come to, and what it came to so far."""

    archive: ArchiveReading
    helping: Walkers
    position: Start
    sizes: Sequence[int]
    last_seq: int
    on_rows: OnRows | None
    warnings: list[str] = field(default_factory=list)
    _rows: int = 0
    _archived: int = 0
    _is_sound: bool = True
    _marks: list[Mark] = field(default_factory=list)
    _gaps: list[tuple[int, int]] = field(default_factory=list)
    _deletions: list[Deletion] = field(default_factory=list)
    _recorded_at_us: int | None = None

    def __post_init__(self) -> None:
        self.findings = Findings(self.archive.tenant_id)

    def through_database(self, end_seq: int | None) -> None:
        """Walk the rows in the database from here to before `end_seq`, or all that follow."""
        if end_seq is not None and end_seq <= self.position.first_seq:
            return
        wanted = [size for size in self.sizes if self._lies_ahead(size) and (end_seq is None or size <= end_seq)]
        end = {} if end_seq is None else {"end_seq": end_seq}
        walked = self.helping.walk(
            self.archive.conn,
            self.archive.tenant_id,
            self.position,
            wanted,
            last_seq=self.last_seq,
            on_rows=self.on_rows,
            **end,
        )
        self.findings.extend(walked.findings)
        if end_seq is not None and walked.next_seq != end_seq:
            self.findings.add(end_seq, "sequence", f"rows are missing: the row before seq {end_seq} is not there")
        self._took(walked.rows, walked.recorded_at_us, walked.marks)
        self._set_position(walked.next_seq if end_seq is None else end_seq, walked.head, walked.frontier)

    def through_archive(self, one: Archive) -> None:
        """Walk a month in the archive; step over it where it was deleted or cannot be read."""
        self._refuse_rows_of(one)
        manifest = self._manifest(one)
        if one.deleted_at:
            self._deletions.append(self._deletion(one))
            self._step_over(one, manifest)
            return
        path = self.archive.folder.segment(self.archive.tenant_id, one.month)
        fault = _file_fault(path, one.file_bytes, one.file_sha256)
        place = f"the segment of {one.month} (seq {one.first_seq} to {one.last_seq})"
        if not path.exists():
            self.findings.add(one.first_seq, "archive", f"{place} is missing: {path.name}")
            self._step_over(one, manifest)
            return
        if fault:
            self.findings.add(one.first_seq, "archive", f"{place} {fault}")
        start = self.position
        walk = SegmentWalk(self.archive.tenant_id, self.findings, start, self._sizes_in(one))
        whole = start.first_seq == one.first_seq
        kept = _KeptIds(self.archive, one, self.findings) if whole else None
        accesses = ArchivedAccesses(
            self.archive.conn, self.archive.tenant_id, start.first_seq, one.last_seq, self.findings
        )
        try:
            for rows in read_rows(path, 0 if whole else start.first_seq):
                walk.take(rows)
                accesses.take(rows)
                if kept:
                    kept.take(rows, checked=fault is None)
                if self.on_rows:
                    self.on_rows(len(rows))
        except TamperedError as error:
            self.findings.add(walk.next_seq, "archive", f"{place} cannot be read from seq {walk.next_seq} on: {error}")
            self._step_over(one, manifest)
            return
        accesses.finish()
        if kept:
            kept.finish()
        if walk.next_seq != one.last_seq + 1:
            what = f"{place} ends at seq {walk.next_seq - 1}"
            self.findings.add(walk.next_seq, "archive", what)
        elif walk.head != one.last_row_hash:
            self.findings.add(one.last_seq, "archive", f"{place} does not end in the hash that the register has")
        self._archived += walk.rows
        self._took(walk.rows, walk.recorded_at_us, walk.marks)
        self._set_position(one.last_seq + 1, walk.head, walk.frontier)

    def result(self) -> WalkedLedger:
        """Return what the way came to."""
        return WalkedLedger(
            Walked(
                self._rows,
                self.position.first_seq,
                self.position.head,
                self._recorded_at_us,
                self.position.frontier,
                tuple(self._marks),
                self.findings.all(),
            ),
            self._archived,
            sum(last - first + 1 for first, last in self._gaps),
            tuple(self._gaps),
            tuple(self._deletions),
            tuple(self.warnings),
        )

    def _lies_ahead(self, size: int) -> bool:
        # A tree that ends where this stretch begins was remembered by the one before, but for the very first.
        return size > self.position.first_seq or (
            size == self.position.first_seq and not self._marks and not self._rows
        )

    def _sizes_in(self, one: Archive) -> list[int]:
        return [size for size in self.sizes if self._lies_ahead(size) and size <= one.last_seq + 1]

    def _took(self, rows: int, recorded_at_us: int | None, marks: Iterable[Mark]) -> None:
        self._rows += rows
        if recorded_at_us is not None:
            self._recorded_at_us = recorded_at_us
        if self._is_sound:
            self._marks += marks

    def _set_position(self, next_seq: int, head: bytes, frontier: Frontier) -> None:
        self._is_sound = self._is_sound and frontier.size == next_seq
        self.position = Start(next_seq, head, self._recorded_at_us, frontier if self._is_sound else Frontier())

    def _step_over(self, one: Archive, manifest: Manifest | None) -> None:
        start = self.position
        frontier, head = Frontier(), one.last_row_hash
        recorded_at_us = None
        if manifest:
            head, recorded_at_us = manifest.last_row_hash, manifest.last_recorded_at_us
            if start.first_seq == one.first_seq and self._is_sound and start.head == manifest.first_prev_hash:
                try:
                    frontier = join(start.frontier, manifest.subtrees)
                except (TamperedError, ValidationError) as error:
                    self.findings.add(one.first_seq, "archive", f"the manifest of {one.month}: {error}")
        if start.first_seq == one.first_seq and start.head != one.first_prev_hash:
            what = f"the archive of {one.month} begins after another row than the one before it"
            self.findings.add(one.first_seq, "link", what)
        self._gaps.append((start.first_seq, one.last_seq))
        end = one.last_seq + 1
        marks = [Mark(end, frontier, head)] if end in self.sizes and frontier.size == end else []
        self._took(end - start.first_seq, recorded_at_us, marks)
        self._set_position(end, head, frontier)

    def _refuse_rows_of(self, one: Archive) -> None:
        """Report rows in the database that are in the archive alone: nobody reads them as what they claim to be."""
        first_seq = _LEAST if not self.position.first_seq and not self._rows else one.first_seq
        bounds = {"tenant_id": self.archive.tenant_id, "first_seq": first_seq, "last_seq": one.last_seq}
        for (seq,) in self.archive.conn.execute(query("ledger/select_rows_between"), bounds):
            self.findings.add(
                seq, "sequence", f"a row lies in the database, though {one.month} is in the archive alone"
            )

    def _manifest(self, one: Archive) -> Manifest | None:
        """Return the manifest if the register's copy is signed and fits the register; report what is wrong with it."""
        try:
            manifest = open_manifest(one.manifest, self.archive.verifier_keys)
        except TamperedError as error:
            self.findings.add(one.first_seq, "archive", f"the register's manifest of {one.month}: {error}")
            return None
        for what in _register_faults(manifest, one):
            self.findings.add(one.first_seq, "archive", what)
        path = self.archive.folder.manifest(self.archive.tenant_id, one.month)
        if fault := _manifest_fault(path, one.manifest):
            self.findings.add(one.first_seq, "archive", f"the manifest of {one.month}, {path.name}, {fault}")
        bounds = {"tenant_id": self.archive.tenant_id, "first_seq": one.first_seq, "last_seq": one.last_seq}
        kept = self.archive.conn.execute(query("ledger/select_kept_days"), bounds).fetchall()
        if kept != [(day.day, day.first_seq, day.last_seq) for day in manifest.days]:
            self.findings.add(one.first_seq, "archive", f"the days kept of {one.month} are not those of its manifest")
        return manifest

    def _deletion(self, one: Archive) -> Deletion:
        given = [(ref, seq) for month, ref, seq in self.archive.approvals if month == one.month]
        rows = self._rows_at([seq for _, seq in given])
        sound = [ref for ref, seq in given if _approves(rows.get(seq), one.month, ref)]
        if len(set(sound)) < _APPROVALS_NEEDED:
            what = f"{one.month} was deleted, and the ledger has the approval of {len(set(sound))} of two persons"
            self.findings.add(one.first_seq, "archive", what)
        refs = tuple(dict.fromkeys(ref for ref, _ in given))
        return Deletion(one.month, one.first_seq, one.last_seq, one.deleted_at or one.verified_at, refs)

    def _rows_at(self, seqs: list[int]) -> dict[int, bytes]:
        parameters = {"tenant_id": self.archive.tenant_id, "seqs": seqs}
        rows: dict[int, bytes] = dict(
            self.archive.conn.execute(query("ledger/select_approval_rows"), parameters, binary=True).fetchall()
        )
        for seq in set(seqs) - rows.keys():
            for one in self.archive.released:
                if one.first_seq <= seq <= one.last_seq and not one.deleted_at:
                    path = self.archive.folder.segment(self.archive.tenant_id, one.month)
                    try:
                        rows |= {row.seq: row.entry for found in read_rows(path, seq, seq) for row in found}
                    except TamperedError:
                        continue  # reported where that segment is read
        return rows


class _KeptIds:
    """Compares what the database keeps of a segment's ids with the segment, as its rows go by."""

    def __init__(self, archive: ArchiveReading, one: Archive, findings: Findings) -> None:
        bounds = {"tenant_id": archive.tenant_id, "first_seq": one.first_seq, "last_seq": one.last_seq}
        self._findings = findings
        self._month = one.month
        self._registered = _stream(archive.conn, f"ids_{one.first_seq}", "ledger/select_registered_ids", bounds)
        self._ahead: Any = next(self._registered, None)
        self._kept = _stream(archive.conn, f"kept_{one.first_seq}", "ledger/select_kept_ids", bounds)
        self._chunk: list[tuple[Row, bool]] = []

    def take(self, rows: Sequence[Row], *, checked: bool) -> None:
        """Compare the next rows; where the file is not `checked` by its digest, also the column event_id."""
        for row in rows:
            chosen = False
            while self._ahead is not None and self._ahead[0] <= row.seq:
                seq, event_id, at = self._ahead
                if (seq, event_id, at) == (row.seq, row.event_id, row.recorded_at_us):
                    chosen = True
                else:
                    what = f"{event_id!r}: the id is registered for a row that has another id in the archive"
                    self._findings.add(seq, "event_id", what)
                self._ahead = next(self._registered, None)
            if not chosen and not is_server_made(row.event_id):
                what = f"{row.event_id!r}: the id is one that a client chose, and the register does not have it"
                self._findings.add(row.seq, "event_id", what)
            if not checked and _said(row.entry).event_id != row.event_id:
                self._findings.add(row.seq, "column", "the archive: column event_id differs from the hashed entry")
            if self._chunk and row.seq // _CHUNK != self._chunk[0][0].seq // _CHUNK:
                self._check_chunk()
            self._chunk.append((row, chosen))

    def finish(self) -> None:
        """Compare what is left."""
        self._check_chunk()
        for seq, event_id, _ in [self._ahead, *self._registered] if self._ahead else self._registered:
            what = f"{event_id!r}: the id is registered for a row that is not in the archive"
            self._findings.add(seq, "event_id", what)
        for first_seq, *_ in self._kept:
            self._findings.add(first_seq, "archive", f"ids are kept of {self._month} that its rows do not have")

    def _check_chunk(self) -> None:
        if not self._chunk:
            return
        rows = [row for row, _ in self._chunk]
        made = [row.event_id if not chosen and is_server_made(row.event_id) else "" for row, chosen in self._chunk]
        named = sorted(filter(None, made))
        links = None
        if any(chosen for _, chosen in self._chunk):
            links = rows[0].prev_hash + b"".join(row.entry_hash + row.row_hash for row in rows)
        expected = (
            rows[0].seq,
            rows[-1].seq,
            named[0] if named else None,
            named[-1] if named else None,
            b"".join(UUID(each).bytes if each else _ZEROS for each in made),
            links,
        )
        if next(self._kept, None) != expected:
            what = f"the ids and links kept of seq {rows[0].seq} to {rows[-1].seq} are not those of the archive"
            self._findings.add(rows[0].seq, "archive", what)
        self._chunk.clear()


def _stream(conn: Connection, name: str, which: str, bounds: dict[str, Any]) -> Iterator[Any]:
    with conn.cursor(name=name) as cursor:
        cursor.itersize = 5_000
        cursor.execute(query(which), bounds, binary=True)
        yield from cursor


def _said(entry: bytes) -> _Said:
    try:
        return _decode(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said()


def _approves(entry: bytes | None, month: str, ref: UUID) -> bool:
    said = _said(entry or b"")
    return (said.event_type, said.entity_type, said.entity_id, said.actor_ref) == (
        APPROVAL_EVENT,
        ARCHIVE_ENTITY,
        month,
        str(ref),
    )


def _register_faults(manifest: Manifest, one: Archive) -> Iterator[str]:
    said = (
        manifest.tenant_id,
        manifest.month,
        manifest.first_seq,
        manifest.last_seq,
        manifest.first_prev_hash,
        manifest.last_row_hash,
        manifest.file_bytes,
        manifest.file_sha256,
    )
    registered = (
        one.tenant_id,
        one.month,
        one.first_seq,
        one.last_seq,
        one.first_prev_hash,
        one.last_row_hash,
        one.file_bytes,
        one.file_sha256.hex(),
    )
    if said != registered:
        yield f"the register says something else of {one.month} than its signed manifest"


def _manifest_fault(path: Path, note: str) -> str | None:
    try:
        content = path.read_bytes()
    except OSError:
        return "is missing"
    return None if content == note.encode() else "is not the one that was signed for this month"


def _file_fault(path: Path, size: int, digest: bytes) -> str | None:
    try:
        if path.stat().st_size != size:
            return f"has {path.stat().st_size} bytes, the manifest says {size}"
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").digest() == digest
    except OSError:
        return "is missing"
    return None if same else "has another SHA-256 than its manifest says"


def file_faults(folder: ArchiveFolder, one: Archive) -> list[str]:
    """Return what is wrong with the two files of an archive, by their bytes alone: cheap, and enough to notice loss."""
    faults = []
    if fault := _manifest_fault(folder.manifest(one.tenant_id, one.month), one.manifest):
        faults.append(f"the manifest of {one.month} {fault}")
    path = folder.segment(one.tenant_id, one.month)
    if not one.deleted_at and (fault := _file_fault(path, one.file_bytes, one.file_sha256)):
        faults.append(f"the segment of {one.month} {fault}")
    return faults


def _unreleased_faults(archive: ArchiveReading, one: Archive) -> list[str]:
    return [
        f"{fault}; its rows are still in the database, and retention_job makes it anew"
        for fault in file_faults(archive.folder, one)
    ]
