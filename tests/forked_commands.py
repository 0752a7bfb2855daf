"""Commands of the product as processes of their own that import nothing: forked from one that has imported it all.

A command spends 2.5 s on imports and a tenth of that on its work. Everything else is that of a process: arguments,
environment, folder, standard streams, what is left behind and the status of its end. Tests whose subject is how a
process starts or is ended start one by `subprocess`; so does at least one test of each of these files.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

# Nothing of `audit_pipelines.cli*`: those read how wide they print from the environment when they are imported.
IMPORTED: Final = (
    "audit_pipelines.definitions", "audit_pipelines.installation", "audit_pipelines.runs", "audit_pipelines.settings",
    "audit_pipelines.exports.making", "audit_pipelines.importers", "rich.console", "rich.progress", "rich.table",
    "typer.rich_utils",
)  # fmt: skip
LONGEST_S: Final = 300


class _Forge:
    """The process that forks; it ends when this one does, since then nobody holds the other end of its orders."""

    def __init__(self) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(orders), str(answers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(orders, answers),
        )
        os.close(orders)
        os.close(answers)
        self._lines = os.fdopen(self._answers, "r")

    def run(self, order: Mapping[str, Any]) -> int:
        with self._lock:
            os.write(self._orders, json.dumps(order).encode() + b"\n")
            line = self._lines.readline()
        assert line, f"the process that forks ended with {self._process.wait()}"
        return int(line)


_forges: list[_Forge] = []


def run_command(
    arguments: Sequence[str], *, environment: Mapping[str, str], cwd: Path, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `audit-pipelines` with arguments, and `typed` as its input; killed after five minutes."""
    if not _forges:
        _forges.append(_Forge())
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(typed)
        order = {"arguments": arguments, "environment": dict(environment), "cwd": str(cwd)}
        status = _forges[0].run(order | {"streams": [*map(str, streams)]})
        return subprocess.CompletedProcess(arguments, status, streams[1].read_text(), streams[2].read_text())


def _fork_on_orders(orders: int, answers: int) -> None:
    for name in IMPORTED:
        import_module(name)
    # A thread would hold its locks for ever in what is forked.
    assert threading.active_count() == 1
    # What is imported is left alone by collections: each would write to all of its pages, at 0.7 s a command.
    gc.freeze()
    with os.fdopen(orders) as lines:
        for line in lines:
            child = os.fork()
            if child == 0:
                os.close(answers)
                _become(json.loads(line))
                return
            _, status = os.waitpid(child, 0)
            os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(order: Mapping[str, Any]) -> None:
    signal.alarm(LONGEST_S)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    for number, path in enumerate(order["streams"]):
        stream = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = ["audit-pipelines", *order["arguments"]]
    runpy.run_module("audit_pipelines", run_name="__main__")


if __name__ == "__main__":
    _fork_on_orders(int(sys.argv[1]), int(sys.argv[2]))
