"""Taking events in: one at a time or as a batch, each answered after its commit.

Decoding and limits are elsewhere; here is what a request means and what its answer holds.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger, Receipt
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.decoding import decode_array, decode_event, decode_lines
from audit_pipelines.server.problems import Fault, RequestError
from audit_pipelines.server.workers import Workers

EVENTS_PATH: Final = "/api/audit/events"
EVENT_BYTES: Final = 2 * 1024 * 1024
BATCH_BYTES: Final = 32 * 1024 * 1024
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"


class EventWriting:
    """The handlers that append; batches have workers of their own, so that they never starve single events."""

    def __init__(self, ledger: Ledger, single: Workers, batches: Workers) -> None:
        self._ledger = ledger
        self._single = single
        self._batches = batches

    async def append(self, request: Request, principal: Principal) -> Response:
        """Store one event: 201 with its receipt, 200 with the first receipt when it was stored before."""
        _refuse_idempotency_key(request)
        require_content_type(request, _JSON)
        event = decode_event(await read_body(request, EVENT_BYTES))
        receipt = await self._single.run(partial(self._append_one, principal, event))
        location = f"{EVENTS_PATH}/{quote(receipt.event_id, safe='')}"
        return _answer(200 if receipt.duplicate else 201, _receipt(receipt), {"Location": location})

    async def append_batch(self, request: Request, principal: Principal) -> Response:
        """Store all events of a JSON array or NDJSON body, or none of them.

        201 when any is new, 200 when all were stored before; `first_seq`, `last_seq` and the `row_hash` of the last
        cover the events stored before too, so that a repeated request has the first one's answer.
        """
        _refuse_idempotency_key(request)
        media_type = require_content_type(request, _JSON, _NDJSON)
        body = await read_body(request, BATCH_BYTES, gzip=True)
        receipts = await self._batches.run(partial(self._append_all, principal, body, media_type))
        last = max(receipts, key=lambda receipt: receipt.seq)
        accepted = sum(not receipt.duplicate for receipt in receipts)
        summary = {
            "accepted": accepted,
            "duplicates": len(receipts) - accepted,
            "first_seq": min(receipt.seq for receipt in receipts),
            "last_seq": last.seq,
            "row_hash": last.row_hash.hex(),
        }
        return _answer(201 if accepted else 200, summary)

    def _append_one(self, principal: Principal, event: Event) -> Receipt:
        try:
            return self._ledger.append(principal.tenant_id, [event], default_actor=principal.subject)[0]
        except ValidationError as error:
            raise ValidationError("The event cannot be stored.", _without_index(error.faults)) from error
        except ConflictError as error:
            raise ConflictError("The event_id belongs to another event.", _without_index(error.faults)) from error

    def _append_all(self, principal: Principal, body: bytes, media_type: str) -> list[Receipt]:
        events = decode_lines(body) if media_type == _NDJSON else decode_array(body)
        return self._ledger.append(principal.tenant_id, events, default_actor=principal.subject)


def _refuse_idempotency_key(request: Request) -> None:
    """Refuse what would otherwise be a promise not kept: the key is not remembered."""
    if "idempotency-key" in request.headers:
        raise RequestError(
            400,
            "idempotency-key",
            "The header Idempotency-Key is not honoured; expected an event_id of your own in the event, which makes a "
            "repeated request safe. Nothing was stored.",
        )


def _without_index(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    return tuple((where.removeprefix("/0"), what) for where, what in faults)


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "event_id": receipt.event_id,
        "seq": receipt.seq,
        "recorded_at": format_moment(receipt.recorded_at),
        "entry_hash": receipt.entry_hash.hex(),
        "prev_hash": receipt.prev_hash.hex(),
        "row_hash": receipt.row_hash.hex(),
        "duplicate": receipt.duplicate,
    }


def _answer(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers=headers, media_type=_JSON)
