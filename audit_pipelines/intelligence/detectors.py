"""How odd an event is, as one calibrated score: three detectors over the same tails, joined.

Surprise times meaning (the tails of families of features), an isolation forest (odd combinations of this tenant), and
evidence (combinations that mean harm anywhere, trees over the tails).
Fitted on the past of one tenant, kept as plain arrays, the same bit by bit for the same input and seed. A detector
without any past is a prior and scores too, so that the first event of a tenant has a sane score. What the features
mean is in `features`; why an event scored high is told by `reasons`; storing a detector is the registry's.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.evidence import BESIDE, SIEVED, Evidence, Trees, ends, log_odds, shipped
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.intelligence.past import State, Windows

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int32]

SCORE_THRESHOLD_DEFAULT: Final = 0.7
ALERT_BUDGET: Final = 0.005
"""Share of a tenant's past that scores at or above SCORE_THRESHOLD_DEFAULT, by calibration."""

_EXPONENT: Final = float(np.log(1.0 - SCORE_THRESHOLD_DEFAULT) / np.log(ALERT_BUDGET))
_GRID: Final = 256
_HISTORY_MAX: Final = 50_000
_TREES: Final = 48
_SAMPLE: Final = 256
_DEPTH: Final = 8
_UPPER_LEVELS: Final = 5
_CHUNK: Final = 1 << 16
_AT_ONCE: Final = 1 << 17
_FOREST_WEIGHT: Final = 0.5

# How the log odds of an attack and the surprise join. Most events do not pass the sieve: nothing to add there. Tried by
# hand on seeds that no tree was grown on: surprise with twice the weight costs the demo 0.01 of average precision, and
# with none, techniques that no tree has seen lose as much.
_ODDS_FROM: Final = 8.5
_ODDS_WEIGHT: Final = 4.0
_SURPRISE_WEIGHT: Final = 0.05
# Surprise beyond all measure alerts whatever the trees make of it, but ranks no higher than just over the threshold:
# the first act of a harmful kind that anybody of the tenant ever did has no company yet that could be evidence.
_SURPRISE_ALONE: Final = 0.33
_ALONE_AT_MOST: Final = 25.0
# Two under each other's names do nothing odd otherwise, so this adds to whatever else there is. Tried by hand on the
# hospital's earlier half with exchanges made up in it (actor-day AP 0.46) and on two made-up offices, whose people are
# much alike: 5 ranks half as well (0.26) and 20 better (0.57), but takes up to 0.02 of an office's average precision,
# and 0.1 of it from 0 on; 10 from 0.5 on takes 0.002 at most.
_EXCHANGED_WEIGHT: Final = 10.0
EXCHANGED_FROM: Final = 0.5

# A tenant's own past outweighs the prior once it holds more events than these.
_FEATURE_PRIOR: Final = 40.0
_ANCHORED: Final = 0.75
_ANCHOR_SCALE: Final = 5.0
_CALIBRATION_PRIOR: Final = 300.0
_CALIBRATION_SCALE: Final = 4.5
_TAIL_SHARE: Final = 0.02
_TAIL_FEWEST: Final = 5

# In a tenant's first days everything is new; surprise counts by half once this many events are known.
_MATURE_EVENTS: Final = 400.0
_REPEAT_DAMPING: Final = 0.08
_EXPOSED_HARM: Final = 0.25
_EXPOSED_FROM_RISK: Final = 0.3

# What an actor does within an hour of four events that are clearly an attack alerts still, but ranks behind the first
# ones of others: who has seen those looks into the rest unasked, and a week holds more events of attacks than the 0.5 %
# of it that somebody may have time for. Of 480 kinds of attack in 40 demo weeks that no tree was grown on, 5 lie beyond
# those, 18 without this; it costs the demo 0.045 of average precision, cloud 0.028 and office 0.058.
LOOKS_BACK_S: Final = 3600.0
"""Seconds before an event in which other events have a say in its score."""
_CLEAR_ODDS: Final = -1.0
_CLEAR_ENOUGH: Final = 4.0
_CLEAR_DAMPING: Final = 4.0

EXCHANGED: Final = "exchanged_7d"

READS: Final[tuple[str, ...]] = (
    "occurred_at", "seq", "actor_ref", *SURPRISES, *BESIDE, EXCHANGED, "tenant_events",
)  # fmt: skip
"""The columns of features that a detector reads."""

