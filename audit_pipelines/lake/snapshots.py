"""What a catalog shows: hard links to the lake's files of one moment, in a folder that never changes afterwards.

The lake moves on while somebody reads: parts of a day are merged, versions are replaced. A query that listed files
before and opens them after would find them gone, or count rows twice. So each catalog has links of its own: they cost
no space while the lake has the same file, and stay for a day after a newer catalog took its place.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, get_args
from uuid import UUID, uuid4

from audit_pipelines.lake.datasets import Dataset, Lake

FOLDER: Final = "catalog"
KEPT: Final = timedelta(days=1)
"""How long a snapshot stays for those who opened its catalog; a notebook is left open over a day's work."""
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one catalog."""

    folder: Path

    def files(self, dataset: str) -> list[Path]:
        """Return the dataset's files, in order of their names."""
        depth = "tenant_id=*/day=*" if dataset == "raw_events" else "tenant_id=*"
        return sorted(self.folder.glob(f"{dataset}/{depth}/*.parquet"))


def take(lake: Lake) -> Snapshot:
    """Link the lake's files of now into a new folder; the caller holds the stage `raw_events`."""
    folder = lake.root / FOLDER / uuid4().hex
    folder.mkdir(parents=True)
    for tenant_id in lake.tenants():
        end = -1
        # The longest of those that begin alike comes first: a run that was killed leaves a merged part with its pieces.
        for part in sorted(lake.parts(tenant_id), key=lambda part: (part.first_seq, -part.last_seq)):
            if part.first_seq > end:
                _link(part.path, folder / part.path.relative_to(lake.root))
                end = part.last_seq
    for dataset in get_args(Dataset):
        for held in (lake.root / dataset).glob("tenant_id=*"):
            _link_dataset(lake, dataset, held.name, folder / dataset / held.name)
    return Snapshot(folder)


def remove_others(lake: Lake, current: Snapshot, *, kept: timedelta = KEPT) -> None:
    """Remove snapshots that another one replaced longer than `kept` ago; what is replaced now is marked as such."""
    for folder in _folders(lake):
        if folder == current.folder:
            continue
        mark = folder / "replaced"
        if not mark.exists():
            mark.touch()
        if time.time() - mark.stat().st_mtime >= kept.total_seconds():
            shutil.rmtree(folder)


def remove_all(lake: Lake) -> None:
    """Remove every snapshot; catalogs over them show nothing any more."""
    for folder in _folders(lake):
        shutil.rmtree(folder)


def _folders(lake: Lake) -> Iterator[Path]:
    root = lake.root / FOLDER
    if root.is_dir():
        yield from [each for each in root.iterdir() if each.is_dir()]


def _link_dataset(lake: Lake, dataset: Dataset, tenant: str, folder: Path) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            for path in lake.files(dataset, UUID(tenant.removeprefix("tenant_id="))):
                _link(path, folder / path.name)
        except FileNotFoundError:
            # Another version took the place of the one that was listed.
            shutil.rmtree(folder, ignore_errors=True)
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, link)
