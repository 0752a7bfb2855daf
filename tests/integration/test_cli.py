"""The command line as a person uses it: real processes over a real home."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from forked_commands import run_command

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.ledger import verify_certificate
from tests.integration.anchor_servers import Authority, serving

TENANT = "7d3c1f0e-0000-4000-8000-000000000001"
EVENTS = 40


class Home:
    """One home and the command that works on it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self, *arguments: str | Path, expect: int = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "DATABASE_"))
        }
        result = run_command(
            [*map(str, arguments)],
            environment=environment | {"AUDIT_HOME": str(self.path), "COLUMNS": "200"} | dict(variables or {}),
            cwd=self.path.parent,
        )
        assert result.returncode == expect, f"{arguments}: {result.stdout}\n{result.stderr}"
        return result

    def change(self, statement: str) -> None:
        """Do what somebody with a superuser's rights could do."""
        with self._connection() as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(statement)

    def event_id(self, seq: int) -> str:
        with self._connection() as conn:
            rows = conn.execute("select event_id from audit_logs where tenant_id = %s and seq = %s", [TENANT, seq])
            return rows.fetchall()[0][0]

    def size(self) -> int:
        """Return how many events the tenant's ledger has; evidence made by other tests is among them."""
        with self._connection() as conn:
            return conn.execute("select next_seq from audit_chain_heads where tenant_id = %s", [TENANT]).fetchall()[0][
                0
            ]

    def accesses(self, action: str) -> list[tuple[dict, int]]:
        """Return filters and counts of the accesses of a kind."""
        statement = "select filters, result_count from audit_access_log where action = %s order by seq"
        with self._connection() as conn:
            return conn.execute(statement, [action]).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        server = EmbeddedPostgres(self.path)
        server.start()
        try:
            conninfo = server.conninfo(user="postgres", password=server.password, dbname="audit")
            with psycopg.connect(conninfo, autocommit=True) as conn:
                yield conn
        finally:
            server.release()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    path = tmp_path_factory.mktemp("cli") / "home"
    yield Home(path)
    EmbeddedPostgres(path).destroy()


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [
        {
            "occurred_at": f"2026-03-01T10:{number:02}:00Z",
            "actor": f"person-{number % 4}",
            "event_type": "record:read",
            "entity_type": "record",
            "entity_id": str(number),
            "ip_address": None,
            "user_agent": None,
            "outcome": "success",
            "details": {"number": number},
        }
        for number in range(EVENTS)
    ]
    path = tmp_path_factory.mktemp("events") / "events.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return path


@pytest.fixture(scope="module")
def imported(home: Home, events_file: Path) -> Iterator[Home]:
    first = home.run("import", "ndjson", events_file, "--tenant", TENANT)
    assert f"{EVENTS} stored, 0 already there, 0 refused" in first.stdout
    # Commands join a server that runs already, which saves each of them starting and stopping one.
    server = EmbeddedPostgres(home.path, durable=False)
    server.start()
    yield home
    server.release()


def test_a_second_import_adds_nothing(imported: Home, events_file: Path) -> None:
    again = imported.run("import", "ndjson", events_file, "--tenant", TENANT)
    assert f"0 stored, {EVENTS} already there, 0 refused" in again.stdout


def test_bad_lines_are_named_counted_and_stop_nobody_else(imported: Home, tmp_path: Path) -> None:
    path = tmp_path / "mixed.ndjson"
    good = {"event_type": "a", "entity_type": "b", "entity_id": "c", "occurred_at": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(good) + "\n{broken\n")
    other = TENANT[:-1] + "2"
    result = imported.run("import", "ndjson", path, "--tenant", other, expect=1)
    assert "1 stored, 0 already there, 1 refused" in result.stdout
    assert "line 2" in result.stderr


