"""Which earlier events an anomaly is set beside."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from audit_pipelines.intelligence import comparisons
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


def plainly(own, rows, told):
    """Look at what is before one event, row by row."""
    past = [row for row in rows[: rows.index(own)] if row["actor"] == own["actor"]]
    near = past[-1_000:]
    placed = [row for row in past if row["network"] and own["network"]][-1:]
    kinds = Counter(row["event_type"] for row in near)
    usual = max(kinds, key=kinds.get, default=None)
    found = {
        "previous": past[-1:],
        "last_of_kind": [row for row in past if row["event_type"] == own["event_type"]][-1:],
        "last_from_network": [row for row in past if own["network"] and row["network"] == own["network"]][-1:],
        "other_network": [row for row in placed if row["network"] != own["network"]],
        "usual": [row for row in near if row["event_type"] == usual != own["event_type"]][-1:],
    }
    if "success_after_failures" in told:
        lately = [row for row in near if own["occurred_at"] - row["occurred_at"] <= timedelta(minutes=10)]
        found["failure"] = [row for row in lately if row["outcome"] in {"failure", "denied"}][-5:]
    if "burst_1h" in told:
        found["burst"] = [row for row in near if own["occurred_at"] - row["occurred_at"] <= timedelta(hours=1)][:1]
    return [(part, row["seq"], row["row_hash"]) for part, those in found.items() for row in those]


@pytest.mark.parametrize(("minutes", "kinds"), [(20, 3), (2_000, 3), (20_000, 40)])
def test_many_at_once_are_what_each_alone_is_by_the_rule(minutes, kinds, monkeypatch):
    """A loud actor has more than the 1,000 events that are looked back upon; ties in time, kind and network abound."""
    monkeypatch.setattr(comparisons, "_CELLS_AT_ONCE", 20_000)
    dice = random.Random(minutes)
    frame = events(
        *(
            (
                seq,
                dice.randrange(minutes),
                dice.choice(["loud"] * 9 + ["b", "c", "", None]),
                f"kind {min(dice.randrange(kinds), dice.randrange(kinds))}",
                dice.choice(["1", "2", "3", "", None]),
                dice.choice([None, "success", "failure", "denied"]),
            )
            for seq in dice.sample(range(9_000), 3_000)
        )
    )
    rows = [
        {**row, "actor": row["actor_ref"] or "", "network": (row["ip_index"] or "")[:16]}
        for row in frame.sort("occurred_at", "seq").iter_rows(named=True)
    ]
    asked = dice.sample(rows, 150)
    told = [dice.sample(["success_after_failures", "burst_1h", "silence"], dice.randrange(3)) for _ in asked]
    found = compare([own["seq"] for own in asked], frame, told)
    assert [[(one.part, one.seq, one.row_hash) for one in each] for each in found] == [
        plainly(own, rows, reasons) for own, reasons in zip(asked, told, strict=True)
    ]
