"""What one request stores and what it is answered: its events and its idempotency key, in one transaction.

The one place where requests become transactions, be it one batch or a flush of single events of many tenants.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Database
from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.entry import Draft
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import (
    SEALING_ATTEMPTS,
    Batch,
    ClashError,
    Receipt,
    StaleKeysError,
    needs_transaction,
    store_drafts,
    until_fresh,
)
from audit_pipelines.server.idempotency import Answer, RequestKey, recall, remember

_NO_NAMES: Final[frozenset[Hashable]] = frozenset()


@dataclass(slots=True, eq=False)
class EventWrite:
    """The one event of a request, to be stored beside those of others; nobody changes it. It names its actor."""

    tenant_id: UUID
    event: Event
    received_at: datetime
    size: int
    """About how many bytes it holds."""
    key: RequestKey | None
    answer: Callable[[Receipt], Answer]
    prepare: Callable[..., Draft]
    """Makes the draft, with keys of another count of erasures than its argument `stale` if that is given."""
    draft: Draft | None = None
    """Where making it takes long, or asks the database; others are made when they are stored, many at once."""

    @property
    def names(self) -> frozenset[Hashable]:
        """The event_id if its client chose it, and the key, each with the tenant."""
        event_id = self.event.event_id
        if self.key is None and event_id is None:
            return _NO_NAMES
        names: list[Hashable] = [] if event_id is None else [(self.tenant_id, event_id)]
        if self.key:
            names.append((self.key.tenant_id, "key", self.key.key))
        return frozenset(names)


def store_batch(
    database: Database,
    begin: Callable[[int | None], Batch],
    key: RequestKey | None,
    tenant_id: UUID,
    answer: Callable[[Sequence[Receipt]], Answer],
) -> Answer:
    """Store the many events of one request in one transaction, or find the answer it had before.

    `begin` gives them with their keys, which are of another count of erasures than its argument.

    Raises:
        StaleKeysError: persons were erased faster than the events could be sealed; nothing was stored.
        RequestError: the key was used for something else; nothing was stored.
        ValidationError, ConflictError, DatabaseUnavailableError: as `Ledger.append`.
    """

    def attempt(stale: int | None) -> Answer:
        batch = begin(stale)
        if key is None and batch.is_one_statement:
            # Committed by the statement itself: the tenant's next writer need not wait until the answer is made.
            with database.connection("audit_app", autocommit=True) as conn:
                receipts = batch.append(conn)
            return answer(receipts)
        with database.connection("audit_app") as conn:
            known = recall(conn, [key]).get(key) if key else None
            if isinstance(known, Answer):
                return known
            if known is not None:
                raise known
            made = answer(batch.append(conn))
            if key:
                remember(conn, {key: made})
            return made

    return until_fresh(attempt, tenant_id)


def store(database: Database, writes: Sequence[EventWrite], lock_timeout_ms: int = 0) -> Sequence[Answer | Exception]:
    """Store writes that share no name, and return for each its answer, or why it alone was refused.

    One transaction for all of them; those whose event_ids clash with what is stored are done again one by one.

    Raises:
        HeadLockedError, DatabaseUnavailableError: as `store_drafts` and `Database.connection`; nothing was stored.
    """
    try:
        return _with_living_keys(database, writes, lock_timeout_ms)
    except ClashError as clash:
        if len(writes) == 1:
            return [clash]
        suspects = [write for write in writes if write.event.event_id in clash.event_ids]
    suspected = {id(write) for write in suspects}
    others = [write for write in writes if id(write) not in suspected]
    outcomes = dict(zip(map(id, others), store(database, others, lock_timeout_ms) if others else (), strict=True))
    for write in suspects:
        outcomes[id(write)] = _alone(database, write, lock_timeout_ms)
    return [outcomes[id(write)] for write in writes]


def _alone(database: Database, write: EventWrite, lock_timeout_ms: int) -> Answer | Exception:
    try:
        return store(database, [write], lock_timeout_ms)[0]
    except Exception as error:  # noqa: BLE001 - its neighbours are stored: raising would say that they are not
        return error


def _with_living_keys(
    database: Database, writes: Sequence[EventWrite], lock_timeout_ms: int
) -> Sequence[Answer | Exception]:
    """Store all writes; those whose tenants erased somebody meanwhile are sealed anew, the others as they are."""
    drafts = [write.draft or _prepared(write) for write in writes]
    for _ in range(SEALING_ATTEMPTS):
        sealed = {place: draft for place, draft in enumerate(drafts) if isinstance(draft, Draft)}
        try:
            stored = _in_one_transaction(
                database, [(writes[place], draft) for place, draft in sealed.items()], lock_timeout_ms
            )
        except StaleKeysError as error:
            stale = error
        else:
            answers = dict(zip(sealed, stored, strict=True))
            return [draft if isinstance(draft, Exception) else answers[place] for place, draft in enumerate(drafts)]
        for place in sealed:
            if writes[place].tenant_id in stale.tenants:
                drafts[place] = _prepared(writes[place], stale.tenants[writes[place].tenant_id])
    raise stale


def _prepared(write: EventWrite, stale: int | None = None) -> Draft | Exception:
    try:
        return write.prepare(stale=stale)
    except Exception as error:  # noqa: BLE001 - its neighbours can still be stored
        return error


def _in_one_transaction(
    database: Database, sealed: Sequence[tuple[EventWrite, Draft]], lock_timeout_ms: int
) -> Sequence[Answer | AuditError]:
    writes = [write for write, _ in sealed]
    keys = [write.key for write in writes if write.key]
    with (
        database.connection("audit_app", autocommit=True) as conn,
        conn.transaction() if keys or needs_transaction([draft for _, draft in sealed]) else nullcontext(),
    ):
        known = recall(conn, keys, lock_timeout_ms=lock_timeout_ms) if keys else {}
        new = [(write, draft) for write, draft in sealed if write.key is None or write.key not in known]
        receipts = store_drafts(conn, [draft for _, draft in new], lock_timeout_ms=lock_timeout_ms) if new else []
        answers = {id(write): write.answer(receipt) for (write, _), receipt in zip(new, receipts, strict=True)}
        if keys:
            remember(conn, {write.key: answers[id(write)] for write, _ in new if write.key})
    return [known[write.key] if write.key and write.key in known else answers[id(write)] for write in writes]
