"""The map of an unknown product's JSON: a small TOML file that says for each column where its value stands.

Reading and checking it, with every fault named by line and key; and mapping records by it. The form is documented in
docs/importers.md; `guessing` writes first drafts of such files.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, epoch_moment, json_kind
from audit_pipelines.importers.outcomes import product_outcome
from audit_pipelines.importers.sealing import leaves
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

VERSION = 1
MAX_MAP_BYTES = 256 * 1024

_EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_KEYS: dict[str, dict[str, str]] = {
    "": {"version": "version", "name": "text", "unwrap": "paths"},
    "event_type": {"from": "sources", "prefix": "text"},
    "time": {"from": "paths", "formats": "formats", "zone": "zone", "missing": "missing"},
    "actor": {"from": "sources", "kind": "paths", "machine_kinds": "texts"},
    "entity": {"type": "sources", "id": "sources", "default_type": "text"},
    "outcome": {"from": "paths", "values": "values", "default": "text"},
    "ip": {"from": "paths"},
    "user_agent": {"from": "paths"},
    "event_id": {"from": "sources"},
    "details": {"sealed": "patterns"},
}
_REQUIRED = (("event_type", "from"), ("time", "from"), ("time", "formats"))
_HEADER = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")
_FIELD = re.compile(r"\{([^{}]*)\}")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")

Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with values in it: `{service}:{action}` applies where every one of its paths has a value."""

    texts: tuple[str, ...]
    fields: tuple[Steps, ...]

    def read(self, body: Any) -> str | None:
        """Return the text for one record, None where a value is missing."""
        parts = [self.texts[0]]
        for steps, text in zip(self.fields, self.texts[1:], strict=True):
            value = _text(_at(body, steps))
            if value is None:
                return None
            parts += (value, text)
        return "".join(parts)


Source = Steps | Template
Reader = Callable[[Any], datetime | None]


@dataclass(frozen=True, slots=True)
class FieldMap:
    """A checked map; `parse` maps one record by it."""

    event_type: tuple[Source, ...]
    prefix: str
    time: tuple[Steps, ...]
    time_readers: tuple[Reader, ...]
    formats: tuple[str, ...]
    needs_time: bool
    actor: tuple[Source, ...]
    actor_kind: tuple[Steps, ...]
    machine_kinds: frozenset[str]
    entity_type: tuple[Source, ...]
    entity_id: tuple[Source, ...]
    default_type: str
    outcome: tuple[Steps, ...]
    outcomes: Mapping[str, str]
    default_outcome: str | None
    ip: tuple[Steps, ...]
    user_agent: tuple[Steps, ...]
    event_id: tuple[Source, ...]
    sealed: tuple[Steps, ...]
    unwrap: tuple[Steps, ...]

    def parse(self, record: bytes) -> Event:
        """Map one record; raise `ValidationError` naming every fault."""
        body = self._unwrapped(decode_object(record))
        faults = []
        event_type = _first(body, self.event_type)
        if event_type is None:
            faults.append(f"event_type: expected a value at {_spell(self.event_type)}, got none")
        occurred_at = None
        try:
            occurred_at = self._moment(body)
        except ValidationError as error:
            faults.append(str(error))
        if faults or event_type is None:
            raise ValidationError("; ".join(faults), tuple(("/" + fault.split(":")[0], fault) for fault in faults))
        actor = person(_first(body, self.actor))
        kind = _first(body, self.actor_kind)
        entity_id = _first(body, self.entity_id)
        entity_type = _first(body, self.entity_type) or self.default_type
        if entity_id is None:
            entity_type, entity_id = "activity", event_type
        return build(
            Meaning(
                event_type=self.prefix + event_type,
                entity_type=entity_type,
                entity_id=(person(entity_id) or entity_id) if entity_type == "user" else entity_id,
                details=body,
                event_id=_first(body, self.event_id),
                occurred_at=occurred_at,
                actor=actor,
                is_machine=bool(actor) and (is_machine(actor) or (kind or "").lower() in self.machine_kinds),
                outcome=self._outcome(body),
                address=_first(body, self.ip),
                user_agent=_first(body, self.user_agent),
                sealed=self._sealed(body),
            ),
            len(record),
        )

    def _unwrapped(self, body: dict[str, Any]) -> dict[str, Any]:
        for steps in self.unwrap:
            inner = _at(body, steps)
            if isinstance(inner, str):
                return decode_object(inner.encode())
            if isinstance(inner, dict):
                return inner
        return body

    def _moment(self, body: Any) -> datetime | None:
        told: object = None
        for steps in self.time:
            value = _at(body, steps)
            if value is None or value == "":
                continue
            told = value
            for read in self.time_readers:
                if (found := read(value)) is not None:
                    return found
        if told is not None:
            shown = repr(told[:40]) if isinstance(told, str) else str(told)[:40]
            raise ValidationError(f"time: expected one of {', '.join(self.formats)}, got {shown}")
        if self.needs_time:
            raise ValidationError(
                f"time: expected a value at {_spell(self.time)}, got none; "
                'with missing = "receipt" the time of receipt counts'
            )
        return None

    def _outcome(self, body: Any) -> str | None:
        for steps in self.outcome:
            value = _at(body, steps)
            word = _text(value)
            if word is not None:
                return self.outcomes.get(word.lower()) or product_outcome(value) or word.lower()
        return self.default_outcome

    def _sealed(self, body: Any) -> tuple[str, ...]:
        found: list[str] = []
        for steps in self.sealed:
            for pointer, value in _matches(body, steps, ""):
                found += leaves(value, pointer)
        return tuple(found)


