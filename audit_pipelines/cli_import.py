"""The command `import`: parse, call, print. What it does lives in `importers/`.

Apart from `cli.py`, which it belongs to, because a dry run has much of its own to show.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from audit_pipelines.cli_progress import progress_bar
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

if TYPE_CHECKING:
    from audit_pipelines.importers.preview import Preview
    from audit_pipelines.importers.run import ImportSummary, Parse
    from audit_pipelines.importers.source import Fault

Format = Literal["cloudtrail", "github", "json", "kubernetes", "ndjson", "ocsf", "office365", "okta"]
SHOWN = 15

out = Console()
err = Console(stderr=True)


def import_events(
    product: Annotated[
        Format,
        typer.Argument(
            metavar="FORMAT", help="cloudtrail, github, kubernetes, ndjson, ocsf, office365, okta; json for any other."
        ),
    ],
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; .gz is read as it is.")],
    *,
    tenant: Annotated[UUID | None, typer.Option("--tenant", help="The tenant's UUID; a dry run needs none.")] = None,
    field_map: Annotated[
        Path | None,
        typer.Option(
            "--map", metavar="FILE", help="With json: which field is what. Absent: the common names are tried."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; show what was understood. Needs no database.")
    ] = False,
    write_map: Annotated[
        Path | None,
        typer.Option("--write-map", metavar="FILE", help="With json and --dry-run: write the proposed map there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Store the events of files; a second run adds nothing, an interrupted one goes on."""
    parse = _parser(product, field_map)
    if write_map and not (dry_run and product == "json" and field_map is None):
        raise ValidationError("--write-map: expected import json --dry-run without --map, which is what proposes a map")
    if write_map and write_map.exists():
        raise ValidationError(f"--write-map: expected a file that does not exist, got {write_map}")
    if dry_run:
        refused = _show(
            paths, parse, proposes=product == "json" and field_map is None, write_map=write_map, as_json=as_json
        )
    elif tenant is None:
        raise ValidationError("--tenant: expected a tenant's UUID, got none; only --dry-run does without")
    else:
        refused = _store(paths, parse, tenant, as_json=as_json)
    if refused:
        sys.exit(1)


def _parser(product: str, field_map: Path | None) -> "Parse":
    from audit_pipelines.importers import FORMATS
    from audit_pipelines.importers.map_file import load_map

    if field_map is None:
        return FORMATS[product]
    if product != "json":
        raise ValidationError(f"--map: expected the format json, got {product}, whose records are known")
    return load_map(field_map).parse


def _store(paths: list[Path], parse: "Parse", tenant: UUID, *, as_json: bool) -> int:
    """Import, print the counts and return the number of faults."""
    from audit_pipelines.importers.run import run_import
    from audit_pipelines.importers.sink import ledger_sink

    with open_installation(load_settings()) as installation, progress_bar(err, "bytes", hidden=as_json) as bar:
        summary = run_import(
            paths, parse, ledger_sink(installation.ledger, tenant), progress=_ImportProgress(bar), on_fault=_complain
        )
    if as_json:
        print(json.dumps(_counts(summary), indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        out.print(
            f"{summary.records:,} records in {summary.files:,} files: {summary.stored:,} stored, "
            f"{summary.duplicates:,} already there, {summary.refused:,} refused",
            highlight=False,
        )
    return summary.fault_count


def _show(paths: list[Path], parse: "Parse", *, proposes: bool, write_map: Path | None, as_json: bool) -> int:
    """Print what an import would do and return the number of faults."""
    from audit_pipelines.importers.preview import preview

    with progress_bar(err, "bytes", hidden=as_json) as bar:
        found = preview(paths, parse, propose=proposes, progress=_ImportProgress(bar))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        _print_preview(found)
    if found.proposed_map and write_map:
        write_map.write_text(found.proposed_map)
        err.print(f"{write_map}: the proposed map; correct it and give it to --map", markup=False, highlight=False)
    elif found.proposed_map and not as_json:
        out.print("A map to start from (--write-map FILE writes it):", style="bold")
        print(found.proposed_map)  # noqa: T201 - a file must come out unwrapped
    return found.summary.fault_count


def _print_preview(found: "Preview") -> None:
    told = found.summary
    first, last = told.first_occurred_at, told.last_occurred_at
    period = f"{first.isoformat()} to {last.isoformat()}" if first and last else "none of them has a time"
    counts = f"{told.stored:,} events, {told.duplicates:,} repeated, {told.refused:,} refused"
    lines = [
        f"{told.records:,} records in {told.files:,} files: {counts}; nothing was stored",
        f"time: {period}; {found.out_of_order:,} earlier than the one before",
        "present: " + ", ".join(f"{name} {share:.1%}" for name, share in found.shares.items()),
        f"machines: {found.machine_events:,} events",
    ]
    if found.conflicts:
        lines.append(f"{found.conflicts:,} ids came again with other content; the ledger would refuse these")
    if told.stored and found.shares["time"] < 1:
        lines.append("events without a time would get the time of their import")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    _print_counts(f"event types ({found.event_type_count:,})", found.event_types)
    _print_counts(f"actors ({found.actor_count:,})", found.actors)
    _print_counts("outcomes", found.outcomes)
    _print_counts("sealed in the details", found.sealed)
    _print_counts("faults", found.faults)
    if found.examples:
        table = Table("first events")
        for position in range(len(found.examples)):
            table.add_column(f"{position + 1}", overflow="fold")
        for name in found.examples[0]:
            table.add_row(name, *(escape(_cell(example[name])) for example in found.examples))
        out.print(table)


def _print_counts(title: str, counts: list[tuple[str, int]]) -> None:
    if not counts:
        return
    table = Table(title, "records")
    table.columns[1].justify = "right"
    for name, count in counts[:SHOWN]:
        table.add_row(escape(name), f"{count:,}")
    if len(counts) > SHOWN:
        table.add_row("… (--json shows more)", f"{sum(count for _, count in counts[SHOWN:]):,}")
    out.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(value[:8]) + ("\n…" if len(value) > 8 else "")
    return "" if value is None else str(value)


def _counts(summary: "ImportSummary") -> dict[str, Any]:
    return {
        "files": summary.files,
        "records": summary.records,
        "stored": summary.stored,
        "duplicates": summary.duplicates,
        "refused": summary.refused,
        "faults": [str(fault) for fault in summary.faults],
        "fault_count": summary.fault_count,
    }


def _complain(fault: "Fault") -> None:
    err.print(str(fault), style="yellow", markup=False, highlight=False)


class _ImportProgress:
    """Shows how far an import is, in bytes on disk: how many records a file holds is known at its end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("importing", total=None)

    def update(self, path: Path, read_bytes: int, total_bytes: int, records: int) -> None:
        description = f"{path.name}: {records:,} records"
        self._progress.update(self._task, description=description, completed=read_bytes, total=total_bytes)
