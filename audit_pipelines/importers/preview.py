"""What an import would do, without storing anything: counts, shares, examples, faults by reason.

Runs the import itself with a sink that only counts, so that what it shows is what would happen. Needs no database and
no tenant; whether an id is taken in the ledger already, it cannot know.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import ACTOR_KIND
from audit_pipelines.importers.fields import decode_object
from audit_pipelines.importers.proposing import Proposal
from audit_pipelines.importers.run import ImportSummary, Parse, Progress, run_import
from audit_pipelines.importers.sink import Stored
from audit_pipelines.importers.source import Fault
from audit_pipelines.ledger.event import Event

EXAMPLES = 3
MAX_IDS = 1_000_000
MAX_LISTED = 1_000

_POSITION = re.compile(r"/\d+(?=/|$)")
_VALUES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\b\d+\b")


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import of these files would be. Counters hold at most `MAX_LISTED` names, the most frequent."""

    summary: ImportSummary
    """`stored` and `duplicates` are as if the ledger were empty."""
    event_types: list[tuple[str, int]]
    event_type_count: int
    actors: list[tuple[str, int]]
    actor_count: int
    machine_events: int
    outcomes: list[tuple[str, int]]
    shares: dict[str, float]
    """Of the events, 0 to 1, how many have actor, time, ip_address, user_agent, outcome."""
    out_of_order: int
    """Events earlier than the one before them."""
    conflicts: int
    """Ids that came again with other content; the ledger would refuse these. Of the first `MAX_IDS` ids."""
    sealed: list[tuple[str, int]]
    faults: list[tuple[str, int]]
    examples: list[dict[str, Any]]
    proposed_map: str | None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        told = self.summary
        first, last = told.first_occurred_at, told.last_occurred_at
        return {
            "files": told.files,
            "records": told.records,
            "events": told.stored,
            "duplicates": told.duplicates,
            "conflicts": self.conflicts,
            "refused": told.refused,
            "event_types": dict(self.event_types),
            "event_type_count": self.event_type_count,
            "actors": dict(self.actors),
            "actor_count": self.actor_count,
            "machine_events": self.machine_events,
            "outcomes": dict(self.outcomes),
            "shares": self.shares,
            "first_occurred_at": first.isoformat() if first else None,
            "last_occurred_at": last.isoformat() if last else None,
            "out_of_order": self.out_of_order,
            "sealed": dict(self.sealed),
            "faults": dict(self.faults),
            "examples": self.examples,
            "proposed_map": self.proposed_map,
        }


def preview(
    paths: Iterable[Path],
    parse: Parse,
    *,
    propose: bool = False,
    progress: Progress | None = None,
    on_fault: Callable[[Fault], None] | None = None,
) -> Preview:
    """Return what importing `paths` would do; with `propose` also a draft of a map made from the records."""
    count = _Count()
    proposal = Proposal() if propose else None

    def read(record: bytes) -> Event:
        if proposal:
            with suppress(ValidationError):  # `parse` says what is wrong with it
                proposal.add(decode_object(record))
        return parse(record)

    def note(fault: Fault) -> None:
        count.faults[reason_of(fault)] += 1
        if on_fault:
            on_fault(fault)

    summary = run_import(paths, read, count.append, progress=progress, on_fault=note)
    return Preview(
        summary=summary,
        event_types=count.event_types.most_common(MAX_LISTED),
        event_type_count=len(count.event_types),
        actors=count.actors.most_common(MAX_LISTED),
        actor_count=len(count.actors),
        machine_events=count.machine_events,
        outcomes=count.outcomes.most_common(MAX_LISTED),
        shares={name: round(present / max(count.events, 1), 4) for name, present in count.present.items()},
        out_of_order=count.out_of_order,
        conflicts=count.conflicts,
        sealed=count.sealed.most_common(MAX_LISTED),
        faults=count.faults.most_common(MAX_LISTED),
        examples=count.examples,
        proposed_map=proposal.toml() if proposal else None,
    )


def reason_of(fault: Fault) -> str:
    """Return a fault's message without what differs from record to record, so that equal reasons count together."""
    return _VALUES.sub("…", fault.message)


class _Count:
    """The sink of a dry run."""

    def __init__(self) -> None:
        self.events = 0
        self.event_types: Counter[str] = Counter()
        self.actors: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.sealed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.present = dict.fromkeys(("actor", "time", "ip_address", "user_agent", "outcome"), 0)
        self.machine_events = 0
        self.out_of_order = 0
        self.conflicts = 0
        self.examples: list[dict[str, Any]] = []
        self._contents: dict[int, int] = {}
        self._before: datetime | None = None

    def append(self, events: Sequence[Event]) -> Stored:
        """Count a batch."""
        stored = sum(self._take(event) for event in events)
        return Stored(stored, len(events) - stored)

    def _take(self, event: Event) -> bool:
        """Count one event; tell whether it is new."""
        if self._is_repeated(event):
            return False
        self.events += 1
        self.event_types[event.event_type] += 1
        self.outcomes[event.outcome or "not told"] += 1
        if event.actor:
            self.actors[event.actor] += 1
        self.machine_events += bool(event.details and event.details.get(ACTOR_KIND) == "machine")
        for name, value in (
            ("actor", event.actor),
            ("time", event.occurred_at),
            ("ip_address", event.ip_address),
            ("user_agent", event.user_agent),
            ("outcome", event.outcome),
        ):
            self.present[name] += value is not None
        if event.occurred_at:
            self.out_of_order += bool(self._before and event.occurred_at < self._before)
            self._before = event.occurred_at
        self.sealed.update({_POSITION.sub("/*", pointer) for pointer in event.sealed_fields})
        if len(self.examples) < EXAMPLES:
            self.examples.append(_example(event))
        return True

    def _is_repeated(self, event: Event) -> bool:
        # 64 bits of hash instead of ids and contents: 100 MB for a million of them, and a chance of 1 in 10⁷ to err.
        key, content = hash(event.event_id), hash(msgspec.json.encode(event, order="deterministic"))
        known = self._contents.get(key)
        if known is None:
            if len(self._contents) < MAX_IDS:
                self._contents[key] = content
            return False
        self.conflicts += known != content
        return known == content


def _example(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "occurred_at": event.occurred_at.isoformat() if event.occurred_at else None,
        "actor": event.actor,
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "outcome": event.outcome,
        "ip_address": event.ip_address,
        "user_agent": event.user_agent,
        "sealed_fields": list(event.sealed_fields),
    }
