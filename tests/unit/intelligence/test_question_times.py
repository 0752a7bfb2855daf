"""When a question means, in the caller's zone; every expected moment is written by hand."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from audit_pipelines.intelligence.search.times import find_times

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
"""Friday, 16:00 in Berlin."""


def said(text: str, now: datetime = NOW, zone: ZoneInfo = BERLIN) -> list[tuple[str | None, str | None]]:
    """Return the periods of a text as the caller's clock shows them."""

    def shown(moment: datetime | None) -> str | None:
        if moment is None:
            return None
        local = moment.astimezone(zone)
        return local.strftime("%Y-%m-%d") + (local.strftime(" %H:%M") if (local.hour, local.minute) != (0, 0) else "")

    return [(shown(each.period.since), shown(each.period.until)) for each in find_times(text, now, zone)]


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("events from today", "2026-11-20", "2026-11-21"),
        ("yesterday's logins", "2026-11-19", "2026-11-20"),
        ("the day before yesterday", "2026-11-18", "2026-11-19"),
        ("the last 7 days", "2026-11-13 16:00", "2026-11-20 16:00"),
        ("last 24h", "2026-11-19 16:00", "2026-11-20 16:00"),
        ("in the past 30 min", "2026-11-20 15:30", "2026-11-20 16:00"),
        ("past hour", "2026-11-20 15:00", "2026-11-20 16:00"),
        ("last few hours", "2026-11-20 13:00", "2026-11-20 16:00"),
        ("last week", "2026-11-09", "2026-11-16"),
        ("in the last week", "2026-11-13 16:00", "2026-11-20 16:00"),
        ("this week", "2026-11-16", "2026-11-23"),
        ("this month so far", "2026-11-01", "2026-12-01"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("last quarter", "2026-07-01", "2026-10-01"),
        ("Q3 2025", "2025-07-01", "2025-10-01"),
        ("week 46", "2026-11-09", "2026-11-16"),
        ("year to date", "2026-01-01", "2026-11-20 16:00"),
        ("over the weekend", "2026-11-14", "2026-11-16"),
        ("since Monday 9am", "2026-11-16 09:00", None),
        ("since last Tuesday", "2026-11-17", None),
        ("since the beginning of the month", "2026-11-01", None),
        ("on Friday", "2026-11-20", "2026-11-21"),
        ("in March", "2026-03-01", "2026-04-01"),
        ("in December", "2025-12-01", "2026-01-01"),
        ("September logins", "2026-09-01", "2026-10-01"),
        ("November 2025", "2025-11-01", "2025-12-01"),
        ("2026-10", "2026-10-01", "2026-11-01"),
        ("in 2025", "2025-01-01", "2026-01-01"),
        ("on the 17th", "2026-11-17", "2026-11-18"),
        ("18 November", "2026-11-18", "2026-11-19"),
        ("Nov 18th, 2025", "2025-11-18", "2025-11-19"),
        ("29 February", "2024-02-29", "2024-03-01"),
        ("20/11/2026", "2026-11-20", "2026-11-21"),
        ("20.11.2026", "2026-11-20", "2026-11-21"),
        ("2026-11-18T14:30", "2026-11-18 14:30", "2026-11-18 14:31"),
        ("between 2 and 4pm yesterday", "2026-11-19 14:00", "2026-11-19 16:00"),
        ("yesterday between 2 and 4 pm", "2026-11-19 14:00", "2026-11-19 16:00"),
        ("11 to 1pm yesterday", "2026-11-19 11:00", "2026-11-19 13:00"),
        ("from 9 to 17 today", "2026-11-20 09:00", "2026-11-20 17:00"),
        ("22:00 to 6:00 yesterday", "2026-11-19 22:00", "2026-11-20 06:00"),
        ("between 16 and 18 November", "2026-11-16", "2026-11-19"),
        ("from Monday to Wednesday", "2026-11-16", "2026-11-19"),
        ("Monday-Wednesday", "2026-11-16", "2026-11-19"),
        ("from yesterday 3pm until today 9am", "2026-11-19 15:00", "2026-11-20 09:00"),
        ("before 2026-11-15", None, "2026-11-15"),
        ("before Monday 9am", None, "2026-11-16 09:00"),
        ("before 9am today", "2026-11-20", "2026-11-20 09:00"),
        ("until Wednesday", None, "2026-11-19"),
        ("after Wednesday", "2026-11-19", None),
        ("after 10pm yesterday", "2026-11-19 22:00", "2026-11-20"),
        ("after 22:00", "2026-11-19 22:00", None),
        ("this morning", "2026-11-20 05:00", "2026-11-20 12:00"),
        ("last night", "2026-11-19 22:00", "2026-11-20 06:00"),
        ("since the day before yesterday", "2026-11-18", None),
        ("on Thursday morning", "2026-11-19 05:00", "2026-11-19 12:00"),
        ("Monday night", "2026-11-16 22:00", "2026-11-17 06:00"),
        ("yesterday in the afternoon", "2026-11-19 12:00", "2026-11-19 18:00"),
        ("on the evening of 17 November", "2026-11-17 18:00", "2026-11-18"),
        ("since yesterday morning at 8", "2026-11-19 08:00", None),
        ("yesterday evening at 8", "2026-11-19 20:00", "2026-11-19 21:00"),
        ("from Monday morning to Tuesday evening", "2026-11-16 05:00", "2026-11-18"),
        ("3 days ago", "2026-11-17", "2026-11-18"),
        ("2 hours ago", "2026-11-20 14:00", "2026-11-20 15:00"),
    ],
)
def test_one_period(text: str, since: str | None, until: str | None) -> None:
    assert said(text) == [(since, until)]


