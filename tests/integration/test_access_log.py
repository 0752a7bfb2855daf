"""Who read what: every access is an entry of the tenant's chain and a row made of it, before anything is answered."""

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import psycopg
import pytest
from starlette.requests import Request
from test_server_running import EVENT, Api

from audit_pipelines.db import migrate
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.importers import ndjson
from audit_pipelines.importers.run import run_import
from audit_pipelines.importers.sink import ledger_sink
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.access import Access, operator
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.verify_evidence import main as verify_evidence
from audit_pipelines.server.access import client_address
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS, mint_token

pytest_plugins = ["test_server_running"]

EVENTS = "/api/audit/events"
LOG = "/api/audit/access-log"
AUDITOR = "auditor@example.org"
HOUR = timedelta(hours=1)


@pytest.fixture
def reader(api: Api, tenant_id: UUID) -> httpx.Client:
    posted = [EVENT | {"event_id": f"e-{number}", "actor": "alice"} for number in range(3)]
    assert api.client(tenant_id, "audit:write").post(f"{EVENTS}/batch", json=posted).status_code == 201
    return api.client(tenant_id, "audit:read", subject=AUDITOR)


@pytest.fixture
def admin(api: Api, reader: httpx.Client, tenant_id: UUID) -> httpx.Client:
    return api.client(tenant_id, "audit:admin", subject="chief@example.org")


def rows(installation: Installation, tenant_id: UUID) -> list[tuple[Any, ...]]:
    with installation.database.connect_admin() as conn:
        return conn.execute(
            "select a.seq, a.action, a.result_count, a.row_hash = l.row_hash, a.filters from audit_access_log a "
            "join audit_logs l using (tenant_id, seq) where tenant_id = %s order by seq",
            [tenant_id],
        ).fetchall()


