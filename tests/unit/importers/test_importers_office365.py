"""The Microsoft 365 mapping, on records written for these tests after the schema's documentation."""

from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.office365 import parse
from audit_pipelines.ledger.event import Event

RECORD: dict[str, Any] = {
    "CreationTime": "2026-05-04T03:02:01",
    "Id": "6b1e0f0e-0000-4000-8000-0000000000bb",
    "Operation": "FileDownloaded",
    "OrganizationId": "0aa0",
    "RecordType": 6,
    "UserKey": "i:0h.f|membership|1003200000000001@live.com",
    "UserType": 0,
    "Version": 1,
    "Workload": "SharePoint",
    "ClientIP": "203.0.113.9:51234",
    "UserId": "Ada.Winter@Example.com",
    "ObjectId": "https://example.sharepoint.com/sites/hr/pay.xlsx",
    "ItemType": "File",
    "UserAgent": "Mozilla/5.0",
    "AppAccessContext": {"AADSessionId": "made-up-session", "UniqueTokenId": "made-up-token"},
    "SessionId": "made-up",
}
LOGIN: dict[str, Any] = {
    "CreationTime": "2026-05-04T03:02:01",
    "Id": "l-1",
    "Operation": "UserLoggedIn",
    "Workload": "AzureActiveDirectory",
    "UserId": "Ada@Example.com",
    "UserType": 0,
    "ActorIpAddress": "2001:DB8::1",
    "ClientIP": "",
    "ObjectId": "Unknown",
    "ResultStatus": "Success",
    "ExtendedProperties": [{"Name": "UserAgent", "Value": "Mozilla/5.0 (Windows)"}],
    "Actor": [{"ID": "9f", "Type": 0}, {"ID": "Ada@Example.com", "Type": 5}],
    "Target": [{"ID": "Ada@Example.com", "Type": 5}],
}


def event(**changes: Any) -> Event:
    return parse(msgspec.json.encode({key: value for key, value in {**RECORD, **changes}.items() if value is not ...}))


def test_columns() -> None:
    got = event()
    assert (got.event_id, got.event_type) == (RECORD["Id"], "SharePoint:FileDownloaded")
    assert got.actor == "ada.winter@example.com"
    assert (got.entity_type, got.entity_id) == ("file", RECORD["ObjectId"])
    assert (got.outcome, got.ip_address, got.user_agent) == (None, "203.0.113.9", "Mozilla/5.0")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01+00:00"
    assert got.details is not None
    assert got.details["ClientIP"] == "203.0.113.9:51234"


def test_sessions_and_tokens_are_sealed() -> None:
    assert set(event().sealed_fields) == {
        "/AppAccessContext/AADSessionId",
        "/AppAccessContext/UniqueTokenId",
        "/ClientIP",
        "/SessionId",
        "/UserId",
        "/UserKey",
    }


def test_a_log_in() -> None:
    got = parse(msgspec.json.encode(LOGIN))
    assert (got.actor, got.entity_type, got.entity_id) == ("ada@example.com", "user", "ada@example.com")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "2001:db8::1", "Mozilla/5.0 (Windows)")


@pytest.mark.parametrize(
    ("changes", "actor"),
    [
        ({"UserId": "i:0#.f|membership|Ada@Example.com"}, "ada@example.com"),
        ({"UserId": "CORP\\Ada"}, "corp\\ada"),
        ({"UserId": "CORP\\Ada", "LogonType": 0, "MailboxOwnerUPN": "Ada@Example.com"}, "ada@example.com"),
        ({"UserId": "CORP\\Ada", "LogonType": 2, "MailboxOwnerUPN": "Bob@Example.com"}, "corp\\ada"),
        ({"UserId": "10032", "Actor": [{"ID": "Ada@Example.com", "Type": 5}]}, "ada@example.com"),
        ({"UserId": "Not Available", "UserKey": "10032"}, "10032"),
        ({"UserId": "Unknown", "UserKey": "Not Available"}, None),
    ],
)
def test_one_person_is_one_actor_where_the_record_itself_says_so(changes: dict[str, Any], actor: str | None) -> None:
    assert event(**changes).actor == actor


