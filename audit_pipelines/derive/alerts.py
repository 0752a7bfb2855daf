"""Alerts: which incidents are told to which destinations, and sending what waits until it arrives or is given up.

An alert is an incident that reached a severity, or what `derive.tampering` queued: the key of its row queues it once
for each destination. A claim makes one process send it. Between the answer of a receiver and the record of it a crash
is possible: then it is sent again, with the same Idempotency-Key. So: queued exactly once, on the wire at least once.
"""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row, dict_row

from audit_pipelines.db.queries import query
from audit_pipelines.derive.delivering import CLAIM, MOST_ATTEMPTS, Delivered, Outcome, deliver
from audit_pipelines.derive.tampering import told_of
from audit_pipelines.installation import Installation
from audit_pipelines.notify.alert import Alert, DeliveryError
from audit_pipelines.notify.destinations import open_destination
from audit_pipelines.reports.words import counted

ALERT_WITHIN: Final = timedelta(days=7)
"""An incident that ended longer ago is shown and alerts nobody: an import of years would be thousands of alerts."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """One alert that this process alone may send for a while."""

    destination: UUID
    attempts: int
    claimed_until: datetime
    kind: str
    sealed_config: str
    alert: Alert


def queue_alerts(installation: Installation) -> int:
    """Queue each open incident for each destination that wants its severity; return how many rows are new.

    It must have an anomaly that no suppression covers, reach the tenant's threshold or be critical, have ended within
    ALERT_WITHIN, have changed since the destination was configured, and not be queued there as grave already.
    """
    wanted = {"base": installation.settings.audit_anomaly_threshold, "within": ALERT_WITHIN}
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(query("notify/queue_alerts"), wanted).rowcount


def waiting_alerts(installation: Installation, *, due: bool = True) -> int:
    """Count the alerts that are to be sent: by now, or at all."""
    with installation.database.connection("audit_pipeline") as conn:
        (count,) = conn.execute(query("notify/count_waiting"), {"due": due}).fetchone() or (0,)
    return int(count)


def deliver_alerts(installation: Installation) -> Delivered:
    """Send what is due, one by one, and record what came of each; see `delivering.deliver`."""
    return deliver(
        partial(_claim, installation),
        partial(_send, installation),
        partial(_record, installation),
        lambda: waiting_alerts(installation, due=False),
    )


def retry(installation: Installation, tenant_id: UUID, delivery_id: UUID) -> bool:
    """Have a dead alert tried again from the beginning; return whether there is such a one."""
    row = {"tenant_id": tenant_id, "delivery_id": delivery_id}
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(query("notify/revive_delivery"), row).rowcount == 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert on its way, as it is shown."""

    delivery_id: UUID
    incident_id: UUID
    severity: str
    destination: str
    state: str
    attempts: int
    queued_at: datetime
    next_try_at: datetime
    delivered_at: datetime | None
    last_error: str | None


def deliveries(installation: Installation, tenant_id: UUID, *, limit: int = 100) -> list[Delivery]:
    """Return a tenant's alerts and what became of them, newest first."""
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=class_row(Delivery)) as cursor,
    ):
        return cursor.execute(query("notify/select_deliveries"), {"limit": limit}).fetchall()


def delivery_counts(installation: Installation) -> list[tuple[str, int]]:
    """Count all alerts by state."""
    with installation.database.connection("audit_pipeline") as conn:
        return [(state, count) for state, count in conn.execute(query("notify/count_states"))]


def _claim(installation: Installation, resting: list[UUID]) -> _Claim | None:
    """Take the alert that is due longest; the claim is committed before anything is sent."""
    wanted = {"resting": resting, "claim": CLAIM, "most": MOST_ATTEMPTS}
    with (
        installation.database.connection("audit_pipeline") as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        row = cursor.execute(query("notify/claim_delivery"), wanted).fetchone()
    if row is None:
        return None
    base = (installation.settings.api_base_url or "").rstrip("/")
    if row["cause"] == "tampering":
        told = {each.name: row[each.name] for each in fields(Alert) if each.name in row} | _tampering(installation, row)
        link = base
    else:
        told = {each.name: row[each.name] for each in fields(Alert) if each.name != "link"}
        link = f"{base}/api/audit/incidents/{row['incident_id']}"
    return _Claim(
        destination=row["integration_id"],
        attempts=row["attempts"],
        claimed_until=row["claimed_until"],
        kind=row["kind"],
        sealed_config=row["sealed_config"],
        alert=Alert(**told, link=link),
    )


def _tampering(installation: Installation, row: dict[str, Any]) -> dict[str, Any]:
    """Return what an alert says of a changed ledger: which rows and in what way, and no content."""
    findings = told_of(installation, row["tenant_id"], row["incident_id"])
    places = ["whole ledger" if seq is None else f"seq {seq}" for _, seq, _ in findings]
    story = [{"text": f"{place}: {kind}"} for place, (kind, _, _) in zip(places, findings, strict=True)]
    check = {"text": f"audit-pipelines verify --tenant {row['tenant_id']} says what differs"}
    return {
        "first_at": min((found_at for *_, found_at in findings), default=row["queued_at"]),
        "last_at": max((found_at for *_, found_at in findings), default=row["queued_at"]),
        "anomalies": 0,
        "suppressed": 0,
        "score": 1.0,
        "title": f"the ledger was changed: {counted(len(findings), 'finding')}",
        "meanings": [],
        "story": [*story, check],
    }


def _send(installation: Installation, claim: _Claim) -> None:
    destination = open_destination(installation, claim.alert.tenant_id, claim.kind, claim.sealed_config)
    if destination is None:
        raise DeliveryError(f"expected a kind that alerts can be sent to, got {claim.kind}")
    destination.send(claim.alert)


def _record(installation: Installation, claim: _Claim, outcome: Outcome) -> None:
    """Write down what came of an attempt, if the claim still holds."""
    row = {
        "tenant_id": claim.alert.tenant_id,
        "delivery_id": claim.alert.delivery_id,
        "claimed_until": claim.claimed_until,
        "state": outcome.state,
        "error": outcome.error,
        "pause": outcome.pause,
    }
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("notify/record_attempt"), row)