_FIRST_BLOCK: Final = 50
_COLD_CAP: Final = 0.9
_GROWTH: Final = 1.5


@dataclass(frozen=True)
class Family:
    """Features that say nearly the same: the oddest speaks for all, so that no matter counts many times over."""

    weight: float
    features: tuple[str, ...]


FAMILIES: Final[dict[str, Family]] = {
    "kind": Family(
        1.5,
        (
            "type_rare_tenant", "type_few_actors", "type_new_tenant", "type_new_actor", "type_new_peers",
            "type_few_peers",
        ),
    ),
    "who": Family(
        1.0,
        (
            "actor_young", "actor_fresh", "network_new_actor", "network_new_tenant", "address_new_actor",
            "agent_new_actor",
            "network_rare_actor", "network_rare_tenant", "network_young", "agent_rare_actor", "agent_young",
            "network_jump", "silence",
        ),
    ),
    "habit": Family(
        0.5,
        (
            "type_rare_actor", "sequence_rare", "unlike_24h", "unlike_7d", "kind_new_actor", "entity_new_actor",
            "strange_1h", "strange_place", "hour_rare",
        ),
    ),
    "details": Family(
        0.7, ("details_new_actor", "details_new_tenant", "details_rare_actor", "words_new_actor", "size_jump")
    ),
    "volume": Family(
        1.0,
        (
            "burst_10m", "burst_1h", "burst_24h", "volume_day", "repeats_burst", "amount_24h", "amounts_1h",
            "amounts_24h", "spread_entities_1h", "spread_types_1h",
        ),
    ),
    "failure": Family(1.0, ("failure_rare", "failures_burst", "success_after_failures", "network_failures")),
    "session": Family(1.0, ("novelty_1h",)),
    "before": Family(1.0, ("suspicion_1h", "suspicion_place")),
}  # fmt: skip

# What a tenant without history is taken to be like: share of events where the feature is above 0, and its mean there.
_USUAL: Final[dict[str, tuple[float, float]]] = {
    "type_rare_tenant": (1.0, 1.5), "type_few_actors": (0.9, 1.5), "sequence_rare": (1.0, 1.5),
    "type_rare_actor": (0.5, 0.7), "actor_young": (0.5, 1.2), "entity_new_actor": (0.3, 0.7), "hour_rare": (0.4, 0.7),
    "details_new_actor": (0.3, 1.5), "details_new_tenant": (0.3, 1.5), "details_rare_actor": (0.5, 0.7),
    "burst_10m": (0.6, 1.0), "burst_1h": (0.6, 1.0), "burst_24h": (0.6, 1.0), "spread_entities_1h": (0.6, 1.0),
    "spread_types_1h": (0.6, 1.0), "novelty_1h": (0.6, 3.0), "suspicion_1h": (0.6, 3.0), "suspicion_place": (0.6, 3.0),
    "network_rare_tenant": (1.0, 1.5), "network_rare_actor": (0.5, 0.7), "agent_rare_actor": (0.5, 0.7),
    "unlike_24h": (0.3, 0.7), "type_few_peers": (0.9, 0.7), "words_new_actor": (0.3, 1.0), "volume_day": (0.5, 0.7),
    "repeats_burst": (0.5, 0.7), "amount_24h": (0.3, 0.7), "unlike_7d": (0.3, 1.5), "actor_fresh": (0.5, 1.2),
    "strange_1h": (0.4, 1.5), "strange_place": (0.4, 1.5), "amounts_1h": (0.3, 0.7),
    "amounts_24h": (0.3, 0.7),
}  # fmt: skip
_USUAL_ELSE: Final = (0.1, 1.5)


