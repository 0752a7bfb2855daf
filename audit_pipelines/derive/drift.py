"""How scores are spread: the distribution that people look at, and how far the newest lie from those before.

Apart from `scoring`, because looking at scores needs none of the libraries that make them.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.derive.accesses import NO_MODEL
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake

_BINS: Final = 10
_LEAST_EVENTS: Final = 200
_RECENT_SHARE: Final = 0.2
_FLOOR: Final = 1e-4


@dataclass(frozen=True, slots=True)
class ScoreDrift:
    """How far a tenant's newest scores lie from those before, as a population stability index."""

    tenant_id: UUID
    recent: int
    earlier: int
    psi: float
    """0 is no change; above 0.25 is by custom a shift that somebody should look at."""


def score_drift(installation: Installation) -> list[ScoreDrift]:
    """Compare the newest fifth of each tenant's scores with the rest; tenants with few events are left out."""
    lake = Lake(installation.settings.lake_dir)
    found = []
    for tenant_id in lake.tenants():
        scores = lake.read("event_scores", tenant_id, ("occurred_at", "seq", "score", "model_id"))
        scores = scores.filter(pl.col("model_id") != NO_MODEL).sort("occurred_at", "seq")
        recent = int(scores.height * _RECENT_SHARE)
        if recent >= _LEAST_EVENTS:
            earlier, newest = scores["score"].to_numpy()[:-recent], scores["score"].to_numpy()[-recent:]
            found.append(ScoreDrift(tenant_id, recent, len(earlier), population_stability(earlier, newest)))
    return found


def population_stability(before: npt.NDArray[np.float64], now: npt.NDArray[np.float64]) -> float:
    """Return the population stability index of scores in 0..1 over ten equal bins."""
    shares = [
        np.maximum(np.histogram(values, _BINS, (0.0, 1.0))[0] / max(len(values), 1), _FLOOR) for values in (before, now)
    ]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def score_histogram(installation: Installation, bins: int = 40) -> list[float]:
    """Return log10(1 + events) of all tenants in equal bins of the score from 0 to 1."""
    lake = Lake(installation.settings.lake_dir)
    total = np.zeros(bins)
    for tenant_id in lake.tenants():
        scored = lake.read("event_scores", tenant_id, ("score", "model_id")).filter(pl.col("model_id") != NO_MODEL)
        scores = scored["score"].to_numpy()
        total += np.histogram(scores, bins, (0.0, 1.0))[0]
    return [float(value) for value in np.log10(1.0 + total)]
