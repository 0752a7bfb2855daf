"""What a question is understood as, as frozen values: what is wanted, of which events, and from which words that came.

No word is read here (`question` does that) and no SQL is made of it (the server does). Empty is "any" throughout.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from audit_pipelines.intelligence.search.times import Period

Wanted = Literal["events", "count", "ranking", "comparison"]
Group = Literal["actor", "event_type", "entity", "network", "day", "hour", "outcome"]
Hours = Literal["off_hours", "night", "weekend"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody named in the question, as the vault knows him."""

    refs: tuple[UUID, ...]
    """All who are called so: "alice" may be two."""
    name: str


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of the question and the filter that they became."""

    words: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an event must be. Empty is "any"; of several values any one holds; conditions hold together."""

    since: datetime | None = None
    until: datetime | None = None
    event_types: tuple[str, ...] = ()
    not_event_types: tuple[str, ...] = ()
    actors: tuple[UUID, ...] = ()
    not_actors: tuple[UUID, ...] = ()
    persons: tuple[UUID, ...] = ()
    """Who it was done to: the entity is one of them."""
    entity_types: tuple[str, ...] = ()
    entity_ids: tuple[str, ...] = ()
    not_entity_ids: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    not_outcomes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    not_addresses: tuple[str, ...] = ()
    hours: Hours | None = None
    """On the caller's clock: `night` is 22 to 6, `weekend` Saturday and Sunday, `off_hours` the weekend and before 7
    and from 19 on other days."""
    phrases: tuple[str, ...] = ()
    """Quoted words, which the event must have as they stand."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked."""

    text: str
    wanted: Wanted
    conditions: Conditions
    group: Group | None = None
    """What a ranking counts by."""
    fewest: bool = False
    top: int | None = None
    """How many lines of a ranking, or how many first or last events."""
    distinct: bool = False
    """Of a ranking: asked is how many different values there are ("how many users logged in")."""
    first: bool | None = None
    """True for "the first time", False for "the last time"."""
    compared_with: Period | None = None
    meaning: str = ""
    """What to embed for a search by meaning: the question without what became a filter."""
    likely_types: tuple[str, ...] = ()
    """Event types that some of the words mean, where others stay unexplained: no filter, but a hint."""
    hints: tuple[tuple[str, float], ...] = ()
    """How much of an event type the words say, above 0 up to 1, for where there are no vectors."""
    unexplained: tuple[str, ...] = ()
    """Words that carry meaning and became no filter; with none of them the filters say it all."""
    understood: tuple[Understood, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the words of a question are looked up in: what the tenant's events say, and who its persons are."""

    event_types: tuple[str, ...]
    entity_types: tuple[str, ...]
    outcomes: tuple[str, ...]
    person: Callable[[str], Person | None] = field(default=lambda _: None)
    """Find somebody by an identity or a part of one that stands for the whole."""
    pairs: frozenset[tuple[str, str]] = frozenset()
    """The types of event with the types of entity that they are about; empty where that is not known."""
