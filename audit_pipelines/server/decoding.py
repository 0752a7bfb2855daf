"""From bytes to events: fast where they are right, and every fault by its JSON pointer where they are not.

The decoder stops at the first fault; a client wants all of them. So only a body that failed is taken apart field by
field. Also the few checks beyond types that must hold before the ledger is asked.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.entry import canonical_address
from audit_pipelines.ledger.event import OWN_TYPES, UNPRINTABLE, Event
from audit_pipelines.server.problems import FAULTS_LISTED, Fault, RequestError

BATCH_LIMIT: Final = 10_000
MAX_DEPTH: Final = 100
_MOST_POINTERS: Final = 100
_LONGEST_POINTER: Final = 1_024
# Each part of a broken body costs about 60 bytes to take apart; beyond this many only the first fault is named.
_MOST_PARTS: Final = 1_000_000
_FIELDS: Final = {field.encode_name: field for field in msgspec.structs.fields(Event)}
_DECODERS: Final = {name: msgspec.json.Decoder(field.type) for name, field in _FIELDS.items()}
_EVENT: Final = msgspec.json.Decoder(Event)
_EVENTS: Final = msgspec.json.Decoder(list[Event])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
# `ip_address` is checked as an address, and the details' texts may hold anything but NUL.
_TEXTS: Final = ("event_type", "entity_type", "entity_id", "actor", "outcome", "user_agent", "event_id")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_OWN: Final = f"expected a type that begins with none of {', '.join(OWN_TYPES)}: the product alone says these"
_TOO_DEEP: Final = f"expected at most {MAX_DEPTH} levels of nesting"


def decode_event(body: bytes) -> Event:
    """Return the event in a JSON object.

    Raises:
        RequestError: 400 when the body is no JSON.
        ValidationError: every fault by its pointer.
    """
    try:
        event = _EVENT.decode(body)
    except (msgspec.ValidationError, RecursionError):
        raise _invalid(_object_faults(body, "")) from None
    except ValueError as error:
        raise _malformed([("", _words(error)[1])]) from None
    faults = _beyond_types(event, "", _doubts(body))
    if faults:
        raise _invalid(faults)
    return event


def decode_array(body: bytes) -> list[Event]:
    """Return the events in a JSON array; pointers begin with the event's index.

    Raises:
        RequestError: 400 when the body is no JSON, 413 when there are more than 10,000 events.
        ValidationError: every fault of every event; also for an empty array.
    """
    try:
        events = _EVENTS.decode(body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(_array_faults(body, error)) from None
    except ValueError as error:
        raise _malformed([("", _words(error)[1])]) from None
    check_count(len(events))
    doubts = _doubts(body)
    faults = [
        fault
        for place, event in enumerate(events)
        if not _is_sound(event, doubts)
        for fault in _beyond_types(event, f"/{place}", doubts)
    ]
    if faults:
        raise _invalid(faults)
    return events


def decode_lines(body: bytes) -> list[Event]:
    """Return the events in newline-delimited JSON; blank lines count neither as events nor in the pointers' index.

    Raises:
        RequestError, ValidationError: as `decode_array`; faults also name the line, from 1.
    """
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    check_count(len(lines))
    events: list[Event] = []
    faults: list[Fault] = []
    broken: list[Fault] = []
    for place, (number, line) in enumerate(lines):
        try:
            events.append(decode_event(line))
        except ValidationError as error:
            faults += [(f"/{place}{where}", f"line {number}: {what}") for where, what in error.faults]
        except RequestError as error:
            broken += [(f"/{place}", f"line {number}: {what}") for _, what in error.faults]
    if broken:
        raise _malformed(broken)
    if faults:
        raise _invalid(faults)
    return events


def check_count(count: int) -> None:
    """Pass when a batch of `count` events is neither empty nor too large."""
    if count == 0:
        raise _invalid([("", f"expected 1 to {BATCH_LIMIT:,} events, got none")])
    if count > BATCH_LIMIT:
        raise RequestError(
            413, "too-large", f"Expected at most {BATCH_LIMIT:,} events, got {count:,}; nothing was stored."
        )


def escape_pointer(part: str) -> str:
    """Return one reference token of a JSON pointer (RFC 6901 §3), cut to a length fit for an answer."""
    return part[:200].replace("~", "~0").replace("/", "~1")


def _object_faults(text: bytes, where: str) -> list[Fault]:
    """Return every fault of one event; RequestError 400 when the text is no JSON after all."""
    try:
        fields = _OBJECT.decode(text)
    except RecursionError:
        return [(where, _TOO_DEEP)]
    except msgspec.ValidationError as error:
        return [(where, _words(error)[1])]
    except ValueError as error:
        raise _malformed([(where, _words(error)[1])]) from None
    faults = [
        (f"{where}/{name}", "required, but missing")
        for name, field in _FIELDS.items()
        if field.required and name not in fields
    ]
    for name, raw in fields.items():
        faults += _field_faults(name, raw, f"{where}/{escape_pointer(name)}")
        if len(faults) > FAULTS_LISTED:
            break
    return faults or [(where, "not an event")]


def _field_faults(name: str, raw: msgspec.Raw, where: str) -> list[Fault]:
    if name not in _DECODERS:
        return [(where, f"unknown field; expected some of {', '.join(_FIELDS)}")]
    try:
        value = _DECODERS[name].decode(raw)
    except RecursionError:
        return [(where, _TOO_DEEP)]
    except ValueError as error:
        path, what = _words(error)
        return [(where + path, what)]
    if value is None:
        return []
    return [*_text_faults(value, where), *(_CHECKS[name](value, where) if name in _CHECKS else ())]


def _array_faults(body: bytes, first: Exception) -> list[Fault]:
    if body.count(b",") > _MOST_PARTS:
        return [_words(first)]
    try:
        parts = _ARRAY.decode(body)
    except RecursionError:
        return [("", _TOO_DEEP)]
    except msgspec.ValidationError as error:
        return [_words(error)]
    except ValueError as error:
        raise _malformed([("", _words(error)[1])]) from None
    check_count(len(parts))
    faults: list[Fault] = []
    for place, part in enumerate(parts):
        try:
            event = _EVENT.decode(part)
        except (ValueError, RecursionError):
            faults += _object_faults(bytes(part), f"/{place}")
        else:
            faults += _beyond_types(event, f"/{place}", _doubts(bytes(part)))
    return faults


class _Doubts(NamedTuple):
    """What a body may hold, judged by its bytes: far cheaper than looking through its events."""

    unprintable: bool
    nul: bool
    deep: bool


def _doubts(content: bytes) -> _Doubts:
    # JSON has control characters as escapes alone; DEL may stand as it is, and the others are not ASCII.
    escaped = b"\\" in content
    return _Doubts(
        unprintable=escaped or not content.isascii() or b"\x7f" in content,
        nul=escaped and b"\\u0000" in content,
        deep=content.count(b"[") + content.count(b"{") > MAX_DEPTH,
    )


def _is_sound(event: Event, doubts: _Doubts) -> bool:
    """Return whether `_beyond_types` finds nothing, where that can be seen at once."""
    return not (
        doubts.unprintable
        or doubts.nul
        or event.sealed_fields
        or event.event_type.startswith(OWN_TYPES)
        or (event.occurred_at is not None and event.occurred_at.tzinfo is not UTC)
        or (event.ip_address is not None and not _is_address(event.ip_address))
        or (doubts.deep and event.details and not _is_flat(event.details))
    )


def _beyond_types(event: Event, where: str, doubts: _Doubts) -> list[Fault]:
    faults: list[Fault] = []
    if doubts.unprintable:
        for name in _TEXTS:
            faults += _text_faults(getattr(event, name), f"{where}/{name}")
    if event.event_type.startswith(OWN_TYPES):
        faults.append((f"{where}/event_type", _OWN))
    if event.occurred_at is not None and event.occurred_at.tzinfo is not UTC:
        faults += _moment_faults(event.occurred_at, f"{where}/occurred_at")
    if event.ip_address is not None:
        faults += _address_faults(event.ip_address, f"{where}/ip_address")
    if event.sealed_fields:
        faults += _pointers_faults(event.sealed_fields, f"{where}/sealed_fields")
    if event.details and (doubts.nul or (doubts.deep and not _is_flat(event.details))):
        faults += _details_faults(event.details, f"{where}/action_details")
    return faults


def _text_faults(value: object, where: str) -> Iterator[Fault]:
    if isinstance(value, str) and UNPRINTABLE.search(value):
        yield where, "expected text without control characters"


def _moment_faults(moment: datetime, where: str) -> Iterator[Fault]:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        yield where, "expected a time within the years 1 to 9999 in UTC"


def _address_faults(address: str, where: str) -> Iterator[Fault]:
    if not _is_address(address):
        yield where, "expected an IPv4 or IPv6 address"


def _is_address(text: str) -> bool:
    try:
        canonical_address(text)
    except ValueError:
        return False
    return True


def _pointers_faults(pointers: Sequence[str], where: str) -> Iterator[Fault]:
    if len(pointers) > _MOST_POINTERS:
        yield where, f"expected at most {_MOST_POINTERS} pointers, got {len(pointers):,}"
        return
    for place, pointer in enumerate(pointers):
        if not pointer.startswith("/") or len(pointer) > _LONGEST_POINTER:
            yield f"{where}/{place}", f"expected a JSON pointer: '/' first, at most {_LONGEST_POINTER:,} characters"


def _is_flat(details: dict[str, Any]) -> bool:
    """Return whether `details` holds plain values alone, as most do."""
    return _PLAIN.issuperset(map(type, details.values()))


def _details_faults(details: dict[str, Any], where: str) -> Iterator[Fault]:
    """Find nesting that later readers could not recurse into, and NUL, which no Postgres text holds."""
    pending: list[tuple[Any, int]] = [(details, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            yield where, _TOO_DEEP
            return
        texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
        if any("\x00" in text for text in texts):
            yield where, "expected text without the character U+0000"
            return
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        pending += [(item, depth + 1) for item in inner if isinstance(item, (dict, list, str))]


_CHECKS: Final[dict[str, Callable[[Any, str], Iterator[Fault]]]] = {
    "occurred_at": _moment_faults,
    "ip_address": _address_faults,
    "sealed_fields": _pointers_faults,
    "action_details": _details_faults,
}


def _words(error: Exception) -> Fault:
    """Return the decoder's message as a pointer and a sentence about form, never about the value."""
    match = _MESSAGE.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "") if match else ("not JSON", "")
    steps = _STEP.findall(path.partition("[...]")[0])
    return "".join(f"/{escape_pointer(name or index)}" for name, index in steps), what[:1].lower() + what[1:]


def _invalid(faults: Sequence[Fault]) -> ValidationError:
    count = f"{len(faults):,} faults" if len(faults) > 1 else "One fault"
    return ValidationError(f"{count} in the request's body; nothing was stored.", tuple(faults))


def _malformed(faults: Sequence[Fault]) -> RequestError:
    return RequestError(400, "malformed", "The body is not JSON in UTF-8; nothing was stored.", faults=tuple(faults))
