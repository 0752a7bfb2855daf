"""A measured ledger's program: one task a process, told in a line of JSON and answered in another."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from benchmarks.peer_programs.subject import WARMING, Event, Subject
from benchmarks.peer_programs.tampering import administering, dbname_of, opened, tamper, verdict_of


def run(subject: type[Subject]) -> None:
    """Do the task that the first line of standard input tells, and print its answer."""
    told = json.loads(sys.stdin.readline())
    answer = _TASKS[told["task"]](subject, told)
    print(json.dumps(answer), flush=True)


def _main(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    return opened(subject, told, told["url"], Path(told["folder"]))


def _events(told: Mapping[str, Any]) -> list[Event]:
    events: list[Event] = json.loads(Path(told["events"]).read_text())
    return events[told["first"] : told["first"] + told["count"]]


def _prepare(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    with administering(told["url"]) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(dbname_of(told["url"]))))
    with _main(subject, told) as one:
        one.prepare()
        # Some make their first row lazily, and that is no event's time.
        one.append_each(_events(told))


def _append(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    events = _events(told)
    warming, events = events[:WARMING], events[WARMING:]
    singles, batches = events[: told["singles"]], events[told["singles"] :]
    with _main(subject, told) as one:
        # A process that has run for a while has its statements prepared and, of ours, its persons' keys at hand.
        one.append_each(warming[: WARMING // 2])
        one.append_batches(warming[WARMING // 2 :])
        started = time.perf_counter()
        refused = one.append_each(singles)
        between = time.perf_counter()
        one.append_batches(batches)
        ended = time.perf_counter()
    if refused:
        raise RuntimeError(f"{refused} of {len(singles)} events were refused with one writer")
    return {"single": len(singles) / (between - started), "bulk": len(batches) / (ended - between)}


def _verify(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    with _main(subject, told) as one:
        one.stored()
        started = time.perf_counter()
        verdict = one.verify()
        seconds = time.perf_counter() - started
    if not verdict.intact or verdict.rows < told["count"]:
        raise RuntimeError(f"expected {told['count']} intact rows, got {verdict}")
    return {"verify": verdict.rows / seconds}


def _write(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    events = _events(told)
    with _main(subject, told) as one:
        one.stored()
        print("ready", flush=True)
        sys.stdin.readline()
        return {"refused": one.append_each(events)}


def _write_together(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    _prepare(subject, {**told, "count": 1})
    events, writers = _events(told)[1:], told["writers"]
    with _main(subject, told) as one:
        refused = one.append_together([events[place::writers] for place in range(writers)])
        return {"refused": refused, **_counted(one)}


def _count(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    with _main(subject, told) as one:
        return _counted(one)


def _counted(one: Subject) -> Mapping[str, Any]:
    verdict = verdict_of(one)
    # The event that `_prepare` appended is none of those counted.
    return {"stored": one.stored() - 1, "intact": verdict.intact, "why": verdict.why}


_TASKS: Final[Mapping[str, Callable[[type[Subject], Mapping[str, Any]], Any]]] = {
    "prepare": _prepare,
    "append": _append,
    "verify": _verify,
    "write": _write,
    "write together": _write_together,
    "count": _count,
    "tamper": lambda subject, told: tamper(subject, told, _events(told)),
}
