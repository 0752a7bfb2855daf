"""Appending events: the one Python caller of `audit_append`.

One transaction stores all events of a call or none; they are sealed before the database sees them.
Reading is the server's, checking `verify.py`'s, putting writes together `group_commit.py`'s.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import msgspec
import psycopg

from audit_pipelines.db import arrays
from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.ledger.entry import Draft, SealingPolicy, make_drafts
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.vault import Keys, Vault

T = TypeVar("T")

# The database gains nothing from larger calls, and their arrays are in memory three times over.
CALL_EVENTS: Final = 1_000
_HASH: Final = 32
_MAKERS: Final[Mapping[str, Callable[[Sequence[Any]], arrays.BinaryArray]]] = {
    "event_id": arrays.texts,
    "fingerprint": arrays.byteas,
    "entry": arrays.byteas,
    "occurred_at": arrays.moments,
    "actor_ref": arrays.uuids,
    "event_type": arrays.labels,
    "entity_type": arrays.labels,
    "entity_id": arrays.texts,
    "outcome": arrays.labels,
    "ip_address": arrays.texts,
    "ip_index": arrays.byteas,
    "user_agent": arrays.labels,
}
_ARRAYS: Final = {name: (attrgetter(name), make) for name, make in _MAKERS.items()}
_erasures: Final = attrgetter("erasures")
_STALE_KEYS: Final = "AU001"
# Each takes another erasure within the tenant, in the milliseconds since the keys were read.
SEALING_ATTEMPTS: Final = 20
_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# In the year 9000: Postgres can add days to it, and no server made later ids.
_LATEST_MS: Final = 221_845_392_000_000


class Receipt(msgspec.Struct, frozen=True, gc=False):
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

    def __init__(self, event_ids: frozenset[str], called: Iterable[str | None]) -> None:
        faults = tuple(
            (
                f"/{place}/event_id",
                f"{event_id!r} was stored before with other content; expected a new id or the same event",
            )
            for place, event_id in enumerate(called)
            if event_id in event_ids
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
            batch = self.batch(tenant_id, events, default_actor=default_actor, stale=stale)
            with self._database.connection("audit_app", autocommit=batch.is_one_statement) as conn:
                return batch.append(conn)

        return until_fresh(attempt, tenant_id)

    def batch(
        self, tenant_id: UUID, events: Sequence[Event], *, default_actor: str | None = None, stale: int | None = None
    ) -> "Batch":
        """Return `events` with what sealing them takes; persons who are new get their reference in the vault.

        After a `StaleKeysError`, `stale` is the count it names for the tenant: the keys are then read anew.

        Raises:
            DatabaseUnavailableError: as `append`.
        """
        events = _with_actor(events, default_actor)
        keys = self._vault.keys(tenant_id, self._persons(events), stale=stale)
        return Batch(tenant_id, events, keys, self._policy)

    def prepare(
        self, tenant_id: UUID, event: Event, *, default_actor: str | None = None, stale: int | None = None
    ) -> Draft:
        """Return the row for `event`, ready to be stored; otherwise as `batch`.

        Raises:
            ValidationError, DatabaseUnavailableError: as `append`.
        """
        [draft] = self.batch(tenant_id, [event], default_actor=default_actor, stale=stale).drafts()
        return draft

    def knows(self, tenant_id: UUID, event: Event) -> bool:
        """Return whether `prepare_at_once` takes this event, as things are."""
        return self._vault.knows(tenant_id, event.actor) and (
            event.entity_type not in self._policy.person_entity_types or self._vault.knows(tenant_id, event.entity_id)
        )

    def prepare_at_once(self, tenant_id: UUID, received: Sequence[tuple[Event, datetime]]) -> Sequence[Draft] | None:
        """Return the rows for events and when they came, or None if this process does not know all their persons.

        Never asks the database.

        Raises:
            ValidationError: as `append`.
        """
        events = [event for event, _ in received]
        keys = self._vault.known_keys(tenant_id, self._persons(events))
        if keys is None:
            return None
        return Batch(tenant_id, events, keys, self._policy, [moment for _, moment in received]).drafts()

    def _persons(self, events: Sequence[Event]) -> set[str]:
        persons = {event.actor for event in events if event.actor}
        types = self._policy.person_entity_types
        persons.update([event.entity_id for event in events if event.entity_type in types])
        return persons


class Batch:
    """Events of one tenant and the keys they are sealed under; appended all or not at all."""

    def __init__(
        self,
        tenant_id: UUID,
        events: Sequence[Event],
        keys: Keys,
        policy: SealingPolicy,
        received_at: Sequence[datetime] | None = None,
    ) -> None:
        self._received_at = received_at or [datetime.now(UTC)] * len(events)
        self._tenant_id = tenant_id
        self._events = events
        self._keys = keys
        self._policy = policy

    @property
    def is_one_statement(self) -> bool:
        """Whether a connection that commits by itself stores the events whole or not at all; saves two round trips."""
        return len(self._events) <= CALL_EVENTS and not any(
            event.event_id and resembles_server_made(event.event_id) for event in self._events
        )

    def append(self, conn: Connection) -> list[Receipt]:
        """Store the events in the transaction of `conn` and return their receipts, as `Ledger.append` does.

        When this raises, roll back.

        Raises:
            StaleKeysError: to be repeated with a batch of other keys; see `until_fresh`.
            ValidationError, ConflictError: as `Ledger.append`.
        """
        # All of it before the first call: that locks the tenant's head until the commit. Making one part while the
        # database stored the one before was no faster alone, and let two clients of a tenant wait a third longer.
        drafts = self.drafts()
        event_ids = [draft.event_id for draft in drafts]
        distinct = _distinct(drafts)
        with _refusals({self._tenant_id: self._keys.erasures}, event_ids):
            _refuse_server_made_ids(conn, self._tenant_id, [event.event_id for event in self._events])
            calls = [
                Call([(self._tenant_id, distinct[first : first + CALL_EVENTS])])
                for first in range(0, len(distinct), CALL_EVENTS)
            ]
            with conn.pipeline() if len(calls) > 1 else nullcontext():
                answers = [call.begin(conn) for call in calls]
                receipts = [
                    receipt
                    for call, answer in zip(calls, answers, strict=True)
                    for receipt in call.receipts(answer.fetchall())
                ]
        return _in_order(receipts, event_ids)

    def drafts(self) -> list[Draft]:
        """Return the rows for the events.

        Raises:
            ValidationError: each fault of each event, by its place.
        """
        try:
            return self._make(self._events, self._received_at)
        except ValidationError:
            faults: list[tuple[str, str]] = []
        for place, event in enumerate(self._events):
            try:
                self._make([event], [self._received_at[place]])
            except ValidationError as error:
                faults += [(f"/{place}{where}", what) for where, what in error.faults]
        raise ValidationError(f"{len(faults)} faults in {len(self._events)} events; nothing was stored", tuple(faults))

    def _make(self, events: Sequence[Event], received_at: Sequence[datetime]) -> list[Draft]:
        return make_drafts(
            events,
            tenant_id=self._tenant_id,
            tenant_key=self._keys.tenant_key,
            subjects=self._keys.subjects,
            policy=self._policy,
            received_at=received_at,
            erasures=self._keys.erasures,
        )


def store_drafts(conn: Connection, drafts: Sequence[Draft], *, lock_timeout_ms: int = 0) -> list[Receipt]:
    """Append some drafts of any tenants, no `event_id` twice in a tenant, in the transaction of `conn`.

    Returns a receipt for each, in their order. Such as `needs_transaction` names take several statements, which only a
    transaction makes one; for others a connection that commits by itself saves two round trips.

    Raises:
        ClashError: the transaction is to be rolled back.
        HeadLockedError: a tenant's head was locked for more than `lock_timeout_ms` (0: no limit of this call).
        StaleKeysError: drafts may be sealed under a key that was destroyed; the transaction is to be rolled back.
    """
    call = Call.of(drafts, lock_timeout_ms)
    with call.refusals():
        for tenant_id, group in call.groups:
            _refuse_server_made_ids(conn, tenant_id, [draft.event_id for draft in group if draft.is_client_id])
        return call.receipts(call.begin(conn).fetchall())


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
    return any(draft.is_client_id and resembles_server_made(draft.event_id) for draft in drafts)


def _distinct(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts without those that came before among them.

    Raises:
        ConflictError: an id comes again with other content.
    """
    by_id: dict[str, Draft] = {}
    for place, draft in enumerate(drafts):
        first = by_id.setdefault(draft.event_id, draft)
        if first is not draft and first.fingerprint != draft.fingerprint:
            fault = f"{draft.event_id!r} stands in this call twice, with other content"
            raise ConflictError(
                "Events of one call share an event_id; nothing was stored", ((f"/{place}/event_id", fault),)
            )
    return drafts if len(by_id) == len(drafts) else list(by_id.values())


