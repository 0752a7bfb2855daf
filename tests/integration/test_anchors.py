"""Anchors outside the database, against servers that speak their protocols, and the register of what became of them."""

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from audit_pipelines.anchors.authority import AuthorityAnchor
from audit_pipelines.anchors.bucket import Access, BucketAnchor
from audit_pipelines.anchors.folder import FolderAnchor
from audit_pipelines.anchors.reading import Anchors
from audit_pipelines.anchors.register import anchor_due, states
from audit_pipelines.anchors.webhook import WebhookAnchor
from audit_pipelines.checks import anchors_current
from audit_pipelines.db.database import Database
from audit_pipelines.errors import AnchorUnavailableError, ConfigurationError, TamperedError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger.checkpoint import FileAnchor
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence, check_time_stamps
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.time_stamp import verify_token
from audit_pipelines.ledger.verify_evidence import to_bytes
from audit_pipelines.outgoing import Outgoing
from audit_pipelines.settings import Settings
from tests.integration.anchor_servers import Authority, Server, Storage, serving

LOCAL = Outgoing.allowing(["127.0.0.1"])
SECRET = "a shared secret of thirty-two bytes or more"
FAULTS = [
    ((429, {"Retry-After": "7200"}, b""), "status 2xx, got 429"),
    ((500, {}, b"details that hold a secret"), "status 2xx, got 500"),
    ((302, {"Location": "http://127.0.0.1:1/"}, b""), "status 2xx, got 302"),
    ("hang", "no answer within"),
    ("cut", "broke off"),
    ("slow head", "no answer within"),
    ("slow body", "no answer within"),
]


def patience(fault: object) -> float:
    """Return seconds to wait: few where the answer never comes, many where it does, however busy the machine is."""
    return 0.5 if fault in ("hang", "slow head", "slow body") else 20


def seal_more(installation: Installation, tenant_id: uuid.UUID, count: int = 3) -> str:
    """Store events, seal them and return the note."""
    installation.ledger.append(
        tenant_id, [Event(event_type="a.b", entity_type="record", entity_id=str(number)) for number in range(count)]
    )
    assert installation.seal(tenant_id)
    return installation.anchor.read(tenant_id).notes[-1]


@pytest.fixture
def note(installation: Installation, tenant_id: uuid.UUID) -> str:
    return seal_more(installation, tenant_id)


@pytest.fixture
def webhook() -> Iterator[Server]:
    with serving(lambda *_: (200, {}, b"thanks")) as server:
        yield server


@pytest.fixture
def storage() -> Iterator[tuple[Storage, Server]]:
    kept = Storage()
    with serving(kept) as server:
        yield kept, server


def hook(server: Server, **options: object) -> WebhookAnchor:
    return WebhookAnchor("hook", f"http://127.0.0.1:{server.port}/token-in-path", SECRET.encode(), LOCAL, **options)


def bucket(server: Server, location: str = "ledger/notes", **options: object) -> BucketAnchor:
    access = Access(f"http://127.0.0.1:{server.port}", "eu-central-1", "somebody", "hidden-key")
    return BucketAnchor("bucket", location, access, LOCAL, **options)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[tuple[Authority, Server, AuthorityAnchor]]:
    signing = Authority()
    certificates = tmp_path / "authorities.pem"
    certificates.write_bytes(signing.pem)
    with serving(signing) as server:
        yield signing, server, AuthorityAnchor("tsa", f"http://127.0.0.1:{server.port}/", certificates, LOCAL)


# Webhook


