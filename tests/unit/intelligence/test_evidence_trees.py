import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.evidence import (
    BESIDE,
    FREE,
    INPUTS,
    RISING,
    SIEVED,
    added_up,
    ends,
    from_arrays,
    inputs,
    log_odds,
    shipped,
)
from audit_pipelines.intelligence.features import SURPRISES
from benchmarks.evidence import as_trees


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(3)
    tails = random.exponential(1.5, (2000, len(SURPRISES)))
    beside = np.column_stack((random.uniform(size=(2000, 2)), random.integers(0, 2, 2000), random.integers(0, 9, 2000)))
    return tails, beside.astype(np.float64)


def test_the_shipped_trees_see_what_this_version_computes():
    for trees in (shipped().sieve, shipped().fine):
        assert len(trees.value) >= 50
        assert trees.feature.shape == trees.threshold.shape == (len(trees.value), trees.value.shape[1] - 1)
        assert trees.feature.max() < len(INPUTS) == len(RISING) == len(FREE)


def test_the_sieve_lets_through_what_is_odd_and_little_else(rows):
    tails, beside = rows
    usual = log_odds(shipped(), tails * 0.2, np.zeros_like(beside))
    odd = log_odds(shipped(), tails * 4.0, beside)
    assert (usual == SIEVED).mean() > 0.9
    assert (odd > SIEVED).mean() > 0.9
    passed = added_up(shipped().sieve, inputs(tails, beside)) > 0.0
    fine = added_up(shipped().fine, inputs(tails, beside))
    assert (log_odds(shipped(), tails, beside) == np.where(passed, fine, SIEVED)).all()


def test_an_odder_event_never_fails_the_sieve_that_a_less_odd_one_passed(rows):
    tails, beside = rows[0][:300], rows[1][:300]
    before = added_up(shipped().sieve, inputs(tails, beside))
    for column in range(len(SURPRISES)):
        odder = tails.copy()
        odder[:, column] += 4.0
        assert (added_up(shipped().sieve, inputs(odder, beside)) >= before - 1e-9).all(), SURPRISES[column]


def test_more_harm_never_lowers_the_odds_and_a_repetition_never_raises_them(rows):
    tails, beside = rows[0][:300], rows[1][:300]
    before = log_odds(shipped(), tails, beside)
    for name, more in (("risk", 0.4), ("exposed", 1.0), ("repeats_1h", -50.0)):
        harmful = beside.copy()
        harmful[:, BESIDE.index(name)] += more
        assert (log_odds(shipped(), tails, harmful) >= before - 1e-9).all(), name
    assert (log_odds(shipped(), tails, beside + np.array([0.4, 0.0, 0.0, 0.0])) > before).any()


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_trees_as_arrays_answer_as_the_library_does(rows, depth):
    tails, beside = rows
    seen = inputs(tails, beside)
    attack = (tails[:, 0] + 3 * beside[:, 0] > 4.5) | (tails[:, 5] > 6)
    grown = HistGradientBoostingClassifier(
        max_iter=12, max_depth=depth, min_samples_leaf=5, random_state=0, early_stopping=False
    )
    grown.fit(seen.T, attack)
    answers = added_up(as_trees(grown, depth=depth, above=0.5), seen)
    # Values are kept in 32 bits.
    assert np.allclose(answers + 0.5, grown.decision_function(seen.T), atol=1e-5)


def test_an_event_comes_out_where_walking_down_the_tree_leads():
    random = np.random.default_rng(5)
    for depth in range(1, 9):
        above = random.integers(0, 2, (2**depth - 1, 37)).astype(bool)
        above[random.uniform(size=len(above)) < 0.3] = False
        walked = []
        for event in range(37):
            node = 0
            for _ in range(depth):
                node = 2 * node + 1 + int(above[node, event])
            walked.append(node - 2**depth + 1)
        assert ends([np.packbits(each) if each.any() else None for each in above], 37).tolist() == walked


def test_a_row_is_judged_alone(rows):
    tails, beside = rows
    whole = log_odds(shipped(), tails, beside)
    assert (log_odds(shipped(), tails[7:8], beside[7:8]) == whole[7]).all()
    assert (log_odds(shipped(), np.asfortranarray(tails), beside) == whole).all()


def test_trees_over_other_inputs_are_refused():
    arrays = {f"{name}_{part}": np.zeros((0, 7)) for name in ("sieve", "fine") for part in ("feature", "threshold")}
    with pytest.raises(ValidationError, match="grow them anew"):
        from_arrays({**arrays, "inputs": np.array([*INPUTS[:-1], "other"])})
