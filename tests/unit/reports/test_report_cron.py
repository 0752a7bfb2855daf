"""Cron lines in time zones: due times across changes of the clock, lines that are none, and periods without gaps."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.reports.cron import CronError, parse_cron


def first(line: str, zone: str, after: datetime, count: int = 4) -> list[str]:
    return [f"{due:%m-%d %H:%M}" for due in islice(parse_cron(line, zone).after(after), count)]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "zone", "after", "due"),
    [
        ("0 6 * * mon", "UTC", "2026-03-20", ["03-23 06:00", "03-30 06:00", "04-06 06:00", "04-13 06:00"]),
        # 02:30 does not exist on the 29th, and exists twice on the 25th of October.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28", ["03-28 01:30", "03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24", ["10-24 00:30", "10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("30 2 * * *", "America/New_York", "2026-11-01", ["11-01 07:30", "11-02 07:30", "11-03 07:30", "11-04 07:30"]),
        # Half an hour is left out on Lord Howe Island.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-03 15:30", "10-04 15:15", "10-05 15:15"]),
        # Two wall times that the clock makes one are due once.
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29", ["03-29 01:00", "03-30 00:00", "03-30 01:00", "03-31 00:00"]),
        ("0 0 1 * fri", "UTC", "2026-01-01", ["01-02 00:00", "01-09 00:00", "01-16 00:00", "01-23 00:00"]),
        ("0 12 31 */2 *", "UTC", "2026-01-01", ["01-31 12:00", "03-31 12:00", "05-31 12:00", "07-31 12:00"]),
        ("0 0 29 feb *", "UTC", "2096-03-01", ["02-29 00:00"]),
        ("0 9-17/4 * * 7", "UTC", "2026-03-20", ["03-22 09:00", "03-22 13:00", "03-22 17:00", "03-29 09:00"]),
        ("@Weekly", "UTC", "2026-03-20", ["03-23 00:00", "03-30 00:00", "04-06 00:00", "04-13 00:00"]),
    ],
)  # fmt: skip
def test_due_times(line: str, zone: str, after: str, due: list[str]) -> None:
    assert first(line, zone, at(after), len(due)) == due


@pytest.mark.parametrize(
    ("line", "zone", "said"),
    [
        ("", "UTC", "five fields"),
        ("0 6 * *", "UTC", "five fields"),
        ("* 6 * * *", "UTC", "minute: expected one number"),
        ("0,30 6 * * *", "UTC", "minute: expected one number"),
        ("60 6 * * *", "UTC", "minute: expected numbers from 0 to 59"),
        ("0 24 * * *", "UTC", "hour"),
        ("0 6 0 * *", "UTC", "day of month"),
        ("0 6 5-3 * *", "UTC", "goes up"),
        ("0 6 */0 * *", "UTC", "day of month"),
        ("0 6 * foo *", "UTC", "month: .* jan to dec"),
        ("0 6 * * 8", "UTC", "day of week"),
        ("0 6 * * -1", "UTC", "day of week"),
        ("0 6 31 2,4,6 *", "UTC", "no month has"),
        ("0 6 * * *", "Mars/Olympus", "time zone"),
        ("0 6 * * *", "../../etc/passwd", "time zone"),
        ("0 ٦ * * *", "UTC", "hour"),
    ],
)
def test_what_is_no_cron_line_is_named(line: str, zone: str, said: str) -> None:
    with pytest.raises(CronError, match=said):
        parse_cron(line, zone)


@given(
    st.integers(0, 59),
    st.lists(st.integers(0, 23), min_size=1, max_size=4),
    st.sampled_from(["*", "1", "*/7", "28-31"]),
    st.sampled_from(["*", "sun", "1-5"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.integers(0, 15 * 365 * 24),
)
def test_each_period_begins_where_the_one_before_ends(  # noqa: PLR0917 - hypothesis gives them by place
    minute: int, hours: list[int], day: str, weekday: str, zone: str, later_h: int
) -> None:
    moment = at("2015-01-01") + timedelta(hours=later_h)
    cron = parse_cron(f"{minute} {','.join(map(str, hours))} {day} * {weekday}", zone)
    dues = list(islice(cron.after(moment), 6))
    assert dues[0] > moment
    for before, after in pairwise(dues):
        assert before < after
        assert cron.beginning(after) == before
    assert cron.come(dues[0] - timedelta(seconds=1), dues[2], 2) == dues[:2]
