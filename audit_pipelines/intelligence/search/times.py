"""When a question means: "since Monday 9am", "last 7 days", "in March", in the caller's zone, by rules alone.

Here: words to moments, with where they stood in the text. Not here: what else a question asks (`question`). Days begin at
the caller's midnight, weeks on Monday (ISO 8601); a weekday or month without a year is the last one that has begun. A
written time says nothing about its zone, so it is the caller's; a moment that his clocks skip is read one hour later.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` (included) to `until` (excluded), both in UTC; None is open."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class TimeWords:
    """One period named in a text, and the place of the words that name it."""

    period: Period
    start: int
    end: int


_DAY: Final = timedelta(days=1)
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ORDINALS: Final = ("first", "second", "third", "fourth")
_NUMBERS: Final = {
    word: number
    for number, words in {
        1: "a an one", 2: "two couple", 3: "three few", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight",
        9: "nine", 10: "ten", 11: "eleven", 12: "twelve", 14: "fourteen", 24: "twenty-four", 30: "thirty",
        48: "forty-eight", 60: "sixty", 90: "ninety",
    }.items()
    for word in words.split()
}  # fmt: skip
_UNITS: Final = {
    "minute": timedelta(minutes=1), "min": timedelta(minutes=1), "hour": timedelta(hours=1), "hr": timedelta(hours=1),
    "h": timedelta(hours=1), "day": _DAY, "d": _DAY, "week": 7 * _DAY, "fortnight": 14 * _DAY,
}  # fmt: skip
_PARTS: Final = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (22, 30)}


def _names(words: tuple[str, ...], short: int) -> str:
    # "may" and "mar" are words of their own, so a month stands with a preposition, a day or a year (see _MONTH).
    return "|".join(f"{word[:short]}(?:{word[short:]})?" if len(word) > short else word for word in words)


_N: Final = r"(?P<n>\d{1,4}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r")(?:\s+of)?"
_WEEKDAY: Final = rf"(?P<weekday>{_names(_WEEKDAYS, 3)}|tues|weds|thurs?)"
_MONTH: Final = rf"(?P<month>{_names(_MONTHS, 3)}|sept)\.?"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
_CLOCK: Final = (
    r"(?P<hour>[01]?\d|2[0-4])(?:(?::|\.)(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?\s*(?P<half>a\.?m\.?|p\.?m\.?)?"
    r"(?:\s*o'?clock|\s*h(?:rs?|ours)?\b)?|(?P<named>noon|midday|midnight)"
)
_TH: Final = r"(?:st|nd|rd|th)?"


@dataclass(frozen=True, slots=True)
class _Clock:
    """What the caller's clock and calendar say now."""

    now: datetime
    zone: tzinfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        return self.at(day, 0, 0)

    def at(self, day: date, hour: int, minute: int, second: int = 0) -> datetime:
        """Return a wall-clock time in UTC; `hour` may reach into the next day."""
        day += timedelta(days=hour // 24)
        return datetime.combine(day, time(hour % 24, minute, second), self.zone).astimezone(UTC)

    def days(self, first: date, count: int = 1) -> Period:
        return Period(self.midnight(first), self.midnight(first + timedelta(days=count)))


# What follows reads one expression each: a match and the clock to a period, or None where the numbers make no sense.
_Reading = Callable[[re.Match[str], _Clock], Period | None]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text.lower()]


