"""The past as numbers that can be carried: counts, sums, maxima and last values per group, and rows of the last day.

Rows are one tenant's events ordered by (occurred_at, seq), taken in stretches: what a stretch leaves behind is a layer,
and a `State` is all layers so far. Every answer for a row comes from the rows before it, and bit by bit the same
however the rows were split into stretches: sums run over integers, because a float sum would carry how it was
bracketed. Nothing here knows what a column means; `features` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.errors import ValidationError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_COUNT: Final = "n"
_TENANT: Final = np.zeros(1, dtype=np.uint64)
_LIFTABLE: Final = 1 << 62


def _mixed(value: Keys) -> Keys:
    mixed: Keys = value >> np.uint64(32)
    mixed ^= value
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(32)
    return mixed


def pair(left: Keys, right: Keys) -> Keys:
    """Give one key to each pair of keys; the order of the two matters."""
    both: Keys = left * _GOLDEN
    both += right
    both = _mixed(both)
    both += right
    return _mixed(both)


def number(values: npt.NDArray[np.integer | np.bool_]) -> Keys:
    """Give one key to each number."""
    return _mixed(values.astype(np.int64).view(np.uint64) * _GOLDEN + _GOLDEN)


def log2(values: Ints) -> Ints:
    """Return the whole part of the binary logarithm of numbers from 1 to 2^53; 0 for 0."""
    # The exponent stands in the upper bits of a float, 1,023 higher: four times as fast as taking floats apart.
    exponent: Ints = values.astype(np.float64).view(np.int64) >> np.int64(52)
    exponent -= 1023
    return np.maximum(exponent, 0, out=exponent)


def distinct(values: Keys) -> Keys:
    """Return each value once, ascending; `numpy.unique`, which hashes whole numbers, takes five times as long."""
    ordered = np.sort(values)
    return ordered[_steps(ordered)]


def numbered(key: Keys) -> tuple[Ints, Ints]:
    """Return the first row of each key, and for each row the number of its key among those."""
    order, first = _grouped(key)
    which = np.empty(len(key), dtype=np.int64)
    which[order] = np.cumsum(first, dtype=np.int64) - 1
    return order[first], which


@dataclass(frozen=True)
class Table:
    """What is known of the groups of one grouping that occurred in a stretch, as of its end."""

    keys: Keys
    """Ascending."""
    values: Mapping[str, Ints]
    """By field, in the order of `keys`."""


@dataclass(frozen=True)
class Layer:
    """What a stretch of rows left behind."""

    tables: Mapping[str, Table]
    """By grouping."""
    tails: Mapping[str, Mapping[str, Ints]]
    """By windows: the rows that a later window may still reach, as `key`, `time_us` and the values summed over."""

    def to_arrays(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return everything as plain arrays of 64-bit integers, named by what they are."""
        arrays: dict[str, Ints] = {}
        for name, table in self.tables.items():
            arrays[f"table|{name}|"] = table.keys.view(np.int64)
            arrays |= {f"table|{name}|{each}": values for each, values in table.values.items()}
        for name, columns in self.tails.items():
            arrays |= {f"tail|{name}|{each}": values for each, values in columns.items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.int64]]) -> "Layer":
        """Rebuild a layer from `to_arrays`; raises ValidationError where the names are not those of a layer."""
        keys: dict[str, Keys] = {}
        values: dict[str, dict[str, Ints]] = {}
        tails: dict[str, dict[str, Ints]] = {}
        for name, array in arrays.items():
            kind, _, rest = name.partition("|")
            group, _, column = rest.rpartition("|")
            if kind == "tail":
                tails.setdefault(group, {})[column] = array
            elif kind == "table" and column:
                values.setdefault(group, {})[column] = array
            elif kind == "table":
                keys[group] = array.view(np.uint64)
            else:
                raise ValidationError(f"expected arrays of a state, got one named {name!r}; derive the features anew")
        return cls({name: Table(keys[name], values.get(name, {})) for name in keys}, tails)


