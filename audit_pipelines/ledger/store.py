"""Appending events: the one Python caller of `audit_append`.

Content is prepared and sealed before the database is asked for anything; then one transaction stores all events of a
call or none. Reading for people is the server's, checking is `verify.py`'s.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.ledger.entry import Draft, SealingPolicy, make_draft
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.vault import Vault

# The database appends each row's hashes to one growing value: 1,000 rows copy 48 MB in all, 10,000 would copy 5 GB.
_CHUNK: Final = 1_000
_LINK: Final = 96
_COLUMNS: Final = tuple(Draft.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Receipt:
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
        drafts = self._drafts(tenant_id, events, default_actor)
        fresh = _without_repeats(drafts)
        receipts: dict[str, Receipt] = {}
        try:
            with self._database.connection("audit_app") as conn:
                for start in range(0, len(fresh), _CHUNK):
                    chunk = fresh[start : start + _CHUNK]
                    receipts |= {receipt.event_id: receipt for receipt in _append(conn, chunk)}
        except psycopg.errors.UniqueViolation as error:
            raise _clash(error, drafts) from error
        return _in_order(drafts, receipts)

    def _drafts(self, tenant_id: UUID, events: Sequence[Event], default_actor: str | None) -> list[Draft]:
        received_at = datetime.now(UTC)
        if default_actor is not None:
            events = [event if event.actor else msgspec.structs.replace(event, actor=default_actor) for event in events]
        persons = {event.actor for event in events if event.actor}
        persons |= {event.entity_id for event in events if event.entity_type in self._policy.person_entity_types}
        tenant_key = self._vault.tenant_key(tenant_id)
        subjects = self._vault.subjects(tenant_id, persons)
        drafts: list[Draft] = []
        faults: list[tuple[str, str]] = []
        for place, event in enumerate(events):
            is_person = event.entity_type in self._policy.person_entity_types
            try:
                drafts.append(
                    make_draft(
                        event,
                        tenant_id=tenant_id,
                        tenant_key=tenant_key,
                        actor=subjects[event.actor] if event.actor else None,
                        entity=subjects[event.entity_id] if is_person else None,
                        policy=self._policy,
                        received_at=received_at,
                    )
                )
            except ValidationError as error:
                faults += [(f"/{place}{where}", what) for where, what in error.faults]
        if faults:
            raise ValidationError(f"{len(faults)} faults in {len(events)} events; nothing was stored", tuple(faults))
        return drafts


def _append(conn: Connection, drafts: Sequence[Draft]) -> Iterator[Receipt]:
    """Call `audit_append` for drafts of one tenant with no id twice."""
    columns = {name: [getattr(draft, name) for draft in drafts] for name in _COLUMNS}
    rows = conn.execute(query("ledger/append"), columns, binary=True).fetchall()
    known = {row[1] for row in rows if row[1] is not None}
    new = [draft for draft in drafts if not (draft.is_client_id and draft.event_id in known)]
    for _, event_id, first_seq, recorded_at, links in rows:
        if event_id is not None:
            yield _receipt(event_id, first_seq, recorded_at, links, duplicate=True)
            continue
        for place, draft in enumerate(new):
            link = links[place * _LINK : (place + 1) * _LINK]
            yield _receipt(draft.event_id, first_seq + place, recorded_at, link, duplicate=False)


def _receipt(event_id: str, seq: int, recorded_at: datetime, link: bytes, *, duplicate: bool) -> Receipt:
    return Receipt(event_id, seq, recorded_at, link[:32], link[32:64], link[64:], duplicate)


def _without_repeats(drafts: Sequence[Draft]) -> list[Draft]:
    """Drop later copies of one event within a call.

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


def _in_order(drafts: Sequence[Draft], receipts: dict[str, Receipt]) -> list[Receipt]:
    answered: set[str] = set()
    result = []
    for draft in drafts:
        receipt = receipts[draft.event_id]
        result.append(dataclasses.replace(receipt, duplicate=True) if draft.event_id in answered else receipt)
        answered.add(draft.event_id)
    return result


def _clash(error: psycopg.errors.UniqueViolation, drafts: Sequence[Draft]) -> ConflictError:
    clashing = set(msgspec.json.decode(error.diag.message_detail or "[]"))
    faults = tuple(
        (
            f"/{place}/event_id",
            f"{draft.event_id!r} was stored before with other content; expected a new id or the same event",
        )
        for place, draft in enumerate(drafts)
        if draft.event_id in clashing
    )
    return ConflictError(f"{len(faults)} events reuse an event_id for other content; nothing was stored", faults)
