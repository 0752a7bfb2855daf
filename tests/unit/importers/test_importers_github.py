"""The GitHub mapping, on records written for these tests after the product's documentation."""

from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.github import parse
from audit_pipelines.ledger.event import Event

RECORD: dict[str, Any] = {
    "@timestamp": 1777863721125,
    "_document_id": "xJJFlFOhQ6b-5vaAFy9Rjw",
    "action": "repo.add_member",
    "actor": "Ada-Winter",
    "actor_id": 8101,
    "actor_ip": "203.0.113.9",
    "actor_is_bot": False,
    "actor_location": {"country_code": "AT"},
    "created_at": 1777863721125,
    "external_identity_nameid": "ada.winter@example.com",
    "hashed_token": "u2fMade+Up=",
    "token_id": 77,
    "token_scopes": "repo",
    "programmatic_access_type": "Personal access token (classic)",
    "org": "acme",
    "repo": "acme/ledger",
    "user": "Bob",
    "user_agent": "git/2.45",
    "visibility": "private",
}


def event(**changes: Any) -> Event:
    return parse(msgspec.json.encode({key: value for key, value in {**RECORD, **changes}.items() if value is not ...}))


def test_columns() -> None:
    got = event()
    assert (got.event_id, got.event_type, got.actor) == (RECORD["_document_id"], "repo.add_member", "ada-winter")
    assert (got.entity_type, got.entity_id) == ("user", "bob")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "203.0.113.9", "git/2.45")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01.125000+00:00"


def test_tokens_and_identities_are_sealed() -> None:
    assert set(event().sealed_fields) == {
        "/actor",
        "/actor_id",
        "/actor_ip",
        "/external_identity_nameid",
        "/hashed_token",
        "/token_id",
        "/user",
    }


@pytest.mark.parametrize(
    ("changes", "entity"),
    [
        ({"action": "protected_branch.destroy", "user": ...}, ("repository", "acme/ledger")),
        ({"action": "team.destroy", "team": "acme/ops"}, ("team", "acme/ops")),
        ({"action": "org.update_member", "repo": ...}, ("user", "bob")),
        ({"action": "org.disable_two_factor_requirement", "repo": ..., "user": ...}, ("organization", "acme")),
        ({"action": "business.disable_saml", "business": "acme-corp", "user": ...}, ("enterprise", "acme-corp")),
        ({"action": "hook.create", "hook_id": 5, "user": ...}, ("hook", "5")),
        ({"action": "git.clone", "repository": "acme/x", "repo": ..., "user": ...}, ("repository", "acme/x")),
        ({"action": "x.y", "org": ..., "repo": ..., "user": ...}, ("activity", "x.y")),
    ],
)
def test_entities(changes: dict[str, Any], entity: tuple[str, str]) -> None:
    got = event(**changes)
    assert (got.entity_type, got.entity_id) == entity


@pytest.mark.parametrize(
    ("changes", "machine"),
    [
        ({"actor": "dependabot[bot]", "actor_is_bot": ...}, True),
        ({"actor": "build-robot", "actor_is_bot": True}, True),
        ({"actor": "github-actions"}, True),
        ({}, False),
    ],
)
def test_bots_are_recognisable(changes: dict[str, Any], machine: bool) -> None:
    got = event(**changes)
    assert got.details is not None
    assert (got.details.get("actor_kind") == "machine") == machine


@pytest.mark.parametrize(
    ("action", "outcome"),
    [("repo.create", "success"), ("user.failed_login", "failure"), ("org.sso_response_error", "failure"),
     ("personal_access_token.request_denied", "denied")],
)  # fmt: skip
def test_outcomes(action: str, outcome: str) -> None:
    assert event(action=action).outcome == outcome


PAYLOAD: dict[str, Any] = {
    "action": "added",
    "member": {"login": "Bob", "id": 9},
    "repository": {"full_name": "acme/ledger"},
    "organization": {"login": "acme"},
    "sender": {"login": "Ada-Winter", "id": 8101, "type": "User"},
}


def test_a_webhooks_delivery() -> None:
    got = parse(
        msgspec.json.encode(
            {
                "id": 12345678,
                "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
                "delivered_at": "2026-05-04T03:02:01Z",
                "event": "member",
                "action": "added",
                "request": {"headers": {"X-Hub-Signature-256": "sha256=00"}, "payload": PAYLOAD},
            }
        )
    )
    assert (got.event_id, got.event_type) == ("0b989ba4-242f-11e5-81e1-c7b6966d2516", "member.added")
    assert (got.actor, got.entity_type, got.entity_id) == ("ada-winter", "user", "bob")
    assert got.occurred_at is not None
    assert "/request/headers/X-Hub-Signature-256" in got.sealed_fields


def test_a_webhooks_bare_payload() -> None:
    got = parse(msgspec.json.encode({**PAYLOAD, "sender": {"login": "renovate[bot]", "type": "Bot"}}))
    assert (got.event_type, got.actor, got.occurred_at) == ("member.added", "renovate[bot]", None)
    assert got.details is not None
    assert got.details["actor_kind"] == "machine"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ({"actor": "x"}, "action: expected a text, got null"),
        ({"action": "x", "@timestamp": "soon"}, "@timestamp: expected a time"),
        ({"sender": {"login": "x"}, "action": "done"}, "expected a GitHub webhook that says what it is"),
    ],
)
def test_faults_are_in_words(record: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        parse(msgspec.json.encode(record))
