"""Exports in the background: jobs, whose they are, what becomes of them when something breaks, and erased persons.

Here: what is queued and fetched later. Not here: what is in a file, in `test_export_formats.py`.
"""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from export_world import BOB, EXPORTS, export, fill, made_events
from test_server_running import Api

from audit_pipelines.exports import jobs, making, reading
from audit_pipelines.exports.selection import Order, Selection
from audit_pipelines.installation import Installation
from audit_pipelines.privacy import erasing
from audit_pipelines.settings import Settings

pytest_plugins = ["test_server_running"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"audit_export_batch_size": 7})


def wait(client: httpx.Client, export_id: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (shown := client.get(f"{EXPORTS}/{export_id}").json())["state"] not in states:
        assert time.monotonic() < deadline, shown
        time.sleep(0.02)
    return dict(shown)


def test_a_job_has_progress_a_file_a_digest_and_an_end(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id)
    queued = export(client, "csv", 202, filters={"actor": BOB}, background=True)
    assert queued.headers["location"] == f"{EXPORTS}/{queued.json()['export_id']}"
    shown = wait(client, queued.json()["export_id"], "ready", "failed")
    assert (shown["state"], shown["rows_done"], shown["rows_total"]) == ("ready", 20, 20)
    file = client.get(shown["download_url"])
    assert hashlib.sha256(file.content).hexdigest() == shown["sha256"]
    assert file.content == export(client, "csv", filters={"actor": BOB}).content
    assert "attachment" in file.headers["content-disposition"]
    assert file.headers["repr-digest"].startswith("sha-256=:")
    made = next(each for each in made_events(client) if each["seq"] == shown["seq"])
    assert made["details"]["sha256"] == shown["sha256"]
    path = jobs.path_of(api.installation, tenant_id, UUID(shown["export_id"]), "csv")
    assert path.stat().st_mode & 0o77 == 0
    with api.installation.database.connect_admin() as conn:
        conn.execute("update audit_exports set expires_at = now() where state = 'ready'")
    assert client.get(shown["download_url"]).status_code == 410
    assert client.get(queued.headers["location"]).json()["state"] == "expired"
    assert jobs.remove_ended(api.installation) == 1
    assert not path.exists()
    assert client.get(shown["download_url"]).status_code == 410


def test_every_format_can_be_made_in_the_background(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id, 12)
    api.installation.seal(tenant_id)
    client = api.client(tenant_id)
    for form in ("ndjson", "parquet", "pdf", "evidence"):
        shown = wait(client, export(client, form, 202, background=True).json()["export_id"], "ready", "failed")
        assert shown["state"] == "ready", shown
        assert hashlib.sha256(client.get(shown["download_url"]).content).hexdigest() == shown["sha256"]


def test_who_did_not_ask_sees_nothing_of_it(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id, 12)
    client = api.client(tenant_id, "audit:export", "audit:privacy", subject="ann")
    shown = wait(client, export(client, "csv", 202, background=True).json()["export_id"], "ready")
    url = f"{EXPORTS}/{shown['export_id']}"
    others = api.client(tenant_id, "audit:export", subject=BOB), api.client(uuid4(), subject="ann")
    for other in others:
        assert (
            other.get(url).status_code == other.get(f"{url}/file").status_code == other.delete(url).status_code == 404
        )
    # Asked with names, and the names are not theirs any more.
    assert api.client(tenant_id, "audit:export", subject="ann").get(f"{url}/file").status_code == 403
    assert api.client(tenant_id, "audit:export", "audit:admin", subject="root").get(f"{url}/file").status_code == 200
    assert client.delete(url).status_code == 204
    assert client.get(f"{url}/file").status_code == 410
    assert client.get(f"{EXPORTS}/nonsense").status_code == 404


def test_a_job_that_cannot_be_made_says_why(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id)
    shown = wait(client, export(client, "evidence", 202, background=True).json()["export_id"], "failed", "ready")
    assert shown["state"] == "failed"
    assert "at least one event" in shown["error"]


def test_a_tenant_has_so_many_jobs_at_most(api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_OPEN", 2)
    # None of them is made meanwhile.
    monkeypatch.setattr(jobs, "run_next", lambda *_: False)
    client = api.client(tenant_id)
    for _ in range(2):
        export(client, "csv", 202, background=True)
    refused = export(client, "csv", 503, background=True)
    assert int(refused.headers["retry-after"]) > 0
    export(api.client(uuid4()), "csv", 202, background=True)


def test_large_exports_go_to_the_background_by_themselves(
    api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api.installation, tenant_id, 12)
    monkeypatch.setattr("audit_pipelines.server.exports.STREAMED_ROWS", 10)
    client = api.client(tenant_id)
    shown = wait(client, export(client, "csv", 202).json()["export_id"], "ready")
    assert shown["rows_done"] >= 12
    assert export(client, "csv", 200, filters={"limit": 10}).status_code == 200
    assert export(client, "csv", 200, background=False).status_code == 200


def test_a_process_that_stops_gives_its_job_back(installation: Installation, tenant_id: UUID) -> None:
    fill(installation, tenant_id, 12)
    jobs.queue(
        installation,
        making.order(installation, tenant_id, "csv", Selection(), {}, by="ann", with_names=True),
    )
    stop = threading.Event()
    stop.set()
    assert jobs.run_next(installation, stop)
    [(state, attempts)] = states(installation)
    assert (state, attempts) == ("waiting", 0)
    assert jobs.run_next(installation, threading.Event())
    assert states(installation) == [("ready", 1)]
    assert not jobs.run_next(installation, threading.Event())


def states(installation: Installation) -> list[tuple[str, int]]:
    with installation.database.connect_admin() as conn:
        return conn.execute("select state, attempts from audit_exports order by created_at").fetchall()


def test_a_job_is_taken_up_after_its_process_was_killed(installation: Installation, tenant_id: UUID) -> None:
    fill(installation, tenant_id, 40)
    wanted = making.order(installation, tenant_id, "csv", Selection(), {}, by="ann", with_names=True)
    jobs.queue(installation, wanted)
    # A process of its own claims the job and stops in the middle of the file.
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLDING,
            installation.database.conninfo("audit_pipeline"),
            str(installation.settings.home),
        ],
        stdout=subprocess.PIPE,
    ) as held:
        assert held.stdout
        assert held.stdout.readline() == b"claimed\n"
        held.send_signal(signal.SIGKILL)
    assert states(installation) == [("running", 1)]
    assert not jobs.run_next(installation, threading.Event())
    with installation.database.connect_admin() as conn:
        conn.execute("update audit_exports set claimed_until = now()")
    assert jobs.run_next(installation, threading.Event())
    assert states(installation) == [("ready", 2)]
    content = jobs.path_of(installation, tenant_id, wanted.export_id, "csv").read_bytes()
    shown = jobs.show(installation, tenant_id, wanted.export_id)
    assert shown
    assert shown.sha256 == hashlib.sha256(content).digest()
    assert shown.rows_done == 40


