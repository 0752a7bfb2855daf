"""The Kubernetes mapping, on audit events written for these tests after the API's documentation."""

import base64
from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.kubernetes import parse
from audit_pipelines.ledger.event import Event

PASSWORD = base64.b64encode(b"made-up").decode()
RECORD: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "RequestResponse",
    "auditID": "b1c6a0de-0000-4000-8000-000000000001",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/shop/pods/web-0/exec?command=sh",
    "verb": "create",
    "user": {"username": "Ada@Example.com", "uid": "u-1", "groups": ["system:authenticated"]},
    "sourceIPs": ["203.0.113.9"],
    "userAgent": "kubectl/v1.31",
    "objectRef": {"resource": "pods", "namespace": "shop", "name": "web-0", "apiVersion": "v1", "subresource": "exec"},
    "responseStatus": {"metadata": {}, "code": 101},
    "requestReceivedTimestamp": "2026-05-04T03:02:01.125000Z",
    "stageTimestamp": "2026-05-04T03:02:02.000000Z",
    "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
}


def event(**changes: Any) -> Event:
    return parse(msgspec.json.encode({key: value for key, value in {**RECORD, **changes}.items() if value is not ...}))


def test_columns() -> None:
    got = event()
    assert (got.event_type, got.actor) == ("kubernetes:create:pods/exec", "ada@example.com")
    assert (got.entity_type, got.entity_id) == ("pods", "shop/web-0")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "203.0.113.9", "kubectl/v1.31")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01.125000+00:00"


def test_the_stages_of_one_request_are_events_of_their_own() -> None:
    assert event().event_id == f"{RECORD['auditID']}/ResponseComplete"
    assert event(stage="RequestReceived").event_id == f"{RECORD['auditID']}/RequestReceived"
    assert event(auditID=...).event_id is None


@pytest.mark.parametrize(
    ("user", "name", "machine"),
    [
        ({"username": "system:serviceaccount:shop:web"}, "system:serviceaccount:shop:web", True),
        ({"username": "system:node:n1", "groups": ["system:nodes"]}, "system:node:n1", True),
        ({"username": "eks:authenticator"}, "eks:authenticator", True),
        ({"username": "deployer", "groups": ["system:serviceaccounts"]}, "deployer", True),
        ({"username": "system:anonymous"}, "system:anonymous", False),
        (
            {"username": "kubernetes-admin", "extra": {"canonicalArn": ["arn:aws:iam::111122223333:role/ops"]}},
            "arn:aws:iam::111122223333:role/ops",
            False,
        ),
        ({}, None, False),
    ],
)
def test_machines_make_most_of_the_volume_and_are_recognisable(user: Any, name: str | None, machine: bool) -> None:
    got = event(user=user)
    assert got.actor == name
    assert got.details is not None
    assert (got.details.get("actor_kind") == "machine") == machine


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"responseStatus": {"code": 200}}, "success"),
        ({"responseStatus": {"code": 403, "status": "Failure"}}, "denied"),
        ({"responseStatus": {"code": 401}}, "denied"),
        ({"responseStatus": {"code": 409}}, "failure"),
        ({"responseStatus": ..., "annotations": {"authorization.k8s.io/decision": "forbid"}}, "denied"),
        ({"responseStatus": ..., "stage": "Panic"}, "failure"),
        ({"responseStatus": ..., "stage": "RequestReceived"}, None),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str | None) -> None:
    assert event(**changes).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "event_type", "entity"),
    [
        (
            {"verb": "list", "objectRef": {"resource": "secrets", "namespace": "shop"}},
            "kubernetes:list:secrets",
            ("namespaces", "shop"),
        ),
        ({"verb": "list", "objectRef": {"resource": "nodes"}}, "kubernetes:list:nodes", ("nodes", "*")),
        (
            {"objectRef": {"resource": "pods", "namespace": "shop"}, "responseObject": {"metadata": {"name": "job-x"}}},
            "kubernetes:create:pods",
            ("pods", "shop/job-x"),
        ),
        (
            {"verb": "impersonate", "objectRef": {"resource": "users", "name": "Bob@Example.com"}},
            "kubernetes:impersonate:users",
            ("user", "bob@example.com"),
        ),
        (
            {"verb": "get", "objectRef": ..., "requestURI": "/healthz/etcd?verbose"},
            "kubernetes:get:/healthz",
            ("path", "/healthz/etcd"),
        ),
    ],
)
def test_entities(changes: dict[str, Any], event_type: str, entity: tuple[str, str]) -> None:
    got = event(**changes)
    assert (got.event_type, (got.entity_type, got.entity_id)) == (event_type, entity)


