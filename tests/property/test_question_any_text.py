"""Understanding never raises, says the same twice, and takes a time that grows with the text alone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.generator.vocabulary import SPECS
from audit_pipelines.intelligence.search.question import Person, Vocabulary, understand

VOCABULARY = Vocabulary(
    tuple(SPECS),
    tuple({spec.entity_type for spec in SPECS.values()}),
    ("success", "failure", "denied"),
    lambda name: Person((), name) if name.startswith("al") else None,
)
WORDS = """
    not except by alice since last week 24h between 2 and 4pm yesterday compared with more than most top 5 per day
    how many failed logins 10.0.0.1/8 2001:db8:: INV-1 "x" a@b.example first who was the of in on at from to until
    31 February 2026-02-30 99:99 q4 week 99 same day first quarter , . ? ' " – users export
"""
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe"]

texts = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS.split()), max_size=30).map(" ".join))
moments = st.integers(0, 99 * 365 * 86_400).map(lambda past: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=past))


@given(text=texts, now=moments, zone=st.sampled_from(ZONES).map(ZoneInfo))
def test_any_text_is_understood_the_same_twice(text: str, now: datetime, zone: ZoneInfo) -> None:
    question = understand(text, VOCABULARY, now=now, zone=zone)
    assert question == understand(text, VOCABULARY, now=now, zone=zone)
    since, until = question.conditions.since, question.conditions.until
    assert all(moment is None or moment.utcoffset() == timedelta(0) for moment in (since, until))
    assert set(question.conditions.event_types) <= set(SPECS)
    assert set(question.likely_types) <= set(SPECS)
    # What is shown back stands in the question, but for what was put together from several places.
    assert all(each.words == "" or each.field in {"event_type", "ranking", "entity_type"} or each.words in text for each in question.understood)  # fmt: skip  # noqa: E501
