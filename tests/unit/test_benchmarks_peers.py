"""The tables of the benchmark's peers: nothing that a program told is left out of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.peer_programs import subject

EVERYTHING = {"found": [[kind, "", True, ""] for kind in subject.KINDS], "not_applicable": {}}


def measured(
    name: str, rate: float = 100.0, written: Mapping[str, Any] | None = None, **tampering: Any
) -> peers.Measured:
    return peers.Measured(
        name,
        "1.0",
        {"single": [rate] * 3, "bulk": [rate] * 3, "verify": [rate / 2, rate, rate * 2]},
        {"by 8 processes": written or {"stored": 800, "refused": 0, "intact": True}},
        {**EVERYTHING, "alarm_after_an_append": False, **tampering},
    )


def line(lines: list[str], start: str) -> str:
    return next(text for text in lines if text.startswith(start))


def test_ratios_are_ours_by_theirs() -> None:
    lines = list(peers.tables([measured("ours", 300.0), measured("slow", 100.0), measured("fast", 600.0)]))
    assert line(lines, "   ours ÷ theirs").split()[-2:] == ["3.0", "0.5"]
    assert "100 (50 to 200)" in line(lines, "verify rows/s")


def test_events_that_are_neither_stored_nor_refused_are_lost() -> None:
    written = {"stored": 98, "refused": 700, "intact": False}
    lines = list(peers.tables([measured("ours"), measured("other", written=written)]))
    assert line(lines, "800 events by 8 processes").endswith("98 stored, 700 refused, 2 lost, NOT INTACT")


def test_what_is_unseen_or_not_applicable_is_told_below_the_table() -> None:
    found = [[subject.COLUMN, "actor", False, ""], [subject.COLUMN, "at", True, ""], [subject.LAST, "", False, ""]]
    other = measured(
        "other",
        found=found + [[kind, "", True, ""] for kind in subject.KINDS if kind not in {subject.COLUMN, subject.LAST}],
        not_applicable={subject.KEY: "nothing is signed"},
        alarm_after_an_append=True,
    )
    lines = list(peers.tables([measured("ours"), other]))
    assert line(lines, subject.COLUMN).endswith("1 of 2")
    assert line(lines, subject.LAST).endswith("unseen")
    assert line(lines, "alarm at an honest append").endswith("FALSE ALARM")
    assert f"{subject.COLUMN}, other: unseen actor" in lines
    assert f"{subject.KEY}, other: not applicable, nothing is signed" in lines


def test_a_kind_that_a_program_says_nothing_of_is_no_success() -> None:
    with pytest.raises(ValueError, match=f"other says nothing of: {subject.COLUMN}"):
        list(peers.tables([measured("ours"), measured("other", found=[])]))


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path)
    with pytest.raises(peers.PeersMissingError, match="ledgerchain, auditchain, nodii-audit-chain in"):
        peers.versions()
