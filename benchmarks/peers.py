"""The product beside other hash-chained audit logs, its peers: the same events on the same server, in turns.

Each library runs in a process of its own, in the environment that `make bench` makes for the peers, by a program of
`peer_programs`; this module starts them, and puts their answers into tables. Nothing here knows how a peer is used.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from audit_pipelines.installation import Installation
from benchmarks.peer_programs.subject import BATCH, KINDS, WARMING
from benchmarks.rates import make_events

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = ROOT / ".venv-peers"
OURS: Final = "ours"
PEERS: Final[Mapping[str, str]] = {
    "ledgerchain": "ledgerchain",
    "auditchain": "auditchain",
    "nodii": "nodii-audit-chain",
}
"""The name of each peer's program, and its distribution."""
_ROUNDS: Final = 3
_SINGLES: Final = 500
_BULK: Final = 2 * BATCH
_ROUND: Final = WARMING + _SINGLES + _BULK
"""Events of a round; the first of them warm the process and are not timed."""
_WRITERS: Final = 8
_SHARE: Final = 100
_FIRST: Final = 1
_RATES: Final = {"single": "single append/s", "bulk": f"bulk append/s, {BATCH:,} a call", "verify": "verify rows/s"}


class PeersMissingError(Exception):
    """The peers' environment is not there."""


@dataclass
class Measured:
    """What one library came to."""

    name: str
    version: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    written: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By way of writing: how many events were stored and refused, and whether the ledger is intact."""
    tampering: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name and version as the tables head their columns."""
        return f"{self.name} {self.version}"


def measure(installation: Installation, told: Callable[[str], None]) -> list[Measured]:
    """Measure the product and its peers; `told` hears of each step.

    Raises:
        PeersMissingError: when the peers are not installed.
        RuntimeError: with what a program wrote, when one fails.
    """
    installed = versions()
    folder = installation.settings.home / "peers"
    folder.mkdir()
    events = folder / "events.json"
    count = _ROUNDS * _ROUND + _FIRST
    filled = (
        {name: value for name, value in made.items() if value} for made in msgspec.to_builtins(make_events(count))
    )
    events.write_bytes(msgspec.json.encode(list(filled)))
    programs = [_Program(installation, name, folder, events) for name in (OURS, *PEERS)]
    measured = {
        program: Measured(PEERS.get(program.name, program.name), installed[program.name]) for program in programs
    }
    for program in programs:
        program.ask("prepare", "speed", count=_FIRST)
    at = _FIRST
    for place in range(_ROUNDS):
        told(f"appending, round {place + 1} of {_ROUNDS}")
        for program, result in measured.items():
            _add(result.rates, program.ask("append", "speed", first=at, count=_ROUND, singles=_SINGLES))
        at += _ROUND
    for place in range(_ROUNDS):
        told(f"verifying, round {place + 1} of {_ROUNDS}")
        for program, result in measured.items():
            _add(result.rates, program.ask("verify", "speed", count=at))
    for program, result in measured.items():
        told(f"{_WRITERS} writers, and tampering: {result.name}")
        result.written = {
            f"by {_WRITERS} processes": _write_apart(program),
            f"by {_WRITERS} tasks or threads of one process": _write_together(program),
        }
        result.tampering = program.ask("tamper", "tampered", count=100)
    return list(measured.values())


