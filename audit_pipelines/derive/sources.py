"""Sources that fell silent: a tenant whose events stopped coming looks, to every other check, like a quiet one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from audit_pipelines.db.queries import query
from audit_pipelines.installation import Installation

_WINDOW: Final = timedelta(days=14)
_LEAST_EVENTS: Final = 100
_LEAST_SILENCE: Final = timedelta(hours=6)
_TIMES_LONGEST: Final = 3


@dataclass(frozen=True, slots=True)
class SilentSource:
    """A tenant that used to send and does not any more."""

    tenant_id: UUID
    last_recorded_at: datetime
    longest_gap: timedelta
    """Between two of its events in the two weeks before."""


def silent_sources(installation: Installation, *, now: datetime | None = None) -> list[SilentSource]:
    """Return tenants that are silent for 6 hours and 3 times as long as ever between events of the last two weeks.

    Tenants with fewer than 100 events in that time have no habit to depart from and are never reported.
    """
    moment = now or datetime.now(UTC)
    with installation.database.connection("audit_pipeline") as conn:
        parameters = {"since": moment - _WINDOW, "least": _LEAST_EVENTS}
        rows = conn.execute(query("derive/select_gaps"), parameters).fetchall()
    return [
        SilentSource(tenant_id, last, longest)
        for tenant_id, last, longest in rows
        if moment - last > max(_LEAST_SILENCE, _TIMES_LONGEST * longest)
    ]


def stored_events(installation: Installation) -> int:
    """Return how many events the ledger holds; reads one row per tenant."""
    with installation.database.connection("audit_pipeline") as conn:
        return sum(next_seq for _, next_seq in conn.execute(query("lake/select_heads")))
