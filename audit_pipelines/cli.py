"""The command line: parse, call, print, exit code. What a command does lives in the module it calls.

Imports of heavy parts (Dagster 1.3 s, polars, scikit-learn) happen inside commands, so that `token` answers at once.
"""

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit_pipelines.cli_anomalies import alerts_app, anomaly_app
from audit_pipelines.cli_evaluate import evaluate
from audit_pipelines.cli_export import export
from audit_pipelines.cli_import import import_events
from audit_pipelines.cli_keys import keys_app
from audit_pipelines.cli_lake import verify_lake
from audit_pipelines.cli_models import models_app, train
from audit_pipelines.cli_privacy import erase, gdpr_export, holds_app, verify_certificate
from audit_pipelines.cli_progress import progress_bar
from audit_pipelines.cli_schedules import schedules_app
from audit_pipelines.cli_users import users_app
from audit_pipelines.db.database import Database, reach_database
from audit_pipelines.errors import AuditError, ConfigurationError, TamperedError, ValidationError
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import load_settings

app = typer.Typer(
    help="A tamper-evident audit trail: ledger, lineage graph, anomalies, evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db_app = typer.Typer(help="The schema of the database.", no_args_is_help=True)
app.add_typer(db_app, name="db")
app.add_typer(keys_app, name="keys")
app.add_typer(holds_app, name="holds")
app.command()(erase)
app.command(name="verify-lake")(verify_lake)
app.command(name="verify-certificate")(verify_certificate)
app.command(name="gdpr-export")(gdpr_export)
ledger_app = typer.Typer(help="The ledger in the forms of others.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
app.add_typer(users_app, name="users")
app.command()(export)
app.command()(train)
app.add_typer(models_app, name="models")
app.add_typer(anomaly_app, name="anomaly")
app.add_typer(alerts_app, name="alerts")
app.add_typer(schedules_app, name="schedules")
archives_app = typer.Typer(help="Months that left the database.", no_args_is_help=True)
app.add_typer(archives_app, name="archives")
app.command()(evaluate)

out = Console()
err = Console(stderr=True)

Tenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")]
INTACT, TAMPERED, UNCHECKED = 0, 1, 2
FAILED = 1


def main() -> None:
    """Run the command line; expected errors are one message and exit code 2, others a traceback and exit code 2."""
    try:
        app()
    except AuditError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(UNCHECKED)
    except Exception:  # noqa: BLE001 - Python's own exit status for it is 1, which here means "tampered"
        traceback.print_exc()
        sys.exit(UNCHECKED)


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    dagster_port: Annotated[int, typer.Option(help="Port of Dagster's web page, on loopback.")] = 3000,
) -> None:
    """Run everything: Postgres (embedded unless DATABASE_URL is set), API, Dagster webserver and daemon."""
    from audit_pipelines import supervise

    settings = load_settings()

    def say(message: str) -> None:
        if message != "ready":
            out.print(message, markup=False)
            return
        out.print(f"API           http://{host}:{port}   (health: /api/audit/health)", markup=False)
        out.print(f"Dagster       http://127.0.0.1:{dagster_port}", markup=False)
        out.print(f"Home          {settings.home}   (logs in logs/)", markup=False)
        out.print(
            "A token       audit-pipelines token --tenant UUID --subject you --permission audit:read", markup=False
        )
        out.print("Stop with Ctrl-C or SIGTERM.", markup=False)

    sys.exit(supervise.up(settings, host=host, port=port, dagster_port=dagster_port, say=say))


@app.command()
def demo(
    seed: Annotated[
        int, typer.Option(help="Seed of the demo company; another one gives other people and attacks.")
    ] = 1,
) -> None:
    """Run the main job once in a fresh home: a company's week, attacks in it, every asset, the proof at the end."""
    from audit_pipelines.demo import run_demo

    run_demo(load_settings(), out, seed=seed)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port; about one a core.")] = 1,
) -> None:
    """Run the API alone."""
    from audit_pipelines.server.serve import run_server

    run_server(load_settings(), host=host, port=port, workers=workers)


