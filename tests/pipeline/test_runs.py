"""Real runs of the real jobs on a real ledger: what is made, what is not made twice, and what stops a run."""

import json
import shutil
import uuid
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb
import polars as pl
from moved_clock import MovedClock, month

from audit_pipelines.derive.controls import CONTROLS
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.ledger.event import Event
from audit_pipelines.runs import StepEvent


def test_everything_materialises_with_metadata_that_stay_small(
    stocked: Installation, tenant_id: uuid.UUID, run, instance: dg.DagsterInstance
) -> None:
    seen: list[StepEvent] = []
    result = run("full_refresh_job", on_event=seen.append)

    assert result.success
    assert [event.done for event in seen if event.state == "succeeded"] == list(range(1, seen[-1].total + 1))
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == {key.to_user_string() for key in result.job_def.asset_layer.executable_asset_keys} - {"audit_logs"}
    evaluations = result.get_asset_check_evaluations()
    # Of each control one, and twelve others.
    assert len(evaluations) == 12 + len(CONTROLS)
    assert [evaluation.check_name for evaluation in evaluations if not evaluation.passed] == ["processing_recorded"]
    assert instance.get_run_by_id(result.run_id).is_success

    settings = stocked.settings
    in_ledger = _ledger_counts(stocked)
    with duckdb.connect(str(settings.catalog_path), read_only=True) as catalog:
        in_lake = catalog.execute("select tenant_id, day, count(*) from raw_events group by all").fetchall()
        scored = catalog.execute(
            "select count(*), count(distinct seq), min(score), max(score) from event_scores"
        ).fetchone()
        named = catalog.execute(
            "select count(*) from event_scores s join models m using (tenant_id, model_id)"
        ).fetchone()
        tagged = catalog.execute("select count(*) from event_tags where category is not null").fetchone()
    assert {(tenant, day): rows for tenant, day, rows in in_lake} == in_ledger
    assert scored[0] == 600
    assert 0 <= scored[2] < scored[3] <= 1
    assert named == tagged == (600,)
    for kind in ("security", "compliance"):
        for path in (settings.storage_dir / "exports" / str(tenant_id)).glob(f"{kind}_report-*.pdf"):
            assert path.read_bytes().startswith(b"%PDF-")
    # The reports of the run came after its lake; each is an access by Dagster.
    accesses = _rows(stocked, "select action, count(*), min(result_count) from audit_access_log group by 1 order by 1")
    assert accesses == [("report.compliance", 2, 100), ("report.security", 2, 100)]
    assert stocked.vault.find(tenant_id, "service:dagster")
    kinds = _rows(stocked, "select distinct output_kind from audit_lineage where run_id = %s", result.run_id)
    assert {kind for (kind,) in kinds} >= {
        "raw_events", "event_embeddings", "event_features", "actor_features", "model", "event_scores", "event_tags",
        "security_report", "compliance_report",
    }  # fmt: skip
    for event in result.get_asset_materialization_events():
        for name, value in event.materialization.metadata.items():
            assert len(json.dumps(value.value, default=str)) < 10_240, (event.asset_key, name)


def test_a_second_run_makes_nothing_anew(stocked: Installation, silent: Installation, run) -> None:
    """Apart from the accesses that reports are: recording them is switched off here."""
    assert run("full_refresh_job").success
    before = {path: path.stat().st_ino for path in stocked.settings.lake_dir.glob("*/tenant_id=*/**/part*.parquet")}
    models = _rows(stocked, "select model_id, encode(artefact_digest, 'hex') from audit_ml_models order by 1")
    texts = _rows(stocked, "select count(*) from audit_embeddings")

    assert run("full_refresh_job").success
    copied = {"anomalies", "incidents", "checkpoints", "models", "reports"}
    for path, inode in before.items():
        dataset = path.relative_to(stocked.settings.lake_dir).parts[0]
        assert dataset in copied or path.stat().st_ino == inode, path
    # Trained again on the same events: the same digests, hence no new rows.
    assert _rows(stocked, "select model_id, encode(artefact_digest, 'hex') from audit_ml_models order by 1") == models
    assert _rows(stocked, "select count(*) from audit_embeddings") == texts


def test_today_grows_by_new_rows_alone(stocked: Installation, tenant_id: uuid.UUID, story, run) -> None:
    assert run("embedding_generation_job").success
    lake = Lake(stocked.settings.lake_dir)
    first = lake.parts(tenant_id)
    stocked.ledger.append(tenant_id, [_renamed(event) for event in story[:40]])

    result = run("embedding_generation_job")
    assert result.success
    assert _metadata(result, "raw_events")["new_rows"].value == 40
    assert _metadata(result, "event_embeddings")["new_events"].value == 40
    parts = lake.parts(tenant_id)
    assert [(part.first_seq, part.last_seq) for part in parts] == [(0, 499), (500, 539)]
    assert parts[0] == first[0]
    assert lake.events(tenant_id)["seq"].to_list() == list(range(540))


