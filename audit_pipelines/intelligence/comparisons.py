"""Which earlier events an anomaly is to be seen beside: the actor's last of its kind or network, and what is usual.

Pure and by position alone: the reasons say what is unusual, these events let a person look at what is usual. Only
events of the same actor are named, and only such as came before in the order of (occurred_at, seq). All anomalies are
looked at together, as columns: one by one, the thousands of a first run over a long history took most of its time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.intelligence.risk import FAILURE_WORDS

Part = Literal["previous", "last_of_kind", "last_from_network", "other_network", "usual", "failure", "burst"]

COLUMNS: Final = ("seq", "row_hash", "occurred_at", "actor_ref", "event_type", "outcome", "ip_index")
"""What is read of events."""
_LOOK_BACK: Final = 1_000
"""Events of the actor that are looked at: for what is usual of late, for failures and for the burst."""
_FAILURES_NAMED: Final = 5
_FAILURES_WITHIN: Final = timedelta(minutes=10)
_BURSTS: Final[dict[str, timedelta]] = {
    "burst_10m": timedelta(minutes=10),
    "burst_1h": timedelta(hours=1),
    "burst_24h": timedelta(hours=24),
    "failures_burst": timedelta(hours=1),
}
_NETWORK_DIGITS: Final = 16
_CELLS_AT_ONCE: Final = 1 << 20
"""Events times anomalies of one round: keeps a round's arrays at 8 MB each, whatever the number of anomalies."""
_NONE: Final = -1

_Numbers = npt.NDArray[np.int64]
"""Of events, in a fixed order; where they are places in that order, `_NONE` says that there is no such event."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One event that an anomaly is compared with, and the part it plays."""

    part: Part
    seq: int
    row_hash: str
    """Hex."""
    occurred_at: datetime
    event_type: str


@dataclass(frozen=True, slots=True)
class _Past:
    """The events of all actors as numbers, one actor after the other, each in order of (occurred_at, seq)."""

    row: _Numbers
    """The event's row in the frame that was given."""
    actor: _Numbers
    moment: _Numbers
    """Microseconds."""
    kind: _Numbers
    """Counted from 0 among the kinds of the actor: few, however many the tenant has."""
    network: _Numbers
    """`_NONE` without one."""
    failed: npt.NDArray[np.bool_]


def compare(
    seqs: Sequence[int], events: pl.DataFrame, features_told: Sequence[Sequence[str]]
) -> list[tuple[Compared, ...]]:
    """Return for each anomaly what it is compared with, in a fixed order of parts; `()` for an actor's first event.

    `events` (COLUMNS) are all of the anomalies' actors, in any order; `features_told` names the features that each
    anomaly's reasons stand on. Raises `KeyError` for a seq that is not among the events.
    """
    told = dict(zip(seqs, features_told, strict=True))
    past = _ordered(events)
    at = np.flatnonzero(events["seq"].is_in(list(told)).to_numpy()[past.row])
    asked = events["seq"].to_numpy()[past.row[at]].tolist()
    low = np.maximum(np.searchsorted(past.actor, past.actor[at]), at - _LOOK_BACK)
    single: dict[Part, _Numbers] = {
        "previous": np.where(at > low, at - 1, _NONE),
        "last_of_kind": _last_of(past.actor, past.kind)[at],
        "last_from_network": np.where(past.network == _NONE, _NONE, _last_of(past.actor, past.network))[at],
        "other_network": _other_network(past)[at],
        "usual": _usual(past.kind, at, low),
    }
    places: list[list[tuple[Part, int]]] = [
        [
            *((part, each) for part, each in zip(single, singles, strict=True) if each != _NONE),
            *_failures(past, place, lowest, told[seq]),
            *_burst(past, place, lowest, told[seq]),
        ]
        for seq, place, lowest, *singles in zip(
            asked, at.tolist(), low.tolist(), *(column.tolist() for column in single.values()), strict=True
        )
    ]
    named = sorted({place for own in places for _, place in own})
    rows = events[past.row[named]].select("seq", "row_hash", "occurred_at", "event_type").iter_rows()
    event = dict(zip(named, rows, strict=True))
    found = {
        seq: tuple(Compared(part, *event[place]) for part, place in own) for seq, own in zip(asked, places, strict=True)
    }
    return [found[seq] for seq in seqs]