def load_map(path: Path) -> FieldMap:
    """Read and check a map; raise `ValidationError` naming every fault by line and key."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValidationError(f"{path}: expected a map, got: {error.strerror}") from error
    if len(content) > MAX_MAP_BYTES:
        raise ValidationError(
            f"{path}: expected a map of at most {MAX_MAP_BYTES // 1024} KiB, got {len(content)} bytes"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValidationError(f"{path}: expected UTF-8, got {error.reason} at byte {error.start}") from None
    return read_map(text, str(path))


def read_map(text: str, name: str) -> FieldMap:
    """Check the text of a map; `name` stands before each fault."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValidationError(f"{name}: expected TOML: {error}") from None
    check = _Check(document, _lines(text))
    found = check.run()
    if check.faults:
        faults = tuple(sorted(check.faults))
        named = [
            f"{name}, line {line}: {key}: {what}" if line else f"{name}: {key}: {what}" for line, key, what in faults
        ]
        raise ValidationError("\n".join(named), tuple((str(line), f"{key}: {what}") for line, key, what in faults))
    return found


class _Check:
    """One pass over a decoded map: collects faults, and values that hold."""

    def __init__(self, document: dict[str, Any], lines: dict[tuple[str, str], int]) -> None:
        self._document = document
        self._lines = lines
        self.faults: list[tuple[int, str, str]] = []

    def run(self) -> FieldMap:
        """Check everything and return the map, which is of no use where `faults` are not empty."""
        self._check_names()
        zone = self._zone()
        formats = self._get("time", "formats") or ()
        readers = tuple(self._reader(form, zone) for form in formats)
        missing = self._get("time", "missing")
        kinds = self._get("actor", "machine_kinds")
        return FieldMap(
            event_type=self._get("event_type", "from") or (),
            prefix=self._get("event_type", "prefix") or "",
            time=self._get("time", "from") or (),
            time_readers=readers,
            formats=formats,
            needs_time=missing != "receipt",
            actor=self._get("actor", "from") or (),
            actor_kind=self._get("actor", "kind") or (),
            machine_kinds=frozenset(kind.lower() for kind in kinds or ()),
            entity_type=self._get("entity", "type") or (),
            entity_id=self._get("entity", "id") or (),
            default_type=self._get("entity", "default_type") or "record",
            outcome=self._get("outcome", "from") or (),
            outcomes=self._get("outcome", "values") or {},
            default_outcome=self._get("outcome", "default"),
            ip=self._get("ip", "from") or (),
            user_agent=self._get("user_agent", "from") or (),
            event_id=self._get("event_id", "from") or (),
            sealed=self._get("details", "sealed") or (),
            unwrap=self._get("", "unwrap") or (),
        )

    def _fault(self, table: str, key: str, what: str) -> None:
        line = self._lines.get((table, key)) or self._lines.get((table, "")) or 0
        self.faults.append((line, ".".join(part for part in (table, key) if part), what))

    def _check_names(self) -> None:
        for key, value in self._document.items():
            if key in _KEYS[""]:
                continue
            if key not in _KEYS:
                self._fault(
                    key if isinstance(value, dict) else "", "" if isinstance(value, dict) else key, _unknown(key)
                )
            elif not isinstance(value, dict):
                self._fault("", key, f"expected a table [{key}], got {json_kind(value)}")
            else:
                for inner in value:
                    if inner not in _KEYS[key]:
                        self._fault(key, inner, f"expected one of {', '.join(_KEYS[key])}, got an unknown key")
        if self._document.get("version") != VERSION:
            self._fault("", "version", f"expected {VERSION}, got {self._document.get('version', 'none')}")
        for table, key in _REQUIRED:
            held = self._document.get(table)
            if not isinstance(held, dict) or not held.get(key):
                self._fault(table, key, "expected a value, got none")

    def _get(self, table: str, key: str) -> Any:
        """Return a checked value, None where it is absent or faulty."""
        held = self._document.get(table, {}) if table else self._document
        if not isinstance(held, dict) or key not in held:
            return None
        try:
            return _CHECKS[_KEYS[table][key]](held[key])
        except ValidationError as error:
            self._fault(table, key, str(error))
            return None

    def _zone(self) -> tzinfo | None:
        found: tzinfo | None = self._get("time", "zone")
        return found

    def _reader(self, form: str, zone: tzinfo | None) -> Reader:
        if form in _EPOCHS:
            return _epoch_reader(_EPOCHS[form])
        if form == "rfc3339":
            return _read_rfc3339
        if zone is None and form != "iso" and "%z" in form:
            return _strptime_reader(form, None)
        if zone is None:
            self._fault("time", "formats", f'expected a zone beside {form}, which has none, such as zone = "UTC"')
        return _iso_reader(zone or UTC) if form == "iso" else _strptime_reader(form, zone or UTC)


