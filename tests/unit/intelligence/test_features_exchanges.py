"""Two under each other's names are found, one who changes is not, and days are counted as the plainest code would."""

from collections import Counter, defaultdict
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from audit_pipelines.intelligence.features import advance, compute_features, exchanges
from audit_pipelines.intelligence.past import State
from tests.unit.intelligence.test_features import event, frame

DAY = 1440
HABITS = {"ann": "A", "bob": "B", "cid": "C", "dan": "D"}


def office(days, first=0, habits=HABITS, seed=4):
    """Some events a day of people with a speciality each, a third of the time another one."""
    rng = np.random.default_rng(seed + first)
    events = []
    for day in range(first, first + days):
        for actor, own in habits.items():
            for minute in sorted(rng.integers(0, 600, 4).tolist()):
                said = own if rng.random() < 0.67 else "ABCD"[rng.integers(0, 4)]
                details = f'{{"closed":{"true" if rng.random() < 0.5 else "false"},"speciality":"{said}"}}'
                kind = f"billing:{'open' if said in 'AB' else 'close'}"
                events.append(event(day * DAY + minute, actor=actor, kind=kind, details=details))
    return events


def exchanged(events, state=None):
    return compute_features(frame(sorted(events, key=lambda each: each["occurred_at"])), state)


def highest(features, days):
    """Return each actor's highest value from so many days after the start on."""
    late = features.filter((pl.col("occurred_at") - features["occurred_at"].min()).dt.total_days() >= days)
    return dict(late.group_by("actor_ref").agg(pl.col("exchanged_7d").max()).iter_rows())


def test_two_under_each_others_names_are_found_and_those_beside_them_are_not():
    swapped = {**HABITS, "ann": "C", "cid": "A"}
    found = highest(exchanged([*office(30), *office(8, 30, swapped)]), 30)
    assert found["ann"] > 2.0
    assert found["cid"] > 2.0
    assert max(found["bob"], found["dan"]) < 0.5
    assert max(highest(exchanged(office(38)), 0).values()) < 0.5


def test_one_who_takes_up_the_work_of_another_is_no_exchange():
    found = highest(exchanged([*office(30), *office(8, 30, {**HABITS, "ann": "C"})]), 30)
    assert max(found.values()) < 0.5


def test_a_burst_of_the_same_on_one_day_says_no_more_than_one_event():
    swapped = office(1, 30, {**HABITS, "ann": "C", "cid": "A"})
    once = exchanged([*office(30), *swapped])
    burst = exchanged([*office(30), *swapped, *(each for each in swapped for _ in range(50))])
    assert highest(burst, 30)["ann"] == highest(once, 30)["ann"]


def test_nobody_is_taken_for_another_before_three_weeks_are_known():
    swapped = {**HABITS, "ann": "C", "cid": "A"}
    early = exchanged([*office(13), *office(7, 13, swapped)])
    assert early["exchanged_7d"].max() == 0.0


def test_texts_that_are_hashed_otherwise_give_the_same():
    events = [*office(30), *office(4, 30, {**HABITS, "ann": "C", "cid": "A"})]
    first, second = (exchanged(events, State(seed))["exchanged_7d"] for seed in (0, 77))
    assert first.max() > 0.2
    assert first.equals(second)


@pytest.mark.parametrize("strangest", [128, 2])
def test_days_are_counted_as_a_walk_event_by_event_counts_them(monkeypatch, strangest):
    """The definition written out, and the same for a history that comes in pieces which end within a day."""
    monkeypatch.setattr(exchanges, "_STRANGEST", strangest)
    monkeypatch.setattr(exchanges, "_KNOWN_DAYS", 5)
    swapped = {**HABITS, "bob": "D", "dan": "B"}
    events = [*office(16), *office(7, 17, swapped), *office(3, 30, dict(reversed(HABITS.items())))]
    events = frame(sorted(events, key=lambda each: each["occurred_at"]))
    expected = _slowly(events, strangest)
    assert max(expected) > 0.3
    state, found = State(5), []
    for start in range(0, events.height, 47):
        piece, layer = advance(events.slice(start, 47), state)
        state = state.after(layer) if start % 3 else state.after(layer).compact()
        found += piece["exchanged_7d"].to_list()
    assert found == compute_features(events)["exchanged_7d"].to_list()
    assert found == pytest.approx(expected, abs=1e-9)


def _slowly(events, strangest):
    shown = defaultdict(set)
    answers, latest = [], {}
    for moment, actor, kind, details in events.select("occurred_at", "actor_ref", "event_type", "details").iter_rows():
        today = _day(moment)
        new = _places(kind, details) - shown[actor, today]
        shown[actor, today] |= new
        if new:
            latest[actor] = _answer(shown, actor, today, strangest)
        answers.append(latest[actor])
    return answers


def _answer(shown, actor, today, strangest):
    days = {who: {day for one, day in shown if one == who and day < today} for who, _ in shown}
    week = {who: Counter(at for day in own if day >= today - 7 for at in shown[who, day]) for who, own in days.items()}
    past = {who: Counter(at for day in own if day < today - 7 for at in shown[who, day]) for who, own in days.items()}
    everyone = sum((past[who] + week[who] for who in days), Counter())
    lasted = {who: sum(day >= today - 7 for day in own) for who, own in days.items()}
    known = [who for who, own in days.items() if lasted[who] and sum(day < today - 7 for day in own) >= 5]

    def like(who, place):
        key = place[0]
        share = (everyone[place] + 0.5) / (sum(n for at, n in everyone.items() if at[0] == key) + 1)
        own = sum(n for at, n in past[who].items() if at[0] == key)
        ratio = np.log((past[who][place] + 8 * share) / (own + 8)) - np.log(share)
        return round(float(np.clip(ratio, -3, 3)) * 1024)

    def better(of, than, times):
        return sum(n * (like(of, at) - like(than, at)) for at, n in times.items())

    strange = {who: -sum(n * like(who, at) for at, n in week[who].items()) / np.sqrt(lasted[who] + 3) for who in known}
    if len(known) > strangest:
        limit = sorted(strange.values())[-strangest - 1]
        known = [who for who in known if strange[who] > limit]
    if actor not in known:
        return 0.0
    so_far = Counter(shown[actor, today])
    both = [
        min(
            better(who, actor, week[actor] + so_far) / np.sqrt(lasted[actor] + 4),
            better(actor, who, week[who]) / np.sqrt(lasted[who] + 3),
        )
        for who in known
        if who != actor
    ]
    return max([0.0, *both]) / 1024


def _places(kind, details):
    def number(text, below):
        return int(exchanges._number(pl.Series([text]), below)[0])

    leaves = [each.strip("{}") for each in details.split(",")]
    names = [each.split('"')[1] for each in leaves]
    said = {(number(name, 32), number(each, 32)) for name, each in zip(names, leaves, strict=True)}
    return {*said, ("kind", number(kind, 128)), ("any",)}


def _day(moment: datetime) -> int:
    return int(moment.timestamp() // 86_400)
