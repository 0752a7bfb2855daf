"""The server as a process: start, health, losing and regaining the database, stop; and its siblings' fixtures."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
import uvicorn
from psycopg import sql

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.identity.opening import Identity
from audit_pipelines.installation import Installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS, mint_token
from audit_pipelines.server.serve import run_server, server_config
from audit_pipelines.settings import Settings

EVENT: dict[str, Any] = {
    "event_type": "test_event",
    "entity_type": "test",
    "entity_id": "test-123",
    "action_details": {"test": True},
}


class Api:
    """The real application behind a real socket, and clients that speak for somebody."""

    def __init__(self, installation: Installation, port: int) -> None:
        self.installation = installation
        self.url = f"http://127.0.0.1:{port}"
        self.clients: list[httpx.Client] = []

    def client(self, tenant_id: UUID, *permissions: str, subject: str = "service-account") -> httpx.Client:
        token = mint_token(
            self.installation.keyring.jwt_secret,
            subject=subject,
            tenant_id=tenant_id,
            permissions=permissions or PERMISSIONS,
            lifetime=timedelta(minutes=10),
        )
        return self.anonymous(Authorization=f"Bearer {token}")

    def anonymous(self, **headers: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)
        self.clients.append(client)
        return client

    def count(self, tenant_id: UUID, table: str = "audit_logs") -> int:
        """Count a tenant's rows; of events, those that do not say who read what."""
        statement = sql.SQL("select count(*) from {} where tenant_id = %s").format(sql.Identifier(table))
        if table == "audit_logs":
            statement += sql.SQL(" and not audit_is_access(event_type, entity_type)")
        with self.installation.database.connect_admin() as conn:
            [(count,)] = conn.execute(statement, [tenant_id]).fetchall()
        return int(count)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_timeout": 5_000})


@pytest.fixture
def api(installation: Installation) -> Iterator[Api]:
    with serving(installation) as served:
        yield served


@contextmanager
def serving(installation: Installation, identity: Identity | None = None) -> Iterator[Api]:
    """Serve an installation for the length of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(create_app(installation, identity=identity)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    served = Api(installation, listener.getsockname()[1])
    yield served
    for client in served.clients:
        client.close()
    server.should_exit = True
    thread.join()
    listener.close()


def test_health_names_each_dependency_and_no_secret(api: Api) -> None:
    with api.anonymous() as client:
        assert client.get("/health").json()["status"] == "ok"
        response = client.get("/api/audit/health")
    report = response.json()
    assert (response.status_code, report["status"], report["embedded"]) == (200, "ok", True)
    assert set(report["checks"]) == {"database", "migrations", "partitions", "checkpoint"}
    assert report["checks"]["partitions"]["months_ahead"] >= 3
    assert "postgres" not in response.text


def test_the_newest_checkpoint_has_an_age(api: Api, tenant_id: UUID) -> None:
    with api.installation.database.connect_admin() as conn:
        conn.execute(
            "insert into audit_checkpoints values (%s, 1, %s, %s, '', 'note', 'key', now() - interval '1 hour')",
            [tenant_id, bytes(32), bytes(32)],
        )
    report = api.anonymous().get("/api/audit/health").json()
    assert report["status"] == "degraded"
    assert 3_600 <= report["checks"]["checkpoint"]["age_seconds"] < 3_700


def test_a_migration_that_is_missing_is_a_reason_not_to_serve(api: Api) -> None:
    with api.installation.database.connect_admin() as conn:
        conn.execute("delete from audit_schema_migrations where version = 8")
    response = api.anonymous().get("/api/audit/health")
    assert response.status_code == 503
    assert response.json()["checks"]["migrations"]["pending"] == ["008_create_indexes"]


def test_the_database_may_go_and_come_back(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id)
    assert client.post("/api/audit/events", json=EVENT).status_code == 201
    with api.installation.database.connect_admin() as admin:
        [(name,)] = admin.execute("select current_database()").fetchall()
        admin.execute(sql.SQL("revoke connect on database {} from public").format(sql.Identifier(name)))
        cut_connections(admin)
        refused = client.post("/api/audit/events", json=EVENT | {"event_id": "during the outage"})
        health = client.get("/api/audit/health")
        alive = client.get("/health")
        admin.execute(sql.SQL("grant connect on database {} to public").format(sql.Identifier(name)))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "down")
    assert alive.status_code == 200
    deadline = time.monotonic() + 60
    again = client.post("/api/audit/events", json=EVENT | {"event_id": "during the outage"})
    while again.status_code == 503 and time.monotonic() < deadline:
        again = client.post("/api/audit/events", json=EVENT | {"event_id": "during the outage"})
    assert again.status_code == 201
    assert api.count(tenant_id) == 2


def test_broken_connections_are_replaced_unseen(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id)
    assert client.post("/api/audit/events", json=EVENT).status_code == 201
    with api.installation.database.connect_admin() as admin:
        cut_connections(admin)
    assert client.post("/api/audit/events", json=EVENT).status_code == 201


def cut_connections(admin: Any) -> None:
    admin.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )


def test_an_address_in_use_is_said(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match=str(taken.getsockname()[1])),
    ):
        run_server(settings, "127.0.0.1", taken.getsockname()[1])


def test_sigterm_ends_server_and_database(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, audit_home=tmp_path / "home")
    settings.home.mkdir()
    program = (
        "from audit_pipelines.server.serve import run_server; from audit_pipelines.settings import Settings; "
        f"from pathlib import Path; run_server(Settings(_env_file=None, audit_home=Path({str(settings.home)!r})), "
        "'127.0.0.1', 0)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "listening" in line)
        url = f"http://127.0.0.1:{line.partition('port=')[2].split()[0]}/api/audit/events"
        token = mint_token(
            open_keyring(settings).jwt_secret,
            subject="alice",
            tenant_id=uuid4(),
            permissions=["audit:write"],
            lifetime=timedelta(minutes=1),
        )
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(url, json=EVENT, headers=headers, timeout=60, trust_env=False).status_code == 201
        process.terminate()
        log = process.stderr.read()
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        stopped = not (settings.home / "postgres" / "postmaster.pid").exists()
        EmbeddedPostgres(settings.home).destroy()
    assert stopped
    assert "request method=POST route=/api/audit/events status=201" in log
    assert token not in log


def test_workers_share_the_port_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, audit_home=tmp_path / "home")
    settings.home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "audit_pipelines", "serve", "--port", str(port), "--workers", "2"]
    environment = {**os.environ, "AUDIT_HOME": str(settings.home)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=tmp_path)

    def workers() -> set[int]:
        found = set()
        for child in psutil.Process(process.pid).children():
            with suppress(psutil.NoSuchProcess):  # so is a zombie
                found |= {child.pid} if "spawn_main" in str(child.cmdline()) else set()
        return found

    def wait_for(what: Callable[[], bool]) -> None:
        # The parent looks after one worker after the other, and gives one that is still starting a minute.
        deadline = time.monotonic() + 120
        while not what():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    try:
        wait_for(answers)
        wait_for(lambda: len(workers()) == 2)
        killed = min(workers())
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(workers() - {killed}) == 2)
        wait_for(answers)
        process.terminate()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        stopped = not (settings.home / "postgres" / "postmaster.pid").exists()
        EmbeddedPostgres(settings.home).destroy()
    assert stopped
