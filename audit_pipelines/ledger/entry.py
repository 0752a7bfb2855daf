"""From an event in clear to the row that is hashed: references for persons, sealed values, deterministic bytes.

Pure: the keys come in, a `Draft` comes out. It happens before any lock is taken, so it costs the database nothing. What
the bytes mean is written down in docs/ledger_format.md.
"""

import ipaddress
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.event import MAX_DETAILS_BYTES, Event

FORMAT_VERSION: Final = 1
SEALED_KEY: Final = "$sealed"
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_encoder = msgspec.json.Encoder(order="sorted")
# Shorter pieces of a name ("li", "a") stand in too many words that have nothing to do with the person, and these names
# are nobody's own.
_SHORTEST_IDENTIFIER: Final = 3
_GENERIC_NAMES: Final = frozenset(
    {"admin", "administrator", "anonymous", "root", "service", "system", "unknown", "user"}
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or service: the reference the ledger shows and the key its values are sealed under."""

    ref: UUID
    key: bytes


@dataclass(frozen=True, slots=True)
class SealingPolicy:
    """What is personal beside the actor: pointers into details, and entity types that are persons."""

    sealed_fields: tuple[str, ...]
    person_entity_types: frozenset[str]


class Draft(msgspec.Struct, frozen=True):
    """One row as `audit_append` takes it; `entry` is what is hashed, the rest are columns that must agree with it."""

    tenant_id: UUID
    event_id: str
    is_client_id: bool
    fingerprint: bytes
    entry: bytes
    occurred_at: datetime
    actor_ref: UUID | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: bytes | None
    user_agent: str | None
    erasures: int = 0
    """The count at which the keys it is sealed under were read; see `vault.Keys`. No column of the row."""


class _Entry(msgspec.Struct):
    """What is hashed. A struct is written in half the time of a dict; `order="sorted"` still orders the keys."""

    event_id: str
    occurred_at: str
    actor_ref: str | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: str | None
    user_agent: str | None
    details: dict[str, Any] | None
    v: int = FORMAT_VERSION


@lru_cache(maxsize=65_536)
def normalise_identity(identity: str) -> str:
    """Return the form under which a person is recognised again: Unicode NFKC, no outer space, case folded."""
    return unicodedata.normalize("NFKC", identity).strip().casefold()


def format_moment(moment: datetime) -> str:
    """Return RFC 3339 in UTC with exactly six digits of fraction, the only form an entry holds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def uuid7() -> UUID:
    """Return a time-ordered UUID (RFC 9562 §5.7), whose index entries land side by side."""
    stamp = time.time_ns() // 1_000_000
    value = (stamp << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)
    return UUID(int=value & ~(0x3 << 62) | (0x2 << 62))


def make_draft(
    event: Event,
    *,
    tenant_id: UUID,
    tenant_key: bytes,
    actor: Subject | None,
    entity: Subject | None,
    policy: SealingPolicy,
    received_at: datetime,
    erasures: int = 0,
) -> Draft:
    """Return the row for `event`.

    `entity` is given exactly when the entity is a person. Values of an event without an actor are sealed under the
    tenant's key.

    Raises:
        ValidationError: naming the field by JSON pointer: an address that is none, details too large, a pointer that
            is malformed.
    """
    key = actor.key if actor else tenant_key
    # What is to be sealed is no part of what happened: a longer list of fields must not turn a retry into a clash.
    plain = msgspec.structs.replace(event, sealed_fields=()) if event.sealed_fields else event
    content = _encode(plain, "")
    identifiers = _identifier_pattern(event, content)
    address, index = _seal_address(event.ip_address, key, tenant_key)
    try:
        details = _seal_details(event, key, identifiers, policy)
    except RecursionError:
        raise _fault("/action_details", "expected details nested less deeply") from None
    entity_id = event.entity_id
    if entity:
        entity_id = str(entity.ref)
    elif identifiers and identifiers.search(entity_id):
        # An object named after the person ("home/alice"): stays comparable as a pseudonym, readable in the vault alone.
        details = (details or {}) | {"$entity_id": {SEALED_KEY: sealing.seal(key, event.entity_id)}}
        entity_id = "sealed-" + sealing.keyed_hash(key, "entity", entity_id.encode()).hex()[:32]
    user_agent = event.user_agent
    if user_agent and identifiers and identifiers.search(user_agent):
        user_agent = sealing.seal(key, user_agent)
    occurred_at = _in_utc(event.occurred_at or received_at)
    event_id = event.event_id or str(uuid7())
    entry = _Entry(
        event_id,
        format_moment(occurred_at),
        _text_of(actor.ref) if actor else None,
        event.event_type,
        event.entity_type,
        entity_id,
        event.outcome,
        address,
        index.hex() if index else None,
        user_agent,
        details,
    )
    return Draft(
        tenant_id=tenant_id,
        event_id=event_id,
        is_client_id=event.event_id is not None,
        fingerprint=sealing.keyed_hash(key, "fingerprint", content)[:16],
        entry=_encode(entry, "/action_details"),
        occurred_at=occurred_at,
        actor_ref=actor.ref if actor else None,
        event_type=event.event_type,
        entity_type=event.entity_type,
        entity_id=entity_id,
        outcome=event.outcome,
        ip_address=address,
        ip_index=index,
        user_agent=user_agent,
        erasures=erasures,
    )


_text_of = lru_cache(maxsize=65_536)(UUID.__str__)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _fault("/occurred_at", f"expected a time between the years 1 and 9999 in UTC, got {moment}") from None


def _encode(value: object, where: str) -> bytes:
    try:
        encoded = _encoder.encode(value)
    except (RecursionError, UnicodeEncodeError) as error:
        raise _fault(where, f"cannot be written as JSON: {error}") from None
    if b"\\u0000" in encoded and _NUL.search(encoded):
        # Postgres reads no JSON with it: one such row would make every view over the ledger fail, for ever.
        raise _fault(where, "expected text without the character U+0000, got some with it")
    if len(encoded) > MAX_DETAILS_BYTES:
        raise _fault(where, f"expected an event of at most {MAX_DETAILS_BYTES:,} bytes, got {len(encoded):,}")
    return encoded


def _seal_address(address: str | None, key: bytes, tenant_key: bytes) -> tuple[str | None, bytes | None]:
    if address is None:
        return None, None
    try:
        canonical = canonical_address(address)
    except ValueError:
        raise _fault("/ip_address", f"expected an IPv4 or IPv6 address, got {address!r}") from None
    return sealing.seal(key, canonical), sealing.ip_index(tenant_key, canonical)


@lru_cache(maxsize=65_536)
def canonical_address(address: str) -> str:
    """Return an IP address as its family writes it, without outer space.

    Raises:
        ValueError: when `address` is none.
    """
    return str(ipaddress.ip_address(address.strip()))


def _seal_details(
    event: Event, key: bytes, identifiers: re.Pattern[str] | None, policy: SealingPolicy
) -> dict[str, Any] | None:
    if not event.details:
        return event.details
    details: Any = event.details
    for pointer in (*policy.sealed_fields, *event.sealed_fields):
        parts = _pointer_parts(pointer)
        if parts[0] in details:
            details = _seal_at(details, parts, key)
    return dict(_seal_identifiers(details, identifiers, key)) if identifiers else dict(details)


def _seal_at(value: Any, parts: tuple[str, ...], key: bytes) -> Any:
    """Return `value` with the place that `parts` lead to sealed; unchanged where there is no such place."""
    if not parts:
        return value if value is None or _is_sealed(value) else _sealed(value, key)
    head, rest = parts[0], parts[1:]
    if isinstance(value, dict) and head in value:
        return value | {head: _seal_at(value[head], rest, key)}
    if isinstance(value, list) and head.isdecimal() and len(head) < 10 and int(head) < len(value):
        place = int(head)
        return [*value[:place], _seal_at(value[place], rest, key), *value[place + 1 :]]
    return value


def _seal_identifiers(value: Any, identifiers: re.Pattern[str], key: bytes) -> Any:
    if isinstance(value, str):
        return _sealed(value, key) if identifiers.search(value) else value
    if isinstance(value, list):
        return [_seal_identifiers(item, identifiers, key) for item in value]
    if isinstance(value, dict) and not _is_sealed(value):
        # A key cannot be sealed alone: the object it belongs to is.
        if any(identifiers.search(name) for name in value):
            return _sealed(value, key)
        return {name: _seal_identifiers(item, identifiers, key) for name, item in value.items()}
    return value


def _sealed(value: Any, key: bytes) -> dict[str, str]:
    return {SEALED_KEY: sealing.seal(key, _encode(value, "/action_details").decode())}


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {SEALED_KEY}


def _identifier_pattern(event: Event, content: bytes) -> re.Pattern[str] | None:
    """Return what finds the actor's own names and address as whole words, or None if they stand nowhere else.

    Most events name their actor once. A count of substrings tells that in 2 µs; compiling a pattern takes 150.
    """
    text = content.decode().casefold()
    found = [
        identifier
        for identifier, times in _own_identifiers(event.actor, event.ip_address)
        if text.count(identifier) > times
    ]
    if not found:
        return None
    alternatives = "|".join(re.escape(identifier) for identifier in found)
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def _own_identifiers(actor: str | None, ip_address: str | None) -> tuple[tuple[str, int], ...]:
    """Return each identifier, longest first, and how often it stands in the actor and address fields themselves."""
    own = [_encoder.encode(value).decode().casefold() for value in (actor, ip_address) if value]
    identifiers = {item.casefold() for item in _identifiers(actor, ip_address)}
    return tuple(
        (item, sum(place.count(item) for place in own))
        for item in sorted(identifiers, key=lambda item: (-len(re.escape(item)), item))
    )


def _identifiers(actor: str | None, ip_address: str | None) -> Iterator[str]:
    if ip_address:
        yield ip_address.strip()
    if not actor:
        return
    identity = actor.strip()
    pieces = [identity]
    if "@" in identity:
        pieces.append(identity.partition("@")[0])
    if "/" in identity or identity.startswith("arn:"):
        pieces.append(re.split(r"[/:]", identity)[-1])
    for piece in pieces:
        if len(piece) >= _SHORTEST_IDENTIFIER and piece.casefold() not in _GENERIC_NAMES:
            yield piece


@lru_cache(maxsize=4_096)
def _pointer_parts(pointer: str) -> tuple[str, ...]:
    if not pointer.startswith("/"):
        raise _fault("/sealed_fields", f"expected a JSON pointer that starts with '/', got {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def _fault(where: str, what: str) -> ValidationError:
    return ValidationError(f"{where or '/'}: {what}", ((where, what),))
