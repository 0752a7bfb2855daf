"""Rotation of the signing key: every former checkpoint stays valid, and no crash, race or hand loses or adds a key."""

import base64
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from audit_pipelines.errors import ConfigurationError, TamperedError
from audit_pipelines.keyring import open_key_ring, open_keyring, rotate_signing_key, verifier_keys
from audit_pipelines.ledger import keys, rotation
from audit_pipelines.ledger.checkpoint import Checkpoint, open_note, sign
from audit_pipelines.settings import Settings

CHECKPOINT = Checkpoint(UUID(int=7), 1, b"\x01" * 32, b"\x02" * 32, datetime(2026, 11, 23, tzinfo=UTC))
SEED = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "signing.key"
    keys.load_or_create(path, "example.org/ledger")
    return path


def test_a_new_key_signs_and_the_old_one_still_verifies(key_file: Path) -> None:
    old = keys.load(key_file)
    note = sign(CHECKPOINT, old)
    change = rotation.rotate(key_file)
    ring = rotation.open_ring(key_file)
    assert ring.signer.verifier_key == change.successor != old.verifier_key == change.retired
    assert ring.signer.name == old.name
    assert ring.verifier_keys == (change.successor, old.verifier_key)
    assert ring.unfinished is None
    assert open_note(note, ring.verifier_keys) == open_note(sign(CHECKPOINT, ring.signer), ring.verifier_keys)
    with pytest.raises(TamperedError):
        open_note(note, [change.successor])


def test_the_old_private_key_is_nowhere_any_more(key_file: Path) -> None:
    old = keys.load(key_file)
    rotation.rotate(key_file)
    assert sorted(path.name for path in key_file.parent.iterdir()) == ["rotations.notes", "signing.key"]
    for path in key_file.parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        content = path.read_bytes()
        assert old.seed not in content
        assert base64.b64encode(b"\x01" + old.seed) not in content


def test_an_auditor_follows_the_notes_from_key_to_key(key_file: Path) -> None:
    first = keys.load(key_file).verifier_key
    changes = [rotation.rotate(key_file) for _ in range(3)]
    ring = rotation.open_ring(key_file)
    assert list(ring.rotations) == changes
    assert [changes[0].retired, *(change.successor for change in changes)] == [
        first,
        *reversed(ring.verifier_keys[:-1]),
    ]
    lines = changes[0].note.split("\n")
    assert lines[:3] == ["audit_pipelines key rotation", f"retired {first}", f"next {changes[0].successor}"]
    text = changes[0].note.partition("\n\n")[0] + "\n"
    for line, key in zip(lines[5:7], (first, changes[0].successor), strict=True):
        dash, name, encoded = line.split(" ")
        signature = base64.b64decode(encoded)
        assert (dash, name, signature[:4]) == ("—", key.name, key.key_hash)
        assert key.verify(signature[4:], text.encode())


def test_no_changed_letter_of_the_record_is_accepted(key_file: Path) -> None:
    rotation.rotate(key_file)
    text = key_file.with_name(rotation.HISTORY_FILE).read_text()
    assert len(rotation.parse_history(text)) == 1
    for at in range(len(text)):
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        with pytest.raises(TamperedError):
            rotation.parse_history(changed)
    for changed in (text + "\n", text[:-1], "\n" + text, text + text, text.replace("Z\n", "+00:00\n")):
        with pytest.raises(TamperedError):
            rotation.parse_history(changed)


def test_a_strangers_key_cannot_be_slipped_in(key_file: Path) -> None:
    # A stranger can sign for a key of their own, but not in the name of a key that is here.
    stranger = keys.Signer("example.org/ledger", bytes(32))
    own = keys.load(key_file)
    genuine = rotation.announce(stranger, own, datetime(2026, 1, 1, tzinfo=UTC)).note
    history = key_file.with_name(rotation.HISTORY_FILE)
    history.write_text(genuine)
    assert stranger.verifier_key in rotation.open_ring(key_file).verifier_keys
    forged = rotation.announce(stranger, keys.Signer(own.name, bytes(range(32))), datetime(2026, 1, 1, tzinfo=UTC))
    for note in (
        forged.note.replace(str(forged.successor), str(own.verifier_key)),
        forged.note.replace(str(forged.successor), str(own.verifier_key)).replace(
            base64.b64encode(forged.successor.key_hash).decode()[:5],
            base64.b64encode(own.verifier_key.key_hash).decode()[:5],
        ),
    ):
        history.write_text(note)
        with pytest.raises(TamperedError, match="restore it"):
            rotation.open_ring(key_file)
    history.write_text(forged.note)
    with pytest.raises(ConfigurationError, match="from one backup"):
        rotation.open_ring(key_file)


