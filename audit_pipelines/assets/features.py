"""Behaviour as numbers."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS, updates
from audit_pipelines.derive import lineage
from audit_pipelines.derive.features import update_actor_features, update_event_features
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.features import FEATURES


@dg.asset(
    description=(
        "One row of numbers per event: how new, rare, frequent and untimely it is for its actor and tenant, from the "
        "events up to it alone (by occurred_at, late arrivals included)."
    ),
    group_name="features",
    owners=OWNERS,
    kinds={"parquet", "polars"},
    tags={"layer": "derived"},
    deps=["raw_events"],
    code_version=lineage.product_version(),
)
def event_features(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Compute the features of tenants with new events."""
    done = update_event_features(installation, run_id=context.run.run_id)
    return dg.MaterializeResult(metadata={**updates(done), "features": len(FEATURES)})


@dg.asset(
    description="What each actor did per UTC day of occurred_at: events, failures, entities, networks, first times.",
    group_name="features",
    owners=OWNERS,
    kinds={"parquet", "polars"},
    tags={"layer": "derived"},
    deps=["raw_events", "event_features"],
    code_version=lineage.product_version(),
)
def actor_features(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Summarise the actors of tenants with new events."""
    return dg.MaterializeResult(metadata=updates(update_actor_features(installation, run_id=context.run.run_id)))