def test_a_webhook_gets_the_note_signed(note: str, webhook: Server, tenant_id: uuid.UUID) -> None:
    hook(webhook).publish(note)
    _, path, headers, body = webhook.requests[0]
    assert path == "/token-in-path"
    assert json.loads(body)["note"] == note
    assert (json.loads(body)["tenant_id"], json.loads(body)["size"]) == (str(tenant_id), 3)
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-audit-signature"] == f"sha256={expected}"
    assert headers["idempotency-key"] == hashlib.sha256(note.encode()).hexdigest()


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_a_webhook_that_fails_is_told_in_words_without_secrets(
    note: str, webhook: Server, fault: object, words: str
) -> None:
    webhook.fault = fault
    with pytest.raises(AnchorUnavailableError, match=words) as caught:
        hook(webhook, timeout_s=patience(fault)).publish(note)
    assert "secret" not in str(caught.value)
    assert "token-in-path" not in str(caught.value) + repr(hook(webhook))
    assert caught.value.retry_after_s == (7200 if "429" in words else None)
    if fault in ("slow head", "slow body"):
        assert webhook.hung_up.wait(30)


def test_a_name_that_is_never_resolved_ends_with_the_deadline(note: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> list:
        asked.set()
        over.wait(60)
        return []

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    began = time.monotonic()
    try:
        with pytest.raises(AnchorUnavailableError, match="no answer within"):
            WebhookAnchor("hook", "https://receiver.example/", timeout_s=0.5).publish(note)
        assert time.monotonic() - began < 30
        assert asked.is_set()
    finally:
        over.set()


# Time-stamp authority


def test_a_time_stamp_is_over_the_exact_note(note: str, authority: tuple[Authority, Server, AuthorityAnchor]) -> None:
    signing, _, anchor = authority
    token = anchor.publish(note)
    stamp = verify_token(token, note, [signing.certificate])
    assert stamp.authority == "CN=Test Authority"
    assert abs(stamp.moment - datetime.now(UTC)) < timedelta(minutes=5)
    with pytest.raises(TamperedError, match="Mismatch between messages"):
        verify_token(token, note + "\n", [signing.certificate])
    with pytest.raises(TamperedError, match="verifying certificates"):
        verify_token(token, note, [Authority("Another").certificate])
    for place in (token.index(hashlib.sha256(note.encode()).digest()), len(token) - 1):
        changed = bytearray(token)
        changed[place] ^= 1
        with pytest.raises(TamperedError):
            verify_token(bytes(changed), note, [signing.certificate])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_tests_authority_convinces_openssl(
    note: str, authority: tuple[Authority, Server, AuthorityAnchor], tmp_path: Path
) -> None:
    _, _, anchor = authority
    (tmp_path / "token").write_bytes(anchor.publish(note))
    (tmp_path / "note").write_text(note)
    command = ["openssl", "ts", "-verify", "-token_in", "-in", tmp_path / "token", "-data", tmp_path / "note"]
    done = subprocess.run([*command, "-CAfile", anchor.certificates], capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout + done.stderr


def test_an_answer_that_is_not_to_be_believed_is_refused(
    note: str, authority: tuple[Authority, Server, AuthorityAnchor], tmp_path: Path
) -> None:
    signing, server, anchor = authority
    signing.nonce_shift = 1
    with pytest.raises(TamperedError, match="Nonce mismatch"):
        anchor.publish(note)
    signing.nonce_shift, signing.imprint = 0, bytes(32)
    with pytest.raises(TamperedError, match="Mismatch between messages"):
        anchor.publish(note)
    signing.imprint, signing.granted = None, False
    with pytest.raises(TamperedError):
        anchor.publish(note)
    signing.granted = True
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Another").pem)
    with pytest.raises(TamperedError, match="verifying certificates"):
        replace(anchor, certificates=other).publish(note)
    with pytest.raises(ConfigurationError, match="No such file"):
        replace(anchor, certificates=tmp_path / "missing.pem").publish(note)
    server.fault = (200, {"Content-Type": "application/timestamp-reply"}, b"0\x03\x02\x01")
    with pytest.raises(TamperedError, match="expected a TimeStampResp"):
        anchor.publish(note)
    server.fault = (200, {"Content-Type": "text/html"}, b"")
    with pytest.raises(AnchorUnavailableError, match="got 'text/html'"):
        anchor.publish(note)


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_an_authority_that_fails_is_told(
    note: str, authority: tuple[Authority, Server, AuthorityAnchor], fault: object, words: str
) -> None:
    _, server, anchor = authority
    server.fault = fault
    with pytest.raises(AnchorUnavailableError, match=words):
        replace(anchor, timeout_s=patience(fault)).publish(note)


# Object storage


def test_a_bucket_keeps_each_note_once_and_gives_it_back(
    note: str, storage: tuple[Storage, Server], tenant_id: uuid.UUID
) -> None:
    kept, server = storage
    anchor = bucket(server)
    anchor.publish(note)
    anchor.publish(note)
    digest = hashlib.sha256(note.encode()).hexdigest()
    key = f"notes/{tenant_id}/{3:020}-{digest}.note"
    assert kept.objects == {key: note.encode()}
    assert anchor.read_all({})[tenant_id].notes == (note,)
    server.requests.clear()
    assert anchor.read_all({digest: note})[tenant_id].notes == (note,)
    assert len(server.requests) == 1
    kept.objects[key] = b"something else"
    with pytest.raises(AnchorUnavailableError, match="another object lies"):
        anchor.publish(note)


SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate, hidden-key</Message></Error>"


@pytest.mark.parametrize(
    ("fault", "putting", "listing"),
    [
        ((500, {}, b""), "Generic, status 500", "Generic, status 500"),
        ((403, {}, b""), "PermissionDenied, status 403", "Generic, status 403"),
        ((429, {"Retry-After": "1"}, b""), "Generic, status 429", "Generic, status 429"),
        ((503, {"Retry-After": "1"}, SLOW_DOWN), "Generic, status 503", "Generic, status 503"),
        # Somebody else wrote the same name at the same time, and then the object cannot be seen either.
        ((412, {}, b""), "Precondition, status 412", "Generic, status 412"),
        ((409, {}, b""), "AlreadyExists, status 409", "Generic, status 409"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "Generic, status 302", "Generic"),
        ((200, {}, b"no listing"), "Generic", "Generic"),
        ("hang", "Timeout", "Timeout"),
        ("slow head", "Timeout", "Timeout"),
        # An object is kept once the head of the answer says so; what comes after it is not waited for.
        ("cut", None, "Generic"),
        ("slow body", None, "Timeout"),
    ],
)
def test_a_bucket_that_fails_is_told_in_words_without_secrets(
    note: str, storage: tuple[Storage, Server], fault: object, putting: str | None, listing: str
) -> None:
    kept, server = storage
    server.fault = fault
    anchor = bucket(server, timeout_s=patience(fault))
    for call, words in ((lambda: anchor.publish(note), putting), (lambda: anchor.read_all({}), listing)):
        began = time.monotonic()
        if words is None:
            call()
            assert [*kept.objects.values()] == [note.encode()]
            continue
        with pytest.raises(AnchorUnavailableError) as caught:
            call()
        assert str(caught.value) == f"object storage: {words}"
        assert "hidden-key" not in repr(anchor)
        # With the retries that the library makes by itself: a slow answer takes half a minute.
        assert time.monotonic() - began < 20
    server.fault = None
    bucket(server).publish(note)
    assert [*kept.objects.values()] == [note.encode()]


def test_what_is_damaged_in_a_bucket_is_named_and_the_rest_is_read(
    installation: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server]
) -> None:
    kept, server = storage
    anchor, other = bucket(server), uuid.uuid4()
    notes = [seal_more(installation, tenant_id) for _ in range(6)]
    for note in (*notes, seal_more(installation, other)):
        anchor.publish(note)
    *names, last = sorted(name for name in kept.objects if str(tenant_id) in name)
    flipped = bytearray(kept.objects[names[0]])
    flipped[-9] ^= 1
    kept.objects[names[0]] = bytes(flipped)
    kept.objects[names[1]] = kept.objects[names[1]][:-1]
    kept.objects[names[2]] = b""
    kept.objects[names[3]] += b"x" * 100_000
    # Right content under a size that is not its own, and no checkpoint at all under its right digest.
    renamed = names[4].replace(f"{15:020}", f"{99:020}")
    kept.objects[renamed] = kept.objects.pop(names[4])
    junk = f"notes/{other}/{1:020}-{hashlib.sha256(b'junk').hexdigest()}.note"
    kept.objects[junk] = b"junk"
    # Nobody's but their owner's.
    for name in ("notes/README.md", "notes/", f"notes/{tenant_id}/", f"notes/{tenant_id}/{3:020}.note", "elsewhere"):
        kept.objects[name] = b"hello"
    kept.objects[f"notes/deeper/{last.removeprefix('notes/')}"] = b"hello"
    logs = anchor.read_all({})
    assert set(logs) == {tenant_id, other}
    assert logs[tenant_id].notes == (notes[-1],)
    wrong = [name.removeprefix("notes/") for name in names[:4]]
    assert list(logs[tenant_id].altered) == [
        *(f"the object {name} does not have the content its name commits to" for name in wrong),
        f"the object {renamed.removeprefix('notes/')} holds no checkpoint of this name",
    ]
    assert len(logs[other].notes) == 1
    assert logs[other].altered == (f"the object {junk.removeprefix('notes/')} holds no checkpoint of this name",)
    assert logs[tenant_id].unread == logs[other].unread == ()
    # Who has the notes already sees what the listing shows.
    known = {hashlib.sha256(note.encode()).hexdigest(): note for note in notes}
    server.requests.clear()
    assert [
        name for name in wrong[1:] if not any(name in what for what in anchor.read_all(known)[tenant_id].altered)
    ] == []
    assert not any(wrong[0] in path for _, path, _, _ in server.requests)


def test_an_object_that_cannot_be_fetched_is_told_and_the_rest_is_read(
    installation: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server]
) -> None:
    kept, server = storage
    anchor = bucket(server)
    notes = [seal_more(installation, tenant_id) for _ in range(3)]
    for note in notes:
        anchor.publish(note)
    names = [name.removeprefix("notes/") for name in sorted(kept.objects)]
    server.faulty_path = names[1]
    for fault, words in (((404, {}, b""), "FileNotFound, status 404"), ("cut", "Generic"), ("slow body", "Timeout")):
        server.fault = fault
        anchor = bucket(server, timeout_s=1.5 if fault == "slow body" else 20)
        log = anchor.read_all({})[tenant_id]
        assert log.notes == (notes[0], notes[2])
        assert log.unread == (f"the object {names[1]} could not be read: object storage: {words}",)
        assert log.altered == ()
    server.faulty_path = str(tenant_id)
    server.fault = (403, {}, b"")
    assert anchor.read_all({})[tenant_id].unread[0].startswith(f"the object {names[0]} and 2 further ones could not")


