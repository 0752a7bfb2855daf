"""What an adversary or a broken clock does to the detector: it may bend, it must not go blind or mad."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from audit_pipelines.intelligence.detectors import SCORE_THRESHOLD_DEFAULT, walk_forward
from audit_pipelines.intelligence.features import compute_features
from tests.unit.intelligence.test_features import event, frame

DAY = 1440.0


def office(days, people=10, each=14, seed=6):
    random = np.random.default_rng(seed)
    kinds = ["file:read", "file:list", "crm:customer.view", "user.login", "file:update"]
    events = []
    for day in range(days):
        for who in range(people):
            for _ in range(each):
                minute = day * DAY + float(random.uniform(0, 480))
                kind = kinds[int(random.integers(0, 3 + who % 3))]
                more = {"entity_id": f"f{random.integers(0, 12)}", "ip_index": f"{who:032x}"}
                events.append(event(minute, actor=f"p{who}", kind=kind, **more))
    return events


def scores(events, wanted):
    """Return the walk-forward scores of the events for which `wanted` holds, in order of time."""
    ordered = sorted(events, key=lambda each: each["occurred_at"])
    scored = walk_forward(compute_features(frame(ordered)), seed=1)["score"].to_numpy()
    return scored[[wanted(each) for each in ordered]], scored


def stolen(minute):
    """Somebody with p3's key, elsewhere, makes himself at home."""
    kinds = ("iam:CreateAccessKey", "iam:AttachUserPolicy", "audit:log.disable")
    return [event(minute + at, actor="p3", kind=kind, ip_index="e" * 32) for at, kind in enumerate(kinds)]


def harmful(each):
    return each["ip_index"] == "e" * 32 and each["event_type"] in {"iam:AttachUserPolicy", "audit:log.disable"}


def test_an_actor_that_creeps_up_slowly_is_still_seen_when_it_strikes():
    """Two weeks of one harmless look a day from the new network buy trust in the network, not in the deed."""
    warm = [event(day * DAY + 600, actor="p3", kind="file:read", ip_index="e" * 32) for day in range(6, 20)]
    struck, every = scores([*office(20), *warm, *stolen(20 * DAY)], harmful)
    cold, _ = scores([*office(20), *stolen(20 * DAY)], harmful)
    assert max(struck) >= SCORE_THRESHOLD_DEFAULT
    # What it buys is bounded: the strike stays among the tenant's oddest half percent.
    assert (every > max(struck)).mean() < 0.005
    assert max(struck) <= max(cold) + 0.05


def test_rehearsing_the_deed_alerts_at_the_rehearsal():
    rehearsed = [
        event(day * DAY + 600, actor="p3", kind="iam:AttachUserPolicy", ip_index="e" * 32) for day in (8, 9, 10)
    ]
    seen, _ = scores([*office(12), *rehearsed], harmful)
    assert seen[0] >= SCORE_THRESHOLD_DEFAULT


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_a_day_off_neither_hides_an_attack_nor_floods(days):
    """One person's machine is a day off from day 10 on; the attack comes through it."""
    events = [*office(14), *stolen(13 * DAY)]
    skewed = [
        {**each, "occurred_at": each["occurred_at"] + timedelta(days=days)}
        if each["actor_ref"] == "p3" and each["occurred_at"] > events[0]["occurred_at"] + timedelta(days=10)
        else each
        for each in events
    ]
    struck, every = scores(skewed, harmful)
    assert max(struck) >= SCORE_THRESHOLD_DEFAULT
    assert (every >= SCORE_THRESHOLD_DEFAULT).mean() < 0.02


def test_a_flood_of_own_events_does_not_bury_the_deed():
    """3,000 harmless events in the hour before: the deed still alerts, and all that outranks it is the flood itself."""
    flood = [event(13 * DAY + at / 60, actor="p3", ip_index="e" * 32, entity_id=f"f{at % 12}") for at in range(3000)]
    events = [*office(13), *flood, *stolen(13 * DAY + 51)]
    struck, _ = scores(events, harmful)
    others, _ = scores(events, lambda each: each["ip_index"] != "e" * 32)
    assert max(struck) >= SCORE_THRESHOLD_DEFAULT
    assert (others > max(struck)).mean() < 0.005


def test_three_events_never_alert_and_a_first_day_hardly():
    assert walk_forward(compute_features(frame([event(0), event(1), event(2)])), seed=1)["score"].max() < 0.7
    first_day = pl.Series(scores(office(1), lambda _: True)[0])
    assert (first_day >= SCORE_THRESHOLD_DEFAULT).sum() <= 2
