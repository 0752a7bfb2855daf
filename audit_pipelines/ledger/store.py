"""Appending events: the one Python caller of `audit_append`.

Content is prepared and sealed before the database is asked for anything; then one transaction stores all events of a
call or none. Reading is the server's, checking `verify.py`'s, putting writes together `group_commit.py`'s.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import psycopg

from audit_pipelines.db import arrays
from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.ledger.entry import Draft, SealingPolicy, make_draft
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.vault import Keys, Vault

T = TypeVar("T")

# What one call of `audit_append` takes: its arrays are in memory three times over, and larger ones gain nothing.
CHUNK: Final = 1_000
_HASH: Final = 32
_COLUMNS: Final = tuple(name for name in Draft.__struct_fields__ if name not in {"tenant_id", "erasures"})
_ARRAYS: Final[Mapping[str, Callable[[Sequence[Any]], arrays.BinaryArray]]] = {
    "event_id": arrays.texts,
    "fingerprint": arrays.byteas,
    "entry": arrays.byteas,
    "occurred_at": arrays.moments,
    "actor_ref": arrays.uuids,
    "event_type": arrays.labels,
    "entity_type": arrays.labels,
    "entity_id": arrays.labels,
    "outcome": arrays.labels,
    "ip_address": arrays.texts,
    "ip_index": arrays.byteas,
    "user_agent": arrays.labels,
}
_STALE_KEYS: Final = "AU001"
# Each takes another erasure within the tenant, in the milliseconds since the keys were read.
SEALING_ATTEMPTS: Final = 20
_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# In the year 9000: Postgres can add days to it, and no server made later ids.
_LATEST_MS: Final = 221_845_392_000_000


class Receipt(msgspec.Struct, frozen=True):
    """What the ledger answers for: the event is stored durably at `seq`, bound by `row_hash`.

    `duplicate` says that it was stored before, by the same `event_id`; the receipt is then the first one.
    """

    event_id: str
    seq: int
    recorded_at: datetime
    entry_hash: bytes
    prev_hash: bytes
    row_hash: bytes
    duplicate: bool


class ClashError(ConflictError):
    """Some `event_id`s of a call are bound to other content; nothing of the call was stored.

    `event_ids` names them without their tenants, so an event of another tenant may bear one innocently.
    """

    def __init__(self, event_ids: frozenset[str], drafts: Sequence[Draft]) -> None:
        faults = tuple(
            (
                f"/{place}/event_id",
                f"{draft.event_id!r} was stored before with other content; expected a new id or the same event",
            )
            for place, draft in enumerate(drafts)
            if draft.event_id in event_ids
        )
        super().__init__(f"{len(faults)} events reuse an event_id for other content; nothing was stored", faults)
        self.event_ids = event_ids


class HeadLockedError(AuditError):
    """Another transaction holds a tenant's head for longer than the caller would wait; nothing was stored."""


class StaleKeysError(AuditError):
    """Persons were erased since the keys of some events were read; nothing was stored.

    `tenants` maps those concerned to the counts of erasures at which the keys were read.
    """

    def __init__(self, tenants: Mapping[UUID, int]) -> None:
        super().__init__(
            f"{len(tenants)} tenants erased persons while their events were on the way; nothing was stored: repeat it"
        )
        self.tenants = tenants