def test_verify_is_intact_and_says_how_much_it_read(imported: Home) -> None:
    result = json.loads(imported.run("verify", "--tenant", TENANT, "--json").stdout)
    assert result["intact"] is True
    assert result["tenants"][0]["events"] == EVENTS


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        (
            "entry = set_byte(entry, 30, get_byte(entry, 30) # 1)",
            "entry = set_byte(entry, 30, get_byte(entry, 30) # 1)",
        ),
        ("outcome = 'failure'", "outcome = 'success'"),
    ],
)
def test_verify_names_tenant_and_seq_of_a_change(imported: Home, change: str, undo: str) -> None:
    where = f"where tenant_id = '{TENANT}' and seq = 17"
    imported.change(f"update audit_logs set {change} {where}")
    result = imported.run("verify", expect=1)
    assert "TAMPERED" in result.stdout
    assert f"tenant {TENANT}, seq 17" in result.stdout
    imported.change(f"update audit_logs set {undo} {where}")
    imported.run("verify")


def test_evidence_is_proven_by_the_product_and_by_python_alone(imported: Home, tmp_path: Path) -> None:
    imported.run("checkpoint")
    file = tmp_path / "evidence.json"
    event_id = imported.event_id(3)
    key = imported.run("evidence", "--tenant", TENANT, "--event", event_id, "-o", file).stdout.split()[-1]
    imported.run("verify-evidence", file, "--key", key)
    assert imported.accesses("evidence.make")[-1] == ({"event_ids": [event_id], "disclosed": []}, 1)
    file.write_text(file.read_text().replace('"seq": 3', '"seq": 4').replace('"seq":3', '"seq":4'))
    imported.run("verify-evidence", file, "--key", key, expect=1)


def test_a_tenant_that_is_refused_a_checkpoint_leaves_the_others_theirs(imported: Home, events_file: Path) -> None:
    # The second is sealed after the first, which is refused.
    first, second = (str(UUID(int=number)) for number in (1, 2))
    for tenant in (first, second):
        imported.run("import", "ndjson", events_file, "--tenant", tenant)
    where = f"where tenant_id = '{first}' and seq = 5"
    change = f"update audit_logs set entry = set_byte(entry, 9, get_byte(entry, 9) # 1) {where}"
    imported.change(change)
    refused = imported.run("checkpoint", expect=2)
    assert f"tenant {first}: the row at seq 5 does not continue the chain" in refused.stderr
    assert f"tenant {second}: signed over 40 events" in refused.stdout
    imported.change(change)
    assert f"tenant {first}: signed over 40 events" in imported.run("checkpoint").stdout


def test_an_anchor_that_is_behind_is_shown_and_is_exit_status_1(imported: Home, tmp_path: Path) -> None:
    imported.run("checkpoint")
    # The home's folder alone, and it has everything.
    assert "behind" not in imported.run("anchors").stdout.split("\n", 3)[3]
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    configured = {"AUDIT_ANCHORS": f"file://{blocked},file://{tmp_path}/far", "COLUMNS": "400"}
    never = imported.run("anchors", variables=configured, expect=1).stdout
    assert "never" in never
    said = imported.run("checkpoint", variables=configured)
    assert f"anchor file://{blocked} is behind for tenant {TENANT}: the folder cannot be written" in said.stderr
    assert f"file://{tmp_path}/far" not in said.stderr
    lines = {
        line.split("│")[1].strip(): line
        for line in imported.run("anchors", variables=configured, expect=1).stdout.splitlines()
        if TENANT in line
    }
    assert set(lines) == {"home", f"file://{blocked}", f"file://{tmp_path}/far"}
    assert "the folder cannot be written: Not a directory" in lines[f"file://{blocked}"]
    assert "never" not in lines[f"file://{tmp_path}/far"] + lines["home"]
    assert f"│ {imported.size()} " in lines[f"file://{tmp_path}/far"]
    imported.run("anchors", variables={"AUDIT_ANCHORS": f"file://{tmp_path}/far"})


