"""An export of events as an A4 document: what was asked, what was found, every event, and how to check it.

Belongs here: the order and the blocks of an export. Which events, under which names and whether the ledger holds is
the caller's to say; the blocks themselves are `layout.py`'s, the integrity page is the reports' own.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.reports import charts, fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.compose import UNSUCCESSFUL, make_timeline
from audit_pipelines.reports.layout import (
    ACCENT,
    BOTTOM,
    CELL,
    CELL_BOLD,
    CELL_MUTED,
    CONTENT,
    HAIRLINE,
    HEAD,
    INK,
    MARGIN,
    MUTED,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SEVERITY_COLOURS,
    SMALL,
    Align,
    Chip,
    PageFrame,
    Sheet,
    Style,
    define_page_total,
    shorten,
    wrap,
)
from audit_pipelines.reports.model import Integrity, Share, SignatureLine, Summary, Timeline
from audit_pipelines.reports.pdf import (
    UNPRINTABLE,
    PdfInfo,
    info_of,
    integrity_section,
    signatures_section,
    store_pdf,
)
from audit_pipelines.reports.pdf_signing import PdfCertificate
from audit_pipelines.reports.summary import verification_steps

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


def write_events_pdf(
    heading: ExportHeading, events: pl.DataFrame, target: Path, certificate: PdfCertificate | None = None
) -> PdfInfo:
    """Set an export, sign it where there is a certificate, and put it at `target`: complete or not at all.

    `events` has the columns of `COLUMNS` and is printed in the order of its rows; without a row the document says so.
    `details` is text of any kind and is printed whole; shorten it before, with a mark that says so, where it must be.
    Equal input gives equal bytes with the same ReportLab release, before they are signed.

    Raises:
        ConfigurationError: when the certificate is not valid now.
        ValidationError: when a column that must be there is missing.
    """
    frame = _checked(events)
    content, pages = _render(heading, frame)
    return info_of(store_pdf(content, target, certificate), pages)


def _render(heading: ExportHeading, events: pl.DataFrame) -> tuple[bytes, int]:
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (PAGE_WIDTH, PAGE_HEIGHT))
        canvas.describe(
            title=f"{heading.title}: {heading.tenant_name or heading.tenant_id}, {_period(heading)}",
            subject=f"{_shown(heading, events.height)} of tenant {heading.tenant_id}",
            author=f"audit_pipelines {heading.product_version}".strip(),
            keywords=["export", "audit trail", str(heading.tenant_id), heading.integrity.chain_head or ""],
            made_at=heading.generated_at,
        )
        canvas.showOutline()
        origin = f"{_period(heading)}  ·  generated {words.second(heading.generated_at)}"
        frame = PageFrame(heading.title, heading.tenant_name or str(heading.tenant_id), origin)
        sheet = EventsSheet(canvas, frame)
        _title(sheet, heading, events.height)
        if heading.summary is not None:
            _summary(sheet, heading.summary, events)
            _charts(sheet, heading, events)
        _events(sheet, heading, events)
        signatures_section(sheet, heading.signatures)
        integrity = heading.integrity
        if not integrity.steps:
            integrity = replace(integrity, steps=verification_steps(heading.tenant_id, integrity))
        integrity_section(sheet, integrity, "these events")
        pages: int = canvas.getPageNumber()
        canvas.showPage()
        define_page_total(canvas, pages)
        canvas.save()
        return buffer.getvalue(), pages


def _title(sheet: Sheet, heading: ExportHeading, shown: int) -> None:
    sheet.y = PAGE_HEIGHT - 58
    sheet.line(MARGIN, sheet.y, "AUDIT TRAIL EXPORT", Style(fonts.BOLD, 7.4, 10, ACCENT))
    for line in wrap(heading.title, _BIG, CONTENT, max_lines=2):
        sheet.y -= _BIG.leading
        sheet.line(MARGIN, sheet.y, line, _BIG)
    sheet.y -= 21
    sheet.line(MARGIN, sheet.y, _period(heading), Style(size=11.5, leading=17, colour=MUTED))
    sheet.skip(20)
    sheet.rule(sheet.y)
    sheet.skip(8)
    facts = Style(size=8.6, leading=11.6)
    sheet.facts(
        (
            ("Events", _shown(heading, shown)),
            ("Tenant", heading.tenant_name or "–"),
            ("Tenant id", str(heading.tenant_id)),
            ("Requested by", heading.requested_by),
            ("Generated", words.second(heading.generated_at)),
            ("Produced by", f"audit_pipelines {heading.product_version}".strip()),
        ),
        label_width=92,
        style=facts,
    )
    sheet.section("Filters used", keep=30)
    sheet.facts(heading.filters or (("None", "every event of the tenant"),), label_width=92, style=facts)


def _summary(sheet: Sheet, summary: Summary, events: pl.DataFrame) -> None:
    sheet.section("Summary")
    for sentence in summary.sentences or _sentences(events):
        sheet.paragraph(sentence, bullet="–", indent=12)
        sheet.skip(2.5)
    author = (
        "Composed from the counts in this document; no language model was involved."
        if summary.generated_by == "composed"
        else "Written by a language model from the events in this document; the events are authoritative."
    )
    sheet.paragraph(f"{author} {UNPRINTABLE}", SMALL, indent=12)


def _sentences(events: pl.DataFrame) -> list[str]:
    if events.is_empty():
        return ["No event matches the filters."]
    first, last = _span(events)
    kinds, actors = events["event_type"].n_unique(), events["actor"].drop_nulls().n_unique()
    failed = events.filter(pl.col("outcome").is_in(UNSUCCESSFUL)).height
    by = f" by {words.counted(actors, 'actor')}" if actors else ""
    count = words.counted(events.height, "event")
    if events.height == 1:
        told = f"It is of type {events['event_type'][0]} and happened on {words.second(first)}."
        return [f"This document shows 1 event{by}.", told]
    span = f"between {words.second(first)} and {words.second(last)}"
    return [
        f"This document shows {count} of {words.counted(kinds, 'type')}{by}, {span}.",
        f"{words.counted(failed, 'event')} ({words.percent(failed, events.height)}) failed or "
        f"{'was' if failed == 1 else 'were'} denied."
        if failed
        else "No event is recorded as failed or denied.",
    ]


def _charts(sheet: Sheet, heading: ExportHeading, events: pl.DataFrame) -> None:
    if events.is_empty():
        return
    timeline = _timeline(heading, events)
    sheet.skip(8)
    sheet.subsection("Activity over time", f"events per {timeline.unit}, UTC", keep=160)
    sheet.drawing(charts.activity_chart(timeline))
    sheet.skip(10)
    for title, column, absent in _RANKINGS:
        shares, kinds = _shares(events, column, absent)
        rest = words.counted(kinds - len(shares), "other")
        chart = charts.bars_chart(shares, events.height, rest=rest)
        sheet.subsection(title, f"{len(shares)} of {words.number(kinds)}" if kinds > len(shares) else "", chart.height)
        sheet.drawing(chart)
        sheet.skip(8)


_RANKINGS: Final = (
    ("Event types", "event_type", ""),
    ("Outcomes", "outcome", "not stated"),
    ("Actors", "actor", "no actor"),
)
_MOST_BARS: Final = 10
_MOST_BINS: Final = 300


def _shares(events: pl.DataFrame, column: str, absent: str) -> tuple[list[Share], int]:
    counts = events.group_by(pl.col(column).fill_null(absent)).len().sort(["len", column], descending=[True, False])
    return [Share(label, count) for label, count in counts.head(_MOST_BARS).iter_rows()], counts.height


def _timeline(heading: ExportHeading, events: pl.DataFrame) -> Timeline:
    """Count events over the period that was asked for, or over their own where that would leave bars too thin."""
    first, last = _span(events)
    own = (first, last + timedelta(microseconds=1))
    asked = (heading.since or own[0], heading.until or own[1])
    if asked[0] >= asked[1]:
        asked = own
    timeline = make_timeline(events, (), *asked)
    return timeline if len(timeline.bins) <= _MOST_BINS else make_timeline(events, (), *own)


def _span(events: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return when the first and the last of some events happened."""
    first, last = events.select(first=pl.col("occurred_at").min(), last=pl.col("occurred_at").max()).row(0)
    return first, last


