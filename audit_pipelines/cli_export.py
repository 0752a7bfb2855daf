"""The command `export`: parse, call, print. What it writes is what `POST /api/audit/export/{format}` sends.

Apart from `cli.py`, which it belongs to, for its many filters. The filters are the interface's own, so that a fault is
told in the same words.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console

from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

out = Console()

_Text = str | None


def export(
    form: Annotated[
        Literal["csv", "ndjson", "parquet", "pdf", "evidence"],
        typer.Argument(metavar="FORMAT", help="csv, ndjson, parquet, pdf or evidence."),
    ],
    tenant: Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")],
    *,
    names: Annotated[bool, typer.Option("--names", help="With the clear name behind each reference.")] = False,
    date_range: Annotated[_Text, typer.Option(help="A period by its name, such as last_7_days.")] = None,
    zone: Annotated[_Text, typer.Option(help="Time zone of its days; absent: UTC.")] = None,
    since: Annotated[_Text, typer.Option("--from", help="Events that occurred at this time or later.")] = None,
    until: Annotated[_Text, typer.Option("--to", help="Events that occurred before this time.")] = None,
    event_type: Annotated[_Text, typer.Option(help="Of this type.")] = None,
    entity_type: Annotated[_Text, typer.Option(help="On this kind of entity.")] = None,
    entity_id: Annotated[_Text, typer.Option(help="On this entity.")] = None,
    actor: Annotated[_Text, typer.Option(help="By this person: identity or reference.")] = None,
    outcome: Annotated[_Text, typer.Option(help="With this outcome.")] = None,
    ip_address: Annotated[_Text, typer.Option(help="From this address, or its /24 or /48.")] = None,
    q: Annotated[_Text, typer.Option(help="With these words.")] = None,
    include: Annotated[_Text, typer.Option(help="access: also who read what.")] = None,
    order: Annotated[_Text, typer.Option(help="desc (newest first, the default) or asc.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many events at most.")] = None,
    summary: Annotated[bool, typer.Option("--summary", help="In a PDF: summary and charts.")] = False,
) -> None:
    """Write the events that match to a file; its digest goes into the ledger."""
    from audit_pipelines.exports import making, reading
    from audit_pipelines.files import replacing
    from audit_pipelines.ledger.access import Access, operator
    from audit_pipelines.server.exports import logged_of, parse_asked, selection_of

    filters = {
        "date_range": date_range, "zone": zone, "from": since, "to": until, "event_type": event_type,
        "entity_type": entity_type, "entity_id": entity_id, "actor": actor, "outcome": outcome,
        "ip_address": ip_address, "q": q, "include": include, "order": order, "limit": limit,
    }  # fmt: skip
    try:
        asked = parse_asked(filters, datetime.now(UTC))
    except ValidationError as error:
        told = "; ".join(f"{where.removeprefix('/filters/')}: {what}" for where, what in error.faults)
        raise ValidationError(told, error.faults) from None
    with open_installation(load_settings()) as installation:
        selection = selection_of(installation.vault, tenant, asked)
        wanted = making.order(
            installation, tenant, form, selection, {}, by=operator(), with_names=names, include_summary=summary
        )
        found = reading.count(installation, tenant, wanted.selection, wanted.head, most=None)
        wanted = making.logged(wanted, logged_of(installation.vault, tenant, asked, found=found > 0))
        missing = reading.left_out(installation, tenant, selection)
        installation.access_log.record(
            tenant, Access(actor=operator(), action=f"export.{form}", filters=wanted.asked, result_count=found)
        )
        with replacing(output, mode=0o600) as staging:
            made = making.write(making.Making(installation, wanted), staging)
            making.record_handed_out(installation, wanted, made)
    if missing:
        out.print(f"not looked into: {', '.join(missing)}", style="yellow", highlight=False)
    told = f"{output}: {made.rows:,} events, {made.size:,} bytes, SHA-256 {made.sha256.hex()}"
    out.print(told, markup=False, highlight=False, soft_wrap=True)
