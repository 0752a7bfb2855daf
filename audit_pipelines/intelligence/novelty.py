"""How surprising it is that something is new to a group, and how far a value lies above a group's past.

Both weigh a group's own past against what the whole tenant does, so that newcomers and busy services do not drown
everything. Counting is done in `past`; what a column means is known to `features`.
"""

from typing import Final

import numpy as np

from audit_pipelines.intelligence.past import Flags, Floats, Group, Keys, log2, pair

FIXED: Final = 1 << 16
"""Fixed-point scale for sums of real values: 1/65536 is finer than any feature needs and sums stay exact."""

# How much the group's own past weighs against what the tenant's other groups of the same age do.
_PRIOR_EVENTS: Final = 4.0
_UNCOUNTED: Final = 64


def first_times(name: str, past: Group, key: Keys, value: Keys, counted: Flags | None = None) -> tuple[Flags, Floats]:
    """Return which rows show a value that is new to their group, and how surprising that is, in nats.

    `past` groups rows by `key`; `counted` marks rows that carry a value at all, None if all do.
    """
    met = past.stretch.group(name, pair(key, value))
    new = met.count() == 0
    if counted is not None:
        new &= counted
    return new, novelty(name, past, new, counted)


def novelty(name: str, past: Group, new: Flags, counted: Flags | None = None) -> Floats:
    """Return how surprising it is, in nats, that something is new to its group now; 0 where nothing is new.

    A first time says little about a newcomer or about somebody whose days are full of first times. So the surprise is
    -ln of the expected share of first times: that of the group in the later part of its past, backed by what all
    groups of the tenant did at the same age (in powers of two). `counted` marks rows that carry a value at all.
    """
    seen = past.count() if counted is None else past.total(f"{name} seen", counted)
    age = log2(seen + 1)
    same_age = past.stretch.few(f"{name} age", age if counted is None else np.where(counted, age, _UNCOUNTED))
    rows, age_all, age_new = same_age.totals_where("new", new, new)
    seen = seen.take(rows)
    base = (age_new + 1.0 / (1.0 + seen)) / (age_all + 1.0)
    own_new = past.recent(f"{name} new", new, rows)
    own_all = past.recent(f"{name} all", counted, rows)
    # The quarter keeps a first time in a long quiet past finite: about ln(4 n), never the ln of a chain of products.
    expected = (own_new + _PRIOR_EVENTS * base + 0.25) / (own_all + _PRIOR_EVENTS + 0.25)
    out = np.zeros(len(new))
    out[rows] = -np.log(np.clip(expected, 1e-9, 1.0))
    return out


def excess(name: str, past: Group, everyone: Group, value: Floats, spread: float) -> Floats:
    """Return by how many standard deviations a value lies above its group's past, shrunk towards the tenant's.

    `spread` is the least standard deviation, in the value's unit. Unit of the answer: standard deviations.
    """
    fixed = np.round(value * FIXED).astype(np.int64)
    # The second moment needs a coarser scale: squares of 16-bit fractions would outgrow 64 bits in long histories.
    square = np.round(value * value * 256).astype(np.int64)
    n_all = everyone.count()
    mean_all = everyone.total(f"{name} sum", fixed) / FIXED / np.maximum(n_all, 1)
    n = past.count()
    weight = 8.0
    mean = (past.total(f"{name} sum", fixed) / FIXED + weight * mean_all) / (n + weight)
    second_all = everyone.total(f"{name} squares", square) / 256 / np.maximum(n_all, 1)
    second = (past.total(f"{name} squares", square) / 256 + weight * second_all) / (n + weight)
    deviation = np.sqrt(np.maximum(second - mean * mean, 0.0) + spread * spread)
    return np.where(n_all > 0, (value - mean) / deviation, 0.0)
