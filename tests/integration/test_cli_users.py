"""`audit-pipelines users …` as an administrator uses it: real processes over a real home."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked_commands import run_command

from audit_pipelines.db.embedded import EmbeddedPostgres

TENANT = "7d3c1f0e-0000-4000-8000-000000000002"
FIRST, SECOND = "first quiet-otter 11", "second quiet-otter 22"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("cli-users") / "home"
    users(path, "list")  # The first command makes the home's keys, which a cluster without keys would refuse.
    # Later commands join a server that runs already, which saves each of them starting and stopping one.
    server = EmbeddedPostgres(path, durable=False)
    server.start()
    yield path
    server.destroy()


def users(home: Path, *arguments: str, password: str = "", expect: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "DATABASE_"))}
    result = run_command(
        ["users", *arguments, "--tenant", TENANT],
        environment=environment | {"AUDIT_HOME": str(home), "COLUMNS": "200"},
        cwd=home.parent,
        typed=password and f"{password}\n",
    )
    assert result.returncode == expect, f"{arguments}: {result.stdout}\n{result.stderr}"
    if password:
        assert password not in result.stdout + result.stderr
    return result.stdout + result.stderr


def test_an_account_is_made_changed_and_shown(home: Path) -> None:
    alice = ("--login", "alice")
    name = ("--name", "Alice Liddell", "--permission", "audit:read", "--permission", "audit:sign")
    short = users(home, "add", *alice, *name, password="alice 1", expect=2)
    assert "12 to 1,024 characters" in short
    assert "no part of the login" in short
    assert "audit:all" in users(home, "add", *alice, *name, "--permission", "audit:all", password=FIRST, expect=2)
    users(home, "add", *alice, *name, password=FIRST)
    assert "was never given" in users(home, "add", *alice, *name, password=SECOND, expect=2)
    shown = users(home, "list")
    for word in ("alice", "Alice Liddell", "audit:sign", "must replace password", "never"):
        assert word in shown
    users(home, "passwd", *alice, password=SECOND)
    users(home, "disable", *alice)
    assert "disabled" in users(home, "list")
    users(home, "enable", *alice)
    users(home, "unlock", *alice)
    assert "disabled" not in users(home, "list")
    assert "another" in users(home, "disable", "--login", "bob", expect=2)
