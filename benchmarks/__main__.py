"""`python -m benchmarks`: how fast the ledger is against what Postgres and the same server can do, in one run.

Only ratios of one run mean anything: the machine drifts. `--large` takes the sizes a big installation has (1,000,000
and 5,000,000 rows; about ten minutes and 10 GB); without it the same figures come from a tenth.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from audit_pipelines.installation import open_installation
from audit_pipelines.settings import Settings
from benchmarks.history import checkpoint_figures, growth_figures, verify_figures
from benchmarks.ingest import batch_figures, single_figures


def main() -> None:
    """Print each figure as it is known: the median of three runs, their range, and the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--large", action="store_true", help="1,000,000 and 5,000,000 rows instead of 100,000 and 500,000"
    )
    scale = 10 if parser.parse_args().large else 1
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, audit_home=Path(home))  # type: ignore[call-arg] - a pydantic option
        with open_installation(settings) as installation:
            with installation.database.connect_admin() as conn:
                [postgres] = conn.execute("show server_version").fetchone() or [""]
            print(
                f"Python {platform.python_version()}, PostgreSQL {postgres}, {platform.machine()}, "
                f"{os.cpu_count()} cores; medians of three (lowest to highest)"
            )
            for figures in (
                batch_figures(installation),
                single_figures(installation),
                verify_figures(installation, 60_000 * scale),
                checkpoint_figures(installation, 10_000, 100_000 * scale),
                growth_figures(installation, 50_000, 500_000 * scale),
            ):
                for figure in figures:
                    print(figure, flush=True)


if __name__ == "__main__":
    main()
