"""What reacts to the world instead of the clock: new events, due reports, due alerts, silent sources, failed runs.

A sensor has 60 seconds and decides only; the work is a job's. Each tick reads a few rows.
"""

import json
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import dagster as dg

from audit_pipelines import errors
from audit_pipelines.derive import due_reports
from audit_pipelines.derive.alerts import waiting_alerts
from audit_pipelines.derive.report_deliveries import waiting_reports
from audit_pipelines.derive.reporting import OUTPUT_KINDS
from audit_pipelines.derive.sources import silent_sources, stored_events
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.jobs import (
    alert_delivery_job,
    anomaly_detection_job,
    erasure_job,
    report_delivery_job,
    scheduled_reports_job,
)
from audit_pipelines.lake.export import pending_days
from audit_pipelines.partitions import range_tags
from audit_pipelines.privacy import erasing
from audit_pipelines.schedules import busy
from audit_pipelines.settings import load_settings

_LOG: Final = logging.getLogger(__name__)


@dg.sensor(
    job=anomaly_detection_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Starts anomaly_detection_job when events came in. Off at first: the hourly schedule costs less.",
)
def new_events_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.SensorResult | dg.SkipReason:
    """Compare the number of stored events with the one at the last tick that found some."""
    stored = stored_events(installation)
    if context.cursor is not None and stored <= int(context.cursor):
        return dg.SkipReason(f"no events since the last run asked for ({stored:,} stored)")
    if busy(context.instance, anomaly_detection_job.name):
        return dg.SkipReason("anomaly_detection_job is still queued or running")
    request = dg.RunRequest(run_key=f"events-{stored}", tags=range_tags(*pending_days(installation)))
    return dg.SensorResult(run_requests=[request], cursor=str(stored))


@dg.sensor(
    job=scheduled_reports_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for each report in audit_scheduled_reports at each of its due times, once, after an outage too.",
)
def due_reports_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.SensorResult | dg.SkipReason:
    """Queue the due times that have come and ask for a run each; which run makes one, its row decides.

    No run key: one would keep a due time from being asked for again after a run that was cancelled before it began.
    """
    due_reports.queue_due(installation)
    due_reports.release_ended(installation, partial(_has_ended, context.instance))
    due = due_reports.select_due(installation)
    if not due:
        return dg.SkipReason("no report is due")
    if busy(context.instance, scheduled_reports_job.name):
        return dg.SkipReason("scheduled_reports_job is still queued or running")
    return dg.SensorResult(run_requests=[_report_request(one) for one in due])


def _has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _report_request(due: due_reports.Due) -> dg.RunRequest:
    asset = OUTPUT_KINDS[due.kind]
    config = {
        "tenant_id": str(due.tenant_id),
        "report_id": str(due.report_id),
        "due_at": due.due_at.isoformat(),
    }
    return dg.RunRequest(
        run_config={"ops": {asset: {"config": config}}},
        asset_selection=[dg.AssetKey(asset)],
        tags={
            "audit_pipelines/report": str(due.report_id),
            "audit_pipelines/due_at": due.due_at.isoformat(),
            "audit_pipelines/attempt": str(due.attempts + 1),
        },
    )


@dg.sensor(
    job=report_delivery_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts report_delivery_job while reports wait to be sent: new ones, and failed ones after a pause.",
)
def report_delivery_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run while there is something to send; the rows keep each message to one queueing."""
    if not waiting_reports(installation):
        return dg.SkipReason("no report waits to be sent")
    if busy(context.instance, report_delivery_job.name):
        return dg.SkipReason("report_delivery_job is still queued or running")
    return dg.RunRequest()


@dg.sensor(
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notes on audit_logs when a tenant that used to send events stopped sending, and when it sends again.",
)
def silent_source_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.SensorResult | dg.SkipReason:
    """Observe `audit_logs` each time the list of silent tenants changes."""
    silent = silent_sources(installation)
    names = json.dumps(sorted(str(one.tenant_id) for one in silent))
    if names == (context.cursor or "[]"):
        return dg.SkipReason(f"{len(silent)} silent sources, as before")
    observation = dg.AssetObservation(
        asset_key="audit_logs",
        description=f"{len(silent)} tenants stopped sending events" if silent else "every tenant sends events again",
        metadata={
            "silent_tenants": len(silent),
            "last_events": dg.MetadataValue.json(
                {str(one.tenant_id): one.last_recorded_at.isoformat() for one in silent[:50]}
            ),
        },
    )
    return dg.SensorResult(asset_events=[observation], cursor=names)


@dg.sensor(
    job=erasure_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts erasure_job when the copies of somebody erased are left and nobody has certified them.",
)
def unfinished_erasures_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run while there is something to finish."""
    waiting = erasing.unfinished(installation)
    if not waiting:
        return dg.SkipReason("every erasure has its certificate")
    if busy(context.instance, erasure_job.name):
        return dg.SkipReason("erasure_job is still queued or running")
    return dg.RunRequest()


@dg.sensor(
    job=alert_delivery_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts alert_delivery_job while alerts are due: new ones, and those that failed, after their pause.",
)
def alert_delivery_sensor(
    context: dg.SensorEvaluationContext, installation: dg.ResourceParam[Installation]
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run while there is something to send; the rows themselves keep each alert to one queueing."""
    due = waiting_alerts(installation)
    if not due:
        return dg.SkipReason("no alert is due")
    if busy(context.instance, alert_delivery_job.name):
        return dg.SkipReason("alert_delivery_job is still queued or running")
    return dg.RunRequest()


@dg.run_failure_sensor(
    name="run_failure_sensor",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps each failed run as a line of AUDIT_HOME/dagster/run_failures.ndjson and in the log.",
)
def run_failure_sensor(context: dg.RunFailureSensorContext) -> None:
    """Record a failed run where it outlives Dagster's storage, and where a log collector finds it."""
    failure: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(),
        "job": context.dagster_run.job_name,
        "run_id": context.dagster_run.run_id,
        "error": context.failure_event.message,
        "steps": [event.step_key for event in context.get_step_failure_events()],
        "reasons": [*_failed_checks(context), *_own_errors(context)],
    }
    path = load_settings().home / "dagster" / "run_failures.ndjson"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(failure) + "\n")
    steps, reasons = ", ".join(failure["steps"]) or "no step", "; ".join(failure["reasons"]) or "see the run's log"
    _LOG.error("run %s of %s failed in %s: %s", failure["run_id"], failure["job"], steps, reasons)


def _failed_checks(context: dg.RunFailureSensorContext) -> list[str]:
    """Return what each failed blocking check of the run said: which tenant and row, if it is a broken chain."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    evaluations = [
        record.event_log_entry.dagster_event.asset_check_evaluation_data
        for record in records
        if record.event_log_entry.dagster_event
    ]
    return [
        f"{one.check_name}: {one.description or 'failed'}"
        for one in evaluations
        if one.blocking and not one.passed and one.severity is dg.AssetCheckSeverity.ERROR
    ]


def _own_errors(context: dg.RunFailureSensorContext) -> list[str]:
    """Return what our own errors said; only they are known to hold no secret."""
    reasons = []
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error:
            if issubclass(getattr(errors, error.cls_name or "", Exception), AuditError):
                reasons.append(error.message.strip().partition(f"{error.cls_name}: ")[2])
                break
            error = error.cause
    return reasons


SENSORS: Final = [
    new_events_sensor,
    due_reports_sensor,
    report_delivery_sensor,
    silent_source_sensor,
    unfinished_erasures_sensor,
    alert_delivery_sensor,
    run_failure_sensor,
]