@app.command()
def token(
    tenant: Tenant,
    subject: Annotated[str, typer.Option(help="Who the token is for.")],
    permission: Annotated[list[str], typer.Option(help="audit:read, audit:write, …; repeat the option for several.")],
    hours: Annotated[float, typer.Option(min=0.01, help="How long it is valid.")] = 12.0,
) -> None:
    """Mint an access token (JWT, HS256) and print it."""
    from audit_pipelines.server.auth import mint_token

    settings = load_settings()
    if "HS256" not in settings.jwt_algorithms:
        raise ConfigurationError(
            "JWT_ALGORITHMS is without HS256, so the server takes no token made here; expected one of your identity "
            "provider's, or HS256 in it"
        )
    minted = mint_token(
        open_keyring(settings).jwt_secret,
        subject=subject,
        tenant_id=tenant,
        permissions=permission,
        lifetime=timedelta(hours=hours),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )
    print(minted)  # noqa: T201 - a token must come out unwrapped


app.command(name="import")(import_events)


@app.command()
def verify(
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="One tenant; absent: all of them.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Read only rows behind the newest checkpoint sealed by this time (UTC); absent: all rows."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint that the last verification reached.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Recompute every hash, link, signature and anchor: exit 0 intact, 1 tampered, 2 could not check."""
    if resume and since:
        raise ValidationError("expected --since or --resume, got both")
    moment = since.replace(tzinfo=UTC) if since else None
    with _opened() as installation, progress_bar(err, "events", hidden=as_json) as progress:
        task = progress.add_task("verifying", total=None)
        results = installation.verify(
            tenant, on_rows=lambda count: progress.advance(task, count), since=moment, resume=resume
        )
        whole = {one.tenant_id: installation.verified(one.tenant_id) for one in results if resume and one.first_seq}
        deletions = {one.tenant_id: installation.deletions(one) for one in results}
    intact = all(result.intact for result in results)
    if as_json:
        tenants = [
            {
                "tenant_id": str(result.tenant_id),
                "intact": result.intact,
                "events": result.events,
                "archived": result.archived,
                "deleted": deletions[result.tenant_id],
                "first_seq": result.first_seq,
                "checkpoints": result.checkpoints,
                "head": result.head.hex(),
                "findings": [{"seq": item.seq, "kind": item.kind, "what": item.what} for item in result.findings],
                "warnings": result.warnings,
            }
            for result in results
        ]
        print(json.dumps({"intact": intact, "tenants": tenants}, indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        for result in results:
            state = "intact" if result.intact else "TAMPERED"
            out.print(
                f"{state}: tenant {result.tenant_id}: {result.events:,} events"
                f"{f' from seq {result.first_seq}' if result.first_seq else ''}, {result.checkpoints} checkpoints"
                f"{f'; {result.archived:,} of the events are in the archive' if result.archived else ''}",
                highlight=False,
            )
            before = whole.get(result.tenant_id)
            if before:
                out.print(f"  the rows before were last read on {before.whole_at:%Y-%m-%d %H:%M} UTC", highlight=False)
            for deletion in deletions[result.tenant_id]:
                out.print(f"  {deletion}", markup=False, highlight=False, soft_wrap=True)
            for warning in result.warnings:
                out.print(f"  warning: {warning}", markup=False, highlight=False, soft_wrap=True)
            for finding in result.findings:
                out.print(f"  {finding}", markup=False, highlight=False, soft_wrap=True)
        if not results:
            out.print("the ledger is empty: nothing to verify")
    sys.exit(INTACT if intact else TAMPERED)


@app.command()
def checkpoint() -> None:
    """Sign a checkpoint for every tenant that has new events, now, and send the newest ones to the anchors."""
    from audit_pipelines.ledger.verify import tenants

    with _opened() as installation:
        with installation.database.connection("audit_pipeline") as conn:
            known = tenants(conn)
        refused = []
        for tenant_id in known:
            try:
                sealed = installation.seal(tenant_id)
            except TamperedError as error:
                # One tenant's trouble must not keep the others' events unsigned.
                refused.append(str(error))
                continue
            state = f"signed over {sealed.size:,} events" if sealed else "nothing new"
            out.print(f"tenant {tenant_id}: {state}", highlight=False)
        for late in installation.anchor_due():
            if late.behind_since:
                what = (
                    f"anchor {late.anchor} is behind for tenant {late.tenant_id}: {late.last_error or 'not tried yet'}"
                )
                err.print(what, style="yellow", markup=False, highlight=False, soft_wrap=True)
    if refused:
        raise TamperedError("; ".join(refused))


@app.command()
def anchors() -> None:
    """Show how far each anchor has each tenant's checkpoints; exit 1 when one is behind."""
    with _opened() as installation:
        states = installation.anchor_states()
    table = Table("anchor", "tenant", "anchored", "lag", "at", "behind since", "failures", "last error", "next try")
    for state in states:
        moments = (state.anchored_at, state.behind_since, state.next_try_at)
        at, since, again = ("" if moment is None else moment.isoformat(timespec="seconds") for moment in moments)
        table.add_row(
            *map(escape, (state.anchor, str(state.tenant_id))),
            f"{state.anchored_size:,}" if state.anchored_at else "never",
            f"{state.lag:,}" if state.behind_since else "",
            at,
            since,
            f"{state.attempts:,}" if state.attempts else "",
            escape(state.last_error or ""),
            again,
        )
    out.print(table)
    if any(state.behind_since for state in states):
        sys.exit(1)


@app.command()
def evidence(
    tenant: Tenant,
    event: Annotated[list[str], typer.Option(help="An event's id; repeat the option for several.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")],
    disclose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINTER", help="A sealed value to show in clear: /ip_address, /details/NAME; repeatable."
        ),
    ] = None,
) -> None:
    """Write one file with which a stranger can check events offline."""
    from audit_pipelines.files import replacing
    from audit_pipelines.ledger.access import Access, operator
    from audit_pipelines.ledger.disclosure import Discloser
    from audit_pipelines.ledger.evidence import signed_by
    from audit_pipelines.ledger.proof import evidence_for

    with _opened() as installation:
        discloser = Discloser(installation.database, installation.vault, disclose) if disclose else None
        content = evidence_for(installation.database, tenant, event, *installation.verifier_keys, discloser=discloser)
        asked = {"event_ids": event, "disclosed": disclose or []}
        installation.access_log.record(
            tenant, Access(actor=operator(), action="evidence.make", filters=asked, result_count=len(event))
        )
    with replacing(output) as staging:
        staging.write_bytes(content)
    out.print(f"{output}: {len(event)} events; give the verifier key by another way than the file:", markup=False)
    print(signed_by(content))  # noqa: T201 - a key must come out unwrapped


