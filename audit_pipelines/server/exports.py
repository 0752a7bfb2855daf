"""Exports over HTTP: what is asked for, files that stream as they are read, and large ones made in the background.

The work is done in `audit_pipelines.exports`; here are bodies, statuses, who may see which export, and what
happens when a client goes or stops reading. Arrow, polars and ReportLab are loaded by the first export: most servers
never do.
"""

import base64
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio
import anyio.to_thread
import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Send

from audit_pipelines.errors import AuditError, TamperedError, ValidationError
from audit_pipelines.exports import jobs
from audit_pipelines.exports.jobs import Shown
from audit_pipelines.exports.selection import (
    DATE_RANGES,
    FORMATS,
    MEDIA_TYPES,
    Format,
    Order,
    Selection,
    file_name,
    period_of,
)
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.vault import Vault
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.filters import EVENT_PARAMETERS, Filters, parse_filters
from audit_pipelines.server.problems import RETRY_AFTER_S, Fault, RequestError
from audit_pipelines.server.reading import asked_for, resolve
from audit_pipelines.server.workers import Workers, busy

if TYPE_CHECKING:
    from audit_pipelines.exports.making import Making

T = TypeVar("T")

EXPORT_PATH: Final = "/api/audit/export"
EXPORTS_PATH: Final = "/api/audit/exports"
STREAMED_ROWS: Final = 1_000_000
"""More events than this are exported in the background, unless the request says otherwise."""
_LARGEST: Final = 64 * 1024
_MOST_ROWS: Final = 1_000_000_000
# Each holds a connection beside the pool, and some batches in memory.
_AT_ONCE: Final = 4
# A client that takes nothing for so long is taken for gone: it holds one of those places.
_PATIENCE_S: Final = 60.0
_FILTERS: Final = tuple(name for name in EVENT_PARAMETERS if name not in {"cursor", "limit"})
_NAMES: Final = (*_FILTERS, "event_ids", "limit", "date_range", "zone")
_MOST_IDS: Final = 1_000
_LOG: Final = logging.getLogger(__name__)


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    filters: dict[str, Any] = {}
    include_summary: bool = False
    background: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for an export comes to: filters in clear, and how many events at most."""

    filters: Filters
    limit: int | None
    event_ids: tuple[str, ...] | None = None


class Exports:
    """The handlers, and the thread that makes jobs."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._installation = installation
        self._workers = workers
        self._access = access
        self._runner = jobs.Runner(installation)
        self._threads: anyio.CapacityLimiter | None = None
        self._under_way = 0

    def start(self) -> None:
        """Begin making what waits."""
        self._runner.start()

    def stop(self) -> None:
        """Give back what is being made; returns when it is."""
        self._runner.stop()

    async def export(self, request: Request, principal: Principal) -> Response:
        """Answer with the file as it is read, or with 202 and where it will be."""
        form = request.path_params["format"]
        if form not in FORMATS:
            raise RequestError(404, "not-found", f"Expected one of {', '.join(FORMATS)} at the end of the path.")
        require_content_type(request, "application/json")
        body = _decoded(await read_body(request, _LARGEST))
        asked = parse_asked(body.filters, datetime.now(UTC))
        if self._under_way >= _AT_ONCE:
            raise busy()
        self._under_way += 1
        answer = None
        try:
            answer = await self._answer(request, principal, form, asked, body)
        finally:
            if not isinstance(answer, _Streamed):
                self._under_way -= 1
        return answer

    async def show(self, request: Request, principal: Principal) -> Response:
        """Return how far an export is, or how it ended; 404 for one that somebody else asked for."""
        shown = await self._run(partial(self._find, request, principal))
        await self._access.record(request, principal, "export.show", {"export_id": str(shown.export_id)}, 1)
        return _json(self._told(principal, shown))

    async def download(self, request: Request, principal: Principal) -> Response:
        """Send the file of an export that lies ready; 410 when its time is over."""
        shown = await self._run(partial(self._find, request, principal))
        if shown.state in {"waiting", "running"}:
            raise RequestError(
                409,
                "not-ready",
                f"The export is not made yet: {shown.state}.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        path = jobs.path_of(self._installation, principal.tenant_id, shown.export_id, shown.format)
        if shown.state != "ready" or shown.has_ended or not path.exists():
            raise RequestError(410, "gone", "The file is not there any more. Ask for the export again.")
        if shown.with_names and not principal.sees_names:
            raise RequestError(403, "forbidden", "Expected audit:privacy or audit:admin: the file has names in clear.")
        logged = {"export_id": str(shown.export_id), "format": shown.format, "filters": shown.asked}
        await self._access.record(request, principal, "export.download", logged, shown.rows_done)
        headers = _headers(file_name(shown.export_id, shown.format), shown.sha256)
        return FileResponse(path, media_type=MEDIA_TYPES[shown.format], headers=headers)

    async def cancel(self, request: Request, principal: Principal) -> Response:
        """Stop an export that is being made, or remove its file."""
        shown = await self._run(partial(self._find, request, principal))
        await self._run(partial(jobs.cancel, self._installation, principal.tenant_id, shown))
        return Response(status_code=204)

    async def _answer(
        self, request: Request, principal: Principal, form: Format, asked: Asked, body: _Body
    ) -> Response:
        wanted, found, missing = await self._run(partial(self._order, principal, form, asked, body))
        await self._access.record(request, principal, f"export.{form}", wanted.asked, found)
        in_background = body.background if body.background is not None else found > STREAMED_ROWS
        if in_background:
            return await self._queued(principal, wanted)
        from audit_pipelines.exports import making  # noqa: PLC0415 — see the module's beginning

        headers = _headers(wanted.file_name)
        headers["Audit-Export-Id"] = str(wanted.export_id)
        headers["Audit-Export-Head"] = str(wanted.head.seq)
        if missing:
            headers["Audit-Export-Left-Out"] = ",".join(missing)
        one = making.Making(self._installation, wanted)
        if form in making.DOCUMENTS:
            content = await self._run(lambda: b"".join(one))
            await self._run(partial(making.record_handed_out, self._installation, wanted, one.so_far))
            headers["Repr-Digest"] = _digest(one.so_far.sha256)
            return Response(content, media_type=MEDIA_TYPES[form], headers=headers)
        pulled = _Pulled(self._installation, one, self._limiter())
        try:
            # The head of the file, and then what the first statement brings: a fault there is still an answer's.
            await pulled.begin()
        except TamperedError as error:
            await pulled.give_up()
            raise _unreadable(error) from error
        except BaseException:
            await pulled.give_up()
            raise
        pulled.on_end = self._one_less
        return _Streamed(pulled, media_type=MEDIA_TYPES[form], headers=headers)

    async def _queued(self, principal: Principal, wanted: Order) -> Response:
        try:
            await self._run(partial(jobs.queue, self._installation, wanted))
        except jobs.TooManyJobsError as error:
            raise RequestError(
                503, "busy", f"{error}. Nothing was queued: repeat the request later.", headers={"Retry-After": "60"}
            ) from None
        self._runner.wake()
        where = f"{EXPORTS_PATH}/{wanted.export_id}"
        shown = await self._run(partial(jobs.show, self._installation, principal.tenant_id, wanted.export_id))
        told = self._told(principal, cast("Shown", shown))
        return _json(told, 202, {"Location": where, "Retry-After": str(RETRY_AFTER_S)})

    def _order(self, principal: Principal, form: Format, asked: Asked, body: _Body) -> tuple[Order, int, list[str]]:
        from audit_pipelines.exports import making, reading  # noqa: PLC0415 — see the module's beginning

        installation, tenant_id = self._installation, principal.tenant_id
        selection = selection_of(installation.vault, tenant_id, asked)
        wanted = making.order(
            installation,
            tenant_id,
            form,
            selection,
            {},
            by=principal.subject,
            with_names=principal.sees_names,
            include_summary=body.include_summary,
        )
        found = reading.count(installation, tenant_id, wanted.selection, wanted.head, most=STREAMED_ROWS + 1)
        logged = logged_of(installation.vault, tenant_id, asked, found=found > 0)
        return making.logged(wanted, logged), found, reading.left_out(installation, tenant_id, wanted.selection)

    def _find(self, request: Request, principal: Principal) -> Shown:
        """Return an export of the tenant that whoever asks may know of."""
        shown = None
        with suppress(ValueError):
            export_id = UUID(request.path_params["export_id"])
            shown = jobs.show(self._installation, principal.tenant_id, export_id)
        own = self._installation.vault.find(principal.tenant_id, principal.subject)
        if shown is None or ("audit:admin" not in principal.permissions and shown.requested_ref != own):
            raise RequestError(404, "not-found", "You asked for no export with this id in this tenant.")
        return shown

    def _told(self, principal: Principal, shown: Shown) -> dict[str, Any]:
        path = jobs.path_of(self._installation, principal.tenant_id, shown.export_id, shown.format)
        state = shown.state
        if state == "ready" and shown.has_ended:
            state = "expired"
        elif state == "ready" and not path.exists():
            # An erasure took it: it held somebody who is nobody now.
            state = "removed"
        return {
            "export_id": str(shown.export_id),
            "format": shown.format,
            "state": state,
            "filters": shown.asked,
            "names": shown.with_names,
            "head_seq": shown.head_seq,
            "rows_done": shown.rows_done,
            "rows_total": shown.rows_total,
            "bytes": shown.size,
            "sha256": shown.sha256.hex() if shown.sha256 else None,
            "seq": shown.seq,
            "error": shown.error,
            "created_at": format_moment(shown.created_at),
            "finished_at": format_moment(shown.finished_at) if shown.finished_at else None,
            "expires_at": format_moment(shown.expires_at) if shown.expires_at else None,
            "download_url": f"{EXPORTS_PATH}/{shown.export_id}/file" if state == "ready" else None,
        }

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._workers.run(work)
        except TamperedError as error:
            raise _unreadable(error) from error

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(2 * _AT_ONCE)
        return self._threads

    def _one_less(self) -> None:
        self._under_way -= 1


class _Pulled:
    """The pieces of a file, pulled in threads; the last one is held back until the ledger says what the file is."""

    def __init__(self, installation: Installation, making: "Making", limiter: anyio.CapacityLimiter) -> None:
        self._installation = installation
        self._making = making
        self._pieces: Iterator[bytes] = iter(making)
        self._limiter = limiter
        self.on_end: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._ready: list[bytes] = []
        self._whole = False
        self._ended = False

    async def begin(self) -> None:
        """Make the first pieces, so that what keeps the file from being made is known before an answer begins."""
        while len(self._ready) < 2 and (piece := await self._next()) is not None:
            self._ready.append(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield all pieces."""
        try:
            while (piece := await self._next()) is not None:
                self._ready.append(piece)
                yield self._ready.pop(0)
            while len(self._ready) > 1:
                yield self._ready.pop(0)
            await self._in_thread(partial(self._record, whole=True))
            self._whole = True
            for piece in self._ready:
                yield piece
        finally:
            await self.give_up()

    async def give_up(self) -> None:
        """Stop reading and free the connection; what was handed over of a file that is not whole is recorded."""
        if self._ended:
            return
        self._ended = True
        with anyio.CancelScope(shield=True):
            self._making.reader.cancel()
            await self._in_thread(self._close)
            if not self._whole:
                with suppress(AuditError):
                    await self._in_thread(partial(self._record, whole=False))
            self.on_end()

    async def _next(self) -> bytes | None:
        return await anyio.to_thread.run_sync(self._pull, limiter=self._limiter, abandon_on_cancel=True)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _pull(self) -> bytes | None:
        with self._lock:
            return next(self._pieces, None)

    def _close(self) -> None:
        # A generator that another thread is in cannot be closed: that one ends first, for its statement was cancelled.
        with self._lock:
            cast("Any", self._pieces).close()

    def _record(self, *, whole: bool) -> None:
        from audit_pipelines.exports.making import record_handed_out  # noqa: PLC0415 — see the module's beginning

        record_handed_out(self._installation, self._making.order, self._making.so_far, whole=whole)


class _Streamed(StreamingResponse):
    """An answer whose pieces are let go of however it ends, and that does not wait for ever on who reads it.

    A file that is not whole ends without its end (chunked encoding has one), so no client takes it for whole.
    """

    def __init__(self, pulled: _Pulled, *, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(pulled.pieces(), media_type=media_type, headers=headers)
        self._pulled = pulled

    async def stream_response(self, send: Send) -> None:
        """Send all pieces; a client that takes none for a minute is left."""

        async def patient(message: Any) -> None:
            with anyio.fail_after(_PATIENCE_S):
                await send(message)

        try:
            async with aclosing(cast("Any", self.body_iterator)) as pieces:
                await patient({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for piece in pieces:
                    await patient({"type": "http.response.body", "body": piece, "more_body": True})
            await patient({"type": "http.response.body", "body": b"", "more_body": False})
        except (AuditError, TimeoutError) as error:
            _LOG.warning("an export was broken off: %s", str(error) or "nobody reads it")
        finally:
            await self._pulled.give_up()


def parse_asked(filters: Mapping[str, Any], now: datetime) -> Asked:
    """Return the filters of a body: those of the timeline by the same names, `date_range`, `zone` and `limit`.

    Raises:
        ValidationError: every fault as `(/filters/name, what)`.
    """
    faults: list[Fault] = [
        (f"/filters/{name}", f"unknown filter; expected some of {', '.join(_NAMES)}")
        for name in filters
        if name not in _NAMES
    ]
    given = {name: value for name, value in filters.items() if value is not None}
    limit = given.get("limit")
    if limit is not None and not (type(limit) is int and 1 <= limit <= _MOST_ROWS):
        faults.append(("/filters/limit", f"expected a number from 1 to {_MOST_ROWS:,}"))
    event_ids = given.get("event_ids")
    if event_ids is not None and not _are_ids(event_ids):
        faults.append(("/filters/event_ids", f"expected a list of 1 to {_MOST_IDS:,} ids of events"))
    texts: dict[str, str] = {name: given[name] for name in _FILTERS if isinstance(given.get(name), str)}
    faults += [(f"/filters/{name}", "expected a text") for name in _FILTERS if name in given and name not in texts]
    since = until = None
    if (wanted := given.get("date_range")) is not None or "zone" in given:
        try:
            since, until, ends = _period(wanted, given.get("zone", "UTC"), now)
        except ValidationError as error:
            faults += error.faults
        else:
            texts.update(ends)
            if wanted is not None and {"from", "to"} & given.keys():
                faults.append(("/filters/date_range", "expected either date_range or from and to, got both"))
    try:
        parsed = parse_filters(QueryParams(list(texts.items())), _FILTERS)
    except ValidationError as error:
        faults += [(f"/filters{where}", what) for where, what in error.faults]
        parsed = Filters()
    if since is not None:
        parsed = replace(parsed, since=since, until=until)
    if parsed.since and parsed.until and parsed.since >= parsed.until:
        faults.append(("/filters/to", "expected a moment after from"))
    if faults:
        raise ValidationError("The request's body has faults; nothing was exported.", tuple(faults))
    return Asked(parsed, limit, None if event_ids is None else tuple(event_ids))


def _are_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= _MOST_IDS
        # Postgres has no text with NUL, so no event has such an id.
        and all(isinstance(each, str) and each and "\x00" not in each for each in value)
    )


def selection_of(vault: Vault, tenant_id: UUID, asked: Asked) -> Selection:
    """Return which events are asked for, with every name looked up."""
    filters = asked.filters
    named = resolve(vault, tenant_id, filters)
    return Selection(
        event_ids=asked.event_ids,
        event_type=filters.event_type,
        entity_type=filters.entity_type,
        entity_ids=None if named.entity_ids is None else tuple(named.entity_ids),
        actor_ref=named.actor_ref,
        outcome=filters.outcome,
        ip_index=named.ip_index,
        since=filters.since,
        until=filters.until,
        q=filters.q,
        pieces=None if named.pieces is None else tuple(named.pieces),
        # Whoever names an access wants it.
        with_accesses=filters.with_accesses or asked.event_ids is not None,
        newest_first=filters.order == "desc",
        limit=asked.limit,
    )


def logged_of(vault: Vault, tenant_id: UUID, asked: Asked, *, found: bool) -> dict[str, Any]:
    """Return what is asked for as the access log may hold it."""
    named = resolve(vault, tenant_id, asked.filters)
    logged = asked_for(
        asked.filters,
        vault.tenant_key(tenant_id),
        actor_ref=named.actor_ref,
        entity_ref=named.entity_ref,
        ip_index=named.ip_index,
        found=found,
    )
    if asked.event_ids is not None:
        tenant_key = vault.tenant_key(tenant_id)
        logged["event_ids"] = [each if found else hashed(tenant_key, each) for each in asked.event_ids]
    return {**logged, "limit": asked.limit} if asked.limit else {k: v for k, v in logged.items() if k != "limit"}


def _period(wanted: Any, zone: Any, now: datetime) -> tuple[datetime | None, datetime | None, dict[str, str]]:
    """Return the ends of a named period, or those that an object has as texts."""
    try:
        known = ZoneInfo(zone) if isinstance(zone, str) else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = None
    if known is None:
        what = "expected a time zone's name, as Europe/Berlin"
        raise ValidationError(what, (("/filters/zone", what),))
    if wanted is None:
        return None, None, {}
    if isinstance(wanted, dict) and wanted and wanted.keys() <= {"from", "to"}:
        if all(isinstance(end, str) for end in wanted.values()):
            return None, None, dict(wanted)
    elif isinstance(wanted, str) and wanted in DATE_RANGES:
        since, until = period_of(wanted, now, known)
        return since, until, {}
    what = f'expected one of {", ".join(DATE_RANGES)}, or {{"from": …, "to": …}}'
    raise ValidationError(what, (("/filters/date_range", what),))


def _decoded(content: bytes) -> _Body:
    try:
        return msgspec.json.decode(content, type=_Body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        pointer = where.rstrip("`").replace(".", "/")
        raise ValidationError(
            "The request's body has a fault; nothing was exported.", ((pointer, what[:1].lower() + what[1:]),)
        ) from None
    except (ValueError, RecursionError):
        raise RequestError(400, "malformed", "Expected a JSON object in UTF-8.") from None


def _unreadable(error: TamperedError) -> RequestError:
    _LOG.warning("an export cannot be made: %s", error)
    return RequestError(
        503,
        "archive-unavailable",
        "What is asked for lies in an archive that cannot be read; `audit-pipelines verify` says why.",
    )


def _headers(name: str, sha256: bytes | None = None) -> dict[str, str]:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return headers | {"Repr-Digest": _digest(sha256)} if sha256 else headers


def _digest(sha256: bytes) -> str:
    """Return the value of `Repr-Digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def _json(content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=headers, media_type="application/json")
