"""The commands `schedules …` and `alerts email`, in this process over the test's own installation."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from audit_pipelines import cli, cli_anomalies, cli_schedules
from audit_pipelines.derive import report_deliveries
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify import destinations
from audit_pipelines.settings import Settings

WEEKLY = ("--kind", "security", "--cron", "0 6 * * mon", "--time-zone", "Europe/Berlin")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_from_address": "audit@example.org"})


@pytest.fixture
def run(installation: Installation, tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def opened(_: Settings) -> Iterator[Installation]:
        yield installation

    for module in (cli_schedules, cli_anomalies):
        monkeypatch.setattr(module, "open_installation", opened)
        # Whoever imported the commands before has settled how wide they print.
        monkeypatch.setattr(module.out, "_width", 250)

    def run(*arguments: object, refused: str = "") -> str:
        result = CliRunner().invoke(cli.app, [*map(str, arguments), "--tenant", str(tenant_id)])
        if refused:
            assert isinstance(result.exception, AuditError)
            assert refused in str(result.exception)
            return str(result.exception)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def events(installation: Installation, tenant_id: uuid.UUID) -> list[tuple[str, str]]:
    with installation.database.tenant_connection(tenant_id) as conn:
        return conn.execute(
            "select event_type, convert_from(entry, 'UTF8') from audit_logs "
            "where entity_type = 'audit_scheduled_report' order by seq"
        ).fetchall()


def test_a_scheduled_report_from_its_making_to_its_end(
    run: Any, installation: Installation, tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_deliveries, "clock", lambda: datetime(2026, 3, 20, 12, tzinfo=UTC))
    addresses = ("--recipient", "ann@example.org", "--recipient", "bob@example.org", "--delivery", "file")
    added = run("schedules", "add", *WEEKLY, *addresses)
    # The clocks of Berlin go forward on the 29th.
    assert "2026-03-23T06:00+01:00 then 2026-03-30T06:00+02:00" in added
    report = ("--report", added.split()[2])
    shown = run("schedules", "list")
    for word in (report[1], "security", "0 6 * * mon Europe/Berlin", "ann@example.org", "bob@example.org", "in use"):
        assert word in shown
    assert "paused" in run("schedules", "pause", *report)
    assert "paused" in (listed := run("schedules", "list"))
    assert "2026-03-23" not in listed
    assert "2026-03-23T06:00+01:00" in run("schedules", "resume", *report)
    run("schedules", "remove", *report)
    listed = run("schedules", "list")
    assert "nobody" in listed
    assert "ann@" not in listed
    happened = events(installation, tenant_id)
    verbs = [event_type.removeprefix("audit.scheduled_report.") for event_type, _ in happened]
    assert verbs == ["created", "disabled", "changed", "disabled"]
    assert not any("ann@" in entry for _, entry in happened)
    for verb in ("pause", "resume", "remove"):
        run("schedules", verb, "--report", uuid.uuid4(), refused="got none of this id")


def test_every_fault_is_told_by_its_option_and_nothing_is_kept(
    run: Any, installation: Installation, tenant_id: uuid.UUID
) -> None:
    wrong = ("--kind", "access_review", "--cron", "* * * * *", "--time-zone", "Mars/Olympus", "--delivery", "file")
    told = run("schedules", "add", *wrong, "--recipient", "ann@example.org", "--recipient", "x", refused="--cron: ")
    for option in ("--time-zone: ", "--recipient 2: ", "--delivery: "):
        assert option in told
    run("schedules", "add", "--kind", "person", "--cron", "@monthly", refused="--person: ")
    run("schedules", "add", "--kind", "person", "--cron", "@monthly", "--person", "nobody", refused="expected")
    assert events(installation, tenant_id) == []
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d", actor="ann")])
    run("schedules", "add", "--kind", "person", "--cron", "@monthly", "--person", "ann")
    assert len(events(installation, tenant_id)) == 1


def test_a_mailbox_is_added(run: Any, installation: Installation, tenant_id: uuid.UUID) -> None:
    mailbox = ("alerts", "email", "--to", "ann@example.org", "--minimum-severity", "critical")
    made = run(*mailbox, "--name", "on call").split()[1]
    (kept,) = destinations.listed(installation, tenant_id)
    assert (str(kept.integration_id), kept.kind, kept.minimum_severity) == (made, "email", "critical")
    assert "ann@" not in run("alerts", "list")
    run(*mailbox, "--name", "ann@example.org", refused="expected a name without the address")
