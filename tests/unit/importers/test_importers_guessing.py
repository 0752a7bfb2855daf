"""Unknown JSON by its common names, and the drafts of maps made from it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.fields import decode_object
from audit_pipelines.importers.guessing import parse
from audit_pipelines.importers.map_file import read_map
from audit_pipelines.importers.proposing import Proposal, spell
from audit_pipelines.ledger.event import Event

CHAT: dict[str, Any] = {
    "id": "c-1",
    "date_create": 1777863721,
    "action": "app_installed",
    "actor": {"type": "user", "user": {"id": "U1", "name": "ada", "email": "Ada@Example.com"}},
    "entity": {"type": "app", "app": {"id": "A1", "name": "Polls"}},
    "context": {"ua": "Mozilla/5.0", "ip_address": "203.0.113.9"},
}
CLOUD: dict[str, Any] = {
    "timestamp": "2026-05-04T03:02:01.125Z",
    "severity": "NOTICE",
    "resource": {"type": "project", "labels": {"project_id": "acme"}},
    "protoPayload": {
        "methodName": "SetIamPolicy",
        "authenticationInfo": {"principalEmail": "build@acme.iam.gserviceaccount.com"},
        "requestMetadata": {"callerIp": "203.0.113.9", "callerSuppliedUserAgent": "gcloud"},
        "resourceName": "projects/acme",
        "status": {"code": 7, "message": "PERMISSION_DENIED"},
    },
}
ERP: dict[str, Any] = {
    "TIME": "2026-05-04 03:02:01",
    "USER_NAME": "m.huber",
    "ACTION": "update",
    "OBJECT_TYPE": "invoice",
    "object": {"id": "INV-7", "type": "invoice"},
    "CLIENT_IP": "203.0.113.9:443",
    "STATUS": "OK",
    "API_KEY": "made-up",
}


def event(record: dict[str, Any]) -> Event:
    return parse(msgspec.json.encode(record))


def test_nested_names() -> None:
    got = event(CHAT)
    assert (got.event_type, got.actor) == ("app_installed", "ada@example.com")
    assert (got.entity_type, got.entity_id) == ("app", "A1")
    assert (got.ip_address, got.user_agent, got.outcome) == ("203.0.113.9", "Mozilla/5.0", None)
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01+00:00"


def test_what_is_wrapped_and_machines() -> None:
    got = event(CLOUD)
    assert (got.event_type, got.actor) == ("SetIamPolicy", "build@acme.iam.gserviceaccount.com")
    assert got.entity_id == "projects/acme"
    assert got.details is not None
    assert got.details["actor_kind"] == "machine"


def test_shouted_names_a_bare_verb_and_a_port() -> None:
    got = event(ERP)
    assert (got.event_type, got.actor, got.outcome) == ("invoice:update", "m.huber", "success")
    assert (got.entity_type, got.entity_id) == ("invoice", "INV-7")
    assert got.ip_address == "203.0.113.9"
    assert {"/API_KEY", "/CLIENT_IP", "/USER_NAME"} <= set(got.sealed_fields)


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2026-05-04T05:02:01+02:00", True),
        ("2026-05-04 03:02:01 (UTC)", True),
        (1777863721.0, True),
        (1777863721000, True),
        ("1777863721000", True),
        (1777863721000000, True),
        (125, False),
        ("May 4", False),
        (True, False),
    ],
)
def test_times(time: object, read: bool) -> None:
    got = event({"action": "x.y", "time": time})
    assert (got.occurred_at.isoformat() if got.occurred_at else None) == ("2026-05-04T03:02:01+00:00" if read else None)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ({"outcome": {"result": "SUCCESS"}}, "success"),
        ({"status": "Succeeded"}, "success"),
        ({"success": True}, "success"),
        ({"IS_SUCCESS": "YES"}, "success"),
        ({"resultType": "0"}, "success"),
        ({"response": {"statusCode": 204}}, "success"),
        ({"result": "ok"}, "success"),
        ({"statusCode": 403}, "denied"),
        ({"result": "blocked"}, "denied"),
        ({"success": False}, "failure"),
        ({"status": "SUCCESS", "errorCode": "AccessDenied"}, "denied"),
        ({"error": "quota exceeded"}, "failure"),
        ({"errorCode": "None"}, None),
        ({"status": "open"}, None),
    ],
)
def test_seven_spellings_of_success(record: dict[str, Any], outcome: str | None) -> None:
    assert event({"action": "x.y", **record}).outcome == outcome


@pytest.mark.parametrize("name", ["", "unknown", "-", "N/A", None])
def test_nobody_is_no_actor_and_the_next_name_counts(name: str | None) -> None:
    assert event({"action": "x.y", "actor": name}).actor is None
    assert event({"action": "x.y", "actor": name, "userName": "ada"}).actor == "ada"


def test_a_sentence_is_no_type_for_it_may_name_people() -> None:
    with pytest.raises(ValidationError, match="--map"):
        event({"type": "ada@example.com opened the report of bob@example.com"})


def test_a_person_as_entity_is_one_so_that_the_ledger_hides_them() -> None:
    got = event({"action": "user.invite", "targetUserName": "Bob@Example.com"})
    assert (got.entity_type, got.entity_id) == ("user", "bob@example.com")


def test_the_same_record_is_the_same_event_whatever_stands_beside_it() -> None:
    assert event(ERP) == event(dict(reversed(ERP.items())))


@pytest.mark.parametrize(
    "records", [[CHAT], [CLOUD, CLOUD], [ERP, {**ERP, "TIME": None}], [CHAT, CLOUD, ERP], [{"x": 1}]]
)
def test_a_drafted_map_holds_and_reads_what_the_names_read(records: list[dict[str, Any]]) -> None:
    proposal = Proposal()
    for record in records:
        proposal.add(decode_object(msgspec.json.encode(record)))
    draft = proposal.toml()
    if records == [{"x": 1}]:
        with pytest.raises(ValidationError, match="event_type"):
            read_map(draft, "draft")
        return
    drafted = read_map(draft, "draft")
    for record in records:
        by_map, by_names = drafted.parse(msgspec.json.encode(record)), event(record)
        for column in ("event_type", "actor", "occurred_at", "ip_address", "user_agent", "entity_id", "outcome"):
            assert getattr(by_map, column) == getattr(by_names, column), column


def test_a_draft_prefers_the_names_that_the_guess_prefers() -> None:
    proposal = Proposal()
    records: list[dict[str, Any]] = [{"action": "x.y", "login": "l"}, {"action": "x.y", "login": "l", "userName": "u"}]
    for record in records:
        proposal.add(record)
    drafted = read_map(proposal.toml(), "draft")
    assert [drafted.parse(msgspec.json.encode(record)).actor for record in records] == ["l", "u"]


def test_a_draft_says_what_it_took_for_granted() -> None:
    proposal = Proposal()
    proposal.add(ERP)
    draft = proposal.toml()
    assert 'zone = "UTC"  # taken for granted' in draft
    assert 'from = [\n    "{OBJECT_TYPE}:{ACTION}",  # 1\n]' in draft


def test_odd_keys_are_spelled_as_pointers(tmp_path: Path) -> None:
    assert spell(("a", 0, "b")) == "a.0.b"
    assert spell(("a.b", "c/d")) == "/a.b/c~1d"
    proposal = Proposal()
    proposal.add({"event.name": "x.y", "time": "2026-05-04T03:02:01Z"})
    assert (
        read_map(proposal.toml(), "draft").parse(b'{"event.name":"x.y","time":"2026-05-04T03:02:01Z"}').event_type
        == "x.y"
    )
