"""What the express way of group commit does while a flush is stored, and once it is."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.group_commit import GroupCommit

TENANT = uuid4()


@dataclass(frozen=True)
class Number:
    """A write; `names` are what no two of one flush may share."""

    value: int
    names: frozenset[int] = frozenset()
    tenant_id: UUID = TENANT
    size: int = 1


class Express:
    """Stores when it is let, and keeps a journal of what happened in which order."""

    def __init__(self, refused: frozenset[int] = frozenset()) -> None:
        self.journal: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self._refused = refused

    def takes(self, _: Number) -> bool:
        return True

    async def store(self, writes: Sequence[Number], _: int) -> Callable[[], Sequence[int]]:
        values = [write.value for write in writes]
        self.journal.append(("sent", values))
        await self.gate.wait()
        if not self._refused.isdisjoint(values):
            raise ValidationError("refused")

        def answers() -> Sequence[int]:
            self.journal.append(("answered", values))
            return values

        return answers


def by_threads(writes: Sequence[Number], _: int) -> Sequence[int]:
    return [-write.value for write in writes]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_waits_is_sent_before_the_flush_ahead_of_it_is_answered() -> None:
    async def main() -> None:
        express = Express()
        group: GroupCommit[Number, int] = GroupCommit(by_threads, express)
        first = [asyncio.create_task(group.append(Number(value))) for value in (1, 2)]
        await settled()
        second = asyncio.create_task(group.append(Number(3)))
        await settled()
        assert express.journal == [("sent", [1, 2])]
        express.gate.set()
        assert await asyncio.gather(*first, second) == [1, 2, 3]
        assert express.journal == [("sent", [1, 2]), ("sent", [3]), ("answered", [1, 2]), ("answered", [3])]
        # It starts anew after it had nothing to do.
        assert await group.append(Number(4)) == 4
        await group.finish()

    asyncio.run(main())


def test_writes_that_share_a_name_are_stored_one_after_the_other() -> None:
    async def main() -> None:
        express = Express()
        express.gate.set()
        group: GroupCommit[Number, int] = GroupCommit(by_threads, express)
        writes = [Number(value, frozenset({value % 2})) for value in range(5)]
        assert await asyncio.gather(*map(group.append, writes)) == [0, 1, 2, 3, 4]
        assert [values for what, values in express.journal if what == "sent"] == [[0, 1], [2, 3], [4]]
        await group.finish()

    asyncio.run(main())


def test_a_flush_that_is_refused_goes_to_the_threads_and_the_next_is_stored() -> None:
    async def main() -> None:
        express = Express(refused=frozenset({1}))
        group: GroupCommit[Number, int] = GroupCommit(by_threads, express)
        first = asyncio.create_task(group.append(Number(1)))
        await settled()
        second = asyncio.create_task(group.append(Number(2)))
        await settled()
        express.gate.set()
        assert await asyncio.gather(first, second) == [-1, 2]
        await group.finish()

    asyncio.run(main())


def test_an_answer_that_cannot_be_made_is_an_error_and_stores_nothing_again() -> None:
    stored: list[Number] = []

    class Faulty(Express):
        async def store(self, writes: Sequence[Number], _: int) -> Callable[[], Sequence[int]]:
            stored.extend(writes)

            def answers() -> Sequence[int]:
                raise ZeroDivisionError

            return answers

    async def main() -> None:
        group: GroupCommit[Number, int] = GroupCommit(by_threads, Faulty())
        outcomes = await asyncio.gather(*map(group.append, [Number(1), Number(2)]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2
        assert [write.value for write in stored] == [1, 2]
        await group.finish()

    asyncio.run(main())
