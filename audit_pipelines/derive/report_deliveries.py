"""Reports on their way by mail: one row per due report and recipient, sent until the mail server answers for it.

Queued in the transaction in which the report is made, so none is forgotten and none is queued twice. Between the answer
of the mail server and the record of it a crash is possible: then the message is sent again with the same Message-ID.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from psycopg.rows import dict_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.delivering import CLAIM, MOST_ATTEMPTS, Delivered, Outcome, deliver
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import normalise_identity
from audit_pipelines.notify.alert import DeliveryError
from audit_pipelines.notify.email import Mail, MailServer, mail_server
from audit_pipelines.reports import words

DUES_PER_TICK: Final = 20
"""After a long outage the oldest due times come first, a few at a tick."""
REPORTS_PATH: Final = "/api/audit/reports"
_TITLES: Final = {
    "security": "Security report",
    "compliance": "Compliance report",
    "access_review": "Access review",
    "person": "Report about a person",
}
# All messages go to one server: when it does not answer, it does not for anybody.
_SERVER: Final = UUID(int=0)


def clock() -> datetime:
    """Return the time now: the one clock of due times, claims and pauses of scheduled reports and their messages."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Claim:
    """One message that this process alone may send for a while."""

    tenant_id: UUID
    delivery_id: UUID
    report_id: UUID
    due_at: datetime
    attempts: int
    claimed_until: datetime
    sealed_recipient: str
    kind: str
    delivery: str
    since: datetime
    output_key: str
    output_digest: bytes
    made_at: datetime

    @property
    def destination(self) -> UUID:
        """The mail server."""
        return _SERVER


def address_key(installation: Installation, tenant_id: UUID) -> bytes:
    """Return the key that a tenant's recipients are sealed under: its own is for blind indexes alone."""
    return sealing.keyed_hash(installation.vault.tenant_key(tenant_id), "report-recipient", b"")


def recipient_index(installation: Installation, tenant_id: UUID, address: str) -> bytes:
    """Return what an address is known by when it is not there any more, 32 bytes."""
    tenant_key = installation.vault.tenant_key(tenant_id)
    return sealing.keyed_hash(tenant_key, "report-recipient-index", normalise_identity(address).encode())


def queue(
    installation: Installation, conn: Connection, tenant_id: UUID, report_id: UUID, due_at: datetime, *, now: datetime
) -> None:
    """Queue a report that was just made for each recipient, on the caller's connection."""
    named = {"tenant_id": tenant_id, "report_id": report_id}
    row = conn.execute(query("reports/select_recipients"), named).fetchone()
    sealed = row[0] if row else []
    key = address_key(installation, tenant_id)
    indexes = [recipient_index(installation, tenant_id, sealing.unseal(key, one)) for one in sealed]
    state = "not configured" if installation.settings.smtp_host is None else "waiting"
    queued = {"due_at": due_at, "indexes": indexes, "sealed": sealed, "state": state, "now": now}
    conn.execute(query("reports/queue_deliveries"), named | queued)


def waiting_reports(installation: Installation, *, due: bool = True) -> int:
    """Count the messages that are to be sent: by now, or at all."""
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("reports/count_waiting"), {"due": due, "now": clock()}).fetchone()
    return int(row[0]) if row else 0


def deliver_reports(installation: Installation) -> Delivered:
    """Send what is due, one by one, and record what came of each; see `delivering.deliver`."""
    return deliver(
        partial(_claim, installation),
        partial(_send, installation, mail_server(installation.settings)),
        partial(_record, installation),
        lambda: waiting_reports(installation, due=False),
    )


def _claim(installation: Installation, resting: list[UUID]) -> _Claim | None:
    """Take the message that is due longest; the claim is committed before anything is sent."""
    if resting:
        return None
    wanted = {"claim": CLAIM, "most": MOST_ATTEMPTS, "now": clock()}
    with (
        installation.database.connection("audit_pipeline") as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        row = cursor.execute(query("reports/claim_delivery"), wanted).fetchone()
    return _Claim(**{each.name: row[each.name] for each in fields(_Claim)}) if row else None


def _send(installation: Installation, server: MailServer | None, claim: _Claim) -> None:
    if server is None:
        raise DeliveryError("expected SMTP_HOST to name a mail server, as it did when the report was made")
    path = installation.settings.storage_dir / claim.output_key
    if not path.is_file() or lineage.file_digest(path) != claim.output_digest:
        raise DeliveryError(
            f"expected {claim.output_key} as it was made; it is gone or was made anew since", permanent=True
        )
    address = sealing.unseal(address_key(installation, claim.tenant_id), claim.sealed_recipient)
    period = words.period(claim.since, claim.due_at)
    link = f"{installation.settings.api_base_url.rstrip('/')}{REPORTS_PATH}/{claim.output_digest.hex()}"
    title = _TITLES[claim.kind]
    text = (
        f"{title}: {period} (UTC)\n\n"
        f"Tenant:   {claim.tenant_id}\n"
        f"Made:     {words.second(claim.made_at)}\n"
        f"File:     {path.name}\n"
        f"SHA-256:  {claim.output_digest.hex()}\n\n"
        f"The file is at the address below, for those whose token allows it:\n{link}\n\n"
        "Its digest is in the lineage of the audit trail: compare it with the file's before you rely on it.\n"
    )
    mail = Mail(
        to=address,
        subject=f"{title}: {period}",
        text=text,
        message_id=f"{claim.delivery_id}@{server.message_domain}",
        sent_at=claim.made_at,
        attachment=path if claim.delivery == "file" else None,
        too_large="\nThe file is larger than a message may be, so it is not attached.",
    )
    server.send(mail)


def _record(installation: Installation, claim: _Claim, outcome: Outcome) -> None:
    """Write down what came of an attempt, if the claim still holds."""
    row = {
        "tenant_id": claim.tenant_id,
        "delivery_id": claim.delivery_id,
        "claimed_until": claim.claimed_until,
        "state": outcome.state,
        "error": outcome.error,
        "pause": outcome.pause,
        "now": clock(),
    }
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("reports/record_delivery"), row)
