"""One database, reached by role.

`Database` knows how each role connects: with a login of its own on the embedded server, with `SET ROLE` behind
DATABASE_URL elsewhere. No caller builds a connection string. Reading across tenants needs the pipeline's role; every
other role sees the tenant that `tenant_connection` names, and nothing without it.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool, PoolTimeout

from audit_pipelines.db import migrate
from audit_pipelines.db.embedded import ONE_ROUND, SUPERUSER, EmbeddedPostgres
from audit_pipelines.errors import ConfigurationError, DatabaseUnavailableError
from audit_pipelines.settings import Settings

Role = Literal["audit_app", "audit_pipeline", "audit_reader", "audit_custodian"]
LOGIN_ROLES: Final[tuple[Role, ...]] = ("audit_app", "audit_pipeline", "audit_reader", "audit_custodian")
EMBEDDED_DATABASE: Final = "audit"
DAGSTER_DATABASE: Final = "dagster"

Connection = psycopg.Connection[Any]

# How long a request waits for a connection while the last attempt to open one has not succeeded; and for how long after
# that nobody else waits at all. DATABASE_TIMEOUT is for waiting on a database that is there.
_PATIENCE_S: Final = 2.0
_PAUSE_S: Final = 1.0
# The pool tries again after 1 and 2 seconds, gives up, and then tries whenever somebody asks: longer pauses would make
# the database's return go unnoticed.
_RECONNECT_S: Final = 2.0


class Database:
    """The ledger's database; open it with `open_database` and use it as a context manager."""

    def __init__(self, settings: Settings, embedded: EmbeddedPostgres | None, dbname: str = EMBEDDED_DATABASE) -> None:
        self._settings = settings
        self._embedded = embedded
        self._dbname = dbname
        self._pools: dict[Role, _Pool] = {}
        self._pools_lock = threading.Lock()
        self._lines: dict[Role, _Line] = {}
        # A command needs one connection; the server asks for DATABASE_POOL_MIN with `keep_warm`.
        self._pool_min = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every pool and leave the embedded server; safe to call twice."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        if self._embedded:
            self._embedded.release()

    def conninfo(self, role: Role | None, *, dbname: str | None = None) -> str:
        """Return the libpq URL by which `role` connects; None is the administrator, for migrations alone."""
        if self._embedded:
            user = role or SUPERUSER
            password = self._embedded.role_password(role) if role else self._embedded.password
            return self._embedded.conninfo(user=user, password=password, dbname=dbname or self._dbname)
        if self._settings.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set and there is no embedded server")
        own = self._settings.database_app_url if role == "audit_app" else None
        url = (own or self._settings.database_url).get_secret_value()
        extra = {"dbname": dbname} if dbname else {}
        if self._settings.database_ssl_mode:
            extra["sslmode"] = self._settings.database_ssl_mode
        if role and not own:
            # Whoever gets to run SQL of their own on this connection can take the account's own rights back.
            extra["options"] = f"-c role={role}"
        return psycopg.conninfo.make_conninfo(url, **extra)

    @property
    def archives_dir(self) -> Path:
        """Folder of the months that left the database: whoever reads the ledger reads them too."""
        return self._settings.storage_dir / "archives"

    def dagster_url(self) -> str:
        """Return Dagster's own database as SQLAlchemy wants it.

        The scheme names psycopg2: with plain `postgresql://` SQLAlchemy 2.1 takes psycopg 3, and dagster-postgres then
        fails on NOTIFY (dagster issue 33958).
        """
        if self._embedded:
            return self.conninfo(None, dbname=DAGSTER_DATABASE).replace("postgresql://", "postgresql+psycopg2://", 1)
        if self._settings.dagster_postgres_url:
            return self._settings.dagster_postgres_url.get_secret_value()
        raise ConfigurationError(
            "DAGSTER_POSTGRES_URL is required when DATABASE_URL is set: a database of its own for Dagster, "
            "as postgresql+psycopg2://user:password@host/dagster"
        )

    def connect_admin(self, *, dbname: str | None = None) -> Connection:
        """Return an autocommit connection that may change the schema; the caller closes it."""
        return _connect(self.conninfo(None, dbname=dbname), self._settings.database_timeout, autocommit=True)

    def keep_warm(self) -> None:
        """Open DATABASE_POOL_MIN connections for the server's role ahead of the first request."""
        self._pool_min = self._settings.database_pool_min
        self.pool("audit_app").wait()

    def pool(self, role: Role) -> ConnectionPool[Connection]:
        """Return the role's pool, made at first use with DATABASE_POOL_MAX and a statement time-out."""
        with self._pools_lock:
            if role not in self._pools:
                timeout_s = self._settings.database_timeout / 1000
                line = self._lines[role] = _Line()

                def conninfo() -> str:
                    # Asked for at every attempt: an embedded server that was started again has another socket.
                    line.is_down = True
                    if self._embedded:
                        self._embedded.revive()
                    return self.conninfo(role)

                def configure(conn: Connection) -> None:
                    line.is_down = False
                    self._set_up(conn, role)

                self._pools[role] = _Pool(
                    conninfo,
                    min_size=min(self._pool_min, self._settings.database_pool_max),
                    max_size=self._settings.database_pool_max,
                    timeout=timeout_s,
                    kwargs={"connect_timeout": max(2, round(timeout_s))},
                    configure=configure,
                    reconnect_timeout=_RECONNECT_S,
                    name=role,
                    open=True,
                )
            return self._pools[role]

    def _set_up(self, conn: Connection, role: Role) -> None:
        # Compiling the plans of `audit_append` anew for each batch took as long as running them: 13 of 29 µs an event.
        conn.execute("set jit = off")
        if role == "audit_app":
            # The server's requests must end; verification and derivation read whole tenants and may take long.
            conn.execute(sql.SQL("set statement_timeout = {}").format(sql.Literal(self._settings.database_timeout)))
        conn.commit()

    @contextmanager
    def connection(self, role: Role, *, autocommit: bool = False) -> Iterator[Connection]:
        """Borrow a connection in a transaction of its own: commits at the end of the block, rolls back on an error.

        With `autocommit`, each statement is a transaction by itself, without round trips to begin and end it.

        Raises:
            DatabaseUnavailableError: when no connection can be had, or it breaks on the way. A database that refuses
                connections is reported within seconds, and at once while others have just found it so.
        """
        try:
            conn = self.borrow(role)
            try:
                if conn.autocommit is not autocommit:
                    conn.autocommit = autocommit
                with conn:
                    yield conn
            finally:
                self.give_back(role, conn)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(f"the database did not answer: {str(error).strip()}") from error

    def give_back(self, role: Role, conn: Connection) -> None:
        """End a borrowing; the pool replaces what is given back closed, and rolls back what is open."""
        self.pool(role).putconn(conn)

    def borrow(self, role: Role) -> Connection:
        """Return a connection for `give_back` to take; for those whose use of it is no block of code.

        Raises:
            DatabaseUnavailableError: as `connection`.
        """
        pool = self.pool(role)
        line = self._lines[role]
        deadline = time.monotonic() + self._settings.database_timeout / 1000
        while True:
            now = time.monotonic()
            patience = 0.01 if now < line.pause_until else min(_PATIENCE_S, max(0.01, deadline - now))
            try:
                conn = pool.getconn(patience)
            except PoolTimeout as error:
                if line.is_down:
                    if now >= line.pause_until:
                        line.pause_until = time.monotonic() + _PAUSE_S
                    raise DatabaseUnavailableError("no connection to the database can be opened") from error
                if time.monotonic() >= deadline:
                    raise DatabaseUnavailableError(
                        f"no database connection within {self._settings.database_timeout} ms"
                    ) from error
                continue
            line.pause_until = 0.0
            if _is_silent(conn):
                return conn
            # Its end has come while it lay idle; the pool replaces what is given back closed.
            conn.close()
            pool.putconn(conn)

    @contextmanager
    def tenant_connection(self, tenant_id: UUID, role: Role = "audit_app") -> Iterator[Connection]:
        """Borrow a connection that sees one tenant's rows for the length of the block."""
        with self.connection(role) as conn:
            conn.execute("select set_config('app.current_tenant_id', %s, true)", [str(tenant_id)])
            yield conn

    def migrate(self) -> tuple[migrate.Migration, ...]:
        """Apply pending migrations; on the embedded server also give the roles their logins."""
        with self.connect_admin() as conn:
            applied = migrate.migrate(conn)
            if applied and self._embedded:
                conn.execute(f"set {ONE_ROUND}")
                for role in LOGIN_ROLES:
                    conn.execute(
                        sql.SQL("alter role {} login password {}").format(
                            sql.Identifier(role), sql.Literal(self._embedded.role_password(role))
                        )
                    )
        return applied


