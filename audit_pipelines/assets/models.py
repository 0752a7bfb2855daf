"""Models, each named by the digest of its artefact and registered in `audit_ml_models`, and what classifiers say."""

from collections.abc import Sequence

import dagster as dg

from audit_pipelines.assets.common import OWNERS, updates
from audit_pipelines.derive import lineage
from audit_pipelines.derive.embedders import default_embedder
from audit_pipelines.derive.models import TrainedModel
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import table


@dg.asset(
    description=(
        "Per tenant, a detector of unusual behaviour fitted on all events so far: tails of each feature and an "
        "isolation forest, calibrated to an alert budget. If it is not worse than the one in use, it scores the events "
        "that come after; the same history gives the same digest."
    ),
    group_name="models",
    owners=OWNERS,
    kinds={"scikitlearn", "numpy"},
    tags={"layer": "model"},
    deps=["event_features"],
    code_version=lineage.product_version(),
)
def anomaly_detector(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Fit each tenant's detector on everything so far."""
    from audit_pipelines.derive.training import train_anomaly_detector  # noqa: PLC0415 — see assets.common

    return dg.MaterializeResult(metadata=_trained(train_anomaly_detector(installation, run_id=context.run.run_id)))


@dg.asset(
    description="Per tenant, what kind of act a text tells of; learnt from rules and examples, `unknown` where unsure.",
    group_name="models",
    owners=OWNERS,
    kinds={"scikitlearn", "numpy"},
    tags={"layer": "model"},
    deps=["event_embeddings"],
    code_version=lineage.product_version(),
)
def category_classifier(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Train the category classifier of each tenant."""
    from audit_pipelines.derive.training import train_classifier  # noqa: PLC0415 — see assets.common

    embedder = default_embedder(installation)
    done = train_classifier(installation, "category_classifier", embedder, run_id=context.run.run_id)
    return dg.MaterializeResult(metadata=_trained(done))


@dg.asset(
    description=(
        "Per tenant, how much harm a text tells of; learnt from rules, examples and verdicts, `unknown` where unsure."
    ),
    group_name="models",
    owners=OWNERS,
    kinds={"scikitlearn", "numpy"},
    tags={"layer": "model"},
    deps=["event_embeddings"],
    code_version=lineage.product_version(),
)
def risk_classifier(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Train the risk classifier of each tenant."""
    from audit_pipelines.derive.training import train_classifier  # noqa: PLC0415 — see assets.common

    embedder = default_embedder(installation)
    done = train_classifier(installation, "risk_classifier", embedder, run_id=context.run.run_id)
    return dg.MaterializeResult(metadata=_trained(done))


@dg.asset(
    description="Category and risk of every event with confidence, by the classifiers in use over the distinct texts.",
    group_name="models",
    owners=OWNERS,
    kinds={"parquet", "postgres"},
    tags={"layer": "derived"},
    deps=["event_embeddings", "category_classifier", "risk_classifier"],
    code_version=lineage.product_version(),
)
def event_tags(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Tag the events of tenants with new events or new classifiers."""
    from audit_pipelines.derive.tagging import tag_events  # noqa: PLC0415 — see assets.common

    done = tag_events(installation, default_embedder(installation), run_id=context.run.run_id)
    return dg.MaterializeResult(metadata=updates(done))


def _trained(models: Sequence[TrainedModel]) -> dict[str, dg.MetadataValue]:
    return {
        "models": dg.MetadataValue.int(len(models)),
        "new_models": dg.MetadataValue.int(sum(model.is_new for model in models)),
        "put_aside": dg.MetadataValue.int(sum(not one.decision.used for one in models if one.decision)),
        "training_rows": dg.MetadataValue.int(sum(model.rows for model in models)),
        "by_tenant": table(
            ("tenant", "model", "state", "rows", "in use", "why"),
            (
                (
                    one.tenant_id,
                    one.model_id,
                    "new" if one.is_new else "same as before",
                    one.rows,
                    "yes" if one.decision is None or one.decision.used else "no",
                    one.decision.reason if one.decision else "",
                )
                for one in models
            ),
        ),
        "metrics": dg.MetadataValue.json({str(model.tenant_id): model.metrics for model in models[:10]}),
    }