@dataclass(frozen=True)
class Detector:
    """A fitted anomaly detector of one tenant as plain arrays; nothing in it is code."""

    names: tuple[str, ...]
    """The features it reads, in the order of the arrays."""
    seed: int
    fitted_events: int
    """Events of the past it was fitted on; 0 for the prior alone."""
    grid: Floats
    """[features, points] each feature's past values at the places of `_places`, ascending."""
    forest_feature: Numbers
    """[trees, 2^depth - 1] feature each node splits on, a complete binary tree: node i leads to 2 i + 1 and 2 i + 2."""
    forest_threshold: npt.NDArray[np.float32]
    """[trees, 2^depth - 1] a value up to this goes left; infinite below a leaf."""
    forest_length: Floats
    """[trees, 2^depth] path length at each end, the expected rest of the path included."""
    forest_grid: Floats
    """The forest's isolation of past events (0..1) at the places of `_places`; empty without a forest."""
    sieve_feature: Numbers
    """This and the five after it: the trees of `evidence`, kept so that a score can be made again."""
    sieve_threshold: npt.NDArray[np.float32]
    sieve_value: npt.NDArray[np.float32]
    fine_feature: Numbers
    fine_threshold: npt.NDArray[np.float32]
    fine_value: npt.NDArray[np.float32]
    raw_grid: Floats
    """Uncalibrated scores of past events at the places of `_places`."""
    tail: Floats
    """Upper end of the uncalibrated scores: where it starts, mean excess beyond, events beyond; empty when too few."""

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything as plain arrays, fit for `numpy.savez` without pickle."""
        return {each.name: np.asarray(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "Detector":
        """Rebuild a detector from `to_arrays`.

        Raises ValidationError when an array is missing or the features are not those of this version.
        """
        missing = [each.name for each in fields(cls) if each.name not in arrays]
        if missing:
            raise ValidationError(
                f"expected the arrays of a detector, got none named {', '.join(missing)}; train again"
            )
        plain: dict[str, Any] = {each.name: np.asarray(arrays[each.name]) for each in fields(cls)}
        plain["names"] = tuple(str(name) for name in plain["names"])
        plain["seed"], plain["fitted_events"] = int(plain["seed"]), int(plain["fitted_events"])
        detector = cls(**plain)
        _check(detector)
        return detector


@dataclass(frozen=True)
class ModelBlock:
    """One stretch of a walk-forward run: the events it scores and the past its model is fitted on."""

    model: int
    fitted_events: int
    """Events before the block: the whole past, the first `fitted_events` in order of (occurred_at, seq)."""
    first: int
    """Place of the first event scored, from 0."""
    last: int
    """Place of the last event scored."""


def fit(features: pl.DataFrame, *, seed: int, events: int | None = None) -> Detector:
    """Fit a detector on the features of a tenant's past events, none to all of them.

    Guarantees the same arrays bit by bit for the same features and seed. Beyond 50,000 events an even sample is used;
    `events` says how many there are where the features are those of `sample_places` alone.
    """
    inputs = _Inputs.of(features.sort("occurred_at", "seq"))
    if events is None:
        return _fit(inputs.part(sample_places(features.height)), seed, features.height)
    return _fit(inputs, seed, events)


def sample_places(events: int) -> npt.NDArray[np.int64]:
    """Return the places in the order of (occurred_at, seq) of the events that a detector of so many is fitted on."""
    return np.linspace(0, events - 1, min(events, _HISTORY_MAX)).astype(np.int64)


def score(detector: Detector, features: pl.DataFrame, *, lead: int = 0) -> Floats:
    """Score events in 0..1; SCORE_THRESHOLD_DEFAULT is met by about ALERT_BUDGET of the fitted past.

    A score depends on the event's own row and on those of the hour before it, so rows are to be ordered by
    (occurred_at, seq). The first `lead` rows are looked at for that alone (`hour_before` tells where they begin) and
    get no score.
    """
    _check(detector)

    def seen_from(start: int) -> _Seen:
        inputs = _Inputs.of(features.slice(start, _AT_ONCE))
        return _see(detector, inputs, _tails(detector, inputs.matrix))

    # NumPy lets two threads go while it counts, but they wait for each other between its calls: calls for 131,072
    # events each took half as long as four times as many for 32,768, whose columns stay near the processor.
    with ThreadPoolExecutor(2) as threads:
        seen = _Seen.joined(list(threads.map(seen_from, range(0, max(features.height, 1), _AT_ONCE))))
    return _scores(detector, seen, _clear_before(features, seen.odds))[lead:]


def hour_before(features: pl.DataFrame, first: int) -> int:
    """Return the place from which on a score of the event at place `first`, or of a later one, looks at others."""
    if first >= features.height:
        return features.height
    moment = features["occurred_at"][first] - timedelta(seconds=LOOKS_BACK_S)
    return min(int(features["occurred_at"].search_sorted(moment, side="left")), first)


def contributions(detector: Detector, features: pl.DataFrame) -> Floats:
    """Return [events, features] how odd each feature of each event is, in nats, columns in the order of SURPRISES."""
    _check(detector)
    return _tails(detector, _Inputs.of(features).matrix)


def blocks(events: int) -> list[ModelBlock]:
    """Plan a walk-forward run over so many events.

    Each block is scored by a model of everything before it and is as long as half its past, so the number of fits
    grows with the logarithm of the history and the plan of a longer history begins with that of a shorter one, its
    last block but for its end.
    """
    planned: list[ModelBlock] = []
    start, end = 0, _FIRST_BLOCK
    while start < events:
        planned.append(ModelBlock(len(planned), start, start, min(end, events) - 1))
        start, end = end, max(int(end * _GROWTH), end + _FIRST_BLOCK)
    return planned


def walk_forward(
    features: pl.DataFrame, *, seed: int, on_model: Callable[[ModelBlock, Detector], None] | None = None
) -> pl.DataFrame:
    """Score every event by a model of its past alone, as it would have been scored when it came.

    Returns seq (int64), score (float64, 0..1) and model (int32, the number of the block in `blocks`), ordered by
    (occurred_at, seq). A later event never changes an earlier score. `on_model` gets each block with its detector,
    for storing and explaining.
    """
    ordered = features.sort("occurred_at", "seq")
    inputs = _Inputs.of(ordered)
    scores = np.zeros(len(ordered))
    model = np.zeros(len(ordered), dtype=np.int32)
    for block in blocks(len(ordered)):
        here = slice(block.first, block.last + 1)
        detector = _fit(inputs.part(sample_places(block.fitted_events)), seed, block.fitted_events)
        since = hour_before(ordered, block.first)
        looked_at = inputs.part(slice(since, here.stop))
        seen = _see(detector, looked_at, _tails(detector, looked_at.matrix))
        clear = _clear_before(ordered.slice(since, here.stop - since), seen.odds)
        scores[here] = _scores(detector, seen, clear)[here.start - since :]
        model[here] = block.model
        if on_model is not None:
            on_model(block, detector)
    return pl.DataFrame({"seq": ordered["seq"], "score": scores, "model": model})


@dataclass(frozen=True)
class _Inputs:
    """What the detector reads of a features frame."""

    matrix: Floats
    harm: Floats
    """Possible harm by meaning, damped for repeats and for a tenant without much past; multiplies the surprise."""
    repeated: Floats
    """1 for an event that is no repetition, more for each of the last hour; what is odd is divided by it."""
    beside: Floats
    """[events, BESIDE] as the trees of `evidence` see them."""
    exchanged: Floats
    """What is added for a week under each other's names."""

    @classmethod
    def of(cls, features: pl.DataFrame) -> "_Inputs":
        beside = features.select(BESIDE).to_numpy().astype(np.float64, copy=False)
        risk, exposed, _, repeats = beside.T
        known = features["tenant_events"].to_numpy().astype(np.float64)
        harm = 1.0 + np.clip(risk + _EXPOSED_HARM * exposed * (risk >= _EXPOSED_FROM_RISK), 0.0, 1.0)
        mature = (known + 1.0) / (known + 1.0 + _MATURE_EVENTS)
        matrix = features.select(SURPRISES).to_numpy().astype(np.float64, copy=False)
        repeated = 1.0 + _REPEAT_DAMPING * np.log1p(repeats)
        exchanged = np.maximum(features[EXCHANGED].to_numpy() - EXCHANGED_FROM, 0.0) * _EXCHANGED_WEIGHT
        return cls(matrix, harm * mature / repeated, repeated, beside, exchanged)

    def part(self, which: slice | npt.NDArray[np.int64]) -> "_Inputs":
        return _Inputs(*(getattr(self, each.name)[which] for each in fields(self)))


