"""The commands `anomaly …` and `alerts …`, in this process over the test's own installation."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from anchor_servers import serving
from typer.testing import CliRunner

from audit_pipelines import cli, cli_anomalies
from audit_pipelines.derive import alerts, recompute
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.settings import Settings
from tests.integration.test_alerts import plant


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"audit_outgoing_allowed": ("127.0.0.0/8",)})


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def opened(_: Settings) -> Iterator[Installation]:
        yield installation

    monkeypatch.setattr(cli_anomalies, "open_installation", opened)
    # Whoever imported the commands before has settled how wide they print.
    monkeypatch.setattr(cli_anomalies.out, "_width", 250)

    def run(*arguments: object, status: int = 0, given: str = "") -> str:
        result = CliRunner().invoke(cli.app, [str(one) for one in arguments], input=given)
        assert result.exit_code == status, result.output
        return result.output

    return run


def test_recompute_says_what_it_found_by_text_and_status(
    run: Any, tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = recompute.Recomputed(
        uuid.uuid4(), tenant_id, 7, "m:1", "ab" * 32, 9, 0.8, "high", ("first of its kind",), ()
    )
    monkeypatch.setattr(recompute, "recompute", lambda *_: done)
    assert f"the same: anomaly {done.anomaly_id}" in run("anomaly", "recompute", done.anomaly_id)
    other = recompute.Recomputed(uuid.uuid4(), tenant_id, 7, "m:1", "ab" * 32, 9, 0.8, "high", (), ("score: recorded",))
    monkeypatch.setattr(recompute, "recompute", lambda *_: other)
    assert "differs: score: recorded" in run("anomaly", "recompute", done.anomaly_id, status=1)
    shown = json.loads(run("anomaly", "recompute", done.anomaly_id, "--json", status=1))
    assert (shown["same"], shown["differences"]) == (False, ["score: recorded"])

    def tampered(*_: object) -> None:
        raise TamperedError("model artefact x.npz: expected another digest")

    monkeypatch.setattr(recompute, "recompute", tampered)
    run("anomaly", "recompute", done.anomaly_id, status=1)


def test_the_threshold_is_shown_and_set_back(run: Any, tenant_id: uuid.UUID) -> None:
    assert "alerts from 0.70 on" in run("anomaly", "threshold", "--tenant", tenant_id)
    text = run("anomaly", "threshold", "--tenant", tenant_id, "--set", "0.75", "--reason", "too many of them")
    assert "alerts from 0.75 on" in text
    assert "too many of them" in text
    run("anomaly", "threshold", "--tenant", tenant_id, "--set", "0.75", status=1)


def test_a_destination_from_its_beginning_to_a_dead_alert(
    run: Any, installation: Installation, tenant_id: uuid.UUID
) -> None:
    with serving(lambda *_: (500, {}, b"")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        added = run("alerts", "webhook", "--tenant", tenant_id, "--name", "siem", "--url", url, given="\n")
        assert "secret: " in added
        destination = added.split()[1]
        kept = ("--name", "other", "--url", url, "--minimum-severity", "critical")
        assert "secret" not in run("alerts", "webhook", "--tenant", tenant_id, *kept, given="a long shared secret\n")
        plant(installation, tenant_id, 1)
        assert alerts.queue_alerts(installation) == 1
        switch = ("--tenant", tenant_id, "--destination", destination)
        assert "disabled" in run("alerts", "disable", *switch)
        assert "0 delivered, 0 failed" in run("alerts", "deliver")
        assert "in use" in run("alerts", "enable", *switch)
        assert "1 failed (0 given up), 1 waiting" in run("alerts", "deliver", status=1)
        shown = run("alerts", "list", "--tenant", tenant_id)
        assert "expected status 2xx, got 500" in shown
        assert str(receiver.port) not in shown
        (alert,) = alerts.deliveries(installation, tenant_id)
        run("alerts", "retry", "--tenant", tenant_id, "--alert", alert.delivery_id, status=1)
        with installation.database.connection("audit_pipeline") as conn:
            conn.execute("update audit_alert_deliveries set state = 'dead'")
        assert "dead" in run("alerts", "list", "--tenant", tenant_id, status=1)
        assert "waiting" in run("alerts", "retry", "--tenant", tenant_id, "--alert", alert.delivery_id)
