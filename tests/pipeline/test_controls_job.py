"""Each control is a check of its own in Dagster, and the checklist knows when jobs last succeeded."""

import dagster as dg

from audit_pipelines.checklist import run_checklist
from audit_pipelines.derive.controls import CONTROLS
from audit_pipelines.installation import Installation
from audit_pipelines.runs import run_here


def _failed(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    assert result.success, "a control that fails is a failed check, and no failed run"
    evaluations = result.get_asset_check_evaluations()
    assert {one.check_name for one in evaluations} == {control.key for control in CONTROLS}
    return {one.check_name: one for one in evaluations if not one.passed}


def test_each_control_that_fails_is_seen_by_itself(stocked: Installation, run) -> None:
    assert run("checkpoint_job", lake=False).success
    failed = _failed(run("controls_job", lake=False))
    # Nobody has named a controller here; only people can, so it warns.
    assert failed.keys() == {"processing_recorded"}
    assert failed["processing_recorded"].severity is dg.AssetCheckSeverity.WARN
    with stocked.database.connect_admin() as conn:
        conn.execute("grant delete on audit_logs to audit_reader")
    failed = _failed(run("controls_job", lake=False))
    assert failed.keys() == {"processing_recorded", "append_only"}
    found = failed["append_only"]
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert "audit_reader DELETE on audit_logs" in found.description
    assert (found.metadata["tenants"].value, found.metadata["tenants_failing"].value) == (2, 2)
    assert [row.data["result"] for row in found.metadata["by_tenant"].records] == ["fail", "fail"]


def test_the_checklist_knows_which_jobs_succeeded(stocked: Installation) -> None:
    from audit_pipelines.db.database import DAGSTER_DATABASE, ensure_database

    ensure_database(stocked.database, DAGSTER_DATABASE)
    run_here(stocked, "checkpoint_job")
    [jobs] = [item for item in run_checklist(stocked).items if item.name == "Jobs succeed in time"]
    assert jobs.result == "fail"
    assert "verification_job never succeeded" in jobs.detail
    assert "checkpoint_job" not in jobs.detail
