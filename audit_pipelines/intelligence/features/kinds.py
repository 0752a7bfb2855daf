"""What the actor does: kinds of event that are new or rare for the actor or the tenant, and unusual after another."""

from typing import Final

import numpy as np
import numpy.typing as npt

from audit_pipelines.intelligence.features.facts import DAY_S, Facts, Feature
from audit_pipelines.intelligence.novelty import FIXED, novelty
from audit_pipelines.intelligence.past import Floats, Ints, log2, pair

FEATURES: Final = (
    Feature("type_new_actor", "first time the actor does this kind of event", "nats"),
    Feature("type_new_tenant", "first time anybody of the tenant does it", "nats"),
    Feature("type_rare_tenant", "how rare the kind of event is in the tenant's past", "nats"),
    Feature("type_rare_actor", "how much rarer the kind is for this actor than what the actor usually does", "nats"),
    Feature("type_few_actors", "how few of the tenant's actors ever did it", "nats"),
    Feature("sequence_rare", "how unusual the kind is right after the actor's event before it", "nats"),
    Feature("unlike_24h", "how much better 24 hours of kinds of event fit others of the tenant than the actor", "nats"),
    Feature("unlike_7d", "the same of 7 days: somebody else under the actor's name", "nats"),
    Feature("actor_young", "how rare it is that so new an actor acts in this tenant", "nats"),
    Feature("actor_fresh", "how rare it is that an actor known for so short a time acts in this tenant", "nats"),
    Feature("kind_new_actor", "first time the actor touches an entity of this kind", "nats"),
    Feature("actor_events", "events of the actor before this one", "events", "evidence"),
    Feature("tenant_events", "events of the tenant before this one", "events", "evidence"),
    Feature("tenant_actors", "actors seen before this event", "actors", "evidence"),
    Feature("type_actors", "actors that did this kind before this event", "actors", "evidence"),
    Feature("type_events", "events of this kind before this one", "events", "evidence"),
    Feature("type_actor_events", "events of this kind by this actor before this one", "events", "evidence"),
)

# An actor's age is the power of two of its events; nobody gets beyond 2^40.
_AGES: Final = 40
_HOUR_US: Final = 3_600_000_000
_KNOWN: Final = 30.0
"""Events from which an actor's habits count in full; so many must others have, too."""


def compute(f: Facts) -> dict[str, Floats]:
    """Compute the family."""
    tenant_events, actor_events = f.tenant.count(), f.by_actor.count()
    type_events, type_actor_events = f.by_kind.count(), f.by_pair.count()
    first_of_pair, first_of_kind, first_of_actor = type_actor_events == 0, type_events == 0, actor_events == 0
    kinds_seen = f.tenant.total("kinds", first_of_kind)
    share = (type_events + 0.5) / (tenant_events + 0.5 * (kinds_seen + 1))
    rare_actor = rarity(type_actor_events, actor_events, share, 4.0)
    fixed = np.round(rare_actor * FIXED).astype(np.int64)
    usual = f.by_actor.total("rarity", fixed) / FIXED
    usual_all = f.tenant.total("rarity", fixed) / FIXED / np.maximum(tenant_events, 1)
    type_actors = f.by_kind.total("actors", first_of_pair)
    tenant_actors = f.tenant.total("actors", first_of_actor)
    hours_known = (f.time_us - f.by_actor.first("known since", f.time_us)) // _HOUR_US
    few = -np.log((type_actors + 0.5) / (tenant_actors + 1.0))
    has_kind = f.events["entity_type"].is_not_null().to_numpy()
    first_of_entity_kind = (f.by_entity_kind.count() == 0) & has_kind
    return {
        "type_new_actor": novelty("kinds of actor", f.by_actor, first_of_pair),
        "type_new_tenant": novelty("kinds of tenant", f.tenant, first_of_kind),
        "type_rare_tenant": -np.log(share),
        "type_rare_actor": np.maximum(rare_actor - (usual + 4.0 * usual_all) / (actor_events + 4.0), 0.0),
        "type_few_actors": np.maximum(few, 0.0),
        "sequence_rare": _sequence(f, share),
        **_unlike(f, 1.0 / (kinds_seen + 1.0)),
        "actor_young": _young("age", f, log2(actor_events + 1)),
        "actor_fresh": _young("hours known", f, log2(hours_known + 1)),
        "kind_new_actor": novelty("actor, entity kind", f.by_actor, first_of_entity_kind, has_kind),
        "actor_events": actor_events.astype(np.float64),
        "tenant_events": tenant_events.astype(np.float64),
        "tenant_actors": tenant_actors.astype(np.float64),
        "type_actors": type_actors.astype(np.float64),
        "type_events": type_events.astype(np.float64),
        "type_actor_events": type_actor_events.astype(np.float64),
    }


