"""Figures over scores, and the due times of a cron line."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from audit_pipelines.derive.drift import population_stability
from audit_pipelines.derive.embeddings import vector_text
from audit_pipelines.sensors import due_periods


def test_equal_spreads_do_not_drift() -> None:
    scores = np.linspace(0, 1, 1000)
    assert population_stability(scores, scores) == pytest.approx(0.0)


def test_moved_scores_drift() -> None:
    assert population_stability(np.full(1000, 0.1), np.full(200, 0.9)) > 1.0


def test_a_vector_survives_its_text() -> None:
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32) * 1e-3
    read = np.array([np.float32(value) for value in vector_text(vector)[1:-1].split(",")])
    assert (read == vector).all()


def test_a_weekly_report_covers_the_week_before_it_is_due() -> None:
    served = datetime(2026, 11, 17, tzinfo=UTC)
    assert due_periods("0 6 * * 1", served, datetime(2026, 11, 23, 6, tzinfo=UTC)) == [
        (datetime(2026, 11, 16, 6, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC))
    ]
    assert due_periods("0 6 * * 1", served, datetime(2026, 11, 23, 5, 59, tzinfo=UTC)) == []


def test_every_due_time_of_an_outage_is_caught_up_once() -> None:
    served = datetime(2026, 11, 10, 6, tzinfo=UTC)
    periods = due_periods("0 6 * * *", served, datetime(2026, 11, 13, 7, tzinfo=UTC))
    assert [due.day for _, due in periods] == [11, 12, 13]
    assert all(due - since == timedelta(days=1) for since, due in periods)
    assert due_periods("0 6 * * *", periods[-1][1], datetime(2026, 11, 13, 7, tzinfo=UTC)) == []


def test_a_leap_day_and_a_yearly_line() -> None:
    served = datetime(2028, 2, 29, 12, tzinfo=UTC)
    (period,) = due_periods("0 0 1 1 *", served, datetime(2029, 1, 2, tzinfo=UTC))
    assert period == (datetime(2028, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))
