"""The summary's sentences against frames small enough to count by hand."""

from datetime import timedelta

import polars as pl
import pytest
from report_samples import SINCE, TENANT, UNTIL, make_anomaly, make_events, make_integrity, make_report

from audit_pipelines.errors import ValidationError
from audit_pipelines.reports import words
from audit_pipelines.reports.model import SEVERITIES, Control, Coverage, RequirementLine, Share

A = "aaaaaaaa-0000-4000-8000-000000000000"
B = "bbbbbbbb-0000-4000-8000-000000000000"


def test_sentences_say_what_the_frame_holds():
    events = make_events(
        {"at": 1, "actor_ref": A, "event_type": "user.login", "outcome": "failure", "entity_id": "s-1"},
        {"at": 2, "actor_ref": A, "event_type": "user.login", "outcome": "failure", "entity_id": "s-1"},
        {"at": 2.5, "actor_ref": A, "event_type": "file.read", "outcome": "denied", "entity_id": "f-1"},
        {"at": 30, "actor_ref": B, "event_type": "file.read", "outcome": None, "entity_id": "f-1"},
        {"at": 40, "actor_ref": None, "event_type": "user.login", "entity_id": "s-2"},
    )
    report = make_report(events, anomalies=(), coverage=Coverage(80, 80, 79, 60))
    assert report.summary.generated_by == "composed"
    assert report.summary.sentences == (
        (
            "From 16 November 2026 to 22 November 2026 (UTC) this report counts 5 events by 2 actors, "
            "of 2 types on 3 entities."
        ),
        "The busiest hour was 16 November 2026 02:00 with 2 events; 164 of 168 hours had none.",
        "The most frequent type was user.login with 3 events (60.0 %).",
        "The most active actor, reference aaaaaaaa, caused 3 events (60.0 %).",
        "3 events (60.0 %) failed or were denied, user.login most often (2).",
        "No event of this period has been scored yet, so nothing is said here about anomalies.",
        "The one control that was checked passes.",
        "Of 80 events in the ledger, 1 is not yet scored and 20 are not yet embedded.",
        (
            "60 of 80 events in the ledger were re-hashed on 2026-11-23 00:00:00 UTC: the hash chain is intact. "
            "A signed checkpoint covers 60 events."
        ),
    )


def test_a_tie_has_no_busiest_hour_type_or_actor():
    events = make_events({"event_type": "a", "actor_ref": A}, {"event_type": "b", "actor_ref": B})
    said = " ".join(make_report(events).summary.sentences)
    assert "busiest" not in said
    assert "most frequent" not in said
    assert "most active" not in said


def test_no_events():
    report = make_report(
        make_events(),
        anomalies=(),
        controls=(),
        coverage=Coverage(0, 0, 0, 0),
        integrity=make_integrity(result="not verified"),
    )
    assert report.summary.sentences == (
        "This report counts no event from 16 November 2026 to 22 November 2026 (UTC).",
        "The ledger was not verified for this report.",
    )
    assert report.totals.first_at is None
    assert report.event_types == report.actors == ()
    assert len(report.timeline.bins) == 168


def test_a_frame_without_columns_is_an_empty_period():
    assert make_report(pl.DataFrame(), scores=pl.DataFrame(), tags=pl.DataFrame()).totals.events == 0


def test_one_event_is_singular():
    report = make_report(
        make_events({"outcome": "denied"}),
        anomalies=(make_anomaly(),),
        coverage=Coverage(1, 1, 1, 1),
        integrity=make_integrity(events_verified=1, checkpoint=None),
    )
    assert report.summary.sentences[0].endswith("counts 1 event by 1 actor, of 1 type on 1 entity.")
    assert report.summary.sentences[1] == "1 event (100.0 %) failed or was denied, of type user.login."
    assert "1 anomaly was found: 1 high." in report.summary.sentences
    assert report.summary.sentences[-1] == (
        "1 event in the ledger was re-hashed on 2026-11-23 00:00:00 UTC: the hash chain is intact."
    )


def test_tampering_is_never_called_intact():
    report = make_report(integrity=make_integrity(result="tampered", finding="seq 12: entry_hash differs."))
    assert report.summary.sentences[-1] == "The ledger does not verify: seq 12: entry_hash differs."
    assert not any("intact" in sentence for sentence in report.summary.sentences)


def test_failed_controls_are_named_and_requirements_are_counted():
    controls = [Control(name, "", "fail", "") for name in "abcd"]
    controls += [Control("x", "", "pass", ""), Control("e", "", "not checked", "")]
    results = ("pass", "pass", "fail", "organisational", "organisational", "not met")
    lines = [RequirementLine("PCI DSS", "10", "", result, (), "") for result in results]
    sentences = make_report(controls=controls, requirements=lines).summary.sentences
    assert "5 of 6 controls failed or could not be checked: a, b, c and 2 more." in sentences
    assert (
        "Of 6 requirements: 2 shown by controls that pass, 1 by controls of which one fails, 2 for the organisation "
        "alone and 1 not met by this product." in sentences
    )


