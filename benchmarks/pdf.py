"""Exports as PDF beside a bare ReportLab `LongTable` of the same rows: time, and memory at 10,000 events.

The bare table has the same twelve values of each event as plain strings, no heading, no charts, no page numbers and
ReportLab's built-in font; columns are as wide as it finds. A narrower one is measured too, with the six values that a
plain list would have, since fewer columns make it faster.
"""

import json
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl
from reportlab.platypus import LongTable, SimpleDocTemplate

from audit_pipelines.reports.events_pdf import COLUMNS, ExportHeading, write_events_pdf
from audit_pipelines.reports.model import Integrity, Summary
from benchmarks.rates import Figure, timed

REPEATS: Final = 3
LIMITS: Final = {1_000: 1.5, 10_000: 0.6}
BEGAN: Final = datetime(2026, 6, 1, tzinfo=UTC)
TENANT: Final = UUID("6f1d1f0e-3a52-4c9b-9f57-0d6a2f7b1c11")
NARROW: Final = ("seq", "occurred_at", "event_type", "actor", "entity_id", "outcome")
PEOPLE: Final = ("Alice Liddell", "bob@example.org", "5f570fc4-0574-4ae5-8b2e-2a3780f56bfa", None)
ABROAD: Final = ("דנה לוי", "محمد الأحمد", "田中太郎", "김철수")


def pdf_figures() -> Iterator[Figure]:
    """Yield the ratios of time for 1,000 and 10,000 events, and the most memory that an export of 10,000 takes."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "export.pdf"
        _export(_events(10), target)
        for count, limit in LIMITS.items():
            events = _events(count)
            wide, narrow, ours, abroad = [], [], [], []
            for _ in range(REPEATS):
                wide.append(timed(lambda events=events: _bare(events.rows())))
                narrow.append(timed(lambda events=events: _bare(events.select(NARROW).rows())))
                ours.append(timed(lambda events=events: _export(events, target)))
                others = _events(count, ABROAD)
                abroad.append(timed(lambda others=others: _export(others, target)))
            taken = f"({sorted(ours)[1]:.2f} s for {target.stat().st_size / 1e6:.1f} MB)"
            named = f"PDF of {count:,} events ÷ a bare LongTable"
            yield _ratio(f"{named} of the same rows", ours, wide, limit, taken)
            yield _ratio(f"{named} of six columns of them", ours, narrow, limit)
            yield _ratio(f"{named} of the same rows, actors in four scripts", abroad, wide, limit)
        tracemalloc.start()
        _export(events, target)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        yield Figure("memory of an export of 10,000 events", [most / 1e6], 100, at_most=True, unit="MB")


def _ratio(what: str, ours: Sequence[float], bare: Sequence[float], limit: float, note: str = "") -> Figure:
    return Figure(what, [one / other for one, other in zip(ours, bare, strict=True)], limit, at_most=True, note=note)


def _bare(rows: Sequence[tuple[Any, ...]]) -> None:
    strings = [["" if value is None else str(value) for value in row] for row in rows]
    SimpleDocTemplate(BytesIO()).build([LongTable(strings)])


def _export(events: pl.DataFrame, target: Path) -> None:
    heading = ExportHeading(
        tenant_id=TENANT,
        title="Events",
        requested_by="Alice Liddell",
        generated_at=BEGAN + timedelta(days=8),
        integrity=Integrity("intact", events.height, 0, events.height - 1, "0" * 64, BEGAN + timedelta(days=8)),
        matching=events.height,
        since=BEGAN,
        until=BEGAN + timedelta(days=7),
        summary=Summary(()),
    )
    write_events_pdf(heading, events, target)


def _events(count: int, people: Sequence[str | None] = PEOPLE) -> pl.DataFrame:
    kinds = ("user.login", "iam:AttachRolePolicy", "document.exported", "payroll.viewed", "session.ended")
    rows = [
        (
            number,
            BEGAN + timedelta(seconds=number * 7 * 86_400 // (count + 1)),
            kinds[number % 5],
            sha256(number.to_bytes(8)).hexdigest(),
            people[number % len(people)],
            "document",
            f"d-{number % 977}",
            "denied" if number % 7 == 0 else "success",
            f"198.51.100.{number % 251}",
            number % 100 / 100,
            ("low", "medium", "high")[number % 3],
            json.dumps({"method": "POST", "path": f"/api/v1/documents/{number}", "bytes": number * 17}),
        )
        for number in range(count)
    ]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")
