"""Blocking work beside the event loop: a bounded number of threads and a bounded queue before them.

Whatever talks to the database goes through here, so that a slow database makes clients wait, then turns them away with
503, and never fills the memory or stops the answers that need no database.
"""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from audit_pipelines.server.problems import RETRY_AFTER_S, RequestError

T = TypeVar("T")


class Workers:
    """At most `threads` calls run at once and at most `queue` more wait."""

    def __init__(self, threads: int, queue: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._capacity = threads + queue
        self._pending = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; once begun it is finished, even if the client has gone.

        Raises:
            RequestError: 503 when the queue is full; `work` was not begun.
        """
        if self._pending >= self._capacity:
            raise busy()
        self._pending += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._pending -= 1


def busy() -> RequestError:
    """Return the refusal of a request that was not begun, because too many wait."""
    return RequestError(
        503,
        "busy",
        "The server has as many requests waiting as it takes. Nothing was stored: repeat the request later.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
