"""What an answer is made of, as frozen values: the facts that a search counted, the events it found, and the answer.

No model is asked and nothing is phrased here. Persons are references throughout, in an answer too: each stands there as
the bare UUID in its canonical form (36 characters, lower case, no brackets), which whoever knows the reference replaces
by a name for those allowed to see it. A UUID that is nobody's reference is an identifier and stays.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

COMPOSED: Final = "composed"
"""Who wrote an answer that no model had a part in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One event that an answer may cite as `[number]`."""

    number: int
    """From 1, in the order of the results."""
    event_id: str
    seq: int
    row_hash: str
    """64 hex digits."""
    occurred_at: datetime
    event_type: str
    entity_type: str | None
    entity_id: str | None
    """A reference where the entity is a person."""
    outcome: str | None
    actor_ref: UUID | None
    text: str
    """The event in words, without names and identifiers."""


@dataclass(frozen=True, slots=True)
class Group:
    """One line of a ranking: a value and how many of the matching events have it."""

    value: str
    """A reference where it is a person."""
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What SQL counted over all events that the filters let through; exact, whatever the number of sources."""

    matching: int
    groups: tuple[Group, ...] = ()
    """Of a ranking, in its order; whether it is by most or fewest stands in the question."""
    distinct: int | None = None
    """Of a ranking, how many different values there are in all, where that was counted."""
    compared: int | None = None
    """The count of the other period of a comparison."""
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences with their sources as `[n]`."""

    text: str
    generated_by: str
    """`composed`, or the name of the chat model."""
    cited: tuple[int, ...] = ()
    """Numbers of the sources that the text names, ascending."""
    without_model: str = ""
    """Why a model that was asked has no part in it, for whoever runs it; holds nothing that the model said."""
