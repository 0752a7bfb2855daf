"""Group commit: writes that arrive together, of all tenants, become one transaction.

A flush begins as soon as the one before has ended; nothing waits for a timer. Knows queues, limits and how to keep one
write's trouble from its neighbours; what a write is and how it is stored, its caller says.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import psycopg

from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.ledger.store import HeadLockedError

# 500 rows are where the database's rate levels off; bytes are bound too, since an event may have a million.
FLUSH_WRITES: Final = 500
FLUSH_BYTES: Final = 8_000_000
QUEUE_WRITES: Final = 2_000
QUEUE_BYTES: Final = 64_000_000
# A head is held for a millisecond or two by a flush and for some hundred by a large batch.
_LOCK_TIMEOUT_MS: Final = 250


class Write(Protocol):
    """What is queued: one request's events of one tenant, stored all or not at all."""

    @property
    def tenant_id(self) -> UUID:
        """Whose head it needs."""

    @property
    def names(self) -> frozenset[Hashable]:
        """What no two writes of one transaction may share, such as an event_id or an idempotency key."""

    @property
    def size(self) -> int:
        """About how many bytes it holds."""


W = TypeVar("W", bound=Write)
R = TypeVar("R")
Store = Callable[[Sequence[W], int], Sequence[R | Exception]]
"""Stores writes in one transaction, waiting for locked heads as many milliseconds as its second argument says (0: no
limit), and returns for each what came of it. It raises when it stored none of them."""


W_contra = TypeVar("W_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Express(Protocol[W_contra, R_co]):
    """A faster way for most writes, on the event loop; what fails there goes through `Store` once more."""

    def takes(self, write: W_contra) -> bool:
        """Whether `write` may go this way."""

    async def store(self, writes: Sequence[W_contra], lock_timeout_ms: int) -> Callable[[], Sequence[R_co]]:
        """As `Store`, but it returns what makes the answers, and raises when it stored none.

        Raises:
            DatabaseUnavailableError: nobody knows whether they are stored.
        """


_Stored = Callable[[], Sequence[R]] | BaseException


class QueueFullError(AuditError):
    """More writes are waiting than the queue takes; this one was not begun."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[W, R]):
    write: W
    answer: asyncio.Future[R]


@dataclass(slots=True, eq=False)
class _Lane(Generic[W, R]):
    """A queue and whether a thread is at it; the slow lane takes one tenant at a time and waits for its head."""

    is_slow: bool
    queue: deque[_Waiting[W, R]] = field(default_factory=deque)
    is_running: bool = False


class GroupCommit(Generic[W, R]):
    """Puts concurrent writes together; answers each after its transaction, from any event loop.

    Two lanes with a thread each: a tenant whose head somebody else holds goes on in the slow one, so that the others
    need not wait. Before them, for the event loop that comes first, the express way.
    """

    def __init__(self, store: Store[W, R], express: Express[W, R] | None = None) -> None:
        self._store = store
        self._express = express
        self._express_lane: _Lane[W, R] = _Lane(is_slow=False)
        self._express_loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._fast: _Lane[W, R] = _Lane(is_slow=False)
        self._slow: _Lane[W, R] = _Lane(is_slow=True)
        self._slow_tenants: Counter[UUID] = Counter()
        self._writes = 0
        self._bytes = 0
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="group-commit")
        self._express_task: asyncio.Task[None] | None = None

    async def append(self, write: W) -> R:
        """Return what `write` came to, once its transaction has ended. It is finished even if the caller is cancelled.

        Raises:
            QueueFullError: `write` was not begun.
            AuditError: whatever storing it raised.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        self._enqueue(_Waiting(write, answer), loop)
        return await answer

    async def finish(self) -> None:
        """Finish what is queued; later writes are refused."""
        if self._express_task is not None:
            await self._express_task
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    def _enqueue(self, waiting: _Waiting[W, R], loop: asyncio.AbstractEventLoop) -> None:
        write = waiting.write
        with self._lock:
            if self._writes >= QUEUE_WRITES or self._bytes + write.size > QUEUE_BYTES:
                raise QueueFullError(f"{self._writes:,} writes of {self._bytes:,} bytes wait; repeat this one later")
            if self._slow_tenants and write.tenant_id in self._slow_tenants:
                self._slow_tenants[write.tenant_id] += 1
                self._put(self._slow, [waiting])
            elif self._express is not None and self._express_loop in (None, loop) and self._express.takes(write):
                self._express_loop = loop
                self._put_express(self._express, waiting, loop)
            else:
                self._put(self._fast, [waiting])
            self._writes += 1
            self._bytes += write.size

    def _put(self, lane: _Lane[W, R], waiting: Sequence[_Waiting[W, R]]) -> None:
        if not lane.is_running:
            self._threads.submit(self._run, lane)
            lane.is_running = True
        lane.queue.extend(waiting)

    def _put_express(self, express: Express[W, R], waiting: _Waiting[W, R], loop: asyncio.AbstractEventLoop) -> None:
        self._express_lane.queue.append(waiting)
        if not self._express_lane.is_running:
            self._express_lane.is_running = True
            self._express_task = loop.create_task(self._run_express(express))

    async def _run_express(self, express: Express[W, R]) -> None:
        """Flush until nothing waits.

        What waits when a flush is stored is sent before that flush is answered: the database works while the answers
        are written and the next requests are read. Where nothing waits, the loop first reads what has arrived.
        """
        await asyncio.sleep(0)
        begun = self._begin_express(express)
        while begun:
            flush, storing = begun
            stored = await storing
            begun = self._begin_express(express)
            if begun:
                await asyncio.sleep(0)
            self._settle_express(flush, stored)
            if not begun:
                await asyncio.sleep(0)
                begun = self._begin_express(express)
        self._express_lane.is_running = False

    def _begin_express(self, express: Express[W, R]) -> tuple[list[_Waiting[W, R]], asyncio.Task[_Stored[R]]] | None:
        with self._lock:
            flush = _take(self._express_lane)
        if not flush:
            return None
        return flush, asyncio.create_task(_store_express(express, flush))

    def _settle_express(self, flush: Sequence[_Waiting[W, R]], stored: _Stored[R]) -> None:
        if isinstance(stored, DatabaseUnavailableError) or not isinstance(stored, (AuditError, psycopg.Error)):
            self._answer(flush, _outcomes(stored, len(flush)), self._express_lane)
        # None of them is stored. The threads find out whose fault it is.
        elif isinstance(stored, HeadLockedError) and len(_by_tenant(flush)) == 1:
            self._move_to_slow_lane(flush)
        else:
            with self._lock:
                self._put(self._fast, flush)

    def _run(self, lane: _Lane[W, R]) -> None:
        while True:
            with self._lock:
                flush = _take(lane)
                if not flush:
                    lane.is_running = False
                    return
            self._settle(flush, lane)

    def _settle(self, flush: Sequence[_Waiting[W, R]], lane: _Lane[W, R]) -> None:
        """Store a flush; one that fails is taken apart until the trouble is alone."""
        outcomes: Sequence[R | BaseException]
        try:
            outcomes = self._store([waiting.write for waiting in flush], 0 if lane.is_slow else _LOCK_TIMEOUT_MS)
        except HeadLockedError:
            parts = _by_tenant(flush)
            if len(parts) == 1:
                self._move_to_slow_lane(flush)
                return
            for part in parts:
                self._settle(part, lane)
            return
        except (AuditError, psycopg.Error) as error:
            # What the database refused is known not to be stored. Of other errors nobody knows on which side of the
            # commit they arose, and storing again could store twice.
            if len(flush) > 1 and not isinstance(error, DatabaseUnavailableError):
                middle = len(flush) // 2
                self._settle(flush[:middle], lane)
                self._settle(flush[middle:], lane)
                return
            outcomes = [error] * len(flush)
        except BaseException as error:  # noqa: BLE001 - every waiting request must be answered, whatever went wrong
            outcomes = [error] * len(flush)
        self._answer(flush, outcomes, lane)

    def _move_to_slow_lane(self, flush: Sequence[_Waiting[W, R]]) -> None:
        with self._lock:
            self._slow_tenants[flush[0].write.tenant_id] += len(flush)
            self._put(self._slow, flush)

    def _answer(
        self, flush: Sequence[_Waiting[W, R]], outcomes: Sequence[R | BaseException], lane: _Lane[W, R]
    ) -> None:
        with self._lock:
            self._writes -= len(flush)
            self._bytes -= sum(waiting.write.size for waiting in flush)
            if lane.is_slow:
                self._slow_tenants.subtract(waiting.write.tenant_id for waiting in flush)
                self._slow_tenants = +self._slow_tenants
        if lane is self._express_lane:
            _set_all((waiting.answer, outcome) for waiting, outcome in zip(flush, outcomes, strict=True))
            return
        # One wake-up of the loop for all of them: each costs a system call.
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R | BaseException]]] = {}
        for waiting, outcome in zip(flush, outcomes, strict=True):
            by_loop.setdefault(waiting.answer.get_loop(), []).append((waiting.answer, outcome))
        for loop, answers in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_set_all, answers)


