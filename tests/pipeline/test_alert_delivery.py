"""From an odd event to a real webhook, through Dagster alone: the job that detects, the sensor, the job that sends."""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
import pytest

from audit_pipelines.definitions import build_definitions
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify.destinations import add_webhook
from audit_pipelines.sensors import alert_delivery_sensor
from audit_pipelines.settings import Settings
from tests.integration.anchor_servers import Server, serving


@pytest.fixture(scope="module")
def story() -> Sequence[Event]:
    """600 events of the days that end now: what ended more than a week ago alerts nobody."""
    return generate(3, datetime.now(UTC), days=4, people=24, services=8).events[-600:]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Few events are odd enough among 500.
    return settings.model_copy(update={"audit_outgoing_allowed": ("127.0.0.0/8",), "audit_anomaly_threshold": 0.5})


@pytest.fixture
def receiver() -> Iterator[Server]:
    with serving(lambda *_: (204, {}, b"")) as server:
        yield server


def test_an_alert_leaves_through_the_sensor_and_its_job(
    stocked: Installation, tenant_id: uuid.UUID, run, instance: dg.DagsterInstance, receiver: Server
) -> None:
    add_webhook(
        stocked,
        tenant_id,
        name="siem",
        url=f"http://127.0.0.1:{receiver.port}/",
        secret="a long shared secret",
        minimum_severity="low",
        by="ann",
    )

    def tick() -> dg.SensorResult | dg.SkipReason | object:
        resources = {"installation": stocked}
        definitions = build_definitions(resources=resources)
        with dg.build_sensor_context(instance=instance, resources=resources, definitions=definitions) as context:
            return alert_delivery_sensor.evaluate_tick(context)

    assert "no alert is due" in (tick().skip_message or "")
    result = run("anomaly_detection_job")
    assert result.success
    told = next(
        event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("incidents")
    )
    assert told["new"].value > 0
    assert told["queued_alerts"].value > 0
    assert len(tick().run_requests) == 1
    assert run("alert_delivery_job", lake=False).success
    assert tick().skip_message
    sent = [json.loads(body) for *_, body in receiver.requests]
    assert len(sent) == told["queued_alerts"].value
    with stocked.database.connection("audit_pipeline") as conn:
        known = {str(one) for (one,) in conn.execute("select incident_id from audit_incidents")}
    assert {one["incident_id"] for one in sent} <= known
    # Nothing new: nothing is sent again.
    assert run("anomaly_detection_job").success
    assert "no alert is due" in (tick().skip_message or "")
