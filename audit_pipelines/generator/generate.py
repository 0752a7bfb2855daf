"""The demo company's audit trail as one pure function of its arguments.

Puts people, services, oddities and attacks together and orders the events as they reach the collector. What any of
them does is decided in their own modules.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit_pipelines.errors import ValidationError
from audit_pipelines.generator.attacks import attack
from audit_pipelines.generator.company import Company, build_company
from audit_pipelines.generator.habits import live, on_call_nights
from audit_pipelines.generator.oddities import happen
from audit_pipelines.generator.record import Recorder
from audit_pipelines.generator.services import build_services, serve
from audit_pipelines.generator.truth import TruthLabel
from audit_pipelines.ledger.event import Event

HISTORY = timedelta(days=3)
"""The first part of the story, in which nobody attacks, so that habits can be learned from it."""
FEWEST_PEOPLE = 24
FEWEST_SERVICES = 8


@dataclass(frozen=True)
class Generated:
    """A story: its events in order of arrival, what was an attack in it, and who took part."""

    events: list[Event]
    truth: list[TruthLabel]
    company: Company


def generate(
    seed: int, end: datetime, days: int = 7, people: int = 170, services: int = 30, *, attacks: bool = True
) -> Generated:
    """Return the last `days` days before `end` in the life of the company.

    Equal arguments give equal bytes, on every machine. Events lie in `[end - days, end)`; they come in order of
    `occurred_at` but for about one in two hundred that arrives late, and each has an `event_id` of its own. With
    `attacks` every kind of attack happens at least once, after `HISTORY`; without, the same events come but for theirs.

    Raises ValidationError for an `end` without time zone and for a company or a story too small to hold what it must.
    """
    _check(end, days, people, services, attacks=attacks)
    end = end.astimezone(UTC)
    start = end - timedelta(days=days)
    company = build_company(seed, start, end, people)
    machines = build_services(services)
    recorder = Recorder(seed, start, end)
    for person in company.people:
        live(company, recorder, person)
    on_call_nights(company, recorder)
    for machine in machines:
        serve(company, recorder, machine)
    happen(company, recorder, machines)
    if attacks:
        attack(company, recorder, machines, start + HISTORY)
    # The sort is stable, so events of one instant keep the order in which they were told.
    recorder.arrivals.sort(key=lambda arrival: arrival.at)
    return Generated([arrival.event for arrival in recorder.arrivals], recorder.truth, company)


def _check(end: datetime, days: int, people: int, services: int, *, attacks: bool) -> None:
    faults = []
    if end.tzinfo is None:
        faults.append(("end", f"expected a moment with a time zone, got {end.isoformat()}"))
    fewest_days = HISTORY.days + 1 if attacks else 1
    for name, got, fewest in (
        ("days", days, fewest_days),
        ("people", people, FEWEST_PEOPLE),
        ("services", services, FEWEST_SERVICES),
    ):
        if got < fewest:
            faults.append((name, f"expected at least {fewest}, got {got}"))
    if faults:
        told = "; ".join(f"{name}: {what}" for name, what in faults)
        raise ValidationError(f"Cannot tell this story: {told}. Ask for more, or leave out attacks.", tuple(faults))
