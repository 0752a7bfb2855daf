"""The deployment checklist as pages: what was looked at, the result, by what it was seen. Pure layout."""

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from reportlab.lib.colors import HexColor

from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.layout import (
    ACCENT,
    BAD,
    CELL_BOLD,
    CELL_MUTED,
    CONTENT,
    GOOD,
    MARGIN,
    NEUTRAL,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SMALL,
    TEXT,
    Cell,
    Chip,
    Column,
    Sheet,
    Style,
    Text,
)

_TITLE: Final = Style(font=fonts.BOLD, size=20, leading=26)
_COLOURS: Final = {"pass": GOOD, "fail": BAD, "not checked": BAD}
_COLUMNS: Final = (Column("Result", 66), Column("What", 150), Column("Evidence", CONTENT - 66 - 150))

Line = tuple[str, str, str, str]
"""About what, name, result, detail."""


def render_checklist(checked_at: datetime, lines: Sequence[Line]) -> bytes:
    """Return the document's bytes; lines about the same thing stand together, in the order they came."""
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (PAGE_WIDTH, PAGE_HEIGHT))
        canvas.describe(
            title=f"Deployment checklist, {words.second(checked_at)}",
            subject="Deployment checklist, executed against the running system",
            author="audit_pipelines",
            keywords=["checklist", "audit trail"],
            made_at=checked_at,
        )
        canvas.showOutline()
        sheet = Sheet(canvas, _decorate)
        sheet.skip(_TITLE.size)
        sheet.line(MARGIN, sheet.y, "Deployment checklist", _TITLE)
        sheet.skip(14)
        results = [result for _, _, result, _ in lines]
        counts = {result: results.count(result) for result in ("pass", "fail", "not checked", "not visible")}
        told = ", ".join(f"{words.number(count)} {result}" for result, count in counts.items() if count)
        sheet.paragraph(
            f"Executed against the running system on {words.second(checked_at.astimezone(UTC))}: {told}.", TEXT
        )
        sheet.skip(4)
        sheet.paragraph("“Not visible” is what no program can see and people must know.", SMALL)
        for about, group in groupby(lines, key=itemgetter(0)):
            sheet.section("Deployment" if about == "deployment" else f"Controls of tenant {about}")
            sheet.table(_COLUMNS, (_row(line) for line in group))
        canvas.showPage()
        canvas.save()
        return buffer.getvalue()


def _row(line: Line) -> tuple[Cell, ...]:
    _, name, result, detail = line
    return (
        Chip(result, _COLOURS.get(result, NEUTRAL)),
        (Text(name, CELL_BOLD, max_lines=4),),
        (Text(detail, CELL_MUTED, max_lines=20),),
    )


def _decorate(canvas: Any) -> None:
    canvas.setFillColor(HexColor(ACCENT))
    canvas.rect(0, PAGE_HEIGHT - 5, PAGE_WIDTH, 5, stroke=0, fill=1)
    canvas.setFont(SMALL.font, SMALL.size)
    canvas.setFillColor(HexColor(SMALL.colour))
    canvas.drawRightString(MARGIN + CONTENT, 24, f"Page {canvas.getPageNumber()}")
