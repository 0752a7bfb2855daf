"""Requests of persons and courts: everything about somebody, their erasure, and legal holds.

The work is done in `audit_pipelines.privacy`; here are bodies, statuses and the access log. An erasure that takes long
is answered with 202 and goes on: asking again, or Dagster, finishes it. Polars and ReportLab are loaded by the first
request that needs them: most servers never do.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from audit_pipelines.errors import AuditError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import LegalHoldError, UnknownPersonError
from audit_pipelines.ledger.event import UNPRINTABLE, Identifier, Label, Moment
from audit_pipelines.privacy import holds
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.problems import RETRY_AFTER_S, RequestError
from audit_pipelines.server.workers import Workers

if TYPE_CHECKING:
    from audit_pipelines.privacy.erasing import Begun
    from audit_pipelines.privacy.subject_access import Person

T = TypeVar("T")

_LARGEST: Final = 64 * 1024
# Clients and proxies give up after 30 to 60 seconds.
_PATIENCE_S: Final = 20.0
_LOG: Final = logging.getLogger(__name__)


class _PersonRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: Identifier


class _ExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: Identifier
    format: Literal["json", "pdf", "zip"] = "json"


class _HoldRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str
    user_id: Identifier | None = None
    entity_type: Label | None = None
    entity_id: Identifier | None = None
    since: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = msgspec.field(default=None, name="to")


class _ReleaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class Privacy:
    """The handlers."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._installation = installation
        self._workers = workers
        self._access = access
        # Reading and rewriting a person's copies takes minutes at worst, which events must not wait behind.
        self._slow = Workers(2, 32)
        self._purges: set[asyncio.Task[Any]] = set()

    async def export(self, request: Request, principal: Principal) -> Response:
        """Stream everything about a person; 404 for nobody of this tenant."""
        asked = await _body(request, _ExportRequest)
        person, count = await self._run(self._begin_export, principal, asked)
        filters = {"actor_ref": str(person.ref), "format": asked.format}
        await self._access.record(request, principal, "persons.export", filters, count)
        from audit_pipelines.privacy import subject_access  # noqa: PLC0415 — see the module's beginning

        media_type = subject_access.MEDIA_TYPES[asked.format]
        pieces = subject_access.export_person(self._installation, person, asked.format)
        # Named by the reference: a file name travels further than what is in the file.
        name = f"personal-data-{person.ref}.{asked.format}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(_whole(pieces), media_type=media_type, headers=headers)

    async def erase(self, request: Request, principal: Principal) -> Response:
        """Erase a person and answer with the certificate; 202 while copies are still being followed."""
        asked = await _body(request, _PersonRequest)
        from audit_pipelines.privacy import erasing  # noqa: PLC0415 — see the module's beginning

        begun = await self._slow.run(partial(_told, self._begin_erasure, principal, asked.user_id))
        work = partial(
            erasing.finish, self._installation, principal.tenant_id, begun.actor_ref, run_id="POST gdpr-erase"
        )
        task = asyncio.ensure_future(self._slow.run(work))
        self._purges.add(task)
        task.add_done_callback(self._purged)
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
        answer: dict[str, Any] = {
            "state": "erased" if begun.is_new else "already_erased",
            "actor_ref": str(begun.actor_ref),
            "erased_at": format_moment(begun.erased_at),
            "certificate": None,
        }
        if done and task.exception() is None:
            certificate = task.result()
            answer["certificate"] = msgspec.Raw(certificate.encode()) if certificate else None
            return _json(answer)
        answer["state"] = "purging"
        return _json(answer, 202, {"Retry-After": str(RETRY_AFTER_S)})

    async def list_holds(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's holds, released ones too."""
        found = await self._run(holds.listed, self._installation, principal.tenant_id)
        await self._access.record(request, principal, "holds.list", {}, len(found))
        return _json({"holds": [hold.shown() for hold in found]})

    async def place_hold(self, request: Request, principal: Principal) -> Response:
        """Place a hold."""
        asked = await _body(request, _HoldRequest)
        subject = holds.Subject(
            person=asked.user_id,
            entity_type=asked.entity_type,
            entity_id=asked.entity_id,
            since=asked.since,
            until=asked.until,
        )
        place = partial(holds.place, reason=asked.reason, by=principal.subject)
        placed = await self._run(place, self._installation, principal.tenant_id, subject)
        return _json(placed.shown(), 201, {"Location": f"/api/audit/legal-holds/{placed.hold_id}"})

    async def release_hold(self, request: Request, principal: Principal) -> Response:
        """Release a hold; 404 for none of this tenant that is not released."""
        asked = await _body(request, _ReleaseRequest)
        try:
            hold_id = UUID(request.path_params["hold_id"])
        except ValueError:
            raise RequestError(404, "not-found", "This tenant has no legal hold with this id.") from None
        release = partial(holds.release, reason=asked.reason, by=principal.subject)
        released = await self._run(release, self._installation, principal.tenant_id, hold_id)
        return _json(released.shown())

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._workers.run(partial(_told, work, *arguments))

    def _begin_erasure(self, principal: Principal, person: str) -> "Begun":
        from audit_pipelines.privacy import erasing  # noqa: PLC0415 — see the module's beginning

        return erasing.begin(self._installation, principal.tenant_id, person, requested_by=principal.subject)

    def _begin_export(self, principal: Principal, asked: _ExportRequest) -> "tuple[Person, int]":
        """Find the person and write down who gets their data; returns them and how many events they have."""
        from audit_pipelines.privacy import subject_access  # noqa: PLC0415 — see the module's beginning

        installation = self._installation
        person = subject_access.find_person(installation, principal.tenant_id, asked.user_id)
        count = subject_access.count_events(installation, person)
        subject_access.note_export(installation, person, by=principal.subject, form=asked.format)
        return person, count

    def _purged(self, task: asyncio.Task[Any]) -> None:
        self._purges.discard(task)
        if not task.cancelled() and (error := task.exception()):
            reason = str(error) if isinstance(error, AuditError) else type(error).__name__
            _LOG.warning("an erasure is unfinished and will be finished by erasure_job: %s", " ".join(reason.split()))


async def _body(request: Request, kind: type[T]) -> T:
    require_content_type(request, "application/json")
    content = await read_body(request, _LARGEST)
    try:
        asked = msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        pointer = where.rstrip("`").replace(".", "/")
        raise ValidationError("The request's body has a fault.", ((pointer, what.strip()),)) from None
    except (ValueError, RecursionError):
        raise RequestError(400, "malformed", "Expected a JSON object in UTF-8.") from None
    for name in ("user_id", "entity_type", "entity_id", "reason"):
        value = getattr(asked, name, None)
        if isinstance(value, str) and UNPRINTABLE.search(value):
            fault = (f"/{name}", "expected text without control characters")
            raise ValidationError("The request's body has a fault.", (fault,))
    return asked


def _told(work: Callable[..., T], *arguments: Any) -> T:
    """Do the work, with its refusals as HTTP has them."""
    try:
        return work(*arguments)
    except UnknownPersonError:
        raise RequestError(
            404, "not-found", "This tenant has no person of this name or reference who is not erased."
        ) from None
    except holds.UnknownHoldError:
        raise RequestError(404, "not-found", "This tenant has no such legal hold that is not released.") from None
    except LegalHoldError as error:
        raise RequestError(409, "legal-hold", f"Nothing was erased: {error}.") from None


def _whole(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Hand pieces on; one that is empty would end the answer."""
    return (piece for piece in pieces if piece)


def _json(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=headers, media_type="application/json")
