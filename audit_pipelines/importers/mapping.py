"""Mapping records of an unknown product by a map: for each column, where its value stands.

`map_file` reads and checks the file that a map is written in; `guessing` knows no map and goes by common names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, epoch_moment
from audit_pipelines.importers.outcomes import product_outcome
from audit_pipelines.importers.sealing import leaves
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

EPOCHS: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
"""Numbers since 1970, and how many make a second."""

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


def reader_of(form: str, zone: tzinfo | None) -> Reader:
    """Return what reads a time of one format; `zone` is for what says none, and None where every time says its own."""
    if form in EPOCHS:
        return _epoch_reader(EPOCHS[form])
    if form == "rfc3339":
        return _read_rfc3339
    return _iso_reader(zone or UTC) if form == "iso" else _strptime_reader(form, zone)


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