def _check(detector: Detector) -> None:
    if detector.names != SURPRISES:
        raise ValidationError(
            f"expected a detector of the {len(SURPRISES)} features of this version, got one of {len(detector.names)} "
            "others; train again"
        )


@lru_cache(maxsize=64)
def _places(events: int) -> npt.NDArray[np.int64]:
    """Choose places in a sorted history that keep its upper end nearly point by point: the tail is what matters."""
    even = np.linspace(0.0, 1.0, 65)
    upper = 1.0 - np.geomspace(1.0, 1.0 / _HISTORY_MAX, _GRID - 65)
    places = np.ceil(np.sort(np.concatenate((even, upper))) * (events - 1)).astype(np.int64)
    places.setflags(write=False)  # shared by all callers
    return places


def _above(grid: Floats, events: int, x: Floats) -> Floats:
    """Return how many past events lie at or above x, from the grid kept of them."""
    if not len(grid):
        return np.zeros(len(x))
    held = min(events, _HISTORY_MAX)
    counts = np.append(held - _places(held), 0) * (events / held)
    return np.asarray(counts[np.searchsorted(grid, x, side="left")], dtype=np.float64)


def _tails(detector: Detector, matrix: Floats) -> Floats:
    """Return -ln of the share of the past at or above each value, blended with the prior of a usual tenant."""
    events = detector.fitted_events
    out = np.empty_like(matrix)
    for column, name in enumerate(SURPRISES):
        share, mean = _USUAL.get(name, _USUAL_ELSE)
        # Most of most features are 0: nothing happened, and all of them have the same tail.
        rows = np.flatnonzero(matrix[:, column] != 0.0)
        x = np.append(matrix[:, column].take(rows), 0.0)
        prior = np.where(x > 0, share * np.exp(-np.maximum(x, 0.0) / mean), 1.0)
        above = _above(detector.grid[column], events, x)
        tail = -np.log((above + _FEATURE_PRIOR * prior) / (events + _FEATURE_PRIOR))
        out[:, column] = tail[-1]
        out[rows, column] = tail[:-1]
    return out


