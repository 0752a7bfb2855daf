"""How often somebody may ask: so many requests a second for each subject, so many refused tokens and passwords for each
address.

Each process counts by itself, so several workers allow several times as much. What a token is worth does not depend on
who else sends from its address: a valid one is never refused for the failures of others behind the same proxy.
"""

import ipaddress
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.types import Scope

from audit_pipelines.server.auth import Principal
from audit_pipelines.server.problems import RequestError
from audit_pipelines.settings import Settings

_BURST_S: Final = 10.0
"""So many seconds' worth may come at once."""
_MOST_COUNTED: Final = 16_384


class RateLimit:
    """The generic cell rate algorithm (ITU-T I.371): one moment in time is kept for each key, and no history."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = 1 / per_second
        # What sums of fractions lose must not cost anybody a request.
        self._ahead = _BURST_S - self._step + 1e-6
        self._clock = clock
        self._due: dict[str, float] = {}
        """When all that came so far would have come at an even pace."""

    def __call__(self, key: str) -> float:
        """Count one for `key` and return 0, or return in how many seconds there is room for one."""
        now = self._clock()
        due = self._due.get(key)
        if due is None:
            if len(self._due) >= _MOST_COUNTED:
                self._forget(now)
            due = now
        elif due < now:
            due = now
        elif due - now > self._ahead:
            return due - now - self._ahead
        self._due[key] = due + self._step
        return 0.0

    def _forget(self, now: float) -> None:
        """Drop whoever is not ahead of the pace; if that is nobody, all: the memory is bounded, whoever comes."""
        self._due = {key: due for key, due in self._due.items() if due > now}
        if len(self._due) >= _MOST_COUNTED:
            self._due.clear()


class Limits:
    """The limits of one process."""

    def __init__(self, settings: Settings) -> None:
        self._reads = _limit(settings.audit_rate_limit)
        self._writes = _limit(settings.audit_rate_limit_writes)
        self._refusals = _limit(settings.audit_rate_limit_refusals)

    def admit(self, principal: Principal, *, writes: bool) -> None:
        """Count a request of `principal`; refuse it with 429 when there were too many."""
        limit = self._writes if writes else self._reads
        if limit and (wait := limit(principal.key)):
            raise _too_many("This subject has made more requests than the server takes from one", wait)

    @contextmanager
    def counting_refusals(self, scope: Scope) -> Iterator[None]:
        """Count a 401 of the block for the address of `scope`; make it a 429 when there were too many."""
        try:
            yield
        except RequestError as error:
            if error.status == 401 and self._refusals and (wait := self._refusals(_place(scope))):
                raise _too_many("From this address more was refused than the server takes from one", wait) from None
            raise


def _limit(per_second: int) -> RateLimit | None:
    return RateLimit(per_second) if per_second else None


def _place(scope: Scope) -> str:
    """Return the client's address; of IPv6 the network, since whoever has one address there has them all."""
    client = scope.get("client")
    text = str(client[0]) if client else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return text if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _too_many(what: str, wait_s: float) -> RequestError:
    return RequestError(
        429,
        "too-many-requests",
        f"{what}. Nothing was stored: repeat the request later.",
        headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
    )
