"""The commands `train` and `models …`: parse, call, print. What they do lives in `derive/promotion.py`.

Apart from `cli.py`, which it belongs to, because models are decided upon, and decisions want a reason.
"""

from typing import Annotated, Literal
from uuid import UUID, uuid4

import typer
from rich.console import Console
from rich.table import Table

from audit_pipelines.cli_progress import progress_bar
from audit_pipelines.db.queries import query
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

models_app = typer.Typer(help="Trained models: which one is in use, and why.", no_args_is_help=True)

out = Console()
err = Console(stderr=True)

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help="The id, such as risk_classifier:0123456789abcdef.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision for ever.")]
Tenant = Annotated[UUID | None, typer.Option("--tenant", help="Whose, where several tenants have the same model.")]


def train(
    model: Annotated[
        Literal["anomaly_detector", "category_classifier", "risk_classifier"],
        typer.Option(help="Which model."),
    ],
) -> None:
    """Train a model now, as a recorded Dagster run over all tenants, and say which of the new ones are used."""
    from audit_pipelines.derive.promotion import decisions_of_run
    from audit_pipelines.runs import run_here

    with open_installation(load_settings()) as installation:
        with progress_bar(err, "steps") as progress:
            task = progress.add_task(f"training {model}", total=None)
            run_id = run_here(
                installation,
                f"train_{model}_job",
                on_event=lambda event: progress.update(task, completed=event.done, total=event.total),
            )
        decisions = decisions_of_run(installation, run_id)
    out.print(f"{model}: trained; Dagster run {run_id}", highlight=False)
    for tenant_id, decision in decisions:
        state = "in use" if decision.used else "put aside"
        out.print(f"  {tenant_id} {decision.model_id}: {state}; {decision.reason}", highlight=False)
    if not decisions:
        out.print("  the same as before: nothing new to decide", highlight=False)


@models_app.command(name="list")
def list_models(tenant: Tenant = None) -> None:
    """Show every model with the newest decision about it."""
    with (
        open_installation(load_settings()) as installation,
        installation.database.connection("audit_pipeline") as conn,
    ):
        rows = conn.execute(query("derive/select_all_models"), {"tenant_id": tenant}).fetchall()
    table = Table("tenant", "model", "rows", "tree size", "trained", "decision", "why")
    for tenant_id, model_id, trained_rows, size, trained_at, used, reason, by in rows:
        decision = "by the plan of the walk" if used is None else f"{'used' if used else 'put aside'} by {by}"
        told = (str(tenant_id), model_id, f"{trained_rows:,}", str(size or "none yet"), f"{trained_at:%Y-%m-%d %H:%M}")
        table.add_row(*told, decision, reason or "")
    out.print(table)


@models_app.command()
def use(model: ModelId, reason: Reason, tenant: Tenant = None) -> None:
    """Put a model into use by hand, whatever the figures said."""
    _override(model, used=True, reason=reason, tenant=tenant)


@models_app.command(name="put-aside")
def put_aside(model: ModelId, reason: Reason, tenant: Tenant = None) -> None:
    """Take a model out of use by hand; the one used before it takes its place."""
    _override(model, used=False, reason=reason, tenant=tenant)


def _override(model: str, *, used: bool, reason: str, tenant: UUID | None) -> None:
    from audit_pipelines.derive.promotion import override

    with open_installation(load_settings()) as installation:
        owner = override(installation, model, used=used, reason=reason, run_id=f"by hand {uuid4()}", tenant_id=tenant)
    state = "in use" if used else "put aside"
    out.print(f"{model} of {owner}: {state}; events are scored and tagged anew by the next run", highlight=False)
