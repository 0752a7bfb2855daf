"""One tenant's month outside the database: a Parquet file with the hashed bytes, and a signed manifest.

Belongs here: what the two files hold, writing and reading them, and walking a segment's rows. Nothing here knows the
database: whoever has the two files and the verifier key can check them, with this module or from
docs/ledger_format.md. Which archives there are, `archives.py` says.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.checkpoint import open_text, sign_text
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.keys import Signer, VerifierKey
from audit_pipelines.ledger.merkle import Frontier, node_hash
from audit_pipelines.ledger.verify_rows import Mark, Start

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT: Final = 2
HEADING: Final = f"audit_pipelines/segment/{FORMAT}"
"""The first line of a manifest: its signature can so not pass for that of a checkpoint."""
ROW_GROUP_ROWS: Final = 16_384
ROW_GROUP_BYTES: Final = 32 * 1024 * 1024
_BATCH: Final = 4_096
_HASH: Final = 32


class Row(NamedTuple):
    """One row of a segment; `recorded_at_us` in microseconds since 1970."""

    seq: int
    recorded_at_us: int
    event_id: str
    entry: bytes
    entry_hash: bytes
    prev_hash: bytes
    row_hash: bytes


@dataclass(frozen=True, slots=True)
class Subtree:
    """The root of a complete subtree of the tenant's tree: over 2^level leaves from `first` on, a multiple of it."""

    first: int
    level: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Day:
    """The rows that were recorded on one UTC day, as in 2026-01-31."""

    day: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is said of a segment, and stays when the segment is deleted: hashes, numbers and times, nothing personal."""

    tenant_id: UUID
    month: str
    first_seq: int
    last_seq: int
    first_prev_hash: bytes
    last_row_hash: bytes
    first_recorded_at_us: int
    last_recorded_at_us: int
    occurred_from: str
    occurred_to: str
    days: tuple[Day, ...]
    before: Frontier
    """The edge of the tree over all rows before the segment."""
    subtrees: tuple[Subtree, ...]
    """The fewest complete subtrees that make up the segment, left to right: what proofs about other rows need."""
    checkpoint: str
    """The note of the oldest checkpoint over the segment."""
    file: str
    file_bytes: int
    file_sha256: str

    @property
    def rows(self) -> int:
        """How many rows the segment has."""
        return self.last_seq - self.first_seq + 1

    def after(self) -> Frontier:
        """Return the edge of the tree over all rows up to the segment's last."""
        return join(self.before, self.subtrees)

    def text(self) -> str:
        """Return the text that is signed."""
        said = {
            "format": FORMAT,
            "tenant_id": str(self.tenant_id),
            "month": self.month,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "rows": self.rows,
            "first_prev_hash": self.first_prev_hash.hex(),
            "last_row_hash": self.last_row_hash.hex(),
            "first_recorded_at_us": self.first_recorded_at_us,
            "last_recorded_at_us": self.last_recorded_at_us,
            "occurred_from": self.occurred_from,
            "occurred_to": self.occurred_to,
            "days": [{"day": day.day, "first_seq": day.first_seq, "last_seq": day.last_seq} for day in self.days],
            "tree_before": self.before.to_bytes().hex(),
            "subtrees": [
                {"first": each.first, "level": each.level, "hash": each.digest.hex()} for each in self.subtrees
            ],
            "checkpoint": self.checkpoint,
            "file": self.file,
            "file_bytes": self.file_bytes,
            "sha256": self.file_sha256,
        }
        return f"{HEADING}\n{json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False)}\n"

    def sign(self, signer: Signer) -> str:
        """Return the manifest as a C2SP signed note."""
        return sign_text(self.text(), signer)


