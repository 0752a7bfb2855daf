"""Verification: recompute everything and say where it differs.

Reads every row's bytes again; no stored hash is believed. What is compared: content, columns, links, sequence, head,
register of ids, checkpoints with their signatures, and the anchors outside the database, which alone show that a tail,
a whole tenant or the entire database was replaced by something older. It repairs nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.checkpoint import Checkpoint, FileAnchor, open_note
from audit_pipelines.ledger.entry import FORMAT_VERSION, format_moment
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Frontier

Kind = Literal["sequence", "content", "column", "link", "order", "head", "event_id", "checkpoint", "anchor"]
OnRows = Callable[[int], None]

_FETCH: Final = 5_000
# A destroyed ledger has as many findings as rows; the first ones tell all that a person can use.
_MOST_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between what is stored and what was vouched for."""

    tenant_id: UUID
    seq: int | None
    """The row concerned; None where the evidence does not point to one row."""
    kind: Kind
    what: str

    def __str__(self) -> str:
        place = f"seq {self.seq}" if self.seq is not None else "whole ledger"
        return f"tenant {self.tenant_id}, {place}: {self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying one tenant came to: rows and checkpoints read, the chain's end as recomputed, and the findings."""

    tenant_id: UUID
    events: int
    checkpoints: int
    last_seq: int | None
    head: bytes
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing differs."""
        return not self.findings


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as its bytes say it; the fields that have a column besides."""

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
_COLUMNS: Final = tuple(name for name in _Entry.__struct_fields__ if name not in {"v", "details"})


def tenants(conn: Connection) -> list[UUID]:
    """Return every tenant that the database knows anything of; `conn` must see all tenants."""
    return [row[0] for row in conn.execute(query("ledger/select_tenants"))]


def verify_all(
    database: Database,
    *,
    verifier_keys: Sequence[VerifierKey],
    anchor: FileAnchor,
    tenant_id: UUID | None = None,
    on_rows: OnRows | None = None,
) -> list[Verification]:
    """Verify one tenant or all, those included that are only left in the anchors.

    All of it is one snapshot, so events that arrive meanwhile never look like tampering.

    Raises:
        DatabaseUnavailableError: when it could not check.
    """
    # Anchors first: a checkpoint that is published after the snapshot was taken must not look like one that vanished.
    anchored = anchor.read_all()
    with database.connection("audit_pipeline") as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        chosen = [tenant_id] if tenant_id else sorted({*tenants(conn), *anchored})
        return [_verify(conn, tenant, verifier_keys, anchored.get(tenant, []), on_rows) for tenant in chosen]


def verify_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    verifier_keys: Sequence[VerifierKey],
    anchor: FileAnchor,
    on_rows: OnRows | None = None,
) -> Verification:
    """Verify one tenant over a connection that sees it; the caller answers for the snapshot."""
    return _verify(conn, tenant_id, verifier_keys, list(anchor.read(tenant_id).notes), on_rows)


def _verify(
    conn: Connection,
    tenant_id: UUID,
    verifier_keys: Sequence[VerifierKey],
    anchored: Sequence[str],
    on_rows: OnRows | None,
) -> Verification:
    findings = _Findings(tenant_id)
    stored = conn.execute(query("ledger/select_checkpoints"), {"tenant_id": tenant_id}).fetchall()
    vouched = _open_checkpoints(stored, anchored, verifier_keys, findings)
    walk = _Walk(tenant_id, findings, vouched)
    for rows in _batches(conn, tenant_id):
        walk.take(rows)
        if on_rows:
            on_rows(len(rows))
    walk.finish()
    head = conn.execute(query("ledger/select_head"), {"tenant_id": tenant_id}).fetchone()
    _check_head(head, walk, findings)
    for seq, event_id, what in conn.execute(query("ledger/select_event_id_faults"), {"tenant_id": tenant_id}):
        findings.add(seq, "event_id", f"{event_id!r}: {what}")
    last_seq = walk.next_seq - 1 if walk.rows else None
    return Verification(tenant_id, walk.rows, len(stored), last_seq, walk.head, findings.all())


class _Findings:
    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._found: list[Finding] = []
        self._more = 0

    def add(self, seq: int | None, kind: Kind, what: str) -> None:
        if len(self._found) < _MOST_FINDINGS:
            self._found.append(Finding(self._tenant_id, seq, kind, what))
        else:
            self._more += 1

    def all(self) -> tuple[Finding, ...]:
        if not self._more:
            return tuple(self._found)
        rest = Finding(self._tenant_id, None, "content", f"{self._more} further findings are not listed")
        return (*self._found, rest)


