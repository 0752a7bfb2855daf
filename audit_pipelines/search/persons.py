"""Who a word of a question names: a whole identity by its blind index, or a part of one, such as a first name.

Identities are opened from the vault and their parts are kept in this process, for tenants of up to 50,000 persons; with
more, whole identities alone are found. What is kept is thrown away when the tenant erases somebody, so that an erased
person is found by nothing.
"""

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.intelligence.search.question import Person
from audit_pipelines.ledger.vault import ERASED, Vault

NOBODY: Final = UUID(int=0)
"""No subject ever has it: what a question about an unknown person filters by."""

_MOST_PERSONS: Final = 50_000
_MOST_TENANTS: Final = 32
# A word that fits more persons than this names none of them: "service" of `service:backup`.
_MOST_MEANT: Final = 12
_SHORTEST: Final = 2
_PARTS: Final = re.compile(r"[^\W_]+")
# Rows are committed later than they are stamped.
_OVERLAP: Final = timedelta(minutes=5)


@dataclass(slots=True)
class _Known:
    erasures: int
    since: datetime | None = None
    names: dict[UUID, str] = field(default_factory=dict, repr=False)
    by_part: dict[str, set[UUID]] = field(default_factory=dict, repr=False)
    too_many: bool = False


class Persons:
    """The persons of all tenants, as far as questions asked for them; safe to share between threads."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._tenants: dict[UUID, _Known] = {}
        self._lock = threading.Lock()

    def find(self, conn: Connection, tenant_id: UUID, erasures: int, name: str) -> Person | None:
        """Return whom `name` means among the living; an address of mail that nobody has means nobody at all.

        `conn` must see the tenant. The person's name is for understanding the question, and for those allowed.
        """
        exact = self._vault.references(conn, tenant_id, [name])
        if exact:
            return Person((exact[name],), name)
        if "@" in name:
            return Person((NOBODY,), "nobody known by this name")
        known = self._known(conn, tenant_id, erasures)
        parts = _PARTS.findall(name.casefold())
        if not parts or len(parts[0]) < _SHORTEST:
            return None
        found = set.intersection(*(known.by_part.get(part, set()) for part in parts))
        if not found or len(found) > _MOST_MEANT:
            return None
        refs = tuple(sorted(found))
        return Person(refs, ", ".join(known.names[ref] for ref in refs))

    def _known(self, conn: Connection, tenant_id: UUID, erasures: int) -> _Known:
        with self._lock:
            known = self._tenants.pop(tenant_id, None)
            if known is None or known.erasures != erasures:
                known = _Known(erasures)
            # The last one asked for is the last one to go.
            self._tenants[tenant_id] = known
            if len(self._tenants) > _MOST_TENANTS:
                self._tenants.pop(next(iter(self._tenants)))
            self._learn(conn, known)
        return known

    def _learn(self, conn: Connection, known: _Known) -> None:
        """Add the persons who came since; one who was erased meanwhile is left out."""
        asked = {"since": known.since and known.since - _OVERLAP, "most": _MOST_PERSONS + 1}
        rows = conn.execute(query("search/select_persons"), asked).fetchall()
        new = [ref for ref, _ in rows if ref not in known.names]
        known.too_many = known.too_many or len(known.names) + len(new) > _MOST_PERSONS
        if known.too_many:
            known.names.clear()
            known.by_part.clear()
            return
        for ref, name in self._vault.identities(conn, new).items():
            if name != ERASED:
                known.names[ref] = name
                for part in name_parts(name):
                    known.by_part.setdefault(part, set()).add(ref)
        if rows:
            known.since = rows[-1][1]


def name_parts(identity: str) -> set[str]:
    """Return the words that stand for somebody: of `mara.olsen@example.org` mara and olsen, of an ARN its last part."""
    local = identity.partition("@")[0]
    if local.startswith("arn:"):
        local = re.split(r"[:/]", local)[-1]
    return {part for part in _PARTS.findall(local.casefold()) if len(part) >= _SHORTEST}
