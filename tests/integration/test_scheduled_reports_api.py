"""Scheduled reports and made ones over HTTP: faults, the next due times, who may see what, and what is kept of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from test_server_running import Api

from audit_pipelines.derive import lineage, report_deliveries
from audit_pipelines.ledger.event import Event

pytest_plugins = ["test_server_running"]

SCHEDULES = "/api/audit/scheduled-reports"
REPORTS = "/api/audit/reports"
WEEKLY: dict[str, Any] = {"kind": "security", "cron": "0 6 * * mon", "recipients": ["ann@example.org"]}


def test_a_scheduled_report_from_its_making_to_its_end(
    api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [datetime(2026, 3, 20, 12, tzinfo=UTC)]
    monkeypatch.setattr(report_deliveries, "clock", lambda: now[0])
    admin = api.client(tenant_id, "audit:admin", subject="chief@example.org")
    made = admin.post(SCHEDULES, json=WEEKLY | {"time_zone": "Europe/Berlin", "delivery": "file"})
    assert made.status_code == 201, made.text
    shown = made.json()
    place = made.headers["Location"]
    assert place == f"{SCHEDULES}/{shown['report_id']}"
    # The clocks of Berlin go forward on the 29th.
    assert shown["next_due"] == [
        "2026-03-23T06:00:00+01:00",
        "2026-03-30T06:00:00+02:00",
        "2026-04-06T06:00:00+02:00",
    ]
    assert admin.get(SCHEDULES).json() == {"scheduled_reports": [shown]}
    with api.installation.database.connect_admin() as conn:
        kept = conn.execute("select recipients::text, cron from audit_scheduled_reports").fetchone()
    assert kept is not None
    assert "ann" not in kept[0]

    # What came due by the old line before a change is made, and nothing that the new one would have had.
    now[0] = datetime(2026, 3, 31, 12, tzinfo=UTC)
    changed = admin.patch(place, json={"cron": "30 2 * * *", "recipients": ["bob@example.org", "cy@example.org"]})
    assert changed.status_code == 200, changed.text
    assert changed.json()["next_due"][0] == "2026-04-01T02:30:00+02:00"
    assert changed.json()["recipients"] == ["bob@example.org", "cy@example.org"]
    listed = admin.get(place).json()
    assert [due["due_at"] for due in listed["due_times"]] == [
        "2026-03-30T04:00:00.000000Z",
        "2026-03-23T05:00:00.000000Z",
    ]
    assert listed["waiting"] == 2

    asked = admin.post(f"{place}/run-now")
    assert (asked.status_code, asked.json()["due_at"]) == (202, "2026-03-31T12:00:00.000000Z")
    assert admin.post(f"{place}/run-now").status_code == 409
    assert admin.delete(place).json()["enabled"] is False
    assert admin.post(f"{place}/run-now").status_code == 409
    now[0] += timedelta(days=3)
    again = admin.patch(place, json={"enabled": True}).json()
    assert (again["enabled"], again["next_due"][0]) == (True, "2026-04-04T02:30:00+02:00")
    # Nothing came due while it was switched off.
    assert again["waiting"] == 3

    with api.installation.database.tenant_connection(tenant_id) as conn:
        said = conn.execute(
            "select event_type, convert_from(entry, 'UTF8') from audit_logs "
            "where entity_type = 'audit_scheduled_report' order by seq"
        ).fetchall()
    verbs = [event_type.removeprefix("audit.scheduled_report.") for event_type, _ in said]
    assert verbs == ["created", "changed", "asked", "disabled", "changed"]
    assert not any("ann@" in entry or "bob@" in entry for _, entry in said)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"cron": "* * * * *"}, {"/cron"}),
        ({"cron": "0 6 31 2 *"}, {"/cron"}),
        ({"cron": "0 6 * *", "time_zone": "Mars/Olympus"}, {"/cron", "/time_zone"}),
        ({"recipients": ["ann@example.org", "x", "ANN@example.org"]}, {"/recipients/1", "/recipients/2"}),
        ({"recipients": ["a@example.org\r\nBcc: b@example.org"]}, {"/recipients/0"}),
        ({"recipients": [f"a{place}@example.org" for place in range(51)]}, {"/recipients"}),
        ({"kind": "access_review", "delivery": "file"}, {"/delivery"}),
        ({"kind": "person"}, {"/person"}),
        ({"person": "ann"}, {"/person"}),
        ({"kind": "weekly"}, {"/kind"}),
        ({"color": "red"}, {""}),
    ],
)
def test_every_fault_is_named_and_nothing_is_kept(
    api: Api, tenant_id: UUID, fields: dict[str, Any], pointers: set[str]
) -> None:
    client = api.client(tenant_id)
    answer = client.post(SCHEDULES, json=WEEKLY | fields)
    assert answer.status_code == 422, answer.text
    assert {fault["pointer"] for fault in answer.json()["faults"]} == pointers
    assert client.get(SCHEDULES).json() == {"scheduled_reports": []}


def test_a_report_about_a_person_is_for_those_who_answer_for_privacy(api: Api, tenant_id: UUID) -> None:
    api.installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d", actor="ann")])
    wanted = {"kind": "person", "cron": "@monthly", "person": "ann"}
    admin = api.client(tenant_id, "audit:admin")
    both = api.client(tenant_id, "audit:admin", "audit:privacy")
    assert admin.post(SCHEDULES, json=wanted).status_code == 403
    assert both.post(SCHEDULES, json=wanted | {"person": "nobody"}).status_code == 404
    made = both.post(SCHEDULES, json=wanted)
    assert made.status_code == 201
    assert "ann" not in str(made.json() | {"kind": ""})
    place = made.headers["Location"]
    assert [admin.delete(place).status_code, admin.post(f"{place}/run-now").status_code] == [403, 403]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/run-now")):
        for unknown in (uuid4(), "x"):
            answer = both.request(method, f"{SCHEDULES}/{unknown}{path}", json={} if method == "PATCH" else None)
            assert answer.status_code == 404, (method, path)


def test_reports_are_listed_and_fetched_by_those_who_may(api: Api, tenant_id: UUID) -> None:
    storage = api.installation.settings.storage_dir
    kinds = ("security_report", "access_review", "person_report")
    for number, kind in enumerate((*kinds, "security_report")):
        path = storage / "exports" / str(tenant_id) / f"{kind}-{number}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"%PDF-{number}".encode())
        inputs = ({"kind": "period", "since": "2026-03-01T00:00:00+00:00", "until": "2026-04-01T00:00:00+00:00"},)
        output = lineage.Output(tenant_id, kind, str(path.relative_to(storage)), lineage.file_digest(path), inputs)
        with api.installation.database.connection("audit_pipeline") as conn:
            lineage.record(conn, [output], run_id="r")
    path.unlink()
    expected = {
        ("audit:export",): ["security_report"],
        ("audit:export", "audit:admin"): ["access_review", "security_report"],
        ("audit:export", "audit:privacy"): ["person_report", "security_report"],
    }
    everything = api.client(tenant_id).get(REPORTS).json()["reports"]
    assert [one["kind"] for one in everything] == list(reversed(kinds))
    for permissions, shown in expected.items():
        client = api.client(tenant_id, *permissions)
        assert [one["kind"] for one in client.get(REPORTS).json()["reports"]] == shown
        for one in everything:
            answer = client.get(one["link"])
            assert answer.status_code == (200 if one["kind"] in shown else 404)
            if answer.status_code == 200:
                assert answer.content.startswith(b"%PDF-")
                assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (f'"{one["sha256"]}"', "no-store")
    client = api.client(tenant_id, "audit:export")
    (one,) = client.get(REPORTS).json()["reports"]
    assert (one["from"], one["to"], one["generated_by"]) == (
        "2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00", "composed",
    )  # fmt: skip
    (storage / one["record_id"]).write_bytes(b"%PDF-forged")
    assert client.get(one["link"]).status_code == 409
    assert client.get(REPORTS, params={"cursor": "x", "q": "y"}).status_code == 422
    assert client.get(f"{REPORTS}/{'0' * 64}").status_code == 404
    assert client.get(f"{REPORTS}/..%2f..%2fkeys").status_code == 404