class Ledger:
    """The ledger as writers see it."""

    def __init__(self, database: Database, vault: Vault, policy: SealingPolicy) -> None:
        self._database = database
        self._vault = vault
        self._policy = policy

    def append(self, tenant_id: UUID, events: Sequence[Event], *, default_actor: str | None = None) -> list[Receipt]:
        """Store `events` in the given order and return one receipt for each, in that order.

        Appends all of them or raises; never updates. When it returns, the events survive a crash of the machine. An
        event whose `event_id` was stored before with the same content is answered with its first receipt.

        Raises:
            ValidationError: each fault as `(/index/field, what)`; nothing is stored.
            ConflictError: an `event_id` is bound to other content; faults as above, nothing is stored.
            DatabaseUnavailableError: nothing is known to be stored; repeating with the same `event_id`s is safe.
        """

        def attempt(stale: int | None) -> list[Receipt]:
            drafts = self.prepare(tenant_id, events, default_actor=default_actor, stale=stale)
            distinct = without_repeats(drafts)
            with self._database.connection("audit_app") as conn:
                receipts = store_drafts(conn, distinct)
            return in_order(drafts, distinct, receipts)

        return until_fresh(attempt, tenant_id)

    def prepare(
        self,
        tenant_id: UUID,
        events: Sequence[Event],
        *,
        default_actor: str | None = None,
        stale: int | None = None,
    ) -> list[Draft]:
        """Return the rows for `events`, ready to be stored; persons who are new get their reference in the vault.

        After a `StaleKeysError`, `stale` is the count it names for the tenant: the keys are then read anew.

        Raises:
            ValidationError, DatabaseUnavailableError: as `append`.
        """
        events = _with_actor(events, default_actor)
        return self._drafts(tenant_id, events, self._vault.keys(tenant_id, self._persons(events), stale=stale))

    def prepare_at_once(self, tenant_id: UUID, event: Event, *, default_actor: str | None = None) -> Draft | None:
        """Return the row for `event` if this process knows all its persons, else None; never asks the database.

        Raises:
            ValidationError: as `append`.
        """
        events = _with_actor([event], default_actor)
        keys = self._vault.known_keys(tenant_id, self._persons(events))
        return None if keys is None else self._drafts(tenant_id, events, keys)[0]

    def _persons(self, events: Sequence[Event]) -> set[str]:
        persons = {event.actor for event in events if event.actor}
        return persons | {event.entity_id for event in events if event.entity_type in self._policy.person_entity_types}

    def _drafts(self, tenant_id: UUID, events: Sequence[Event], keys: Keys) -> list[Draft]:
        received_at = datetime.now(UTC)
        drafts: list[Draft] = []
        faults: list[tuple[str, str]] = []
        for place, event in enumerate(events):
            is_person = event.entity_type in self._policy.person_entity_types
            try:
                drafts.append(
                    make_draft(
                        event,
                        tenant_id=tenant_id,
                        tenant_key=keys.tenant_key,
                        actor=keys.subjects[event.actor] if event.actor else None,
                        entity=keys.subjects[event.entity_id] if is_person else None,
                        policy=self._policy,
                        received_at=received_at,
                        erasures=keys.erasures,
                    )
                )
            except ValidationError as error:
                faults += [(f"/{place}{where}", what) for where, what in error.faults]
        if faults:
            raise ValidationError(f"{len(faults)} faults in {len(events)} events; nothing was stored", tuple(faults))
        return drafts


def store_drafts(conn: Connection, drafts: Sequence[Draft], *, lock_timeout_ms: int = 0) -> list[Receipt]:
    """Append drafts of any tenants, no `event_id` twice in a tenant, in the transaction of `conn`.

    Returns a receipt for each, in their order. More than `CHUNK` drafts, or such as `needs_transaction` names, need a
    transaction to be stored whole or not at all; for fewer a connection that commits by itself saves two round trips.

    Raises:
        ClashError: the transaction is to be rolled back.
        HeadLockedError: a tenant's head was locked for more than `lock_timeout_ms` (0: no limit of this call).
        StaleKeysError: drafts may be sealed under a key that was destroyed; the transaction is to be rolled back.
    """
    places = sorted(range(len(drafts)), key=lambda place: drafts[place].tenant_id.int)
    ordered = [drafts[place] for place in places]
    _refuse_server_made_ids(conn, ordered)
    receipts: list[Receipt] = []
    try:
        for start in range(0, len(ordered), CHUNK):
            receipts += _append(conn, ordered[start : start + CHUNK], lock_timeout_ms)
    except psycopg.errors.UniqueViolation as error:
        raise ClashError(frozenset(msgspec.json.decode(error.diag.message_detail or "[]")), drafts) from error
    except psycopg.errors.LockNotAvailable as error:
        raise HeadLockedError(f"a tenant's head was locked for more than {lock_timeout_ms} ms") from error
    by_place = dict(zip(places, receipts, strict=True))
    return [by_place[place] for place in range(len(drafts))]


def until_fresh(attempt: Callable[[int | None], T], tenant_id: UUID) -> T:
    """Return what `attempt` returns, which prepares and stores events of one tenant, repeating it after erasures.

    Its argument is what `Ledger.prepare` takes as `stale`.
    """
    stale = None
    for _ in range(SEALING_ATTEMPTS - 1):
        try:
            return attempt(stale)
        except StaleKeysError as error:
            stale = error.tenants.get(tenant_id)
    return attempt(stale)


def needs_transaction(drafts: Sequence[Draft]) -> bool:
    """Return whether `store_drafts` takes more than one statement for these."""
    return len(drafts) > CHUNK or any(_resembles_server_made(draft) for draft in drafts)


def without_repeats(drafts: Sequence[Draft]) -> list[Draft]:
    """Drop later copies of one event within a call of one tenant.

    Raises:
        ConflictError: when the same id comes with other content.
    """
    first: dict[str, Draft] = {}
    clashes = []
    for place, draft in enumerate(drafts):
        if first.setdefault(draft.event_id, draft).fingerprint != draft.fingerprint:
            clashes.append((f"/{place}/event_id", f"{draft.event_id!r} stands in this call twice, with other content"))
    if clashes:
        raise ConflictError(
            f"{len(clashes)} events share their event_id with others; nothing was stored", tuple(clashes)
        )
    return list(first.values())


