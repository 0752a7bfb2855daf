from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from audit_pipelines.intelligence.features import FEATURES, IDENTITY, SURPRISES, actor_features, compute_features
from audit_pipelines.intelligence.risk import add_risk, meaning

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
SCHEMA = {
    "tenant_id": pl.String, "seq": pl.Int64, "event_id": pl.String, "occurred_at": pl.Datetime("us", "UTC"),
    "actor_ref": pl.String, "event_type": pl.String, "entity_type": pl.String, "entity_id": pl.String,
    "outcome": pl.String, "ip_index": pl.String, "user_agent": pl.String, "details": pl.String,
}  # fmt: skip


def event(minutes, actor="ann", kind="file:read", **more):
    usual = {
        "entity_type": "file", "entity_id": "f1", "outcome": "success", "ip_index": "a" * 32,
        "user_agent": "app/1.2", "details": None,
    }  # fmt: skip
    return {"occurred_at": START + timedelta(minutes=minutes), "actor_ref": actor, "event_type": kind, **usual, **more}


def frame(events):
    rows = [{"tenant_id": "t", "seq": i, "event_id": str(i), **each} for i, each in enumerate(events)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def quiet_past(n=200, step=30):
    """Two people who read files every half hour for days."""
    return [event(i * step, actor=("ann", "bob")[i % 2], ip_index=("a" * 32, "b" * 32)[i % 2]) for i in range(n)]


def last(events):
    return compute_features(frame(events)).row(-1, named=True)


def test_features_come_in_order_of_time_with_every_column_finite():
    events = frame([event(5), event(1), event(3)])
    features = compute_features(events)
    assert features["seq"].to_list() == [1, 2, 0]
    assert features.columns == [*IDENTITY, *(each.name for each in FEATURES)]
    values = features.select(each.name for each in FEATURES).to_numpy()
    assert np.isfinite(values).all()
    assert set(features.select(SURPRISES).dtypes) == {pl.Float64}


def test_every_feature_has_a_name_of_its_own_a_meaning_and_a_unit():
    assert len({each.name for each in FEATURES}) == len(FEATURES)
    assert all(each.meaning and each.unit for each in FEATURES)


@pytest.mark.parametrize("events", [[], [event(0)], [event(0, actor=None, ip_index=None, user_agent=None)]])
def test_no_event_and_one_event_have_features(events):
    features = compute_features(frame(events))
    assert len(features) == len(events)
    # The first event of all is no surprise: there is nothing it could differ from.
    assert all(each["type_new_actor"] == 0.0 for each in features.iter_rows(named=True))


def test_a_first_time_is_surprising_only_after_a_past():
    assert last([event(0), event(1, kind="iam:PutUserPolicy")])["type_new_actor"] < 1.0
    row = last([*quiet_past(), event(6000, kind="iam:PutUserPolicy")])
    assert row["type_new_actor"] > 3.0
    assert row["type_new_tenant"] > 3.0
    assert (row["type_actors"], row["tenant_actors"]) == (0.0, 2.0)


def test_first_times_of_somebody_who_always_does_new_things_surprise_less():
    restless = [event(i, entity_id=str(i)) for i in range(200)]
    steady = [event(i) for i in range(200)]
    assert last([*restless, event(300, entity_id="new")])["entity_new_actor"] < 0.3
    assert last([*steady, event(300, entity_id="new")])["entity_new_actor"] > 3.0


def test_same_network_digits_are_the_same_network_and_another_address():
    row = last([*quiet_past(), event(6000, ip_index="a" * 16 + "9" * 16)])
    assert row["network_new_actor"] == 0.0
    assert row["address_new_actor"] > 2.0


def test_network_change_within_minutes_is_a_jump():
    row = last([*quiet_past(), event(6000), event(6004, ip_index="e" * 32)])
    assert row["network_jump"] > 2.0
    assert row["network_gap_s"] == 240.0
    assert last([*quiet_past(), event(6000), event(6300, ip_index="e" * 32)])["network_jump"] == 0.0


def test_an_event_without_address_does_not_hide_a_jump():
    row = last([*quiet_past(), event(6000), event(6001, ip_index=None), event(6004, ip_index="e" * 32)])
    assert row["network_jump"] > 2.0


def test_success_after_a_run_of_failures():
    tries = [event(6000 + i / 10, kind="user.login", outcome="failure") for i in range(37)]
    row = last([*quiet_past(), *tries, event(6004, kind="user.login")])
    assert row["failures_10m"] == 37.0
    assert row["success_after_failures"] == pytest.approx(np.log1p(37))
    assert last([*quiet_past(), *tries, event(6100, kind="user.login")])["success_after_failures"] == 0.0


def test_windows_hold_their_own_actor_and_end_when_they_say():
    row = last([event(0), event(1, actor="bob"), event(10), event(10.5)])
    # The event ten minutes and a half before is out, the other person's does not count.
    assert (row["events_10m"], row["events_1h"]) == (2.0, 3.0)
    assert row["repeats_1h"] == 2.0


def test_silence_counts_only_when_longer_than_any_before():
    assert last([*quiet_past(), event(6000 + 63 * 1440)])["silence"] == pytest.approx(np.log1p(63), abs=0.05)
    assert last([event(i * 60 * 24 * 7) for i in range(20)])["silence"] == 0.0


def test_size_jump_reads_counts_and_not_identifiers():
    small = [event(i, kind="db:query", details='{"row_count":20,"accountId":"123456789012"}') for i in range(40)]
    row = last([*small, event(60, kind="db:query", details='{"row_count":200000,"accountId":"123456789012"}')])
    assert (row["size"], row["size_before"]) == (200_000.0, pytest.approx(20.0))
    assert row["size_jump"] == pytest.approx(4.0, abs=0.1)


def test_details_new_for_the_actor():
    past = [event(i, details=f'{{"region":"north","request":"r{i}"}}') for i in range(100)]
    row = last([*past, event(200, details='{"region":"south","request":"r7000"}')])
    assert row["details_new_actor"] > 2.5
    # Identifiers are always new, so a new one is no surprise.
    assert last([*past, event(200, details='{"region":"north","request":"r7000"}')])["details_new_actor"] < 0.3


def test_events_without_actor_are_one_group():
    assert last([event(i, actor=None) for i in range(5)])["actor_events"] == 4.0


def test_hour_out_of_habit():
    nine_to_five = [event(day * 1440 + hour * 60) for day in range(5) for hour in range(8)]
    assert (
        last([*nine_to_five, event(4 * 1440 + 18 * 60)])["hour_rare"]
        > last([*nine_to_five, event(7 * 1440)])["hour_rare"]
    )


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("iam:PutUserPolicy", 0.7, 0.9),
        ("cloudtrail:StopLogging", 0.9, 1.0),
        ("iam:CreateAccessKey", 0.7, 0.9),
        ("New-InboxRule", 0.7, 0.9),
        ("Add member to role.", 0.8, 0.9),
        ("user.mfa.disabled", 0.7, 0.9),
        ("customer.export", 0.6, 0.8),
        ("ec2:DescribeInstances", 0.0, 0.2),
        ("iam:ListAttachedRolePolicies", 0.0, 0.2),
        ("patient.record.viewed", 0.0, 0.2),
        ("UserLoggedIn", 0.2, 0.3),
        ("test_event", 0.0, 0.3),
        ("§§§", 0.0, 0.3),
    ],
)
def test_meaning_comes_from_the_words(kind, least, most):
    assert least <= meaning(kind, "").risk <= most


