import pytest

from audit_pipelines.intelligence.detectors import EXCHANGED, fit
from audit_pipelines.intelligence.features import SURPRISES, compute_features
from audit_pipelines.intelligence.reasons import _TEXTS, REASONS_AT_MOST, explain, severity
from tests.unit.intelligence.test_features import event, frame, quiet_past


def told(events):
    features = compute_features(frame(events))
    return explain(features.tail(1), fit(features.head(len(features) - 1), seed=1))[0]


def texts(events):
    return " | ".join(each.text for each in told(events))


def test_a_first_grant_says_so_with_the_numbers():
    text = texts([*quiet_past(), event(6000, kind="iam:PutUserPolicy")])
    assert "`iam:PutUserPolicy`" in text
    assert "of this tenant in 200 events" in text
    assert "event that changes privileges" in text


def test_the_first_of_an_actor_says_who_else_ever_did_it():
    others = [event(i * 30 + 1, actor="bob", kind="iam:PutUserPolicy") for i in range(0, 200, 3)]
    past = sorted([*quiet_past(), *others], key=lambda each: each["occurred_at"])
    text = texts([*past, event(6000, kind="iam:PutUserPolicy")])
    assert "first `iam:PutUserPolicy` by this actor (100 events in 4 days); 1 of 2 actors ever did it" in text


def test_a_jump_says_how_long_ago():
    assert "new network, 4 minutes after an event from another one" in texts(
        [*quiet_past(), event(6000), event(6004, ip_index="a" * 15 + "b" * 17)]
    )


def test_silence_and_failures_are_counted():
    assert "first event after 63 days of silence" in texts([*quiet_past(), event(5940 + 63 * 1440)])
    tries = [event(6000 + i / 10, kind="user.login", outcome="failure") for i in range(37)]
    assert "37 failures in 10 minutes, then success" in texts([*quiet_past(), *tries, event(6004, kind="user.login")])


def test_reasons_come_weightiest_first_and_few():
    reasons = told([*quiet_past(), event(6000, kind="iam:PutUserPolicy", ip_index="e" * 32, outcome="failure")])
    assert 1 <= len(reasons) <= REASONS_AT_MOST
    shares = [each.share for each in reasons]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= each <= 1 for each in shares)


@pytest.mark.parametrize("events", [[event(0)], [event(0)] * 50, [event(0, actor=None, kind="§")]])
def test_there_is_always_a_reason(events):
    features = compute_features(frame(events))
    for past in (features.head(0), features):
        assert all(1 <= len(each) <= REASONS_AT_MOST for each in explain(features, fit(past, seed=1)))


def test_every_feature_can_be_told():
    row = compute_features(frame([event(0)])).row(0, named=True)
    assert set(_TEXTS) == {*SURPRISES, EXCHANGED}
    assert all(tell(row) for tell in _TEXTS.values())


@pytest.mark.parametrize(
    ("score", "risk", "expected"),
    [(0.69, 1.0, "low"), (0.7, 0.1, "medium"), (0.99, 0.1, "high"), (0.75, 0.8, "high"), (0.95, 0.9, "critical")],
)
def test_severity_grows_with_score_and_harm(score, risk, expected):
    assert severity(score, risk) == expected
