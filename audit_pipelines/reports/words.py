"""Numbers, times and lists as a reader wants them: the one place that decides how a fact is spelled.

Spelling never changes a fact: a share that is not zero never prints as zero, and one that is not all never as all.
Month and day names are English whatever the process's locale says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from audit_pipelines.reports.model import BinUnit

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_PLURALS = {"entity": "entities", "anomaly": "anomalies", "category": "categories"}


def number(value: int) -> str:
    """Write a whole number with thousands separated by commas."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Write a number with its noun in the right number: `1 anomaly`, `2 anomalies`."""
    if value == 1:
        return f"1 {noun}"
    return f"{number(value)} {_PLURALS.get(noun, noun + 's')}"


def percent(part: int, whole: int) -> str:
    """Write part of whole with one decimal; `<0.1 %` and `>99.9 %` keep rounding from claiming none or all."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if part < whole and share > 99.9:
        return ">99.9 %"
    return f"{share:.1f} %"


def change(before: int, now: int) -> str:
    """Write how a count changed: `unchanged`, `+25.0 %`, `–<0.1 %`, `new` where there was none, `none left`."""
    if before == now:
        return "unchanged"
    if before == 0:
        return "new"
    if now == 0:
        return "none left"
    sign = "+" if now > before else "–"
    return sign + percent(abs(now - before), before) if abs(now - before) <= before else f"{now / before:.1f} times"


def listed(items: Sequence[str]) -> str:
    """Join as prose: `a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def day(moment: datetime, zone: tzinfo = UTC) -> str:
    """Write the day that a moment has in `zone`: `7 March 2026`."""
    moment = moment.astimezone(zone)
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def minute(moment: datetime) -> str:
    """Write a UTC time in the form tables use: `2026-03-07 14:05`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def second(moment: datetime) -> str:
    """Write a UTC time to the second: `2026-03-07 14:05:09 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def period(since: datetime, until: datetime, zone: tzinfo = UTC) -> str:
    """Write a half-open period; whole days are named by their last day, so that no reader counts one too many."""
    since, until = since.astimezone(zone), until.astimezone(zone)
    if _is_midnight(since) and _is_midnight(until) and until > since:
        last = until - timedelta(days=1)
        return day(since, zone) if last == since else f"{day(since, zone)} to {day(last, zone)}"
    return f"{day(since, zone)} {since:%H:%M} to {day(until, zone)} {until:%H:%M}"


def bin_name(start: datetime, unit: BinUnit) -> str:
    """Name a bar of the timeline in a sentence: `7 March 2026`, `the week of 2 March 2026`, `March 2026`."""
    start = start.astimezone(UTC)
    match unit:
        case "hour":
            return f"{day(start)} {start:%H:%M}"
        case "day":
            return day(start)
        case "week":
            return f"the week of {day(start)}"
        case "month":
            return f"{MONTHS[start.month - 1]} {start.year}"
        case "year":
            return str(start.year)


def short_reference(reference: str | None) -> str:
    """Shorten an actor's reference to its first block, which a reader can still search for."""
    if reference is None:
        return "no actor"
    return reference[:8] if len(reference) == 36 and reference[8] == "-" else reference


def _is_midnight(moment: datetime) -> bool:
    return moment.hour == moment.minute == moment.second == moment.microsecond == 0
