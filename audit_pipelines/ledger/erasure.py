"""Erasing a person: destroying the one key that everything sealed about them needs. No hash of the ledger changes.

What is destroyed, the database function `audit_erase_subject` says; that it happened is an event like any other, stored
in the same transaction, and so is the row that keeps it unfinished until `privacy.erasing` has followed every copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ValidationError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger, Receipt, store_drafts
from audit_pipelines.ledger.vault import ERASED, Vault

EVENT_TYPE: Final = "audit.subject.erased"
ENTITY_TYPE: Final = "audit_subject"
_HELD: Final = "AU002"
# Not the purpose of the vault's own index, so that neither can be looked up in the place of the other.
REQUEST: Final = "erasure-request"


class LegalHoldError(AuditError):
    """A legal hold covers the person; nothing was erased."""


class UnknownPersonError(ValidationError):
    """The tenant has nobody of that name or reference."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """That `actor_ref` has no key any more, since `erased_at`; `receipt` is of the event that says so in the ledger.

    Without a receipt the person was erased before, and this call did nothing.
    """

    actor_ref: UUID
    erased_at: datetime
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class FoundCopy:
    """A file that names the person, found while the name could still be looked for."""

    kind: str
    key: str
    digest: bytes | None


def erase(
    database: Database,
    vault: Vault,
    ledger: Ledger,
    tenant_id: UUID,
    person: str,
    *,
    requested_by: UUID | None = None,
    found: Sequence[FoundCopy] = (),
) -> Erasure:
    """Destroy the key, the sealed name and the index of a person, given by identity or by reference.

    From the commit on nobody opens what was sealed under the key, and no process seals anything under it, whatever it
    has in memory: each append states at which count of erasures its keys were read, and the database compares. A name
    that was erased within the last 30 days, and has not acted since, is answered as erased before.

    Raises:
        UnknownPersonError: when the tenant has no such person.
        LegalHoldError: naming the reason of the hold.
        DatabaseUnavailableError: nothing is known to be erased; repeating it by reference tells.
    """
    ref = resolve(database, vault, tenant_id, person)
    event = Event(event_type=EVENT_TYPE, entity_type=ENTITY_TYPE, entity_id=str(ref))
    request_index = _request_index(database, vault, tenant_id, ref)
    try:
        with database.tenant_connection(tenant_id, "audit_custodian") as conn:
            row = conn.execute(query("ledger/erase_subject"), {"actor_ref": ref}).fetchone()
            if row is None:
                raise _unknown(tenant_id)
            erased_at, erasures, is_new = row
            if not is_new:
                return Erasure(ref, erased_at, None)
            draft = ledger.prepare(tenant_id, event)
            # It has no person and nothing sealed, so no key of it can be stale.
            draft = msgspec.structs.replace(draft, erasures=erasures)
            [receipt] = store_drafts(conn, [draft])
            erasure = Erasure(ref, erased_at, receipt)
            _record(conn, tenant_id, erasure, requested_by, request_index)
            record_copies(conn, tenant_id, ref, found)
    except psycopg.DatabaseError as error:
        if error.sqlstate == _HELD:
            raise LegalHoldError(
                f"a legal hold covers {ref}: {error.diag.message_detail}; expected it to be released first. "
                "Nothing was erased"
            ) from error
        raise
    vault.forget(tenant_id)
    return erasure


def resolve(database: Database, vault: Vault, tenant_id: UUID, person: str) -> UUID:
    """Return whose reference is meant: a living person's, one that was given as such, or one erased by this name.

    Raises:
        UnknownPersonError: when it is none of these. That a reference given as such is anybody's is not asked.
    """
    living = vault.find(tenant_id, person)
    if living:
        return living
    try:
        return UUID(person)
    except ValueError:
        pass
    index = vault.keyed(tenant_id, REQUEST, person)
    if index:
        with database.tenant_connection(tenant_id) as conn:
            asked = {"tenant_id": tenant_id, "request_index": index}
            row = conn.execute(query("privacy/select_requested_erasure"), asked).fetchone()
        if row:
            return UUID(str(row[0]))
    raise _unknown(tenant_id)


def record_copies(conn: Connection, tenant_id: UUID, ref: UUID, copies: Sequence[FoundCopy]) -> None:
    """Note copies that have to be followed, over the caller's connection."""
    if copies:
        conn.execute(
            query("privacy/insert_copies"),
            {
                "tenant_id": tenant_id,
                "actor_ref": ref,
                "kinds": [copy.kind for copy in copies],
                "keys": [copy.key for copy in copies],
                "digests": [copy.digest for copy in copies],
            },
        )


def _request_index(database: Database, vault: Vault, tenant_id: UUID, ref: UUID) -> bytes | None:
    with database.tenant_connection(tenant_id) as conn:
        name = vault.identities(conn, [ref]).get(ref, ERASED)
    return None if name == ERASED else vault.keyed(tenant_id, REQUEST, name)


def _record(
    conn: Connection, tenant_id: UUID, erasure: Erasure, requested_by: UUID | None, request_index: bytes | None
) -> None:
    receipt = erasure.receipt
    assert receipt is not None, "a new erasure has its event"  # noqa: S101 - for the type checker
    conn.execute(
        query("privacy/insert_erasure"),
        {
            "tenant_id": tenant_id,
            "actor_ref": erasure.actor_ref,
            "erased_at": erasure.erased_at,
            "seq": receipt.seq,
            "row_hash": receipt.row_hash,
            "requested_by": requested_by,
            "request_index": request_index,
        },
    )


def _unknown(tenant_id: UUID) -> UnknownPersonError:
    # Without the name: it may stand in a log that outlives the person's wish.
    return UnknownPersonError(
        f"tenant {tenant_id} has no living person of this name and no person of this reference; expected an actor's or "
        "person's identity as it was posted, or an actor_ref. Nothing was erased"
    )
