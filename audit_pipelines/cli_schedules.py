"""The commands `schedules …`: parse, call, print. What a scheduled report may say is `derive/report_schedules.py`'s.

So are its faults, which are those of `POST /api/audit/scheduled-reports`, told in the same words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import open_installation
from audit_pipelines.ledger.access import operator
from audit_pipelines.settings import load_settings

if TYPE_CHECKING:
    from audit_pipelines.derive.report_schedules import Changes, Schedule

schedules_app = typer.Typer(help="Reports that are made at set times, and for whom.", no_args_is_help=True)

out = Console()

Tenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")]
Report = Annotated[UUID, typer.Option(help="The scheduled report's id.")]


@schedules_app.command(name="list")
def list_schedules(tenant: Tenant) -> None:
    """Show the tenant's scheduled reports with recipients, the next due time and what became of the past ones."""
    from audit_pipelines.derive import report_schedules

    with open_installation(load_settings()) as installation:
        found = report_schedules.listed(installation, tenant)
    table = Table("report", "kind", "at", "recipients", "as", "state", "next due", "made", "waiting", "failed")
    for one in found:
        table.add_row(
            str(one.report_id),
            one.kind,
            escape(f"{one.cron} {one.time_zone}"),
            escape("\n".join(one.recipients)) or "nobody",
            one.delivery,
            "in use" if one.enabled else "paused",
            one.next_due[0].isoformat(timespec="minutes") if one.next_due else "never",
            *(str(count) for count in (one.made, one.waiting, one.failed)),
        )
    out.print(table)


@schedules_app.command()
def add(  # noqa: PLR0917 - typer calls it by name
    tenant: Tenant,
    kind: Annotated[Literal["security", "compliance", "access_review", "person"], typer.Option(help="What it is of.")],
    cron: Annotated[str, typer.Option(help="When: five fields as of crontab(5), or @weekly and its like.")],
    time_zone: Annotated[str, typer.Option(help="The zone whose wall clock that is.")] = "UTC",
    recipient: Annotated[list[str] | None, typer.Option(help="An address; repeat the option for several.")] = None,
    delivery: Annotated[Literal["link", "file"], typer.Option(help="What a message has of it.")] = "link",
    person: Annotated[str | None, typer.Option(help="Of kind person: whom it is about, identity or reference.")] = None,
) -> None:
    """Have a report made at set times from now on."""
    from audit_pipelines.derive import report_schedules

    wanted = report_schedules.Wanted(
        kind=kind, cron=cron, time_zone=time_zone, recipients=recipient or (), delivery=delivery, person=person
    )
    with _told(), open_installation(load_settings()) as installation:
        made = report_schedules.add(installation, tenant, wanted, by=operator())
    out.print(f"scheduled report {made.report_id} is next due {_next(made)}", highlight=False)


@schedules_app.command()
def pause(tenant: Tenant, report: Report) -> None:
    """Make it no more until it is resumed; what comes due meanwhile is not made up for."""
    from audit_pipelines.derive.report_schedules import Changes

    _change(tenant, report, Changes(enabled=False))
    out.print(f"{report}: paused", highlight=False)


@schedules_app.command()
def resume(tenant: Tenant, report: Report) -> None:
    """Make it again, from its next due time on."""
    from audit_pipelines.derive.report_schedules import Changes

    out.print(f"{report}: next due {_next(_change(tenant, report, Changes(enabled=True)))}", highlight=False)


@schedules_app.command()
def remove(tenant: Tenant, report: Report) -> None:
    """Pause it and take its recipients out; its line stays, as the history of what it made and sent."""
    from audit_pipelines.derive.report_schedules import Changes

    _change(tenant, report, Changes(enabled=False, recipients=()))
    out.print(f"{report}: paused, and goes to nobody", highlight=False)


def _change(tenant: UUID, report: UUID, changes: "Changes") -> "Schedule":
    from audit_pipelines.derive import report_schedules

    with _told(), open_installation(load_settings()) as installation:
        return report_schedules.change(installation, tenant, report, changes, by=operator())


def _next(one: "Schedule") -> str:
    return " then ".join(due.isoformat(timespec="minutes") for due in one.next_due) or "never"


@contextmanager
def _told() -> Iterator[None]:
    """Name every fault with its option."""
    try:
        yield
    except ValidationError as error:
        if not error.faults:
            raise
        options = {"recipients": "recipient", "time_zone": "time-zone"}
        told = []
        for where, what in error.faults:
            name, _, place = where.strip("/").partition("/")
            number = f" {int(place) + 1}" if place else ""
            told.append(f"--{options.get(name, name)}{number}: {what}")
        raise ValidationError("; ".join(told), error.faults) from None
