"""Electronic signatures (21 CFR Part 11): made with id and password, shown, and invalid once anything changed."""

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from test_server_running import EVENT, Api
from test_signing_in import SECOND, THIRD, WRONG, Clock, add, change, log_in, session

from audit_pipelines.db import migrate
from audit_pipelines.derive import lineage
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.derive.reviews import make_due_reviews
from audit_pipelines.derive.signing import signature_lines, unsigned_path
from audit_pipelines.identity.accounts import Accounts
from audit_pipelines.installation import Installation
from audit_pipelines.reports.model import Control

pytest_plugins = ["test_signing_in"]

SIGNATURES = "/api/audit/signatures"
REVIEWS = "/api/audit/reviews"
SIGNED_EVENT = EVENT | {"event_id": "record/1", "actor": "carol"}


@pytest.fixture
def signer(api: Api, accounts: Accounts, tenant_id: UUID, asked_always: None) -> httpx.Client:
    """Alice, logged in, and an event to sign."""
    add(accounts, tenant_id)
    assert api.client(tenant_id, "audit:write").post("/api/audit/events", json=SIGNED_EVENT).status_code == 201
    return session(api, tenant_id)


def form(kind: str = "event", record_id: str = "record/1", **given: Any) -> dict[str, Any]:
    record = {"kind": kind, "id": record_id} | given.pop("record", {})
    return {"record": record, "meaning": "approved", "login": "alice", "password": SECOND} | given


def sign(client: httpx.Client, *record: str, **given: Any) -> dict[str, Any]:
    response = client.post(SIGNATURES, json=form(*record, **given))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def listed(client: httpx.Client, kind: str = "event", record_id: str = "record/1") -> list[dict[str, Any]]:
    response = client.get(SIGNATURES, params={"record_kind": kind, "record_id": record_id})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["signatures"]
    return found


def as_superuser(installation: Installation, statement: str, *parameters: Any) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        assert conn.execute(statement.encode(), parameters).rowcount > 0


def make_report(installation: Installation, tenant_id: UUID, content: bytes = b"%PDF-1.4 a report") -> tuple[str, Path]:
    """Write a file as reports are, with its row of lineage."""
    key = f"exports/{tenant_id}/security_report-x.pdf"
    path = installation.settings.storage_dir / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    output = lineage.Output(tenant_id, "security_report", key, hashlib.sha256(content).digest(), ())
    with installation.database.connection("audit_pipeline") as conn:
        lineage.record(conn, [output], run_id="test")
    return key, path


def test_a_signature_is_shown_with_name_time_and_meaning(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    event = signer.get("/api/audit/events/record%2F1").json()
    assert event["signatures"] == []
    made = sign(signer, reason="checked against the batch record")
    assert made["printed_name"] == "Alice Liddell"
    assert made["meaning"] == "approved"
    assert made["reason"] == "checked against the batch record"
    assert made["record"] == {"kind": "event", "id": "record/1", "hash": event["row_hash"]}
    assert made["valid"] is True
    assert abs(datetime.now(UTC) - datetime.fromisoformat(made["signed_at"])) < timedelta(minutes=5)
    reader = api.client(tenant_id, "audit:read")
    assert listed(reader) == reader.get("/api/audit/events/record%2F1").json()["signatures"] == [made]
    with api.installation.database.tenant_connection(tenant_id) as conn:
        [(event_type, actor_ref, row_hash, details)] = conn.execute(
            "select event_type, actor_ref::text, row_hash, details::jsonb from audit_events where seq = %s",
            [made["seq"]],
        ).fetchall()
    assert (event_type, actor_ref, row_hash) == ("audit.signature.created", made["signer_ref"], made["row_hash"])
    assert details["record"] == made["record"]
    assert details["printed_name"].keys() == {"$sealed"}
    [verification] = api.installation.verify(tenant_id)
    assert verification.intact, verification.findings


def test_login_and_password_at_first_then_the_password(signer: httpx.Client) -> None:
    refused = signer.post(SIGNATURES, json=form(login=None))
    assert (refused.status_code, refused.json()["faults"][0]["pointer"]) == (422, "/login")
    sign(signer)
    sign(signer, login=None, meaning="reviewed")
    assert signer.post(SIGNATURES, json=form(login=None, password=WRONG)).status_code == 403
    assert len(listed(signer)) == 2


def test_a_second_session_begins_anew(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    sign(signer)
    assert session(api, tenant_id).post(SIGNATURES, json=form(login=None)).status_code == 422


def test_somebody_else_signs_in_nobodys_session(
    api: Api, accounts: Accounts, signer: httpx.Client, tenant_id: UUID
) -> None:
    add(accounts, tenant_id, "bob", name="Bob Builder")
    refused = signer.post(SIGNATURES, json=form(login="bob"))
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "signature-refused")
    assert listed(signer) == []


@pytest.mark.parametrize("permissions", [["audit:read"], ["audit:read", "audit:sign"]])
def test_a_token_of_no_session_signs_nothing(
    api: Api, signer: httpx.Client, tenant_id: UUID, permissions: list[str]
) -> None:
    refused = api.client(tenant_id, *permissions, subject="alice").post(SIGNATURES, json=form())
    expected = "session-required" if "audit:sign" in permissions else "forbidden"
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, expected)


