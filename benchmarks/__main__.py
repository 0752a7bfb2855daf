"""`python -m benchmarks`: the ledger against Postgres, against the same server doing less, and beside its peers.

Only ratios of one run mean anything: the machine drifts. `--large` takes the sizes a big installation has (1,000,000
and 5,000,000 rows, 10 GB of disk; a tenant of 3,000,000 events scored); without it most figures come from a tenth.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.settings import Settings
from benchmarks import classifiers, peers, quality, search_quality
from benchmarks.analysts import analyst_figures
from benchmarks.detection import detection_figures, tenant_figures
from benchmarks.embeddings import embedding_figures
from benchmarks.exports import export_figures
from benchmarks.history import checkpoint_figures, growth_figures, index_figures, verify_figures
from benchmarks.importers import importer_figures
from benchmarks.ingest import batch_figures, single_figures
from benchmarks.machine import machine
from benchmarks.pdf import pdf_figures
from benchmarks.rates import Figure
from benchmarks.search import search_figures


def main() -> None:
    """Print each figure as it is known: the median of three runs, their range, and the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--large", action="store_true", help="1,000,000 and 5,000,000 rows instead of 100,000 and 500,000"
    )
    parser.add_argument("--only", choices=_PARTS, action="append", help="this part alone; may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there, too")
    asked = parser.parse_args()
    parts = [part for part in _PARTS if part in (asked.only or _PARTS)]
    if "detection" in parts and find_spec("pandas") is None:
        told = "detection: expected pandas, which is no dependency of the product; `pip install pandas` brings it"
        if asked.only:
            parser.error(told)
        print(told)
        parts.remove("detection")
    if "peers" in parts:
        try:
            peers.versions()
        except peers.PeersMissingError as error:
            parser.error(str(error))
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, audit_home=Path(home))  # type: ignore[call-arg] - a pydantic option
        try:
            with open_installation(settings) as installation:
                report: dict[str, Any] = {"machine": machine(installation.database)}
                print(*(f"{name:11} {value}" for name, value in report["machine"].items()), sep="\n", end="\n\n")
                for part in parts:
                    report[part] = _PARTS[part](installation, 10 if asked.large else 1)
        finally:
            # Started by root, the server keeps its data outside the home: gigabytes that would stay for ever.
            EmbeddedPostgres(settings.home).destroy()
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")


def _figures(figures: Callable[[Installation, int], Iterator[Figure]]) -> Callable[[Installation, int], Sequence[Any]]:
    def measure(installation: Installation, scale: int) -> Sequence[Any]:
        measured = []
        for figure in figures(installation, scale):
            print(figure, flush=True)
            measured.append(asdict(figure))
        return measured

    return measure


def _history(installation: Installation, scale: int) -> Iterator[Figure]:
    yield from verify_figures(installation, 60_000 * scale)
    yield from checkpoint_figures(installation, 10_000, 100_000 * scale)
    yield from growth_figures(installation, 50_000, 500_000 * scale)
    yield from index_figures(installation)


def _detection(_: Installation, scale: int) -> Iterator[Figure]:
    yield from detection_figures(100_000 * scale, 10_000)
    if scale > 1:
        yield from tenant_figures(3_000_000)


def _peers(installation: Installation, _: int) -> Sequence[Any]:
    measured = peers.measure(installation, lambda step: print(f"  peers: {step}", flush=True))
    print("", *peers.tables(measured), sep="\n", flush=True)
    return peers.as_json(measured)


_PARTS: Final[Mapping[str, Callable[[Installation, int], Sequence[Any]]]] = {
    "batches": _figures(lambda installation, _: batch_figures(installation)),
    "singles": _figures(lambda installation, _: single_figures(installation)),
    "history": _figures(_history),
    "importers": _figures(lambda *_: importer_figures()),
    "embeddings": _figures(lambda installation, _: embedding_figures(installation)),
    "detection": _figures(_detection),
    "pdf": _figures(lambda *_: pdf_figures()),
    "analysts": _figures(lambda installation, scale: analyst_figures(installation, 100_000 * scale)),
    "search": _figures(lambda installation, scale: search_figures(installation, 100_000 * scale)),
    "exports": _figures(lambda installation, scale: export_figures(installation, 100_000 * scale)),
    "peers": _peers,
    "classifiers": classifiers.measure,
    "search-quality": lambda installation, _scale: search_quality.measure(
        lambda told: print(told, flush=True), search_quality.make_world(installation)
    ),
    "quality": lambda _installation, _scale: quality.measure(lambda told: print(told, flush=True)),
}


if __name__ == "__main__":
    main()
