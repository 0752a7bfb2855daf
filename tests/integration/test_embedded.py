"""The embedded server: shared by processes of one home, and no folder that is not ours is touched."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from audit_pipelines.db.database import reach_database
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.settings import Settings


def modes(path: Path) -> dict[Path, int]:
    return {folder: folder.stat().st_mode for folder in (path, *path.parents)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    return private / "home"


def test_it_starts_is_shared_stops_and_keeps_its_data(home: Path) -> None:
    first, second = EmbeddedPostgres(home), EmbeddedPostgres(home)
    first.start()
    try:
        with psycopg.connect(first.conninfo(user="postgres", password=first.password, dbname="postgres")) as conn:
            conn.execute("create table kept (value int)")
            # One round is enough for a password nobody can guess: 32 random bytes.
            assert len(first.password) >= 43
            conn.execute("create role somebody login password 'of their own'")
            assert dict(
                conn.execute("select rolname, split_part(rolpassword, ':', 1) from pg_authid where rolcanlogin")
            ) == {
                "postgres": "SCRAM-SHA-256$1",
                "somebody": "SCRAM-SHA-256$4096",
            }
        second.start()
        first.release()
        conninfo = second.conninfo(user="postgres", password=second.password, dbname="postgres")
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("select count(*) from kept").fetchone() == (0,)
        second.release()
        with pytest.raises(DatabaseUnavailableError, match="not running"):
            second.conninfo(user="postgres", password="", dbname="postgres")
        first.start()
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("select count(*) from kept").fetchone() == (0,)
    finally:
        first.destroy()
    assert not (home / "postgres").exists()


def test_no_parent_folder_changes_its_mode(home: Path) -> None:
    before = modes(home.parent)
    server = EmbeddedPostgres(home)
    server.start()
    server.destroy()
    assert modes(home.parent) == before


@pytest.mark.parametrize("name", ["it's, with a space, ünïcode", "x" * 120])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres(tmp_path / name, durable=False)
    server.start()
    try:
        conninfo = server.conninfo(user="postgres", password=server.password, dbname="postgres")
        with psycopg.connect(conninfo) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    finally:
        server.destroy()


def test_it_asks_for_a_password(home: Path) -> None:
    server = EmbeddedPostgres(home)
    server.start()
    try:
        conninfo = server.conninfo(user="postgres", password="wrong", dbname="postgres")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(conninfo)
        assert (home / "keys" / "postgres.password").stat().st_mode & 0o777 == 0o600
    finally:
        server.destroy()


def test_a_killed_process_leaves_no_server_behind_for_ever(home: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from audit_pipelines.db.embedded import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1])).start(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(home)], check=False)
    server = EmbeddedPostgres(home)
    server.start()
    server.release()
    with pytest.raises(DatabaseUnavailableError):
        server.conninfo(user="postgres", password="", dbname="postgres")
    server.destroy()


def test_a_dead_server_is_started_again_when_somebody_asks(home: Path) -> None:
    settings = Settings(_env_file=None, audit_home=home)
    with reach_database(settings) as database:
        database.migrate()
        with database.connection("audit_app") as conn:
            conn.execute("select 1")
        postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
        for process in [postmaster, *postmaster.children()]:
            process.kill()
        deadline = time.monotonic() + 60
        while True:
            try:
                with database.connection("audit_app") as conn:
                    assert conn.execute("select 1").fetchone() == (1,)
                break
            except DatabaseUnavailableError:
                assert time.monotonic() < deadline
        assert psutil.pid_exists(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    EmbeddedPostgres(home).destroy()


def test_a_dead_servers_number_may_be_anothers_after_a_crash(home: Path) -> None:
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    remnant = server.data_dir / "postmaster.pid"
    try:
        postmaster = psutil.Process(int(remnant.read_text().split()[0]))
        account = postmaster.username()
        everybody = [postmaster, *postmaster.children()]
        for process in everybody:
            process.kill()
        psutil.wait_procs(everybody, timeout=60)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=account) as somebody:
            socket_dir = Path(remnant.read_text().splitlines()[4])
            for file in (remnant, socket_dir / ".s.PGSQL.5432.lock"):
                _, *others = file.read_text().splitlines(keepends=True)
                file.write_text("".join([f"{somebody.pid}\n", *others]))
            again = EmbeddedPostgres(home, durable=False)
            again.start()
            conninfo = again.conninfo(user="postgres", password=again.password, dbname="postgres")
            with psycopg.connect(conninfo) as conn:
                assert conn.execute("select 1").fetchone() == (1,)
            again.release()
    finally:
        server.destroy()
