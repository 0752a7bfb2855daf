import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.evidence import (
    BESIDE,
    DEPTH,
    INPUTS,
    MONOTONE,
    Evidence,
    from_arrays,
    inputs,
    log_odds,
    shipped,
)
from audit_pipelines.intelligence.features import SURPRISES
from benchmarks.evidence import as_arrays


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(3)
    tails = random.exponential(1.5, (2000, len(SURPRISES)))
    beside = np.column_stack((random.uniform(size=(2000, 2)), random.integers(0, 2, 2000), random.integers(0, 9, 2000)))
    return tails, beside.astype(np.float64)


def test_the_shipped_trees_see_what_this_version_computes():
    trees = shipped()
    assert len(trees.value) >= 50
    assert trees.feature.shape == trees.threshold.shape == (len(trees.value), 7)
    assert trees.feature.max() < len(INPUTS) == len(MONOTONE)


def test_no_input_moves_the_odds_against_its_direction(rows):
    tails, beside = rows[0][:300], rows[1][:300]
    before = log_odds(shipped(), tails, beside)
    for column in range(len(SURPRISES)):
        odder = tails.copy()
        odder[:, column] += 4.0
        assert (log_odds(shipped(), odder, beside) >= before - 1e-9).all(), SURPRISES[column]
    repeated = beside.copy()
    repeated[:, BESIDE.index("repeats_1h")] += 50
    assert (log_odds(shipped(), tails, repeated) <= before + 1e-9).all()


def test_trees_as_arrays_answer_as_the_library_does(rows):
    tails, beside = rows
    seen = inputs(tails, beside).T
    attack = (tails[:, 0] + 3 * beside[:, 0] > 4.5) | (tails[:, 5] > 6)
    grown = HistGradientBoostingClassifier(max_iter=12, max_depth=DEPTH, random_state=0, early_stopping=False)
    grown.fit(seen, attack)
    trees = Evidence(*as_arrays(grown))
    assert np.allclose(log_odds(trees, tails, beside), grown.decision_function(seen), atol=1e-9)


def test_a_row_is_judged_alone(rows):
    tails, beside = rows
    whole = log_odds(shipped(), tails, beside)
    assert (log_odds(shipped(), tails[7:8], beside[7:8]) == whole[7]).all()
    assert (log_odds(shipped(), np.asfortranarray(tails), beside) == whole).all()


def test_trees_over_other_inputs_are_refused():
    trees = shipped()
    arrays = {"feature": trees.feature, "threshold": trees.threshold, "value": trees.value}
    with pytest.raises(ValidationError, match="grow them anew"):
        from_arrays({**arrays, "inputs": np.array([*INPUTS[:-1], "other"])})
