"""Conditions of a question as the parameters of SQL: names of columns, keyed hashes for addresses, patterns for words.

Pure but for the tenant's key. What a condition means is written in `sql/search/matching.sql`, and nowhere else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from audit_pipelines.intelligence.search.question import Conditions
from audit_pipelines.ledger import sealing

# Of the index of an address, the part that is its network's.
_NETWORK_BYTES: Final = 8
_PIECE: Final = re.compile(r"[0-9A-Za-z]+")
_REPLACED: Final = (
    "since", "until", "event_types", "actors", "entity_types", "entity_ids", "outcomes", "addresses",
)  # fmt: skip
_OPPOSITE: Final = {
    "event_types": "not_event_types",
    "entity_ids": "not_entity_ids",
    "actors": "not_actors",
    "outcomes": "not_outcomes",
    "addresses": "not_addresses",
}


class Place(NamedTuple):
    """Where a page ended."""

    seq: int
    """Of pages by seq the last one shown; of pages by meaning the first one that is too new for the list."""
    shown: int | None = None
    """Of pages by meaning: how many were shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a search is about."""

    conditions: Conditions
    words: str | None = None
    """Words that an event must have, in any order."""
    with_accesses: bool = False
    zone: str = "UTC"

    @property
    def is_narrow(self) -> bool:
        """Whether there is any condition, so that few events may fulfil all of them."""
        return bool(self.words) or self.conditions != Conditions()


def joined(understood: Conditions, explicit: Conditions) -> Conditions:
    """Return what was understood, with every condition that was given explicitly in place of its own kind."""
    changes: dict[str, Any] = {name: getattr(explicit, name) for name in _REPLACED if getattr(explicit, name)}
    changes |= {_OPPOSITE[name]: () for name in changes if name in _OPPOSITE}
    if "entity_ids" in changes:
        changes["persons"] = ()
    return replace(understood, **changes)


def unsupported_networks(conditions: Conditions) -> tuple[str, ...]:
    """Return the networks that cannot be looked for: addresses are kept as keyed hashes of themselves and their /24."""
    return tuple(each for each in (*conditions.addresses, *conditions.not_addresses) if not _has_index(each))


def parameters(wanted: Wanted, tenant_key: bytes, *, before_seq: int | None = None) -> dict[str, Any]:
    """Return the parameters of `search/matching`; None stands for "any".

    A network that has no index is a condition that nothing fulfils, never one that is left out.
    """
    conditions = wanted.conditions
    places = [_index(tenant_key, each) for each in conditions.addresses]
    said = (wanted.words or "", *conditions.phrases)
    return {
        "since": conditions.since,
        "until": conditions.until,
        "before_seq": before_seq,
        "event_types": _any(conditions.event_types),
        "not_event_types": _any(conditions.not_event_types),
        "actors": _any(conditions.actors),
        "not_actors": _any(conditions.not_actors),
        "entity_types": _any(conditions.entity_types),
        "entity_ids": _any((*conditions.entity_ids, *map(str, conditions.persons))),
        "not_entity_ids": _any(conditions.not_entity_ids),
        "outcomes": _any(conditions.outcomes),
        "not_outcomes": _any(conditions.not_outcomes),
        "addresses": _any(each for each in places if len(each) != _NETWORK_BYTES),
        "networks": _any(each for each in places if len(each) == _NETWORK_BYTES),
        "not_addresses": _any(_index(tenant_key, each) for each in conditions.not_addresses if _has_index(each)),
        "hours": conditions.hours,
        "zone": wanted.zone,
        "with_accesses": wanted.with_accesses,
        "words": wanted.words,
        "phrases": _any(conditions.phrases),
        "pieces": pieces(" ".join(said)),
    }


def pieces(words: str) -> list[str] | None:
    """Return LIKE patterns that any row with all of `words` must match.

    ASCII alone: for other letters, Python and Postgres do not always agree on what the lower case is.
    """
    return [f"%{piece.lower()}%" for piece in _PIECE.findall(words)] or None


def _any(values: Iterable[Any]) -> list[Any] | None:
    return list(values) or None


def _has_index(place: str) -> bool:
    if "/" not in place:
        return True
    network = ip_network(place)
    return network.prefixlen == sealing.NETWORK_BITS[network.version]


def _index(tenant_key: bytes, place: str) -> bytes:
    """Return what the index of an address equals, or what those of a network's addresses begin with."""
    if not _has_index(place):
        return b""
    return sealing.network_index(tenant_key, place) if "/" in place else sealing.ip_index(tenant_key, place)
