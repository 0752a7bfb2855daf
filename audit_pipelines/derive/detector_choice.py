"""Whether a newly fitted detector may score: how it does on the events that came last, against the one in use.

Here: the split, what is measured on it, and the decision. Not here: fitting and registering (`training`), which place
of the history a model scores from (`walk_forward_models`). A detector that is put aside stays in the register and
scores nothing; those that the plan of `detectors.blocks` asks for are not judged, since without them nothing scores.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.derive.models import Decision, RegisteredModel
from audit_pipelines.derive.promotion import Measure, compare
from audit_pipelines.intelligence.detectors import ALERT_BUDGET, SCORE_THRESHOLD_DEFAULT, Detector, fit, score

Places = npt.NDArray[np.int64]
Take = Callable[[Places], pl.DataFrame]
"""Reads the features at some places in the order of behaviour, ascending."""

LATER_SHARE: Final = 0.2
FEWEST_LATER: Final = 200
MOST_LATER: Final = 20_000
MOST_EARLY: Final = 50_000

MEASURES: Final = (
    # Alerts beyond what was promised: half the budget is what the share of 0.005 varies by from week to week.
    Measure("excess_alerts", ALERT_BUDGET / 2, "lower"),
    Measure("planted_found", 0.10),
    Measure("verdicts_ranked", 0.05),
)
"""How far a new detector may fall behind the one in use, on the same events."""

_PLANTED: Final = 50
_FEWEST_VERDICTS: Final = 5
# What an attack looks like that uses what nobody used before: columns of `event_features`, and values for them.
_NEW_THINGS: Final = ("type_new_actor", "type_new_tenant", "network_new_actor", "agent_new_actor", "kind_new_actor")


def judge(
    detector: Detector,
    model_id: str,
    in_use: tuple[RegisteredModel, Detector] | None,
    *,
    rows: int,
    take: Take,
    labels: pl.DataFrame,
    seed: int,
) -> Decision:
    """Decide whether `detector`, fitted on all `rows`, may score what comes.

    Where at least 400 events came after the one in use was fitted, a trial fitted on what came before the later half
    of them is compared with it there, so that neither knows what it is measured on. With fewer, both are measured as
    they are on the last fifth, which both know. `labels` are the verdicts (columns seq, verdict).
    """
    if in_use is None:
        figures = later_figures(rows, take, labels, seed=seed)
        return Decision(model_id, True, "the first of its kind that reads these features", new=figures)
    old, old_detector = in_use
    came_after = rows - old.rows
    if came_after >= 2 * FEWEST_LATER:
        split = max(int(rows * (1 - LATER_SHARE)), old.rows + came_after // 2)
        trial = fit(take(_even(0, split, MOST_EARLY)), seed=seed)
        on = f"{rows - split} events that neither was fitted on"
    else:
        split, trial = int(rows * (1 - LATER_SHARE)), detector
        on = f"{rows - split} events that both were fitted on, since {came_after} new ones are too few"
    if rows - split < FEWEST_LATER:
        return Decision(model_id, True, f"{rows - split} later events are too few to judge by", old.model_id)
    later = take(_even(split, rows, MOST_LATER))
    mine, theirs = figures_of(trial, later, labels), figures_of(old_detector, later, labels)
    return compare(model_id, mine, old, theirs, MEASURES, on=on)


def later_figures(rows: int, take: Take, labels: pl.DataFrame, *, seed: int) -> dict[str, float | None] | None:
    """Fit on the first four fifths and measure on the last; None where that is too little to say anything."""
    split = int(rows * (1 - LATER_SHARE))
    if rows - split < FEWEST_LATER:
        return None
    trial = fit(take(_even(0, split, MOST_EARLY)), seed=seed)
    return {"from_place": split, **figures_of(trial, take(_even(split, rows, MOST_LATER)), labels)}


def figures_of(detector: Detector, later: pl.DataFrame, labels: pl.DataFrame) -> dict[str, float | None]:
    """Return what a detector makes of later events.

    `alert_share` and `excess_alerts` (the share of events over the threshold, and what of it is over the budget),
    `planted_found` (the share of 50 planted events, each new in kind, network and tool and of some harm, among the
    highest 5 % of scores), `verdicts_ranked` (ROC-AUC of confirmed attacks against what was none; None with fewer than
    five of either).
    """
    scores = score(detector, later)
    share = float((scores >= SCORE_THRESHOLD_DEFAULT).mean())
    planted = score(detector, _planted(later))
    line = float(np.quantile(scores, 0.95))
    return {
        "events": float(later.height),
        "alert_share": share,
        "excess_alerts": max(share - ALERT_BUDGET, 0.0),
        "planted_found": float((planted > line).mean()),
        "verdicts_ranked": _ranked(later["seq"], scores, labels),
    }


def _planted(later: pl.DataFrame) -> pl.DataFrame:
    """Return later events as they would be if what they did had never been done by anybody before."""
    chosen = later[_even(0, later.height, _PLANTED)]
    known = [name for name in _NEW_THINGS if name in later.columns]
    highest: dict[str, Any] = {name: later[name].max() for name in known}
    return chosen.with_columns(
        *(pl.lit(value).cast(later.schema[name]).alias(name) for name, value in highest.items()),
        risk=pl.lit(0.8).cast(later.schema["risk"]),
    )


def _ranked(seqs: pl.Series, scores: npt.NDArray[np.float64], labels: pl.DataFrame) -> float | None:
    told = dict(labels.select("seq", "verdict").iter_rows()) if labels.height else {}
    verdicts = np.array([told.get(seq, "") for seq in seqs.to_list()])
    attacks, others = scores[verdicts == "true_positive"], scores[np.isin(verdicts, ("false_positive", "benign"))]
    if min(len(attacks), len(others)) < _FEWEST_VERDICTS:
        return None
    above = (attacks[:, None] > others[None, :]).mean() + 0.5 * (attacks[:, None] == others[None, :]).mean()
    return float(above)


def _even(start: int, stop: int, most: int) -> Places:
    """Choose up to so many places in an even spread."""
    return np.unique(np.linspace(start, stop - 1, min(most, stop - start)).astype(np.int64))
