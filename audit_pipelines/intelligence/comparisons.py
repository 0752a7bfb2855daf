"""Which earlier events an anomaly is to be seen beside: the actor's last of its kind or network, and what is usual.

Pure and by position alone: the reasons say what is unusual, these events let a person look at what is usual. Only
events of the same actor are named, and only such as came before in the order of (occurred_at, seq).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np
import polars as pl

from audit_pipelines.intelligence.risk import FAILURE_WORDS

Part = Literal["previous", "last_of_kind", "last_from_network", "other_network", "usual", "failure", "burst"]

COLUMNS: Final = ("seq", "row_hash", "occurred_at", "actor_ref", "event_type", "outcome", "ip_index")
"""What is read of events."""
_LOOK_BACK: Final = 1_000
"""Events of the actor that are looked at one by one: for what is usual of late, for failures and for the burst."""
_FAILURES_NAMED: Final = 5
_FAILURES_WITHIN: Final = timedelta(minutes=10)
_BURSTS: Final[dict[str, timedelta]] = {
    "burst_10m": timedelta(minutes=10),
    "burst_1h": timedelta(hours=1),
    "burst_24h": timedelta(hours=24),
    "failures_burst": timedelta(hours=1),
}
_NETWORK_DIGITS: Final = 16


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
class _Event:
    seq: int
    row_hash: str
    occurred_at: datetime
    event_type: str
    network: str | None
    failed: bool


def compare(
    seqs: Sequence[int], events: pl.DataFrame, features_told: Sequence[Sequence[str]]
) -> list[tuple[Compared, ...]]:
    """Return for each anomaly what it is compared with, in a fixed order of parts; `()` for an actor's first event.

    `events` (COLUMNS) are all of the anomalies' actors, in any order; `features_told` names the features that each
    anomaly's reasons stand on. Raises `KeyError` for a seq that is not among the events.
    """
    wanted = dict(zip(seqs, features_told, strict=True))
    found: dict[int, tuple[Compared, ...]] = {}
    ordered = events.select(
        "seq",
        "row_hash",
        "occurred_at",
        pl.col("actor_ref").fill_null(""),
        "event_type",
        pl.col("ip_index").str.slice(0, _NETWORK_DIGITS).alias("network"),
        pl.col("outcome").fill_null("").str.contains(FAILURE_WORDS).alias("failed"),
    ).sort("occurred_at", "seq")
    for own in ordered.partition_by("actor_ref", maintain_order=True):
        found.update(_of_actor(own.drop("actor_ref"), wanted))
    return [found[seq] for seq in seqs]


def _of_actor(events: pl.DataFrame, wanted: dict[int, Sequence[str]]) -> Iterator[tuple[int, tuple[Compared, ...]]]:
    """Look at an actor's anomalies, in order; a machine's half a million other events stay columns."""
    asked = events["seq"].is_in(list(wanted)).arg_true().to_list()
    place, placed = pl.col("place"), pl.col("network").fill_null("") != ""
    before = events.with_row_index("place").select(
        last_of_kind=place.shift(1).over("event_type"),
        last_from_network=pl.when(placed).then(place.shift(1).over("network")),
        last_placed=pl.when(placed).then(place).forward_fill().shift(1),
    )[asked]
    keep = np.zeros(events.height, dtype=np.bool_)
    for at in asked:
        keep[max(0, at - _LOOK_BACK) : at + 1] = True
    for column in before:
        keep[column.drop_nulls().to_numpy()] = True
    kept = [_Event(*row) for row in events.filter(pl.Series(keep)).iter_rows()]
    position = np.cumsum(keep) - 1

    def event_at(at: int | None) -> _Event | None:
        return None if at is None else kept[position[at]]

    for at, (of_kind, from_network, last_placed) in zip(asked, before.iter_rows(), strict=True):
        event = kept[position[at]]
        near = kept[position[max(0, at - _LOOK_BACK)] : position[at]]
        other = event_at(last_placed)
        parts: list[tuple[Part, _Event | None]] = [
            ("previous", near[-1] if near else None),
            ("last_of_kind", event_at(of_kind)),
            ("last_from_network", event_at(from_network)),
            ("other_network", other if event.network and other and other.network != event.network else None),
            ("usual", _usual(near, event.event_type)),
            *_failures(event, near, wanted[event.seq]),
            *_burst(event, near, wanted[event.seq]),
        ]
        yield (
            event.seq,
            tuple(Compared(part, one.seq, one.row_hash, one.occurred_at, one.event_type) for part, one in parts if one),
        )


def _usual(near: Sequence[_Event], kind: str) -> _Event | None:
    """Return the newest event of the kind that the actor did most of late, unless that is this event's own kind."""
    if not near:
        return None
    usual, _ = Counter(event.event_type for event in near).most_common(1)[0]
    return next((event for event in reversed(near) if event.event_type == usual != kind), None)


def _failures(event: _Event, near: Sequence[_Event], told: Sequence[str]) -> Iterator[tuple[Part, _Event]]:
    if "success_after_failures" in told:
        before = [one for one in near if one.failed and event.occurred_at - one.occurred_at <= _FAILURES_WITHIN]
        for one in before[-_FAILURES_NAMED:]:
            yield "failure", one


def _burst(event: _Event, near: Sequence[_Event], told: Sequence[str]) -> Iterator[tuple[Part, _Event]]:
    """Yield the event that the longest burst among the reasons began with."""
    within = max((span for name, span in _BURSTS.items() if name in told), default=None)
    if within is not None:
        first = next((one for one in near if event.occurred_at - one.occurred_at <= within), None)
        if first:
            yield "burst", first
