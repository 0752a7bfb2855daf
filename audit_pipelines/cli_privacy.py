"""The commands about persons: `erase`, `verify-certificate`, `gdpr-export`, `holds …`: parse, call, print.

Apart from `cli.py`, which it belongs to, because one of them cannot be undone and asks first. What they do lives in
`privacy/`.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit_pipelines.errors import AuditError
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

holds_app = typer.Typer(help="Legal holds: what may be neither erased nor deleted.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)

Tenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")]


def erase(
    tenant: Tenant,
    person: Annotated[str, typer.Option(help="The person's identity as it was posted, or their actor_ref.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the certificate; absent: it is printed.")
    ] = None,
) -> None:
    """Erase a person: destroy their key, follow every copy, sign a certificate. There is no way back."""
    from audit_pipelines.files import replacing
    from audit_pipelines.privacy import erasing

    if not yes and not _confirmed("Destroy this person's key? What is sealed under it can never be read again"):
        raise AuditError("expected a yes or --yes to confirm, nothing was done")
    with open_installation(load_settings()) as installation:
        begun = erasing.begin(installation, tenant, person)
        moment = begun.erased_at.isoformat(timespec="seconds")
        state = "is erased" if begun.is_new else "was erased before"
        err.print(f"{begun.actor_ref} {state}, since {moment}; following the copies", highlight=False, soft_wrap=True)
        certificate = erasing.finish(installation, tenant, begun.actor_ref, run_id="audit-pipelines erase")
    if certificate is None:
        err.print("erased by a version that made no certificates: its copies were not followed", highlight=False)
    elif output:
        with replacing(output) as staging:
            staging.write_text(certificate)
        out.print(f"{output}: the certificate; check it with verify-certificate", markup=False, soft_wrap=True)
    else:
        print(certificate, end="")  # noqa: T201 - JSON must not be wrapped


def verify_certificate(
    file: Annotated[Path, typer.Argument(help="A certificate of an erasure, or the answer that holds one.")],
    key: Annotated[str | None, typer.Option(help="The verifier key, from elsewhere than the file.")] = None,
) -> None:
    """Check the certificate of an erasure; needs no database. Exit 0 signed, 1 not, 2 unreadable."""
    from audit_pipelines.ledger import verify_certificate as verifier

    sys.exit(verifier.main([str(file), *(["--key", key] if key else [])]))


def gdpr_export(
    tenant: Tenant,
    person: Annotated[str, typer.Option(help="The person's identity as it was posted, or their actor_ref.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")],
    form: Annotated[
        Literal["json", "pdf", "zip"] | None,
        typer.Option("--format", help="json, pdf, or zip with both; absent: by the file's name, else json."),
    ] = None,
) -> None:
    """Write everything about a person: GDPR Art. 15 and 20."""
    from audit_pipelines.files import replacing
    from audit_pipelines.ledger.access import Access, operator
    from audit_pipelines.privacy import subject_access

    chosen = form or subject_access.format_of(output.suffix)
    with open_installation(load_settings()) as installation:
        found = subject_access.find_person(installation, tenant, person)
        subject_access.note_export(installation, found, by=operator(), form=chosen)
        asked = {"actor_ref": str(found.ref), "format": chosen}
        count = subject_access.count_events(installation, found)
        installation.access_log.record(
            tenant, Access(actor=operator(), action="persons.export", filters=asked, result_count=count)
        )
        with replacing(output, mode=0o600) as staging, staging.open("wb") as file:
            for piece in subject_access.export_person(installation, found, chosen):
                file.write(piece)
    out.print(f"{output}: everything about {found.ref}", markup=False, highlight=False, soft_wrap=True)


@holds_app.command(name="place")
def place_hold(
    tenant: Tenant,
    reason: Annotated[str, typer.Option(help="The case; never a person's name.")],
    *,
    person: Annotated[str | None, typer.Option(help="A person: identity or actor_ref.")] = None,
    entity_type: Annotated[str | None, typer.Option(help="With --entity-id: one entity.")] = None,
    entity_id: Annotated[str | None, typer.Option(help="With --entity-type: one entity.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", help="Events that occurred at this time or later.")
    ] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Events that occurred before this time (UTC).")] = None,
) -> None:
    """Place a legal hold on a person, an entity, a range of time, or without any of these the tenant."""
    from audit_pipelines.ledger.access import operator
    from audit_pipelines.privacy import holds

    subject = holds.Subject(
        person=person,
        entity_type=entity_type,
        entity_id=entity_id,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
    )
    with open_installation(load_settings()) as installation:
        placed = holds.place(installation, tenant, subject, reason=reason, by=operator())
    out.print(f"{placed.hold_id}: {placed.scope} held", highlight=False, soft_wrap=True)


@holds_app.command(name="release")
def release_hold(
    tenant: Tenant,
    hold: Annotated[UUID, typer.Option(help="The hold's id.")],
    reason: Annotated[str, typer.Option(help="Why it is not needed any more.")],
) -> None:
    """Release a legal hold; it stays in the list."""
    from audit_pipelines.ledger.access import operator
    from audit_pipelines.privacy import holds

    with open_installation(load_settings()) as installation:
        holds.release(installation, tenant, hold, reason=reason, by=operator())
    out.print(f"{hold}: released", highlight=False)


@holds_app.command(name="list")
def list_holds(tenant: Tenant) -> None:
    """Show the tenant's legal holds, released ones too; exit 1 when none is in force."""
    from audit_pipelines.privacy import holds

    with open_installation(load_settings()) as installation:
        found = holds.listed(installation, tenant)
    table = Table("hold", "scope", "covers", "reason", "placed", "released", "why released")
    for each in found:
        moments = (each.placed_at, each.released_at)
        placed, released = ("" if moment is None else moment.isoformat(timespec="seconds") for moment in moments)
        covers = escape(json.dumps(each.filters))
        why = escape(each.release_reason or "")
        table.add_row(str(each.hold_id), each.scope, covers, escape(each.reason), placed, released, why)
    out.print(table)
    if all(each.released_at for each in found):
        sys.exit(1)


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:
        return False  # nobody is there to answer
