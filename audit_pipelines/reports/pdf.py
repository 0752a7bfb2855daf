"""A report as an A4 document: what is said in which order, set with the blocks of `layout.py`.

The same `Report` always gives the same bytes, so a report's digest can be kept in the ledger and checked years later.
Signing and sending the file are elsewhere.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from reportlab.lib.colors import HexColor

from audit_pipelines.files import replacing
from audit_pipelines.reports import charts, fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.layout import (
    ACCENT,
    BAD,
    BOTTOM,
    CELL,
    CELL_BOLD,
    CELL_MUTED,
    CODE,
    CONTENT,
    GOOD,
    GUTTER,
    HAIRLINE,
    INK,
    MARGIN,
    MUTED,
    NEUTRAL,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SEVERITY_COLOURS,
    SMALL,
    TEXT,
    Cell,
    Chip,
    Column,
    PageFrame,
    Sheet,
    Style,
    Text,
    define_page_total,
    shorten,
    wrap,
)
from audit_pipelines.reports.model import (
    ActorLine,
    AnomalyLine,
    Control,
    Integrity,
    ModelLine,
    Report,
    ReportKind,
    RequirementLine,
    SignatureLine,
)
from audit_pipelines.reports.pdf_signing import SIGNATURE_PLACE, PdfCertificate, sign_pdf

UNPRINTABLE: Final = (
    "Characters that no font here draws, and invisible ones, are printed as code points such as [U+1F680]."
)
_MOST_REASONS: Final = 8
# Neither good nor a fault of the installation: something that the product leaves open.
_OPEN: Final = SEVERITY_COLOURS["medium"]


@dataclass(frozen=True, slots=True)
class PdfInfo:
    """What was written: pages, SHA-256 of the file (hex) and its size."""

    pages: int
    sha256: str
    bytes: int


def write_pdf(report: Report, path: Path, certificate: PdfCertificate | None = None) -> PdfInfo:
    """Set a report, sign it where there is a certificate, and put it at `path`: complete or not at all.

    Equal reports give equal bytes with the same ReportLab release, before they are signed; the document's dates are
    the report's own.

    Raises:
        ConfigurationError: when the certificate is not valid now.
    """
    content, pages = render_pdf(report)
    return info_of(store_pdf(content, path, certificate), pages)


def store_pdf(content: bytes, path: Path, certificate: PdfCertificate | None, *, mode: int = 0o644) -> bytes:
    """Put a document at `path`, signed where there is a certificate: no unsigned file ever has the name.

    Returns the bytes of the file.

    Raises:
        ConfigurationError: when the certificate is not valid now.
    """
    with replacing(path, mode) as staging:
        staging.write_bytes(content)
        if certificate is not None:
            sign_pdf(staging, certificate)
            content = staging.read_bytes()
    return content


def info_of(content: bytes, pages: int) -> PdfInfo:
    """Return what is told of a file's bytes."""
    return PdfInfo(pages, hashlib.sha256(content).hexdigest(), len(content))


def render_pdf(report: Report) -> tuple[bytes, int]:
    """Return the document's bytes and how many pages it has."""
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (PAGE_WIDTH, PAGE_HEIGHT))
        _describe(canvas, report)
        made = f"{words.period(report.since, report.until)} (UTC)  ·  generated {words.second(report.generated_at)}"
        sheet = Sheet(canvas, PageFrame(report.title, report.tenant_name or str(report.tenant_id), made))
        _title(sheet, report)
        for section in _ORDER[report.kind]:
            section(sheet, report)
        pages: int = canvas.getPageNumber()
        canvas.showPage()
        define_page_total(canvas, pages)
        canvas.save()
        return buffer.getvalue(), pages


def _describe(canvas: TextCanvas, report: Report) -> None:
    period = words.period(report.since, report.until)
    canvas.describe(
        title=f"{report.title}: {report.tenant_name or report.tenant_id}, {period}",
        subject=f"{report.kind} report of tenant {report.tenant_id} for {period} (UTC)",
        author=f"audit_pipelines {report.product_version}".strip(),
        keywords=[report.kind, "audit trail", "integrity", str(report.tenant_id), report.integrity.chain_head or ""],
        made_at=report.generated_at,
    )
    canvas.showOutline()


