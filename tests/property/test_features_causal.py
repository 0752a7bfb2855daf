"""No event's features or score may depend on what had not happened yet."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipelines.intelligence.detectors import walk_forward
from audit_pipelines.intelligence.features import FEATURES, compute_features

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SCHEMA = {
    "tenant_id": pl.String,
    "seq": pl.Int64,
    "event_id": pl.String,
    "occurred_at": pl.Datetime("us", "UTC"),
    "actor_ref": pl.String,
    "event_type": pl.String,
    "entity_type": pl.String,
    "entity_id": pl.String,
    "outcome": pl.String,
    "ip_index": pl.String,
    "user_agent": pl.String,
    "details": pl.String,
}

# Steps of 0 give equal moments, so that only seq tells the order; hours and days cross every window.
steps = st.sampled_from([0, 0, 1, 30, 599, 600, 3600, 3601, 86_400, 40 * 86_400])
event = st.fixed_dictionaries(
    {
        "actor_ref": st.sampled_from([None, "a", "b", "c"]),
        "event_type": st.sampled_from(["user.login", "iam:PutUserPolicy", "file:read", "x"]),
        "entity_type": st.sampled_from(["user", "file"]),
        "entity_id": st.sampled_from(["1", "2", "3"]),
        "outcome": st.sampled_from([None, "success", "failure", "denied"]),
        "ip_index": st.sampled_from([None, "1" * 32, "1" * 16 + "2" * 16, "3" * 32]),
        "user_agent": st.sampled_from([None, "", "curl/8.1", "Mozilla/5.0 (X11) Firefox/120"]),
        "details": st.sampled_from(
            [None, "{}", '{"region":"north","rows":12}', '{"region":"south","row_count":90000}', '{"public":true}']
        ),
    }
)


def frame(events: list[dict[str, str | None]], gaps: list[int]) -> pl.DataFrame:
    moment, rows = START, []
    for seq, (each, gap) in enumerate(zip(events, gaps, strict=True)):
        moment += timedelta(seconds=gap)
        rows.append({"tenant_id": "t", "seq": seq, "event_id": str(seq), "occurred_at": moment, **each})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@st.composite
def histories(draw: st.DrawFn) -> tuple[pl.DataFrame, int]:
    size = draw(st.integers(1, 60))
    events = draw(st.lists(event, min_size=size, max_size=size))
    gaps = draw(st.lists(steps, min_size=size, max_size=size))
    return frame(events, gaps), draw(st.integers(0, size))


@settings(max_examples=80, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_features_of_a_prefix_are_the_prefix_of_the_features(history, random):
    events, cut = history
    shuffled = events.sample(fraction=1.0, shuffle=True, seed=random.randrange(1 << 30))
    whole = compute_features(shuffled)
    prefix = compute_features(events.head(cut))
    assert prefix.equals(whole.head(cut)), [
        each.name for each in FEATURES if not prefix[each.name].equals(whole[each.name].head(cut))
    ]
    assert all(whole[each.name].is_finite().all() for each in FEATURES)


@pytest.mark.parametrize("cut", [1, 49, 50, 51, 99, 100, 130])
def test_scores_of_a_prefix_are_the_prefix_of_the_scores(cut):
    kinds = ["file:read", "file:read", "file:write", "user.login", "iam:PutUserPolicy"]
    events = frame(
        [
            {
                "actor_ref": "abc"[i % 3], "event_type": kinds[i * i % 5],
                "entity_type": "file", "entity_id": str(i % 7),
                "outcome": "failure" if i % 11 == 0 else "success", "ip_index": str(i % 2) * 32, "user_agent": None,
                "details": None,
            }
            for i in range(160)
        ],
        [97 * (1 + i % 5) for i in range(160)],
    )  # fmt: skip
    features = compute_features(events)
    whole = walk_forward(features, seed=3)
    assert walk_forward(features.head(cut), seed=3).equals(whole.head(cut))
