"""The OCSF mapping, class by class, on records written for these tests after the schema's documentation."""

from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.ocsf import parse
from audit_pipelines.ledger.event import Event

RECORD: dict[str, Any] = {
    "class_uid": 3002,
    "class_name": "Authentication",
    "category_uid": 3,
    "activity_id": 1,
    "activity_name": "Logon",
    "type_uid": 300201,
    "time": 1777863721125,
    "status_id": 1,
    "status": "Success",
    "severity_id": 1,
    "metadata": {"uid": "m-1", "version": "1.3.0", "product": {"name": "IdP", "vendor_name": "Example"}},
    "user": {"name": "Ada", "uid": "u-1", "email_addr": "Ada@Example.com"},
    "src_endpoint": {"ip": "203.0.113.9", "port": 1},
    "http_request": {"user_agent": "Mozilla/5.0"},
    "service": {"name": "Payroll"},
    "session": {"uid": "made-up-session"},
    "raw_data": '{"secret":"made-up"}',
}
API: dict[str, Any] = {
    "class_uid": 6003,
    "class_name": "API Activity",
    "activity_id": 1,
    "activity_name": "Create",
    "time_dt": "2026-05-04T03:02:01.125Z",
    "actor": {
        "user": {
            "type": "AssumedRole",
            "uid": "arn:aws:sts::111122223333:assumed-role/ops/ada-laptop",
            "uid_alt": "AROAEXAMPLE:ada-laptop",
            "credential_uid": "ASIAEXAMPLE0000000001",
            "account": {"uid": "111122223333"},
        },
        "session": {"issuer": "arn:aws:iam::111122223333:role/ops"},
    },
    "api": {"operation": "PutUserPolicy", "service": {"name": "iam.amazonaws.com"}, "response": {"error": None}},
    "cloud": {"provider": "AWS", "region": "eu-central-1"},
    "resources": [{"uid": "arn:aws:iam::111122223333:user/bob", "type": "AWS::IAM::User"}],
    "status_id": 1,
    "metadata": {"uid": "m-2", "version": "1.1.0"},
}


def event(base: dict[str, Any] = RECORD, **changes: Any) -> Event:
    return parse(msgspec.json.encode({key: value for key, value in {**base, **changes}.items() if value is not ...}))


def test_columns() -> None:
    got = event()
    assert (got.event_id, got.event_type, got.actor) == ("m-1", "Authentication: Logon", "ada@example.com")
    assert (got.entity_type, got.entity_id) == ("service", "Payroll")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "203.0.113.9", "Mozilla/5.0")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01.125000+00:00"
    assert set(got.sealed_fields) == {
        "/raw_data",
        "/session/uid",
        "/src_endpoint/ip",
        "/user/email_addr",
        "/user/name",
        "/user/uid",
    }


def test_an_aws_call_has_the_actor_and_type_that_cloudtrail_has() -> None:
    got = event(API)
    assert (got.event_type, got.actor) == ("iam:PutUserPolicy", "arn:aws:iam::111122223333:role/ops")
    assert (got.entity_type, got.entity_id) == ("user", "arn:aws:iam::111122223333:user/bob")
    assert got.occurred_at == event().occurred_at
    assert {"/actor/user/credential_uid", "/actor/user/uid", "/actor/user/uid_alt"} <= set(got.sealed_fields)


@pytest.mark.parametrize(
    ("user", "actor"),
    [
        ({"name": "Ada", "domain": "CORP"}, "corp\\ada"),
        ({"name": "Ada", "domain": "example.com"}, "ada@example.com"),
        ({"name": "CORP\\Ada", "email_addr": "ada@example.com"}, "ada@example.com"),
        ({"name": "CORP\\Ada", "email_addr": "winter@example.com"}, "corp\\ada"),
        ({"uid": "u-1"}, "u-1"),
    ],
)
def test_spellings_are_joined_on_the_records_own_word(user: dict[str, str], actor: str) -> None:
    assert event(user=user).actor == actor


@pytest.mark.parametrize(
    ("actor", "name", "machine"),
    [
        ({"user": {"name": "backup", "type_id": 3}}, "backup", True),
        ({"user": {"name": "ada", "type_id": 1}}, "ada", False),
        ({"invoked_by": "cloudformation.amazonaws.com"}, "cloudformation.amazonaws.com", True),
        ({"app_name": "Scanner"}, "Scanner", True),
    ],
)
def test_machines(actor: dict[str, Any], name: str, machine: bool) -> None:
    got = event(API, actor=actor)
    assert got.actor == name
    assert got.details is not None
    assert (got.details.get("actor_kind") == "machine") == machine


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"status_id": 2, "status": "Failure"}, "failure"),
        ({"status_id": 2, "status_detail": "Access denied by policy"}, "denied"),
        ({"status_id": 2, "status_code": "AccessDenied"}, "denied"),
        ({"status_id": 99, "status": "Succeeded"}, "success"),
        ({"status_id": 0, "status": "Unknown"}, None),
        ({"status_id": 1, "disposition_id": 2}, "denied"),
        ({"status_id": ..., "status": ..., "api": {"response": {"error": "UnauthorizedOperation"}}}, "denied"),
        ({"status_id": ..., "status": ..., "api": {"response": {"error": "Throttling"}}}, "failure"),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str | None) -> None:
    assert event(**changes).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "event_type", "entity"),
    [
        (
            {"class_uid": 3001, "class_name": ..., "activity_name": "Create", "user": {"name": "bob"}},
            "Account Change: Create",
            ("user", "bob"),
        ),
        (
            {"class_uid": 3006, "class_name": "Group Management", "group": {"name": "admins"}},
            "Group Management: Logon",
            ("group", "admins"),
        ),
        (
            {"class_uid": 3004, "class_name": ..., "entity": {"uid": "p-1", "type": "Policy"}},
            "Entity Management: Logon",
            ("policy", "p-1"),
        ),
        (
            {
                "class_uid": 4003,
                "class_name": ...,
                "query": {"hostname": "x.example"},
                "type_name": "DNS Activity: Query",
                "activity_name": ...,
            },
            "DNS Activity: Query",
            ("domain", "x.example"),
        ),
        (
            {"class_uid": 1007, "class_name": ..., "activity_name": ..., "process": {"file": {"path": "/bin/sh"}}},
            "Process Activity: activity 1",
            ("process", "/bin/sh"),
        ),
        (
            {"class_uid": 2004, "class_name": ..., "finding_info": {"uid": "f"}},
            "Detection Finding: Logon",
            ("finding", "f"),
        ),
        ({"service": ..., "class_uid": 3002}, "Authentication: Logon", ("user", "ada@example.com")),
    ],
)
def test_classes(changes: dict[str, Any], event_type: str, entity: tuple[str, str]) -> None:
    got = event(**changes)
    assert (got.event_type, (got.entity_type, got.entity_id)) == (event_type, entity)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"class_uid": ..., "class_name": ...}, "class_uid: expected a class"),
        ({"class_uid": 999999, "class_name": ...}, "got 999999"),
        ({"time": "soon"}, "time: expected a time"),
    ],
)
def test_faults_are_in_words(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        event(**changes)
