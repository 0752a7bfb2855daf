"""From an event in clear to the row that is hashed: references for persons, sealed values, deterministic bytes.

Pure: the keys come in, a `Draft` comes out. It happens before any lock is taken, so it costs the database nothing. What
the bytes mean is written down in docs/ledger_format.md.
"""

import ipaddress
import os
import re
import time
import unicodedata
from dataclasses import dataclass, field
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
_NO_ADDRESS: Final[tuple[str | None, bytes | None, str | None]] = (None, None, None)
# Shorter pieces of a name ("li", "a") stand in too many words that have nothing to do with the person, and these names
# are nobody's own.
_SHORTEST_IDENTIFIER: Final = 3
_GENERIC_NAMES: Final = frozenset(
    {"admin", "administrator", "anonymous", "root", "service", "system", "unknown", "user"}
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or service: the reference the ledger shows, also as text, and the key its values are sealed under."""

    ref: UUID
    key: bytes = field(repr=False)
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Writing a UUID takes longer than all else an event needs of its actor.
        object.__setattr__(self, "text", str(self.ref))


@dataclass(frozen=True, slots=True)
class SealingPolicy:
    """What is personal beside the actor: pointers into details, and entity types that are persons."""

    sealed_fields: tuple[str, ...]
    person_entity_types: frozenset[str]


class Draft(msgspec.Struct, frozen=True, gc=False):
    """One row as `audit_append` takes it; `entry` is what is hashed, the rest are columns that must agree with it."""

    tenant_id: UUID
    event_id: str
    fingerprint: bytes | None
    """Keyed hash of the content before sealing, where the client chose `event_id`; None where the server made it."""
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

    @property
    def is_client_id(self) -> bool:
        """Whether the client chose the `event_id`, and may repeat it."""
        return self.fingerprint is not None


class _Entry(msgspec.Struct, gc=False):
    """What is hashed. A struct is written in half the time of a dict; `order="sorted"` still orders the keys."""

    event_id: str
    occurred_at: datetime | str
    actor_ref: str | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: str | None
    user_agent: str | None
    details: msgspec.Raw | dict[str, Any] | None
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
    # Written once for all that is made of it; most details go into the entry as they came.
    plain = msgspec.Raw(_encode(event.details)) if event.details else None
    try:
        details = _seal_fields(event, key, policy)
    except RecursionError:
        raise _fault("/action_details", "expected details nested less deeply") from None
    entity_id = entity.text if entity else event.entity_id
    user_agent = event.user_agent
    identifiers = _identifiers_elsewhere(event, entity_id, plain)
    if identifiers:
        if details:
            details = _seal_identifiers(details, identifiers, key)
        if user_agent and identifiers.search(user_agent):
            user_agent = sealing.seal(key, user_agent)
        if not entity and identifiers.search(entity_id):
            # An object named after the person ("home/alice"): comparable as a pseudonym, readable in the vault alone.
            details = (details or {}) | {"$entity_id": {SEALED_KEY: sealing.seal(key, entity_id)}}
            entity_id = "sealed-" + sealing.keyed_hash(key, "entity", entity_id.encode()).hex()[:32]
    address, index, written_index = _NO_ADDRESS
    if event.ip_address is not None:
        address, index, written_index = _seal_address(event.ip_address, key, tenant_key)
    occurred_at = event.occurred_at or received_at
    if occurred_at.tzinfo is not UTC:
        occurred_at = _in_utc(occurred_at)
    event_id = event.event_id or str(uuid7())
    entry = _Entry(
        event_id,
        # The encoder writes a moment as `format_moment` does, in a twentieth of the time, unless its fraction is zero.
        occurred_at if occurred_at.microsecond else format_moment(occurred_at),
        actor.text if actor else None,
        event.event_type,
        event.entity_type,
        entity_id,
        event.outcome,
        address,
        written_index,
        user_agent,
        plain if plain is not None and details is event.details else details,
    )
    return Draft(
        tenant_id,
        event_id,
        None if event.event_id is None else _fingerprint(event, plain, key),
        _encode(entry),
        occurred_at,
        actor.ref if actor else None,
        event.event_type,
        event.entity_type,
        entity_id,
        event.outcome,
        address,
        index,
        user_agent,
        erasures,
    )


def _fingerprint(event: Event, details: msgspec.Raw | None, key: bytes) -> bytes:
    # What is to be sealed is no part of what happened: a longer list of fields must not turn a retry into a clash.
    content = (
        event.event_id,
        event.event_type,
        event.entity_type,
        event.entity_id,
        details,
        event.actor,
        event.outcome,
        event.ip_address,
        event.user_agent,
        event.occurred_at,
    )
    return sealing.keyed_hash(key, "fingerprint", _encode(content))[:16]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _fault("/occurred_at", f"expected a time between the years 1 and 9999 in UTC, got {moment}") from None


def _encode(value: object) -> bytes:
    try:
        encoded = _encoder.encode(value)
    except (RecursionError, UnicodeEncodeError) as error:
        raise _fault("", f"cannot be written as JSON: {error}") from None
    if b"\\u0000" in encoded and _NUL.search(encoded):
        # Postgres reads no JSON with it: one such row would make every view over the ledger fail, for ever.
        raise _fault("", "expected text without the character U+0000, got some with it")
    if len(encoded) > MAX_DETAILS_BYTES:
        raise _fault("", f"expected an event of at most {MAX_DETAILS_BYTES:,} bytes, got {len(encoded):,}")
    return encoded


def _seal_address(address: str, key: bytes, tenant_key: bytes) -> tuple[str, bytes, str]:
    try:
        return sealing.sealed_address(key, tenant_key, canonical_address(address))
    except ValueError:
        raise _fault("/ip_address", f"expected an IPv4 or IPv6 address, got {address!r}") from None


@lru_cache(maxsize=65_536)
def canonical_address(address: str) -> str:
    """Return an IP address as its family writes it, without outer space.

    Raises:
        ValueError: when `address` is none.
    """
    return str(ipaddress.ip_address(address.strip()))


def _seal_fields(event: Event, key: bytes, policy: SealingPolicy) -> Any:
    """Return the details with the fields sealed that are named as personal; the same object if it has none."""
    details: Any = event.details
    if not details or not (event.sealed_fields or not _heads(policy.sealed_fields).isdisjoint(details)):
        return details
    for pointer in (*policy.sealed_fields, *event.sealed_fields):
        parts = _pointer_parts(pointer)
        if parts[0] in details:
            details = _seal_at(details, parts, key)
    return details


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
    return {SEALED_KEY: sealing.seal(key, _encode(value).decode())}


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {SEALED_KEY}


def _identifiers_elsewhere(event: Event, entity_id: str, details: msgspec.Raw | None) -> re.Pattern[str] | None:
    """Return what finds the actor's own names and address as whole words, or None if they stand in no other field.

    Most events have none. Looking for substrings tells that in a microsecond; compiling a pattern takes 150.
    """
    names, needles = _names(event.actor) if event.actor else ((), ())
    address = event.ip_address.strip().lower() if event.ip_address is not None else None
    text = f"{entity_id}\n{event.user_agent or ''}\n".encode()
    if details is not None:
        text += bytes(details)
    # Of text that is ASCII alone, lower case is all that folding makes.
    folded = text.lower() if text.isascii() else text.decode().casefold().encode()
    for needle in needles:
        if needle in folded:
            break
    else:
        if address is None or address.encode() not in folded:
            return None
    return _pattern(names if address is None else (*names, address))


@lru_cache(maxsize=4_096)
def _pattern(identifiers: tuple[str, ...]) -> re.Pattern[str]:
    # The longest first: "alice@example.org" is one word to seal, and not "alice" and the rest.
    alternatives = "|".join(sorted(map(re.escape, identifiers), key=lambda item: (-len(item), item)))
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def _names(actor: str) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Return the names of an actor, case folded, and what stands in any text that has one of them, JSON or not."""
    identity = actor.strip()
    pieces = {identity}
    if "@" in identity:
        pieces.add(identity.partition("@")[0])
    if "/" in identity or identity.startswith("arn:"):
        pieces.add(re.split(r"[/:]", identity)[-1])
    names = {piece.casefold() for piece in pieces if len(piece) >= _SHORTEST_IDENTIFIER} - _GENERIC_NAMES
    written = {form for name in names for form in (name.encode(), _encoder.encode(name)[1:-1])}
    needles = {form for form in written if not any(other in form for other in written - {form})}
    return tuple(sorted(names)), tuple(sorted(needles))


@lru_cache(maxsize=4_096)
def _pointer_parts(pointer: str) -> tuple[str, ...]:
    if not pointer.startswith("/"):
        raise _fault("/sealed_fields", f"expected a JSON pointer that starts with '/', got {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


@lru_cache(maxsize=256)
def _heads(pointers: tuple[str, ...]) -> frozenset[str]:
    """Return the first steps of pointers: details that have none of them have nothing that the pointers name."""
    return frozenset(_pointer_parts(pointer)[0] for pointer in pointers)


def _fault(where: str, what: str) -> ValidationError:
    return ValidationError(f"{where or '/'}: {what}", ((where, what),))
