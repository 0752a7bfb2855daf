"""Everything a report prints, as frozen values.

A `Report` is complete: two writers given the same one print the same facts, and one can be compared with last month's.
No layout, no queries and no wording live here, except the fixed words of closed sets. Times are aware and in UTC,
periods are half-open: `since` belongs to them, `until` does not.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

ReportKind = Literal["security", "compliance"]
AnyKind = Literal["security", "compliance", "access_review", "person"]
"""Also the reports that are no `Report`: they have pages of their own and name people in clear."""
Severity = Literal["critical", "high", "medium", "low"]
BinUnit = Literal["hour", "day", "week", "month", "year"]
ControlResult = Literal["pass", "fail", "not checked"]
RequirementResult = Literal["pass", "fail", "not checked", "organisational", "not met"]
IntegrityResult = Literal["intact", "tampered", "not verified"]
SummaryAuthor = Literal["composed", "model"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the period's events."""

    events: int
    actors: int
    event_types: int
    entities: int
    """Distinct pairs of entity type and id."""
    networks: int
    """Distinct source networks: the first half of `ip_index`."""
    unsuccessful: int
    """Events whose outcome is `failure` or `denied`."""
    scored: int
    anomalies: int
    """All of the period, also those that `Report.anomalies` leaves out."""
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimeBin:
    """One bar of the timeline; `start` is the beginning of the hour, day, ISO week, month or year in UTC."""

    start: datetime
    events: int
    unsuccessful: int
    anomalies: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Activity over the period without gaps: empty bins are there with zeros."""

    unit: BinUnit
    bins: tuple[TimeBin, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One value of a categorical column and how many of the period's events have it."""

    label: str
    events: int


@dataclass(frozen=True, slots=True)
class ActorLine:
    """What one reference did in the period; `actor_ref` is None for events without an actor."""

    actor_ref: str | None
    events: int
    unsuccessful: int
    event_types: int
    anomalies: int
    highest_score: float | None
    last_at: datetime


@dataclass(frozen=True, slots=True)
class AnomalyLine:
    """One event over the threshold, with the reasons in words and what ties it to the ledger."""

    occurred_at: datetime
    severity: Severity
    score: float
    event_type: str
    actor_ref: str | None
    reasons: tuple[str, ...]
    seq: int
    row_hash: str
    """64 hex digits."""
    model_id: str


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model whose output the report uses, by the digest of its artefact."""

    kind: str
    digest: str
    trained_since: datetime | None
    trained_until: datetime | None
    rows: int
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """Something that the running system can show, whether it does, and by what that is seen."""

    control: str
    requirement: str
    """Which requirements it shows, in one line."""
    result: ControlResult
    evidence: str
    key: str = ""
    """Its name in code and checks."""


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """What a law or standard asks, and whether controls show it, people must do it, or nothing here does."""

    framework: str
    number: str
    asks: str
    result: RequirementResult
    """The worst of its controls; `organisational` is for people, `not met` a gap of the product."""
    shown_by: tuple[str, ...]
    """Names of its controls, and which of them do not pass."""
    rest: str
    """What people must do beside them, or what is missing."""


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """An electronic signature with what 21 CFR 11.50 has printed, and whether it held when the report was made."""

    signed_at: datetime
    printed_name: str
    signer_ref: str
    meaning: str
    record_kind: str
    record_id: str
    record_hash: str
    """64 hex digits."""
    seq: int
    """Of the ledger entry that holds the signature."""
    valid: bool
    problem: str = ""
    """Why it does not hold."""
    deleted: bool = False
    """Whether the problem is that what it was compared with was deleted by approval."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed tree head (RFC 6962) in the form of a C2SP signed note."""

    size: int
    root: str
    note: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Integrity:
    """The outcome of re-hashing a tenant's ledger and where an outsider can repeat it."""

    result: IntegrityResult
    events_verified: int
    first_seq: int | None
    last_seq: int | None
    chain_head: str | None
    """`row_hash` of `last_seq`, 64 hex digits."""
    verified_at: datetime | None
    checkpoint: Checkpoint | None = None
    finding: str = ""
    """What differs and where, when `result` is `tampered`; why not, when it is `not verified`."""
    steps: tuple[str, ...] = ()
    """How to verify, in the order to do it; empty takes `summary.verification_steps`."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the tenant's events each derived data set holds; equal numbers mean nothing was left out."""

    ledger: int
    lake: int
    scored: int
    embedded: int


@dataclass(frozen=True, slots=True)
class Before:
    """The period of the same length that ended where the report's begins, and what is new since."""

    since: datetime
    until: datetime
    events: int
    actors: int
    unsuccessful: int
    anomalies: int
    new_event_types: tuple[Share, ...]
    """Types of this period that the one before did not have, most frequent first; at most as many as a ranking has."""
    new_event_types_total: int
    new_actors: tuple[ActorLine, ...]
    """Actors of this period who did nothing in the one before, most active first; at most as many as a ranking has."""
    new_actors_total: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Plain sentences; `composed` ones are filled from counted facts, `model` ones were written by a chat model."""

    sentences: tuple[str, ...]
    generated_by: SummaryAuthor = "composed"


@dataclass(frozen=True, slots=True)
class Report:
    """All that is printed of one tenant's period."""

    kind: ReportKind
    title: str
    tenant_id: UUID
    tenant_name: str
    since: datetime
    until: datetime
    generated_at: datetime
    product_version: str
    summary: Summary
    totals: Totals
    timeline: Timeline
    hour_of_week: tuple[tuple[int, ...], ...]
    """7 rows (Monday first) of 24 counts, UTC."""
    event_types: tuple[Share, ...]
    outcomes: tuple[Share, ...]
    categories: tuple[Share, ...]
    risks: tuple[Share, ...]
    actors: tuple[ActorLine, ...]
    severities: tuple[Share, ...]
    """Anomalies per severity over the whole period, most severe first; only those that occur."""
    anomalies: tuple[AnomalyLine, ...]
    """Most severe first, then by score; at most as many as `compose_report` was allowed."""
    models: tuple[ModelLine, ...]
    controls: tuple[Control, ...]
    integrity: Integrity
    coverage: Coverage
    signatures: tuple[SignatureLine, ...] = ()
    """Of the period and its records, the oldest first."""
    requirements: tuple[RequirementLine, ...] = ()
    """Of each framework together; what a security report leaves out."""
    before: Before | None = None
    """None where the trail does not reach back to the whole of the period before."""
