"""Taking events in: one at a time or as a batch, each answered after its commit.

Decoding and limits are elsewhere; here is what a request means and what its answer holds.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.db.database import Database
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.group_commit import GroupCommit, QueueFullError
from audit_pipelines.ledger.store import Batch, HeadLockedError, Ledger, Receipt, StaleKeysError
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.decoding import decode_array, decode_event, decode_lines
from audit_pipelines.server.idempotency import Answer, RequestKey, request_key
from audit_pipelines.server.problems import Fault
from audit_pipelines.server.workers import Workers, busy
from audit_pipelines.server.writing import EventWrite, store_batch

EVENTS_PATH: Final = "/api/audit/events"
EVENT_BYTES: Final = 2 * 1024 * 1024
BATCH_BYTES: Final = 32 * 1024 * 1024
_JSON: Final = "application/json"
_JSON_HEADER: Final = (b"content-type", b"application/json")
_NDJSON: Final = "application/x-ndjson"
# Decoding and sealing this much takes less than handing it to a thread and back; the larger is sealed on a thread.
_SMALL_BYTES: Final = 16_384
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9-]+")


class EventWriting:
    """The handlers that append; batches have workers of their own, so that they never starve single events."""

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        single: Workers,
        batches: Workers,
        group: GroupCommit[EventWrite, Answer],
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._single = single
        self._batches = batches
        self._group = group

    async def append(self, request: Request, principal: Principal) -> Response:
        """Store one event: 201 with its receipt, 200 with the first receipt when it was stored before.

        It shares its transaction with the events that wait beside it.
        """
        require_content_type(request, _JSON)
        body = await read_body(request, EVENT_BYTES)
        key = request_key(request, principal, body)
        event = decode_event(body)
        if not event.actor:
            event = msgspec.structs.replace(event, actor=principal.subject)
        write = EventWrite(
            principal.tenant_id,
            event,
            datetime.now(UTC),
            len(body),
            key,
            _answer_to_one,
            partial(self._ledger.prepare, principal.tenant_id, event),
        )
        try:
            if len(body) > _SMALL_BYTES or not self._ledger.knows(principal.tenant_id, event):
                write.draft = await self._single.run(write.prepare)
            return _Stored(await self._group.append(write))
        except (QueueFullError, HeadLockedError, StaleKeysError):
            raise busy() from None
        except ConflictError as error:
            raise ConflictError("The event_id belongs to another event.", _without_index(error.faults)) from error
        except ValidationError as error:
            raise ValidationError("The event cannot be stored.", _without_index(error.faults)) from error

    async def append_batch(self, request: Request, principal: Principal) -> Response:
        """Store all events of a JSON array or NDJSON body, or none of them.

        201 when any is new, 200 when all were stored before; `first_seq`, `last_seq` and the `row_hash` of the last
        cover the events stored before too, so that a repeated request has the first one's answer.
        """
        media_type = require_content_type(request, _JSON, _NDJSON)
        body = await read_body(request, BATCH_BYTES, gzip=True)
        key = request_key(request, principal, body)
        try:
            return _Stored(await self._batches.run(partial(self._append_all, principal, body, media_type, key)))
        except StaleKeysError:
            raise busy() from None

    def _append_all(self, principal: Principal, body: bytes, media_type: str, key: RequestKey | None) -> Answer:
        events = decode_lines(body) if media_type == _NDJSON else decode_array(body)
        tenant_id = principal.tenant_id

        def begin(stale: int | None) -> Batch:
            return self._ledger.batch(tenant_id, events, default_actor=principal.subject, stale=stale)

        return store_batch(self._database, begin, key, tenant_id, _answer_to_batch)


class _ReceiptBody(msgspec.Struct, gc=False):
    """A receipt as JSON: written from a struct in a third of a dict's time."""

    event_id: str
    seq: int
    recorded_at: datetime | str
    entry_hash: str
    prev_hash: str
    row_hash: str
    duplicate: bool


def _answer_to_one(receipt: Receipt) -> Answer:
    event_id = receipt.event_id
    body = _ReceiptBody(
        event_id,
        receipt.seq,
        # The encoder writes as `format_moment` does, twenty times as fast, unless there is no fraction.
        receipt.recorded_at if receipt.recorded_at.microsecond else format_moment(receipt.recorded_at),
        receipt.entry_hash.hex(),
        receipt.prev_hash.hex(),
        receipt.row_hash.hex(),
        receipt.duplicate,
    )
    # Most ids are UUIDs, and looking costs a tenth of quoting.
    quoted = event_id if _PLAIN_ID.fullmatch(event_id) else quote(event_id, safe="")
    status = 200 if receipt.duplicate else 201
    return Answer(status, msgspec.json.encode(body).decode(), f"{EVENTS_PATH}/{quoted}")


def _answer_to_batch(receipts: Sequence[Receipt]) -> Answer:
    last = max(receipts, key=lambda receipt: receipt.seq)
    accepted = sum(not receipt.duplicate for receipt in receipts)
    summary = {
        "accepted": accepted,
        "duplicates": len(receipts) - accepted,
        "first_seq": min(receipt.seq for receipt in receipts),
        "last_seq": last.seq,
        "row_hash": last.row_hash.hex(),
    }
    return Answer(201 if accepted else 200, msgspec.json.encode(summary).decode())


def _without_index(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    return tuple((where.removeprefix("/0"), what) for where, what in faults)


class _Stored(Response):
    """An answer as JSON; Starlette, which looks at headers one by one, takes three times as long to make it."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self.background = None
        self.body = answer.body.encode()
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), _JSON_HEADER]
        if answer.location:
            self.raw_headers.append((b"location", answer.location.encode("latin-1")))
