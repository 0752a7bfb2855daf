"""From an event in clear to the row that is hashed: references for persons, sealed values, deterministic bytes.

Pure: the keys come in, a `Draft` comes out. It happens before any lock is taken, so it costs the database nothing. What
the bytes mean is written down in docs/ledger_format.md.
"""

import ipaddress
import os
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
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
_RANDOM_BYTES: Final = 10
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


def uuid7s(count: int) -> Iterator[str]:
    """Yield time-ordered UUIDs (RFC 9562 §5.7), whose index entries land side by side; as text, at half the time.

    Random bytes are asked for once: each time is a system call, which takes as long as all else here.
    """
    random = os.urandom(_RANDOM_BYTES * count)
    made_at = (time.time_ns() // 1_000_000) << 80
    for at in range(0, len(random), _RANDOM_BYTES):
        value = made_at | int.from_bytes(random[at : at + _RANDOM_BYTES])
        text = f"{value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"
        yield f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def make_drafts(
    events: Sequence[Event],
    *,
    tenant_id: UUID,
    tenant_key: bytes,
    subjects: Mapping[str, Subject],
    policy: SealingPolicy,
    received_at: Sequence[datetime],
    erasures: int = 0,
) -> list[Draft]:
    """Return the rows for `events`, in their order.

    `received_at` tells when each came, `subjects` has every actor and entity that is a person, by the names in the
    events. Values of an event without an actor are sealed under the tenant's key.

    Raises:
        ValidationError: for the first fault found, naming the field by JSON pointer: an address that is none, an event
            that is too large, a pointer that is malformed.
    """
    # JSON is written for all events at once, and details once for all that is made of them: a fifth of the time.
    written = _write_lines([event.details for event in events])
    folded = _fold(written)
    new_ids = uuid7s(sum(not event.event_id for event in events))
    entries, contents, rows = [], [], []
    for event, came_at, written_details, folded_details in zip(events, received_at, written, folded, strict=True):
        actor = subjects[event.actor] if event.actor else None
        entity = subjects[event.entity_id] if event.entity_type in policy.person_entity_types else None
        key = actor.key if actor else tenant_key
        details = _seal_fields(event, key, policy)
        entity_id = entity.text if entity else event.entity_id
        user_agent = event.user_agent
        if _may_name_actor(event, entity_id, folded_details):
            details, user_agent, pseudonym = _seal_names(event, details, key, is_person=entity is not None)
            entity_id = pseudonym or entity_id
        address, index, written_index = _NO_ADDRESS
        if event.ip_address is not None:
            address, index, written_index = _seal_address(event.ip_address, key, tenant_key)
        occurred_at = event.occurred_at or came_at
        if occurred_at.tzinfo is not UTC:
            occurred_at = _in_utc(occurred_at)
        plain = msgspec.Raw(written_details)
        entries.append(
            _Entry(
                event_id := event.event_id or next(new_ids),
                # The encoder writes as `format_moment` does, twenty times as fast, unless there is no fraction.
                occurred_at if occurred_at.microsecond else format_moment(occurred_at),
                actor.text if actor else None,
                event.event_type,
                event.entity_type,
                entity_id,
                event.outcome,
                address,
                written_index,
                user_agent,
                plain if details is event.details else details,
            )
        )
        if event.event_id is not None:
            contents.append(_content(event, plain))
        rows.append((event_id, key, occurred_at, actor.ref if actor else None, entity_id, address, index, user_agent))
    contents_written = iter(_write_lines(contents))
    return [
        Draft(
            tenant_id,
            event_id,
            # The content as it came: that of a retry is the same, what was sealed of it is not.
            None if event.event_id is None else sealing.keyed_hash(key, "fingerprint", next(contents_written))[:16],
            entry,
            occurred_at,
            actor_ref,
            event.event_type,
            event.entity_type,
            entity_id,
            event.outcome,
            address,
            index,
            user_agent,
            erasures,
        )
        for event, entry, (event_id, key, occurred_at, actor_ref, entity_id, address, index, user_agent) in zip(
            events, _write_lines(entries), rows, strict=True
        )
    ]


def _content(event: Event, details: msgspec.Raw) -> tuple[object, ...]:
    # What is to be sealed is no part of what happened: a longer list of fields must not turn a retry into a clash.
    return (
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


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _fault("/occurred_at", f"expected a time between the years 1 and 9999 in UTC, got {moment}") from None


def _write_lines(values: Sequence[object]) -> list[bytes]:
    """Return each value as JSON; text that is JSON has no line breaks of its own."""
    try:
        written = _encoder.encode_lines(values) if values else b""
    except (RecursionError, UnicodeEncodeError) as error:
        raise _fault("", f"cannot be written as JSON: {error}") from None
    if b"\\u0000" in written and _NUL.search(written):
        # Postgres reads no JSON with it: one such row would make every view over the ledger fail, for ever.
        raise _fault("", "expected text without the character U+0000, got some with it")
    lines = written.split(b"\n")
    lines.pop()
    if len(written) > MAX_DETAILS_BYTES and (longest := max(map(len, lines))) > MAX_DETAILS_BYTES:
        raise _fault("", f"expected an event of at most {MAX_DETAILS_BYTES:,} bytes, got {longest:,}")
    return lines


def _fold(lines: Sequence[bytes]) -> list[bytes]:
    """Return texts without case; of text that is ASCII alone, lower case is all that folding makes."""
    whole = b"\n".join(lines)
    return (whole.lower() if whole.isascii() else whole.decode().casefold().encode()).split(b"\n")


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


def _seal_names(
    event: Event, details: Any, key: bytes, *, is_person: bool
) -> tuple[dict[str, Any] | None, str | None, str | None]:
    """Return details and user agent without the actor's own names, and a pseudonym for an entity named after them."""
    identifiers = _pattern(event.actor, event.ip_address)
    if details:
        details = _seal_identifiers(details, identifiers, key)
    user_agent = event.user_agent
    if user_agent and identifiers.search(user_agent):
        user_agent = sealing.seal(key, user_agent)
    pseudonym = None
    if not is_person and identifiers.search(event.entity_id):
        # "home/alice" stays comparable, and readable in the vault alone.
        details = (details or {}) | {"$entity_id": {SEALED_KEY: sealing.seal(key, event.entity_id)}}
        pseudonym = "sealed-" + sealing.keyed_hash(key, "entity", event.entity_id.encode()).hex()[:32]
    return details, user_agent, pseudonym


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
    [written] = _write_lines([value])
    return {SEALED_KEY: sealing.seal(key, written.decode())}


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {SEALED_KEY}


def _may_name_actor(event: Event, entity_id: str, folded_details: bytes) -> bool:
    """Return whether the actor's own names or address may stand in another field than theirs.

    In most events they do not. Looking for substrings tells that in a microsecond; compiling a pattern takes 150.
    """
    elsewhere = (entity_id + "\n" + event.user_agent if event.user_agent else entity_id).casefold()
    if event.actor:
        for name, written in _shortest_names(event.actor):
            if name in elsewhere or written in folded_details:
                return True
    if event.ip_address is None:
        return False
    address = event.ip_address.strip().lower()
    return address in elsewhere or address.encode() in folded_details


@lru_cache(maxsize=4_096)
def _pattern(actor: str | None, ip_address: str | None) -> re.Pattern[str]:
    """Return what finds an actor's names and address as whole words."""
    identifiers = set(_names(actor)) if actor else set()
    if ip_address is not None:
        identifiers.add(ip_address.strip().lower())
    # The longest first: "alice@example.org" is one word to seal, and not "alice" and the rest.
    alternatives = "|".join(sorted(map(re.escape, identifiers), key=lambda item: (-len(item), item)))
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def _shortest_names(actor: str) -> tuple[tuple[str, bytes], ...]:
    """Return what stands in any text that has one of an actor's names: as it is, and as JSON writes it."""
    names = _names(actor)
    shortest = [name for name in names if not any(other in name for other in names - {name})]
    return tuple((name, _encoder.encode(name)[1:-1]) for name in sorted(shortest))


def _names(actor: str) -> frozenset[str]:
    identity = actor.strip()
    pieces = {identity}
    if "@" in identity:
        pieces.add(identity.partition("@")[0])
    if "/" in identity or identity.startswith("arn:"):
        pieces.add(re.split(r"[/:]", identity)[-1])
    return frozenset(piece.casefold() for piece in pieces if len(piece) >= _SHORTEST_IDENTIFIER) - _GENERIC_NAMES


def names_of(identity: str) -> frozenset[str]:
    """Return what a person is called in texts, folded: the identity, its local part, the last part of an ARN."""
    return _names(identity)


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
