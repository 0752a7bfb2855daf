"""The importers on real logs, where these are at hand."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.run import ImportSummary, run_import
from audit_pipelines.ledger.event import Event

DATA = Path(os.environ.get("AUDIT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real logs are not here; set AUDIT_TEST_DATA to their folder"),
]


@dataclass(frozen=True)
class Result:
    stored: int
    duplicates: int


def run(fmt: str, name: str) -> tuple[ImportSummary, list[Event]]:
    events: list[Event] = []

    def append(batch: Sequence[Event]) -> Result:
        events.extend(batch)
        return Result(len(batch), 0)

    return run_import([DATA / name], FORMATS[fmt], append), events


@pytest.mark.parametrize(
    ("fmt", "name", "records"),
    [
        ("cloudtrail", "cloudtrail-stratus", 310),
        ("cloudtrail", "cloudtrail-otrf", 103),
        ("ndjson", "hospital-billing", 49_951),
        ("ndjson", "panther-rule-tests", 1_337),
    ],
)
def test_every_record_becomes_one_event_with_an_id_of_its_own(fmt: str, name: str, records: int) -> None:
    summary, events = run(fmt, name)
    assert summary.faults == ()
    assert (summary.records, summary.stored, summary.duplicates) == (records, records, 0)
    assert len({event.event_id for event in events}) == records
    assert all(event.occurred_at for event in events)


def test_stratus_is_mapped() -> None:
    _, events = run("cloudtrail", "cloudtrail-stratus")
    assert all(event.ip_address and event.actor for event in events)
    assert Counter(event.outcome for event in events) == {"success": 258, "denied": 51, "failure": 1}
    assert sum(event.entity_type == "account" for event in events) < 150
    for event in events:
        for secret in ("credentials/sessionToken", "tokenValue"):
            value: object = event.details
            for part in f"responseElements/{secret}".split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            assert value is None or f"/responseElements/{secret}" in event.sealed_fields


def test_the_incidents_role_is_one_actor() -> None:
    _, events = run("cloudtrail", "cloudtrail-otrf")
    assert sum("role/MordorNginxStack-BankingWAFRole" in (event.actor or "") for event in events) == 11


def test_ports_are_cut_off_and_kept() -> None:
    _, events = run("ndjson", "panther-rule-tests")
    kept = [event for event in events if event.details and "source_address" in event.details]
    assert len(kept) >= 5
    assert all("/source_address" in event.sealed_fields for event in kept)
