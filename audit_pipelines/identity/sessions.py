"""Sessions: what a login opens, and everything that ends it.

Ended are they by logout, by another password, by disabling or erasing the person, by too many wrong passwords at
signing, by lying idle, and after a day's work at the latest. Tokens carry a session's id; who checks tokens asks here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query

EndReason = Literal["logout", "password", "disabled", "locked", "erased"]
# Of all limits the shortest is a minute; a note for each request would be a write for each read.
_NOTE_EVERY: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lives unused, and how long at most."""

    idle: timedelta = timedelta(minutes=15)
    absolute: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has just begun; `expires_at` is its absolute end."""

    session_id: UUID
    user_id: UUID
    expires_at: datetime


class Sessions:
    """All sessions of all tenants; each call sees one tenant's."""

    def __init__(self, database: Database, limits: SessionLimits, clock: Callable[[], datetime]) -> None:
        self._database = database
        self.limits = limits
        self._clock = clock

    def is_live(self, tenant_id: UUID, sid: UUID) -> bool:
        """Return whether the session may still be used, and note that it was.

        Raises:
            DatabaseUnavailableError: nobody knows.
        """
        now = self._clock()
        with self._database.tenant_connection(tenant_id) as conn:
            row = conn.execute(
                query("identity/touch_session"),
                {
                    "session_id": sid,
                    "now": now,
                    "idle_since": now - self.limits.idle,
                    "noted_since": now - _NOTE_EVERY,
                },
            ).fetchone()
        return row is not None and bool(row[0])

    def begin(self, conn: Connection, tenant_id: UUID, user_id: UUID) -> Session:
        """Open a session in the transaction of `conn`, which sees the tenant."""
        now = self._clock()
        session = Session(uuid4(), user_id, now + self.limits.absolute)
        conn.execute(
            query("identity/insert_session"),
            {
                "tenant_id": tenant_id,
                "session_id": session.session_id,
                "user_id": user_id,
                "now": now,
                "expires_at": session.expires_at,
            },
        )
        return session

    def end(self, conn: Connection, session_id: UUID, reason: EndReason) -> bool:
        """End one session; return whether this call did it."""
        parameters = {"session_id": session_id, "reason": reason, "now": self._clock()}
        return conn.execute(query("identity/end_session"), parameters).fetchone() is not None

    def end_all(self, conn: Connection, user_id: UUID, reason: EndReason) -> None:
        """End every session of an account."""
        conn.execute(query("identity/end_sessions"), {"user_id": user_id, "reason": reason, "now": self._clock()})
