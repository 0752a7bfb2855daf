"""Who read what: one access as an event of the tenant's own chain, so that the auditors are audited too.

Any handler, command or report that shows, exports or proves events records it in one call, before it hands anything
out. The database makes the row of `audit_access_log` out of the entry, in the same statement, so neither is ever
without the other; `verify_access.py` compares them. How requests share transactions is `server/access.py`'s.
"""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.event import ACCESS_PREFIX, UNPRINTABLE, Event
from audit_pipelines.ledger.store import Ledger, Receipt

ENTITY_TYPE: Final = "audit.access"
DAGSTER: Final = "service:dagster"
_LONGEST_AGENT: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One read, search, export, report or evidence: who took what, and from where. `actor` is a name in clear."""

    actor: str
    """Whom a token speaks for, `cli:<user of the machine>`, or `service:<name>`."""
    action: str
    """What was done to which things: `events.list`, `evidence.make`, `report.security`."""
    filters: Mapping[str, Any]
    """What was asked for, without personal data in clear: references, and `hashed` where a word may be a name."""
    result_count: int
    """How many events or other things were found and handed out."""
    ip_address: str | None = None
    user_agent: str | None = None

    def event(self) -> Event:
        """Return the event that says so."""
        return Event(
            event_type=ACCESS_PREFIX + self.action,
            entity_type=ENTITY_TYPE,
            entity_id=self.action.partition(".")[0],
            actor=self.actor,
            outcome="success",
            ip_address=self.ip_address,
            user_agent=_printable(self.user_agent),
            details={"filters": dict(self.filters), "result_count": self.result_count},
        )


class AccessLog:
    """Records accesses, or nothing where AUDIT_ENABLE_ACCESS_LOGGING is false."""

    def __init__(self, ledger: Ledger, *, enabled: bool) -> None:
        self._ledger = ledger
        self.enabled = enabled

    def record(self, tenant_id: UUID, access: Access) -> Receipt | None:
        """Store `access` in the tenant's chain; when it returns, the record survives a crash of the machine.

        Hand out what was read after this and never before.

        Raises:
            DatabaseUnavailableError: nothing is known to be recorded; hand out nothing.
        """
        return self._ledger.append(tenant_id, [access.event()])[0] if self.enabled else None


def hashed(tenant_key: bytes, text: str) -> str:
    """Return what stands for a word that may be a name: it answers "was this asked for?" and nothing else."""
    return "hmac-sha256:" + sealing.keyed_hash(tenant_key, "access-log", text.encode())[:16].hex()


def operator() -> str:
    """Return who runs a command, as the actor of what it reads: the user of the operating system."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        return "cli:unknown"


def _printable(agent: str | None) -> str | None:
    return UNPRINTABLE.sub("\ufffd", agent)[:_LONGEST_AGENT] if agent else None
