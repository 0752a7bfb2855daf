"""Microsoft 365 audit records as events: Management Activity API, Graph audit queries, and Purview's search.

A search, and a Graph query, hand out the record inside another one, as JSON text or object under `AuditData`. The
mapping is documented field by field in docs/importers.md.
"""

from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, json_kind, utc_moment
from audit_pipelines.importers.lookup import at, first_text, objects, text
from audit_pipelines.importers.outcomes import DENIED_TEXT, product_outcome
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

# `UserType`, in numbers (API) or words (search): Microsoft's own operators, its system, applications, policies.
_MACHINE_TYPES = frozenset(
    {
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "dcadmin",
        "system",
        "application",
        "serviceprincipal",
        "custompolicy",
        "systempolicy",
    }
)
_NOBODY = frozenset({"not available", "unknown", "n/a", "-", "anonymous"})
# Kinds of identity in `Actor` and `Target` (IdentityType): 5 is a user principal name.
_UPN = 5
_OBJECT_WORDS = ("user", "group", "application", "service principal", "policy", "role", "device", "domain")


def parse(record: bytes) -> Event:
    """Map one audit record to an event; raise `ValidationError` naming every fault."""
    body = _unwrapped(decode_object(record))
    operation = text(body, "Operation")
    if not operation:
        raise ValidationError(
            "expected a record of the unified audit log: Operation: expected a text, got "
            f"{json_kind(at(body, 'Operation'))}"
        )
    workload = text(body, "Workload")
    extended = _pairs(body, "ExtendedProperties")
    actor = _actor(body)
    entity_type, entity_id = _entity(body, operation, workload or "", actor)
    own = {text(body, key) for key in ("UserId", "UserKey", "SessionId")} - {None}
    return build(
        Meaning(
            event_type=f"{workload}:{operation}" if workload else operation,
            entity_type=entity_type,
            entity_id=entity_id,
            details=body,
            event_id=text(body, "Id"),
            occurred_at=utc_moment(at(body, "CreationTime"), "CreationTime"),
            actor=actor,
            is_machine=str(at(body, "UserType")).lower() in _MACHINE_TYPES or is_machine(actor),
            outcome=_outcome(body, operation),
            address=first_text(body, ("ClientIP",), ("ClientIPAddress",), ("ActorIpAddress",)),
            user_agent=text(body, "UserAgent") or extended.get("UserAgent") or text(body, "ClientInfoString"),
            taken=("Operation", "CreationTime", "Id"),
            identifiers={one for one in own if one and one.lower() not in _NOBODY},
        ),
        len(record),
    )


def _unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    inner = body.get("AuditData", body.get("auditData", body.get("auditdata")))
    if isinstance(inner, str):
        return decode_object(inner.encode())
    return inner if isinstance(inner, dict) else body


def _actor(body: dict[str, Any]) -> str | None:
    """Return the user, by their principal name wherever the record itself has it.

    `UserId` may be `CORP\\ada`, a SharePoint claim or a number. The owner of a mailbox who opens it (`LogonType` 0) is
    `MailboxOwnerUPN`; in Entra's records the entry of type 5 among `Actor` is the principal name.
    """
    name = text(body, "UserId")
    if name and name.lower() in _NOBODY:
        name = None
    if name and "@" in name:
        return person(name)
    if at(body, "LogonType") == 0 and (owner := text(body, "MailboxOwnerUPN")):
        return person(owner)
    entries = objects(body, "Actor")
    upn = next((text(entry, "ID") for entry in entries if at(entry, "Type") == _UPN), None)
    if name is None or (upn and "@" in upn):
        fallback = (text(entry, "ID") for entry in entries)
        return person(upn or name or next(fallback, None) or _user_key(body))
    return person(name)


def _user_key(body: dict[str, Any]) -> str | None:
    key = text(body, "UserKey")
    return None if key and key.lower() in _NOBODY else key


def _outcome(body: dict[str, Any], operation: str) -> str | None:
    """Return the outcome; a failed log-in is one even where `ResultStatus` says that recording it succeeded."""
    if operation.endswith(("LoginFailed", "Failed", "Failure")):
        return "failure"
    if text(body, "LogonError"):
        return "denied" if DENIED_TEXT.search(text(body, "LogonError") or "") else "failure"
    status = text(body, "ResultStatus")
    if not status:
        return None
    return product_outcome(status) or status.lower()


def _entity(body: dict[str, Any], operation: str, workload: str, actor: str | None) -> tuple[str, str]:
    owner = text(body, "MailboxOwnerUPN")
    if owner:
        return "user", person(owner) or owner
    upn = next((text(entry, "ID") for entry in objects(body, "Target") if at(entry, "Type") == _UPN), None)
    if upn:
        return "user", person(upn) or upn
    if team := first_text(body, ("TeamGuid",), ("TeamName",)):
        return "team", team
    if name := text(body, "ObjectId"):
        if workload in ("SharePoint", "OneDrive"):
            return (text(body, "ItemType") or "file").lower(), name
        words = operation.lower()
        kind = next((word for word in _OBJECT_WORDS if word in words), "user" if "@" in name else "object")
        return kind.replace(" ", "_"), (person(name) or name) if kind == "user" else name
    if operation.startswith("UserLog") and actor:
        return "user", actor
    organization = text(body, "OrganizationId")
    return ("organization", organization) if organization else ("activity", operation)


def _pairs(body: dict[str, Any], key: str) -> dict[str, str]:
    """Return `[{"Name": …, "Value": …}]` as names and texts."""
    return {
        name: value for entry in objects(body, key) if (name := text(entry, "Name")) and (value := text(entry, "Value"))
    }
