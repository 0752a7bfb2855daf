"""Whence the actor comes: networks, addresses and clients that are new, jumps between networks, failures around one."""

from typing import Final

import numpy as np
import polars as pl

from audit_pipelines.intelligence.features.facts import HOUR_S, Facts, Feature, by_distinct, since
from audit_pipelines.intelligence.features.kinds import rarity
from audit_pipelines.intelligence.novelty import FIXED, first_times, novelty
from audit_pipelines.intelligence.past import Flags, Floats, Group, Ints, Keys, log2, number, pair

FEATURES: Final = (
    Feature("entity_new_actor", "first time the actor touches this entity", "nats"),
    Feature("network_new_actor", "first time the actor comes from this network", "nats"),
    Feature("network_new_tenant", "first time anybody comes from this network", "nats"),
    Feature("address_new_actor", "first time the actor comes from this address", "nats"),
    Feature("agent_new_actor", "first time the actor uses this family of client", "nats"),
    Feature("network_rare_actor", "how much rarer the network is than where the actor usually comes from", "nats"),
    Feature("network_rare_tenant", "how rare the network is in the tenant's past", "nats"),
    Feature("network_young", "the first time from this network, hours ago and fading", "nats"),
    Feature("agent_rare_actor", "how much rarer the family of client is than what the actor usually uses", "nats"),
    Feature("agent_young", "the first time with this family of client, hours ago and fading", "nats"),
    Feature("network_jump", "another network than minutes before, weighed by how often the actor changes", "nats"),
    Feature("strange_1h", "how much better the entities of 1 hour fit somebody else than the actor", "nats"),
    Feature("strange_place", "the same of 1 hour, of the actor from this network alone", "nats"),
    Feature("network_failures", "failures of several actors from one network in 1 hour", "ln(1 + failures)"),
    Feature(
        "network_gap_s", "seconds since the actor's event from another network; -1 without a change", "s", "evidence"
    ),
    Feature("network_failures_1h", "failures from the network in 1 hour", "events", "evidence"),
    Feature("network_failing_actors_1h", "actors that failed from the network in 1 hour", "actors", "evidence"),
)


def compute(f: Facts) -> dict[str, Floats]:
    """Compute the family."""
    addresses = f.events["ip_index"]
    address, known = f.stretch.keys(addresses)
    agent, has_agent = f.stretch.keys(by_distinct(f.events["user_agent"], client_family))
    has_entity = f.events["entity_id"].is_not_null().to_numpy() & f.events["entity_type"].is_not_null().to_numpy()

    first_of_entity = (f.by_entity.count() == 0) & has_entity
    by_network = f.stretch.group("network", f.network)
    network_actor, network_lasting = _lasting("network", f, f.network, known, by_network)
    _, address_actor = first_times("actor, address", f.by_actor, f.actor, address, known)
    by_agent = f.stretch.group("agent", agent)
    agent_actor, agent_lasting = _lasting("agent", f, agent, has_agent, by_agent)
    networks = by_network.count()
    placed = f.tenant.total("placed", known)
    return {
        "entity_new_actor": novelty("actor, entity", f.by_actor, first_of_entity, has_entity),
        "network_new_actor": network_actor,
        "network_new_tenant": novelty("networks of tenant", f.tenant, (networks == 0) & known, known),
        "network_rare_tenant": np.where(known, -np.log((networks + 0.5) / (placed + 1.0)), 0.0),
        "address_new_actor": np.where(network_actor > 0, 0.0, address_actor),
        "agent_new_actor": agent_actor,
        **network_lasting,
        **agent_lasting,
        **_jumps(f, known),
        **_strange(f, first_of_entity, has_entity),
        **_failures(f, known),
    }


def client_family(agents: pl.Series) -> pl.Series:
    """Reduce user agents to families of clients: product names without versions, builds and identifiers."""
    return (
        agents.str.to_lowercase()
        .str.replace_all(r"[0-9a-f]{6,}|\d+", "")
        .str.replace_all(r"[^a-z]+", " ")
        .str.slice(0, 80)
    )


