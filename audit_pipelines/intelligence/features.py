"""What an event looks like against its past: one row of numbers per event, causal and computed in bulk.

The features decide whether detection works; the detector only weighs them. Most are surprises in nats (-ln of how
often such a thing was to be expected of this actor or this tenant so far), so that newcomers and busy services do not
drown everything. An event's row depends only on events with (occurred_at, seq) up to its own.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from audit_pipelines.intelligence.novelty import (
    FIXED,
    Flags,
    Floats,
    Ints,
    Past,
    Windows,
    codes,
    excess,
    group,
    novelty,
    pair,
    windows,
)
from audit_pipelines.intelligence.risk import FAILURE_WORDS, add_risk

HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0

Role = Literal["surprise", "meaning", "evidence"]


@dataclass(frozen=True)
class Feature:
    """One numeric column of `compute_features`.

    Role `surprise`: the detector learns from it, larger is odder. `meaning`: what the event could do. `evidence`:
    a plain number that reasons are told with and that the detector does not learn from.
    """

    name: str
    meaning: str
    unit: str
    role: Role


_SURPRISES = (
    ("type_new_actor", "first time the actor does this kind of event", "nats"),
    ("type_new_tenant", "first time anybody of the tenant does it", "nats"),
    ("type_rare_tenant", "how rare the kind of event is in the tenant's past", "nats"),
    ("type_rare_actor", "how much rarer the kind is for this actor than what the actor usually does", "nats"),
    ("type_few_actors", "how few of the tenant's actors ever did it", "nats"),
    ("sequence_rare", "how unusual the kind is right after the actor's event before it", "nats"),
    ("actor_young", "how rare it is that so new an actor acts in this tenant", "nats"),
    ("entity_new_actor", "first time the actor touches this entity", "nats"),
    ("kind_new_actor", "first time the actor touches an entity of this kind", "nats"),
    ("network_new_actor", "first time the actor comes from this network", "nats"),
    ("network_new_tenant", "first time anybody comes from this network", "nats"),
    ("address_new_actor", "first time the actor comes from this address", "nats"),
    ("agent_new_actor", "first time the actor uses this family of client", "nats"),
    ("network_rare_actor", "how much rarer the network is for this actor than what the actor usually comes from", "nats"),
    ("network_rare_tenant", "how rare the network is in the tenant's past", "nats"),
    ("network_young", "first time from this network, hours ago and fading", "nats"),
    ("agent_rare_actor", "how much rarer the family of client is for this actor than what the actor usually uses", "nats"),
    ("agent_young", "first time with this family of client, hours ago and fading", "nats"),
    ("network_jump", "another network than minutes before, weighed by how often the actor changes", "nats"),
    ("details_new_actor", "a value in the details that this actor never had there before", "nats"),
    ("details_new_tenant", "a value in the details that nobody had there before", "nats"),
    ("details_rare_actor", "how much rarer the details are for this actor than for the tenant", "nats"),
    ("unlike_24h", "how much better 24 hours of kinds of event fit the tenant's other actors than this one", "nats"),
    ("hour_rare", "how unusual the hour of the week is for the actor", "nats"),
    ("silence", "a silence longer than any before it", "ln(1 + days)"),
    ("burst_10m", "events in 10 minutes against what is usual for the actor", "standard deviations"),
    ("burst_1h", "events in 1 hour against what is usual for the actor", "standard deviations"),
    ("burst_24h", "events in 24 hours against what is usual for the actor", "standard deviations"),
    ("spread_entities_1h", "entities newly touched in 1 hour against what is usual", "standard deviations"),
    ("spread_types_1h", "kinds of event taken up in 1 hour against what is usual", "standard deviations"),
    ("repeats_burst", "events of one kind in 1 hour against what is usual for the actor and the kind", "standard deviations"),
    ("amount_24h", "numbers in the details summed over 24 hours against what is usual", "standard deviations"),
    ("failure_rare", "a failure, by an actor that seldom fails", "nats"),
    ("failures_burst", "failures in 1 hour against what is usual for the actor", "standard deviations"),
    ("success_after_failures", "a success right after a run of failures", "ln(1 + failures)"),
    ("network_failures", "failures of several actors from one network in 1 hour", "ln(1 + failures)"),
    ("size_jump", "the largest number in the details beyond the largest before it", "powers of ten"),
    ("novelty_1h", "first times of the actor within 1 hour, by the root of its events", "nats"),
    ("suspicion_place", "odd and harmful new things of the actor from this network in the hour before this event", "nats by risk"),
    ("suspicion_1h", "odd and harmful new things of the actor in the hour before this event", "nats by risk"),
)
_MEANINGS = (
    ("risk", "possible harm, from the words of the event", "0..1"),
    ("exposed", "the details open something to everybody or grant everything", "0 or 1"),
)
_EVIDENCE = (
    ("failed", "the outcome was a failure", "0 or 1"),
    ("actor_events", "events of the actor before this one", "events"),
    ("actor_days", "days since the actor's first event", "days"),
    ("tenant_events", "events of the tenant before this one", "events"),
    ("tenant_actors", "actors seen before this event", "actors"),
    ("type_actors", "actors that did this kind before this event", "actors"),
    ("type_events", "events of this kind before this one", "events"),
    ("type_actor_events", "events of this kind by this actor before this one", "events"),
    ("gap_s", "seconds since the actor's event before it; -1 for the first", "seconds"),
    ("network_gap_s", "seconds since the actor's event from another network; -1 without a change", "seconds"),
    ("events_10m", "events of the actor in 10 minutes, this one included", "events"),
    ("events_1h", "events of the actor in 1 hour, this one included", "events"),
    ("events_24h", "events of the actor in 24 hours, this one included", "events"),
    ("entities_1h", "entities touched in 1 hour that were not touched in the hour before", "entities"),
    ("types_1h", "kinds of event in 1 hour that were not done in the hour before", "kinds"),
    ("failures_10m", "failures of the actor in 10 minutes", "events"),
    ("failures_1h", "failures of the actor in 1 hour", "events"),
    ("network_failures_1h", "failures from the network in 1 hour", "events"),
    ("network_failing_actors_1h", "actors that failed from the network in 1 hour", "actors"),
    ("size", "largest number of rows, bytes or the like in the details; -1 without one", "as logged"),
    ("size_before", "largest such number of the actor's and the kind's past; -1 without one", "as logged"),
    ("repeats_1h", "same actor, kind and outcome in 1 hour before this event", "events"),
    ("hour", "hour of the day, UTC", "hours"),
    ("weekend", "Saturday or Sunday, UTC", "0 or 1"),
)
FEATURES: Final[tuple[Feature, ...]] = (
    *(Feature(*each, "surprise") for each in _SURPRISES),
    *(Feature(*each, "meaning") for each in _MEANINGS),
    *(Feature(*each, "evidence") for each in _EVIDENCE),
)

SURPRISES: Final[tuple[str, ...]] = tuple(name for name, *_ in _SURPRISES)
"""The features a detector learns from, in the order of its arrays."""

IDENTITY: Final[tuple[str, ...]] = (
    "tenant_id", "seq", "event_id", "occurred_at", "actor_ref", "event_type", "entity_type", "entity_id", "outcome",
)  # fmt: skip

_FIRSTS: Final = (
    "type_new_actor", "type_new_tenant", "network_new_actor", "agent_new_actor", "kind_new_actor", "details_new_actor",
)  # fmt: skip
_ODD: Final = (*_FIRSTS, "network_jump", "failure_rare", "silence", "success_after_failures")

# A leaf of the details whose value is a short word or a flag. Values with long runs of digits are identifiers and
# moments: always new, so never surprising, and most of the cost.
_LEAF = r'"\w{1,40}":(?:"[A-Za-z][A-Za-z0-9_ .:/*+-]{0,31}"|true|false)'
_LEAVES_PER_EVENT: Final = 32
_COUNTED: Final = "row|byte|count|size|record|object|item|file|message|total|quantity|amount|volume|length"
# Whole words of a key in snake or camel case: `row_count`, `bytesTransferredOut`, `numRows`, but not `accountId`.
_CAMEL: Final = "|".join(each.title() for each in _COUNTED.split("|"))
_SIZE: Final = rf'"(?:\w+_)?(?:(?:{_COUNTED})s?|\w*[a-z](?:{_CAMEL})s?)(?:[_A-Z]\w*)?":"?(\d{{1,15}})\b'
# Everybody as principal or source, every action, full administration, or a flag that says public.
_EXPOSED: Final = "|".join(
    (
        r"(?i)0\.0\.0\.0/0",
        r"::/0",
        r'\\?"principal\\?":\s*(?:\{\\?"aws\\?":\s*)?\[?\\?"\*',
        r'\\?"action\\?":\s*\\?"\*\\?"',
        r'"(?:group|groupname|userid|groups)":\s*"all"',
        r"allusers",
        r"allauthenticatedusers",
        r"administratoraccess",
        r'"\w*public\w*":\s*true',
        r"anonymous",
    )
)


def _time_us(events: pl.DataFrame) -> Ints:
    return events["occurred_at"].dt.epoch("us").to_numpy().astype(np.int64)


def _ordered(events: pl.DataFrame) -> pl.DataFrame:
    return events.sort("occurred_at", "seq")


def _family(agents: pl.Series) -> pl.Series:
    """Reduce a user agent to the family of client: product names without versions, builds and identifiers."""
    distinct = pl.DataFrame({"agent": agents.unique().drop_nulls()})
    family = distinct.with_columns(
        family=pl.col("agent")
        .str.to_lowercase()
        .str.replace_all(r"[0-9a-f]{6,}|\d+", "")
        .str.replace_all(r"[^a-z]+", " ")
        .str.slice(0, 80)
    )
    return pl.DataFrame({"agent": agents}).join(family, on="agent", how="left", maintain_order="left")["family"]


@dataclass(frozen=True)
class _Frame:
    """The codes and groupings that several families of features share."""

    time_us: Ints
    actor: Ints
    kind: Ints
    failed: Flags
    by_actor: Past
    by_tenant: Past
    by_pair: Past
    window: Windows
    place: Ints
    """The actor together with the network; the actor alone where there is none."""


def _first_times(past: Past, group_code: Ints, value: Ints) -> tuple[Flags, Floats]:
    """Return which rows show a value new to their group, and how surprising that is."""
    counted = value >= 0
    new = (group(pair(group_code, value)).count() == 0) & counted
    return new, novelty(past, new, counted)


def _rarity(count: Ints, total: Ints, prior: Floats, weight: float) -> Floats:
    return -np.log((count + weight * prior) / (total + weight))


def _type_features(f: _Frame, entity_kind: Ints) -> dict[str, Floats]:
    tenant = np.zeros_like(f.actor)
    _, new_actor = _first_times(f.by_actor, f.actor, f.kind)
    new_kind, new_tenant = _first_times(f.by_tenant, tenant, f.kind)
    by_kind = group(f.kind)
    type_events, type_actor_events = by_kind.count(), f.by_pair.count()
    actor_events, tenant_events = f.by_actor.count(), f.by_tenant.count()
    kinds_seen = f.by_tenant.total(new_kind)
    share = (type_events + 0.5) / (tenant_events + 0.5 * (kinds_seen + 1))
    rare_tenant = -np.log(share)
    rare_actor = _rarity(type_actor_events, actor_events, share, 4.0)
    usual = f.by_actor.total(np.round(rare_actor * FIXED).astype(np.int64)) / FIXED
    usual_all = f.by_tenant.total(np.round(rare_actor * FIXED).astype(np.int64)) / FIXED / np.maximum(tenant_events, 1)
    rare_actor_excess = rare_actor - (usual + 4.0 * usual_all) / (actor_events + 4.0)
    first_of_pair = type_actor_events == 0
    type_actors = by_kind.total(first_of_pair)
    tenant_actors = f.by_tenant.total(actor_events == 0)
    few = -np.log((type_actors + 0.5) / (tenant_actors + 1.0))
    unlike = _unlike(f, type_events, type_actor_events)
    before = f.by_actor.previous()
    previous_kind = np.where(before >= 0, f.kind[before], -1)
    follows = group(pair(previous_kind, f.kind)).count()
    sequence = _rarity(np.where(before >= 0, follows, 0), group(previous_kind).count(), share, 4.0)
    age = np.floor(np.log2(actor_events + 1.0)).astype(np.int64)
    _, kind_new = _first_times(f.by_actor, f.actor, entity_kind)
    return {
        "type_new_actor": new_actor,
        "type_new_tenant": new_tenant,
        "type_rare_tenant": rare_tenant,
        "type_rare_actor": np.maximum(rare_actor_excess, 0.0),
        "type_few_actors": np.maximum(few, 0.0),
        "unlike_24h": unlike,
        "sequence_rare": np.where(before >= 0, sequence, 0.0),
        "actor_young": _young(f, age),
        "kind_new_actor": kind_new,
        "actor_events": actor_events.astype(np.float64),
        "tenant_events": tenant_events.astype(np.float64),
        "tenant_actors": tenant_actors.astype(np.float64),
        "type_actors": type_actors.astype(np.float64),
        "type_events": type_events.astype(np.float64),
        "type_actor_events": type_actor_events.astype(np.float64),
    }


def _unlike(f: _Frame, type_events: Ints, type_actor_events: Ints) -> Floats:
    """Sum over 24 hours how much likelier each kind of event is of the tenant's other actors than of this one.

    Signed, so that what an actor always does speaks for the actor: a masquerader differs throughout, a whim does not.
    An actor of whom little is known is neither like nor unlike itself.
    """
    actor_events, tenant_events = f.by_actor.count(), f.by_tenant.count()
    others = (type_events - type_actor_events + 0.5) / (tenant_events - actor_events + 1.0)
    own = (type_actor_events + 4.0 * others) / (actor_events + 4.0)
    known = np.minimum(actor_events / 30.0, 1.0)
    ratio = np.round((np.log(others) - np.log(own)) * known * FIXED).astype(np.int64)
    start = f.window.first(DAY_S)
    return np.maximum(f.window.total(start, ratio) / FIXED / np.sqrt(f.window.count(start)), 0.0)


def _rare_for_actor(f: _Frame, value: Ints) -> Floats:
    """Return how much rarer a value is for its actor than the actor's values usually are; 0 without a value."""
    counted = value >= 0
    seen, pairs = group(np.where(counted, f.actor, -1)).count(), group(pair(f.actor, value)).count()
    known = f.by_tenant.total(counted)
    share = (group(value).count() + 0.5) / (known + 1.0)
    rare = np.where(counted, _rarity(pairs, seen, share, 4.0), 0.0)
    usual = f.by_actor.total(np.round(rare * FIXED).astype(np.int64)) / FIXED
    return np.where(counted, np.maximum(rare - (usual + 4.0) / (f.by_actor.total(counted) + 4.0), 0.0), 0.0)