def test_an_account_that_lost_the_permission_signs_nothing(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    as_superuser(api.installation, "update audit_users set permissions = '{audit:read}'")
    assert signer.post(SIGNATURES, json=form()).json()["type"].rpartition(":")[2] == "forbidden"


def test_an_expired_password_signs_nothing(api: Api, signer: httpx.Client, clock: Clock) -> None:
    as_superuser(api.installation, "update audit_users set password_set_at = now() - interval '91 days'")
    assert signer.post(SIGNATURES, json=form()).json()["type"].rpartition(":")[2] == "password-expired"


def test_five_wrong_passwords_lock_alert_and_end_the_session(
    api: Api, signer: httpx.Client, tenant_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    sign(signer)
    elsewhere = session(api, tenant_id)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert signer.post(SIGNATURES, json=form(password=WRONG)).status_code == 403
    assert signer.get("/api/audit/events").status_code == elsewhere.get("/api/audit/events").status_code == 401
    [line] = [record.getMessage() for record in caplog.records if "account locked" in record.getMessage()]
    assert "by=audit.signature.refused" in line
    assert "alice" not in caplog.text.lower()
    with api.installation.database.tenant_connection(tenant_id) as conn:
        kinds = [
            kind
            for (kind,) in conn.execute(
                "select event_type from audit_events where event_type like 'audit.%' order by seq"
            )
        ]
    assert kinds[-6:] == ["audit.signature.refused"] * 5 + ["audit.account.locked"]
    assert log_in(api, tenant_id).status_code == 401
    assert len(listed(api.client(tenant_id, "audit:read"))) == 1


OUTCOME = "update audit_logs set outcome = 'success' where event_id = 'record/1'"
CONTENT = (
    "update audit_logs set entry = convert_to(replace(convert_from(entry, 'UTF8'), 'test-123', 'test-124'), 'UTF8'), "
    "entity_id = 'test-124' where event_id = 'record/1'"
)
MOVED = (
    "update audit_signatures s set record_id = 'record/2', record_hash = l.row_hash from audit_logs l "
    "where l.event_id = 'record/2'"
)
ANOTHERS = "update audit_signatures set signer_ref = (select actor_ref from audit_logs where event_id = 'record/1')"
OTHER_ENTRY = (
    "update audit_signatures s set seq = l.seq, signed_at = l.recorded_at, row_hash = l.row_hash from audit_logs l "
    "where l.event_id = 'record/2'"
)


@pytest.mark.parametrize(
    ("change_record", "problem"),
    [
        (OUTCOME, "the row at seq"),
        (CONTENT, "the row at seq"),
        ("delete from audit_logs where event_id = 'record/1'", "the record is not there"),
        ("update audit_signatures set meaning = 'authored'", "something else"),
        ("update audit_signatures set record_id = 'record/2'", "another hash"),
        (MOVED, "something else"),
        (ANOTHERS, "something else"),
        ("delete from audit_logs where event_type = 'audit.signature.created'", "entry of the signature is not there"),
        ("update audit_logs set entity_id = 'x' where event_type = 'audit.signature.created'", "was changed"),
        ("update audit_signatures set row_hash = sha256('x')", "was changed"),
        (OTHER_ENTRY, "something else"),
    ],
)
def test_what_changed_is_reported_invalid(
    api: Api, signer: httpx.Client, tenant_id: UUID, change_record: str, problem: str
) -> None:
    api.client(tenant_id, "audit:write").post("/api/audit/events", json=EVENT | {"event_id": "record/2"})
    sign(signer)
    reader = api.client(tenant_id, "audit:read")
    assert [one["valid"] for one in listed(reader)] == [True]
    as_superuser(api.installation, change_record)
    [found] = reader.get(SIGNATURES).json()["signatures"]
    assert found["valid"] is False
    assert problem in " ".join(found["problems"])


def test_a_report_is_signed_by_its_file(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    key, path = make_report(api.installation, tenant_id)
    made = sign(signer, "report", key)
    assert made["record"]["hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes() + b"\n")
    [found] = listed(signer, "report", key)
    assert (found["valid"], found["problems"]) == (False, ["the file is not the one that was written"])
    refused = signer.post(SIGNATURES, json=form("report", key))
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "record-changed")
    path.unlink()
    assert "cannot be read" in listed(signer, "report", key)[0]["problems"][0]


def test_an_erasure_is_signed_by_its_event(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    erasure = api.installation.erase(tenant_id, "carol")
    assert erasure.receipt
    made = sign(signer, "erasure", str(erasure.actor_ref))
    assert made["record"]["hash"] == erasure.receipt.row_hash.hex()
    # Nobody else can say that somebody was erased.
    claimed = {"event_type": "audit.subject.erased", "entity_type": "audit_subject", "entity_id": str(uuid4())}
    assert api.client(tenant_id).post("/api/audit/events", json=claimed).status_code == 422
    assert signer.post(SIGNATURES, json=form("erasure", claimed["entity_id"])).status_code == 404


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (("event", "nothing"), 404),
        (("report", "../../keys/jwt.secret"), 404),
        (("report", "/etc/passwd"), 404),
        (("review", "2026-02-30"), 404),
        (("erasure", "carol"), 404),
        (("event", "a\x00b"), 404),
        (("thing", "1"), 422),
    ],
)
def test_what_is_not_there_is_not_signed(signer: httpx.Client, record: tuple[str, str], status: int) -> None:
    assert signer.post(SIGNATURES, json=form(*record)).status_code == status


def test_what_was_not_seen_is_not_signed(signer: httpx.Client) -> None:
    shown = signer.get("/api/audit/events/record%2F1").json()["row_hash"]
    refused = signer.post(SIGNATURES, json=form(record={"hash": "0" * 64}))
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (409, "record-changed")
    assert sign(signer, record={"hash": shown})["valid"]


def test_another_tenants_records_and_signatures_do_not_exist(
    api: Api, accounts: Accounts, signer: httpx.Client, tenant_id: UUID
) -> None:
    key, _ = make_report(api.installation, tenant_id)
    sign(signer)
    sign(signer, "report", key)
    stranger = uuid4()
    add(accounts, stranger, "eve", name="Eve Adams")
    eve = session(api, stranger, "eve")
    for record in (("event", "record/1"), ("report", key)):
        assert eve.post(SIGNATURES, json=form(*record, login="eve")).status_code == 404
        assert listed(eve, *record) == []
    assert eve.get(SIGNATURES).json() == {"signatures": []}


def test_an_erased_signer_stays_a_signer_without_a_name(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    sign(signer, reason="seen")
    api.installation.erase(tenant_id, "alice")
    [found] = listed(api.client(tenant_id, "audit:read"))
    assert (found["printed_name"], found["reason"], found["valid"]) == ("erased", "erased", True)
    assert signer.post(SIGNATURES, json=form()).status_code == 401


def test_reading_signatures_is_written_down(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    sign(signer)
    listed(signer)
    listed(signer, "event", "Alice Liddell")
    with api.installation.database.connect_admin() as conn:
        rows = conn.execute(
            "select filters, result_count from audit_access_log where action = 'signatures.list' order by access_id"
        ).fetchall()
    assert rows[0] == ({"record_kind": "event", "record_id": "record/1"}, 1)
    assert rows[1][0]["record_id"].startswith("hmac-sha256:")


def test_each_day_is_reviewed_and_signed(
    api: Api, accounts: Accounts, signer: httpx.Client, tenant_id: UUID, clock: Clock
) -> None:
    log_in(api, tenant_id, password=WRONG)
    today = datetime.now(UTC).date()
    assert signer.get(REVIEWS).json() == {"reviews": []}
    clock.ahead = timedelta(days=1)
    signer = session(api, tenant_id)
    [missing] = signer.get(REVIEWS, params={"to": str(today + timedelta(days=1))}).json()["reviews"]
    assert (missing["day"], missing["state"]) == (today.isoformat(), "missing")
    assert make_due_reviews(api.installation, clock()) == {tenant_id: 1}
    assert make_due_reviews(api.installation, clock()) == {}
    asked = {"from": today.isoformat(), "to": str(today + timedelta(days=5))}
    [review] = signer.get(REVIEWS, params=asked).json()["reviews"]
    assert (review["state"], review["signatures"]) == ("open", [])
    figures = review["figures"]
    assert (figures["failed_logins"], figures["findings"], figures["anomalies"]) == (1, 0, 0)
    assert figures["events"] == figures["last_seq"] - figures["first_seq"] + 1
    clock.ahead = timedelta(days=2)
    signer = session(api, tenant_id)
    assert [one["state"] for one in signer.get(REVIEWS, params=asked).json()["reviews"]] == ["missing", "overdue"]
    sign(signer, "review", today.isoformat(), meaning="authored", record={"hash": review["hash"]})
    assert signer.get(REVIEWS, params=asked).json()["reviews"][-1]["state"] == "overdue"
    made = sign(signer, "review", today.isoformat(), meaning="reviewed", record={"hash": review["hash"]})
    [_, signed] = signer.get(REVIEWS, params=asked).json()["reviews"]
    assert signed["state"] == "signed"
    assert signed["signatures"][-1] == made
    as_superuser(api.installation, "update audit_reviews set content = content || ' ', digest = sha256(content || ' ')")
    [_, changed] = signer.get(REVIEWS, params=asked).json()["reviews"]
    assert (changed["state"], changed["signatures"][-1]["valid"]) == ("overdue", False)


def test_a_review_says_what_verification_found(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    as_superuser(api.installation, "update audit_logs set outcome = 'x' where event_id = 'record/1'")
    make_due_reviews(api.installation, datetime.now(UTC) + timedelta(days=2))
    with api.installation.database.connect_admin() as conn:
        rows = conn.execute("select convert_from(content, 'UTF8')::jsonb from audit_reviews order by day").fetchall()
    [(first,), (second,)] = rows
    assert (first["findings"], second["findings"]) == (1, 0)
    assert first["first_findings"][0].keys() == {"seq", "kind"}
    assert first["first_findings"][0]["kind"] in {"content", "column"}


def test_reviews_need_the_permission(api: Api, tenant_id: UUID) -> None:
    assert api.client(tenant_id, "audit:read").get(REVIEWS).status_code == 403


@pytest.mark.parametrize(
    "asked", [{"from": "yesterday"}, {"from": "2026-02-30"}, {"from": "2026-02-02", "to": "2026-02-01"}, {"x": "1"}]
)
def test_days_that_are_none_are_refused(api: Api, tenant_id: UUID, asked: dict[str, str]) -> None:
    assert api.client(tenant_id).get(REVIEWS, params=asked).status_code == 422


def test_a_changed_password_signs_in_a_new_session(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    assert change(api, tenant_id, SECOND, THIRD).status_code == 204
    assert signer.post(SIGNATURES, json=form()).status_code == 401
    signer = session(api, tenant_id, password=THIRD)
    assert signer.post(SIGNATURES, json=form()).status_code == 403
    sign(signer, password=THIRD)


def test_reports_print_signatures_and_controls_check_them(
    api: Api, signer: httpx.Client, tenant_id: UUID, clock: Clock
) -> None:
    made = sign(signer)
    since, until = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) + timedelta(days=2)
    [line] = signature_lines(api.installation, tenant_id, since, until)
    assert (line.printed_name, line.meaning, line.valid) == ("Alice Liddell", "approved", True)
    assert line.seq == made["seq"]
    [verification] = api.installation.verify(tenant_id)
    results = {one.control: one.result for one in check_controls(api.installation, verification)}
    assert results["Electronic signatures bound to their records"] == "pass"
    assert results["Daily review of audit logs"] == "pass"
    as_superuser(api.installation, "update audit_signatures set meaning = 'authored'")
    assert not signature_lines(api.installation, tenant_id, since, until)[0].valid
    assert signatures_control(api.installation, tenant_id).result == "fail"
    as_superuser(api.installation, "delete from audit_signatures")
    lost = signatures_control(api.installation, tenant_id)
    assert (lost.result, "1 of these signatures are missing" in lost.evidence) == ("fail", True)


def test_a_signature_belongs_to_the_period_of_its_event(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    old = EVENT | {"event_id": "old", "occurred_at": "2020-03-01T10:00:00Z"}
    api.client(tenant_id, "audit:write").post("/api/audit/events", json=old)
    sign(signer, "event", "old")
    march = datetime(2020, 3, 1, tzinfo=UTC)
    assert len(signature_lines(api.installation, tenant_id, march, march + timedelta(days=31))) == 1
    assert signature_lines(api.installation, tenant_id, march - timedelta(days=31), march) == []


def test_a_signed_report_is_not_overwritten(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    key, path = make_report(api.installation, tenant_id)
    assert unsigned_path(api.installation, tenant_id, path.stem) == path
    sign(signer, "report", key)
    assert unsigned_path(api.installation, tenant_id, path.stem) == path.with_stem(f"{path.stem}-2")
    assert unsigned_path(api.installation, uuid4(), path.stem).name == path.name


def signatures_control(installation: Installation, tenant_id: UUID) -> Control:
    [verification] = installation.verify(tenant_id)
    return next(one for one in check_controls(installation, verification) if one.control.startswith("Electronic"))


def test_migrations_can_be_undone_over_accounts_and_signatures(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    sign(signer)
    make_due_reviews(api.installation, datetime.now(UTC) + timedelta(days=1))
    with api.installation.database.connect_admin() as conn:
        assert {13, 14} <= set(migrate.rollback(conn, 12))
        migrate.migrate(conn)
    assert api.count(tenant_id, "audit_signatures") == api.count(tenant_id, "audit_users") == 0
