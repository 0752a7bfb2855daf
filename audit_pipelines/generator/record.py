"""Writing down what happened: streams of chance, places an event comes from, and the recorder that makes events.

Every actor draws from a stream of his own, so that adding or leaving out attacks changes nobody else's week. The
recorder decides nothing about behaviour.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from audit_pipelines.generator.truth import AttackKind, TruthLabel
from audit_pipelines.generator.vocabulary import SPECS
from audit_pipelines.ledger.event import Event


class Origin(NamedTuple):
    """Where an event comes from; None where the source does not say, as databases and inner services often do not."""

    ip_address: str | None
    user_agent: str | None
    country: str | None = None


class Incident(NamedTuple):
    """One attack from its first to its last event."""

    incident_id: str
    kind: AttackKind


class Arrival(NamedTuple):
    """An event and the moment it reaches the company's log collector, which may be much later than it happened."""

    at: datetime
    event: Event


def stream(*names: object) -> Random:
    """Return the source of chance with this name: equal names give equal numbers on every machine."""
    return Random("/".join(map(str, names)))  # noqa: S311 - a reproducible imitation of a company, not a secret


@dataclass
class Recorder:
    """Collects the events of one window `[start, end)`; whatever falls outside it is not recorded.

    `event_id`s are digests of the stream's name and a counter, so the same week has the same ids however it is made.
    """

    seed: int
    start: datetime
    end: datetime
    arrivals: list[Arrival] = field(default_factory=list)
    truth: list[TruthLabel] = field(default_factory=list)
    _counters: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        moment: datetime,
        actor: str,
        event_type: str,
        entity_id: str,
        *,
        rng: Random,
        origin: Origin,
        outcome: str | None = None,
        scale: float = 1.0,
        changes: Mapping[str, Any] | None = None,
        delay: timedelta = timedelta(0),
        incident: Incident | None = None,
        core: bool = True,
    ) -> str | None:
        """Record one event and return its outcome, or None where it lies outside the window.

        `changes` replace details of the same name; None removes one. `delay` is how late the event arrives.
        """
        spec = SPECS[event_type]
        details = spec.describe(rng, scale)
        if origin.country is not None and event_type == "sso:login":
            details["country"] = origin.country
        if outcome is None:
            luck = rng.random()
            outcome = "denied" if luck < spec.denied else "failure" if luck < spec.denied + spec.failed else "success"
        if changes:
            details = {name: value for name, value in {**details, **changes}.items() if value is not None}
        if outcome == "denied":
            details = {name: value for name, value in details.items() if name not in {"rows", "bytes"}}
            details["reason"] = "policy"
        if not self.start <= moment < self.end:
            return None
        event_id = self._next_id(actor if incident is None else incident.incident_id)
        event = Event(
            event_type=event_type,
            entity_type=spec.entity_type,
            entity_id=entity_id,
            details=details or None,
            actor=actor,
            outcome=outcome,
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
            occurred_at=moment,
            event_id=event_id,
            sealed_fields=spec.sealed,
        )
        self.arrivals.append(Arrival(moment + delay, event))
        if incident is not None:
            self.truth.append(TruthLabel(event_id, incident.incident_id, incident.kind, core))
        return outcome

    def _next_id(self, name: str) -> str:
        count = self._counters.get(name, 0)
        self._counters[name] = count + 1
        digest = hashlib.blake2b(f"{self.seed}/{name}/{count}".encode(), digest_size=16).digest()
        return str(UUID(bytes=digest, version=4))
