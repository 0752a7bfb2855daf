"""However a history arrives, in pieces, late or all at once, its features and scores are the same bit by bit."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from test_features_causal import histories

from audit_pipelines.intelligence import past
from audit_pipelines.intelligence.features import FEATURES, advance, compute, compute_features
from audit_pipelines.intelligence.past import Layer, State, Stretch, merge, number
from audit_pipelines.lake.arrays import map_arrays, write_arrays


@settings(max_examples=30, deadline=None)
@given(histories(), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_features_in_pieces_are_those_of_the_whole(history, cuts, merged):
    events, _ = history
    whole = compute_features(events)
    state, pieces = State(), []
    borders = sorted({0, *(min(cut, events.height) for cut in cuts), events.height})
    with TemporaryDirectory() as folder:
        for number_, (start, end) in enumerate(itertools.pairwise(borders)):
            piece, layer = advance(events.slice(start, end - start), state)
            pieces.append(piece)
            # What is carried goes through its file, as between two runs.
            write_arrays(Path(folder) / str(number_), layer.to_arrays())
            layer = Layer.from_arrays(map_arrays(Path(folder) / str(number_)))
            if merged and state.layers:
                state = State(state.seed, (*state.layers[:-1], merge(state.layers[-1], layer)))
            else:
                state = state.after(layer)
        split = pl.concat(pieces)
    assert split.equals(whole), [each.name for each in FEATURES if not split[each.name].equals(whole[each.name])]


@settings(max_examples=12, deadline=None)
@given(histories(), st.integers(3, 11))
def test_stretches_of_any_length_give_the_same(history, stretch):
    events, _ = history
    whole = compute_features(events)
    before, compute.STRETCH = compute.STRETCH, stretch
    try:
        assert compute_features(events).equals(whole)
    finally:
        compute.STRETCH = before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=120), st.integers(0, 120))
def test_carried_answers_are_those_of_a_walk_row_by_row(rows, cut):
    """Sums of the later past, maxima, leaders and predecessors, against the definitions written out."""
    expected = [_slowly(rows, at) for at in range(len(rows))]
    state, found = State(), []
    for part in (rows[:cut], rows[cut:]):
        key, value, flag = (np.array([row[at] for row in part], dtype=np.int64) for at in range(3))
        stretch = Stretch(len(part), np.zeros(len(part), dtype=np.int64), state)
        group = stretch.group("g", number(key))
        every = np.arange(len(part))
        before, has = group.previous("p", value)
        leader, leads = group.leaders("l", value.view(np.uint64), group.count() % 3)
        found += zip(
            group.count().tolist(),
            group.total("t", flag).tolist(),
            group.largest("m", value).tolist(),
            np.where(has, before, -1).tolist(),
            group.recent("r", flag, every).tolist(),
            group.recent("n", None, every).tolist(),
            np.where(leads, leader.view(np.int64), -1).tolist(),
            strict=True,
        )
        state = state.after(stretch.layer())
    assert found == expected


def _slowly(rows, at):
    key = rows[at][0]
    earlier = [row for row in rows[:at] if row[0] == key]
    size = len(earlier)
    since = 0 if size < 2 else 2 ** (size.bit_length() - 2)
    best, leader = -1, -1
    for place, (_, value, _) in enumerate(earlier):
        if place % 3 > best:
            best, leader = place % 3, value
    return (
        size,
        sum(flag for *_, flag in earlier),
        max((value for _, value, _ in earlier), default=-1),
        earlier[-1][1] if earlier else -1,
        sum(flag for *_, flag in earlier[since:]),
        size - since,
        leader,
    )


def test_keys_that_differ_in_their_lowest_bits_alone_are_two_groups():
    key = np.array([8, 9, 8, 9, 8], dtype=np.uint64)
    order, first = past._grouped(key)
    assert (order.tolist(), first.tolist()) == ([0, 2, 4, 1, 3], [True, False, False, True, False])


def test_keys_of_texts_are_the_same_in_every_process():
    # What is carried is found again by them; a change of the hash must come with `derive.features._HASH`.
    stretch = Stretch(0, np.zeros(0, dtype=np.int64), State(7))
    keys, known = stretch.keys(pl.Series(["a", None, "b"]))
    assert keys[known].tolist() == [5075264545752959876, 418667251522465225]
