"""Alerts: which incidents are told to which destinations, and sending what waits until it arrives or is given up.

An alert is an incident that reached a severity, or what `derive.tampering` queued: the key of its row queues it once
for each destination. A claim makes one process send it. Between the answer of a receiver and the record of it a crash
is possible: then it is sent again, with the same Idempotency-Key. So: queued exactly once, on the wire at least once.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row, dict_row

from audit_pipelines.db.queries import query
from audit_pipelines.derive.tampering import told_of
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.installation import Installation
from audit_pipelines.notify.alert import Alert, DeliveryError
from audit_pipelines.notify.destinations import open_destination
from audit_pipelines.reports.words import counted

MOST_ATTEMPTS: Final = 8
"""Over some four hours; then an alert is dead and shown as that."""
ALERT_WITHIN: Final = timedelta(days=7)
"""An incident that ended longer ago is shown and alerts nobody: an import of years would be thousands of alerts."""
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=2)
_LONGEST_WISH: Final = timedelta(days=1)
_CLAIM: Final = timedelta(minutes=5)
"""How long whoever claimed an alert has it for themselves: many times what one exchange may take."""
_BUDGET_S: Final = 120.0
_FAILURES_IN_A_ROW: Final = 3

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one run did."""

    delivered: int
    failed: int
    dead: int
    """Of the failed ones, those that were given up."""
    waiting: int
    """What is left to send, now or later."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """One alert that this process alone may send for a while."""

    integration_id: UUID
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
    """Send what is due, one by one, and record what came of each; several processes may do so at once.

    A failure is recorded, not raised: the alert waits for a minute, doubled with each further failure up to two hours,
    or as long as the receiver asked for, up to a day. A destination that failed three times in a row is left alone for
    the rest of the run.

    Raises:
        DatabaseUnavailableError: when the table cannot be read or written.
    """
    deadline = time.monotonic() + _BUDGET_S
    failures: Counter[UUID] = Counter()
    done: Counter[str] = Counter()
    while time.monotonic() < deadline:
        resting = [one for one, count in failures.items() if count >= _FAILURES_IN_A_ROW]
        claim = _claim(installation, resting)
        if claim is None:
            break
        error = _attempt(installation, claim)
        failures[claim.integration_id] = failures[claim.integration_id] + 1 if error else 0
        done[_record(installation, claim, error)] += 1
    failed = done["waiting"] + done["dead"]
    return Delivered(done["delivered"], failed, done["dead"], waiting_alerts(installation, due=False))


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
    wanted = {"resting": resting, "claim": _CLAIM, "most": MOST_ATTEMPTS}
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
        integration_id=row["integration_id"],
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


def _attempt(installation: Installation, claim: _Claim) -> Exception | None:
    try:
        destination = open_destination(installation, claim.alert.tenant_id, claim.kind, claim.sealed_config)
        if destination is None:
            return DeliveryError(f"expected a kind that alerts can be sent to, got {claim.kind}")
        destination.send(claim.alert)
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library raises for one destination must not stop the others
        return error
    return None


def _record(installation: Installation, claim: _Claim, error: Exception | None) -> str:
    """Write down what came of an attempt, if the claim still holds; return the alert's state."""
    words = None
    pause = timedelta()
    state = "delivered"
    if error is not None:
        # Only our own errors are known to hold no secret.
        words = (str(error) if isinstance(error, AuditError) else f"unexpected {type(error).__name__}")[:500]
        state = "dead" if claim.attempts >= MOST_ATTEMPTS else "waiting"
        pause = pause_after(claim.attempts, error.retry_after_s if isinstance(error, DeliveryError) else None)
        _LOG.warning("alert %s, attempt %d: %s", claim.alert.delivery_id, claim.attempts, words)
    row = {
        "tenant_id": claim.alert.tenant_id,
        "delivery_id": claim.alert.delivery_id,
        "claimed_until": claim.claimed_until,
        "state": state,
        "error": words,
        "pause": pause,
    }
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("notify/record_attempt"), row)
    return state


def pause_after(attempts: int, asked_s: float | None) -> timedelta:
    """Return how long an alert waits after so many attempts; what the receiver asked for counts if it is longer."""
    own: timedelta = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempts - 1))
    if asked_s is None:
        return own
    return max(own, min(_LONGEST_WISH, timedelta(seconds=asked_s)))
