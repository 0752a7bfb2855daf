"""Keys, signed notes and anchors: against Go's published note, and against whatever may happen to a file."""

import base64
import logging
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest

from audit_pipelines.errors import AuditError, ConfigurationError, TamperedError, ValidationError
from audit_pipelines.ledger import chain, keys, merkle
from audit_pipelines.ledger.checkpoint import Checkpoint, FileAnchor, open_note, sign, single_signature, tenant_of

TENANT = UUID("6f1de5c2-0b59-4b9e-9f0e-3d8e5c1a2b77")
SIGNER = keys.Signer("example.org/ledger", bytes(range(32)))
WITNESS = keys.Signer("example.org/witness", bytes(range(1, 33)))
CHECKPOINT = Checkpoint(
    tenant_id=TENANT,
    size=3,
    root=merkle.root([b"\x01" * 32, b"\x02" * 32, b"\x03" * 32]),
    chain_head=b"\x07" * 32,
    sealed_at=datetime(2026, 11, 23, 7, 41, 0, 123456, tzinfo=UTC),
)
NOTE = sign(CHECKPOINT, SIGNER)

# The note of golang.org/x/mod/sumdb/note, example_test.go.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_keys_and_signatures_are_those_of_go() -> None:
    signer = keys.Signer.parse(GO_SECRET)
    assert str(signer.verifier_key) == GO_PUBLIC
    assert keys.VerifierKey.parse(GO_PUBLIC) == signer.verifier_key
    signature = signer.verifier_key.key_hash + signer.sign(GO_TEXT.encode())
    assert base64.b64encode(signature).decode() == GO_SIGNATURE
    assert "seed" not in repr(signer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        GO_PUBLIC.replace("c74f20a3", "c74f20a4"),
        GO_PUBLIC.replace("c74f20a3", "C74F20A3"),
        GO_PUBLIC.replace("Peter", "Pater"),
        GO_PUBLIC + "\n",
        GO_PUBLIC[:-4],
        GO_PUBLIC.replace("+ARpc", "+Ahpc"),
        "two words" + GO_PUBLIC.removeprefix("PeterNeumann"),
    ],
)
def test_a_verifier_key_has_one_spelling(text: str) -> None:
    with pytest.raises(ValidationError):
        keys.VerifierKey.parse(text)


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    old_mask = os.umask(0)
    try:
        made = keys.load_or_create(path, "example.org/first")
    finally:
        os.umask(old_mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.load_or_create(path, "example.org/second") == made == keys.load(path)
    assert made.name == "example.org/first"
    assert [entry.name for entry in path.parent.iterdir()] == ["signing.key"]


def test_processes_that_start_at_once_get_one_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from audit_pipelines.ledger import keys; sys.stdin.readline(); "
        "print(keys.load_or_create(Path(sys.argv[1])).verifier_key)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "keys" / "signing.key")]
    starters = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(4)
    ]
    answers = {process.communicate("go\n", timeout=60)[0] for process in starters}
    assert len(answers) == 1
    assert answers.pop().startswith("audit_pipelines+")


def test_the_loser_of_a_race_takes_the_winners_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "signing.key"
    link = os.link

    def lose(draft: Path, target: Path) -> None:
        winner = tmp_path / "winner"
        winner.write_text(GO_SECRET + "\n")
        winner.chmod(0o600)
        link(winner, target)
        winner.unlink()
        link(draft, target)

    monkeypatch.setattr(os, "link", lose)
    assert str(keys.load_or_create(path).verifier_key) == GO_PUBLIC
    assert [entry.name for entry in tmp_path.iterdir()] == ["signing.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    keys.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"got mode {mode:o}"):
        keys.load_or_create(path)


@pytest.mark.parametrize("content", [b"", b"secret", b"\xff\xfe", GO_SECRET.replace("c74f", "c74e").encode()])
def test_a_key_file_that_holds_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="restore it") as caught:
        keys.load_or_create(path)
    assert "AYEKFALVFGyN" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_checkpoint_is_a_signed_note() -> None:
    lines = NOTE.split("\n")
    assert lines[0] == f"audit_pipelines/{TENANT}"
    assert lines[1] == "3"
    assert base64.b64decode(lines[2]) == CHECKPOINT.root
    assert lines[3] == "chain " + base64.b64encode(b"\x07" * 32).decode()
    assert lines[4] == "time 2026-11-23T07:41:00.123456Z"
    assert lines[5] == ""
    assert lines[6].startswith("— example.org/ledger ")
    assert lines[7:] == [""]
    assert open_note(NOTE, [SIGNER.verifier_key]) == CHECKPOINT
    assert tenant_of(NOTE) == TENANT


