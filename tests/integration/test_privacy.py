"""What persons and courts ask for: everything about somebody, their erasure over HTTP, and holds that forbid it."""

import io
import json
import time
import tracemalloc
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from test_server_running import Api

from audit_pipelines.derive import report_deliveries, report_schedules
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.identity.accounts import LoginRefusedError
from audit_pipelines.identity.credentials import Origin
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import verify_certificate
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.erasure import LegalHoldError, UnknownPersonError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.verify_evidence import RefusedError
from audit_pipelines.privacy import erasing, holds, subject_access
from audit_pipelines.privacy.holds import Subject

pytest_plugins = ["test_server_running"]

ALICE, BOB = "alice.quist@example.org", "bob.berg@example.org"
ADDRESS = "192.0.2.77"
CAROL = "carol@else.example"
OFFICER = "officer@example.org"
PASSWORD, OTHER_PASSWORD = "long enough otter 1", "another otter 22"
EXPORT, ERASE, HOLDS = "/api/audit/gdpr-export", "/api/audit/gdpr-erase", "/api/audit/legal-holds"


def event(actor: str | None = ALICE, **changes: Any) -> Event:
    fields = {"event_type": "record.read", "entity_type": "record", "entity_id": "r-1", "actor": actor}
    return Event(**fields | {"ip_address": ADDRESS, "details": {"note": f"by {actor}"}} | changes)


@pytest.fixture
def admin(installation: Installation) -> Iterator[psycopg.Connection[Any]]:
    with installation.database.connect_admin() as conn:
        yield conn


def ref_of(installation: Installation, tenant_id: uuid.UUID, name: str) -> str:
    return str(installation.vault.find(tenant_id, name))


def erased(client: httpx.Client, who: str) -> httpx.Response:
    """Ask until the copies were followed; a busy machine takes longer than the server waits."""
    answer = client.post(ERASE, json={"user_id": who})
    while answer.status_code == 202:
        time.sleep(1)
        answer = client.post(ERASE, json={"user_id": who})
    return answer


# Everything about a person


