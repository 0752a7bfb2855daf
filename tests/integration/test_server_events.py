"""Appending over HTTP: what is stored, what is refused, and that what is refused leaves nothing behind."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_server_running import EVENT, Api

pytest_plugins = ["test_server_running"]

EVENTS = "/api/audit/events"
BATCH = "/api/audit/events/batch"


@pytest.fixture
def writer(api: Api, tenant_id: UUID) -> httpx.Client:
    return api.client(tenant_id, "audit:write", "audit:read")


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def batch(count: int) -> list[dict[str, Any]]:
    return [EVENT | {"event_id": f"e-{number}"} for number in range(count)]


def pointers(response: httpx.Response) -> list[str]:
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert set(document) >= {"type", "title", "status", "detail"}
    assert document["status"] == response.status_code
    return [fault["pointer"] for fault in document.get("faults", [])]


def test_the_example_of_the_checklist_gets_a_receipt(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    response = writer.post(EVENTS, json=EVENT)
    receipt = response.json()
    assert response.status_code == 201
    assert set(receipt) == {"event_id", "seq", "recorded_at", "entry_hash", "prev_hash", "row_hash", "duplicate"}
    assert (receipt["seq"], receipt["duplicate"]) == (0, False)
    with api.installation.database.connect_admin() as conn:
        [row] = conn.execute(
            "select event_id, entry, encode(row_hash, 'hex'), to_char(recorded_at at time zone 'UTC', "
            """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') from audit_logs where tenant_id = %s""",
            [tenant_id],
        ).fetchall()
    assert (receipt["event_id"], receipt["row_hash"], receipt["recorded_at"]) == (row[0], row[2], row[3])
    assert hashlib.sha256(row[1]).hexdigest() == receipt["entry_hash"]
    shown = writer.get(response.headers["location"]).json()
    assert shown["details"] == {"test": True}
    assert shown["actor_ref"] == str(api.installation.vault.find(tenant_id, "service-account"))


def test_links_follow_each_other(writer: httpx.Client) -> None:
    first, second = (writer.post(EVENTS, json=EVENT).json() for _ in range(2))
    assert (second["seq"], second["prev_hash"]) == (first["seq"] + 1, first["row_hash"])


