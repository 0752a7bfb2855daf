"""Doing an anomaly again: from the ledger and the archive alone, and what was changed meanwhile."""

import shutil
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from anomaly_world import detect, one_anomaly, rows, small_company, superuser
from moved_clock import MovedClock, month

from audit_pipelines.db.database import Database
from audit_pipelines.derive import recompute, scoring
from audit_pipelines.derive.archiving import retain
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.intelligence import detectors
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.ledger.archives import DeletedArchiveError
from audit_pipelines.ledger.event import Event
from audit_pipelines.settings import Settings


@pytest.fixture(scope="module")
def story() -> list[Event]:
    return small_company()


@pytest.fixture
def odd(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> Installation:
    """An installation whose events are scored and whose anomalies are told."""
    installation.ledger.append(tenant_id, story)
    detect(installation)
    return installation


def test_every_anomaly_can_be_computed_again_from_the_ledger(odd: Installation, tenant_id: uuid.UUID) -> None:
    # The lake may lie, and be gone.
    shutil.rmtree(odd.settings.lake_dir)
    found = rows(odd, "select anomaly_id, score from audit_anomalies order by seq")
    for anomaly, score in (found[0], found[len(found) // 2], found[-1]):
        done = recompute.recompute(odd, anomaly)
        assert done.differences == ()
        assert (done.same, done.score, done.events) == (True, score, 1200)
        assert done.reasons


def test_an_anomaly_after_clear_ones_is_computed_again_with_the_hour_before_it(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    end = max(event.occurred_at for event in story if event.occurred_at) + timedelta(hours=1)
    kinds = ("CreateUser", "CreateAccessKey", "AttachUserPolicy", "CreateLoginProfile", "PutUserPolicy", "DeleteUser")
    visit = [
        Event(
            event_type=f"iam:{kind}",
            entity_type="account",
            entity_id=f"account {at}",
            actor="svc-backup",
            outcome="failure",
            occurred_at=end + timedelta(seconds=30 * at),
            ip_address="203.0.113.9",
            user_agent="curl/8.0",
        )
        for at, kind in enumerate(kinds * 2)
    ]
    installation.ledger.append(tenant_id, [*story, *visit])
    detect(installation)
    found = rows(installation, "select anomaly_id, seq, score from audit_anomalies where seq >= %s", len(story))
    assert len(found) > 6
    trail, otherwise = Lake(installation.settings.lake_dir).read("event_features", tenant_id), 0
    for anomaly, seq, score in found:
        done = recompute.recompute(installation, anomaly)
        assert (done.differences, done.score) == ((), score)
        own = trail.filter(pl.col("seq") == seq)
        otherwise += detectors.score(scoring.detector(installation, done.model_digest), own)[0] > score
    # Of their own rows alone some would have another score.
    assert otherwise


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update audit_anomalies set score = score - 0.01 where anomaly_id = %s", "score: recorded"),
        ("update audit_anomalies set reasons = '[]' where anomaly_id = %s", "reasons: recorded none, computed"),
        ("update audit_anomalies set row_hash = sha256('x') where anomaly_id = %s", "row_hash of seq"),
        (
            """update audit_anomalies set compared_with = jsonb_set(compared_with, '{0,row_hash}', '"00"')
               where anomaly_id = %s""",
            "compared with seq",
        ),
        (
            """update audit_logs set entry = convert_to(
                   replace(convert_from(entry, 'UTF8'), '"outcome":', '"outcome": '), 'UTF8')
               where seq = 0 and %s is not null""",
            "row at seq 0 does not have its hashes",
        ),
        ("delete from audit_logs where seq = 3 and %s is not null", "lacks seq 3 to 3"),
    ],
)
def test_what_was_changed_afterwards_is_found_out(odd: Installation, change: str, said: str) -> None:
    anomaly = one_anomaly(odd)
    superuser(odd, change.replace("%s", f"'{anomaly}'"))
    done = recompute.recompute(odd, anomaly)
    assert not done.same
    assert any(said in one for one in done.differences), done.differences


def test_a_model_or_a_version_that_is_not_there_is_no_difference(odd: Installation) -> None:
    anomaly = one_anomaly(odd)
    ((model_id,),) = rows(odd, "select model_id from audit_anomalies where anomaly_id = %s", anomaly)
    (path,) = (odd.settings.storage_dir / "ml_models").rglob(f"{model_id.partition(':')[2]}*.npz")
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(TamperedError):
        recompute.recompute(odd, anomaly)
    path.unlink()
    with pytest.raises(recompute.NotCheckableError, match="restore the file"):
        recompute.recompute(odd, anomaly)
    path.write_bytes(content)
    superuser(odd, "update audit_anomalies set code_version = 'older'")
    assert recompute.recompute(odd, anomaly).same
    superuser(odd, "update audit_anomalies set score = 0.75")
    with pytest.raises(recompute.NotCheckableError, match="computed by older"):
        recompute.recompute(odd, anomaly)
    with pytest.raises(recompute.NotCheckableError, match="none of this id"):
        recompute.recompute(odd, uuid.uuid4())


def test_events_in_the_archive_alone_are_read_there_and_missed_when_it_is_gone(
    fresh_database: Callable[[Settings], AbstractContextManager[Database]],
    tmp_path: Path,
    tenant_id: uuid.UUID,
    story: list[Event],
) -> None:
    settings = Settings(_env_file=None, audit_home=tmp_path / "old", audit_archive_grace_days=0, audit_archive_years=1)
    with fresh_database(settings) as database:
        installation = assemble(settings, open_keyring(settings), database)
        MovedClock(installation).append(month(16), tenant_id, story[:1000])
        installation.ledger.append(tenant_id, story[1000:])
        detect(installation)
        anomaly = one_anomaly(installation)
        installation.seal(tenant_id)
        assert [one.month for one in retain(installation, run_id="test").released] == [f"{month(16):%Y-%m}"]
        done = recompute.recompute(installation, anomaly)
        assert (done.differences, done.events) == ((), 1200)
        (segment,) = installation.database.archives_dir.rglob("*.parquet")
        segment.rename(segment.with_suffix(".away"))
        with pytest.raises(recompute.NotCheckableError, match="restore it"):
            recompute.recompute(installation, anomaly)
        superuser(installation, "update audit_archives set due_at = now(), deleted_at = now()")
        with pytest.raises(DeletedArchiveError):
            recompute.recompute(installation, anomaly)
