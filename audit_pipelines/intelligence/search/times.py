"""When a question means: "since Monday 9am", "last 7 days", "in March", in the caller's zone, by rules alone.

Here: prepositions, ranges and times of day around the expressions of `periods`, with where they stood in the text. Not
here: what else a question asks (`question`). A written time says nothing about its zone, so it is the caller's.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from audit_pipelines.intelligence.search.periods import (
    AFTER_PREPOSITION,
    BARE,
    CLOCK,
    DAY,
    ROLLING,
    Clock,
    Period,
    calendar,
    calendar_day,
    part_of,
    readings,
)

__all__ = ["Period", "TimeWords", "find_times"]


@dataclass(frozen=True, slots=True)
class TimeWords:
    """One period named in a text, and the place of the words that name it."""

    period: Period
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Point:
    """A time read at a place: a period and where it ends in the text."""

    period: Period
    end: int
    is_clock: bool = False
    """A time of an unnamed day."""
    has_clock: bool = False
    """A time of day, so that "until" it means its beginning."""
    day: Period | None = None
    """The day named after a clock: "after 10 pm yesterday" ends with it, "after yesterday 10 pm" does not."""


# A question of more periods is none; each costs 30 µs.
_MOST_TIMES: Final = 12
_CLOCK_AFTER: Final = re.compile(rf"\s*,?\s*(?:at|around|from|t)?\s*(?:{CLOCK})(?![\w:/-]|\.\d)", re.IGNORECASE)
_CLOCK_ALONE: Final = re.compile(rf"(?:{CLOCK})(?![\w:/-]|\.\d)", re.IGNORECASE)
_CLOCK_RANGE: Final = re.compile(
    re.sub(r"\?P<(\w+)>", r"?P<\g<1>1>", CLOCK).join(("(?:", ")"))
    + r"\s*(?P<link>and|to|till?|until|through|[-–—])\s*"
    + re.sub(r"\?P<(\w+)>", r"?P<\g<1>2>", CLOCK).join(("(?:", ")"))
    + r"(?![\w:/-]|\.\d)",
    re.IGNORECASE,
)
_PART: Final = r"(?P<part>morning|afternoon|evening|night)\b"
_PART_AFTER: Final = re.compile(rf"\s+(?:(?:in\s+the|at)\s+)?{_PART}", re.IGNORECASE)
_PART_BEFORE: Final = re.compile(rf"{_PART}\s+of\s+(?:the\s+)?", re.IGNORECASE)
_DAY_AFTER: Final = re.compile(r"\s*,?\s*(?:on\s+|of\s+)?(?=\w)", re.IGNORECASE)
# What a time may begin with: no other word is tried, of which a long text has many.
_BEGINS: Final = re.compile(
    r"\d|(?:the|this|that|last|past|previous|current|calendar|today|yesterday|to|since|starting|from|between|after|"
    r"later|before|earlier|prior|day|until|till?|up|through|throughout|by|week|month|quarter|year|on|in|during|within|at|"
    r"over|for|of|around|noon|midday|midnight|kw|cw|q[1-4]|first|second|third|fourth|mon|tue|wed|thu|fri|sat|sun|jan|"
    r"feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|an?\s+(?:few|couple|min|h|d|w|f|mo|q|y)|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"morning|afternoon|evening|night|couple|few|fourteen|twenty|thirty|forty|sixty|ninety)",
    re.IGNORECASE,
)
_WORD_END: Final = re.compile(r"\w+|\W")
_POINTING: Final = frozenset(
    {"since", "starting", "starting from", "starting on", "starting at", "from", "after", "later than", "before"}
    | {"earlier than", "prior to", "until", "till", "til", "up to", "through"}
)
_POSSESSIVE: Final = re.compile(r"['’]s?\b", re.IGNORECASE)
_OPENINGS: Final = re.compile(
    r"\b(?P<word>since|starting(?:\s+(?:from|on|at))?|from|between|after|later\s+than|before|earlier\s+than|prior\s+to|"
    r"until|till?|up\s+to|through|by\s+the\s+end\s+of|week\s+(?:of|beginning|starting|commencing)|on|in|during|within|at|over|for|of|throughout|around)\s+"
    r"(?:the\s+)?(?:(?P<edge>beginning|start|end)\s+of\s+)?(?:the\s+)?",
    re.IGNORECASE,
)
_LINKS: Final = re.compile(r"\s*(?:,\s*)?(?:(?:and|to|till?|until|through|up\s+to)\s+|[-–—]\s*)", re.IGNORECASE)


def find_times(text: str, now: datetime, zone: tzinfo) -> list[TimeWords]:
    """Return the periods that a text names, in its order; they do not overlap.

    `now` has a zone; `zone` is the caller's. What looks like a time and is none (30 February, 03/04/2026, which is two
    days at once) is left where it stands.
    """
    clock = Clock(now, zone)
    found: list[TimeWords] = []
    at = 0
    while at < len(text) and len(found) < _MOST_TIMES:
        if text[at].isspace():
            at += 1
            continue
        if not _BEGINS.match(text, at):
            at = _end_of_word(text, at)
            continue
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
        # "yesterday's logins"
        possessive = _POSSESSIVE.match(text, words.end)
        found.append(replace(words, end=possessive.end()) if possessive else words)
        at = found[-1].end
    return found


def _end_of_word(text: str, at: int) -> int:
    match = _WORD_END.match(text, at)
    return match.end() if match else at + 1


def _expression(text: str, at: int, clock: Clock, day: Period | None) -> TimeWords | None:
    """Read one expression that begins at a place: a preposition and what follows, or a time that stands alone.

    `day` is what times of day belong to where they name none.
    """
    if at and (text[at - 1].isalnum() or text[at - 1] in "_-./:"):
        return None
    opening = _OPENINGS.match(text, at)
    clocks = _clock_range(text, opening.end() if opening else at, clock, day, opened=bool(opening))
    if clocks and (not opening or opening["word"].lower() in {"from", "between", "on", "at", "during", "in"}):
        return TimeWords(clocks.period, at, clocks.end)
    if not opening:
        alone = _point(text, at, clock, after="", day=day)
        if alone is None:
            return None
        link = _LINKS.match(text, alone.end)
        last = _point(text, link.end(), clock, after="to", day=alone.period) if link and "and" not in link[0] else None
        if last:
            return TimeWords(
                _from_to(alone.period, last.period, inclusive=not (last.is_clock or last.has_clock)), at, last.end
            )
        return TimeWords(alone.period, at, alone.end)
    word = re.sub(r"\s+", " ", opening["word"].lower())
    lasting = word in {"in", "over", "during", "within", "for", "throughout"} and re.search(
        r"the\s+$", opening[0], re.IGNORECASE
    )
    after = "edge" if opening["edge"] else f"{word} the" if lasting else word
    first = _point(text, opening.end(), clock, after=after, day=day)
    if first is None:
        return None
    link = _LINKS.match(text, first.end) if word in {"from", "between", "on"} else None
    last = _point(text, link.end(), clock, after="to", day=day or first.period) if link else None
    if last is None:
        opened = _opened(word, opening["edge"], first.period, clock)
        if opened and first.day and word in {"after", "later than"}:
            opened = Period(opened.since, first.day.until)
        elif opened and first.day and word in {"before", "earlier than", "until", "till"}:
            opened = Period(first.day.since, opened.until)
        return TimeWords(opened, at, first.end) if opened else None
    if first.is_clock and last.is_clock and day is None:
        gap = _DAY_AFTER.match(text, last.end)
        named = _day(text, gap.end(), clock) if gap else None
        if named:
            again = _expression(text, at, clock, named.period)
            return TimeWords(again.period, at, named.end) if again else None
    return TimeWords(_from_to(first.period, last.period, inclusive=not (last.is_clock or last.has_clock)), at, last.end)


def _clock_range(text: str, at: int, clock: Clock, day: Period | None, *, opened: bool) -> _Point | None:
    """Read "2 and 4pm yesterday", "9:00-17:00", and bare numbers where a preposition and a day make them hours."""
    match = _CLOCK_RANGE.match(text, at)
    if not match or (match["link"].lower() == "and" and not opened):
        return None
    gap = _DAY_AFTER.match(text, match.end())
    named = _day(text, gap.end(), clock) if gap else None
    clear = any(match[name] for name in ("minute1", "half1", "named1", "minute2", "half2", "named2"))
    if not clear and not (opened and (named or day)):
        return None
    first, last = _half_shared(match)
    if first is None or last is None:
        return None
    whole = named.period if named else day
    period = _between_clocks(first, last, _whole_day(whole, clock) if whole else clock.days(clock.today), clock)
    if whole is None and period.since and period.since > clock.now.astimezone(UTC):
        period = _between_clocks(first, last, clock.days(clock.today - DAY), clock)
    return _Point(period, named.end if named else match.end(), is_clock=named is None)


def _half_shared(match: re.Match[str]) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return both clocks as hour and minute; "2 and 4pm" are both in the afternoon, "11 to 1pm" is not."""
    half = match["half2"] if not match["half1"] and not match["named1"] else None
    last = _hour(match["hour2"], match["minute2"], match["half2"], match["named2"])
    first = _hour(match["hour1"], match["minute1"], match["half1"] or half, match["named1"])
    if half and first and last and first >= last:
        first = _hour(match["hour1"], match["minute1"], None, None)
    return first, last