def _unknown(key: str) -> str:
    return f"expected one of {', '.join(name for name in (*_KEYS[''], *_KEYS) if name)}, got an unknown name {key[:40]}"


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValidationError(f"expected a text, got {_shown(value)}")
    return value


def _check_texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        raise ValidationError(f"expected a text or a list of texts, got {_shown(value)}")
    return tuple(_check_text(item) for item in value)


def _check_paths(value: Any) -> tuple[Steps, ...]:
    paths = tuple(_steps(item) for item in _check_texts(value))
    for steps in paths:
        if "*" in steps:
            raise ValidationError("expected a path to one value, got one with *, which details.sealed alone may have")
    return paths


def _check_patterns(value: Any) -> tuple[Steps, ...]:
    return tuple(_steps(item) for item in _check_texts(value))


def _check_sources(value: Any) -> tuple[Source, ...]:
    return tuple(_template(item) if "{" in item else _check_paths(item)[0] for item in _check_texts(value))


def _check_formats(value: Any) -> tuple[str, ...]:
    formats = _check_texts(value)
    for form in formats:
        if form in _EPOCHS or form in ("rfc3339", "iso"):
            continue
        if "%" not in form:
            raise ValidationError(
                f"expected rfc3339, iso, {', '.join(_EPOCHS)} or a strptime format such as %d.%m.%Y %H:%M:%S, "
                f"got {form!r}"
            )
        if not all(word in form for word in ("%d", "%m")) and not any(
            word in form for word in ("%b", "%j", "%s", "%c")
        ):
            raise ValidationError(f"expected a format with day and month, got {form!r}")
        try:
            sample = datetime(2026, 12, 31, 23, 59, 58, 123456, UTC).strftime(form)
            datetime.strptime(sample, form)  # noqa: DTZ007 - only tried for whether Python knows the format
        except (ValueError, re.error) as error:
            raise ValidationError(f"expected a strptime format, got {form!r}: {error}") from None
    return formats