def test_the_worked_example_of_the_documentation_is_right() -> None:
    page = (Path(__file__).parents[3] / "docs" / "ledger_format.md").read_text(encoding="utf-8")
    block = page.partition("## Worked example")[2].split("```")[1].strip()
    example = {line[:14].strip(): line[14:] for line in block.splitlines()}
    tenant = UUID(example["tenant_id"])
    digest = chain.entry_hash(example["entry"].encode())
    leaf = chain.leaf(tenant, int(example["seq"]), int(example["recorded_at"]), digest)
    leaf_hash = chain.leaf_hash(leaf)
    row_hash = chain.row_hash(chain.genesis(tenant), leaf_hash)
    signer = keys.Signer("audit_pipelines", bytes.fromhex(example["seed"]))
    assert example["entry_hash"] == digest.hex()
    assert example["leaf"] == leaf.hex()
    assert example["leaf_hash"] == leaf_hash.hex()
    assert example["genesis"] == chain.genesis(tenant).hex()
    assert example["row_hash"] == row_hash.hex()
    assert example["verifier key"] == str(signer.verifier_key)
    sealed_at = datetime(2026, 11, 23, 7, 45, tzinfo=UTC)
    note = sign(Checkpoint(tenant, 1, merkle.root([leaf_hash]), row_hash, sealed_at), signer)
    assert f"```\n{note}```" in page


def test_the_same_moment_in_another_zone_is_the_same_checkpoint() -> None:
    moved = CHECKPOINT.sealed_at.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert sign(replace(CHECKPOINT, sealed_at=moved), SIGNER) == NOTE
    whole = replace(CHECKPOINT, sealed_at=CHECKPOINT.sealed_at.replace(microsecond=0))
    assert open_note(sign(whole, SIGNER), [SIGNER.verifier_key]) == whole


def test_no_changed_letter_of_a_note_is_accepted() -> None:
    for at, letter in enumerate(NOTE):
        for other in {chr(ord(letter) ^ 1), chr(ord(letter) ^ 32), "", letter * 2} - {letter}:
            changed = NOTE[:at] + other + NOTE[at + 1 :]
            with pytest.raises(TamperedError):
                open_note(changed, [SIGNER.verifier_key])


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.replace("\n3\n", "\n03\n"),
        lambda text: text.replace("\n3\n", "\n+3\n"),
        lambda text: text.replace("\n3\n", "\n٣\n"),
        lambda text: text.replace(str(TENANT), str(TENANT).upper()),
        lambda text: text.replace(str(TENANT), TENANT.hex),
        lambda text: text.replace("Z\n", "+00:00\n"),
        lambda text: text.replace(".123456Z", ".1234560Z"),
        lambda text: text.replace("T07", " 07"),
        lambda text: text + "more\n",
        lambda text: text.replace("chain ", ""),
        lambda text: text.replace("audit_pipelines/", "other/"),
        lambda text: text.replace("=\n", "\n"),
    ],
)
def test_a_text_spelled_otherwise_is_refused_even_if_signed(spell) -> None:
    text = spell(CHECKPOINT.text())
    assert text != CHECKPOINT.text()
    key = SIGNER.verifier_key
    line = base64.b64encode(key.key_hash + SIGNER.sign(text.encode())).decode()
    with pytest.raises(TamperedError):
        open_note(f"{text}\n— {SIGNER.name} {line}\n", [key])


def test_signatures_by_others_are_ignored_and_one_by_a_known_key_is_needed() -> None:
    cosigned = NOTE + sign(CHECKPOINT, WITNESS).rpartition("\n\n")[2]
    assert open_note(cosigned, [SIGNER.verifier_key]) == CHECKPOINT
    assert open_note(cosigned, [WITNESS.verifier_key]) == CHECKPOINT
    assert single_signature(cosigned, SIGNER.verifier_key) == NOTE
    with pytest.raises(TamperedError, match="expected a signature by"):
        open_note(NOTE, [WITNESS.verifier_key])
    with pytest.raises(TamperedError, match="no key at all"):
        open_note(NOTE, [])
    forged = sign(replace(CHECKPOINT, size=4), WITNESS).rpartition("\n\n")[2]
    assert open_note(NOTE + forged, [SIGNER.verifier_key]) == CHECKPOINT
    with pytest.raises(TamperedError, match="does not fit"):
        open_note(NOTE + forged, [SIGNER.verifier_key, WITNESS.verifier_key])