def _surprise(tails: Floats) -> Floats:
    """Add up the families, in nats."""
    total = np.zeros(len(tails))
    for family in FAMILIES.values():
        # One column after the other: a sum along rows is bracketed by how the rows lie in memory.
        cubes = np.zeros(len(tails))
        for name in family.features:
            own = tails[:, SURPRISES.index(name)]
            cubes += own * own * own
        total += family.weight * np.cbrt(cubes)
    return total


def _combined(detector: Detector, tails: Floats) -> Floats:
    """Return what the forest finds odd in the combination, in nats."""
    if not len(detector.forest_grid):
        return np.zeros(len(tails))
    above = _above(detector.forest_grid, detector.fitted_events, _isolation(detector, tails))
    return np.asarray(-_FOREST_WEIGHT * np.log((above + 1.0) / (detector.fitted_events + 1.0)))


@dataclass(frozen=True)
class _Seen:
    """What the detectors make of events, each of its own row alone."""

    odds: Floats
    """Log odds of an attack."""
    surprise: Floats
    """In nats, times harm."""
    repeated: Floats
    exchanged: Floats

    @classmethod
    def joined(cls, parts: Sequence["_Seen"]) -> "_Seen":
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def part(self, which: npt.NDArray[np.int64]) -> "_Seen":
        return _Seen(*(getattr(self, each.name)[which] for each in fields(self)))

    def raw(self, clear_before: Floats | float) -> Floats:
        """Join the detectors into one number that orders events; larger is more suspicious, 0 or more."""
        beyond = np.maximum(self.odds - _CLEAR_ODDS, 0.0)
        damping = 1.0 + _CLEAR_DAMPING * np.log1p(np.maximum(clear_before - _CLEAR_ENOUGH, 0.0))
        odds = np.minimum(self.odds, _CLEAR_ODDS) + beyond / damping
        # A repetition inherits what was odd about the first one, which the trees take for more of it.
        joint = np.maximum(odds + _ODDS_FROM, 0.0) * _ODDS_WEIGHT / self.repeated + self.surprise * _SURPRISE_WEIGHT
        joint = np.maximum(joint, np.minimum(self.surprise * _SURPRISE_ALONE, _ALONE_AT_MOST))
        return np.asarray(joint + self.exchanged, dtype=np.float64)