def test_storage_that_goes_away_in_the_middle_is_not_asked_for_each_object(
    note: str, tenant_id: uuid.UUID, storage: tuple[Storage, Server]
) -> None:
    kept, server = storage
    for number in range(100):
        kept.objects[f"notes/{tenant_id}/{number:020}-{number:064x}.note"] = note.encode()
    server.faulty_path, server.fault = str(tenant_id), (403, {}, b"")
    log = bucket(server).read_all({})[tenant_id]
    assert "and 99 further ones could not be read" in log.unread[0]
    assert log.altered == log.notes == ()
    assert len(server.requests) == 1 + 16


# The register


def test_what_failed_is_recorded_paused_and_tried_again(
    installation: Installation, tenant_id: uuid.UUID, note: str, webhook: Server, tmp_path: Path
) -> None:
    keys, anchors = installation.verifier_keys, (FolderAnchor("folder", tmp_path / "far"), hook(webhook))
    now = datetime.now(UTC)
    webhook.fault = (500, {}, b"")

    def serve(minutes: float) -> list:
        return anchor_due(installation.database, anchors, keys, now=now + timedelta(minutes=minutes))

    folder, late = serve(0)
    assert (folder.anchored_size, folder.lag, folder.behind_since) == (3, 0, None)
    assert (late.anchored_size, late.lag, late.attempts) == (None, 3, 1)
    assert late.last_error == "expected status 2xx, got 500"
    assert late.next_try_at == now + timedelta(minutes=1)
    assert serve(0.5)[1].attempts == 1
    assert serve(1)[1].next_try_at == now + timedelta(minutes=3)
    # A newer checkpoint takes the older one's place and inherits its pause.
    newest = seal_more(installation, tenant_id)
    assert serve(2)[1].attempts == 2
    assert len(webhook.requests) == 2
    webhook.fault = (503, {"Retry-After": "86000"}, b"")
    assert serve(3)[1].next_try_at == now + timedelta(minutes=3, seconds=86000)
    webhook.fault = None
    folder, late = serve(60 * 24 + 30)
    assert (late.anchored_size, late.lag, late.last_error, late.attempts) == (6, 0, None, 0)
    assert json.loads(webhook.requests[-1][3])["note"] == newest
    assert [json.loads(body)["size"] for *_, body in webhook.requests] == [3, 3, 6, 6]
    assert FileAnchor(tmp_path / "far").read(tenant_id).notes == (note, newest)
    before = len(webhook.requests)
    serve(60 * 48)
    assert len(webhook.requests) == before


