"""Which scores are new or others than a reader saw last, so that what is made of scores costs what changed.

A reader's mark is kept beside the versions of the dataset and set when the reader is done: one that was killed is told
the same again. Apart from `scoring`, because reading needs none of the libraries that score.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import polars as pl

from audit_pipelines.files import replacing
from audit_pipelines.lake.datasets import Dataset, Lake, behind
from audit_pipelines.lake.versions import BEGINNING, VERSIONS

_SCORES: Final[Dataset] = "event_scores"


@dataclass(frozen=True, slots=True)
class Changed:
    """Scores of one tenant that a reader has not seen."""

    tenant_id: UUID
    ranges: list[tuple[int, int]]
    """Of `seq`, both ends inclusive, ascending; some of the scores in them may be the same as before."""
    mark: str
    """What `mark_read` is to be told when the reader is done."""


def unread_scores(lake: Lake, reader: str) -> list[Changed]:
    """Return per tenant what changed since the reader was last done; everything for a reader of a new name.

    The name should say what the reader's answers depend on beside the scores, such as a threshold.
    """
    found = []
    for tenant_id in lake.tenants():
        version = lake.version(_SCORES, tenant_id)
        if version is None:
            continue
        path = _mark(lake, reader, tenant_id)
        bound = version.changed_since(path.read_text()) if path.exists() else BEGINNING
        ranges = _ranges(lake, tenant_id, bound) if bound else []
        found.append(Changed(tenant_id, ranges, version.mark))
    return found


def mark_read(lake: Lake, reader: str, changed: Changed) -> None:
    """Note that the reader is done with these changes."""
    with replacing(_mark(lake, reader, changed.tenant_id)) as staging:
        staging.write_text(changed.mark)


def _mark(lake: Lake, reader: str, tenant_id: UUID) -> Path:
    return lake.root / VERSIONS / _SCORES / f"tenant_id={tenant_id}" / f"read by {reader}"


def _ranges(lake: Lake, tenant_id: UUID, bound: tuple[int, int]) -> list[tuple[int, int]]:
    at_or_behind = behind((bound[0], bound[1] - 1))
    seqs = lake.read(_SCORES, tenant_id, ("seq",), where=at_or_behind)["seq"].sort()
    runs = pl.DataFrame({"seq": seqs}).with_columns(run=pl.col("seq") - pl.int_range(pl.len()))
    ranges = runs.group_by("run").agg(first=pl.col("seq").min(), last=pl.col("seq").max()).sort("first")
    return list(ranges.select("first", "last").iter_rows())
