"""Anchors outside the database, against servers that speak their protocols: what is sent, refused, kept and read.

Here: webhook, time-stamp authority and object storage, one at a time. Not here: which checkpoints are owed to whom, and
what verification makes of them, in `test_anchor_register.py`.
"""

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

import pytest

from audit_pipelines.anchors.authority import AuthorityAnchor
from audit_pipelines.anchors.bucket import Access, BucketAnchor
from audit_pipelines.anchors.webhook import WebhookAnchor
from audit_pipelines.errors import AnchorUnavailableError, ConfigurationError, TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.time_stamp import verify_token
from audit_pipelines.outgoing import Outgoing
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
