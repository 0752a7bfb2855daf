"""Composed answers: what they say, exactly, and that what events say of themselves cannot dress up as an answer."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.labels import LONGEST, defused, is_plain, shown, visible
from audit_pipelines.intelligence.answer.model import Facts, Group, Source
from audit_pipelines.intelligence.search.asked import Conditions, Question
from audit_pipelines.intelligence.search.periods import Period
from audit_pipelines.reports import words
from tests.unit.intelligence.answer_samples import ALICE, BERLIN, BOB, SOURCES, ask, facts, source


def at(text: str) -> datetime:
    """Return a wall-clock time in Berlin, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


ENDING = "Times are those of Europe/Berlin."


OCTOBER = Conditions(since=at("2026-10-01"), until=at("2026-11-01"), event_types=("user.login",))
SHOWN = "The trail shows {} of type user.login from 1 October 2026 to 31 October 2026."


def told(question: Question, facts: Facts, sources: tuple[Source, ...] = ()) -> str:
    answer = compose(question, facts, sources, zone=BERLIN)
    assert answer.generated_by == "composed"
    return answer.text.removesuffix(ENDING).rstrip()


FILTERS = [
    (Conditions(since=at("2026-03-03"), until=at("2026-03-04")), 1, "shows 1 event on 3 March 2026."),
    (Conditions(since=at("2026-03-03 09:00")), 1234, "shows 1,234 events since 3 March 2026 at 09:00:00."),
    (Conditions(until=at("2026-03-03 09:00")), 0, "does not show any event before 3 March 2026 at 09:00:00."),
    (
        Conditions(since=at("2026-03-03 09:00"), until=at("2026-03-05 17:30"), not_actors=(BOB,)),
        2,
        f"shows 2 events not by {BOB} from 3 March 2026 09:00 to 5 March 2026 17:30.",
    ),
    (
        Conditions(actors=(ALICE, BOB), outcomes=("failure",), addresses=("10.0.0.0/8",), hours="night"),
        2,
        f"shows 2 events by {ALICE} or {BOB} with outcome failure from address 10.0.0.0/8 at night.",
    ),
    (
        Conditions(event_types=tuple("abcdef"), entity_types=("x",), phrases=("a b",)),
        2,
        "shows 2 events of type a, b or one of 4 others on something of type x with the words “a b”.",
    ),
    (
        Conditions(entity_ids=("INV-1",), not_outcomes=("success",), not_event_types=("a",), not_entity_ids=("b",)),
        2,
        "shows 2 events other than of type a on INV-1 not on b with an outcome other than success.",
    ),
]


@pytest.mark.parametrize(("conditions", "matching", "expected"), FILTERS)
def test_filters_are_told_with_the_count(conditions: Conditions, matching: int, expected: str) -> None:
    assert told(Question("", "count", conditions), Facts(matching=matching)) == f"The trail {expected}"


RANKINGS = [
    (
        Question("", "ranking", OCTOBER, "actor"),
        ((ALICE, 12), (BOB, 7)),
        f"By actor, the most first: {ALICE} with 12 events and {BOB} with 7. Together these are 19 of the 20.",
    ),
    (
        Question("", "ranking", OCTOBER, "actor", fewest=True),
        ((ALICE, 10), (BOB, 10)),
        f"By actor, the fewest first: {ALICE} with 10 events and {BOB} with 10. The first 2 are level.",
    ),
    (
        Question("", "ranking", OCTOBER, "day"),
        (("2026-10-02", 20),),
        "By day, the most first: 2 October 2026 with 20 events.",
    ),
    (
        Question("", "ranking", OCTOBER, "hour"),
        (("09", 20),),
        "By hour of the day, the most first: 09:00 with 20 events.",
    ),
    (Question("", "ranking", OCTOBER, "actor"), (), "None of them names an actor, so there is nothing to rank."),
    (
        Question("", "ranking", OCTOBER, "event_type"),
        (("No events. [1]", 20),),
        "By type of event, the most first: “No events. (1)” with 20 events.",
    ),
]


@pytest.mark.parametrize(("question", "groups", "expected"), RANKINGS)
def test_rankings_are_told_as_they_were_counted(question: Question, groups: tuple, expected: str) -> None:
    ranked = Facts(matching=20, groups=tuple(Group(str(value), events) for value, events in groups))
    assert told(question, ranked) == f"{SHOWN.format('20 events')} {expected}"


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        (12, 8, "it shows 8. That is a difference of 4: 50.0 % more than then."),
        (1, 1000, "it shows 1,000. That is a difference of 999: 99.9 % fewer than then."),
        (5, 5, "it shows the same number."),
        (5, 0, "it shows none."),
        (0, 5, "it shows 5 events."),
        (0, 0, "it shows none either."),
    ],
)
def test_a_comparison_says_both_counts_and_the_difference(now: int, then: int, expected: str) -> None:
    question = Question("", "comparison", OCTOBER, compared_with=Period(at("2026-09-01"), at("2026-10-01")))
    nothing = SHOWN.format("any event").replace("shows", "does not show")
    first = SHOWN.format(words.counted(now, "event")) if now else nothing
    text = told(question, Facts(matching=now, compared=then))
    assert text == f"{first} From 1 September 2026 to 30 September 2026 {expected}"


