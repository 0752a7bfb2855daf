"""What a process knows of each tenant between questions: which kinds of event it has, and whether anything changed.

Every search is itself recorded in the chain, so the length of the chain says nothing about news. Each event is looked
at once: accesses move the mark, other events are news and make the tenant's version another one.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query

_MOST_TENANTS: Final = 256


@dataclass(frozen=True, slots=True)
class State:
    """A tenant as one question finds it."""

    length: int
    """Events in its chain, accesses too."""
    erasures: int
    model: str | None
    """The embedding model in use."""
    texts_until: int
    """The first seq that has no text yet."""
    version: int
    """Changes when events come that are no accesses."""
    event_types: tuple[str, ...]
    entity_types: tuple[str, ...]
    outcomes: tuple[str, ...]
    pairs: frozenset[tuple[str, str]]
    """The types of event with the types of entity that they are about."""

    @property
    def key(self) -> tuple[int, int, str | None, int]:
        """All that an answer depends on beside its question."""
        return self.version, self.erasures, self.model, self.texts_until


@dataclass(slots=True)
class _Tenant:
    seen: int = 0
    version: int = 0
    event_types: set[str] = field(default_factory=set)
    entity_types: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    pairs: frozenset[tuple[str, str]] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)


class Knowledge:
    """States of the tenants that were asked about lately; safe to share between threads."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[UUID, _Tenant] = OrderedDict()
        self._lock = threading.Lock()

    def state(self, conn: Connection, tenant_id: UUID) -> State:
        """Return the tenant's state, having read what came since the last question; `conn` must see the tenant."""
        with self._lock:
            tenant = self._tenants.setdefault(tenant_id, _Tenant())
            self._tenants.move_to_end(tenant_id)
            if len(self._tenants) > _MOST_TENANTS:
                self._tenants.popitem(last=False)
        with tenant.lock:
            length, erasures, model, texts_until = conn.execute(query("search/select_state")).fetchone() or (
                0,
                0,
                None,
                0,
            )
            if length > tenant.seen:
                rows = conn.execute(query("search/select_news"), {"seq": tenant.seen}, prepare=False).fetchall()
                for event_type, entity_type, outcome in rows:
                    tenant.event_types.add(event_type)
                    tenant.entity_types.update({entity_type} - {None})
                    tenant.outcomes.update({outcome} - {None})
                tenant.pairs |= {(event_type, entity_type) for event_type, entity_type, _ in rows if entity_type}
                tenant.version += bool(rows)
                tenant.seen = length
            return State(
                length, erasures, model, texts_until, tenant.version, tuple(sorted(tenant.event_types)),
                tuple(sorted(tenant.entity_types)), tuple(sorted(tenant.outcomes)), tenant.pairs,
            )  # fmt: skip