class _Walk:
    """One pass along a tenant's chain, in order; knows the tree at every size a checkpoint speaks of."""

    def __init__(self, tenant_id: UUID, findings: _Findings, vouched: dict[int, list[Checkpoint]]) -> None:
        self.rows = 0
        self.next_seq = 0
        self.head = chain.genesis(tenant_id)
        self._tenant_id = tenant_id
        self._findings = findings
        self._vouched = vouched
        self._sizes = sorted(vouched, reverse=True)
        self._frontier = Frontier()
        self._leaves: list[bytes] = []
        self._recorded_at: datetime | None = None
        self._check_tree()

    def take(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self._take_row(row)
        self._frontier = self._frontier.append(self._leaves)
        self._leaves = []

    def finish(self) -> None:
        for size in self._sizes:
            self._findings.add(
                None,
                "anchor",
                f"a signed checkpoint covers {size} events, the ledger has {self.rows}: the end is missing",
            )

    def _take_row(self, row: Any) -> None:
        seq, recorded_at, entry, entry_hash, prev_hash, row_hash, *columns = row
        add = self._findings.add
        if seq != self.next_seq:
            what = f"expected seq {self.next_seq}, got {seq}: " + (
                "rows are missing" if seq > self.next_seq else "a copy"
            )
            add(seq, "sequence", what)
        if self._recorded_at and recorded_at < self._recorded_at:
            add(seq, "order", f"recorded_at {recorded_at.isoformat()} lies before that of the row before")
        if prev_hash != self.head:
            add(seq, "link", f"prev_hash is {prev_hash.hex()[:16]}…, the row before has {self.head.hex()[:16]}…")
        content_hash = chain.entry_hash(entry)
        if content_hash != entry_hash:
            add(seq, "content", f"entry hashes to {content_hash.hex()[:16]}…, stored is {entry_hash.hex()[:16]}…")
        leaf_hash = chain.leaf_hash(chain.leaf(self._tenant_id, seq, chain.microseconds(recorded_at), content_hash))
        if (expected := chain.row_hash(prev_hash, leaf_hash)) != row_hash:
            add(seq, "link", f"row_hash should be {expected.hex()[:16]}…, stored is {row_hash.hex()[:16]}…")
        for what in _column_faults(entry, columns):
            add(seq, "column", what)
        self.head = row_hash
        self.next_seq = seq + 1
        self.rows += 1
        self._recorded_at = recorded_at
        self._leaves.append(leaf_hash)
        if self._sizes and self._sizes[-1] == self.rows:
            self._check_tree()

    def _check_tree(self) -> None:
        if not self._sizes or self._sizes[-1] != self.rows:
            return
        self._frontier = self._frontier.append(self._leaves)
        self._leaves = []
        root = self._frontier.root()
        for checkpoint in self._vouched[self._sizes.pop()]:
            where = f"the checkpoint over the first {self.rows} events, sealed {format_moment(checkpoint.sealed_at)},"
            if checkpoint.root != root:
                self._findings.add(
                    None, "checkpoint", f"{where} has another root: rows before seq {self.rows} were changed"
                )
            if checkpoint.chain_head != self.head:
                self._findings.add(self.rows - 1, "checkpoint", f"{where} has another chain head")


def _open_checkpoints(
    stored: Sequence[Any], anchored: Sequence[str], keys: Sequence[VerifierKey], findings: _Findings
) -> dict[int, list[Checkpoint]]:
    """Return what signed notes vouch for, by size; what is unsigned, altered or only left outside is a finding."""
    vouched: dict[int, list[Checkpoint]] = {}
    in_database = set()
    for size, root, chain_head, note, frontier in stored:
        in_database.add(note)
        opened = _open(note, keys, findings, "checkpoint")
        if opened is None:
            continue
        if (opened.size, opened.root, opened.chain_head) != (size, root, chain_head):
            findings.add(
                None, "checkpoint", f"the columns of the checkpoint of size {size} differ from its signed note"
            )
        if not _frontier_fits(frontier, opened):
            findings.add(None, "checkpoint", f"the stored tree edge of the checkpoint of size {size} has another root")
        vouched.setdefault(opened.size, []).append(opened)
    for note in dict.fromkeys(anchored):
        if note in in_database:
            continue
        opened = _open(note, keys, findings, "anchor")
        if opened is not None:
            findings.add(None, "anchor", f"the anchored checkpoint of size {opened.size} is not in the database")
            vouched.setdefault(opened.size, []).append(opened)
    return vouched


def _open(note: str, keys: Sequence[VerifierKey], findings: _Findings, kind: Kind) -> Checkpoint | None:
    try:
        return open_note(note, keys)
    except TamperedError as error:
        findings.add(None, kind, str(error))
        return None


def _frontier_fits(frontier: bytes, checkpoint: Checkpoint) -> bool:
    try:
        edge = Frontier.from_bytes(frontier)
    except TamperedError:
        return False
    return edge.size == checkpoint.size and edge.root() == checkpoint.root


def _column_faults(entry: bytes, columns: Sequence[Any]) -> Iterator[str]:
    event_id, occurred_at, actor_ref, event_type, entity_type, entity_id, outcome, ip_address, ip_index, agent = columns
    try:
        said = _decode_entry(entry)
    except msgspec.DecodeError as error:
        yield f"the entry is not one of format {FORMAT_VERSION}: {error}"
        return
    shown = (
        event_id,
        format_moment(occurred_at),
        None if actor_ref is None else str(actor_ref),
        event_type,
        entity_type,
        entity_id,
        outcome,
        ip_address,
        None if ip_index is None else ip_index.hex(),
        agent,
    )
    for name, column in zip(_COLUMNS, shown, strict=True):
        if (expected := getattr(said, name)) != column:
            yield f"column {name} is {_short(column)}, the hashed entry says {_short(expected)}"


def _check_head(head: Any, walk: _Walk, findings: _Findings) -> None:
    if head is None:
        if walk.rows:
            findings.add(None, "head", "the chain's head row is missing")
        return
    next_seq, head_hash = head
    if next_seq != walk.next_seq:
        findings.add(None, "head", f"the head says {next_seq} events were stored, the chain ends after {walk.next_seq}")
    if head_hash != walk.head:
        findings.add(
            None, "head", f"the head's hash is {head_hash.hex()[:16]}…, the chain ends in {walk.head.hex()[:16]}…"
        )


def _batches(conn: Connection, tenant_id: UUID) -> Iterator[list[Any]]:
    with conn.cursor(name="verify") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query("ledger/select_rows_to_verify"), {"tenant_id": tenant_id}, binary=True)
        while rows := cursor.fetchmany(_FETCH):
            yield rows


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"