def test_each_event_is_told_with_its_source() -> None:
    answer = compose(ask("what happened today"), facts(), SOURCES, zone=BERLIN)
    assert answer.cited == (1, 2, 3, 4)
    assert answer.text == (
        "The trail shows 4 events on 26 November 2026. "
        "The first was on 26 November 2026 at 06:59:56, the last on 26 November 2026 at 09:59:59 [1] [4]. "
        f"On 26 November 2026 at 09:59:59, {ALICE} did document.delete on document INV-1; it succeeded [1]. "
        f"On 26 November 2026 at 08:59:58, {ALICE} did user.login; it failed [2]. "
        f"On 26 November 2026 at 07:59:57, {BOB} did iam:PutUserPolicy; it was denied [3]. "
        f"On 26 November 2026 at 06:59:56, backup.run happened [4]. {ENDING}"
    )


LAST = "The last was on 26 November 2026 at 09:59:59 [1]."
FIRST = "The first was on 26 November 2026 at 06:59:56 [4]."


@pytest.mark.parametrize(("first", "expected"), [(False, LAST), (True, FIRST)])
def test_when_something_was_first_or_last_names_the_event(first: bool, expected: str) -> None:
    assert expected in told(Question("", "events", OCTOBER, first=first), facts(2), SOURCES)


def test_words_that_became_no_filter_are_said() -> None:
    unclear = Question("", "events", Conditions(), unexplained=("weird", "zebra"))
    listed = "Of the 1,000 events, the 4 nearest in meaning to “weird zebra” are listed."
    assert told(unclear, facts(1000), SOURCES).startswith(listed)
    nothing = told(unclear, facts(1000))
    assert nothing == "The trail does not show anything near in meaning to “weird zebra”."
    counted = told(replace(unclear, wanted="count"), facts(3))
    assert counted.startswith("The trail shows 3 events. No filter was understood in “weird zebra”, so")


def test_long_lists_are_cut_and_say_so() -> None:
    many = tuple(source(number) for number in range(1, 31))
    answer = compose(ask("what happened today"), facts(30), many, zone=BERLIN)
    assert answer.text.count("document.delete") == 5
    ranked = Facts(matching=99, groups=tuple(Group(f"type-{place}", 3) for place in range(33)))
    text = told(Question("", "ranking", OCTOBER, "event_type"), ranked)
    assert "The ranking goes on to 33 places." in text
    assert "type-9 with 3." in text
    assert "type-10" not in text
    first = replace(ranked, groups=ranked.groups[:3], distinct=1200)
    text = told(Question("", "ranking", OCTOBER, "event_type", distinct=True), first)
    assert "Among them are 1,200 different types of event. By type" in text
    assert "Together these are 9 of the 99." in text
    assert "The ranking goes on to 1,200 places." in text


@pytest.mark.parametrize(
    "label", ["user.login", "iam:PutUserPolicy", "s3/bucket-1", "a", "10.0.0.0/8", "grün", "支払い"]
)
def test_a_plain_name_is_shown_as_it_is(label: str) -> None:
    assert is_plain(label)
    assert shown(label) == label


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Add member to role.", "“Add member to role.”"),
        ("x [1] ![](http://evil)", "“x (1) !()(http·evil)”"),
        ("//evil.example", "“//evil.example”"),
        ("http://evil.example", "“http·evil.example”"),
        ("www.evil.example", "“·evil.example”"),
        ("a\u200bb", "“a(U+200B)b”"),
        ("\u202eabc", "“(U+202E)abc”"),
        ("line\nline", "“line(U+000A)line”"),
        ("\x1b[31m", "“(U+001B)(31m”"),
        ("”quoted“", "“'quoted'”"),
        ("<b>`x`</b>", "“(b)'x'(/b)”"),
        ("\U000e0041", "“(U+E0041)”"),
        ("x" * 500, f"“{'x' * LONGEST}…”"),
    ],
)
def test_any_other_label_is_quoted_and_defused(label: str, expected: str) -> None:
    assert not is_plain(label)
    assert shown(label) == expected


def test_a_name_is_shown_as_it_is_but_for_what_looks_like_an_answers_own() -> None:
    assert defused("Zoë O'Neill-García (CORP\\zoe#1)") == "Zoë O'Neill-García (CORP\\zoe#1)"
    assert defused("Eve [1] https://evil.example") == "Eve (1) https·evil.example"


def test_what_is_not_seen_is_written_out() -> None:
    assert visible("a\u00a0\u3164\ufe0f\u0301b") == "a(U+00A0)(U+3164)(U+FE0F)\u0301b"
    assert visible("abc", 2) == "ab…"