async def _store_express(express: Express[W, R], flush: Sequence[_Waiting[W, R]]) -> _Stored[R]:
    try:
        return await express.store([waiting.write for waiting in flush], _LOCK_TIMEOUT_MS)
    except BaseException as error:  # noqa: BLE001 - every waiting request must be answered, whatever went wrong
        return error


def _outcomes(stored: _Stored[R], count: int) -> Sequence[R | BaseException]:
    if isinstance(stored, BaseException):
        return [stored] * count
    try:
        return stored()
    except Exception as error:  # noqa: BLE001 - as above
        return [error] * count


def _take(lane: _Lane[W, R]) -> list[_Waiting[W, R]]:
    """Take from the queue what one transaction holds; what shares a name with it stays first in the queue."""
    flush: list[_Waiting[W, R]] = []
    left: list[_Waiting[W, R]] = []
    names: set[Hashable] = set()
    size = 0
    while lane.queue and len(flush) < FLUSH_WRITES and size < FLUSH_BYTES:
        waiting = lane.queue.popleft()
        write = waiting.write
        own = write.names
        if not names.isdisjoint(own) or (lane.is_slow and flush and write.tenant_id != flush[0].write.tenant_id):
            left.append(waiting)
            continue
        names |= own
        size += write.size
        flush.append(waiting)
    lane.queue.extendleft(reversed(left))
    return flush


def _by_tenant(flush: Sequence[_Waiting[W, R]]) -> list[list[_Waiting[W, R]]]:
    parts: dict[UUID, list[_Waiting[W, R]]] = {}
    for waiting in flush:
        parts.setdefault(waiting.write.tenant_id, []).append(waiting)
    return list(parts.values())


def _set_all(answers: Iterable[tuple[asyncio.Future[Any], Any]]) -> None:
    for answer, outcome in answers:
        if answer.done():
            continue  # the client has gone; what was to be stored is stored
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
