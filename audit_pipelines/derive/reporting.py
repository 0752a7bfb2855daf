"""Security and compliance reports as PDF, one per tenant and period, from the lake and a fresh verification.

What a report counts and how it looks is decided in `reports`; here is where its facts come from and where it goes.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.controls import check_controls, requirement_lines
from audit_pipelines.derive.integrity import integrity_of
from audit_pipelines.derive.signing import signature_lines, unsigned_path
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.ledger.access import DAGSTER, Access
from audit_pipelines.ledger.verify import Verification
from audit_pipelines.reports.compose import compose_report
from audit_pipelines.reports.model import AnomalyLine, Coverage, ModelLine, Report, ReportKind


@dataclass(frozen=True, slots=True)
class Period:
    """What a report is about; None takes the whole trail, or every tenant."""

    since: datetime | None = None
    until: datetime | None = None
    tenant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report that lies at `path`."""

    path: Path
    pages: int
    digest: str
    """SHA-256 of the PDF, hex."""
    bytes: int
    report: Report = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportFault:
    """What is wrong with a tenant's newest report."""

    tenant_id: UUID
    what: str


def make_reports(installation: Installation, kind: ReportKind, period: Period, *, run_id: str) -> list[MadeReport]:
    """Compose and write a report of `kind` for each tenant of the period.

    A broken chain does not stop a report: saying so is what it is for.

    Raises:
        ValidationError: when the tenant asked for has no events in the lake, or the period is empty.
    """
    lake = Lake(installation.settings.lake_dir)
    tenants = lake.tenants()
    if period.tenant_id is not None and period.tenant_id not in tenants:
        raise ValidationError(
            f"expected a tenant with events in the lake, got {period.tenant_id}; materialise raw_events first"
        )
    chosen = [period.tenant_id] if period.tenant_id else tenants
    return [
        _make(installation, lake, kind, period, verification, run_id=run_id)
        for tenant_id in chosen
        for verification in installation.verify(tenant_id)
    ]


def newest_faults(installation: Installation, kind: ReportKind) -> list[ReportFault]:
    """Check each tenant's newest report: its file is there and unchanged, and no event is missing from what it used."""
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("reports/select_newest_reports"), {"kind": f"{kind}_report"}).fetchall()
    reported = {tenant_id for tenant_id, *_ in rows}
    missing = set(Lake(installation.settings.lake_dir).tenants()) - reported
    found = [ReportFault(tenant_id, f"has no {kind} report") for tenant_id in sorted(missing)]
    for tenant_id, key, digest, inputs in rows:
        found += [ReportFault(tenant_id, what) for what in _faults(installation, key, digest, inputs)]
    return found


def mark_served(installation: Installation, report_id: UUID, due_at: datetime) -> None:
    """Note that a scheduled report's due time was served; an older due time never takes it back."""
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("reports/mark_served"), {"report_id": report_id, "due_at": due_at})


def _faults(installation: Installation, key: str, digest: str, inputs: list[dict[str, Any]]) -> list[str]:
    path = installation.settings.storage_dir / key
    if not path.exists():
        return [f"{key} is gone"]
    faults = [] if lineage.file_digest(path).hex() == digest else [f"{key} is not the file that was written"]
    coverage = next((each for each in inputs if each["kind"] == "coverage"), {})
    behind = {name: coverage[name] for name in ("lake", "scored", "embedded") if coverage[name] != coverage["ledger"]}
    if behind:
        faults.append(f"{key} covers {behind} of {coverage['ledger']} events")
    return faults


