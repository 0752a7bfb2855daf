"""The checklist as a document: what a reader's program is told of it."""

from datetime import UTC, datetime

from audit_pipelines.reports.checklist import render_checklist


def test_metadata_language_and_outline():
    lines = [("deployment", "TLS", "pass", "as configured"), ("7d3c", "Chain", "fail", "seq 4")]
    content = render_checklist(datetime(2026, 3, 2, 6, tzinfo=UTC), lines)
    assert b"/Lang (en-GB)" in content
    assert b"/Title (Deployment checklist, 2026-03-02 06:00:00 UTC)" in content
    assert b"/DisplayDocTitle true" in content
    assert b"/PageMode /UseOutlines" in content
    assert b"/Title (Deployment)" in content
    assert b"/Title (Controls of tenant 7d3c)" in content
    assert b"/MarkInfo" not in content