def test_time_stamps_are_proven_with_the_certificate_of_their_authority(imported: Home, tmp_path: Path) -> None:
    signing, certificate, other = Authority(), tmp_path / "authority.pem", tmp_path / "other.pem"
    certificate.write_bytes(signing.pem)
    other.write_bytes(Authority("Another").pem)
    file = tmp_path / "evidence.json"
    event_id = imported.event_id(3)
    imported.run("checkpoint")
    made = ("evidence", "--tenant", TENANT, "--event", event_id, "-o", file)
    key = imported.run(*made).stdout.split()[-1]
    none = imported.run("verify-evidence", file, "--key", key, "--tsa-certificate", certificate, expect=1)
    assert none.stdout.startswith("REFUSED: ")
    with serving(signing) as server:
        configured = {
            "AUDIT_ANCHORS": f"rfc3161+http://127.0.0.1:{server.port}/",
            "AUDIT_TSA_CERTIFICATES": str(certificate),
            "AUDIT_OUTGOING_ALLOWED": "127.0.0.1",
        }
        assert imported.run("checkpoint", variables=configured).stderr == ""
        imported.run("anchors", variables=configured)
    size = imported.size()
    imported.run(*made)
    proven = imported.run("verify-evidence", file, "--key", key, "--tsa-certificate", certificate).stdout
    assert proven.startswith(f"Proven: CN=Test Authority says that the checkpoint of {size} events existed")
    assert "who made a time-stamp" not in proven
    refused = imported.run("verify-evidence", file, "--key", key, "--tsa-certificate", other, expect=1)
    assert refused.stdout.startswith("REFUSED: ")
    assert "verifying certificates" in refused.stdout
    imported.run("verify-evidence", file, "--tsa-certificate", tmp_path / "missing.pem", expect=2)
    imported.run("verify-evidence", tmp_path / "missing.json", "--tsa-certificate", certificate, expect=2)


def test_erasing_somebody_asks_first_and_certifies_what_was_done(imported: Home, tmp_path: Path) -> None:
    command = ("erase", "--tenant", TENANT, "--person", "person-3")
    assert "expected a yes or --yes" in imported.run(*command, expect=2).stderr
    certificate = tmp_path / "certificate.json"
    told = imported.run(*command, "--yes", "-o", certificate)
    statement = json.loads(certificate.read_text())["statement"]
    assert statement["seq"] == imported.size() - 1
    assert "keys rotate-encryption" in statement["remains"]["write_ahead_log"]
    assert f"{statement['actor_ref']} is erased" in told.stderr
    for who in ("person-3", statement["actor_ref"]):
        again = imported.run(*command[:-1], who, "--yes")
        assert "was erased before" in again.stderr
        assert again.stdout == certificate.read_text()
    key = imported.run("keys", "list").stdout.split()[1]
    assert "Stated" in imported.run("verify-certificate", certificate, "--key", key).stdout
    certificate.write_text(certificate.read_text().replace(f'"seq": {statement["seq"]}', '"seq": 1'))
    assert "REFUSED" in imported.run("verify-certificate", certificate, expect=1).stdout
    imported.run("verify-certificate", tmp_path / "missing.json", expect=2)
    refused = imported.run(*command[:-1], "person-nobody", "--yes", expect=2)
    assert "no living person" in refused.stderr
    assert "person-nobody" not in refused.stderr
    imported.run("verify")