def _title(sheet: Sheet, report: Report) -> None:
    sheet.y = PAGE_HEIGHT - 58
    sheet.line(MARGIN, sheet.y, "AUDIT TRAIL", Style(fonts.BOLD, 7.4, 10, ACCENT))
    big = Style(fonts.BOLD, 25, 30)
    for line in wrap(report.title, big, CONTENT, max_lines=2):
        sheet.y -= big.leading
        sheet.line(MARGIN, sheet.y, line, big)
    period = Style(size=11.5, leading=17, colour=MUTED)
    sheet.y -= 21
    sheet.line(MARGIN, sheet.y, f"{words.period(report.since, report.until)} (UTC)", period)
    sheet.skip(20)
    sheet.rule(sheet.y)
    sheet.skip(8)
    pairs = [
        ("Tenant", report.tenant_name or "–"),
        ("Tenant id", str(report.tenant_id)),
        ("Generated", words.second(report.generated_at)),
        ("Produced by", f"audit_pipelines {report.product_version}".strip()),
    ]
    sheet.facts(pairs, label_width=76, style=Style(size=8.6, leading=11.6))
    sheet.skip(4)
    _key_figures(sheet, report)
    sheet.section("Summary")
    for sentence in report.summary.sentences:
        sheet.paragraph(sentence, bullet="–", indent=12)
        sheet.skip(2.5)
    author = (
        "Composed from the counts in this report; no language model was involved."
        if report.summary.generated_by == "composed"
        else "Written by a language model from the counts in this report; the tables are authoritative."
    )
    sheet.paragraph(f"{author} {UNPRINTABLE}", SMALL, indent=12)
    sheet.subsection("Activity over time", f"events per {report.timeline.unit}, UTC", keep=160)
    # The chart takes what the summary leaves of the first page.
    sheet.drawing(charts.activity_chart(report.timeline, height=min(max(sheet.y - BOTTOM - 14, 148), 230)))


def _key_figures(sheet: Sheet, report: Report) -> None:
    totals = report.totals
    severities = {share.label: share.events for share in report.severities}
    grave = [f"{words.number(severities[level])} {level}" for level in ("critical", "high") if severities.get(level)]
    networks = words.counted(totals.networks, "source network") if totals.networks else "no network stated"
    ledger, colour = _INTEGRITY_WORDS[report.integrity.result]
    figures = (
        ("Events", words.number(totals.events), words.counted(totals.event_types, "type"), INK),
        ("Actors", words.number(totals.actors), networks, INK),
        (
            "Failed or denied",
            words.number(totals.unsuccessful),
            f"{words.percent(totals.unsuccessful, totals.events)} of events" if totals.events else "of no events",
            INK,
        ),
        (
            "Anomalies",
            words.number(totals.anomalies),
            ", ".join(grave) or f"of {words.number(totals.scored)} scored",
            BAD if grave else INK,
        ),
        ("Ledger", ledger, f"{words.number(report.integrity.events_verified)} events re-hashed", colour),
    )
    height = 58.0
    sheet.rule(sheet.y)
    width = CONTENT / len(figures)
    for place, (label, value, note, ink) in enumerate(figures):
        x = MARGIN + place * width + (12 if place else 0)
        if place:
            sheet.canvas.setStrokeColor(HexColor(HAIRLINE))
            sheet.canvas.line(x - 12, sheet.y - 10, x - 12, sheet.y - height + 8)
        size = next((s for s in (17, 15, 13, 11) if fonts.width(value, fonts.BOLD, s) <= width - 14), 9)
        sheet.line(x, sheet.y - 17, label, SMALL)
        sheet.line(x, sheet.y - 36, value, Style(fonts.BOLD, size, 20, ink))
        sheet.line(x, sheet.y - 48, shorten(note, SMALL, width - 14), SMALL)
    sheet.skip(height)
    sheet.rule(sheet.y)


