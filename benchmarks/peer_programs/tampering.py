"""Making every change that a subject knows of, each on the same small ledger, and asking it after each.

The ledger has two tenants and two checkpoints; between the changes its rows are put back, since copying a database
for each took a second on a busy disk. A change that drops a table gets a copy.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.peer_programs.subject import OLDER, A, B, Change, Connection, Event, Subject, Verdict

_ROUNDS: Final = ((4, 2), (8, 4))
"""Events of each tenant; a checkpoint follows either round."""


def tamper(subject: type[Subject], told: Mapping[str, Any], events: Sequence[Event]) -> Any:
    """Return what verification said of each change, and of a ledger that merely grew since its last checkpoint."""
    url, folder = told["url"], Path(told["folder"])
    base, older, kept = dbname_of(url), f"{dbname_of(url)}_older", folder / "kept"
    folders = (folder / str(place) for place in count())
    kept.mkdir()
    with administering(url) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(base)))
        left = iter(events)
        for place, of_each in enumerate(_ROUNDS):
            if place:
                _copy(admin, base, older)
            with opened(subject, told, url, kept) as one:
                if not place:
                    one.prepare()
                for tenant, share in zip((A, B), of_each, strict=True):
                    one.append_each([next(left) for _ in range(share)], tenant)
                one.anchor()

        def verdict(dbname: str, change: Change | None = None) -> Verdict:
            beside = next(folders)
            shutil.copytree(kept, beside)
            if change:
                with _tampering(url, dbname) as conn:
                    change.make(conn, beside)
            with opened(subject, told, at_database(url, dbname), beside) as one:
                return verdict_of(one)

        with opened(subject, told, url, kept) as one, _tampering(url, base) as conn:
            changes = list(one.changes(conn))
        dropping = [change for change in changes if change.drops]
        copies = [f"{base}_{place}" for place in range(len(dropping))]
        for copy in copies:
            _copy(admin, base, copy)
        with _tampering(url, base) as conn:
            rows = _Rows(conn)
        found = []
        for change in changes:
            if not change.drops:
                _require_intact(verdict(base) if not found else None)
                found.append((change.kind, change.name, verdict(base, change)))
                with _tampering(url, base) as conn:
                    rows.put_back(conn)
        _require_intact(verdict(base))
        found += [(one.kind, one.name, verdict(copy, one)) for copy, one in zip(copies, dropping, strict=True)]
        found.append((OLDER, "with what was kept outside since", verdict(older)))
        with opened(subject, told, url, kept) as one:
            one.append_each([next(left)])
            grown = verdict_of(one)
    return {
        "found": [[kind, name, not said.intact, said.why] for kind, name, said in found],
        "not_applicable": dict(subject.not_applicable),
        "alarm_after_an_append": not grown.intact,
    }


@contextmanager
def opened(subject: type[Subject], told: Mapping[str, Any], url: str, folder: Path) -> Iterator[Subject]:
    """Open a subject for the length of the block."""
    one = subject(told, url, folder)
    try:
        yield one
    finally:
        one.close()


def verdict_of(one: Subject) -> Verdict:
    """Return the verdict; a verification that fails is one that noticed."""
    try:
        return one.verify()
    except Exception as error:  # noqa: BLE001 - whatever it stops at
        return Verdict(False, 0, f"{type(error).__name__}: {error}".splitlines()[0])


def dbname_of(url: str) -> str:
    """Return the database that a URL names."""
    return urlsplit(url).path.removeprefix("/")


def at_database(url: str, dbname: str) -> str:
    """Return the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{dbname}").geturl()


def administering(url: str) -> Connection:
    """Return a connection that may create databases."""
    return psycopg.connect(at_database(url, "postgres"), autocommit=True)


def _tampering(url: str, dbname: str) -> Connection:
    """Return a superuser's connection, past every trigger."""
    return psycopg.connect(at_database(url, dbname), autocommit=True, options="-c session_replication_role=replica")


def _require_intact(said: Verdict | None) -> None:
    if said and not said.intact:
        raise RuntimeError(f"expected the untouched ledger to be intact, got {said}")


class _Rows:
    """All rows of a database, kept in it for putting back."""

    def __init__(self, conn: Connection) -> None:
        tables = conn.execute(
            "select relname, array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 "
            "and not attisdropped and attgenerated = '') from pg_class c "
            "where relkind = 'r' and relnamespace = 'public'::regnamespace"
        ).fetchall()
        conn.execute("create schema kept")
        self._statements = []
        for name, columns in tables:
            table, listed = sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
            conn.execute(sql.SQL("create table kept.{} as table public.{}").format(table, table))
            self._statements += [
                sql.SQL("delete from public.{}").format(table),
                sql.SQL("insert into public.{} ({}) overriding system value select {} from kept.{}").format(
                    table, listed, listed, table
                ),
            ]

    def put_back(self, conn: Connection) -> None:
        """Make the rows those that were."""
        with conn.transaction():
            for statement in self._statements:
                conn.execute(statement)


def _copy(admin: Connection, name: str, to: str) -> None:
    # A template must have no connections, and those just closed take a moment to go.
    for _ in range(200):
        with suppress(psycopg.errors.ObjectInUse):
            admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(to), sql.Identifier(name)))
            return
        time.sleep(0.05)
    raise RuntimeError(f"{name} is still in use")
