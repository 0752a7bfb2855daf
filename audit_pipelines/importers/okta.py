"""Okta System Log records (`GET /api/v1/logs`, event hooks' `data.events`, log streaming) as events.

The mapping is documented field by field in docs/importers.md.
"""

from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, json_kind, utc_moment
from audit_pipelines.importers.lookup import at, first_text, objects, text
from audit_pipelines.importers.spelling import person
from audit_pipelines.ledger.event import Event

_OUTCOMES = {
    "SUCCESS": "success",
    "ALLOW": "success",
    "FAILURE": "failure",
    "DENY": "denied",
    "RATE_LIMIT": "denied",
}
# Okta writes these where it knows nobody: a name that many unknown persons share is no actor.
_NOBODY = frozenset({"unknown", "null", "undefined"})
_KINDS = {"User": "user", "AppUser": "user", "AppInstance": "app", "UserGroup": "group", "AppGroup": "group"}


def parse(record: bytes) -> Event:
    """Map one System Log record to an event; raise `ValidationError` naming every fault."""
    body = decode_object(record)
    event_type = text(body, "eventType")
    if not event_type:
        raise ValidationError(
            f"expected an Okta System Log record: eventType: expected a text, got {json_kind(at(body, 'eventType'))}"
        )
    actor, is_machine = _actor(at(body, "actor"))
    entity_type, entity_id = _entity(body, event_type, actor)
    result = text(body, "outcome", "result")
    client = at(body, "client")
    user_agent = text(client, "userAgent", "rawUserAgent")
    own = {
        text(body, "actor", "id"),
        text(body, "actor", "displayName"),
        text(body, "authenticationContext", "externalSessionId"),
    }
    return build(
        Meaning(
            event_type=event_type,
            entity_type=entity_type,
            entity_id=entity_id,
            details=body,
            event_id=text(body, "uuid"),
            occurred_at=utc_moment(at(body, "published"), "published"),
            actor=actor,
            is_machine=is_machine,
            outcome=_OUTCOMES.get(result.upper(), result.lower()) if result else None,
            address=text(client, "ipAddress") or text(body, "request", "ipChain", 0, "ip"),
            user_agent=user_agent,
            taken=("eventType", "published", "uuid"),
            identifiers={one for one in own if one and one.lower() not in _NOBODY},
        ),
        len(record),
    )


def _actor(actor: Any) -> tuple[str | None, bool]:
    """Return the actor and whether it is a machine: the system principal, an OAuth client, an agent."""
    named = [
        name
        for key in ("alternateId", "id", "displayName")
        if (name := text(actor, key)) and name.lower() not in _NOBODY
    ]
    kind = text(actor, "type")
    is_machine = bool(named) and kind not in (None, "User")
    return person(named[0] if named else None), is_machine


def _entity(body: dict[str, Any], event_type: str, actor: str | None) -> tuple[str, str]:
    """Return the first target, else the user that an event about a user's own session or account is about."""
    for target in objects(body, "target"):
        if found := _target_name(target):
            kind = text(target, "type") or "target"
            known = _KINDS.get(kind)
            if known == "user":
                return known, person(found) or found
            return known or "_".join(kind.lower().split()), found
    if actor and event_type.startswith("user."):
        return "user", actor
    return "org", "okta"


def _target_name(target: dict[str, Any]) -> str | None:
    """Return `alternateId` of persons and apps, and the id of what has only a display name."""
    alternate = text(target, "alternateId")
    if alternate and alternate.lower() not in _NOBODY:
        return alternate
    return first_text(target, ("id",), ("displayName",))