def _activity(sheet: Sheet, report: Report) -> None:
    totals = report.totals
    sheet.section("Activity", keep=200)
    others = totals.event_types - len(report.event_types)
    rest = f"{words.counted(others, 'other type')}"
    types = charts.bars_chart(report.event_types, totals.events, rest=rest)
    _chart(sheet, "Most frequent event types", types, f"of {words.counted(totals.event_types, 'type')}")
    _chart(sheet, "Outcomes", charts.bars_chart(report.outcomes, totals.events, rest="other outcomes"))
    _chart(sheet, "Hours of the week", charts.heat_map(report.hour_of_week), "when events happened, UTC")
    if report.risks:
        risks = charts.severity_chart(report.risks, totals.events, rest="not tagged")
        _chart(sheet, "Risk", risks, "as tagged by the risk classifier")
    if report.categories:
        categories = charts.bars_chart(report.categories, totals.events, rest="other or not tagged")
        _chart(sheet, "Categories", categories, "as tagged by the category classifier")
    if report.actors:
        sheet.subsection(
            "Most active actors", "by reference; only the vault, and those allowed to ask it, know the persons"
        )
        sheet.table(_ACTOR_COLUMNS, (_actor_row(line) for line in report.actors))


def _before(sheet: Sheet, report: Report) -> None:
    before, totals = report.before, report.totals
    if before is None:
        return
    sheet.section("Compared with the period before", keep=150)
    sheet.paragraph(
        f"{words.period(before.since, before.until)} (UTC), of the same length. New is what the period before did not "
        "have; it may be older than that.",
        SMALL,
    )
    sheet.skip(4)
    counts = (
        ("Events", totals.events, before.events),
        ("Actors", totals.actors, before.actors),
        ("Failed or denied", totals.unsuccessful, before.unsuccessful),
        ("Anomalies", totals.anomalies, before.anomalies),
    )
    sheet.table(
        (
            Column("", 160, style=CELL_BOLD),
            Column("This period", 90, "right"),
            Column("Before", 90, "right"),
            Column("Change", CONTENT + GUTTER - 340, "right"),
        ),
        (
            (name, words.number(now), words.number(then), f"{now - then:+,}  ({words.change(then, now)})")
            for name, now, then in counts
        ),
    )
    if before.new_event_types:
        sheet.subsection("New event types", _of_all(len(before.new_event_types), before.new_event_types_total))
        sheet.table(
            (Column("Type", CONTENT + GUTTER - 90), Column("Events", 90, "right")),
            ((share.label, words.number(share.events)) for share in before.new_event_types),
        )
    if before.new_actors:
        sheet.subsection("New actors", _of_all(len(before.new_actors), before.new_actors_total))
        sheet.table(_ACTOR_COLUMNS, (_actor_row(line) for line in before.new_actors))


def _of_all(printed: int, found: int) -> str:
    return f"the first {printed:,} of {found:,}" if printed < found else f"{found:,}"


def _chart(sheet: Sheet, title: str, chart: Any, note: str = "") -> None:
    # On one page with its title.
    sheet.subsection(title, note, keep=chart.height + 8)
    sheet.drawing(chart)
    sheet.skip(8)


_ACTOR_COLUMNS: Final = (
    Column("Actor reference", CONTENT + GUTTER - 336, style=CODE),
    Column("Events", 54, "right"),
    Column("Failed or denied", 70, "right"),
    Column("Types", 36, "right"),
    Column("Anomalies", 48, "right"),
    Column("Top score", 46, "right"),
    Column("Last seen (UTC)", 82, "right"),
)


def _actor_row(line: ActorLine) -> tuple[Cell, ...]:
    return (
        line.actor_ref or "no actor",
        words.number(line.events),
        words.number(line.unsuccessful),
        words.number(line.event_types),
        words.number(line.anomalies),
        "–" if line.highest_score is None else f"{line.highest_score:.2f}",
        words.minute(line.last_at),
    )