def _see(detector: Detector, inputs: _Inputs, tails: Floats) -> _Seen:
    sieve = Trees(detector.sieve_feature, detector.sieve_threshold, detector.sieve_value)
    fine = Trees(detector.fine_feature, detector.fine_threshold, detector.fine_value)
    odds = log_odds(Evidence(sieve, fine), tails, inputs.beside)
    surprise = _surprise(tails)
    # Where the sieve finds nothing to look at, no combination is worth the forest's time: three fifths and more of it.
    passed = np.flatnonzero(odds > SIEVED)
    surprise[passed] += _combined(detector, tails.T.take(passed, axis=1).T)
    return _Seen(odds, surprise * inputs.harm, inputs.repeated, inputs.exchanged)


def _clear_before(events: pl.DataFrame, odds: Floats) -> Floats:
    """Return of each clear event how many the actor had within the hour before it, in order of time; 0 of others."""
    before = np.zeros(len(odds))
    clear = np.flatnonzero(odds > _CLEAR_ODDS)
    if len(clear):
        own = events.select("occurred_at", "actor_ref")[clear]
        time_us = own["occurred_at"].dt.epoch("us").to_numpy().astype(np.int64)
        window = Windows(State(), "clear", own["actor_ref"].fill_null("").hash().to_numpy(), time_us, LOOKS_BACK_S)
        before[clear] = window.count(window.first(LOOKS_BACK_S)) - 1
    return before


def _scores(detector: Detector, seen: _Seen, clear_before: Floats) -> Floats:
    scores = _calibrated(detector, seen.raw(clear_before))
    # What alerts of itself alerts.
    late = np.flatnonzero(clear_before > _CLEAR_ENOUGH)
    alone = _calibrated(detector, seen.part(late).raw(0.0))
    scores[late] = np.maximum(scores[late], np.minimum(alone, SCORE_THRESHOLD_DEFAULT))
    return scores


def _calibrated(detector: Detector, raw: Floats) -> Floats:
    above = _above(detector.raw_grid, detector.fitted_events, raw)
    if len(detector.tail):
        # Counts say little where few past events lie; an exponential tail ranks there and between models.
        start, excess, beyond = detector.tail
        above = np.where(raw > start, beyond * np.exp(-np.maximum(raw - start, 0.0) / excess), above)
    prior = _CALIBRATION_PRIOR * np.exp(-raw / _CALIBRATION_SCALE)
    share = np.minimum((above + prior) / (detector.fitted_events + _CALIBRATION_PRIOR), 1.0)
    # A part by the place in the tenant's own past, the rest by an absolute scale: the past alone would call an attack
    # usual once another one is in it, and would order events of before and after a new model as if they were equals.
    # Of 28 made-up and recorded streams 0 to 0.6 % of the events alert though they are benign, 0.3 % in the middle.
    share = share ** (1.0 - _ANCHORED) * np.exp(-raw / _ANCHOR_SCALE * _ANCHORED)
    scores = np.asarray(1.0 - share**_EXPONENT, dtype=np.float64)
    return np.minimum(scores, _COLD_CAP) if detector.fitted_events < _FIRST_BLOCK else scores


def _fit(inputs: _Inputs, seed: int, events: int) -> Detector:
    none = np.zeros((0, 0))
    trees = shipped()
    detector = Detector(
        names=SURPRISES, seed=seed, fitted_events=events, grid=np.zeros((len(SURPRISES), 0)),
        forest_feature=none.astype(np.int32), forest_threshold=none.astype(np.float32), forest_length=none,
        sieve_feature=trees.sieve.feature, sieve_threshold=trees.sieve.threshold, sieve_value=trees.sieve.value,
        fine_feature=trees.fine.feature, fine_threshold=trees.fine.threshold, fine_value=trees.fine.value,
        forest_grid=none.ravel(), raw_grid=none.ravel(), tail=none.ravel(),
    )  # fmt: skip
    if not events:
        return detector
    held = len(inputs.harm)
    places = _places(held)
    detector = replace(detector, grid=np.ascontiguousarray(np.sort(inputs.matrix, axis=0)[places].T))
    tails = _tails(detector, inputs.matrix)
    detector = _with_forest(detector, tails)
    detector = replace(detector, forest_grid=np.sort(_isolation(detector, tails))[places])
    # A sample does not tell who did what in the hour before, and little of a past is that clear.
    raw = np.sort(_see(detector, inputs, tails).raw(0.0))
    beyond = int(held * _TAIL_SHARE)
    tail = np.zeros(0)
    if beyond >= _TAIL_FEWEST:
        start = raw[-beyond - 1]
        excess = (float((raw[-beyond:] - start).sum()) + _TAIL_FEWEST * _CALIBRATION_SCALE) / (beyond + _TAIL_FEWEST)
        tail = np.array([start, excess, beyond * events / held])
    return replace(detector, raw_grid=raw[places], tail=tail)