@app.command(name="verify-evidence")
def verify_evidence(
    file: Annotated[Path, typer.Argument(help="An evidence file.")],
    key: Annotated[str | None, typer.Option(help="The verifier key, from elsewhere than the file.")] = None,
    tsa_certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificates to check the time-stamps in the file with.")
    ] = None,
) -> None:
    """Check an evidence file; needs no database. Exit 0 proven, 1 not proven, 2 unreadable."""
    from audit_pipelines.ledger import verify_evidence as verifier

    if tsa_certificate:
        sys.exit(_verify_with_time_stamps(file, key, tsa_certificate))
    arguments = [str(file), *(["--key", key] if key else [])]
    sys.exit(verifier.main(arguments))


@app.command()
def checklist(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a PDF as well.")] = None,
) -> None:
    """Execute the deployment checklist: exit 0 all passes, 1 something fails, 2 something could not be checked."""
    from dataclasses import asdict

    from audit_pipelines.checklist import run_checklist

    with _opened() as installation:
        done = run_checklist(installation)
    if pdf:
        from audit_pipelines.files import replacing
        from audit_pipelines.reports.checklist import render_checklist

        with replacing(pdf) as staging:
            staging.write_bytes(
                render_checklist(done.checked_at, [(i.about, i.name, i.result, i.detail) for i in done.items])
            )
    if as_json:
        lines = {
            "checked_at": done.checked_at.isoformat(),
            "result": done.worst,
            "items": list(map(asdict, done.items)),
        }
        print(json.dumps(lines, indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        table = Table("about", "what", "result", "evidence")
        for item in done.items:
            style = {"pass": "green", "not visible": "yellow"}.get(item.result, "red")
            table.add_row(escape(item.about), escape(item.name), f"[{style}]{item.result}[/]", escape(item.detail))
        out.print(table)
    sys.exit({"pass": INTACT, "fail": FAILED}.get(done.worst, UNCHECKED))


@ledger_app.command()
def tiles(
    tenant: Tenant,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the log; made if absent.")],
) -> None:
    """Write the tenant's ledger up to its newest checkpoint as a C2SP tlog-tiles tree, or bring one up to date."""
    from audit_pipelines.ledger.access import Access, operator
    from audit_pipelines.ledger.tiles import write_tiles

    def record(size: int) -> None:
        access = Access(actor=operator(), action="export.tiles", filters={}, result_count=size)
        installation.access_log.record(tenant, access)

    with _opened() as installation:
        written = write_tiles(
            installation.database, tenant, output, installation.verifier_keys, before_publishing=record
        )
    out.print(f"{output}: {written.size:,} leaves, {written.files:,} files written", highlight=False, soft_wrap=True)


@archives_app.command(name="list")
def list_archives(
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="One tenant; absent: all of them.")] = None,
) -> None:
    """Show what is archived, in which state, and which months wait for what."""
    from audit_pipelines.derive import archive_deletion, archiving

    with _opened() as installation:
        listed = archive_deletion.list_archives(installation, tenant_id=tenant)
        waiting = archiving.waiting_months(installation)
    table = Table("tenant", "month", "seq", "bytes", "state", "why")
    for one in listed:
        archive = one.archive
        table.add_row(
            str(archive.tenant_id),
            archive.month,
            f"{archive.first_seq} to {archive.last_seq}",
            f"{archive.file_bytes:,}",
            one.state,
            escape(one.why),
        )
    out.print(table)
    for month in waiting:
        why = month.told_to(tenant) if tenant else month.why
        out.print(f"{month.month} is still in the database: {why}", markup=False, highlight=False, soft_wrap=True)