def open_manifest(note: str, verifier_keys: Iterable[VerifierKey]) -> Manifest:
    """Return the manifest in a signed note; raise `TamperedError` if no known key signed it, or it is none."""
    try:
        text = open_text(note, verifier_keys)
    except TamperedError as error:
        raise TamperedError(f"manifest: {str(error).removeprefix('checkpoint: ')}") from error
    try:
        manifest = _parse(json.loads(text.removeprefix(f"{HEADING}\n")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TamperedError(f"manifest: expected one of format {FORMAT}, got {text[:80]!r}…") from error
    if manifest.text() != text:
        raise TamperedError(f"manifest: expected it as format {FORMAT} spells it, got {text[:80]!r}…")
    return manifest


def _parse(said: Mapping[str, Any]) -> Manifest:
    return Manifest(
        tenant_id=UUID(said["tenant_id"]),
        month=said["month"],
        first_seq=said["first_seq"],
        last_seq=said["last_seq"],
        first_prev_hash=bytes.fromhex(said["first_prev_hash"]),
        last_row_hash=bytes.fromhex(said["last_row_hash"]),
        first_recorded_at_us=said["first_recorded_at_us"],
        last_recorded_at_us=said["last_recorded_at_us"],
        occurred_from=said["occurred_from"],
        occurred_to=said["occurred_to"],
        days=tuple(Day(day["day"], day["first_seq"], day["last_seq"]) for day in said["days"]),
        before=Frontier.from_bytes(bytes.fromhex(said["tree_before"])),
        subtrees=tuple(Subtree(each["first"], each["level"], bytes.fromhex(each["hash"])) for each in said["subtrees"]),
        checkpoint=said["checkpoint"],
        file=said["file"],
        file_bytes=said["file_bytes"],
        file_sha256=said["sha256"],
    )


class SubtreeBuilder:
    """Puts leaf hashes together into the fewest complete subtrees; a few dozen hashes in memory."""

    def __init__(self, first_seq: int) -> None:
        self._next = first_seq
        self._stack: list[Subtree] = []

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves, in order."""
        stack, place = self._stack, self._next
        for leaf_hash in leaf_hashes:
            first, level, digest = place, 0, leaf_hash
            while stack and stack[-1].level == level and not stack[-1].first % (2 << level):
                left = stack.pop()
                first, level, digest = left.first, level + 1, node_hash(left.digest, digest)
            stack.append(Subtree(first, level, digest))
            place += 1
        self._next = place

    def subtrees(self) -> tuple[Subtree, ...]:
        """Return the subtrees so far, left to right."""
        return tuple(self._stack)


def join(frontier: Frontier, subtrees: Iterable[Subtree]) -> Frontier:
    """Return the edge of a tree after further complete subtrees.

    Raises:
        TamperedError: when they do not lie where the tree ends.
    """
    for each in subtrees:
        if each.first != frontier.size or each.level > 62 or each.first % (1 << each.level):
            raise TamperedError(f"a subtree from {each.first} on does not continue a tree of {frontier.size} leaves")
        frontier = frontier.join(Frontier(1 << each.level, (each.digest,)))
    return frontier


# The Parquet file


def schema() -> "pa.Schema":
    """Return the columns of a segment."""
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that most commands need not pay

    fields = {
        "seq": pa.int64(),
        "recorded_at": pa.timestamp("us", tz="UTC"),
        "event_id": pa.string(),
        "entry": pa.binary(),
        "entry_hash": pa.binary(_HASH),
        "prev_hash": pa.binary(_HASH),
        "row_hash": pa.binary(_HASH),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields.items()])


def write_rows(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write a segment's rows, in the order of the columns; holds one row group in memory, 32 MiB of entries at most."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = schema()
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:

        def flush(group: list[Sequence[Any]]) -> None:
            arrays = [
                pa.array(values, field.type) for values, field in zip(zip(*group, strict=True), columns, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=columns))

        group: list[Sequence[Any]] = []
        held = 0
        for row in rows:
            group.append(row)
            held += len(row[3])
            if len(group) == ROW_GROUP_ROWS or held >= ROW_GROUP_BYTES:
                flush(group)
                group, held = [], 0
        if group:
            flush(group)


def read_rows(path: Path, first_seq: int = 0, last_seq: int | None = None) -> Iterator[list[Row]]:
    """Yield the rows of a segment from `first_seq` to `last_seq`, some thousands at a time; reads no other row groups.

    Raises:
        TamperedError: when the file is missing, cut, or no segment.
    """
    import pyarrow as pa  # noqa: PLC0415

    for batch in read_batches(path, schema().names, first_seq, last_seq):
        values = [
            (column.cast(pa.int64()) if name == "recorded_at" else column).to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        rows = [Row(*each) for each in zip(*values, strict=True)]
        if rows and (rows[0].seq < first_seq or (last_seq is not None and rows[-1].seq > last_seq)):
            rows = [row for row in rows if first_seq <= row.seq and (last_seq is None or row.seq <= last_seq)]
        if rows:
            yield rows


def read_batches(
    path: Path, columns: Sequence[str], first_seq: int = 0, last_seq: int | None = None
) -> Iterator["pa.RecordBatch"]:
    """Yield some columns of the row groups that may hold `first_seq` to `last_seq`; otherwise as `read_rows`."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow != schema():
                raise TamperedError(f"{path.name}: expected the columns of a segment, got {file.schema_arrow.names}")
            groups = list(_groups(file, first_seq, last_seq))
            if groups:
                yield from file.iter_batches(_BATCH, row_groups=groups, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise TamperedError(f"{path.name}: expected a whole segment, got: {str(error).splitlines()[0]}") from error


def _groups(file: Any, first_seq: int, last_seq: int | None) -> Iterator[int]:
    for place in range(file.num_row_groups):
        found = file.metadata.row_group(place).column(0).statistics
        unknown = found is None or not found.has_min_max
        if unknown or (found.max >= first_seq and (last_seq is None or found.min <= last_seq)):
            yield place


class SegmentWalk:
    """One pass along the rows of a segment: every hash computed again, as `verify_rows.Walk` does in the database.

    `sizes` are the sizes of the ledger at which the tree is remembered.
    """

    def __init__(self, tenant_id: UUID, findings: Findings, start: Start, sizes: Iterable[int]) -> None:
        self.head = start.head
        self.next_seq = self._first_seq = start.first_seq
        self.recorded_at_us = start.recorded_at_us
        self.frontier = start.frontier
        self.rows = 0
        self.marks: list[Mark] = []
        self._findings = findings
        self._leaf_start = b"\x00" + tenant_id.bytes
        self._sizes = sorted(set(sizes), reverse=True)
        self._mark()

    def take(self, rows: Sequence[Row]) -> list[bytes]:
        """Check the next rows; return their leaf hashes, recomputed."""
        leaves = []
        leaf_start, head, next_seq, last_at = self._leaf_start, self.head, self.next_seq, self.recorded_at_us
        for row in rows:
            seq, at, _, entry, entry_hash, prev_hash, row_hash = row
            content_hash = sha256(entry).digest()
            leaf_hash = sha256(
                leaf_start + (seq & _UINT64).to_bytes(8) + (at & _UINT64).to_bytes(8) + content_hash
            ).digest()
            if not (
                seq == next_seq
                and prev_hash == head
                and content_hash == entry_hash
                and sha256(b"\x02" + prev_hash + leaf_hash).digest() == row_hash
                and (last_at is None or at >= last_at)
            ):
                self._report(row, head, next_seq, last_at, leaf_hash)
            leaves.append(leaf_hash)
            head, next_seq, last_at = row_hash, seq + 1, at
        self.head, self.next_seq, self.recorded_at_us = head, next_seq, last_at
        self._grow(leaves)
        return leaves

    def _report(self, row: Row, head: bytes, next_seq: int, last_at: int | None, leaf_hash: bytes) -> None:
        add = self._findings.add
        if row.seq != next_seq:
            why = "rows are missing" if row.seq > next_seq else "a copy"
            add(row.seq, "sequence", f"the archive: expected seq {next_seq}, got {row.seq}: {why}")
        if last_at is not None and row.recorded_at_us < last_at:
            add(
                row.seq,
                "order",
                f"the archive: recorded_at lies {last_at - row.recorded_at_us} µs before the row before",
            )
        if row.prev_hash != head:
            what = f"prev_hash is {row.prev_hash.hex()[:16]}…, the row before has {head.hex()[:16]}…"
            add(row.seq, "link", f"the archive: {what}")
        if (got := chain.entry_hash(row.entry)) != row.entry_hash:
            what = f"entry hashes to {got.hex()[:16]}…, stored is {row.entry_hash.hex()[:16]}…"
            add(row.seq, "content", f"the archive: {what}")
        if (expected := chain.row_hash(row.prev_hash, leaf_hash)) != row.row_hash:
            what = f"row_hash should be {expected.hex()[:16]}…, stored is {row.row_hash.hex()[:16]}…"
            add(row.seq, "link", f"the archive: {what}")

    def _grow(self, leaves: list[bytes]) -> None:
        while leaves:
            size = self._first_seq + self.rows
            room = self._sizes[-1] - size if self._sizes else len(leaves)
            self.frontier = self.frontier.append(leaves[:room])
            self.rows += min(room, len(leaves))
            leaves = leaves[room:]
            self._mark()

    def _mark(self) -> None:
        if self._sizes and self._sizes[-1] == self._first_seq + self.rows:
            self.marks.append(Mark(self._sizes.pop(), self.frontier, self.head))


_UINT64: Final = (1 << 64) - 1


def with_file(manifest: Manifest, file_bytes: int, digest: bytes) -> Manifest:
    """Return the manifest with what is known of the file once it is written."""
    return replace(manifest, file_bytes=file_bytes, file_sha256=digest.hex())
