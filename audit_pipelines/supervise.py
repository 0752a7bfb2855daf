"""`up`: the API, the Dagster webserver and the Dagster daemon over one home, started and stopped together.

One `up` per home, held by a lock that dies with the process: two Dagster daemons on one storage would launch every run
twice. Nothing here knows what the processes do; it knows how to start them, watch them and leave none behind.
"""

import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import dotenv
import psutil

from audit_pipelines.errors import AlreadyRunningError, AuditError, ConfigurationError
from audit_pipelines.files import data_path
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.settings import Settings

_READY_S: Final = 90
# SIGTERM has this long to work before SIGKILL; with Postgres' fast shutdown, all is over within 15 s.
_GRACE_S: Final = 7
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Service:
    """One process to run: its command, and the URL that answers once it is ready (None: ready when it runs)."""

    name: str
    command: tuple[str, ...]
    ready_url: str | None


@contextmanager
def only_one(home: Path, name: str) -> Iterator[None]:
    """Hold the home for the one process that may do `name` in it; the lock goes with the process, however it ends.

    Raises:
        AlreadyRunningError: naming the process that holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"`{name}` already runs over {home} (process {lock.read().strip() or 'unknown'}); "
                "stop it first, or set AUDIT_HOME to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def up(settings: Settings, *, host: str, port: int, dagster_port: int, say: Callable[[str], None]) -> int:
    """Run everything until SIGINT or SIGTERM; returns 0 after such a stop and 1 when a process died by itself.

    Raises:
        AlreadyRunningError: when another `up` runs over this home, or a port is taken.
    """
    with _stop_signals() as stopping, only_one(settings.home, "up"):
        for number in (port, dagster_port):
            _check_free(host, number)
        with open_installation(settings) as installation:
            environment = dagster_environment(installation)
            if settings.database_url is None:
                _write_dotenv(environment)
            services = _services(host, port, dagster_port)
            return _run(services, environment, settings.home / "logs", stopping, say)


def dagster_environment(installation: Installation) -> dict[str, str]:
    """Return the variables under which Dagster finds this home; puts `dagster.yaml` where Dagster looks for it."""
    dagster_home = installation.settings.home / "dagster"
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data_path("dagster.yaml"), dagster_home / "dagster.yaml")
    return {
        "AUDIT_HOME": str(installation.settings.home),
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_POSTGRES_URL": installation.database.dagster_url(),
    }


def terminate(processes: Mapping[str, subprocess.Popen[bytes]], grace_s: float = _GRACE_S) -> None:
    """Stop processes and all their descendants: SIGTERM first, SIGKILL for what is left after `grace_s` seconds."""
    family: dict[int, psutil.Process] = {}
    for process in processes.values():
        with_children = _with_descendants(process.pid)
        family.update({member.pid: member for member in with_children})
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + grace_s
    for process in processes.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
    for member in [*family.values()]:
        family.update({child.pid: child for child in _with_descendants(member.pid)})
    survivors = [member for member in family.values() if member.is_running()]
    for member in survivors:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(survivors, timeout=2)
    for process in processes.values():
        process.wait()


def start_service(
    command: tuple[str, ...], environment: Mapping[str, str], log: Path, *, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to `log`; it ends when this process dies."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment),
            cwd=cwd,
            start_new_session=True,
            # No thread of ours runs before the last service is started, so the child's side of fork is safe.
            preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, *, timeout_s: float = _READY_S) -> None:
    """Return once `url` answers 200.

    Raises:
        AuditError: when the process ends or the time is up, with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - the URL is one of our own, on this machine
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    state = "did not become ready" if process.poll() is None else f"ended with {process.returncode}"
    raise AuditError(f"{url}: the process {state}; {_log_tail(log)}")


def _services(host: str, port: int, dagster_port: int) -> tuple[Service, ...]:
    python = sys.executable
    workspace = str(data_path("workspace.yaml"))
    dagster_ui = f"http://127.0.0.1:{dagster_port}"
    return (
        Service(
            "api",
            (python, "-m", "audit_pipelines", "serve", "--host", host, "--port", str(port)),
            f"http://{_reachable(host)}:{port}/health",
        ),
        # The webserver has no authentication (dagster issue 2219), so it listens on loopback whatever --host says.
        Service(
            "dagster-webserver",
            (python, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(dagster_port), "-w", workspace),
            f"{dagster_ui}/server_info",
        ),
        Service("dagster-daemon", (python, "-m", "dagster._daemon", "run", "-w", workspace), None),
    )


def _run(
    services: tuple[Service, ...],
    environment: Mapping[str, str],
    logs: Path,
    stopping: "_Stop",
    say: Callable[[str], None],
) -> int:
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for service in services:
            processes[service.name] = start_service(service.command, environment, logs / f"{service.name}.log")
        for service in services:
            if service.ready_url and not stopping.asked:
                wait_until_ready(service.ready_url, processes[service.name], logs / f"{service.name}.log")
        say("ready")
        while not stopping.asked:
            for name, process in processes.items():
                if process.poll() is not None:
                    say(f"{name} ended with {process.returncode}; {_log_tail(logs / f'{name}.log')}")
                    return 1
            stopping.wait(0.5)
        say("stopping")
        return 0
    finally:
        terminate(processes)


class _Stop:
    """Whether a stop was asked for; waiting for it ends at once when the signal comes."""

    def __init__(self) -> None:
        self.asked = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        os.write(self._wake_write, b"!")

    def wait(self, seconds: float) -> None:
        select.select([self._wake_read], [], [], seconds)


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    previous = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise AlreadyRunningError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from None


def _write_dotenv(environment: Mapping[str, str]) -> None:
    """Let a bare `dagster dev` in this folder find the home; other lines of an existing `.env` stay as they are."""
    path = Path(".env")
    if not path.exists():
        path.touch(mode=0o600)
    elif path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path.absolute()} will hold a password; expected mode 600, run chmod 600 on it")
    for name, value in environment.items():
        dotenv.set_key(path, name, value)
    path.chmod(0o600)


def _with_descendants(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def die_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - names the address, binds nothing


def _log_tail(log: Path) -> str:
    if not log.exists():
        return f"no log at {log}"
    lines = log.read_text(errors="replace").splitlines()[-12:]
    return f"its log {log} ends:\n" + "\n".join(lines)