def test_an_anchor_that_is_away_costs_three_attempts_a_run(installation: Installation, webhook: Server) -> None:
    for _ in range(5):
        seal_more(installation, uuid.uuid4(), 1)
    webhook.fault = (500, {}, b"")
    now = datetime.now(UTC)
    anchor_due(installation.database, [hook(webhook)], installation.verifier_keys, now=now)
    assert len(webhook.requests) == 3
    webhook.fault = None
    anchor_due(installation.database, [hook(webhook)], installation.verifier_keys, now=now)
    late = anchor_due(
        installation.database, [hook(webhook)], installation.verifier_keys, now=now + timedelta(minutes=1)
    )
    assert [state.lag for state in late] == [0] * 5


def test_a_library_that_raises_anything_does_not_stop_sealing(installation: Installation, note: str) -> None:
    class Broken:
        name = "broken"

        def publish(self, note: str) -> None:
            raise RuntimeError("hidden-key")

    (state,) = anchor_due(installation.database, [Broken()], installation.verifier_keys)
    assert state.last_error == "unexpected RuntimeError"


def test_a_forged_note_does_not_leave_the_house(
    installation: Installation, tenant_id: uuid.UUID, note: str, webhook: Server
) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("alter table audit_checkpoints disable trigger user")
        conn.execute("update audit_checkpoints set note = replace(note, 'time 2', 'time 3')")
        conn.commit()
    (state,) = anchor_due(installation.database, [hook(webhook)], installation.verifier_keys)
    assert "does not fit its text" in state.last_error
    assert webhook.requests == []


