"""How odd every event was when it came, and those odd enough to look at."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS, picture, table, updates
from audit_pipelines.derive import lineage
from audit_pipelines.derive.drift import score_histogram
from audit_pipelines.installation import Installation


@dg.asset(
    description=(
        "A score from 0 to 1 for every event, by a model fitted on nothing but the events before it, and the id of "
        "that model. Models that the walk through a history still lacks are fitted and registered on the way."
    ),
    group_name="anomalies",
    owners=OWNERS,
    kinds={"parquet", "numpy"},
    tags={"layer": "derived"},
    deps=["event_features", "anomaly_detector"],
    code_version=lineage.product_version(),
)
def event_scores(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Score the events of tenants with new events or new models."""
    from audit_pipelines.derive.scoring import score_events  # noqa: PLC0415 — see assets.common
    from audit_pipelines.reports.charts import sparkline_svg  # noqa: PLC0415

    done = score_events(installation, run_id=context.run.run_id)
    shares = score_histogram(installation)
    return dg.MaterializeResult(
        metadata={
            **updates(done),
            "distribution": picture(
                "events by score, 0 to 1, logarithmic", sparkline_svg(shares, width=480, height=80)
            ),
        }
    )


@dg.asset(
    description=(
        "Events that scored at or over AUDIT_ANOMALY_THRESHOLD, in `audit_anomalies`: severity, reasons in words with "
        "the numbers, the model, and the row_hash to check the event by. Verdicts of analysts are never overwritten."
    ),
    group_name="anomalies",
    owners=OWNERS,
    kinds={"postgres", "table"},
    tags={"layer": "derived"},
    deps=["event_scores"],
    code_version=lineage.product_version(),
)
def anomalies(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Write the anomalies of every tenant with enough events."""
    from audit_pipelines.derive.anomalies import severity_counts, update_anomalies  # noqa: PLC0415 — see assets.common

    done = update_anomalies(installation, run_id=context.run.run_id)
    return dg.MaterializeResult(
        metadata={
            "anomalies": sum(one.anomalies for one in done),
            "new": sum(one.new for one in done),
            "withdrawn": sum(one.withdrawn for one in done),
            "threshold": installation.settings.audit_anomaly_threshold,
            "by_severity": table(("severity", "anomalies"), severity_counts(installation)),
            "by_tenant": table(
                ("tenant", "events", "anomalies", "new", "enough events"),
                ((one.tenant_id, one.events, one.anomalies, one.new, "yes" if one.enough else "no") for one in done),
            ),
        }
    )