@pytest.mark.parametrize(
    "text",
    [
        "03/04/2026", "30 February 2026", "31 April", "may I see the log", "march through the list", "on Fridays",
        "24/7", "version 24.12 to 24.30", "25:00 on", "at 13pm", "10 events", "F-2026", "2026-13-01", "a second factor",
    ],
)  # fmt: skip
def test_what_is_no_time_or_two_at_once_is_left(text: str) -> None:
    assert said(text) == []


def test_two_periods_come_in_their_order() -> None:
    assert said("this week compared with last week") == [("2026-11-16", "2026-11-23"), ("2026-11-09", "2026-11-16")]


@pytest.mark.parametrize(
    ("zone", "since"),
    [("Asia/Kolkata", "2026-11-19T18:30"), ("America/Los_Angeles", "2026-11-20T08:00"), ("UTC", "2026-11-20T00:00"),
     ("Pacific/Auckland", "2026-11-20T11:00")],
)  # fmt: skip
def test_today_is_the_callers(zone: str, since: str) -> None:
    (found,) = find_times("today", NOW, ZoneInfo(zone))
    assert found.period.since == datetime.fromisoformat(since).replace(tzinfo=UTC)


def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is() -> None:
    for day, hours in (("29 March 2026", 23), ("25 October 2026", 25)):
        (found,) = find_times(day, NOW, BERLIN)
        assert found.period.since
        assert found.period.until
        assert (found.period.until - found.period.since).total_seconds() == hours * 3600


def test_days_go_by_the_calendar_and_hours_by_the_clock() -> None:
    after_change = datetime(2026, 3, 29, 13, tzinfo=UTC)
    assert said("last 24 hours", after_change) == [("2026-03-28 14:00", "2026-03-29 15:00")]
    assert said("last 1 day", after_change) == [("2026-03-28 15:00", "2026-03-29 15:00")]


def test_a_moment_that_the_clocks_skip_is_read_an_hour_later() -> None:
    assert said("since 29 March 2026 2:30") == [("2026-03-29 03:30", None)]


def test_on_a_sunday_the_weekend_is_this_one_and_the_last_is_the_one_before() -> None:
    sunday = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert said("over the weekend", sunday) == [("2026-11-21", "2026-11-23")]
    assert said("last weekend", sunday) == [("2026-11-14", "2026-11-16")]


def test_the_words_are_where_the_period_says() -> None:
    (found,) = find_times("failed logins since Monday 9am by Alice", NOW, BERLIN)
    assert "failed logins since Monday 9am by Alice"[found.start : found.end] == "since Monday 9am"
