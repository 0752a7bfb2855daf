"""What each measured ledger is asked to do, and the program around it: one task a process, told and answered in JSON.

It runs in the environment of the library under measurement, so it imports the standard library and psycopg alone. What
is particular to one library lies in the module that bears its name.
"""

import json
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

Event = Mapping[str, Any]
Connection = psycopg.Connection[Any]

A: Final = "a0000000-0000-0000-0000-000000000000"
B: Final = "b0000000-0000-0000-0000-000000000000"
BATCH: Final = 1_000
ROUNDS_OF_A_AND_B: Final = ((4, 2), (8, 4))
"""Events of each tenant in the ledgers that are tampered with, and a checkpoint after either round."""

COLUMN = "a column of a row changed"
OWN_HASHES = "content changed, the row's own hashes made to fit"
SWAPPED = "two rows swapped"
INSERTED = "row inserted"
APPENDED = "row appended by hand, hashes made to fit"
FIRST = "first row deleted"
MIDDLE = "middle row deleted"
LAST = "last row deleted"
TAIL = "tail deleted, head made to fit"
TENANT = "tenant deleted"
MOVED = "row moved to another tenant"
CHAIN = "chain rewritten to fit"
CHECKPOINTS = "chain rewritten to fit, checkpoints in the database too"
OLDER = "older database put back"
HEAD = "head changed"
CHECKPOINT = "checkpoint changed"
PARTITION = "partition dropped"
KEY = "signed with another key"
KINDS: Final = (
    *(COLUMN, OWN_HASHES, SWAPPED, INSERTED, APPENDED, FIRST, MIDDLE, LAST, TAIL, TENANT, MOVED, CHAIN, CHECKPOINTS),
    *(OLDER, HEAD, CHECKPOINT, PARTITION, KEY),
)

_NEW_VALUES: Final[Mapping[str, str]] = {
    "bigint": "{0} + 1000",
    "bytea": "sha256('x')",
    "character": "md5({0}) || md5({0})",
    "character varying": "'other'",
    "jsonb": """'{{"other": 1}}'""",
    "text": "'other'",
    "timestamp with time zone": "{0} + interval '1 microsecond'",
    "uuid": "gen_random_uuid()",
}


@dataclass(frozen=True)
class Verdict:
    """What a verification said, over how many rows."""

    intact: bool
    rows: int
    why: str = ""


@dataclass(frozen=True)
class Change:
    """One way to tamper, with a superuser's connection and the folder of what is kept outside the database."""

    kind: str
    name: str
    make: Callable[[Connection, Path], object]


class Subject(ABC):
    """One ledger in one database, used as its documents tell; `folder` is for what it keeps outside."""

    distribution: ClassVar[str]
    not_applicable: ClassVar[Mapping[str, str]] = {}
    """Kinds of tampering for which it has no such thing at all, and why."""

    def __init__(self, told: Mapping[str, Any], url: str, folder: Path) -> None:
        self.told, self.url, self.folder = told, url, folder

    @abstractmethod
    def prepare(self) -> None:
        """Make the schema in an empty database."""

    @abstractmethod
    def append_each(self, events: Sequence[Event], tenant: str = A) -> int:
        """Append each event durably by itself; return how many were refused."""

    @abstractmethod
    def append_batches(self, events: Sequence[Event]) -> None:
        """Append the events in batches of `BATCH`, by the fastest way the library offers."""

    @abstractmethod
    def append_together(self, shares: Sequence[Sequence[Event]]) -> int:
        """Append each share at the same time as the others, all in this process; return how many were refused."""

    @abstractmethod
    def anchor(self) -> None:
        """Make a checkpoint of all there is, where the library has such a thing, and keep it outside."""

    @abstractmethod
    def verify(self) -> Verdict:
        """Verify everything as its documents tell an operator to, checkpoints kept outside included."""

    @abstractmethod
    def stored(self) -> int:
        """Return how many events are stored."""

    @abstractmethod
    def changes(self, conn: Connection) -> Iterator[Change]:
        """Yield every way to tamper with the ledger that `conn` shows."""

    @abstractmethod
    def close(self) -> None:
        """Leave the database."""


def column_changes(
    conn: Connection, kind: str, table: str, where: str, values: Mapping[str, str | None]
) -> Iterator[Change]:
    """Yield a change of each column of a table's row; `values` has what a type's own value does not do for, or None."""
    described = conn.execute(
        "select column_name, data_type from information_schema.columns where table_name = %s order by ordinal_position",
        [table],
    )
    for name, data_type in described.fetchall():
        value = values[name] if name in values else _NEW_VALUES[data_type].format(name)
        if value is not None:
            yield statement(kind, name, f"update {table} set {name} = {value} where {where}")


def statement(kind: str, name: str, *statements: str) -> Change:
    """Return the change that SQL statements make; each must touch a row."""

    def make(conn: Connection, _: Path) -> None:
        for text in statements:
            if not conn.execute(text.encode()).rowcount:
                raise RuntimeError(f"{name}: expected a row to change by {text}")

    return Change(kind, name, make)