@pytest.mark.parametrize("junk", ["", "\n", "\n\n", "no note", NOTE * 2, NOTE + "\n", NOTE + NOTE.split("\n")[-2] * 20])
def test_what_is_no_note_is_refused(junk: str) -> None:
    with pytest.raises(TamperedError):
        open_note(junk, [SIGNER.verifier_key])


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": 1 << 63},
        {"root": b""},
        {"chain_head": b"x"},
        {"sealed_at": CHECKPOINT.sealed_at.replace(tzinfo=None)},
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        replace(CHECKPOINT, **change)


def test_an_anchor_keeps_every_note_of_every_tenant(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchors")
    other = replace(CHECKPOINT, tenant_id=UUID(int=5))
    notes = [sign(replace(CHECKPOINT, size=size), SIGNER) for size in range(1, 4)]
    assert anchor.read_all() == {}
    for note in (notes[0], sign(other, SIGNER), *notes[1:]):
        anchor.publish(note)
    assert anchor.read_all() == {TENANT: notes, UUID(int=5): [sign(other, SIGNER)]}
    assert anchor.read(TENANT).damaged == ()
    assert anchor.read(UUID(int=6)).notes == ()


def test_a_torn_write_is_noticed_skipped_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    anchor = FileAnchor(tmp_path)
    path = tmp_path / f"{TENANT}.notes"
    first, torn, last = (sign(replace(CHECKPOINT, size=size), SIGNER) for size in (1, 2, 3))
    anchor.publish(first)
    start = path.stat().st_size
    anchor.publish(torn)
    whole = path.read_bytes()
    for length in (*range(start + 1, len(whole) - 3, 9), *range(len(whole) - 3, len(whole))):
        path.write_bytes(whole[:length])
        assert anchor.read(TENANT).notes == (first,)
        assert anchor.read(TENANT).damaged == ((start, length),)
        assert anchor.read(TENANT).unexplained([first, torn]) == ()
        assert anchor.read(TENANT).unexplained([last]) == (((start, length),) if length > start + 6 else ())
        anchor.publish(last)
        made_whole = length == len(whole) - 1  # by the newline that the next record begins with
        assert anchor.read(TENANT).notes == ((first, torn, last) if made_whole else (first, last))
        assert anchor.read(TENANT).damaged == (() if made_whole else ((start, length),))
    path.write_bytes(whole[:-9])
    anchor.publish(last)
    with caplog.at_level(logging.WARNING):
        assert anchor.read_all() == {TENANT: [first, last]}
    assert f"bytes {start} to {len(whole) - 9}" in caplog.text


def test_a_changed_byte_in_an_anchor_never_yields_a_changed_note(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path)
    notes = [sign(replace(CHECKPOINT, size=size), SIGNER) for size in (1, 2)]
    for note in notes:
        anchor.publish(note)
    path = tmp_path / f"{TENANT}.notes"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        log = anchor.read(TENANT)
        assert set(log.notes) < set(notes)
        assert log.damaged


def test_an_anchor_follows_no_link_and_files_no_junk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    anchor = FileAnchor(tmp_path / "anchors")
    with pytest.raises(AuditError):
        anchor.publish("not a note")
    anchor.publish(NOTE)
    elsewhere = tmp_path / "elsewhere"
    path = tmp_path / "anchors" / f"{UUID(int=1)}.notes"
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"):
        anchor.publish(sign(replace(CHECKPOINT, tenant_id=UUID(int=1)), SIGNER))
    assert not elsewhere.exists()
    path.unlink()
    (tmp_path / "anchors" / "readme.notes").write_text("hello")
    with caplog.at_level(logging.WARNING):
        assert list(anchor.read_all()) == [TENANT]
    assert "not named after a tenant" in caplog.text


def test_a_write_cut_short_is_continued_and_synced_and_a_failed_one_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = FileAnchor(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:50]))
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    anchor.publish(NOTE)
    assert anchor.read(TENANT).notes == (NOTE,)
    assert synced == [(tmp_path / f"{TENANT}.notes").stat().st_ino, tmp_path.stat().st_ino]

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        anchor.publish(NOTE)