def test_anomalies_are_ranked_counted_whole_and_cut_to_the_limit():
    lines = [make_anomaly(severity=SEVERITIES[seq % 4], score=0.7 + seq / 1000, seq=seq) for seq in range(40)]
    outside = [make_anomaly(seq=41, occurred_at=UNTIL), make_anomaly(seq=42, occurred_at=SINCE - timedelta(seconds=1))]
    report = make_report(anomalies=lines + outside, anomaly_limit=12)
    assert report.totals.anomalies == 40
    assert [line.severity for line in report.anomalies] == ["critical"] * 10 + ["high"] * 2
    assert [line.seq for line in report.anomalies[:3]] == [36, 32, 28]
    assert report.severities == tuple(Share(severity, 10) for severity in SEVERITIES)
    assert make_report(anomalies=lines, anomaly_limit=0).totals.anomalies == 40
    assert "No anomaly" not in " ".join(make_report(anomalies=lines, anomaly_limit=0).summary.sentences)


def test_events_outside_the_period_are_left_out_with_their_scores_and_tags():
    events = make_events({"at": 0}, {"at": 7 * 24}, {"at": -0.001})
    scores = events.select("seq", score=pl.lit(0.5))
    tags = events.select("seq", category=pl.lit("authentication"), risk=pl.lit("high"))
    report = make_report(events, scores=scores, tags=tags, anomalies=())
    assert report.totals.events == report.totals.scored == 1
    assert report.categories == (Share("authentication", 1),)
    assert "The classifier tags 1 as high risk." in report.summary.sentences
    assert "No anomaly was found among 1 scored event." in report.summary.sentences


def test_row_order_changes_nothing():
    events = make_events(
        *({"at": hour, "event_type": f"type-{hour % 5}", "actor_ref": (A, B)[hour % 2]} for hour in range(50))
    )
    scores = events.select("seq", score=pl.col("seq") / 100)
    report = make_report(events, scores=scores)
    assert make_report(events.reverse(), scores=scores.reverse()) == report


def test_actors_count_their_own_anomalies_and_scores():
    events = make_events({"actor_ref": A}, {"actor_ref": A}, {"actor_ref": None})
    scores = pl.DataFrame({"seq": [0, 1, 2], "score": [0.2, 0.9, 0.1]})
    report = make_report(events, scores=scores, anomalies=(make_anomaly(seq=1), make_anomaly(seq=2)))
    assert [(line.actor_ref, line.events, line.anomalies, line.highest_score) for line in report.actors] == [
        (A, 2, 1, 0.9),
        (None, 1, 1, 0.1),
    ]


@pytest.mark.parametrize(
    ("days", "unit", "bins"),
    [
        (0.5, "hour", 12),
        (7, "hour", 168),
        (31, "day", 31),
        (365, "week", 53),
        (3 * 365, "month", 37),
        (9000, "year", 26),
    ],
)
def test_the_timeline_adapts_and_loses_no_event(days, unit, bins):
    at = [0, days * 12, days * 24 - 0.01]
    report = make_report(
        make_events(*({"at": hour} for hour in at)),
        until=SINCE + timedelta(days=days),
        anomalies=(make_anomaly(occurred_at=SINCE + timedelta(days=days / 2)),),
    )
    assert (report.timeline.unit, len(report.timeline.bins)) == (unit, bins)
    assert sum(one.events for one in report.timeline.bins) == 3
    assert sum(one.anomalies for one in report.timeline.bins) == 1


def test_hours_of_the_week_begin_on_monday():
    report = make_report(make_events({"at": 0}, {"at": 6 * 24 + 23}))
    assert SINCE.weekday() == 0
    assert report.hour_of_week[0][0] == report.hour_of_week[6][23] == 1
    assert sum(map(sum, report.hour_of_week)) == 2


def test_another_tenants_event_is_refused():
    with pytest.raises(ValidationError, match=f"tenant {TENANT} alone, got 1"):
        make_report(make_events({}, {"tenant_id": A}))


def test_missing_columns_naive_times_and_empty_periods_are_refused():
    with pytest.raises(ValidationError, match="outcome"):
        make_report(make_events({}).drop("outcome"))
    with pytest.raises(ValidationError, match="aware"):
        make_report(since=SINCE.replace(tzinfo=None))
    with pytest.raises(ValidationError, match="begins before"):
        make_report(until=SINCE)


def test_steps_name_the_tenant_the_last_seq_and_the_key():
    steps = " ".join(make_report().integrity.steps)
    for needed in (
        str(TENANT),
        "seq 59",
        "audit.example/log+ce39c8a4",
        "SHA-256(0x02 ‖ row_hash before it ‖ leaf_hash)",
    ):
        assert needed in steps
    assert "Merkle" not in " ".join(make_report(integrity=make_integrity(checkpoint=None)).integrity.steps)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 9, "0.0 %"), (1, 100_000, "<0.1 %"), (99_999, 100_000, ">99.9 %"), (5, 5, "100.0 %"), (0, 0, "–")],
)
def test_a_share_never_rounds_to_none_or_all(part, whole, said):
    assert words.percent(part, whole) == said


def test_whole_days_are_named_by_the_last_that_belongs():
    assert words.period(SINCE, SINCE + timedelta(days=1)) == "16 November 2026"
    assert words.period(SINCE, UNTIL) == "16 November 2026 to 22 November 2026"
    assert words.period(SINCE, UNTIL + timedelta(hours=2)) == "16 November 2026 00:00 to 23 November 2026 02:00"
