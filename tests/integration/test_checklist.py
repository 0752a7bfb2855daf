"""The deployment checklist, executed: each line passes where things are in order and fails where they are not."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from audit_pipelines import checklist, cli
from audit_pipelines.checklist import Checklist, Item, run_checklist
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.reports.pdf_signing import open_certificate
from audit_pipelines.settings import Settings
from tests.certificates import write_certificate


def changed(installation: Installation, **values: object) -> Installation:
    return replace(installation, settings=installation.settings.model_copy(update=values))


@pytest.fixture
def live(installation: Installation, tenant_id: UUID, tmp_path: Path) -> Iterator[Installation]:
    """An installation with an anchor elsewhere, a sealed event, and a server that answers."""
    settings = Settings(
        _env_file=None,
        audit_home=installation.settings.audit_home,
        audit_anchors=f"file://{tmp_path}/far",
        audit_controller="Example Ltd",
    )
    installation = replace(installation, settings=settings)
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="1", actor="ann")])
    installation.seal(tenant_id)
    installation.anchor_due()
    with answering(200) as address:
        yield changed(installation, api_base_url=address)


@contextmanager
def answering(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/audit/health" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def results(installation: Installation) -> dict[str, Item]:
    return {item.name: item for item in run_checklist(installation).items}


def wrong(installation: Installation) -> dict[str, str]:
    return {
        name: item.detail
        for name, item in results(installation).items()
        # The test's database shares its server; whether Dagster ran there is tests/pipeline's.
        if item.result not in {"pass", "not visible"} and name != "Jobs succeed in time"
    }


def test_all_passes_where_all_is_in_order(live: Installation, tenant_id: UUID) -> None:
    assert wrong(live) == {}
    lines = run_checklist(live).items
    assert {item.about for item in lines} == {"deployment", str(tenant_id)}
    assert {item.name for item in lines if item.result == "not visible"} == {
        "Copies of keys",
        "Backups",
        "Dagster's page",
    }


def ahead(installation: Installation) -> Installation:
    with installation.database.connect_admin() as conn:
        later = f"{datetime.now(UTC):audit_logs_%Y%m}"
        names = conn.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'audit_logs'::regclass"
            " and inhrelid::regclass::text > %s",
            [later],
        ).fetchall()
        for (name,) in names:
            conn.execute(f"drop table {name}")
    return installation


def pending(installation: Installation) -> Installation:
    with installation.database.connect_admin() as conn:
        conn.execute("delete from audit_schema_migrations where version = 17")
    return installation


def opened(installation: Installation) -> Installation:
    (installation.settings.keys_dir / "encryption.key").chmod(0o640)
    return installation


def expiring(installation: Installation) -> Installation:
    path = installation.settings.home / "documents.p12"
    write_certificate(path, days=29)
    return replace(installation, pdf_certificate=open_certificate(path, "a password"))


BREAKS: dict[str, tuple[Callable[[Installation], Installation], str]] = {
    "Partitions ahead": (ahead, "for this month and 0 more"),
    "Migrations applied": (pending, "Pending: "),
    "Keys are their owner's alone": (opened, "encryption.key has mode 640"),
    "Anchors elsewhere": (lambda one: changed(one, audit_anchors=()), "AUDIT_ANCHORS names none"),
    "PDF certificate valid": (expiring, "Northwind Clinics is valid for 28 more days: renew it now"),
    "API answers": (lambda one: changed(one, api_base_url="http://127.0.0.1:9"), "does not answer: ConnectError"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_line_fails_where_it_must(live: Installation, name: str) -> None:
    break_it, words = BREAKS[name]
    found = wrong(break_it(live))
    # A key that others can read is a tenant's control as well.
    assert found.keys() - {"Keys guarded and in force"} == {name}
    assert words in found[name]


def test_a_sick_server_is_no_answer(live: Installation) -> None:
    with answering(503) as address:
        assert "answers 503" in wrong(changed(live, api_base_url=address))["API answers"]


def test_a_full_disk_is_seen(live: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(total=100 * 1024**3, free=4 * 1024**3)
    monkeypatch.setattr(checklist.shutil, "disk_usage", lambda _: full)
    assert "AUDIT_HOME has 4.0 GiB free (4%)" in wrong(live)["Room on disk"]


def test_a_role_that_cannot_connect_is_not_checked(live: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    real = live.database.connection

    def without_reader(role: str, **options: bool) -> object:
        if role == "audit_reader":
            raise DatabaseUnavailableError("no connection to the database can be opened")
        return real(role, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(live.database, "connection", without_reader)
    item = results(live)["Roles"]
    assert (item.result, "can be opened" in item.detail) == ("not checked", True)


def test_unexpected_errors_show_no_secret(live: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> str:
        raise psycopg.OperationalError("password hunter2 is wrong")

    monkeypatch.setattr(live.database, "dagster_url", refused)
    item = results(live)["Jobs succeed in time"]
    assert (item.result, item.detail) == ("not checked", "Could not be checked: OperationalError")


def test_an_empty_ledger_is_not_checked(installation: Installation) -> None:
    assert results(installation)["Controls"].result == "not checked"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (("pass", "not visible"), 0),
        (("pass", "fail", "not checked"), 1),
        (("pass", "not checked", "not visible"), 2),
    ],
)
def test_the_command_prints_writes_and_says_how_it_went(
    given: tuple[checklist.Result, ...], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    items = tuple(Item("deployment", f"line {place}", result, "Seen.") for place, result in enumerate(given))
    done = Checklist(datetime(2026, 11, 26, tzinfo=UTC), items)
    monkeypatch.setattr(checklist, "run_checklist", lambda _: done)
    monkeypatch.setenv("AUDIT_HOME", str(tmp_path / "home"))

    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    monkeypatch.setattr(cli, "_opened", nothing)
    pdf = tmp_path / "list.pdf"
    answer = CliRunner().invoke(cli.app, ["checklist", "--json", "--pdf", str(pdf)])
    assert answer.exit_code == status, answer.output
    told = json.loads(answer.output)
    assert [item["result"] for item in told["items"]] == list(given)
    assert told["result"] == {0: "pass", 1: "fail", 2: "not checked"}[status]
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert CliRunner().invoke(cli.app, ["checklist"]).exit_code == status
