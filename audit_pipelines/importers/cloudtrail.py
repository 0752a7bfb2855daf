"""AWS CloudTrail records as events.

The mapping is documented field by field in docs/importers.md. Takes the native record and the one that Logstash
writes (`@timestamp`, `@version`); whatever does not become a column stays in the details.
"""

from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers import identity
from audit_pipelines.importers.entity import entity_of
from audit_pipelines.importers.fields import address, build_event, decode_object, fit, json_kind, utc_moment
from audit_pipelines.importers.outcomes import DENIED_TEXT
from audit_pipelines.importers.sealing import sealed_pointers
from audit_pipelines.ledger.event import Event

# Logstash's own, not AWS's: with them one event, exported on two ways, would have two contents.
_TRANSPORT = ("@timestamp", "@version")


def parse(record: bytes) -> Event:
    """Map one CloudTrail record to an event; raise `ValidationError` naming every fault."""
    body = decode_object(record)
    service, name = _service(body), body["eventName"]
    occurred_at = utc_moment(body["eventTime"] if "eventTime" in body else body.get("@timestamp"), "eventTime")
    region = identity.text_at(body, "awsRegion")
    caller = body.get("userIdentity")
    actor = identity.actor_name(caller, region)
    entity_type, entity_id = entity_of(body, service, actor)

    details = {key: value for key, value in body.items() if key not in _TRANSPORT}
    for key in ("eventName", "eventTime", "eventID"):
        details.pop(key, None)
    if details["eventSource"] == f"{service}.amazonaws.com":
        del details["eventSource"]
    ip_address = _take_address(details)
    user_agent = _take_user_agent(details)
    if isinstance(caller, dict):
        details["userIdentity"] = _without(caller, actor)
    own = identity.own_identifiers(caller) | ({ip_address} if ip_address else set())
    sealed = sealed_pointers(details, own)
    if ip_address is None:
        # `ec2.amazonaws.com` or `AWS Internal`: which service called is no secret, and the investigator needs it.
        sealed = tuple(pointer for pointer in sealed if pointer != "/sourceIPAddress")
    return build_event(
        {
            "event_id": body.get("eventID") or None,
            "occurred_at": occurred_at,
            "actor": fit(actor, 1024) if actor else None,
            "event_type": f"{service}:{name}",
            "entity_type": fit(entity_type, 256),
            "entity_id": fit(entity_id, 1024),
            "outcome": _outcome(body),
            "ip_address": ip_address,
            "user_agent": user_agent,
            "action_details": details,
            "sealed_fields": sealed,
        },
        len(record),
    )


def _service(body: dict[str, Any]) -> str:
    """Check that this is a CloudTrail record and return its service: `iam` for `iam.amazonaws.com`."""
    if "digestStartTime" in body:
        raise ValidationError("expected an event, got a CloudTrail digest file; leave out the folder CloudTrail-Digest")
    faults = [
        f"{key}: expected a text, got {json_kind(body[key]) if key in body else 'no such field'}"
        for key in ("eventSource", "eventName")
        if not isinstance(body.get(key), str) or not body[key]
    ]
    if faults:
        raise ValidationError(f"expected a CloudTrail record: {'; '.join(faults)}")
    source: str = body["eventSource"]
    return source.removesuffix(".cn").removesuffix(".amazonaws.com") or source


def _outcome(body: dict[str, Any]) -> str:
    response = body.get("responseElements")
    # Sign-in events report under their own name: {"ConsoleLogin": "Failure"}, with or without an errorMessage.
    told = identity.text_at(response, body["eventName"])
    code, message = body.get("errorCode"), body.get("errorMessage")
    if code:
        return "denied" if DENIED_TEXT.search(str(code)) else "failure"
    if told in ("Success", "Failure"):
        return told.lower()
    return "failure" if message else "success"


def _take_address(details: dict[str, Any]) -> str | None:
    """Return the source address and drop it from the details, unless they tell more: a port, or a service's name."""
    source = details.get("sourceIPAddress")
    if not isinstance(source, str):
        return None
    found, exact = address(source)
    if found and exact:
        del details["sourceIPAddress"]
    return found


def _take_user_agent(details: dict[str, Any]) -> str | None:
    agent = details.get("userAgent")
    if not isinstance(agent, str):
        return None
    column = fit(agent, 2048)
    if column == agent:
        del details["userAgent"]
    return column or None


def _without(caller: dict[str, Any], actor: str | None) -> dict[str, Any]:
    """Return `userIdentity` without the copies of what became the actor."""
    rest = {key: value for key, value in caller.items() if key not in ("arn", "invokedBy") or value != actor}
    context = rest.get("sessionContext")
    if identity.text_at(context, "sessionIssuer", "arn") == actor and isinstance(context, dict):
        issuer = {key: value for key, value in context["sessionIssuer"].items() if key != "arn"}
        rest["sessionContext"] = {**context, "sessionIssuer": issuer}
    return rest
