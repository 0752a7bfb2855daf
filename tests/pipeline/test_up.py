"""`up` over a real home: everything answers, a job runs, one signal ends every process, nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from audit_pipelines.db.embedded import EmbeddedPostgres

TENANT = "7d3c1f0e-0000-4000-8000-0000000000aa"
PERMISSIONS = ("--permission", "audit:write", "--permission", "audit:read")
READY_S = 120
# What ignores the signal is killed after 7 s; the rest is room for a machine that does other things.
STOPPED_S = 45
EVENT = {
    "event_type": "test_event",
    "entity_type": "test",
    "entity_id": "test-123",
    "action_details": {"test": True},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """A running `up` with its two ports."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.api = f"http://127.0.0.1:{(port := free_port())}"
        self.dagster = f"http://127.0.0.1:{(dagster_port := free_port())}"
        self.log = home.parent / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command("up", "--port", str(port), "--dagster-port", str(dagster_port)),
                env=environment(home),
                cwd=home.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while b"Stop with Ctrl-C" not in self.log.read_bytes():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def graphql(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(f"{self.dagster}/graphql", json={"query": query, "variables": variables}, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]

    def stop(self) -> float:
        """Return the seconds from SIGTERM until no process of the family is left, the database included."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        family += [process for process in psutil.process_iter() if is_postgres_of(process, self.home)]
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOPPED_S * 2) == 0, self.log.read_text()
        _, alive = psutil.wait_procs(family, timeout=STOPPED_S)
        assert alive == []
        return time.monotonic() - started


def is_postgres_of(process: psutil.Process, home: Path) -> bool:
    try:
        return str((home / "postgres").resolve()) in process.cmdline()
    except psutil.Error:
        return False


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "audit_pipelines", *arguments]


def environment(home: Path) -> dict[str, str]:
    ours = ("AUDIT_", "DAGSTER_", "DATABASE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {"AUDIT_HOME": str(home), "COLUMNS": "200"}


@contextmanager
def running(home: Path) -> Iterator[Up]:
    up = Up(home)
    try:
        up.wait_until_ready()
        yield up
    finally:
        up.process.kill()
        up.process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    path.mkdir()
    yield path
    EmbeddedPostgres(path).destroy()


def test_up_runs_everything_and_stops_everything(home: Path) -> None:
    token = subprocess.run(
        command("token", "--tenant", TENANT, "--subject", "t", *PERMISSIONS),
        env=environment(home), cwd=home.parent, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    headers = {"Authorization": f"Bearer {token}"}

    with running(home) as up:
        assert httpx.post(f"{up.api}/api/audit/events", json=EVENT, headers=headers).status_code == 201
        assert httpx.get(f"{up.api}/api/audit/health").json()["status"] == "ok"

        second = subprocess.run(
            command("up", "--port", str(free_port()), "--dagster-port", str(free_port())),
            env=environment(home), cwd=home.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert f"`up` already runs over {home} (process {up.process.pid})" in second.stderr

        states = {item["name"]: item["scheduleState"]["status"] for item in repository(up)["schedules"]}
        assert set(states.values()) == {"RUNNING"}
        assert len(states) >= 5

        run_id = launch(up, "checkpoint_job")
        assert finished(up, run_id) == "SUCCESS"
        assert up.stop() < STOPPED_S

    with running(home) as up:
        events = httpx.get(f"{up.api}/api/audit/events", headers=headers).json()["events"]
        assert [event["event_type"] for event in events] == ["test_event"]
        assert up.stop() < STOPPED_S


def repository(up: Up) -> Any:
    query = """
        {repositoriesOrError {... on RepositoryConnection {nodes {
          name location {name} schedules {name scheduleState {status}}
        }}}}
    """
    (found,) = up.graphql(query)["repositoriesOrError"]["nodes"]
    return found


def launch(up: Up, job: str) -> str:
    found = repository(up)
    answer = up.graphql(
        """
        mutation ($selector: JobOrPipelineSelector!) {
          launchRun(executionParams: {selector: $selector}) {
            __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}
          }
        }
        """,
        selector={
            "repositoryName": found["name"],
            "repositoryLocationName": found["location"]["name"],
            "jobName": job,
        },
    )["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


def finished(up: Up, run_id: str) -> str:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        query = "query ($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"
        status = up.graphql(query, id=run_id)["runOrError"]["status"]
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return str(status)
        time.sleep(0.5)
    raise AssertionError(f"run {run_id} did not end within {READY_S} s")