def test_the_certificate_is_checked_with_two_files_and_nothing_else(imported: Home, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.json"
    imported.run("erase", "--tenant", TENANT, "--person", "person-2", "--yes", "-o", certificate)
    sources = Path(verify_certificate.__file__).parent
    for name in ("verify_certificate.py", "verify_evidence.py"):
        (tmp_path / name).write_bytes((sources / name).read_bytes())
    key = imported.run("keys", "list").stdout.split()[1]
    alone = [sys.executable, "-S", str(tmp_path / "verify_certificate.py"), str(certificate), "--key", key]
    result = subprocess.run(alone, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Proven: key ")


def test_a_person_is_exported_into_a_file_of_the_form_asked_for(imported: Home, tmp_path: Path) -> None:
    command = ("gdpr-export", "--tenant", TENANT, "--person", "person-1")
    for name, form, begins in (("a.json", None, b'{"'), ("a.pdf", None, b"%PDF"), ("b", "zip", b"PK")):
        path = tmp_path / name
        imported.run(*command, "-o", path, *(("--format", form) if form else ()))
        assert path.read_bytes().startswith(begins)
        assert path.stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / "a.json").read_text())["person"]["identity"] == "person-1"
    imported.run(*command[:-1], "person-nobody", "-o", tmp_path / "c.json", expect=2)
    assert not (tmp_path / "c.json").exists()


def test_holds_are_placed_listed_and_released(imported: Home) -> None:
    tenant = ("--tenant", TENANT)
    imported.run("holds", "list", *tenant, expect=1)
    placed = imported.run("holds", "place", *tenant, "--reason", "case 4711", "--person", "person-1").stdout
    hold = placed.partition(":")[0]
    assert placed.strip().endswith("person held")
    imported.run("holds", "place", *tenant, "--reason", "again person-1", "--person", "person-1", expect=2)
    imported.run("holds", "place", *tenant, "--reason", "x", "--entity-type", "a", expect=2)
    refused = imported.run("erase", *tenant, "--person", "person-1", "--yes", expect=2)
    assert "case 4711" in refused.stderr
    assert "case 4711" in imported.run("holds", "list", *tenant).stdout
    imported.run("holds", "release", *tenant, "--hold", hold, "--reason", "settled")
    imported.run("holds", "release", *tenant, "--hold", hold, "--reason", "settled", expect=2)
    imported.run("holds", "list", *tenant, expect=1)
    ranged = imported.run(
        "holds", "place", *tenant, "--reason", "y", "--from", "2026-01-01", "--to", "2026-02-01"
    ).stdout
    assert ranged.strip().endswith("range held")
    imported.run("verify")


def test_the_encryption_key_is_replaced(imported: Home) -> None:
    old = (imported.path / "keys" / "encryption.key").read_text()
    said = imported.run("keys", "rotate-encryption").stdout
    assert "keys wrapped anew" in said
    assert "The former master key was overwritten and deleted" in said
    assert (imported.path / "keys" / "encryption.key").read_text() != old
    imported.run("erase", "--tenant", TENANT, "--person", "person-2", "--yes")
    imported.run("verify")


def test_schema_commands_show_undo_and_need_a_yes(imported: Home) -> None:
    assert "pending" not in imported.run("db", "status").stdout
    refused = imported.run("db", "rollback", "--to", "7", expect=2)
    assert "expected --yes" in refused.stderr
    assert "undid 008" in imported.run("db", "rollback", "--to", "7", "--yes").stdout
    imported.run("db", "status", expect=1)
    assert "applied 008" in imported.run("db", "migrate").stdout


def test_a_token_is_printed_alone(home: Home) -> None:
    result = home.run("token", "--tenant", TENANT, "--subject", "alice", "--permission", "audit:read")
    assert result.stdout.count(".") == 2
    assert len(result.stdout.split()) == 1
    home.run("token", "--tenant", TENANT, "--subject", "alice", "--permission", "audit:everything", expect=2)


def test_malformed_configuration_is_named_without_its_value(home: Home) -> None:
    environment = os.environ | {"AUDIT_HOME": str(home.path), "JWT_SECRET": "short-and-secret"}
    result = subprocess.run(
        [sys.executable, "-m", "audit_pipelines", "verify"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "JWT_SECRET" in result.stderr
    assert "at least 32 bytes" in result.stderr
    assert "short-and-secret" not in result.stderr