def _fading(f: _Frame, value: Ints, first_time: Floats) -> Floats:
    """Carry the surprise of an actor's first time with a value on to what follows, half of it after 8 hours."""
    pairs = group(pair(f.actor, value))
    first = np.empty(pairs.size, dtype=np.int64)
    first[pairs.order] = pairs.order[pairs.start]
    hours = (f.time_us - f.time_us[first]) / (HOUR_S * 1e6)
    return np.where(value >= 0, first_time[first] / (1.0 + hours / 8.0), 0.0)


def _young(f: _Frame, age: Ints) -> Floats:
    """Return -ln of the share of the tenant's past events whose actor was at most as experienced as this one."""
    tenant_events = f.by_tenant.count()
    result = np.zeros(len(age))
    at_most = np.zeros(len(age), dtype=np.int64)
    for level in range(int(age.max(initial=0)) + 1):
        at_most = at_most + f.by_tenant.total(age == level)
        here = age == level
        result[here] = -np.log((at_most[here] + 1.0) / (tenant_events[here] + 1.0))
    return result


def _place_features(f: _Frame, events: pl.DataFrame) -> tuple[dict[str, Floats], Ints]:
    network = codes(events["ip_index"].str.slice(0, 16))
    address = codes(events["ip_index"])
    agent = codes(_family(events["user_agent"]))
    entity = codes(events.select(pl.concat_str("entity_type", "entity_id", separator="\x1f")).to_series())
    tenant = np.zeros_like(f.actor)
    _, network_actor = _first_times(f.by_actor, f.actor, network)
    _, network_tenant = _first_times(f.by_tenant, tenant, network)
    _, address_actor = _first_times(f.by_actor, f.actor, address)
    _, agent_actor = _first_times(f.by_actor, f.actor, agent)
    _, entity_actor = _first_times(f.by_actor, f.actor, entity)
    # Null addresses in between must not hide a change, so the row before is the one before that had an address.
    placed = group(np.where(network >= 0, f.actor, -1 - np.arange(len(network))))
    before = placed.previous()
    minutes = (f.time_us - f.time_us[before]) / 60e6
    jump = (before >= 0) & (network >= 0) & (network != network[before]) & (minutes < 60)
    jump_surprise = novelty(f.by_actor, jump, network >= 0)
    closeness = np.clip(1.5 - minutes / 60, 0.5, 1.5)
    by_network = group(np.where(network >= 0, network, -1))
    near = windows(by_network, f.time_us, HOUR_S)
    first = near.first(HOUR_S)
    failed_here = f.failed & (network >= 0)
    fresh_failing = _fresh(pair(pair(network, f.actor), f.failed.astype(np.int64)), f.time_us, HOUR_S) & failed_here
    network_failures = np.where(network >= 0, near.total(first, failed_here), 0)
    failing_actors = np.where(network >= 0, near.total(first, fresh_failing), 0)
    return {
        "entity_new_actor": entity_actor,
        "network_new_actor": network_actor,
        "network_new_tenant": network_tenant,
        "address_new_actor": np.where(network_actor > 0, 0.0, address_actor),
        "agent_new_actor": agent_actor,
        "network_rare_actor": _rare_for_actor(f, network),
        "network_rare_tenant": np.where(
            network >= 0, -np.log((by_network.count() + 0.5) / (f.by_tenant.total(network >= 0) + 1.0)), 0.0
        ),
        "network_young": _fading(f, network, network_actor),
        "agent_rare_actor": _rare_for_actor(f, agent),
        "agent_young": _fading(f, agent, agent_actor),
        "network_jump": np.where(jump, jump_surprise * closeness, 0.0),
        "network_gap_s": np.where((before >= 0) & (network >= 0) & (network != network[before]), minutes * 60.0, -1.0),
        "network_failures": np.where(failing_actors > 1, np.log1p(network_failures), 0.0),
        "network_failures_1h": network_failures.astype(np.float64),
        "network_failing_actors_1h": failing_actors.astype(np.float64),
    }, entity


