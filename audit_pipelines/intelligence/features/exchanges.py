"""Two people under each other's names: whose week fits somebody else, whose week in turn fits them.

A masquerader is told from a whim by somebody whom the week fits better (`kinds`), but people change, and a tenant has
many others to be like. Two who work under each other's names are like each other both ways, which chance seldom makes:
with exchanges made up in the earlier half of the hospital's trail, a week that fits somebody else ranks actor-days at
average precision 0.16, one that does both ways at 0.61 (six times eight exchanges). It is no feature that models learn
from, for no other labelled set has exchanges in it.

What is counted are days: an actor showed a value on a day or did not, so that a burst weighs as much as a single event
and a tenant of any size leaves a table of some dozen rows an actor.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from audit_pipelines.intelligence.features.details import Leaves
from audit_pipelines.intelligence.features.facts import DAY_US, Facts, Feature, by_distinct
from audit_pipelines.intelligence.past import Floats, Ints, Keys, Table, distinct, number, pair

FEATURES: Final = (
    Feature(
        "exchanged_7d",
        "how much better 7 days fit another actor, whose 7 days fit this one better: two under each other's names",
        "nats",
        "apart",
    ),
)

_WEEK: Final = 7
_LAST_WEEK: Final = (1 << _WEEK) - 1

# What an actor shows falls into places, 32 of 32 keys of the details each and 128 of kinds of event: with as many as
# there are values the hospital's earlier half is ranked hardly better, and a table of free texts would have no end.
_KEYS: Final = 32
_VALUES: Final = 32
_KINDS: Final = 128
_ANY: Final = _KEYS * _VALUES + _KINDS
"""The place of having done anything at all that day."""
_PLACES: Final = _ANY + 1
_KEY_OF: Final[Ints] = np.concatenate(
    (np.repeat(np.arange(_KEYS, dtype=np.int64), _VALUES), np.full(_KINDS, _KEYS), [_KEYS + 1])
)
_PLACE_BITS: Final = np.uint64(11)
_PLACE: Final = (np.uint64(1) << _PLACE_BITS) - np.uint64(1)

_KNOWN_DAYS: Final = 14
"""Days before the last week from which an actor's habits are known well enough to be taken for somebody else's."""
_PRIOR_DAYS: Final = 8.0
_MOST: Final = 3.0
"""Nats by which one value tells two actors apart at most."""
_SPREAD_DAYS: Final = 3.0
_SCALE: Final = 1024.0
"""Logarithms are rounded to whole parts of this size."""
_STRANGEST: Final = 128
"""So many actors are compared, each with each: those whose week fits the tenant better than themselves."""
_ALL_KEYS: Final = _KEYS + 2
_EARLIER: Final = -1
"""In place of a row: an event of today in the stretch before."""
_AS_BEFORE: Final = -1.0
"""In place of a value: the event shows nothing that its actor did not show that day."""
_NONE: Final[Ints] = np.zeros(0, dtype=np.int64)


def compute(f: Facts, leaves: Leaves) -> dict[str, Floats]:
    """Compute the family."""
    value = np.full(len(f.actor), _AS_BEFORE)
    if len(value):
        shown = _shown(f, leaves)
        past = _Past(f.stretch.known("actor, place"), shown)
        for start, end in zip(shown.starts, [*shown.starts[1:], len(shown.day)], strict=True):
            past.day(slice(start, end), value)
        f.stretch.leave("actor, place", past.table())
    lasting = f.by_actor.latest("exchanged", value.view(np.int64), value != _AS_BEFORE)
    return {"exchanged_7d": lasting.view(np.float64)}


@dataclass(frozen=True)
class _Shown:
    """What each actor showed on each day of a stretch: one entry the first time, day after day."""

    day: Ints
    """Days since 1970."""
    pair: Keys
    """Of actor and place: the place in the lowest bits, so that an actor's pairs lie together."""
    row: Ints
    """The event that showed it first."""
    starts: list[int]
    """Where the entries of each day begin."""


def _shown(f: Facts, leaves: Leaves) -> _Shown:
    rows, actors = len(f.actor), len(f.by_actor.keys)
    day = f.time_us // DAY_US
    actor = f.by_actor.of_group(np.arange(actors, dtype=np.uint64)).view(np.int64)
    row_bits = np.uint64(rows.bit_length())
    when = ((day - day[0]) * actors + actor).view(np.uint64) << (row_bits + _PLACE_BITS)
    when |= np.arange(rows, dtype=np.uint64)
    named = by_distinct(leaves.names, lambda names: pl.Series(_number(names, _KEYS))).to_numpy()
    of_leaf = leaves.by_leaf.of_group(named * np.uint64(_VALUES) + _number(leaves.texts, _VALUES))
    kinds = f.events["event_type"].gather(f.by_kind.order[f.by_kind.heads])
    of_kind = f.by_kind.of_group(_number(kinds, _KINDS) + np.uint64(_KEYS * _VALUES))
    # Day, actor, place and row in one number each: sorting plain numbers is many times as fast as finding first ones.
    every = np.concatenate(
        (when | (np.uint64(_ANY) << row_bits), when | (of_kind << row_bits), when[leaves.row] | (of_leaf << row_bits))
    )
    every.sort()
    shown = every >> row_bits
    first = np.ones(len(every), dtype=bool)
    np.not_equal(shown[1:], shown[:-1], out=first[1:])
    every, shown = every[first], shown[first]
    offset, actor = np.divmod((shown >> _PLACE_BITS).view(np.int64), actors)
    return _Shown(
        offset + day[0],
        (f.by_actor.keys[actor] & ~_PLACE) | (shown & _PLACE),
        (every & ((np.uint64(1) << row_bits) - np.uint64(1))).view(np.int64),
        np.flatnonzero(np.diff(offset, prepend=-1)).tolist(),
    )


