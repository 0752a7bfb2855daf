"""Exports of events: what they say, that nothing is lost or cut, and that they are whole."""

import dataclasses
import hashlib
import re
import zlib
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pdf_tools import extracted, poppler
from report_samples import SINCE, TENANT, UNTIL, make_integrity, make_signature, read_text, row_hash

from audit_pipelines.errors import ValidationError
from audit_pipelines.reports.events_pdf import COLUMNS, ExportHeading, write_events_pdf
from audit_pipelines.reports.model import Summary

LONG = "lorem ipsum dolor " * 111 + "END"
SOLID = "x" * 1990 + "END"


def events(count: int, **fields) -> pl.DataFrame:
    rows = [
        {
            "seq": 500 - number,
            "occurred_at": SINCE + timedelta(minutes=number),
            "event_type": "user.login",
            "row_hash": row_hash(number),
            "actor": "Alice Liddell",
            "entity_type": "session",
            "entity_id": f"s-{number}",
            "outcome": "denied" if number % 5 == 4 else "success",
            "ip": "192.0.2.17",
            "score": 0.5,
            "risk": "high",
            "details": f'{{"attempt": {number}}}',
            **fields,
        }
        for number in range(count)
    ]
    return pl.DataFrame(rows, schema=COLUMNS)


def heading(matching: int = 1, **fields) -> ExportHeading:
    values = {
        "tenant_id": TENANT,
        "title": "Denied sign-ins",
        "requested_by": "Bob",
        "generated_at": UNTIL,
        "integrity": make_integrity(),
        "matching": matching,
        "tenant_name": "Northwind Clinics",
        "filters": (("Outcome", "denied"),),
        "since": SINCE,
        "until": UNTIL,
        "summary": Summary(()),
        "signatures": (make_signature(),),
        "product_version": "0.1.0",
    }
    return ExportHeading(**{**values, **fields})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "export.pdf"


def test_the_file_is_what_the_info_says(target):
    info = write_events_pdf(heading(12), events(12), target)
    content = target.read_bytes()
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert (info.bytes, info.pages) == (len(content), len(re.findall(rb"/Type /Page\b", content)))
    assert list(target.parent.iterdir()) == [target]


def test_it_says_what_was_asked_found_and_how_to_verify(target):
    write_events_pdf(heading(52_310), events(12), target)
    text = read_text(target.read_bytes())
    for said in (
        "The first 12 of 52,310 events that match the filters",
        "16 November 2026 to 22 November 2026 (UTC)",
        "Requested by\nBob",
        "Outcome\ndenied",
        "This document shows 12 events of 1 type by 1 actor, between 2026-11-16 00:00:00 UTC and",
        "2 events (16.7 %) failed or were denied.",
        "Composed from the counts in this document; no language model was involved.",
        "2026-11-16 00:11:00",
        '{"attempt": 11}',
        "session s-11",
        "high 0.50",
        row_hash(11),
        "Alice Liddell",
        "event batch-2026-0417/release",
        "audit.example/log+ce39c8a4",
        "How to verify these events offline",
        "Page 1 of ",
    ):
        assert said in text, said


def test_metadata_language_and_outline(target):
    write_events_pdf(heading(1200), events(1200, details=None), target)
    content = target.read_bytes()
    assert b"/Title (Denied sign-ins: Northwind Clinics, 16 November 2026 to 22 November 2026 \\(UTC\\))" in content
    assert b"/Lang (en-GB)" in content
    assert b"/DisplayDocTitle true" in content
    # Nothing claims a structure that is not there.
    assert b"/MarkInfo" not in content
    assert b'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Denied sign-ins: Northwind Clinics' in content
    titles = re.findall(rb"/Title \(([^)]*)\)", content)
    assert titles[1:] == [
        b"Filters used",
        b"Summary",
        b"Activity over time",
        b"Event types",
        b"Outcomes",
        b"Actors",
        b"Events",
        b"seq 500, 2026-11-16 00:00",
        b"seq 0, 2026-11-16 08:20",
        b"seq -500, 2026-11-16 16:40",
        b"Electronic signatures",
        b"Integrity",
        b"Signed checkpoint",
        b"How to verify these events offline",
    ]


def test_every_font_is_embedded(target):
    write_events_pdf(heading(), events(1, actor="דנה", event_type="用户", details="ไทย हिन्दी محمد"), target)
    content = target.read_bytes()
    names = re.findall(rb"/BaseFont /(\S+)", content)
    assert all(re.fullmatch(rb"[A-Z]{6}\+[\w-]+", name) for name in names)
    assert content.count(b"/FontFile2") == len(re.findall(rb"/Type /FontDescriptor", content))


