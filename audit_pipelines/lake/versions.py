"""Datasets of several files per tenant that change as one: rows in order, in parts, the newest of them small.

`<dataset>/tenant_id=<uuid>` is a link to the folder of a version: part files, what they carry on, and `manifest.json`,
which names each with its digest. A new version is a new folder, files that stay are linked into it, and one rename of
the link puts all of it in place: a reader sees the old version or the new one, and whoever is killed leaves a folder
that nothing points to and the next writer removes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.lake.arrays import write_arrays
from audit_pipelines.ledger.keys import sync_directory

MANIFEST: Final = "manifest.json"
VERSIONS: Final = "versions"
PART_ROWS: Final = 1 << 19
"""Rows of the largest parts: what a late event makes anew at least, and what a writer has in memory at most."""
_SMALLEST: Final = 1 << 14
_CHANGES_KEPT: Final = 200

Bound = tuple[int, int]
"""A place in the order of rows: microseconds since 1970 and `seq`."""
BEGINNING: Final[Bound] = (-(1 << 62), 0)
UNCHANGED: Final[Bound] = (1 << 62, 0)


@dataclass(frozen=True, slots=True)
class VersionPart:
    """One file of a version: rows from `first` to `last`, both inclusive."""

    name: str
    rows: int
    first: Bound
    last: Bound
    digest: str
    """SHA-256 (hex) of the file."""
    carried: str | None = None
    """Name of the file with what the rows leave behind for later ones (see `arrays`)."""
    carried_digest: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What else the writer must find again, as JSON."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a tenant's dataset consists of."""

    folder: Path
    stamp: Mapping[str, Any]
    origin: str
    """Names the dataset since it was made from nothing."""
    generation: int
    """Counts the versions since then."""
    changes: Sequence[tuple[int, Bound]]
    """By generation, from which place on rows are others than before; older generations are in none."""
    parts: tuple[VersionPart, ...]
    notes: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(part.rows for part in self.parts)

    def paths(self) -> list[Path]:
        """Return the part files in order."""
        return [self.folder / part.name for part in self.parts]

    @property
    def mark(self) -> str:
        """Return what `changed_since` wants to be told later."""
        return f"{self.origin} {self.generation}"

    def changed_since(self, mark: str) -> Bound | None:
        """Return the place from which rows may differ from those of the version with this mark; None if none does."""
        origin, _, generation = mark.partition(" ")
        if origin != self.origin:
            return BEGINNING
        later = [bound for at, bound in self.changes if at > int(generation)]
        if len(later) < self.generation - int(generation):
            return BEGINNING
        return min((bound for bound in later if bound != UNCHANGED), default=None)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows to be written as one part."""

    frame: pl.DataFrame
    carried: Mapping[str, npt.NDArray[np.int64]] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def read_version(link: Path) -> Version | None:
    """Return the version that a tenant's link points to, None where there is none."""
    folder = link.resolve()
    if not (folder / MANIFEST).is_file():
        return None
    said = json.loads((folder / MANIFEST).read_bytes())
    parts = tuple(
        VersionPart(**{**each, "first": _bound(each["first"]), "last": _bound(each["last"])}) for each in said["parts"]
    )
    changes = [(at, _bound(bound)) for at, bound in said["changes"]]
    return Version(folder, said["stamp"], said["origin"], said["generation"], changes, parts, said["notes"])