def _check_zone(value: Any) -> tzinfo:
    name = _check_text(value)
    if offset := _OFFSET.fullmatch(name):
        return datetime.fromisoformat(f"2026-01-01T00:00:00{offset[0]}").tzinfo or UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(f"expected a zone such as UTC, Europe/Berlin or +02:00, got {name!r}") from None


def _check_missing(value: Any) -> str:
    if value not in ("refuse", "receipt"):
        raise ValidationError(f'expected "refuse" or "receipt", got {_shown(value)}')
    return str(value)


def _check_values(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) and item for item in value.values()):
        raise ValidationError(f'expected a table such as {{ ok = "success" }}, got {_shown(value)}')
    return {key.lower(): item for key, item in value.items()}


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "text": _check_text,
    "texts": _check_texts,
    "paths": _check_paths,
    "patterns": _check_patterns,
    "sources": _check_sources,
    "formats": _check_formats,
    "zone": _check_zone,
    "missing": _check_missing,
    "values": _check_values,
}


def _shown(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str) else json_kind(value)


def _steps(path: str) -> Steps:
    """Read `a.b.0.c`, or a JSON pointer (RFC 6901) for names that hold dots: `/a.b/c`."""
    if path.startswith("/"):
        return tuple(step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
    steps = tuple(path.split("."))
    if not all(steps):
        raise ValidationError(f"expected a path such as actor.email or /actor/email, got {path!r}")
    return steps


def _template(text: str) -> Template:
    pieces = _FIELD.split(text)
    if any("{" in piece or "}" in piece for piece in pieces[::2]) or not all(pieces[1::2]):
        raise ValidationError(f"expected a template such as {{service}}:{{action}}, got {text!r}")
    return Template(tuple(pieces[::2]), tuple(_check_paths(piece)[0] for piece in pieces[1::2]))


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Return the line of each key and table: tomllib names no lines once the file is TOML."""
    found: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header[1]
            found.setdefault((table, ""), number)
        elif key := _ASSIGNMENT.match(line):
            found.setdefault((table, key[1]), number)
    return found


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value[step] if step in value else value.get(step.lower())
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _first(body: Any, sources: tuple[Source, ...]) -> str | None:
    for source in sources:
        found = source.read(body) if isinstance(source, Template) else _text(_at(body, source))
        if found is not None:
            return found
    return None


def _spell(sources: tuple[Source, ...]) -> str:
    return ", ".join("a template" if isinstance(source, Template) else ".".join(source) for source in sources)


def _matches(value: Any, steps: Steps, pointer: str) -> list[tuple[str, Any]]:
    """Return pointer and value of every place that `steps` lead to; `*` is every key or position."""
    if not steps:
        return [(pointer, value)]
    step, rest = steps[0], steps[1:]
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = [(key, item) for key, item in value.items() if step in ("*", key) or key == step.lower()]
    elif isinstance(value, list):
        inner = [(str(position), item) for position, item in enumerate(value) if step in ("*", str(position))]
    return [
        match
        for key, item in inner
        for match in _matches(item, rest, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    ]


def _read_rfc3339(value: Any) -> datetime | None:
    try:
        read = msgspec.convert(value, datetime) if isinstance(value, str) else None
        return read.astimezone(UTC) if read is not None and read.tzinfo is not None else None
    except (msgspec.ValidationError, OverflowError):
        return None


def _iso_reader(zone: tzinfo) -> Reader:
    def read(value: Any) -> datetime | None:
        try:
            found = datetime.fromisoformat(value.strip()) if isinstance(value, str) and len(value) > 10 else None
            return found.replace(tzinfo=found.tzinfo or zone).astimezone(UTC) if found else None
        except (ValueError, OverflowError):
            return None

    return read


def _strptime_reader(form: str, zone: tzinfo | None) -> Reader:
    def read(value: Any) -> datetime | None:
        try:
            found = datetime.strptime(value.strip(), form) if isinstance(value, str) else None  # noqa: DTZ007 - zoned below
            return found.replace(tzinfo=found.tzinfo or zone).astimezone(UTC) if found else None
        except (ValueError, OverflowError):
            return None

    return read


def _epoch_reader(per_second: int) -> Reader:
    def read(value: Any) -> datetime | None:
        if isinstance(value, str):
            try:
                value = float(value) if "." in value else int(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return epoch_moment(value, per_second)

    return read
