"""The file that a map is written in: TOML, read and checked, with every fault named by line and key.

The form is documented in docs/importers.md; `proposing` writes first drafts of such files.
"""

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.fields import json_kind
from audit_pipelines.importers.mapping import EPOCHS, FieldMap, Reader, Source, Steps, Template, reader_of

VERSION = 1
MAX_MAP_BYTES = 256 * 1024

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
        if zone is None and form not in EPOCHS and form != "rfc3339" and "%z" not in form:
            self._fault("time", "formats", f'expected a zone beside {form}, which has none, such as zone = "UTC"')
        return reader_of(form, zone)


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
        if form in EPOCHS or form in ("rfc3339", "iso"):
            continue
        if "%" not in form:
            raise ValidationError(
                f"expected rfc3339, iso, {', '.join(EPOCHS)} or a strptime format such as %d.%m.%Y %H:%M:%S, "
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
