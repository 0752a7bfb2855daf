"""Verdicts as labels for training: one per judged event, weighed so that nobody teaches a model alone by mere number.

How verdicts come about is `feedback.verdicts`'; what a model makes of the labels is its own business.
"""

import hashlib
from typing import Final
from uuid import UUID

import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.lake.datasets import UTC_MICROSECONDS

LABELS_PER_ANALYST: Final = 100
"""So many labels' weight one person brings at most: with 1,000 verdicts each of theirs counts a tenth."""

_COLUMNS: Final = {
    "seq": pl.Int64(),
    "row_hash": pl.String(),
    "event_type": pl.String(),
    "verdict": pl.String(),
    "weight": pl.Float64(),
    "analysts": pl.Int64(),
    "given_at": UTC_MICROSECONDS,
}
# Among equals the graver counts.
_ORDER: Final = ("true_positive", "benign", "false_positive")


def verdict_labels(conn: Connection, tenant_id: UUID) -> pl.DataFrame:
    """Return a tenant's labels, one row per judged event in the order of `seq`; `conn` is the pipeline's.

    Columns: seq, row_hash (hex), event_type, verdict (`true_positive`, `false_positive`, `benign`), weight in (0, 1],
    analysts (how many persons say so), given_at (the newest of them). One person's newest verdict on an event counts;
    an event's verdict is what the most weight says, its weight that of those who agree less that of those who do not.
    Events on which they cancel out are left out.
    """
    rows = conn.execute(query("derive/select_newest_verdicts"), {"tenant_id": tenant_id}).fetchall()
    schema = {
        "seq": pl.Int64(),
        "row_hash": pl.String(),
        "event_type": pl.String(),
        "verdict": pl.String(),
        "analyst": pl.String(),
        "given_at": UTC_MICROSECONDS,
    }
    return weighed(pl.DataFrame(rows, schema=schema, orient="row"))


def weighed(newest: pl.DataFrame) -> pl.DataFrame:
    """Return labels from each person's newest verdicts (seq, row_hash, event_type, verdict, analyst, given_at)."""
    share = (LABELS_PER_ANALYST / pl.len().over("analyst")).clip(upper_bound=1.0)
    sides = (
        # In a fixed order: sums of floats depend on it.
        newest.sort("seq", "analyst")
        .with_columns(weight=share, rank=pl.col("verdict").replace_strict(list(_ORDER), list(range(len(_ORDER)))))
        .group_by("seq", "row_hash", "event_type", "verdict", "rank", maintain_order=True)
        .agg(pl.col("weight").sum(), analysts=pl.len().cast(pl.Int64), given_at=pl.col("given_at").max())
        .with_columns(against=pl.col("weight").sum().over("seq") - pl.col("weight"))
        .sort("seq", -pl.col("weight"), "rank")
    )
    return (
        sides.unique("seq", keep="first", maintain_order=True)
        .with_columns(weight=(pl.col("weight") - pl.col("against")).clip(upper_bound=1.0))
        .filter(pl.col("weight") > 1e-9)
        .select(pl.col(name).cast(kind) for name, kind in _COLUMNS.items())
    )


def labels_digest(labels: pl.DataFrame) -> str:
    """Return the SHA-256 (hex) of labels, for the digest of a training set: equal ones mean the same labels."""
    lines = (f"{seq} {row_hash} {verdict} {weight!r}" for seq, row_hash, _, verdict, weight, *_ in labels.iter_rows())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
