"""The document: what it says, that it is whole, and that equal reports are equal bytes."""

import dataclasses
import hashlib
import re

import pytest
from report_samples import (
    SINCE,
    TENANT,
    UNTIL,
    make_anomaly,
    make_events,
    make_integrity,
    make_report,
    make_signature,
    read_text,
    row_hash,
)

from audit_pipelines.reports.model import SEVERITIES, Control, Coverage
from audit_pipelines.reports.pdf import render_pdf, write_pdf


@pytest.fixture(scope="module")
def sample() -> tuple[bytes, int]:
    """The document of the unchanged sample report, set once for the tests that only read it."""
    return render_pdf(make_report())


def test_the_file_is_what_the_info_says(tmp_path):
    path = tmp_path / "new folder" / "report.pdf"
    info = write_pdf(make_report(), path)
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert info.bytes == len(content)
    assert info.pages == len(re.findall(rb"/Type /Page\b", content)) >= 2
    assert [one.name for one in path.parent.iterdir()] == ["report.pdf"]


def test_equal_reports_are_equal_bytes_and_others_are_not(monkeypatch, sample):
    first, _ = sample
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert render_pdf(make_report())[0] == first
    assert render_pdf(dataclasses.replace(make_report(), tenant_name="Southwind"))[0] != first


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.pdf"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_pdf(make_report(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_text_can_be_read_back(sample):
    content, pages = sample
    text = read_text(content)
    for needed in (
        "Security report",
        "16 November 2026 to 22 November 2026 (UTC)",
        "Northwind Clinics",
        str(TENANT),
        "14 failed logins in 6 minutes, then a success",
        row_hash(1),
        row_hash(59),
        row_hash(100),
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "Hash chain",
        "average_precision 0.81",
        "Alice Liddell",
        "2026-11-18 09:31:07",
        "approved",
        "event batch-2026-0417/release",
        "valid",
    ):
        assert needed in text
    for page in range(1, pages + 1):
        assert f"Page {page} of " in text
    assert f"\n{pages}" in text


def test_metadata_language_and_outline(sample):
    content, _ = sample
    assert b"/Title (Security report: Northwind Clinics, 16 November 2026 to 22 November 2026)" in content
    assert b"/Author (audit_pipelines 0.1.0)" in content
    assert b"/CreationDate (D:20261123080000+00'00')" in content
    assert b"/Lang (en-GB)" in content
    assert b"/DisplayDocTitle true" in content
    # Nothing claims a structure that is not there.
    assert b"/MarkInfo" not in content
    for section in (b"Summary", b"Anomalies", b"Activity", b"Models and data", b"Controls", b"Integrity"):
        assert b"/Title (" + section + b")" in content


def test_every_font_is_embedded(sample):
    content, _ = sample
    names = set(re.findall(rb"/BaseFont /(\S+)", content))
    assert names
    assert all(re.fullmatch(rb"[A-Z]{6}\+(FiraSansCondensed|IBMPlexMono)-\w+", name) for name in names)


@pytest.mark.parametrize(
    ("kind", "first", "second"), [("security", "Anomalies", "Controls"), ("compliance", "Controls", "Anomalies")]
)
def test_each_kind_begins_with_what_its_reader_asks(kind, first, second):
    content, _ = render_pdf(make_report(kind=kind))
    titles = re.findall(rb"/Title \(([^)]*)\)", content)
    assert titles.index(first.encode()) < titles.index(second.encode())


def test_nothing_to_report():
    report = make_report(
        make_events(),
        anomalies=(),
        models=(),
        controls=(),
        signatures=(),
        coverage=Coverage(0, 0, 0, 0),
        integrity=make_integrity(
            result="not verified", events_verified=0, first_seq=None, last_seq=None, chain_head=None, checkpoint=None
        ),
    )
    content, _ = render_pdf(report)
    text = read_text(content)
    assert "This report counts no event" in text
    assert "No event in this period" in text
    assert "Not verified" in text
    assert "No electronic signature was made in this period" in text


def test_a_signature_that_does_not_hold_says_why():
    broken = make_signature(valid=False, problem="the record has another hash than the one that was signed")
    text = read_text(render_pdf(make_report(signatures=(broken,)))[0])
    assert "invalid" in text
    assert "the record has another hash" in text


def test_tampering_is_on_the_first_page():
    content, _ = render_pdf(
        make_report(integrity=make_integrity(result="tampered", finding="seq 12: prev_hash differs"))
    )
    first_page = read_text(content).split("Page 2 of ")[0]
    assert "Tampered" in first_page
    assert "seq 12: prev_hash differs" in first_page


HOSTILE = [
    "x" * 256,
    "مستخدم.تسجيل",
    "用户.登录",
    "👩‍🚀",
    "a\u202eb\x00",
    "(un)balanced \\ ) <b>&amp;",
    "",
    " ",
]


@pytest.mark.parametrize("text", [*HOSTILE, "two thousand characters " * 84])
def test_any_text_anywhere_is_set(text):
    events = make_events(*({"event_type": text, "outcome": text, "actor_ref": text} for _ in range(3)))
    anomaly = make_anomaly(event_type=text, reasons=(text,) * 20, actor_ref=text, model_id=text)
    report = make_report(
        events,
        anomalies=(anomaly,) * 3,
        controls=(Control(text, text, "fail", text),),
        signatures=(make_signature(printed_name=text, record_id=text, valid=False, problem=text),) * 3,
        tenant_name=text,
        title=text or None,
        integrity=make_integrity(result="tampered", finding=text),
    )
    assert render_pdf(report)[1] >= 2


def test_half_a_surrogate_pair_is_set_too():
    assert render_pdf(make_report(anomalies=(make_anomaly(reasons=("\ud800",)),), tenant_name="\udfff"))[1] >= 2


def test_many_anomalies_are_all_printed_with_a_head_on_each_page():
    lines = [make_anomaly(severity=SEVERITIES[seq % 4], seq=seq, row_hash=row_hash(seq)) for seq in range(120)]
    content, pages = render_pdf(make_report(anomalies=lines))
    text = read_text(content)
    assert all(row_hash(seq) in text for seq in range(120))
    assert 6 < pages < 18
    assert text.count("Event and reasons") > 6


def test_left_out_anomalies_are_owned_up_to():
    lines = [make_anomaly(seq=seq) for seq in range(30)]
    text = read_text(render_pdf(make_report(anomalies=lines, anomaly_limit=5))[0])
    assert "Printed are the 5 gravest of 30 anomalies." in text


def test_the_period_need_not_be_the_datas():
    assert render_pdf(make_report(since=SINCE.replace(year=1970), until=UNTIL))[1] >= 2
