import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from audit_pipelines.errors import ValidationError
from audit_pipelines.evaluation.metrics import (
    average_precision,
    budget_events,
    curve,
    found_within,
    group_rows,
    precision_at,
    ranking,
    recall_at,
)

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
ATTACK = np.array([True, False, True, False, True])


def test_average_precision_by_hand_and_as_sklearn_has_it():
    assert average_precision(SCORES, ATTACK) == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    random = np.random.default_rng(1)
    scores, attack = random.integers(0, 9, 400) / 9, random.uniform(size=400) < 0.1
    assert average_precision(scores, attack) == pytest.approx(average_precision_score(attack, scores))


def test_equal_scores_are_one_step_and_a_constant_earns_the_share_of_attacks():
    assert average_precision(np.ones(8), np.arange(8) < 2) == pytest.approx(0.25)
    steps = curve(np.array([0.5, 0.5, 0.1]), np.array([True, False, False]))
    assert steps.recall.tolist() == [1.0, 1.0]
    assert steps.precision.tolist() == pytest.approx([1 / 2, 1 / 3])


def test_nothing_to_find_is_nought_and_no_events_are_no_fault():
    none = np.zeros(5, dtype=bool)
    assert average_precision(SCORES, none) == recall_at(SCORES, none, 0.5) == 0.0
    assert group_rows(SCORES, none, ["a"] * 5, SCORES, 0.7) == []
    assert found_within([], 5, 0.5) == 0.0
    assert average_precision(np.zeros(0), np.zeros(0, dtype=bool)) == 0.0


def test_a_budget_counts_places_and_is_one_event_at_least():
    assert (budget_events(1000, 0.01), budget_events(1000, 0.05), budget_events(7, 0.01)) == (10, 50, 1)
    assert precision_at(SCORES, ATTACK, 2) == 0.5
    assert precision_at(SCORES, ATTACK, 20) == pytest.approx(3 / 20)
    assert recall_at(SCORES, ATTACK, 0.6) == pytest.approx(2 / 3)


def test_ties_do_not_follow_time():
    order = ranking(np.zeros(1000))
    assert sorted(order) == list(range(1000))
    assert 300 < np.mean(order[:50]) < 700


def test_incidents_tell_rank_budget_and_time_to_detect():
    rows = group_rows(SCORES, ATTACK, ["x", None, "y", None, "x"], np.array([100.0, 0, 50, 0, 40]), 0.75)
    assert [(row.name, row.events, row.best_rank, row.found) for row in rows] == [("x", 2, 1, True), ("y", 1, 3, False)]
    assert rows[0].seconds_to_detect == 60.0
    assert rows[1].seconds_to_detect is None
    assert found_within(rows, 5, 0.2) == 0.5
    assert found_within(rows, 5, 0.6) == 1.0


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValidationError, match="finite"):
        curve(np.array([0.1, np.nan]), np.array([True, False]))
