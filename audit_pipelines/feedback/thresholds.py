"""The score from which a tenant is alerted: what it is, how verdicts move it, and how a person sets it back.

By how much is `intelligence.alert_threshold`'s. Each change is a row that stays, with its explanation and figures, and
an event of the ledger; what is written down as an anomaly never depends on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence import alert_threshold
from audit_pipelines.intelligence.alert_threshold import HIGHEST, MOST_ABOVE
from audit_pipelines.ledger.event import Event
from audit_pipelines.noting import Said, fault, one_line, store_with_event

CHANGED: Final = "audit.threshold.changed"
ENTITY_TYPE: Final = "audit_alert_threshold"
PAUSE: Final = timedelta(days=1)
"""Between two moves by verdicts: people must be able to see what the last one did."""
WINDOW: Final = timedelta(days=30)
"""Older verdicts speak of how detection was then."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a tenant's threshold."""

    threshold: float
    previous: float
    cause: str
    """`verdicts` or `person`."""
    explanation: str
    figures: dict[str, Any]
    changed_by: UUID | None
    changed_at: datetime


def in_force(conn: Connection, tenant_id: UUID, base: float) -> float:
    """Return the tenant's threshold: that of the newest change, `base` where there was none."""
    found = changes(conn, tenant_id, limit=1)
    return found[0].threshold if found else base


def changes(conn: Connection, tenant_id: UUID, *, limit: int = 100) -> list[Change]:
    """Return the changes of a tenant's threshold, newest first."""
    with conn.cursor(row_factory=class_row(Change)) as cursor:
        return cursor.execute(query("feedback/select_thresholds"), {"tenant_id": tenant_id, "limit": limit}).fetchall()


def adapt(installation: Installation, *, now: datetime | None = None) -> list[tuple[UUID, Change]]:
    """Move the threshold of each tenant whose people said enough since it was moved last; return what was changed."""
    moment = now or datetime.now(UTC)
    with installation.database.connection("audit_pipeline") as conn:
        tenants = [
            tenant for (tenant,) in conn.execute(query("feedback/select_judging_tenants"), {"since": moment - WINDOW})
        ]
    return [(tenant, change) for tenant in tenants if (change := _adapt(installation, tenant, moment))]


def _adapt(installation: Installation, tenant_id: UUID, now: datetime) -> Change | None:
    base = installation.settings.audit_anomaly_threshold
    with installation.database.tenant_connection(tenant_id) as conn:
        newest = next(iter(changes(conn, tenant_id, limit=1)), None)
        if newest and newest.cause == "verdicts" and now - newest.changed_at < PAUSE:
            return None
        since = max(now - WINDOW, newest.changed_at) if newest else now - WINDOW
        rows = conn.execute(query("feedback/select_said"), {"since": since}).fetchall()
    present = newest.threshold if newest else base
    said: Sequence[alert_threshold.Said] = [alert_threshold.Said(*row) for row in rows]
    moved = alert_threshold.move(present, base, said)
    if moved is None:
        return None
    row = {
        "threshold": moved.threshold,
        "previous": present,
        "cause": "verdicts",
        "explanation": moved.explanation,
        "figures": moved.figures,
    }
    return _store(installation, tenant_id, row, by=None)


def set_threshold(installation: Installation, tenant_id: UUID, threshold: float, *, reason: str, by: str) -> Change:
    """Set the tenant's threshold in the name of `by`, back to where it was for instance.

    Raises:
        ValidationError: for one below AUDIT_ANOMALY_THRESHOLD or further above it than verdicts may move it, or a
            reason that is empty or too long.
    """
    base = installation.settings.audit_anomaly_threshold
    highest = max(base, min(base + MOST_ABOVE, HIGHEST))
    if not base <= threshold <= highest:
        raise fault("/threshold", f"expected a score from {base:g} to {highest:g}, got {threshold:g}")
    with installation.database.tenant_connection(tenant_id) as conn:
        present = in_force(conn, tenant_id, base)
    row = {
        "threshold": threshold,
        "previous": present,
        "cause": "person",
        "explanation": one_line(reason, "/reason"),
        "figures": {"base": base},
    }
    return _store(installation, tenant_id, row, by=by)


def _store(installation: Installation, tenant_id: UUID, row: dict[str, Any], *, by: str | None) -> Change:
    event = Event(event_type=CHANGED, entity_type=ENTITY_TYPE, entity_id=str(tenant_id), details=row, actor=by)

    def change(conn: Connection, said: Said) -> Change:
        full = row | {"tenant_id": tenant_id, "changed_by": said.by, "figures": Jsonb(row["figures"])}
        conn.execute(query("feedback/insert_threshold"), full)
        return changes(conn, tenant_id, limit=1)[0]

    return store_with_event(installation, tenant_id, event, change)
