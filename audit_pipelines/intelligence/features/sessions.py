"""What else the actor did within the hour: one odd event is a whim, several in a row are an incident."""

from typing import Final

import numpy as np

from audit_pipelines.intelligence.features.facts import HOUR_S, Facts, Feature
from audit_pipelines.intelligence.novelty import FIXED
from audit_pipelines.intelligence.past import Floats, number, numbered, pair
from audit_pipelines.intelligence.risk import add_risk

FEATURES: Final = (
    Feature("novelty_1h", "first times of the actor within 1 hour, by the root of its events", "nats"),
    Feature("suspicion_1h", "odd and harmful new things of the actor in the hour before this event", "nats by risk"),
    Feature(
        "suspicion_place", "the same, of the actor from this network alone, whatever it does elsewhere", "nats by risk"
    ),
    Feature("risk", "possible harm, from the words of the event", "0..1", "meaning"),
)

_FIRSTS: Final = (
    "type_new_actor", "type_new_tenant", "network_new_actor", "agent_new_actor", "kind_new_actor", "details_new_actor",
)  # fmt: skip
_ODD: Final = (*_FIRSTS, "network_jump", "failure_rare", "silence", "success_after_failures")


def compute(f: Facts) -> dict[str, Floats]:
    """Sum up over the actor's last hour."""
    kinds = pair(pair(f.kind, f.entity_kind), number(f.failed))
    # By key: a join by three texts would compare them row by row.
    rows, which = numbered(kinds)
    risk = add_risk(f.events[rows]).to_numpy().astype(np.float64).take(which)
    zero = np.zeros(len(f.actor))
    # By the root of the number of events: a busy hour of somebody who meets new things steadily is no intruder's visit.
    by_root = np.sqrt(f.known["events_1h"] + 1.0)
    firsts = np.round(sum((f.known[name] for name in _FIRSTS), zero) * FIXED).astype(np.int64)
    odd = sum((f.known[name] for name in _ODD), 0.5 * f.known["type_few_actors"]) * (risk + 0.15)
    once = np.where(f.since_pair_s > HOUR_S, np.round(odd * FIXED), 0.0).astype(np.int64)
    return {
        # A thief beside the owner: what the owner does from the usual network dilutes nothing here.
        "suspicion_place": (f.here.total("odd", f.here_1h, once) - once) / FIXED,
        "risk": risk,
        "novelty_1h": f.window.total("first times", f.since_1h, firsts) / FIXED / by_root,
        "suspicion_1h": (f.window.total("odd", f.since_1h, once) - once) / FIXED / by_root,
    }
