"""Verification: recompute everything and say where it differs.

Reads every row's bytes again; no stored hash is believed. Compared are content, columns, links and sequence (in
`verify_rows.py` and `verify_parts.py`), head, register of ids, the access log, checkpoints with their signatures, and
the anchors outside the database, which alone show that a tail, a whole tenant or the entire database was replaced by
something older. Months that left the database are read from the archive (`verify_archives.py`). It repairs nothing;
what it cannot see, docs/ledger_format.md says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.archives import ArchiveFolder, multirange
from audit_pipelines.ledger.checkpoint import AnchorLog, Checkpoint, FileAnchor, open_note
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.findings import Finding, Findings, Kind
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Frontier
from audit_pipelines.ledger.verify_access import check_accesses
from audit_pipelines.ledger.verify_archives import ArchiveReading, Deletion, walk_ledger
from audit_pipelines.ledger.verify_parts import OnRows, Walked, Walkers, walkers
from audit_pipelines.ledger.verify_rows import Start

__all__ = ["Finding", "OnRows", "Verification", "tenants", "verify_all", "verify_tenant"]

_NOTHING_ANCHORED = AnchorLog((), ())


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying one tenant came to: rows and checkpoints read, the chain's end as recomputed, and the findings."""

    tenant_id: UUID
    events: int
    checkpoints: int
    last_seq: int | None
    """The last row read; None where none was."""
    head: bytes
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()
    """What is no sign of tampering and still wants a look, such as damage in an anchor file."""
    first_seq: int = 0
    """Where reading began; rows before it were vouched for by a signed checkpoint and not read again."""
    archived: int = 0
    """How many of the events were read from the archive."""
    deletions: tuple[Deletion, ...] = ()
    """Months that are not there because two persons approved it; their manifests still link what is around them."""
    sealed: Checkpoint | None = None
    """The newest checkpoint whose rows were read, or that reading began behind."""

    @property
    def intact(self) -> bool:
        """Whether nothing differs in what was read."""
        return not self.findings


Behind = Callable[[Checkpoint], bool]
"""Whether reading may begin behind a checkpoint."""


def _nowhere(_: Checkpoint) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class _Vouched:
    """What signed notes say: by size, and those in the database that are right in every respect, oldest first."""

    by_size: Mapping[int, Sequence[Checkpoint]]
    sound: Sequence[tuple[Checkpoint, Frontier]]
    notes: Sequence[str]
    """Those in the database that are validly signed and this tenant's, oldest first."""

    def start(self, tenant_id: UUID, behind: Behind) -> Start:
        """Return where to begin: behind the newest sound checkpoint that may be begun behind, else at the first row."""
        for checkpoint, frontier in reversed(self.sound):
            if behind(checkpoint):
                return Start(checkpoint.size, checkpoint.chain_head, None, frontier)
        return Start(0, chain.genesis(tenant_id))


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
    behind: Behind = _nowhere,
) -> list[Verification]:
    """Verify one tenant or all, those included that are only left in the anchors.

    All of it is one snapshot, so events that arrive meanwhile never look like tampering. Each tenant's rows are read
    from its newest sound checkpoint on that `behind` allows, for which its signature vouches; a change of older rows is
    then not noticed. Long chains are walked by several processes.

    Raises:
        DatabaseUnavailableError: when it could not check.
    """
    # Anchors first: a checkpoint that is published after the snapshot was taken must not look like one that vanished.
    anchored = {tenant: anchor.read(tenant) for tenant in anchor.read_all()}
    with database.connection("audit_pipeline") as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        # Before the snapshot: a month that is dropped after it was taken would be neither here nor in the archive.
        conn.execute(query("ledger/lock_partitions"))
        chosen = [tenant_id] if tenant_id else sorted({*tenants(conn), *anchored})
        with walkers(database, conn) as helping:
            return [
                _verify(
                    conn,
                    tenant,
                    verifier_keys=verifier_keys,
                    anchored=anchored.get(tenant, _NOTHING_ANCHORED),
                    home=FileAnchor(anchor.directory),
                    folder=ArchiveFolder(database.archives_dir),
                    helping=helping,
                    on_rows=on_rows,
                    behind=behind,
                )
                for tenant in chosen
            ]


def verify_tenant(
    conn: Connection,
    tenant_id: UUID,
    *,
    verifier_keys: Sequence[VerifierKey],
    anchor: FileAnchor,
    folder: ArchiveFolder | None = None,
) -> Verification:
    """Verify one tenant over a connection that sees it, in this process; the caller answers for the snapshot.

    Without the `folder` of the archive, months that are in it alone are findings.
    """
    return _verify(
        conn,
        tenant_id,
        verifier_keys=verifier_keys,
        anchored=anchor.read(tenant_id),
        home=FileAnchor(anchor.directory),
        folder=folder or ArchiveFolder(anchor.directory / "nowhere"),
        helping=Walkers(),
        on_rows=None,
        behind=_nowhere,
    )


