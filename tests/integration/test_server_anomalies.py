"""Anomalies, incidents, verdicts and suppressions over HTTP: filters, pages, names, refusals, and the access log."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from test_server_running import Api

from audit_pipelines.derive.incidents import update_incidents
from audit_pipelines.feedback.verdicts import MOST_PER_HOUR
from audit_pipelines.ledger.event import Event

pytest_plugins = ["test_server_running"]

ANOMALIES = "/api/audit/anomalies"
INCIDENTS = "/api/audit/incidents"
SUPPRESSIONS = "/api/audit/suppressions"
ALICE, BOB, ANN = "Alice Liddell", "bob", "ann@example.org"


@pytest.fixture
def odd(api: Api, tenant_id: UUID) -> Api:
    """Four anomalies: two of Alice's within minutes, one of Bob's a day later, one of nobody's."""
    installation = api.installation
    events = [Event(event_type="a.b", entity_type="c", entity_id="d", actor=who) for who in (ALICE, ALICE, BOB, None)]
    installation.ledger.append(tenant_id, events)
    grades = (("medium", 0.75), ("high", 0.9), ("critical", 0.99), ("medium", 0.71))
    with installation.database.connection("audit_pipeline") as conn:
        for seq, (severity, score) in enumerate(grades):
            conn.execute(
                "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, "
                "score, severity, meaning, reasons, compared_with, model_id, run_id) select tenant_id, seq, event_id, "
                "row_hash, '2026-11-20T10:00:00Z'::timestamptz + %s * interval '1 minute', actor_ref, event_type, %s, "
                "%s, 'signs in', %s, '[]', 'm', 'r' from audit_logs where tenant_id = %s and seq = %s",
                [(0, 5, 1440, 0)[seq], score, severity, '[{"text": "first of its kind"}]', tenant_id, seq],
            )
    update_incidents(installation, run_id="test")
    return api


def seqs(client: httpx.Client, **parameters: Any) -> list[int]:
    answer = client.get(ANOMALIES, params=parameters)
    assert answer.status_code == 200, answer.text
    return [one["seq"] for one in answer.json()["anomalies"]]


def ids(client: httpx.Client) -> dict[int, str]:
    return {one["seq"]: one["anomaly_id"] for one in client.get(ANOMALIES).json()["anomalies"]}