def _events(sheet: "EventsSheet", heading: ExportHeading, events: pl.DataFrame) -> None:
    sheet.section("Events", keep=40 + _HEAD + _KEPT_TOGETHER)
    if events.is_empty():
        sheet.paragraph("No event matches the filters, so there is none to show.")
        return
    sheet.paragraph(
        f"{_shown(heading, events.height)}. Values too long for their column are shortened there and printed whole "
        "below, with the event's details. The row hash ties an event to the ledger.",
        SMALL,
    )
    sheet.skip(4)
    sheet.events(events)


class EventsSheet(Sheet):
    """A sheet that can set many thousand events: a fixed grid, two lines for an event, then what is long.

    Written for speed: 10,000 events take about a second, of which each call that is not made saves a tenth.
    """

    def events(self, events: pl.DataFrame) -> None:
        """Set the table; its head is on every page, and an event that is split says so on the next."""
        for place, event in enumerate(events.iter_rows()):
            if place % _BOOKMARK_EVERY == 0 and events.height > _BOOKMARK_EVERY:
                self.need(60)
                moment = words.minute(event[1])
                self._bookmark(f"seq {words.number(event[0])}, {moment}", level=1)
            self._event(event)
        self._within = False
        self.skip(8)

    def turn(self) -> None:
        """End this page and begin the next, within the table with its head."""
        super().turn()
        if self._within:
            self._events_head()

    _within = False

    def _events_head(self) -> None:
        y = self.y - 9
        for title, below, (x, edge, align) in zip(_TITLES, _TITLES_BELOW, _GRID, strict=True):
            at = edge if align == "right" else x
            self.line(at, y, title, HEAD, align)
            self.line(at, y - 8.4, below, SMALL, align)
        self.y -= _HEAD
        self.rule(self.y, MUTED, 0.6)

    def _event(self, event: tuple[Any, ...]) -> None:
        seq, occurred_at, event_type, row_hash, actor, entity_type, entity_id, outcome, ip, score, risk, details = event
        entity = f"{entity_type or ''} {entity_id or ''}".strip()
        cells = [
            (event_type, CELL_BOLD, _TYPE, "Event type"),
            (actor or "no actor", CELL if actor else CELL_MUTED, _ACTOR, "Actor"),
            (outcome or "–", CELL, _OUTCOME, "Outcome"),
            (ip or "", SMALL, _TIME, "Address"),
            (entity, SMALL, _TYPE, "Entity"),
        ]
        set_cells, long = [], []
        for text, style, (x, edge, _), label in cells:
            # A reference of 36 characters fits when it is set smaller.
            chosen = _SMALL_INK if style is CELL and len(text) == _REFERENCE else style
            fitted = shorten(text, chosen, edge - x)
            set_cells.append((x, fitted, chosen))
            if fitted is not text and fitted != fonts.printable(text, style.font):
                long.append((label, text))
        if details:
            long.append(("Details", details))
        lines = [line for label, text in long for line in wrap(f"{label}: {text}", SMALL, _WIDE)]
        height = _TWO_LINES + len(lines) * SMALL.leading
        kept = min(height, _KEPT_TOGETHER)
        if not self._within:
            self.need(_HEAD + kept)
            self._events_head()
            self._within = True
        elif self.y - kept < BOTTOM:
            self.turn()
        first, second = self.y - 10.6, self.y - 20.2
        for place, (x, text, style) in enumerate(set_cells):
            self.line(x, first if place < 3 else second, text, style)
        number = str(seq)
        self.line(_GRID[0][1], first, number, CELL if len(number) < 9 else SMALL, "right")
        self.line(_TIME[0], first, occurred_at.strftime("%Y-%m-%d %H:%M:%S"), CELL)
        self.line(_ACTOR[0], second, row_hash, _HASH)
        if risk or score is not None:
            self._risk(first, risk, score)
        self.y -= _TWO_LINES - 3
        for line in lines:
            if self.y - SMALL.leading < BOTTOM:
                self.turn()
                self.line(_TIME[0], self.y - 8, f"seq {number}, continued", HEAD)
                self.y -= 11
            self.y -= SMALL.leading
            self.line(_TIME[0], self.y + 2.2, line, _SMALL_INK)
        self.y -= 3
        self.rule(self.y, HAIRLINE, 0.4)

    def _risk(self, baseline: float, risk: str | None, score: float | None) -> None:
        x, edge, _ = _RISK
        text = " ".join(part for part in (risk, None if score is None else f"{score:.2f}") if part)
        if risk in SEVERITY_COLOURS:
            self.chip(x, baseline, Chip(text, SEVERITY_COLOURS[risk]), edge - x)
        else:
            self.line(x, baseline, shorten(text, CELL, edge - x), CELL)


