"""Anomalies from scores to people: comparisons, incidents, verdicts, suppressions, thresholds, and erasure."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from anomaly_world import detect, one_anomaly, rows, small_company, superuser

from audit_pipelines.db.queries import query
from audit_pipelines.derive import anomalies, drift, incidents, recompute
from audit_pipelines.derive.verdicts import LABELS_PER_ANALYST, labels_digest, verdict_labels
from audit_pipelines.errors import ValidationError
from audit_pipelines.feedback import suppressions, thresholds, verdicts
from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.datasets import ORDER, SCHEMAS, Lake
from audit_pipelines.lake.versions import BEGINNING, Draft, Piece
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import erasing

ANN, BEN, CAT = "ann@example.org", "ben@example.org", "cat@example.org"


@pytest.fixture(scope="module")
def story() -> list[Event]:
    return small_company()


@pytest.fixture
def odd(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> Installation:
    """An installation whose events are scored and whose anomalies are told."""
    installation.ledger.append(tenant_id, story)
    detect(installation)
    return installation


def plant(installation: Installation, tenant_id: uuid.UUID, count: int, *, actor: str | None = None) -> list[uuid.UUID]:
    """Write anomalies just over the threshold, of events that need not exist."""
    ref = installation.vault.keys(tenant_id, [actor]).subjects[actor].ref if actor else None
    made = rows(
        installation,
        "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, "
        "severity, reasons, model_id, run_id) select %s, 100000 + n, 'p' || n, %s, now() - n * interval '1 day', %s, "
        "'a.b', 0.75, 'medium', '[]', 'm', 'r' from generate_series(1, %s) n returning anomaly_id",
        tenant_id,
        bytes(32),
        ref,
        count,
    )
    return [anomaly_id for (anomaly_id,) in made]


def calm(installation: Installation, tenant_id: uuid.UUID) -> None:
    """Let no event have been odd."""
    lake = Lake(installation.settings.lake_dir)
    scores = lake.read("event_scores", tenant_id).with_columns(score=pl.lit(0.1))
    with Draft(lake.dataset_path("event_scores", tenant_id).parent) as draft:
        assert draft.before
        draft.write(Piece(scores, notes=drift.spread(scores)), ORDER["event_scores"], SCHEMAS["event_scores"])
        before = draft.before
        draft.publish(before.stamp, changed=BEGINNING, notes=before.notes, before=lambda *_: None)


# Comparisons


def test_compared_events_are_the_actors_own_and_came_before(odd: Installation) -> None:
    found = rows(odd, "select seq, occurred_at, actor_ref, compared_with from audit_anomalies")
    ledger = {seq: rest for seq, *rest in rows(odd, "select seq, encode(row_hash, 'hex'), actor_ref from audit_logs")}
    named = [(actor, moment, one) for _, moment, actor, compared in found for one in compared]
    assert {one["part"] for _, _, one in named} >= {"previous", "last_from_network", "usual"}
    for actor, moment, one in named:
        assert ledger[one["seq"]] == [one["row_hash"], actor]
        assert datetime.fromisoformat(one["occurred_at"]) <= moment


def test_only_the_ranges_that_changed_are_looked_at(odd: Installation, tenant_id: uuid.UUID) -> None:
    odd = replace(odd, settings=odd.settings.model_copy(update={"audit_anomaly_threshold": 0.5}))
    anomalies.update_anomalies(odd, run_id="lenient")
    before = rows(odd, "select seq from audit_anomalies order by seq")
    superuser(odd, "update audit_anomalies set score = 0.99")
    (first, *_, last) = [seq for (seq,) in before]
    (update,) = anomalies.update_anomalies(odd, run_id="again", changed={tenant_id: [(first, first)]})
    assert (update.events, update.anomalies, update.new, update.withdrawn) == (1, 1, 0, 0)
    scores = dict(rows(odd, "select seq, score from audit_anomalies"))
    assert scores[first] != 0.99
    assert scores[last] == 0.99
    assert anomalies.update_anomalies(odd, run_id="none", changed={}) == []
    # What fell below within a range is withdrawn; what lies outside of it stays.
    calm(odd, tenant_id)
    (update,) = anomalies.update_anomalies(odd, run_id="calm", changed={tenant_id: [(first, last - 1)]})
    assert update.withdrawn == len(before) - 1
    assert rows(odd, "select seq from audit_anomalies") == [(last,)]


# Incidents


def test_every_anomaly_is_in_one_incident_and_telling_it_again_changes_nothing(odd: Installation) -> None:
    assert rows(odd, "select count(*) from audit_anomalies where incident_id is null") == [(0,)]
    wrong = rows(
        odd,
        "select i.incident_id from audit_incidents i join audit_anomalies a using (tenant_id, incident_id) "
        "group by i.tenant_id, i.incident_id "
        "having i.anomalies <> count(*) or i.score <> max(a.score) or count(distinct a.actor_ref) > 1",
    )
    assert wrong == []
    before = rows(odd, "select * from audit_incidents order by incident_id")
    assert before
    assert incidents.update_incidents(odd, run_id="again") == []
    superuser(odd, "update audit_incidents set stale = true")
    (update,) = incidents.update_incidents(odd, run_id="test")
    assert (update.new, update.merged, update.withdrawn) == (0, 0, 0)
    assert rows(odd, "select * from audit_incidents order by incident_id") == before
    # Everything derived may go: it comes back under the same ids.
    superuser(odd, "update audit_anomalies set incident_id = null")
    superuser(odd, "delete from audit_incidents")
    incidents.update_incidents(odd, run_id="test")
    told = "select incident_id, founding_seq, anomalies from audit_incidents order by 1"
    assert rows(odd, told) == [(row[1], row[2], row[8]) for row in before]


def test_an_incident_follows_its_anomalies(odd: Installation, tenant_id: uuid.UUID) -> None:
    ((incident, founding, anomaly),) = rows(
        odd,
        "select i.incident_id, founding_seq, anomaly_id from audit_incidents i join audit_anomalies a "
        "using (tenant_id, incident_id) where anomalies = 1 order by a.score desc limit 1",
    )
    # A second odd event of the same actor a minute later: the incident grows and keeps its id.
    rows(
        odd,
        "insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, "
        "severity, meaning, risk, reasons, model_id, run_id) select tenant_id, 99999, 'later', row_hash, "
        "occurred_at + interval '1 minute', actor_ref, 'iam:StopLogging', 0.99, 'critical', 'switches off logging', "
        "0.95, '[]', model_id, run_id from audit_anomalies where anomaly_id = %s returning 1",
        anomaly,
    )
    (update,) = incidents.update_incidents(odd, run_id="grown")
    assert (update.new, update.merged, update.withdrawn) == (0, 0, 0)
    ((count, severity, title),) = rows(
        odd, "select anomalies, severity, title from audit_incidents where incident_id = %s", incident
    )
    assert (count, severity) == (2, "critical")
    assert title.startswith("2 odd events in 1 minute: ")
    # Both go: the incident says that it is withdrawn, and tells nothing.
    with odd.database.connection("audit_pipeline") as conn:
        gone = {"tenant_id": tenant_id, "seq": [], "first": [founding, 99999], "last": [founding, 99999]}
        conn.execute(query("derive/withdraw_anomalies"), gone)
    incidents.update_incidents(odd, run_id="gone")
    assert rows(odd, "select state, anomalies, story from audit_incidents where incident_id = %s", incident) == [
        ("withdrawn", 0, [])
    ]


def test_what_no_known_actor_did_is_told_apart_from_what_a_person_did(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    plant(installation, tenant_id, 3)
    superuser(installation, "update audit_anomalies set actor_ref = gen_random_uuid() where seq = 100002")
    (update,) = incidents.update_incidents(installation, run_id="first")
    assert (update.actors, update.open, update.new) == (2, 3, 3)
    for stale, open_ones in (("true", 3), ("actor_ref is null", 2), ("actor_ref is not null", 1)):
        superuser(installation, f"update audit_incidents set stale = true where {stale}")
        (update,) = incidents.update_incidents(installation, run_id="again")
        assert (update.open, update.new, update.merged, update.withdrawn) == (open_ones, 0, 0, 0)


def test_analysts_find_incidents_in_the_catalog(odd: Installation, tenant_id: uuid.UUID) -> None:
    catalog = build_catalog(odd)
    ((count,),) = rows(odd, "select count(*) from audit_incidents")
    assert catalog.rows["incidents"] == count > 0
    lake = Lake(odd.settings.lake_dir).read("anomalies", tenant_id)
    assert lake["incident_id"].null_count() == 0
    assert not lake["suppressed"].any()


# Verdicts


def test_the_newest_verdict_of_each_person_counts_and_all_are_kept(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    (anomaly,) = plant(installation, tenant_id, 1)

    def settled() -> str:
        ((verdict,),) = rows(installation, "select verdict from audit_anomalies where anomaly_id = %s", anomaly)
        return verdict

    verdicts.judge(installation, tenant_id, anomaly, "false_positive", comment="a migration, ticket 7", by=ANN)
    assert settled() == "false_positive"
    # Among equals the graver counts.
    verdicts.judge(installation, tenant_id, anomaly, "true_positive", by=BEN)
    assert settled() == "true_positive"
    verdicts.judge(installation, tenant_id, anomaly, "benign", by=BEN)
    verdicts.judge(installation, tenant_id, anomaly, "false_positive", by=CAT)
    assert settled() == "false_positive"
    with installation.database.tenant_connection(tenant_id) as conn:
        said = verdicts.history(conn, anomaly)
    assert [(one.verdict, one.counts) for one in said] == [
        ("false_positive", True),
        ("benign", True),
        ("true_positive", False),
        ("false_positive", True),
    ]
    events = rows(
        installation,
        "select convert_from(entry, 'UTF8')::json -> 'details' ->> 'verdict', convert_from(entry, 'UTF8') from "
        "audit_logs where event_type = 'audit.anomaly.judged' order by seq",
    )
    assert [verdict for verdict, _ in events] == ["false_positive", "true_positive", "benign", "false_positive"]
    assert not any("ticket 7" in entry for _, entry in events)
    for statement in ("delete from audit_verdicts", "update audit_verdicts set verdict = 'benign'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), installation.database.connect_admin() as conn:
            conn.execute(statement)


def test_nobody_judges_their_own_events_or_names_a_person(installation: Installation, tenant_id: uuid.UUID) -> None:
    (own,) = plant(installation, tenant_id, 1, actor=ANN)
    before = rows(installation, "select count(*) from audit_logs")
    with pytest.raises(verdicts.OwnEventError):
        verdicts.judge(installation, tenant_id, own, "benign", by=ANN)
    with pytest.raises(ValidationError, match="not the person"):
        verdicts.judge(installation, tenant_id, own, "benign", comment=f"that was {ANN}", by=BEN)
    with pytest.raises(verdicts.UnknownAnomalyError):
        verdicts.judge(installation, uuid.uuid4(), own, "benign", by=BEN)
    assert rows(installation, "select count(*) from audit_logs") == before
    assert rows(installation, "select count(*) from audit_verdicts") == [(0,)]


def test_a_judged_anomaly_follows_its_score_and_stays(odd: Installation, tenant_id: uuid.UUID) -> None:
    anomaly = one_anomaly(odd)
    verdicts.judge(odd, tenant_id, anomaly, "true_positive", by=ANN)
    calm(odd, tenant_id)
    anomalies.update_anomalies(odd, run_id="calm")
    assert rows(odd, "select anomaly_id, score, severity, verdict from audit_anomalies") == [
        (anomaly, 0.1, "low", "true_positive")
    ]


def test_labels_are_weighed_per_person(installation: Installation, tenant_id: uuid.UUID) -> None:
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d")])
    planted = plant(installation, tenant_id, 2 * LABELS_PER_ANALYST)
    say = _saying(installation, tenant_id)
    for anomaly in planted:
        say(anomaly, "false_positive", ANN)
    for anomaly in planted[:2]:
        say(anomaly, "true_positive", BEN)
    say(planted[1], "benign", CAT)
    with installation.database.connection("audit_pipeline") as conn:
        labels = verdict_labels(conn, tenant_id)
    alone = labels.filter(pl.col("seq") > 100002)
    assert alone["weight"].to_list() == [0.5] * (2 * LABELS_PER_ANALYST - 2)
    # One says true, one says false with half a voice; where a third says benign too, nobody prevails.
    assert labels.filter(pl.col("seq") == 100001).select("verdict", "weight", "analysts").rows() == [
        ("true_positive", 0.5, 1)
    ]
    assert labels.filter(pl.col("seq") == 100002).is_empty()
    assert labels_digest(labels) == labels_digest(labels.clone())
    assert labels_digest(labels) != labels_digest(labels.head(5))


def _saying(installation: Installation, tenant_id: uuid.UUID) -> Callable[[uuid.UUID, str, str], None]:
    """What writes a verdict without its event and without asking how many there were: what no interface allows."""

    def say(anomaly: uuid.UUID, verdict: str, by: str) -> None:
        ref = installation.vault.keys(tenant_id, [by]).subjects[by].ref
        with installation.database.tenant_connection(tenant_id) as conn:
            row = {"tenant_id": tenant_id, "anomaly_id": anomaly, "verdict": verdict, "comment": None, "given_by": ref}
            conn.execute(query("feedback/insert_verdict"), row | {"ledger_seq": 0, "ledger_row_hash": bytes(32)})
            conn.execute(query("feedback/settle_anomaly"), {"anomaly_id": anomaly})

    return say


# Thresholds


def test_a_flood_of_false_verdicts_by_one_person_silences_nothing(odd: Installation, tenant_id: uuid.UUID) -> None:
    before = rows(odd, "select seq, score, severity from audit_anomalies order by seq")
    planted = plant(odd, tenant_id, 1_000)
    # Through the door they get as far as somebody who looks at each.
    given = verdicts.MOST_PER_HOUR
    for anomaly in planted[:given]:
        verdicts.judge(odd, tenant_id, anomaly, "false_positive", by=ANN)
    with pytest.raises(verdicts.TooManyVerdictsError):
        verdicts.judge(odd, tenant_id, planted[given], "false_positive", by=ANN)
    assert rows(odd, "select count(*) from audit_verdicts") == [(given,)]
    # And if all thousand came in: one voice, no quorum, a tenth of a label each.
    say = _saying(odd, tenant_id)
    for anomaly in planted[given:]:
        say(anomaly, "false_positive", ANN)
    assert thresholds.adapt(odd) == []
    with odd.database.connection("audit_pipeline") as conn:
        assert thresholds.in_force(conn, tenant_id, 0.7) == 0.7
        labels = verdict_labels(conn, tenant_id)
    assert (labels.height, round(labels["weight"].sum(), 6)) == (1_000, LABELS_PER_ANALYST)
    # A second person who sees alarms that are real keeps it where it is, whatever the first one says.
    for anomaly in planted[:10]:
        say(anomaly, "true_positive", BEN)
    assert thresholds.adapt(odd) == []
    # What is detected is what it was.
    superuser(odd, "delete from audit_anomalies where seq >= 100000")
    anomalies.update_anomalies(odd, run_id="after")
    assert rows(odd, "select seq, score, severity from audit_anomalies order by seq") == before


def test_the_threshold_moves_by_agreement_slowly_explained_and_back(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d")])
    planted = plant(installation, tenant_id, 12)
    for anomaly in planted[:6]:
        for person in (ANN, BEN):
            verdicts.judge(installation, tenant_id, anomaly, "false_positive", by=person)
    ((tenant, change),) = thresholds.adapt(installation)
    assert (tenant, change.threshold, change.previous, change.cause) == (tenant_id, 0.71, 0.7, "verdicts")
    assert "12 of 12 judged alarms" in change.explanation
    # Not twice by the same verdicts, and by new ones not before a day has passed.
    for anomaly in planted[6:]:
        for person in (ANN, BEN):
            verdicts.judge(installation, tenant_id, anomaly, "false_positive", by=person)
    assert thresholds.adapt(installation) == []
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    assert [change.threshold for _, change in thresholds.adapt(installation, now=tomorrow)] == [0.72]
    assert thresholds.adapt(installation, now=tomorrow + timedelta(days=2)) == []

    back = thresholds.set_threshold(installation, tenant_id, 0.7, reason="as it was", by=CAT)
    assert (back.cause, back.previous, back.threshold) == ("person", 0.72, 0.7)
    for wrong in (0.69, 0.86):
        with pytest.raises(ValidationError, match=r"from 0\.7 to 0\.85"):
            thresholds.set_threshold(installation, tenant_id, wrong, reason="x", by=CAT)
    events = rows(installation, "select actor_ref from audit_logs where event_type = 'audit.threshold.changed'")
    assert [ref is None for (ref,) in events] == [True, True, False]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), installation.database.connect_admin() as conn:
        conn.execute("delete from audit_alert_thresholds")


# Suppressions


def test_a_suppressed_anomaly_is_found_counted_and_shown_as_that(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    installation.ledger.append(tenant_id, story)
    detect(installation)
    found = rows(installation, "select actor_ref, count(*) from audit_anomalies group by 1 order by 2 desc, 1")
    ((noisy, count), *_) = [(ref, count) for ref, count in found if ref]
    total = sum(count for _, count in found)
    superuser(installation, "delete from audit_anomalies")
    week = datetime.now(UTC) + timedelta(days=7)

    def place(by: str, **covered: str) -> suppressions.Suppression:
        wanted = suppressions.Covered(**covered)
        return suppressions.place(installation, tenant_id, wanted, reason="a known batch job", ends_at=week, by=by)

    placed = place(ANN, person=str(noisy))
    (update,) = anomalies.update_anomalies(installation, run_id="suppressed")
    assert (update.anomalies, update.new, update.suppressed) == (total, total, count)
    incidents.update_incidents(installation, run_id="suppressed")
    ((suppressed, alerting),) = rows(
        installation,
        "select sum(suppressed), count(alert_score) from audit_incidents where actor_ref = %s and state = 'open'",
        noisy,
    )
    assert (suppressed, alerting) == (count, 0)
    with installation.database.tenant_connection(tenant_id) as conn:
        (listed,) = suppressions.listed(conn)
    assert (listed.suppressed, listed.shown()["in_force"]) == (count, True)

    ended = suppressions.end(installation, tenant_id, placed.suppression_id, by=BEN)
    assert not ended.shown()["in_force"]
    with pytest.raises(suppressions.UnknownSuppressionError):
        suppressions.end(installation, tenant_id, placed.suppression_id, by=BEN)
    # What it covered stays covered; what is detected from now on is not.
    superuser(installation, "delete from audit_anomalies where seq = (select min(seq) from audit_anomalies)")
    (update,) = anomalies.update_anomalies(installation, run_id="ended")
    assert (update.new, update.suppressed) == (1, 0)


def test_what_a_suppression_may_be(installation: Installation, tenant_id: uuid.UUID) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d", actor=ANN)])

    def place(ends_at: datetime = soon, reason: str = "known", by: str = BEN, **covered: str) -> None:
        suppressions.place(
            installation, tenant_id, suppressions.Covered(**covered), reason=reason, ends_at=ends_at, by=by
        )

    refused: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValidationError, {}),
        (ValidationError, {"event_type": "a.b", "reason": " "}),
        (ValidationError, {"event_type": "a.b", "ends_at": datetime.now(UTC)}),
        (ValidationError, {"event_type": "a.b", "ends_at": soon + timedelta(days=90)}),
        (ValidationError, {"entity_type": "c"}),
        (ValidationError, {"person": ANN, "reason": f"that is {ANN}"}),
        (suppressions.OwnEventError, {"person": ANN, "by": ANN}),
    ]
    for error, given in refused:
        with pytest.raises(error):
            place(**given)
    assert rows(installation, "select count(*) from audit_suppressions") == [(0,)]
    place(event_type="a.b", entity_type="c", entity_id="d", network="192.0.2.0/24")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), installation.database.connect_admin() as conn:
        conn.execute("update audit_suppressions set ends_at = ends_at + interval '1 day'")


def test_a_suppression_never_covers_what_its_author_did(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    installation.ledger.append(tenant_id, story)
    detect(installation)
    refs = rows(
        installation,
        "select actor_ref, event_type, count(*) from audit_anomalies where actor_ref is not null group by 1, 2 "
        "order by 3 desc, 1 limit 1",
    )
    ((author, event_type, own),) = refs
    superuser(installation, "delete from audit_anomalies")
    names = {event.actor for event in story if event.actor}
    by = next(name for name in names if installation.vault.find(tenant_id, name) == author)
    covered = suppressions.Covered(event_type=event_type)
    ends_at = datetime.now(UTC) + timedelta(days=1)
    suppressions.place(installation, tenant_id, covered, reason="noise", ends_at=ends_at, by=by)
    anomalies.update_anomalies(installation, run_id="suppressed")
    ((theirs, others),) = rows(
        installation,
        "select count(*) filter (where actor_ref = %s and suppression_id is null), "
        "count(*) filter (where event_type = %s and actor_ref is distinct from %s and suppression_id is null) "
        "from audit_anomalies where event_type = %s",
        author,
        event_type,
        author,
        event_type,
    )
    assert theirs == own
    assert others == 0


# Erasure


def test_an_erased_persons_anomalies_tell_nothing_of_them(odd: Installation, tenant_id: uuid.UUID) -> None:
    ((ref, anomaly),) = rows(
        odd, "select actor_ref, anomaly_id from audit_anomalies where actor_ref is not null order by score desc limit 1"
    )
    verdicts.judge(odd, tenant_id, anomaly, "true_positive", comment="ticket 9", by=ANN)
    begun = erasing.begin(odd, tenant_id, str(ref), requested_by=BEN)
    assert erasing.finish(odd, tenant_id, begun.actor_ref, run_id="erase")
    for table in ("audit_anomalies", "audit_incidents", "audit_verdicts", "audit_alert_thresholds"):
        content = rows(odd, f"select to_jsonb(t)::text from {table} t")
        assert not [row for (row,) in content if str(ref) in row or "ticket 9" in row], table
    assert rows(odd, "select verdict, actor_ref from audit_anomalies where anomaly_id = %s", anomaly) == [
        ("true_positive", None)
    ]
    assert rows(odd, "select count(*) from audit_anomalies where incident_id is null") == [(0,)]
    # And what is left can be computed again.
    assert recompute.recompute(odd, anomaly).differences == ()
    assert json.dumps(rows(odd, "select story from audit_incidents where state = 'open'"))
