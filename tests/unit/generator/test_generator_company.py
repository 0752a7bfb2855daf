"""The company's tables fit each other, and its habits look like a company's."""

import ipaddress
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.generator import generate
from audit_pipelines.generator.attacks import _ATTACKS
from audit_pipelines.generator.company import NAMED_ENTITIES, NUMBERED_ENTITIES, build_company
from audit_pipelines.generator.habits import TASKS
from audit_pipelines.generator.networks import COUNTRIES, OFFICE_NETWORKS, hosting, mobile, residential
from audit_pipelines.generator.oddities import ODDITIES
from audit_pipelines.generator.services import SERVICES, build_services
from audit_pipelines.generator.truth import ATTACK_KINDS
from audit_pipelines.generator.vocabulary import SPECS

END = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
START = END - timedelta(days=7)
# RFC 1918, 2544, 3849 and 5737: an address outside them could be somebody's.
RESERVED = [
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "198.18.0.0/15", "2001:db8::/32", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]


@pytest.fixture(scope="module")
def calm_week():
    return generate(21, END, attacks=False)


@pytest.mark.parametrize("people", [24, 50, 170, 400])
def test_a_company_of_any_size_has_every_department(people):
    company = build_company(1, START, END, people)
    assert len({person.username for person in company.people}) == people
    assert {person.department for person in company.people} == set(TASKS)
    assert all(company.of(department) for department in TASKS)
    assert company.dormant


def test_every_act_of_every_habit_is_in_the_vocabulary():
    acts = {step.event_type for tasks in TASKS.values() for task in tasks for step in task.steps}
    acts |= {event_type for service in SERVICES for event_type, _low, _high in service.acts}
    assert acts <= SPECS.keys()
    kinds = {spec.entity_type for spec in SPECS.values()}
    assert kinds - {"user", "employee"} == NAMED_ENTITIES.keys() | NUMBERED_ENTITIES.keys()


def test_services_beyond_the_catalogue_have_names_of_their_own():
    services = build_services(75)
    assert len({service.name for service in services}) == 75
    assert services[30].name == "svc-ci-runner-2"


def test_every_attack_and_oddity_says_what_it_stands_for():
    assert set(_ATTACKS) == set(ATTACK_KINDS)
    for kind, weave in _ATTACKS.items():
        assert weave.__doc__.startswith("T1"), f"{kind} names no ATT&CK technique"
    assert all(oddity.__doc__ for oddity in ODDITIES)


def test_no_address_belongs_to_anybody(calm_week):
    rng = Random(1)
    addresses = {event.ip_address for event in calm_week.events} - {None}
    for country in COUNTRIES:
        addresses |= {make(rng, country).address(rng) for make in (residential, mobile, hosting) for _ in range(30)}
    addresses |= {f"{prefix}.10" for prefix in OFFICE_NETWORKS.values()}
    for text in addresses:
        address = ipaddress.ip_address(text)
        assert any(address in block for block in RESERVED), text


def test_people_work_by_day_pause_at_noon_and_rest_at_weekends(calm_week):
    people = {person.username: person for person in calm_week.company.people}
    hours, days = Counter(), Counter()
    for event in calm_week.events:
        if event.actor in people:
            local = event.occurred_at.astimezone(people[event.actor].site.zone)
            hours[local.hour] += 1
            days[local.weekday() >= 5] += 1
    total = hours.total()
    assert sum(hours[hour] for hour in range(8, 19)) > 0.85 * total
    assert sum(hours[hour] for hour in range(6)) > 0
    assert min(hours[12], hours[13]) < 0.75 * max(hours[10], hours[11])
    assert days[True] < 0.06 * total


def test_ordinary_days_have_what_naive_rules_take_for_attacks(calm_week):
    """Failed log-ins, refusals, self-granted rights, deleted log sinks, exports and nights: all of it benign."""
    seen = Counter((event.event_type, event.outcome) for event in calm_week.events)
    assert seen["sso:login", "failure"] > 15
    assert sum(count for (_type, outcome), count in seen.items() if outcome == "denied") > 50
    assert seen["log:sink.delete", "success"] > 0
    assert seen["log:retention.update", "success"] > 0
    assert any(event.event_type == "iam:role.grant" and event.entity_id == event.actor for event in calm_week.events)
    exports = [event.details["rows"] for event in calm_week.events if event.event_type == "erp:report.export"]
    assert max(exports) > 5 * sorted(exports)[len(exports) // 2]


def test_personal_values_are_marked_for_sealing(calm_week):
    updates = [event for event in calm_week.events if event.event_type == "crm:customer.update"]
    assert updates
    assert all(event.sealed_fields == ("/new_value",) for event in updates)
    assert {"user", "employee", "customer"} <= {event.entity_type for event in calm_week.events}


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"end": datetime(2026, 11, 23)}, "end"),  # noqa: DTZ001 - the fault under test
        ({"days": 3}, "days"),
        ({"people": 10}, "people"),
        ({"services": 2}, "services"),
    ],
)
def test_impossible_stories_are_refused_by_name(arguments, where):
    with pytest.raises(ValidationError, match="Cannot tell this story") as caught:
        generate(1, **{"end": END, **arguments})
    assert [name for name, _what in caught.value.faults] == [where]


def test_a_day_without_attacks_needs_no_history():
    story = generate(1, END, days=1, people=30, services=8, attacks=False)
    assert len(story.events) > 100
