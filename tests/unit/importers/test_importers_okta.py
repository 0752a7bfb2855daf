"""The Okta System Log mapping, on records written for these tests after the product's documentation."""

from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.okta import parse
from audit_pipelines.ledger.event import Event

RECORD: dict[str, Any] = {
    "actor": {
        "id": "00u1ada0000000000001",
        "type": "User",
        "alternateId": "Ada.Winter@Example.com",
        "displayName": "Ada Winter",
        "detailEntry": None,
    },
    "client": {
        "userAgent": {"rawUserAgent": "Mozilla/5.0 (X11)", "os": "Linux", "browser": "FIREFOX"},
        "zone": "null",
        "device": "Computer",
        "ipAddress": "203.0.113.9",
        "geographicalContext": {"city": "Graz", "country": "Austria"},
    },
    "authenticationContext": {"authenticationStep": 0, "externalSessionId": "102Qx-made-up-session"},
    "displayMessage": "User login to Okta",
    "eventType": "user.session.start",
    "outcome": {"result": "SUCCESS", "reason": None},
    "published": "2026-05-04T03:02:01.125Z",
    "securityContext": {"asNumber": 64496, "isProxy": False},
    "severity": "INFO",
    "debugContext": {
        "debugData": {
            "requestUri": "/idp/idx/identify",
            "dtHash": "0f2c9d",
            "deviceFingerprint": "2b11",
            "requestId": "r1",
            "logOnlySecurityData": '{"risk":{"level":"LOW"}}',
            "url": "/login/token/redirect?stateToken=00abc&token=20111abcdef",
        }
    },
    "transaction": {"type": "WEB", "id": "t1", "detail": {"requestApiTokenId": "00T1made"}},
    "uuid": "6b1e0f0e-0000-4000-8000-0000000000aa",
    "version": "0",
    "request": {"ipChain": [{"ip": "203.0.113.9", "version": "V4"}]},
    "target": [],
}


def event(**changes: Any) -> Event:
    return parse(msgspec.json.encode({**RECORD, **changes}))


def test_columns() -> None:
    got = event()
    assert (got.event_id, got.event_type) == (RECORD["uuid"], "user.session.start")
    assert got.actor == "ada.winter@example.com"
    assert (got.entity_type, got.entity_id) == ("user", "ada.winter@example.com")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "203.0.113.9", "Mozilla/5.0 (X11)")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01.125000+00:00"
    assert got.details is not None
    assert "eventType" not in got.details


def test_session_device_and_api_tokens_are_sealed_and_what_investigators_need_is_not() -> None:
    sealed = event().sealed_fields
    assert {
        "/actor/alternateId",
        "/actor/displayName",
        "/actor/id",
        "/authenticationContext/externalSessionId",
        "/client/ipAddress",
        "/debugContext/debugData/deviceFingerprint",
        "/debugContext/debugData/dtHash",
        "/debugContext/debugData/url",
        "/request/ipChain/0/ip",
        "/transaction/detail/requestApiTokenId",
    } == set(sealed)


def test_two_spellings_of_a_login_are_one_person() -> None:
    assert event().actor == event(actor={**RECORD["actor"], "alternateId": "ada.winter@example.COM"}).actor


@pytest.mark.parametrize(
    ("actor", "name", "machine"),
    [
        ({"type": "SystemPrincipal", "id": "okta.1", "alternateId": "system@okta.com"}, "system@okta.com", True),
        ({"type": "PublicClientApp", "id": "0oa1", "alternateId": "unknown", "displayName": "SCIM"}, "0oa1", True),
        ({"type": "User", "id": "00u2", "alternateId": "unknown"}, "00u2", False),
        ({"type": "User", "id": "unknown", "alternateId": "unknown"}, None, False),
        (None, None, False),
    ],
)
def test_machines_are_actors_of_their_own_and_nobody_is_none(actor: object, name: str | None, machine: bool) -> None:
    got = event(actor=actor)
    assert got.actor == name
    assert got.details is not None
    assert ("actor_kind" in got.details) == machine


@pytest.mark.parametrize(
    ("result", "outcome"),
    [("SUCCESS", "success"), ("ALLOW", "success"), ("FAILURE", "failure"), ("DENY", "denied"),
     ("CHALLENGE", "challenge"), ("SKIPPED", "skipped"), (None, None)],
)  # fmt: skip
def test_outcomes(result: str | None, outcome: str | None) -> None:
    assert event(outcome={"result": result}).outcome == outcome


@pytest.mark.parametrize(
    ("target", "entity"),
    [
        ({"id": "00u9", "type": "User", "alternateId": "Bob@Example.com"}, ("user", "bob@example.com")),
        ({"id": "0oa9", "type": "AppInstance", "alternateId": "Payroll"}, ("app", "Payroll")),
        ({"id": "00g9", "type": "UserGroup", "alternateId": "unknown", "displayName": "Admins"}, ("group", "00g9")),
        ({"type": "URL Pattern", "id": "/api/v1/logs"}, ("url_pattern", "/api/v1/logs")),
    ],
)
def test_entities(target: dict[str, str], entity: tuple[str, str]) -> None:
    got = event(target=[target])
    assert (got.entity_type, got.entity_id) == entity


def test_an_event_of_the_organisation_without_target_is_about_it() -> None:
    got = event(eventType="system.org.rate_limit.warning")
    assert (got.entity_type, got.entity_id) == ("org", "okta")


def test_keys_in_lower_case_and_times_without_zone_come_from_lakes() -> None:
    lowered = {key.lower(): value for key, value in RECORD.items()} | {"published": "2026-05-04 03:02:01.125000000"}
    got = parse(msgspec.json.encode(lowered))
    assert (got.event_type, got.occurred_at, got.actor) == (event().event_type, event().occurred_at, event().actor)


@pytest.mark.parametrize(
    ("source", "column"),
    [("203.0.113.9:443", "203.0.113.9"), (None, "203.0.113.9"), ("[2001:db8::1]:1", "2001:db8::1")],
)
def test_addresses(source: str | None, column: str) -> None:
    assert event(client={"ipAddress": source}).ip_address == column


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"eventType": None}, "eventType: expected a text, got null"),
        ({"published": "soon"}, "published: expected a time"),
    ],
)
def test_faults_are_in_words(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        event(**changes)
