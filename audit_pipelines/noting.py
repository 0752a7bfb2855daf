"""Changes that people make to what is kept about events, each in one transaction with the event that says so.

Holds, verdicts, suppressions and destinations come about like this: both the row and the event, or neither. Here too:
the texts that go with them, which name a case and never a person, because they outlive an erasure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import names_of
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Receipt, store_drafts, until_fresh

T = TypeVar("T")

LONGEST_TEXT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Said:
    """The event that was appended, and the reference of whoever is its actor; None where nobody is."""

    by: UUID | None
    receipt: Receipt


def store_with_event(
    installation: Installation, tenant_id: UUID, event: Event, change: Callable[[Connection, Said], T]
) -> T:
    """Append `event` and run `change` in its transaction, on a connection that sees the tenant; return what it returns.

    What `change` raises undoes both. It may run again after an erasure.
    """

    def attempt(stale: int | None) -> T:
        by = None
        if event.actor is not None:
            by = installation.vault.keys(tenant_id, [event.actor], stale=stale).subjects[event.actor].ref
        draft = installation.ledger.prepare(tenant_id, event, stale=stale)
        with installation.database.tenant_connection(tenant_id) as conn:
            # The event first: it takes the chain's head, behind which no erasure can overtake the change.
            (receipt,) = store_drafts(conn, [draft])
            return change(conn, Said(by, receipt))

    return until_fresh(attempt, tenant_id)


def one_line(text: str, where: str) -> str:
    """Return a text of people without space around it; `where` is the JSON pointer that a fault is told by.

    Raises:
        ValidationError: when it is empty, too long or not one line.
    """
    stripped = text.strip()
    if not 0 < len(stripped) <= LONGEST_TEXT or not stripped.isprintable():
        raise fault(where, f"expected 1 to {LONGEST_TEXT:,} characters on one line")
    return stripped


def refuse_names(installation: Installation, tenant_id: UUID, text: str, ref: UUID, where: str) -> None:
    """Keep a person's own names out of a text that stays in clear when they are erased.

    Raises:
        ValidationError: when one of them is in it.
    """
    with installation.database.tenant_connection(tenant_id) as conn:
        name = installation.vault.identities(conn, [ref]).get(ref)
    if name and any(piece in text.casefold() for piece in names_of(name)):
        what = where.strip("/")
        raise fault(where, f"expected the case and not the person: a {what} stays in clear after they are erased")


def fault(where: str, what: str) -> ValidationError:
    """Return the error for one fault of a request."""
    return ValidationError(f"{where or '/'}: {what}", ((where, what),))
