"""The jobs: which assets are made together. Every job that fills the lake verifies the chain before it reads a row.

Jobs that write the same data carry the same lane; dagster.yaml lets one run of a lane go at a time.
"""

from typing import Final

import dagster as dg

from audit_pipelines.derive.controls import CONTROLS

LANE: Final = "audit_pipelines/lane"

_VERIFIED = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("audit_logs"), "chain_intact"))
_INTAKE = _VERIFIED | dg.AssetSelection.assets("checkpoints", "raw_events")
# They read a tenant's whole history, so the jobs whose cost follows the new events leave them to the weekly training.
_DRIFT = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("event_features"), "feature_drift"),
    dg.AssetCheckKey(dg.AssetKey("event_tags"), "class_drift"),
)

embedding_generation_job: Final = dg.define_asset_job(
    "embedding_generation_job",
    selection=(_INTAKE | dg.AssetSelection.assets("event_embeddings", "event_tags")) - _DRIFT,
    description="Bring new events into the lake, embed new texts, tag them.",
    tags={LANE: "derive"},
)
anomaly_detection_job: Final = dg.define_asset_job(
    "anomaly_detection_job",
    selection=(
        _INTAKE
        | dg.AssetSelection.assets(
            "event_features", "actor_features", "event_scores", "anomalies", "incidents", "analyst_catalog"
        )
    )
    - _DRIFT,
    description="Bring new events into the lake, score every event by its past, write anomalies and incidents, refresh "
    "the catalog.",
    tags={LANE: "derive"},
)
model_training_job: Final = dg.define_asset_job(
    "model_training_job",
    selection=_INTAKE
    | dg.AssetSelection.assets(
        "event_embeddings", "event_features", "anomaly_detector", "category_classifier", "risk_classifier", "event_tags"
    ),
    description="Train every tenant's detector and classifiers on all events so far.",
    tags={LANE: "derive"},
)
alert_delivery_job: Final = dg.define_asset_job(
    "alert_delivery_job",
    selection=dg.AssetSelection.assets("alert_deliveries"),
    description="Send the alerts that are due to their destinations.",
    tags={LANE: "alerts"},
)
scheduled_reports_job: Final = dg.define_asset_job(
    "scheduled_reports_job",
    selection=dg.AssetSelection.assets("security_report", "compliance_report", "access_review", "person_report"),
    description="Write reports: those due in audit_scheduled_reports, or what the run's configuration asks for.",
    tags={LANE: "reports"},
)
report_delivery_job: Final = dg.define_asset_job(
    "report_delivery_job",
    selection=dg.AssetSelection.assets("report_deliveries"),
    description="Send the reports that are due by mail.",
    tags={LANE: "report_deliveries"},
)
checkpoint_job: Final = dg.define_asset_job(
    "checkpoint_job",
    selection=dg.AssetSelection.assets("checkpoints"),
    description="Sign each tenant's new rows. Hashes them again on the way, and fails rather than sign a broken chain.",
    tags={LANE: "checkpoints"},
)
retention_job: Final = dg.define_asset_job(
    "retention_job",
    selection=dg.AssetSelection.assets("archived_segments"),
    config=dg.RunConfig(ops={"archived_segments": {"config": {"on_demand": False}}}),
    description="Make the ledger's partitions ahead; archive months beyond AUDIT_RETENTION_DAYS and drop them.",
    tags={LANE: "retention"},
)
daily_review_job: Final = dg.define_asset_job(
    "daily_review_job",
    selection=dg.AssetSelection.assets("daily_reviews"),
    description="Make the records of the days that are over, for people to sign; say which are late.",
    tags={LANE: "reviews"},
)
erasure_job: Final = dg.define_asset_job(
    "erasure_job",
    selection=dg.AssetSelection.assets("erasure_certificates"),
    description="Finish erasures whose copies nobody follows any more, and sign their certificates.",
    tags={LANE: "derive"},
)
verification_job: Final = dg.define_asset_job(
    "verification_job",
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("audit_logs"), "history_intact")),
    description="Recompute the whole ledger from the first event on; fails when anything differs.",
    tags={LANE: "verification"},
)
controls_job: Final = dg.define_asset_job(
    "controls_job",
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(dg.AssetKey("compliance_report"), control.key) for control in CONTROLS)
    ),
    description="Check every control of every tenant against the running system; each that fails is a failed check.",
    tags={LANE: "verification"},
)
full_refresh_job: Final = dg.define_asset_job(
    "full_refresh_job",
    # Detection is judged on made-up tenants: it says nothing of this installation, and takes a minute or two. A report
    # that names people is made where somebody asks for one.
    selection=_VERIFIED
    | dg.AssetSelection.all()
    - dg.AssetSelection.assets("audit_logs", "detection_quality", "access_review", "person_report"),
    description="Materialise everything once, in the order of the graph.",
    tags={LANE: "derive"},
)

JOBS: Final = [
    embedding_generation_job,
    anomaly_detection_job,
    model_training_job,
    alert_delivery_job,
    scheduled_reports_job,
    report_delivery_job,
    checkpoint_job,
    retention_job,
    daily_review_job,
    erasure_job,
    verification_job,
    controls_job,
    full_refresh_job,
]

TRAINING_JOBS: Final = {
    model: dg.define_asset_job(
        f"train_{model}_job",
        selection=_INTAKE | (dg.AssetSelection.assets(model).upstream() - dg.AssetSelection.assets("audit_logs")),
        description=f"Train {model} now, on everything up to date.",
        tags={LANE: "derive"},
    )
    for model in ("anomaly_detector", "category_classifier", "risk_classifier")
}
"""One model alone, for the command `train`; Dagster's page shows the assets instead."""

WINDOWED: Final = frozenset(
    {"embedding_generation_job", "anomaly_detection_job", "model_training_job", "full_refresh_job"}
    | {job.name for job in TRAINING_JOBS.values()}
)
"""Jobs that fill the lake, and so must be told for which days."""
