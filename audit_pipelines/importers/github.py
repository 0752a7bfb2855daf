"""GitHub audit log records, of organisations and enterprises, and what GitHub's webhooks deliver, as events.

Takes the export (JSON, Git events), the REST answer and the stream, which are one form; a webhook's delivery with its
headers; and a webhook's bare payload. The mapping is documented field by field in docs/importers.md.
"""

import re
from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, json_kind, utc_moment
from audit_pipelines.importers.lookup import at, first_text, text
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

# First field present wins; the first word of the action says which kind is meant, the rest is what every record has.
_BY_CATEGORY = {
    "business": ("business", "enterprise"),
    "enterprise": ("business", "enterprise"),
    "environment": ("environment_name", "environment"),
    "hook": ("hook_id", "hook"),
    "integration_installation": ("name", "app"),
    "oauth_application": ("oauth_application_name", "app"),
    "protected_branch": ("repo", "repository"),
    "public_key": ("title", "public_key"),
    "repo": ("repo", "repository"),
    "team": ("team", "team"),
    "workflows": ("repo", "repository"),
}
_GENERAL = (("repo", "repository"), ("repository", "repository"), ("team", "team"))
_OWNERS = (("org", "organization"), ("business", "enterprise"), ("org_id", "organization"))
_ABOUT_USERS = re.compile(
    r"(?:add|remove|invite|update|block|unblock|cancel|change)_?\w*(?:member|user|owner|moderator)"
)
_FAILED = re.compile(r"fail(?:ed|ure)|_error\b")
_REFUSED = re.compile(r"den(?:y|ied)|reject|\bblocked\b")
_APPS = frozenset({"github", "github-actions", "web-flow", "ghost"})
# What a webhook is about, by the object it carries; the most specific comes first.
_SUBJECTS = (
    "alert", "check_run", "deploy_key", "key", "member", "membership", "team", "rule", "hook", "installation",
    "release", "pull_request", "issue", "workflow_run", "deployment", "repository", "organization", "enterprise",
)  # fmt: skip


def parse(record: bytes) -> Event:
    """Map one audit log record or webhook to an event; raise `ValidationError` naming every fault."""
    body = decode_object(record)
    payload = at(body, "request", "payload")
    if isinstance(payload, dict):
        return _webhook(body, payload, len(record))
    if isinstance(at(body, "sender"), dict):
        return _webhook(body, body, len(record))
    action = text(body, "action")
    if not action:
        raise ValidationError(
            f"expected a GitHub audit log record: action: expected a text, got {json_kind(body.get('action'))}"
        )
    actor = _login(text(body, "actor"))
    entity_type, entity_id = _entity(body, action, actor)
    moment = at(body, "@timestamp") or at(body, "created_at")
    own = {text(body, key) for key in ("actor_id", "external_identity_nameid", "external_identity_username")}
    return build(
        Meaning(
            event_type=action,
            entity_type=entity_type,
            entity_id=entity_id,
            details=body,
            event_id=text(body, "_document_id"),
            occurred_at=utc_moment(moment, "@timestamp"),
            actor=actor,
            is_machine=at(body, "actor_is_bot") is True or _is_app(actor),
            outcome=_outcome(action),
            address=text(body, "actor_ip"),
            user_agent=text(body, "user_agent"),
            taken=(
                "action",
                "@timestamp",
                "_document_id",
                *(("created_at",) if moment == body.get("created_at") else ()),
            ),
            identifiers={one for one in own if one},
        ),
        len(record),
    )


def _webhook(delivery: dict[str, Any], payload: dict[str, Any], size: int) -> Event:
    """Map a webhook: a bare payload (then `delivery` is the payload), or one with its headers and time of delivery."""
    named = first_text(delivery, ("event",), ("request", "headers", "X-GitHub-Event"), ("headers", "X-GitHub-Event"))
    kind = named or next((key for key in _SUBJECTS if isinstance(payload.get(key), dict)), None)
    if not kind:
        raise ValidationError(
            f"expected a GitHub webhook that says what it is: event: expected a text or one of the objects "
            f"{', '.join(_SUBJECTS)}, got neither"
        )
    action = text(payload, "action")
    actor = _login(text(payload, "sender", "login"))
    entity_type, entity_id = _webhook_entity(payload, kind)
    when = at(delivery, "delivered_at") or at(payload, kind, "updated_at") or at(payload, kind, "created_at")
    own = {text(payload, "sender", "id"), text(payload, "sender", "node_id")}
    return build(
        Meaning(
            event_type=f"{kind}.{action}" if action else kind,
            entity_type=entity_type,
            entity_id=entity_id,
            details=delivery,
            event_id=first_text(delivery, ("guid",), ("request", "headers", "X-GitHub-Delivery")),
            occurred_at=utc_moment(when, "delivered_at"),
            actor=actor,
            is_machine=text(payload, "sender", "type") == "Bot" or _is_app(actor),
            outcome="success",
            identifiers={one for one in own if one},
        ),
        size,
    )


def _webhook_entity(payload: dict[str, Any], kind: str) -> tuple[str, str]:
    if user := first_text(payload, ("member", "login"), ("membership", "user", "login"), ("blocked_user", "login")):
        return "user", _login(user) or user
    if kind == "team" and (team := text(payload, "team", "slug")):
        return "team", team
    for key, name, entity in (
        ("repository", "full_name", "repository"),
        ("organization", "login", "organization"),
        ("enterprise", "slug", "enterprise"),
        ("installation", "id", "installation"),
    ):
        if found := text(payload, key, name):
            return entity, found
    return "activity", kind


def _login(name: str | None) -> str | None:
    """Return a login in lower case: GitHub's are compared without it, and its records have both spellings."""
    return (person(name) or "").lower() or None


def _is_app(actor: str | None) -> bool:
    return actor in _APPS or is_machine(actor)


def _outcome(action: str) -> str:
    """Return the outcome: the log holds what happened, and the few failures are called so."""
    return "failure" if _FAILED.search(action) else "denied" if _REFUSED.search(action) else "success"


def _entity(body: dict[str, Any], action: str, actor: str | None) -> tuple[str, str]:
    category, _, verb = action.partition(".")
    user = _login(text(body, "user"))
    if user and (_ABOUT_USERS.match(verb) or category in ("user", "two_factor_authentication")):
        return "user", user
    if (special := _BY_CATEGORY.get(category)) and (found := text(body, special[0])):
        return special[1], found
    for key, kind in _GENERAL:
        if found := text(body, key):
            return kind, found
    if user and user != actor:
        return "user", user
    for key, kind in _OWNERS:
        if found := text(body, key):
            return kind, found
    return ("user", user) if user else ("activity", action)
