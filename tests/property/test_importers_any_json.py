"""Whatever an object holds, an importer makes an event of it or says why not; and what it seals is there."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.fields import decode_object
from audit_pipelines.importers.map_file import read_map
from audit_pipelines.importers.proposing import Proposal
from audit_pipelines.ledger.event import UNPRINTABLE

MAP = """
version = 1
unwrap = ["properties.log"]
[event_type]
from = ["{verb}:{name}", "action", "eventType", "Operation"]
[time]
from = ["time", "created_at"]
formats = ["rfc3339", "iso", "epoch_s", "epoch_ns", "%d.%m.%Y %H:%M", "%Y"]
zone = "-03:00"
missing = "receipt"
[actor]
from = ["actor.email", "user", "UserId"]
kind = "type"
machine_kinds = ["service"]
[entity]
id = ["target.0.id", "repo"]
type = ["target.0.type"]
[outcome]
from = ["status", "outcome.result"]
[ip]
from = ["ip", "sourceIPs.0"]
[details]
sealed = ["*.*", "data.*.name"]
""".replace(', "%Y"', ', "%Y-%m-%d"')
PARSERS = {**FORMATS, "map": read_map(MAP, "map").parse}
# Names that the formats look at, so that most drafts get past the first question.
NAMES = [
    "action", "actor", "api", "AuditData", "auditID", "class_uid", "client", "CreationTime", "created_at", "data",
    "displayName", "email_addr", "entity", "event", "eventName", "eventSource", "eventType", "ExtendedProperties",
    "groups", "id", "ID", "ip", "ipAddress", "kind", "log", "login", "metadata", "name", "Name", "objectRef",
    "Operation", "outcome", "payload", "properties", "published", "Records", "repo", "request", "requestObject",
    "requestURI", "resource", "resources", "responseStatus", "result", "sender", "session", "sourceIPs", "stage",
    "status", "status_id", "target", "time", "timestamp", "type", "Type", "uid", "user", "userAgent", "UserId",
    "userIdentity", "username", "Value", "verb", "Workload",
]  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["2026-05-04T03:02:01Z", "2026-05-04 03:02:01", "0001-01-01T00:00:00+14:00", "9999-12-31 23:59:59 (UTC)", "1e999",
     "203.0.113.9:443", "fe80::1%eth0", "CORP\\Ada", "Ada@Example.com", "i:0#.f|membership|a@b", "SecretList",
     "secrets",
     "Success", "{", '{"verb":"get","user":{}}', "system:node:x", "\x00", "9" * 400, "03.05.2026 10:00"]
)  # fmt: skip
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([1777863721, 1777863721000, 10**18, 3002, 6003, 0, 2, 99])
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), JSON, max_size=7)
SEEDS: dict[str, dict[str, Any]] = {
    "cloudtrail": {"eventSource": "iam.amazonaws.com", "eventName": "PutUserPolicy"},
    "github": {"action": "repo.create"},
    "json": {"action": "update"},
    "kubernetes": {"verb": "get", "user": {"username": "ada"}},
    "map": {"action": "x"},
    "ndjson": {"event_type": "x", "entity_type": "x", "entity_id": "x", "occurred_at": "2026-05-04T03:02:01Z"},
    "ocsf": {"class_uid": 6003},
    "office365": {"Operation": "UserLoggedIn"},
    "okta": {"eventType": "user.session.start"},
}


def encoded(body: dict[str, Any]) -> bytes | None:
    try:
        return msgspec.json.encode(body)
    except (OverflowError, UnicodeEncodeError):
        return None


@pytest.mark.parametrize("name", PARSERS)
@given(OBJECTS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_object_is_an_event_or_a_validation_error(name: str, drawn: dict[str, Any], wins: bool) -> None:
    raw = encoded({**SEEDS[name], **drawn} if wins else {**drawn, **SEEDS[name]})
    if raw is None:
        return
    try:
        event = PARSERS[name](raw)
    except ValidationError:
        return
    for text in (event.event_type, event.entity_type, event.entity_id, event.actor, event.outcome, event.user_agent):
        assert text is None or not UNPRINTABLE.search(text)
    assert len(set(event.sealed_fields)) == len(event.sealed_fields)
    for pointer in event.sealed_fields:
        assert isinstance(resolve(event.details, pointer), str | int | float)
    assert PARSERS[name](raw) == event


def resolve(value: Any, pointer: str) -> Any:
    for part in pointer[1:].split("/"):
        step = part.replace("~1", "/").replace("~0", "~")
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


@given(st.lists(OBJECTS, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_drafted_map_can_be_read_or_says_what_is_missing(drawn: list[dict[str, Any]]) -> None:
    proposal = Proposal()
    for body in drawn:
        if raw := encoded(body):
            proposal.add(decode_object(raw))
    faults: tuple[tuple[str, str], ...] = ()
    try:
        read_map(proposal.toml(), "draft")
    except ValidationError as error:
        faults = error.faults
    assert {what.split(":")[0] for _, what in faults} <= {"event_type.from"}
