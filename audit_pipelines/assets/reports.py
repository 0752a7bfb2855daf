"""What people and auditors read: PDF per tenant and period, made when it is due or asked for, and sent."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import lineage
from audit_pipelines.derive.reporting import (
    MadeDocument,
    MadeReport,
    Period,
    Summarise,
    make_access_review,
    make_person_report,
    make_reports,
)
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import picture, table
from audit_pipelines.reports.model import AnyKind

_SOURCES = ["checkpoints", "raw_events", "event_scores", "event_tags", "anomalies"]


class ReportConfig(dg.Config):
    """What to report on; without anything, the whole trail of every tenant."""

    since: str | None = None
    """ISO 8601 with zone; the beginning, included."""
    until: str | None = None
    """ISO 8601 with zone; the end, not included."""
    tenant_id: str | None = None
    person_ref: str | None = None
    """Whom a per-person report is about; nothing else asks for one."""
    report_id: str | None = None
    """The row of audit_scheduled_reports that this serves: with `tenant_id` and `due_at`, and nothing else."""
    due_at: str | None = None
    """The due time that is served; what it is of, its row says."""


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


@dg.asset(
    description=(
        "PDF for a reviewer to sign: accounts with their permissions and what they were used for, unused ones, who "
        "read without an account, and what was changed. It names people: made where a due time or a run's "
        "configuration asks for a tenant's."
    ),
    group_name="reports",
    owners=OWNERS,
    kinds={"pdf", "reportlab"},
    tags={"layer": "report"},
    deps=["audit_logs"],
    code_version=lineage.product_version(),
)
def access_review(
    context: dg.AssetExecutionContext, config: ReportConfig, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Write who has which access to a tenant; nothing where none is asked for."""
    return _report(installation, "access_review", config, context.run.run_id)


@dg.asset(
    description="PDF of everything held about one person, where a due time or a run's configuration asks for it.",
    group_name="reports",
    owners=OWNERS,
    kinds={"pdf", "reportlab"},
    tags={"layer": "report"},
    deps=["audit_logs", "anomalies"],
    code_version=lineage.product_version(),
)
def person_report(
    context: dg.AssetExecutionContext, config: ReportConfig, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Write everything about a person; nothing where none is asked for."""
    return _report(installation, "person", config, context.run.run_id)


@dg.asset(
    description="Scheduled reports by mail: each is sent to each recipient until the mail server answers for it.",
    group_name="reports",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"layer": "report"},
    deps=["security_report", "compliance_report", "access_review", "person_report"],
    code_version=lineage.product_version(),
)
def report_deliveries(installation: dg.ResourceParam[Installation]) -> dg.MaterializeResult[None]:
    """Send what is due."""
    from audit_pipelines.derive.report_deliveries import deliver_reports  # noqa: PLC0415 — see assets.common

    done = deliver_reports(installation)
    return dg.MaterializeResult(
        metadata={
            "delivered": dg.MetadataValue.int(done.delivered),
            "failed": dg.MetadataValue.int(done.failed),
            "given_up": dg.MetadataValue.int(done.dead),
            "waiting": dg.MetadataValue.int(done.waiting),
        }
    )


def _report(installation: Installation, kind: AnyKind, config: ReportConfig, run_id: str) -> dg.MaterializeResult[None]:
    made = _make(installation, kind, config, run_id)
    reports = [one for one in made if isinstance(one, MadeReport)]
    documents = [one for one in made if isinstance(one, MadeDocument)]
    return dg.MaterializeResult(metadata=_described(reports) if reports else _listed(documents))


def _make(
    installation: Installation, kind: AnyKind, config: ReportConfig, run_id: str
) -> Sequence[MadeReport | MadeDocument]:
    tenant_id = UUID(config.tenant_id) if config.tenant_id else None
    if config.report_id and config.due_at and tenant_id:
        from audit_pipelines.derive.due_reports import make_due  # noqa: PLC0415 — see assets.common

        due_at = datetime.fromisoformat(config.due_at)
        return make_due(
            installation,
            tenant_id,
            UUID(config.report_id),
            due_at,
            run_id=run_id,
            summarise=_summariser(installation),
        )
    period = Period(
        datetime.fromisoformat(config.since) if config.since else None,
        datetime.fromisoformat(config.until) if config.until else None,
        tenant_id,
    )
    match kind:
        case "security" | "compliance":
            return make_reports(installation, kind, period, run_id=run_id, summarise=_summariser(installation))
        case "access_review" if tenant_id:
            return [make_access_review(installation, tenant_id, period, run_id=run_id)]
        case "person" if config.person_ref and tenant_id:
            return [make_person_report(installation, tenant_id, UUID(config.person_ref), period, run_id=run_id)]
        case _:
            return []


def _summariser(installation: Installation) -> Summarise | None:
    """Return what has a chat model word summaries, where the settings name one."""
    if not installation.settings.openai_chat_model:
        return None
    from audit_pipelines.intelligence.answer.chat_model import ChatModel  # noqa: PLC0415 — openai, 1.8 s
    from audit_pipelines.intelligence.answer.summarise import summarise  # noqa: PLC0415 — as above

    chat = ChatModel.of(installation.settings)
    return partial(summarise, chat) if chat else None


def _listed(made: Sequence[MadeDocument]) -> dict[str, dg.MetadataValue]:
    rows = ((one.tenant_id, one.bytes, one.path.name, one.digest) for one in made)
    return {
        "reports": dg.MetadataValue.int(len(made)),
        "by_tenant": table(("tenant", "bytes", "file", "sha256"), rows),
    }


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
