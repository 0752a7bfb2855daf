"""Evidence and tiles out of a real database: what they prove holds for ever, and a changed byte is caught."""

import json
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from audit_pipelines import cli, cli_keys
from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring, rotate_signing_key
from audit_pipelines.ledger import verify_evidence
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence, signed_by
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.rotation import parse_history

ADDRESS = "192.0.2.77"


def event(number: int, **changes: object) -> Event:
    fields: dict[str, object] = {
        "event_type": "record.read",
        "entity_type": "record",
        "entity_id": f"r-{number}",
        "actor": "alice@example.org",
        "outcome": "success",
        "ip_address": ADDRESS,
        "details": {"userName": "alice@example.org", "number": number},
        "event_id": f"e-{number}",
    }
    return Event(**fields | changes)  # type: ignore[arg-type]


def grow(installation: Installation, tenant_id: uuid.UUID, first: int, count: int) -> None:
    """Store events and seal them."""
    installation.ledger.append(tenant_id, [event(number) for number in range(first, first + count)])
    assert installation.seal(tenant_id)


def evidence(
    installation: Installation, tenant_id: uuid.UUID, *event_ids: str, disclose: tuple[str, ...] = ()
) -> bytes:
    discloser = Discloser(installation.database, installation.vault, disclose) if disclose else None
    return evidence_for(installation.database, tenant_id, event_ids, *installation.verifier_keys, discloser=discloser)


def reopened(installation: Installation) -> Installation:
    """Return the installation as a process that starts now opens it."""
    return assemble(installation.settings, open_keyring(installation.settings), installation.database)


@pytest.fixture
def superuser(installation: Installation) -> Iterator[psycopg.Connection]:
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        yield conn


