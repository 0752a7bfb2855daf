"""The progress bar of long commands, on standard error, gone when they end.

Apart from the commands, because those that live in modules of their own show the same one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def progress_bar(console: Console, unit: str, *, hidden: bool = False) -> Iterator[Progress]:
    """Show a bar that counts in `unit`; `hidden` where the output is for programs."""
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden) as progress:
        yield progress
