"""Rows under verification: hash every row again and hold it against its neighbours, its columns and the checkpoints.

Belongs here: one pass along a tenant's chain, and what it says where something differs. No stored hash is believed; the
entry's bytes are hashed in this process. Checkpoints, head, register and anchors are opened in `verify.py`.

Columns are compared as text: Postgres writes them out as the beginning and the end of the entry they belong to, so a
row costs two comparisons of bytes. Rows where that does not fit are decoded and compared column by column.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.entry import FORMAT_VERSION
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.merkle import Frontier

_BATCH: Final = 5_000
# A row of binary COPY: the number of fields, then each field behind its length. The first six have one length each:
# seq, recorded_at, entry_hash, prev_hash, row_hash, and how many of the four optional columns have a value. Then the
# entry, and the two texts made of the columns.
_FIXED: Final = struct.Struct(">hiqiqi32si32si32sihi")
_LAYOUT: Final = (9, 8, 8, 32, 32, 32, 2)
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = b"\xff\xff"
_YEAR_2000_US: Final = 946_684_800_000_000
"""Where Postgres counts its microseconds from."""
_UINT64: Final = (1 << 64) - 1
# The end of an entry, `,"entity_id":"…", … ,"v":1}`, has ten keys and five values that are never null.
_QUOTES: Final = 30
_EMPTY: Final = Frontier()


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as its bytes say it."""

    v: int
    event_id: str
    occurred_at: str
    actor_ref: str | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: str | None
    user_agent: str | None
    details: msgspec.Raw


_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder(order="sorted").encode
_COLUMNS: Final = tuple(name for name in _Entry.__struct_fields__ if name not in {"v", "details"})


def read_rows(conn: Connection, tenant_id: UUID, first_seq: int, end_seq: int) -> Iterator[bytes]:
    """Yield a tenant's rows from `first_seq` to before `end_seq`, in chain order, as `Walk.take` wants them.

    COPY and not a cursor: a row of sixteen Python objects costs as much as all of its hashes.
    """
    parameters = {"tenant_id": tenant_id, "first_seq": first_seq, "end_seq": end_seq}
    with conn.cursor().copy(query("ledger/select_rows_to_verify"), parameters) as copy:
        blocks = map(bytes, copy)
        first = next(blocks).removeprefix(_COPY_HEADER)
        yield from filter(_COPY_END.__ne__, [first])
        yield from filter(_COPY_END.__ne__, blocks)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a pass begins: in front of `first_seq`, and what the row before it left behind."""

    first_seq: int
    head: bytes
    recorded_at_us: int | None = None
    """When the row before was recorded, in microseconds since 1970; None if that is not to be compared."""
    frontier: Frontier = _EMPTY
    """The edge of the tree over all rows before; empty where the pass makes a tree of its own."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a pass knew when the ledger had `size` rows."""

    size: int
    frontier: Frontier
    head: bytes