def in_order(drafts: Sequence[Draft], distinct: Sequence[Draft], receipts: Sequence[Receipt]) -> list[Receipt]:
    """Return the receipt of each draft of one tenant, in their order; those of later copies say `duplicate`.

    `receipts` are those of `distinct`, which is what `without_repeats` made of `drafts`.
    """
    if len(distinct) == len(drafts):
        return list(receipts)
    by_id = {receipt.event_id: receipt for receipt in receipts}
    answered: set[str] = set()
    result = []
    for draft in drafts:
        receipt = by_id[draft.event_id]
        result.append(msgspec.structs.replace(receipt, duplicate=True) if draft.event_id in answered else receipt)
        answered.add(draft.event_id)
    return result


def _with_actor(events: Sequence[Event], default_actor: str | None) -> Sequence[Event]:
    if default_actor is None:
        return events
    return [event if event.actor else msgspec.structs.replace(event, actor=default_actor) for event in events]


def _append(conn: Connection, drafts: Sequence[Draft], lock_timeout_ms: int) -> list[Receipt]:
    """Call `audit_append` for drafts that are in the order of their tenants."""
    groups = [(tenant_id, list(group)) for tenant_id, group in groupby(drafts, key=attrgetter("tenant_id"))]
    # Events that came before an erasure may share the call with some that came after it.
    erasures = [min(draft.erasures for draft in group) for _, group in groups]
    arguments: dict[str, Any] = {name: make(list(map(attrgetter(name), drafts))) for name, make in _ARRAYS.items()}
    arguments |= {
        "tenant_id": arrays.uuids([tenant_id for tenant_id, _ in groups]),
        "count": arrays.integers(len(group) for _, group in groups),
        "erasures": arrays.bigints(erasures),
        "lock_timeout_ms": str(lock_timeout_ms),
    }
    try:
        rows = conn.execute(query("ledger/append"), arguments, binary=True).fetchall()
    except psycopg.DatabaseError as error:
        if error.sqlstate != _STALE_KEYS:
            raise
        present = msgspec.json.decode(error.diag.message_detail or "[]")
        raise StaleKeysError(
            {
                tenant_id: count
                for (tenant_id, _), count, now in zip(groups, erasures, present, strict=True)
                if count != now
            }
        ) from error
    known = {(row[0], row[1]): _known_receipt(*row[1:]) for row in rows if row[1] is not None}
    new = {row[0]: row[2:] for row in rows if row[1] is None}
    receipts: list[Receipt] = []
    for tenant_id, group in groups:
        fresh = group
        if known:
            fresh = [draft for draft in group if (tenant_id, draft.event_id) not in known]
        made = _new_receipts(fresh, *new[tenant_id]) if fresh else iter(())
        if len(fresh) == len(group):
            receipts += made
        else:
            receipts += (known.get((tenant_id, draft.event_id)) or next(made) for draft in group)
    return receipts


def _new_receipts(drafts: Sequence[Draft], first_seq: int, recorded_at: datetime, links: bytes) -> Iterator[Receipt]:
    """Yield the receipts of one tenant's drafts out of `prev_hash ‖ (entry_hash ‖ row_hash) …`."""
    at = 0
    for seq, draft in enumerate(drafts, first_seq):
        yield Receipt(
            draft.event_id,
            seq,
            recorded_at,
            links[at + _HASH : at + 2 * _HASH],
            links[at : at + _HASH],
            links[at + 2 * _HASH : at + 3 * _HASH],
            duplicate=False,
        )
        at += 2 * _HASH


def _known_receipt(event_id: str, seq: int, recorded_at: datetime, links: bytes) -> Receipt:
    prev_hash, entry_hash, row_hash = (links[at : at + _HASH] for at in range(0, 3 * _HASH, _HASH))
    return Receipt(event_id, seq, recorded_at, entry_hash, prev_hash, row_hash, duplicate=True)


def _resembles_server_made(draft: Draft) -> bool:
    return draft.is_client_id and len(draft.event_id) == 36 and _UUID7.fullmatch(draft.event_id) is not None


def _refuse_server_made_ids(conn: Connection, drafts: Sequence[Draft]) -> None:
    """Refuse ids that the server gave to events before: `audit_event_ids`, which keeps ids unique, has no such ids.

    Looked up before the heads are locked. That is early enough: nobody can know an id before the event that has it was
    answered for, and then it is committed.
    """
    for tenant_id, group in groupby(
        (draft for draft in drafts if _resembles_server_made(draft)), key=lambda draft: draft.tenant_id
    ):
        suspects = [draft.event_id for draft in group]
        conn.execute(query("ledger/set_tenant"), {"tenant_id": tenant_id})
        taken = conn.execute(
            query("ledger/select_server_made_ids"),
            {"event_ids": suspects, "made_at": [_made_at(event_id) for event_id in suspects]},
        ).fetchall()
        if taken:
            raise ClashError(frozenset(event_id for (event_id,) in taken), drafts)


def _made_at(event_id: str) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(int(event_id[:8] + event_id[9:13], 16), _LATEST_MS))
