"""Addresses that reports and alerts go to, as what is held about a person: in their export, gone with their erasure."""

import json
import uuid
from typing import Any

import pytest
from test_privacy import sent_to_both

from audit_pipelines.derive import report_schedules
from audit_pipelines.derive.report_schedules import Wanted
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify import destinations
from audit_pipelines.privacy import erasing, subject_access
from audit_pipelines.settings import Settings

ANN, BEN = "ann.quist@example.org", "ben@example.org"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_from_address": "audit@example.org"})


def act(installation: Installation, tenant_id: uuid.UUID, *actors: str) -> None:
    installation.ledger.append(
        tenant_id, [Event(event_type="a.b", entity_type="record", entity_id="r", actor=actor) for actor in actors]
    )


def schedule(installation: Installation, tenant_id: uuid.UUID, *recipients: str, **about: Any) -> str:
    wanted = Wanted(**{"kind": "security", "cron": "0 6 * * *", "recipients": recipients} | about)
    return str(report_schedules.add(installation, tenant_id, wanted, by="chief").report_id)


def mailbox(installation: Installation, tenant_id: uuid.UUID, name: str, address: str) -> str:
    added = destinations.add_email(
        installation, tenant_id, name=name, address=address, minimum_severity="high", by="chief"
    )
    return str(added)


def exported(installation: Installation, tenant_id: uuid.UUID, who: str) -> tuple[dict[str, Any], str]:
    person = subject_access.find_person(installation, tenant_id, who)
    text = b"".join(subject_access.export_person(installation, person, "json")).decode()
    return json.loads(text), text


@pytest.fixture
def mailed(installation: Installation, tenant_id: uuid.UUID) -> dict[str, str]:
    """Ids of what goes to Ann, written in her way or another, what is about her, and what is Ben's alone."""
    act(installation, tenant_id, ANN, BEN)
    ids = {
        "hers": schedule(installation, tenant_id, BEN, " Ann.Quist@EXAMPLE.org"),
        "about": schedule(installation, tenant_id, kind="person", person=ANN),
        "former": schedule(installation, tenant_id, ANN),
        "his": schedule(installation, tenant_id, BEN),
        "her mailbox": mailbox(installation, tenant_id, f"on call of {BEN}", ANN.upper()),
        "his mailbox": mailbox(installation, tenant_id, "night", BEN),
    }
    sent_to_both(installation, tenant_id, uuid.UUID(ids["hers"]))
    sent_to_both(installation, tenant_id, uuid.UUID(ids["former"]))
    report_schedules.change(
        installation, tenant_id, uuid.UUID(ids["former"]), report_schedules.Changes(recipients=[BEN]), by="chief"
    )
    return ids


def test_a_person_is_told_which_reports_and_alerts_go_to_their_address(
    installation: Installation, tenant_id: uuid.UUID, mailed: dict[str, str]
) -> None:
    act(installation, other := uuid.uuid4(), ANN)
    schedule(installation, other, ANN)
    mailbox(installation, other, "theirs", ANN)
    document, text = exported(installation, tenant_id, ANN)
    told = [
        (one["report_id"], one["address"], one["is_about_person"], [each["state"] for each in one["messages"]])
        for one in document["scheduled_reports"]
    ]
    assert told == [
        (mailed["hers"], "Ann.Quist@EXAMPLE.org", False, ["waiting"]),
        (mailed["about"], None, True, []),
        (mailed["former"], None, False, ["waiting"]),
    ]
    first = document["scheduled_reports"][0]
    assert {name: first[name] for name in ("kind", "cron", "time_zone", "delivery", "enabled")} == {
        "kind": "security", "cron": "0 6 * * *", "time_zone": "UTC", "delivery": "link", "enabled": True,
    }  # fmt: skip
    [destination] = document["alert_destinations"]
    assert (destination["integration_id"], destination["address"]) == (mailed["her mailbox"], ANN.upper())
    assert (destination["minimum_severity"], destination["enabled"]) == ("high", True)
    assert (document["counts"]["scheduled_reports"], document["counts"]["alert_destinations"]) == (3, 1)
    # Of others nothing, neither as recipients nor in what a mailbox is called.
    assert BEN not in text
    assert "sealed" not in json.dumps([document["scheduled_reports"], document["alert_destinations"]])


def test_what_the_export_lists_the_erasure_takes_and_who_comes_after_has_none_of_it(
    installation: Installation, tenant_id: uuid.UUID, mailed: dict[str, str]
) -> None:
    begun = erasing.begin(installation, tenant_id, ANN)
    certificate = json.loads(erasing.finish(installation, tenant_id, begun.actor_ref, run_id="r") or "")
    statement = certificate["statement"]
    taken = {copy["key"] for copy in statement["copies"] if copy["kind"] in {"scheduled_report", "alert_destination"}}
    assert taken == {mailed[name] for name in ("hers", "about", "former", "her mailbox")}
    assert "keyed hash" in statement["remains"]["addresses"]
    # The same address is somebody new, who was sent nothing.
    act(installation, tenant_id, ANN)
    document, _ = exported(installation, tenant_id, ANN)
    assert document["scheduled_reports"] == document["alert_destinations"] == []
    his, _ = exported(installation, tenant_id, BEN)
    assert [one["address"] for one in his["scheduled_reports"]] == [BEN] * 3
    assert [one["integration_id"] for one in his["alert_destinations"]] == [mailed["his mailbox"]]


def test_an_erasure_that_is_finished_late_still_takes_the_address(
    installation: Installation, tenant_id: uuid.UUID, mailed: dict[str, str]
) -> None:
    erasing.begin(installation, tenant_id, ANN)
    age = "update audit_erasures set erased_at = erased_at - interval '31 days'"
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(age)
    for _ in range(2):
        erasing.finish_all(installation, run_id="late", grace_s=0)
    hers = report_schedules.one(installation, tenant_id, uuid.UUID(mailed["hers"]))
    assert hers.recipients == (BEN,)
    with installation.database.connect_admin() as conn:
        assert conn.execute("select request_index from audit_erasures").fetchall() == [(None,)]
