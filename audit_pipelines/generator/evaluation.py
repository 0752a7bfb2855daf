"""How well a detector's scores match the truth, in the terms an analyst pays for.

Average precision, precision within an alert budget and incidents found; no ROC-AUC, which reads 0.99 where the first
twenty alerts are all false. Scores come from elsewhere; nothing here knows how they were made.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audit_pipelines.errors import ValidationError
from audit_pipelines.evaluation.metrics import average_precision
from audit_pipelines.generator.truth import AttackKind, TruthLabel

BUDGETS = (20, 50, 100, 200)


@dataclass(frozen=True)
class BudgetRow:
    """What somebody finds who looks at the `budget` highest scores."""

    budget: int
    precision: float
    """Core events among those looked at; the don't-care events of an incident are skipped."""
    incidents_found: int


@dataclass(frozen=True)
class KindRow:
    """How the incidents of one kind fared."""

    kind: AttackKind
    incidents: int
    found: int
    """Incidents with a core event at or over the threshold."""
    found_in_budget: tuple[int, ...]
    """Incidents with a core event among the highest scores, one number per budget."""
    best_score: float | None
    """Highest score of any core event; None where none was scored."""
    best_rank: int | None
    """Its place among all scored events, 1 is the highest."""


@dataclass(frozen=True)
class Evaluation:
    """The verdict on one set of scores."""

    events: int
    core_events: int
    unscored_core_events: int
    """Core events that got no score at all; they count as missed."""
    threshold: float
    average_precision: float
    alerts: int
    true_alerts: int
    false_alerts: int
    """Alerts that belong to no incident. `alerts - true - false` fell on an incident's don't-care events."""
    incidents: int
    incidents_found: int
    by_budget: tuple[BudgetRow, ...]
    by_kind: tuple[KindRow, ...]

    @property
    def recall(self) -> float:
        """Return the share of incidents found at the threshold."""
        return self.incidents_found / self.incidents if self.incidents else 0.0

    def header(self) -> tuple[str, ...]:
        """Return the columns of `rows`."""
        budgets = (f"top {row.budget}" for row in self.by_budget)
        return ("attack", "incidents", f"found ≥ {self.threshold:g}", *budgets, "best rank")

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per kind of attack, as text, for a table under `header`."""
        return [
            (
                row.kind.replace("_", " "),
                str(row.incidents),
                str(row.found),
                *map(str, row.found_in_budget),
                "–" if row.best_rank is None else str(row.best_rank),
            )
            for row in self.by_kind
        ]


def evaluate(
    truth: Iterable[TruthLabel],
    scored: Iterable[tuple[str, float]],
    threshold: float = 0.7,
    budgets: Sequence[int] = BUDGETS,
) -> Evaluation:
    """Judge scores of events against the truth.

    An event scored twice counts with its highest score. Equal scores are ranked by event id, which is as good as
    chance; average precision treats them as one step, so a constant score earns the share of attacks and no more.
    An incident is found when any of its core events is.

    Raises ValidationError where a score is not a finite number.
    """
    labels = {label.event_id: label for label in truth}
    scores: dict[str, float] = {}
    for event_id, score in scored:
        if not math.isfinite(score):
            raise ValidationError(f"Expected a finite score, got {score} for event {event_id}. Mend the detector.")
        scores[event_id] = max(score, scores.get(event_id, score))
    ranked = sorted(scores, key=lambda event_id: (-scores[event_id], event_id))
    core = {event_id for event_id, label in labels.items() if label.core}
    judged = [event_id for event_id in ranked if event_id in core or event_id not in labels]
    ranked_core = [(place, labels[one], scores[one]) for place, one in enumerate(ranked, start=1) if one in core]
    alerts = [event_id for event_id in ranked if scores[event_id] >= threshold]
    incidents = {label.incident_id: label.kind for label in labels.values()}
    found = _found(labels, core, alerts)
    in_budget = [_found(labels, core, ranked[:budget]) for budget in budgets]
    return Evaluation(
        events=len(scores),
        core_events=len(core),
        unscored_core_events=len(core - scores.keys()),
        threshold=threshold,
        average_precision=_average_precision([(scores[one], one in core) for one in judged], len(core)),
        alerts=len(alerts),
        true_alerts=sum(event_id in core for event_id in alerts),
        false_alerts=sum(event_id not in labels for event_id in alerts),
        incidents=len(incidents),
        incidents_found=len(found),
        by_budget=tuple(
            BudgetRow(budget, sum(one in core for one in judged[:budget]) / budget, len(seen))
            for budget, seen in zip(budgets, in_budget, strict=True)
        ),
        by_kind=tuple(
            _kind_row(
                kind, ranked_core, {one for one, its_kind in incidents.items() if its_kind == kind}, found, in_budget
            )
            for kind in sorted(set(incidents.values()))
        ),
    )


def _found(labels: dict[str, TruthLabel], core: set[str], event_ids: Iterable[str]) -> set[str]:
    return {labels[event_id].incident_id for event_id in event_ids if event_id in core}


def _kind_row(
    kind: AttackKind,
    ranked_core: Sequence[tuple[int, TruthLabel, float]],
    incidents: set[str],
    found: set[str],
    in_budget: Sequence[set[str]],
) -> KindRow:
    """`ranked_core` holds place, label and score of every scored core event, the highest first."""
    best = next(((place, score) for place, label, score in ranked_core if label.kind == kind), None)
    return KindRow(
        kind=kind,
        incidents=len(incidents),
        found=len(incidents & found),
        found_in_budget=tuple(len(incidents & seen) for seen in in_budget),
        best_score=best[1] if best else None,
        best_rank=best[0] if best else None,
    )


def _average_precision(judged: Sequence[tuple[float, bool]], positives: int) -> float:
    """Return what `metrics.average_precision` says; positives that were not scored lower the recall."""
    if not positives:
        return 0.0
    scores = np.array([score for score, _ in judged])
    attack = np.array([is_attack for _, is_attack in judged], dtype=bool)
    return average_precision(scores, attack) * int(attack.sum()) / positives