def rarity(count: Ints, total: Ints, prior: Floats, weight: float) -> Floats:
    """Return -ln of a share, backed by `prior` with the weight of so many events."""
    return -np.log((count + weight * prior) / (total + weight))


def _sequence(f: Facts, share: Floats) -> Floats:
    before, has = f.by_actor.previous("kind", f.kind)
    previous = before.view(np.uint64)
    follows = f.stretch.group("kind, kind", pair(previous, f.kind)).count()
    after = f.stretch.group("kind before", previous).count()
    return np.where(has, rarity(follows, after, share, 4.0), 0.0)


def _unlike(f: Facts, unknown: npt.NDArray[np.floating]) -> dict[str, Floats]:
    """Sum over 24 hours and 7 days how much likelier each kind of event is of the tenant's others than of this actor.

    The ratio of naive Bayes masquerade detection (Maxion, Townsend 2002), the day's by the root of its events. Signed,
    so that what an actor always does speaks for the actor: a masquerader differs throughout, a whim does not. An actor
    of whom little is known is neither like nor unlike itself, and neither is anybody where the others are hardly known:
    `unknown` is the share to expect of a kind of which nothing is. Somebody who takes over an account for good differs
    a little every day: on the hospital's trail a week of it ranks actor-days at AP 0.42, a day at 0.17.
    """
    actor_events, type_actor_events = f.by_actor.count(), f.by_pair.count()
    others_events = f.tenant.count() - actor_events
    others = (f.by_kind.count() - type_actor_events + 2.0 * unknown) / (others_events + 2.0)
    own = (type_actor_events + 4.0 * others) / (actor_events + 4.0)
    known = np.minimum(actor_events / _KNOWN, 1.0) * np.minimum(others_events / _KNOWN, 1.0)
    ratio = np.round((np.log(others) - np.log(own)) * known * FIXED).astype(np.int64)
    total = f.window.total("unlike", f.since_24h, ratio) / FIXED
    week = f.stretch.windows("actor, 7 days", f.actor, 7 * DAY_S)
    of_week = week.total("unlike", week.first(7 * DAY_S), ratio) / FIXED
    return {
        "unlike_24h": np.maximum(total / np.sqrt(f.window.count(f.since_24h)), 0.0),
        "unlike_7d": np.maximum(of_week, 0.0),
    }


def _young(name: str, f: Facts, age: Ints) -> Floats:
    """Return -ln of the share of the tenant's past events whose actor was at most of this age, in powers of two."""
    tenant_events = f.tenant.count()
    result = np.zeros(len(age))
    at_most = np.zeros(len(age), dtype=np.int64)
    carried = 0
    for level in range(_AGES):
        here = age == level
        if here.any():
            at_most += f.tenant.total(f"{name} {level}", here)
            result[here] = -np.log((at_most[here] + carried + 1.0) / (tenant_events[here] + 1.0))
        elif len(age):
            carried += int(f.tenant.carried(f"{name} {level}")[0])
    return result
