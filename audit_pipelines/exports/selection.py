"""What is asked for: the filters with every name resolved, the order that they are part of, and periods by name.

Pure, and without Arrow or polars, which a server loads with its first export. A selection is what a job is made of
after a restart, so it goes to JSON and back without loss.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal, get_args
from uuid import UUID

import msgspec

from audit_pipelines.errors import AuditError

Format = Literal["csv", "ndjson", "parquet", "pdf", "evidence"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

SUFFIXES: Final[Mapping[Format, str]] = {
    "csv": "csv",
    "ndjson": "ndjson",
    "parquet": "parquet",
    "pdf": "pdf",
    "evidence": "json",
}
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "evidence": "application/json",
}

DateRange = Literal[
    "today",
    "yesterday",
    "last_24_hours",
    "last_7_days",
    "last_30_days",
    "last_90_days",
    "this_week",
    "last_week",
    "this_month",
    "last_month",
    "this_year",
]
DATE_RANGES: Final[tuple[DateRange, ...]] = get_args(DateRange)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events, in which order; None is "any". Persons by reference, addresses by index."""

    event_ids: tuple[str, ...] | None = None
    """These events and no others."""
    event_type: str | None = None
    entity_type: str | None = None
    entity_ids: tuple[str, ...] | None = None
    """Any of these: an id, and the reference that stands for it where it is a person's."""
    actor_ref: UUID | None = None
    outcome: str | None = None
    ip_index: bytes | None = None
    """What the index of an address equals, or begins with."""
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    pieces: tuple[str, ...] | None = None
    """LIKE patterns that whatever has all the words of `q` must match."""
    with_accesses: bool = False
    newest_first: bool = True
    limit: int | None = None

    def to_json(self) -> str:
        """Return the selection as text."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> "Selection":
        """Return what `to_json` wrote."""
        return msgspec.json.decode(text, type=Selection)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a tenant's chain at one moment: nothing after it is in an export that was asked for then."""

    seq: int
    """-1 where there is no event."""
    row_hash: bytes
    erasures: int
    """How often the tenant had erased somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One export as it was asked for; `by` is a name in clear."""

    export_id: UUID
    tenant_id: UUID
    format: Format
    selection: Selection
    asked: Mapping[str, Any]
    """The filters as the access log has them."""
    by: str
    with_names: bool
    include_summary: bool
    head: Head

    @property
    def file_name(self) -> str:
        """What the file is called: by its id, because a name travels further than what is in the file."""
        return file_name(self.export_id, self.format)


class CancelledError(AuditError):
    """Nobody wants the export any more."""


def file_name(export_id: UUID, form: Format) -> str:
    """Return what the file of an export is called."""
    return f"audit-export-{export_id}.{SUFFIXES[form]}"


def period_of(name: DateRange, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return a period by its name, `since <= moment < until`, in UTC; days and weeks (from Monday) are the zone's."""
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    since, until = _PERIODS[name](today, now)
    return since.astimezone(UTC), until.astimezone(UTC)


def _days(today: datetime, days: int) -> datetime:
    """Return the beginning of another day; the wall clock's arithmetic, so that a day may have 23 or 25 hours."""
    return today + timedelta(days=days)


def _month(today: datetime, months: int) -> datetime:
    place = today.year * 12 + today.month - 1 + months
    return today.replace(year=place // 12, month=place % 12 + 1, day=1)


_PERIODS: Final[Mapping[DateRange, Callable[[datetime, datetime], tuple[datetime, datetime]]]] = {
    "today": lambda day, _: (day, _days(day, 1)),
    "yesterday": lambda day, _: (_days(day, -1), day),
    "last_24_hours": lambda _, now: (now - timedelta(hours=24), now),
    "last_7_days": lambda day, _: (_days(day, -6), _days(day, 1)),
    "last_30_days": lambda day, _: (_days(day, -29), _days(day, 1)),
    "last_90_days": lambda day, _: (_days(day, -89), _days(day, 1)),
    "this_week": lambda day, _: (_days(day, -day.weekday()), _days(day, 7 - day.weekday())),
    "last_week": lambda day, _: (_days(day, -day.weekday() - 7), _days(day, -day.weekday())),
    "this_month": lambda day, _: (_month(day, 0), _month(day, 1)),
    "last_month": lambda day, _: (_month(day, -1), _month(day, 0)),
    "this_year": lambda day, _: (_month(day, 1 - day.month), _month(day, 13 - day.month)),
}
