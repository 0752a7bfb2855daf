from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence import detectors
from audit_pipelines.intelligence.detectors import (
    ALERT_BUDGET,
    FAMILIES,
    SCORE_THRESHOLD_DEFAULT,
    Detector,
    ModelBlock,
    blocks,
    contributions,
    fit,
    hour_before,
    score,
    walk_forward,
)
from audit_pipelines.intelligence.features import SURPRISES, compute_features
from tests.unit.intelligence.test_features import START, event, frame


@pytest.fixture(scope="module")
def office():
    """Twelve people over ten days, each with habits of their own, some noise, nobody evil."""
    random = np.random.default_rng(5)
    kinds = ["file:read", "file:list", "crm:customer.view", "user.login", "file:update", "report:view"]
    events = []
    for day in range(10):
        for who in range(12):
            for _ in range(16):
                minute = day * 1440 + float(random.uniform(0, 480))
                kind = kinds[int(random.integers(0, 3 + who % 4))]
                more = {"entity_id": f"f{random.integers(0, 15)}", "ip_index": f"{who:032x}"}
                more["outcome"] = "failure" if random.uniform() < 0.02 else "success"
                events.append(event(minute, actor=f"p{who}", kind=kind, **more))
    return sorted(events, key=lambda each: each["occurred_at"])


@pytest.fixture(scope="module")
def features(office):
    return compute_features(frame(office))


def same(left: Detector, right: Detector) -> bool:
    pairs = zip(left.to_arrays().items(), right.to_arrays().items(), strict=True)
    return all(a == b and x.dtype == y.dtype and x.tobytes() == y.tobytes() for (a, x), (b, y) in pairs)


def test_same_features_and_seed_give_the_same_arrays_bit_by_bit(features):
    first = fit(features, seed=4)
    assert same(first, fit(features, seed=4))
    assert same(first, fit(features.sample(fraction=1.0, shuffle=True, seed=1), seed=4))
    assert not same(first, fit(features, seed=5))