def _anomalies(sheet: Sheet, report: Report) -> None:
    totals = report.totals
    sheet.section("Anomalies")
    if not report.anomalies:
        sheet.paragraph(
            "No event of this period scored above the threshold." if totals.scored else "No event has been scored.",
            TEXT,
        )
        return
    if len(report.anomalies) < totals.anomalies:
        printed, found = words.number(len(report.anomalies)), words.number(totals.anomalies)
        sheet.paragraph(f"Printed are the {printed} gravest of {found} anomalies.", SMALL)
        sheet.skip(4)
    sheet.subsection("By severity")
    sheet.drawing(charts.severity_chart(report.severities, totals.anomalies))
    sheet.skip(6)
    sheet.subsection("Each anomaly and its reasons", "gravest first; seq and row hash tie each to the ledger", keep=150)
    sheet.table(_ANOMALY_COLUMNS, (_anomaly_row(line) for line in report.anomalies))


_ANOMALY_COLUMNS: Final = (
    Column("Severity", 56),
    Column("Score", 36, "right", CELL_BOLD),
    Column("Occurred (UTC)", 82),
    Column("Event and reasons", CONTENT - 56 - 36 - 82),
)


def _anomaly_row(line: AnomalyLine) -> tuple[Cell, ...]:
    reasons = [Text(reason, CELL, max_lines=4, bullet=True) for reason in line.reasons[:_MOST_REASONS]]
    if (more := len(line.reasons) - _MOST_REASONS) > 0:
        reasons.append(Text(f"and {words.counted(more, 'more reason')}", CELL_MUTED))
    return (
        Chip(line.severity, SEVERITY_COLOURS[line.severity]),
        f"{line.score:.2f}",
        words.second(line.occurred_at).removesuffix(" UTC"),
        (
            Text(line.event_type, CELL_BOLD, wrap=False),
            Text(f"actor {line.actor_ref or 'none'}", SMALL, wrap=False),
            *reasons,
            Text(f"seq {line.seq}  row hash {line.row_hash}", _FINE_CODE, wrap=False),
            Text(f"model {line.model_id}", _FINE_CODE, wrap=False),
        ),
    )


_FINE_CODE: Final = Style(fonts.MONO, 5.9, 8.2, MUTED)


def _requirements(sheet: Sheet, report: Report) -> None:
    if not report.requirements:
        return
    sheet.section("Requirements")
    sheet.paragraph(
        "What laws and standards ask of an audit trail, paraphrased: their own text binds. A requirement passes when "
        "each control that shows it held when this report was generated; the evidence is under Controls. "
        "“Organisational” is what people must do and no program can attest, “not met” what this product leaves open. "
        "Where a requirement passes, what people must do beside it is said as well.",
        SMALL,
    )
    for framework, lines in groupby(report.requirements, key=attrgetter("framework")):
        rows = list(lines)
        sheet.subsection(framework, _counted(rows), keep=80)
        sheet.table(_REQUIREMENT_COLUMNS, (_requirement_row(line) for line in rows))


_REQUIREMENT_COLUMNS: Final = (
    Column("Result", 74),
    Column("Number", 78),
    Column("Asks", 158),
    Column("Shown by, and what is left to people", CONTENT - 74 - 78 - 158),
)
_REQUIREMENT_COLOURS: Final = {
    "pass": GOOD,
    "fail": BAD,
    "not checked": BAD,
    "organisational": NEUTRAL,
    "not met": _OPEN,
}


def _counted(lines: Sequence[RequirementLine]) -> str:
    results = ("pass", "fail", "not checked", "organisational", "not met")
    counts = [(sum(line.result == result for line in lines), result) for result in results]
    return ", ".join(f"{words.number(count)} {result}" for count, result in counts if count)


