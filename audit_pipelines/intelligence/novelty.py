"""Causal building blocks on plain arrays: past counts, past sums, sliding windows, how surprising a first time is.

Rows are one tenant's events ordered by (occurred_at, seq). Every function answers for row i from rows 0..i alone, and
bit by bit the same whatever comes after: sums run over integers, because a float sum would carry the rounding of rows
that have not happened yet. Nothing here knows what a column means; `features` does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FIXED = 1 << 16
"""Fixed-point scale for sums of real values: 1/65536 is finer than any feature needs and sums stay exact."""

# How much the group's own past weighs against what the tenant's other groups of the same age do.
_PRIOR_EVENTS = 4.0


def codes(values: pl.Series) -> Ints:
    """Number the distinct values of a text column from 0; null becomes -1. The numbers carry no order."""
    distinct = values.unique(maintain_order=True).drop_nulls()
    table = pl.DataFrame({"value": distinct, "code": np.arange(len(distinct), dtype=np.int64)})
    joined = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    return joined["code"].fill_null(-1).to_numpy().astype(np.int64)


def _stable_order(code: Ints) -> Ints:
    """Return the stable sorting order of codes from -1 up.

    Digit by digit of 16 bits, where NumPy sorts by counting: eight times as fast as its stable sort of whole integers.
    """
    rest = code + 1
    order = np.argsort((rest & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, int(rest.max(initial=0)).bit_length(), 16):
        digit = ((rest >> shift) & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order.astype(np.int64)


def pair(left: Ints, right: Ints) -> Ints:
    """Give one code to each distinct pair; a pair with a missing half is missing (-1)."""
    width = int(right.max(initial=0)) + 1
    combined = np.where((left < 0) | (right < 0), -1, left * width + right)
    # Dense again, so that pairs of pairs stay far from the end of 64 bits and sort in few digits.
    order = _stable_order(combined)
    ordered = combined[order]
    dense = np.empty_like(combined)
    dense[order] = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0)
    return np.where(combined < 0, -1, dense)


@dataclass(frozen=True)
class Past:
    """Rows regrouped by code, time order kept within each group: the base of every count of the past."""

    order: Ints
    """Row numbers, group after group."""
    start: Ints
    """For each place in `order`, the place where its group begins."""

    @property
    def size(self) -> int:
        """Return the number of rows."""
        return len(self.order)

    def place(self) -> Ints:
        """Return the place within its group, 0 for the first, by place."""
        return np.arange(self.size, dtype=np.int64) - self.start

    def count(self) -> Ints:
        """Return for each row how many earlier rows share its group."""
        out = np.empty(self.size, dtype=np.int64)
        out[self.order] = self.place()
        return out

    def running(self, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        """Return the exclusive running sum over all places, length n + 1; differences give sums over spans."""
        total = np.zeros(self.size + 1, dtype=np.int64)
        np.cumsum(values[self.order], out=total[1:])
        return total

    def total(self, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        """Return for each row the sum of `values` over the earlier rows of its group."""
        running = self.running(values)
        out = np.empty(self.size, dtype=np.int64)
        out[self.order] = running[:-1] - running[self.start]
        return out

    def previous(self) -> Ints:
        """Return for each row the row before it in its group, -1 for the first."""
        before = np.full(self.size, -1, dtype=np.int64)
        before[1:] = self.order[:-1]
        before[self.place() == 0] = -1
        out = np.empty(self.size, dtype=np.int64)
        out[self.order] = before
        return out

    def running_max(self, values: Floats) -> Floats:
        """Return for each row the largest of `values` over the earlier rows of its group, -inf for the first."""
        distinct, rank = np.unique(values, return_inverse=True)
        # Ranks lifted group by group, so that one running maximum over all of them never looks back across a border.
        lift = np.cumsum(self.place() == 0) * len(distinct)
        so_far = np.maximum.accumulate(rank[self.order] + lift) - lift
        out = np.full(self.size, -np.inf)
        later = np.flatnonzero(self.place() > 0)
        out[self.order[later]] = distinct[so_far[later - 1]]
        return out


def group(code: Ints) -> Past:
    """Group rows by code; rows with code -1 form one group of their own."""
    order = _stable_order(code)
    ordered = code[order]
    first = np.ones(len(code), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first).astype(np.int64)
    return Past(order, starts[np.cumsum(first) - 1] if len(code) else starts)


@dataclass(frozen=True)
class Windows:
    """Sliding windows over the rows of each group, the row itself included."""

    past: Past
    key: Ints
    """Milliseconds by place, each group shifted past the one before it, so that one binary search serves all."""

    def first(self, seconds: float) -> Ints:
        """Return by place the first place inside the window (t - seconds, t] of its group."""
        found = np.searchsorted(self.key, self.key - int(seconds * 1000), side="right").astype(np.int64)
        return np.maximum(found, self.past.start)

    def count(self, first: Ints) -> Ints:
        """Return for each row the number of rows in its window."""
        out = np.empty(self.past.size, dtype=np.int64)
        out[self.past.order] = np.arange(self.past.size, dtype=np.int64) - first + 1
        return out

    def total(self, first: Ints, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        """Return for each row the sum of `values` over its window."""
        running = self.past.running(values)
        out = np.empty(self.past.size, dtype=np.int64)
        out[self.past.order] = running[1:] - running[first]
        return out


def windows(past: Past, time_us: Ints, longest_seconds: float) -> Windows:
    """Prepare windows of up to `longest_seconds` over groups of rows that are in time order."""
    if past.size == 0:
        return Windows(past, np.zeros(0, dtype=np.int64))
    milliseconds = (time_us // 1000)[past.order]
    own = milliseconds - milliseconds[past.start]
    first = past.place() == 0
    last = np.append(first[1:], True)
    span = own[last] + int(longest_seconds * 1000) + 1
    offset = np.concatenate(([0], np.cumsum(span)[:-1])).astype(np.int64)
    return Windows(past, own + offset[np.cumsum(first) - 1])


def novelty(past: Past, new: Flags, counted: Flags) -> Floats:
    """Return how surprising it is, in nats, that something is new to its group now; 0 where nothing is new.

    A first time says little about a newcomer or about somebody whose days are full of first times. So the surprise is
    -ln of the expected share of first times: that of the group in the later half of its past, backed by what all
    groups of the tenant did at the same age (in powers of two). `counted` marks rows that carry a value at all.
    """
    if past.size == 0:
        return np.zeros(0)
    seen = past.total(counted)
    age = np.floor(np.log2(seen + 1.0)).astype(np.int64)
    same_age = group(np.where(counted, age, -1))
    age_new, age_all = same_age.total(new), same_age.total(counted)
    base = (age_new + 1.0 / (1.0 + seen)) / (age_all + 1.0)
    place = past.place()
    half = past.start + place // 2
    running_new, running_all = past.running(new), past.running(counted)
    rows = np.arange(past.size, dtype=np.int64)
    own_new = np.empty(past.size, dtype=np.int64)
    own_all = np.empty(past.size, dtype=np.int64)
    own_new[past.order] = running_new[rows] - running_new[half]
    own_all[past.order] = running_all[rows] - running_all[half]
    # The quarter keeps a first time in a long quiet past finite: about ln(4 n), never the ln of a chain of products.
    expected = (own_new + _PRIOR_EVENTS * base + 0.25) / (own_all + _PRIOR_EVENTS + 0.25)
    return np.where(new & counted, -np.log(np.clip(expected, 1e-9, 1.0)), 0.0)


def excess(past: Past, everyone: Past, value: Floats, spread: float) -> Floats:
    """Return by how many standard deviations a value lies above its group's past, shrunk towards the tenant's.

    `spread` is the least standard deviation, in the value's unit. Unit of the answer: standard deviations.
    """
    fixed = np.round(value * FIXED).astype(np.int64)
    # The second moment needs a coarser scale: squares of 16-bit fractions would outgrow 64 bits in long histories.
    square = np.round(value * value * 256).astype(np.int64)
    n_all = everyone.count()
    mean_all = everyone.total(fixed) / FIXED / np.maximum(n_all, 1)
    n = past.count()
    weight = 8.0
    mean = (past.total(fixed) / FIXED + weight * mean_all) / (n + weight)
    second_all = everyone.total(square) / 256 / np.maximum(n_all, 1)
    second = (past.total(square) / 256 + weight * second_all) / (n + weight)
    deviation = np.sqrt(np.maximum(second - mean * mean, 0.0) + spread * spread)
    return np.where(n_all > 0, (value - mean) / deviation, 0.0)