def tables(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"{len(measured) - 1} peers, the same events on the same server; medians of {_ROUNDS} (lowest to highest)"
    yield ""
    rows = [["", *(one.title for one in measured)]]
    for key, label in _RATES.items():
        rows.append([label, *(_spread(one.rates[key]) for one in measured)])
        rows.append(["   ours ÷ theirs", "", *(f"{ratio:.1f}" for ratio in _ratios(measured, key))])
    rows += [
        [f"{_WRITERS * _SHARE} events {way}", *(_kept(one.written[way]) for one in measured)]
        for way in measured[0].written
    ]
    yield from _aligned(rows)
    yield ""
    notes: list[str] = []
    rows = [["tampering noticed", *(one.title for one in measured)]]
    for kind in KINDS:
        rows.append([kind, *(_noticed(one, kind, notes) for one in measured)])
    alarms = ["FALSE ALARM" if one.tampering["alarm_after_an_append"] else "none" for one in measured]
    rows.append(["alarm at an honest append since the checkpoint", *alarms])
    yield from _aligned(rows)
    yield ""
    yield from notes


def as_json(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return everything that was measured."""
    return [
        {
            "name": one.name,
            "version": one.version,
            "rates": one.rates,
            "written": one.written,
            "tampering": one.tampering,
        }
        for one in measured
    ]


def versions() -> dict[str, str]:
    """Return the versions of the product and the peers, by program.

    Raises:
        PeersMissingError: when the peers are not installed.
    """
    packages = [str(path) for path in sorted(ENVIRONMENT.glob("lib/python*/site-packages"))]
    found = {one.metadata["Name"]: one.version for one in distributions(path=packages)}
    missing = [name for name in PEERS.values() if name not in found]
    if missing:
        raise PeersMissingError(f"expected {', '.join(missing)} in {ENVIRONMENT.name}; `make bench` installs them")
    ours = next(one.version for one in distributions(name="audit-pipelines"))
    return {OURS: ours} | {program: found[name] for program, name in PEERS.items()}


@dataclass(frozen=True)
class _Program:
    """One library's program: every task is a process, so that none finds warm what another has to make."""

    installation: Installation
    name: str
    folder: Path
    events: Path

    def ask(self, task: str, what: str, **asked: Any) -> Any:
        """Do a task on the database for `what`, and return the answer."""
        process = self.start(task, what, **asked)
        return self.answer(process)

    def start(self, task: str, what: str, **asked: Any) -> "subprocess.Popen[str]":
        folder = self.folder / f"{self.name}-{what}"
        folder.mkdir(exist_ok=True)
        told = {
            "task": task,
            "url": self.installation.database.conninfo(None, dbname=f"{self.name}_{what}"),
            "folder": str(folder),
            "home": str(self.installation.settings.home),
            "events": str(self.events),
            "first": 0,
            **asked,
        }
        python = sys.executable if self.name == OURS else str(ENVIRONMENT / "bin" / "python")
        process = subprocess.Popen(
            [python, "-m", f"benchmarks.peer_programs.{self.name}"],
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / f"{self.name}-{task}-{uuid4().hex}.log").open("w"),
            text=True,
        )
        _say(process, json.dumps(told))
        return process

    def answer(self, process: "subprocess.Popen[str]") -> Any:
        written, _ = process.communicate(timeout=600)
        if process.returncode:
            logs = sorted(self.folder.glob(f"{self.name}-*.log"), key=lambda path: path.stat().st_mtime)
            raise RuntimeError(f"{self.name} failed:\n{logs[-1].read_text()[-3000:]}")
        return json.loads(written)


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _write_apart(program: _Program) -> Mapping[str, Any]:
    program.ask("prepare", "apart", count=_FIRST)
    shares = [{"first": _FIRST + place * _SHARE, "count": _SHARE} for place in range(_WRITERS)]
    processes = [program.start("write", "apart", **share) for share in shares]
    for process in processes:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            program.answer(process)
    for process in processes:
        _say(process, "go")
    refused = sum(program.answer(process)["refused"] for process in processes)
    return {"refused": refused, **program.ask("count", "apart")}


def _write_together(program: _Program) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = program.ask(
        "write together", "together", count=_FIRST + _WRITERS * _SHARE, writers=_WRITERS
    )
    return answer


def _add(rates: dict[str, list[float]], answer: Mapping[str, float]) -> None:
    for key, rate in answer.items():
        rates.setdefault(key, []).append(rate)


def _ratios(measured: Sequence[Measured], key: str) -> list[float]:
    """Return the median, over the rounds, of our rate by each peer's in the same round."""
    ours, *peers = (one.rates[key] for one in measured)
    return [statistics.median(one / other for one, other in zip(ours, theirs, strict=True)) for theirs in peers]


def _spread(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def _kept(written: Mapping[str, Any]) -> str:
    lost = _WRITERS * _SHARE - written["stored"] - written["refused"]
    parts = [f"{written['stored']} stored"]
    parts += [f"{written['refused']} refused"] if written["refused"] else []
    parts += [f"{lost} lost"] if lost else []
    return ", ".join([*parts, "intact" if written["intact"] else "NOT INTACT"])


def _noticed(one: Measured, kind: str, notes: list[str]) -> str:
    reason = one.tampering["not_applicable"].get(kind)
    if reason:
        notes.append(f"{kind}, {one.name}: not applicable, {reason}")
        return "not applicable"
    found = [(name, noticed) for found_kind, name, noticed, _ in one.tampering["found"] if found_kind == kind]
    if not found:
        raise ValueError(f"{one.name} says nothing of: {kind}")
    unseen = [name for name, noticed in found if not noticed]
    if not unseen:
        return "noticed" if len(found) == 1 else f"noticed, all {len(found)}"
    if len(found) == 1:
        return "unseen"
    notes.append(f"{kind}, {one.name}: unseen {', '.join(unseen)}")
    return f"{len(found) - len(unseen)} of {len(found)}" if len(unseen) < len(found) else f"unseen, all {len(found)}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for place, row in enumerate(rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if not place:
            yield "─" * (sum(widths) + 2 * len(widths) - 2)
