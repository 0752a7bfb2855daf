"""One labelled stream, scored causally by the product's own detector and by the peers, and judged alike.

Puts `labelled`, the features, the walk-forward detector and `metrics` together. Printing is the command's business.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.evaluation import metrics
from audit_pipelines.evaluation.labelled import Labelled
from audit_pipelines.evaluation.peers import PEERS, plain_counts
from audit_pipelines.intelligence.detectors import SCORE_THRESHOLD_DEFAULT, walk_forward
from audit_pipelines.intelligence.features import compute_features

Floats = npt.NDArray[np.float64]

OURS: Final = "audit-pipelines"
SEED: Final = 0
BUDGETS: Final = (0.005, 0.01, 0.05)
"""Alert budgets, as shares of all events, within which incidents and techniques are counted as found."""


@dataclass(frozen=True)
class Judgement:
    """What one detector did with one stream."""

    detector: str
    average_precision: float
    actor_days_average_precision: float
    """Of days of an actor, each with the highest score of its events."""
    precision_at_20: float
    precision_at_100: float
    recall_at_1_percent: float
    recall_at_5_percent: float
    incidents_found: tuple[float, ...]
    """Share of incidents with an event within each of BUDGETS."""
    techniques_found: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """A stream judged: the product first, then the peers."""

    dataset: str
    without: tuple[str, ...]
    judged_from: float
    events: int
    """Events judged; ignored ones and those before `judged_from` are not."""
    attacks: int
    actors: int
    days: float
    threshold: float
    alerts: int
    alerts_a_day: float
    true_alerts: int
    median_seconds_to_detect: float | None
    """Over incidents with an alert, from their first attack event; None without such."""
    judgements: tuple[Judgement, ...]
    incidents: tuple[metrics.GroupRow, ...]
    techniques: tuple[metrics.GroupRow, ...]
    curve: tuple[tuple[float, float], ...]
    """The product's (recall, precision)."""
    by_day: tuple[tuple[str, int, int], ...]
    """Day, alerts, and alerts that are attacks."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


def evaluate(
    labelled: Labelled, *, without: Sequence[str] = (), judged_from: float = 0.0, peers: Sequence[str] = tuple(PEERS)
) -> Report:
    """Score a stream event by event by its past alone and judge it; the peers score the same events knowing them all.

    `judged_from` is the share of events, in order of time, that only serve as past. Raises ValidationError where
    nothing is left to judge, or for a share that is none.
    """
    if not 0.0 <= judged_from < 1.0:
        raise ValidationError(f"expected a share of the events from 0 to below 1, got {judged_from}")
    frame = labelled.frame(without)
    truth = pl.DataFrame(
        {
            "seq": range(len(labelled.events)),
            "truth": [each.label.truth for each in labelled.events],
            "technique": [each.label.technique for each in labelled.events],
            "incident": [each.label.incident for each in labelled.events],
        },
        schema={"seq": pl.Int64, "truth": pl.String, "technique": pl.String, "incident": pl.String},
    )
    scored = walk_forward(compute_features(frame), seed=SEED).select("seq", pl.col("score").alias(OURS))
    events = frame.sort("occurred_at", "seq").select("seq", "occurred_at", "actor_ref")
    events = events.join(truth, on="seq", how="left", maintain_order="left")
    events = events.join(scored, on="seq", how="left", maintain_order="left")
    if peers:
        counts = plain_counts(frame)
        events = events.with_columns(pl.Series(name, PEERS[name](counts)) for name in peers)
    judged = events.slice(int(events.height * judged_from)).filter(pl.col("truth") != "ignored")
    if judged.is_empty():
        raise ValidationError(f"{labelled.name}: expected events to judge, got none")
    return _report(labelled.name, judged, (OURS, *peers), tuple(without), judged_from)


def _report(
    name: str, judged: pl.DataFrame, detectors: Sequence[str], without: tuple[str, ...], judged_from: float
) -> Report:
    attack = (judged["truth"] == "attack").to_numpy()
    seconds = judged["occurred_at"].dt.epoch("us").to_numpy() / 1e6
    scores = judged[OURS].to_numpy()
    alerts = scores >= SCORE_THRESHOLD_DEFAULT
    days = max((seconds[-1] - seconds[0]) / 86400.0, 1.0)
    # Where a set knows no incidents, what one technique did is one; where it knows no techniques, an actor's attack is.
    incident = judged.select(pl.coalesce("incident", "technique", "actor_ref", pl.lit("attack"))).to_series().to_list()
    technique = judged.select(pl.coalesce("technique", pl.lit("attack"))).to_series().to_list()
    groups = [
        metrics.group_rows(scores, attack, names, seconds, SCORE_THRESHOLD_DEFAULT) for names in (incident, technique)
    ]
    waits = [row.seconds_to_detect for row in groups[0] if row.seconds_to_detect is not None]
    by_day = (
        judged.select(day=pl.col("occurred_at").dt.date().cast(pl.String), alert=pl.Series(alerts), hit=alerts & attack)
        .group_by("day")
        .agg(pl.col("alert").sum().cast(pl.Int64), pl.col("hit").sum().cast(pl.Int64))
        .sort("day")
    )
    return Report(
        dataset=name,
        without=without,
        judged_from=judged_from,
        events=judged.height,
        attacks=int(attack.sum()),
        actors=judged["actor_ref"].n_unique(),
        days=round(days, 2),
        threshold=SCORE_THRESHOLD_DEFAULT,
        alerts=int(alerts.sum()),
        alerts_a_day=float(alerts.sum() / days),
        true_alerts=int((alerts & attack).sum()),
        median_seconds_to_detect=float(np.median(waits)) if waits else None,
        judgements=tuple(_judgement(each, judged, attack, (incident, technique), seconds) for each in detectors),
        incidents=tuple(groups[0]),
        techniques=tuple(groups[1]),
        curve=tuple(metrics.curve(scores, attack).thinned()),
        by_day=tuple(by_day.iter_rows()),
    )


def _judgement(
    detector: str, judged: pl.DataFrame, attack: metrics.Flags, groups: Sequence[Sequence[str]], seconds: Floats
) -> Judgement:
    scores = judged[detector].to_numpy()
    actor_days = judged.group_by("actor_ref", pl.col("occurred_at").dt.date()).agg(
        pl.col(detector).max(), attack=(pl.col("truth") == "attack").any()
    )
    found = [
        tuple(
            metrics.found_within(metrics.group_rows(scores, attack, names, seconds, np.inf), len(scores), budget)
            for budget in BUDGETS
        )
        for names in groups
    ]
    return Judgement(
        detector=detector,
        average_precision=metrics.average_precision(scores, attack),
        actor_days_average_precision=metrics.average_precision(
            actor_days[detector].to_numpy(), actor_days["attack"].to_numpy()
        ),
        precision_at_20=metrics.precision_at(scores, attack, 20),
        precision_at_100=metrics.precision_at(scores, attack, 100),
        recall_at_1_percent=metrics.recall_at(scores, attack, 0.01),
        recall_at_5_percent=metrics.recall_at(scores, attack, 0.05),
        incidents_found=found[0],
        techniques_found=found[1],
    )
