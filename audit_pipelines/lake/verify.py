"""Whether the files of the lake are those that were recorded in `audit_lineage` when they were made.

What a query read is proved by this: each file's digest against its record, which no role of the product can change,
and, when asked, each row of `raw_events` against the ledger. Whether the ledger is whole, `ledger.verify` says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal, get_args
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.errors import AuditError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import LAKE_COPY
from audit_pipelines.lake.datasets import ORDER, RAW_EVENTS, Dataset, Lake, Part, part_at
from audit_pipelines.lake.export import arrow_connection, deleted, gaps, tables
from audit_pipelines.lake.snapshots import FOLDER
from audit_pipelines.lake.versions import VERSIONS

State = Literal["intact", "changed", "missing", "foreign"]

_RAW: Final = "raw_events"
_KINDS: Final = (_RAW, LAKE_COPY, *get_args(Dataset))
_TENANT: Final = "tenant_id="
# The pipeline may replace a file between our reading it and its record; then the second look agrees.
_LOOKS: Final = 2


@dataclass(frozen=True, slots=True)
class FileState:
    """What is to be said of one file."""

    path: str
    state: State
    what: str = ""
    """What differs, or which file it is a copy of."""
    digest: str | None = None
    """SHA-256 (hex) of the bytes that are there."""
    rows: int | None = None
    """Rows that were compared with the ledger, None where none were."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file belongs in the lake."""

    tenant_id: UUID
    key: str


def verify_lake(
    installation: Installation,
    files: Sequence[Path] = (),
    *,
    deep: bool = False,
    on_file: Callable[[FileState], None] = lambda _: None,
) -> list[FileState]:
    """Check files of the lake, wherever they lie by now, or all of it: what is there, and what should be.

    A file is intact when its newest record has its digest; a file of an analyst's snapshot, when any record of it has.
    `deep` also compares every row of `raw_events` with the ledger, column by column.

    Raises:
        ValidationError: for a file that is not there, or a lake that is not.
    """
    lake = Lake(installation.settings.lake_dir)
    if not files and not lake.root.is_dir():
        raise ValidationError(f"expected the lake at {lake.root}, found none; run a job that fills it")
    for path in files:
        if not path.is_file():
            raise ValidationError(f"expected a file of the lake, found none at {path}")
    states = []
    for path in files or sorted(_files(lake)):
        state = _look(installation, lake, path, deep=deep)
        if state:
            states.append(state)
            on_file(state)
    if not files:
        states += _missing(installation, lake)
    return states