class Walk:
    """One pass along a part of a tenant's chain, in order; remembers the tree at every one of `sizes`.

    `sizes` count from the tenant's first row and lie at or behind the start.
    """

    def __init__(self, tenant_id: UUID, findings: Findings, start: Start, sizes: Iterable[int]) -> None:
        self.first_seq = self.next_seq = start.first_seq
        self.head = start.head
        self.rows = 0
        self.recorded_at_us = start.recorded_at_us
        """When the last row was recorded, in microseconds since 1970."""
        self.suspects = array("q")
        """Rows whose columns could not be compared as text: `check_columns` looks at them."""
        self.marks: list[Mark] = []
        self.frontier = start.frontier
        self._leaf_start = b"\x00" + tenant_id.bytes
        self._findings = findings
        self._sizes = sorted(set(sizes), reverse=True)
        self._mark()

    def take(self, rows: Iterator[bytes]) -> int:
        """Check the next few thousand of `rows`; return how many there were, 0 at the end."""
        # A batch ends where a checkpoint does, so that the loop need not know about checkpoints.
        limit = min(_BATCH, self._sizes[-1] - self._size) if self._sizes else _BATCH
        leaves = self._check_rows(islice(rows, limit))
        self.rows += len(leaves)
        self.frontier = self.frontier.append(leaves)
        self._mark()
        return len(leaves)

    @property
    def _size(self) -> int:
        return self.first_seq + self.rows

    def _mark(self) -> None:
        if self._sizes and self._sizes[-1] == self._size:
            self.marks.append(Mark(self._sizes.pop(), self.frontier, self.head))

    def _check_rows(self, rows: Iterable[bytes]) -> list[bytes]:
        """Check rows against each other and their columns; return their leaf hashes, recomputed.

        Names are local and functions of `chain` written out: this loop is what verifying costs. A test holds the two
        against each other.
        """
        a = b = c = d = e = f = size = 0
        unpack, place, fixed_size = _FIXED.unpack_from, struct.Struct(">qQ").pack, _FIXED.size
        leaf_start, suspects = self._leaf_start, self.suspects
        head, next_seq, last_at = self.head, self.next_seq, self.recorded_at_us
        seqs: list[int] = []
        leaves: list[bytes] = []
        details: list[bytes] = []
        for row in rows:
            try:
                fields, a, seq, b, at, c, entry_hash, d, prev_hash, e, row_hash, f, values, size = unpack(row)
            except struct.error:
                fields = size = -1
            if size < 0 or (fields, a, b, c, d, e, f) != _LAYOUT:
                self._findings.add(next_seq, "column", "a column is null or has another length than the ledger's")
                leaves.append(bytes(32))
                next_seq += 1
                continue
            entry_end = fixed_size + size
            start_at = entry_end + 4
            start_end = start_at + int.from_bytes(row[entry_end:start_at])
            entry, start, end = row[fixed_size:entry_end], row[start_at:start_end], row[start_end + 4 :]
            at += _YEAR_2000_US
            content_hash = sha256(entry).digest()
            leaf_hash = sha256(leaf_start + place(seq, at & _UINT64) + content_hash).digest()
            if not (
                prev_hash == head
                and sha256(b"\x02" + prev_hash + leaf_hash).digest() == row_hash
                and content_hash == entry_hash
                and seq == next_seq
                and (last_at is None or at >= last_at)
            ):
                self.head, self.next_seq, self.recorded_at_us = head, next_seq, last_at
                self._report_row(seq, at, (entry_hash, prev_hash, row_hash), content_hash, leaf_hash)
            if (
                entry.startswith(start)
                and entry.endswith(end)
                # No value has a quote or backslash of its own, so every quote delimits, and nothing passes for another.
                and end.count(b'"') == _QUOTES + 2 * values
                and b"\\" not in end
            ):
                seqs.append(seq)
                details.append(entry[len(start) : -len(end)])
            else:
                suspects.append(seq)
            leaves.append(leaf_hash)
            head, next_seq, last_at = row_hash, seq + 1, at
        if not _are_values(details):
            suspects.extend(seqs)
        self.head, self.next_seq, self.recorded_at_us = head, next_seq, last_at
        return leaves

    def _report_row(
        self, seq: int, at: int, stored: tuple[bytes, bytes, bytes], content_hash: bytes, leaf_hash: bytes
    ) -> None:
        """Say in words what does not fit, of a row that follows on `head`, `next_seq` and `recorded_at_us`."""
        entry_hash, prev_hash, row_hash = stored
        add = self._findings.add
        if seq != self.next_seq:
            why = "rows are missing" if seq > self.next_seq else "a copy"
            add(seq, "sequence", f"expected seq {self.next_seq}, got {seq}: {why}")
        if self.recorded_at_us is not None and at < self.recorded_at_us:
            add(seq, "order", f"recorded_at lies {self.recorded_at_us - at} µs before that of the row before")
        if prev_hash != self.head:
            add(seq, "link", f"prev_hash is {prev_hash.hex()[:16]}…, the row before has {self.head.hex()[:16]}…")
        if content_hash != entry_hash:
            add(seq, "content", f"entry hashes to {content_hash.hex()[:16]}…, stored is {entry_hash.hex()[:16]}…")
        if (expected := chain.row_hash(prev_hash, leaf_hash)) != row_hash:
            add(seq, "link", f"row_hash should be {expected.hex()[:16]}…, stored is {row_hash.hex()[:16]}…")


def check_columns(conn: Connection, tenant_id: UUID, suspects: Sequence[int], findings: Findings) -> None:
    """Compare rows column by column, for values that JSON writes with escapes and for those that really differ."""
    for start in range(0, len(suspects), _BATCH):
        parameters = {"tenant_id": tenant_id, "seqs": list(suspects[start : start + _BATCH])}
        for seq, entry, *columns in conn.execute(query("ledger/select_columns_to_verify"), parameters):
            for what in _column_faults(entry, columns):
                findings.add(seq, "column", what)


def _are_values(details: Sequence[bytes]) -> bool:
    """Return whether each is one JSON value and no more: `null,"v":2` would be a second key of the entry."""
    try:
        values = _decode_values(b"[" + b",".join(details) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return list(map(bytes, values)) == details


def _column_faults(entry: bytes | None, columns: Sequence[str | None]) -> Iterator[str]:
    try:
        said = _decode_entry(entry or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        yield f"the entry is not one of format {FORMAT_VERSION}: {error}"
        return
    for name, column in zip(_COLUMNS, columns, strict=True):
        if (expected := getattr(said, name)) != column:
            yield f"column {name} is {_short(column)}, the hashed entry says {_short(expected)}"
    if _encode(said) != entry or said.v != FORMAT_VERSION:
        yield f"the entry is not spelt as format {FORMAT_VERSION} has it"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"