def _verify(
    conn: Connection,
    tenant_id: UUID,
    *,
    verifier_keys: Sequence[VerifierKey],
    anchored: AnchorLog,
    home: FileAnchor,
    folder: ArchiveFolder,
    helping: Walkers,
    on_rows: OnRows | None,
    behind: Behind,
) -> Verification:
    findings = Findings(tenant_id)
    stored = conn.execute(query("ledger/select_checkpoints_to_verify"), {"tenant_id": tenant_id}).fetchall()
    vouched = _open_checkpoints(tenant_id, stored, anchored.notes, verifier_keys, findings)
    start = vouched.start(tenant_id, behind)
    head = conn.execute(query("ledger/select_head"), {"tenant_id": tenant_id}).fetchone()
    sizes = [size for size in vouched.by_size if size >= start.first_seq]
    last_seq = head[0] if head else 0
    archive = ArchiveReading(conn, tenant_id, folder, verifier_keys)
    whole = walk_ledger(archive, helping, start, sizes, last_seq=last_seq, on_rows=on_rows)
    walked = whole.walked
    findings.extend(walked.findings)
    seen = {size: notes for size, notes in vouched.by_size.items() if not whole.is_unread(size)}
    _check_tree(walked, start.first_seq, seen, findings)
    _check_head(head, walked, findings)
    archived = multirange(archive.released)
    parameters = {"tenant_id": tenant_id, "first_seq": start.first_seq, "archived": archived}
    for seq, event_id, what in conn.execute(query("ledger/select_event_id_faults"), parameters):
        findings.add(seq, "event_id", f"{event_id!r}: {what}")
    check_accesses(conn, tenant_id, start.first_seq, archived, findings)
    warnings = _check_anchor(home.read(tenant_id), tenant_id, vouched, findings)
    for name, log in anchored.elsewhere:
        warnings += _check_elsewhere(log, tenant_id, name, vouched, findings)
    return Verification(
        tenant_id,
        walked.rows - whole.unread,
        len(stored),
        walked.next_seq - 1 if walked.rows else None,
        walked.head,
        findings.all(),
        warnings + whole.warnings,
        start.first_seq,
        whole.archived,
        whole.deletions,
        next((one for one, _ in reversed(vouched.sound) if one.size <= start.first_seq + walked.rows), None),
    )


def _open_checkpoints(
    tenant_id: UUID, stored: Sequence[Any], anchored: Sequence[str], keys: Sequence[VerifierKey], findings: Findings
) -> _Vouched:
    """Return what signed notes vouch for; what is unsigned, altered or only left outside is a finding."""
    by_size: dict[int, list[Checkpoint]] = {}
    sound = []
    in_database = set()
    signed = []
    for size, root, chain_head, note, edge, key_id, sealed_at_us in stored:
        in_database.add(note)
        opened = _open(tenant_id, note, keys, findings, "checkpoint")
        if opened is None:
            continue
        signed.append(note)
        by_size.setdefault(opened.size, []).append(opened)
        said = (opened.size, opened.root, opened.chain_head, chain.microseconds(opened.sealed_at))
        fits = said == (size, root, chain_head, sealed_at_us) and _is_signed_by(key_id, note, keys)
        if not fits:
            what = f"the columns of the checkpoint of size {size} differ from its signed note"
            findings.add(None, "checkpoint", what)
        frontier = _frontier(edge, opened)
        if frontier is None:
            findings.add(None, "checkpoint", f"the stored tree edge of the checkpoint of size {size} has another root")
        elif fits:
            sound.append((opened, frontier))
    for note in dict.fromkeys(anchored):
        if note in in_database:
            continue
        opened = _open(tenant_id, note, keys, findings, "anchor")
        if opened is not None:
            findings.add(None, "anchor", f"the anchored checkpoint of size {opened.size} is not in the database")
            by_size.setdefault(opened.size, []).append(opened)
    return _Vouched(by_size, sound, signed)


def _open(tenant_id: UUID, note: str, keys: Sequence[VerifierKey], findings: Findings, kind: Kind) -> Checkpoint | None:
    try:
        opened = open_note(note, keys)
    except TamperedError as error:
        findings.add(None, kind, str(error))
        return None
    if opened.tenant_id != tenant_id:
        findings.add(None, kind, f"a checkpoint of tenant {opened.tenant_id} lies among this tenant's")
        return None
    return opened


def _is_signed_by(key_id: str, note: str, keys: Sequence[VerifierKey]) -> bool:
    try:
        open_note(note, [key for key in keys if key.key_hash.hex() == key_id])
    except TamperedError:
        return False
    return True


