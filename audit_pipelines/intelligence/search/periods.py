"""Single expressions of time, each to a period: "last 7 days", "yesterday", "20 November", "Q3", "3 hours ago".

Here: one expression and the calendar. Not here: prepositions, ranges and clocks, which `times` puts around them. Days
begin at the caller's midnight, weeks on Monday (ISO 8601); a weekday or month without a year is the last one that has
begun. A moment that his clocks skip is read one hour later; of one that comes twice it is the first.
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


DAY: Final = timedelta(days=1)
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
    "minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": DAY, "week": 7 * DAY, "fortnight": 14 * DAY,
}  # fmt: skip
_SHORT_UNITS: Final = {
    "min": "minute", "hr": "hour", "h": "hour", "d": "day", "wk": "week", "w": "week", "mo": "month", "mth": "month",
    "qtr": "quarter", "yr": "year",
}  # fmt: skip
PARTS: Final = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (22, 30)}
"""Hours that a part of a day begins and ends at; the night ends on the next day."""


def _names(words: tuple[str, ...], short: int) -> str:
    # "may" and "mar" are words of their own, so a month stands with a preposition, a day or a year (see _MONTH).
    return "|".join(f"{word[:short]}(?:{word[short:]})?" if len(word) > short else word for word in words)


_N: Final = r"(?P<n>\d{1,4}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r")(?:\s+of)?"
_WEEKDAY: Final = rf"(?P<weekday>{_names(_WEEKDAYS, 3)}|tues|weds|thurs?)"
_MONTH: Final = rf"(?P<month>{_names(_MONTHS, 3)}|sept)\.?"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
CLOCK: Final = (
    r"(?P<hour>[01]?\d|2[0-4])(?:(?::|\.)(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?)?\s*(?P<half>a\.?m\.?|p\.?m\.?)?"
    r"(?:\s*o'?clock|\s*h(?:rs?|ours)?\b)?|(?P<named>noon|midday|midnight)"
)
_TH: Final = r"(?:st|nd|rd|th)?"


@dataclass(frozen=True, slots=True)
class Clock:
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
Reading = Callable[[re.Match[str], Clock], Period | None]
Readings = tuple[tuple[re.Pattern[str], Reading], ...]


def _unit(match: re.Match[str]) -> str:
    unit = match["unit"].lower()
    return _SHORT_UNITS.get(unit, unit)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS[text.lower()]


def _add_months(day: date, months: int) -> date:
    place = day.year * 12 + day.month - 1 + months
    return date(place // 12, place % 12 + 1, 1)


def _index(names: tuple[str, ...], text: str) -> int:
    return next(place for place, name in enumerate(names) if name.startswith(text[:3].lower()))


def _back(clock: Clock, count: int, unit: str) -> datetime | None:
    """Return the moment so many units before now; days and longer by the calendar, so that 3 pm stays 3 pm."""
    local = clock.now.astimezone(clock.zone)
    try:
        if unit in {"month", "quarter", "year"}:
            months = count * {"month": 1, "quarter": 3, "year": 12}[unit]
            first = _add_months(local.date(), -months)
            day = min(local.day, (_add_months(first, 1) - DAY).day)
            return local.replace(year=first.year, month=first.month, day=day).astimezone(UTC)
        step = _UNITS[unit] * count
        if unit not in {"minute", "hour"}:
            return (local - step).astimezone(UTC)
        return clock.now.astimezone(UTC) - step
    except (OverflowError, ValueError):
        return None


def _rolling(match: re.Match[str], clock: Clock) -> Period | None:
    since = _back(clock, _number(match["n"] or "1"), _unit(match))
    return Period(since, clock.now.astimezone(UTC)) if since else None


def _ago(match: re.Match[str], clock: Clock) -> Period | None:
    unit, count = _unit(match), _number(match["n"])
    moment = _back(clock, count, unit)
    if moment is None:
        return None
    if unit in {"minute", "hour"}:
        return Period(moment, moment + _UNITS[unit])
    day = moment.astimezone(clock.zone).date()
    return calendar(clock, unit, day) if unit in {"month", "quarter", "year"} else clock.days(day)


def calendar(clock: Clock, unit: str, day: date) -> Period:
    """Return the calendar week, month, quarter or year that `day` lies in."""
    if unit == "week":
        return clock.days(day - timedelta(days=day.weekday()), 7)
    if unit == "weekend":
        return clock.days(day - timedelta(days=day.weekday()) + 5 * DAY, 2)
    if unit == "day":
        return clock.days(day)
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    return Period(clock.midnight(first), clock.midnight(_add_months(first, months)))


def _relative_unit(match: re.Match[str], clock: Clock) -> Period | None:
    unit, today = match["unit"].lower(), clock.today
    if re.fullmatch(r"this|(?:the\s+)?current", match["which"], re.IGNORECASE):
        if unit == "hour":
            local = clock.now.astimezone(clock.zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
            return Period(local, local + timedelta(hours=1))
        return calendar(clock, unit, today)
    if unit == "hour":
        return _rolling_hour(clock)
    if unit == "weekend":
        # The last one that is over; on a Sunday "last weekend" is the one before.
        monday = today - timedelta(days=today.weekday())
        return clock.days(monday - 2 * DAY, 2)
    if unit == "day":
        return clock.days(today - DAY)
    return calendar(clock, unit, calendar_day(clock, calendar(clock, unit, today)) - DAY)


def _weekend(_: re.Match[str], clock: Clock) -> Period:
    """Return the last weekend that has begun."""
    today = clock.today
    monday = today - timedelta(days=today.weekday())
    return clock.days(monday + 5 * DAY if today.weekday() >= 5 else monday - 2 * DAY, 2)


def _iso_week(match: re.Match[str], clock: Clock) -> Period | None:
    """Read a numbered week; without a year it is the last such week that has begun."""
    week, year = int(match["week"]), match["year"]
    try:
        if year:
            return clock.days(date.fromisocalendar(int(year), week, 1), 7)
        this = clock.today.isocalendar()
        return clock.days(date.fromisocalendar(this.year - (week > this.week), week, 1), 7)
    except ValueError:
        return None


def _year_month(match: re.Match[str], clock: Clock) -> Period | None:
    month = int(match["mm"])
    return calendar(clock, "month", date(int(match["year"]), month, 1)) if 1 <= month <= 12 else None


def _to_date(match: re.Match[str], clock: Clock) -> Period:
    return Period(calendar(clock, match["unit"].lower(), clock.today).since, clock.now.astimezone(UTC))


def _rolling_hour(clock: Clock) -> Period:
    now = clock.now.astimezone(UTC)
    return Period(now - timedelta(hours=1), now)


def calendar_day(clock: Clock, period: Period) -> date:
    return (period.since or clock.now).astimezone(clock.zone).date()


def _named_day(match: re.Match[str], clock: Clock) -> Period:
    back = {"today": 0, "yesterday": 1}.get(match["day"].lower().removesuffix("s"), 2)
    return clock.days(clock.today - timedelta(days=back))


def _part_of_day(match: re.Match[str], clock: Clock) -> Period:
    part, whose, today = match["part"].lower(), match["whose"].lower(), clock.today
    first, last = PARTS[part]
    day = today
    if whose in {"last", "yesterday"}:
        day -= DAY
    elif part == "night":
        # "tonight" and "this night": the one that is, or comes.
        local = clock.now.astimezone(clock.zone)
        day = today - DAY if local.hour < last - 24 else today
    return Period(clock.at(day, first, 0), clock.at(day, last, 0))


def part_of(clock: Clock, day: Period, part: str) -> Period:
    """Return the morning, afternoon, evening or night of a day."""
    first, last = PARTS[part.lower()]
    date = calendar_day(clock, day)
    return Period(clock.at(date, first, 0), clock.at(date, last, 0))


def _weekday(match: re.Match[str], clock: Clock) -> Period:
    back = (clock.today.weekday() - _index(_WEEKDAYS, match["weekday"])) % 7
    if (match["which"] or "").lower() in {"last", "previous", "past"} and back == 0:
        back = 7
    return clock.days(clock.today - timedelta(days=back))


def _month_words(match: re.Match[str], clock: Clock) -> Period:
    month, today = _index(_MONTHS, match["month"]) + 1, clock.today
    if match["year"]:
        year = int(match["year"])
    else:
        begun = month <= today.month
        year = today.year - (not begun or (month == today.month and match["which"] == "last"))
    return calendar(clock, "month", date(year, month, 1))


def _half_month(match: re.Match[str], clock: Clock) -> Period:
    """Read the first or the second half of a month; the second begins on the 16th."""
    month = _month_words(match, clock)
    middle = clock.midnight(calendar_day(clock, month).replace(day=16))
    return Period(month.since, middle) if match["half"].lower() == "first" else Period(middle, month.until)


def _date_words(match: re.Match[str], clock: Clock) -> Period | None:
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


def _day_of_month(match: re.Match[str], clock: Clock) -> Period | None:
    day, first = int(match["dom"]), clock.today.replace(day=1)
    for month in (first, _add_months(first, -1), _add_months(first, -2)):
        last = (_add_months(month, 1) - DAY).day
        if 1 <= day <= last and month.replace(day=day) <= clock.today:
            return clock.days(month.replace(day=day))
    return None


def _days_of_month(match: re.Match[str], clock: Clock) -> Period | None:
    last = _date_words(match, clock)
    if last is None or last.until is None:
        return None
    day = calendar_day(clock, last)
    try:
        first = day.replace(day=int(match["first"]))
    except ValueError:
        return None
    return Period(clock.midnight(first), last.until) if first < day else None


def _date_numbers(match: re.Match[str], clock: Clock) -> Period | None:
    try:
        return clock.days(date(int(match["year"]), int(match["mm"]), int(match["dom"])))
    except ValueError:
        return None


def _date_slashes(match: re.Match[str], clock: Clock) -> Period | None:
    """Read 20/11/2026 or 11/20/2026 where only one of them is a date; 03/04/2026 could be two days, so it is none."""
    left, right, year = int(match["left"]), int(match["right"]), int(match["year"])
    found = set()
    for month, day in ((left, right), (right, left)):
        try:
            found.add(date(year, month, day))
        except ValueError:
            continue
    return clock.days(found.pop()) if len(found) == 1 else None


def _moment(match: re.Match[str], clock: Clock) -> Period | None:
    try:
        moment = datetime.fromisoformat(match[0].upper().replace(" ", "T"))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=clock.zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # As fine as it was written: 14:30 is a minute.
    return Period(moment, moment + timedelta(seconds=1 if match["seconds"] else 60))


def _quarter(match: re.Match[str], clock: Clock) -> Period:
    quarter, today = "1234".find(match["quarter"] or "x") + 1 or _index(_ORDINALS, match["ordinal"]) + 1, clock.today
    begun = 3 * quarter - 2 <= today.month
    year = int(match["year"]) if match["year"] else today.year - (not begun)
    return calendar(clock, "quarter", date(year, 3 * quarter - 2, 1))


def _year(match: re.Match[str], clock: Clock) -> Period:
    return calendar(clock, "year", date(int(match["year"]), 1, 1))


_WHICH: Final = r"(?P<which>this|(?:the\s+)?current|last|(?:the\s+)?previous|past)"
_UNIT: Final = r"(?P<unit>minute|min|hour|hr|h|day|d|week|wk|w|fortnight|month|mth|mo|quarter|qtr|year|yr)s?"


def _compiled(*rows: tuple[str, Reading]) -> Readings:
    return tuple((re.compile(rf"\b(?:{pattern})(?![\w])", re.IGNORECASE), reading) for pattern, reading in rows)


_TO: Final = r"(?:to|and|until|through|[-–—])"
_AGO: Final = (rf"{_N}\s*{_UNIT}\s+(?:ago|back)", _ago)
# In the order of trial: what says more comes first. Apart by how they begin, since every word of a text is tried.
_NUMBERED: Final = _compiled(
    (
        r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?P<seconds>:\d\d(?:\.\d{1,6})?)?(?:z|[+-]\d\d:?\d\d)?",
        _moment,
    ),
    (rf"{_YEAR}-(?P<mm>\d\d?)-(?P<dom>\d\d?)", _date_numbers),
    (rf"(?P<dom>\d\d?)\.(?P<mm>\d\d?)\.{_YEAR}", _date_numbers),
    (rf"(?P<left>\d\d?)/(?P<right>\d\d?)/{_YEAR}", _date_slashes),
    (
        rf"(?P<first>\d\d?){_TH}\s*{_TO}\s*(?P<dom>\d\d?){_TH}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?",
        _days_of_month,
    ),
    (rf"(?P<dom>\d\d?){_TH}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _date_words),
    (rf"{_YEAR}-(?P<mm>\d\d)(?!-?\d)", _year_month),
    _AGO,
)
_WORDED: Final = _compiled(
    (rf"(?P<half>first|second)\s+half\s+of\s+(?P<which>last\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _half_month),
    (rf"{_MONTH}\s+(?P<dom>\d\d?){_TH}(?!\d|:)(?:,?\s+{_YEAR})?", _date_words),
    (
        rf"(?:calendar\s+)?(?:week\s+(?:no\.?\s*|number\s+)?|kw\s*|cw\s*)(?P<week>\d\d?)(?:\s+(?:of\s+)?{_YEAR})?",
        _iso_week,
    ),
    (rf"(?:the\s+)?(?:last|past|previous)\s+{_N}\s*{_UNIT}", _rolling),
    (rf"(?:the\s+)?past(?P<n>)\s+{_UNIT}", _rolling),
    _AGO,
    (r"(?P<unit>week|month|quarter|year)\s+to\s+date", _to_date),
    (rf"{_WHICH}\s+(?P<unit>hour|day|weekend|week|month|quarter|year)", _relative_unit),
    (r"(?P<whose>last|this|yesterday|to)\s*(?P<part>morning|afternoon|evening|night)", _part_of_day),
    (r"(?P<day>todays?|yesterdays?|(?:the\s+)?day\s+before\s+yesterday)", _named_day),
    (rf"(?:(?P<which>last|previous|past|this)\s+)?{_WEEKDAY}", _weekday),
    (rf"(?<!\d\s)(?:the\s+month\s+of\s+)?(?P<which>last\s+)?{_MONTH},?\s+{_YEAR}", _month_words),
    (rf"(?:(?P<which>last)\s+){_MONTH}(?P<year>)", _month_words),
    # April, June and August are first names, and "may" and "march" are verbs.
    (
        r"(?<!\d\s)(?P<which>)(?P<month>january|february|july|september|october|november|december)(?P<year>)",
        _month_words,
    ),
    (
        rf"(?:q(?P<quarter>[1-4])|(?P<ordinal>first|second|third|fourth)\s+quarter)(?:\s+(?:of\s+)?{_YEAR})?",
        _quarter,
    ),
)


def readings(first: str) -> Readings:
    """Return the expressions that may begin with a character, in the order of trial."""
    return _NUMBERED if first.isdigit() else _WORDED


# Words that are times only where a preposition stands before them.
AFTER_PREPOSITION: Final = _compiled(
    (rf"(?:the\s+month\s+of\s+)?(?P<which>){_MONTH}(?P<year>)", _month_words),
    (_YEAR, _year),
    (r"(?P<dom>\d\d?)(?:st|nd|rd|th)", _day_of_month),
    (r"weekend", _weekend),
)
# "in the last week" is the last seven days, "last week" the one from Monday to Sunday.
ROLLING: Final = _compiled((rf"last(?P<n>)\s+{_UNIT}", _rolling))
# "since the beginning of the month": the one that is.
BARE: Final = _compiled(
    (r"(?P<unit>day|week|month|quarter|year)", lambda match, clock: calendar(clock, match["unit"].lower(), clock.today))
)