def test_a_receipt_is_kept_and_nothing_anchored_changes(
    installation: Installation,
    tenant_id: uuid.UUID,
    note: str,
    authority: tuple[Authority, Server, AuthorityAnchor],
) -> None:
    signing, _, anchor = authority
    anchor_due(installation.database, [anchor], installation.verifier_keys)
    with installation.database.tenant_connection(tenant_id, "audit_reader") as conn:
        (token,) = conn.execute("select receipt from audit_anchorings").fetchone()
    assert verify_token(token, note, [signing.certificate])
    with installation.database.tenant_connection(uuid.uuid4(), "audit_reader") as conn:
        assert conn.execute("select * from audit_anchorings").fetchall() == []
    for role, change in [
        ("audit_pipeline", "update audit_anchorings set attempts = 9"),
        ("audit_pipeline", "update audit_anchorings set size = 9"),
        ("audit_pipeline", "delete from audit_anchorings"),
        ("audit_app", "update audit_anchorings set attempts = 9"),
        ("audit_app", "insert into audit_anchorings select * from audit_anchorings"),
    ]:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            installation.database.tenant_connection(tenant_id, role) as conn,
        ):
            conn.execute(change)
    for change in ("delete from audit_anchorings", "truncate audit_anchorings"):
        with installation.database.connect_admin() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(change)