def _make(
    installation: Installation, lake: Lake, kind: ReportKind, period: Period, verification: Verification, *, run_id: str
) -> MadeReport:
    from audit_pipelines.reports.pdf import write_pdf  # noqa: PLC0415 — 0.3 s that importing the graph need not pay

    tenant_id = verification.tenant_id
    events = lake.events(tenant_id)
    scores = lake.read("event_scores", tenant_id)
    since = period.since or _utc(events["occurred_at"].min())
    until = period.until or _utc(events["occurred_at"].max()) + timedelta(microseconds=1)
    controls = check_controls(installation, verification)
    report = compose_report(
        kind,
        tenant_id,
        since,
        until,
        events,
        scores=scores,
        tags=lake.read("event_tags", tenant_id),
        anomalies=_anomalies(installation, tenant_id),
        models=_models(
            installation, tenant_id, scores.filter(pl.col("occurred_at").is_between(since, until, closed="left"))
        ),
        integrity=integrity_of(installation, verification),
        controls=controls,
        requirements=requirement_lines(controls) if kind == "compliance" else (),
        coverage=_coverage(installation, verification, events, scores),
        generated_at=datetime.now(UTC),
        # The whole trail's last signature was made after its last event.
        signatures=signature_lines(installation, tenant_id, since, period.until or datetime.now(UTC)),
        product_version=lineage.product_version(),
    )
    path = unsigned_path(installation, tenant_id, f"{kind}_report-{_stamp(since)}-{_stamp(until)}")
    installation.access_log.record(
        tenant_id,
        Access(
            actor=DAGSTER,
            action=f"report.{kind}",
            filters={"from": since.isoformat(), "to": until.isoformat(), "run_id": run_id},
            result_count=report.totals.events,
        ),
    )
    info = write_pdf(report, path, installation.pdf_certificate)
    _record(installation, lake, report, path, info.sha256, run_id=run_id)
    return MadeReport(path, info.pages, info.sha256, info.bytes, report)


def _record(installation: Installation, lake: Lake, report: Report, path: Path, digest: str, *, run_id: str) -> None:
    tenant_id, integrity, coverage = report.tenant_id, report.integrity, report.coverage
    inputs: list[dict[str, Any]] = [
        {
            "kind": "coverage",
            "ledger": coverage.ledger,
            "lake": coverage.lake,
            "scored": coverage.scored,
            "embedded": coverage.embedded,
        },
        {"kind": "period", "since": report.since.isoformat(), "until": report.until.isoformat()},
        {"kind": "integrity", "result": integrity.result, "digest": integrity.chain_head},
    ]
    if report.signatures:
        # Whose names stand in the file in clear: what an erasure has to look for.
        inputs.append({"kind": "signers", "refs": sorted({line.signer_ref for line in report.signatures})})
    for dataset in ("event_scores", "event_tags"):
        source = lake.dataset_path("event_scores" if dataset == "event_scores" else "event_tags", tenant_id)
        if source.exists():
            inputs.append(
                lineage.file_input(dataset, str(source.relative_to(lake.root.parent)), lineage.file_digest(source))
            )
    key = str(path.relative_to(installation.settings.storage_dir))
    output = lineage.Output(tenant_id, f"{report.kind}_report", key, bytes.fromhex(digest), tuple(inputs))
    with installation.database.connection("audit_pipeline") as conn:
        lineage.record(conn, [output], run_id=run_id)


def _anomalies(installation: Installation, tenant_id: UUID) -> list[AnomalyLine]:
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("reports/select_anomalies"), {"tenant_id": tenant_id}).fetchall()
    return [
        AnomalyLine(at, severity, score, event_type, actor, tuple(one["text"] for one in reasons), seq, row_hash, model)
        for at, severity, score, event_type, actor, reasons, seq, row_hash, model in rows
    ]


def _models(installation: Installation, tenant_id: UUID, scores: pl.DataFrame) -> list[ModelLine]:
    used = scores["model_id"].unique().to_list()
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("reports/select_models_used"), {"tenant_id": tenant_id, "used": used}).fetchall()
    return [
        ModelLine(kind, digest, since, until, count, _figures(metrics))
        for kind, digest, since, until, count, metrics in rows
    ]


def _figures(metrics: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(value)) for name, value in sorted(metrics.items()) if isinstance(value, float))


def _coverage(
    installation: Installation, verification: Verification, events: pl.DataFrame, scores: pl.DataFrame
) -> Coverage:
    tenant_id = verification.tenant_id
    last_seq = events["seq"].max()
    with installation.database.connection("audit_pipeline") as conn:
        embedded = dict(conn.execute(query("derive/count_embedded")).fetchall())
        # A report is an access itself: the next one of the same run must not miss the entry that this one made.
        parameters: dict[str, Any] = {
            "tenant_id": tenant_id,
            "after_seq": last_seq,
            "through_seq": verification.last_seq,
        }
        (later,) = conn.execute(query("reports/count_later_accesses"), parameters).fetchone() or (0,)
    return Coverage(verification.events - later, events.height, scores.height, embedded.get(tenant_id, 0))


def _utc(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        raise ValidationError("expected a tenant with at least one event in the lake; materialise raw_events first")
    return moment.astimezone(UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%MZ")
