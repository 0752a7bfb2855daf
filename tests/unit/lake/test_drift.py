"""Figures over scores, and the due times of a cron line."""

import numpy as np
import pytest

from audit_pipelines.derive.drift import population_stability
from audit_pipelines.derive.embeddings import vector_text


def test_equal_spreads_do_not_drift() -> None:
    scores = np.linspace(0, 1, 1000)
    assert population_stability(scores, scores) == pytest.approx(0.0)


def test_moved_scores_drift() -> None:
    assert population_stability(np.full(1000, 0.1), np.full(200, 0.9)) > 1.0


def test_a_vector_survives_its_text() -> None:
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32) * 1e-3
    read = np.array([np.float32(value) for value in vector_text(vector)[1:-1].split(",")])
    assert (read == vector).all()