@pytest.mark.parametrize(
    ("changes", "machine"),
    [
        ({"UserId": "ServicePrincipal_aa-bb", "UserType": 4}, True),
        ({"UserId": "app@sharepoint", "UserType": 5}, True),
        ({"UserId": "x", "UserType": "Application"}, True),
        ({"UserId": "NT AUTHORITY\\SYSTEM", "UserType": 3}, True),
        ({"UserId": "NT AUTHORITY\\SYSTEM", "UserType": 0}, True),
        ({"UserType": 2}, False),
    ],
)
def test_machines(changes: dict[str, Any], machine: bool) -> None:
    got = event(**changes)
    assert got.details is not None
    assert (got.details.get("actor_kind") == "machine") == machine


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"ResultStatus": "Success"}, "success"),
        ({"ResultStatus": "Succeeded"}, "success"),
        ({"ResultStatus": "True"}, "success"),
        ({"ResultStatus": "Failed"}, "failure"),
        ({"ResultStatus": "PartiallySucceeded"}, "partiallysucceeded"),
        ({"ResultStatus": "Success", "Operation": "UserLoginFailed"}, "failure"),
        ({"ResultStatus": "Success", "LogonError": "InvalidUserNameOrPassword"}, "failure"),
        ({"ResultStatus": ""}, None),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str | None) -> None:
    assert event(**changes).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "entity"),
    [
        (
            {"Workload": "Exchange", "MailboxOwnerUPN": "Bob@Example.com", "Operation": "MailItemsAccessed"},
            ("user", "bob@example.com"),
        ),
        ({"Workload": "MicrosoftTeams", "TeamGuid": "t-1"}, ("team", "t-1")),
        (
            {"Workload": "AzureActiveDirectory", "Operation": "Add service principal.", "ObjectId": "sp"},
            ("service_principal", "sp"),
        ),
        (
            {"Workload": "AzureActiveDirectory", "Operation": "Update user.", "ObjectId": "Bob@E.com"},
            ("user", "bob@e.com"),
        ),
        ({"ObjectId": None, "Workload": "Yammer"}, ("organization", "0aa0")),
        ({"ObjectId": None, "OrganizationId": None}, ("activity", "FileDownloaded")),
    ],
)
def test_entities(changes: dict[str, Any], entity: tuple[str, str]) -> None:
    got = event(**changes)
    assert (got.entity_type, got.entity_id) == entity


@pytest.mark.parametrize(
    "envelope",
    [
        {"RecordId": "r", "UserIds": "ada", "AuditData": msgspec.json.encode(RECORD).decode()},
        {"id": "r", "auditLogRecordType": "x", "auditData": RECORD},
    ],
)
def test_searches_wrap_the_record_and_it_is_the_same_event(envelope: dict[str, Any]) -> None:
    assert parse(msgspec.json.encode(envelope)) == event()


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"UserId": "x"}, "Operation: expected a text, got null"),
        ({"AuditData": "{"}, "expected one JSON object"),
        ({"Operation": "x", "CreationTime": "soon"}, "CreationTime: expected a time"),
    ],
)
def test_faults_are_in_words(record: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        parse(msgspec.json.encode(record))


def test_changed_passwords_in_pairs_are_sealed() -> None:
    pairs = [
        {"Name": "Password", "NewValue": "made-up", "OldValue": "old"},
        {"Name": "DisplayVersion", "NewValue": "2", "OldValue": "1"},
    ]
    got = event(ModifiedProperties=pairs)
    assert {"/ModifiedProperties/0/NewValue", "/ModifiedProperties/0/OldValue"} <= set(got.sealed_fields)
    assert "/ModifiedProperties/1/NewValue" not in got.sealed_fields
