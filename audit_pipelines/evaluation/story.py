"""What made-up tenants for evaluation share: a notebook that writes events and labels down, networks, a working day.

What happens in a tenant is told in `cloud_tenant` and `office_tenant`. They are for judging detectors only; the demo's
company, which goes through the whole product, is the package `generator`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from audit_pipelines.evaluation.labelled import BENIGN, Label, Labelled, LabelledEvent
from audit_pipelines.ledger.event import Event

START: Final = datetime(2025, 3, 3, tzinfo=UTC)

Weighted = dict[str, float]


@dataclass
class Network:
    """A /24 that somebody comes from, within one address after another."""

    prefix: str
    host: int

    def address(self, rng: Random, spread: int = 0) -> str:
        """Return the host's address, or with `spread` one of its neighbours."""
        return f"{self.prefix}.{(self.host + rng.randint(0, spread)) % 254 + 1}"


def network(rng: Random) -> Network:
    """Return a network nobody else is likely to have."""
    return Network(f"{rng.randint(11, 220)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}", rng.randint(1, 200))


def pick(rng: Random, choices: Weighted) -> str:
    """Return one of the choices by weight."""
    return rng.choices(list(choices), list(choices.values()))[0]


@dataclass
class Notebook:
    """Takes down events of a story from START on; sorts them by time in the end."""

    name: str
    rng: Random
    taken: list[LabelledEvent] = field(default_factory=list)

    def moment(self, day: float, hour: float) -> datetime:
        """Return a moment of the story, hours in UTC."""
        return START + timedelta(days=day, hours=hour)

    def write(
        self,
        moment: datetime,
        actor: str,
        event_type: str,
        entity: tuple[str, str],
        *,
        address: str | None,
        agent: str | None,
        outcome: str = "success",
        details: dict[str, Any] | None = None,
        label: Label = BENIGN,
    ) -> None:
        """Write one event down."""
        event = Event(
            event_type=event_type,
            entity_type=entity[0],
            entity_id=entity[1],
            details=details,
            actor=actor,
            outcome=outcome,
            ip_address=address,
            user_agent=agent,
            occurred_at=moment,
            event_id=f"{self.name}-{len(self.taken)}",
        )
        self.taken.append(LabelledEvent(event, label))

    def finish(self) -> Labelled:
        """Return the story in order of time."""
        return Labelled(self.name, tuple(sorted(self.taken, key=lambda each: each.event.occurred_at or START)))


def working_days(rng: Random, days: int, *, weekends: float = 0.05) -> list[int]:
    """Return the days somebody works: most weekdays, hardly a weekend, now and then a week off."""
    first_off = rng.randint(0, days * 3)
    off = range(first_off, first_off + rng.randint(2, 8))
    return [day for day in range(days) if day not in off and rng.random() < (0.93 if day % 7 < 5 else weekends)]


def gaps(rng: Random, median_s: float, spread: float = 1.0) -> timedelta:
    """Return a pause between two acts of one sitting, log-normal around `median_s`."""
    return timedelta(seconds=min(3600.0, rng.lognormvariate(0.0, spread) * median_s))


def some(rng: Random, choices: Sequence[str], low: int, high: int) -> list[str]:
    """Return `low` to `high` draws, repeats allowed."""
    return [rng.choice(choices) for _ in range(rng.randint(low, high))]
