"""What people and auditors read: PDF per tenant and period."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import dagster as dg

from audit_pipelines.assets.common import OWNERS, picture, table
from audit_pipelines.derive import lineage
from audit_pipelines.derive.reporting import MadeReport, Period, make_reports, mark_served
from audit_pipelines.installation import Installation
from audit_pipelines.reports.model import ReportKind

_SOURCES = ["checkpoints", "raw_events", "event_scores", "event_tags", "anomalies"]


class ReportConfig(dg.Config):
    """What to report on; without anything, the whole trail of every tenant."""

    since: str | None = None
    """ISO 8601 with zone; the beginning, included."""
    until: str | None = None
    """ISO 8601 with zone; the end, not included."""
    tenant_id: str | None = None
    report_id: str | None = None
    """The row of audit_scheduled_reports that this serves, once the file is there."""
    due_at: str | None = None
    """The due time that is served."""


@dg.asset(
    description=(
        "PDF per tenant: what happened, who acted, anomalies with reasons, models used, and an integrity page from a "
        "verification made for it, with the newest checkpoint and how to check it."
    ),
    group_name="reports",
    owners=OWNERS,
    kinds={"pdf", "reportlab"},
    tags={"layer": "report"},
    deps=_SOURCES,
    code_version=lineage.product_version(),
)
def security_report(
    context: dg.AssetExecutionContext, config: ReportConfig, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Write the security report of the period asked for."""
    return _report(installation, "security", config, context.run.run_id)


@dg.asset(
    description=(
        "PDF per tenant: what 21 CFR Part 11, PCI DSS, SOC 2, ISO 27001, HIPAA, SEC 17a-4, GDPR and the EU AI Act ask, "
        "the controls that show it with live evidence, what is organisational or not met, and the integrity page."
    ),
    group_name="reports",
    owners=OWNERS,
    kinds={"pdf", "reportlab"},
    tags={"layer": "report"},
    deps=_SOURCES,
    code_version=lineage.product_version(),
)
def compliance_report(
    context: dg.AssetExecutionContext, config: ReportConfig, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Write the compliance report of the period asked for."""
    return _report(installation, "compliance", config, context.run.run_id)


def _report(
    installation: Installation, kind: ReportKind, config: ReportConfig, run_id: str
) -> dg.MaterializeResult[None]:
    period = Period(
        datetime.fromisoformat(config.since) if config.since else None,
        datetime.fromisoformat(config.until) if config.until else None,
        UUID(config.tenant_id) if config.tenant_id else None,
    )
    made = make_reports(installation, kind, period, run_id=run_id)
    if config.report_id and config.due_at:
        mark_served(installation, UUID(config.report_id), datetime.fromisoformat(config.due_at))
    return dg.MaterializeResult(metadata=_described(made))


def _described(made: Sequence[MadeReport]) -> dict[str, dg.MetadataValue]:
    from audit_pipelines.reports.charts import activity_svg  # noqa: PLC0415 — see assets.common

    metadata: dict[str, dg.MetadataValue] = {
        "reports": dg.MetadataValue.int(len(made)),
        "by_tenant": table(
            ("tenant", "events", "anomalies", "integrity", "pages", "file"),
            (
                (
                    one.report.tenant_id, one.report.totals.events, one.report.totals.anomalies,
                    one.report.integrity.result, one.pages, one.path.name,
                )
                for one in made
            ),
        ),
    }  # fmt: skip
    if made:
        largest = max(made, key=lambda one: one.report.totals.events)
        metadata["activity"] = picture("events over the period", activity_svg(largest.report.timeline))
        metadata["path"] = dg.MetadataValue.path(str(largest.path))
        metadata["sha256"] = dg.MetadataValue.text(largest.digest)
        metadata["summary"] = dg.MetadataValue.md(" ".join(largest.report.summary.sentences))
    return metadata