def test_nothing_to_show_is_said(target):
    info = write_events_pdf(heading(0, signatures=()), events(0), target)
    text = read_text(target.read_bytes())
    assert info.pages == 2
    assert text.count("No event matches the filters") == 3
    assert "Activity over time" not in text
    assert "How to verify" in text


def test_one_event(target):
    write_events_pdf(heading(1), events(1), target)
    text = read_text(target.read_bytes())
    assert "The only event that matches the filters" in text
    assert "It is of type user.login and happened on 2026-11-16 00:00:00 UTC." in text


def test_without_a_summary_there_are_events_alone(target):
    write_events_pdf(heading(1, summary=None), events(1), target)
    text = read_text(target.read_bytes())
    assert "Summary" not in text
    assert "Event types" not in text
    assert row_hash(0) in text


def test_a_models_summary_says_that_it_is_one(target):
    write_events_pdf(heading(1, summary=Summary(("Somebody failed.",), "model")), events(1), target)
    text = read_text(target.read_bytes())
    assert "Somebody failed." in text
    assert "Written by a language model" in text


def test_equal_input_is_equal_bytes(target):
    write_events_pdf(heading(3), events(3, actor="用户 דנה"), target)
    first = target.read_bytes()
    write_events_pdf(heading(3), events(3, actor="用户 דנה"), target)
    assert target.read_bytes() == first
    write_events_pdf(heading(3), events(3, actor="用户"), target)
    assert target.read_bytes() != first


def test_columns_that_may_be_missing_may_be_missing(target):
    few = events(2).select("row_hash", "event_type", "occurred_at", "seq")
    write_events_pdf(heading(2), few, target)
    assert "no actor" in read_text(target.read_bytes())
    with pytest.raises(ValidationError, match="got none of row_hash"):
        write_events_pdf(heading(2), few.drop("row_hash"), target)


def test_a_period_may_be_open_or_longer_than_the_events(target):
    for fields in ({"since": None}, {"until": None}, {"since": None, "until": None}):
        write_events_pdf(heading(2, **fields), events(2), target)
        assert "events per hour" in read_text(target.read_bytes())
    write_events_pdf(heading(2, since=SINCE.replace(year=1970)), events(2), target)
    assert "events per year" in read_text(target.read_bytes())


def body(path: Path) -> str:
    """Return what stands on the pages without what is repeated on each, and without spaces."""
    lines = [line for page in extracted(path).split("\f") for line in page.strip().split("\n")[1:]]
    repeated = re.compile(r"\s*(?:Page \d+ of|Seq +Occurred|address +entity|seq [\d-]+, continued)")
    return "".join("".join(line.split()) for line in lines if not repeated.match(line))


@poppler
@pytest.mark.parametrize("text", [LONG, SOLID, "用户" * 999 + "END"], ids=["words", "solid", "Chinese"])
def test_fields_of_2000_characters_are_printed_whole(target, text):
    columns = ("event_type", "actor", "entity_id", "outcome", "ip", "details")
    write_events_pdf(heading(2), events(2, **dict.fromkeys(columns, text)), target)
    assert body(target).count("".join(text.split())) == 2 * len(columns)


@poppler
def test_an_event_longer_than_a_page_is_continued(target):
    info = write_events_pdf(heading(2), events(2, details=LONG * 10), target)
    text = extracted(target)
    assert info.pages >= 6
    assert text.count("seq 500, continued") == 2
    assert text.count("Occurred (UTC)") == info.pages - 1
    assert body(target).count("".join(LONG.split())) == 20


@poppler
def test_long_filters_are_printed_whole(target):
    write_events_pdf(heading(1, filters=(("Words", LONG), ("Solid", SOLID * 4))), events(1), target)
    found = body(target)
    assert "".join(LONG.split()) in found
    assert SOLID * 4 in found


@poppler
def test_a_text_that_turns_round_is_shown_as_it_is(target):
    write_events_pdf(heading(1), events(1, entity_id="txt\u202egnp.exe"), target)
    assert "txt[U+202E]gnp.exe" in extracted(target)


def test_nothing_is_drawn_beyond_the_page(target):
    write_events_pdf(heading(1, title=SOLID, tenant_name=SOLID, requested_by=SOLID), events(40, details=LONG), target)
    places = re.findall(r"1 0 0 1 (-?[\d.]+) (-?[\d.]+) Tm", _operators(target.read_bytes()))
    assert len(places) > 1_000
    assert all(0 <= float(x) < 548 and 0 <= float(y) < 842 for x, y in places)


def _operators(content: bytes) -> str:
    found = []
    for body in re.findall(rb"FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", content, re.DOTALL):
        page = zlib.decompress(body)
        found.append(page.decode("latin-1") if b" Tm " in page else "")
    return "\n".join(found)


def test_the_heading_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        heading().title = "other"
