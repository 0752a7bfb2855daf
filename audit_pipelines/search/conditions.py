"""Conditions of a question as the parameters of SQL: names of columns, keyed hashes for addresses, patterns for words.

Pure but for the tenant's key. What a condition means is written in `sql/search/matching.sql`, and nowhere else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple

from audit_pipelines.intelligence.search.question import Conditions
from audit_pipelines.ledger import sealing

# Of the index of an address, the part that is its network's.
_NETWORK_BYTES: Final = 8
# A network of any other size is looked for as all its addresses, or as all the networks in it that have an index: an
# IPv4 /8, or an IPv6 /32. Naming so many takes 0.7 s, their keyed hashes 0.15 s.
_MOST_PLACES: Final = 65_536
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
    """Return the networks that cannot be looked for, being too many addresses: those are kept as keyed hashes."""
    return tuple(each for each in (*conditions.addresses, *conditions.not_addresses) if not _places(each))


def parameters(wanted: Wanted, tenant_key: bytes, *, before_seq: int | None = None) -> dict[str, Any]:
    """Return the parameters of `search/matching`; None stands for "any".

    A network that has no index is a condition that nothing fulfils, never one that is left out.
    """
    conditions = wanted.conditions
    places = _indexes(tenant_key, conditions.addresses)
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
        "not_addresses": _any(each for each in _indexes(tenant_key, conditions.not_addresses) if each),
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


@lru_cache(maxsize=4)
def _places(place: str) -> tuple[str, ...]:
    """Return the addresses, or the networks that have an index, that a place is made of; none where they are too many.

    Addresses have no `/`.
    """
    if "/" not in place:
        return (place,)
    network = ip_network(place)
    bits = sealing.NETWORK_BITS[network.version]
    if network.prefixlen > bits:
        return tuple(map(str, network)) if network.num_addresses <= _MOST_PLACES else ()
    return _parts(network, bits) if 2 ** (bits - network.prefixlen) <= _MOST_PLACES else ()


def _parts(network: IPv4Network | IPv6Network, bits: int) -> tuple[str, ...]:
    return tuple(map(str, network.subnets(new_prefix=bits)))


def _indexes(tenant_key: bytes, places: Iterable[str]) -> list[bytes]:
    """Return what the indexes of addresses equal, or what those of a network's addresses begin with.

    Of a place that cannot be looked for it is what no index is.
    """
    found: list[bytes] = []
    for place in places:
        found += [
            sealing.network_index(tenant_key, each) if "/" in each else sealing.ip_index(tenant_key, each)
            for each in _places(place)
        ] or [b""]
    return found