class _Pool(ConnectionPool[Connection]):
    """Gives out the connection that came back last; the pool's own way is to give out each in turn.

    Each is a process of the server, which finds its memory in the processor's caches if it was at work just now: an
    event of a batch then takes 24 µs there instead of 38. Those at the other end are what the pool closes when it
    shrinks.
    """

    def _get_ready_connection(self, timeout: float | None) -> Connection | None:
        # The pool calls it under its lock, and takes the first.
        self._pool.rotate(1)
        return super()._get_ready_connection(timeout)


@dataclass
class _Line:
    """How the last attempt to open a connection for a role went; each value is read and written by itself."""

    is_down: bool = False
    pause_until: float = 0.0


def _is_silent(conn: Connection) -> bool:
    """Return whether nothing has arrived on an idle connection: the server says good-bye before it goes.

    A question to the server would be surer and cost a round trip for every borrower; 25 µs against 2.
    """
    poller = select.poll()
    poller.register(conn.fileno(), select.POLLIN)
    return not poller.poll(0) or _answers(conn)


def _answers(conn: Connection) -> bool:
    try:
        ConnectionPool.check_connection(conn)
    except psycopg.Error:
        return False
    return True


def open_database(settings: Settings) -> Database:
    """Open the configured database; the embedded one is started, created and migrated as needed.

    Raises:
        DatabaseUnavailableError: when it cannot be started or reached.
        ConfigurationError: when a database of the user's own lacks migrations: those are applied on purpose only.
    """
    database = reach_database(settings)
    try:
        if settings.database_url is None:
            database.migrate()
        else:
            _require_migrated(database)
    except BaseException:
        database.close()
        raise
    return database