def _between_clocks(first: tuple[int, int], last: tuple[int, int], day: Period, clock: Clock) -> Period:
    date = calendar_day(clock, day)
    # "22:00 to 6:00" ends on the next day.
    return Period(clock.at(date, *first), clock.at(date + DAY * (last <= first), *last))


def _hour(hour: str | None, minute: str | None, half: str | None, named: str | None) -> tuple[int, int] | None:
    """Return hour and minute on a clock of 24 hours, or None for one that no clock shows."""
    if named:
        return (0 if named.lower() == "midnight" else 12), 0
    number, letter = int(hour or 0), (half or "").lower()[:1]
    if letter and not 1 <= number <= 12:
        return None
    if letter:
        number = number % 12 + 12 * (letter == "p")
    return None if number == 24 and int(minute or 0) else (number, int(minute or 0))


def _opened(word: str, edge: str | None, period: Period, clock: Clock) -> Period | None:
    if word.startswith("week"):
        return calendar(clock, "week", calendar_day(clock, period)) if period.since else None
    if edge:
        point = period.until if edge == "end" else period.since
        period = Period(point, point)
        if word not in _POINTING:
            # "at the end of May" is about so long; nobody says how long.
            return None
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
        return Period(first.since - 7 * DAY, until) if inclusive else Period(first.since, until + DAY)
    return Period(first.since, until)