def test_a_broken_chain_stops_everything(stocked: Installation, tenant_id: uuid.UUID, run) -> None:
    assert run("checkpoint_job", lake=False).success
    with stocked.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set outcome = 'success!' where tenant_id = %s and seq = 17", [tenant_id])

    result = run("full_refresh_job")
    assert not result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.check_name == "chain_intact"
    assert not evaluation.passed
    assert evaluation.metadata["first_tenant"].value == str(tenant_id)
    assert evaluation.metadata["first_seq"].value == "17"
    # Those who are to be told are told, of this and of nothing else.
    assert evaluation.metadata["new_findings"].value == 1
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made <= {"archived_segments"}
    assert not stocked.settings.lake_dir.exists()


def test_a_deleted_lake_comes_back(stocked: Installation, tenant_id: uuid.UUID, run) -> None:
    assert run("anomaly_detection_job").success
    lake = Lake(stocked.settings.lake_dir)
    before = lake.events(tenant_id)
    scores = lake.read("event_scores", tenant_id)
    shutil.rmtree(stocked.settings.lake_dir)

    assert run("anomaly_detection_job").success
    assert lake.events(tenant_id).equals(before)
    assert lake.read("event_scores", tenant_id).equals(scores)


def test_a_damaged_lake_is_noticed(stocked: Installation, tenant_id: uuid.UUID, run) -> None:
    assert run("embedding_generation_job").success
    (part,) = Lake(stocked.settings.lake_dir).parts(tenant_id)
    pl.read_parquet(part.path, hive_partitioning=False).head(499).write_parquet(part.path)

    result = run("embedding_generation_job")
    assert not result.success
    failed = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert [one.check_name for one in failed] == ["rows_equal_ledger"]
    assert "ledger 500, lake 499" in failed[0].description
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert "event_embeddings" not in made


def test_a_report_of_one_tenant_and_period(stocked: Installation, tenant_id: uuid.UUID, run) -> None:
    assert run("anomaly_detection_job").success
    since = datetime(2026, 11, 16, 6, tzinfo=UTC)
    asked = {"since": since.isoformat(), "until": (since + timedelta(hours=6)).isoformat(), "tenant_id": str(tenant_id)}
    kinds = ("security_report", "compliance_report", "access_review")
    config = {"ops": {kind: {"config": asked} for kind in kinds}}

    result = run("scheduled_reports_job", config=config, lake=False)
    assert result.success
    folder = stocked.settings.storage_dir / "exports"
    assert [path.name for path in folder.iterdir()] == [str(tenant_id)]
    assert {path.name for path in (folder / str(tenant_id)).iterdir()} == {
        f"{kind}-20261116T0600Z-20261116T1200Z.pdf" for kind in kinds
    }


def test_retention_job_keeps_what_is_young(stocked: Installation, run) -> None:
    before = _ledger_counts(stocked)
    result = run("retention_job", lake=False)
    assert result.success
    assert _metadata(result, "archived_segments")["archives"].value == 0
    assert _ledger_counts(stocked) == before


def test_retention_job_archives_old_months_and_says_what_waits(
    stocked: Installation, tenant_id: uuid.UUID, run
) -> None:
    other = uuid.uuid4()
    event = Event(event_type="a.b", entity_type="thing", entity_id="1")
    MovedClock(stocked).append(month(14), other, [event] * 3)
    stocked.seal(other)
    result = run("retention_job", lake=False)
    assert result.success
    metadata = _metadata(result, "archived_segments")
    # The grace of two weeks, by default.
    assert (metadata["new_archives"].value, metadata["months_dropped"].value) == (1, "none")
    assert "AUDIT_ARCHIVE_GRACE_DAYS" in str(metadata["waiting"].value)
    [check] = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("archives_intact", True)
    # What is damaged while its rows are still here is made anew before it is checked.
    next(stocked.database.archives_dir.rglob("*.manifest")).unlink()
    result = run("retention_job", lake=False)
    assert _metadata(result, "archived_segments")["new_archives"].value == 1
    assert result.get_asset_check_evaluations()[0].passed


def _metadata(result: dg.ExecuteInProcessResult, asset: str):
    return result.asset_materializations_for_node(asset)[0].metadata


def _ledger_counts(installation: Installation):
    rows = _rows(
        installation,
        "select tenant_id::text, (recorded_at at time zone 'UTC')::date, count(*) from audit_logs "
        "where event_type not like 'audit.access.%%' group by 1, 2",
    )
    return {(tenant, day): count for tenant, day, count in rows}


def _rows(installation: Installation, sql: str, *parameters: object):
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(sql, parameters).fetchall()


def _renamed(event):
    import msgspec

    return msgspec.structs.replace(event, event_id=str(uuid.uuid4()))
