"""How far the newest scores, features and classes lie from those before, and the spread of scores people look at.

Apart from `scoring`, because looking at scores needs none of the libraries that make them. What "the newest" is: the
events of the last days, by when they happened, against all before them; a tenant with few of either is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.derive.accesses import NO_MODEL
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.versions import Version

SPREAD: Final = "spread"
"""The note of a part of `event_scores` that says how its scores are spread."""
_SPREAD_BINS: Final = 40
_BINS: Final = 10
_LEAST_EVENTS: Final = 200
_RECENT_SHARE: Final = 0.2
_FLOOR: Final = 1e-4
# A label below this share may come or go unseen: ten events of a thousand are no drift.
_RARE: Final = 0.01

RECENT_DAYS: Final = 7
RECENT_WHOLE_DAYS_OF: Final = 3
"""A history shorter than so many times RECENT_DAYS is cut at its last third instead."""
_SHORTEST: Final = timedelta(days=5)
"""Of a shorter history one part is a night or a Sunday: bursts alone then differ by a KS distance of 0.58."""
_LEAST_RECENT: Final = 500
_LEAST_EARLIER: Final = 1_000
_MOST_COMPARED: Final = 50_000

KS_LIMIT: Final = 0.45
"""Measured on six made-up companies of 7 and 28 days that keep their habits: up to 0.26 with 60 people and more, 0.37
with 30 (`burst_24h`, over a weekend); the labels of classifiers moved by a PSI of 0.01."""
CLASS_LIMIT: Final = 0.25
UNKNOWN_LIMIT: Final = 0.10


@dataclass(frozen=True, slots=True)
class ScoreDrift:
    """How far a tenant's newest scores lie from those before, as a population stability index."""

    tenant_id: UUID
    recent: int
    earlier: int
    psi: float
    """0 is no change; above 0.25 is by custom a shift that somebody should look at."""


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How far one feature of a tenant's newest events lies from before: the Kolmogorov-Smirnov distance, 0..1."""

    tenant_id: UUID
    feature: str
    ks: float
    recent: int
    earlier: int


@dataclass(frozen=True, slots=True)
class ClassDrift:
    """How far what a classifier says of a tenant's newest events lies from before."""

    tenant_id: UUID
    classifier: str
    psi: float
    """Population stability index over the labels."""
    unknown: float
    """Share of the newest events that it does not know."""
    unknown_before: float
    recent: int
    earlier: int

    @property
    def drifted(self) -> bool:
        """Whether somebody should look: the shares moved, or it knows fewer events than it did."""
        return self.psi > CLASS_LIMIT or self.unknown - self.unknown_before > UNKNOWN_LIMIT


def feature_drift(installation: Installation) -> list[FeatureDrift]:
    """Compare each feature that models read, tenant by tenant, the farthest first."""
    lake = Lake(installation.settings.lake_dir)
    found = []
    for tenant_id in lake.tenants():
        events = lake.read("event_features", tenant_id, ("occurred_at", "seq", *SURPRISES))
        for earlier, recent in _cut(events):
            found += [
                FeatureDrift(
                    tenant_id,
                    name,
                    kolmogorov_smirnov(earlier[name].to_numpy(), recent[name].to_numpy()),
                    recent.height,
                    earlier.height,
                )
                for name in SURPRISES
            ]
    return sorted(found, key=lambda one: (-one.ks, str(one.tenant_id), one.feature))


def class_drift(installation: Installation) -> list[ClassDrift]:
    """Compare the shares of what the classifiers say, tenant by tenant, the farthest first."""
    lake = Lake(installation.settings.lake_dir)
    found = []
    for tenant_id in lake.tenants():
        tags = lake.read("event_tags", tenant_id, ("seq", "category", "risk"))
        times = lake.events(tenant_id, columns=("seq", "occurred_at"))
        for earlier, recent in _cut(tags.join(times, on="seq", how="inner")):
            for name in ("category", "risk"):
                before, now = _shares(earlier[name]), _shares(recent[name])
                labels = sorted(before.keys() | now.keys())
                pairs = [(max(before.get(one, 0.0), _RARE), max(now.get(one, 0.0), _RARE)) for one in labels]
                found.append(
                    ClassDrift(
                        tenant_id,
                        f"{name}_classifier",
                        float(sum((new - old) * np.log(new / old) for old, new in pairs)),
                        now.get("unknown", 0.0),
                        before.get("unknown", 0.0),
                        recent.height,
                        earlier.height,
                    )
                )
    return sorted(found, key=lambda one: (-one.psi, str(one.tenant_id), one.classifier))