HOLDING = """
import sys, time, psycopg
from audit_pipelines.db.queries import query
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute(query("exports/claim_job"), {"claim": "60 seconds", "most": 5})
print("claimed", flush=True)
time.sleep(600)
"""


# Persons, and jobs that nobody wants any more


def test_an_erasure_takes_the_files_that_hold_the_person(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id, subject="auditor")
    by_format = {
        form: wait(client, export(client, form, 202, background=True, filters=filters).json()["export_id"], "ready")
        for form, filters in (("csv", {}), ("parquet", {}), ("ndjson", {"actor": "ann"}))
    }
    begun = erasing.begin(api.installation, tenant_id, BOB)
    assert erasing.finish(api.installation, tenant_id, begun.actor_ref, run_id="a test")
    for form in ("csv", "parquet"):
        shown = client.get(f"{EXPORTS}/{by_format[form]['export_id']}").json()
        assert (shown["state"], shown["download_url"]) == ("removed", None)
        assert client.get(by_format[form]["download_url"]).status_code == 410
    kept = client.get(by_format["ndjson"]["download_url"])
    assert kept.status_code == 200
    assert BOB not in kept.text
    assert BOB not in export(client, "csv").text


def queued(installation: Installation, tenant_id: UUID) -> Order:
    """Order all events as CSV with names, and let the job wait."""
    fill(installation, tenant_id)
    wanted = making.order(installation, tenant_id, "csv", Selection(), {}, by="ann", with_names=True)
    jobs.queue(installation, wanted)
    return wanted


def once_written(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Do something between the writing of the next file and whatever comes after it."""
    write = making.write

    def and_then(*arguments: Any) -> making.Made:
        made = write(*arguments)
        monkeypatch.setattr(making, "write", write)
        then()
        return made

    monkeypatch.setattr(making, "write", and_then)


def test_a_file_that_was_being_made_during_an_erasure_is_made_anew(
    installation: Installation, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = queued(installation, tenant_id)
    once_written(monkeypatch, lambda: installation.erase(tenant_id, BOB))
    assert jobs.run_next(installation, threading.Event())
    assert states(installation) == [("waiting", 0)]
    path = jobs.path_of(installation, tenant_id, wanted.export_id, "csv")
    assert not path.exists()
    assert jobs.run_next(installation, threading.Event())
    assert BOB not in path.read_text()


def test_a_cancelled_job_leaves_no_file(
    installation: Installation, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = queued(installation, tenant_id)

    def nobody_wants_it() -> None:
        shown = jobs.show(installation, tenant_id, wanted.export_id)
        assert shown
        jobs.cancel(installation, tenant_id, shown)

    once_written(monkeypatch, nobody_wants_it)
    head = reading.head_of(installation, tenant_id)
    assert jobs.run_next(installation, threading.Event())
    assert states(installation) == [("cancelled", 1)]
    assert not jobs.path_of(installation, tenant_id, wanted.export_id, "csv").exists()
    assert reading.head_of(installation, tenant_id) == head