def _frontier(edge: bytes, checkpoint: Checkpoint) -> Frontier | None:
    """Return the stored tree edge if it is that of the signed tree."""
    try:
        frontier = Frontier.from_bytes(edge)
    except TamperedError:
        return None
    return frontier if frontier.size == checkpoint.size and frontier.root() == checkpoint.root else None


def _check_anchor(home: AnchorLog, tenant_id: UUID, vouched: _Vouched, findings: Findings) -> tuple[str, ...]:
    """Compare the home's anchor file, read after the snapshot was taken, with the database; return warnings.

    The file alone keeps a rolled-back database from passing, so what is gone from it is as much a finding as what was
    changed. Sealing leaves at most the newest checkpoint unpublished, and a crash the beginning of a record.
    """
    unexplained = home.unexplained(vouched.notes)
    for first, end in unexplained:
        findings.add(None, "anchor", f"bytes {first} to {end} of the anchor file are none that sealing wrote")
    kept = set(home.notes)
    missing = [note for note in vouched.notes if note not in kept]
    name = f"the anchor file of tenant {tenant_id}"
    if missing and missing != [vouched.notes[-1]]:
        what = f"{len(missing)} of {len(vouched.notes)} checkpoints in the database are gone from the anchor file"
        findings.add(None, "anchor", what)
    elif missing:
        return (f"{name} lacks the newest checkpoint: its writing was interrupted, or the file was cut",)
    return _torn(home, unexplained, name)


def _check_elsewhere(
    log: AnchorLog, tenant_id: UUID, anchor: str, vouched: _Vouched, findings: Findings
) -> tuple[str, ...]:
    """Judge damage in a further anchor as that in the home's; return warnings.

    What is gone from it is no finding: a disk that is not mounted and a bucket that expires its objects look the same,
    and any one note that is left commits to all events before it.
    """
    name = f"the file of tenant {tenant_id} in anchor {anchor}"
    # Read before the snapshot was taken, so a note that was being written is in the database by now.
    unexplained = log.unexplained(vouched.notes)
    for first, end in unexplained:
        findings.add(None, "anchor", f"bytes {first} to {end} of {name} are none that sealing wrote")
    for what in log.altered:
        findings.add(None, "anchor", f"anchor {anchor}: {what}")
    unread = tuple(f"anchor {anchor}: {what}" for what in log.unread)
    return (*_torn(log, unexplained, name), *unread)


def _torn(log: AnchorLog, unexplained: Sequence[tuple[int, int]], name: str) -> tuple[str, ...]:
    torn = (place for place in log.damaged if place not in unexplained)
    return tuple(f"{name} has a torn record in bytes {first} to {end}, as a crash leaves it" for first, end in torn)


def _check_tree(
    walked: Walked, first_seq: int, vouched: Mapping[int, Sequence[Checkpoint]], findings: Findings
) -> None:
    """Compare the tree and the chain's head at every size a signed checkpoint speaks of."""
    marks = {mark.size: mark for mark in walked.marks}
    ledger_size = first_seq + walked.rows
    fitting_size = first_seq
    for size in sorted(size for size in vouched if size >= first_seq):
        if size > ledger_size:
            what = f"a signed checkpoint covers {size} events, the ledger has {ledger_size}: the end is missing"
            findings.add(None, "anchor", what)
            continue
        mark = marks.get(size)
        root = mark.frontier.root() if mark else None
        last_seq = size - 1 if size else None
        for checkpoint in vouched[size]:
            where = f"the checkpoint over the first {size} events, sealed {format_moment(checkpoint.sealed_at)},"
            if checkpoint.root != root:
                # A tree with another leaf stays another one, so this is the place only if all before it fitted.
                between = f"between seq {fitting_size} and {size - 1}"
                only = last_seq if size - fitting_size == 1 else None
                what = f"{where} has another root: rows {between} are not those that were signed"
                findings.add(only, "checkpoint", what)
            if mark and checkpoint.chain_head != mark.head:
                findings.add(last_seq, "checkpoint", f"{where} has another chain head")
        if all(checkpoint.root == root for checkpoint in vouched[size]):
            fitting_size = size


def _check_head(stored: Any, walked: Walked, findings: Findings) -> None:
    if stored is None:
        if walked.next_seq:
            findings.add(None, "head", "the chain's head row is missing")
        return
    next_seq, head_hash, recorded_at_us = stored
    if next_seq != walked.next_seq:
        what = f"the head says {next_seq} events were stored, the chain ends after {walked.next_seq}"
        findings.add(None, "head", what)
    if head_hash != walked.head:
        what = f"the head's hash is {head_hash.hex()[:16]}…, the chain ends in {walked.head.hex()[:16]}…"
        findings.add(None, "head", what)
    if walked.recorded_at_us is not None and recorded_at_us != walked.recorded_at_us:
        findings.add(None, "head", "the head's recorded_at is not that of the last row")