def merge(older: Layer, newer: Layer) -> Layer:
    """Return the layer that two adjacent stretches leave behind together."""
    tables = dict(older.tables)
    for name, table in newer.tables.items():
        before = older.tables.get(name)
        tables[name] = table if before is None else _merged(before, table)
    return Layer(tables, newer.tails)


def _merged(older: Table, newer: Table) -> Table:
    place = np.searchsorted(newer.keys, older.keys)
    place[place == len(newer.keys)] = 0
    stays = np.flatnonzero(newer.keys[place] != older.keys) if len(newer.keys) else np.arange(len(older.keys))
    keys = np.concatenate((older.keys[stays], newer.keys))
    order = np.argsort(keys, kind="stable")
    fields = {*older.values, *newer.values}
    return Table(
        keys[order],
        {each: np.concatenate((_column(older, each)[stays], _column(newer, each)))[order] for each in sorted(fields)},
    )


def _column(table: Table, name: str) -> Ints:
    found = table.values.get(name)
    return np.zeros(len(table.keys), dtype=np.int64) if found is None else found


@dataclass(frozen=True)
class State:
    """Everything that later rows need to know of the rows so far."""

    seed: int = 0
    """Of the hash that makes keys of texts, 0 <= seed < 2^64. Whoever does not know it cannot make two texts meet."""
    layers: tuple[Layer, ...] = ()
    """Oldest first; of a group that occurs in several, the newest holds."""

    def after(self, layer: Layer) -> "State":
        """Return the state with one more layer."""
        return State(self.seed, (*self.layers, layer))

    def compact(self) -> "State":
        """Return the same state in one layer."""
        layers = list(self.layers)
        while len(layers) > 1:
            newer = layers.pop()
            layers[-1] = merge(layers[-1], newer)
        return State(self.seed, tuple(layers))


class Stretch:
    """Some rows after a state: groups rows by keys, answers from the past, and gathers what is to be carried on.

    Of a group and of windows it holds what they carry and never their arrays by row, some 40 bytes a row each: those
    go when nobody asks them any more. Held until the layer is made, and by a cycle of references until the garbage
    collector comes by, they were a gigabyte more over 500,000 events, and CPU time for fresh pages.
    """

    def __init__(self, rows: int, time_us: Ints, state: State) -> None:
        self.rows = rows
        self.time_us = time_us
        self.state = state
        self._carried: dict[str, _Carried] = {}
        self._left: dict[str, Table] = {}
        self._tails: dict[str, _Tail] = {}

    def keys(self, values: pl.Series) -> tuple[Keys, Flags]:
        """Return a key for each text, and which rows have one."""
        return values.hash(self.state.seed).to_numpy(), values.is_not_null().to_numpy()

    def group(self, name: str, key: Keys | None) -> "Group":
        """Group rows by key. The name is the grouping's own: what is carried is found again by it."""
        return self._add(name, Group(self, name, self.rows if key is None else len(key), key))

    def _add(self, name: str, group: "Group") -> "Group":
        if name in self._carried:
            raise ValidationError(f"expected a name of its own for each grouping, got {name!r} twice")
        self._carried[name] = group.left
        return group

    def few(self, name: str, label: Ints | Flags) -> "Group":
        """Group rows by a number from 0 to 65,535: several times as fast as by key."""
        return self._add(name, Group(self, name, len(label), label.astype(np.uint16).astype(np.uint64), few=True))

    def windows(self, name: str, key: Keys, longest_s: float, time_us: Ints | None = None) -> "Windows":
        """Prepare sliding windows of up to `longest_s` seconds over rows of each key: all rows, or those with times."""
        if name in self._tails:
            raise ValidationError(f"expected a name of its own for each windows, got {name!r} twice")
        windows = Windows(self.state, name, key, self.time_us if time_us is None else time_us, longest_s)
        self._tails[name] = windows.left
        return windows

    def known(self, name: str) -> Table:
        """Return all groups of a grouping that is left by `leave`, as of the end of the stretch before."""
        tables = [layer.tables[name] for layer in self.state.layers if name in layer.tables]
        return reduce(_merged, tables, Table(np.zeros(0, dtype=np.uint64), {}))

    def leave(self, name: str, changed: Table) -> None:
        """Leave groups that are not made of rows by `group`: those of this stretch, new or changed."""
        self._left[name] = changed

    def layer(self) -> Layer:
        """Return what these rows leave behind, to be asked when everything was computed."""
        return Layer(
            {name: each.table() for name, each in self._carried.items()} | self._left,
            {name: each.columns() for name, each in self._tails.items()},
        )


