"""A purge that is stopped before or after any of its steps, as by a kill, is finished by the next."""

import json
import re
from typing import Any
from uuid import UUID

import pytest

from audit_pipelines.installation import Installation
from audit_pipelines.privacy import erasing, purge


class _KilledError(BaseException):
    """The process is gone: nothing after this runs."""


def test_a_purge_that_is_stopped_at_any_step_is_finished_by_the_next(
    stocked: Installation, run: Any, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("full_refresh_job").success
    with stocked.database.tenant_connection(tenant_id) as conn:
        [(busiest,)] = conn.execute(
            "select actor_ref::text from audit_logs where actor_ref is not null "
            "group by 1 order by count(*) desc limit 1"
        ).fetchall()
    ref = erasing.begin(stocked, tenant_id, busiest).actor_ref
    stopped, steps = [], dict(purge.STEPS)
    # Of the other kinds there is nothing here.
    absent = {"lake_copy", "access_review", "person_report", "archived_segments", "file", "account"}
    absent |= {"scheduled_report", "alert_destination"}
    kinds = [kind for kind in purge.STEPS if kind not in absent]
    moments = [(kind, when) for kind in kinds for when in ("before", "after")]
    for kind, when in moments:

        def stop(case: Any, key: str, kind: str = kind, when: str = when) -> Any:
            if when == "after":
                steps[kind](case, key)
            stopped.append((kind, when))
            raise _KilledError

        monkeypatch.setattr(purge, "STEPS", {**steps, kind: stop})
        with pytest.raises(_KilledError):
            erasing.finish(stocked, tenant_id, ref, run_id="stopped")
    monkeypatch.undo()
    assert stopped == moments
    certificate = json.loads(erasing.finish(stocked, tenant_id, ref, run_id="finished") or "")
    copies = certificate["statement"]["copies"]
    assert {copy["action"] for copy in copies} == {"rebuilt", "purged", "kept"}
    rewritten = [copy for copy in copies if copy["kind"] == "raw_events"]
    assert rewritten
    assert all(copy["sha256_before"] != copy["sha256_after"] for copy in rewritten)
    assert re.fullmatch("[0-9a-f]{64}", rewritten[0]["sha256_after"])
    assert run("full_refresh_job").success
