"""Why an event scored high, in words with the numbers, for people who decide what to do next.

Reads the same tails that all the detectors read, so a reason is never about something the score did not see; judges
nothing itself. Texts name
no person: actors and entities are references in the ledger, and a reader with the right sees names beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from audit_pipelines.intelligence.detectors import (
    EXCHANGED,
    EXCHANGED_FROM,
    FAMILIES,
    SCORE_THRESHOLD_DEFAULT,
    Detector,
    contributions,
)
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.intelligence.risk import meaning

Severity = Literal["low", "medium", "high", "critical"]

Row = Mapping[str, float | str | None]

REASONS_AT_MOST: Final = 6
_WORTH_TELLING: Final = 1.5
_HARMFUL: Final = 0.4
# A week of nats by the root of its days, beside the nats of one event.
_EXCHANGED_WEIGHS: Final = 4.0
# What lasts through a visit says less to a reader than the jump or the first time that began it.
_TELLING: Final = dict.fromkeys(
    ("network_rare_actor", "network_rare_tenant", "network_young", "agent_rare_actor", "agent_young"), 0.5
)


@dataclass(frozen=True)
class Reason:
    """One reason: the feature it stands on, a sentence without subject, and its share of the surprise in 0..1."""

    feature: str
    text: str
    share: float


def severity(score: float, risk: float) -> Severity:
    """Grade an event by how odd it is and how much harm its kind could do.

    Below the default threshold everything is low. An odd but harmless event never gets beyond medium by oddness alone
    until it is far beyond what the alert budget asks for.
    """
    if score < SCORE_THRESHOLD_DEFAULT:
        return "low"
    weight = (score - SCORE_THRESHOLD_DEFAULT) / (1.0 - SCORE_THRESHOLD_DEFAULT) + risk
    if weight >= 1.25 and risk >= 0.6:
        return "critical"
    return "high" if weight >= 0.75 else "medium"


def explain(features: pl.DataFrame, detector: Detector) -> list[tuple[Reason, ...]]:
    """Tell why each event is odd, as `detector` sees it: one tuple per row of a features frame, weightiest first.

    Each tuple holds one to REASONS_AT_MOST reasons: at most one per family of features, one for a week under another's
    name, and one for the meaning.
    """
    tails = contributions(detector, features)
    return [_reasons(row, own) for row, own in zip(features.iter_rows(named=True), tails, strict=True)]


def _reasons(row: Row, tails: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Reason, ...]:
    found: list[tuple[float, str]] = []
    for family in FAMILIES.values():
        odd = max(family.features, key=lambda name: tails[SURPRISES.index(name)] * _TELLING.get(name, 1.0))
        found.append((family.weight * float(tails[SURPRISES.index(odd)]), odd))
    if _number(row, EXCHANGED) > EXCHANGED_FROM:
        found.append((_EXCHANGED_WEIGHS * _number(row, EXCHANGED), EXCHANGED))
    total = sum(weight for weight, _ in found) or 1.0
    risk = _number(row, "risk")
    # With a single event in the hour, the session says nothing that the event's own first times do not.
    alone = _number(row, "events_1h") <= 1
    told = [(weight, name, _TEXTS[name](row)) for weight, name in found if weight >= _WORTH_TELLING]
    told = [each for each in told if not (alone and each[1] == "novelty_1h")]
    if risk >= _HARMFUL or row["exposed"] or not told:
        what = meaning(str(row["event_type"]), str(row["entity_type"] or ""), bool(row["failed"])).phrase
        opened = ", and opens it to everybody or without limit" if row["exposed"] and risk >= 0.3 else ""
        told.append((total * risk / 2, "risk", f"event that {what}{opened}"))
    told.sort(key=lambda each: -each[0])
    return tuple(
        Reason(name, text, round(min(weight / total, 1.0), 3)) for weight, name, text in told[:REASONS_AT_MOST]
    )


def _number(row: Row, name: str) -> float:
    value = row[name]
    return float(value) if value is not None else 0.0


def _count(row: Row, name: str) -> str:
    return f"{int(_number(row, name)):,}"


def _many(row: Row, name: str, one: str, more: str | None = None) -> str:
    return f"{_count(row, name)} {one if int(_number(row, name)) == 1 else more or one + 's'}"


def span_in_words(seconds: float) -> str:
    """Say a length of time in its largest fitting unit."""
    for unit, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            amount = round(seconds / length)
            return f"{amount:,} {unit}{'' if amount == 1 else 's'}"
    amount = round(max(seconds, 0.0))
    return f"{amount} second{'' if amount == 1 else 's'}"


def _known_for(row: Row) -> str:
    return f"{_many(row, 'actor_events', 'event')} in {span_in_words(_number(row, 'actor_days') * 86400.0)}"


def _few(row: Row) -> str:
    return f"{_count(row, 'type_actors')} of {_many(row, 'tenant_actors', 'actor')} ever did it"


def _clock(row: Row) -> str:
    return f"{int(_number(row, 'hour')):02d}h UTC on a {'weekend day' if row['weekend'] else 'weekday'}"


def _type(row: Row) -> str:
    return f"`{row['event_type']}`"


def _actor_past(row: Row, name: str) -> str:
    return f"{_count(row, name)} of {_many(row, 'actor_events', 'event')}"


def _tenant_past(row: Row) -> str:
    return _many(row, "tenant_events", "event")


def _gap(row: Row, name: str = "gap_s") -> str:
    return span_in_words(_number(row, name))


def _network(row: Row) -> str:
    failing = _many(row, "network_failing_actors_1h", "actor")
    return f"{_many(row, 'network_failures_1h', 'failure')} of {failing} from this network in 1 hour"


def _size(row: Row) -> str:
    before = (
        f"the largest so far was {_count(row, 'size_before')}" if _number(row, "size_before") >= 0 else "the first such"
    )
    return f"size {_count(row, 'size')} in the details, {before}"


_TEXTS: Final[dict[str, Callable[[Row], str]]] = {
    "type_new_actor": lambda r: f"first {_type(r)} by this actor ({_known_for(r)}); {_few(r)}",
    "type_new_tenant": lambda r: f"first {_type(r)} of this tenant in {_tenant_past(r)}",
    "type_rare_tenant": lambda r: (
        f"{_type(r)} happened {_many(r, 'type_events', 'time')} in {_tenant_past(r)}; {_few(r)}"
    ),
    "type_rare_actor": lambda r: f"{_type(r)} is rare for this actor: {_actor_past(r, 'type_actor_events')}",
    "type_few_actors": lambda r: f"{_type(r)} is done by few: {_few(r)}",
    "sequence_rare": lambda r: f"{_type(r)} seldom follows what the actor did {_gap(r)} before",
    "actor_young": lambda r: f"actor is new: {_known_for(r)}, in a tenant of {_tenant_past(r)}",
    "type_new_peers": lambda r: f"first {_type(r)} among {_many(r, 'peers', 'peer')} of this actor",
    "type_few_peers": lambda r: (
        f"{_type(r)} is done by {_count(r, 'type_peers')} of {_many(r, 'peers', 'peer')} of this actor"
    ),
    "unlike_24h": lambda r: (
        f"what this actor did in 24 hours ({_many(r, 'events_24h', 'event')}) fits others of this tenant better"
    ),
    "unlike_7d": lambda _: "what this actor did in 7 days fits others of this tenant better",
    EXCHANGED: lambda _: (
        "what this actor did in 7 days fits another actor of this tenant, whose 7 days fit this one: "
        "two may work under each other's names"
    ),
    "actor_fresh": lambda r: f"actor is known for a short time: {_known_for(r)}, in a tenant of {_tenant_past(r)}",
    "strange_1h": lambda r: f"what this actor touched in 1 hour fits a stranger better ({_known_for(r)})",
    "strange_place": lambda r: f"what was touched from this network in 1 hour fits a stranger better ({_known_for(r)})",
    "entity_new_actor": lambda r: f"this actor never touched this {r['entity_type']} before ({_known_for(r)})",
    "kind_new_actor": lambda r: f"this actor never touched any {r['entity_type']} before ({_known_for(r)})",
    "network_new_actor": lambda r: f"first time this actor comes from this network ({_known_for(r)})",
    "network_new_tenant": lambda r: f"network never seen before in {_tenant_past(r)} of this tenant",
    "address_new_actor": lambda r: f"first time this actor comes from this address ({_known_for(r)})",
    "agent_new_actor": lambda r: f"first time this actor uses this family of client ({_known_for(r)})",
    "network_rare_actor": lambda r: f"this actor seldom comes from this network ({_known_for(r)})",
    "network_rare_tenant": lambda r: f"network hardly seen in {_tenant_past(r)} of this tenant",
    "network_young": lambda r: (
        f"this actor came from this network for the first time a short while ago ({_known_for(r)})"
    ),
    "agent_rare_actor": lambda r: f"this actor seldom uses this family of client ({_known_for(r)})",
    "agent_young": lambda r: f"this actor took up this family of client a short while ago ({_known_for(r)})",
    "network_jump": lambda r: f"new network, {_gap(r, 'network_gap_s')} after an event from another one",
    "details_new_actor": lambda r: f"a value in the details is new for this actor ({_known_for(r)})",
    "details_new_tenant": lambda r: f"a value in the details was never seen in {_tenant_past(r)} of this tenant",
    "details_rare_actor": lambda _: "a value in the details is usual for others and rare for this actor",
    "words_new_actor": lambda r: f"first {_type(r)} of this actor with just these details ({_known_for(r)})",
    "amount_24h": lambda r: (
        f"{_many(r, 'events_24h', 'event')} in 24 hours add up to more than usual, this one {_count(r, 'size')}"
    ),
    "amounts_1h": lambda r: f"larger numbers than usual for what was done in 1 hour, this one {_count(r, 'size')}",
    "amounts_24h": lambda r: f"larger numbers than usual for what was done in 24 hours, this one {_count(r, 'size')}",
    "volume_day": lambda r: f"{_many(r, 'events_day', 'event')} on this day so far, more than this actor's usual days",
    "repeats_burst": lambda r: f"{int(_number(r, 'repeats_1h')) + 1:,} times {_type(r)} in 1 hour, more than usual",
    "hour_rare": lambda r: f"unusual time for this actor: {_clock(r)}",
    "silence": lambda r: f"first event after {_gap(r)} of silence",
    "burst_10m": lambda r: f"{_many(r, 'events_10m', 'event')} in 10 minutes, more than usual for this actor",
    "burst_1h": lambda r: f"{_many(r, 'events_1h', 'event')} in 1 hour, more than usual for this actor",
    "burst_24h": lambda r: f"{_many(r, 'events_24h', 'event')} in 24 hours, more than usual for this actor",
    "spread_entities_1h": lambda r: f"{_many(r, 'entities_1h', 'entity', 'entities')} newly touched in 1 hour",
    "spread_types_1h": lambda r: f"{_many(r, 'types_1h', 'kind')} of event newly taken up in 1 hour",
    "failure_rare": lambda r: f"a failure, by an actor that seldom fails ({_known_for(r)})",
    "failures_burst": lambda r: f"{_many(r, 'failures_1h', 'failure')} of this actor in 1 hour",
    "success_after_failures": lambda r: f"{_many(r, 'failures_10m', 'failure')} in 10 minutes, then success",
    "network_failures": _network,
    "size_jump": _size,
    "novelty_1h": lambda r: (
        f"unusually many first times among {_many(r, 'events_1h', 'event')} of this actor in 1 hour"
    ),
    "suspicion_place": lambda _: "other odd events of this actor from this network in the hour before",
    "suspicion_1h": lambda r: (
        f"other odd events of this actor in the hour before ({_many(r, 'events_1h', 'event')} in all)"
    ),
}
