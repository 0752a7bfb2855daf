"""Records of the Open Cybersecurity Schema Framework, 1.x in JSON, as events: by their class, whoever made them.

The mapping is documented field by field in docs/importers.md. Actors from AWS are spelled as in CloudTrail, so that
Security Lake and the trail itself meet in one actor.
"""

from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import decode_object, json_kind, utc_moment
from audit_pipelines.importers.identity import actor_name
from audit_pipelines.importers.lookup import at, first_text, text
from audit_pipelines.importers.outcomes import DENIED_TEXT, product_outcome
from audit_pipelines.importers.spelling import account, is_machine
from audit_pipelines.ledger.event import Event

# fmt: off
_CLASSES = {
    1001: "File System Activity", 1002: "Kernel Extension Activity", 1003: "Kernel Activity", 1004: "Memory Activity",
    1005: "Module Activity", 1006: "Scheduled Job Activity", 1007: "Process Activity", 2001: "Security Finding",
    2002: "Vulnerability Finding", 2003: "Compliance Finding", 2004: "Detection Finding", 2005: "Incident Finding",
    2006: "Data Security Finding", 3001: "Account Change", 3002: "Authentication", 3003: "Authorize Session",
    3004: "Entity Management", 3005: "User Access Management", 3006: "Group Management", 4001: "Network Activity",
    4002: "HTTP Activity", 4003: "DNS Activity", 4004: "DHCP Activity", 4005: "RDP Activity", 4006: "SMB Activity",
    4007: "SSH Activity", 4008: "FTP Activity", 4009: "Email Activity", 4010: "Network File Activity",
    6001: "Web Resources Activity", 6002: "Application Lifecycle", 6003: "API Activity",
    6004: "Web Resource Access Activity", 6005: "Datastore Activity", 6006: "File Hosting Activity",
}
# fmt: on
# Per class the entity, first hit wins: path to its name and kind; `*` reads the kind from `type` beside the name.
_Row = tuple[tuple[str | int, ...], str]
_USER: tuple[_Row, ...] = ((("user",), "user"),)
_RESOURCE: tuple[_Row, ...] = ((("resources", 0), "*"), (("resource",), "*"))
_ENTITIES: dict[int, tuple[_Row, ...]] = {
    1001: ((("file", "path"), "file"), (("file", "name"), "file")),
    1007: ((("process", "file", "path"), "process"), (("process", "name"), "process")),
    3001: _USER,
    3002: ((("service", "name"), "service"), (("dst_endpoint", "hostname"), "host")),
    3003: _USER,
    3004: ((("entity",), "*"),),
    3005: (*_RESOURCE, *_USER),
    3006: ((("group",), "group"), *_USER),
    4003: ((("query", "hostname"), "domain"),),
    6001: ((("web_resources", 0), "*"),),
    6003: (*_RESOURCE, (("api", "service", "name"), "service")),
    6004: ((("web_resources", 0), "*"), (("http_request", "url", "hostname"), "host")),
    6005: ((("database",), "database"), (("databucket",), "databucket")),
}
_GENERAL: tuple[_Row, ...] = (
    *_RESOURCE,
    (("finding_info", "uid"), "finding"),
    (("finding", "uid"), "finding"),
    (("device", "hostname"), "host"),
    (("dst_endpoint", "hostname"), "host"),
    (("dst_endpoint", "ip"), "host"),
    (("app", "name"), "app"),
    (("cloud", "account", "uid"), "account"),
)
_NAMES_OF_A_USER = ("credential_uid", "email_addr", "full_name", "name", "uid", "uid_alt")
_NAMES_OF_A_SESSION = ("credential_uid", "uid", "uuid")
_MACHINE_TYPES = frozenset({3, 4})  # System, Service
_SUBJECT_ACTS = 3002


def parse(record: bytes) -> Event:
    """Map one OCSF record to an event; raise `ValidationError` naming every fault."""
    body = decode_object(record)
    uid = at(body, "class_uid")
    class_uid = uid if isinstance(uid, int) and not isinstance(uid, bool) else 0
    class_name = text(body, "class_name") or _CLASSES.get(class_uid)
    if not class_name:
        raise ValidationError(
            f"expected an OCSF record: class_uid: expected a class of OCSF 1.x or class_name beside it, got "
            f"{class_uid or json_kind(uid)}"
        )
    user = at(body, "actor", "user")
    if not isinstance(user, dict) and class_uid == _SUBJECT_ACTS:
        user = at(body, "user")
    actor = _actor(body, user)
    entity_type, entity_id = _entity(body, class_uid, actor)
    moment = body.get("time")
    own = [user.get(key) for key in _NAMES_OF_A_USER] if isinstance(user, dict) else []
    return build(
        Meaning(
            event_type=_event_type(body, class_name),
            entity_type=entity_type,
            entity_id=entity_id,
            details=body,
            event_id=text(body, "metadata", "uid"),
            occurred_at=utc_moment(at(body, "time_dt") if moment is None else moment, "time"),
            actor=actor,
            is_machine=at(user, "type_id") in _MACHINE_TYPES or is_machine(actor) or (bool(actor) and not user),
            outcome=_outcome(body),
            address=text(body, "src_endpoint", "ip") or text(body, "actor", "session", "ip"),
            user_agent=text(body, "http_request", "user_agent"),
            taken=("time", "time_dt") if moment is None or at(body, "time_dt") is None else ("time",),
            identifiers={one for one in own if isinstance(one, str) and one},
            sealed=_sealed(body),
        ),
        len(record),
    )


