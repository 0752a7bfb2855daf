"""What must hold, and what happens when it does not: a failed blocking check keeps everything below from running.

Checks compare; what they compare is computed in `lake` and `derive`. Checks of `raw_events` are inline, because checks
of partitioned assets as such are a preview in Dagster 1.13.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

import dagster as dg

from audit_pipelines.anchors.register import AnchorState
from audit_pipelines.derive import archive_deletion, drift, embeddings, reporting
from audit_pipelines.derive.controls import CONTROLS, check_tenants
from audit_pipelines.derive.reviews import WATCHED_DAYS, overdue_reviews
from audit_pipelines.derive.tampering import tell_findings
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import count_days
from audit_pipelines.ledger.verify import Verification
from audit_pipelines.metadata import table
from audit_pipelines.reports.model import Control, ReportKind

PSI_LIMIT: Final = 0.25
RECENT: Final = timedelta(hours=24)
_TENANTS_SHOWN: Final = 20

RAW_EVENTS_CHECKS: Final = [
    dg.AssetCheckSpec(
        "rows_equal_ledger",
        asset="raw_events",
        blocking=True,
        description="Per tenant and day, the lake has as many rows as the ledger.",
    ),
    dg.AssetCheckSpec(
        "schema_as_agreed",
        asset="raw_events",
        blocking=True,
        description="Every file of the run's days has the columns and types that analysts and models rely on.",
    ),
]


def raw_events_results(installation: Installation, since: date, until: date) -> Sequence[dg.AssetCheckResult]:
    """Evaluate the inline checks of `raw_events` for the days of a run."""
    days = count_days(installation, since, until)
    unequal = [day for day in days if day.ledger != day.lake]
    faults = Lake(installation.settings.lake_dir).schema_faults(since, until)
    return [
        dg.AssetCheckResult(
            check_name="rows_equal_ledger",
            passed=not unequal,
            description="; ".join(
                f"tenant {day.tenant_id}, {day.day}: ledger {day.ledger}, lake {day.lake}" for day in unequal[:5]
            )
            or None,
            metadata={
                "ledger": sum(day.ledger for day in days),
                "lake": sum(day.lake for day in days),
                "tenant_days": len(days),
                "unequal": len(unequal),
            },
        ),
        dg.AssetCheckResult(
            check_name="schema_as_agreed",
            passed=not faults,
            description="; ".join(faults[:5]) or None,
            metadata={"faults": len(faults)},
        ),
    ]


@dg.asset_check(
    asset="audit_logs",
    blocking=True,
    description=(
        "Every checkpoint and anchor, and every row behind the newest checkpoint that is a day old, recomputed. "
        "A broken chain stops all below."
    ),
)
def chain_intact(
    context: dg.AssetCheckExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.AssetCheckResult:
    """Verify what came in the last day, so that the cost of a run does not grow with the history."""
    return _verified(installation, installation.verify(since=datetime.now(UTC) - RECENT), context.run.run_id)


@dg.asset_check(
    asset="audit_logs",
    blocking=True,
    description="Every row, link, checkpoint and anchor of every tenant from the first event on, recomputed.",
)
def history_intact(
    context: dg.AssetCheckExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.AssetCheckResult:
    """Verify everything; a failure fails the run and alerts the tenant's destinations."""
    return _verified(installation, installation.verify(), context.run.run_id, whole=True)


def _verified(
    installation: Installation, done: Sequence[Verification], run_id: str, *, whole: bool = False
) -> dg.AssetCheckResult:
    findings = [finding for one in done for finding in one.findings]
    warnings = [warning for one in done for warning in one.warnings]
    metadata: dict[str, dg.MetadataValue] = {
        "tenants": dg.MetadataValue.int(len(done)),
        "events": dg.MetadataValue.int(sum(one.events for one in done)),
        "checkpoints": dg.MetadataValue.int(sum(one.checkpoints for one in done)),
        "findings": dg.MetadataValue.int(len(findings)),
        "warnings": dg.MetadataValue.text("; ".join(warnings[:5]) or "none"),
    }
    if findings:
        first = findings[0]
        metadata["first_tenant"] = dg.MetadataValue.text(str(first.tenant_id))
        metadata["first_seq"] = dg.MetadataValue.text("whole ledger" if first.seq is None else str(first.seq))
        metadata["first_finding"] = dg.MetadataValue.text(str(first))
    try:
        metadata["new_findings"] = dg.MetadataValue.int(tell_findings(installation, done, run_id=run_id, whole=whole))
    except AuditError as error:
        # What was found must be said whatever becomes of the alert about it.
        metadata["alert"] = dg.MetadataValue.text(f"not queued: {error}")
    return dg.AssetCheckResult(
        passed=not findings, description=str(findings[0]) if findings else None, metadata=metadata
    )


