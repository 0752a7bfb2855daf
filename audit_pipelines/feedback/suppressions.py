"""Suppressions: anomalies that raise no alert for a while, for a reason; all the rest of them stays.

What one covers is decided when an anomaly is detected (`sql/derive/upsert_anomalies.sql`): it must be in force then,
and it never covers what its own author did. It ends by itself, or earlier; neither it nor its end can be undone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.feedback.verdicts import OwnEventError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import resolve
from audit_pipelines.ledger.event import Event
from audit_pipelines.noting import Said, fault, one_line, refuse_names, store_with_event

PLACED: Final = "audit.suppression.placed"
ENDED: Final = "audit.suppression.ended"
ENTITY_TYPE: Final = "audit_suppression"
LONGEST: Final = timedelta(days=90)


class UnknownSuppressionError(AuditError):
    """The tenant has no such suppression that is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What a suppression is to cover: everything that fits all of what is given. Names and addresses are in clear."""

    person: str | None = None
    """Identity as it was posted, or `actor_ref`."""
    event_type: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    network: str | None = None
    """An address, or a network as far as its blind index goes, in canonical form."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppression as it is kept."""

    suppression_id: UUID
    actor_ref: UUID | None
    event_type: str | None
    entity_type: str | None
    entity_id: str | None
    network_index: bytes | None
    reason: str
    placed_by: UUID
    placed_at: datetime
    ends_at: datetime
    ended_by: UUID | None
    ended_at: datetime | None
    suppressed: int
    """How many anomalies it covered so far."""

    def shown(self) -> dict[str, Any]:
        """Return it as an answer shows it, by reference."""
        return {
            "suppression_id": str(self.suppression_id),
            "actor_ref": str(self.actor_ref) if self.actor_ref else None,
            "event_type": self.event_type,
            "entity_type": self.entity_type,
            "entity_id": self.entity_id,
            "network_index": self.network_index.hex() if self.network_index else None,
            "reason": self.reason,
            "placed_by": str(self.placed_by),
            "placed_at": format_moment(self.placed_at),
            "ends_at": format_moment(self.ends_at),
            "ended_by": str(self.ended_by) if self.ended_by else None,
            "ended_at": format_moment(self.ended_at) if self.ended_at else None,
            "in_force": self.ended_at is None and self.ends_at > datetime.now(UTC),
            "suppressed": self.suppressed,
        }


def place(
    installation: Installation, tenant_id: UUID, covered: Covered, *, reason: str, ends_at: datetime, by: str
) -> Suppression:
    """Place a suppression in the name of `by`, together with the event `audit.suppression.placed`.

    Raises:
        ValidationError: for nothing to cover, a reason that is empty, too long or names the person, or an end that is
            not within LONGEST from now.
        UnknownPersonError: when the tenant does not have the person.
        OwnEventError: when it is about `by` themselves.
    """
    text = one_line(reason, "/reason")
    now = datetime.now(UTC)
    if not now < ends_at <= now + LONGEST:
        raise fault("/ends_at", f"expected a time within {LONGEST.days} days from now")
    row = _row(installation, tenant_id, covered)
    if row["actor_ref"] is not None:
        refuse_names(installation, tenant_id, text, row["actor_ref"], "/reason")
    suppression_id = uuid4()
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
    details = {name: str(value) for name, value in shown.items() if value is not None}
    details |= {"reason": text, "ends_at": format_moment(ends_at)}

    def change(conn: Connection, said: Said) -> Suppression:
        if row["actor_ref"] is not None and row["actor_ref"] == said.by:
            raise OwnEventError("expected somebody else to suppress this: these events are your own")
        full = row | {
            "tenant_id": tenant_id,
            "suppression_id": suppression_id,
            "reason": text,
            "placed_by": said.by,
            "ends_at": ends_at,
        }
        conn.execute(query("feedback/insert_suppression"), full)
        return _one(conn, suppression_id)

    return store_with_event(installation, tenant_id, _event(PLACED, suppression_id, details, by), change)


def end(installation: Installation, tenant_id: UUID, suppression_id: UUID, *, by: str) -> Suppression:
    """End a suppression now, together with the event `audit.suppression.ended`.

    Raises:
        UnknownSuppressionError: when there is no such one in force.
    """

    def change(conn: Connection, said: Said) -> Suppression:
        ended = {"suppression_id": suppression_id, "ended_by": said.by}
        if conn.execute(query("feedback/end_suppression"), ended).rowcount != 1:
            raise UnknownSuppressionError("expected a suppression of this tenant that is in force, got none of this id")
        return _one(conn, suppression_id)

    return store_with_event(installation, tenant_id, _event(ENDED, suppression_id, None, by), change)


def listed(conn: Connection, suppression_id: UUID | None = None) -> list[Suppression]:
    """Return the suppressions of the tenant that `conn` sees, over ones too, newest first."""
    with conn.cursor(row_factory=class_row(Suppression)) as cursor:
        return cursor.execute(query("feedback/select_suppressions"), {"suppression_id": suppression_id}).fetchall()


def references(found: Iterable[Suppression]) -> set[UUID]:
    """Return the persons that suppressions name."""
    return {ref for one in found for ref in (one.actor_ref, one.placed_by, one.ended_by) if ref}


def _one(conn: Connection, suppression_id: UUID) -> Suppression:
    return listed(conn, suppression_id)[0]


def _event(event_type: str, suppression_id: UUID, details: dict[str, Any] | None, by: str) -> Event:
    return Event(
        event_type=event_type, entity_type=ENTITY_TYPE, entity_id=str(suppression_id), details=details, actor=by
    )


def _row(installation: Installation, tenant_id: UUID, covered: Covered) -> dict[str, Any]:
    if (covered.entity_type is None) != (covered.entity_id is None):
        raise fault("/entity_id", "expected entity_type and entity_id together")
    if not any((covered.person, covered.event_type, covered.entity_id, covered.network)):
        raise fault("", "expected at least one of user_id, event_type, entity_id and network: all is never suppressed")
    entity_id = covered.entity_id
    if entity_id and covered.entity_type in installation.settings.audit_person_entity_types:
        entity_id = str(resolve(installation.database, installation.vault, tenant_id, entity_id))
    index = None
    if covered.network:
        key = installation.vault.tenant_key(tenant_id)
        hashes = sealing.network_index if "/" in covered.network else sealing.ip_index
        index = hashes(key, covered.network)
    return {
        "actor_ref": resolve(installation.database, installation.vault, tenant_id, covered.person)
        if covered.person
        else None,
        "event_type": covered.event_type,
        "entity_type": covered.entity_type,
        "entity_id": entity_id,
        "network_index": index,
    }
