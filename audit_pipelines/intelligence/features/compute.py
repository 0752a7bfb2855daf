"""All families together: a stretch of events after a state becomes rows of features and the state after it."""

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final

import polars as pl

from audit_pipelines.intelligence.features import details, exchanges, hours, kinds, peers, places, rates, sessions
from audit_pipelines.intelligence.features.facts import Facts, Feature, facts
from audit_pipelines.intelligence.past import Layer, State, merge

_FAMILIES: Final = (kinds, places, details, hours, rates, peers, sessions, exchanges)

_ROLES: Final = ("surprise", "apart", "meaning", "evidence")
_EVERY: Final = tuple(each for family in _FAMILIES for each in family.FEATURES)
FEATURES: Final[tuple[Feature, ...]] = tuple(each for role in _ROLES for each in _EVERY if each.role == role)

SURPRISES: Final[tuple[str, ...]] = tuple(each.name for each in FEATURES if each.role == "surprise")
"""The features a detector learns from, in the order of its arrays."""

IDENTITY: Final[tuple[str, ...]] = (
    "tenant_id", "seq", "event_id", "occurred_at", "actor_ref", "event_type", "entity_type", "entity_id", "outcome",
)  # fmt: skip

NEEDED: Final[tuple[str, ...]] = (*IDENTITY, "ip_index", "user_agent", "details")
"""The columns of events that features are computed from."""

STRETCH: Final = 1 << 17
"""Events computed at a time: so few that memory does not follow the history. With half as many, whose columns stay
nearer to the processor, it took a tenth longer: threads wait for each other between the calls of NumPy."""


def compute_features(events: pl.DataFrame, state: State | None = None) -> pl.DataFrame:
    """Compute the features of one tenant's events, all that come after `state` in the order of (occurred_at, seq).

    Returns one row per event in that order: the columns of IDENTITY, then one float64 column per entry of FEATURES,
    never null or NaN. Guarantees causality: a row depends only on events with (occurred_at, seq) up to its own. The
    same bit by bit however a history is split.
    """
    return advance(events.sort("occurred_at", "seq"), state or State())[0]


def advance(ordered: pl.DataFrame, state: State) -> tuple[pl.DataFrame, Layer]:
    """Compute the features of ordered events after `state`, and the layer that they leave on it."""
    pieces, layers = [], list[Layer]()
    with ThreadPoolExecutor(2) as beside:
        texts = beside.submit(details.texts, ordered.slice(0, STRETCH))
        for start in range(0, max(ordered.height, 1), STRETCH):
            said = texts.result()
            # Polars looks into the texts of the stretch after while NumPy counts in this one.
            texts = beside.submit(details.texts, ordered.slice(start + STRETCH, STRETCH))
            before = State(state.seed, (*state.layers, *layers))
            piece, layer = _stretch(facts(ordered.slice(start, STRETCH), before, said), beside)
            pieces.append(piece)
            layers.append(layer)
            # As many layers as a binary number has digits: looking up stays cheap, and so does merging.
            while len(layers) > 1 and _weight(layers[-1]) * 2 >= _weight(layers[-2]):
                newer = layers.pop()
                layers[-1] = merge(layers[-1], newer)
    while len(layers) > 1:
        newer = layers.pop()
        layers[-1] = merge(layers[-1], newer)
    return pl.concat(pieces), layers[0]


def _weight(layer: Layer) -> int:
    return sum(len(table.keys) for table in layer.tables.values())


def _stretch(found: Facts, beside: Executor) -> tuple[pl.DataFrame, Layer]:
    # Two threads with about the same to do: NumPy and polars let them go.
    leaves = beside.submit(details.leaves, found)
    others = beside.submit(lambda: {**details.compute(found, leaves.result()), **rates.compute(found)})
    for family in (kinds, places, hours, peers):
        found.known.update(family.compute(found))
    found.known.update(exchanges.compute(found, leaves.result()))
    found.known.update(others.result())
    found.known.update(sessions.compute(found))
    columns = (pl.Series(each.name, found.known[each.name], dtype=pl.Float64) for each in FEATURES)
    return found.events.select(IDENTITY).with_columns(columns), found.stretch.layer()
