"""Incidents: anomalies of one actor close in time, grouped, named so that the name lasts, and told as one story.

Pure: what the groups are depends on the anomalies alone, never on the order in which they were found; only which known
name a group carries on depends on the past. Texts name no person. What an event means is `risk`'s, why it is odd
`reasons`'.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from audit_pipelines.intelligence.reasons import span_in_words

if TYPE_CHECKING:
    from audit_pipelines.intelligence.reasons import Severity

GAP: Final = timedelta(hours=6)
"""So long without an anomaly of the actor, and the next one begins another incident: longer than a night's pause of an
intruder's session, shorter than the time between two working days."""
SPAN: Final = timedelta(days=7)
"""An incident goes on no longer than this: an actor that is odd all the time would have one without end."""
STEPS_AT_MOST: Final = 100
_MEANINGS_IN_TITLE: Final = 4
_HARMFUL: Final = 0.6
_HARMFUL_MEANINGS: Final = 3
_LEVELS: Final[tuple["Severity", ...]] = ("low", "medium", "high", "critical")
_NAMES: Final = UUID("6f0c2a58-2f0e-5e0b-9a4e-0f5a3c1d7b21")


@dataclass(frozen=True, slots=True)
class Member:
    """One anomaly as an incident knows it."""

    anomaly_id: UUID
    seq: int
    row_hash: str
    """Hex, of the event."""
    occurred_at: datetime
    event_type: str
    meaning: str
    """A phrase that finishes "an event that …"."""
    risk: float
    score: float
    severity: "Severity"
    reasons: tuple[str, ...]
    """In words, weightiest first."""
    suppressed: bool = False
    incident_id: UUID | None = None
    """The incident it was in before."""


@dataclass(frozen=True, slots=True)
class Known:
    """An incident of before."""

    incident_id: UUID
    founding_seq: int


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident with its story."""

    incident_id: UUID
    founding_seq: int
    members: tuple[Member, ...] = field(repr=False)
    score: float
    severity: "Severity"
    alert_score: float | None
    """The highest score of those that no suppression covers, None for none; `alert_severity` likewise."""
    alert_severity: "Severity | None"
    title: str
    meanings: tuple[str, ...]
    """What its events do, each once, in the order of their first time."""
    story: tuple[dict[str, Any], ...]
    """Steps in the order of time, fit for JSON: one line each, with the events it can be checked by."""


@dataclass(frozen=True, slots=True)
class Retold:
    """What became of an actor's anomalies."""

    incidents: tuple[Incident, ...]
    merged: Mapping[UUID, UUID]
    """Incidents of before that are part of another one now, and which."""
    withdrawn: frozenset[UUID]
    """Incidents of before that no anomaly is left of."""


def group(members: Sequence[Member]) -> list[list[Member]]:
    """Split one actor's anomalies into those that belong together, in the order of time."""
    groups: list[list[Member]] = []
    for member in sorted(members, key=lambda each: (each.occurred_at, each.seq)):
        if (
            groups
            and member.occurred_at - groups[-1][-1].occurred_at <= GAP
            and member.occurred_at - groups[-1][0].occurred_at <= SPAN
        ):
            groups[-1].append(member)
        else:
            groups.append([member])
    return groups