def _requirement_row(line: RequirementLine) -> tuple[Cell, ...]:
    people = {"organisational": "The organisation: ", "not met": "Not met: "}.get(line.result, "The organisation: ")
    return (
        Chip(line.result, _REQUIREMENT_COLOURS[line.result]),
        (Text(line.number, CELL_BOLD, max_lines=3),),
        (Text(line.asks, max_lines=20),),
        (
            *([Text("; ".join(line.shown_by), CELL, max_lines=20)] if line.shown_by else []),
            *([Text(f"{people}{line.rest}", CELL_MUTED, max_lines=20)] if line.rest else []),
        ),
    )


def _controls(sheet: Sheet, report: Report) -> None:
    if not report.controls:
        return
    sheet.section("Controls")
    sheet.paragraph("Each was checked against the running system when this report was generated.", SMALL)
    sheet.skip(4)
    sheet.table(_CONTROL_COLUMNS, (_control_row(control) for control in report.controls))


_CONTROL_COLUMNS: Final = (
    Column("Result", 62),
    Column("Control", 108),
    Column("Evidence", CONTENT - 62 - 108 - 118),
    Column("Requirements", 118),
)
_CONTROL_COLOURS: Final = {"pass": GOOD, "fail": BAD, "not checked": BAD}


def _control_row(control: Control) -> tuple[Cell, ...]:
    return (
        Chip(control.result, _CONTROL_COLOURS[control.result]),
        (Text(control.control, CELL_BOLD, max_lines=20),),
        (Text(control.evidence, max_lines=20),),
        (Text(control.requirement, CELL_MUTED, max_lines=20),),
    )


def _signatures(sheet: Sheet, report: Report) -> None:
    signatures_section(sheet, report.signatures)


def signatures_section(sheet: Sheet, signatures: Sequence[SignatureLine]) -> None:
    """Print persons' electronic signatures, or that there are none."""
    sheet.section("Electronic signatures")
    if not signatures:
        sheet.paragraph("No electronic signature was made in this period or for its records.", TEXT)
        return
    sheet.paragraph(
        "Made in this period or for its records: by whom, when and with what meaning (21 CFR 11.50). Each was checked "
        "when this report was generated: the record has the hash that was signed, and the ledger says that it was.",
        SMALL,
    )
    sheet.skip(4)
    sheet.table(_SIGNATURE_COLUMNS, (_signature_row(line) for line in signatures))


_SIGNATURE_COLUMNS: Final = (
    Column("Valid", 56),
    Column("Signed (UTC)", 84),
    Column("Signer", 140),
    Column("Meaning", 58),
    Column("Record", CONTENT - 56 - 84 - 140 - 58),
)


def _validity(line: SignatureLine) -> Chip:
    if line.deleted:
        return Chip("deleted", MUTED)
    return Chip("valid", GOOD) if line.valid else Chip("invalid", BAD)


def _signature_row(line: SignatureLine) -> tuple[Cell, ...]:
    return (
        _validity(line),
        words.second(line.signed_at).removesuffix(" UTC"),
        (
            Text(line.printed_name, CELL_BOLD, max_lines=3),
            Text(line.signer_ref, _FINE_CODE, wrap=False),
        ),
        line.meaning,
        (
            Text(f"{line.record_kind} {line.record_id}", CELL, max_lines=6),
            *([Text(line.problem, CELL_MUTED, max_lines=4)] if line.problem else []),
            Text(f"SHA-256 {line.record_hash}", _FINE_CODE, max_lines=3),
            Text(f"signature at seq {line.seq}", _FINE_CODE, wrap=False),
        ),
    )


