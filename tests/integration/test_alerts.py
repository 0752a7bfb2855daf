"""Alerts on their way to a real webhook: queued once, signed, tried again, given up, and what a crash does to them."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anchor_servers import Server, serving

from audit_pipelines.derive import alerts, tampering
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.feedback import thresholds
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.incidents import incident_id
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify import destinations
from audit_pipelines.notify.alert import Alert, DeliveryError
from audit_pipelines.notify.webhook import WebhookDestination
from audit_pipelines.outgoing import Outgoing
from audit_pipelines.settings import Settings

SECRET = "a long shared secret"
TO_LOOPBACK = Outgoing.allowing(["127.0.0.0/8"])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"audit_outgoing_allowed": ("127.0.0.0/8",), "api_base_url": "https://audit.example.org"}
    )


@pytest.fixture
def receiver() -> Iterator[Server]:
    with serving(lambda *_: (200, {}, b'{"ok": true}')) as server:
        yield server


@pytest.fixture
def destination(installation: Installation, tenant_id: uuid.UUID, receiver: Server) -> uuid.UUID:
    return add(installation, tenant_id, receiver)


def add(installation: Installation, tenant_id: uuid.UUID, receiver: Server, name: str = "siem", **fields: Any):
    wanted = {"url": f"http://127.0.0.1:{receiver.port}/hook", "secret": SECRET, "minimum_severity": "medium"} | fields
    return destinations.add_webhook(installation, tenant_id, name=name, by="ann@example.org", **wanted)


def plant(installation: Installation, tenant_id: uuid.UUID, seq: int, **fields: Any) -> uuid.UUID:
    """Write an incident."""
    now = datetime.now(UTC)
    row = {
        "incident_id": incident_id(tenant_id, seq),
        "founding_seq": seq,
        "state": "open",
        "actor_ref": uuid.uuid5(tenant_id, "somebody"),
        "first_at": now - timedelta(minutes=5),
        "last_at": now,
        "anomalies": 1,
        "suppressed": 0,
        "score": 0.8,
        "alert_score": 0.8,
        "alert_severity": "high",
        "severity": "high",
        "title": "1 odd event: signs in",
        "meanings": '["signs in"]',
        "story": '[{"text": "first sign-in"}]',
        "run_id": "r",
    } | fields
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    change = ", ".join(f"{name} = excluded.{name}" for name in row)
    run(
        installation,
        f"insert into audit_incidents (tenant_id, {names}) values (%(tenant_id)s, {values}) "
        f"on conflict (tenant_id, incident_id) do update set {change}",
        **row,
        tenant_id=tenant_id,
    )
    return row["incident_id"]


def run(installation: Installation, statement: str, **parameters: Any) -> None:
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(statement, parameters)


def states(installation: Installation, tenant_id: uuid.UUID) -> list[tuple[str, int, str | None]]:
    return [(one.state, one.attempts, one.last_error) for one in alerts.deliveries(installation, tenant_id)]


def make_due(installation: Installation) -> None:
    run(installation, "update audit_alert_deliveries set next_try_at = now() where state = 'waiting'")


# What is queued


def test_an_incident_is_told_once_and_again_when_it_gets_graver(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    incident = plant(installation, tenant_id, 1)
    assert [alerts.queue_alerts(installation) for _ in range(2)] == [1, 0]
    assert alerts.deliver_alerts(installation) == alerts.Delivered(1, 0, 0, 0)
    assert alerts.deliver_alerts(installation) == alerts.Delivered(0, 0, 0, 0)
    ((method, path, headers, body),) = receiver.requests
    assert (method, path) == ("POST", "/hook")
    assert headers["x-audit-signature"] == f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    told = json.loads(body)
    assert headers["idempotency-key"] == told["delivery_id"]
    assert (told["incident_id"], told["severity"], told["title"]) == (str(incident), "high", "1 odd event: signs in")
    assert told["link"] == f"https://audit.example.org/api/audit/incidents/{incident}"
    assert told["story"] == [{"text": "first sign-in"}]

    # It only grows: nobody is told again. It gets graver: they are. It calms down: they are not.
    plant(installation, tenant_id, 1, anomalies=9)
    assert alerts.queue_alerts(installation) == 0
    plant(installation, tenant_id, 1, severity="critical", alert_severity="critical")
    assert alerts.queue_alerts(installation) == 1
    plant(installation, tenant_id, 1)
    assert alerts.queue_alerts(installation) == 0
    alerts.deliver_alerts(installation)
    assert [json.loads(body)["severity"] for *_, body in receiver.requests] == ["high", "critical"]
    assert len({headers["idempotency-key"] for _, _, headers, _ in receiver.requests}) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"alert_severity": "low"},
        {"alert_score": 0.69},
        {"alert_score": None, "alert_severity": None},
        {"state": "withdrawn"},
        {"last_at": datetime(2026, 1, 1, tzinfo=UTC), "first_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"changed_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_what_is_not_told(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, fields: dict[str, Any]
) -> None:
    plant(installation, tenant_id, 1, **fields)
    assert alerts.queue_alerts(installation) == 0
    plant(installation, tenant_id, 2)
    assert alerts.queue_alerts(installation) == 1


def test_the_tenants_own_threshold_counts_and_what_is_critical_is_told_whatever_it_is(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID
) -> None:
    thresholds.set_threshold(installation, tenant_id, 0.82, reason="too many", by="ann@example.org")
    plant(installation, tenant_id, 1)
    plant(installation, tenant_id, 2, alert_severity="critical")
    plant(installation, tenant_id, 3, alert_score=0.83)
    assert alerts.queue_alerts(installation) == 2
    assert {str(one.incident_id) for one in alerts.deliveries(installation, tenant_id)} == {
        str(incident_id(tenant_id, seq)) for seq in (2, 3)
    }


def test_each_destination_is_told_by_itself_and_one_that_is_off_is_not(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    add(installation, tenant_id, receiver, name="grave", minimum_severity="critical")
    off = add(installation, tenant_id, receiver, name="off")
    destinations.set_enabled(installation, tenant_id, off, enabled=False, by="ann@example.org")
    plant(installation, tenant_id, 1)
    assert alerts.queue_alerts(installation) == 1
    destinations.set_enabled(installation, tenant_id, destination, enabled=False, by="ann@example.org")
    assert alerts.waiting_alerts(installation) == 0
    assert alerts.deliver_alerts(installation).delivered == 0
    destinations.set_enabled(installation, tenant_id, destination, enabled=True, by="ann@example.org")
    assert alerts.deliver_alerts(installation).delivered == 1
    with pytest.raises(destinations.UnknownIntegrationError):
        destinations.set_enabled(installation, uuid.uuid4(), destination, enabled=True, by="ann@example.org")


# On the wire


@pytest.mark.parametrize(
    ("fault", "said", "pause_s"),
    [
        ((429, {"Retry-After": "600"}, b""), "expected status 2xx, got 429", 600),
        ((500, {}, b"oops"), "expected status 2xx, got 500", 60),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "expected status 2xx, got 302", 60),
        ("cut", "the exchange broke off", 60),
    ],
)
def test_an_alert_that_was_not_taken_waits_and_goes_out_again_under_the_same_key(  # noqa: PLR0917 - pytest's
    installation: Installation,
    tenant_id: uuid.UUID,
    destination: uuid.UUID,
    receiver: Server,
    fault: Any,
    said: str,
    pause_s: int,
) -> None:
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)
    receiver.fault = fault
    assert alerts.deliver_alerts(installation) == alerts.Delivered(0, 1, 0, 1)
    (waiting,) = alerts.deliveries(installation, tenant_id)
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert said in (waiting.last_error or "")
    assert abs((waiting.next_try_at - datetime.now(UTC)).total_seconds() - pause_s) < 30
    assert alerts.waiting_alerts(installation) == 0

    receiver.fault = None
    assert alerts.deliver_alerts(installation).delivered == 0
    make_due(installation)
    assert alerts.deliver_alerts(installation).delivered == 1
    first, second = receiver.requests
    assert first == second
    assert states(installation, tenant_id) == [("delivered", 2, None)]


def test_a_receiver_that_does_not_answer_is_not_waited_for(tenant_id: uuid.UUID, receiver: Server) -> None:
    receiver.fault = "hang"
    webhook = WebhookDestination(f"http://127.0.0.1:{receiver.port}/", SECRET.encode(), TO_LOOPBACK, timeout_s=0.3)
    now = datetime.now(UTC)
    alert = Alert(
        uuid.uuid4(), tenant_id, uuid.uuid4(), "high", None, now, now, 1, 0, 0.9, "t", [], [], "https://x.example/"
    )
    with pytest.raises(DeliveryError, match=r"no answer within 0\.3 s"):
        webhook.send(alert)
    inner = WebhookDestination(webhook.url, webhook.secret)
    with pytest.raises(DeliveryError, match="inner network"):
        inner.send(alert)
    assert SECRET not in repr(webhook)
    assert str(receiver.port) not in repr(webhook)


def test_after_eight_attempts_it_is_dead_seen_and_may_be_revived(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)
    receiver.fault = (500, {}, b"")
    for _ in range(alerts.MOST_ATTEMPTS):
        make_due(installation)
        alerts.deliver_alerts(installation)
    make_due(installation)
    assert alerts.deliver_alerts(installation) == alerts.Delivered(0, 0, 0, 0)
    ((state, attempts, _),) = states(installation, tenant_id)
    assert (state, attempts) == ("dead", alerts.MOST_ATTEMPTS)
    assert alerts.delivery_counts(installation) == [("dead", 1)]
    assert [one.dead for one in destinations.listed(installation, tenant_id)] == [1]
    # The key stays taken: nothing queues it again behind anybody's back.
    assert alerts.queue_alerts(installation) == 0
    (dead,) = alerts.deliveries(installation, tenant_id)
    assert not alerts.retry(installation, uuid.uuid4(), dead.delivery_id)
    assert alerts.retry(installation, tenant_id, dead.delivery_id)
    receiver.fault = None
    assert alerts.deliver_alerts(installation).delivered == 1


def test_a_crash_between_sending_and_recording_sends_again_under_the_same_key(
    installation: Installation,
    tenant_id: uuid.UUID,
    destination: uuid.UUID,
    receiver: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)

    def die(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(alerts, "_record", die)
        with pytest.raises(KeyboardInterrupt):
            alerts.deliver_alerts(installation)
    # The receiver has it, the table does not know, and nobody else may send it while the claim lasts.
    assert len(receiver.requests) == 1
    assert states(installation, tenant_id) == [("sending", 1, None)]
    assert alerts.deliver_alerts(installation).delivered == 0
    assert alerts.waiting_alerts(installation) == 0
    run(installation, "update audit_alert_deliveries set claimed_until = now() - interval '1 second'")
    assert alerts.waiting_alerts(installation) == 1
    assert alerts.deliver_alerts(installation).delivered == 1
    first, second = receiver.requests
    assert first[2]["idempotency-key"] == second[2]["idempotency-key"]
    assert states(installation, tenant_id) == [("delivered", 2, None)]


def test_a_claim_that_ran_out_records_nothing(
    installation: Installation,
    tenant_id: uuid.UUID,
    destination: uuid.UUID,
    receiver: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)
    late: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(alerts, "_record", lambda *given: late.append(given) or "delivered")
        alerts.deliver_alerts(installation)
    run(installation, "update audit_alert_deliveries set claimed_until = now() - interval '1 second'")
    receiver.fault = (500, {}, b"")
    alerts.deliver_alerts(installation)
    alerts._record(*late[0])
    assert states(installation, tenant_id) == [("waiting", 2, "expected status 2xx, got 500")]


def test_a_destination_that_fails_does_not_hold_up_the_others(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    with serving(lambda *_: (200, {}, b"")) as other:
        add(installation, tenant_id, other, name="other")
        for seq in range(6):
            plant(installation, tenant_id, seq)
        assert alerts.queue_alerts(installation) == 12
        receiver.fault = (503, {}, b"")
        done = alerts.deliver_alerts(installation)
        assert (done.delivered, done.failed, done.waiting) == (6, 3, 6)
        assert len(receiver.requests) == 3


# A ledger that was changed


def test_a_changed_ledger_is_told_once_and_again_when_it_comes_back(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    installation.ledger.append(
        tenant_id, [Event(event_type="a.read", entity_type="thing", entity_id=str(n)) for n in range(3)]
    )
    last = f"tenant_id = '{tenant_id}' and entity_id = '2'"

    def change(outcome: str) -> None:
        with installation.database.connect_admin() as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(f"update audit_logs set outcome = {outcome} where {last}")

    def told(*, whole: bool) -> tuple[int, int]:
        new = tampering.tell_findings(installation, installation.verify(), run_id="r", whole=whole)
        return new, alerts.deliver_alerts(installation).delivered

    assert told(whole=True) == (0, 0)
    change("'denied'")
    assert told(whole=False) == (1, 1)
    assert [told(whole=whole) for whole in (False, True)] == [(0, 0)] * 2
    body = json.loads(receiver.requests[-1][3])
    ((finding,),) = [one.findings for one in installation.verify() if one.tenant_id == tenant_id]
    assert (body["cause"], body["severity"]) == ("tampering", "critical")
    assert body["title"] == "the ledger was changed: 1 finding"
    assert body["story"][0] == {"text": f"seq {finding.seq}: column"}
    assert "denied" not in str(body)
    change("null")
    assert [told(whole=whole) for whole in (False, True)] == [(0, 0)] * 2
    change("'denied'")
    assert told(whole=True) == (1, 1)
    # Told of as it was queued, and the other tenant's destinations of nothing.
    add(installation, uuid.uuid4(), receiver, name="another's")
    assert told(whole=True) == (0, 0)


# Configuring


def test_a_destination_is_kept_sealed_and_its_event_shows_no_address(
    installation: Installation, tenant_id: uuid.UUID, destination: uuid.UUID, receiver: Server
) -> None:
    with installation.database.connect_admin() as conn:
        for table in ("audit_integrations", "audit_logs"):
            content = str(conn.execute(f"select to_jsonb(t)::text from {table} t").fetchall())
            entries = str(conn.execute("select convert_from(entry, 'UTF8') from audit_logs").fetchall())
            assert not [word for word in (SECRET, str(receiver.port), "/hook") if word in content + entries]
    with pytest.raises(ConflictError, match="siem"):
        add(installation, tenant_id, receiver)
    for wrong in ({"url": "ftp://x.example/"}, {"url": "https://u:p@x.example/"}, {"secret": "short"}, {"name": ""}):
        with pytest.raises(ValidationError):
            add(installation, tenant_id, receiver, **({"name": "another"} | wrong))
    # What was sealed for one tenant opens for no other.
    with installation.database.connection("audit_pipeline") as conn:
        ((sealed,),) = conn.execute("select sealed_config from audit_integrations").fetchall()
    with pytest.raises(Exception, match="sealed text"):
        destinations.open_destination(installation, uuid.uuid4(), "webhook", sealed)
    assert destinations.open_destination(installation, tenant_id, "slack", "") is None