@archives_app.command()
def approve(
    tenant: Tenant,
    month: Annotated[str, typer.Option(help="Which archive, as in 2019-01.")],
    person: Annotated[str, typer.Option(help="Who approves, by name; two different persons must.")],
) -> None:
    """Approve that an archive older than AUDIT_ARCHIVE_YEARS be deleted; the ledger says who did."""
    from audit_pipelines.derive import archive_deletion

    with _opened() as installation:
        given = archive_deletion.approve(installation, tenant, month, person)
    rest = archive_deletion.APPROVALS_NEEDED - given
    what = "one more person must approve" if rest > 0 else "the next run of retention_job deletes it"
    out.print(f"{month}: {given} approved; {what}", markup=False, highlight=False)


@db_app.command()
def migrate() -> None:
    """Apply pending migrations."""
    with _database() as database:
        applied = database.migrate()
    for item in applied:
        out.print(f"applied {item.name}", highlight=False)
    if not applied:
        out.print("nothing to do: every migration is applied")


@db_app.command()
def rollback(
    to: Annotated[int, typer.Option(min=-1, help="Undo every migration above this version; -1 undoes all.")],
    yes: Annotated[bool, typer.Option("--yes", help="Confirm that data is deleted.")] = False,
) -> None:
    """Undo migrations, newest first. Deletes data."""
    from audit_pipelines.db import migrate as migrations

    if not yes:
        raise AuditError("a rollback deletes data; expected --yes to confirm, nothing was done")
    with _database() as database, database.connect_admin() as conn:
        for version in migrations.rollback(conn, to):
            out.print(f"undid {version:03}", highlight=False)


@db_app.command()
def status() -> None:
    """Show every migration and when it was applied; exit 1 when some are pending."""
    from audit_pipelines.db import migrate as migrations

    with _database() as database, database.connect_admin() as conn:
        lines = migrations.status(conn)
    table = Table("version", "migration", "applied")
    for line in lines:
        table.add_row(f"{line.version:03}", line.name, line.applied_at.isoformat() if line.applied_at else "pending")
    out.print(table)
    if any(line.applied_at is None for line in lines):
        sys.exit(1)


def _verify_with_time_stamps(file: Path, key: str | None, tsa_certificate: Path) -> int:
    from audit_pipelines.ledger.evidence import check_evidence, check_time_stamps
    from audit_pipelines.ledger.time_stamp import load_certificates

    trusted = load_certificates(tsa_certificate)
    try:
        document = file.read_bytes()
    except OSError as error:
        raise AuditError(f"expected an evidence file at {file}, got: {error.strerror}") from error
    try:
        lines = [line for line in check_evidence(document, key) if "who made a time-stamp" not in line]
        stamped = [f"Proven: {line}" for line in check_time_stamps(document, trusted)]
    except TamperedError as error:
        status, lines = TAMPERED, [f"REFUSED: {error}"]
    else:
        status, lines = INTACT, stamped + lines
    # ASCII alone, as the stand-alone program: what stands in a file must not be able to steer a terminal.
    print("\n".join(lines).encode("ascii", "backslashreplace").decode())  # noqa: T201 - lines must not be wrapped
    return status


@contextmanager
def _database() -> Iterator[Database]:
    settings = load_settings()
    # Keys come before the cluster: a cluster without its keys is taken for one that lost them.
    open_keyring(settings)
    with reach_database(settings) as database:
        yield database


@contextmanager
def _opened() -> Iterator[Installation]:
    with open_installation(load_settings()) as installation:
        yield installation