@dg.asset_check(
    asset="checkpoints",
    description="Every anchor has every tenant's newest checkpoint. One that is away is tried again by each run.",
)
def anchors_current(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Say which anchor is behind since when; a warning, since sealing goes on without it."""
    states = installation.anchor_states()
    behind: dict[str, list[AnchorState]] = {}
    for state in states:
        if state.behind_since:
            behind.setdefault(state.anchor, []).append(state)
    return dg.AssetCheckResult(
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(_behind(name, late) for name, late in list(behind.items())[:5]) or None,
        metadata={
            "anchors": len({state.anchor for state in states}),
            "anchors_behind": len(behind),
            "tenants_behind": len({state.tenant_id for late in behind.values() for state in late}),
        },
    )


@dg.asset_check(
    asset="archived_segments",
    description="Every segment and manifest in the archive has the bytes that were signed.",
)
def archives_intact(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Read every archived file; one that is gone or changed holds events that are nowhere else."""
    faults = archive_deletion.faults(installation)
    return dg.AssetCheckResult(
        passed=not faults, description="; ".join(faults[:5]) or None, metadata={"faults": len(faults)}
    )


def _behind(name: str, late: Sequence[AnchorState]) -> str:
    since = min(state.behind_since for state in late if state.behind_since)
    reason = next((state.last_error for state in late if state.last_error), "not tried yet")
    return f"{name} is behind since {since.isoformat(timespec='seconds')} for {len(late)} tenants: {reason}"


@dg.asset_check(
    asset="event_embeddings", description="Every event in the lake has a text with a vector of the model in use."
)
def embedding_coverage(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Compare events and vectors per tenant."""
    covered = embeddings.coverage(installation)
    behind = [one for one in covered if one.embedded != one.events]
    return dg.AssetCheckResult(
        passed=not behind,
        description="; ".join(f"tenant {one.tenant_id}: {one.embedded} of {one.events}" for one in behind[:5]) or None,
        metadata={"events": sum(one.events for one in covered), "embedded": sum(one.embedded for one in covered)},
    )


@dg.asset_check(
    asset="event_scores",
    description=f"The newest fifth of each tenant's scores is spread like the rest (PSI up to {PSI_LIMIT}).",
)
def score_drift(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Compare the newest scores with those before; a warning, since a tenant's life may really have changed."""
    measured = drift.score_drift(installation)
    drifted = [one for one in measured if one.psi > PSI_LIMIT]
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"tenant {one.tenant_id}: PSI {one.psi:.2f}" for one in drifted[:5]) or None,
        metadata={"tenants": len(measured), "highest_psi": max((one.psi for one in measured), default=0.0)},
    )


@dg.asset_check(
    asset="event_features",
    description=f"Each feature of a tenant's last days is spread like before (KS distance up to {drift.KS_LIMIT}).",
)
def feature_drift(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Compare features; a warning, since models that are trained again learn what changed."""
    measured = drift.feature_drift(installation)
    drifted = [one for one in measured if one.ks > drift.KS_LIMIT]
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"tenant {one.tenant_id}: {one.feature} KS {one.ks:.2f}" for one in drifted[:5]) or None,
        metadata={
            "tenants": len({one.tenant_id for one in measured}),
            "drifted": len(drifted),
            "highest_ks": max((one.ks for one in measured), default=0.0),
            "farthest": table(
                ("tenant", "feature", "ks", "recent", "earlier"),
                ((one.tenant_id, one.feature, f"{one.ks:.3f}", one.recent, one.earlier) for one in measured),
            ),
        },
    )


@dg.asset_check(
    asset="event_tags",
    description=(
        f"What the classifiers say of a tenant's last days is shared out like before (PSI up to {drift.CLASS_LIMIT}), "
        f"and `unknown` grew by no more than {drift.UNKNOWN_LIMIT:.0%} of the events."
    ),
)
def class_drift(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Compare the shares of labels; a warning, since a tenant may really do other things."""
    measured = drift.class_drift(installation)
    drifted = [one for one in measured if one.drifted]
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(
            f"tenant {one.tenant_id}: {one.classifier} PSI {one.psi:.2f}, unknown {one.unknown:.0%}"
            for one in drifted[:5]
        )
        or None,
        metadata={
            "tenants": len({one.tenant_id for one in measured}),
            "drifted": len(drifted),
            "highest_psi": max((one.psi for one in measured), default=0.0),
            "farthest": table(
                ("tenant", "classifier", "psi", "unknown", "unknown before", "recent"),
                (
                    (
                        one.tenant_id,
                        one.classifier,
                        f"{one.psi:.3f}",
                        f"{one.unknown:.3f}",
                        f"{one.unknown_before:.3f}",
                        one.recent,
                    )
                    for one in measured
                ),
            ),
        },
    )


