"""Destinations of alerts as they are kept in `audit_integrations`: sealed, configured by people, opened to be used.

The one place that knows all kinds. Slack has no client yet: its rows are kept and nothing is sent there.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row, dict_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ConflictError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import normalise_identity
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify.alert import DeliveryError, Destination
from audit_pipelines.notify.email import check_address, mail_server
from audit_pipelines.notify.mailbox import MailboxDestination
from audit_pipelines.notify.webhook import WebhookDestination
from audit_pipelines.noting import Said, fault, one_line, store_with_event
from audit_pipelines.outgoing import check_url

if TYPE_CHECKING:
    from audit_pipelines.intelligence.reasons import Severity

CONFIGURED: Final = "audit.integration.configured"
ENTITY_TYPE: Final = "audit_integration"
_SHORTEST_SECRET: Final = 16


class UnknownIntegrationError(AuditError):
    """The tenant has no such destination."""


@dataclass(frozen=True, slots=True)
class Integration:
    """One destination, without what is sealed of it."""

    integration_id: UUID
    kind: str
    name: str
    minimum_severity: "Severity"
    enabled: bool
    created_at: datetime
    delivered: int
    waiting: int
    dead: int


def add_webhook(
    installation: Installation,
    tenant_id: UUID,
    *,
    name: str,
    url: str,
    secret: str,
    minimum_severity: "Severity",
    by: str,
) -> UUID:
    """Keep a webhook, URL and secret sealed, with the event `audit.integration.configured`; nothing is sent yet.

    Raises:
        ValidationError: for a URL that cannot be called, or a secret of fewer than 16 characters.
        ConflictError: when the tenant has a destination of this name.
    """
    title = one_line(name, "/name")
    try:
        check_url(url, "https", "http")
    except ValueError as error:
        raise fault("/url", str(error)) from None
    if len(secret) < _SHORTEST_SECRET:
        raise fault("/secret", f"expected at least {_SHORTEST_SECRET} characters")
    config = {"url": url, "secret": secret}
    return _add(installation, tenant_id, "webhook", title, config, minimum_severity, by)


def add_email(
    installation: Installation,
    tenant_id: UUID,
    *,
    name: str,
    address: str,
    minimum_severity: "Severity",
    by: str,
) -> UUID:
    """Keep a mailbox, its address sealed, with the event `audit.integration.configured`; nothing is sent yet.

    Raises:
        ValidationError: for what is no address, a name with the address in it, or where there is no SMTP_HOST.
        ConflictError: when the tenant has a destination of this name.
    """
    title = one_line(name, "/name")
    try:
        checked = check_address(address)
    except ValueError as error:
        raise fault("/address", str(error)) from None
    if checked.casefold() in title.casefold():
        raise fault("/name", "expected a name without the address: it stays in clear after its owner is erased")
    if installation.settings.smtp_host is None:
        raise fault("/address", "expected SMTP_HOST to name a mail server; without one no alert would arrive")
    return _add(installation, tenant_id, "email", title, {"address": checked}, minimum_severity, by)


def set_enabled(installation: Installation, tenant_id: UUID, integration_id: UUID, *, enabled: bool, by: str) -> None:
    """Switch a destination off or on; what waits for it, waits.

    Raises:
        UnknownIntegrationError: when there is none of this id.
    """

    def change(conn: Connection, _: Said) -> None:
        row = {"integration_id": integration_id, "enabled": enabled}
        if conn.execute(query("notify/update_enabled"), row).rowcount != 1:
            raise UnknownIntegrationError("expected a destination of this tenant, got none of this id")

    store_with_event(installation, tenant_id, _event(integration_id, {"enabled": enabled}, by), change)


def listed(installation: Installation, tenant_id: UUID) -> list[Integration]:
    """Return the tenant's destinations with what became of their alerts, the oldest first."""
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=class_row(Integration)) as cursor,
    ):
        return cursor.execute(query("notify/select_integrations")).fetchall()


def open_destination(installation: Installation, tenant_id: UUID, kind: str, sealed_config: str) -> Destination | None:
    """Return a destination to send to, None for a kind without a client.

    Raises:
        TamperedError: when what is sealed was not sealed here for this tenant.
        DeliveryError: for a mailbox whose owner was erased, `permanent`, or while there is no SMTP_HOST.
    """
    if kind not in {"webhook", "email"}:
        return None
    config = json.loads(sealing.unseal(_key(installation, tenant_id), sealed_config))
    if kind == "webhook":
        return WebhookDestination(config["url"], config["secret"].encode(), installation.settings.outgoing)
    if "address" not in config:
        raise DeliveryError("expected an address; its owner was erased", permanent=True)
    server = mail_server(installation.settings)
    if server is None:
        raise DeliveryError("expected SMTP_HOST to name a mail server, as it did when the destination was added")
    return MailboxDestination(server, config["address"])


def mailboxes_of(installation: Installation, tenant_id: UUID, identity: str) -> list[dict[str, Any]]:
    """Return the mailboxes at the address that is a person's identity, however it is written, the oldest first.

    Without their names, which say what somebody else wants to call them.
    """
    key, wanted = _key(installation, tenant_id), normalise_identity(identity)
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(query("notify/select_mailboxes")).fetchall()
    for row in rows:
        row["address"] = json.loads(sealing.unseal(key, row.pop("sealed_config"))).get("address", "")
    return [row for row in rows if normalise_identity(row["address"]) == wanted]


def forget_mailbox(installation: Installation, tenant_id: UUID, integration_id: UUID) -> None:
    """Take the address out of a mailbox whose owner was erased, switch it off, and give up what waits for it."""
    sealed = sealing.seal(_key(installation, tenant_id), json.dumps({}))
    row = {"tenant_id": tenant_id, "integration_id": integration_id, "sealed_config": sealed}
    with installation.database.tenant_connection(tenant_id) as conn:
        conn.execute(query("notify/forget_mailbox"), row)
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("notify/give_up"), row)


def _add(  # noqa: PLR0917 - the columns of a row
    installation: Installation,
    tenant_id: UUID,
    kind: str,
    title: str,
    config: dict[str, str],
    minimum_severity: "Severity",
    by: str,
) -> UUID:
    integration_id = uuid4()
    row = {
        "tenant_id": tenant_id,
        "integration_id": integration_id,
        "kind": kind,
        "name": title,
        "sealed_config": sealing.seal(_key(installation, tenant_id), json.dumps(config)),
        "minimum_severity": minimum_severity,
    }

    def change(conn: Connection, _: Said) -> UUID:
        try:
            conn.execute(query("notify/insert_integration"), row)
        except psycopg.errors.UniqueViolation:
            raise ConflictError(f"expected a new name, got {title!r}: the tenant has a destination of it") from None
        return integration_id

    details = {"kind": kind, "name": title, "minimum_severity": minimum_severity, "enabled": True}
    return store_with_event(installation, tenant_id, _event(integration_id, details, by), change)


def _key(installation: Installation, tenant_id: UUID) -> bytes:
    """Return the key of a tenant's destinations: its own key is for blind indexes, and one key has one use."""
    return sealing.keyed_hash(installation.vault.tenant_key(tenant_id), "integration", b"")


def _event(integration_id: UUID, details: dict[str, Any], by: str) -> Event:
    return Event(
        event_type=CONFIGURED, entity_type=ENTITY_TYPE, entity_id=str(integration_id), details=details, actor=by
    )
