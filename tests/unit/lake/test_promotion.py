"""When a newly trained model is used: the rules of the decision, on figures and on made-up features."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from audit_pipelines.derive import detector_choice
from audit_pipelines.derive.drift import ClassDrift, kolmogorov_smirnov
from audit_pipelines.derive.models import RegisteredModel
from audit_pipelines.derive.promotion import Measure, compare
from audit_pipelines.intelligence.detectors import Detector, fit
from audit_pipelines.intelligence.features import FEATURES, SURPRISES

START = datetime(2026, 3, 2, tzinfo=UTC)
OLD = RegisteredModel("anomaly_detector:old", "ab" * 32, 1000, "cd" * 32)
MEASURES = (Measure("agreement", 0.03), Measure("log_loss", 0.1, "lower"))
NO_LABELS = pl.DataFrame(schema={"seq": pl.Int64, "verdict": pl.String})


@pytest.mark.parametrize(
    ("new", "used"),
    [
        ({"agreement": 0.80, "log_loss": 0.50}, True),
        ({"agreement": 0.771, "log_loss": 0.59}, True),
        ({"agreement": 0.769, "log_loss": 0.50}, False),
        ({"agreement": 0.90, "log_loss": 0.61}, False),
        ({"agreement": None, "log_loss": 0.50}, True),
        ({}, True),
    ],
)
def test_what_falls_behind_by_more_than_its_tolerance_is_put_aside(new: dict[str, float | None], used: bool) -> None:
    decision = compare("new", new, OLD, {"agreement": 0.80, "log_loss": 0.50}, MEASURES, on="10 texts")
    assert decision.used is used
    assert decision.compared_with == OLD.model_id
    assert "10 texts" in decision.reason
    assert ("worse on" in decision.reason and OLD.model_id in decision.reason) or used


def made_up(events: int, *, odd: float = 0.0, seed: int = 1) -> pl.DataFrame:
    """Quiet features, and a share of the later fifth that is odd in every way."""
    random = np.random.default_rng(seed)
    minutes = pl.Series([START + timedelta(minutes=each) for each in range(events)])
    columns: dict[str, object] = {"seq": np.arange(events), "occurred_at": minutes}
    columns["actor_ref"] = [f"p{each % 30}" for each in range(events)]
    strange = (np.arange(events) >= events * 0.8) & (random.random(events) < odd)
    for name in (each.name for each in FEATURES):
        # As in real trails, most of what an event does is nothing new.
        values = random.exponential(0.5, events) * (random.random(events) < 0.2)
        if name in SURPRISES:
            values[strange] += 20.0
        columns[name] = values
    columns["risk"], columns["tenant_events"] = np.full(events, 0.3), np.arange(events, dtype=np.float64)
    return pl.DataFrame(columns)


def judge(features: pl.DataFrame, detector: Detector, in_use: tuple[RegisteredModel, Detector] | None):
    return detector_choice.judge(
        detector,
        "anomaly_detector:new",
        in_use,
        rows=features.height,
        take=features.__getitem__,
        labels=NO_LABELS,
        seed=0,
    )


def test_the_first_detector_is_used_and_measured_on_what_came_last() -> None:
    features = made_up(2000)
    decision = judge(features, fit(features, seed=0), None)
    assert decision.used
    assert decision.new is not None
    assert decision.new["events"] == 400
    assert decision.new["planted_found"] is not None


def test_an_equal_detector_is_used_and_one_that_cries_wolf_is_not() -> None:
    features = made_up(2000)
    good, in_use = fit(features, seed=0), (OLD, fit(features.head(1900), seed=0))
    old = RegisteredModel(OLD.model_id, OLD.digest, 1900, OLD.training_digest)
    assert judge(features, good, (old, in_use[1])).used
    quiet = features.head(1000).with_columns(pl.col(each.name) * 0.2 for each in FEATURES if each.name != "risk")
    wolf = judge(features, fit(quiet, seed=0), (old, in_use[1]))
    assert not wolf.used
    assert "excess_alerts" in wolf.reason


def test_both_are_measured_on_what_neither_knows_where_enough_came() -> None:
    features = made_up(2000)
    decision = judge(features, fit(features, seed=0), (OLD, fit(features.head(1000), seed=0)))
    assert "400 events that neither was fitted on" in decision.reason


def test_too_few_events_judge_nothing() -> None:
    features = made_up(300)
    old = RegisteredModel(OLD.model_id, OLD.digest, 290, OLD.training_digest)
    decision = judge(features, fit(features, seed=0), (old, fit(features.head(290), seed=0)))
    assert decision.used
    assert "too few" in decision.reason


def test_verdicts_rank_only_where_there_are_five_of_each() -> None:
    features = made_up(1000, odd=0.1)
    later = features.tail(200)
    detector = fit(features.head(800), seed=0)
    odd = later["type_new_actor"].to_numpy() > 15
    labels = pl.DataFrame({"seq": later["seq"], "verdict": np.where(odd, "true_positive", "benign")})
    ranked = detector_choice.figures_of(detector, later, labels)["verdicts_ranked"]
    assert ranked is not None
    assert ranked > 0.9
    assert detector_choice.figures_of(detector, later, labels.head(4))["verdicts_ranked"] is None


def test_distance_of_distributions() -> None:
    same = np.linspace(0, 1, 1000)
    assert kolmogorov_smirnov(same, same) == 0.0
    assert kolmogorov_smirnov(same, same + 2) == 1.0
    assert kolmogorov_smirnov(same, same + 0.25) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("psi", "unknown", "drifted"), [(0.1, 0.1, False), (0.3, 0.1, True), (0.0, 0.19, False), (0.0, 0.25, True)]
)
def test_classes_drift_by_shares_or_by_what_is_unknown(psi: float, unknown: float, drifted: bool) -> None:
    import uuid

    one = ClassDrift(uuid.uuid4(), "risk_classifier", psi, unknown, 0.1, 1000, 1000)
    assert one.drifted is drifted
