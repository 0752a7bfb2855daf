"""What several families of features share: the keys of a stretch of events, and groupings by them.

Names of groupings and fields are what is carried from stretch to stretch; give each a name of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import polars as pl

from audit_pipelines.intelligence.past import Flags, Floats, Group, Ints, Keys, State, Stretch, Windows, pair
from audit_pipelines.intelligence.risk import FAILURE_WORDS

TEN_MINUTES_S: Final = 600.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
DAY_US: Final = 86_400_000_000

Role = Literal["surprise", "apart", "meaning", "evidence"]


@dataclass(frozen=True)
class Feature:
    """One numeric column of `compute_features`.

    Role `surprise`: the detector learns from it, larger is odder. `apart`: odder, too, but nothing is learnt from it,
    so it counts as it is. `meaning`: what the event could do. `evidence`: a plain number that reasons are told with
    and that the detector does not learn from.
    """

    name: str
    meaning: str
    unit: str
    role: Role = "surprise"


@dataclass(frozen=True)
class Facts:
    """A stretch of one tenant's events in order, regrouped in the ways that several families need."""

    events: pl.DataFrame
    texts: pl.DataFrame
    """What `details` finds in the texts."""
    stretch: Stretch
    actor: Keys
    kind: Keys
    """Of the event's type."""
    entity: Keys
    entity_kind: Keys
    network: Keys
    failed: Flags
    tenant: Group
    """All events as one group."""
    by_actor: Group
    by_kind: Group
    by_pair: Group
    """By actor and kind."""
    by_entity: Group
    """By actor and entity."""
    by_entity_kind: Group
    """By actor and the entity's kind."""
    window: Windows
    """The actor's last 24 hours."""
    since_10m: Ints
    since_1h: Ints
    """By place in `window`, where the actor's last hour begins; `since_10m` and `since_24h` alike."""
    since_24h: Ints
    here: Windows
    """The last hour of the actor from this network."""
    here_1h: Ints
    """By place in `here`, where the hour begins."""
    since_pair_s: Floats
    """Seconds since the actor last did this kind; infinite for the first time."""
    since_entity_s: Floats
    """Seconds since the actor last touched this entity; infinite for the first time."""
    known: dict[str, Floats] = field(default_factory=dict)
    """Features of the families before this one."""

    @property
    def time_us(self) -> Ints:
        """`occurred_at` in microseconds."""
        return self.stretch.time_us


def facts(ordered: pl.DataFrame, state: State, texts: pl.DataFrame) -> Facts:
    """Regroup events that come after `state`, ordered by (occurred_at, seq). Events without an actor are one actor."""
    time_us = ordered["occurred_at"].dt.epoch("us").to_numpy().astype(np.int64)
    stretch = Stretch(ordered.height, time_us, state)
    actor, _ = stretch.keys(ordered["actor_ref"].fill_null(""))
    kind, _ = stretch.keys(ordered["event_type"])
    entity_id, _ = stretch.keys(ordered["entity_id"])
    entity_kind, _ = stretch.keys(ordered["entity_type"])
    entity = pair(entity_kind, entity_id)
    network, _ = stretch.keys(ordered["ip_index"].str.slice(0, 16))
    outcomes = ordered["outcome"].fill_null("")
    by_pair = stretch.group("actor, kind", pair(actor, kind))
    by_entity = stretch.group("actor, entity", pair(actor, entity))
    window = stretch.windows("actor", actor, DAY_S)
    here = stretch.windows("actor, network", pair(actor, network), HOUR_S)
    return Facts(
        events=ordered,
        texts=texts,
        stretch=stretch,
        actor=actor,
        kind=kind,
        entity=entity,
        entity_kind=entity_kind,
        network=network,
        failed=by_distinct(outcomes, lambda each: each.str.contains(FAILURE_WORDS)).to_numpy().astype(bool),
        tenant=stretch.group("", None),
        by_actor=stretch.group("actor", actor),
        by_kind=stretch.group("kind", kind),
        by_pair=by_pair,
        by_entity=by_entity,
        by_entity_kind=stretch.group("actor, entity kind", pair(actor, entity_kind)),
        window=window,
        since_10m=window.first(TEN_MINUTES_S),
        since_1h=window.first(HOUR_S),
        since_24h=window.first(DAY_S),
        here=here,
        here_1h=here.first(HOUR_S),
        since_pair_s=since(by_pair, "time", time_us),
        since_entity_s=since(by_entity, "time", time_us),
    )


def by_distinct(values: pl.Series, of: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Return `of` each text, asked once per distinct text; null stays null."""
    distinct = values.unique().drop_nulls()
    table = pl.DataFrame({"value": distinct, "answer": of(distinct)})
    return pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")["answer"]


def since(past: Group, name: str, time_us: Ints) -> Floats:
    """Return the seconds since the row before in the group; infinite for its first row."""
    before, has = past.previous(name, time_us)
    return np.where(has, (time_us - before) / 1e6, np.inf)