def _in_order(receipts: list[Receipt], event_ids: Sequence[str]) -> list[Receipt]:
    """Return the receipt of each event, in the order of the call; those of later copies say `duplicate`."""
    if len(receipts) == len(event_ids):
        return receipts
    by_id = {receipt.event_id: receipt for receipt in receipts}
    result = []
    for event_id in event_ids:
        result.append(by_id[event_id])
        by_id[event_id] = msgspec.structs.replace(by_id[event_id], duplicate=True)
    return result


def _with_actor(events: Sequence[Event], default_actor: str | None) -> Sequence[Event]:
    if default_actor is None:
        return events
    return [event if event.actor else msgspec.structs.replace(event, actor=default_actor) for event in events]


class Call:
    """A call of `audit_append`: drafts by tenant, tenants in ascending order; its arguments, answer and refusals."""

    def __init__(
        self,
        groups: Sequence[tuple[UUID, Sequence[Draft]]],
        lock_timeout_ms: int = 0,
        places: Sequence[int] | None = None,
    ) -> None:
        self.groups = groups
        self._lock_timeout_ms = lock_timeout_ms
        self._places = places

    @classmethod
    def of(cls, drafts: Sequence[Draft], lock_timeout_ms: int) -> Self:
        """Return a call for drafts in any order; its receipts come in the same."""
        tenant_id = drafts[0].tenant_id
        if all(draft.tenant_id is tenant_id or draft.tenant_id == tenant_id for draft in drafts):
            return cls([(tenant_id, drafts)], lock_timeout_ms)
        places = sorted(range(len(drafts)), key=lambda place: drafts[place].tenant_id.int)
        groups = [
            (tenant_id, [drafts[place] for place in group])
            for tenant_id, group in groupby(places, key=lambda place: drafts[place].tenant_id)
        ]
        return cls(groups, lock_timeout_ms, places)

    def arguments(self) -> dict[str, arrays.BinaryArray]:
        """Return the arguments by the names that they have in `sql/ledger/append.sql`."""
        drafts = self.groups[0][1] if len(self.groups) == 1 else [draft for _, group in self.groups for draft in group]
        arguments = {name: make([get(draft) for draft in drafts]) for name, (get, make) in _ARRAYS.items()}
        arguments["tenant_id"] = arrays.uuids([tenant_id for tenant_id, _ in self.groups])
        arguments["count"] = arrays.integers(len(group) for _, group in self.groups)
        # Events that came before an erasure may share the call with some that came after it.
        arguments["erasures"] = arrays.bigints(min(map(_erasures, group)) for _, group in self.groups)
        arguments["lock_timeout_ms"] = arrays.BinaryArray(str(self._lock_timeout_ms).encode())
        return arguments

    def begin(self, conn: Connection) -> psycopg.Cursor[Any]:
        """Send the call; the answer's rows are what `receipts` takes."""
        return conn.execute(query("ledger/append"), self.arguments(), binary=True)

    def receipts(self, rows: Iterable[Sequence[Any]]) -> list[Receipt]:
        """Return the receipt of each draft, in their order, out of the rows that `audit_append` answered."""
        known: dict[tuple[UUID, str], Receipt] = {}
        new: dict[UUID, Sequence[Any]] = {}
        for row in rows:
            if row[1] is None:
                new[row[0]] = row[2:]
            else:
                known[row[0], row[1]] = _known_receipt(*row[1:])
        receipts: list[Receipt] = []
        for tenant_id, group in self.groups:
            fresh = [draft for draft in group if (tenant_id, draft.event_id) not in known] if known else group
            made = _new_receipts(fresh, *new[tenant_id]) if fresh else iter(())
            if len(fresh) == len(group):
                receipts += made
            else:
                receipts += (known.get((tenant_id, draft.event_id)) or next(made) for draft in group)
        if self._places is None:
            return receipts
        by_place = dict(zip(self._places, receipts, strict=True))
        return [by_place[place] for place in range(len(receipts))]

    def refusals(self) -> AbstractContextManager[None]:
        """Turn what `audit_append` refuses into errors, as `store_drafts` says."""
        erasures = {tenant_id: min(map(_erasures, group)) for tenant_id, group in self.groups}
        drafts = (draft for _, group in self.groups for draft in group)
        return _refusals(erasures, (draft.event_id for draft in drafts), self._lock_timeout_ms)


