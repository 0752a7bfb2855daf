"""What every format needs to turn a record's values into an event's fields.

Strict JSON, moments with a zone, network addresses in one spelling, and the one place that builds a checked `Event`.
No knowledge of any product belongs here.
"""

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.event import MAX_DETAILS_BYTES, OWN_TYPES, UNPRINTABLE, Event

_QUAD = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_QUAD_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}", re.ASCII)
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)(?:%[^\]]*)?\](?::\d{1,5})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", re.ASCII)
_DIGITS = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def utc_moment(value: object, name: str) -> datetime | None:
    """Read a product's time as UTC, to the microsecond; None where there is none, `ValidationError` for anything else.

    For products that document their times as UTC, since their records pass through stores that drop the zone or make
    a number of it: takes RFC 3339, the same without a zone or with `UTC` behind it, and seconds, milli-, micro- or
    nanoseconds since 1970, told apart by their size (what is below 10¹¹ is seconds: until the year 5138).
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and (read := _written_moment(value.strip())):
        return read
    number = _number(value)
    if number is not None and (read := epoch_moment(number, _unit_of(number))):
        return read
    told = repr(value[:40]) if isinstance(value, str) else json_kind(value)
    raise ValidationError(f"{name}: expected a time like 2026-11-23T07:41:00Z or a number since 1970, got {told}")


def epoch_moment(number: float, per_second: int) -> datetime | None:
    """Return the moment `number / per_second` seconds after 1970 in UTC; None beyond the years 1 to 9999."""
    try:
        if isinstance(number, int):
            seconds, rest = divmod(number, per_second)
            return _EPOCH + timedelta(seconds=seconds, microseconds=rest * 1_000_000 // per_second)
        return _EPOCH + timedelta(seconds=number / per_second)
    except (OverflowError, ValueError):
        return None


def _written_moment(text: str) -> datetime | None:
    bare = text.removesuffix("(UTC)").removesuffix("UTC").rstrip() if text.endswith(("UTC", "UTC)")) else text
    try:
        read = msgspec.convert(bare, datetime)
    except msgspec.ValidationError:
        if not _DATE.match(bare):
            return None
        try:
            read = datetime.fromisoformat(bare)
        except ValueError:
            return None
    try:
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except OverflowError:
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def _unit_of(number: float) -> int:
    return next((10**power for power in (0, 3, 6) if abs(number) < 10 ** (11 + power)), 10**9)


@lru_cache(maxsize=8192)
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
