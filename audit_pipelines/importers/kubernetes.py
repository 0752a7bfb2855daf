"""Kubernetes audit events (`audit.k8s.io/v1`) as events of the ledger.

Takes what the API server writes to its log, and what Azure wraps around it (`category: kube-audit`, the event as JSON
text in `properties.log`). The mapping is documented field by field in docs/importers.md.
"""

import re
from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, json_kind, utc_moment
from audit_pipelines.importers.lookup import at, text
from audit_pipelines.importers.outcomes import http_outcome
from audit_pipelines.importers.sealing import leaves
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

_MACHINE_GROUPS = frozenset({"system:nodes", "system:serviceaccounts"})
_BODIES = ("requestObject", "responseObject")
# What says which object this is; everything else in a Secret may hold its value, annotations with a copy included.
_HARMLESS = frozenset({"apiVersion", "code", "kind", "message", "reason", "status", "type"})
_HARMLESS_METADATA = frozenset({"creationTimestamp", "name", "namespace", "resourceVersion", "uid"})
_FIRST_SEGMENT = re.compile(r"/[^/?#]*")


def parse(record: bytes) -> Event:
    """Map one audit event to an event; raise `ValidationError` naming every fault."""
    body = _unwrapped(decode_object(record))
    verb = text(body, "verb")
    if not verb or not any(isinstance(at(body, key), dict | str) for key in ("objectRef", "requestURI", "user")):
        raise ValidationError(
            f"expected an event of audit.k8s.io: verb: expected a text, got {json_kind(at(body, 'verb'))}; beside it "
            "user, objectRef or requestURI"
        )
    resource, entity_type, entity_id = _entity(body)
    actor = _actor(at(body, "user"))
    moment = at(body, "requestReceivedTimestamp") or at(body, "stageTimestamp")
    stage = text(body, "stage")
    audit_id = text(body, "auditID")
    return build(
        Meaning(
            event_type=f"kubernetes:{verb}:{resource}",
            entity_type=entity_type,
            entity_id=entity_id,
            details=body,
            # One request is logged once per stage under one id; the ledger takes an id for one content.
            event_id=f"{audit_id}/{stage}" if audit_id and stage else audit_id,
            occurred_at=utc_moment(moment, "requestReceivedTimestamp"),
            actor=actor,
            is_machine=_is_machine(at(body, "user"), actor),
            outcome=_outcome(body, stage),
            address=text(body, "sourceIPs", 0),
            user_agent=text(body, "userAgent"),
            taken=("verb", "requestReceivedTimestamp"),
            identifiers={one for one in (text(body, "user", "username"), text(body, "user", "uid")) if one},
            sealed=_secret_bodies(body, resource),
        ),
        len(record),
    )


def _unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    log = at(body, "properties", "log")
    if isinstance(log, str) and str(at(body, "category")).startswith("kube-audit"):
        return decode_object(log.encode())
    return log if isinstance(log, dict) else body


def _actor(user: Any) -> str | None:
    """Return who asked. An impersonated user is whom they played, and stays in the details.

    On EKS many persons and roles map to one name (`kubernetes-admin`); the ARN that the authenticator adds tells them
    apart, and is the actor that CloudTrail has.
    """
    name = text(user, "username")
    arn = text(user, "extra", "canonicalArn", 0)
    if arn and arn.startswith("arn:") and not (name or "").startswith("system:"):
        return arn
    return person(name)


def _is_machine(user: Any, actor: str | None) -> bool:
    groups = at(user, "groups")
    return is_machine(actor) or (
        isinstance(groups, list) and any(group in _MACHINE_GROUPS for group in groups if isinstance(group, str))
    )


def _entity(body: dict[str, Any]) -> tuple[str, str, str]:
    """Return the resource for the event's type (`pods/exec`), and type and id of the entity."""
    reference = at(body, "objectRef")
    resource = text(reference, "resource")
    if not resource:
        path = _FIRST_SEGMENT.match(text(body, "requestURI") or "/")
        return (path[0] if path else "/"), "path", (text(body, "requestURI") or "/").partition("?")[0]
    part = text(reference, "subresource")
    namespace = text(reference, "namespace")
    name = text(reference, "name") or text(body, "responseObject", "metadata", "name")
    name = name or text(body, "requestObject", "metadata", "name")
    full = f"{resource}/{part}" if part else resource
    if resource == "users" and name:
        return full, "user", person(name) or name
    if name:
        return full, resource, f"{namespace}/{name}" if namespace else name
    return (full, "namespaces", namespace) if namespace else (full, resource, "*")


def _outcome(body: dict[str, Any], stage: str | None) -> str | None:
    code = at(body, "responseStatus", "code")
    if isinstance(code, int) and (told := http_outcome(code)):
        return told
    if text(at(body, "annotations"), "authorization.k8s.io/decision") == "forbid":
        return "denied"
    if stage == "Panic" or text(body, "responseStatus", "status") == "Failure":
        return "failure"
    return None


def _secret_bodies(body: dict[str, Any], resource: str) -> tuple[str, ...]:
    """Return the pointers to what a Secret or a token holds: base64 under `data` is no protection."""
    about_secrets = resource.partition("/")[0] == "secrets" or resource.endswith(("/token", "tokenreviews"))
    found: list[str] = []
    for name in _BODIES:
        value = at(body, name)
        key = name if name in body else name.lower()
        if about_secrets or str(at(value, "kind")).startswith("Secret"):
            found += _inside_secret(value, f"/{key}")
    return tuple(found)


def _inside_secret(value: Any, pointer: str) -> list[str]:
    if not isinstance(value, dict):
        return leaves(value, pointer)
    found: list[str] = []
    for key, item in value.items():
        below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        if key == "metadata" and isinstance(item, dict):
            for name, inner in item.items():
                if name not in _HARMLESS_METADATA:
                    found += leaves(inner, f"{below}/{name.replace('~', '~0').replace('/', '~1')}")
        elif key not in _HARMLESS or not isinstance(item, str | int):
            found += leaves(item, below)
    return found
