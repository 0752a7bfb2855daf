"""Reports as PDF: security and compliance per tenant and period, who has which access, and all about one person.

What a report counts and how it looks is decided in `reports`; here is where its facts come from and where it goes. When
one is due, `due_reports` says.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl

from audit_pipelines.db.database import Connection
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
from audit_pipelines.reports.model import AnomalyLine, AnyKind, Coverage, ModelLine, Report, ReportKind, Summary

OUTPUT_KINDS: Final[dict[AnyKind, str]] = {
    "security": "security_report",
    "compliance": "compliance_report",
    "access_review": "access_review",
    "person": "person_report",
}
"""What each kind of report is called in the lineage and in the graph."""
Summarise = Callable[[Sequence[str], Iterable[str]], Summary]
"""Has a language model word composed sentences, given the labels in them; says who wrote what it returns."""
Also = Callable[[Connection, lineage.Output], None]
"""What else is written in the transaction of a report's lineage; what it raises undoes both."""


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
class MadeDocument:
    """A report with pages of its own, which names people; it lies at `path`."""

    tenant_id: UUID
    path: Path
    digest: str
    """SHA-256 of the PDF, hex."""
    bytes: int


@dataclass(frozen=True, slots=True)
class ReportFault:
    """What is wrong with a tenant's newest report."""

    tenant_id: UUID
    what: str


def make_reports(
    installation: Installation,
    kind: ReportKind,
    period: Period,
    *,
    run_id: str,
    summarise: Summarise | None = None,
    also: Also | None = None,
) -> list[MadeReport]:
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
        _make(installation, lake, kind, period, verification, run_id=run_id, summarise=summarise, also=also)
        for tenant_id in chosen
        for verification in installation.verify(tenant_id)
    ]


def make_access_review(
    installation: Installation,
    tenant_id: UUID,
    period: Period,
    *,
    run_id: str,
    also: Also | None = None,
) -> MadeDocument:
    """Write who has which access to a tenant, and used it in the period; without one, in the 90 days till now.

    Its summary names people, so no language model is asked for it.
    """
    from audit_pipelines.derive.access_review import review_access  # noqa: PLC0415 — see _make
    from audit_pipelines.reports.access_review import UNUSED_AFTER, render_access_review  # noqa: PLC0415 — see _make

    now = datetime.now(UTC)
    until = period.until or now
    since = period.since or until - UNUSED_AFTER
    review, named = review_access(installation, tenant_id, since, until, generated_at=now)
    path = unsigned_path(installation, tenant_id, f"access_review-{_stamp(since)}-{_stamp(until)}")
    filters = {"from": since.isoformat(), "to": until.isoformat(), "run_id": run_id}
    _note(installation, tenant_id, "report.access_review", filters, len(review.accounts) + len(review.readers))
    content, _ = render_access_review(review)
    about = _Named(tenant_id, "access_review", since, until, named)
    return _keep(installation, about, path, content, run_id=run_id, also=also)