def _fresh(code: Ints, time_us: Ints, seconds: float) -> Flags:
    """Return which rows show a value that did not occur in the last `seconds`."""
    before = group(code).previous()
    return (before < 0) | ((time_us - time_us[before]) > int(seconds * 1e6))


def _rate_features(f: _Frame, entity: Ints) -> dict[str, Floats]:
    first = {span: f.window.first(span) for span in (600.0, HOUR_S, DAY_S)}
    count = {span: f.window.count(start) for span, start in first.items()}
    entities = f.window.total(first[HOUR_S], _fresh(pair(f.actor, entity), f.time_us, HOUR_S))
    kinds = f.window.total(first[HOUR_S], _fresh(pair(f.actor, f.kind), f.time_us, HOUR_S))
    failures_10m = f.window.total(first[600.0], f.failed)
    failures_1h = f.window.total(first[HOUR_S], f.failed)
    same = group(pair(pair(f.actor, f.kind), f.failed.astype(np.int64)))
    repeats = windows(same, f.time_us, HOUR_S)
    repeated = repeats.count(repeats.first(HOUR_S)) - 1
    before = f.by_actor.previous()
    gap_s = np.where(before >= 0, (f.time_us - f.time_us[before]) / 1e6, -1.0)
    longest = f.by_actor.running_max(np.where(before >= 0, gap_s, 0.0))
    silent = (gap_s > np.maximum(longest * 1.2, DAY_S)) & (f.by_actor.count() >= 3)
    actor_failures, actor_events = f.by_actor.total(f.failed), f.by_actor.count()
    usual_failure = (f.by_tenant.total(f.failed) + 1.0) / (f.by_tenant.count() + 4.0)
    failure_rare = -np.log((actor_failures + 4.0 * usual_failure) / (actor_events + 4.0))
    failures_before = failures_10m - f.failed

    def unusual(value: Ints, spread: float) -> Floats:
        return np.clip(excess(f.by_actor, f.by_tenant, np.log1p(value), spread), 0.0, 12.0)

    return {
        "burst_10m": unusual(count[600.0], 0.5),
        "burst_1h": unusual(count[HOUR_S], 0.5),
        "burst_24h": unusual(count[DAY_S], 0.5),
        "spread_entities_1h": unusual(entities, 0.5),
        "spread_types_1h": unusual(kinds, 0.3),
        "repeats_burst": np.clip(excess(same, group(f.kind), np.log1p(repeated), 0.5), 0.0, 12.0),
        "failure_rare": np.where(f.failed, failure_rare, 0.0),
        "failures_burst": np.where(failures_1h > 1, unusual(failures_1h, 0.3), 0.0),
        "success_after_failures": np.where(~f.failed & (failures_before >= 3), np.log1p(failures_before), 0.0),
        "silence": np.where(silent, np.log1p(gap_s / DAY_S), 0.0),
        "gap_s": gap_s,
        "events_10m": count[600.0].astype(np.float64),
        "events_1h": count[HOUR_S].astype(np.float64),
        "events_24h": count[DAY_S].astype(np.float64),
        "entities_1h": entities.astype(np.float64),
        "types_1h": kinds.astype(np.float64),
        "failures_10m": failures_10m.astype(np.float64),
        "failures_1h": failures_1h.astype(np.float64),
        "repeats_1h": repeated.astype(np.float64),
    }


