"""What each measured ledger can be asked, and the kinds of tampering that it is asked to make of itself.

It runs in the environment of the library under measurement, so it imports the standard library and psycopg alone, as do
`tasks` and `tampering`, which ask. What is particular to one library lies in the module that bears its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import psycopg

Event = Mapping[str, Any]
Connection = psycopg.Connection[Any]

A: Final = "a0000000-0000-0000-0000-000000000000"
B: Final = "b0000000-0000-0000-0000-000000000000"
BATCH: Final = 1_000
WARMING: Final = 500
"""Events that a round begins with and does not time."""

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
    drops: bool = False
    """Whether a table goes, so that putting rows back does not undo it."""


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
        "select column_name, data_type from information_schema.columns "
        "where table_schema = 'public' and table_name = %s order by ordinal_position",
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