def _lasting(name: str, f: Facts, value: Keys, has: Flags, everyone: Group) -> tuple[Floats, dict[str, Floats]]:
    """Return how surprising a value's first time with its actor is, and what of it lasts through the events after it.

    An intruder is new with the first event and no less strange with the tenth: how rare the value still is for the
    actor, beyond how rare the actor's values usually are, and the first surprise itself, half of it after 8 hours.
    """
    met = f.stretch.group(f"actor, {name}", pair(f.actor, value))
    count = met.count()
    first_time = novelty(f"actor, {name}", f.by_actor, (count == 0) & has, has)
    share = (everyone.count() + 0.5) / (f.tenant.total(f"{name} known", has) + 1.0)
    seen = f.by_actor.total(f"{name} known", has)
    rare = np.where(has, rarity(count, seen, share, 4.0), 0.0)
    usual = f.by_actor.total(f"{name} rarity", np.round(rare * FIXED).astype(np.int64)) / FIXED
    first = met.first("surprise", np.round(first_time * FIXED).astype(np.int64)) / FIXED
    hours = (f.time_us - met.first("since", f.time_us)) / (HOUR_S * 1e6)
    return first_time, {
        f"{name}_rare_actor": np.where(has, np.maximum(rare - (usual + 4.0) / (seen + 4.0), 0.0), 0.0),
        f"{name}_young": np.where(has, first / (1.0 + hours / 8.0), 0.0),
    }


def _strange(f: Facts, new: Flags, has_entity: Flags) -> dict[str, Floats]:
    """Sum how much likelier it is of a stranger than of the actor that an entity is new, or known, to the actor.

    A stranger touches what the actor never did as often as the actor has left out the tenant's entities of the kind.
    `new` marks the actor's first time; what is touched again within the hour counts once.
    """
    counted = (f.since_entity_s > HOUR_S) & has_entity
    of_kind = f.stretch.group("entity kind", f.entity_kind)
    own = f.by_entity_kind
    first = (f.stretch.group("entity", f.entity).count() == 0) & has_entity
    there = np.maximum(of_kind.total("entities", first), 1)
    own_there, own_times = own.total("entities", new), own.total("times", counted)
    left = np.clip(1.0 - own_there / (there + 1.0), 0.05, 0.95)
    # Others of the tenant at the same age say how often something new is to be expected of so young a past.
    age = f.stretch.group("entity kind, age", pair(f.entity_kind, number(log2(own_times + 1))))
    usual = (age.total("new", new & counted) + left) / (age.total("times", counted) + 1.0)
    own_share = np.clip((own_there + 4.0 * usual) / (own_times + 4.0), 0.02, 0.95)
    # An actor's early entities were all new and say little of the later ones, so half is what others do at this age.
    expected = np.clip(0.5 * (own_share + usual), 0.02, 0.95)
    ratio = np.where(new, np.log(left / expected), np.log((1.0 - left) / (1.0 - expected)))
    fixed = np.where(counted, np.round(np.clip(ratio, -2.0, 3.0) * FIXED), 0.0).astype(np.int64)
    return {
        "strange_1h": np.maximum(f.window.total("strange", f.since_1h, fixed) / FIXED, 0.0),
        "strange_place": np.maximum(f.here.total("strange", f.here_1h, fixed) / FIXED, 0.0),
    }


def _jumps(f: Facts, known: Flags) -> dict[str, Floats]:
    # Events without an address must not hide a change, so the row before is the one before that had one.
    rows = np.flatnonzero(known)
    placed = f.stretch.group("placed actor", f.actor[rows])
    before, has = placed.previous("network", f.network[rows])
    seconds = since(placed, "time", f.time_us[rows])
    other = has & (before.view(np.uint64) != f.network[rows])
    gap = np.full(len(known), -1.0)
    gap[rows[other]] = seconds[other]
    jump = (gap >= 0) & (gap < HOUR_S)
    closeness = np.clip(1.5 - gap / HOUR_S, 0.5, 1.5)
    return {
        "network_jump": np.where(jump, novelty("jumps of actor", f.by_actor, jump, known) * closeness, 0.0),
        "network_gap_s": gap,
    }


def _failures(f: Facts, known: Flags) -> dict[str, Floats]:
    rows = np.flatnonzero(known & f.failed)
    fails = f.stretch.group("network, failing actor", pair(f.network[rows], f.actor[rows]))
    fresh = np.zeros(len(known), dtype=bool)
    fresh[rows] = since(fails, "time", f.time_us[rows]) > HOUR_S
    places = np.flatnonzero(known)
    near = f.stretch.windows("network", f.network[places], HOUR_S, f.time_us[places])
    start = near.first(HOUR_S)
    failures = _spread(near.total("failed", start, f.failed[places]), places, len(known))
    actors = _spread(near.total("failing actors", start, fresh[places]), places, len(known))
    return {
        "network_failures": np.where(actors > 1, np.log1p(failures), 0.0),
        "network_failures_1h": failures,
        "network_failing_actors_1h": actors,
    }


def _spread(values: Ints, rows: Ints, size: int) -> Floats:
    out = np.zeros(size)
    out[rows] = values
    return out
