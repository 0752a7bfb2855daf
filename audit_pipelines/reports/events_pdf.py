"""An export of events as an A4 document: what was asked, what was found, every event, and how to check it.

Belongs here: the order and the blocks of an export. Which events, under which names and whether the ledger holds is
the caller's to say; the blocks themselves are `layout.py`'s, the integrity page is the reports' own.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl
from reportlab.pdfgen.canvas import Canvas

from audit_pipelines.errors import ValidationError
from audit_pipelines.files import replacing
from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.layout import (
    CELL_BOLD,
    CODE,
    CONTENT,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    Cell,
    Column,
    Sheet,
    Text,
)
from audit_pipelines.reports.model import Integrity, SignatureLine, Summary
from audit_pipelines.reports.pdf import ONE_DOCUMENT, PdfInfo

COLUMNS: Final[dict[str, pl.DataType]] = {
    "seq": pl.Int64(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "event_type": pl.String(),
    "row_hash": pl.String(),
    "actor": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "outcome": pl.String(),
    "ip": pl.String(),
    "score": pl.Float64(),
    "risk": pl.String(),
    "details": pl.String(),
}
"""What an event has; the first four must be there, the others may be left out or null."""

_NEEDED: Final = ("seq", "occurred_at", "event_type", "row_hash")


@dataclass(frozen=True, slots=True)
class ExportHeading:
    """What an export says beside its events."""

    tenant_id: UUID
    title: str
    requested_by: str
    generated_at: datetime
    integrity: Integrity
    matching: int
    """Events that the filters found; those in the frame are the ones shown."""
    tenant_name: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    """Label and value, as the caller understood the question."""
    since: datetime | None = None
    until: datetime | None = None
    summary: Summary | None = None
    """None leaves summary and charts out; one without sentences has them filled from the events shown."""
    signatures: tuple[SignatureLine, ...] = ()
    product_version: str = ""


def write_events_pdf(heading: ExportHeading, events: pl.DataFrame, target: Path) -> PdfInfo:
    """Set an export and put it at `target`: complete or not at all.

    `events` has the columns of `COLUMNS` and is printed in the order of its rows; without a row the document says so.
    `details` is text of any kind and is printed whole; shorten it before, with a mark that says so, where it must be.
    Equal input gives equal bytes with the same ReportLab release.

    Raises:
        ValidationError: when a column that must be there is missing.
    """
    frame = _checked(events)
    with ONE_DOCUMENT:
        fonts.register()
        buffer = BytesIO()
        canvas = Canvas(
            buffer, pagesize=(PAGE_WIDTH, PAGE_HEIGHT), invariant=1, lang="en-GB", initialFontName=fonts.BODY
        )
        sheet = Sheet(canvas, lambda _: None)
        sheet.section("Events")
        sheet.table(_EVENT_COLUMNS, (_row(row) for row in frame.iter_rows(named=True)))
        pages: int = canvas.getPageNumber()
        canvas.showPage()
        canvas.save()
    content = buffer.getvalue()
    with replacing(target) as staging:
        staging.write_bytes(content)
    return PdfInfo(pages, hashlib.sha256(content).hexdigest(), len(content))


_EVENT_COLUMNS: Final = (
    Column("Seq", 40, "right"),
    Column("Occurred (UTC)", 84),
    Column("Event", CONTENT - 40 - 84 - 140),
    Column("Actor", 140),
)


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        words.number(row["seq"]),
        words.second(row["occurred_at"].astimezone(UTC)).removesuffix(" UTC"),
        (Text(row["event_type"], CELL_BOLD, max_lines=3), Text(row["row_hash"], CODE, wrap=False)),
        row["actor"] or "no actor",
    )


def _checked(events: pl.DataFrame) -> pl.DataFrame:
    if missing := [name for name in _NEEDED if name not in events.columns]:
        raise ValidationError(f"expected events with {', '.join(_NEEDED)}, got none of {', '.join(missing)}")
    return events.select(
        (pl.col(name) if name in events.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in COLUMNS.items()
    )