def verdict_of(verify: Callable[[], Verdict]) -> Verdict:
    """Return the verdict; a verification that fails is one that noticed."""
    try:
        return verify()
    except Exception as error:  # noqa: BLE001 - whatever it stops at
        return Verdict(False, 0, f"{type(error).__name__}: {error}".splitlines()[0])


def run(subject: type[Subject]) -> None:
    """Do the task that the first line of standard input tells, and print its answer."""
    told = json.loads(sys.stdin.readline())
    answer = _TASKS[told["task"]](subject, told)
    print(json.dumps(answer), flush=True)


@contextmanager
def _opened(subject: type[Subject], told: Mapping[str, Any], url: str, folder: Path) -> Iterator[Subject]:
    opened = subject(told, url, folder)
    try:
        yield opened
    finally:
        opened.close()


def _main(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    return _opened(subject, told, told["url"], Path(told["folder"]))


def _events(told: Mapping[str, Any]) -> list[Event]:
    events: list[Event] = json.loads(Path(told["events"]).read_text())
    return events[told["first"] : told["first"] + told["count"]]


def _prepare(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    with _administering(told["url"]) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(_dbname(told["url"]))))
    with _main(subject, told) as one:
        one.prepare()
        # Some make their first row lazily, and that is no event's time.
        one.append_each(_events(told))


def _append(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    events = _events(told)
    warming, events = events[:BATCH], events[BATCH:]
    singles, batches = events[: told["singles"]], events[told["singles"] :]
    with _main(subject, told) as one:
        # A process that has run for a while has its statements prepared and, of ours, its persons' keys at hand.
        one.append_each(warming[: BATCH // 4])
        one.append_batches(warming[BATCH // 4 :])
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
    events, writers = _events(told), told["writers"]
    with _main(subject, told) as one:
        one.stored()
        return {"refused": one.append_together([events[place::writers] for place in range(writers)])}


def _count(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    with _main(subject, told) as one:
        verdict = verdict_of(one.verify)
        return {"stored": one.stored(), "intact": verdict.intact, "why": verdict.why}


def _tamper(subject: type[Subject], told: Mapping[str, Any]) -> Any:
    base, events = _dbname(told["url"]), _events(told)
    kept, older = Path(told["folder"]) / "kept", f"{base}_older"
    kept.mkdir(parents=True)
    at = 0
    with _administering(told["url"]) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(base)))
        for place, (for_a, for_b) in enumerate(ROUNDS_OF_A_AND_B):
            if place:
                _copy(admin, base, older)
            with _opened(subject, told, told["url"], kept) as one:
                if not place:
                    one.prepare()
                for tenant, count in ((A, for_a), (B, for_b)):
                    one.append_each(events[at : at + count], tenant)
                    at += count
                one.anchor()

        def verdict(dbname: str, change: Change | None) -> Verdict:
            folder = Path(told["folder"]) / dbname
            shutil.copytree(kept, folder)
            url = _at(told["url"], dbname)
            if change:
                with psycopg.connect(url, autocommit=True) as conn:
                    conn.execute("set session_replication_role = replica")
                    change.make(conn, folder)
            with _opened(subject, told, url, folder) as one:
                found = verdict_of(one.verify)
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(dbname)))
            return found

        with _opened(subject, told, told["url"], kept) as one, psycopg.connect(told["url"], autocommit=True) as conn:
            changes = list(one.changes(conn))
        names = iter(range(len(changes) + 2))

        def fresh() -> str:
            name = f"{base}_{next(names)}"
            _copy(admin, base, name)
            return name

        untouched = verdict(fresh(), None)
        if not untouched.intact:
            raise RuntimeError(f"expected the untouched ledger to be intact, got {untouched}")
        found = [(change.kind, change.name, verdict(fresh(), change)) for change in changes]
        found.append((OLDER, "with what was kept outside since", verdict(older, None)))
        with _opened(subject, told, told["url"], kept) as one:
            one.append_each(events[at : at + 1])
            honest = verdict_of(one.verify)
    return {
        "found": [[kind, name, not said.intact, said.why] for kind, name, said in found],
        "not_applicable": dict(subject.not_applicable),
        "alarm_after_an_append": not honest.intact,
    }


_TASKS: Final[Mapping[str, Callable[[type[Subject], Mapping[str, Any]], Any]]] = {
    "prepare": _prepare,
    "append": _append,
    "verify": _verify,
    "write": _write,
    "write together": _write_together,
    "count": _count,
    "tamper": _tamper,
}


def _at(url: str, dbname: str) -> str:
    return urlsplit(url)._replace(path=f"/{dbname}").geturl()


def _dbname(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _administering(url: str) -> Connection:
    return psycopg.connect(_at(url, "postgres"), autocommit=True)


def _copy(admin: Connection, name: str, to: str) -> None:
    # A template must have no connections, and those just closed take a moment to go.
    for _ in range(100):
        with suppress(psycopg.errors.ObjectInUse):
            admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(to), sql.Identifier(name)))
            return
        time.sleep(0.05)
    raise RuntimeError(f"{name} is still in use")
