"""How odd every event was when it came, those odd enough to look at, what they make together, and who is told."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS, updates
from audit_pipelines.derive import lineage
from audit_pipelines.derive.drift import score_histogram
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import picture, table


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
    """Write the anomalies among scores that are new or others, of tenants with enough events."""
    from audit_pipelines.derive.anomalies import (  # noqa: PLC0415 — see assets.common
        severity_counts,
        update_changed_anomalies,
    )

    done = update_changed_anomalies(installation, run_id=context.run.run_id)
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


@dg.asset(
    description=(
        "Anomalies of one actor close in time as one incident with a story, in `audit_incidents`, under an id that "
        "lasts. Then verdicts move the tenants' alerting thresholds, and incidents that reach them are queued for the "
        "destinations that want them."
    ),
    group_name="anomalies",
    owners=OWNERS,
    kinds={"postgres", "table"},
    tags={"layer": "derived"},
    deps=["anomalies"],
    code_version=lineage.product_version(),
)
def incidents(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Tell the incidents of actors with anomalies that changed, adapt thresholds, queue alerts."""
    from audit_pipelines.derive.alerts import queue_alerts  # noqa: PLC0415 — see assets.common
    from audit_pipelines.derive.incidents import state_counts, update_incidents  # noqa: PLC0415
    from audit_pipelines.feedback.thresholds import adapt  # noqa: PLC0415

    done = update_incidents(installation, run_id=context.run.run_id)
    moved = adapt(installation)
    return dg.MaterializeResult(
        metadata={
            "actors": sum(one.actors for one in done),
            "new": sum(one.new for one in done),
            "merged": sum(one.merged for one in done),
            "withdrawn": sum(one.withdrawn for one in done),
            "queued_alerts": queue_alerts(installation),
            "by_state": table(("state", "severity", "incidents"), state_counts(installation)),
            "thresholds": table(
                ("tenant", "threshold", "why"),
                ((tenant, change.threshold, change.explanation) for tenant, change in moved),
            ),
        }
    )


@dg.asset(
    description=(
        "Alerts at their destinations, in `audit_alert_deliveries`: each queued once, sent by whoever claims it, tried "
        "again with longer pauses, given up after eight attempts and then shown as dead."
    ),
    group_name="anomalies",
    owners=OWNERS,
    kinds={"postgres", "webhook"},
    tags={"layer": "derived"},
    deps=["incidents"],
    code_version=lineage.product_version(),
)
def alert_deliveries(installation: dg.ResourceParam[Installation]) -> dg.MaterializeResult[None]:
    """Send the alerts that are due."""
    from audit_pipelines.derive.alerts import deliver_alerts, delivery_counts  # noqa: PLC0415 — see assets.common

    done = deliver_alerts(installation)
    return dg.MaterializeResult(
        metadata={
            "delivered": done.delivered,
            "failed": done.failed,
            "dead": done.dead,
            "waiting": done.waiting,
            "by_state": table(("state", "alerts"), delivery_counts(installation)),
        }
    )