def test_risk_of_a_frame_follows_its_rows():
    events = frame([event(0), event(1, kind="cloudtrail:StopLogging"), event(2), event(3, outcome=None)])
    assert add_risk(events).to_list() == [0.12, 0.95, 0.12, 0.12]


def test_actor_features_sum_up_a_day():
    monday = [event(0), event(1, kind="file:write", outcome="denied"), event(2, entity_id="f2", ip_index=None)]
    tuesday = [event(1440 + 600), event(1440, actor="bob")]
    events = frame([*monday, *tuesday])
    days = actor_features(events, compute_features(events))
    counts = ("events", "failures", "event_types", "entities", "networks", "first_times")
    assert days.select(counts).row(0, named=True) == {
        "events": 3, "failures": 1, "event_types": 2, "entities": 2, "networks": 1, "first_times": 2,
    }  # fmt: skip
    assert len(days) == 3
    assert days.filter(actor_ref="ann")["off_hours_share"].to_list() == [0.0, 1.0]
    assert days.filter(actor_ref="ann")["first_times"].to_list() == [2, 0]


def test_doing_what_others_do_for_days_is_unlike_the_actor():
    past = [event(i * 30, actor=("ann", "bob")[i % 2], kind=("file:read", "billing:close")[i % 2]) for i in range(400)]
    swapped = [event(24_000 + day * 1440, kind="billing:close") for day in range(5)]
    values = compute_features(frame([*past, *swapped]))["unlike_7d"].to_list()
    assert max(values[100:400]) < 1.0
    assert values[-1] > values[-4] > 2.0


def test_nobody_is_unlike_while_others_are_hardly_known():
    alone = [event(i, kind=f"file:{i % 40}") for i in range(100)]
    stranger = [event(101 + i, actor="bob") for i in range(3)]
    again = [event(110 + i, kind=f"file:{i % 40}") for i in range(20)]
    values = compute_features(frame([*alone, *stranger, *again]))
    assert values["unlike_24h"].max() < 1.0
    assert values["unlike_7d"].max() < 1.0


def test_one_stranger_after_another_is_strange_and_the_usual_file_is_not():
    files = [event(i * 30, entity_id=f"f{i % 5}") for i in range(300)]
    others = [event(i * 30 + 5, actor=f"p{i % 9}", entity_id=f"g{i % 9}.{i // 9 % 6}") for i in range(300)]
    past = sorted((*files, *others), key=lambda each: each["occurred_at"])
    theft = [event(9_100 + i, entity_id=f"g{i}.0") for i in range(6)]
    values = compute_features(frame([*past, *theft, event(9_400, entity_id="f1")]))
    assert values["strange_1h"][-2] > values["strange_1h"][-6] > 0.5
    assert values["strange_1h"][-1] == 0.0
    assert values["strange_place"][-2] > 2.0


def test_larger_numbers_than_usual_for_the_kind_add_up():
    past = [event(i * 30, kind="report:export", details=f'{{"rows":{50 + 30 * (i % 4)}}}') for i in range(100)]
    exports = [event(3_100 + i, kind="report:export", details='{"rows":900}') for i in range(5)]
    values = compute_features(frame([*past, *exports]))
    assert values["amounts_1h"][-1] > values["amounts_1h"][-5] > 1.0
    assert values["amounts_24h"][-1] > 2.0
    assert values["amounts_1h"][:100].max() < 2.0


def test_a_newcomer_is_fresh_for_hours_however_busy():
    row = last([*quiet_past(), *(event(6_001 + i, actor="eve") for i in range(6))])
    assert row["actor_fresh"] > 3.0
    assert row["actor_fresh"] > last([*quiet_past(), event(6_100)])["actor_fresh"] + 2.0