def test_filters_and_pages(odd: Api, tenant_id: UUID) -> None:
    reader = odd.client(tenant_id, "audit:read")
    incident = next(one for one in reader.get(INCIDENTS).json()["incidents"] if one["anomalies"] == 2)["incident_id"]
    asked: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [3, 2, 1, 0]),
        ({"order": "asc"}, [0, 1, 2, 3]),
        ({"severity": "medium"}, [3, 0]),
        ({"min_score": "0.9"}, [2, 1]),
        ({"actor": ALICE}, [1, 0]),
        ({"actor": "stranger"}, []),
        ({"incident": incident}, [1, 0]),
        ({"incident": str(uuid4())}, []),
        ({"verdict": "none"}, [3, 2, 1, 0]),
        ({"verdict": "benign"}, []),
        ({"suppressed": "true"}, []),
        ({"from": "2026-11-20T10:01:00Z", "to": "2026-11-20T12:00:00Z"}, [1]),
    ]
    for parameters, expected in asked:
        assert seqs(reader, **parameters) == expected, parameters
    first = reader.get(ANOMALIES, params={"limit": 3}).json()
    assert (first["total"], first["suppressed"]) == (4, 0)
    assert seqs(reader, limit=3, cursor=first["next_cursor"]) == [0]
    wrong = {"severity": "worst", "min_score": "2", "incident": "x", "verdict": "maybe", "event_type": "a.b"}
    answer = reader.get(ANOMALIES, params=wrong)
    assert answer.status_code == 422
    assert {fault["pointer"] for fault in answer.json()["faults"]} == {f"/{name}" for name in wrong}

    page = reader.get(INCIDENTS, params={"limit": 2}).json()
    rest = reader.get(INCIDENTS, params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [len(page["incidents"]), len(rest["incidents"]), rest["next_cursor"]] == [2, 1, None]
    assert reader.get(INCIDENTS, params={"state": "merged"}).json()["incidents"] == []
    assert [one["severity"] for one in reader.get(INCIDENTS, params={"min_score": "0.95"}).json()["incidents"]] == [
        "critical"
    ]


def test_names_are_for_those_who_may_see_them(odd: Api, tenant_id: UUID) -> None:
    reader, officer = odd.client(tenant_id, "audit:read"), odd.client(tenant_id, "audit:read", "audit:privacy")
    for path, name in ((ANOMALIES, "anomalies"), (INCIDENTS, "incidents")):
        for each in reader.get(path).json()[name]:
            assert "actor" not in each
        assert {one["actor"] for one in officer.get(path).json()[name]} == {ALICE, BOB, None}
    anomaly = ids(reader)[0]
    shown = officer.get(f"{ANOMALIES}/{anomaly}").json()
    assert (shown["actor"], shown["compared_with"], shown["verdicts"]) == (ALICE, [], [])
    incident = officer.get(f"{INCIDENTS}/{shown['incident_id']}").json()
    assert incident["title"] == "2 odd events in 5 minutes: signs in"
    assert [one["seq"] for one in incident["members"]] == [0, 1]
    assert [step["text"] for step in incident["story"]] == ["2 times `a.b`, which signs in: first of its kind"]
    assert ALICE not in reader.get(f"{INCIDENTS}/{shown['incident_id']}").text
    with odd.installation.database.connect_admin() as conn:
        logged = conn.execute("select action, filters from audit_access_log order by access_id").fetchall()
    assert logged[-2:] == [
        ("incidents.show", {"incident_id": shown["incident_id"]}),
        ("incidents.show", {"incident_id": shown["incident_id"]}),
    ]
    for path in (f"{ANOMALIES}/{uuid4()}", f"{ANOMALIES}/x", f"{INCIDENTS}/{uuid4()}", f"{INCIDENTS}/x"):
        assert reader.get(path).status_code == 404


def test_a_verdict_is_kept_shown_and_settles_the_anomaly(odd: Api, tenant_id: UUID) -> None:
    analyst = odd.client(tenant_id, "audit:read", "audit:sign", "audit:privacy", subject=ANN)
    anomaly = ids(analyst)[0]
    answer = analyst.post(f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "benign", "comment": "ticket 7"})
    assert (answer.status_code, answer.json()["verdict"]) == (201, "benign")
    (said,) = analyst.get(f"{ANOMALIES}/{anomaly}").json()["verdicts"]
    assert (said["verdict"], said["comment"], said["given_by_name"], said["counts"]) == (
        "benign",
        "ticket 7",
        ANN,
        True,
    )
    assert seqs(analyst, verdict="benign") == [0]
    # The word stands in the ledger too.
    event = analyst.get("/api/audit/events", params={"event_type": "audit.anomaly.judged"}).json()["events"][0]
    assert (event["seq"], event["entity_id"], event["details"]["verdict"]) == (said["seq"], anomaly, "benign")
    # Nobody else can say such a thing there.
    forged = {"event_type": "audit.anomaly.judged", "entity_type": "audit_anomaly", "entity_id": anomaly}
    assert odd.client(tenant_id).post("/api/audit/events", json=forged).status_code == 422

    refused: list[tuple[str, dict[str, Any], int]] = [
        (anomaly, {"verdict": "maybe"}, 422),
        (anomaly, {"verdict": "benign", "comment": ""}, 422),
        (anomaly, {"verdict": "benign", "comment": "a\nb"}, 422),
        (anomaly, {"verdict": "benign", "comment": f"it was {ALICE}"}, 422),
        (anomaly, {"verdict": "benign", "more": 1}, 422),
        (str(uuid4()), {"verdict": "benign"}, 404),
        ("x", {"verdict": "benign"}, 404),
    ]
    for where, body, status in refused:
        assert analyst.post(f"{ANOMALIES}/{where}/feedback", json=body).status_code == status, body
    own = odd.client(tenant_id, "audit:sign", subject=ALICE).post(
        f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "false_positive"}
    )
    assert (own.status_code, own.json()["type"]) == (403, "urn:audit-pipelines:problem:own-event")
    reader = odd.client(tenant_id, "audit:read")
    assert reader.post(f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "benign"}).status_code == 403


