"""Running jobs and assets in this process, recorded on a Dagster instance like any other run; for commands and tests.

`up` leaves running to Dagster's daemon. Progress is told per step, so that a command can draw a bar.
"""

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import dagster as dg

from audit_pipelines.definitions import build_definitions
from audit_pipelines.errors import AuditError, ConfigurationError
from audit_pipelines.installation import Installation
from audit_pipelines.jobs import JOBS, TRAINING_JOBS, WINDOWED
from audit_pipelines.lake.export import pending_days
from audit_pipelines.partitions import range_tags
from audit_pipelines.supervise import dagster_environment

StepState = Literal["started", "succeeded", "failed", "skipped"]

_STATES: Final[Mapping[dg.DagsterEventType, StepState]] = {
    dg.DagsterEventType.STEP_START: "started",
    dg.DagsterEventType.STEP_SUCCESS: "succeeded",
    dg.DagsterEventType.STEP_FAILURE: "failed",
    dg.DagsterEventType.STEP_SKIPPED: "skipped",
}
# Dagster's console logger writes every event to stderr, in the middle of a progress bar; the instance keeps them all.
_QUIET: Final[Mapping[str, Any]] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step of a running job changed its state."""

    step: str
    """The asset's name, or `<asset>_<check>` for a check of its own."""
    state: StepState
    done: int
    """Steps that have ended, this one included."""
    total: int


OnEvent = Callable[[StepEvent], None]


def run_job(
    definitions: dg.Definitions,
    job_name: str,
    *,
    instance: dg.DagsterInstance,
    days: tuple[date, date] | None = None,
    config: Mapping[str, Any] | None = None,
    on_event: OnEvent | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job to its end and return the result; a failed step is in the result, not raised.

    `days` (first and last, both included) are those the lake is filled for: `lake.export.pending_days` knows them.

    Raises:
        ConfigurationError: when a job that fills the lake is not told for which days, or another one is.
    """
    if (job_name in WINDOWED) != (days is not None):
        raise ConfigurationError(
            f"{job_name}: expected {'days, since it fills the lake' if days is None else 'no days'}; "
            f"jobs with days are {', '.join(sorted(WINDOWED))}"
        )
    job = definitions.resolve_job_def(job_name)
    run_id = str(uuid.uuid4())
    if on_event is not None:
        instance.add_event_listener(run_id, _listener(on_event, len(job.nodes)))
    return job.execute_in_process(
        instance=instance,
        run_id=run_id,
        run_config={**_QUIET, **(config or {})},
        tags=range_tags(*days) if days else None,
        raise_on_error=False,
    )


def run_here(
    installation: Installation,
    job_name: str,
    *,
    config: Mapping[str, Any] | None = None,
    on_event: OnEvent | None = None,
) -> str:
    """Run a job on the installation's own Dagster, for all days that the lake lacks, and return the run's id.

    Raises:
        AuditError: when a step fails, naming the steps and what went wrong first.
    """
    definitions = build_definitions(resources={"installation": installation}, jobs=[*JOBS, *TRAINING_JOBS.values()])
    days = pending_days(installation) if job_name in WINDOWED else None
    with dagster_instance(installation) as instance:
        return _succeeded(
            run_job(definitions, job_name, instance=instance, days=days, config=config, on_event=on_event)
        )


@contextmanager
def dagster_instance(installation: Installation) -> Iterator[dg.DagsterInstance]:
    """Open the installation's own Dagster storage, the one `up` serves, so that runs made here are seen there."""
    environment = dagster_environment(installation)
    # dagster.yaml names a variable for the storage's address, so that no password stands in a file.
    os.environ.update(environment)
    with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        yield instance


def _listener(on_event: OnEvent, total: int) -> Callable[[dg.EventLogEntry], None]:
    ended = 0

    def listen(entry: dg.EventLogEntry) -> None:
        nonlocal ended
        event = entry.dagster_event
        state = _STATES.get(event.event_type) if event else None
        if event and state and event.step_key:
            ended += state != "started"
            on_event(StepEvent(event.step_key, state, ended, total))

    return listen


def _succeeded(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.event_type is dg.DagsterEventType.STEP_FAILURE]
    if failures:
        error = failures[0].step_failure_data.error
        while error and error.cause:
            error = error.cause
        raise AuditError(
            f"run {result.run_id} failed in {', '.join(str(event.step_key) for event in failures)}: "
            f"{error.message.strip() if error else 'see its page in Dagster'}"
        )
    return result.run_id
