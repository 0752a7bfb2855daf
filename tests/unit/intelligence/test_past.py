"""Groups of rows answer the same by whatever way they are asked, and as the plainest code would."""

import numpy as np
import pytest

from audit_pipelines.intelligence.evidence import ends
from audit_pipelines.intelligence.past import Group, State, Stretch, distinct, log2, numbered

ROWS = 4_000


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def grouped(rng: np.random.Generator, groups: int = 40) -> tuple[np.ndarray, Group]:
    key = rng.integers(0, groups, ROWS).astype(np.uint64) << np.uint64(40)
    stretch = Stretch(ROWS, np.arange(ROWS, dtype=np.int64), State())
    return key, stretch.group("some", key)


def test_logarithms_are_whole_at_powers_of_two_and_beside_them():
    values = np.array([0, 1, *(2**k + d for k in range(2, 53) for d in (-1, 0, 1))], dtype=np.int64)
    assert log2(values).tolist() == [max(int(value).bit_length() - 1, 0) for value in values]


def test_few_rows_are_told_what_all_rows_are_told(rng):
    _, group = grouped(rng)
    marked, values = rng.random(ROWS) < 0.05, rng.integers(0, 9, ROWS)
    rows, counts, sums = group.totals_where("one", marked, values)
    assert sorted(rows.tolist()) == np.flatnonzero(marked).tolist()
    assert (counts == group.count()[rows]).all()
    assert (sums == group.total("other", values)[rows]).all()


@pytest.mark.parametrize("keys", [[], [7], [9, 8, 9, 1 << 63, 8, 9], [5, 5, 5]])
def test_each_key_is_told_once_and_numbered_by_its_first_row(keys):
    key = np.array(keys, dtype=np.uint64)
    rows, which = numbered(key)
    assert distinct(key).tolist() == key[rows].tolist() == sorted(set(keys))
    assert rows.tolist() == [keys.index(each) for each in sorted(set(keys))]
    assert key[rows][which].tolist() == keys


@pytest.mark.parametrize("top", [1_000, 1 << 62])
def test_the_largest_before_is_found_among_small_and_huge_numbers(rng, top):
    key, group = grouped(rng)
    values = rng.integers(0, top, ROWS)
    seen: dict[int, int] = {}
    expected = []
    for each, value in zip(key.tolist(), values.tolist(), strict=True):
        expected.append(seen.get(each, -1))
        seen[each] = max(value, seen.get(each, -1))
    assert group.largest("most", values).tolist() == expected


def test_a_tree_ends_where_walking_down_its_nodes_does(rng):
    above = rng.random((7, 500)) < 0.5
    walked = []
    for event in above.T:
        node = 0
        for _ in range(3):
            node = 2 * node + 1 + event[node]
        walked.append(node - 7)
    assert ends([np.packbits(each) for each in above], 500).tolist() == walked
