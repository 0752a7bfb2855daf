"""Each due time of a scheduled report, made exactly once: queued as a row, claimed by one run, finished with a report.

The key of the row queues a due time once, however many sensors look and however long none did. The claim, in one
statement, has one run make it. That it was made is written in the transaction of the report's lineage: a run that is
killed before that leaves no report that counts, and its claim ends when Dagster knows of its end, or by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage, report_deliveries
from audit_pipelines.derive.report_deliveries import DUES_PER_TICK
from audit_pipelines.derive.reporting import (
    Also,
    MadeDocument,
    MadeReport,
    Period,
    Summarise,
    make_access_review,
    make_person_report,
    make_reports,
)
from audit_pipelines.errors import AuditError, ConflictError
from audit_pipelines.installation import Installation
from audit_pipelines.reports.cron import parse_cron
from audit_pipelines.reports.model import AnyKind

MOST_ATTEMPTS: Final = 6
"""Over some three hours; then it has failed and is shown as that."""
_FIRST_PAUSE: Final = timedelta(minutes=5)
_LONGEST_PAUSE: Final = timedelta(hours=2)
_CLAIM: Final = timedelta(hours=6)
"""Verifying a ledger of a hundred million events takes some minutes; a run that ended is found out long before."""


@dataclass(frozen=True, slots=True)
class Due:
    """A due time that is to be made."""

    tenant_id: UUID
    report_id: UUID
    kind: AnyKind
    due_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class _Claim:
    tenant_id: UUID
    report_id: UUID
    due_at: datetime
    kind: AnyKind
    person_ref: UUID | None
    since: datetime
    attempts: int
    claimed_until: datetime


def queue_due(installation: Installation) -> None:
    """Queue the due times that have come since the last ones queued, of every scheduled report, oldest first."""
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("reports/select_schedules")).fetchall()
    now = report_deliveries.clock()
    for tenant_id, report_id, line, zone, queued in rows:
        cron = parse_cron(line, zone)
        dues = cron.come(queued, now, DUES_PER_TICK)
        if dues:
            row = {
                "tenant_id": tenant_id,
                "report_id": report_id,
                "dues": dues,
                "sinces": [cron.beginning(due) for due in dues],
                "now": now,
            }
            with installation.database.connection("audit_pipeline") as conn:
                conn.execute(query("reports/queue_due"), row)


def release_ended(installation: Installation, has_ended: Callable[[str], bool]) -> None:
    """End the claims of runs that have ended without recording what came of them, and those that ran out."""
    with installation.database.connection("audit_pipeline") as conn:
        runs = [run_id for (run_id,) in conn.execute(query("reports/select_making"))]
        if runs:
            ended = [run_id for run_id in runs if has_ended(run_id)]
            conn.execute(
                query("reports/release_due"), {"ended": ended, "most": MOST_ATTEMPTS, "now": report_deliveries.clock()}
            )


def select_due(installation: Installation, limit: int = DUES_PER_TICK) -> list[Due]:
    """Return what is to be made by now, the oldest due times first."""
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("reports/select_due"), {"now": report_deliveries.clock(), "limit": limit}).fetchall()
    return [Due(*row) for row in rows]


def make_due(
    installation: Installation,
    tenant_id: UUID,
    report_id: UUID,
    due_at: datetime,
    *,
    run_id: str,
    summarise: Summarise | None = None,
) -> list[MadeReport] | list[MadeDocument]:
    """Make the report of a due time and queue it for its recipients; return nothing where that was done already.

    An error is recorded, and raised for the run to fail: it is tried again after a pause, six times in all.
    """
    claim = _claim(installation, tenant_id, report_id, due_at, run_id)
    if claim is None:
        return []

    def also(conn: Connection, output: lineage.Output) -> None:
        now = report_deliveries.clock()
        row = {
            "tenant_id": claim.tenant_id,
            "report_id": claim.report_id,
            "due_at": claim.due_at,
            "claimed_until": claim.claimed_until,
            "kind": output.kind,
            "key": output.key,
            "digest": output.digest,
            "now": now,
        }
        if conn.execute(query("reports/finish_due"), row).rowcount != 1:
            raise ConflictError("expected the claim on this due time to hold, but another run has taken it over")
        report_deliveries.queue(installation, conn, claim.tenant_id, claim.report_id, claim.due_at, now=now)

    try:
        return _make(installation, claim, run_id=run_id, summarise=summarise, also=also)
    except Exception as error:
        _fail(installation, claim, error)
        raise


def _make(
    installation: Installation, claim: _Claim, *, run_id: str, summarise: Summarise | None, also: Also
) -> list[MadeReport] | list[MadeDocument]:
    period = Period(claim.since, claim.due_at, claim.tenant_id)
    match claim.kind:
        case "person":
            if claim.person_ref is None:  # a constraint of the table keeps it from happening
                raise ConflictError("expected a person in a per-person report, got none")
            return [
                make_person_report(
                    installation, claim.tenant_id, claim.person_ref, period, run_id=run_id, also=also
                )
            ]  # fmt: skip
        case "access_review":
            return [make_access_review(installation, claim.tenant_id, period, run_id=run_id, also=also)]
        case "security" | "compliance":
            return make_reports(installation, claim.kind, period, run_id=run_id, summarise=summarise, also=also)


def _claim(
    installation: Installation, tenant_id: UUID, report_id: UUID, due_at: datetime, run_id: str
) -> _Claim | None:
    wanted = {
        "tenant_id": tenant_id,
        "report_id": report_id,
        "due_at": due_at,
        "run_id": run_id,
        "now": report_deliveries.clock(),
        "claim": _CLAIM,
        "most": MOST_ATTEMPTS,
    }
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("reports/claim_due"), wanted).fetchone()
    return _Claim(tenant_id, report_id, due_at, *row) if row else None


def _fail(installation: Installation, claim: _Claim, error: Exception) -> None:
    # Only our own errors are known to hold no secret.
    words = (str(error) if isinstance(error, AuditError) else f"unexpected {type(error).__name__}")[:500]
    row = {
        "tenant_id": claim.tenant_id,
        "report_id": claim.report_id,
        "due_at": claim.due_at,
        "claimed_until": claim.claimed_until,
        "state": "failed" if claim.attempts >= MOST_ATTEMPTS else "waiting",
        "pause": min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (claim.attempts - 1)),
        "error": words,
        "now": report_deliveries.clock(),
    }
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("reports/fail_due"), row)
