"""A tenant's ledger as a static transparency log: the files of https://c2sp.org/tlog-tiles.

Belongs here: the layout of tiles and bundles, and bringing a folder of them up to the newest checkpoint at the cost of
the new rows. Nothing in them is secret or personal: hashes, sequence numbers and times. Serving the folder is anybody's
static web server.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.files import replacing
from audit_pipelines.ledger import chain, merkle
from audit_pipelines.ledger.archives import ArchiveFolder, leaves
from audit_pipelines.ledger.checkpoint import Checkpoint, open_note, tenant_of
from audit_pipelines.ledger.keys import VerifierKey, exclusively, sync_directory

WIDTH: Final = 256
_HEIGHT: Final = 8
_LEAF_LENGTH: Final = 64
_PREFIX: Final = _LEAF_LENGTH.to_bytes(2)

Emit = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class TilesWritten:
    """The state of the folder: leaves in its tree, and how many files this call wrote."""

    size: int
    files: int


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile (`level` 0 … 63) or, with `level` "entries", of a bundle of leaves."""
    digits = f"{index:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    parts = [*(f"x{group}" for group in groups[:-1]), groups[-1]]
    return f"tile/{level}/{'/'.join(parts)}" + (f".p/{width}" if width < WIDTH else "")


def write_tiles(
    database: Database,
    tenant_id: UUID,
    directory: Path,
    verifier_keys: Sequence[VerifierKey],
    *,
    before_publishing: Callable[[int], object] = lambda _: None,
) -> TilesWritten:
    """Bring the log in `directory` up to the tenant's newest checkpoint; an empty or new folder gets all of it.

    Before anything is written, the tree of the folder's tiles and the new rows must have the root that was signed. Each
    file appears whole, tiles are on disk before the checkpoint that needs them, and a call that was interrupted is
    repeated without harm. Calls at once take turns. The cost follows the new rows, once to check and once to write.
    `before_publishing` is called with the number of leaves before a new checkpoint is put in place.

    Raises:
        ValidationError: when the tenant has no checkpoint, or the folder holds another tenant's log.
        DeletedArchiveError: when an empty or old folder needs leaves of a month that was deleted.
        TamperedError: when folder, rows and checkpoint do not fit each other, or the ledger is older than the folder.
        OSError: when a file cannot be written; the folder still serves its former checkpoint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # The analysts' role: it sees the tenant alone and, unlike the server's, may read for as long as it takes.
    with exclusively(directory), database.tenant_connection(tenant_id, "audit_reader") as conn:
        newest = conn.execute(query("ledger/select_newest_note")).fetchone()
        if newest is None:
            raise ValidationError(
                f"tenant {tenant_id} has no checkpoint yet; wait for the next one, or run `audit-pipelines checkpoint`"
            )
        note = newest[1]
        target = open_note(note, verifier_keys)
        if target.tenant_id != tenant_id:
            raise TamperedError(
                f"tenant {tenant_id}: the newest checkpoint in the database is that of {target.tenant_id}"
            )
        size = _written_size(directory, target, verifier_keys)
        if size == target.size:
            return TilesWritten(size, 0)
        conn.execute(query("ledger/lock_partitions"))
        folder = ArchiveFolder(database.archives_dir)
        _extend(_Edge.read(directory, size), conn, folder, target, _discard)
        writer = _Writer(directory)
        edge = _extend(_Edge.read(directory, size), conn, folder, target, writer.write)
        edge.write_partial(writer.write)
    before_publishing(target.size)
    writer.publish(note)
    _drop_outgrown(directory, size, target.size)
    return TilesWritten(target.size, writer.files)


def _written_size(directory: Path, target: Checkpoint, verifier_keys: Sequence[VerifierKey]) -> int:
    """Return the size of the tree that the folder serves; 0 for an empty one."""
    try:
        note = (directory / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    if tenant_of(note) != target.tenant_id:
        raise ValidationError(
            f"{directory} holds the log of tenant {tenant_of(note)}, expected that of {target.tenant_id} or no log; "
            "give each tenant a folder of its own"
        )
    served = open_note(note, verifier_keys)
    if served.size > target.size or (served.size == target.size and served.root != target.root):
        raise TamperedError(
            f"{directory} serves a checkpoint of {served.size} leaves that does not fit the ledger's newest, of "
            f"{target.size}: the ledger is older than this log, or another; run `audit-pipelines verify`"
        )
    return served.size


def _extend(edge: "_Edge", conn: Connection, folder: ArchiveFolder, target: Checkpoint, emit: Emit) -> "_Edge":
    """Return `edge` grown to the size of `target`, whose root it must then have."""
    rows = leaves(conn, folder, target.tenant_id, edge.size, target.size)
    for expected, (seq, recorded_at_us, entry_hash) in enumerate(rows, start=edge.size):
        if seq != expected:
            raise TamperedError(f"tenant {target.tenant_id}: expected the row with seq {expected}, got {seq}")
        edge.append(chain.leaf(target.tenant_id, seq, recorded_at_us, entry_hash), emit)
    if (edge.size, edge.root()) != (target.size, target.root):
        raise TamperedError(
            f"tenant {target.tenant_id}: tiles and rows give {edge.size} leaves with root {edge.root().hex()}, the "
            f"signed checkpoint says {target.size} with {target.root.hex()}; the log was not brought up to date: "
            "run `audit-pipelines verify`, and if that is content write the log to an empty folder"
        )
    return edge


@dataclass(slots=True)
class _Edge:
    """The right edge of a tiled tree: what stands in the partial tile of each level, and in the partial bundle."""

    size: int = 0
    levels: list[list[bytes]] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)

    @classmethod
    def read(cls, directory: Path, size: int) -> Self:
        """Read the edge of the log in `directory`; what is wrong with it shows in the root."""
        edge = cls(size)
        level = 0
        while size >> (_HEIGHT * level):
            index, width = divmod(size >> (_HEIGHT * level), WIDTH)
            content = _read(directory, tile_path(level, index, width)) if width else b""
            edge.levels.append([content[at : at + 32] for at in range(0, len(content), 32)])
            level += 1
        index, width = divmod(size, WIDTH)
        bundle = _read(directory, tile_path("entries", index, width)) if width else b""
        step = len(_PREFIX) + _LEAF_LENGTH
        edge.leaves = [bundle[at + len(_PREFIX) : at + step] for at in range(0, len(bundle), step)]
        if [chain.leaf_hash(leaf) for leaf in edge.leaves] != (edge.levels[0] if edge.levels else []):
            raise TamperedError(f"{directory}: the last bundle and the last tile differ; write to an empty folder")
        return edge

    def append(self, leaf: bytes, emit: Emit) -> None:
        """Add a leaf; full tiles and bundles go to `emit`."""
        self.leaves.append(leaf)
        if len(self.leaves) == WIDTH:
            emit(tile_path("entries", self.size // WIDTH), _bundle(self.leaves))
            self.leaves.clear()
        self.size += 1
        self._push(0, chain.leaf_hash(leaf), emit)

    def write_partial(self, emit: Emit) -> None:
        """Hand the tiles and the bundle that are not full to `emit`."""
        for level, hashes in enumerate(self.levels):
            if hashes:
                emit(tile_path(level, self.size >> (_HEIGHT * (level + 1)), len(hashes)), b"".join(hashes))
        if self.leaves:
            emit(tile_path("entries", self.size // WIDTH, len(self.leaves)), _bundle(self.leaves))

    def root(self) -> bytes:
        """Return the root (RFC 6962 §2.1): the hashes of a level are whole subtrees, larger ones further up."""
        nodes = [node for hashes in reversed(self.levels) for node in merkle.Frontier().append(hashes).nodes]
        return merkle.Frontier(self.size, tuple(nodes)).root()

    def _push(self, level: int, node: bytes, emit: Emit) -> None:
        if level == len(self.levels):
            self.levels.append([])
        hashes = self.levels[level]
        hashes.append(node)
        if len(hashes) == WIDTH:
            emit(tile_path(level, (self.size >> (_HEIGHT * (level + 1))) - 1), b"".join(hashes))
            node = merkle.root(hashes)
            hashes.clear()
            self._push(level + 1, node, emit)


class _Writer:
    """Puts files into the folder; nothing is served before `publish`."""

    def __init__(self, directory: Path) -> None:
        self.files = 0
        self._directory = directory
        self._folders: set[Path] = set()

    def write(self, path: str, content: bytes) -> None:
        with replacing(self._directory / path) as staging:
            staging.write_bytes(content)
        folder = (self._directory / path).parent
        while folder != self._directory:
            self._folders.add(folder)
            folder = folder.parent
        self.files += 1

    def publish(self, note: str) -> None:
        for folder in self._folders:
            sync_directory(folder)
        sync_directory(self._directory)
        self.write("checkpoint", note.encode())
        sync_directory(self._directory)


def _drop_outgrown(directory: Path, before: int, after: int) -> None:
    """Delete the partial tiles that this growth made full, as tlog-tiles allows: else every call adds some for ever."""
    for level in ("entries", *range(8)):
        height = _HEIGHT * (0 if level == "entries" else int(level))
        index = (before >> height) // WIDTH
        if index < (after >> height) // WIDTH:
            folder = (directory / tile_path(level, index, 1)).parent
            for partial in folder.glob("[0-9]*"):
                partial.unlink()
            with suppress(FileNotFoundError):
                folder.rmdir()


def _discard(path: str, content: bytes) -> None:  # noqa: ARG001 - the first pass is after the root alone
    return


def _bundle(leaves: Sequence[bytes]) -> bytes:
    return b"".join(_PREFIX + leaf for leaf in leaves)


def _read(directory: Path, path: str) -> bytes:
    try:
        return (directory / path).read_bytes()
    except FileNotFoundError:
        raise TamperedError(
            f"{directory / path}: expected the file, which the log's checkpoint needs; write to an empty folder"
        ) from None
