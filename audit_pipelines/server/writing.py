"""What one request stores and what it is answered: its events and its idempotency key, in one transaction.

The one place where requests become transactions, be it one batch or a flush of single events of many tenants.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, islice
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.entry import Draft
from audit_pipelines.ledger.store import (
    SEALING_ATTEMPTS,
    ClashError,
    Receipt,
    StaleKeysError,
    in_order,
    needs_transaction,
    store_drafts,
    without_repeats,
)
from audit_pipelines.server.idempotency import Answer, RequestKey, recall, remember


@dataclass(frozen=True, slots=True)
class EventWrite:
    """The events of one request, at least one and all of one tenant; stored all or not at all."""

    drafts: Sequence[Draft]
    key: RequestKey | None
    answer: Callable[[Sequence[Receipt]], Answer]
    prepare: Callable[..., Sequence[Draft]]
    """Makes the drafts again, with keys of another count of erasures than its argument `stale`."""

    @property
    def tenant_id(self) -> UUID:
        """Whose events they are."""
        return self.drafts[0].tenant_id

    @property
    def names(self) -> frozenset[Hashable]:
        """The event ids its client chose and its key, each with the tenant."""
        names: list[Hashable] = [(draft.tenant_id, draft.event_id) for draft in self.drafts if draft.is_client_id]
        if self.key:
            names.append((self.key.tenant_id, "key", self.key.key))
        return frozenset(names)

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        return sum(len(draft.entry) for draft in self.drafts)


def store(database: Database, writes: Sequence[EventWrite], lock_timeout_ms: int = 0) -> Sequence[Answer | Exception]:
    """Store writes that share no name, and return for each its answer, or why it alone was refused.

    One transaction for all of them; those whose event_ids clash with what is stored are done again one by one.

    Raises:
        ConflictError: a write holds the same event_id twice, with other content.
        HeadLockedError, DatabaseUnavailableError: as `store_drafts` and `Database.connection`; nothing was stored.
    """
    try:
        return _with_living_keys(database, writes, lock_timeout_ms)
    except ClashError as clash:
        if len(writes) == 1:
            return [ClashError(clash.event_ids, writes[0].drafts)]
        suspects = [write for write in writes if any(draft.event_id in clash.event_ids for draft in write.drafts)]
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
    present = list(writes)
    refused: dict[int, Exception] = {}
    for _ in range(SEALING_ATTEMPTS):
        places = [place for place in range(len(writes)) if place not in refused]
        try:
            stored = _in_one_transaction(database, [present[place] for place in places], lock_timeout_ms)
        except StaleKeysError as error:
            stale = error
        else:
            answers = dict(zip(places, stored, strict=True))
            return [refused[place] if place in refused else answers[place] for place in range(len(writes))]
        for place in places:
            write = present[place]
            if write.tenant_id in stale.tenants:
                try:
                    drafts = write.prepare(stale=stale.tenants[write.tenant_id])
                    present[place] = replace(write, drafts=drafts)
                except Exception as error:  # noqa: BLE001 - its neighbours can still be stored
                    refused[place] = error
    raise stale


def _in_one_transaction(
    database: Database, writes: Sequence[EventWrite], lock_timeout_ms: int
) -> Sequence[Answer | AuditError]:
    keys = [write.key for write in writes if write.key]
    drafts = [draft for write in writes for draft in write.drafts]
    with (
        database.connection("audit_app", autocommit=True) as conn,
        conn.transaction() if keys or needs_transaction(drafts) else nullcontext(),
    ):
        known = recall(conn, keys, lock_timeout_ms=lock_timeout_ms) if keys else {}
        new = [write for write in writes if write.key is None or write.key not in known]
        answers = _append(conn, new, lock_timeout_ms)
        if keys:
            remember(conn, {write.key: answers[id(write)] for write in new if write.key})
    return [known[write.key] if write.key and write.key in known else answers[id(write)] for write in writes]


def _append(conn: Connection, writes: Sequence[EventWrite], lock_timeout_ms: int) -> Mapping[int, Answer]:
    distinct = [without_repeats(write.drafts) for write in writes]
    receipts = iter(store_drafts(conn, list(chain.from_iterable(distinct)), lock_timeout_ms=lock_timeout_ms))
    return {
        id(write): write.answer(in_order(write.drafts, drafts, list(islice(receipts, len(drafts)))))
        for write, drafts in zip(writes, distinct, strict=True)
    }