def _add_months(day: date, months: int) -> date:
    place = day.year * 12 + day.month - 1 + months
    return date(place // 12, place % 12 + 1, 1)


def _index(names: tuple[str, ...], text: str) -> int:
    return next(place for place, name in enumerate(names) if name.startswith(text[:3].lower()))


def _back(clock: _Clock, count: int, unit: str) -> datetime | None:
    """Return the moment so many units before now; days and longer by the calendar, so that 3 pm stays 3 pm."""
    local = clock.now.astimezone(clock.zone)
    try:
        if unit in {"month", "quarter", "year"}:
            months = count * {"month": 1, "quarter": 3, "year": 12}[unit]
            first = _add_months(local.date(), -months)
            day = min(local.day, (_add_months(first, 1) - _DAY).day)
            return local.replace(year=first.year, month=first.month, day=day).astimezone(UTC)
        step = _UNITS[unit] * count
        if step % _DAY == timedelta(0):
            return (local - step).astimezone(UTC)
        return clock.now.astimezone(UTC) - step
    except (OverflowError, ValueError):
        return None


def _rolling(match: re.Match[str], clock: _Clock) -> Period | None:
    since = _back(clock, _number(match["n"] or "1"), match["unit"].lower())
    return Period(since, clock.now.astimezone(UTC)) if since else None


def _ago(match: re.Match[str], clock: _Clock) -> Period | None:
    unit, count = match["unit"].lower(), _number(match["n"])
    moment = _back(clock, count, unit)
    if moment is None:
        return None
    if unit in {"minute", "min", "hour", "hr", "h"}:
        return Period(moment, moment + _UNITS[unit])
    day = moment.astimezone(clock.zone).date()
    return _calendar(clock, unit, day) if unit in {"month", "quarter", "year"} else clock.days(day)


def _calendar(clock: _Clock, unit: str, day: date) -> Period:
    """Return the calendar week, month, quarter or year that `day` lies in."""
    if unit == "week":
        return clock.days(day - timedelta(days=day.weekday()), 7)
    if unit == "weekend":
        return clock.days(day - timedelta(days=day.weekday()) + 5 * _DAY, 2)
    if unit == "day":
        return clock.days(day)
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    return Period(clock.midnight(first), clock.midnight(_add_months(first, months)))


def _relative_unit(match: re.Match[str], clock: _Clock) -> Period | None:
    unit, today = match["unit"].lower(), clock.today
    if match["which"].lower() in {"this", "current", "the current"}:
        if unit == "hour":
            local = clock.now.astimezone(clock.zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
            return Period(local, local + timedelta(hours=1))
        return _calendar(clock, unit, today)
    if unit == "hour":
        return _rolling_hour(clock)
    if unit == "weekend":
        # The last one that is over; on a Sunday "last weekend" is the one before.
        monday = today - timedelta(days=today.weekday())
        return clock.days(monday - 2 * _DAY, 2)
    if unit == "day":
        return clock.days(today - _DAY)
    return _calendar(clock, unit, _calendar_day(clock, _calendar(clock, unit, today)) - _DAY)


def _rolling_hour(clock: _Clock) -> Period:
    now = clock.now.astimezone(UTC)
    return Period(now - timedelta(hours=1), now)


def _calendar_day(clock: _Clock, period: Period) -> date:
    assert period.since is not None
    return period.since.astimezone(clock.zone).date()


def _named_day(match: re.Match[str], clock: _Clock) -> Period:
    back = {"today": 0, "yesterday": 1}.get(match["day"].lower(), 2)
    return clock.days(clock.today - timedelta(days=back))


def _part_of_day(match: re.Match[str], clock: _Clock) -> Period:
    part, whose, today = match["part"].lower(), match["whose"].lower(), clock.today
    first, last = _PARTS[part]
    day = today
    if whose in {"last", "yesterday"}:
        day -= _DAY
    elif part == "night":
        # "tonight" and "this night": the one that is, or comes.
        local = clock.now.astimezone(clock.zone)
        day = today - _DAY if local.hour < last - 24 else today
    return Period(clock.at(day, first, 0), clock.at(day, last, 0))


def _weekday(match: re.Match[str], clock: _Clock) -> Period:
    back = (clock.today.weekday() - _index(_WEEKDAYS, match["weekday"])) % 7
    if (match["which"] or "").lower() in {"last", "previous", "past"} and back == 0:
        back = 7
    return clock.days(clock.today - timedelta(days=back))


def _month_words(match: re.Match[str], clock: _Clock) -> Period:
    month, today = _index(_MONTHS, match["month"]) + 1, clock.today
    if match["year"]:
        year = int(match["year"])
    else:
        begun = month <= today.month
        year = today.year - (not begun or (month == today.month and match["which"] == "last"))
    return _calendar(clock, "month", date(year, month, 1))


def _date_words(match: re.Match[str], clock: _Clock) -> Period | None:
    """Read a day of a month; without a year it is the last such day that has begun."""
    month, day, today = _index(_MONTHS, match["month"]) + 1, int(match["dom"]), clock.today
    try:
        if match["year"]:
            return clock.days(date(int(match["year"]), month, day))
        # 29 February: the last year that had one.
        for year in range(today.year, today.year - 9, -1):
            if (month, day) != (2, 29) or year % 4 == 0:
                found = date(year, month, day)
                if found <= today:
                    return clock.days(found)
    except ValueError:
        pass
    return None


def _day_of_month(match: re.Match[str], clock: _Clock) -> Period | None:
    day, first = int(match["dom"]), clock.today.replace(day=1)
    for month in (first, _add_months(first, -1), _add_months(first, -2)):
        last = (_add_months(month, 1) - _DAY).day
        if 1 <= day <= last and month.replace(day=day) <= clock.today:
            return clock.days(month.replace(day=day))
    return None


def _days_of_month(match: re.Match[str], clock: _Clock) -> Period | None:
    last = _date_words(match, clock)
    if last is None or last.until is None:
        return None
    day = _calendar_day(clock, last)
    try:
        first = day.replace(day=int(match["first"]))
    except ValueError:
        return None
    return Period(clock.midnight(first), last.until) if first < day else None


def _date_numbers(match: re.Match[str], clock: _Clock) -> Period | None:
    try:
        return clock.days(date(int(match["year"]), int(match["mm"]), int(match["dom"])))
    except ValueError:
        return None


def _date_slashes(match: re.Match[str], clock: _Clock) -> Period | None:
    """Read 20/11/2026 or 11/20/2026 where only one of them is a date; 03/04/2026 could be two days, so it is none."""
    left, right, year = int(match["left"]), int(match["right"]), int(match["year"])
    found = set()
    for month, day in ((left, right), (right, left)):
        try:
            found.add(date(year, month, day))
        except ValueError:
            continue
    return clock.days(found.pop()) if len(found) == 1 else None


def _moment(match: re.Match[str], clock: _Clock) -> Period | None:
    try:
        moment = datetime.fromisoformat(match[0].upper().replace(" ", "T"))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=clock.zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # As fine as it was written: 14:30 is a minute.
    return Period(moment, moment + timedelta(seconds=1 if match["seconds"] else 60))


def _quarter(match: re.Match[str], clock: _Clock) -> Period:
    quarter, today = "1234".find(match["quarter"] or "x") + 1 or _index(_ORDINALS, match["ordinal"]) + 1, clock.today
    begun = 3 * quarter - 2 <= today.month
    year = int(match["year"]) if match["year"] else today.year - (not begun)
    return _calendar(clock, "quarter", date(year, 3 * quarter - 2, 1))


def _year(match: re.Match[str], clock: _Clock) -> Period:
    return _calendar(clock, "year", date(int(match["year"]), 1, 1))


_WHICH: Final = r"(?P<which>this|current|the\s+current|last|previous|past|the\s+previous)"
_UNIT: Final = r"(?P<unit>minute|min|hour|hr|h|day|d|week|fortnight|month|quarter|year)s?"
# In the order of trial: what says more comes first.
_READINGS: Final[tuple[tuple[re.Pattern[str], _Reading], ...]] = tuple(
    (re.compile(rf"\b(?:{pattern})(?![\w])", re.IGNORECASE), reading)
    for pattern, reading in (
        (
            r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?P<seconds>:\d\d(?:\.\d{1,6})?)?(?:z|[+-]\d\d:?\d\d)?",
            _moment,
        ),
        (rf"{_YEAR}-(?P<mm>\d\d?)-(?P<dom>\d\d?)", _date_numbers),
        (rf"(?P<dom>\d\d?)\.(?P<mm>\d\d?)\.{_YEAR}", _date_numbers),
        (rf"(?P<left>\d\d?)/(?P<right>\d\d?)/{_YEAR}", _date_slashes),
        (
            rf"(?P<first>\d\d?){_TH}\s*(?:to|and|until|through|[-–—])\s*(?P<dom>\d\d?){_TH}\s+(?:of\s+)?{_MONTH}"  # noqa: RUF001
            rf"(?:,?\s+{_YEAR})?",
            _days_of_month,
        ),
        (rf"(?P<dom>\d\d?){_TH}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _date_words),
        (rf"{_MONTH}\s+(?P<dom>\d\d?){_TH}(?!\d|:)(?:,?\s+{_YEAR})?", _date_words),
        (rf"(?:the\s+)?(?:last|past|previous)\s+{_N}\s+{_UNIT}", _rolling),
        (rf"(?:the\s+)?past(?P<n>)\s+{_UNIT}", _rolling),
        (rf"{_N}\s+{_UNIT}\s+(?:ago|back)", _ago),
        (rf"{_WHICH}\s+(?P<unit>hour|day|weekend|week|month|quarter|year)", _relative_unit),
        (r"(?P<whose>last|this|yesterday|to)\s*(?P<part>morning|afternoon|evening|night)", _part_of_day),
        (r"(?P<day>today|yesterday|the\s+day\s+before\s+yesterday)", _named_day),
        (rf"(?:(?P<which>last|previous|past|this)\s+)?{_WEEKDAY}", _weekday),
        (rf"(?:the\s+month\s+of\s+)?(?P<which>last\s+)?{_MONTH},?\s+{_YEAR}", _month_words),
        (rf"(?:(?P<which>last)\s+){_MONTH}(?P<year>)", _month_words),
        (
            rf"(?:q(?P<quarter>[1-4])|(?P<ordinal>first|second|third|fourth)\s+quarter)(?:\s+(?:of\s+)?{_YEAR})?",
            _quarter,
        ),
    )
)
# Words that are times only where a preposition stands before them.
_AFTER_PREPOSITION: Final[tuple[tuple[re.Pattern[str], _Reading], ...]] = tuple(
    (re.compile(rf"\b(?:{pattern})(?![\w])", re.IGNORECASE), reading)
    for pattern, reading in (
        (rf"(?:the\s+month\s+of\s+)?(?P<which>){_MONTH}(?P<year>)", _month_words),
        (_YEAR, _year),
        (r"(?P<dom>\d\d?)(?:st|nd|rd|th)", _day_of_month),
    )
)
# "since the beginning of the month": the one that is.
_BARE: Final[tuple[tuple[re.Pattern[str], _Reading], ...]] = (
    (
        re.compile(r"(?P<which>)(?P<unit>day|week|month|quarter|year)\b", re.IGNORECASE),
        lambda match, clock: _calendar(clock, match["unit"].lower(), clock.today),
    ),
)
_CLOCK_AFTER: Final = re.compile(rf"\s*,?\s*(?:at|around|from|t)?\s*(?:{_CLOCK})(?![\w:/-]|\.\d)", re.IGNORECASE)
_CLOCK_ALONE: Final = re.compile(rf"(?:{_CLOCK})(?![\w:/-]|\.\d)", re.IGNORECASE)
_DAY_AFTER: Final = re.compile(r"\s*,?\s*(?:on\s+|of\s+)?(?=\w)", re.IGNORECASE)
_OPENINGS: Final = re.compile(
    r"\b(?P<word>since|starting(?:\s+(?:from|on|at))?|from|between|after|later\s+than|before|earlier\s+than|prior\s+to|"
    r"until|till?|up\s+to|through|by\s+the\s+end\s+of|week\s+(?:of|beginning|starting|commencing)|on|in|during|within|at|over|for|of|throughout|around)\s+"
    r"(?:the\s+)?(?:(?P<edge>beginning|start|end)\s+of\s+)?(?:the\s+)?",
    re.IGNORECASE,
)
_LINKS: Final = re.compile(r"\s*(?:,\s*)?(?:and|to|till?|until|through|up\s+to|[-–—])\s+", re.IGNORECASE)  # noqa: RUF001 - a dash of ranges


def find_times(text: str, now: datetime, zone: tzinfo) -> list[TimeWords]:
    """Return the periods that a text names, in its order; they do not overlap.

    `now` has a zone; `zone` is the caller's. What looks like a time and is none (30 February, 03/04/2026, which is two
    days at once) is left where it stands.
    """
    clock = _Clock(now, zone)
    found: list[TimeWords] = []
    at = 0
    while at < len(text):
        before = found[-1] if found else None
        beside = before and not text[before.end : at].strip(" ,") and _is_one_day(before.period)
        words = _expression(text, at, clock, before.period if before and beside else None)
        if words is None:
            at += 1
            continue
        if before and beside:
            # "yesterday between 2 pm and 4 pm" is one period; a day beside a day is two.
            inside = before.period.since <= words.period.since if words.period.since and before.period.since else False
            if inside and words.period.until and not _is_day(words.period):
                found.pop()
                words = TimeWords(words.period, before.start, words.end)
        found.append(words)
        at = words.end
    return found


def _expression(text: str, at: int, clock: _Clock, day: Period | None) -> TimeWords | None:
    """Read one expression that begins at a place: a preposition and what follows, or a time that stands alone.

    `day` is what times of day belong to where they name none.
    """
    if at and (text[at - 1].isalnum() or text[at - 1] in "_-./:"):
        return None
    opening = _OPENINGS.match(text, at)
    if not opening:
        alone = _point(text, at, clock, after="", day=day)
        if alone is None:
            return None
        link = _LINKS.match(text, alone.end)
        last = _point(text, link.end(), clock, after="to", day=alone.period) if link and "and" not in link[0] else None
        if last:
            return TimeWords(_from_to(alone.period, last.period, inclusive=not last.is_clock), at, last.end)
        return TimeWords(alone.period, at, alone.end)
    word = re.sub(r"\s+", " ", opening["word"].lower())
    first = _point(text, opening.end(), clock, after="edge" if opening["edge"] else word, day=day)
    if first is None:
        return None
    link = _LINKS.match(text, first.end) if word in {"from", "between", "on"} else None
    last = _point(text, link.end(), clock, after="to", day=day or first.period) if link else None
    if last is None:
        opened = _opened(word, opening["edge"], first.period, clock)
        return TimeWords(opened, at, first.end) if opened else None
    if first.is_clock and last.is_clock and day is None:
        gap = _DAY_AFTER.match(text, last.end)
        named = _day(text, gap.end(), clock) if gap else None
        if named:
            again = _expression(text, at, clock, named.period)
            return TimeWords(again.period, at, named.end) if again else None
    return TimeWords(_from_to(first.period, last.period, inclusive=not last.is_clock), at, last.end)


def _opened(word: str, edge: str | None, period: Period, clock: _Clock) -> Period | None:
    if word.startswith("week"):
        return _calendar(clock, "week", _calendar_day(clock, period)) if period.since else None
    if edge:
        point = period.until if edge == "end" else period.since
        period = Period(point, point)
    if word == "since" or word.startswith("starting") or (word == "from" and not _is_day(period)):
        return Period(period.since, None)
    if word in {"after", "later than"}:
        return Period(period.until if _is_day(period) else period.since, None)
    if word in {"before", "earlier than", "prior to"}:
        return Period(None, period.since)
    if word in {"until", "till", "til", "up to", "through", "by the end of"}:
        return Period(None, period.until if _is_day(period) else period.since)
    return period


def _is_day(period: Period) -> bool:
    """Return whether a period is as long as a day or longer, so that "after" it means after its end."""
    return bool(period.since and period.until and period.until - period.since >= timedelta(hours=5))


def _from_to(first: Period, last: Period, *, inclusive: bool) -> Period:
    until = last.until if inclusive else last.since
    if first.since and until and until <= first.since:
        # "from Friday to Monday", "from 22:00 to 6:00": the end comes after the beginning.
        return Period(first.since - 7 * _DAY, until) if inclusive else Period(first.since, until + _DAY)
    return Period(first.since, until)


@dataclass(frozen=True, slots=True)
class _Point:
    """A time read at a place: a period, where it ends in the text, and whether it is a time of an unnamed day."""

    period: Period
    end: int
    is_clock: bool = False


def _day(text: str, at: int, clock: _Clock) -> _Point | None:
    """Read something that is as long as a day."""
    for pattern, reading in _READINGS:
        match = pattern.match(text, at)
        period = reading(match, clock) if match else None
        if match and period and _is_one_day(period):
            return _Point(period, match.end())
    return None


def _point(text: str, at: int, clock: _Clock, *, after: str, day: Period | None) -> _Point | None:
    """Read a day or period with an optional time of day, or a time of day with an optional day."""
    beside = {"": (), "at": (), "around": (), "edge": (*_BARE, *_AFTER_PREPOSITION)}.get(after, _AFTER_PREPOSITION)
    for pattern, reading in (*_READINGS, *beside):
        match = pattern.match(text, at)
        period = reading(match, clock) if match else None
        if match and period:
            return _with_clock(text, match.end(), clock, period)
    alone = _CLOCK_ALONE.match(text, at) if after else None
    # A bare number is a time of day only after "at", or with minutes, am or pm.
    if not alone or not (alone["minute"] or alone["half"] or alone["named"] or after == "at"):
        return None
    gap = _DAY_AFTER.match(text, alone.end())
    named = _day(text, gap.end(), clock) if gap and after != "to" else None
    if named:
        moment = _time_of_day(alone, clock, named.period)
        return _Point(moment, named.end) if moment else None
    moment = _time_of_day(alone, clock, _whole_day(day, clock) if day else clock.days(clock.today))
    if moment and day is None and moment.since and moment.since > clock.now.astimezone(UTC):
        # "after 22:00", asked in the morning, means last night.
        moment = _time_of_day(alone, clock, clock.days(clock.today - _DAY))
    return _Point(moment, alone.end(), is_clock=True) if moment else None


def _with_clock(text: str, at: int, clock: _Clock, period: Period) -> _Point:
    clocked = _CLOCK_AFTER.match(text, at) if _is_one_day(period) else None
    if clocked and (clocked["minute"] or clocked["half"] or clocked["named"] or re.match(r"\s*,?\s*at\b", text[at:])):
        moment = _time_of_day(clocked, clock, period)
        if moment:
            return _Point(moment, clocked.end())
    return _Point(period, at)


def _whole_day(period: Period, clock: _Clock) -> Period:
    return clock.days(period.since.astimezone(clock.zone).date()) if period.since else period


def _is_one_day(period: Period) -> bool:
    # Days with a change of clocks have 23 or 25 hours.
    return bool(
        period.since and period.until and timedelta(hours=23) <= period.until - period.since <= timedelta(hours=25)
    )


def _time_of_day(match: re.Match[str], clock: _Clock, day: Period) -> Period | None:
    assert day.since is not None
    if match["named"]:
        hour, minute, second = (0 if match["named"].lower() == "midnight" else 12), 0, 0
    else:
        hour, minute, second = int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)
        half = (match["half"] or "").lower()[:1]
        if half and not 1 <= hour <= 12:
            return None
        if half:
            hour = hour % 12 + 12 * (half == "p")
    if hour == 24 and (minute or second):
        return None
    since = clock.at(day.since.astimezone(clock.zone).date(), hour, minute, second)
    named_minutes = match["minute"] is not None
    return Period(since, since + (timedelta(minutes=1) if named_minutes else timedelta(hours=1)))
