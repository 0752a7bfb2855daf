"""Reading over HTTP: filters, pages, proof state, names, and what each read leaves in the access log."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from test_server_running import EVENT, Api

from audit_pipelines.db.queries import query
from audit_pipelines.server import reading

pytest_plugins = ["test_server_running"]

EVENTS = "/api/audit/events"
STORY: list[dict[str, Any]] = [
    {
        "event_id": "1",
        "event_type": "user.login",
        "entity_type": "session",
        "entity_id": "s-1",
        "actor": "Alice Liddell",
        "outcome": "success",
        "ip_address": "198.51.100.7",
        "occurred_at": "2026-03-01T10:00:00Z",
        "action_details": {"note": "first\nlogin from Alice Liddell's laptop"},
    },
    {
        "event_id": "2",
        "event_type": "user.login",
        "entity_type": "session",
        "entity_id": "s-2",
        "actor": "bob",
        "outcome": "failure",
        "ip_address": "198.51.100.8",
        "user_agent": "curl/8",
        "occurred_at": "2026-03-01T11:00:00Z",
    },
    {
        "event_id": "3",
        "event_type": "record:Export",
        "entity_type": "patient",
        "entity_id": "Carol Danvers",
        "actor": "bob",
        "outcome": "success",
        "ip_address": "2001:db8:0:7::1",
        "occurred_at": "2026-03-02T10:00:00+02:00",
        "action_details": {"rows": 12_000, "reason": "quarterly review"},
    },
]


@pytest.fixture
def reader(api: Api, tenant_id: UUID) -> httpx.Client:
    assert api.client(tenant_id, "audit:write").post(f"{EVENTS}/batch", json=STORY).status_code == 201
    return api.client(tenant_id, "audit:read", subject="auditor@example.org")


def ids(client: httpx.Client, **parameters: Any) -> list[str]:
    response = client.get(EVENTS, params=parameters)
    assert response.status_code == 200, response.text
    return [event["event_id"] for event in response.json()["events"]]


def moment(number: int) -> str:
    return f"2026-03-01T10:{number // 60:02}:{number % 60:02}Z"


def access_log(api: Api, tenant_id: UUID) -> list[tuple[Any, ...]]:
    with api.installation.database.connect_admin() as conn:
        return conn.execute(
            "select action, filters, result_count, subject_ref from audit_access_log where tenant_id = %s "
            "order by access_id",
            [tenant_id],
        ).fetchall()


def as_superuser(api: Api, statement: bytes, *parameters: Any) -> None:
    with api.installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(statement, parameters)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["3", "2", "1"]),
        ({"order": "asc"}, ["1", "2", "3"]),
        ({"event_type": "user.login"}, ["2", "1"]),
        ({"entity_type": "patient"}, ["3"]),
        ({"entity_id": "s-1"}, ["1"]),
        ({"entity_id": "carol danvers"}, ["3"]),
        ({"actor": "bob"}, ["3", "2"]),
        ({"actor": " ALICE liddell"}, ["1"]),
        ({"actor": "nobody"}, []),
        ({"outcome": "failure"}, ["2"]),
        ({"ip_address": "198.51.100.7"}, ["1"]),
        ({"ip_address": "198.51.100.9"}, []),
        ({"ip_address": "198.51.100.0/24"}, ["2", "1"]),
        ({"ip_address": "198.51.100.200/24"}, ["2", "1"]),
        ({"ip_address": "198.51.101.0/24"}, []),
        ({"ip_address": "2001:db8:0::/48"}, ["3"]),
        ({"ip_address": "2001:DB8:0:7:0::1"}, ["3"]),
        ({"ip_address": "2001:db8:1::/48"}, []),
        ({"from": "2026-03-01T11:00:00Z"}, ["3", "2"]),
        ({"to": "2026-03-01T11:00:00Z"}, ["1"]),
        ({"from": "2026-03-02T08:00:00Z", "to": "2026-03-02T08:00:01Z"}, ["3"]),
        ({"q": "LOGIN"}, ["2", "1"]),
        ({"q": "quarterly"}, ["3"]),
        ({"q": "export review"}, ["3"]),
        ({"q": "curl/8"}, ["2"]),
        ({"q": "first"}, []),
        ({"q": "QUARTERLY, (review)!"}, ["3"]),
        ({"q": "quarter"}, []),
        ({"q": "überprüfung"}, []),
        ({"q": "outcome"}, []),
        ({"q": "liddell"}, []),
        ({"actor": "bob", "outcome": "success", "q": "12000"}, ["3"]),
        ({"limit": 2}, ["3", "2"]),
    ],
)
def test_filters(reader: httpx.Client, parameters: dict[str, Any], expected: list[str]) -> None:
    assert ids(reader, **parameters) == expected


def test_an_actor_by_reference(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    bob = str(api.installation.vault.find(tenant_id, "bob"))
    assert ids(reader, actor_ref=bob) == ids(reader, actor=bob) == ["3", "2"]
    assert ids(reader, actor_ref=bob, actor="Alice Liddell") == []


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_every_event_once(reader: httpx.Client, api: Api, tenant_id: UUID, order: str) -> None:
    writer = api.client(tenant_id, "audit:write")
    writer.post(f"{EVENTS}/batch", json=[EVENT] * 17)
    seen: list[int] = []
    parameters: dict[str, Any] = {"limit": 7, "order": order}
    while True:
        page = reader.get(EVENTS, params=parameters).json()
        seen += [event["seq"] for event in page["events"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
        if order == "desc":
            writer.post(EVENTS, json=EVENT)
    assert seen == sorted(range(20), reverse=order == "desc")


def test_a_page_of_large_events_ends_early(
    reader: httpx.Client, api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE_BYTES", 1_000)
    large = EVENT | {"action_details": {"text": "x" * 900}}
    api.client(tenant_id, "audit:write").post(f"{EVENTS}/batch", json=[large, large])
    page = reader.get(EVENTS, params={"limit": 5}).json()
    rest = reader.get(EVENTS, params={"limit": 5, "cursor": page["next_cursor"]}).json()
    assert [event["seq"] for event in page["events"]] == [4]
    assert [event["seq"] for event in rest["events"]] == [3]


def test_names_are_for_those_who_may_see_them(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    event = reader.get(EVENTS, params={"order": "asc"}).json()["events"][0]
    assert "actor" not in event
    assert "Liddell" not in json.dumps(event)
    assert "198.51.100" not in json.dumps(event)
    assert "$sealed" in event["details"]["note"]
    for permission in ("audit:privacy", "audit:admin"):
        shown = api.client(tenant_id, "audit:read", permission).get(EVENTS, params={"order": "asc"}).json()["events"]
        assert [event["actor"] for event in shown] == ["Alice Liddell", "bob", "bob"]
    with api.installation.database.connect_admin() as conn:
        conn.execute(
            "update audit_subjects set wrapped_key = null, erased_at = now() where actor_ref = %s", [event["actor_ref"]]
        )
    privileged = api.client(tenant_id, "audit:read", "audit:privacy").get(f"{EVENTS}/1").json()
    assert privileged["actor"] == "erased"


def test_two_tenants_never_see_each_other(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    stranger = api.client(uuid4())
    assert stranger.post(EVENTS, json=EVENT | {"event_id": "1"}).status_code == 201
    assert ids(stranger) == ["1"]
    assert stranger.get(f"{EVENTS}/1").json()["event_type"] == "test_event"
    assert reader.get(f"{EVENTS}/1").json()["event_type"] == "user.login"
    assert stranger.get(f"{EVENTS}/2").status_code == 404
    assert ids(stranger, actor="bob") == ids(stranger, q="login") == ids(stranger, ip_address="198.51.100.7") == []
    bob = str(api.installation.vault.find(tenant_id, "bob"))
    assert ids(stranger, actor_ref=bob) == []
    cursor = reader.get(EVENTS, params={"limit": 1}).json()["next_cursor"]
    assert ids(stranger, cursor=cursor) == ["1"]


def test_one_event_has_its_proof_state(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    event = reader.get(f"{EVENTS}/2").json()
    before = reader.get(f"{EVENTS}/1").json()
    assert event["proof"]["hash_ok"] is True
    assert event["proof"]["covered_by"] is None
    assert event["proof"]["prev_hash"] == before["row_hash"]
    assert event["anomalies"] == []
    assert set(event["tags"].values()) == {None}
    row_hash = bytes.fromhex(event["row_hash"])
    with api.installation.database.connect_admin() as conn:
        for size in (1, 2, 3):
            conn.execute(
                "insert into audit_checkpoints values (%s, %s, %s, %s, '', 'note', 'key', '2026-11-23T00:00:00Z')",
                [tenant_id, size, bytes(32), bytes(32)],
            )
        conn.execute(
            "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, event_type, score, "
            "severity, reasons, model_id, run_id) values "
            "(%s, 1, '2', %s, now(), 'x', 0.9, 'high', '[\"new network\"]', 'm', 'r')",
            [tenant_id, row_hash],
        )
        conn.execute(
            "insert into audit_embeddings (tenant_id, model, text_hash, text, embedding, category, "
            "category_confidence, risk, risk_confidence) "
            "values (%s, 'm', %s, 'log in', '[1,0]', 'authentication', 0.5, 'low', 0.25)",
            [tenant_id, bytes(32)],
        )
        conn.execute("insert into audit_event_texts values (%s, 1, %s)", [tenant_id, bytes(32)])
        conn.execute(
            "insert into audit_embedding_models (tenant_id, model, name, dimension, source, in_use) "
            "values (%s, 'm', 'm', 2, 'built in', true)",
            [tenant_id],
        )
    event = reader.get(f"{EVENTS}/2").json()
    assert event["proof"]["covered_by"] == {"size": 2, "sealed_at": "2026-11-23T00:00:00.000000Z"}
    [anomaly] = event["anomalies"]
    assert (anomaly["score"], anomaly["severity"], anomaly["reasons"]) == (0.9, "high", ["new network"])
    assert event["tags"] == {
        "category": "authentication",
        "category_confidence": 0.5,
        "risk": "low",
        "risk_confidence": 0.25,
    }


@pytest.mark.parametrize(
    "statement",
    [
        b"update audit_logs set event_type = 'user.logout' where seq = 1 and tenant_id = %s",
        b"update audit_logs set actor_ref = null where seq = 1 and tenant_id = %s",
        b"update audit_logs set occurred_at = occurred_at + interval '1 us' where seq = 1 and tenant_id = %s",
        b"update audit_logs set entry = overlay(entry placing 'x' from 30) where seq = 1 and tenant_id = %s",
        b"update audit_logs set entry = 'gone', entry_hash = sha256('gone') where seq = 1 and tenant_id = %s",
        b"update audit_logs set prev_hash = row_hash where seq = 1 and tenant_id = %s",
    ],
)
def test_a_changed_row_does_not_hash(api: Api, reader: httpx.Client, tenant_id: UUID, statement: bytes) -> None:
    assert reader.get(f"{EVENTS}/2").json()["proof"]["hash_ok"] is True
    as_superuser(api, statement, tenant_id)
    assert reader.get(f"{EVENTS}/2").json()["proof"]["hash_ok"] is False
    assert len(ids(reader)) == 3


@pytest.mark.parametrize("event_id", ["4", "%00", "..%2F1", "batch", "1/", "%F0%9D%95%8F", "x" * 5_000])
def test_what_is_not_there(reader: httpx.Client, event_id: str) -> None:
    response = reader.get(f"{EVENTS}/{event_id}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("event_id", ["batch", "a/b", "%41", "ä b?c#d", "x" * 200])
def test_ids_of_every_form_are_found(api: Api, reader: httpx.Client, tenant_id: UUID, event_id: str) -> None:
    created = api.client(tenant_id, "audit:write").post(EVENTS, json=EVENT | {"event_id": event_id})
    assert reader.get(created.headers["location"]).json()["event_id"] == event_id


def test_faults_in_the_query_are_named(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    response = reader.get(EVENTS, params={"limit": 5_000, "surprise": "1", "from": "today"})
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["faults"]] == ["/limit", "/surprise", "/from"]
    assert access_log(api, tenant_id) == []


def test_every_read_is_written_down_without_names(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    questions: list[dict[str, Any]] = [
        {},
        {"actor": "Alice Liddell"},
        {"actor": "Mallory Unknown"},
        {"ip_address": "198.51.100.7", "from": "2026-01-01T00:00:00Z"},
        {"q": "liddell"},
        {"ip_address": "198.51.100.0/24"},
        {"entity_id": "Carol Danvers", "entity_type": "patient"},
        {"event_type": "mallory unknown"},
        {"event_type": "user.login", "limit": 1},
    ]
    for question in questions:
        reader.get(EVENTS, params=question)
    reader.get(f"{EVENTS}/2")
    reader.get(f"{EVENTS}/mallory")
    log = access_log(api, tenant_id)
    assert [row[2] for row in log] == [3, 1, 0, 1, 0, 2, 1, 0, 1, 1, 0]
    assert {row[3] for row in log} == {api.installation.vault.find(tenant_id, "auditor@example.org")}
    assert [row[0] for row in log] == ["events.list"] * 9 + ["events.show"] * 2
    alice, carol = (str(api.installation.vault.find(tenant_id, name)) for name in ("Alice Liddell", "Carol Danvers"))
    assert log[1][1]["actor_ref"] == alice
    assert log[6][1]["entity_id"] == carol
    assert log[8][1]["event_type"] == "user.login"
    assert log[9][1] == {"event_id": "2"}
    written = json.dumps([row[1] for row in log]).casefold()
    for clear in ("liddell", "mallory", "carol", "198.51", "auditor"):
        assert clear not in written


def test_the_index_is_found_behind_optional_filters(api: Api, tenant_id: UUID) -> None:
    actors = [f"actor-{number}" for number in range(100)]
    for start in range(0, 3_000, 1_000):
        events = [EVENT | {"actor": actors[n % 100], "occurred_at": moment(n)} for n in range(start, start + 1_000)]
        assert api.client(tenant_id, "audit:write").post(f"{EVENTS}/batch", json=events).status_code == 201
    with api.installation.database.connect_admin() as conn:
        conn.execute("analyze audit_logs")
    nothing = dict.fromkeys(
        (
            "event_type",
            "entity_type",
            "entity_ids",
            "actor_ref",
            "outcome",
            "ip_index",
            "since",
            "until",
            "q",
            "pieces",
            "cursor",
        )
    )
    common = nothing | {"with_accesses": False, "newest": True, "limit": 50, "max_bytes": 1_000_000}
    actor_ref = api.installation.vault.find(tenant_id, "actor-7")
    for asked, condition in (
        ({"actor_ref": actor_ref}, "actor_ref = "),
        ({"cursor": 2_000}, "seq < "),
        ({"since": "2026-03-01T10:49:55Z"}, "occurred_at >= "),
    ):
        with api.installation.database.tenant_connection(tenant_id) as conn:
            rows = conn.execute(b"explain " + query("server/select_events"), common | asked, prepare=False).fetchall()
        plan = "\n".join(line for (line,) in rows)
        assert any("Index Cond" in line and "tenant_id = " in line and condition in line for (line,) in rows), plan
