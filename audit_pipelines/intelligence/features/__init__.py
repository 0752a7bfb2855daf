"""What an event looks like against its past: one row of numbers per event, causal and computed in stretches.

The features decide whether detection works; the detector only weighs them. Most are surprises in nats (-ln of how
often such a thing was to be expected of this actor or this tenant so far), so that newcomers and busy services do not
drown everything. Each family of features has a module: a `Feature` says what a number means, `compute` makes it.
To add one, add both there.
"""

from audit_pipelines.intelligence.features.compute import (
    FEATURES,
    IDENTITY,
    NEEDED,
    SURPRISES,
    advance,
    compute_features,
)
from audit_pipelines.intelligence.features.daily import actor_features
from audit_pipelines.intelligence.features.facts import Feature

__all__ = [
    "FEATURES",
    "IDENTITY",
    "NEEDED",
    "SURPRISES",
    "Feature",
    "actor_features",
    "advance",
    "compute_features",
]
