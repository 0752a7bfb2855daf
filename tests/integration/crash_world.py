"""What the crash matrix strikes: a durable cluster, `serve` over it as a process, and the comparison afterwards.

The clients are in `crash_load.py`, the kinds of disaster in the tests.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
from crash_load import CLIENTS, PATIENCE_S, Load, Name

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.installation import Installation
from audit_pipelines.server.auth import mint_token

REPEATED = 50
"""Events asked for once more at the end, beside those that a client had to repeat anyway."""


class Server:
    """`serve` as a process on a port of its own."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = os.environ | environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers."""
        command = [sys.executable, "-m", "audit_pipelines", "serve", "--port", str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stderr=log, cwd=self._log.parent)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                httpx.get(f"{self.url}/health", timeout=5, trust_env=False).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"the server did not start: {self._log.read_text()[-2000:]}")

    @property
    def pid(self) -> int:
        """The process that was started last, which must be running."""
        assert self._process
        assert self._process.poll() is None, f"the server ended: {self._log.read_text()[-2000:]}"
        return self._process.pid

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Run a server for the length of the block."""
    server = Server(environment, log)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Postmaster:
    """The processes of an embedded server."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def pid(self) -> int:
        """The postmaster as it says itself."""
        return int((self._home / "postgres" / "postmaster.pid").read_text().split()[0])

    @property
    def process(self) -> psutil.Process:
        """The postmaster, which must be running."""
        return psutil.Process(self.pid)

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster and its children."""
        postmaster = self.process
        return [postmaster, *postmaster.children()]

    def backend(self, chance: random.Random) -> psutil.Process:
        """Return the process behind some connection of the server's role; it may be in the middle of an append."""
        backends = [process for process in self.processes()[1:] if "audit_app" in " ".join(process.cmdline())]
        return chance.choice(backends)

    def use_up_log(self) -> None:
        """Write into one file of the write-ahead log after the other, until there is no room for a new one."""
        with (
            suppress(psycopg.OperationalError, DatabaseUnavailableError),
            psycopg.connect(self._url(), autocommit=True) as conn,
        ):
            while True:
                conn.execute("select pg_logical_emit_message(true, 'test', '')")
                conn.execute("select pg_switch_wal()")

    def wait_for_another(self, pid: int) -> None:
        """Return once a postmaster with another number takes connections, whoever started it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.pid != pid:
                    psycopg.connect(self._url()).close()
                    return
            except (OSError, IndexError, ValueError, DatabaseUnavailableError, psycopg.OperationalError):
                pass  # not written yet, or still recovering
            assert time.monotonic() < deadline, f"nobody brought Postgres back within {PATIENCE_S} s"
            time.sleep(0.02)

    def bring_back(self) -> None:
        """Start Postgres again as any command over the home does, and return once it takes connections."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            embedded = EmbeddedPostgres(self._home)
            try:
                embedded.start()
                psycopg.connect(self._url()).close()
            except (DatabaseUnavailableError, psycopg.OperationalError):
                # Still recovering, or processes of the killed postmaster have not noticed yet and keep its memory.
                assert time.monotonic() < deadline, f"Postgres did not come back within {PATIENCE_S} s"
                time.sleep(0.02)
            else:
                return
            finally:
                embedded.release()

    def _url(self) -> str:
        embedded = EmbeddedPostgres(self._home)
        return embedded.conninfo(user="postgres", password=embedded.password, dbname="postgres")