def _models(sheet: Sheet, report: Report) -> None:
    coverage = report.coverage
    sheet.section("Models and data")
    if report.models:
        sheet.subsection("Models used", "by the SHA-256 of the artefact that scored these events")
        sheet.table(_MODEL_COLUMNS, (_model_row(model) for model in report.models))
    else:
        sheet.paragraph("No model's output is used in this report.")
    sheet.subsection("Data coverage", "all of the tenant's events; who read what since the lake was filled is left out")
    counts = (
        ("In the ledger", coverage.ledger),
        ("In the lake", coverage.lake),
        ("Scored", coverage.scored),
        ("Embedded", coverage.embedded),
    )
    sheet.table(
        (Column("Data set", 160), Column("Events", 90, "right"), Column("Of the ledger", 90, "right")),
        ((name, words.number(count), words.percent(count, coverage.ledger)) for name, count in counts),
    )


_MODEL_COLUMNS: Final = (
    Column("Model", 96),
    Column("Digest", 134),
    Column("Trained on", 116),
    Column("Rows", 54, "right"),
    Column("Metrics", CONTENT - 96 - 134 - 116 - 54),
)


def _model_row(model: ModelLine) -> tuple[Cell, ...]:
    trained = " to ".join(words.minute(moment)[:10] for moment in (model.trained_since, model.trained_until) if moment)
    metrics = [Text(f"{name} {value:.4g}", CELL, wrap=False) for name, value in model.metrics]
    return (
        (Text(model.kind, CELL_BOLD, max_lines=3),),
        (Text(model.digest, CODE, max_lines=4),),
        trained or "–",
        words.number(model.rows),
        metrics or "–",
    )


_INTEGRITY_WORDS: Final = {
    "intact": ("Intact", GOOD),
    "tampered": ("Tampered", BAD),
    "not verified": ("Not verified", NEUTRAL),
}


def _integrity(sheet: Sheet, report: Report) -> None:
    integrity_section(sheet, report.integrity, "this report's events")


def integrity_section(sheet: Sheet, integrity: Integrity, what: str) -> None:
    """Print what verification came to, the newest checkpoint, and how an outsider verifies `what`."""
    word, colour = _INTEGRITY_WORDS[integrity.result]
    # Whole on its page: it is what people look for at the end, and copy.
    sheet.section("Integrity", keep=410 if integrity.checkpoint else 260)
    sheet.chip(MARGIN, sheet.y - 8, Chip(word.lower(), colour), width=74)
    sheet.canvas.mark_place(SIGNATURE_PLACE, MARGIN + 84, sheet.y + 4)
    sheet.skip(20)
    if integrity.finding:
        sheet.paragraph(integrity.finding)
        sheet.skip(4)
    sheet.facts(_integrity_facts(integrity))
    sheet.facts((("Chain head", integrity.chain_head or "–"),), style=CODE)
    if integrity.checkpoint:
        checkpoint = integrity.checkpoint
        sheet.subsection("Signed checkpoint", "C2SP signed note over an RFC 6962 tree head", keep=100)
        sheet.facts(
            (
                ("Events covered", words.number(checkpoint.size)),
                ("Key id", checkpoint.key_id),
            )
        )
        sheet.facts((("Tree root", checkpoint.root),), style=CODE)
        sheet.skip(2)
        sheet.code(checkpoint.note.rstrip("\n"))
    sheet.subsection(f"How to verify {what} offline")
    for place, step in enumerate(integrity.steps, 1):
        sheet.paragraph(step, Style(size=8.4, leading=11.8), bullet=f"{place}.", indent=16)
        sheet.skip(3)


def _integrity_facts(integrity: Integrity) -> list[tuple[str, str]]:
    verified = words.second(integrity.verified_at) if integrity.verified_at else "–"
    span = "–"
    if integrity.first_seq is not None and integrity.last_seq is not None:
        span = f"{words.number(integrity.first_seq)} to {words.number(integrity.last_seq)}"
    return [
        ("Events re-hashed", words.number(integrity.events_verified)),
        ("Sequence", span),
        ("Verified", verified),
    ]


_ORDER: Final[dict[ReportKind, tuple[Callable[[Sheet, Report], None], ...]]] = {
    "security": (_before, _anomalies, _activity, _models, _controls, _signatures, _integrity),
    "compliance": (_requirements, _controls, _signatures, _integrity, _before, _activity, _anomalies, _models),
}