def test_a_read_is_an_entry_and_a_row_that_say_the_same(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    assert reader.get(EVENTS, params={"actor": "alice"}).status_code == 200
    assert reader.get(f"{EVENTS}/e-1").status_code == 200
    assert reader.get(f"{EVENTS}/none").status_code == 404
    alice = str(api.installation.vault.find(tenant_id, "alice"))
    recorded = rows(api.installation, tenant_id)
    assert [row[:4] for row in recorded] == [
        (3, "events.list", 3, True),
        (4, "events.show", 1, True),
        (5, "events.show", 0, True),
    ]
    assert recorded[0][4] == {"actor_ref": alice, "limit": 50, "order": "desc"}
    shown = reader.get(EVENTS, params={"include": "access", "order": "asc"}).json()["events"][3]
    assert (shown["event_type"], shown["entity_type"], shown["entity_id"]) == (
        "audit.access.events.list", "audit.access", "events",
    )  # fmt: skip
    assert shown["details"] == {"filters": recorded[0][4], "result_count": 3}
    assert shown["actor_ref"] == str(api.installation.vault.find(tenant_id, AUDITOR))
    assert shown["user_agent"].startswith("python-httpx/")
    assert shown["ip_index"] is not None
    with api.installation.database.connect_admin() as conn:
        [(sealed, clear)] = conn.execute(
            "select ip_address, to_jsonb(a)::text like '%%127.0.0.1%%' or to_jsonb(a)::text like '%%auditor%%' "
            "from audit_access_log a where tenant_id = %s and seq = 3",
            [tenant_id],
        ).fetchall()
    assert sealed.startswith("v1.")
    assert not clear
    assert [one.findings for one in api.installation.verify()] == [()]


def test_the_answer_waits_for_the_record(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    with psycopg.connect(api.installation.database.conninfo(None)) as blocker:
        blocker.execute("select from audit_chain_heads where tenant_id = %s for update", [tenant_id])
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(reader.get(EVENTS)))
        thread.start()
        time.sleep(0.7)
        assert not answers
        blocker.rollback()
        thread.join(10)
    assert [answer.status_code for answer in answers] == [200]
    assert len(rows(api.installation, tenant_id)) == 1


def test_nothing_is_answered_that_could_not_be_recorded(api: Api, reader: httpx.Client, tenant_id: UUID) -> None:
    with api.installation.database.connect_admin() as conn:
        conn.execute("alter table audit_access_log add constraint full_disk check (false) not valid")
        assert reader.get(f"{EVENTS}/e-1").status_code == 500
        assert "alice" not in reader.get(EVENTS).text
        conn.execute("alter table audit_access_log drop constraint full_disk")
    assert reader.get(f"{EVENTS}/e-1").status_code == 200
    assert len(rows(api.installation, tenant_id)) == 1
    assert [one.findings for one in api.installation.verify()] == [()]


def test_accesses_stay_out_of_the_timeline_unless_asked_for(reader: httpx.Client) -> None:
    def types(**parameters: str) -> list[str]:
        return [event["event_type"] for event in reader.get(EVENTS, params=parameters).json()["events"]]

    assert types() == types(order="desc") == ["test_event"] * 3
    assert types(include="access") == ["audit.access.events.list"] * 2 + ["test_event"] * 3
    assert types(event_type="audit.access.events.list") == ["audit.access.events.list"] * 3
    assert types(entity_type="audit.access") == ["audit.access.events.list"] * 4
    assert types(actor=AUDITOR) == []
    assert reader.get(EVENTS, params={"include": "everything"}).status_code == 422


def test_the_log_is_shown_to_administrators(
    api: Api, reader: httpx.Client, admin: httpx.Client, tenant_id: UUID
) -> None:
    assert reader.get(LOG).status_code == 403
    reader.get(EVENTS)
    reader.get(f"{EVENTS}/e-1", headers={"User-Agent": b"browser\x85"})
    [show, listed] = admin.get(LOG).json()["accesses"]
    assert (show["action"], show["filters"], show["result_count"], show["user_agent"]) == (
        "events.show", {"event_id": "e-1"}, 1, "browser\ufffd",
    )  # fmt: skip
    assert (show["actor"], show["ip_address"]) == (AUDITOR, "127.0.0.1")
    assert show["seq"] == listed["seq"] + 1 == 4
    assert (show["accessed_at"] > listed["accessed_at"]) is True
    own = admin.get(LOG, params={"actor": "chief@example.org"}).json()["accesses"]
    assert [line["action"] for line in own] == ["access_log.list"]
    assert len(admin.get(LOG, params={"action": "events.list"}).json()["accesses"]) == 1
    assert admin.get(LOG, params={"from": show["accessed_at"], "order": "asc"}).json()["accesses"][0] == show
    assert admin.get(LOG, params={"to": listed["accessed_at"]}).json()["accesses"] == []
    assert admin.get(LOG, params={"q": "x"}).status_code == 422
    assert api.client(uuid4(), "audit:admin").get(LOG).json() == {"accesses": [], "next_cursor": None}


def test_reading_the_log_adds_one_line_each_time(api: Api, admin: httpx.Client, tenant_id: UUID) -> None:
    for number in range(5):
        assert len(admin.get(LOG).json()["accesses"]) == number
    assert api.count(tenant_id, "audit_access_log") == 5


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_the_log_hold_every_line_once(reader: httpx.Client, admin: httpx.Client, order: str) -> None:
    for _ in range(9):
        reader.get(f"{EVENTS}/e-0")
    seen: list[int] = []
    parameters: dict[str, Any] = {"limit": 4, "order": order, "action": "events.show"}
    while parameters.get("cursor", "") is not None:
        page = admin.get(LOG, params=parameters).json()
        seen += [line["seq"] for line in page["accesses"]]
        parameters["cursor"] = page["next_cursor"]
    assert seen == sorted(range(3, 12), reverse=order == "desc")


def test_a_line_can_be_proven(
    api: Api, reader: httpx.Client, admin: httpx.Client, tenant_id: UUID, tmp_path: Path
) -> None:
    reader.get(f"{EVENTS}/e-1")
    [line] = admin.get(LOG).json()["accesses"]
    api.installation.seal(tenant_id)
    file = tmp_path / "evidence.json"
    file.write_bytes(evidence_for(api.installation.database, tenant_id, [line["event_id"]], *keys(api.installation)))
    assert verify_evidence([str(file), "--key", str(keys(api.installation)[0])]) == 0
    assert line["row_hash"] in file.read_text() or bytes.fromhex(line["row_hash"]) in file.read_bytes()


def keys(installation: Installation) -> tuple[Any, ...]:
    return installation.verifier_keys


FORGED = EVENT | {"event_type": "audit.access.events.list", "entity_type": "audit.access"}


def test_nobody_can_post_an_access(api: Api, tenant_id: UUID, tmp_path: Path) -> None:
    writer = api.client(tenant_id, "audit:write")
    alone, batch = writer.post(EVENTS, json=FORGED), writer.post(f"{EVENTS}/batch", json=[EVENT, FORGED])
    lines = writer.post(f"{EVENTS}/batch", content=json.dumps(FORGED), headers={"Content-Type": "application/x-ndjson"})
    faults = [[fault["pointer"] for fault in answer.json()["faults"]] for answer in (alone, batch, lines)]
    assert faults == [["/event_type"], ["/1/event_type"], ["/0/event_type"]]
    file = tmp_path / "events.ndjson"
    record = {name: FORGED[name] for name in ("event_type", "entity_type", "entity_id")}
    file.write_text(json.dumps(record | {"occurred_at": "2026-01-01T00:00:00Z"}))
    summary = run_import([file], ndjson.parse, ledger_sink(api.installation.ledger, tenant_id))
    assert (summary.stored, summary.refused) == (0, 1)
    with (
        api.installation.database.tenant_connection(tenant_id) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("insert into audit_access_log (tenant_id) values (%s)", [tenant_id])
    assert rows(api.installation, tenant_id) == []


def test_an_access_of_a_reader_named_like_a_filter_is_sealed_and_verifies(
    installation: Installation, tenant_id: UUID
) -> None:
    for actor in ("filters", "limit", "desc", "result_count"):
        access = Access(actor=actor, action="events.list", filters={"limit": 50, "order": "desc"}, result_count=2)
        installation.access_log.record(tenant_id, access)
    filters = [row[4] for row in rows(installation, tenant_id)]
    assert [next(iter(one)) for one in filters] == ["$sealed", "$sealed", "limit", "$sealed"]
    assert filters[2]["order"].keys() == {"$sealed"}
    assert [one.findings for one in installation.verify()] == [()]


def test_lines_of_before_stay_as_they_are(installation: Installation, tenant_id: UUID) -> None:
    with installation.database.connect_admin() as conn:
        migrate.rollback(conn, 11)
        conn.execute(
            "insert into audit_access_log (tenant_id, subject_ref, action, filters, result_count) "
            "values (%s, gen_random_uuid(), 'events.list', '{}', 7)",
            [tenant_id],
        )
        migrate.migrate(conn)
    installation.access_log.record(tenant_id, Access(actor="a", action="events.list", filters={}, result_count=1))
    with installation.database.connect_admin() as conn:
        lines = conn.execute("select seq, result_count from audit_access_log order by access_id").fetchall()
    assert lines == [(None, 7), (0, 1)]
    assert [one.findings for one in installation.verify()] == [()]


@pytest.fixture
def silent(installation: Installation) -> Installation:
    settings = installation.settings.model_copy(update={"audit_enable_access_logging": False})
    return replace(installation, settings=settings)


def test_switched_off_nothing_is_written_and_the_report_says_so(
    silent: Installation, installation: Installation, tenant_id: UUID
) -> None:
    installation.ledger.append(tenant_id, [Event(event_type="a", entity_type="b", entity_id="c")])
    access = Access(actor=operator(), action="evidence.make", filters={}, result_count=1)
    assert silent.access_log.record(tenant_id, access) is None
    assert rows(installation, tenant_id) == []

    def control(of: Installation) -> tuple[str, str]:
        [found] = [one for one in check_controls(of, of.verify(tenant_id)[0]) if one.control == "Reading is recorded"]
        return found.result, found.evidence

    assert control(silent)[0] == "fail"
    assert "AUDIT_ENABLE_ACCESS_LOGGING is false" in control(silent)[1]
    assert installation.access_log.record(tenant_id, access)
    assert control(installation)[0] == "pass"
    assert "1 accesses" in control(installation)[1]


def test_a_read_over_http_is_not_recorded_when_switched_off(silent: Installation, tenant_id: UUID) -> None:
    token = mint_token(
        silent.keyring.jwt_secret, subject=AUDITOR, tenant_id=tenant_id, permissions=PERMISSIONS, lifetime=HOUR
    )

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(create_app(silent))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            return [(await client.get(path)).status_code for path in (EVENTS, f"{EVENTS}/x", LOG)]

    assert anyio.run(ask) == [200, 404, 200]
    assert rows(silent, tenant_id) == []
    assert [one.events for one in silent.verify()] == []


PROXIES = ("10.0.0.0/8", "127.0.0.1", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("203.0.113.9", [], (), "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], (), "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], PROXIES, "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1"], PROXIES, "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1"], PROXIES, "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1, 10.9.9.9"], PROXIES, "198.51.100.1"),
        ("10.1.2.3", ["10.4.4.4, 10.9.9.9"], PROXIES, "10.4.4.4"),
        ("10.1.2.3", ["nonsense, 10.9.9.9"], PROXIES, "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1:4711"], PROXIES, "198.51.100.1"),
        ("::ffff:10.1.2.3", ["[2001:db8::1]:443"], PROXIES, "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], PROXIES, "2001:db8::1"),
        ("10.1.2.3", [""], PROXIES, "10.1.2.3"),
        ("10.1.2.3", [], PROXIES, "10.1.2.3"),
        ("/run/socket", ["198.51.100.1"], PROXIES, None),
        (None, ["198.51.100.1"], PROXIES, None),
    ],
)
def test_where_a_request_comes_from(
    peer: str | None, forwarded: list[str], trusted: tuple[str, ...], expected: str | None
) -> None:
    scope = {
        "type": "http",
        "client": (peer, 1) if peer is not None else None,
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    assert client_address(Request(scope), [ip_network(each) for each in trusted]) == expected
