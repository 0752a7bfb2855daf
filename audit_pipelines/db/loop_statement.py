"""One statement on a connection of its own, called from an event loop without any thread.

A thread that waits for the database has to get Python's lock back from a loop that is busy, which costs more than all
that a flush of some events does. Speaks to libpq as psycopg hands it out: a call costs 60 µs, through psycopg's own
asynchronous connection 150. Everything else in the product uses `Database.connection`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import pq

from audit_pipelines.db.database import Connection, Database, Role
from audit_pipelines.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_NAME: Final = b"loop_statement"
_PLACEHOLDER: Final = re.compile(rb"%\((\w+)\)s")
# Beyond the statement's own time-out, which the server keeps: a network that swallows everything answers nothing.
_GRACE_S: Final = 2.0


class LoopStatement:
    """A prepared statement for one event loop; one call at a time, each a transaction by itself.

    It keeps one connection of the role's pool for as long as that lives, and takes another at the next call.
    """

    def __init__(self, database: Database, role: Role, text: bytes, timeout_ms: int) -> None:
        self._database = database
        self._role = role
        self._names = list(dict.fromkeys(name.decode() for name in _PLACEHOLDER.findall(text)))
        self._text = _PLACEHOLDER.sub(lambda match: b"$%d" % (1 + self._names.index(match[1].decode())), text)
        self._formats = [pq.Format.BINARY] * len(self._names)
        self._timeout_s = timeout_ms / 1000 + _GRACE_S
        self._conn: Connection | None = None
        # libpq does not tell the socket of a connection that is lost.
        self._socket = -1
        self._answer: asyncio.Future[PGresult] | None = None

    async def call(self, arguments: Mapping[str, bytes]) -> Sequence[Sequence[bytes | None]]:
        """Return the rows for arguments by their names in the statement, all in binary form.

        Raises:
            DatabaseUnavailableError: when no connection can be had, or it breaks on the way; what the statement did is
                unknown then.
            psycopg.Error: what the statement raised; it did nothing.
        """
        if self._conn is not None and self._conn.closed:
            # Its last answer was that the server ends.
            self.close()
        conn = self._conn or await self._connect()
        result = await self._ask(conn, [arguments[name] for name in self._names])
        _expect(result, pq.ExecStatus.TUPLES_OK)
        columns = range(result.nfields)
        return [[result.get_value(row, column) for column in columns] for row in range(result.ntuples)]

    def close(self) -> None:
        """Give the connection up; on the loop that made the calls."""
        if self._conn is None:
            return
        conn, self._conn = self._conn, None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        conn.close()
        self._database.give_back(self._role, conn)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        prepared = loop.run_in_executor(None, self._prepared)
        try:
            conn = await asyncio.shield(prepared)
        except asyncio.CancelledError:
            prepared.add_done_callback(self._decline)
            raise
        self._conn, self._socket = conn, conn.pgconn.socket
        loop.add_reader(self._socket, self._on_readable)
        return conn

    def _prepared(self) -> Connection:
        conn = self._database.borrow(self._role)
        try:
            conn.autocommit = True
            _expect(conn.pgconn.prepare(_NAME, self._text), pq.ExecStatus.COMMAND_OK)
            conn.pgconn.nonblocking = 1
        except BaseException as error:
            conn.close()
            self._database.give_back(self._role, conn)
            if isinstance(error, psycopg.OperationalError):
                raise DatabaseUnavailableError(f"the database did not answer: {str(error).strip()}") from error
            raise
        return conn

    def _decline(self, prepared: "asyncio.Future[Connection]") -> None:
        """Give back a connection that comes when nobody wants it any more."""
        if not prepared.exception():
            conn = prepared.result()
            conn.close()
            self._database.give_back(self._role, conn)

    async def _ask(self, conn: Connection, arguments: Sequence[bytes]) -> "PGresult":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[PGresult] = loop.create_future()
        self._answer = answer
        deadline = loop.call_later(self._timeout_s, self._lose, "it did not answer in time")
        try:
            conn.pgconn.send_query_prepared(_NAME, arguments, self._formats, pq.Format.BINARY)
            if conn.pgconn.flush():
                loop.add_writer(self._socket, self._on_writable, conn)
            return await answer
        except psycopg.OperationalError as error:
            self.close()
            raise DatabaseUnavailableError(f"the database did not answer: {str(error).strip()}") from error
        except BaseException:
            # Whoever comes next must not get this call's answer.
            self.close()
            raise
        finally:
            deadline.cancel()
            self._answer = None

    def _on_writable(self, conn: Connection) -> None:
        try:
            if conn.pgconn.flush():
                return
        except psycopg.OperationalError as error:
            self._lose(str(error))
            return
        asyncio.get_running_loop().remove_writer(self._socket)

    def _on_readable(self) -> None:
        if self._conn is None:
            return
        pgconn = self._conn.pgconn
        try:
            pgconn.consume_input()
            if self._answer is None:
                # Nothing was asked: the server says good-bye, or something that can be left unread.
                if pgconn.status != pq.ConnStatus.OK:
                    self._lose("")
                return
            if pgconn.is_busy():
                return
            result = pgconn.get_result()
            while pgconn.get_result() is not None:
                pass
        except psycopg.OperationalError as error:
            self._lose(str(error))
            return
        if result is None:
            self._lose("no answer came where one was due")
        elif not self._answer.done():
            self._answer.set_result(result)

    def _lose(self, reason: str) -> None:
        """Let go of a broken connection, and tell who waits for it."""
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(psycopg.OperationalError(reason.strip() or "the connection was lost"))


def _expect(result: "PGresult", status: pq.ExecStatus) -> None:
    if result.status != status:
        raise psycopg.errors.error_from_result(result)