def _day(text: str, at: int, clock: Clock) -> _Point | None:
    """Read something that is as long as a day."""
    for pattern, reading in readings(text[at : at + 1]):
        match = pattern.match(text, at)
        period = reading(match, clock) if match else None
        if match and period and _is_one_day(period):
            return _Point(period, match.end())
    return None


def _point(text: str, at: int, clock: Clock, *, after: str, day: Period | None) -> _Point | None:
    """Read a day or period with an optional time of day, or a time of day with an optional day."""
    if not _BEGINS.match(text, at):
        return None
    beside = {"": (), "at": (), "around": (), "edge": (*BARE, *AFTER_PREPOSITION)}.get(after, AFTER_PREPOSITION)
    part = _PART_BEFORE.match(text, at)
    whole = _day(text, part.end(), clock) if part else None
    if part and whole:
        return _Point(part_of(clock, whole.period, part["part"]), whole.end)
    rolling = ROLLING if after.endswith(" the") else ()
    for pattern, reading in (*rolling, *readings(text[at : at + 1]), *beside):
        match = pattern.match(text, at)
        period = reading(match, clock) if match else None
        if match and period:
            return _with_clock(text, match.end(), clock, period)
    alone = _CLOCK_ALONE.match(text, at)
    # A bare number is a time of day only after "at", or with minutes, am or pm.
    if not alone or not (alone["minute"] or alone["half"] or alone["named"] or after == "at"):
        return None
    gap = _DAY_AFTER.match(text, alone.end())
    named = _day(text, gap.end(), clock) if gap and after != "to" else None
    if named:
        moment = _time_of_day(alone, clock, named.period)
        return _Point(moment, named.end, has_clock=True, day=named.period) if moment else None
    if not after:
        return None
    moment = _time_of_day(alone, clock, _whole_day(day, clock) if day else clock.days(clock.today))
    if moment and day is None and moment.since and moment.since > clock.now.astimezone(UTC):
        # "after 22:00", asked in the morning, means last night.
        moment = _time_of_day(alone, clock, clock.days(clock.today - DAY))
    return _Point(moment, alone.end(), is_clock=True) if moment else None


def _with_clock(text: str, at: int, clock: Clock, period: Period) -> _Point:
    part = _PART_AFTER.match(text, at) if _is_one_day(period) else None
    if part:
        period, at = part_of(clock, period, part["part"]), part.end()
    within = period if part or _is_part_of_day(period) else None
    clocked = _CLOCK_AFTER.match(text, at) if within or _is_one_day(period) else None
    if clocked and (clocked["minute"] or clocked["half"] or clocked["named"] or re.match(r"\s*,?\s*at\b", text[at:])):
        moment = _time_of_day(clocked, clock, period)
        if moment and within:
            moment = _inside(moment, within)
        if moment:
            return _Point(moment, clocked.end(), has_clock=True)
    return _Point(period, at)


def _inside(moment: Period, part: Period) -> Period | None:
    """Return a time of day within a part of a day: "yesterday evening at 8" is at 20; None where there is none."""
    for later in (timedelta(), timedelta(hours=12), timedelta(hours=24)):
        if moment.since and moment.until and part.since and part.until:
            since = moment.since + later
            if part.since <= since < part.until:
                return Period(since, moment.until + later)
    return None


def _is_part_of_day(period: Period) -> bool:
    return bool(
        period.since and period.until and timedelta(hours=5) <= period.until - period.since <= timedelta(hours=9)
    )


def _whole_day(period: Period, clock: Clock) -> Period:
    return clock.days(period.since.astimezone(clock.zone).date()) if period.since else period


def _is_one_day(period: Period) -> bool:
    # Days with a change of clocks have 23 or 25 hours.
    return bool(
        period.since and period.until and timedelta(hours=23) <= period.until - period.since <= timedelta(hours=25)
    )


def _time_of_day(match: re.Match[str], clock: Clock, day: Period) -> Period | None:
    shown, second = _hour(match["hour"], match["minute"], match["half"], match["named"]), int(match["second"] or 0)
    if shown is None or (shown[0] == 24 and second):
        return None
    since = clock.at(calendar_day(clock, day), *shown, second)
    named_minutes = match["minute"] is not None
    return Period(since, since + (timedelta(minutes=1) if named_minutes else timedelta(hours=1)))