def test_evidence_stands_under_the_oldest_checkpoint_and_reaches_to_the_newest(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    for first, count in ((0, 3), (3, 4), (7, 1), (8, 5)):
        grow(installation, tenant_id, first, count)
    document = evidence(installation, tenant_id, "e-4", "e-1")
    content = json.loads(document)
    assert content["checkpoint"].split("\n")[1] == "7"
    assert [later["checkpoint"].split("\n")[1] for later in content["later"]] == ["13"]
    assert [entry["seq"] for entry in content["entries"]] == [1, 4]
    told = "\n".join(check_evidence(document, str(installation.verifier_keys[0])))
    assert "covers 7 events" in told
    assert "Proven: the 13 events" in told
    newest = json.loads(evidence(installation, tenant_id, "e-12"))
    assert newest["checkpoint"].split("\n")[1] == "13"
    assert newest["later"] == []


@pytest.mark.parametrize("first", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("more", [1, 2, 5])
def test_evidence_holds_from_any_size_to_any_later_one(
    installation: Installation, tenant_id: uuid.UUID, first: int, more: int
) -> None:
    grow(installation, tenant_id, 0, first)
    before = evidence(installation, tenant_id, *(f"e-{number}" for number in range(first)))
    grow(installation, tenant_id, first, more)
    key = str(installation.verifier_keys[0])
    assert check_evidence(before, key)
    assert f"the {first + more} events" in "\n".join(check_evidence(evidence(installation, tenant_id, "e-0"), key))


def test_old_evidence_and_old_events_survive_rotations(installation: Installation, tenant_id: uuid.UUID) -> None:
    old_key = str(installation.verifier_keys[0])
    grow(installation, tenant_id, 0, 5)
    before = evidence(installation, tenant_id, "e-2")
    rotate_signing_key(installation.settings)
    # The new key has signed nothing yet, so what is proven now is proven by the old one.
    restarted = reopened(installation)
    assert signed_by(evidence(restarted, tenant_id, "e-2")) == old_key
    grow(restarted, tenant_id, 5, 3)
    new_key = str(restarted.verifier_keys[0])
    after = evidence(restarted, tenant_id, "e-2")
    assert new_key != old_key
    assert signed_by(after) == new_key
    assert check_evidence(before, old_key)
    assert check_evidence(after, new_key)
    for document, key in ((before, new_key), (after, old_key)):
        with pytest.raises(TamperedError):
            check_evidence(document, key)
    rotate_signing_key(installation.settings)
    again = reopened(installation)
    grow(again, tenant_id, 8, 1)
    for process in (installation, restarted, again):
        (result,) = process.verify(tenant_id)
        assert result.findings == ()
        assert result.checkpoints == 3
        assert len(process.verifier_keys) == 3


def test_a_checkpoint_by_a_key_that_is_not_in_the_line_is_found(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    grow(installation, tenant_id, 0, 2)
    rotate_signing_key(installation.settings)
    (installation.settings.keys_dir / "rotations.notes").unlink()
    forgetful = reopened(installation)
    (result,) = forgetful.verify(tenant_id)
    assert not result.intact
    with pytest.raises(ValidationError, match="by none of the 1 known keys"):
        evidence(forgetful, tenant_id, "e-0")


def test_sealed_values_are_opened_for_the_events_asked_for(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [event(0), event(1, ip_address=None), event(2), event(3, actor=None)])
    installation.seal(tenant_id)
    key = str(installation.verifier_keys[0])
    document = evidence(
        installation, tenant_id, "e-0", "e-1", "e-3", disclose=("/ip_address", "/details/userName", "/ip_address")
    )
    opened = {(item["seq"], item["pointer"]): item["plaintext"] for item in json.loads(document)["disclosures"]}
    assert opened == {
        (0, "/ip_address"): ADDRESS,
        (3, "/ip_address"): ADDRESS,
        (0, "/details/userName"): '"alice@example.org"',
        (1, "/details/userName"): '"alice@example.org"',
    }
    assert "'/ip_address' of seq 0 was sealed over the value \"192.0.2.77\"" in "\n".join(check_evidence(document, key))
    closed = evidence(installation, tenant_id, "e-0")
    assert ADDRESS.encode() not in closed
    assert json.loads(closed)["disclosures"] == []


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("ip_address", "expected a JSON pointer"),
        ("", "expected a JSON pointer"),
        ("/details/~2", "expected a JSON pointer"),
        ("/details/nobody", "got none"),
        ("/details/number/0", "got none"),
        ("/userName", "got none"),
        ("/details/number", "in clear"),
        ("/event_type", "in clear"),
        ("/details", "in clear"),
    ],
)
def test_a_place_with_nothing_sealed_is_named(
    installation: Installation, tenant_id: uuid.UUID, pointer: str, message: str
) -> None:
    grow(installation, tenant_id, 0, 1)
    with pytest.raises(ValidationError, match=message):
        evidence(installation, tenant_id, "e-0", disclose=(pointer,))


def test_what_belongs_to_an_erased_person_cannot_be_opened(
    installation: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID
) -> None:
    grow(installation, tenant_id, 0, 1)
    superuser.execute(
        "update audit_subjects set wrapped_key = null, erased_at = now() "
        "where tenant_id = %s and sealed_identity is not null",
        [tenant_id],
    )
    # The vault that stored the event still holds the key in its cache: what the database says must count.
    for process in (installation, reopened(installation)):
        with pytest.raises(ValidationError, match=r"seq 0.*erased"):
            evidence(process, tenant_id, "e-0", disclose=("/ip_address",))
        assert check_evidence(evidence(process, tenant_id, "e-0"))


@pytest.mark.parametrize(
    "change",
    [
        "update audit_logs set entry = set_byte(entry, 40, get_byte(entry, 40) # 1) where seq = 3",
        "update audit_logs set recorded_at = recorded_at + interval '1 microsecond' where seq = 3",
        "update audit_logs set row_hash = set_byte(row_hash, 0, get_byte(row_hash, 0) # 1) where seq = 3",
        # Another row than the one to be proven: the tree then has another root.
        "update audit_logs set entry_hash = set_byte(entry_hash, 0, get_byte(entry_hash, 0) # 1) where seq = 1",
        "update audit_logs set entry_hash = set_byte(entry_hash, 0, get_byte(entry_hash, 0) # 1) where seq = 7",
        "delete from audit_logs where seq = 8",
        "update audit_checkpoints set note = replace(note, 'chain ', 'chain A') where size = 6",
        "update audit_checkpoints set note = replace(note, 'time 2', 'time 3') where size = 9",
        "update audit_checkpoints set note = (select note from audit_checkpoints where size = 9) where size = 6",
    ],
)
def test_what_was_changed_in_the_database_makes_no_evidence(
    installation: Installation, superuser: psycopg.Connection, tenant_id: uuid.UUID, change: str
) -> None:
    grow(installation, tenant_id, 0, 6)
    grow(installation, tenant_id, 6, 3)
    assert evidence(installation, tenant_id, "e-3")
    assert superuser.execute(change).rowcount == 1
    with pytest.raises((TamperedError, ValidationError)):
        evidence(installation, tenant_id, "e-3")


def test_a_byte_changed_in_the_file_is_caught_by_python_alone(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    grow(installation, tenant_id, 0, 6)
    grow(installation, tenant_id, 6, 3)
    document = evidence(installation, tenant_id, "e-2", "e-3", disclose=("/ip_address",))
    key = str(installation.verifier_keys[0])
    # Every byte but those of the program in the file, which one digest covers: of them one in 31, to save a minute.
    source = document.index(b'"source"')
    draw = random.Random(1)
    for at in (*range(source), *range(source, len(document) - 50, 31), *range(len(document) - 50, len(document))):
        byte = draw.choice([value for value in range(256) if value != document[at]])
        with pytest.raises((TamperedError, ValidationError)):
            check_evidence(document[:at] + bytes([byte]) + document[at + 1 :], key)
    for at in range(0, len(document), 11):
        for changed in (document[:at] + document[at + 1 :], document[:at] + b" " + document[at:]):
            with pytest.raises((TamperedError, ValidationError)):
                check_evidence(changed, key)
    program, file = tmp_path / "verify_evidence.py", tmp_path / "evidence.json"
    program.write_bytes(Path(verify_evidence.__file__).read_bytes())
    for content, status in ((document, 0), (document.replace(b'"seq": 3', b'"seq": 4', 1), 1)):
        file.write_bytes(content)
        command = [sys.executable, "-I", "-S", str(program), str(file), "--key", key]
        assert subprocess.run(command, env={}, capture_output=True, check=False, timeout=60).returncode == status


def test_an_event_nobody_stored_or_sealed_is_named(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [event(0)])
    with pytest.raises(ValidationError, match="'e-0' yet"):
        evidence(installation, tenant_id, "e-0")
    installation.seal(tenant_id)
    installation.ledger.append(tenant_id, [event(1)])
    with pytest.raises(ValidationError, match=r"'e-1' yet .*covers 1 events"):
        evidence(installation, tenant_id, "e-0", "e-1")
    with pytest.raises(ValidationError, match="no event 'e-9'"):
        evidence(installation, tenant_id, "e-0", "e-9")
    with pytest.raises(ValidationError, match="no event 'e-0'"):
        evidence(installation, uuid.uuid4(), "e-0")


# The commands


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command over the test's installation, opened anew, and return what it prints."""
    for module in (cli, cli_keys):
        monkeypatch.setattr(module, "load_settings", lambda: installation.settings)
    monkeypatch.setattr(cli, "_opened", lambda: nullcontext(reopened(installation)))

    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_keys_are_listed_and_rotated_by_command(run: Callable[..., str], installation: Installation) -> None:
    (first,) = installation.verifier_keys
    assert run("keys", "list") == f"present {first}\n"
    assert run("keys", "list", "--notes") == ""
    second = run("keys", "rotate").splitlines()[-1]
    present, former = run("keys", "list").splitlines()
    assert present == f"present {second}"
    assert former.startswith(f"former  {first}  retired 20")
    (change,) = parse_history(run("keys", "list", "--notes"))
    assert (str(change.retired), str(change.successor)) == (str(first), second)


def test_an_interrupted_rotation_is_shown(run: Callable[..., str], installation: Installation) -> None:
    old = (installation.settings.keys_dir / "signing.key").read_bytes()
    second = run("keys", "rotate").splitlines()[-1]
    (first,) = (key for key in installation.verifier_keys if str(key) != second)
    (installation.settings.keys_dir / "signing.key").rename(installation.settings.keys_dir / "signing.key.next")
    (installation.settings.keys_dir / "signing.key").write_bytes(old)
    (installation.settings.keys_dir / "signing.key").chmod(0o600)
    assert [line.split()[:2] for line in run("keys", "list").splitlines()] == [
        ["present", str(first)],
        ["next", second],
    ]
    assert run("keys", "rotate").splitlines()[-1] == second
    assert run("keys", "list").startswith(f"present {second}\n")


def test_evidence_with_a_disclosure_and_tiles_are_written_by_command(
    run: Callable[..., str], installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    grow(installation, tenant_id, 0, 3)
    file, log = tmp_path / "evidence.json", tmp_path / "log"
    told = run(
        "evidence", "--tenant", str(tenant_id), "--event", "e-1", "-o", file, "--disclose", "/ip_address"
    ).splitlines()
    assert ADDRESS in "\n".join(check_evidence(file.read_bytes(), told[-1]))
    run("keys", "rotate")
    assert "3 leaves, 3 files written" in run("ledger", "tiles", "--tenant", str(tenant_id), "-o", log)
    assert "3 leaves, 0 files written" in run("ledger", "tiles", "--tenant", str(tenant_id), "-o", log)
