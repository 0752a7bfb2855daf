"""Legal holds: placed for a reason, released for a reason, never deleted; both are events of the ledger.

What a hold forbids is decided by the database: `audit_erase_subject` asks before it destroys a key, and whoever deletes
old months asks `audit_held`. Here is only how one comes about.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import resolve
from audit_pipelines.ledger.event import Event
from audit_pipelines.noting import Said, fault, one_line, refuse_names, store_with_event

Scope = Literal["person", "entity", "range", "tenant"]

PLACED: Final = "audit.hold.placed"
RELEASED: Final = "audit.hold.released"
ENTITY_TYPE: Final = "audit_legal_hold"


class UnknownHoldError(AuditError):
    """The tenant has no such hold that is not released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a hold is to cover: one of a person, an entity, a range of `occurred_at`; nothing of them is the tenant."""

    person: str | None = None
    """Identity as it was posted, or `actor_ref`."""
    entity_type: str | None = None
    entity_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def scope(self) -> Scope:
        """Which kind it is.

        Raises:
            ValidationError: when parts of several kinds are given, or of one too little.
        """
        kinds: list[Scope] = []
        if self.person is not None:
            kinds.append("person")
        if self.entity_type is not None or self.entity_id is not None:
            kinds.append("entity")
        if self.since is not None or self.until is not None:
            kinds.append("range")
        if len(kinds) > 1:
            raise fault("", f"expected one kind of hold, got {' and '.join(kinds)}")
        if kinds == ["entity"] and not (self.entity_type and self.entity_id):
            raise fault("/entity_id", "expected entity_type and entity_id together")
        if self.since and self.until and self.since >= self.until:
            raise fault("/to", "expected a time after `from`")
        return kinds[0] if kinds else "tenant"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold as it is kept."""

    hold_id: UUID
    reason: str
    filters: dict[str, Any]
    placed_by: UUID
    placed_at: datetime
    released_by: UUID | None
    released_at: datetime | None
    release_reason: str | None

    @property
    def scope(self) -> Scope:
        """Which kind it is; filters that nobody here writes cover the tenant."""
        if "actor_ref" in self.filters:
            return "person"
        if "entity_id" in self.filters:
            return "entity"
        return "range" if self.filters.keys() & {"from", "to"} else "tenant"

    def shown(self) -> dict[str, Any]:
        """Return it as an answer shows it."""
        return {
            "hold_id": str(self.hold_id),
            "scope": self.scope,
            "filters": self.filters,
            "reason": self.reason,
            "placed_by": str(self.placed_by),
            "placed_at": format_moment(self.placed_at),
            "released_by": str(self.released_by) if self.released_by else None,
            "released_at": format_moment(self.released_at) if self.released_at else None,
            "release_reason": self.release_reason,
        }


def place(installation: Installation, tenant_id: UUID, subject: Subject, *, reason: str, by: str) -> Hold:
    """Place a hold in the name of `by`, together with the event `audit.hold.placed`.

    Raises:
        ValidationError: for a reason that is empty, too long or names the person held, or a subject of no one kind.
        UnknownPersonError: when the tenant does not have the person.
    """
    filters = _filters(installation, tenant_id, subject)
    text = one_line(reason, "/reason")
    if subject.person is not None:
        refuse_names(installation, tenant_id, text, UUID(str(filters["actor_ref"])), "/reason")
    hold_id = uuid4()
    details = {"scope": subject.scope, "filters": filters, "reason": text}
    row = {"tenant_id": tenant_id, "hold_id": hold_id, "reason": text, "filters": Jsonb(filters)}
    _store(installation, tenant_id, "privacy/insert_hold", row, _event(PLACED, hold_id, details, by))
    return _one(installation, tenant_id, hold_id)


def release(installation: Installation, tenant_id: UUID, hold_id: UUID, *, reason: str, by: str) -> Hold:
    """Release a hold, together with the event `audit.hold.released`.

    Raises:
        ValidationError: for a reason that is empty or too long.
        UnknownHoldError: when there is no such hold, or it was released before.
    """
    text = one_line(reason, "/reason")
    row = {"tenant_id": tenant_id, "hold_id": hold_id, "reason": text}
    event = _event(RELEASED, hold_id, {"reason": text}, by)
    _store(installation, tenant_id, "privacy/release_hold", row, event)
    return _one(installation, tenant_id, hold_id)


def listed(installation: Installation, tenant_id: UUID, hold_id: UUID | None = None) -> list[Hold]:
    """Return the tenant's holds, released ones too, newest first."""
    with installation.database.tenant_connection(tenant_id) as conn:
        return [Hold(*row) for row in conn.execute(query("privacy/select_holds"), {"hold_id": hold_id})]


def _one(installation: Installation, tenant_id: UUID, hold_id: UUID) -> Hold:
    return listed(installation, tenant_id, hold_id)[0]


def _store(installation: Installation, tenant_id: UUID, name: str, row: dict[str, Any], event: Event) -> None:
    """Run one change of the table and append its event, both or neither."""

    def change(conn: Connection, said: Said) -> None:
        if conn.execute(query(name), row | {"by": said.by}).rowcount != 1:
            raise UnknownHoldError(
                "expected a hold of this tenant that is not released, got none of this id; `holds list` shows them"
            )

    store_with_event(installation, tenant_id, event, change)


def _event(event_type: str, hold_id: UUID, details: dict[str, Any], by: str) -> Event:
    return Event(event_type=event_type, entity_type=ENTITY_TYPE, entity_id=str(hold_id), details=details, actor=by)


def _filters(installation: Installation, tenant_id: UUID, subject: Subject) -> dict[str, Any]:
    scope = subject.scope
    if scope == "person":
        return {"actor_ref": str(resolve(installation.database, installation.vault, tenant_id, subject.person or ""))}
    if scope == "entity":
        entity_id = subject.entity_id or ""
        if subject.entity_type in installation.settings.audit_person_entity_types:
            entity_id = str(resolve(installation.database, installation.vault, tenant_id, entity_id))
        return {"entity_type": subject.entity_type, "entity_id": entity_id}
    moments = {"from": subject.since, "to": subject.until}
    return {name: format_moment(moment) for name, moment in moments.items() if moment}
