"""How well scores put attacks first, in the terms an analyst pays for.

Average precision, precision and recall within an alert budget, incidents found and how soon. No ROC-AUC, which reads
0.99 where the first twenty alerts are all false. Plain arrays in, plain numbers out; where scores come from is not
known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from audit_pipelines.errors import ValidationError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_CURVE_POINTS: Final = 200


@dataclass(frozen=True)
class Curve:
    """Precision over recall, one point per distinct score, from the highest score down."""

    recall: Floats
    precision: Floats

    def thinned(self) -> list[tuple[float, float]]:
        """Return at most some 200 points (recall, precision), fit for a plot."""
        keep = np.unique(np.linspace(0, max(len(self.recall) - 1, 0), _CURVE_POINTS).astype(np.int64))
        return [(float(self.recall[at]), float(self.precision[at])) for at in keep if at < len(self.recall)]


def curve(scores: Floats, attack: Flags) -> Curve:
    """Return precision over recall; equal scores are one step, since nobody can tell them apart.

    Raises ValidationError where a score is no finite number.
    """
    if not np.isfinite(scores).all():
        at = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValidationError(f"expected finite scores, got {scores[at]} for event {at}; mend the detector")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, dtype=np.int64)
    hits = np.cumsum(attack[order])[last].astype(np.float64)
    positives = max(int(attack.sum()), 1)
    return Curve(hits / positives, hits / (last + 1.0))


def average_precision(scores: Floats, attack: Flags) -> float:
    """Return the area under precision over recall in steps (Manning et al. 2008, chapter 8.4); 0 without attacks.

    A constant score earns the share of attacks and no more.
    """
    if not attack.any():
        return 0.0
    steps = curve(scores, attack)
    return float((np.diff(steps.recall, prepend=0.0) * steps.precision).sum())


def ranking(scores: Floats) -> Ints:
    """Return row numbers from the highest score down; equal scores in an order that has nothing to do with time.

    The order of equal scores is a fixed shuffle: rows mostly come in order of time and attacks late, so neither end
    may profit from it.
    """
    shuffle = np.random.default_rng(0).permutation(len(scores))
    return shuffle[np.argsort(-scores[shuffle], kind="stable")].astype(np.int64)


def precision_at(scores: Floats, attack: Flags, count: int) -> float:
    """Return the share of attacks among the `count` highest scores; places that nothing fills count as false."""
    return float(attack[ranking(scores)[:count]].sum()) / count


def budget_events(events: int, share: float) -> int:
    """Return how many events an alert budget of `share` of all allows; one at least."""
    return max(1, int(np.floor(events * share + 1e-9)))


def recall_at(scores: Floats, attack: Flags, share: float) -> float:
    """Return the share of attacks within the highest `share` of all scores; 0 without attacks."""
    positives = int(attack.sum())
    within = ranking(scores)[: budget_events(len(scores), share)]
    return float(attack[within].sum()) / positives if positives else 0.0


@dataclass(frozen=True)
class GroupRow:
    """How one incident or technique fared."""

    name: str
    events: int
    """Its attack events."""
    best_rank: int
    """Place of its highest score among all events, 1 is the highest."""
    best_share: float
    """The same as a share of all events: the smallest alert budget that finds it."""
    found: bool
    """Whether one of its events reached the threshold."""
    seconds_to_detect: float | None
    """From its first attack event to its first at the threshold; None where none reached it."""


def group_rows(
    scores: Floats, attack: Flags, groups: Sequence[str | None], seconds: Floats, threshold: float
) -> list[GroupRow]:
    """Return one row per group of attack events, by name; `seconds` are the events' moments."""
    rank = np.empty(len(scores), dtype=np.int64)
    rank[ranking(scores)] = np.arange(1, len(scores) + 1)
    members: dict[str, list[int]] = {}
    for at in np.flatnonzero(attack).tolist():
        name = groups[at]
        if name is not None:
            members.setdefault(name, []).append(at)
    rows = []
    for name, places in sorted(members.items()):
        alerts = [seconds[at] for at in places if scores[at] >= threshold]
        best = int(min(rank[at] for at in places))
        waited = float(min(alerts) - min(seconds[at] for at in places)) if alerts else None
        rows.append(GroupRow(name, len(places), best, best / len(scores), bool(alerts), waited))
    return rows


def found_within(rows: Sequence[GroupRow], events: int, share: float) -> float:
    """Return the share of groups with an event within an alert budget of `share` of all events; 0 without groups."""
    allowed = budget_events(events, share)
    return sum(row.best_rank <= allowed for row in rows) / len(rows) if rows else 0.0
