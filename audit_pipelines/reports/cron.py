"""When a report is due: a cron line in a time zone, its due times forward and back.

Pure. Minute, hour, day of month, month and day of week as in crontab(5); a day fits if either of two restricted day
fields does. A wall time that the change to summer time leaves out is due when the clock has jumped over it; one that
the change back brings twice is due the first time. Each period runs from due time to due time, so none is lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 1",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
# The 29th of February comes again after eight years at most.
_REACH_DAYS: Final = 8 * 366 + 1


class CronError(ValueError):
    """A line that is no cron line, or one that is never due; the message says which field and what was expected."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line, read."""

    minute: int
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Whether both day fields are restricted, so that a day fits if one of them does."""
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times behind a moment in UTC, ascending; they end where none comes within eight years."""
        start = moment.astimezone(self.zone).date() - timedelta(days=1)
        before = moment
        for offset in range(_REACH_DAYS):
            for due in self._on(start + timedelta(days=offset)):
                # Two wall times that a change of the clock makes one are due once.
                if due > before:
                    yield due
                    before = due

    def last(self, moment: datetime) -> datetime | None:
        """Return the newest due time before a moment, None where there was none within eight years."""
        start = moment.astimezone(self.zone).date() + timedelta(days=1)
        for offset in range(_REACH_DAYS):
            for due in reversed(self._on(start - timedelta(days=offset))):
                if due < moment:
                    return due
        return None

    def come(self, queued: datetime, now: datetime, most: int) -> list[datetime]:
        """Return the first due times behind `queued` that have come by `now`."""
        return list(islice(takewhile(lambda due: due <= now, self.after(queued)), most))

    def beginning(self, due: datetime) -> datetime:
        """Return where the period of a due time begins: at the due time before it, a day before if there is none."""
        return self.last(due) or due - timedelta(days=1)

    def _on(self, day: date) -> list[datetime]:
        weekday = day.isoweekday() % 7
        in_month, in_week = day.day in self.days, weekday in self.weekdays
        fits = (in_month or in_week) if self.either_day else (in_month and in_week)
        if day.month not in self.months or not fits:
            return []
        return [
            _moment(datetime(day.year, day.month, day.day, hour, self.minute, tzinfo=self.zone)) for hour in self.hours
        ]


def parse_cron(line: str, zone: str) -> Cron:
    """Read a cron line of five fields, or `@hourly`, `@daily`, `@weekly` (Monday), `@monthly`, `@yearly`.

    The minute must be one number: reports are due once an hour at most.

    Raises:
        CronError: naming the field.
    """
    fields = _SHORT.get(line.strip().lower(), line).split()
    if len(fields) != 5:
        raise CronError("expected five fields: minute, hour, day of month, month, day of week")
    minutes = _field(fields[0], "minute", 0, 59)
    if len(minutes) != 1:
        raise CronError("minute: expected one number, such as 30: a report is due once an hour at most")
    hours = _field(fields[1], "hour", 0, 23)
    days = _field(fields[2], "day of month", 1, 31)
    months = _field(fields[3], "month", 1, 12, _MONTHS)
    weekdays = frozenset(day % 7 for day in _field(fields[4], "day of week", 0, 7, _DAYS))
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    cron = Cron(minutes.pop(), tuple(sorted(hours)), frozenset(days), frozenset(months), weekdays, either, _zone(zone))
    if next(cron.after(datetime(2024, 1, 1, tzinfo=UTC)), None) is None:
        raise CronError("expected a day that exists, got one that no month has")
    return cron


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronError("expected a time zone of the IANA database, such as Europe/Berlin") from None


def _moment(wall: datetime) -> datetime:
    """Return a wall time as a moment in UTC; one that does not exist becomes the end of the gap."""
    moment = wall.astimezone(UTC)
    if moment.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return moment
    # `fold=1` reads it by the offset after the gap, `fold=0` by that before: the gap lies between the two readings.
    low, high = wall.replace(fold=1).astimezone(UTC), moment
    offset = high.astimezone(wall.tzinfo).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(wall.tzinfo).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def _field(text: str, name: str, low: int, high: int, words: tuple[str, ...] = ()) -> set[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = _number(first, name, low, high, words)
            end = _number(last, name, low, high, words) if dash else high if slash else begin
        if begin > end:
            raise CronError(f"{name}: expected a range that goes up")
        width = _number(step, name, 1, high) if slash else 1
        found.update(range(begin, end + 1, width))
    return found


def _number(text: str, name: str, low: int, high: int, words: tuple[str, ...] = ()) -> int:
    if text in words:
        # Months count from 1, days of the week from 0.
        return words.index(text) + (1 if words is _MONTHS else 0)
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and low <= int(text) <= high):
        also = f" or {words[0]} to {words[-1]}" if words else ""
        raise CronError(f"{name}: expected numbers from {low} to {high}{also}, lists, ranges and steps of them, or *")
    return int(text)
