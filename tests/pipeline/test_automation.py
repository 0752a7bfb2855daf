"""What starts runs by itself: schedules, sensors, and the record of failures."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from audit_pipelines.definitions import build_definitions
from audit_pipelines.installation import Installation
from audit_pipelines.jobs import WINDOWED
from audit_pipelines.runs import run_job
from audit_pipelines.sensors import due_reports_sensor, new_events_sensor, run_failure_sensor, silent_source_sensor


@pytest.fixture
def stored_instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance on disk: schedules reach theirs through a reference, which one in memory has not."""
    with dg.instance_for_test() as instance:
        yield instance


def _sensor_context(installation: Installation, instance: dg.DagsterInstance, cursor: str | None = None):
    return dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        resources={"installation": installation},
        definitions=build_definitions(resources={"installation": installation}),
    )


def test_schedules_ask_for_the_days_that_lack_rows(stocked: Installation, stored_instance: dg.DagsterInstance) -> None:
    today = datetime.now(UTC).date().isoformat()
    definitions = build_definitions(resources={"installation": stocked})
    for schedule in definitions.get_repository_def().schedule_defs:
        with dg.build_schedule_context(instance=stored_instance, resources={"installation": stocked}) as context:
            (request,) = schedule.evaluate_tick(context).run_requests
        asked = request.tags.get("dagster/asset_partition_range_start")
        assert asked == (today if schedule.job_name in WINDOWED else None)


def test_a_schedule_waits_for_its_last_run(stocked: Installation, stored_instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(resources={"installation": stocked})
    job = definitions.resolve_job_def("checkpoint_job")
    stored_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    schedule = definitions.get_repository_def().get_schedule_def("checkpoint_schedule")
    with dg.build_schedule_context(instance=stored_instance, resources={"installation": stocked}) as context:
        tick = schedule.evaluate_tick(context)
    assert not tick.run_requests
    assert "still queued or running" in tick.skip_message


def test_new_events_ask_for_one_run(stocked: Installation, instance: dg.DagsterInstance) -> None:
    with _sensor_context(stocked, instance) as context:
        result = new_events_sensor.evaluate_tick(context)
    assert [request.run_key for request in result.run_requests] == ["events-600"]
    with _sensor_context(stocked, instance, cursor=result.cursor) as context:
        assert not new_events_sensor.evaluate_tick(context).run_requests


def test_a_due_report_is_made_once(stocked: Installation, tenant_id: uuid.UUID, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(resources={"installation": stocked})
    run_days = (datetime.now(UTC).date(),) * 2
    assert run_job(definitions, "anomaly_detection_job", instance=instance, days=run_days).success
    with stocked.database.tenant_connection(tenant_id) as conn:
        conn.execute(
            "insert into audit_scheduled_reports (tenant_id, kind, cron, last_due_at) values (%s, 'security', %s, %s)",
            [tenant_id, "0 0 * * *", datetime.now(UTC) - timedelta(hours=47)],
        )
    with _sensor_context(stocked, instance) as context:
        requests = due_reports_sensor.evaluate_tick(context).run_requests
    assert 1 <= len(requests) <= 2
    for request in requests:
        assert request.asset_selection == [dg.AssetKey("security_report")]
        job = definitions.resolve_job_def("scheduled_reports_job")
        result = job.execute_in_process(
            instance=instance, run_config=request.run_config, asset_selection=request.asset_selection
        )
        assert result.success
    assert len(list((stocked.settings.storage_dir / "exports" / str(tenant_id)).glob("security_report-*.pdf"))) == len(
        requests
    )
    with _sensor_context(stocked, instance) as context:
        assert not due_reports_sensor.evaluate_tick(context).run_requests


def test_silence_is_observed_once(
    stocked: Installation, tenant_id: uuid.UUID, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _sensor_context(stocked, instance) as context:
        assert not silent_source_sensor.evaluate_tick(context).asset_events
    with stocked.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("select audit_ensure_partitions(now() - interval '8 hours', 0)")
        conn.execute(
            "update audit_logs set recorded_at = recorded_at - interval '8 hours' where tenant_id = %s", [tenant_id]
        )
    with _sensor_context(stocked, instance) as context:
        result = silent_source_sensor.evaluate_tick(context)
    (observation,) = result.asset_events
    assert str(tenant_id) in observation.metadata["last_events"].value
    with _sensor_context(stocked, instance, cursor=result.cursor) as context:
        assert not silent_source_sensor.evaluate_tick(context).asset_events


@pytest.mark.parametrize(
    ("job", "step", "said"),
    [
        ("checkpoint_job", "checkpoints", "tenant {tenant_id}: the row at seq 2 does not continue the chain"),
        ("verification_job", "audit_logs_history_intact", "history_intact: tenant {tenant_id}, seq 2: content: "),
    ],
)
def test_a_failed_run_is_kept_in_a_file(  # noqa: PLR0917 - pytest calls it by name
    stocked: Installation,
    tenant_id: uuid.UUID,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    job: str,
    step: str,
    said: str,
) -> None:
    with stocked.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set entry = entry || ' ' where tenant_id = %s and seq = 2", [tenant_id])
    definitions = build_definitions(resources={"installation": stocked})
    result = run_job(definitions, job, instance=instance)
    assert not result.success
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDIT_HOME", str(tmp_path / "failed"))
    run = instance.get_run_by_id(result.run_id)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failure_sensor",
        dagster_instance=instance,
        dagster_run=run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    run_failure_sensor(context)
    (line,) = (tmp_path / "failed" / "dagster" / "run_failures.ndjson").read_text().splitlines()
    failure = json.loads(line)
    assert failure["job"] == job
    assert failure["steps"] == [step]
    (reason,) = failure["reasons"]
    assert reason.startswith(said.format(tenant_id=tenant_id))
    assert reason in caplog.text
