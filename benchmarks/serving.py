"""Server processes under measurement, over one database."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil


@contextmanager
def serving(home: Path, variant: str = "product", processes: int = 1) -> Iterator[list[int]]:
    """Run server processes over the home of an open installation; gives their ports."""
    with ExitStack() as stack:
        yield [stack.enter_context(_process(home, variant)) for _ in range(processes)]


def process_at(port: int) -> psutil.Process:
    """Return the server process that answers at a port."""
    return next(
        child
        for child in psutil.Process().children(recursive=True)
        if any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in child.net_connections())
    )


@contextmanager
def _process(home: Path, variant: str) -> Iterator[int]:
    port = _free_port()
    environment = {**os.environ, "AUDIT_HOME": str(home)}
    with (home / f"{variant}-{port}.log").open("w") as log:
        command = [sys.executable, "-m", "benchmarks.variants", variant, str(port)]
        process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start: exit status {process.poll()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
