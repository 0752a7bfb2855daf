"""Which anomalies become one incident, what it is called from run to run, and how it is told."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from audit_pipelines.intelligence.incidents import GAP, SPAN, Known, Member, incident_id, retell

TENANT = UUID(int=7)
START = datetime(2026, 11, 20, 8, tzinfo=UTC)
DEEDS = {
    "user.login": ("signs in", 0.25),
    "iam:PutUserPolicy": ("changes privileges", 0.8),
    "cloudtrail:StopLogging": ("switches off logging or monitoring", 0.95),
    "s3:DeleteObject": ("deletes data", 0.6),
}


def odd(seq: int, after: timedelta, kind: str = "user.login", **fields: object) -> Member:
    meaning, risk = DEEDS[kind]
    made = Member(
        anomaly_id=uuid5(TENANT, str(seq)),
        seq=seq,
        row_hash=f"{seq:064x}",
        occurred_at=START + after,
        event_type=kind,
        meaning=meaning,
        risk=risk,
        score=0.8,
        severity="medium",
        reasons=(f"first `{kind}` by this actor",),
    )
    return replace(made, **fields)


def in_it(members, retold):
    """Return the members as the table has them afterwards."""
    places = {member.seq: one.incident_id for one in retold.incidents for member in one.members}
    return [replace(member, incident_id=places[member.seq]) for member in members if member.seq in places]


def known(retold):
    return [Known(one.incident_id, one.founding_seq) for one in retold.incidents]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_what_lies_close_in_time_is_one_incident_whatever_the_order():
    members = [odd(1, minutes(0)), odd(2, GAP), odd(3, 2 * GAP + minutes(1)), odd(4, 2 * GAP + minutes(2))]
    expected = retell(TENANT, members, [])
    assert [[m.seq for m in one.members] for one in expected.incidents] == [[1, 2], [3, 4]]
    for seed in range(5):
        shuffled = random.Random(seed).sample(members, len(members))
        assert retell(TENANT, shuffled, []) == expected


def test_an_actor_that_is_odd_all_the_time_has_no_incident_without_end():
    members = [odd(place, place * GAP) for place in range(100)]
    spans = [one.members[-1].occurred_at - one.members[0].occurred_at for one in retell(TENANT, members, []).incidents]
    assert len(spans) > 2
    assert max(spans) <= SPAN


def test_an_incident_that_grows_keeps_its_id_also_towards_the_past():
    first = retell(TENANT, [odd(5, minutes(30))], [])
    members = [*in_it([odd(5, minutes(30))], first), odd(9, minutes(40)), odd(12, minutes(0))]
    grown = retell(TENANT, members, known(first))
    assert [one.incident_id for one in grown.incidents] == [first.incidents[0].incident_id]
    # Told again after everything derived was deleted, it has the same id.
    assert retell(TENANT, members, []).incidents[0].incident_id == first.incidents[0].incident_id


def test_two_incidents_that_a_late_event_joins_become_the_older_one():
    apart = [odd(1, minutes(0)), odd(2, GAP + minutes(60))]
    before = retell(TENANT, apart, [])
    joined = retell(TENANT, [*in_it(apart, before), odd(3, minutes(90))], known(before))
    old, gone = incident_id(TENANT, 1), incident_id(TENANT, 2)
    assert [one.incident_id for one in joined.incidents] == [old]
    assert joined.merged == {gone: old}
    assert joined.withdrawn == frozenset()


def test_an_incident_that_falls_apart_leaves_its_id_with_its_beginning():
    whole = [odd(1, minutes(0)), odd(2, minutes(200)), odd(3, minutes(400))]
    before = retell(TENANT, whole, [])
    left = [one for one in in_it(whole, before) if one.seq != 2]
    after = retell(TENANT, left, known(before))
    assert [one.incident_id for one in after.incidents] == [incident_id(TENANT, 1), incident_id(TENANT, 3)]


def test_an_incident_whose_founder_went_keeps_its_id_and_one_without_anomalies_is_withdrawn():
    members = [odd(1, minutes(0)), odd(2, minutes(5))]
    before = retell(TENANT, members, [])
    left = in_it(members, before)[1:]
    after = retell(TENANT, left, known(before))
    assert [one.incident_id for one in after.incidents] == [before.incidents[0].incident_id]
    nothing = retell(TENANT, [], known(after))
    assert nothing.withdrawn == {before.incidents[0].incident_id}


def test_the_story_is_told_in_order_with_reasons_and_the_rows_to_check_it_by():
    members = [
        odd(4, minutes(37), "cloudtrail:StopLogging", score=0.97, severity="high"),
        odd(1, minutes(0)),
        odd(2, minutes(1)),
        odd(3, minutes(20), "iam:PutUserPolicy"),
    ]
    (told,) = retell(TENANT, members, []).incidents
    assert told.title == (
        "4 odd events in 37 minutes: signs in, then changes privileges, then switches off logging or monitoring"
    )
    steps = [step["text"] for step in told.story]
    assert steps[0] == "2 times `user.login`, which signs in: first `user.login` by this actor"
    assert steps[1] == "`iam:PutUserPolicy`, which changes privileges: first `iam:PutUserPolicy` by this actor"
    assert steps[2].startswith("`cloudtrail:StopLogging`, which switches off logging or monitoring: first ")
    assert [(step["seq"], step["row_hash"]) for step in told.story] == [(s, f"{s:064x}") for s in (1, 3, 4)]
    assert sum(step["events"] for step in told.story) == len(members)
    assert (told.score, told.severity) == (0.97, "high")


def test_harm_of_several_kinds_is_graver_than_each():
    kinds = ("iam:PutUserPolicy", "cloudtrail:StopLogging", "s3:DeleteObject")
    members = [odd(place, minutes(place), kind) for place, kind in enumerate(kinds)]
    assert retell(TENANT, members, []).incidents[0].severity == "high"
    assert retell(TENANT, members[:2], []).incidents[0].severity == "medium"


def test_a_suppressed_anomaly_is_told_and_raises_no_alert():
    members = [
        odd(1, minutes(0)),
        odd(2, minutes(1), "iam:PutUserPolicy", score=0.99, severity="critical", suppressed=True),
    ]
    (told,) = retell(TENANT, members, []).incidents
    assert (told.score, told.severity, told.alert_score, told.alert_severity) == (0.99, "critical", 0.8, "medium")
    (silent,) = retell(TENANT, members[1:], []).incidents
    assert (silent.severity, silent.alert_score, silent.alert_severity) == ("critical", None, None)
    assert len(silent.story) == 1
