"""Bringing a dataset of several parts up to date: parts before the first change stay, what follows is made anew.

What the rows are is the stages' own; here is how their parts are kept, taken along and recorded in the lineage.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from audit_pipelines.derive import lineage
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import ORDER, SCHEMAS, Dataset, Lake, Stamp, Written
from audit_pipelines.lake.versions import BEGINNING, Bound, Draft, Piece, Version, VersionPart, absorbed

Join = Callable[[Sequence[VersionPart], Piece], Piece]


def current(
    lake: Lake, dataset: Dataset, window: TenantWindow, redo: Redo | None, *, inputs: tuple[str, ...] | None = None
) -> Version | None:
    """Return a version that can be continued: of the present code, and of a history that the lake's still begins with.

    None where everything is to be made anew, also because other `inputs` went in.
    """
    version = None if redo else lake.version(dataset, window.tenant_id)
    if version is None:
        return None
    stamp = Stamp.from_json(version.stamp)
    same = stamp.code_version == lineage.code_version() and inputs in {None, stamp.inputs}
    if not same or stamp.through_seq > window.through_seq:
        return None
    head = lake.row_hash(window.tenant_id, stamp.through_seq)
    # Months that were deleted from the archive are in no lake; what was made of them stays.
    return version if head in {None, stamp.head} else None


def parts_before(version: Version, bound: Bound | None) -> list[VersionPart]:
    """Return the parts whose rows all lie before the place from which things change; all if nothing does."""
    if bound is None:
        return list(version.parts)
    kept = []
    for part in version.parts:
        if part.last >= bound:
            break
        kept.append(part)
    return kept


def end_of(parts: Sequence[VersionPart]) -> Bound:
    """Return the place of the last row."""
    return parts[-1].last if parts else BEGINNING


def place_of(frame: pl.DataFrame) -> Bound | None:
    """Return the place of the first row of events, None without any."""
    if frame.is_empty():
        return None
    first = frame.select(pl.col("occurred_at").dt.epoch("us"), "seq").sort("occurred_at", "seq").row(0)
    return int(first[0]), int(first[1])


def with_parts(version: Version, parts: Sequence[VersionPart], frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of parts with those that follow them."""
    before = [pl.read_parquet(version.folder / part.name, hive_partitioning=False) for part in parts]
    return pl.concat([*before, frame.select(before[0].columns)])


def rewrite(
    installation: Installation,
    lake: Lake,
    dataset: Dataset,
    window: TenantWindow,
    *,
    keep: Sequence[VersionPart],
    pieces: Iterable[Piece],
    join: Join,
    stamp: Stamp,
    changed: Bound | None,
    notes: Mapping[str, Any],
    beside: tuple[dict[str, object], ...] = (),
    run_id: str,
    redo: Redo | None = None,
) -> TenantUpdate:
    """Put a version in place of the parts that are kept and the pieces that follow, each recorded before it is seen.

    `join` writes small parts at the end together with the first piece.
    """
    path = lake.dataset_path(dataset, window.tenant_id)
    link = path.parent
    reason = (redo.because,) if redo else ()

    def record(manifest: str, parts: Sequence[VersionPart]) -> None:
        models = [str(each["key"]) for each in beside if each["kind"] == "model"]
        inputs = (window.ledger_input(), *beside, *reason)
        outputs = [
            lineage.Output(
                window.tenant_id,
                dataset,
                str((link / name).relative_to(lake.root.parent)),
                bytes.fromhex(digest),
                inputs,
                models[-1] if models else None,
            )
            for name, digest in _files(path.name, manifest, parts)
        ]
        with installation.database.connection("audit_pipeline") as conn:
            lineage.record(conn, outputs, run_id=run_id)

    with Draft(link) as draft:
        stay = list(keep)
        for piece in pieces:
            joined = piece
            if count := absorbed(stay, piece.frame.height):
                joined = join(stay[-count:], piece)
                del stay[-count:]
            for part in stay:
                draft.keep(part)
            stay = []
            draft.write(joined, ORDER[dataset], SCHEMAS[dataset])
        for part in stay:
            draft.keep(part)
        version = draft.publish(stamp.to_json(), changed=changed, notes=notes, before=record)
        size = sum((version.folder / part.name).stat().st_size for part in draft.written)
    written = Written(path, lineage.file_digest(path), version.rows, size)
    return TenantUpdate(window.tenant_id, version.rows, written)


def _files(manifest_name: str, manifest: str, parts: Sequence[VersionPart]) -> Iterator[tuple[str, str]]:
    yield manifest_name, manifest
    for part in parts:
        yield part.name, part.digest
        if part.carried and part.carried_digest:
            yield part.carried, part.carried_digest