@pytest.fixture
def told(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    """A ledger in which Alice acts, is acted upon, is spoken of openly and under others' keys, and one of Bob's own."""
    installation.ledger.append(
        tenant_id,
        [
            event(details={"by": ALICE, "email": BOB, "cc": [CAROL, BOB], "n": 7}, user_agent=f"m {ALICE}"),
            event(entity_type="folder", entity_id="home/alice.quist"),
            event(BOB, entity_type="user", entity_id=ALICE, details={"note": f"by {BOB}", "email": ALICE}),
            event(BOB, details={"said": "alice.quist was here"}),
            event(BOB, details={"email": ALICE, "phone": "+1 555 0100"}),
            event(BOB, details={"password": "x", "note": "aliced.quist"}),
            event(None, details={"token": f"for {ALICE}"}, ip_address=None),
            event("dora@example.org"),
        ],
    )
    return installation


def test_a_person_gets_every_event_about_them_in_clear_and_of_others_references_alone(
    told: Installation, tenant_id: uuid.UUID
) -> None:
    person = subject_access.find_person(told, tenant_id, ALICE.upper())
    content = b"".join(subject_access.export_person(told, person, "json"))
    document = json.loads(content)
    alice, bob = str(person.ref), ref_of(told, tenant_id, BOB)
    shown = {one["seq"]: one for one in document["events"]}
    roles = {0: "actor", 1: "actor", 2: "entity", 3: "mentioned", 4: "mentioned", 6: "mentioned"}
    assert {seq: one["role"] for seq, one in shown.items()} == roles
    assert document["person"] == document["person"] | {"actor_ref": alice, "identity": ALICE}
    assert document["counts"]["events"] == len(roles)
    assert document["complete"] is True

    assert shown[0]["details"] == {
        "by": ALICE,
        "email": f"person {bob}",
        "cc": ["[address of another person]", f"person {bob}"],
        "n": 7,
    }
    assert (shown[0]["ip_address"], shown[0]["user_agent"]) == (ADDRESS, f"m {ALICE}")
    assert (shown[1]["entity_id"], "$entity_id" in str(shown[1])) == ("home/alice.quist", False)
    assert (shown[2]["actor_ref"], shown[2]["entity_id"], shown[2]["ip_address"]) == (bob, alice, None)
    assert shown[2]["details"] == {"note": "[sealed under another person's key]", "email": ALICE}
    assert shown[3]["details"] == {"said": "alice.quist was here"}
    assert shown[4]["details"] == {"email": ALICE, "phone": "[sealed under another person's key]"}
    assert shown[6]["details"] == {"token": f"for {ALICE}"}
    assert b"bob.berg" not in content
    assert b"dora" not in content
    with told.database.tenant_connection(tenant_id) as conn:
        rows = conn.execute("select seq, encode(row_hash, 'hex') from audit_logs where seq < 7").fetchall()
    hashes = dict(rows)
    assert all(one["row_hash"] == hashes[seq] for seq, one in shown.items())


def test_nothing_of_another_tenant_or_of_somebody_erased_is_given(told: Installation, tenant_id: uuid.UUID) -> None:
    other = uuid.uuid4()
    told.ledger.append(other, [event(BOB)])
    with pytest.raises(UnknownPersonError):
        subject_access.find_person(told, other, ALICE)
    with pytest.raises(UnknownPersonError):
        subject_access.find_person(told, other, ref_of(told, tenant_id, ALICE))
    ref = ref_of(told, tenant_id, ALICE)
    told.erase(tenant_id, ALICE)
    for who in (ALICE, ref):
        with pytest.raises(UnknownPersonError):
            subject_access.find_person(told, tenant_id, who)


def test_the_export_has_accesses_anomalies_signatures_and_the_account_without_its_password(
    told: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    ref = ref_of(told, tenant_id, ALICE)
    told.access_log.record(tenant_id, Access(actor=ALICE, action="events.list", filters={}, result_count=3))
    accounts = open_identity(told, hasher=Hasher(passes=1, memory_kib=64, lanes=1)).accounts
    accounts.add(tenant_id, ALICE, PASSWORD, name="Alice Quist", permissions=["audit:read"], by=OFFICER)
    [(hashed,)] = admin.execute("select password_hash from audit_users").fetchall()
    admin.execute(
        "insert into audit_signatures (tenant_id, signature_id, session_id, record_kind, record_id, record_hash, "
        "signer_ref, meaning, signed_at, seq, row_hash) "
        "values (%s, gen_random_uuid(), gen_random_uuid(), 'event', 'e', %s, %s, 'reviewed', now(), 1, %s)",
        [tenant_id, bytes(32), ref, bytes(32)],
    )
    admin.execute(
        "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, "
        "severity, reasons, model_id, run_id) values (%s, 0, 'e', %s, now(), %s, 'a', 0.9, 'high', %s, 'm', 'r')",
        [tenant_id, bytes(32), ref, Jsonb([{"feature": "f", "text": "first of its kind", "share": 1}])],
    )
    content = b"".join(subject_access.export_person(told, subject_access.find_person(told, tenant_id, ref), "json"))
    document = json.loads(content)
    counts = {name: document["counts"][name] for name in ("accesses", "accounts", "signatures", "anomalies")}
    assert counts == dict.fromkeys(counts, 1)
    [account] = document["accounts"]
    assert (account["login"], account["name"], account["sessions"]) == (ALICE, "Alice Quist", [])
    assert not [piece for piece in (hashed.encode(), b"sealed_name", b"login_index", b"argon2") if piece in content]


def test_a_zip_holds_the_json_and_pages_that_can_be_read(told: Installation, tenant_id: uuid.UUID) -> None:
    person = subject_access.find_person(told, tenant_id, ALICE)
    with zipfile.ZipFile(io.BytesIO(b"".join(subject_access.export_person(told, person, "zip")))) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("personal-data.json"))["complete"] is True
        assert archive.read("personal-data.pdf").startswith(b"%PDF-")


def test_memory_does_not_grow_with_the_events(installation: Installation, tenant_id: uuid.UUID) -> None:
    peaks, sizes = [], []
    for more in (1, 4):
        for _ in range(more):
            text = {"note": f"by {ALICE}", "text": "x" * 6_000}
            installation.ledger.append(tenant_id, [event(details=text | {"number": number}) for number in range(500)])
        person = subject_access.find_person(installation, tenant_id, ALICE)
        tracemalloc.start()
        sizes.append(sum(map(len, subject_access.export_person(installation, person, "json"))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sizes[1] > 4 * sizes[0]
    assert peaks[1] - peaks[0] < (sizes[1] - sizes[0]) / 4


def test_over_http_it_is_streamed_logged_and_stands_in_the_ledger(api: Api, tenant_id: uuid.UUID) -> None:
    api.installation.ledger.append(tenant_id, [event()])
    client = api.client(tenant_id, "audit:privacy", subject=OFFICER)
    for body, media_type in (
        ({"user_id": ALICE}, "application/json"),
        ({"user_id": ALICE, "format": "pdf"}, "application/pdf"),
        ({"user_id": ALICE, "format": "zip"}, "application/zip"),
    ):
        answer = client.post(EXPORT, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert ALICE not in answer.headers["content-disposition"]
    with api.installation.database.tenant_connection(tenant_id) as conn:
        logged = conn.execute("select action, filters ->> 'format', result_count from audit_access_log").fetchall()
        noted = conn.execute("select entity_id from audit_logs where event_type = 'audit.subject.exported'").fetchall()
    assert logged == [("persons.export", "json", 1), ("persons.export", "pdf", 2), ("persons.export", "zip", 3)]
    assert noted == [(ref_of(api.installation, tenant_id, ALICE),)] * 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (EXPORT, {"user_id": "nobody@example.org"}, 404),
        (EXPORT, {"user_id": str(uuid.UUID(int=7))}, 404),
        (EXPORT, {"user_id": ALICE, "format": "xml"}, 422),
        (EXPORT, {}, 422),
        (EXPORT, [], 422),
        (EXPORT, {"user_id": "a\u0000b"}, 422),
        (EXPORT, {"user_id": ALICE, "else": 1}, 422),
        (ERASE, {"user_id": "nobody@example.org"}, 404),
        (ERASE, {"user_id": str(uuid.UUID(int=7))}, 404),
        (ERASE, {"user_id": 7}, 422),
        (HOLDS, {"reason": " "}, 422),
        (HOLDS, {"reason": "case 1", "user_id": "nobody@example.org"}, 404),
        (HOLDS, {"reason": "case 1", "entity_type": "record"}, 422),
        (HOLDS, {"reason": "case 1", "entity_type": "record", "entity_id": "r", "from": "2026-01-01T00:00:00Z"}, 422),
        (HOLDS, {"reason": "case 1", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 422),
        (HOLDS, {"reason": "case 1", "from": "yesterday"}, 422),
        (HOLDS, {"reason": "against alice.quist", "user_id": ALICE}, 422),
        (f"{HOLDS}/x/release", {"reason": "over"}, 404),
        (f"{HOLDS}/{uuid.UUID(int=7)}/release", {"reason": "over"}, 404),
    ],
)
def test_what_cannot_be_is_refused_and_does_nothing(
    api: Api, tenant_id: uuid.UUID, path: str, body: Any, status: int
) -> None:
    api.installation.ledger.append(tenant_id, [event()])
    answer = api.client(tenant_id).post(path, json=body)
    assert answer.status_code == status
    assert "nobody@example.org" not in answer.text
    assert ALICE not in answer.text
    assert api.count(tenant_id) == 1
    assert api.count(tenant_id, "audit_legal_holds") == 0


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", EXPORT, "audit:privacy"),
        ("POST", ERASE, "audit:privacy"),
        ("GET", HOLDS, "audit:admin"),
        ("POST", HOLDS, "audit:admin"),
        ("POST", f"{HOLDS}/{uuid.UUID(int=7)}/release", "audit:admin"),
    ],
)
def test_each_path_needs_its_one_permission(
    api: Api, tenant_id: uuid.UUID, method: str, path: str, permission: str
) -> None:
    others = {"audit:read", "audit:write", "audit:export", "audit:sign", "audit:privacy", "audit:admin"} - {permission}
    assert api.client(tenant_id, *others).request(method, path, json={}).status_code == 403
    assert api.client(tenant_id, permission).request(method, path, json={}).status_code not in {401, 403}
    assert api.anonymous().request(method, path, json={}).status_code == 401


# Erasure over HTTP


def sent_to_both(installation: Installation, tenant_id: uuid.UUID, report_id: uuid.UUID) -> None:
    """Queue messages of a due report, as if it had been made."""
    now = datetime.now(UTC)
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(
            "insert into audit_due_reports (tenant_id, report_id, due_at, since, next_try_at) "
            "values (%s, %s, %s, %s, %s)",
            [tenant_id, report_id, now, now - timedelta(days=1), now],
        )
        report_deliveries.queue(installation, conn, tenant_id, report_id, now, now=now)
        conn.execute("update audit_report_deliveries set state = 'waiting'")


def test_an_erasure_is_certified_and_asking_again_gives_the_same_certificate(
    api: Api, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    api.installation.ledger.append(tenant_id, [event(), event(BOB)])
    ref = ref_of(api.installation, tenant_id, ALICE)
    accounts = open_identity(api.installation, hasher=Hasher(passes=1, memory_kib=64, lanes=1)).accounts
    accounts.add(tenant_id, ALICE, PASSWORD, name="Alice Quist", permissions=["audit:read"], by=OFFICER)
    accounts.change_password(tenant_id, ALICE, PASSWORD, OTHER_PASSWORD, Origin())
    accounts.log_in(tenant_id, ALICE, OTHER_PASSWORD, Origin())
    wanted = report_schedules.Wanted(kind="security", cron="0 6 * * *", recipients=[BOB, ALICE])
    scheduled = report_schedules.add(api.installation, tenant_id, wanted, by=OFFICER).report_id
    about = report_schedules.Wanted(kind="person", cron="0 6 * * *", person=ALICE)
    about_her = report_schedules.add(api.installation, tenant_id, about, by=OFFICER).report_id
    sent_to_both(api.installation, tenant_id, scheduled)
    client = api.client(tenant_id, "audit:privacy", subject=OFFICER)
    first = erased(client, f" {ALICE.title()}")
    assert (first.status_code, first.json()["actor_ref"]) == (200, ref)
    assert first.json()["state"] in {"erased", "already_erased"}
    key = str(api.installation.verifier_keys[0])
    assert verify_certificate.verify_certificate(first.content, key)
    statement = first.json()["certificate"]["statement"]
    receipt = admin.execute(
        "select seq, encode(row_hash, 'hex') from audit_logs where event_type = 'audit.subject.erased'"
    ).fetchone()
    assert (statement["seq"], statement["row_hash"]) == receipt
    assert statement["requested_by"] == ref_of(api.installation, tenant_id, OFFICER)
    assert [copy["kind"] for copy in statement["copies"]] == [
        "account",
        "scheduled_report",
        "scheduled_report",
        "vault",
    ]
    assert {copy["action"] for copy in statement["copies"]} == {"purged"}
    for who in (ALICE, ref):
        again = client.post(ERASE, json={"user_id": who}).json()
        assert (again["state"], again["certificate"]) == ("already_erased", first.json()["certificate"])
    assert client.post(ERASE, json={"user_id": CAROL}).status_code == 404
    closed = "select password_hash, former_hashes, permissions, disabled_at is not null from audit_users"
    assert admin.execute(closed).fetchone() == ("", [], [], True)
    assert admin.execute("select end_reason from audit_sessions").fetchall() == [("erased",)]
    with pytest.raises(LoginRefusedError):
        accounts.log_in(tenant_id, ALICE, OTHER_PASSWORD, Origin())
    with pytest.raises(ConflictError):
        accounts.add(tenant_id, ALICE, PASSWORD, name="Alice Again", permissions=["audit:read"], by=OFFICER)
    [shown] = accounts.list(tenant_id)
    assert (shown.login, shown.name, str(shown.user_id)) == ("erased", "erased", ref)
    left = {one.report_id: one for one in report_schedules.listed(api.installation, tenant_id)}
    assert (left[scheduled].recipients, left[scheduled].enabled, left[about_her].enabled) == ((BOB,), True, False)
    sent = report_schedules.dues(api.installation, tenant_id, scheduled)[0]["deliveries"]
    assert {(one["recipient"], one["state"]) for one in sent} == {(BOB, "waiting"), ("erased", "dead")}
    assert [one.findings for one in api.installation.verify() if one.findings] == []


def test_where_the_copies_lie_elsewhere_nothing_is_certified(
    api: Api, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    api.installation.ledger.append(tenant_id, [event()])
    made_of = Jsonb([{"kind": "audit_logs", "first_seq": 0, "last_seq": 0, "digest": ""}])
    admin.execute(
        "insert into audit_lineage (tenant_id, output_kind, output_key, output_digest, inputs, code_version, run_id) "
        "values (%s, 'raw_events', 'lake/raw_events/part', %s, %s, 'v', 'r')",
        [tenant_id, bytes(32), made_of],
    )
    answer = api.client(tenant_id).post(ERASE, json={"user_id": ALICE})
    assert (answer.status_code, answer.json()["state"], answer.json()["certificate"]) == (202, "purging", None)
    assert int(answer.headers["Retry-After"]) > 0
    assert [ref for _, ref in erasing.unfinished(api.installation, grace_s=0)] == [
        uuid.UUID(answer.json()["actor_ref"])
    ]


def test_who_acts_after_an_erasure_is_erased_as_somebody_new(api: Api, tenant_id: uuid.UUID) -> None:
    client = api.client(tenant_id)
    refs = set()
    for _ in range(2):
        api.installation.ledger.append(tenant_id, [event()])
        refs.add(erased(client, ALICE).json()["actor_ref"])
    assert len(refs) == 2


@pytest.mark.parametrize("place", ["statement", "signature", "verifier_key", "format", "more"])
def test_a_certificate_that_was_changed_is_refused(told: Installation, tenant_id: uuid.UUID, place: str) -> None:
    begun = erasing.begin(told, tenant_id, ALICE)
    certificate = json.loads(erasing.finish(told, tenant_id, begun.actor_ref, run_id="test") or "")
    key = str(told.verifier_keys[0])
    if place == "statement":
        certificate["statement"]["copies"][0]["action"] = "kept"
    elif place == "signature":
        certificate["signature"] = "A" * 86 + "=="
    elif place == "more":
        certificate["note"] = "trust me"
    else:
        certificate[place] = certificate[place].replace("a", "b", 1)
    with pytest.raises((RefusedError, ValueError)):
        verify_certificate.verify_certificate(json.dumps(certificate).encode(), key)


def test_no_page_of_the_vault_keeps_what_was_destroyed(
    told: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    ref = told.vault.find(tenant_id, ALICE)
    row = admin.execute(
        "select sealed_identity, wrapped_key, actor_index from audit_subjects where actor_ref = %s", [ref]
    ).fetchone()
    assert row
    kept = [row[0].encode(), row[1], row[2]]

    def pages() -> bytes:
        admin.execute("checkpoint")
        [(folder,)] = admin.execute("show data_directory").fetchall()
        [(path,)] = admin.execute("select pg_relation_filepath('audit_subjects')").fetchall()
        [(toast,)] = admin.execute(
            "select pg_relation_filepath(reltoastrelid) from pg_class where relname = 'audit_subjects'"
        ).fetchall()
        read = "select string_agg(pg_read_binary_file(p), ''::bytea) from unnest(%s::text[]) as p"
        found = admin.execute(read, [[f"{folder}/{one}" for one in (path, toast)]]).fetchone()
        return bytes(found[0]) if found else b""

    def statistics() -> str:
        columns = "string_agg(histogram_bounds::text || coalesce(most_common_vals::text, ''), ' ')"
        shown = admin.execute(f"select {columns} from pg_stats where tablename = 'audit_subjects'").fetchone()
        return str(shown)

    admin.execute("analyze audit_subjects")
    assert kept[2].hex() in statistics()
    assert not any(value in statistics() for value in (kept[0].decode(), kept[1].hex()))
    before = pages()
    assert all(value in before for value in kept)
    told.erase(tenant_id, ALICE)
    assert any(value in pages() for value in kept), "or there is nothing to purge"
    erasing.finish(told, tenant_id, ref or uuid.uuid4(), run_id="test")
    after = pages()
    assert not any(value in after for value in kept)
    assert kept[2].hex() not in statistics()


def test_what_was_begun_and_left_is_finished_by_whoever_looks_after_it(
    told: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    told.erase(tenant_id, ALICE)
    assert erasing.unfinished(told) == []
    assert erasing.finish_all(told, run_id="later", grace_s=0)
    assert erasing.finish_all(told, run_id="later", grace_s=0) == []
    [(certificate,)] = admin.execute("select certificate from audit_erasures").fetchall()
    assert json.loads(certificate)["statement"]["copies"]


@pytest.mark.parametrize("role", ["audit_app", "audit_pipeline", "audit_reader", "audit_custodian"])
@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit_erasures",
        "delete from audit_erasure_copies",
        "delete from audit_legal_holds",
        "update audit_erasures set seq = 0",
        "update audit_erasures set certificate = 'x', certified_at = now()",
        "update audit_legal_holds set reason = 'x'",
        "update audit_erasure_copies set action = 'kept'",
    ],
)
def test_no_role_rewrites_what_was_certified_or_held(
    told: Installation, tenant_id: uuid.UUID, role: Any, statement: str
) -> None:
    holds.place(told, tenant_id, Subject(), reason="case 1", by=OFFICER)
    with told.database.connect_admin() as conn:
        conn.execute("update audit_legal_holds set released_at = now(), released_by = placed_by, release_reason = 'x'")
    begun = erasing.begin(told, tenant_id, ALICE)
    erasing.finish(told, tenant_id, begun.actor_ref, run_id="test")
    with psycopg.connect(told.database.conninfo(role)) as conn:
        conn.execute("select set_config('app.current_tenant_id', %s, false)", [str(tenant_id)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)
    with told.database.connect_admin() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)


# Holds


def test_a_hold_is_placed_shown_and_released_and_each_is_an_event(api: Api, tenant_id: uuid.UUID) -> None:
    api.installation.ledger.append(tenant_id, [event(), event(BOB)])
    client = api.client(tenant_id, "audit:admin", subject=OFFICER)
    placed = client.post(HOLDS, json={"reason": "case 4711", "user_id": ALICE})
    assert placed.status_code == 201
    hold = placed.json()
    alice, officer = (ref_of(api.installation, tenant_id, who) for who in (ALICE, OFFICER))
    assert (hold["scope"], hold["filters"], hold["placed_by"]) == ("person", {"actor_ref": alice}, officer)
    privacy = api.client(tenant_id, "audit:privacy")
    refused = privacy.post(ERASE, json={"user_id": ALICE})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:audit-pipelines:problem:legal-hold")
    assert "case 4711" in refused.json()["detail"]
    assert erased(privacy, BOB).status_code == 200
    assert client.get(HOLDS).json()["holds"] == [hold]
    path = f"{HOLDS}/{hold['hold_id']}/release"
    released = client.post(path, json={"reason": "settled"}).json()
    assert (released["released_by"], released["release_reason"]) == (officer, "settled")
    assert client.post(path, json={"reason": "settled"}).status_code == 404
    assert client.get(HOLDS).json()["holds"] == [released]
    assert api.client(uuid.uuid4()).get(HOLDS).json() == {"holds": []}
    assert erased(privacy, ALICE).status_code == 200
    with api.installation.database.tenant_connection(tenant_id) as conn:
        events = conn.execute(
            "select event_type, entity_id, actor_ref::text, details ->> 'reason' from audit_events "
            "where event_type like 'audit.hold%' order by seq"
        ).fetchall()
    assert events == [
        ("audit.hold.placed", hold["hold_id"], officer, "case 4711"),
        ("audit.hold.released", hold["hold_id"], officer, "settled"),
    ]


MARCH, APRIL = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("subject", "held"),
    [
        (Subject(), (True, True, True)),
        (Subject(person=ALICE), (True, False, True)),
        (Subject(person=CAROL), (False, False, True)),
        (Subject(entity_type="record", entity_id="of alice"), (True, False, True)),
        (Subject(entity_type="user", entity_id=BOB), (True, True, True)),
        (Subject(entity_type="record", entity_id="of nobody"), (False, False, False)),
        (Subject(since=MARCH, until=APRIL), (True, True, True)),
        (Subject(since=APRIL), (False, True, True)),
        (Subject(until=MARCH), (False, False, False)),
    ],
)
def test_each_kind_of_hold_forbids_what_it_covers_and_no_more(
    installation: Installation, tenant_id: uuid.UUID, subject: Subject, held: tuple[bool, bool, bool]
) -> None:
    alice_held, bob_held, month_held = held
    installation.ledger.append(
        tenant_id,
        [
            event(entity_id="of alice", occurred_at=MARCH),
            event(entity_type="user", entity_id=BOB, occurred_at=MARCH),
            event(BOB, entity_id="of bob", occurred_at=APRIL),
            event(CAROL, entity_id="of carol", occurred_at=MARCH),
        ],
    )
    now = datetime.now(UTC)
    holds.place(installation, tenant_id, subject, reason="case 1", by=OFFICER)
    for who, is_held in ((ALICE, alice_held), (BOB, bob_held)):
        if is_held:
            with pytest.raises(LegalHoldError, match="case 1"):
                installation.erase(tenant_id, who)
        else:
            assert installation.erase(tenant_id, who).receipt
    asked = "select audit_held(%s, %s, %s)"
    with installation.database.connection("audit_custodian") as conn:
        window = (now - timedelta(days=1), now + timedelta(days=1))
        assert conn.execute(asked, [tenant_id, *window]).fetchone() == (month_held,)
        # Nothing is there to look at: it may have been archived.
        assert conn.execute(asked, [tenant_id, now - timedelta(days=90), window[0]]).fetchone() == (True,)
        assert conn.execute(asked, [uuid.uuid4(), *window]).fetchone() == (False,)


def test_a_released_hold_holds_nothing(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [event()])
    placed = holds.place(installation, tenant_id, Subject(), reason="case 1", by=OFFICER)
    holds.release(installation, tenant_id, placed.hold_id, reason="over", by=OFFICER)
    now = datetime.now(UTC)
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute("select audit_held(%s, %s, %s)", [tenant_id, now - timedelta(days=1), now]).fetchone()
    assert row == (False,)
    assert installation.erase(tenant_id, ALICE).receipt


def test_a_hold_whose_event_cannot_be_stored_is_none(
    installation: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [event()])
    admin.execute("alter table audit_logs add constraint shut check (event_type not like 'audit.hold%') not valid")
    with pytest.raises(psycopg.errors.CheckViolation):
        holds.place(installation, tenant_id, Subject(), reason="case 1", by=OFFICER)
    assert holds.listed(installation, tenant_id) == []
    with pytest.raises(ValidationError, match="one kind"):
        holds.place(installation, tenant_id, Subject(person=ALICE, since=MARCH), reason="case 1", by=OFFICER)
