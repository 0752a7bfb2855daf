"""Four detectors that others reach for first, on plain counts, to compare with.

IsolationForest and LOF are scikit-learn's; ECOD and HBOS are written out from their papers, since PyOD's need numba
and matplotlib. Each is fitted on all rows it then scores, so it knows the future and the product does not: what they
are beaten by, they are beaten by with that in hand.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from audit_pipelines.intelligence.risk import FAILURE_WORDS

Floats = npt.NDArray[np.float64]

COUNTS: Final = (
    "events_1h", "events_24h", "types_1h", "types_24h", "entities_1h", "entities_24h", "networks_24h", "failures_1h",
    "failures_24h", "hour", "weekday", "failed",
)  # fmt: skip
"""What the peers see of each event: counts of its actor over the hour and the day before it, the clock, the outcome."""

_HBOS_BINS: Final = 10
_HBOS_ALPHA: Final = 0.1
_HBOS_TOLERANCE: Final = 0.5
# LOF is quadratic: beyond this many rows it is fitted on an even sample, and all rows are compared with that.
_LOF_ROWS: Final = 5_000
_LOF_NEIGHBOURS: Final = 100


def plain_counts(events: pl.DataFrame) -> Floats:
    """Return [events, COUNTS] in order of (occurred_at, seq), from the lake's `raw_events` of one tenant."""
    ordered = events.sort("occurred_at", "seq").with_columns(
        pl.col("actor_ref").fill_null(""),
        _failed=pl.col("outcome").fill_null("").str.contains(FAILURE_WORDS).cast(pl.Int64),
        _entity=pl.concat_str("entity_type", "entity_id", separator="\x1f"),
        _network=pl.col("ip_index").str.slice(0, 16),
        _row=pl.int_range(pl.len()),
    )
    # Distinct values in a window: those not seen since a window's length, summed; the usual way to roll them.
    columns = []
    for span, hours in (("1h", 1), ("24h", 24)):
        length = pl.duration(hours=hours)
        for name, column in (("types", "event_type"), ("entities", "_entity"), ("networks", "_network")):
            before = pl.col("occurred_at").shift(1).over("actor_ref", column)
            fresh = (before.is_null() | (pl.col("occurred_at") - before > length)) & pl.col(column).is_not_null()
            columns.append(fresh.cast(pl.Int64).alias(f"_{name}_{span}"))
    ordered = ordered.with_columns(columns, _one=pl.lit(1, dtype=pl.Int64))
    sums = {
        "events": "_one",
        "types": "_types",
        "entities": "_entities",
        "networks": "_networks",
        "failures": "_failed",
    }
    rolled = []
    for name in COUNTS[:-3]:
        what, span = name.split("_")
        source = f"{sums[what]}_{span}" if what in {"types", "entities", "networks"} else sums[what]
        rolled.append(pl.col(source).rolling_sum_by("occurred_at", span).over("actor_ref").alias(name))
    moment = pl.col("occurred_at")
    table = ordered.with_columns(rolled, hour=moment.dt.hour(), weekday=moment.dt.weekday(), failed=pl.col("_failed"))
    return table.select(pl.col(COUNTS).cast(pl.Float64)).to_numpy()


def isolation_forest(rows: Floats) -> Floats:
    """Score by scikit-learn's isolation forest, 100 trees of 256 rows (Liu, Ting, Zhou 2008)."""
    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=0)
    return np.asarray(-forest.fit(rows).score_samples(rows), dtype=np.float64)


def lof(rows: Floats) -> Floats:
    """Score by scikit-learn's local outlier factor (Breunig et al. 2000) on standardised rows, 100 neighbours."""
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # Counts tie by the thousand, and LOF of a duplicate is a division by nought: a thousandth of noise parts them.
    scaled = scaled + np.random.default_rng(0).normal(0.0, 1e-3, scaled.shape)
    sample = scaled[np.linspace(0, len(rows) - 1, min(len(rows), _LOF_ROWS)).astype(np.int64)]
    neighbours = max(1, min(_LOF_NEIGHBOURS, len(sample) - 1))
    factor = LocalOutlierFactor(n_neighbors=neighbours, novelty=True).fit(sample)
    return np.asarray(-factor.score_samples(scaled), dtype=np.float64)


def ecod(rows: Floats) -> Floats:
    """Score by empirical cumulative distributions (Li et al. 2022, "ECOD", algorithm 1): the largest of three sums.

    Left tails, right tails, and per column the tail on the side it is skewed to.
    """
    count = len(rows)
    left, right = np.empty_like(rows), np.empty_like(rows)
    for column in range(rows.shape[1]):
        ordered = np.sort(rows[:, column])
        left[:, column] = -np.log(np.searchsorted(ordered, rows[:, column], side="right") / count)
        right[:, column] = -np.log((count - np.searchsorted(ordered, rows[:, column], side="left")) / count)
    centred = rows - rows.mean(axis=0)
    variance = (centred**2).mean(axis=0)
    skewed = (centred**3).mean(axis=0) / np.where(variance > 0, variance, 1.0) ** 1.5
    by_skew = left * -np.sign(np.sign(skewed) - 1) + right * np.sign(np.sign(skewed) + 1)
    return np.asarray(np.maximum(np.maximum(left, right), by_skew).sum(axis=1), dtype=np.float64)


def hbos(rows: Floats) -> Floats:
    """Score by histograms of ten bins per column (Goldstein, Dengel 2012), with PyOD's smoothing."""
    total = np.zeros(len(rows))
    for column in range(rows.shape[1]):
        density, edges = np.histogram(rows[:, column], bins=_HBOS_BINS, density=True)
        place = np.clip(np.searchsorted(edges, rows[:, column], side="left") - 1, 0, _HBOS_BINS - 1)
        total -= np.log2(density[place] + _HBOS_ALPHA)
    return total


PEERS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "IsolationForest": isolation_forest, "LOF": lof, "ECOD": ecod, "HBOS": hbos,
}  # fmt: skip
