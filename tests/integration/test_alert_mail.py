"""Alerts on their way to a mailbox, by a real SMTP server: what arrives, what is tried again, what is erased."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from mail_servers import CLOSE, HANG, Inbox, receiving
from test_alerts import make_due, plant, run

from audit_pipelines.derive import alerts, tampering
from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.verify import Finding, Verification
from audit_pipelines.notify import destinations
from audit_pipelines.notify.email import mail_server
from audit_pipelines.notify.mailbox import MailboxDestination
from audit_pipelines.privacy import erasing
from audit_pipelines.settings import Settings

ANN = "ann@example.net"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as inbox:
        yield inbox


@pytest.fixture
def settings(settings: Settings, inbox: Inbox) -> Settings:
    mail = {"smtp_host": "127.0.0.1", "smtp_port": inbox.port, "smtp_use_tls": False}
    return settings.model_copy(
        update=mail | {"smtp_from_address": "audit@example.org", "api_base_url": "https://audit.example.org"}
    )


def add(installation: Installation, tenant_id: uuid.UUID, name: str = "on call", **fields: Any) -> uuid.UUID:
    wanted = {"address": ANN, "minimum_severity": "medium"} | fields
    return destinations.add_email(installation, tenant_id, name=name, by="bob@example.org", **wanted)


def message_ids(bodies: list[bytes]) -> list[str]:
    return [line.decode() for body in bodies for line in body.split(b"\r\n") if line.startswith(b"Message-ID")]


def test_an_incident_and_a_changed_ledger_arrive_once_as_text(
    installation: Installation, tenant_id: uuid.UUID, inbox: Inbox
) -> None:
    add(installation, tenant_id)
    # An application may call its events whatever it likes.
    story = '[{"at": "2026-03-02T06:00:00+00:00", "text": "`x.y`\\u001b\\r\\nBcc: eve@example.org", "seq": 1}]'
    incident = plant(installation, tenant_id, 1, title="1 odd event:\u202e\r\nBcc: eve@example.org", story=story)
    assert [alerts.queue_alerts(installation) for _ in range(2)] == [1, 0]
    assert alerts.deliver_alerts(installation) == alerts.Delivered(1, 0, 0, 0)
    assert alerts.deliver_alerts(installation) == alerts.Delivered(0, 0, 0, 0)
    (message,) = inbox.messages
    (sent,) = alerts.deliveries(installation, tenant_id)
    assert (inbox.recipients, message["To"], message["Bcc"]) == ([ANN], ANN, None)
    assert message["Message-ID"] == f"<{sent.delivery_id}@example.org>"
    assert message["Subject"] == "[audit] high: 1 odd event: Bcc: eve@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content().replace("\r\n", "\n")
    assert f"\nhttps://audit.example.org/api/audit/incidents/{incident}\n" in text
    assert "\n- 2026-03-02 06:00:00 UTC: `x.y` Bcc: eve@example.org\n" in text
    assert "\nSeverity:   high\n" in text
    assert (list(message.iter_attachments()), message.get_body(("html",))) == ([], None)

    finding = Finding(tenant_id, 4, "column", "outcome: expected ok, got denied")
    done = [Verification(tenant_id, events=5, checkpoints=0, last_seq=4, head=b"", findings=(finding,))]
    assert [tampering.tell_findings(installation, done, run_id="r") for _ in range(2)] == [1, 0]
    assert alerts.deliver_alerts(installation).delivered == 1
    message = inbox.messages[1]
    assert message["Subject"] == "[audit] critical: the ledger was changed: 1 finding"
    text = message.get_content()
    assert "- seq 4: column" in text
    assert "denied" not in text
    assert "Actor" not in text


@pytest.mark.parametrize(
    ("where", "said", "state", "told"),
    [
        ("rcpt", "451 4.7.1 ann@example.net is greylisted", "waiting", "refused the recipient for now: 451 4.7.1"),
        ("rcpt", "550 5.1.1 ann@example.net is unknown", "dead", "refused the recipient for good: 550 5.1.1"),
        ("data", "452 full", "waiting", "refused the message for now: 452"),
        ("data", "554 5.7.1 spam", "dead", "refused the message for good: 554 5.7.1"),
        ("data", CLOSE, "waiting", "expected an exchange to its end"),
        ("data", HANG, "waiting", "expected an exchange to its end"),
    ],
)
def test_what_was_not_taken_waits_or_is_given_up_and_is_the_same_message_again(  # noqa: PLR0917 - pytest's
    installation: Installation,
    tenant_id: uuid.UUID,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    said: str,
    state: str,
    told: str,
) -> None:
    server = mail_server(installation.settings)
    assert server
    monkeypatch.setattr(destinations, "mail_server", lambda _: replace(server, timeout_s=0.5))
    add(installation, tenant_id)
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)
    # Of a cut or late answer the server may have the message all the same.
    had: list[bytes] = []

    def misbehave(given: Any) -> str:
        if where == "data":
            had.append(given)
        return said

    setattr(inbox, where, misbehave)
    assert alerts.deliver_alerts(installation).failed == 1
    (one,) = alerts.deliveries(installation, tenant_id)
    assert (one.state, one.attempts) == (state, 1)
    assert told in (one.last_error or "")
    assert "ann" not in (one.last_error or "")
    if state == "dead":
        assert alerts.retry(installation, tenant_id, one.delivery_id)
    setattr(inbox, where, lambda _: "250 2.0.0 taken")
    make_due(installation)
    assert alerts.deliver_alerts(installation).delivered == 1
    assert len(inbox.messages) == 1
    assert len(set(message_ids([*had, *inbox.bodies]))) == 1


def test_a_mailbox_that_refuses_does_not_hold_up_the_others(
    installation: Installation, tenant_id: uuid.UUID, inbox: Inbox
) -> None:
    add(installation, tenant_id)
    add(installation, tenant_id, "gone", address="gone@example.net")
    inbox.rcpt = lambda address: "550 unknown" if address.startswith("gone") else "250 taken"
    for seq in range(4):
        plant(installation, tenant_id, seq)
    assert alerts.queue_alerts(installation) == 8
    # For good is an answer: all four are given up, none is kept waiting behind another.
    assert alerts.deliver_alerts(installation) == alerts.Delivered(4, 4, 4, 0)


def test_a_mailbox_is_kept_sealed_and_refused_where_nothing_would_arrive(
    installation: Installation, tenant_id: uuid.UUID
) -> None:
    add(installation, tenant_id)
    with installation.database.connect_admin() as conn:
        kept = str(conn.execute("select to_jsonb(i)::text from audit_integrations i").fetchall())
        said = str(conn.execute("select convert_from(entry, 'UTF8') from audit_logs").fetchall())
    assert "audit.integration.configured" in said
    assert "ann@" not in kept + said
    with pytest.raises(ConflictError, match="on call"):
        add(installation, tenant_id)
    for wrong in ({"address": "ann"}, {"address": "a@b.org, c@d.org"}, {"name": f"mail to {ANN.upper()}"}):
        with pytest.raises(ValidationError) as caught:
            add(installation, tenant_id, **({"name": "another"} | wrong))
        assert "c@d" not in str(caught.value)
    silent = replace(installation, settings=installation.settings.model_copy(update={"smtp_host": None}))
    with pytest.raises(ValidationError, match="SMTP_HOST"):
        add(silent, tenant_id, "another")
    plant(installation, tenant_id, 1)
    alerts.queue_alerts(installation)
    assert alerts.deliver_alerts(silent).waiting == 1
    (one,) = alerts.deliveries(installation, tenant_id)
    assert "expected SMTP_HOST" in (one.last_error or "")


def test_an_erased_persons_mailbox_is_emptied_and_nothing_goes_there(
    installation: Installation, tenant_id: uuid.UUID, inbox: Inbox
) -> None:
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="d", actor=ANN)])
    ann = add(installation, tenant_id, address=ANN.upper())
    other = add(installation, tenant_id, "another's", address="cy@example.net")
    plant(installation, tenant_id, 1)
    assert alerts.queue_alerts(installation) == 2
    begun = erasing.begin(installation, tenant_id, ANN)
    certificate = erasing.finish(installation, tenant_id, begun.actor_ref, run_id="r")
    assert f'"key": "{ann}"' in (certificate or "")
    assert str(other) not in (certificate or "")
    assert alerts.deliver_alerts(installation) == alerts.Delivered(1, 0, 0, 0)
    assert inbox.recipients == ["cy@example.net"]
    assert {one.integration_id: one.enabled for one in destinations.listed(installation, tenant_id)} == {
        ann: False, other: True,
    }  # fmt: skip
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute("select integration_id, sealed_config from audit_integrations").fetchall()
    assert isinstance(
        destinations.open_destination(installation, tenant_id, "email", dict(rows)[other]), MailboxDestination
    )
    with pytest.raises(Exception, match="its owner was erased"):
        destinations.open_destination(installation, tenant_id, "email", dict(rows)[ann])
    # Switched on again, it still goes nowhere.
    destinations.set_enabled(installation, tenant_id, ann, enabled=True, by="bob@example.org")
    run(installation, "update audit_alert_deliveries set state = 'waiting', attempts = 0 where state = 'dead'")
    make_due(installation)
    assert alerts.deliver_alerts(installation) == alerts.Delivered(0, 1, 1, 0)
    assert len(inbox.messages) == 1