def _number(texts: pl.Series, below: int) -> Keys:
    """Return a number from 0 for each text, the same in every stretch, version and installation.

    Of its length and last 16 bytes: numbering each text by CRC-32 was a third of this family's time, and polars' hash
    is another one in each of its versions.
    """
    ends = (pl.Series([" " * 16]) + texts).cast(pl.Binary)
    key = number(texts.str.len_bytes().to_numpy())
    for start in (-16, -8):
        key = pair(key, ends.bin.slice(start, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little").to_numpy())
    return key % np.uint64(below)


class _Past:
    """On how many days, and on which of the last seven, actors showed what they did: gone through day by day."""

    def __init__(self, known: Table, shown: _Shown) -> None:
        self._shown = shown
        self._today = int(shown.day[0])
        days, recent, last = (known.values.get(name, _NONE) for name in ("days", "recent", "last"))
        place = (known.keys & _PLACE).view(np.int64)
        # Pairs of actors that nobody met for a week are left where they are: they can be like nobody.
        met = known.keys[(place == _ANY) & (last >= self._today - _WEEK)]
        met = distinct(np.concatenate((met, shown.pair)) >> _PLACE_BITS)
        actors = known.keys >> _PLACE_BITS
        kept = np.flatnonzero(met[np.searchsorted(met[:-1], actors)] == actors)
        self._pair = distinct(np.concatenate((known.keys[kept], shown.pair)))
        self._place = (self._pair & _PLACE).view(np.int64)
        self._actor = np.cumsum(np.diff(self._pair >> _PLACE_BITS, prepend=self._pair[:1] >> _PLACE_BITS) > 0)
        self._slot = np.searchsorted(self._pair, shown.pair)
        """Of each entry of `shown`, its pair."""
        self._days, self._recent, self._last = (np.zeros(len(self._pair), dtype=np.int64) for _ in range(3))
        slots = np.searchsorted(self._pair, known.keys[kept])
        self._days[slots], self._recent[slots], self._last[slots] = days[kept], recent[kept], last[kept]
        # As of yesterday: what the stretch before saw of today is today's.
        self._seen = self._last == self._today
        self._days -= self._seen
        self._recent = np.where(self._seen, self._recent >> 1, _later(self._recent, self._today - 1 - self._last))
        self._everyone = np.bincount(place, days, _PLACES)
        self._everyone -= np.bincount(self._place[self._seen], minlength=_PLACES)

    def day(self, which: slice, value: Floats) -> None:
        """Set the value of each row of a day that shows something first, and go on to the day after."""
        day = int(self._shown.day[which.start])
        if day != self._today:
            self._recent = _later(self._recent, day - self._today)
        slots, rows = self._slot[which], self._shown.row[which]
        if self._seen.any():
            earlier, fresh = np.flatnonzero(self._seen), ~self._seen[slots]
            slots = np.concatenate((earlier, slots[fresh]))
            rows = np.concatenate((np.full(len(earlier), _EARLIER), rows[fresh]))
        value[rows[rows != _EARLIER]] = 0.0
        compared, found = self._exchanged(slots, rows)
        value[compared] = found
        self._days[slots] += 1
        self._everyone += np.bincount(self._place[slots], minlength=_PLACES)
        self._recent = _later(self._recent, 1)
        self._recent[slots] |= 1
        self._last[slots] = day
        self._seen = np.zeros(len(self._pair), dtype=bool)
        self._today = day + 1

    def table(self) -> Table:
        """Return what is to be carried of the pairs that were shown."""
        touched = np.flatnonzero(np.bincount(self._slot, minlength=len(self._pair)))
        last = self._last[touched]
        recent = self._recent[touched] >> np.minimum(self._today - 1 - last, _WEEK + 1)
        return Table(self._pair[touched], {"days": self._days[touched], "recent": recent, "last": last})

    def _exchanged(self, slots: Ints, rows: Ints) -> tuple[Ints, Floats]:
        """Compare the week before today, and of today what was shown up to each row, by pairs first shown today."""
        week = np.bitwise_count(self._recent & _LAST_WEEK).astype(np.int64)
        before = self._days - week
        # Each actor has a pair for any event at all.
        of_any = np.flatnonzero(self._place == _ANY)
        active = week[of_any]
        known = (active > 0) & (before[of_any] >= _KNOWN_DAYS)
        if known.sum() < 2 or not known[self._actor[slots]].any():
            return _NONE, np.zeros(0)
        pairs = np.flatnonzero(known[self._actor])
        actor, place = self._actor[pairs], self._place[pairs]
        of_key = np.bincount(actor * _ALL_KEYS + _KEY_OF[place], before[pairs], len(known) * _ALL_KEYS)
        share = (self._everyone + 0.5) / (np.bincount(_KEY_OF, self._everyone)[_KEY_OF] + 1.0)
        like = _likeness(before[pairs], of_key[actor * _ALL_KEYS + _KEY_OF[place]], share[place])
        strange = -np.bincount(actor, week[pairs] * like, len(known)) / np.sqrt(active + _SPREAD_DAYS)
        chosen = _strangest(np.flatnonzero(known), strange)
        if not len(chosen):
            return _NONE, np.zeros(0)
        number_of = np.full(len(known), -1)
        number_of[chosen] = np.arange(len(chosen))
        lasting = np.flatnonzero((week[pairs] > 0) & (number_of[actor] >= 0))
        # Only places of this week and of today tell anything apart.
        used = np.zeros(_PLACES, dtype=bool)
        used[place[lasting]] = True
        used[self._place[slots]] = True
        line_of, places = np.cumsum(used) - 1, np.flatnonzero(used)
        # What an actor never showed is as unlikely as the actor showed others under the same key.
        never = _likeness(0, of_key.reshape(-1, _ALL_KEYS)[chosen].T, np.ones(1))
        likeness = never[_KEY_OF[places]]
        here = np.flatnonzero((number_of[actor] >= 0) & used[place])
        likeness[line_of[place[here]], number_of[actor[here]]] = like[here]
        weeks = _Weeks(
            likeness, active[chosen], line_of[place[lasting]], number_of[actor[lasting]], week[pairs[lasting]]
        )
        own = number_of[self._actor[slots]]
        told = np.flatnonzero(own >= 0)
        return weeks.exchanged(line_of[self._place[slots[told]]], own[told], rows[told])


class _Weeks:
    """Some actors' weeks, each against the habits of all of them.

    Sums are over whole numbers, so that they are exact in whatever order a processor makes them.
    """

    def __init__(self, likeness: Floats, days: Ints, place: Ints, actor: Ints, times: Ints) -> None:
        """Take [places, actors] how like each actor each place is, and of how many days each showed what, by actor."""
        self._likeness, self._days = likeness, days
        better = self._better_of(place, actor)
        better *= times[:, None]
        self._better = np.add.reduceat(better, np.flatnonzero(np.diff(actor, prepend=-1)))
        self._in_turn = (self._better / np.sqrt(days + _SPREAD_DAYS)[:, None]).T

    def _better_of(self, place: Ints, actor: Ints) -> Floats:
        """Return by how much better what an actor showed fits each of them."""
        better = self._likeness[place]
        better -= self._likeness[place, actor][:, None]
        return better

    def exchanged(self, place: Ints, actor: Ints, row: Ints) -> tuple[Ints, Floats]:
        """Return each row of today with the lesser of both fits, of the other actor with whom it is largest."""
        order = np.lexsort((row, actor))
        place, actor, row = place[order], actor[order], row[order]
        today = self._better_of(place, actor)
        np.cumsum(today, axis=0, out=today)
        head = np.flatnonzero(np.diff(actor, prepend=-1))
        before = np.zeros((len(head), len(self._days)))
        before[1:] = today[head[1:] - 1]
        last = np.flatnonzero((np.diff(actor, append=-1) != 0) | (np.diff(row, append=-1) != 0))
        last = last[row[last] != _EARLIER]
        who = actor[last]
        fits = self._better[who]
        fits += today[last]
        fits -= before[np.searchsorted(head, last, side="right") - 1]
        fits /= np.sqrt(self._days[who] + 1.0 + _SPREAD_DAYS)[:, None]
        both = np.minimum(fits, self._in_turn[who], out=fits)
        both[np.arange(len(who)), who] = 0.0
        return row[last], both.max(axis=1, initial=0.0) / _SCALE


def _strangest(actors: Ints, strange: Floats) -> Ints:
    """Return up to _STRANGEST actors; of equals all or none, for what orders them is no property of theirs."""
    if len(actors) <= _STRANGEST:
        return actors
    return actors.compress(strange[actors] > np.sort(strange[actors])[-_STRANGEST - 1])


def _later(recent: Ints, days: int | Ints) -> Ints:
    """Return the bits of the last days as of so many days later: one more than a week, for a day goes on."""
    return (recent << np.minimum(days, _WEEK + 1)) & (2 * _LAST_WEEK + 1)


def _likeness(days: Floats | Ints | int, of_key: Floats | Ints, share: Floats) -> Floats:
    """Return how much likelier a value is of an actor than of anybody, in whole parts of 1 / _SCALE nats."""
    ratio = np.log((days + _PRIOR_DAYS * share) / ((of_key + _PRIOR_DAYS) * share))
    return np.round(np.clip(ratio, -_MOST, _MOST) * _SCALE)
