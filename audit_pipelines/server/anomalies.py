"""Anomalies and incidents over HTTP: showing them, judging them, and keeping known ones from raising alerts.

What a verdict or a suppression does is `feedback/`'s. All of it runs as `audit_app` on a connection of one tenant, and
every read is recorded before it is answered. Names in clear come out of the vault, for those allowed alone; texts made
by detection hold references and no names.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from psycopg.rows import class_row
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.feedback import suppressions, thresholds, verdicts
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import UnknownPersonError
from audit_pipelines.ledger.event import Identifier, Label, Moment
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.filters import (
    ANOMALY_PARAMETERS,
    INCIDENT_PARAMETERS,
    Filters,
    encode_cursor,
    parse_address,
    parse_filters,
)
from audit_pipelines.server.forms import read_form, require_printable
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.reading import Found, asked_for, named_actor
from audit_pipelines.server.workers import Workers

T = TypeVar("T")

ANOMALIES_PATH: Final = "/api/audit/anomalies"
INCIDENTS_PATH: Final = "/api/audit/incidents"
SUPPRESSIONS_PATH: Final = "/api/audit/suppressions"
_LONGEST_TEXT: Final = 1_000
_NO_ANOMALY: Final = "This tenant has no anomaly with this id."
_NO_INCIDENT: Final = "This tenant has no incident with this id."
_NO_SUPPRESSION: Final = "This tenant has no suppression with this id that is in force."

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_TEXT)]


class FeedbackForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What somebody says of an anomaly."""

    verdict: Literal["true_positive", "false_positive", "benign"]
    comment: Text | None = None


class SuppressionForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is to raise no alert, why and until when."""

    reason: Text
    ends_at: Moment
    user_id: Identifier | None = None
    event_type: Label | None = None
    entity_type: Label | None = None
    entity_id: Identifier | None = None
    network: Annotated[str, msgspec.Meta(max_length=64)] | None = None


@dataclass(frozen=True, slots=True)
class _Anomaly:
    """A row of audit_anomalies."""

    anomaly_id: UUID
    seq: int
    event_id: str
    row_hash: bytes
    occurred_at: datetime
    actor_ref: UUID | None
    event_type: str
    score: float
    severity: str
    meaning: str
    risk: float
    reasons: list[dict[str, Any]]
    compared_with: list[dict[str, Any]]
    model_id: str
    code_version: str
    incident_id: UUID | None
    suppression_id: UUID | None
    detected_at: datetime
    verdict: str | None
    verdict_by: UUID | None
    verdict_at: datetime | None

    def shown(self, names: dict[UUID, str] | None) -> dict[str, Any]:
        """Return it for an answer; `actor` is there only where `names` is given."""
        answer: dict[str, Any] = {
            "anomaly_id": str(self.anomaly_id),
            "seq": self.seq,
            "event_id": self.event_id,
            "row_hash": self.row_hash.hex(),
            "occurred_at": format_moment(self.occurred_at),
            "detected_at": format_moment(self.detected_at),
            "actor_ref": _text(self.actor_ref),
            "event_type": self.event_type,
            "score": self.score,
            "severity": self.severity,
            "meaning": self.meaning,
            "risk": self.risk,
            "reasons": self.reasons,
            "model_id": self.model_id,
            "incident_id": _text(self.incident_id),
            "suppressed": self.suppression_id is not None,
            "suppression_id": _text(self.suppression_id),
            "verdict": self.verdict,
            "verdict_at": format_moment(self.verdict_at) if self.verdict_at else None,
        }
        return answer | _actor(self.actor_ref, names)


@dataclass(frozen=True, slots=True)
class _Incident:
    """A row of audit_incidents."""

    incident_id: UUID
    founding_seq: int
    state: str
    merged_into: UUID | None
    actor_ref: UUID | None
    first_at: datetime
    last_at: datetime
    anomalies: int
    suppressed: int
    score: float
    severity: str
    title: str
    meanings: list[str]
    story: list[dict[str, Any]]
    opened_at: datetime
    changed_at: datetime

    def shown(self, names: dict[UUID, str] | None) -> dict[str, Any]:
        """Return it for an answer; `actor` is there only where `names` is given."""
        answer: dict[str, Any] = {
            "incident_id": str(self.incident_id),
            "state": self.state,
            "merged_into": _text(self.merged_into),
            "actor_ref": _text(self.actor_ref),
            "first_at": format_moment(self.first_at),
            "last_at": format_moment(self.last_at),
            "anomalies": self.anomalies,
            "suppressed": self.suppressed,
            "score": self.score,
            "severity": self.severity,
            "title": self.title,
            "meanings": self.meanings,
            "opened_at": format_moment(self.opened_at),
            "changed_at": format_moment(self.changed_at),
        }
        return answer | _actor(self.actor_ref, names)


class Anomalies:
    """The handlers."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._installation = installation
        self._database = installation.database
        self._vault = installation.vault
        self._workers = workers
        self._access = access

    async def list_anomalies(self, request: Request, principal: Principal) -> Response:
        """Return one page of anomalies, the newest events of the ledger first unless asked otherwise."""
        filters = parse_filters(request.query_params, ANOMALY_PARAMETERS)
        found = await self._workers.run(partial(self._anomalies, principal, filters))
        return await self._answer(request, principal, "anomalies.list", found)

    async def show_anomaly(self, request: Request, principal: Principal) -> Response:
        """Return one anomaly with the events it is compared with and everything said of it."""
        anomaly_id = request.path_params["anomaly_id"]
        found = await self._workers.run(partial(self._anomaly, principal, anomaly_id))
        return await self._answer(request, principal, "anomalies.show", found, _NO_ANOMALY)

    async def judge(self, request: Request, principal: Principal) -> Response:
        """Keep a verdict: 201 with it and with what the anomaly is said to be by now."""
        form = await read_form(request, FeedbackForm)
        require_printable(comment=form.comment)
        anomaly_id = _uuid(request.path_params["anomaly_id"], _NO_ANOMALY)
        work = partial(verdicts.judge, comment=form.comment, by=principal.subject)
        given = await self._do(work, self._installation, principal.tenant_id, anomaly_id, form.verdict)
        settled = await self._workers.run(partial(self._settled, principal, anomaly_id))
        return _json({"given": _shown_verdict(given, None), "verdict": settled}, 201)

    async def list_incidents(self, request: Request, principal: Principal) -> Response:
        """Return one page of incidents, those that began latest in the ledger first unless asked otherwise."""
        filters = parse_filters(request.query_params, INCIDENT_PARAMETERS)
        found = await self._workers.run(partial(self._incidents, principal, filters))
        return await self._answer(request, principal, "incidents.list", found)

    async def show_incident(self, request: Request, principal: Principal) -> Response:
        """Return one incident with its story and its anomalies in the order of time."""
        incident_id = request.path_params["incident_id"]
        found = await self._workers.run(partial(self._incident, principal, incident_id))
        return await self._answer(request, principal, "incidents.show", found, _NO_INCIDENT)

    async def list_suppressions(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's suppressions, those that are over too, newest first, and the alerting threshold."""
        parse_filters(request.query_params, ())
        found = await self._workers.run(partial(self._suppressions, principal))
        return await self._answer(request, principal, "suppressions.list", found)

    async def suppress(self, request: Request, principal: Principal) -> Response:
        """Place a suppression: 201."""
        form = await read_form(request, SuppressionForm)
        require_printable(
            reason=form.reason,
            user_id=form.user_id,
            event_type=form.event_type,
            entity_type=form.entity_type,
            entity_id=form.entity_id,
        )
        covered = suppressions.Covered(
            person=form.user_id,
            event_type=form.event_type,
            entity_type=form.entity_type,
            entity_id=form.entity_id,
            network=parse_address(form.network, "/network") if form.network is not None else None,
        )
        place = partial(suppressions.place, reason=form.reason, ends_at=form.ends_at, by=principal.subject)
        placed = await self._do(place, self._installation, principal.tenant_id, covered)
        return _json(placed.shown(), 201)

    async def end_suppression(self, request: Request, principal: Principal) -> Response:
        """End a suppression now; it stays in the list."""
        suppression_id = _uuid(request.path_params["suppression_id"], _NO_SUPPRESSION)
        end = partial(suppressions.end, by=principal.subject)
        ended = await self._do(end, self._installation, principal.tenant_id, suppression_id)
        return _json(ended.shown())

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._workers.run(partial(_told, work, *arguments))

    async def _answer(
        self, request: Request, principal: Principal, action: str, found: Found, absent: str = ""
    ) -> Response:
        await self._access.record(request, principal, action, found.asked, found.count)
        if found.answer is None:
            raise RequestError(404, "not-found", absent)
        return _json(found.answer)

    def _anomalies(self, principal: Principal, filters: Filters) -> Found:
        actor_ref = named_actor(self._vault, principal.tenant_id, filters)
        parameters = _parameters(filters, actor_ref) | {
            "verdict": filters.verdict,
            "incident_id": filters.incident,
            "suppressed": filters.suppressed,
        }
        with self._database.tenant_connection(principal.tenant_id) as conn:
            with conn.cursor(row_factory=class_row(_Anomaly)) as cursor:
                rows = cursor.execute(query("server/select_anomalies"), parameters, prepare=False).fetchall()
            counts = conn.execute(query("server/count_anomalies"), parameters, prepare=False).fetchone() or (0, 0)
            more, rows = len(rows) > filters.limit, rows[: filters.limit]
            names = self._names(conn, principal, (row.actor_ref for row in rows))
        answer = {
            "anomalies": [row.shown(names) for row in rows],
            "total": counts[0],
            "suppressed": counts[1],
            "next_cursor": encode_cursor(filters.order, rows[-1].seq) if more else None,
        }
        return Found(answer, self._asked(principal, filters, actor_ref, found=bool(rows)), len(rows))

    def _anomaly(self, principal: Principal, anomaly_id: str) -> Found:
        with self._database.tenant_connection(principal.tenant_id) as conn:
            with conn.cursor(row_factory=class_row(_Anomaly)) as cursor:
                row = cursor.execute(query("server/select_anomaly"), {"anomaly_id": _maybe_uuid(anomaly_id)}).fetchone()
            if row is None:
                return self._nothing(principal, "anomaly_id", anomaly_id)
            said = verdicts.history(conn, row.anomaly_id)
            names = self._names(conn, principal, (row.actor_ref, *(one.given_by for one in said)))
        answer = row.shown(names) | {
            "compared_with": row.compared_with,
            "code_version": row.code_version,
            "verdicts": [_shown_verdict(one, names) for one in said],
        }
        return Found(answer, {"anomaly_id": anomaly_id}, 1)

    def _settled(self, principal: Principal, anomaly_id: UUID) -> str | None:
        with (
            self._database.tenant_connection(principal.tenant_id) as conn,
            conn.cursor(row_factory=class_row(_Anomaly)) as cursor,
        ):
            row = cursor.execute(query("server/select_anomaly"), {"anomaly_id": anomaly_id}).fetchone()
        return row.verdict if row else None

    def _incidents(self, principal: Principal, filters: Filters) -> Found:
        actor_ref = named_actor(self._vault, principal.tenant_id, filters)
        parameters = _parameters(filters, actor_ref) | {"state": filters.state or "open"}
        with self._database.tenant_connection(principal.tenant_id) as conn:
            with conn.cursor(row_factory=class_row(_Incident)) as cursor:
                rows = cursor.execute(query("server/select_incidents"), parameters, prepare=False).fetchall()
            more, rows = len(rows) > filters.limit, rows[: filters.limit]
            names = self._names(conn, principal, (row.actor_ref for row in rows))
        answer = {
            "incidents": [row.shown(names) for row in rows],
            "next_cursor": encode_cursor(filters.order, rows[-1].founding_seq) if more else None,
        }
        return Found(answer, self._asked(principal, filters, actor_ref, found=bool(rows)), len(rows))

    def _incident(self, principal: Principal, incident_id: str) -> Found:
        wanted = {"incident_id": _maybe_uuid(incident_id)}
        with self._database.tenant_connection(principal.tenant_id) as conn:
            with conn.cursor(row_factory=class_row(_Incident)) as cursor:
                row = cursor.execute(query("server/select_incident"), wanted).fetchone()
            if row is None:
                return self._nothing(principal, "incident_id", incident_id)
            with conn.cursor(row_factory=class_row(_Anomaly)) as cursor:
                members: Sequence[_Anomaly] = cursor.execute(query("server/select_members"), wanted).fetchall()
            names = self._names(conn, principal, (row.actor_ref,))
        answer = row.shown(names) | {"story": row.story, "members": [one.shown(names) for one in members]}
        return Found(answer, {"incident_id": incident_id}, 1)

    def _suppressions(self, principal: Principal) -> Found:
        base = self._installation.settings.audit_anomaly_threshold
        with self._database.tenant_connection(principal.tenant_id) as conn:
            found = suppressions.listed(conn)
            names = self._names(conn, principal, suppressions.references(found))
            present = thresholds.in_force(conn, principal.tenant_id, base)
            changed = thresholds.changes(conn, principal.tenant_id)
        answer = {
            "suppressions": [one.shown() | _named(one, names) for one in found],
            "alert_threshold": present,
            "anomaly_threshold": base,
            "threshold_changes": [_shown_change(one) for one in changed],
        }
        return Found(answer, {}, len(found))

    def _names(self, conn: Connection, principal: Principal, refs: Iterable[UUID | None]) -> dict[UUID, str] | None:
        if not principal.sees_names:
            return None
        return self._vault.identities(conn, {ref for ref in refs if ref})

    def _nothing(self, principal: Principal, name: str, text: str) -> Found:
        return Found(None, {name: hashed(self._vault.tenant_key(principal.tenant_id), text)}, 0)

    def _asked(self, principal: Principal, filters: Filters, actor_ref: UUID | None, *, found: bool) -> dict[str, Any]:
        tenant_key = self._vault.tenant_key(principal.tenant_id)
        asked = asked_for(filters, tenant_key, actor_ref=actor_ref, found=found)
        own = {
            "severity": filters.severity,
            "verdict": filters.verdict,
            "incident": _text(filters.incident),
            "min_score": filters.min_score,
            "suppressed": filters.suppressed,
            "state": filters.state,
        }
        return asked | {name: value for name, value in own.items() if value is not None}


def _parameters(filters: Filters, actor_ref: UUID | None) -> dict[str, Any]:
    return {
        "actor_ref": actor_ref,
        "severity": filters.severity,
        "min_score": filters.min_score,
        "since": filters.since,
        "until": filters.until,
        "newest": filters.order == "desc",
        "cursor": filters.cursor,
        "limit": filters.limit,
    }


def _told(work: Callable[..., T], *arguments: Any) -> T:
    """Do the work, with its refusals as HTTP has them."""
    try:
        return work(*arguments)
    except verdicts.UnknownAnomalyError:
        raise RequestError(404, "not-found", _NO_ANOMALY) from None
    except suppressions.UnknownSuppressionError:
        raise RequestError(404, "not-found", _NO_SUPPRESSION) from None
    except UnknownPersonError:
        raise RequestError(
            404, "not-found", "This tenant has no person of this name or reference who is not erased."
        ) from None
    except verdicts.OwnEventError as error:
        raise RequestError(403, "own-event", f"Nothing was stored: {error}.") from None
    except verdicts.TooManyVerdictsError as error:
        headers = {"Retry-After": str(error.retry_after_s)}
        raise RequestError(429, "too-many-requests", f"{error}.", headers=headers) from None


def _shown_verdict(one: verdicts.GivenVerdict, names: dict[UUID, str] | None) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "verdict_id": str(one.verdict_id),
        "verdict": one.verdict,
        "comment": one.comment,
        "given_by": str(one.given_by),
        "given_at": format_moment(one.given_at),
        "counts": one.counts,
        "seq": one.ledger_seq,
    }
    return answer if names is None else answer | {"given_by_name": names.get(one.given_by)}


def _shown_change(one: thresholds.Change) -> dict[str, Any]:
    return {
        "threshold": one.threshold,
        "previous": one.previous,
        "cause": one.cause,
        "explanation": one.explanation,
        "figures": one.figures,
        "changed_by": _text(one.changed_by),
        "changed_at": format_moment(one.changed_at),
    }


def _named(one: suppressions.Suppression, names: dict[UUID, str] | None) -> dict[str, Any]:
    return {} if names is None else _actor(one.actor_ref, names) | {"placed_by_name": names.get(one.placed_by)}


def _actor(ref: UUID | None, names: dict[UUID, str] | None) -> dict[str, Any]:
    return {} if names is None else {"actor": names.get(ref) if ref else None}


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None


def _uuid(text: str, absent: str) -> UUID:
    found = _maybe_uuid(text)
    if found is None:
        raise RequestError(404, "not-found", absent)
    return found


def _maybe_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