def make_person_report(
    installation: Installation,
    tenant_id: UUID,
    person: UUID,
    period: Period,
    *,
    run_id: str,
    also: Also | None = None,
) -> MadeDocument:
    """Write everything held about a person, as they would get it themselves, with an event that says so.

    Raises:
        UnknownPersonError: when the tenant has no such person, or they were erased.
    """
    from audit_pipelines.privacy import subject_access  # noqa: PLC0415 — see _make

    until = period.until or datetime.now(UTC)
    found = subject_access.find_person(installation, tenant_id, str(person))
    since = period.since or found.known_since
    subject_access.note_export(installation, found, by=DAGSTER, form="pdf")
    filters = {"actor_ref": str(person), "from": since.isoformat(), "to": until.isoformat(), "run_id": run_id}
    _note(installation, tenant_id, "report.person", filters, subject_access.count_events(installation, found))
    content = b"".join(subject_access.export_person(installation, found, "pdf", period=(since, until)))
    path = unsigned_path(installation, tenant_id, f"person_report-{person}-{_stamp(since)}-{_stamp(until)}")
    about = _Named(tenant_id, "person", since, until, {person})
    return _keep(installation, about, path, content, run_id=run_id, also=also)


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
    installation: Installation,
    lake: Lake,
    kind: ReportKind,
    period: Period,
    verification: Verification,
    *,
    run_id: str,
    summarise: Summarise | None,
    also: Also | None,
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
    if summarise:
        report = replace(report, summary=summarise(report.summary.sentences, _labels(report)))
    path = unsigned_path(installation, tenant_id, f"{kind}_report-{_stamp(since)}-{_stamp(until)}")
    filters = {"from": since.isoformat(), "to": until.isoformat(), "run_id": run_id}
    _note(installation, tenant_id, f"report.{kind}", filters, report.totals.events)
    info = write_pdf(report, path, installation.pdf_certificate)
    _record(installation, lake, report, path, info.sha256, run_id=run_id, also=also)
    return MadeReport(path, info.pages, info.sha256, info.bytes, report)


def _labels(report: Report) -> set[str]:
    """Return the words of the summary that applications chose."""
    types = [*report.event_types, *(report.before.new_event_types if report.before else ())]
    return {share.label for share in types} | {line.event_type for line in report.anomalies}


def _note(installation: Installation, tenant_id: UUID, action: str, filters: dict[str, Any], count: int) -> None:
    access = Access(actor=DAGSTER, action=action, filters=filters, result_count=count)
    installation.access_log.record(tenant_id, access)


def _period_input(since: datetime, until: datetime) -> dict[str, Any]:
    return {"kind": "period", "since": since.isoformat(), "until": until.isoformat()}


@dataclass(frozen=True, slots=True)
class _Named:
    """What a report that names people is, and whom it names."""

    tenant_id: UUID
    kind: AnyKind
    since: datetime
    until: datetime
    persons: set[UUID]


def _keep(
    installation: Installation, named: _Named, path: Path, content: bytes, *, run_id: str, also: Also | None
) -> MadeDocument:
    """Put a report that names people at its path, for its owner's eyes alone, and its digest into the lineage."""
    from audit_pipelines.reports.pdf import store_pdf  # noqa: PLC0415 — see _make

    content = store_pdf(content, path, installation.pdf_certificate, mode=0o600)
    output = lineage.Output(
        named.tenant_id,
        OUTPUT_KINDS[named.kind],
        str(path.relative_to(installation.settings.storage_dir)),
        sha256(content).digest(),
        # Whose names stand in the file in clear: what an erasure has to look for.
        (_period_input(named.since, named.until), {"kind": "persons", "refs": sorted(map(str, named.persons))}),
    )
    _enter(installation, output, run_id=run_id, also=also)
    return MadeDocument(named.tenant_id, path, output.digest.hex(), len(content))


def _enter(installation: Installation, output: lineage.Output, *, run_id: str, also: Also | None) -> None:
    with installation.database.connection("audit_pipeline") as conn:
        lineage.record(conn, [output], run_id=run_id)
        if also:
            also(conn, output)


def _record(
    installation: Installation, lake: Lake, report: Report, path: Path, digest: str, *, run_id: str, also: Also | None
) -> None:
    tenant_id, integrity, coverage = report.tenant_id, report.integrity, report.coverage
    inputs: list[dict[str, Any]] = [
        {
            "kind": "coverage",
            "ledger": coverage.ledger,
            "lake": coverage.lake,
            "scored": coverage.scored,
            "embedded": coverage.embedded,
        },
        _period_input(report.since, report.until),
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
    inputs.append({"kind": "summary", "generated_by": report.summary.generated_by})
    key = str(path.relative_to(installation.settings.storage_dir))
    output = lineage.Output(tenant_id, OUTPUT_KINDS[report.kind], key, bytes.fromhex(digest), tuple(inputs))
    _enter(installation, output, run_id=run_id, also=also)


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
