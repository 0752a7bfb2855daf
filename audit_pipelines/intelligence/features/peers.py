"""What the actor's peers do: actors whose most usual kind of event is the same.

Membership is carried and causal: who leads by the kind done most so far. A newcomer has no peers.
"""

from typing import Final

import numpy as np

from audit_pipelines.intelligence.features.facts import Facts, Feature
from audit_pipelines.intelligence.novelty import novelty
from audit_pipelines.intelligence.past import Floats, pair

FEATURES: Final = (
    Feature("type_new_peers", "first time anybody of the actor's peers does this kind of event", "nats"),
    Feature("type_few_peers", "how few of the actor's peers ever did it", "nats"),
    Feature("peers", "actors whose most usual kind of event was the same at some time", "actors", "evidence"),
    Feature("type_peers", "peers that did this kind before this event", "actors", "evidence"),
)


def compute(f: Facts) -> dict[str, Floats]:
    """Compute the family."""
    usual, settled = f.by_actor.leaders("usual kind", f.kind, f.by_pair.count() + 1)
    peers = usual.view(np.uint64)
    joins = (f.stretch.group("peers, actor", pair(peers, f.actor)).count() == 0) & settled
    by_peers = f.stretch.group("peers", peers)
    by_kind = f.stretch.group("peers, kind", pair(peers, f.kind))
    does_first = (f.stretch.group("peers, kind, actor", pair(pair(peers, f.kind), f.actor)).count() == 0) & settled
    new = (by_kind.count() == 0) & settled
    members, did = by_peers.total("actors", joins) + joins, by_kind.total("actors", does_first)
    few = -np.log((did + 0.5) / (members + 1.0))
    return {
        "type_new_peers": novelty("kinds of peers", by_peers, new, settled),
        "type_few_peers": np.where(settled, np.maximum(few, 0.0), 0.0),
        "peers": np.where(settled, members, 0).astype(np.float64),
        "type_peers": np.where(settled, did, 0).astype(np.float64),
    }
