"""New, late and old events: what is derived from a history that came in pieces is what is derived from it at once."""

import random
import shutil
import uuid
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from audit_pipelines.derive import changes, features, scoring
from audit_pipelines.derive.window import Redo
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.lake import versions
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.event import Event

DERIVED = ("event_features", "actor_features", "event_scores")


@pytest.fixture(scope="module")
def story() -> list[Event]:
    """1,200 events of a small company, in order of time."""
    events = generate(6, datetime(2026, 11, 20, tzinfo=UTC), days=6, people=24, services=8).events[:1200]
    return sorted(events, key=lambda event: event.occurred_at)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts as small as the history, so that there are several."""
    monkeypatch.setattr(versions, "_SMALLEST", 64)
    monkeypatch.setattr(versions, "PART_ROWS", 512)
    monkeypatch.setattr(features, "_DAYS_AT_ONCE", 256)


def _derive(installation: Installation) -> None:
    export_window(installation, date(2025, 1, 1), datetime.now(UTC).date() + timedelta(days=1), run_id="test")
    features.update_event_features(installation, run_id="test")
    features.update_actor_features(installation, run_id="test")
    scoring.score_events(installation, run_id="test")


def _derived(lake: Lake, tenant_id: uuid.UUID) -> dict[str, pl.DataFrame]:
    # Which of two equal models of the same events scored has no say in the score.
    found = {dataset: lake.read(dataset, tenant_id) for dataset in DERIVED}
    return found | {"actor_features": found["actor_features"].sort("day", "actor_ref", nulls_last=True)}


def test_any_arrival_gives_what_all_at_once_gives(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    lake = Lake(installation.settings.lake_dir)
    chance = random.Random(3)
    waiting = [event for event in story if chance.random() < 0.05]
    late = {event.event_id for event in waiting}
    in_time = [event for event in story if event.event_id not in late]
    for at in (0, 500, 700, 710, 1100):
        end = {0: 500, 500: 700, 700: 710, 710: 1100, 1100: len(in_time)}[at]
        installation.ledger.append(tenant_id, in_time[at:end])
        _derive(installation)
    installation.ledger.append(tenant_id, waiting)
    installation.access_log.record(tenant_id, Access(actor="auditor", action="events.list", filters={}, result_count=0))
    _derive(installation)
    in_pieces = _derived(lake, tenant_id)
    assert len(lake.files("event_features", tenant_id)) > 2

    for dataset in DERIVED:
        shutil.rmtree(lake.root / dataset)
    shutil.rmtree(lake.root / versions.VERSIONS)
    _derive(installation)
    at_once = _derived(lake, tenant_id)
    assert at_once["event_scores"].height == len(story) + 1
    for dataset in DERIVED:
        assert in_pieces[dataset].equals(at_once[dataset]), dataset


def test_new_events_cost_themselves_and_late_ones_what_follows(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    lake = Lake(installation.settings.lake_dir)
    installation.ledger.append(tenant_id, story[:1000])
    _derive(installation)
    first = {dataset: lake.version(dataset, tenant_id) for dataset in DERIVED}
    (everything,) = changes.unread_scores(lake, "test 0.7")
    assert everything.ranges == [(0, 999)]
    changes.mark_read(lake, "test 0.7", everything)

    installation.ledger.append(tenant_id, story[1000:1020])
    _derive(installation)
    second = {dataset: lake.version(dataset, tenant_id) for dataset in DERIVED}
    for dataset in ("event_features", "event_scores"):
        assert second[dataset].parts[:2] == first[dataset].parts[:2], dataset
    (changed,) = changes.unread_scores(lake, "test 0.7")
    assert changed.ranges == [(1000, 1019)]
    assert changes.unread_scores(lake, "test 0.7") == [changed]
    changes.mark_read(lake, "test 0.7", changed)
    assert changes.unread_scores(lake, "test 0.7")[0].ranges == []
    assert changes.unread_scores(lake, "test 0.8")[0].ranges == [(0, 1019)]

    _derive(installation)
    # Nothing new writes nothing.
    assert {dataset: lake.version(dataset, tenant_id) for dataset in DERIVED} == second
    before = second["event_features"]
    late = Event(event_type="a.b", entity_type="c", entity_id="d", actor="x", occurred_at=story[990].occurred_at)
    installation.ledger.append(tenant_id, [late])
    _derive(installation)
    after = lake.version("event_features", tenant_id)
    assert after.parts[0] == before.parts[0]
    (changed,) = changes.unread_scores(lake, "test 0.7")
    assert changed.ranges[-1][1] == 1020
    assert 20 < sum(last - first + 1 for first, last in changed.ranges) < 40


def test_each_part_is_in_the_lineage_by_its_digest(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    lake = Lake(installation.settings.lake_dir)
    installation.ledger.append(tenant_id, story[:300])
    _derive(installation)
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute("select output_key, encode(output_digest, 'hex') from audit_lineage").fetchall()
    for dataset in DERIVED:
        version = lake.version(dataset, tenant_id)
        for part in version.parts:
            folder = f"lake/{dataset}/tenant_id={tenant_id}"
            assert (f"{folder}/{part.name}", part.digest) in rows
            assert part.carried is None or (f"{folder}/{part.carried}", part.carried_digest) in rows


def test_other_code_or_another_history_makes_everything_anew(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(installation.settings.lake_dir)
    installation.ledger.append(tenant_id, story[:300])
    _derive(installation)
    before = lake.version("event_features", tenant_id)
    features.update_event_features(installation, run_id="test", redo=Redo(tenant_id, {"kind": "test"}))
    redone = lake.version("event_features", tenant_id)
    assert not before.folder.exists()
    assert [part.digest for part in redone.parts] == [part.digest for part in before.parts]
    monkeypatch.setattr(features, "_HASH", "another polars")
    features.update_event_features(installation, run_id="test")
    assert lake.version("event_features", tenant_id).notes != redone.notes
    monkeypatch.setattr("audit_pipelines.derive.lineage.code_version", lambda: "other code")
    _derive(installation)
    assert all(lake.stamp(dataset, tenant_id).code_version == "other code" for dataset in DERIVED)