@dg.asset_check(
    asset="security_report",
    name="security_report_complete",
    description="Each tenant's newest report is there, unchanged, and nothing was missing from what it counted.",
)
def security_report_complete(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Check the newest security reports."""
    return _complete(installation, "security")


@dg.asset_check(
    asset="compliance_report",
    name="compliance_report_complete",
    description="Each tenant's newest report is there, unchanged, and nothing was missing from what it counted.",
)
def compliance_report_complete(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Check the newest compliance reports."""
    return _complete(installation, "compliance")


def _complete(installation: Installation, kind: ReportKind) -> dg.AssetCheckResult:
    faults = reporting.newest_faults(installation, kind)
    return dg.AssetCheckResult(
        passed=not faults,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"tenant {fault.tenant_id}: {fault.what}" for fault in faults[:5]) or None,
        metadata={"faults": len(faults)},
    )


@dg.asset_check(
    asset="daily_reviews",
    description=f"Each day of the last {WATCHED_DAYS} has a valid signature by the time that is set.",
)
def reviews_current(installation: dg.ResourceParam[Installation]) -> dg.AssetCheckResult:
    """Say which days nobody has signed in time; a warning, since only people can mend it."""
    late = overdue_reviews(installation)
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(
            f"tenant {one.tenant_id}: {len(one.reviews)} days since {one.reviews[-1].day}" for one in late[:5]
        )
        or None,
        metadata={"tenants_late": len(late), "days_late": sum(len(one.reviews) for one in late)},
    )


@dg.multi_asset_check(
    name="controls",
    specs=[
        dg.AssetCheckSpec(control.key, asset="compliance_report", description=f"{control.name}: {control.looks_at}.")
        for control in CONTROLS
    ],
    can_subset=True,
)
def controls(
    context: dg.AssetCheckExecutionContext, installation: dg.ResourceParam[Installation]
) -> Iterator[dg.AssetCheckResult]:
    """Verify every tenant once, look at each control of each, and say which do not hold."""
    wanted = {key.name for key in context.selected_asset_check_keys}
    checked = check_tenants(installation, wanted)
    for control in CONTROLS:
        if control.key in wanted:
            of_tenants = {tenant_id: each[control.key] for tenant_id, each in checked.items()}
            yield _control_result(control.key, of_tenants, for_people=control.for_people)


def _control_result(key: str, of_tenants: Mapping[UUID, Control], *, for_people: bool) -> dg.AssetCheckResult:
    wrong = {tenant_id: one for tenant_id, one in of_tenants.items() if one.result != "pass"}
    # Those that fail first; metadata is stored with every run for ever.
    shown = list({**wrong, **of_tenants}.items())[:_TENANTS_SHOWN]
    columns = ("tenant", "result", "evidence")
    return dg.AssetCheckResult(
        check_name=key,
        asset_key="compliance_report",
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN if for_people else dg.AssetCheckSeverity.ERROR,
        description="; ".join(f"tenant {tenant_id}: {one.evidence}" for tenant_id, one in list(wrong.items())[:5])
        or None,
        metadata={
            "tenants": len(of_tenants),
            "tenants_failing": len(wrong),
            "by_tenant": dg.MetadataValue.table(
                [
                    dg.TableRecord(dict(zip(columns, (str(tenant_id), one.result, one.evidence), strict=True)))
                    for tenant_id, one in shown
                ],
                schema=dg.TableSchema([dg.TableColumn(name, "string") for name in columns]),
            ),
        },
    )


CHECKS: Final = [
    chain_intact,
    history_intact,
    anchors_current,
    archives_intact,
    embedding_coverage,
    score_drift,
    feature_drift,
    class_drift,
    security_report_complete,
    compliance_report_complete,
    reviews_current,
    controls,
]
