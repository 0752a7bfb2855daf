"""Erasing a person: destroying the one key that everything sealed about them needs. No hash of the ledger changes.

What is destroyed, the database function `audit_erase_subject` says; that it happened is an event like any other, stored
in the same transaction. What remains readable is written in docs/operations.md.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ValidationError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger, Receipt, store_drafts
from audit_pipelines.ledger.vault import Vault

EVENT_TYPE: Final = "audit.subject.erased"
ENTITY_TYPE: Final = "audit_subject"
_HELD: Final = "AU002"


class LegalHoldError(AuditError):
    """A legal hold covers the person; nothing was erased."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """That `actor_ref` has no key any more, since `erased_at`; `receipt` is of the event that says so in the ledger.

    Without a receipt the person was erased before, and this call did nothing.
    """

    actor_ref: UUID
    erased_at: datetime
    receipt: Receipt | None


def erase(database: Database, vault: Vault, ledger: Ledger, tenant_id: UUID, person: str) -> Erasure:
    """Destroy the key, the sealed name and the index of a person, given by identity or by reference.

    From the commit on nobody opens what was sealed under the key, and no process seals anything under it, whatever it
    has in memory: each append states at which count of erasures its keys were read, and the database compares.

    Raises:
        ValidationError: when the tenant has no such person.
        LegalHoldError: naming the reason of the hold.
        DatabaseUnavailableError: nothing is known to be erased; repeating it by reference tells.
    """
    ref = vault.find(tenant_id, person) or _as_uuid(person)
    if ref is None:
        raise _unknown(tenant_id)
    event = Event(event_type=EVENT_TYPE, entity_type=ENTITY_TYPE, entity_id=str(ref))
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
    except psycopg.DatabaseError as error:
        if error.sqlstate == _HELD:
            raise LegalHoldError(
                f"a legal hold covers {ref}: {error.diag.message_detail}; expected it to be released first. "
                "Nothing was erased"
            ) from error
        raise
    vault.forget(tenant_id)
    return Erasure(ref, erased_at, receipt)


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _unknown(tenant_id: UUID) -> ValidationError:
    # Without the name: it may stand in a log that outlives the person's wish.
    return ValidationError(
        f"tenant {tenant_id} has no living person of this name and no person of this reference; expected an actor's or "
        "person's identity as it was posted, or an actor_ref. Nothing was erased"
    )