def _ordered(events: pl.DataFrame) -> _Past:
    actor = _numbered(events["actor_ref"].fill_null(""))
    moment = events["occurred_at"].dt.epoch("us").to_numpy()
    # Of a million rows, numbers are sorted in 0.06 s; the frame, with hashes as text, in 0.5 s.
    row = np.lexsort((events["seq"].to_numpy(), moment, actor))
    actor = actor[row]
    kind = _numbered(events["event_type"])[row] + 1
    width = int(kind.max(initial=0)) + 1
    pairs, pair = np.unique(actor * width + kind, return_inverse=True)
    first = np.searchsorted(pairs // width, pairs // width)
    return _Past(
        row,
        actor,
        moment[row],
        (np.arange(pairs.size) - first)[pair],
        _numbered(events["ip_index"].str.slice(0, _NETWORK_DIGITS).replace("", None))[row],
        events["outcome"].fill_null("").str.contains(FAILURE_WORDS).to_numpy()[row],
    )


def _numbered(texts: pl.Series) -> _Numbers:
    """Give the same number to the same text, from 0 on, and `_NONE` to null."""
    known = texts.cast(pl.Enum(texts.drop_nulls().unique()))
    return known.to_physical().cast(pl.Int64).fill_null(_NONE).to_numpy()


def _last_of(actor: _Numbers, group: _Numbers) -> _Numbers:
    """Return for each event the newest one before it of the same actor and group."""
    order = np.lexsort((group, actor))
    before, after = order[:-1], order[1:]
    same = (actor[before] == actor[after]) & (group[before] == group[after])
    last = np.full(actor.size, _NONE)
    last[after[same]] = before[same]
    return last


def _other_network(past: _Past) -> _Numbers:
    """Return for each event with a network the newest one before it that has one, where that is another."""
    placed = np.where(past.network == _NONE, _NONE, np.arange(past.network.size))
    last = np.concatenate([[_NONE], np.maximum.accumulate(placed)])[:-1]
    other = (last != _NONE) & (placed != _NONE) & (past.actor[last] == past.actor)
    return np.where(other & (past.network[last] != past.network), last, _NONE)


def _usual(kind: _Numbers, at: _Numbers, low: _Numbers) -> _Numbers:
    """Return the newest event of the kind that the actor did most of late, unless that is this event's own kind.

    Of kinds done equally often it is the one that was done first.
    """
    usual = np.full(at.size, _NONE)
    step = max(1, _CELLS_AT_ONCE // max(int(kind.max(initial=0)) + 1, _LOOK_BACK))
    for begin in range(0, at.size, step):
        own, lowest = at[begin : begin + step, np.newaxis], low[begin : begin + step, np.newaxis]
        place = own + np.arange(-max(1, int((own - lowest).max())), 0)
        near = np.where(place >= lowest, kind[place], _NONE) + 1
        row = np.arange(own.size)
        kinds = int(near.max()) + 1
        cells = (near + row[:, np.newaxis] * kinds).ravel()
        count = np.bincount(cells, minlength=own.size * kinds).reshape(own.size, kinds)
        count[:, 0] = 0
        most = near[row, np.argmax(np.take_along_axis(count, near, axis=1), axis=1)]
        newest = -1 - np.argmax((near == most[:, np.newaxis])[:, ::-1], axis=1)
        unlike = (most != 0) & (most != kind[own[:, 0]] + 1)
        usual[begin : begin + step] = np.where(unlike, place[row, newest], _NONE)
    return usual


def _failures(past: _Past, at: int, low: int, told: Sequence[str]) -> Iterator[tuple[Part, int]]:
    if "success_after_failures" in told:
        since = _since(past, at, low, _FAILURES_WITHIN)
        for place in np.flatnonzero(past.failed[since:at])[-_FAILURES_NAMED:].tolist():
            yield "failure", since + place


def _burst(past: _Past, at: int, low: int, told: Sequence[str]) -> Iterator[tuple[Part, int]]:
    """Yield the event that the longest burst among the reasons began with."""
    within = max((span for name, span in _BURSTS.items() if name in told), default=None)
    if within is not None:
        since = _since(past, at, low, within)
        if since < at:
            yield "burst", since


def _since(past: _Past, at: int, low: int, within: timedelta) -> int:
    """Return the first of the events from `low` on that lies at most so long before the one at `at`."""
    began = past.moment[at] - within // timedelta(microseconds=1)
    return low + int(np.searchsorted(past.moment[low:at], began))