def _hour_features(f: _Frame) -> dict[str, Floats]:
    """Compare with the actor's habit in blocks of 4 hours, weekdays and weekends apart.

    Two sets of blocks, shifted by half, smooth the edges: 08:05 is not far from 07:55.
    """
    hours = f.time_us // 3_600_000_000
    hour, day = hours % 24, (hours // 24 + 3) % 7
    weekend = day >= 5
    sharp, shifted = hour // 4 + 6 * weekend, (hour + 2) % 24 // 4 + 6 * weekend
    actor_events, tenant_events = f.by_actor.count(), f.by_tenant.count()
    for_all = (group(sharp).count() + group(shifted).count()) / 2
    for_actor = (group(f.actor * 12 + sharp).count() + group(f.actor * 12 + shifted).count()) / 2
    share_all = (for_all + 2.0 / 12) / (tenant_events + 2.0)
    share = (for_actor + 6.0 * share_all) / (actor_events + 6.0)
    return {
        "hour_rare": np.maximum(-np.log(share) - np.log(12.0), 0.0),
        "hour": hour.astype(np.float64),
        "weekend": weekend.astype(np.float64),
    }


def _details_features(f: _Frame, details: pl.Series) -> dict[str, Floats]:
    size_text = details.str.extract_all(_SIZE).list.eval(pl.element().str.extract(r"(\d+)$", 1).cast(pl.Float64))
    size = size_text.list.max().fill_null(-1.0).to_numpy()
    log_size = np.where(size >= 0, np.log10(1.0 + np.maximum(size, 0.0)), 0.0)
    of_actor, of_kind = f.by_actor.running_max(log_size), group(f.kind).running_max(log_size)
    known = np.isfinite(of_actor) & np.isfinite(of_kind)
    largest = np.where(known, np.maximum(of_actor, np.minimum(of_kind, of_actor + 1.0)), 0.0)
    enough = (group(f.kind).count() >= 5) & (size >= 0)
    jump = np.where(enough, np.maximum(log_size - np.maximum(largest, 1.0), 0.0), 0.0)
    whole = np.clip(np.round(np.maximum(size, 0.0)), 0.0, 1e12).astype(np.int64)
    amount = np.log1p(f.window.total(f.window.first(DAY_S), whole))
    return {
        "amount_24h": np.where(size > 0, np.clip(excess(f.by_actor, f.by_tenant, amount, 0.5), 0.0, 12.0), 0.0),
        "size": size,
        "size_before": np.where(known & (largest > 0), 10.0**largest - 1.0, -1.0),
        "size_jump": jump,
        "exposed": details.str.contains(_EXPOSED).fill_null(False).to_numpy().astype(np.float64),
        **_leaf_features(f, details),
    }


def _leaf_features(f: _Frame, details: pl.Series) -> dict[str, Floats]:
    """Judge each short value in the details by its key: new or rare for the actor, new for the tenant."""
    n = len(f.actor)
    rows = np.arange(n, dtype=np.int64)
    found = pl.DataFrame({"row": rows, "leaf": details.str.extract_all(_LEAF).list.head(_LEAVES_PER_EVENT)})
    leaves = found.explode("leaf", empty_as_null=True).drop_nulls("leaf")
    zero = np.zeros(n)
    if leaves.is_empty():
        return {"details_new_actor": zero, "details_new_tenant": zero, "details_rare_actor": zero}
    row = leaves["row"].to_numpy()
    leaf = codes(leaves["leaf"])
    key = codes(leaves["leaf"].str.extract(r'^"(\w+)"', 1))
    actor_key = pair(f.actor[row], key)
    by_actor_key, by_key = group(actor_key), group(key)
    own = group(pair(actor_key, leaf)).count()
    everyone = group(leaf).count()
    counted = np.ones(len(row), dtype=bool)
    new_actor = novelty(by_actor_key, own == 0, counted)
    new_tenant = novelty(by_key, everyone == 0, counted)
    n_key, n_actor_key = by_key.count(), by_actor_key.count()
    share_all = (everyone + 0.5) / (n_key + 1.0)
    share = (own + 4.0 * share_all) / (n_actor_key + 4.0)
    rarer = np.clip(np.log(share_all) - np.log(share), -3.0, 6.0)
    table = pl.DataFrame({"row": row, "a": new_actor, "t": new_tenant, "r": np.maximum(rarer, 0.0)})
    per_row = table.group_by("row").agg(pl.col("a").max(), pl.col("t").max(), pl.col("r").max())
    full = pl.DataFrame({"row": rows}).join(per_row, on="row", how="left", maintain_order="left").fill_null(0.0)
    return {
        "details_new_actor": full["a"].to_numpy(),
        "details_new_tenant": full["t"].to_numpy(),
        "details_rare_actor": full["r"].to_numpy(),
    }


def _session_features(f: _Frame, known: dict[str, Floats]) -> dict[str, Floats]:
    """Sum up what else the actor did within the hour: one odd event is a whim, several in a row are an incident."""
    zero = np.zeros(len(f.actor))
    start = f.window.first(HOUR_S)
    # By the root of the number of events: a busy hour of somebody who meets new things steadily is no intruder's visit.
    by_root = np.sqrt(known["events_1h"] + 1.0)
    firsts = np.round(sum((known[name] for name in _FIRSTS), zero) * FIXED).astype(np.int64)
    odd = sum((known[name] for name in _ODD), 0.5 * known["type_few_actors"]) * (known["risk"] + 0.15)
    once = np.where(_fresh(pair(f.actor, f.kind), f.time_us, HOUR_S), np.round(odd * FIXED), 0.0).astype(np.int64)
    # A thief beside the owner: what the owner does from the usual network dilutes nothing here.
    here = group(f.place)
    near = windows(here, f.time_us, HOUR_S)
    return {
        "suspicion_place": (near.total(near.first(HOUR_S), once) - once) / FIXED,
        "novelty_1h": f.window.total(start, firsts) / FIXED / by_root,
        "suspicion_1h": (f.window.total(start, once) - once) / FIXED / by_root,
    }


def compute_features(events: pl.DataFrame) -> pl.DataFrame:
    """Compute the features of every event of one tenant's events frame.

    Returns one row per event, ordered by (occurred_at, seq): the columns of IDENTITY, then one float64 column per
    entry of FEATURES, never null or NaN. Guarantees causality: a row depends only on events with (occurred_at, seq)
    up to its own. Events without an actor count as one actor.
    """
    ordered = _ordered(events)
    time_us = _time_us(ordered)
    actor = codes(ordered["actor_ref"].fill_null(""))
    kind = codes(ordered["event_type"])
    failed = ordered["outcome"].fill_null("").str.contains(FAILURE_WORDS).to_numpy().astype(bool)
    by_actor = group(actor)
    network = codes(ordered["ip_index"].str.slice(0, 16))
    frame = _Frame(
        place=pair(actor, network + 1),
        time_us=time_us,
        actor=actor,
        kind=kind,
        failed=failed,
        by_actor=by_actor,
        by_tenant=group(np.zeros_like(actor)),
        by_pair=group(pair(actor, kind)),
        window=windows(by_actor, time_us, DAY_S),
    )
    place, entity = _place_features(frame, ordered)
    columns = _type_features(frame, codes(ordered["entity_type"])) | place
    columns |= _rate_features(frame, entity) | _hour_features(frame)
    columns |= _details_features(frame, ordered["details"])
    start = by_actor.order[by_actor.start]
    first_seen = np.empty_like(time_us)
    first_seen[by_actor.order] = time_us[start]
    columns["actor_days"] = (time_us - first_seen) / (DAY_S * 1e6)
    columns["risk"] = add_risk(ordered).to_numpy().astype(np.float64)
    columns["failed"] = failed.astype(np.float64)
    columns |= _session_features(frame, columns)
    return ordered.select(IDENTITY).with_columns(
        pl.Series(each.name, columns[each.name], dtype=pl.Float64) for each in FEATURES
    )


def actor_features(events: pl.DataFrame) -> pl.DataFrame:
    """Summarise the behaviour of each actor per UTC day of `occurred_at`.

    Returns tenant_id, actor_ref, day, events, failures, event_types, entities, networks, off_hours_share (outside 07
    to 19 UTC or on a weekend), first_times (kinds of event the actor had never done before that day).
    """
    moment = pl.col("occurred_at")
    off_hours = (moment.dt.weekday() >= 6) | (moment.dt.hour() < 7) | (moment.dt.hour() >= 19)
    ordered = _ordered(events).with_columns(
        day=moment.dt.date(),
        _first=pl.struct(pl.col("actor_ref").fill_null(""), "event_type").is_first_distinct(),
    )
    return (
        ordered.group_by("tenant_id", "actor_ref", "day")
        .agg(
            events=pl.len().cast(pl.Int64),
            failures=pl.col("outcome").fill_null("").str.contains(FAILURE_WORDS).sum().cast(pl.Int64),
            event_types=pl.col("event_type").n_unique().cast(pl.Int64),
            entities=pl.struct("entity_type", "entity_id").n_unique().cast(pl.Int64),
            networks=pl.col("ip_index").str.slice(0, 16).drop_nulls().n_unique().cast(pl.Int64),
            off_hours_share=off_hours.mean(),
            first_times=pl.col("_first").sum().cast(pl.Int64),
        )
        .sort("day", "actor_ref", nulls_last=True)
    )