def _sealed(body: dict[str, Any]) -> tuple[str, ...]:
    """Return the places whose names say too little elsewhere: a user's `uid` and `name`, a session's `uid`."""
    places = [("/user", body.get("user"), _NAMES_OF_A_USER), ("/session", body.get("session"), _NAMES_OF_A_SESSION)]
    if isinstance(actor := body.get("actor"), dict):
        places += [
            ("/actor/user", actor.get("user"), _NAMES_OF_A_USER),
            ("/actor/session", actor.get("session"), _NAMES_OF_A_SESSION),
        ]
        if isinstance(process := actor.get("process"), dict):
            places.append(("/actor/process/user", process.get("user"), _NAMES_OF_A_USER))
    return tuple(
        f"{pointer}/{key}"
        for pointer, held, keys in places
        if isinstance(held, dict)
        for key in keys
        if isinstance(held.get(key), str | int)
    )


def _event_type(body: dict[str, Any], class_name: str) -> str:
    """Return `<service>:<operation>` of an API call, as CloudTrail has it, else `<class>: <activity>`."""
    if operation := text(body, "api", "operation"):
        service = (text(body, "api", "service", "name") or class_name).removesuffix(".amazonaws.com")
        return f"{service}:{operation}"
    activity = text(body, "activity_name")
    if activity is None and (told := text(body, "type_name")):
        return told
    return f"{class_name}: {activity or 'activity ' + (text(body, 'activity_id') or '0')}"


def _actor(body: dict[str, Any], user: Any) -> str | None:
    uid = text(user, "uid")
    issuer = text(body, "actor", "session", "issuer")
    if (uid or "").startswith("arn:aws") or (issuer or "").startswith("arn:aws"):
        found = actor_name(
            {
                "type": text(user, "type"),
                "arn": uid if uid and uid.startswith("arn:") else None,
                "userName": text(user, "name"),
                "principalId": text(user, "uid_alt"),
                "accountId": text(user, "account", "uid"),
                "sessionContext": {"sessionIssuer": {"arn": issuer}},
            },
            text(body, "cloud", "region"),
        )
        if found:
            return found
    named = account(text(user, "name"), text(user, "domain"), text(user, "email_addr")) or uid
    if named is None:
        named = first_text(user, ("credential_uid",), ("full_name",))
    return named or first_text(
        at(body, "actor"), ("process", "user", "name"), ("invoked_by",), ("app_name",), ("app_uid",)
    )


def _entity(body: dict[str, Any], class_uid: int, actor: str | None) -> tuple[str, str]:
    for path, kind in (*_ENTITIES.get(class_uid, ()), *_GENERAL):
        found = at(body, *path)
        if isinstance(found, dict):
            if kind == "user" and (name := _user_name(found)):
                return kind, name
            if kind != "user" and (name := first_text(found, ("uid",), ("name",))):
                told = text(found, "type") if kind == "*" else kind
                return (told or "resource").rpartition("::")[2].lower().replace(" ", "_"), name
        elif isinstance(found, str) and found:
            return kind, found
    return ("user", actor) if actor and class_uid == _SUBJECT_ACTS else ("activity", text(body, "class_name") or "ocsf")


def _user_name(user: dict[str, Any]) -> str | None:
    uid = text(user, "uid")
    if uid and uid.startswith("arn:"):
        return uid
    return account(text(user, "name"), text(user, "domain"), text(user, "email_addr")) or uid


def _outcome(body: dict[str, Any]) -> str | None:
    """Return the outcome: a refusal is told by code, disposition or text, and is more than a failure."""
    if at(body, "disposition_id") == 2 or at(body, "action_id") == 2:
        return "denied"
    status = at(body, "status_id")
    told = {1: "success", 2: "failure"}.get(status) if isinstance(status, int) else None
    told = told or product_outcome(text(body, "status"))
    if told != "success":
        words = " ".join(
            filter(
                None, (text(body, "status_code"), text(body, "status_detail"), text(body, "api", "response", "error"))
            )
        )
        if DENIED_TEXT.search(words):
            return "denied"
        if told is None and text(body, "api", "response", "error"):
            return "failure"
    return told
