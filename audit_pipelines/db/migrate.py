"""Apply, undo and report migrations.

`migrations/NNN_name.sql` run in order, each in a transaction of its own, under an advisory lock, so that servers that
start together do not race. The digest of each applied file is recorded: a file edited after release is refused.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from audit_pipelines.errors import MigrationError
from audit_pipelines.files import data_path

_LOCK: Final = 0x61756469745F6D69  # "audit_mi"; any constant that no other program of ours uses
_UNDO_HEADING: Final = re.compile(r"^-- undo (\d{3})_\w+$", re.MULTILINE)
_CREATE_REGISTER: Final = """
    create table if not exists audit_schema_migrations (
        version integer primary key,
        name text not null,
        digest text not null,
        applied_at timestamptz not null default clock_timestamp()
    )
"""


@dataclass(frozen=True)
class Migration:
    """One migration file; `digest` is SHA-256 of its bytes, in hex."""

    version: int
    name: str
    text: str
    digest: str


@dataclass(frozen=True)
class Status:
    """One line of `db status`; `applied_at` is None while the migration is pending."""

    version: int
    name: str
    applied_at: datetime | None


def migrations() -> tuple[Migration, ...]:
    """Return the shipped migrations in order."""
    return tuple(_read(path) for path in sorted(data_path("migrations").glob("[0-9][0-9][0-9]_*.sql")))


def migrate(conn: psycopg.Connection[Any]) -> tuple[Migration, ...]:
    """Apply what is pending and return it; `conn` must be in autocommit mode and may create roles and extensions.

    Raises:
        MigrationError: when an applied migration's file has changed since, is missing, or a statement fails. What
            succeeded before stays applied; the failing migration leaves nothing behind.
    """
    applied_now = []
    with _locked(conn):
        conn.execute(_CREATE_REGISTER)
        applied = _applied(conn)
        _check_digests(applied)
        for migration in migrations():
            if migration.version in applied:
                continue
            _run(conn, migration.text, f"migration {migration.name}", _record(migration))
            applied_now.append(migration)
    return tuple(applied_now)


def rollback(conn: psycopg.Connection[Any], to_version: int) -> tuple[int, ...]:
    """Undo every migration above `to_version` (-1 for all), newest first, and return the versions undone.

    Raises:
        MigrationError: when a statement fails; that migration and all older ones stay applied.
    """
    undone = []
    with _locked(conn):
        conn.execute(_CREATE_REGISTER)
        undo = _undo_sections()
        for version in sorted(_applied(conn), reverse=True):
            if version <= to_version:
                break
            if version not in undo:
                raise MigrationError(f"rollback.sql has no section for version {version:03}; expected `-- undo …`")
            forget = sql.SQL("delete from audit_schema_migrations where version = {}").format(sql.Literal(version))
            _run(conn, undo[version], f"undo of {version:03}", forget)
            undone.append(version)
    return tuple(undone)


def status(conn: psycopg.Connection[Any]) -> tuple[Status, ...]:
    """Return every shipped migration with the time it was applied.

    Raises:
        MigrationError: when an applied migration's file has changed since.
    """
    register = conn.execute("select to_regclass('audit_schema_migrations') is not null").fetchone()
    applied = _applied(conn) if register and register[0] else {}
    _check_digests(applied)
    return tuple(
        Status(item.version, item.name, applied[item.version][1] if item.version in applied else None)
        for item in migrations()
    )


def _read(path: Path) -> Migration:
    content = path.read_bytes()
    return Migration(int(path.name[:3]), path.stem, content.decode(), hashlib.sha256(content).hexdigest())


def _undo_sections() -> dict[int, str]:
    text = (data_path("migrations") / "rollback.sql").read_text()
    parts = _UNDO_HEADING.split(text)
    return {int(version): body for version, body in zip(parts[1::2], parts[2::2], strict=True)}


def _applied(conn: psycopg.Connection[Any]) -> dict[int, tuple[str, datetime]]:
    rows = conn.execute("select version, digest, applied_at from audit_schema_migrations").fetchall()
    return {version: (digest, applied_at) for version, digest, applied_at in rows}


def _check_digests(applied: dict[int, tuple[str, datetime]]) -> None:
    shipped = {item.version: item for item in migrations()}
    for version, (digest, _) in sorted(applied.items()):
        if version not in shipped:
            raise MigrationError(
                f"the database has migration {version:03}, which this version of the product does not know; "
                "expected a database of this version or older: upgrade the product"
            )
        if shipped[version].digest != digest:
            raise MigrationError(
                f"{shipped[version].name}.sql was edited after it was applied: stored={digest[:16]}… "
                f"expected={shipped[version].digest[:16]}…; restore the file and write a new migration instead"
            )


def _record(migration: Migration) -> sql.Composed:
    return sql.SQL("insert into audit_schema_migrations (version, name, digest) values ({}, {}, {})").format(
        sql.Literal(migration.version), sql.Literal(migration.name), sql.Literal(migration.digest)
    )


def _run(conn: psycopg.Connection[Any], script: str, what: str, bookkeeping: sql.Composed) -> None:
    try:
        with conn.transaction():
            conn.execute(script.encode())
            conn.execute("reset role")
            conn.execute(bookkeeping)
    except psycopg.Error as error:
        hint = ""
        if isinstance(error, psycopg.errors.InsufficientPrivilege) and "extension" in str(error):
            hint = "; have a superuser run `create extension vector` in this database, then repeat"
        raise MigrationError(f"{what} failed and was undone: {str(error).strip()}{hint}") from error


@contextmanager
def _locked(conn: psycopg.Connection[Any]) -> Iterator[None]:
    conn.execute("select pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        conn.execute("select pg_advisory_unlock(%s)", [_LOCK])