def test_the_same_event_again_has_its_first_receipt(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    event = EVENT | {"event_id": "mine/1 ä?#"}
    first = writer.post(EVENTS, json=event)
    again = writer.post(EVENTS, json=event)
    other = writer.post(EVENTS, json=event | {"outcome": "failure"})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == first.json() | {"duplicate": True}
    assert pointers(other) == ["/event_id"]
    assert writer.get(first.headers["location"]).json()["event_id"] == "mine/1 ä?#"
    assert api.count(tenant_id) == 1


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        pytest.param(b'{"event_type": ', 400, [""], id="broken"),
        pytest.param(b"", 400, [""], id="empty"),
        pytest.param(b"[]", 422, [""], id="array"),
        pytest.param(b"{}", 422, ["/event_type", "/entity_type", "/entity_id"], id="missing"),
        pytest.param(
            json.dumps({"event_type": 1, "entity_type": [], "entity_id": {}, "action_details": "x"}).encode(),
            422,
            ["/event_type", "/entity_type", "/entity_id", "/action_details"],
            id="wrong types",
        ),
        pytest.param(
            json.dumps(EVENT | {"surprise": 1, "user": {}}).encode(), 422, ["/surprise", "/user"], id="unknown"
        ),
        pytest.param(json.dumps(EVENT | {"ip_address": "1.2.3"}).encode(), 422, ["/ip_address"], id="address"),
        pytest.param(
            json.dumps(EVENT | {"action_details": {"n": 1}}).encode().replace(b"1}", b"1e400}"),
            422,
            ["/action_details"],
            id="n",
        ),
        pytest.param(json.dumps(EVENT | {"action_details": {"n": "x" * 5_000_000}}).encode(), 413, [], id="5 MB"),
        pytest.param(
            json.dumps(EVENT | {"action_details": {"n": "x" * 1_500_000}}).encode(),
            422,
            [""],
            id="over 1 MB of details",
        ),
    ],
)
def test_faults_are_named_and_nothing_is_stored(  # noqa: PLR0917 - pytest calls it by name
    api: Api, writer: httpx.Client, tenant_id: UUID, content: bytes, status: int, expected: list[str]
) -> None:
    response = writer.post(EVENTS, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert pointers(response) == expected
    assert api.count(tenant_id) == 0


def test_a_large_body_without_a_length_is_cut_off(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"event_type":"'
        for _ in range(500):
            yield b"x" * 10_000

    response = writer.post(EVENTS, content=chunks(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert pointers(response) == []
    assert api.count(tenant_id) == 0


def test_other_media_types_are_refused(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    for path in (EVENTS, BATCH):
        response = writer.post(path, data={"event_type": "x"})
        assert response.status_code == 415
    assert writer.post(EVENTS, content=b"{}").status_code == 415
    assert api.count(tenant_id) == 0


def test_who_may_not_write_stores_nothing(api: Api, tenant_id: UUID) -> None:
    reader = api.client(tenant_id, "audit:read", "audit:admin", "audit:export")
    assert reader.post(EVENTS, json=EVENT).status_code == 403
    assert reader.post(BATCH, json=[EVENT]).status_code == 403
    assert api.anonymous().post(EVENTS, json=EVENT).status_code == 401
    assert api.anonymous(Authorization="Bearer x.y.z").post(BATCH, json=[EVENT]).status_code == 401
    assert api.client(tenant_id, "audit:write").get(EVENTS).status_code == 403
    assert api.count(tenant_id) == 0


def test_a_tampered_tenant_reaches_nobody(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    header, payload, signature = writer.headers["authorization"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"tenant_id": str(uuid4())}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    thief = api.anonymous(Authorization=f"{header}.{forged}.{signature}")
    assert thief.post(EVENTS, json=EVENT).status_code == 401
    assert api.count(UUID(claims["tenant_id"])) == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_event_cannot_be_changed(api: Api, tenant_id: UUID, method: str) -> None:
    client = api.client(tenant_id)
    location = client.post(EVENTS, json=EVENT).headers["location"]
    for path in (EVENTS, location):
        response = client.request(method, path, json=EVENT)
        assert response.status_code == 405
        assert "GET" in response.headers["allow"]
    assert api.anonymous().request(method, location, json=EVENT).status_code == 401
    assert client.get(location).json()["details"] == {"test": True}


@pytest.mark.parametrize("form", ["array", "lines", "gzip array", "gzip lines"])
def test_a_batch_in_every_form(api: Api, writer: httpx.Client, tenant_id: UUID, form: str) -> None:
    events = batch(1_500)
    content = lines(events) if "lines" in form else json.dumps(events).encode()
    headers = {"Content-Type": "application/x-ndjson" if "lines" in form else "application/json"}
    if "gzip" in form:
        content, headers["Content-Encoding"] = gzip.compress(content), "gzip"
    first = writer.post(BATCH, content=content, headers=headers)
    again = writer.post(BATCH, content=content, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    last = writer.get(EVENTS, params={"limit": 1}).json()["events"][0]
    expected = {"first_seq": 0, "last_seq": 1_499, "row_hash": last["row_hash"]}
    assert first.json() == {"accepted": 1_500, "duplicates": 0} | expected
    assert again.json() == {"accepted": 0, "duplicates": 1_500} | expected
    assert api.count(tenant_id) == 1_500


def test_a_batch_is_stored_whole_or_not_at_all(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    faulty = [*batch(3), EVENT | {"outcome": 1}, EVENT | {"ip_address": "x", "surprise": 1}, 7]
    response = writer.post(BATCH, json=faulty)
    assert response.status_code == 422
    assert pointers(response) == ["/3/outcome", "/4/ip_address", "/4/surprise", "/5"]
    as_lines = writer.post(BATCH, content=lines(batch(2)) + b"\n{", headers={"Content-Type": "application/x-ndjson"})
    assert (as_lines.status_code, pointers(as_lines)) == (400, ["/2"])
    clash = writer.post(BATCH, json=[*batch(2), EVENT | {"event_id": "e-1", "outcome": "other"}])
    assert (clash.status_code, pointers(clash)) == (409, ["/2/event_id"])
    assert api.count(tenant_id) == 0
    assert api.count(tenant_id, "audit_event_ids") == 0


@pytest.mark.parametrize(("count", "status"), [(0, 422), (10_001, 413)])
def test_a_batch_has_its_limits(api: Api, writer: httpx.Client, tenant_id: UUID, count: int, status: int) -> None:
    as_lines = {"Content-Type": "application/x-ndjson"}
    assert writer.post(BATCH, json=[EVENT] * count).status_code == status
    assert writer.post(BATCH, content=lines([EVENT] * count), headers=as_lines).status_code == status
    assert api.count(tenant_id) == 0


def test_a_bomb_is_refused(api: Api, writer: httpx.Client, tenant_id: UUID) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b'[{"event_type":"' + b"x" * 64_000_000)
    assert writer.post(BATCH, content=bomb, headers=headers).status_code == 413
    assert writer.post(EVENTS, content=gzip.compress(json.dumps(EVENT).encode()), headers=headers).status_code == 415
    assert api.count(tenant_id) == 0


texts = st.text(max_size=20) | st.sampled_from(
    ["'; drop table audit_logs; --", "=cmd|' /C calc'!A0", "../../x", "<b>", "𝕏"]
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["event_type", "entity_type", "entity_id", "actor", "outcome", "user_agent", "event_id"])


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changed=st.dictionaries(names, texts, max_size=3), details=st.dictionaries(texts, values, max_size=3))
def test_any_value_comes_back_exactly_or_is_refused(
    writer: httpx.Client, changed: dict[str, str], details: dict[str, Any]
) -> None:
    event = EVENT | changed | {"action_details": details}
    response = writer.post(EVENTS, content=json.dumps(event), headers={"Content-Type": "application/json"})
    assert response.status_code in {200, 201, 409, 422}
    if response.status_code != 201:
        assert response.status_code == 200 or pointers(response)
        return
    [shown] = writer.get(EVENTS, params={"limit": 1}).json()["events"]
    assert shown["event_id"] == response.json()["event_id"]
    assert shown["event_type"] == event["event_type"]
    # What names the actor is sealed; the rest must be what was sent.
    if "actor" not in changed:
        assert shown["details"] == details
        assert shown["entity_id"] == event["entity_id"]
