"""A statement that an event loop calls by itself: its rows, its errors, and connections that go away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest

from audit_pipelines.db.database import Database
from audit_pipelines.db.loop_statement import LoopStatement
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.settings import Settings

T = TypeVar("T")

# What it answers depends on its argument: rows of one column, an error, or nothing for a while.
TEXT = b"""
    select case when %(what)s::text = 'fail' then (1 / (length(%(what)s) - 4))::text
                when %(what)s = 'sleep' then pg_sleep(60)::text
                when %(what)s = 'null' then null
                else %(what)s || pg_backend_pid() end
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_pool_min": 1, "database_pool_max": 1})


def run(database: Database, work: Callable[[LoopStatement], Awaitable[T]], timeout_ms: int = 5_000) -> T:
    async def main() -> T:
        statement = LoopStatement(database, "audit_app", TEXT, timeout_ms)
        try:
            return await work(statement)
        finally:
            statement.close()

    return asyncio.run(main())


async def ask(statement: LoopStatement, what: str) -> str | None:
    [[value]] = await statement.call({"what": what.encode()})
    return None if value is None else value.decode()


def test_one_connection_answers_and_is_given_back(database: Database) -> None:
    async def work(statement: LoopStatement) -> list[str | None]:
        return [await ask(statement, what) for what in ("a", "null", "a")]

    first, null, again = run(database, work)
    assert (first, null) == (again, None)
    # The pool has one connection alone.
    with database.connection("audit_app") as conn:
        assert conn.execute("select 1").fetchone() == (1,)


def test_an_argument_of_any_size_arrives(database: Database) -> None:
    # Far more than a socket takes at once, so that the rest is sent when there is room again.
    size = 40_000_000

    async def work(statement: LoopStatement) -> str | None:
        return await ask(statement, "x" * size)

    answer = run(database, work, 60_000)
    assert answer is not None
    assert answer[:size] == "x" * size


def test_an_error_leaves_the_connection_in_use(database: Database) -> None:
    async def work(statement: LoopStatement) -> tuple[str | None, str | None]:
        before = await ask(statement, "a")
        with pytest.raises(psycopg.errors.DivisionByZero):
            await ask(statement, "fail")
        return before, await ask(statement, "a")

    before, after = run(database, work)
    assert before == after


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_connection_that_ends_is_replaced(database: Database, *, is_asked: bool) -> None:
    def cut(pid: str) -> None:
        with database.connect_admin() as admin:
            admin.execute("select pg_terminate_backend(%s, 5000)", [int(pid)])

    async def work(statement: LoopStatement) -> tuple[str, str]:
        pid = await ask(statement, "") or ""
        if is_asked:
            asked = asyncio.ensure_future(ask(statement, "sleep"))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(cut, pid)
            with pytest.raises((DatabaseUnavailableError, psycopg.OperationalError)):
                await asked
        else:
            await asyncio.to_thread(cut, pid)
            await asyncio.sleep(0.1)
        return pid, await ask(statement, "") or ""

    before, after = run(database, work)
    assert before != after


def test_silence_is_not_waited_for_without_end(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_pipelines.db.loop_statement._GRACE_S", 0.1)

    async def work(statement: LoopStatement) -> str | None:
        with pytest.raises(DatabaseUnavailableError, match="in time"):
            await ask(statement, "sleep")
        return await ask(statement, "a")

    assert run(database, work, timeout_ms=100)


def test_who_comes_after_a_call_that_was_given_up_has_an_answer_of_their_own(database: Database) -> None:
    async def work(statement: LoopStatement) -> str | None:
        asked = asyncio.ensure_future(ask(statement, "sleep"))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return await ask(statement, "mine")

    assert (run(database, work) or "").startswith("mine")