class _Carried:
    """What is carried of the groups of one grouping: known before the stretch, and left after it."""

    def __init__(self, state: State, name: str, keys: Keys) -> None:
        self._keys = keys
        self._before: list[tuple[Table, Ints, Ints]] = _found(state, name, keys)
        self._after: dict[str, Ints] = {}
        self._known: dict[str, Ints] = {}

    def known(self, name: str) -> Ints:
        """Return a field of each group as of the end of the stretch before, 0 where there is none."""
        if name not in self._known:
            values = np.zeros(len(self._keys), dtype=np.int64)
            for table, place, here in self._before:
                if name in table.values:
                    values[here] = table.values[name][place]
            self._known[name] = values
        return self._known[name]

    def leave(self, name: str, values: Ints) -> None:
        """Set a field of each group as of the end of this stretch."""
        if name in self._after:
            raise ValidationError(f"expected a name of its own for each field, got {name!r} twice")
        self._after[name] = values

    def table(self) -> Table:
        """Return what is to be carried of the groups of these rows."""
        fields = {each for table, _, _ in self._before for each in table.values}
        return Table(self._keys, self._after | {each: self.known(each) for each in fields - self._after.keys()})


class Group:
    """Rows regrouped by key, time order kept within each group: the base of every count of the past."""

    def __init__(self, stretch: Stretch, name: str, rows: int, key: Keys | None, *, few: bool = False) -> None:
        self.stretch = stretch
        self.rows = rows
        self._whole = key is None or not rows
        self.order, first = _one_group(rows) if key is None or not rows else _grouped(key, few=few)
        """Row numbers, group after group."""
        self.heads: Ints = np.flatnonzero(first).astype(np.int64)
        """Places in `order` where the groups begin."""
        self._first = first
        self.ends: Ints = np.append(self.heads[1:], rows)[: len(self.heads)].astype(np.int64)
        self.keys = key.take(self.order.take(self.heads)) if key is not None else _TENANT[: min(rows, 1)]
        """Of the groups, ascending."""
        self.left = _Carried(stretch.state, name, self.keys)
        """What it leaves behind."""
        self._earlier = self.left.known(_COUNT)
        self._size: Ints = self._earlier + self.ends - self.heads
        self.left.leave(_COUNT, self._size)
        self._count: Ints | None = None

    @cached_property
    def of_place(self) -> Ints:
        """For each place in `order`, the number of its group."""
        numbers: Ints = np.cumsum(self._first, dtype=np.int64)
        numbers -= 1
        return numbers

    @cached_property
    def start(self) -> Ints:
        """For each place in `order`, the place where its group begins."""
        return self._each(self.heads)

    @cached_property
    def place_of(self) -> Ints:
        """For each row, its place in `order`."""
        if self._whole:
            return self.order
        places = np.empty(self.rows, dtype=np.int64)
        places[self.order] = np.arange(self.rows, dtype=np.int64)
        return places

    def _each(self, of_group: Ints) -> Ints:
        """Return by place what is given by group."""
        return of_group.take(self.of_place)

    def _ordered(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return by place what is given by row."""
        return values if self._whole else values.take(self.order)

    def carried(self, name: str) -> Ints:
        """Return a field of each group as of the end of the stretch before, 0 where there is none."""
        return self.left.known(name)

    def of_group(self, values: npt.NDArray[np.uint64]) -> Keys:
        """Return for each row what is given by group, in the order of `heads`."""
        return values.take(self.of_place.take(self.place_of))

    def by_row(self, by_place: npt.NDArray[np.int64]) -> Ints:
        """Return what is given by place in the order of rows."""
        return by_place if self._whole else by_place.take(self.place_of)

    def place(self) -> Ints:
        """Return by place how many rows of its group are earlier."""
        places = np.arange(self.rows, dtype=np.int64)
        places -= self._each(self.heads - self._earlier)
        return places

    def count(self) -> Ints:
        """Return for each row how many earlier rows share its group."""
        if self._count is None:
            self._count = self.by_row(self.place())
        return self._count

    def _running(self, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        total = np.empty(self.rows + 1, dtype=np.int64)
        total[0] = 0
        np.cumsum(self._ordered(values), out=total[1:])
        return total

    def first(self, name: str, values: Ints) -> Ints:
        """Return for each row the value of the first row that its group ever had."""
        value = np.where(self._earlier > 0, self.carried(name), values.take(self.order.take(self.heads)))
        self.left.leave(name, value)
        return self.by_row(self._each(value))

    def total(self, name: str, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        """Return for each row the sum of `values` over the earlier rows of its group."""
        running, before = self._running(values), self.carried(name)
        self.left.leave(name, before + running[self.ends] - running[self.heads])
        sums = self._each(before - running[self.heads])
        sums += running[:-1]
        return self.by_row(sums)

    def totals_where(
        self, name: str, marked: Flags, values: npt.NDArray[np.integer | np.bool_]
    ) -> tuple[Ints, Ints, Ints]:
        """Return which rows are marked, in any order, and for each the number and the sum of its group's earlier rows.

        The same as `count` and `total` at those rows; much less work where they are few.
        """
        running, before = self._running(values), self.carried(name)
        self.left.leave(name, before + running[self.ends] - running[self.heads])
        places = np.flatnonzero(self._ordered(marked))
        of = self.of_place.take(places)
        counts = places + (self._earlier - self.heads).take(of)
        sums = running.take(places) + (before - running[self.heads]).take(of)
        return self.order.take(places), counts, sums

    def previous(self, name: str, values: Ints | Keys) -> tuple[Ints, Flags]:
        """Return for each row the value of the row before it in its group, and whether there is one."""
        before = np.empty(self.rows, dtype=np.int64)
        ordered = self._ordered(values.view(np.int64))
        before[1:] = ordered[:-1]
        before[self.heads] = self.carried(name)
        self.left.leave(name, ordered[self.ends - 1])
        return self.by_row(before), self.count() > 0

    def largest(self, name: str, values: Ints) -> Ints:
        """Return for each row the largest of `values`, which are >= 0, over the earlier rows of its group; -1 for none.

        Carried one higher, so that 0 stands for no row.
        """
        before = self.carried(name)
        ordered = self._ordered(values)
        # Lifted group by group, so that one running maximum over all of them never looks back across a border.
        step = int(ordered.max(initial=0)) + 1
        if step * max(len(self.heads), 1) < _LIFTABLE:
            lift = self.of_place * np.int64(step)
            so_far = np.maximum.accumulate(ordered + lift) - lift + 1
        else:
            distinct, rank = np.unique(ordered, return_inverse=True)
            lift = self.of_place * len(distinct)
            so_far = distinct[np.maximum.accumulate(rank + lift) - lift] + 1
        earlier = np.zeros(self.rows, dtype=np.int64)
        earlier[1:] = so_far[:-1]
        earlier[self.heads] = 0
        self.left.leave(name, np.maximum(before, so_far[self.ends - 1]))
        return self.by_row(np.maximum(earlier, self._each(before))) - 1

    def recent(self, name: str, values: npt.NDArray[np.integer | np.bool_] | None, rows: Ints) -> Ints:
        """Return for some rows the sum of `values` over the later part of their group's past; None counts the rows.

        A group with 2^k to 2^(k+1) - 1 earlier rows answers from its row 2^(k-1) on: between a half and three
        quarters of its past. The half itself would need every row; this needs two sums, those at the last two powers.
        """
        at = self.place_of.take(rows)
        of = self.of_place.take(at)
        past = at + (self._earlier - self.heads).take(of)
        since = _power_before(past)
        if values is None:
            return past - since
        running = self._running(values)
        sums = _Sums(
            self._earlier,
            running[self.heads],
            self.carried(f"{name} in all"),
            self.carried(f"{name} at the power before"),
            self.carried(f"{name} at the last power"),
        )
        groups = np.arange(len(self.heads), dtype=np.int64)
        size = self._size
        self.left.leave(f"{name} in all", sums.total + running[self.ends] - running[self.heads])
        for which, power in (("power before", _power_before(size)), ("last power", np.int64(1) << log2(size))):
            self.left.leave(f"{name} at the {which}", sums.at(groups, power, running, self.heads))
        now = running[at] - sums.running[of] + sums.total[of]
        return now - sums.at(of, since, running, self.heads)

    def leaders(self, name: str, label: Keys, weight: Ints) -> tuple[Ints, Flags]:
        """Return for each row the label that was heaviest in its group's earlier rows, and whether there is one.

        `weight` is >= 0; of equal ones the first to get there leads.
        """
        best, who = f"{name} weight", f"{name} label"
        heaviest = self.largest(best, weight)
        now = self._latest(who, label.view(np.int64), weight > heaviest)
        before = np.empty(self.rows, dtype=np.int64)
        before[1:] = now[:-1]
        before[self.heads] = self.carried(who)
        return self.by_row(before), heaviest >= 0

    def latest(self, name: str, values: Ints, marked: Flags) -> Ints:
        """Return for each row the value of its group's last marked row up to itself; 0 before any."""
        return self.by_row(self._latest(name, values, marked))

    def _latest(self, name: str, values: Ints, marked: Flags) -> Ints:
        holder = np.where(self._ordered(marked), np.arange(self.rows, dtype=np.int64), self.start - 1)
        holder = np.maximum.accumulate(holder)
        now = np.where(
            holder >= self.start, self._ordered(values)[np.maximum(holder, 0)], self._each(self.carried(name))
        )
        self.left.leave(name, now[self.ends - 1])
        return now


@dataclass(frozen=True)
class _Sums:
    """Sums of one field per group as they stood when the stretch began, to be asked for a place within the group."""

    earlier: Ints
    running: Ints
    """The running sum of the stretch where each group begins."""
    total: Ints
    power_before: Ints
    last_power: Ints

    def at(self, group: Ints, place: Ints, running: Ints, heads: Ints) -> Ints:
        """Return the sum over the first `place` rows of each group; a place before the stretch is a carried power."""
        earlier = self.earlier[group]
        local = heads[group] + np.maximum(place - earlier, 0)
        here = running[local] - self.running[group] + self.total[group]
        carried = np.where(place < (np.int64(1) << log2(earlier)), self.power_before[group], self.last_power[group])
        return np.where(place >= earlier, here, carried)


def _power_before(places: Ints) -> Ints:
    """Return 2^(k-1) for places from 2^k up to 2^(k+1) - 1, and 0 for 0 and 1."""
    return (np.int64(1) << log2(places)) >> np.int64(1)


def _one_group(rows: int) -> tuple[Ints, Flags]:
    first = np.zeros(rows, dtype=bool)
    first[:1] = True
    return np.arange(rows, dtype=np.int64), first


def _grouped(key: Keys, *, few: bool = False) -> tuple[Ints, Flags]:
    """Return the stable order by key, and which places begin a group; `few` says that keys are below 65,536.

    The row's number takes the place of the key's lowest bits: sorting plain numbers is ten times as fast as sorting
    indices by them. Where two keys differ in those bits alone, once in a thousand histories, indices are sorted.
    """
    if few:
        order = np.argsort(key.astype(np.uint16), kind="stable")
        return order, _steps(key[order])
    bits = np.uint64(len(key).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    both = key & ~low
    both |= np.arange(len(key), dtype=np.uint64)
    both.sort()
    order = (both & low).view(np.int64)
    first = _steps(key.take(order))
    heads = np.flatnonzero(first)
    if ((both[heads[1:]] >> bits) == (both[heads[1:] - 1] >> bits)).any():
        order = np.argsort(key, kind="stable").astype(np.int64)
        first = _steps(key[order])
    return order, first


def _steps(ordered: Keys) -> Flags:
    """Return which values differ from the one before; the first one does."""
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def _found(state: State, name: str, keys: Keys) -> list[tuple[Table, Ints, Ints]]:
    """Return for each layer where groups are found, newest last: its table, places there, numbers of the groups."""
    found = []
    for layer in state.layers:
        table = layer.tables.get(name)
        if table is None or not len(table.keys) or not len(keys):
            continue
        # Both ascend: the shorter is looked up in the longer.
        short, long = (keys, table.keys) if len(keys) < len(table.keys) else (table.keys, keys)
        place = np.minimum(np.searchsorted(long, short), len(long) - 1)
        same = np.flatnonzero(long[place] == short)
        there, here = (place[same], same) if short is keys else (same, place[same])
        found.append((table, there.astype(np.int64), here.astype(np.int64)))
    return found


@dataclass(frozen=True)
class _Tail:
    """The rows of windows, of which those are carried that a window of a later row may reach."""

    key: Keys
    time_us: Ints
    values: dict[str, Ints]
    longest_us: int

    def columns(self) -> dict[str, Ints]:
        """Return the rows to carry."""
        last = self.time_us[-1] if len(self.time_us) else 0
        keep = slice(int(np.searchsorted(self.time_us, last - self.longest_us - 1000)), None)
        columns = {"key": self.key.view(np.int64), "time_us": self.time_us, **self.values}
        return {name: values[keep] for name, values in columns.items()}


class Windows:
    """Sliding windows over the rows of each key, the row itself included, reaching back into the stretches before."""

    def __init__(self, state: State, name: str, key: Keys, time_us: Ints, longest_s: float) -> None:
        tail = state.layers[-1].tails.get(name) if state.layers else None
        self._tail: Mapping[str, Ints] = tail or {}
        earlier = self._tail.get("time_us", np.zeros(0, dtype=np.int64))
        self._earlier = len(earlier)
        carried = self._tail.get("key", np.zeros(0, dtype=np.int64)).view(np.uint64)
        self.left = _Tail(np.concatenate((carried, key)), np.concatenate((earlier, time_us)), {}, int(longest_s * 1e6))
        """What they leave behind."""
        rows = len(self.left.key)
        self._order, first = _grouped(self.left.key) if rows else _one_group(0)
        self._heads: Ints = np.flatnonzero(first).astype(np.int64)
        of_place = np.cumsum(first, dtype=np.int64) - 1
        self._start = self._heads[of_place]
        milliseconds = (self.left.time_us // 1000).take(self._order)
        own = milliseconds - milliseconds.take(self._start)
        ends = np.append(self._heads[1:], rows)[: len(self._heads)].astype(np.int64)
        span = own[ends - 1] + int(longest_s * 1000) + 1
        # Each group shifted past the one before it, so that one binary search serves all.
        offset = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(span)))[: len(self._heads)]
        self._clock = own + offset.take(of_place)
        # Of the rows of this stretch alone: those carried are answered no more.
        places = np.empty(rows, dtype=np.int64)
        places[self._order] = np.arange(rows, dtype=np.int64)
        self._place_of: Ints = places[self._earlier :]

    def first(self, seconds: float) -> Ints:
        """Return by place the first place inside the window (t - seconds, t] of its group."""
        found: Ints = np.searchsorted(self._clock, self._clock - int(seconds * 1000), side="right").astype(np.int64)
        return np.maximum(found, self._start, out=found)

    def count(self, first: Ints) -> Ints:
        """Return for each row the number of rows in its window."""
        return self._by_row(np.arange(len(self._order), dtype=np.int64) - first + 1)

    def total(self, name: str, first: Ints, values: npt.NDArray[np.integer | np.bool_]) -> Ints:
        """Return for each row the sum of `values` over its window."""
        every = self.left.values.get(name)
        if every is None:
            carried = self._tail.get(name, np.zeros(self._earlier, dtype=np.int64))
            every = self.left.values[name] = np.concatenate((carried, values.astype(np.int64)))
        running = np.empty(len(self._order) + 1, dtype=np.int64)
        running[0] = 0
        np.cumsum(every.take(self._order), out=running[1:])
        return self._by_row(running[1:] - running.take(first))

    def _by_row(self, by_place: Ints) -> Ints:
        return by_place.take(self._place_of)
