"""Storing plain single events from the event loop itself: one statement for all that wait, and no thread.

Plain is what one statement stores: no idempotency key, and an id that needs no look-up. What the database refuses is
not stored, and goes the way of all others (`writing.store`), which finds out whose fault it is.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg

from audit_pipelines.db.database import Database
from audit_pipelines.db.loop_statement import LoopStatement
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.ledger.entry import Draft
from audit_pipelines.ledger.store import Call, Ledger, resembles_server_made
from audit_pipelines.server.idempotency import Answer
from audit_pipelines.server.writing import EventWrite

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class _UnknownPersonError(AuditError):
    """The vault has to be asked for somebody's key, which no event loop may wait for."""


class Express:
    """The way of plain writes, for one event loop."""

    def __init__(self, ledger: Ledger, database: Database, timeout_ms: int) -> None:
        self._ledger = ledger
        self._append = LoopStatement(database, "audit_app", query("ledger/append"), timeout_ms)

    def takes(self, write: EventWrite) -> bool:
        """Return whether `write` is plain."""
        event_id = write.event.event_id
        return write.key is None and (event_id is None or not resembles_server_made(event_id))

    async def store(self, writes: Sequence[EventWrite], lock_timeout_ms: int) -> Callable[[], Sequence[Answer]]:
        """Store writes that share no name, in one transaction, and return what makes the answer of each.

        Raises:
            HeadLockedError, ConflictError, StaleKeysError, ValidationError, psycopg.Error: nothing was stored.
            DatabaseUnavailableError: nothing is known to be stored.
        """
        call = Call.of(self._drafts(writes), lock_timeout_ms)
        try:
            with call.refusals():
                arguments = {name: array.data for name, array in call.arguments().items()}
                rows = await self._append.call(arguments)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(f"the database did not answer: {str(error).strip()}") from error

        def answers() -> Sequence[Answer]:
            receipts = call.receipts(map(_row, rows))
            return [write.answer(receipt) for write, receipt in zip(writes, receipts, strict=True)]

        return answers

    def _drafts(self, writes: Sequence[EventWrite]) -> Sequence[Draft]:
        """Return the draft of each write; those of a tenant are made together, at a third of the time one by one."""
        unmade: dict[UUID, list[int]] = {}
        drafts = [write.draft for write in writes]
        for place, write in enumerate(writes):
            if write.draft is None:
                unmade.setdefault(write.tenant_id, []).append(place)
        for tenant_id, places in unmade.items():
            received = [(writes[place].event, writes[place].received_at) for place in places]
            made = self._ledger.prepare_at_once(tenant_id, received)
            if made is None:
                raise _UnknownPersonError("persons of this flush were known when it was queued, and are not any more")
            for place, draft in zip(places, made, strict=True):
                drafts[place] = draft
        return [draft for draft in drafts if draft is not None]

    def close(self) -> None:
        """Give the connection up."""
        self._append.close()


def _row(values: Sequence[bytes | None]) -> Sequence[Any]:
    """Return what psycopg would make of a row that `audit_append` answers."""
    tenant_id, event_id, first_seq, recorded_at, links = values
    return (
        UUID(bytes=tenant_id),
        None if event_id is None else event_id.decode(),
        int.from_bytes(first_seq or b""),
        _EPOCH + timedelta(microseconds=int.from_bytes(recorded_at or b"")),
        links,
    )