def _files(lake: Lake) -> Iterator[Path]:
    """Yield the files that are the lake: no drafts, no versions that were replaced, no marks of readers."""
    for path in lake.root.glob(f"{_RAW}/{_TENANT}*/day=*/*"):
        if not path.name.startswith("."):
            yield path
    for dataset in get_args(Dataset):
        for folder in (lake.root / dataset).glob(f"{_TENANT}*"):
            yield from (path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (path for path in (lake.root / FOLDER).rglob("*") if path.is_file() and path.name != "replaced")


def _look(installation: Installation, lake: Lake, path: Path, *, deep: bool) -> FileState | None:
    """Return the state of a file, None if it went away meanwhile."""
    told = str(path.relative_to(lake.root.parent)) if path.is_relative_to(lake.root.parent) else str(path)
    state: FileState | None = None
    for _ in range(_LOOKS):
        try:
            digest = lineage.file_digest(path).hex()
        except FileNotFoundError:
            return None
        state = _compare(installation, lake, path, told, digest)
        if state.state == "intact":
            break
    place = _place(path)
    if deep and state and state.state == "intact" and place and (part := part_at(Path(place.key))):
        return _compare_rows(installation, path, place.tenant_id, part, state)
    return state


def _compare(installation: Installation, lake: Lake, path: Path, told: str, digest: str) -> FileState:
    place = _place(path)
    with installation.database.connection("audit_pipeline") as conn:
        if place:
            asked = {"tenant_id": place.tenant_id, "kinds": list(_KINDS), "key": place.key}
            recorded = [each for (each,) in conn.execute(query("lake/select_recorded"), asked).fetchall()]
            # A copy elsewhere, or of a catalog's moment, may be of an earlier day than the lake.
            lives = path.is_relative_to(lake.root) and not path.is_relative_to(lake.root / FOLDER)
            if digest in (recorded[:1] if lives else recorded):
                return FileState(told, "intact", digest=digest)
            if recorded:
                earlier = " (that of an earlier record)" if digest in recorded else ""
                what = f"expected SHA-256 {recorded[0]}, as recorded for {place.key}, got {digest}{earlier}"
                return FileState(told, "changed", what, digest)
        known = conn.execute(
            query("lake/select_by_digest"), {"digest": bytes.fromhex(digest), "kinds": list(_KINDS)}
        ).fetchone()
    if known is None:
        return FileState(told, "foreign", f"expected a record of SHA-256 {digest} in audit_lineage, found none", digest)
    if path.is_relative_to(lake.root):
        return FileState(told, "foreign", f"expected no file of this name; its bytes are those of {known[1]}", digest)
    return FileState(told, "intact", f"the bytes recorded for {known[1]} of tenant {known[0]}", digest)


def _place(path: Path) -> _Place | None:
    """Return where a file belongs by the folders above it, None where they do not say."""
    parts = path.absolute().parts
    for at in range(len(parts) - 2, 0, -1):
        if parts[at].startswith(_TENANT) and parts[at - 1] in {_RAW, *get_args(Dataset)}:
            # Of a version's folder, the name of the version is no part of the key.
            below = parts[-1:] if at >= 2 and parts[at - 2] == VERSIONS else parts[at + 1 :]
            try:
                tenant_id = UUID(parts[at].removeprefix(_TENANT))
            except ValueError:
                return None
            return _Place(tenant_id, "/".join(("lake", parts[at - 1], parts[at], *below)))
    return None


def _compare_rows(installation: Installation, path: Path, tenant_id: UUID, part: Part, state: FileState) -> FileState:
    held = pl.read_parquet(path, hive_partitioning=False)
    with arrow_connection(installation) as arrow:
        try:
            read = [pl.DataFrame(each) for each in tables(installation, arrow, tenant_id, part)]
        except AuditError as error:
            return FileState(state.path, "changed", str(error), state.digest)
    expected = pl.concat(read) if read else held.clear()
    what = _difference(held, expected)
    return FileState(state.path, "changed" if what else "intact", what or state.what, state.digest, held.height)


def _difference(held: pl.DataFrame, expected: pl.DataFrame) -> str | None:
    """Return in words the first thing in which a file's rows differ from the ledger's, None if nothing does."""
    if held.columns != list(RAW_EVENTS):
        return f"expected the columns {', '.join(RAW_EVENTS)}, got {', '.join(held.columns)}"
    if held["seq"].to_list() != expected["seq"].to_list():
        only = sorted(set(held["seq"]) ^ set(expected["seq"]))
        return f"expected {expected.height} rows as the ledger has, got {held.height}; they differ at seq {only[:3]}"
    wrong = {name: ~held[name].eq_missing(expected[name]) for name in RAW_EVENTS}
    columns = [name for name, differs in wrong.items() if differs.any()]
    if not columns:
        return None
    seqs = held.filter(pl.any_horizontal(wrong[name] for name in columns))["seq"]
    return f"seq {seqs[0]}: {', '.join(columns)} other than in the ledger; {len(seqs)} rows differ"


def _missing(installation: Installation, lake: Lake) -> Iterator[FileState]:
    """Yield what was recorded and has no file: parts by their rows, since merged ones are gone rightly."""
    with installation.database.connection("audit_pipeline") as conn:
        keys = conn.execute(query("lake/select_recorded_keys"), {"kinds": list(_KINDS)}).fetchall()
        through: dict[UUID, int] = {}
        for tenant_id, kind, key in keys:
            if kind == _RAW and (part := part_at(Path(key))):
                through[tenant_id] = max(through.get(tenant_id, -1), part.last_seq)
        for tenant_id, last in through.items():
            gone = [Part(one.first_seq, one.last_seq, date.min, lake.root) for one in deleted(conn, tenant_id)]
            for first, end in gaps([*lake.parts(tenant_id), *gone], 0, last + 1):
                what = f"seq {first} to {end} were exported and are in no file; materialise their day again"
                yield FileState(f"lake/{_RAW}/{_TENANT}{tenant_id}", "missing", what)
    for tenant_id, kind, key in keys:
        if (
            kind != _RAW
            and Path(key).name in {"manifest.json", "part.parquet"}
            and not (lake.root.parent / key).exists()
        ):
            yield FileState(key, "missing", f"was recorded for tenant {tenant_id}; materialise its asset again")
    for tenant_id in lake.tenants():
        for dataset in ORDER:
            version = lake.version(dataset, tenant_id)
            for path in version.paths() if version else ():
                if not path.exists():
                    yield FileState(
                        f"lake/{dataset}/{_TENANT}{tenant_id}/{path.name}", "missing", "its manifest names it"
                    )
