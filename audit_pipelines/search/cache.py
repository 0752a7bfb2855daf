"""Answers that were given, kept for as long as nothing that they depend on has changed.

A key holds all of that: the question as it was understood, whom it is shown to, and the tenant's state. So nothing is
ever taken out of it that the tenant, its events, its erasures or the permissions would make another answer of; what is
old merely leaves. Bounded by bytes and by age; each process has its own.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

_MOST_BYTES: Final = 64 * 1024 * 1024
_LARGEST: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes out, and what the access log is told each time."""

    body: bytes
    logged: dict[str, Any]
    count: int


class ReplyCache:
    """Replies by tenant and key; safe to share between threads. A lifetime of 0 s keeps nothing."""

    def __init__(self, lifetime_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._replies: OrderedDict[tuple[UUID, Hashable], tuple[float, Reply]] = OrderedDict()
        self._erasures: dict[UUID, int] = {}
        self._bytes = 0

    def get(self, tenant_id: UUID, erasures: int, key: Hashable) -> Reply | None:
        """Return what was kept under a key; at another count of erasures the tenant's replies, names and all, go."""
        with self._lock:
            if self._erasures.setdefault(tenant_id, erasures) != erasures:
                for each in [each for each in self._replies if each[0] == tenant_id]:
                    self._drop(each)
                self._erasures[tenant_id] = erasures
            kept = self._replies.get((tenant_id, key))
            if kept is None:
                return None
            until, reply = kept
            if self._clock() >= until:
                self._drop((tenant_id, key))
                return None
            self._replies.move_to_end((tenant_id, key))
            return reply

    def put(self, tenant_id: UUID, key: Hashable, reply: Reply) -> None:
        """Keep a reply; the ones unused for longest go for it."""
        if self._lifetime_s <= 0 or len(reply.body) > _LARGEST:
            return
        with self._lock:
            self._drop((tenant_id, key))
            self._replies[tenant_id, key] = (self._clock() + self._lifetime_s, reply)
            self._bytes += len(reply.body)
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._replies)))

    def _drop(self, key: tuple[UUID, Hashable]) -> None:
        kept = self._replies.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[1].body)
