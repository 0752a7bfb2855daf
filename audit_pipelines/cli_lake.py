"""The command about the lake: `verify-lake`: parse, call, print, exit code.

Apart from `cli.py`, which it belongs to, because it is for analysts, who know the lake and not the ledger. What it does
lives in `lake.verify`.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from audit_pipelines.cli_progress import progress_bar
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

out = Console()
err = Console(stderr=True)


def verify_lake(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]…", help="Files of the lake, or copies; absent: all of it.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compare every row of raw_events with the ledger, column by column.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check the lake's files against their records: exit 0 intact, 1 one is not, 2 could not check."""
    from audit_pipelines.lake import verify

    with open_installation(load_settings()) as installation, progress_bar(err, "files", hidden=as_json) as progress:
        task = progress.add_task("verifying", total=None)
        states = verify.verify_lake(installation, files or (), deep=deep, on_file=lambda _: progress.advance(task))
    wrong = [state for state in states if state.state != "intact"]
    if as_json:
        print(json.dumps({"intact": not wrong, "files": list(map(asdict, states))}, indent=2))  # noqa: T201 - JSON must not be wrapped
    else:
        for state in states if files else wrong:
            told = state.state if state.state == "intact" else state.state.upper()
            out.print(
                f"{told}: {state.path}{f': {state.what}' if state.what else ''}",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
        counted = Counter(state.state for state in states)
        rows = sum(state.rows or 0 for state in states)
        told = ", ".join(f"{count:,} {state}" for state, count in sorted(counted.items())) or "no files"
        out.print(f"{told}{f'; {rows:,} rows compared with the ledger' if deep else ''}", highlight=False)
    sys.exit(1 if wrong else 0)
