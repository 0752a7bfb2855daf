"""What was answered is there exactly once, whatever dies under load; a retry with its key gets the first answer."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import pytest

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.server.auth import mint_token
from audit_pipelines.settings import Settings

CLIENTS = 8
CUTS = 60
KILLS = 6
PATIENCE_S = 60
EVENT: dict[str, Any] = {"event_type": "crash.test", "entity_type": "thing", "entity_id": "1", "actor": "alice"}


class Load:
    """Clients that post one event after the other, each with a key, and do not let go before it is answered."""

    def __init__(self, url: str, token: str) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.changed: list[str] = []
        self.failures = 0
        self._url = f"{url}/api/audit/events"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(headers=self._headers, timeout=10, trust_env=False) as client:
            while not self._stop.is_set():
                key = str(uuid4())
                answer = self.answers[key] = self._post(client, key)
                if chance.random() < 0.3 and self._post(client, key) != answer:
                    self.changed.append(key)

    def _post(self, client: httpx.Client, key: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                response = client.post(self._url, json=EVENT, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.failures += 1
            else:
                if response.status_code == 201:
                    return dict(response.json())
                assert response.status_code == 503, response.text
                self.failures += 1
            time.sleep(0.02)
        raise AssertionError(f"no answer within {PATIENCE_S} s")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(_env_file=None, audit_home=tmp_path / "home")
    settings.home.mkdir()
    try:
        with open_installation(settings) as installation:
            yield installation
    finally:
        EmbeddedPostgres(settings.home).destroy()


class Server:
    """`serve` as a process on a port of its own, started again after each kill."""

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {**os.environ, "AUDIT_HOME": str(home)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "audit_pipelines", "serve", "--port", str(self._port)]
        self._process = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}/health", timeout=5, trust_env=False).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def serving(installation: Installation) -> Iterator[Server]:
    server = Server(installation.settings.home)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def survive(installation: Installation, disasters: int, strike: Callable[[Server], None]) -> None:
    tenant_id = uuid4()
    token = mint_token(
        installation.keyring.jwt_secret,
        subject="alice",
        tenant_id=tenant_id,
        permissions=["audit:write"],
        lifetime=timedelta(minutes=10),
    )
    chance = random.Random(disasters)
    with serving(installation) as server, Load(server.url, token) as load:
        for _ in range(disasters):
            time.sleep(chance.uniform(0.02, 0.2))
            strike(server)
    assert load.failures, "nothing was struck while it was at work"
    assert load.changed == []
    expect_each_once(installation, tenant_id, load)


def expect_each_once(installation: Installation, tenant_id: UUID, load: Load) -> None:
    with installation.database.connect_admin() as conn:
        rows = conn.execute(
            "select event_id, seq, encode(row_hash, 'hex') from audit_logs where tenant_id = %s", [tenant_id]
        ).fetchall()
    answered = sorted((answer["event_id"], answer["seq"], answer["row_hash"]) for answer in load.answers.values())
    # No event without an answer: every client went on asking with its key until it had one.
    assert sorted(rows) == answered
    assert sorted(seq for _, seq, _ in rows) == list(range(len(rows)))
    assert installation.seal(tenant_id) is not None
    [result] = installation.verify(tenant_id)
    assert result.findings == ()


def test_connections_cut_at_any_moment(home: Installation) -> None:
    def strike(_: Server) -> None:
        with home.database.connect_admin() as conn:
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'audit_app'")

    survive(home, CUTS, strike)


def test_the_server_killed_at_any_moment(home: Installation) -> None:
    def strike(server: Server) -> None:
        server.kill()
        server.start()

    survive(home, KILLS, strike)
