"""The commands `anomaly …` and `alerts …`: parse, ask for a secret, call, print.

What they do lives in `derive/recompute.py`, `feedback/thresholds.py`, `notify/destinations.py` and `derive/alerts.py`.
"""

import getpass
import json
import secrets
import sys
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import open_installation
from audit_pipelines.ledger.access import operator
from audit_pipelines.settings import load_settings

anomaly_app = typer.Typer(help="Anomalies: checking one, and from which score they alert.", no_args_is_help=True)
alerts_app = typer.Typer(help="Where alerts go, and what became of them.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)

Tenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")]
Name = Annotated[str, typer.Option(help="What the destination is called.")]
Graveness = Annotated[
    Literal["low", "medium", "high", "critical"], typer.Option(help="Less grave incidents are not sent.")
]
FAILED = 1


@anomaly_app.command(name="recompute")
def recompute_anomaly(
    anomaly: Annotated[UUID, typer.Argument(metavar="ID", help="The anomaly's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compute an anomaly again from ledger and model: exit 0 the same, 1 it differs, 2 could not check."""
    from audit_pipelines.derive.recompute import recompute

    with open_installation(load_settings()) as installation:
        try:
            done = recompute(installation, anomaly)
        except TamperedError as error:
            # Whoever changed a model or an archive changed what the anomaly rests on: that is no "could not check".
            err.print(f"differs: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(1)
    if as_json:
        shown = {
            "anomaly_id": str(done.anomaly_id),
            "tenant_id": str(done.tenant_id),
            "same": done.same,
            "seq": done.seq,
            "model_id": done.model_id,
            "model_digest": done.model_digest,
            "events": done.events,
            "score": done.score,
            "severity": done.severity,
            "reasons": done.reasons,
            "differences": done.differences,
        }
        print(json.dumps(shown, indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        out.print(
            f"{'the same' if done.same else 'DIFFERS'}: anomaly {done.anomaly_id} of tenant {done.tenant_id}: seq "
            f"{done.seq}, score {done.score:.6f}, {done.severity}",
            highlight=False,
        )
        out.print(f"  {done.events:,} rows of the ledger hashed again; model {done.model_digest}", highlight=False)
        for reason in done.reasons:
            out.print(f"  {reason}", markup=False, highlight=False, soft_wrap=True)
        for difference in done.differences:
            out.print(f"  differs: {difference}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(0 if done.same else 1)


@anomaly_app.command()
def threshold(
    tenant: Tenant,
    to: Annotated[float | None, typer.Option("--set", help="Set it to this score; absent: show it.")] = None,
    reason: Annotated[str, typer.Option(help="With --set: why.")] = "",
) -> None:
    """Show from which score a tenant is alerted and every change of it; or set it, for instance to where it was."""
    from audit_pipelines.feedback import thresholds

    with open_installation(load_settings()) as installation:
        if to is not None:
            thresholds.set_threshold(installation, tenant, to, reason=reason, by=operator())
        base = installation.settings.audit_anomaly_threshold
        with installation.database.tenant_connection(tenant) as conn:
            present, history = thresholds.in_force(conn, tenant, base), thresholds.changes(conn, tenant)
    out.print(f"alerts from {present:.2f} on; anomalies from {base:.2f} on (AUDIT_ANOMALY_THRESHOLD)", highlight=False)
    if history:
        table = Table("changed", "from", "to", "by", "why")
        for one in history:
            by = str(one.changed_by) if one.changed_by else one.cause
            moment = one.changed_at.isoformat(timespec="seconds")
            table.add_row(moment, f"{one.previous:.2f}", f"{one.threshold:.2f}", by, escape(one.explanation))
        out.print(table)


@alerts_app.command()
def webhook(
    tenant: Tenant,
    name: Name,
    url: Annotated[str, typer.Option(help="Where alerts are posted to.")],
    minimum_severity: Graveness = "high",
) -> None:
    """Add a webhook. The secret that signs comes from a prompt or standard input; empty: one is made and printed."""
    from audit_pipelines.notify.destinations import add_webhook

    given = _secret()
    secret = given or secrets.token_urlsafe(32)
    with open_installation(load_settings()) as installation:
        made = add_webhook(
            installation,
            tenant,
            name=name,
            url=url,
            secret=secret,
            minimum_severity=minimum_severity,
            by=operator(),
        )
    out.print(f"destination {made} is told of new incidents from {minimum_severity} on", highlight=False)
    if not given:
        print(f"secret: {secret}")  # noqa: T201 - it must come out unwrapped, this once


@alerts_app.command()
def email(
    tenant: Tenant,
    name: Name,
    to: Annotated[str, typer.Option(help="The address that alerts are mailed to, one.")],
    minimum_severity: Graveness = "high",
) -> None:
    """Add a mailbox, which gets each alert as a message through SMTP_HOST."""
    from audit_pipelines.notify.destinations import add_email

    with open_installation(load_settings()) as installation:
        made = add_email(
            installation, tenant, name=name, address=to, minimum_severity=minimum_severity, by=operator()
        )  # fmt: skip
    out.print(f"destination {made} is told of new incidents from {minimum_severity} on", highlight=False)


@alerts_app.command()
def disable(tenant: Tenant, destination: Annotated[UUID, typer.Option(help="The destination's id.")]) -> None:
    """Send nothing to a destination any more; what waits for it, waits."""
    _switch(tenant, destination, enabled=False)


@alerts_app.command()
def enable(tenant: Tenant, destination: Annotated[UUID, typer.Option(help="The destination's id.")]) -> None:
    """Send to a destination again, what has been waiting too."""
    _switch(tenant, destination, enabled=True)


@alerts_app.command(name="list")
def list_alerts(tenant: Tenant) -> None:
    """Show the tenant's destinations and its newest alerts; exit 1 when an alert is dead."""
    from audit_pipelines.derive.alerts import deliveries
    from audit_pipelines.notify.destinations import listed

    with open_installation(load_settings()) as installation:
        places, sent = listed(installation, tenant), deliveries(installation, tenant)
    table = Table("destination", "kind", "name", "from severity", "state", "delivered", "waiting", "dead")
    for one in places:
        state = "in use" if one.enabled else "disabled"
        counts = (str(one.delivered), str(one.waiting), str(one.dead))
        table.add_row(str(one.integration_id), one.kind, escape(one.name), one.minimum_severity, state, *counts)
    out.print(table)
    table = Table("alert", "incident", "severity", "to", "state", "attempts", "queued", "last error")
    for alert in sent:
        queued = alert.queued_at.isoformat(timespec="seconds")
        error = escape(alert.last_error or "")
        ids = (str(alert.delivery_id), str(alert.incident_id))
        table.add_row(*ids, alert.severity, escape(alert.destination), alert.state, str(alert.attempts), queued, error)
    out.print(table)
    if any(one.dead for one in places):
        sys.exit(FAILED)


@alerts_app.command()
def retry(tenant: Tenant, alert: Annotated[UUID, typer.Option(help="The alert's id.")]) -> None:
    """Have a dead alert tried again; exit 1 when there is no such one."""
    from audit_pipelines.derive import alerts

    with open_installation(load_settings()) as installation:
        revived = alerts.retry(installation, tenant, alert)
    out.print(f"{alert}: {'waiting' if revived else 'no dead alert of this tenant'}", highlight=False)
    if not revived:
        sys.exit(FAILED)


@alerts_app.command()
def deliver() -> None:
    """Send now what is due, as Dagster does; exit 1 when something failed."""
    from audit_pipelines.derive.alerts import deliver_alerts

    with open_installation(load_settings()) as installation:
        done = deliver_alerts(installation)
    out.print(
        f"{done.delivered} delivered, {done.failed} failed ({done.dead} given up), {done.waiting} waiting",
        highlight=False,
    )
    if done.failed:
        sys.exit(FAILED)


def _switch(tenant: UUID, destination: UUID, *, enabled: bool) -> None:
    from audit_pipelines.notify.destinations import set_enabled

    with open_installation(load_settings()) as installation:
        set_enabled(installation, tenant, destination, enabled=enabled, by=operator())
    out.print(f"{destination}: {'in use' if enabled else 'disabled'}", highlight=False)


def _secret() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return getpass.getpass("Secret (empty: make one): ")
