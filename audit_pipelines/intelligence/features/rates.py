"""How much at once: bursts, spreads, runs of failures, silences, a day's volume, against the actor's own past."""

from typing import Final

import numpy as np

from audit_pipelines.intelligence.features.facts import DAY_S, DAY_US, HOUR_S, Facts, Feature, since
from audit_pipelines.intelligence.novelty import FIXED, excess
from audit_pipelines.intelligence.past import Floats, Ints, number, pair

FEATURES: Final = (
    Feature("silence", "a silence longer than any before it", "ln(1 + days)"),
    Feature("burst_10m", "events in 10 minutes against what is usual for the actor", "standard deviations"),
    Feature("burst_1h", "events in 1 hour against what is usual for the actor", "standard deviations"),
    Feature("burst_24h", "events in 24 hours against what is usual for the actor", "standard deviations"),
    Feature("spread_entities_1h", "entities newly touched in 1 hour against what is usual", "standard deviations"),
    Feature("spread_types_1h", "kinds of event taken up in 1 hour against what is usual", "standard deviations"),
    Feature(
        "volume_day",
        "events of the day so far against whole days of the actor's past",
        "standard deviations",
    ),
    Feature("repeats_burst", "events of one kind in 1 hour against what is usual for it", "standard deviations"),
    Feature("failure_rare", "a failure, by an actor that seldom fails", "nats"),
    Feature("failures_burst", "failures in 1 hour against what is usual for the actor", "standard deviations"),
    Feature("success_after_failures", "a success right after a run of failures", "ln(1 + failures)"),
    Feature("failed", "the outcome was a failure", "0 or 1", "evidence"),
    Feature("actor_days", "days since the actor's first event", "days", "evidence"),
    Feature("gap_s", "seconds since the actor's event before it; -1 for the first", "seconds", "evidence"),
    Feature("events_10m", "events of the actor in 10 minutes, this one included", "events", "evidence"),
    Feature("events_1h", "events of the actor in 1 hour, this one included", "events", "evidence"),
    Feature("events_24h", "events of the actor in 24 hours, this one included", "events", "evidence"),
    Feature("events_day", "events of the actor on this UTC day so far, this one included", "events", "evidence"),
    Feature(
        "entities_1h", "entities touched in 1 hour that were not touched in the hour before", "entities", "evidence"
    ),
    Feature("types_1h", "kinds of event in 1 hour that were not done in the hour before", "kinds", "evidence"),
    Feature("failures_10m", "failures of the actor in 10 minutes", "events", "evidence"),
    Feature("failures_1h", "failures of the actor in 1 hour", "events", "evidence"),
    Feature("repeats_1h", "same actor, kind and outcome in 1 hour before this event", "events", "evidence"),
)

_MOST: Final = 12.0


def compute(f: Facts) -> dict[str, Floats]:
    """Compute the family."""
    count_10m, count_1h, count_24h = (f.window.count(each) for each in (f.since_10m, f.since_1h, f.since_24h))
    entities = f.window.total("entities", f.since_1h, f.since_entity_s > HOUR_S)
    kinds = f.window.total("kinds", f.since_1h, f.since_pair_s > HOUR_S)
    failures_10m = f.window.total("failed", f.since_10m, f.failed)
    failures_1h = f.window.total("failed", f.since_1h, f.failed)
    same = f.stretch.windows("actor, kind, outcome", pair(pair(f.actor, f.kind), number(f.failed)), HOUR_S)
    repeats = same.count(same.first(HOUR_S)) - 1
    repeats_burst = excess("repeats", f.by_pair, f.by_kind, np.log1p(repeats), 0.5)
    gap = since(f.by_actor, "time", f.time_us)
    gap_s = np.where(np.isfinite(gap), gap, -1.0)
    longest = f.by_actor.largest("gap", np.maximum(np.round(gap_s * 1e6), 0.0).astype(np.int64)) / 1e6
    silent = (gap_s > np.maximum(longest * 1.2, DAY_S)) & (f.by_actor.count() >= 3)
    usual_failure = (f.tenant.total("failed", f.failed) + 1.0) / (f.tenant.count() + 4.0)
    failure_rare = -np.log((f.by_actor.total("failed", f.failed) + 4.0 * usual_failure) / (f.by_actor.count() + 4.0))
    failures_before = failures_10m - f.failed

    def unusual(name: str, value: Ints, spread: float) -> Floats:
        return np.clip(excess(name, f.by_actor, f.tenant, np.log1p(value), spread), 0.0, _MOST)

    return {
        "burst_10m": unusual("10m", count_10m, 0.5),
        "burst_1h": unusual("1h", count_1h, 0.5),
        "burst_24h": unusual("24h", count_24h, 0.5),
        "spread_entities_1h": unusual("entities", entities, 0.5),
        "spread_types_1h": unusual("kinds", kinds, 0.3),
        "failure_rare": np.where(f.failed, failure_rare, 0.0),
        "failures_burst": np.where(failures_1h > 1, unusual("failures", failures_1h, 0.3), 0.0),
        "success_after_failures": np.where(~f.failed & (failures_before >= 3), np.log1p(failures_before), 0.0),
        "silence": np.where(silent, np.log1p(np.maximum(gap_s, 0.0) / DAY_S), 0.0),
        "failed": f.failed.astype(np.float64),
        "actor_days": (f.time_us - f.by_actor.first("since", f.time_us)) / (DAY_S * 1e6),
        "gap_s": gap_s,
        "events_10m": count_10m.astype(np.float64),
        "events_1h": count_1h.astype(np.float64),
        "events_24h": count_24h.astype(np.float64),
        "entities_1h": entities.astype(np.float64),
        "types_1h": kinds.astype(np.float64),
        "failures_10m": failures_10m.astype(np.float64),
        "failures_1h": failures_1h.astype(np.float64),
        "repeats_1h": repeats.astype(np.float64),
        "repeats_burst": np.clip(repeats_burst, 0.0, _MOST),
        **_days(f),
    }


def _days(f: Facts) -> dict[str, Floats]:
    """Compare the day so far with the actor's days before it, backed by those of the tenant's other actors."""
    day = f.time_us // DAY_US
    today = f.stretch.group("actor, day", pair(f.actor, number(day))).count() + 1
    last_day, has = f.by_actor.previous("day", day)
    last_count, _ = f.by_actor.previous("events of day", today)
    over = has & (last_day != day)
    # What a day came to is known with the actor's first event after it.
    value = np.where(over, np.round(np.log1p(last_count) * FIXED), 0.0).astype(np.int64)
    square = np.where(over, np.round(np.log1p(last_count) ** 2 * 256), 0.0).astype(np.int64)
    days = f.by_actor.total("days", over) + over
    of_actor = f.by_actor.total("sum of days", value) + value
    squares = f.by_actor.total("squares of days", square) + square
    all_days = np.maximum(f.tenant.total("days", over) + over, 1)
    mean_all = (f.tenant.total("sum of days", value) + value) / FIXED / all_days
    square_all = (f.tenant.total("squares of days", square) + square) / 256 / all_days
    mean = (of_actor / FIXED + 2.0 * mean_all) / (days + 2.0)
    second = (squares / 256 + 2.0 * square_all) / (days + 2.0)
    deviation = np.sqrt(np.maximum(second - mean * mean, 0.0) + 0.25)
    unusual = np.clip((np.log1p(today) - mean) / deviation, 0.0, _MOST)
    return {"volume_day": np.where(days > 0, unusual, 0.0), "events_day": today.astype(np.float64)}