def retell(tenant_id: UUID, members: Sequence[Member], known: Sequence[Known]) -> Retold:
    """Group and tell one actor's anomalies, all of them; `known` are all incidents of the actor of before.

    A group carries on the incident whose founding event it holds, else the oldest one whose members it holds; with
    none of them it gets an id made of tenant and its lowest seq. So an incident that grows, loses members or is told
    again after everything derived was deleted keeps its id.
    """
    incidents: list[Incident] = []
    heirs: dict[UUID, UUID] = {}
    taken: set[UUID] = set()
    of_old = {one.incident_id: one for one in known}
    by_founder = {one.founding_seq: one for one in known}
    # Founders first: a group that only holds some members must not take the name from the one with the founder.
    groups = sorted(group(members), key=lambda each: (min(m.seq for m in each) not in by_founder, each[0].occurred_at))
    for own in groups:
        founders = [by_founder[seq] for seq in sorted(m.seq for m in own) if seq in by_founder]
        shared = {of_old[m.incident_id] for m in own if m.incident_id in of_old}
        candidates = founders + sorted(shared, key=lambda each: each.founding_seq)
        name = next((one for one in candidates if one.incident_id not in taken), None)
        if name is None:
            founding = min(m.seq for m in own)
            name = Known(incident_id(tenant_id, founding), founding)
        taken.add(name.incident_id)
        heirs |= {one.incident_id: name.incident_id for one in candidates if one.incident_id not in heirs}
        incidents.append(_told(name, own))
    merged = {old: heir for old, heir in heirs.items() if old not in taken}
    withdrawn = frozenset(of_old) - taken - merged.keys()
    incidents.sort(key=lambda each: (each.members[0].occurred_at, each.founding_seq))
    return Retold(tuple(incidents), merged, withdrawn)


def incident_id(tenant_id: UUID, founding_seq: int) -> UUID:
    """Return the id of the incident that began with an event (RFC 9562 version 5)."""
    return uuid5(_NAMES, f"{tenant_id} {founding_seq}")


def _told(name: Known, members: Sequence[Member]) -> Incident:
    unsuppressed = [one for one in members if not one.suppressed]
    meanings = tuple(dict.fromkeys(one.meaning for one in members if one.meaning))
    return Incident(
        incident_id=name.incident_id,
        founding_seq=name.founding_seq,
        members=tuple(members),
        score=max(one.score for one in members),
        severity=_severity(members),
        alert_score=max((one.score for one in unsuppressed), default=None),
        alert_severity=_severity(unsuppressed) if unsuppressed else None,
        title=_title(members, meanings),
        meanings=meanings,
        story=tuple(_steps(members)),
    )


def _severity(members: Sequence[Member]) -> "Severity":
    """Return the gravest of the members', one more where harmful deeds of several meanings come together."""
    level = max(_LEVELS.index(one.severity) for one in members)
    harmful = {one.meaning for one in members if one.risk >= _HARMFUL}
    if len(harmful) >= _HARMFUL_MEANINGS and level > 0:
        level = min(level + 1, len(_LEVELS) - 1)
    return _LEVELS[level]


def _title(members: Sequence[Member], meanings: Sequence[str]) -> str:
    count = f"{len(members):,} odd event{'' if len(members) == 1 else 's'}"
    span = members[-1].occurred_at - members[0].occurred_at
    when = f" in {span_in_words(span.total_seconds())}" if len(members) > 1 else ""
    more = len(meanings) - _MEANINGS_IN_TITLE
    what = ", then ".join(meanings[:_MEANINGS_IN_TITLE]) + (f", and {more} more" if more > 0 else "")
    return f"{count}{when}: {what or 'of no known meaning'}"


def _steps(members: Sequence[Member]) -> Iterator[dict[str, Any]]:
    runs = [list(own) for _, own in groupby(members, key=lambda each: (each.event_type, each.meaning))]
    for run in runs[:STEPS_AT_MOST]:
        worst = max(run, key=lambda each: (each.score, -each.seq))
        often = f"{len(run):,} times `{worst.event_type}`" if len(run) > 1 else f"`{worst.event_type}`"
        does = f", which {worst.meaning}" if worst.meaning else ""
        why = f": {'; '.join(worst.reasons)}" if worst.reasons else ""
        yield {
            "at": run[0].occurred_at.isoformat(),
            "until": run[-1].occurred_at.isoformat(),
            "events": len(run),
            "text": f"{often}{does}{why}",
            "score": worst.score,
            "severity": worst.severity,
            "anomaly_id": str(worst.anomaly_id),
            "seq": worst.seq,
            "row_hash": worst.row_hash,
        }
    left = [one for run in runs[STEPS_AT_MOST:] for one in run]
    if left:
        yield {
            "at": left[0].occurred_at.isoformat(),
            "until": left[-1].occurred_at.isoformat(),
            "events": len(left),
            "text": f"{len(left):,} more odd events, listed as the anomalies of this incident",
        }
