"""The command `evaluate`: parse, call, print tables. What is measured is decided in the package `evaluation`."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from audit_pipelines.evaluation.judge import Report

out = Console()


def evaluate(
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET…", help="demo, cloud, office (each with :SEED), or a file or folder of events."
        ),
    ],
    into: Annotated[
        str | None, typer.Option(help="Replay each file of DATASET, one attack a file, into this one's benign events.")
    ] = None,
    identity: Annotated[
        Literal["existing", "own"],
        typer.Option("--as", help="A replayed attacker acts as an actor of the tenant, or under its own name."),
    ] = "existing",
    seed: Annotated[int, typer.Option(help="Chooses moments and victims of a replay.")] = 0,
    without: Annotated[list[str] | None, typer.Option(help="Leave a column out everywhere; again for more.")] = None,
    judge_from: Annotated[
        float, typer.Option("--from", help="Judge only what comes after this share of events.")
    ] = 0.0,
    product: Annotated[str | None, typer.Option("--format", help="The importer; absent: told by the content.")] = None,
    peers: Annotated[bool, typer.Option(help="Score with the peers' detectors as well.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Judge the detector on labelled events, each scored by its past alone, beside the detectors of others."""
    from audit_pipelines.evaluation.datasets import read_dataset
    from audit_pipelines.evaluation.judge import evaluate as judge
    from audit_pipelines.evaluation.peers import PEERS

    reports = []
    for name in datasets:
        labelled = read_dataset(name, into=into, identity=identity, seed=seed, product=product)
        report = judge(labelled, without=without or (), judged_from=judge_from, peers=tuple(PEERS) if peers else ())
        reports.append(report)
        if not as_json:
            _print(report)
    if as_json:
        print(json.dumps([report.as_json() for report in reports], indent=1))  # noqa: T201 - JSON must stay unwrapped


def _print(report: "Report") -> None:
    without = f", without {', '.join(report.without)}" if report.without else ""
    out.print(
        f"{report.dataset}{without}: {report.events:,} events of {report.actors:,} actors in {report.days:g} days, "
        f"{report.attacks:,} attacks",
        style="bold", highlight=False,
    )  # fmt: skip
    # A column per detector: eighty characters hold five of them, and not the nine figures of each.
    table = Table("", *(each.detector for each in report.judgements), box=box.SIMPLE)
    for name, figures in _figures(report):
        table.add_row(name, *figures)
    out.print(table)
    waited = report.median_seconds_to_detect
    found = sum(row.found for row in report.incidents)
    out.print(
        f"at {report.threshold:g}: {report.alerts:,} alerts ({report.alerts_a_day:.1f} a day, "
        f"{report.alerts / report.events:.2%} of events), {report.true_alerts:,} on attacks; "
        f"{found} of {len(report.incidents)} incidents"
        + (f", half of them within {waited / 60:.0f} minutes of their first event" if waited is not None else ""),
        highlight=False,
    )  # fmt: skip
    rows = Table("technique", "events", "best rank", "least budget", f"found at {report.threshold:g}", box=box.SIMPLE)
    rows.columns[0].no_wrap = True
    for row in report.techniques:
        rows.add_row(
            row.name, str(row.events), f"{row.best_rank:,}", f"{row.best_share:.2%}", "yes" if row.found else "no"
        )
    out.print(rows)


def _figures(report: "Report") -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each figure with what it is of each detector."""
    names = {
        "AP": "average_precision",
        "AP actor-days": "actor_days_average_precision",
        "P@20": "precision_at_20",
        "P@100": "precision_at_100",
        "recall 1 %": "recall_at_1_percent",
        "recall 5 %": "recall_at_5_percent",
    }
    for name, attribute in names.items():
        yield name, [f"{getattr(each, attribute):.3f}" for each in report.judgements]
    for place, budget in enumerate(("0.5 %", "1 %", "5 %")):
        yield f"incidents {budget}", [f"{each.incidents_found[place]:.2f}" for each in report.judgements]
    for place, budget in enumerate(("0.5 %", "1 %", "5 %")):
        yield f"techniques {budget}", [f"{each.techniques_found[place]:.2f}" for each in report.judgements]