class Draft:
    """A version that is being written; nobody sees it before `publish`, and leaving the block removes it."""

    def __init__(self, link: Path) -> None:
        """Begin beside the version that `link` points to. Removes what writers before this one left behind."""
        self.link = link
        self.before = read_version(link)
        root = link.parents[1] / VERSIONS / link.parent.name / link.name
        if root.exists():
            for leftover in root.iterdir():
                if leftover.is_dir() and (self.before is None or leftover != self.before.folder):
                    shutil.rmtree(leftover)
        self.folder = root / uuid4().hex
        self.parts: list[VersionPart] = []
        self.written: list[VersionPart] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.link.resolve() != self.folder:
            shutil.rmtree(self.folder)

    def keep(self, part: VersionPart) -> None:
        """Take a part of the version before over as it is."""
        if self.before is None:
            raise ValueError("expected a version before this one, got none; write its rows")
        for name in filter(None, (part.name, part.carried)):
            os.link(self.before.folder / name, self.folder / name)
        self.parts.append(part)

    def write(self, piece: Piece, order: Sequence[str], schema: Mapping[str, pl.DataType]) -> None:
        """Write rows as a part; `order` names the one or two columns that they are in order of."""
        frame = piece.frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
        bounds = frame.select(
            pl.col(order[0]).cast(pl.Datetime("us")).dt.epoch("us"), pl.col(order[1]) if len(order) > 1 else pl.lit(0)
        )
        staging = self.folder / "part"
        frame.write_parquet(staging, compression="zstd", row_group_size=1 << 16)
        digest = _digest(staging)
        # A name is used for one content only: whoever listed the folder before reads what was listed, or nothing.
        name = f"part-{sum(part.rows for part in self.parts):012}-{digest[:16]}.parquet"
        _settle(staging, self.folder / name)
        carried = carried_digest = None
        if piece.carried is not None:
            staging = self.folder / "carried"
            write_arrays(staging, piece.carried)
            carried_digest = _digest(staging)
            carried = f"carried-{carried_digest[:16]}.arrays"
            _settle(staging, self.folder / carried)
        first, last = bounds.row(0), bounds.row(-1)
        part = VersionPart(
            name, frame.height, _bound(first), _bound(last), digest, carried, carried_digest, dict(piece.notes)
        )
        self.parts.append(part)
        self.written.append(part)

    def publish(
        self,
        stamp: Mapping[str, Any],
        *,
        changed: Bound | None,
        notes: Mapping[str, Any],
        before: Callable[[str, Sequence[VersionPart]], None],
    ) -> Version:
        """Put the version in place of the one before, whole or not at all, and remove that.

        `changed` is the place from which rows differ, None if none does. `before` is called with the manifest's digest
        and the new parts when all bytes are on disk and before anybody sees them.
        """
        generation = 1 + (self.before.generation if self.before else 0)
        changes = [*(self.before.changes if self.before else ()), (generation, changed or UNCHANGED)]
        origin = self.before.origin if self.before else uuid4().hex
        version = Version(self.folder, stamp, origin, generation, changes[-_CHANGES_KEPT:], tuple(self.parts), notes)
        manifest = self.folder / MANIFEST
        said = asdict(version)
        del said["folder"]
        manifest.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n")
        _sync(manifest)
        sync_directory(self.folder)
        before(_digest(manifest), self.written)
        self._put_in_place()
        if self.before is not None and self.before.folder != self.folder:
            shutil.rmtree(self.before.folder)
        return version

    def _put_in_place(self) -> None:
        self.link.parent.mkdir(parents=True, exist_ok=True)
        staging = self.folder.parent / "link"
        staging.unlink(missing_ok=True)
        staging.symlink_to(os.path.relpath(self.folder, self.link.parent))
        if self.link.is_dir() and not self.link.is_symlink():
            # A layout of before: one file in a folder of this name, of an older code version and made anew here.
            shutil.rmtree(self.link)
        staging.replace(self.link)
        sync_directory(self.link.parent)


def planned_rows(rows: int) -> list[int]:
    """Split rows into parts: the largest first, then each half of what is left, so that late events redo little."""
    planned = []
    while rows > PART_ROWS:
        planned.append(PART_ROWS)
        rows -= PART_ROWS
    while rows > _SMALLEST:
        planned.append(rows - rows // 2)
        rows //= 2
    return [*planned, rows] if rows else planned


def absorbed(parts: Sequence[VersionPart], rows: int) -> int:
    """Return how many of the last parts are to be written again together with `rows` that follow.

    A part goes along that has less than twice the rows behind it: each row is written again as often as the logarithm
    of their number, and there are no more small parts than that.
    """
    count = 0
    for part in reversed(parts):
        if part.rows >= 2 * rows or part.rows + rows > PART_ROWS:
            break
        rows += part.rows
        count += 1
    return count


def _bound(values: Sequence[int]) -> Bound:
    return int(values[0]), int(values[1])


def _settle(staging: Path, path: Path) -> None:
    _sync(staging)
    staging.chmod(0o644)
    staging.replace(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