# Reading back


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_database_rolled_back_with_its_anchor_folder_is_found_by_any_other_anchor(
    database: Database, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path, where: str
) -> None:
    _, server = storage
    configured = Settings(
        _env_file=None,
        audit_home=tmp_path / "home",
        audit_anchors=f"file://{tmp_path}/far" if where == "folder" else "s3://ledger/notes",
        aws_endpoint_url=f"http://127.0.0.1:{server.port}",
        aws_region="eu-central-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="hidden-key",
        audit_outgoing_allowed="127.0.0.1",
    )
    installation = assemble(configured, open_keyring(configured), database)
    seal_more(installation, tenant_id)
    assert [state.lag for state in installation.anchor_due()] == [0, 0]
    assert [one.intact for one in installation.verify()] == [True]
    with database.connect_admin() as conn:
        for table in ("audit_logs", "audit_checkpoints", "audit_event_ids", "audit_chain_heads"):
            conn.execute(f"alter table {table} disable trigger user")
            conn.execute(f"delete from {table}")
        conn.commit()
    shutil.rmtree(configured.anchors_dir)
    (result,) = installation.verify()
    assert result.tenant_id == tenant_id
    assert {finding.kind for finding in result.findings} == {"anchor"}


@pytest.fixture
def anchored(database: Database, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path) -> Installation:
    """An installation with a further folder and a bucket, each of which has every one of four checkpoints."""
    configured = Settings(
        _env_file=None,
        audit_home=tmp_path / "home",
        audit_anchors=f"file://{tmp_path}/far,s3://ledger/notes",
        aws_endpoint_url=f"http://127.0.0.1:{storage[1].port}",
        aws_region="eu-central-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="hidden-key",
        audit_outgoing_allowed="127.0.0.1",
    )
    installation = assemble(configured, open_keyring(configured), database)
    for _ in range(4):
        seal_more(installation, tenant_id)
        assert [state.lag for state in installation.anchor_due()] == [0, 0, 0]
    return installation


def test_damage_in_any_anchor_is_a_finding_that_names_it(
    anchored: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path
) -> None:
    (result,) = anchored.verify()
    assert (result.findings, result.warnings) == ((), ())
    far = tmp_path / "far" / f"{tenant_id}.notes"
    whole = far.read_bytes()
    far.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    (result,) = anchored.verify()
    (finding,) = result.findings
    assert finding.kind == "anchor"
    assert f"of the file of tenant {tenant_id} in anchor file://{tmp_path}/far are none that sealing wrote" in str(
        finding
    )
    # What a crash leaves is none, there as in the home.
    record = len(whole) // 4
    far.write_bytes(whole[: record + 50] + whole[record:])
    (result,) = anchored.verify()
    assert result.intact
    (warning,) = result.warnings
    assert f"in anchor file://{tmp_path}/far has a torn record in bytes {record} to {record + 50}" in warning
    far.write_bytes(whole)
    kept, _ = storage
    name = sorted(kept.objects)[1]
    kept.objects[name] += b"\n"
    kept.objects["notes/README.md"] = b"hello"
    (result,) = anchored.verify()
    (finding,) = result.findings
    expected = f"anchor s3://ledger/notes: the object {name.removeprefix('notes/')} does not have the content its name"
    assert expected in str(finding)


def test_one_wrong_object_does_not_hide_that_the_database_was_rolled_back(
    anchored: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path
) -> None:
    kept, _ = storage
    name = min(kept.objects)
    kept.objects[name] = kept.objects[name].replace(b"time 2", b"time 3")
    with anchored.database.connect_admin() as conn:
        for table in ("audit_logs", "audit_checkpoints", "audit_event_ids", "audit_chain_heads"):
            conn.execute(f"alter table {table} disable trigger user")
            conn.execute(f"delete from {table}")
        conn.commit()
    shutil.rmtree(anchored.settings.anchors_dir)
    shutil.rmtree(tmp_path / "far")
    (result,) = anchored.verify()
    said = [str(finding) for finding in result.findings]
    assert any(name.removeprefix("notes/") in line for line in said)
    for size in (6, 9, 12):
        assert any(f"the anchored checkpoint of size {size} is not in the database" in line for line in said)


