"""How each operation of the interface is asked, for the tests that go through all of them with two tenants.

Who adds a path adds a line to EXAMPLES here: the permission it needs, a request that is answered, and requests that
name what only the other tenant has. A path that cannot be asked like that goes to ELSEWHERE, with where it is tested.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from audit_pipelines.installation import Installation

EVENTS: Final = "/api/audit/events"
ACCESS_LOG: Final = "/api/audit/access-log"


@dataclass(frozen=True)
class Side:
    """One of two tenants whose data look alike: the same ids, actors and addresses, with other contents."""

    name: str
    tenant_id: UUID
    canary: str
    """A word that stands in this tenant's data alone, and in every event of it."""
    only: str
    """The id of an event that this tenant alone has."""


@dataclass
class World:
    """An installation with two tenants in it."""

    installation: Installation
    a: Side
    b: Side
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def other(self, side: Side) -> Side:
        """Return the other tenant."""
        return self.b if side is self.a else self.a


@dataclass(frozen=True)
class Call:
    """One request of a tenant's token; `status` is what it must be answered with if the token may ask at all."""

    url: str
    status: frozenset[int] = frozenset({200, 201})
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What httpx takes beside method and URL: `json`, `params`, `headers`, `content`."""


Make = Callable[[World, Side], Call]


@dataclass(frozen=True)
class Example:
    """One operation: the permission it needs (None: it asks for no token), and requests."""

    permission: str | None
    own: Make
    """Asks for, or stores, something of the tenant's own; must be repeatable any number of times."""
    foreign: Sequence[Make] = ()
    """Name what the other tenant has. They must be answered as if it did not exist."""
    recorded: str | None = None
    """The action under which the access log has it; None for what shows, exports and proves nothing of events."""


def event(world: World, side: Side, **fields: Any) -> dict[str, Any]:
    """Return an event with this tenant's canary in it."""
    return {
        "event_type": "record.read",
        "entity_type": "record",
        "entity_id": f"r-{next(world.numbers)}",
        "actor": "alice@example.org",
        "ip_address": "192.0.2.7",
        "action_details": {"note": side.canary},
    } | fields


def _ref(world: World, side: Side, name: str = "alice@example.org") -> str:
    return str(world.installation.vault.find(side.tenant_id, name))


def _nothing(url: str, **arguments: Any) -> Call:
    return Call(url, frozenset({404}), arguments)


EXAMPLES: Final[Mapping[tuple[str, str], Example]] = {
    ("/health", "GET"): Example(None, lambda _w, _s: Call("/health")),
    ("/api/audit/health", "GET"): Example(None, lambda _w, _s: Call("/api/audit/health")),
    (EVENTS, "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(EVENTS, arguments={"params": {"limit": 20}}),
        recorded="events.list",
        foreign=(
            lambda w, s: Call(EVENTS, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),
            lambda w, s: Call(EVENTS, arguments={"params": {"q": w.other(s).canary}}),
            lambda w, s: Call(EVENTS, arguments={"params": {"entity_id": w.other(s).only}}),
            lambda _w, _s: Call(EVENTS, arguments={"params": {"cursor": "ZGVzYzo5OTk5OTk", "include": "access"}}),
            lambda w, s: Call(EVENTS, frozenset({422}), arguments={"params": {"tenant_id": str(w.other(s).tenant_id)}}),
        ),
    ),
    (EVENTS, "POST"): Example(
        "audit:write",
        lambda w, s: Call(EVENTS, arguments={"json": event(w, s)}),
        (
            # Stored, since it is new here: 409 or a receipt of before would say that somebody else has it.
            lambda w, s: Call(
                EVENTS,
                frozenset({201, 200}),
                {"json": event(w, s, event_id=w.other(s).only, entity_id="fixed", occurred_at="2026-11-01T00:00:00Z")},
            ),
            lambda w, s: Call(
                EVENTS,
                frozenset({201}),
                {"json": event(w, s), "headers": {"Idempotency-Key": f"{s.name}-{next(w.numbers)}"}},
            ),
            lambda w, s: Call(
                EVENTS, frozenset({422}), {"json": event(w, s) | {"tenant_id": str(w.other(s).tenant_id)}}
            ),
        ),
    ),
    (f"{EVENTS}/batch", "POST"): Example(
        "audit:write", lambda w, s: Call(f"{EVENTS}/batch", arguments={"json": [event(w, s), event(w, s)]})
    ),
    (f"{EVENTS}/batch", "GET"): Example(
        "audit:read", lambda _w, _s: _nothing(f"{EVENTS}/batch"), recorded="events.show"
    ),
    (f"{EVENTS}/{{event_id:path}}", "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(f"{EVENTS}/e-1"),
        (lambda w, s: _nothing(f"{EVENTS}/{w.other(s).only}-hidden"),),
        recorded="events.show",
    ),
    (ACCESS_LOG, "GET"): Example(
        "audit:admin",
        lambda _w, _s: Call(ACCESS_LOG, arguments={"params": {"limit": 20}}),
        (lambda w, s: Call(ACCESS_LOG, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),),
        recorded="access_log.list",
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {}
"""Paths that have no example above, such as WebSockets and mounted applications: which test goes through them."""