def _with_forest(detector: Detector, tails: Floats) -> Detector:
    """Grow an isolation forest (Liu, Ting, Zhou 2008) on the tails and keep it as arrays."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - 2 s that loading the asset graph need not pay

    grown = IsolationForest(n_estimators=_TREES, max_samples=min(_SAMPLE, len(tails)), random_state=detector.seed)
    feature = np.zeros((_TREES, 2**_DEPTH - 1), dtype=np.int32)
    threshold = np.full(feature.shape, np.inf, dtype=np.float32)
    length = np.zeros((_TREES, 2**_DEPTH))
    for row, tree in enumerate(each.tree_ for each in grown.fit(tails).estimators_):
        left, right, split = tree.children_left.tolist(), tree.children_right.tolist(), tree.feature.tolist()
        limit, samples = _down_to_32_bits(tree.threshold).tolist(), tree.n_node_samples.tolist()
        # Level by level into the complete tree; below a leaf the way always leads left, to the leaf's own length.
        places = {0: 0}
        for depth in range(_DEPTH):
            below: dict[int, int] = {}
            for place, node in places.items():
                if left[node] < 0:
                    end = (place + 1) * 2 ** (_DEPTH - depth) - 2**_DEPTH
                    length[row, end] = depth + _average_path(samples[node])
                    continue
                feature[row, place], threshold[row, place] = split[node], limit[node]
                below[2 * place + 1], below[2 * place + 2] = left[node], right[node]
            places = below
        for place, node in places.items():
            length[row, place - 2**_DEPTH + 1] = _DEPTH + _average_path(samples[node])
    return replace(detector, forest_feature=feature, forest_threshold=threshold, forest_length=length)


def _down_to_32_bits(values: Floats) -> npt.NDArray[np.float32]:
    """Round down, so that a 32-bit value compares with the results as with the values themselves."""
    near = values.astype(np.float32)
    return np.where(near <= values, near, np.nextafter(near, np.float32(-np.inf)))


@lru_cache(maxsize=1024)
def _average_path(samples: int) -> float:
    """Return the average length of an unsuccessful search among so many samples, the c(n) of the paper."""
    if samples <= 2:
        return 1.0 if samples == 2 else 0.0
    return float(2.0 * (np.log(samples - 1.0) + np.euler_gamma) - 2.0 * (samples - 1.0) / samples)


def _isolation(detector: Detector, tails: Floats) -> Floats:
    """Return how isolated each row is in the forest, in 0..1 (1 = isolated at once)."""
    usual = max(_average_path(min(_SAMPLE, detector.fitted_events)), 1.0)
    # scikit-learn splits on 32-bit values, so rows must be compared as such to fall on the same side.
    out = np.zeros(len(tails))
    features = detector.forest_feature.astype(np.int64)
    upper = 2**_UPPER_LEVELS - 1
    for start in range(0, len(tails), _CHUNK):
        chunk = tails[start : start + _CHUNK].T.astype(np.float32, order="C")
        count = chunk.shape[1]
        flat, rows = chunk.ravel(), np.arange(count)
        total = np.zeros(count)
        for feature, threshold, length in zip(features, detector.forest_threshold, detector.forest_length, strict=True):
            # The upper levels have few nodes: whole columns against one number are cheaper than gathering.
            asked = zip(feature[:upper], threshold[:upper], strict=True)
            node = ends([np.packbits(chunk[each] > limit) for each, limit in asked], count).astype(np.int64)
            node += upper
            at = feature * count
            for _ in range(_UPPER_LEVELS, _DEPTH):
                place = at.take(node, mode="clip")
                place += rows
                higher = flat.take(place, mode="clip") > threshold.take(node, mode="clip")
                node *= 2
                node += 1
                node += higher
            node -= 2**_DEPTH - 1
            total += length.take(node, mode="clip")
        out[start : start + _CHUNK] = np.exp2(-total / len(detector.forest_length) / usual)
    return out
