import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.evaluation.datasets import Attack, read_attacks, read_dataset, read_labelled, replay
from audit_pipelines.evaluation.judge import OURS, evaluate
from audit_pipelines.evaluation.labelled import Label, Labelled, LabelledEvent
from audit_pipelines.evaluation.plots import alerts_by_day, precision_recall
from audit_pipelines.ledger.event import Event

START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def neutral(minute, actor="ann", **more):
    moment = (START + timedelta(minutes=minute)).isoformat()
    return {"occurred_at": moment, "actor": actor, "event_type": "file:read", "entity_type": "file"} | {
        "entity_id": "f1", "ip_address": "10.1.2.3", **more,
    }  # fmt: skip


def folder(path, rows, labels):
    path.mkdir()
    (path / "events.ndjson").write_text("\n".join(json.dumps(row) for row in rows))
    (path / "labels.csv").write_text("line,label,technique\n" + "\n".join(labels))
    return path


def happened(minute, actor="ann", **more):
    return Event(
        event_type="file:read", entity_type="file", entity_id="f1", actor=actor,
        occurred_at=START + timedelta(minutes=minute), event_id=f"{actor}{minute}", **more,
    )  # fmt: skip


def test_labels_go_by_line_and_repeated_events_are_kept_once(tmp_path):
    rows = [neutral(0, event_id="a"), neutral(1, event_id="b"), neutral(0, event_id="a"), neutral(3)]
    read = read_labelled(folder(tmp_path / "set", rows, ["2,attack,T1", "3,attack,T2", "4,ignored,"]))
    assert [(each.event.event_id, each.label.truth) for each in read.events][:2] == [("a", "attack"), ("b", "attack")]
    assert read.events[2].label.truth == "ignored"
    assert len(read.events) == 3


def test_equal_records_without_ids_stay_several_events(tmp_path):
    read = read_labelled(folder(tmp_path / "set", [neutral(0)] * 3, ["1,benign,"]))
    assert len(read.events) == 3


@pytest.mark.parametrize("labels", [["x,attack,"], ["1,evil,"], ["9,attack,"]])
def test_labels_that_do_not_fit_are_refused(tmp_path, labels):
    with pytest.raises(ValidationError, match="line"):
        read_labelled(folder(tmp_path / "set", [neutral(0)], labels))


def test_a_recorded_attack_takes_on_a_known_actor_or_keeps_its_own(tmp_path):
    (tmp_path / "T1.json").write_text(json.dumps(neutral(0, actor="eve")) + "\n" + json.dumps(neutral(5, actor="eve")))
    attacks = read_attacks(tmp_path)
    benign = Labelled("quiet", tuple(LabelledEvent(happened(minute * 60)) for minute in range(100)))
    for identity, actor in (("existing", "ann"), ("own", "eve")):
        merged = replay(attacks, benign, identity, 1)
        mine = [each for each in merged.events if each.label.truth == "attack"]
        assert {each.event.actor for each in mine} == {actor}
        assert {each.label.technique for each in mine} == {"T1"}
        # The tenant logs no addresses: one alone would give the attack away.
        assert all(each.event.ip_address is None for each in mine)
        assert mine[1].event.occurred_at - mine[0].event.occurred_at == timedelta(minutes=5)
        assert mine[0].event.occurred_at > START + timedelta(hours=38)
        assert merged == replay(attacks, benign, identity, 1)
    assert replay(attacks, benign, "own", 1) != replay(attacks, benign, "own", 2)


def test_a_dropped_column_is_gone_and_sealed_values_are_opaque():
    event = happened(0, ip_address="10.1.2.3", user_agent="curl", details={"a": {"token": "secret"}, "b": "x"},
                     sealed_fields=("/a/token",))  # fmt: skip
    labelled = Labelled("one", (LabelledEvent(event),))
    row = labelled.frame().row(0, named=True)
    assert "secret" not in row["details"]
    assert '"b":"x"' in row["details"]
    assert len(row["ip_index"]) == 32
    bare = labelled.frame(["user_agent", "ip_address", "details"]).row(0, named=True)
    assert (bare["user_agent"], bare["ip_index"], bare["details"]) == (None, None, None)
    with pytest.raises(ValidationError, match="expected columns among"):
        labelled.frame(["actor"])


def test_made_up_tenants_are_the_same_for_the_same_seed_and_attacks_are_few():
    for name in ("cloud:2", "office:2"):
        first = read_dataset(name)
        assert first == read_dataset(name)
        truth = Counter(each.label.truth for each in first.events)
        assert 0 < truth["attack"] < 0.06 * truth["benign"]
    with pytest.raises(ValidationError, match="SEED"):
        read_dataset("cloud:x")


def test_a_report_holds_what_is_printed_and_drawn():
    events = [LabelledEvent(happened(minute)) for minute in range(400)]
    attack = Event(event_type="iam:CreateAccessKey", entity_type="user", entity_id="ann", actor="ann",
                   occurred_at=START + timedelta(minutes=399.5), ip_address="203.0.113.9", event_id="k")  # fmt: skip
    report = evaluate(Labelled("tiny", (*events, LabelledEvent(attack, Label("attack", "T1098")))), peers=("HBOS",))
    assert [one.detector for one in report.judgements] == [OURS, "HBOS"]
    assert report.judgements[0].average_precision == 1.0
    assert report.techniques[0].name == "T1098"
    assert json.loads(json.dumps(report.as_json()))["attacks"] == 1
    assert all(len(svg) < 8000 and svg.startswith("<svg") for svg in (precision_recall(report), alerts_by_day(report)))
    with pytest.raises(ValidationError, match="share"):
        evaluate(Labelled("tiny", tuple(events)), judged_from=1.0)


def test_a_replay_needs_benign_events():
    with pytest.raises(ValidationError, match="benign"):
        replay([Attack("T1", (LabelledEvent(happened(0)),))], Labelled("none", ()), "own", 0)
