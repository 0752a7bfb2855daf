"""What was signed, read, held and erased stays true when its rows are in the archive alone, or were deleted."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from moved_clock import MovedClock, month, named
from test_changed_archives import rewrite
from test_derive import HashEmbedder
from test_server_running import EVENT, Api
from test_signatures import REVIEWS, SIGNED_EVENT, form, listed, sign
from test_signing_in import SECOND, add, session

from audit_pipelines.derive import archive_deletion
from audit_pipelines.derive.archiving import retain, waiting_months
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.derive.features import update_event_features
from audit_pipelines.derive.reporting import Period, make_reports
from audit_pipelines.derive.reviews import make_due_reviews
from audit_pipelines.derive.signing import signature_lines
from audit_pipelines.identity.accounts import Accounts
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import count_days, export_window, pending_days
from audit_pipelines.ledger.erasure import LegalHoldError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.settings import Settings

pytest_plugins = ["test_signing_in"]

OLD, OLDER = 14, 16
CAROL, DAVE, READER = "carol", "dave@example.org", "reader@example.org"
ACCESS_LOG = "/api/audit/access-log"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, audit_home=tmp_path / "home", audit_archive_grace_days=0, audit_archive_years=1)


@pytest.fixture
def signer(api: Api, accounts: Accounts, tenant_id: UUID, asked_always: None) -> httpx.Client:
    """Alice, who signed an event and an erasure 16 months ago; carol acted and a reader read, then and later."""
    clock = MovedClock(api.installation)
    writer = api.client(tenant_id, "audit:write")
    reader = api.client(tenant_id, "audit:read", subject=READER)
    clock.set(month(OLDER))
    add(accounts, tenant_id)
    moment = month(OLDER).isoformat()
    for event in (SIGNED_EVENT, EVENT | {"event_id": "record/2", "actor": DAVE}):
        assert writer.post("/api/audit/events", json=event | {"occurred_at": moment}).status_code == 201
    erased = api.installation.erase(tenant_id, DAVE).actor_ref
    signing = session(api, tenant_id)
    sign(signing, reason="checked")
    sign(signing, "erasure", str(erased), login=None)
    assert reader.get("/api/audit/events", params={"actor": CAROL}).status_code == 200
    assert reader.get("/api/audit/events/record%2F1").status_code == 200
    clock.set(month(OLD))
    later = EVENT | {"event_id": "later", "actor": CAROL, "occurred_at": month(OLD).isoformat()}
    assert writer.post("/api/audit/events", json=later).status_code == 201
    assert reader.get("/api/audit/events").status_code == 200
    clock.set(None)
    assert writer.post("/api/audit/events", json=EVENT | {"event_id": "now", "actor": CAROL}).status_code == 201
    api.installation.seal(tenant_id)
    return signing


@pytest.fixture
def archived(api: Api, signer: httpx.Client) -> Installation:
    done = retain(api.installation, run_id="a test")
    assert [one.month for one in done.released] == [named(OLDER), named(OLD)]
    return api.installation


def delete(installation: Installation, tenant_id: UUID, ago: int) -> None:
    """Have two persons approve that a month be deleted, and delete it."""
    archive_deletion.mark_due(installation)
    for person in ("first@example.org", "second@example.org"):
        archive_deletion.approve(installation, tenant_id, named(ago), person)
    deleted, refused = archive_deletion.delete_approved(installation)
    assert ([one.archive.month for one in deleted], refused) == ([named(ago)], [])
    installation.seal(tenant_id)


def findings(installation: Installation, tenant_id: UUID) -> list[tuple[int | None, str, str]]:
    [one] = installation.verify(tenant_id)
    return [(finding.seq, finding.kind, finding.what) for finding in one.findings]


def erased_ref(installation: Installation) -> str:
    with installation.database.connect_admin() as conn:
        [(ref,)] = conn.execute("select actor_ref::text from audit_erasures").fetchall()
    return str(ref)


def signatures_control(installation: Installation, tenant_id: UUID) -> tuple[str, str]:
    [verification] = installation.verify(tenant_id)
    [control] = check_controls(installation, verification, keys={"signatures_bound"})
    return control.result, control.evidence


# Signatures


def test_signatures_of_archived_records_are_shown_and_checked(
    archived: Installation, signer: httpx.Client, tenant_id: UUID
) -> None:
    for record in (("event", "record/1"), ("erasure", erased_ref(archived))):
        [shown] = listed(signer, *record)
        assert (shown["state"], shown["valid"], shown["problems"]) == ("valid", True, []), record
        assert shown["printed_name"] == "Alice Liddell"
    event = signer.get("/api/audit/events/record%2F1").json()
    assert [one["state"] for one in event["signatures"]] == ["valid"]
    assert event["signatures"][0]["record"]["hash"] == event["proof"]["row_hash"]
    # Another signature on the archived event, by whoever sees it now.
    assert sign(signer, login=None, meaning="responsible")["valid"] is True
    assert signer.post("/api/audit/signatures", json=form(record_id="nobody", login=None)).status_code == 404
    lines = signature_lines(archived, tenant_id, month(OLDER) - timedelta(days=1), month(OLDER) + timedelta(days=1))
    assert [(line.record_kind, line.valid) for line in lines] == [("event", True), ("erasure", True), ("event", True)]
    result, evidence = signatures_control(archived, tenant_id)
    assert (result, "3 signatures checked" in evidence) == ("pass", True)


def change(installation: Installation, tenant_id: UUID, ago: int, event_type: str, **values: Any) -> None:
    """Change a row of a segment, by the type of its event."""
    rewrite(
        installation.database.archives_dir / str(tenant_id) / f"{named(ago)}.parquet",
        lambda rows: [
            row | values if json.loads(row["entry"]).get("event_type") == event_type else row for row in rows
        ],
    )


def test_a_changed_archive_makes_signatures_invalid(
    archived: Installation, signer: httpx.Client, tenant_id: UUID
) -> None:
    change(archived, tenant_id, OLDER, SIGNED_EVENT["event_type"], entry=b'{"event_id":"record/1"}')
    [shown] = listed(signer)
    assert (shown["state"], shown["valid"]) == ("invalid", False)
    assert "archive" in shown["problems"][0]
    assert signer.post("/api/audit/signatures", json=form(login=None)).status_code == 409
    assert signatures_control(archived, tenant_id)[0] == "fail"
    change(archived, tenant_id, OLDER, "audit.signature.created", row_hash=bytes(32))
    assert [one["state"] for one in listed(signer, "erasure", erased_ref(archived))] == ["invalid"]
    (archived.database.archives_dir / str(tenant_id) / f"{named(OLDER)}.parquet").unlink()
    assert [one["state"] for one in listed(signer)] == ["invalid"]


def test_after_a_deletion_by_approval_signatures_are_deleted_and_not_tampered_with(
    archived: Installation, signer: httpx.Client, tenant_id: UUID
) -> None:
    sign(signer, login=None, meaning="responsible")
    delete(archived, tenant_id, OLDER)
    old, new = listed(signer)
    assert {one["state"] for one in (old, new)} == {"deleted"}
    assert not old["valid"]
    for problem in old["problems"]:
        assert "deleted by approval" in problem
        assert "as two persons approved" in problem
    # The newer one's own entry is in the database: it still says whose it is.
    assert (new["printed_name"], len(new["problems"])) == ("Alice Liddell", 1)
    result, evidence = signatures_control(archived, tenant_id)
    assert (result, "3 cannot be compared any more" in evidence) == ("pass", True)
    refused = signer.post("/api/audit/signatures", json=form(login=None))
    assert (refused.status_code, "deleted by approval" in refused.json()["detail"]) == (409, True)
    assert [line.deleted for line in signature_lines(archived, tenant_id, month(OLDER), datetime.now(UTC))] == [
        True
    ] * 3


def test_an_erased_signer_is_erased_on_what_they_signed(
    archived: Installation, api: Api, signer: httpx.Client, tenant_id: UUID
) -> None:
    asked = {"record_kind": "event", "record_id": "record/1"}
    officer = api.client(tenant_id, "audit:read", "audit:privacy", "audit:admin", subject="officer@example.org")
    answer = officer.post("/api/audit/gdpr-erase", json={"user_id": "alice"})
    assert answer.json()["state"] == "erased", answer.text
    assert "account" in {copy["kind"] for copy in answer.json()["certificate"]["statement"]["copies"]}
    assert signer.get("/api/audit/signatures", params=asked).status_code == 401
    [shown] = officer.get("/api/audit/signatures", params=asked).json()["signatures"]
    assert (shown["printed_name"], shown["reason"], shown["state"]) == ("erased", "erased", "valid")
    lines = signature_lines(archived, tenant_id, month(OLDER) - timedelta(days=1), datetime.now(UTC))
    assert {line.printed_name for line in lines} == {"erased"}
    [account] = officer.get("/api/audit/accounts").json()["accounts"]
    assert (account["login"], account["name"], account["permissions"]) == ("erased", "erased", [])
    again = {"login": "alice", "name": "Another Alice", "permissions": ["audit:read"], "password": SECOND}
    assert officer.post("/api/audit/accounts", json=again).status_code == 409


def test_reports_that_print_an_erased_signers_name_are_made_anew(
    archived: Installation, api: Api, tenant_id: UUID, tmp_path: Path
) -> None:
    # Nothing that Alice did happened in the period, by the server's clock; the report prints who signed its event.
    export_window(archived, month(OLDER).date(), datetime.now(UTC).date() + timedelta(days=1), run_id="a test")
    period = Period(month(OLDER) - timedelta(days=1), month(OLDER) + timedelta(hours=1), tenant_id)
    [made] = make_reports(archived, "compliance", period, run_id="a test")
    before = made.path.read_bytes()
    officer = api.client(tenant_id, "audit:privacy", subject="officer@example.org")
    statement = officer.post("/api/audit/gdpr-erase", json={"user_id": "alice"}).json()["certificate"]["statement"]
    [copy] = [copy for copy in statement["copies"] if copy["kind"] == "compliance_report"]
    assert (copy["action"], copy["sha256_before"]) == ("rebuilt", hashlib.sha256(before).hexdigest())
    if shutil.which("pdftotext"):
        assert "Alice Liddell" in pdf_text(tmp_path / "before.pdf", before)
        assert "Alice Liddell" not in pdf_text(made.path)


def pdf_text(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    command = ["pdftotext", "-layout", str(path), "-"]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


# The access log


CHANGES: Final[Mapping[str, tuple[str, str]]] = {
    "a row deleted": ("delete from audit_access_log where seq = %(seq)s", "missing"),
    "other filters": ("update audit_access_log set filters = '{}' where seq = %(seq)s", "something else"),
    "another count": ("update audit_access_log set result_count = 99 where seq = %(seq)s", "something else"),
    "another reader": (
        "update audit_access_log set subject_ref = gen_random_uuid() where seq = %(seq)s",
        "something else",
    ),
    "another time": (
        "update audit_access_log set accessed_at = accessed_at + interval '1 s' where seq = %(seq)s",
        "something else",
    ),
    "another address": ("update audit_access_log set ip_index = 'x' where seq = %(seq)s", "something else"),
    "moved to the row before": ("update audit_access_log set seq = seq - 2 where seq = %(seq)s", "no entry"),
}


def test_rows_of_the_access_log_about_archived_months_are_compared(archived: Installation, tenant_id: UUID) -> None:
    assert findings(archived, tenant_id) == []
    with archived.database.connect_admin() as conn:
        [(seq,)] = conn.execute(
            "select min(seq) from audit_access_log where tenant_id = %s and action = 'events.show'", [tenant_id]
        ).fetchall()
        for what, (statement, expected) in CHANGES.items():
            conn.execute("create table kept as select * from audit_access_log")
            conn.execute("set session_replication_role = replica")
            assert conn.execute(statement, {"seq": seq}).rowcount == 1
            found = findings(archived, tenant_id)
            assert {kind for _, kind, _ in found} == {"access"}, what
            assert any(expected in text for _, _, text in found), (what, found)
            assert seq in {where for where, _, _ in found}, what
            conn.execute("delete from audit_access_log")
            columns = "tenant_id, accessed_at, subject_ref, action, filters, result_count, seq, event_id, row_hash, "
            columns += "ip_address, ip_index, user_agent"
            conn.execute(f"insert into audit_access_log ({columns}) select {columns} from kept order by access_id")
            conn.execute("drop table kept")
    assert findings(archived, tenant_id) == []


def test_archived_accesses_are_listed_proven_and_not_lost_with_their_reader(
    archived: Installation, api: Api, tenant_id: UUID
) -> None:
    admin = api.client(tenant_id, "audit:admin", "audit:read", "audit:privacy", subject="chief@example.org")
    reader = str(archived.vault.find(tenant_id, READER))
    rows = admin.get(ACCESS_LOG, params={"actor_ref": reader}).json()
    assert [one["action"] for one in rows["accesses"]] == ["events.list", "events.show", "events.list"]
    with archived.database.connect_admin() as conn:
        [(event_id,)] = conn.execute("select event_id from audit_access_log order by seq limit 1").fetchall()
    proof = evidence_for(archived.database, tenant_id, [event_id], *archived.verifier_keys)
    assert check_evidence(proof, str(archived.verifier_keys[0]))
    page = admin.get("/api/audit/events", params={"include": "access"}).json()
    assert page["archived"]["through"] == named(OLD)
    assert admin.get(f"/api/audit/events/{event_id}").json()["event_type"].startswith("audit.access.")
    archived.erase(tenant_id, READER)
    after = admin.get(ACCESS_LOG, params={"actor_ref": reader}).json()
    assert [one["action"] for one in after["accesses"]] == [one["action"] for one in rows["accesses"]]
    assert READER not in json.dumps(after)
    delete(archived, tenant_id, OLDER)
    assert findings(archived, tenant_id) == []


# Persons


def export(client: httpx.Client, person: str) -> dict[str, Any]:
    answer = client.post("/api/audit/gdpr-export", json={"user_id": person})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["complete"] is True
    return document


def test_a_person_gets_archived_events_too_and_hears_of_deleted_months(
    archived: Installation, api: Api, tenant_id: UUID
) -> None:
    officer = api.client(tenant_id, "audit:privacy", subject="officer@example.org")
    told = export(officer, CAROL)
    *acted, exported = told["events"]
    assert [one["event_id"] for one in acted] == ["record/1", "later", "now"]
    assert ([one["role"] for one in acted], exported["event_type"]) == (["actor"] * 3, "audit.subject.exported")
    assert told["events"][0]["recorded_at"].startswith(named(OLDER))
    assert told["deleted_months"] == []
    assert told["counts"]["events"] == 4
    delete(archived, tenant_id, OLDER)
    told = export(officer, CAROL)
    assert [one["event_id"] for one in told["events"]][:2] == ["later", "now"]
    assert [one["month"] for one in told["deleted_months"]] == [named(OLDER)]
    reader = export(officer, READER)
    assert [one["action"] for one in reader["accesses"]][-1] == "events.list"


def test_an_erasure_follows_a_person_into_the_archive(archived: Installation, api: Api, tenant_id: UUID) -> None:
    until = datetime.now(UTC).date() + timedelta(days=1)
    export_window(archived, month(OLDER).date(), until, run_id="a test")
    lake = Lake(archived.settings.lake_dir)
    ref = str(archived.vault.find(tenant_id, CAROL))
    assert lake.events(tenant_id).filter(actor_ref=ref).height == 3
    officer = api.client(tenant_id, "audit:privacy", subject="officer@example.org")
    statement = officer.post("/api/audit/gdpr-erase", json={"user_id": CAROL}).json()["certificate"]["statement"]
    kinds = [copy["kind"] for copy in statement["copies"]]
    assert (kinds.count("archived_segments"), statement["events_in_ledger"]) == (2, 3)
    kept = [copy for copy in statement["copies"] if copy["kind"] == "archived_segments"]
    assert all(copy["action"] == "kept" and "destroyed key" in copy["reason"] for copy in kept)
    # Also what is brought into the lake anew, out of the archive.
    for _ in range(2):
        assert lake.events(tenant_id).filter(actor_ref=ref).height == 0
        about = lake.events(tenant_id).filter(entity_id=ref)
        assert set(about["entity_type"]) <= {"audit_subject"}
        export_window(archived, month(OLDER).date(), until, run_id="again")
    assert [day for day in count_days(archived, month(OLDER).date(), until) if day.ledger != day.lake] == []
    assert findings(archived, tenant_id) == []


# Holds


BOTH: Final = {OLDER, OLD}
HOLDS: Final[Mapping[str, tuple[dict[str, str], set[int], set[int], bool]]] = {
    "a person": ({"user_id": CAROL}, BOTH, BOTH, True),
    # They acted in no old month; of what is in the archive alone nobody can tell.
    "somebody new": ({"user_id": "erin"}, set(), BOTH, False),
    "a thing": ({"entity_type": EVENT["entity_type"], "entity_id": "held"}, {OLD}, BOTH, True),
    # Of an archive the times of its first and last event are known; accesses of the older month seem to be of today.
    "a span": (
        {"from": f"{month(OLD):%Y-%m-01}T00:00:00Z", "to": f"{month(OLD):%Y-%m-28}T00:00:00Z"},
        {OLD},
        BOTH,
        True,
    ),
    "a span before": ({"to": "2001-01-01T00:00:00Z"}, set(), set(), False),
    "the tenant": ({}, BOTH, BOTH, True),
}
"""What is asked for, the months that it keeps in the database and in the archive, and whether it keeps carol."""


@pytest.fixture
def held_thing(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    """An event about a thing, in the newer of the old months, and one of somebody who is new."""
    api.installation.ledger.append(
        tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d", actor="erin", event_id="new")]
    )
    api.installation.seal(tenant_id)


@pytest.mark.parametrize("name", HOLDS)
def test_a_hold_of_each_kind_stops_release_and_deletion(
    api: Api, signer: httpx.Client, held_thing: None, tenant_id: UUID, name: str
) -> None:
    asked, in_database, in_archive, forbids = HOLDS[name]
    if "entity_id" in asked:
        asked = asked | {"entity_id": "held-in-" + named(OLD)}
    installation = api.installation
    admin = api.client(tenant_id, "audit:admin", "audit:privacy", subject="chief@example.org")
    placed = admin.post("/api/audit/legal-holds", json=asked | {"reason": "case 7"})
    assert placed.status_code == 201, placed.text
    if "entity_id" in asked:
        # The thing is in no row: nothing holds the months in the database.
        in_database, forbids = set(), False
    done = retain(installation, run_id="a test")
    assert {one.month for one in done.released} == {named(ago) for ago in {OLDER, OLD} - in_database}
    assert {one.month for one in waiting_months(installation)} == {named(ago) for ago in in_database}
    assert all("case 7" in one.why for one in done.waiting)
    if forbids:
        with pytest.raises(LegalHoldError, match="case 7"):
            installation.erase(tenant_id, CAROL)
    admin.post(f"/api/audit/legal-holds/{placed.json()['hold_id']}/release", json={"reason": "over"})
    retain(installation, run_id="a test")
    # The same hold again, now that both months are in the archive alone.
    held = admin.post("/api/audit/legal-holds", json=asked | {"reason": "case 8"}).json()["hold_id"]
    archive_deletion.mark_due(installation)
    for ago in (OLDER, OLD):
        if ago in in_archive:
            with installation.database.connect_admin() as conn:
                assert conn.execute("select due_at from audit_archives where month = %s", [named(ago)]).fetchone() == (
                    None,
                )
    admin.post(f"/api/audit/legal-holds/{held}/release", json={"reason": "over"})
    archive_deletion.mark_due(installation)
    for ago in (OLDER, OLD):
        archive_deletion.approve(installation, tenant_id, named(ago), "first@example.org")
    again = admin.post("/api/audit/legal-holds", json=asked | {"reason": "case 9"})
    assert again.status_code == 201
    for ago in (OLDER, OLD):
        path = f"/api/admin/archives/{named(ago)}/approvals"
        answer = api.client(tenant_id, "audit:admin", subject="second@example.org").post(path)
        assert answer.status_code == (409 if ago in in_archive else 201), answer.text
        if ago in in_archive:
            assert "case 9" in answer.json()["detail"]
    deleted, _ = archive_deletion.delete_approved(installation)
    assert {one.archive.month for one in deleted} == {named(ago) for ago in {OLDER, OLD} - in_archive}
    assert all(one.why.startswith(("1 of 2", "deleted")) for one in archive_deletion.list_archives(installation))


def asked_held(installation: Installation, tenant_id: UUID, since: datetime, until: datetime) -> bool:
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute("select audit_held(%s, %s, %s)", [tenant_id, since, until]).fetchone()
    return bool(row and row[0])


def test_a_span_that_is_partly_archived_is_held_as_a_whole(archived: Installation, api: Api, tenant_id: UUID) -> None:
    admin = api.client(tenant_id, "audit:admin", subject="chief@example.org")
    # "record/1" is in the archive; the rows that are here say nothing of it.
    admin.post("/api/audit/legal-holds", json={"user_id": CAROL, "reason": "case 1"})
    with archived.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from audit_logs where event_id = 'now'")
    now = datetime.now(UTC)
    assert asked_held(archived, tenant_id, month(OLDER), now)
    assert asked_held(archived, tenant_id, month(OLD), month(OLD) + timedelta(days=1))
    assert not asked_held(archived, tenant_id, now - timedelta(days=1), now)


# Days


def test_reviews_of_archived_days_have_their_figures_from_the_archive(
    archived: Installation, api: Api, signer: httpx.Client, tenant_id: UUID
) -> None:
    with archived.database.tenant_connection(tenant_id) as conn:
        days = conn.execute("select day, last_seq - first_seq + 1 from audit_archived_days order by day").fetchall()
    # As if the job had not run since: it looks back as far as it may.
    later = datetime.combine(days[-1][0], datetime.min.time(), UTC) + timedelta(days=390)
    make_due_reviews(archived, later)
    with archived.database.tenant_connection(tenant_id) as conn:
        rows = dict(conn.execute("select day, convert_from(content, 'UTF8')::json ->> 'events' from audit_reviews"))
    for day, events in days:
        assert rows.get(day, str(events)) == str(events), day
    assert rows[days[-1][0]] == str(days[-1][1])
    assert signer.get(REVIEWS).status_code == 200


def test_what_is_derived_goes_on_after_a_month_was_dropped(api: Api, signer: httpx.Client, tenant_id: UUID) -> None:
    installation = api.installation
    until = datetime.now(UTC).date() + timedelta(days=1)
    lake = Lake(installation.settings.lake_dir)

    def derive() -> None:
        first, last = pending_days(installation)
        export_window(installation, first, last + timedelta(days=1), run_id="a test")
        update_embeddings(installation, HashEmbedder(), run_id="a test")
        update_event_features(installation, run_id="a test")

    def texts() -> list[tuple[Any, ...]]:
        with installation.database.connect_admin() as conn:
            return conn.execute("select seq, text_hash from audit_event_texts order by seq").fetchall()

    derive()
    features, known, parts = lake.read("event_features", tenant_id), texts(), lake.parts(tenant_id)
    retain(installation, run_id="a test")
    assert pending_days(installation)[0] == datetime.now(UTC).date()
    derive()
    assert (lake.read("event_features", tenant_id).equals(features), texts(), lake.parts(tenant_id)) == (
        True,
        known,
        parts,
    )
    more = [Event(event_type="a.b", entity_type="c", entity_id="d", actor=CAROL) for _ in range(3)]
    installation.ledger.append(tenant_id, more)
    derive()
    after = lake.read("event_features", tenant_id)
    assert (len(texts()), after.head(features.height).equals(features)) == (len(known) + 3, True)
    assert [day for day in count_days(installation, month(OLDER).date(), until) if day.ledger != day.lake] == []