def test_what_a_secret_holds_is_sealed_base64_and_copies_included() -> None:
    copy = '{"apiVersion":"v1","data":{"password":"' + PASSWORD + '"},"kind":"Secret"}'
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {
            "name": "db",
            "namespace": "shop",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy},
        },
        "type": "Opaque",
        "data": {"password": PASSWORD, "note/1": PASSWORD},
        "stringData": {"other": "made-up"},
    }
    got = event(objectRef={"resource": "secrets", "name": "db", "namespace": "shop"}, requestObject=secret)
    assert {one for one in got.sealed_fields if one.startswith("/requestObject")} == {
        "/requestObject/data/password",
        "/requestObject/data/note~11",
        "/requestObject/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        "/requestObject/stringData/other",
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([{"op": "replace", "path": "/data/password", "value": PASSWORD}], "/requestObject/0/value"),
        ({"data": {"password": PASSWORD}}, "/requestObject/data/password"),
        ({"kind": "SecretList", "items": [{"data": {"x": PASSWORD}}]}, "/requestObject/items/0/data/x"),
    ],
)
def test_patches_and_lists_of_secrets_are_sealed(body: object, pointer: str) -> None:
    assert pointer in event(verb="patch", objectRef={"resource": "secrets"}, requestObject=body).sealed_fields


def test_tokens_headers_and_variables_are_sealed_elsewhere_too() -> None:
    pod = {
        "spec": {
            "containers": [
                {
                    "env": [{"name": "DB_PASSWORD", "value": "made-up"}, {"name": "MODE", "value": "fast"}],
                    "command": ["curl", "-H", "Authorization: Bearer abcdefghijk", "http://x"],
                }
            ]
        }
    }
    got = event(requestObject=pod)
    assert "/requestObject/spec/containers/0/env/0/value" in got.sealed_fields
    assert "/requestObject/spec/containers/0/env/1/value" not in got.sealed_fields
    assert "/requestObject/spec/containers/0/command/2" in got.sealed_fields
    asked = event(
        objectRef={"resource": "serviceaccounts", "subresource": "token", "name": "web", "namespace": "shop"},
        responseObject={"kind": "TokenRequest", "status": {"token": "eyJ"}},
    )
    assert "/responseObject/status/token" in asked.sealed_fields


def test_what_azure_wraps_is_the_same_event() -> None:
    wrapped = {"category": "kube-audit-admin", "properties": {"log": msgspec.json.encode(RECORD).decode(), "pod": "x"}}
    assert parse(msgspec.json.encode(wrapped)) == event()


@pytest.mark.parametrize("record", [{"verb": 7}, {"verb": "get"}, {"user": {}, "objectRef": {}}])
def test_what_is_no_audit_event_is_refused_in_words(record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"expected an event of audit\.k8s\.io"):
        parse(msgspec.json.encode(record))


def test_several_addresses_stay_in_the_details() -> None:
    got = event(sourceIPs=["203.0.113.9", "10.0.0.1"])
    assert (got.ip_address, got.details and got.details["sourceIPs"]) == ("203.0.113.9", ["203.0.113.9", "10.0.0.1"])
    assert {"/sourceIPs/0", "/sourceIPs/1"} <= set(got.sealed_fields)
    assert event(sourceIPs=None).ip_address is None