# Left and right end of each column, with a gutter between them.
_GRID: Final[tuple[tuple[float, float, Align], ...]] = (
    (MARGIN, MARGIN + 38, "right"),
    (MARGIN + 46, MARGIN + 122, "left"),
    (MARGIN + 130, MARGIN + 264, "left"),
    (MARGIN + 272, MARGIN + 396, "left"),
    (MARGIN + 404, MARGIN + 440, "left"),
    (MARGIN + 446, MARGIN + CONTENT, "left"),
)
_, _TIME, _TYPE, _ACTOR, _OUTCOME, _RISK = _GRID
_TITLES: Final = ("Seq", "Occurred (UTC)", "Event type", "Actor", "Outcome", "Risk, score")
_TITLES_BELOW: Final = ("", "address", "entity", "row hash (SHA-256)", "", "")
_WIDE: Final = MARGIN + CONTENT - _TIME[0]
_HEAD: Final = 22.0
_TWO_LINES: Final = 27.0
_KEPT_TOGETHER: Final = 140.0
_BOOKMARK_EVERY: Final = 500
_SMALL_INK: Final = Style(SMALL.font, SMALL.size, SMALL.leading, INK)
_REFERENCE: Final = 36
_BIG: Final = Style(fonts.BOLD, 25, 30)
_HASH: Final = Style(fonts.MONO, 5.9, 8.2, MUTED)


def _period(heading: ExportHeading) -> str:
    since, until = heading.since, heading.until
    if since and until:
        return f"{words.period(since, until)} (UTC)"
    if since:
        return f"since {words.minute(since)} (UTC)"
    return f"until {words.minute(until)} (UTC)" if until else "all times"


def _shown(heading: ExportHeading, shown: int) -> str:
    if shown < heading.matching:
        return f"The first {words.number(shown)} of {words.number(heading.matching)} events that match the filters"
    return (
        f"All {words.counted(shown, 'event')} that match the filters"
        if shown > 1
        else ("The only event that matches the filters" if shown else "No event matches the filters")
    )


def _checked(events: pl.DataFrame) -> pl.DataFrame:
    if missing := [name for name in _NEEDED if name not in events.columns]:
        raise ValidationError(f"expected events with {', '.join(_NEEDED)}, got none of {', '.join(missing)}")
    return events.select(
        (pl.col(name) if name in events.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in COLUMNS.items()
    )
