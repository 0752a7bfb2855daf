"""What every format needs to turn a record's values into an event's fields.

Strict JSON, moments with a zone, network addresses in one spelling, and the one place that builds a checked `Event`.
No knowledge of any product belongs here.
"""

import ipaddress
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.event import MAX_DETAILS_BYTES, OWN_TYPES, UNPRINTABLE, Event

_QUAD = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_QUAD_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}", re.ASCII)
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::\d{1,5})?", re.ASCII)
_PADDING = re.compile(r"\b0+(?=\d)", re.ASCII)

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def decode_object(record: bytes) -> dict[str, Any]:
    """Decode one JSON object; raise `ValidationError` for anything else, invalid UTF-8 and lone surrogates included."""
    try:
        value = _decoder.decode(record)
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"expected UTF-8, got {error.reason} (byte value 0x{error.object[error.start]:02x})"
        ) from None
    except msgspec.DecodeError as error:
        raise ValidationError(f"expected one JSON object: {error}") from None
    except RecursionError:
        raise ValidationError("expected JSON nested less deeply than this interpreter can follow") from None
    if not isinstance(value, dict):
        raise ValidationError(f"expected a JSON object, got {json_kind(value)}")
    return value


def json_kind(value: object) -> str:
    """Name the JSON kind of a decoded value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def moment(value: object, name: str) -> datetime:
    """Read an RFC 3339 time with a zone as UTC, to the microsecond; raise `ValidationError` otherwise."""
    if not isinstance(value, str):
        raise ValidationError(f"{name}: expected a time like 2026-11-23T07:41:00Z, got {json_kind(value)}")
    try:
        read = msgspec.convert(value, datetime)
        if read.tzinfo is None:
            raise ValidationError(f"{name}: expected a time with its zone (…Z or …+02:00), got {value[:40]!r}")
        return read.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValidationError(f"{name}: expected a time like 2026-11-23T07:41:00Z, got {value[:40]!r}") from None


def address(text: str) -> tuple[str | None, bool]:
    """Return the IP address in `text` in its one canonical spelling, and whether nothing else was lost by that.

    Takes `ip`, `ip:port` and `[v6]:port`; a port or a scope is lost. Zero-padded quads are read as decimal: log
    anonymisers and fixed-width exports write `08.1.250.216`, no log writes octal. IPv4 inside IPv6 becomes IPv4, so
    that one machine has one index. (None, False) where there is no address.
    """
    bare, exact = text.strip(), True
    if match := _QUAD_WITH_PORT.fullmatch(bare) or _BRACKETED.fullmatch(bare):
        bare, exact = match[1], False
    if _QUAD.fullmatch(bare):
        bare = _PADDING.sub("", bare)
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None, False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:
            found, exact = ipaddress.IPv6Address(int(found)), False
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped), exact
    return str(found), exact


def fit(text: str, limit: int) -> str:
    """Return `text` unchanged if a column of `limit` characters can hold it; else replace controls (U+FFFD) and cut.

    For values an outsider chooses, such as a user agent: refusing the record would let one newline hide an event.
    """
    if len(text) <= limit and not UNPRINTABLE.search(text):
        return text
    clean = UNPRINTABLE.sub("\ufffd", text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def build_event(columns: dict[str, Any], size: int) -> Event:
    """Check `columns` (by their JSON names) against `Event`; `size` is the record's length in bytes.

    Raises `ValidationError` naming every column that does not fit.
    """
    faults = [
        (f"/{name}", "expected printable text, got control characters or line separators")
        for name, value in columns.items()
        if isinstance(value, str) and UNPRINTABLE.search(value)
    ]
    if str(columns.get("event_type")).startswith(OWN_TYPES):
        faults.append(("/event_type", f"expected a type that begins with none of {', '.join(OWN_TYPES)}"))
    # Details are at most the record they came from, so the second encoding is paid by giants only.
    if size > MAX_DETAILS_BYTES and len(msgspec.json.encode(columns.get("action_details"))) > MAX_DETAILS_BYTES:
        faults.append(("/details", f"expected at most {MAX_DETAILS_BYTES} bytes of JSON"))
    if not faults:
        try:
            return msgspec.convert(columns, Event)
        except msgspec.ValidationError:
            faults = _misfits(columns)
    raise ValidationError("; ".join(f"{where[1:]}: {what}" for where, what in faults), tuple(faults))


def _misfits(columns: dict[str, Any]) -> list[tuple[str, str]]:
    """Try the columns one at a time: `convert` alone stops at the first that does not fit."""
    sound: dict[str, Any] = {"event_type": "x", "entity_type": "x", "entity_id": "x"}
    faults = []
    for name, value in columns.items():
        try:
            msgspec.convert({**sound, name: value}, Event)
        except msgspec.ValidationError as error:
            faults.append((f"/{name}", str(error).split(" - at ")[0]))
    return faults
