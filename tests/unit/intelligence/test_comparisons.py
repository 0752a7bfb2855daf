"""Which earlier events an anomaly is set beside."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from audit_pipelines.intelligence.comparisons import compare

START = datetime(2026, 11, 20, tzinfo=UTC)


def events(*given):
    """Return events frame of (seq, minute, actor, kind, network, outcome)."""
    return pl.DataFrame(
        [
            {
                "seq": seq,
                "row_hash": f"{seq:064x}",
                "occurred_at": START + timedelta(minutes=minute),
                "actor_ref": actor,
                "event_type": kind,
                "outcome": outcome,
                "ip_index": network and network * 16 + "0" * 16,
            }
            for seq, minute, actor, kind, network, outcome in given
        ],
        schema_overrides={"ip_index": pl.String(), "actor_ref": pl.String(), "outcome": pl.String()},
    )


PAST = events(
    (0, 0, "a", "read", "1", None),
    (1, 1, "a", "read", "1", None),
    (2, 2, "a", "grant", "1", None),
    (3, 3, "b", "grant", "2", None),
    (4, 4, "a", "read", "2", None),
    (5, 5, "a", "login", "1", "failure"),
    (6, 6, "a", "login", "1", "denied"),
    (7, 7, "a", "grant", "1", "success"),
    # Came late: it lies before the one above in time.
    (8, 6.5, "a", "read", None, None),
)


def parts(seq, told=(), frame=PAST):
    (found,) = compare([seq], frame, [told])
    return [(one.part, one.seq) for one in found]


def test_each_part_is_the_newest_of_its_kind_before_the_event():
    assert parts(7) == [("previous", 8), ("last_of_kind", 2), ("last_from_network", 6), ("usual", 8)]
    assert parts(4) == [("previous", 2), ("last_of_kind", 1), ("other_network", 2)]


def test_failures_and_the_start_of_a_burst_are_named_where_reasons_speak_of_them():
    assert parts(7, ["success_after_failures"])[-2:] == [("failure", 5), ("failure", 6)]
    assert parts(7, ["burst_1h"])[-1] == ("burst", 0)
    assert parts(7, ["burst_10m"])[-1] == ("burst", 0)


def test_the_first_event_of_an_actor_and_events_of_nobody():
    assert parts(0) == []
    nobody = events((0, 0, None, "read", None, None), (1, 1, None, "grant", None, None))
    assert parts(1, frame=nobody) == [("previous", 0), ("usual", 0)]


def test_an_event_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        parts(99)