def kill(processes: list[psutil.Process]) -> None:
    """Kill processes with SIGKILL, in the given order, and return once the first one is gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + PATIENCE_S
    while not is_over(processes[0]):
        assert time.monotonic() < deadline, f"{processes[0]} did not end within {PATIENCE_S} s"
        time.sleep(0.005)


def is_over(process: psutil.Process) -> bool:
    """Return whether a process has ended, be it that nobody has taken notice of it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Matrix:
    """The table that the tests fill, a row a kind."""

    rows: list[tuple[str, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        head = (
            "kind",
            "moments",
            "events answered",
            "answers 503",
            "events asked for again",
            "of these stored before",
            "longest wait",
            "outcome",
        )
        lines = [head, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        return "\n".join(" | ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


Strike = Callable[[Load, random.Random], None]


@dataclass(frozen=True)
class Outcome:
    """What the clients went through."""

    refusals: int
    """Requests answered with 503."""
    repeated: int
    """Events that were asked for more than once."""
    stored_before: int
    """Events that a repeated request found stored, by a request that was not answered."""


@dataclass(frozen=True)
class Scene:
    """A server at work over an installation, and the table to write into."""

    matrix: Matrix
    installation: Installation
    server: Server

    def survive(self, kind: str, moments: int, strike: Strike, *, name: Name = "key", hang_ups: float = 0) -> Outcome:
        """Strike so many times under load, then compare all that was answered with the ledger."""
        tenant_id = uuid4()
        token = mint_token(
            self.installation.keyring.jwt_secret,
            subject="alice",
            tenant_id=tenant_id,
            permissions=["audit:write"],
            lifetime=timedelta(hours=2),
        )
        chance = random.Random(kind)
        load = Load(self.server.url, token, seed=kind, name=name, hang_ups=hang_ups)
        with load:
            load.wait_for(answers=1)
            for _ in range(moments):
                # Any moment of any flush: some answers later, and a part of a flush's time.
                load.wait_for(answers=chance.randrange(2 * CLIENTS))
                time.sleep(chance.uniform(0, 0.01))
                strike(load, chance)
            load.wait_for(answers=CLIENTS)
        assert load.faults == []
        # Before anybody asks again: that would store what was lost.
        expect_each_once(self.installation, tenant_id, load)
        repeated = [key for key, answer in load.answers.items() if answer.tries > 1]
        others = sorted(load.answers.keys() - set(repeated))
        changed = load.repeat(repeated + chance.sample(others, min(REPEATED, len(others))))
        assert not changed, f"{len(changed)} requests were answered otherwise when they came again"
        expect_each_once(self.installation, tenant_id, load)
        expect_intact(self.installation, tenant_id, len(load.answers))
        stored_before = sum(_was_stored_before(load, key) for key in repeated)
        longest = max(answer.waited_s for answer in load.answers.values())
        counts = (moments, len(load.answers), load.refusals, len(repeated), stored_before)
        self.matrix.rows.append((kind, *(f"{count:,}" for count in counts), f"{longest:.1f} s", "each once; intact"))
        return Outcome(load.refusals, len(repeated), stored_before)


def expect_each_once(installation: Installation, tenant_id: UUID, load: Load) -> None:
    """Compare the tenant's rows with the receipts: no event without an answer, since every client went on asking."""
    with installation.database.connect_admin() as conn:
        rows = conn.execute(
            "select event_id, seq, encode(row_hash, 'hex') from audit_logs where tenant_id = %s", [tenant_id]
        ).fetchall()
    receipts = [answer.receipt for answer in load.answers.values()]
    answered = Counter((receipt["event_id"], receipt["seq"], receipt["row_hash"]) for receipt in receipts)
    stored = Counter(rows)
    assert not (answered - stored), f"answered and not stored so: {(answered - stored).most_common(5)}"
    assert not (stored - answered), f"stored and not answered so: {(stored - answered).most_common(5)}"
    assert sorted(seq for _, seq, _ in rows) == list(range(len(rows)))


def expect_intact(installation: Installation, tenant_id: UUID, events: int) -> None:
    """Seal and verify what the tenant has."""
    assert installation.seal(tenant_id) is not None
    [result] = installation.verify(tenant_id)
    assert (result.findings, result.events) == ((), events)


def _was_stored_before(load: Load, name: str) -> bool:
    answer = load.answers[name]
    return datetime.fromisoformat(answer.receipt["recorded_at"]).timestamp() < answer.last_asked_at
