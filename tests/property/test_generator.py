"""What holds of every story the generator tells, whatever the seed, the hour and the size of the company."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit_pipelines.generator import ATTACK_KINDS, HISTORY, Generated, generate
from audit_pipelines.generator.vocabulary import SPECS
from audit_pipelines.ledger.event import Event

CLOCK = timezone(timedelta(hours=2))
SEEDS = range(10)
ENDS = tuple(datetime(2026, 11, 23, 9, 30, tzinfo=UTC) + timedelta(days=seed * 17, hours=seed * 5) for seed in SEEDS)
# A seed cannot be made simpler and a story takes half a second: shrinking ran for ten minutes and told nothing.
UNSHRUNK = settings(phases=[Phase.generate], deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", params=SEEDS)
def week(request):
    """Return the default week of one of ten seeds, each ending on another weekday and hour."""
    return generate(request.param, ENDS[request.param])


stories = st.builds(
    generate,
    seed=st.integers(0, 2**31),
    end=st.integers(1_577_836_800, 1_893_456_000).map(lambda second: datetime.fromtimestamp(second, CLOCK)),
    days=st.integers(4, 6),
    people=st.integers(24, 48),
    services=st.integers(8, 12),
)


def attack_ids(story: Generated) -> set[str]:
    return {label.event_id for label in story.truth}


def moment_of(story: Generated) -> dict[str, datetime]:
    return {event.event_id: event.occurred_at for event in story.events}


@settings(parent=UNSHRUNK, max_examples=12)
@given(stories)
def test_any_story_is_well_formed(story):
    seen = set()
    for event in story.events:
        again = msgspec.json.decode(msgspec.json.encode(event), type=Event)
        assert again == event
        assert story.company.start <= event.occurred_at < story.company.end
        seen.add(event.event_id)
    assert len(seen) == len(story.events)
    assert {label.event_id for label in story.truth} <= seen
    assert {label.kind for label in story.truth} == set(ATTACK_KINDS)
    moments = moment_of(story)
    assert min(moments[one] for one in attack_ids(story)) >= story.company.start + HISTORY


@settings(parent=UNSHRUNK, max_examples=8)
@given(stories)
def test_nobody_acts_while_away(story):
    people = {person.username: person for person in story.company.people}
    attacks = attack_ids(story)
    for event in story.events:
        person = people.get(event.actor)
        if person is not None and event.event_id not in attacks:
            assert person.works_on(person.local_day(event.occurred_at)), (person.username, event.occurred_at)


def test_equal_arguments_give_equal_bytes():
    first, second = (generate(11, ENDS[0], days=4, people=30, services=8) for _ in range(2))
    assert msgspec.json.encode(first.events) == msgspec.json.encode(second.events)
    assert msgspec.json.encode(first.truth) == msgspec.json.encode(second.truth)
    other = generate(12, ENDS[0], days=4, people=30, services=8)
    assert not attack_ids(first) & attack_ids(other)


def test_the_same_instant_in_another_zone_is_the_same_story():
    there = ENDS[0].astimezone(timezone(timedelta(hours=-5)))
    first, second = (generate(3, end, days=4, people=30, services=8) for end in (ENDS[0], there))
    assert msgspec.json.encode(first.events) == msgspec.json.encode(second.events)


def test_attacks_change_nothing_else():
    story = generate(5, ENDS[0], days=5, people=40, services=10)
    calm = generate(5, ENDS[0], days=5, people=40, services=10, attacks=False)
    attacks = attack_ids(story)
    assert calm.truth == []
    assert calm.events == [event for event in story.events if event.event_id not in attacks]


def test_the_default_week_has_the_promised_size(week):
    assert 20_000 <= len(week.events) <= 32_000
    assert len(attack_ids(week)) < len(week.events) / 75


def test_events_come_in_order_but_for_a_few(week):
    latest = week.events[0].occurred_at
    late = 0
    for event in week.events:
        late += event.occurred_at < latest
        latest = max(latest, event.occurred_at)
    assert 10 <= late <= len(week.events) / 50


def test_every_incident_has_several_events_and_a_core(week):
    by_incident = defaultdict(list)
    for label in week.truth:
        by_incident[label.incident_id].append(label)
    assert {label.kind for label in week.truth} == set(ATTACK_KINDS)
    for labels in by_incident.values():
        assert len({label.kind for label in labels}) == 1
        assert len(labels) >= 4
        assert sum(label.core for label in labels) >= 3


def test_nothing_in_an_event_marks_an_attack(week):
    """Types, tools and the names of details are those of ordinary days."""
    attacks = attack_ids(week)
    ordinary = [event for event in week.events if event.event_id not in attacks]
    types = {event.event_type for event in ordinary}
    agents = {event.user_agent for event in ordinary}
    for event in week.events:
        if event.event_id in attacks:
            assert event.event_type in types
            assert event.user_agent in agents
            assert event.outcome in {"success", "failure", "denied"}
            assert (event.details or {}).keys() <= SPECS[event.event_type].details.keys() | {"reason", "country"}
            text = json.dumps(msgspec.to_builtins(event)).lower()
            assert not any(word in text for word in ("attack", "incident", *ATTACK_KINDS))


def test_the_loudest_actors_are_ordinary_machines(week):
    attacks = attack_ids(week)
    loudest = Counter(event.actor for event in week.events).most_common(10)
    assert all("@" not in actor for actor, _count in loudest)
    assert max(Counter(event.actor for event in week.events if event.event_id in attacks).values()) < loudest[-1][1] / 3