def test_a_dropped_or_swapped_note_is_noticed(key_file: Path) -> None:
    changes = [rotation.rotate(key_file) for _ in range(3)]
    history = key_file.with_name(rotation.HISTORY_FILE)
    # Without the last note, the key is one that no note announces.
    for kept in ([0, 2], [1, 0, 2], [0, 1]):
        history.write_text("".join(changes[place].note for place in kept))
        with pytest.raises((TamperedError, ConfigurationError)):
            rotation.open_ring(key_file)


class Crash(BaseException):
    """The process ends here; nothing behind it runs but what must."""


# Every call of a rotation that leaves something on disk.
STEPS = [("link", 1), ("replace", 1), ("replace", 2), *(("fsync", count) for count in range(1, 6))]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("step", "count"), STEPS)
def test_a_crash_at_any_step_leaves_a_working_key_and_the_next_call_finishes(
    key_file: Path, monkeypatch: pytest.MonkeyPatch, step: str, count: int, after: bool
) -> None:
    rotation.rotate(key_file)
    old = keys.load(key_file)
    original = getattr(os, step)
    calls = 0

    def crashing(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls != count:
            return original(*arguments, **options)
        if after:
            original(*arguments, **options)
        raise Crash

    monkeypatch.setattr(os, step, crashing)
    with pytest.raises(Crash):
        rotation.rotate(key_file)
    monkeypatch.undo()
    ring = rotation.open_ring(key_file)
    assert old.verifier_key in ring.verifier_keys
    announced = ring.rotations[-1].successor
    if ring.signer == old:
        change = rotation.rotate(key_file)
        assert change.retired == old.verifier_key
        if announced != old.verifier_key:
            assert change.successor == announced
    ring = rotation.open_ring(key_file)
    assert ring.unfinished is None
    assert len(ring.rotations) == 2
    assert ring.signer.verifier_key == ring.rotations[-1].successor != old.verifier_key
    assert rotation.rotate(key_file).retired == ring.signer.verifier_key


def test_two_rotations_at_once_take_turns(key_file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from audit_pipelines.ledger import rotation; "
        "print(flush=True); sys.stdin.readline(); "
        "[rotation.rotate(Path(sys.argv[1])) for _ in range(5)]"
    )
    command = [sys.executable, "-c", code, str(key_file)]
    pipe = subprocess.PIPE
    starters = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for process in starters:
        assert process.stdout
        assert process.stdout.readline() == "\n"
    for process in starters:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(0.001):
            seen.update(map(str, rotation.open_ring(key_file).verifier_keys))

    reader = threading.Thread(target=read)
    reader.start()
    errors = [process.communicate(timeout=60)[1] for process in starters]
    stop.set()
    reader.join()
    assert errors == ["", "", ""]
    ring = rotation.open_ring(key_file)
    assert len(ring.rotations) == 15
    assert len(ring.verifier_keys) == 16
    assert seen <= set(map(str, ring.verifier_keys))


def test_an_old_key_put_back_is_told_apart_from_an_interrupted_rotation(key_file: Path) -> None:
    old = key_file.read_bytes()
    rotation.rotate(key_file)
    key_file.write_bytes(old)
    assert rotation.open_ring(key_file).unfinished
    with pytest.raises(ConfigurationError, match="was retired at"):
        rotation.rotate(key_file)
    assert key_file.read_bytes() == old
    rotation_count = len(rotation.open_ring(key_file).rotations)
    assert rotation_count == 1


def test_a_key_that_is_not_there_cannot_be_rotated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="got no file"):
        rotation.rotate(tmp_path / "signing.key")
    assert list(tmp_path.iterdir()) == []


# The installation's keys


def test_a_process_from_before_a_rotation_accepts_what_the_new_key_signs(settings: Settings) -> None:
    started = open_keyring(settings).signer
    assert verifier_keys(settings, started) == (started.verifier_key,)
    change = rotate_signing_key(settings)
    assert verifier_keys(settings, started) == (change.successor, started.verifier_key)
    assert verifier_keys(settings, open_keyring(settings).signer) == (change.successor, started.verifier_key)


def test_a_key_given_by_the_environment_is_rotated_by_the_environment(settings: Settings) -> None:
    own = open_keyring(settings).signer.verifier_key
    given = Settings(
        _env_file=None,
        audit_home=settings.audit_home,
        audit_signing_key=SEED,
        audit_former_verifier_keys=f"{own}",
    )
    signer = open_keyring(given).signer
    assert verifier_keys(given, signer) == (signer.verifier_key, own)
    assert open_key_ring(given) is None
    with pytest.raises(ConfigurationError, match="AUDIT_FORMER_VERIFIER_KEYS"):
        rotate_signing_key(given)
    assert keys.load(settings.keys_dir / "signing.key").verifier_key == own


def test_a_malformed_former_key_is_named(settings: Settings) -> None:
    wrong = Settings(_env_file=None, audit_home=settings.audit_home, audit_former_verifier_keys="abc,def")
    with pytest.raises(ConfigurationError, match="AUDIT_FORMER_VERIFIER_KEYS"):
        verifier_keys(wrong, open_keyring(wrong).signer)
