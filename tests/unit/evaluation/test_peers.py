from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from audit_pipelines.evaluation.peers import COUNTS, PEERS, ecod, hbos, plain_counts


def test_counts_by_hand():
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    events = pl.DataFrame(
        {
            "seq": [0, 1, 2, 3],
            "occurred_at": [start, start + timedelta(minutes=30), start + timedelta(minutes=80), start],
            "actor_ref": ["a", "a", "a", None],
            "event_type": ["x", "y", "x", "x"],
            "entity_type": ["f"] * 4,
            "entity_id": ["1", "1", "2", "1"],
            "outcome": ["success", "denied", "success", None],
            "ip_index": ["n" * 32, None, "m" * 32, None],
        }
    )
    rows = plain_counts(events)
    # In order of time: the actor's first event, the nobody's, the second, the third.
    named = {name: rows[:, at].tolist() for at, name in enumerate(COUNTS)}
    assert named["events_1h"] == [1, 1, 2, 2]
    assert named["events_24h"] == [1, 1, 2, 3]
    assert named["types_24h"] == [1, 1, 2, 2]
    assert named["networks_24h"] == [1, 0, 1, 2]
    assert named["failures_1h"] == [0, 0, 1, 1]
    assert named["failed"] == [0, 0, 1, 0]
    assert named["hour"] == [8, 8, 8, 9]


def test_ecod_and_hbos_by_hand():
    rows = np.array([[1.0], [2.0], [3.0], [10.0]])
    # Skewed to the right, so the right tail counts: -ln of the share at or above; the left where it is larger.
    assert np.allclose(ecod(rows), -np.log([1 / 4, 2 / 4, 2 / 4, 1 / 4]))
    assert hbos(rows)[3] > hbos(rows)[0]


def test_every_peer_puts_an_outlier_first():
    random = np.random.default_rng(2)
    rows = np.concatenate((random.normal(0, 1, (300, 3)), [[9.0, -9.0, 9.0]]))
    assert all(np.argmax(score(rows)) == 300 for score in PEERS.values())