def reach_database(settings: Settings) -> Database:
    """Start or reach the database as it is, whatever its schema; for those who manage the schema.

    Raises:
        DatabaseUnavailableError: when it cannot be started or reached.
    """
    if settings.database_url is not None:
        return Database(settings, embedded=None)
    embedded = EmbeddedPostgres(settings.home)
    embedded.start()
    database = Database(settings, embedded)
    try:
        for dbname in (EMBEDDED_DATABASE, DAGSTER_DATABASE):
            ensure_database(database, dbname)
    except BaseException:
        database.close()
        raise
    return database


def _require_migrated(database: Database) -> None:
    with database.connect_admin() as conn:
        pending = [item.name for item in migrate.status(conn) if item.applied_at is None]
    if pending:
        raise ConfigurationError(
            f"the database lacks {len(pending)} migrations (first: {pending[0]}); run `audit-pipelines db migrate`"
        )


def ensure_database(database: Database, dbname: str) -> None:
    """Create a database on the embedded server unless it is there."""
    with database.connect_admin(dbname="postgres") as conn:
        if conn.execute("select 1 from pg_database where datname = %s", [dbname]).fetchone():
            return
        try:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(dbname)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process was faster


def _connect(conninfo: str, timeout_ms: int, *, autocommit: bool) -> Connection:
    try:
        return psycopg.connect(conninfo, autocommit=autocommit, connect_timeout=max(2, timeout_ms // 1000))
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot reach the database: {str(error).strip()}") from error