def test_arrays_survive_storage_without_pickle(features, tmp_path):
    detector = fit(features, seed=4)
    np.savez(tmp_path / "model.npz", **detector.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again = Detector.from_arrays(dict(stored))
    assert same(detector, again)
    assert (score(again, features) == score(detector, features)).all()


def test_a_detector_of_other_features_is_refused(features):
    arrays = fit(features, seed=4).to_arrays()
    with pytest.raises(ValidationError, match="train again"):
        Detector.from_arrays({**arrays, "names": arrays["names"][:-1]})
    del arrays["grid"]
    with pytest.raises(ValidationError, match="none named grid"):
        Detector.from_arrays(arrays)


def test_threshold_is_met_by_about_the_budget_of_the_past(features):
    # Long enough that the tenant's own past outweighs the prior, which alone would find so quiet an office dull.
    past = pl.concat([features] * 15)
    scores = score(fit(past, seed=4), past)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert 0.4 * ALERT_BUDGET < (scores >= SCORE_THRESHOLD_DEFAULT).mean() < 2.5 * ALERT_BUDGET


def test_an_attack_scores_over_the_threshold_and_a_usual_event_does_not(office, features):
    end = 10 * 1440
    attack = [
        event(end + 1, actor="p3", kind="user.login", ip_index="e" * 32),
        event(end + 2, actor="p3", kind="iam:CreateAccessKey", ip_index="e" * 32),
        event(end + 3, actor="p3", kind="audit:log.disable", ip_index="e" * 32),
    ]
    usual = event(end + 5, actor="p5", kind="file:read", ip_index=f"{5:032x}", entity_id="f1")
    scored = walk_forward(compute_features(frame([*office, *attack, usual])), seed=4)["score"].to_list()[-4:]
    assert min(scored[1:3]) > SCORE_THRESHOLD_DEFAULT
    assert scored[3] < 0.5


def test_meaning_lifts_the_score_of_an_equally_odd_event(office):
    def new_kind(kind):
        events = frame([*office, event(14_401, actor="p3", kind=kind, ip_index=f"{3:032x}")])
        return walk_forward(compute_features(events), seed=4)["score"][-1]

    assert new_kind("audit:log.disable") > new_kind("calendar:view") + 0.02


def test_a_flood_of_one_odd_event_ranks_lower_the_longer_it_lasts(office):
    flood = [event(14_401 + i / 10, actor="p3", kind="iam:CreateAccessKey", ip_index=f"{3:032x}") for i in range(30)]
    features = compute_features(frame([*office, *flood]))
    scores = walk_forward(features, seed=4)["score"].to_list()[-30:]
    assert scores[0] > SCORE_THRESHOLD_DEFAULT
    # Five of them within a minute are odder than one.
    assert np.argmax(scores) < 5
    assert scores[29] < scores[19] < scores[9] < scores[4]
    detector = fit(features, seed=4)
    once = features.tail(1).with_columns(repeats_1h=pl.lit(0.0))
    assert score(detector, once)[0] > score(detector, features.tail(1))[0]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_hardly_any_event_scores_sanely(n):
    features = compute_features(frame([event(i) for i in range(n)]))
    scored = walk_forward(features, seed=1)
    assert scored.schema == {"seq": pl.Int64, "score": pl.Float64, "model": pl.Int32}
    assert all(0 <= each < SCORE_THRESHOLD_DEFAULT for each in scored["score"])
    assert len(score(fit(features, seed=1), features)) == n


def test_identical_events_never_alert():
    features = compute_features(frame([event(0) for _ in range(300)]))
    assert walk_forward(features, seed=1)["score"].max() < SCORE_THRESHOLD_DEFAULT
    assert score(fit(features, seed=1), features).max() < SCORE_THRESHOLD_DEFAULT


def test_the_first_day_of_a_tenant_does_not_scream(office):
    scores = walk_forward(compute_features(frame(office[:120])), seed=1)["score"]
    assert (scores >= SCORE_THRESHOLD_DEFAULT).sum() <= 2


def test_the_prior_alone_ranks_by_harm():
    events = [event(0), event(1, kind="audit:log.disable", actor="eve")]
    prior = fit(compute_features(frame([])), seed=1)
    usual, harmful = score(prior, compute_features(frame(events)))
    assert harmful > usual


def test_blocks_cover_every_event_once_and_a_longer_history_keeps_the_plan():
    for events in (0, 1, 49, 50, 51, 100, 1234, 1_000_000):
        planned = blocks(events)
        assert sum(each.last - each.first + 1 for each in planned) == events
        assert all(each.fitted_events == each.first for each in planned)
    assert len(blocks(1_000_000)) < 30
    assert blocks(5000)[:-1] == blocks(9000)[: len(blocks(5000)) - 1]


def test_each_model_is_handed_over_with_its_block(features):
    met: list[tuple[ModelBlock, Detector]] = []
    scored = walk_forward(features, seed=1, on_model=lambda block, detector: met.append((block, detector)))
    assert [block for block, _ in met] == blocks(len(features))
    block, detector = met[-1]
    assert detector.fitted_events == block.fitted_events
    part = features.slice(block.first, block.last - block.first + 1)
    assert (score(detector, part) == scored["score"].to_numpy()[block.first :]).all()


def test_every_surprise_belongs_to_one_family(features):
    named = [name for family in FAMILIES.values() for name in family.features]
    assert sorted(named) == sorted(SURPRISES)
    assert contributions(fit(features, seed=1), features).shape == (len(features), len(SURPRISES))


def test_oddness_is_monotone(features):
    detector = fit(features, seed=4)
    base = features.tail(1)
    steps = [base.with_columns(type_new_actor=pl.lit(float(x)), seq=pl.lit(x)) for x in range(8)]
    tails = contributions(detector, pl.concat(steps))[:, SURPRISES.index("type_new_actor")]
    assert (np.diff(tails) >= 0).all()
    assert START + timedelta(days=9) < base["occurred_at"][0]


def test_a_score_does_not_depend_on_rows_of_another_hour(features):
    detector = fit(features, seed=0)
    times = 70_000 // features.height + 1
    later = [features.with_columns(pl.col("occurred_at") + timedelta(days=20 * each)) for each in range(times)]
    alone = score(detector, features)
    assert (score(detector, pl.concat(later)).reshape(-1, features.height) == alone).all()


@pytest.fixture(scope="module")
def visited(office):
    """The same office, and an hour in which one of them does harm nine times and another one once, a minute later."""
    kinds = ("CreateUser", "CreateAccessKey", "AttachUserPolicy", "DeleteTrail", "StopLogging", "PutBucketPolicy")
    own = [event(14_401 + i, actor="p3", kind=f"iam:{kinds[i % 6]}{i // 6}", ip_index="e" * 32) for i in range(9)]
    other = event(14_411, actor="p5", kind="iam:DeleteRole", ip_index="f" * 32)
    return compute_features(frame([*office, *own, other]))


def test_after_four_clear_events_the_rest_of_an_hour_ranks_behind_anothers_first(visited):
    detector = fit(visited.head(visited.height - 10), seed=4)
    scores = score(detector, visited)[-10:]
    alone = np.array([score(detector, visited[row])[0] for row in range(visited.height - 10, visited.height)])
    followed = np.flatnonzero(scores < alone)
    assert len(followed) >= 3
    assert followed[0] >= 5
    assert 9 not in followed
    assert (scores[followed] >= SCORE_THRESHOLD_DEFAULT).all()
    assert scores[9] > scores[followed].max()
    # An hour later they count no more.
    intruder = pl.lit(visited["actor_ref"][-2])
    later = visited.tail(1).with_columns(pl.col("occurred_at") + timedelta(hours=1), actor_ref=intruder)
    assert score(detector, pl.concat([visited, later]))[-1] == scores[9]


def test_what_alerts_of_itself_alerts_after_any_number_of_others(office, monkeypatch):
    kinds = ("CreateUser", "CreateAccessKey", "AttachUserPolicy", "DeleteTrail", "StopLogging")
    long = [
        event(14_401 + at / 10, actor="p3", kind=f"iam:{kinds[at % 5]}", ip_index="e" * 32, entity_id=f"k{at}")
        for at in range(500)
    ]
    features = compute_features(frame([*office, *long]))
    detector = fit(features.head(features.height - 500), seed=4)
    # In this office they would alert anyway; with all that trees find taken off, hardly one would.
    monkeypatch.setattr(detectors, "_CLEAR_ODDS", -8.0)
    monkeypatch.setattr(detectors, "_CLEAR_DAMPING", 1e6)
    together = score(detector, features)[-500:]
    alone = np.array([score(detector, features[row])[0] for row in range(features.height - 500, features.height)])
    assert (together[alone >= SCORE_THRESHOLD_DEFAULT] >= SCORE_THRESHOLD_DEFAULT).all()
    assert (together < alone).sum() > 100


def test_a_score_is_the_same_wherever_a_history_is_cut(visited):
    detector = fit(visited.head(visited.height - 10), seed=4)
    whole = score(detector, visited)
    assert hour_before(visited, 0) == 0
    assert hour_before(visited, visited.height) == visited.height
    for first in (1, 700, *range(visited.height - 9, visited.height)):
        since = hour_before(visited, first)
        assert (score(detector, visited.slice(since), lead=first - since) == whole[first:]).all()
    assert hour_before(visited, visited.height - 1) == visited.height - 10
