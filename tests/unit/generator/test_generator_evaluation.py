"""The verdict on a detector: numbers counted by hand, and average precision as sklearn has it."""

import math
from random import Random

import pytest
from sklearn.metrics import average_precision_score

from audit_pipelines.errors import ValidationError
from audit_pipelines.generator import TruthLabel, evaluate

TRUTH = (
    TruthLabel("a1", "incident-01", "mass_export", core=True),
    TruthLabel("a2", "incident-01", "mass_export", core=True),
    TruthLabel("a3", "incident-01", "mass_export", core=False),
    TruthLabel("b1", "incident-02", "mfa_fatigue", core=True),
)
SCORED = (("a3", 0.99), ("n1", 0.95), ("a1", 0.9), ("n2", 0.8), ("a2", 0.3), ("b1", 0.2), ("n3", 0.1))


def test_counts_by_hand():
    verdict = evaluate(TRUTH, SCORED, threshold=0.7, budgets=(1, 3))
    assert (verdict.events, verdict.core_events, verdict.unscored_core_events) == (7, 3, 0)
    assert (verdict.alerts, verdict.true_alerts, verdict.false_alerts) == (4, 1, 2)
    assert (verdict.incidents, verdict.incidents_found, verdict.recall) == (2, 1, 0.5)
    # a3 is nobody's merit: the first two looked at are n1 and a1.
    assert [row.precision for row in verdict.by_budget] == [0.0, pytest.approx(1 / 3)]
    assert [row.incidents_found for row in verdict.by_budget] == [0, 1]
    assert verdict.average_precision == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)


def test_a_row_for_every_kind():
    verdict = evaluate(TRUTH, SCORED, threshold=0.7, budgets=(1, 3))
    assert [(row.kind, row.found, row.found_in_budget, row.best_rank) for row in verdict.by_kind] == [
        ("mass_export", 1, (0, 1), 3),
        ("mfa_fatigue", 0, (0, 0), 6),
    ]
    assert verdict.rows()[0] == ("mass export", "1", "1", "0", "1", "3")
    assert len(verdict.header()) == len(verdict.rows()[0])


def test_average_precision_is_that_of_sklearn():
    rng = Random(4)
    for _ in range(50):
        # Coarse scores, so that there are many ties.
        rows = [(f"e{n}", rng.random() < 0.2, round(rng.random(), 1)) for n in range(60)]
        truth = [TruthLabel(one, "incident-01", "mass_export", core=True) for one, attack, _score in rows if attack]
        if not truth:
            continue
        verdict = evaluate(truth, [(one, score) for one, _attack, score in rows])
        expected = average_precision_score([attack for _one, attack, _s in rows], [score for _o, _a, score in rows])
        assert verdict.average_precision == pytest.approx(expected)


def test_a_constant_score_earns_the_base_rate():
    scored = [(event_id, 0.5) for event_id, _score in SCORED if event_id != "a3"]
    assert evaluate(TRUTH, scored).average_precision == pytest.approx(3 / 6)


def test_a_missing_score_is_a_miss():
    verdict = evaluate(TRUTH, [("a1", 0.9)])
    assert verdict.unscored_core_events == 2
    assert verdict.average_precision == pytest.approx(1 / 3)
    assert verdict.by_kind[1].best_rank is None
    assert verdict.rows()[1][-1] == "–"


def test_the_threshold_itself_alerts_and_the_highest_of_two_scores_counts():
    verdict = evaluate(TRUTH, [("b1", 0.1), ("b1", 0.7), ("b1", 0.2)], threshold=0.7)
    assert (verdict.events, verdict.alerts, verdict.incidents_found) == (1, 1, 1)


def test_no_truth_and_no_scores():
    verdict = evaluate([], [])
    assert (verdict.average_precision, verdict.recall, verdict.rows()) == (0.0, 0.0, [])


def test_scores_must_be_numbers():
    with pytest.raises(ValidationError, match="finite score, got nan for event a1"):
        evaluate(TRUTH, [("a1", math.nan)])
