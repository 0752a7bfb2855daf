"""Recording what requests read: many accesses in one transaction, each answered after its commit.

A handler calls `record` with what it is about to answer and answers afterwards. Here too: where a request comes from,
and whom a proxy may speak for. What an access is and how it is stored is `ledger/access.py`'s.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

from starlette.requests import Request

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.group_commit import GroupCommit, QueueFullError
from audit_pipelines.ledger.store import HeadLockedError, StaleKeysError
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.idempotency import Answer
from audit_pipelines.server.workers import Workers, busy
from audit_pipelines.server.writing import EventWrite

_RECORDED: Final = Answer(201, "")
# Filters are bounded, and so is the user agent.
_SIZE: Final = 2_000

Network = IPv4Network | IPv6Network


class AccessRecorder:
    """Records accesses of requests; they share transactions with each other and with the events that arrive."""

    def __init__(self, installation: Installation, workers: Workers, group: GroupCommit[EventWrite, Answer]) -> None:
        self._ledger = installation.ledger
        self._enabled = installation.access_log.enabled
        self._proxies = tuple(map(ipaddress.ip_network, installation.settings.audit_trusted_proxies))
        self._workers = workers
        self._group = group

    def access(
        self, request: Request, principal: Principal, action: str, filters: Mapping[str, Any], result_count: int
    ) -> Access:
        """Return the access that a request is, for code in threads that records it with `AccessLog.record`."""
        return Access(
            actor=principal.subject,
            action=action,
            filters=filters,
            result_count=result_count,
            ip_address=client_address(request, self._proxies),
            user_agent=request.headers.get("user-agent"),
        )

    async def record(
        self, request: Request, principal: Principal, action: str, filters: Mapping[str, Any], result_count: int
    ) -> None:
        """Store the access in the tenant's chain; returns when the record is durable, and the answer may go out.

        Raises:
            RequestError: 503 when too many wait; nothing is recorded, and nothing may be answered.
            DatabaseUnavailableError: nothing is known to be recorded.
        """
        if not self._enabled:
            return
        event = self.access(request, principal, action, filters, result_count).event()
        prepare = partial(self._ledger.prepare, principal.tenant_id, event)
        draft = None if self._ledger.knows(principal.tenant_id, event) else await self._workers.run(prepare)
        write = EventWrite(
            principal.tenant_id, event, datetime.now(UTC), _SIZE, None, lambda _: _RECORDED, prepare, draft
        )
        try:
            await self._group.append(write)
        except (QueueFullError, HeadLockedError, StaleKeysError):
            raise busy() from None


def client_address(request: Request, proxies: Sequence[Network]) -> str | None:
    """Return the address a request comes from: the peer's, or what trusted proxies say of those behind them.

    `X-Forwarded-For` is read from its end, where the nearest proxy wrote, for as long as who wrote is trusted; what
    strangers put before that is not believed. None where the peer has no address.
    """
    found = _address(request.client.host) if request.client else None
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",") if proxies else []
    for hop in reversed(hops):
        if found is None or not any(found in network for network in proxies):
            break
        before = _address(hop)
        if before is None:
            break
        found = before
    return None if found is None else str(found)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `ip`, `ip:port`, `[v6]` or `[v6]:port`."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