@contextmanager
def _refusals(
    erasures: Mapping[UUID, int], event_ids: Iterable[str | None], lock_timeout_ms: int = 0
) -> Iterator[None]:
    """Turn what `audit_append` refuses into errors; tenants in the order of the call, ids in that of the caller."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name is not None:
            # Not what the function says of ids but an index: two rows with one number, which a head's lock prevents.
            raise
        taken = frozenset(msgspec.json.decode(error.diag.message_detail or "[]"))
        raise ClashError(taken, event_ids) from error
    except psycopg.errors.LockNotAvailable as error:
        raise HeadLockedError(f"a tenant's head was locked for more than {lock_timeout_ms} ms") from error
    except psycopg.DatabaseError as error:
        if error.sqlstate != _STALE_KEYS:
            raise
        present = msgspec.json.decode(error.diag.message_detail or "[]")
        raise StaleKeysError(
            {
                tenant_id: count
                for (tenant_id, count), now in zip(erasures.items(), present, strict=True)
                if count != now
            }
        ) from error


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


def resembles_server_made(event_id: str) -> bool:
    """Return whether the server could have made this id, so that it has to be looked up if a client chose it."""
    return len(event_id) == 36 and _UUID7.fullmatch(event_id) is not None


def _refuse_server_made_ids(conn: Connection, tenant_id: UUID, event_ids: Sequence[str | None]) -> None:
    """Refuse ids that the server gave to events before: `audit_event_ids`, which keeps ids unique, has no such ids.

    Looked up before the heads are locked. That is early enough: nobody can know an id before the event that has it was
    answered for, and then it is committed.
    """
    suspects = [event_id for event_id in event_ids if event_id is not None and resembles_server_made(event_id)]
    if not suspects:
        return
    conn.execute(query("ledger/set_tenant"), {"tenant_id": tenant_id})
    taken = conn.execute(
        query("ledger/select_server_made_ids"),
        {"event_ids": suspects, "made_at": [_made_at(event_id) for event_id in suspects]},
    ).fetchall()
    if taken:
        raise ClashError(frozenset(event_id for (event_id,) in taken), event_ids)


def _made_at(event_id: str) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(int(event_id[:8] + event_id[9:13], 16), _LATEST_MS))