def test_whoever_says_too_much_is_asked_to_wait(odd: Api, tenant_id: UUID) -> None:
    analyst = odd.client(tenant_id, "audit:read", "audit:sign", subject=ANN)
    anomaly = ids(analyst)[2]
    assert analyst.post(f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "benign"}).status_code == 201
    with odd.installation.database.connect_admin() as conn:
        conn.execute(
            "insert into audit_verdicts (tenant_id, anomaly_id, seq, event_row_hash, event_type, score, verdict, "
            "given_by, ledger_seq, ledger_row_hash) select tenant_id, anomaly_id, seq, event_row_hash, event_type, "
            "score, verdict, given_by, ledger_seq, ledger_row_hash from audit_verdicts, generate_series(2, %s)",
            [MOST_PER_HOUR],
        )
    answer = analyst.post(f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "benign"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    other = odd.client(tenant_id, "audit:sign", subject="ben@example.org")
    assert other.post(f"{ANOMALIES}/{anomaly}/feedback", json={"verdict": "true_positive"}).status_code == 201


def test_suppressions_are_placed_listed_and_ended(odd: Api, tenant_id: UUID) -> None:
    admin = odd.client(tenant_id, "audit:read", "audit:admin", subject=ANN)
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    body = {"user_id": BOB, "network": "192.0.2.77/24", "reason": "a known scanner", "ends_at": soon}
    placed = admin.post(SUPPRESSIONS, json=body)
    assert (placed.status_code, placed.json()["in_force"]) == (201, True)
    assert len(placed.json()["network_index"]) == 16
    assert "192.0.2" not in placed.text
    listed = admin.get(SUPPRESSIONS).json()
    assert [(one["actor"], one["placed_by_name"]) for one in listed["suppressions"]] == [(BOB, ANN)]
    assert (listed["alert_threshold"], listed["threshold_changes"]) == (0.7, [])
    assert admin.get(SUPPRESSIONS, params={"x": "y"}).status_code == 422

    refused: list[tuple[dict[str, Any], int]] = [
        ({"reason": "x", "ends_at": soon}, 422),
        ({"event_type": "a.b", "ends_at": soon}, 422),
        ({"event_type": "a.b", "reason": "x"}, 422),
        ({"event_type": "a.b", "reason": "x", "ends_at": "2020-01-01T00:00:00Z"}, 422),
        ({"event_type": "a.b", "reason": "x", "ends_at": "2100-01-01T00:00:00Z"}, 422),
        ({"network": "192.0.2.0/25", "reason": "x", "ends_at": soon}, 422),
        ({"user_id": "stranger", "reason": "x", "ends_at": soon}, 404),
        ({"user_id": ANN, "reason": "x", "ends_at": soon}, 403),
    ]
    for body, status in refused:
        assert admin.post(SUPPRESSIONS, json=body).status_code == status, body
    path = f"{SUPPRESSIONS}/{placed.json()['suppression_id']}"
    assert odd.client(tenant_id, "audit:read", "audit:sign").delete(path).status_code == 403
    assert admin.delete(path).json()["in_force"] is False
    assert [admin.delete(path).status_code, admin.delete(f"{SUPPRESSIONS}/x").status_code] == [404, 404]
    shown = admin.get("/api/audit/events", params={"entity_type": "audit_suppression"}).json()["events"]
    assert [one["event_type"] for one in shown] == ["audit.suppression.ended", "audit.suppression.placed"]
    assert shown[1]["details"]["reason"] == "a known scanner"
