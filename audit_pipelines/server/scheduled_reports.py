"""Reports over HTTP: what was made, its files, and what is to be made at set times and for whom.

What a schedule may say is `derive/report_schedules.py`'s, when one is due `derive/due_reports.py`'s. Reports that name
people are there for those alone who may see the names: an access review for administrators, a report about a person for
those who answer for privacy.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from psycopg.rows import dict_row
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage, report_schedules
from audit_pipelines.derive.report_deliveries import REPORTS_PATH
from audit_pipelines.derive.report_schedules import Changes, Schedule, UnknownScheduleError, Wanted
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import UnknownPersonError
from audit_pipelines.ledger.event import Identifier
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Permission, Principal, require
from audit_pipelines.server.forms import read_form, require_printable
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.signing_in import answer
from audit_pipelines.server.workers import Workers

__all__ = ["REPORTS_PATH", "SCHEDULES_PATH", "ScheduledReports"]

SCHEDULES_PATH: Final = "/api/audit/scheduled-reports"
_NO_SCHEDULE: Final = "This tenant has no scheduled report with this id."
_NO_REPORT: Final = "This tenant has no report with this SHA-256 that this token may see."
_MOST_LISTED: Final = 100
_DIGEST_DIGITS: Final = 64
# Beside audit:export, which every one of them needs.
_ALSO_NEEDED: Final[dict[str, Permission | None]] = {
    "security_report": None,
    "compliance_report": None,
    "access_review": "audit:admin",
    "person_report": "audit:privacy",
}

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Recipients = Annotated[list[Annotated[str, msgspec.Meta(max_length=320)]], msgspec.Meta(max_length=1_000)]


class ScheduleForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new scheduled report."""

    kind: Literal["security", "compliance", "access_review", "person"]
    cron: Line
    time_zone: Line = "UTC"
    recipients: Recipients = []
    delivery: Literal["link", "file"] = "link"
    person: Identifier | None = None


class ChangeForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is to be different about one."""

    cron: Line | None = None
    time_zone: Line | None = None
    recipients: Recipients | None = None
    delivery: Literal["link", "file"] | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """A report that is there."""

    shown: dict[str, Any]
    kind: str
    path: Path
    digest: str


class ScheduledReports:
    """The handlers."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._installation = installation
        self._workers = workers
        self._access = access

    async def list_reports(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's reports, newest first, of the kinds that the token may see."""
        cursor = _cursor(request)
        found, following = await self._workers.run(partial(self._reports, principal, cursor=cursor))
        await self._access.record(request, principal, "reports.list", {"cursor": cursor}, len(found))
        return answer(200, {"reports": [one.shown for one in found], "next_cursor": following})

    async def fetch_report(self, request: Request, principal: Principal) -> Response:
        """Return a report's file by its SHA-256, which is compared before a byte goes out."""
        digest = request.path_params["sha256"]
        found = await self._workers.run(partial(self._report, principal, digest))
        filters = {"sha256": digest[:_DIGEST_DIGITS]} | ({"kind": found.kind} if found else {})
        await self._access.record(request, principal, "reports.fetch", filters, int(found is not None))
        if found is None:
            raise RequestError(404, "not-found", _NO_REPORT)
        headers = {"Cache-Control": "no-store", "ETag": f'"{found.digest}"'}
        return FileResponse(found.path, media_type="application/pdf", filename=found.path.name, headers=headers)

    async def list_schedules(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's scheduled reports, those that are switched off too, the oldest first."""
        found = await self._workers.run(
            partial(report_schedules.listed, self._installation, principal.tenant_id)
        )  # fmt: skip
        await self._access.record(request, principal, "scheduled_reports.list", {}, len(found))
        return answer(200, {"scheduled_reports": [_shown(one) for one in found]})

    async def show_schedule(self, request: Request, principal: Principal) -> Response:
        """Return one with its newest due times and what became of each and of its messages."""
        report_id = request.path_params["report_id"]
        found = await self._workers.run(partial(self._schedule, principal, report_id))
        filters = {"report_id": report_id[:36]}
        await self._access.record(request, principal, "scheduled_reports.show", filters, int(found is not None))
        if found is None:
            raise RequestError(404, "not-found", _NO_SCHEDULE)
        return answer(200, found)

    async def add(self, request: Request, principal: Principal) -> Response:
        """Keep a scheduled report: 201 with it and its next three due times."""
        form = await read_form(request, ScheduleForm)
        require_printable(cron=form.cron, time_zone=form.time_zone, person=form.person)
        if form.kind == "person":
            require(principal, "audit:privacy")
        wanted = Wanted(
            kind=form.kind,
            cron=form.cron,
            time_zone=form.time_zone,
            recipients=form.recipients,
            delivery=form.delivery,
            person=form.person,
        )
        work = partial(report_schedules.add, self._installation, principal.tenant_id, wanted, by=principal.subject)
        made = await self._workers.run(partial(_told, work))
        location = {"Location": f"{SCHEDULES_PATH}/{made.report_id}"}
        return Response(msgspec.json.encode(_shown(made)), 201, headers=location, media_type="application/json")

    async def change(self, request: Request, principal: Principal) -> Response:
        """Change one: 200 with it as it is now."""
        form = await read_form(request, ChangeForm)
        require_printable(cron=form.cron, time_zone=form.time_zone)
        changes = Changes(
            cron=form.cron,
            time_zone=form.time_zone,
            recipients=form.recipients,
            delivery=form.delivery,
            enabled=form.enabled,
        )
        return answer(200, _shown(await self._change(request, principal, changes)))

    async def disable(self, request: Request, principal: Principal) -> Response:
        """Switch one off; what it made and sent stays listed."""
        return answer(200, _shown(await self._change(request, principal, Changes(enabled=False))))

    async def run_now(self, request: Request, principal: Principal) -> Response:
        """Have one made beside its due times: 202 with the due time it goes by."""
        report_id = _uuid(request.path_params["report_id"])
        await self._require_for(principal, report_id)
        work = partial(
            report_schedules.ask_now, self._installation, principal.tenant_id, report_id, by=principal.subject
        )
        due_at = await self._workers.run(partial(_told, work))
        return answer(202, {"report_id": str(report_id), "due_at": format_moment(due_at)})

    async def _change(self, request: Request, principal: Principal, changes: Changes) -> Schedule:
        report_id = _uuid(request.path_params["report_id"])
        await self._require_for(principal, report_id)
        work = partial(
            report_schedules.change,
            self._installation,
            principal.tenant_id,
            report_id,
            changes,
            by=principal.subject,
        )
        return await self._workers.run(partial(_told, work))

    async def _require_for(self, principal: Principal, report_id: UUID) -> None:
        """Pass those who may have a say in what the scheduled report is about."""
        look = partial(report_schedules.one, self._installation, principal.tenant_id, report_id)
        if (await self._workers.run(partial(_told, look))).kind == "person":
            require(principal, "audit:privacy")

    def _schedule(self, principal: Principal, text: str) -> dict[str, Any] | None:
        try:
            report_id = UUID(text)
            found = report_schedules.one(self._installation, principal.tenant_id, report_id)
        except (ValueError, UnknownScheduleError):
            return None
        dues = report_schedules.dues(self._installation, principal.tenant_id, report_id)
        return _shown(found) | {"due_times": [_plain(due) for due in dues]}

    def _report(self, principal: Principal, digest: str) -> _Made | None:
        if len(digest) != _DIGEST_DIGITS:
            return None
        found, _ = self._reports(principal, digest=digest.lower())
        if not found:
            return None
        if lineage.file_digest(found[0].path).hex() != found[0].digest:
            raise ConflictError("expected the report's file as it was written, got another one; it is not handed out")
        return found[0]

    def _reports(
        self, principal: Principal, *, digest: str | None = None, cursor: int | None = None
    ) -> tuple[list[_Made], str | None]:
        """Return one page and the cursor of the next; what was deleted from the storage is left out."""
        kinds = [kind for kind, also in _ALSO_NEEDED.items() if also is None or also in principal.permissions]
        wanted = {"kinds": kinds, "sha256": digest, "cursor": cursor, "limit": _MOST_LISTED + 1}
        with (
            self._installation.database.tenant_connection(principal.tenant_id) as conn,
            conn.cursor(row_factory=dict_row) as rows,
        ):
            found = rows.execute(query("reports/select_reports"), wanted).fetchall()
        storage = self._installation.settings.storage_dir
        following = str(found[_MOST_LISTED - 1]["lineage_id"]) if len(found) > _MOST_LISTED else None
        return [made for row in found[:_MOST_LISTED] if (made := _made(row, storage)).path.is_file()], following


def _made(row: dict[str, Any], storage: Path) -> _Made:
    period: dict[str, Any] = next((each for each in row["inputs"] if each["kind"] == "period"), {})
    summary: dict[str, Any] = next((each for each in row["inputs"] if each["kind"] == "summary"), {})
    path = storage / row["output_key"]
    shown = {
        "sha256": row["sha256"],
        "kind": row["output_kind"],
        "record_id": row["output_key"],
        "file": path.name,
        "from": period.get("since"),
        "to": period.get("until"),
        "made_at": format_moment(row["recorded_at"]),
        "generated_by": summary.get("generated_by", "composed"),
        "code_version": row["code_version"],
        "link": f"{REPORTS_PATH}/{row['sha256']}",
    }
    return _Made(shown, row["output_kind"], path, row["sha256"])


def _shown(one: Schedule) -> dict[str, Any]:
    return {
        "report_id": str(one.report_id),
        "kind": one.kind,
        "cron": one.cron,
        "time_zone": one.time_zone,
        "delivery": one.delivery,
        "recipients": list(one.recipients),
        "person_ref": str(one.person_ref) if one.person_ref else None,
        "enabled": one.enabled,
        "created_at": format_moment(one.created_at),
        # With the offset of its zone, so that a change of the clock shows.
        "next_due": [due.isoformat() for due in one.next_due],
        "made": one.made,
        "waiting": one.waiting,
        "failed": one.failed,
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: format_moment(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _told(work: Any) -> Any:
    """Do the work, with its refusals as HTTP has them."""
    try:
        return work()
    except UnknownScheduleError:
        raise RequestError(404, "not-found", _NO_SCHEDULE) from None
    except UnknownPersonError:
        raise RequestError(
            404, "not-found", "This tenant has no person of this name or reference who is not erased."
        ) from None


def _cursor(request: Request) -> int | None:
    text = request.query_params.get("cursor")
    unknown = sorted(set(request.query_params) - {"cursor"})
    if unknown:
        faults = tuple((f"/{name}", "expected no such parameter") for name in unknown)
        raise ValidationError("The question has faults.", faults)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValidationError("The question has a fault.", (("/cursor", "expected the next_cursor of an answer"),))
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise RequestError(404, "not-found", _NO_SCHEDULE) from None
