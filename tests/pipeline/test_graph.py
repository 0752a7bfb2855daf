"""The graph as it is declared: reviewed as text, complete in its attributes, cheap to import."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from audit_pipelines.definitions import build_definitions
from audit_pipelines.jobs import WINDOWED

SNAPSHOT = Path(__file__).with_name("graph.txt")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions()


def test_definitions_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_graph_is_the_reviewed_one(definitions: dg.Definitions) -> None:
    drawn = _drawn(definitions)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(drawn)
    assert drawn == SNAPSHOT.read_text(), "review the change, then run again with UPDATE_SNAPSHOTS=1"


def test_every_asset_tells_what_it_is(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        said = (spec.description, spec.group_name, spec.owners, spec.kinds, spec.tags, spec.code_version)
        assert all(said), f"{spec.key.to_user_string()} lacks one of {said}"
        assert spec.group_name != "default"


def test_every_check_tells_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert all(graph.get_check_spec(key).description for key in graph.asset_check_keys)


def test_jobs_that_fill_the_lake_verify_first(definitions: dg.Definitions) -> None:
    for job in definitions.resolve_all_job_defs():
        steps = {node.name for node in job.nodes}
        if job.name.startswith("__"):
            continue
        assert ("raw_events" in steps) == (job.name in WINDOWED)
        if "raw_events" in steps:
            assert {"audit_logs_chain_intact", "checkpoints"} <= steps


def test_every_job_has_a_lane_and_a_description(definitions: dg.Definitions) -> None:
    for job in definitions.resolve_all_job_defs():
        if not job.name.startswith("__"):
            assert job.description
            assert job.tags["audit_pipelines/lane"]


def test_schedules_run_by_default(definitions: dg.Definitions) -> None:
    schedules = definitions.get_repository_def().schedule_defs
    assert {schedule.default_status for schedule in schedules} == {dg.DefaultScheduleStatus.RUNNING}
    assert {schedule.execution_timezone for schedule in schedules} == {"UTC"}


def test_importing_is_cheap_and_warns_of_nothing() -> None:
    dagster, _ = _imported("dagster")
    graph, modules = _imported("audit_pipelines.definitions")
    # Beside Dagster's own import, which each process pays in any case (1 s here), because a machine that runs tests
    # is slow or busy. The graph takes 2.4 to 2.9 of it; scikit-learn alone would add 1.5.
    assert graph < 3.5 * dagster
    assert {"sklearn", "onnxruntime", "duckdb", "reportlab", "pyarrow", "openai"}.isdisjoint(modules)


def _imported(module: str) -> tuple[float, set[str]]:
    """Return the processor seconds that importing `module` takes, the less of two processes, and what is loaded."""
    code = f"import time, sys; import {module}; print(time.process_time()); print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code]
    printed = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    return min(float(text.splitlines()[0]) for text in printed), set(printed[0].splitlines()[1].split())


def _drawn(definitions: dg.Definitions) -> str:
    lines = []
    for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: (spec.group_name or "", spec.key)):
        partitions = " by UTC day" if spec.partitions_def else ""
        lines.append(f"{spec.group_name}/{spec.key.to_user_string()} [{', '.join(sorted(spec.kinds))}]{partitions}")
        lines += [
            f"    from {dep.asset_key.to_user_string()}" for dep in sorted(spec.deps, key=lambda dep: dep.asset_key)
        ]
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.asset_check_keys, key=lambda key: (key.asset_key, key.name)):
        stops = ", stops what is below" if graph.get_check_spec(key).blocking else ""
        lines.append(f"check {key.asset_key.to_user_string()}:{key.name}{stops}")
    for job in sorted(definitions.resolve_all_job_defs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            lines.append(f"job {job.name}: {', '.join(sorted(node.name for node in job.nodes))}")
    repository = definitions.get_repository_def()
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        lines.append(f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.job_name}")
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        lines.append(f"sensor {sensor.name}: {sensor.default_status.value}")
    return "\n".join(lines) + "\n"