def kolmogorov_smirnov(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> float:
    """Return the largest distance between two empirical distributions, 0 (equal) to 1 (apart)."""
    first, second = np.sort(before), np.sort(now)
    points = np.concatenate((first, second))
    shares = [np.searchsorted(values, points, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def _cut(events: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield what came before and the newest, an even sample of each; nothing where either is too little."""
    if events.is_empty():
        return
    ordered = events.sort("occurred_at", "seq")
    since, until = ordered["occurred_at"][0], ordered["occurred_at"][-1]
    if until - since < _SHORTEST:
        return
    days = timedelta(days=RECENT_DAYS)
    start = until - (days if until - since >= RECENT_WHOLE_DAYS_OF * days else (until - since) / 3)
    earlier, recent = ordered.filter(pl.col("occurred_at") < start), ordered.filter(pl.col("occurred_at") >= start)
    if earlier.height >= _LEAST_EARLIER and recent.height >= _LEAST_RECENT:
        yield _sample(earlier), _sample(recent)


def _sample(events: pl.DataFrame) -> pl.DataFrame:
    return events.gather_every(max(1, events.height // _MOST_COMPARED))


def _shares(labels: pl.Series) -> dict[str, float]:
    told = labels.fill_null("unknown")
    return {label: count / len(told) for label, count in told.value_counts().iter_rows()}


def spread(scores: pl.DataFrame) -> dict[str, list[int]]:
    """Return what a part of `event_scores` notes of its scores, so that looking at all of them reads none of them."""
    return {SPREAD: [int(count) for count in _counts(scores)]}


def _counts(scores: pl.DataFrame) -> npt.NDArray[np.int64]:
    scored = scores.filter(pl.col("model_id") != NO_MODEL)["score"].to_numpy()
    return np.histogram(scored, _SPREAD_BINS, (0.0, 1.0))[0].astype(np.int64)


def _spreads(version: Version | None) -> npt.NDArray[np.int64]:
    """Return [parts, bins] of a tenant's scores; none of scores that an older version wrote."""
    noted = [part.notes.get(SPREAD) for part in version.parts] if version else []
    return np.array([] if None in noted else noted, dtype=np.int64).reshape(-1, _SPREAD_BINS)


def scored_events(version: Version | None) -> int:
    """Return how many events of a tenant have a score by a model, from what the parts note."""
    return int(_spreads(version).sum())


def score_drift(installation: Installation) -> list[ScoreDrift]:
    """Compare the newest fifth of each tenant's scores with the rest; tenants with few events are left out.

    Reads one part: that in which the newest fifth begins.
    """
    lake = Lake(installation.settings.lake_dir)
    found = []
    for tenant_id in lake.tenants():
        version = lake.version("event_scores", tenant_id)
        counts = _spreads(version)
        recent = int(counts.sum() * _RECENT_SHARE)
        if version and recent >= _LEAST_EVENTS:
            newest = _newest(version, counts, recent)
            earlier = counts.sum(axis=0) - newest
            psi = _stability(*(each.reshape(_BINS, -1).sum(axis=1) for each in (earlier, newest)))
            found.append(ScoreDrift(tenant_id, recent, int(earlier.sum()), psi))
    return found


def _newest(version: Version, counts: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """Return the spread of so many of the newest scores."""
    newest = np.zeros(_SPREAD_BINS, dtype=np.int64)
    for part, own in zip(reversed(version.parts), reversed(counts), strict=True):
        if own.sum() > rows:
            columns = pl.read_parquet(
                version.folder / part.name, columns=["score", "model_id"], hive_partitioning=False
            )
            return newest + _counts(columns.filter(pl.col("model_id") != NO_MODEL).tail(rows))
        newest += own
        rows -= int(own.sum())
    return newest


def population_stability(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> float:
    """Return the population stability index of scores in 0..1 over ten equal bins."""
    return _stability(*(np.histogram(values, _BINS, (0.0, 1.0))[0] for values in (before, now)))


def _stability(before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> float:
    shares = [np.maximum(counts / max(int(counts.sum()), 1), _FLOOR) for counts in (before, now)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def score_histogram(installation: Installation) -> list[float]:
    """Return log10(1 + events) of all tenants in 40 equal bins of the score from 0 to 1, from what the parts note."""
    lake = Lake(installation.settings.lake_dir)
    total = np.zeros(_SPREAD_BINS)
    for tenant_id in lake.tenants():
        total += _spreads(lake.version("event_scores", tenant_id)).sum(axis=0)
    return [float(value) for value in np.log10(1.0 + total)]
