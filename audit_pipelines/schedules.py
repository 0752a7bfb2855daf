"""When the jobs run. A job that is still queued or running is not asked for again.

Jobs that fill the lake get the days from the first that lacks rows up to today, so the first run catches up and a day
that is over is closed soon after midnight UTC.
"""

from typing import TYPE_CHECKING, Final

import dagster as dg

from audit_pipelines.installation import Installation
from audit_pipelines.jobs import (
    WINDOWED,
    anomaly_detection_job,
    checkpoint_job,
    controls_job,
    daily_review_job,
    embedding_generation_job,
    model_training_job,
    retention_job,
    verification_job,
)
from audit_pipelines.lake.export import pending_days
from audit_pipelines.partitions import range_tags

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def _schedule(job: "UnresolvedAssetJobDefinition", cron: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{job.name.removesuffix('_job')}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=job.description,
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, installation: dg.ResourceParam[Installation]
    ) -> dg.RunRequest | dg.SkipReason:
        if busy(context.instance, job.name):
            return dg.SkipReason(f"{job.name} is still queued or running")
        return dg.RunRequest(tags=range_tags(*pending_days(installation)) if job.name in WINDOWED else None)

    return schedule


def busy(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Return whether a run of the job is queued or running."""
    return bool(instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=_UNFINISHED), limit=1))


SCHEDULES: Final = [
    _schedule(checkpoint_job, "*/5 * * * *"),
    _schedule(embedding_generation_job, "*/15 * * * *"),
    # Seven minutes past, between two runs of the job above, with which it shares a lane.
    _schedule(anomaly_detection_job, "7 * * * *"),
    # After midnight UTC, when the day's checkpoints are signed and the lake's day is closed.
    # Before people begin to work.
    _schedule(daily_review_job, "31 0 * * *"),
    _schedule(verification_job, "11 1 * * *"),
    # When the day's reviews are made and its ledger is verified.
    _schedule(controls_job, "47 1 * * *"),
    _schedule(retention_job, "23 2 * * *"),
    _schedule(model_training_job, "37 3 * * 0"),
]