def test_a_file_that_cannot_be_read_is_a_warning_and_hides_no_other(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    other, far = uuid.uuid4(), FolderAnchor("far", tmp_path / "far")
    far.publish(seal_more(installation, tenant_id))
    kept = seal_more(installation, other)
    far.publish(kept)
    (far.directory / f"{tenant_id}.notes").unlink()
    (far.directory / f"{tenant_id}.notes").mkdir()
    logs = far.read_all({})
    assert logs[tenant_id].unread == (f"the file of tenant {tenant_id} could not be read: Is a directory",)
    assert logs[other].notes == (kept,)


def test_an_anchor_that_cannot_be_read_is_a_warning(
    installation: Installation, tenant_id: uuid.UUID, note: str, tmp_path: Path
) -> None:
    anchors = Anchors(installation.settings.anchors_dir, [FolderAnchor("far", tmp_path / "missing")])
    assert anchors.read(tenant_id).notes == (note,)
    assert anchors.read_all() == {tenant_id: [note]}
    assert anchors.unread == {"far": "the folder is missing"}
    changed = {"audit_anchors": f"file://{tmp_path}/missing", "audit_home": installation.settings.audit_home}
    elsewhere = replace(installation, settings=Settings(_env_file=None, **changed))
    (result,) = elsewhere.verify()
    assert result.intact
    assert result.warnings == (f"anchor file://{tmp_path}/missing could not be read: the folder is missing",)


def test_the_check_names_the_anchor_that_is_behind(
    installation: Installation, tenant_id: uuid.UUID, note: str, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    changed = {"audit_anchors": f"file://{blocked}", "audit_home": installation.settings.audit_home}
    configured = replace(installation, settings=Settings(_env_file=None, **changed))
    configured.anchor_due()
    result = anchors_current(configured)
    assert not result.passed
    assert result.description.startswith(f"file://{blocked} is behind since 20")
    assert result.description.endswith("for 1 tenants: the folder cannot be written: Not a directory")
    installation.anchor_due()
    assert anchors_current(installation).passed
    assert [state.lag for state in states(installation.database, [FolderAnchor("home", tmp_path)])] == [0]


# Evidence


def test_evidence_carries_the_time_stamp_of_the_oldest_checkpoint_that_has_one(
    installation: Installation, tenant_id: uuid.UUID, authority: tuple[Authority, Server, AuthorityAnchor]
) -> None:
    signing, _, anchor = authority
    installation.ledger.append(
        tenant_id, [Event(event_type="a.b", entity_type="record", entity_id="1", event_id="first")]
    )
    installation.seal(tenant_id)
    seal_more(installation, tenant_id)
    anchor_due(installation.database, [anchor], installation.verifier_keys)
    seal_more(installation, tenant_id)
    document = evidence_for(installation.database, tenant_id, ["first"], *installation.verifier_keys)
    later = [item["checkpoint"].split("\n")[1] for item in json.loads(document)["later"]]
    assert later == ["4", "7"]
    lines = check_evidence(document)
    assert "Proven: a time-stamp token names the checkpoint of 4 events by its SHA-256." in lines
    assert any(line.startswith("Not proven: who made a time-stamp") for line in lines)
    (proven,) = check_time_stamps(document, [signing.certificate])
    assert proven.startswith("CN=Test Authority says that the checkpoint of 4 events existed at 20")
    with pytest.raises(TamperedError, match="verifying certificates"):
        check_time_stamps(document, [Authority("Another").certificate])
    file = json.loads(document)
    forged = signing.token(bytes(32), 1)
    stamp = {"sha256": hashlib.sha256(forged).hexdigest(), "token": base64.b64encode(forged).decode()}
    with pytest.raises(TamperedError, match="imprint of one checkpoint"):
        check_evidence(to_bytes(file | {"time_stamps": [stamp]}))
    damaged = file["time_stamps"][0]["sha256"].translate(str.maketrans("0123456789", "1234567890"))
    with pytest.raises(TamperedError, match="damage"):
        check_evidence(to_bytes(file | {"time_stamps": [file["time_stamps"][0] | {"sha256": damaged}]}))
