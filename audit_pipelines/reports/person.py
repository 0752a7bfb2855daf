"""What is held about one person, as pages they can read: GDPR Art. 15 in print.

Pure layout. The whole of it, event by event, is in the JSON beside it; here are who and why, totals, and the newest
events. Built of the blocks of `layout.py`, as the reports are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Final

from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.layout import (
    CELL,
    CELL_MUTED,
    CONTENT,
    MARGIN,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SECTION,
    SMALL,
    TEXT,
    Column,
    PageFrame,
    Sheet,
    Style,
    Text,
    define_page_total,
    shorten,
)

_NAME: Final = "Personal data in the audit trail"
_TITLE: Final = Style(font=fonts.BOLD, size=20, leading=26)
_MOST_TYPES: Final = 25


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event as the pages show it."""

    occurred_at: datetime
    role: str
    event_type: str
    entity: str
    outcome: str
    ip_address: str
    seq: int
    row_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonReport:
    """Everything the pages say."""

    identity: str
    actor_ref: str
    tenant_id: str
    generated_at: datetime
    processing: Sequence[tuple[str, str]]
    """What Art. 15(1) asks for, by heading."""
    counts: Sequence[tuple[str, int]]
    by_type: Mapping[str, int]
    by_month: Mapping[str, int]
    newest: Sequence[EventLine]
    """Newest first."""
    anomalies: Sequence[tuple[str, str, str, str]]
    """When, severity, type of event, reasons."""
    recent: tuple[datetime, datetime, int, int] | None = None
    """Of a report at a set time: its period, the person's events in it, and in the one of the same length before."""


def compose_person(report: PersonReport) -> tuple[str, ...]:
    """Return the summary of a report whose fields are complete; each sentence is carried by a count in it."""
    total = sum(report.by_type.values())
    if not total:
        return ("No event in which the person acted or was acted upon is held.",)
    types = sorted(report.by_type.items(), key=lambda item: (-item[1], item[0]))
    first, last = min(report.by_month), max(report.by_month)
    held = f"{words.counted(total, 'event')} by or about the person {'is' if total == 1 else 'are'} held"
    when = f"all of {first}" if first == last else f"from {first} to {last}"
    most = f"{types[0][0]} with {words.counted(types[0][1], 'event')}"
    sentences = [
        f"{held}, of {words.counted(len(types), 'type')}, {when}.",
        f"Most frequent is {most} ({words.percent(types[0][1], total)}).",
    ]
    if report.recent:
        since, until, now, before = report.recent
        period = f"{words.period(since, until)} (UTC)"
        then = f"{words.number(before)} in the period of the same length before ({words.change(before, now)})"
        sentences.append(f"Of them {words.number(now)} are of {period}, after {then}.")
    found = dict(report.counts).get("anomalies", 0)
    sentences.append(f"{words.counted(found, 'anomaly')} of the person {'was' if found == 1 else 'were'} found.")
    return tuple(sentences)


def render_person(report: PersonReport) -> bytes:
    """Return the document; equal reports give equal bytes."""
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (PAGE_WIDTH, PAGE_HEIGHT))
        canvas.describe(
            title=_NAME,
            subject=f"{_NAME} about {report.actor_ref}",
            author="audit_pipelines",
            keywords=["personal data", "audit trail"],
            made_at=report.generated_at,
        )
        made = f"generated {words.second(report.generated_at)}  ·  confidential"
        sheet = Sheet(canvas, PageFrame(_NAME, f"person {report.actor_ref}", made))
        _head(sheet, report)
        _summary(sheet, report)
        _processing(sheet, report)
        _totals(sheet, report)
        _events(sheet, report)
        _anomalies(sheet, report)
        pages: int = canvas.getPageNumber()
        canvas.showPage()
        define_page_total(canvas, pages)
        canvas.save()
        return buffer.getvalue()


def _head(sheet: Sheet, report: PersonReport) -> None:
    sheet.y -= _TITLE.size
    sheet.line(MARGIN, sheet.y, _NAME, _TITLE)
    sheet.skip(8)
    who = shorten(report.identity, SECTION, CONTENT)
    sheet.y -= SECTION.leading
    sheet.line(MARGIN, sheet.y, who, SECTION)
    sheet.skip(4)
    sheet.paragraph(
        f"Reference {report.actor_ref} in tenant {report.tenant_id}. This answers a request under Art. 15 of the GDPR; "
        "the JSON file made with it holds every event in a machine-readable form (Art. 20). Other persons appear as "
        "references."
    )


def _summary(sheet: Sheet, report: PersonReport) -> None:
    sheet.section("Summary")
    for sentence in compose_person(report):
        sheet.paragraph(sentence, bullet="–", indent=12)
        sheet.skip(2.5)
    sheet.paragraph("Composed from the counts in this report; no language model was involved.", SMALL, indent=12)


def _processing(sheet: Sheet, report: PersonReport) -> None:
    sheet.section("Why, for how long, and for whom")
    columns = [Column("", 120, style=CELL_MUTED), Column("", CONTENT - 120)]
    sheet.table(columns, [[name, [Text(text, CELL, max_lines=12)]] for name, text in report.processing])


def _totals(sheet: Sheet, report: PersonReport) -> None:
    sheet.section("What is held")
    columns = [Column("Kind", CONTENT - 90), Column("Number", 90, "right")]
    sheet.table(columns, [[name, f"{count:,}"] for name, count in report.counts])
    if report.by_type:
        sheet.subsection("Events by type", f"the {_MOST_TYPES} most frequent of {len(report.by_type):,}")
        most = sorted(report.by_type.items(), key=lambda item: (-item[1], item[0]))[:_MOST_TYPES]
        sheet.table([Column("Type", CONTENT - 90), Column("Events", 90, "right")], [[t, f"{n:,}"] for t, n in most])
        sheet.subsection("Events by month")
        months = [[month, f"{count:,}"] for month, count in sorted(report.by_month.items())]
        sheet.table([Column("Month", CONTENT - 90), Column("Events", 90, "right")], months)


def _events(sheet: Sheet, report: PersonReport) -> None:
    sheet.section("The newest events")
    total = sum(report.by_type.values())
    sheet.paragraph(
        f"{len(report.newest):,} of {total:,}. The number is an event's place in the ledger; the JSON has its hash. "
        "With both, evidence of it can be asked for and checked without trusting this page."
    )
    columns = [
        Column("Occurred (UTC)", 84),
        Column("Part", 46, style=CELL_MUTED),
        Column("Event", 112),
        Column("Entity", 112),
        Column("Outcome", 44),
        Column("Address", 54, style=CELL_MUTED),
        Column("No.", CONTENT - 452, "right", style=CELL_MUTED),
    ]
    sheet.table(
        columns,
        [
            [
                f"{line.occurred_at:%Y-%m-%d %H:%M:%S}",
                line.role,
                line.event_type,
                line.entity,
                line.outcome,
                line.ip_address,
                f"{line.seq:,}",
            ]
            for line in report.newest
        ],
    )


def _anomalies(sheet: Sheet, report: PersonReport) -> None:
    sheet.section("What automatic detection found unusual")
    if not report.anomalies:
        sheet.paragraph("Nothing. No decision about a person is made by it alone (Art. 22).", TEXT)
        return
    sheet.paragraph("No decision about a person is made by it alone (Art. 22): it points people to events.", TEXT)
    columns = [Column("Occurred (UTC)", 84), Column("Severity", 50), Column("Event", 120), Column("Why", CONTENT - 254)]
    sheet.table(columns, [[at, how, what, [Text(why, CELL)]] for at, how, what, why in report.anomalies])
