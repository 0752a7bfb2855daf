"""The lineage graph: thin assets over `lake` and `derive`. An asset reads its window, calls one function and reports.

Explicit on purpose: an asset that is not listed here is not in the graph.
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from audit_pipelines.assets import (
    analytics,
    anomalies,
    embeddings,
    evaluation,
    features,
    lake,
    ledger,
    models,
    reports,
    retention,
    reviews,
)

ASSETS: Final[Sequence[dg.AssetsDefinition | dg.AssetSpec]] = (
    ledger.audit_logs,
    ledger.checkpoints,
    lake.raw_events,
    embeddings.event_embeddings,
    features.event_features,
    features.actor_features,
    models.anomaly_detector,
    models.category_classifier,
    models.risk_classifier,
    models.event_tags,
    evaluation.detection_quality,
    anomalies.event_scores,
    anomalies.anomalies,
    anomalies.incidents,
    anomalies.alert_deliveries,
    reports.security_report,
    reports.compliance_report,
    reports.access_review,
    reports.person_report,
    reports.report_deliveries,
    reviews.daily_reviews,
    analytics.analyst_catalog,
    retention.archived_segments,
    retention.erasure_certificates,
)
