"""Reports at set times through Dagster's own sensor and runs, over a month of a moved clock, to a real mail server."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest

from audit_pipelines.definitions import build_definitions
from audit_pipelines.derive import due_reports, report_deliveries, report_schedules, reporting
from audit_pipelines.derive.report_schedules import Schedule, Wanted
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import pending_days
from audit_pipelines.ledger.event import Event
from audit_pipelines.sensors import due_reports_sensor, report_delivery_sensor
from audit_pipelines.settings import Settings
from tests.integration.mail_servers import CLOSE, OK, Inbox, receiving

BEGUN = datetime(2026, 10, 1, 12, tzinfo=UTC)
ANN, BOB = "ann@example.net", "bob@example.net"


class Clock:
    """The clock of due times, claims and pauses."""

    def __init__(self) -> None:
        self.now = BEGUN

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(report_deliveries, "clock", clock)
    return clock


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as inbox:
        yield inbox


@pytest.fixture
def settings(settings: Settings, inbox: Inbox) -> Settings:
    mail = {
        "smtp_host": "127.0.0.1",
        "smtp_port": inbox.port,
        "smtp_use_tls": False,
        "smtp_from_address": "audit@example.org",
    }
    return settings.model_copy(update=mail)


@pytest.fixture
def small(installation: Installation, tenant_id: uuid.UUID, instance: dg.DagsterInstance) -> Installation:
    """Twenty events of the month, in the lake."""
    days = range(20)
    events = [
        Event(event_type="a.b", entity_type="c", entity_id=f"{day}", actor=ANN, occurred_at=BEGUN + timedelta(days=day))
        for day in days
    ]
    installation.ledger.append(tenant_id, events)
    definitions = build_definitions(resources={"installation": installation})
    job = definitions.resolve_job_def("embedding_generation_job")
    first, last = pending_days(installation)
    tags = {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}
    chosen = [dg.AssetKey("checkpoints"), dg.AssetKey("raw_events")]
    assert job.execute_in_process(instance=instance, tags=tags, asset_selection=chosen).success
    return installation


class World:
    """Dagster over an installation: its sensors tick, and what they ask for is run."""

    def __init__(self, installation: Installation, instance: dg.DagsterInstance) -> None:
        self.installation = installation
        self.instance = instance
        self.definitions = build_definitions(resources={"installation": installation})

    def tick(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        resources = {"installation": self.installation}
        with dg.build_sensor_context(
            instance=self.instance, resources=resources, definitions=self.definitions
        ) as context:
            return list(sensor.evaluate_tick(context).run_requests or [])

    def run(self, request: dg.RunRequest, job: str = "scheduled_reports_job", **arguments: Any) -> bool:
        found = self.definitions.resolve_job_def(job)
        done = found.execute_in_process(
            instance=self.instance,
            run_config=request.run_config or None,
            asset_selection=request.asset_selection,
            tags=request.tags,
            raise_on_error=False,
            **arguments,
        )
        return done.success

    def round(self) -> int:
        """Let both sensors tick once and run what they ask for; return how many reports were asked for."""
        requests = self.tick(due_reports_sensor)
        for request in requests:
            self.run(request)
        for request in self.tick(report_delivery_sensor):
            assert self.run(request, "report_delivery_job")
        return len(requests)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.installation.database.connection("audit_pipeline") as conn:
            return conn.execute(statement).fetchall()


@pytest.fixture
def world(small: Installation, instance: dg.DagsterInstance) -> World:
    return World(small, instance)


@pytest.fixture
def schedule(world: World, tenant_id: uuid.UUID, clock: Clock) -> Callable[..., Schedule]:
    def make(kind: str = "access_review", cron: str = "0 6 * * *", **fields: Any) -> Schedule:
        wanted = Wanted(kind=kind, cron=cron, recipients=fields.pop("recipients", [ANN]), **fields)
        return report_schedules.add(world.installation, tenant_id, wanted, by="chief@example.org")

    return make


def test_a_month_with_two_outages_makes_and_sends_each_due_report_once(
    world: World, schedule: Callable[..., Schedule], clock: Clock, inbox: Inbox, tenant_id: uuid.UUID
) -> None:
    made = {
        schedule(
            "security", "0 6 * * mon", time_zone="Europe/Berlin", delivery="file", recipients=[ANN, BOB]
        ).report_id,
        schedule("compliance", "30 2 25 * *", time_zone="Europe/Berlin").report_id,
        schedule("access_review", "0 9 * * tue,fri", time_zone="America/New_York").report_id,
    }
    assert len(made) == 3
    outages = [(datetime(2026, 10, 6, tzinfo=UTC), 9), (datetime(2026, 10, 23, tzinfo=UTC), 4)]
    while clock.now < BEGUN + timedelta(days=31):
        clock.now += timedelta(hours=11)
        if any(begin <= clock.now < begin + timedelta(days=days) for begin, days in outages):
            continue
        world.round()
        # Another daemon looks at the same time: nothing is left for it.
        assert world.tick(due_reports_sensor) == []
    due = world.rows("select r.kind, d.due_at, d.since, d.state, d.attempts from audit_due_reports d "
                     "join audit_scheduled_reports r using (tenant_id, report_id) order by d.due_at")  # fmt: skip
    assert {row[3:] for row in due} == {("made", 1)}
    at = {kind: [f"{moment.astimezone(UTC):%m-%d %H:%M}" for one, moment, *_ in due if one == kind] for kind, *_ in due}
    assert at == {
        # The clocks of Berlin go back on the 25th, those of New York after the month.
        "security": ["10-05 04:00", "10-12 04:00", "10-19 04:00", "10-26 05:00"],
        "compliance": ["10-25 00:30"],
        "access_review": [
            "10-02 13:00", "10-06 13:00", "10-09 13:00", "10-13 13:00", "10-16 13:00", "10-20 13:00", "10-23 13:00",
            "10-27 13:00", "10-30 13:00",
        ],
    }  # fmt: skip
    for kind in at:
        periods = [(since, moment) for one, moment, since, *_ in due if one == kind]
        assert all(before[1] == after[0] for before, after in pairwise(periods))
    files = sorted((world.installation.settings.storage_dir / "exports" / str(tenant_id)).glob("*.pdf"))
    assert len(files) == len(due) == 14
    kinds = "('security_report', 'compliance_report', 'access_review')"
    assert world.rows(f"select count(*) from audit_lineage where output_kind in {kinds}") == [(14,)]
    # One message for each due time and recipient.
    assert world.rows("select state, attempts, count(*) from audit_report_deliveries group by 1, 2") == [
        ("delivered", 1, 18)
    ]
    assert Counter(inbox.recipients) == {ANN: 14, BOB: 4}
    assert len({message["Message-ID"] for message in inbox.messages}) == 18
    attached = [list(message.iter_attachments()) for message in inbox.messages]
    assert Counter(len(files) for files in attached) == {0: 10, 1: 8}
    assert all(part.get_content().startswith(b"%PDF-") for parts in attached for part in parts)


def test_a_request_that_nobody_ran_and_a_run_that_was_killed_are_asked_for_again(
    world: World, schedule: Callable[..., Schedule], clock: Clock, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule()
    clock.now += timedelta(days=1)
    assert len(world.tick(due_reports_sensor)) == 1
    (request,) = world.tick(due_reports_sensor)

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    config = request.run_config["ops"]["access_review"]["config"]
    asked = (uuid.UUID(config["tenant_id"]), uuid.UUID(config["report_id"]), datetime.fromisoformat(config["due_at"]))
    with monkeypatch.context() as patched:
        # Behind the claim and the file, before lineage and record.
        patched.setattr(reporting, "_enter", kill)
        with pytest.raises(Killed):
            due_reports.make_due(world.installation, *asked, run_id="a run that Dagster does not know any more")
    assert world.rows("select state, attempts from audit_due_reports") == [("making", 1)]
    assert world.rows("select count(*) from audit_lineage where output_kind = 'access_review'") == [(0,)]
    assert world.round() == 1
    assert world.rows("select state, attempts from audit_due_reports") == [("made", 2)]
    assert world.rows("select count(*) from audit_lineage where output_kind = 'access_review'") == [(1,)]
    assert inbox.recipients == [ANN]
    assert world.round() == 0
    # A run that was asked for twice finds nothing to do.
    assert world.run(request)
    assert due_reports.make_due(world.installation, *asked, run_id="late") == []
    assert world.rows("select count(*) from audit_lineage where output_kind = 'access_review'") == [(1,)]


def test_what_fails_is_tried_a_few_times_and_then_shown(
    world: World, schedule: Callable[..., Schedule], clock: Clock, monkeypatch: pytest.MonkeyPatch, tenant_id: uuid.UUID
) -> None:
    report = schedule()
    clock.now = datetime(2026, 10, 2, 6, tzinfo=UTC)

    def fail(*_: Any, **__: Any) -> None:
        raise ValidationError("expected something else")

    with monkeypatch.context() as patched:
        patched.setattr(due_reports, "make_access_review", fail)
        asked = 0
        for _ in range(40):
            asked += world.round()
            clock.now += timedelta(minutes=20)
    assert asked == due_reports.MOST_ATTEMPTS
    (due,) = report_schedules.dues(world.installation, tenant_id, report.report_id)
    assert (due["state"], due["attempts"], due["last_error"]) == ("failed", 6, "expected something else")
    assert report_schedules.one(world.installation, tenant_id, report.report_id).failed == 1
    # The next due time is made all the same.
    clock.now = datetime(2026, 10, 3, 6, tzinfo=UTC)
    assert world.round() == 1
    assert [one["state"] for one in report_schedules.dues(world.installation, tenant_id, report.report_id)] == [
        "made",
        "failed",
    ]


def test_two_sensors_and_two_runs_at_once_make_one(
    world: World, schedule: Callable[..., Schedule], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule()
    clock.now += timedelta(days=3)
    together = threading.Barrier(4)

    def queue(_: int) -> None:
        together.wait()
        due_reports.queue_due(world.installation)

    def make(number: int) -> int:
        # Asked before anybody makes it: whoever came late would find nothing due, and no two would meet.
        due = due_reports.select_due(world.installation)[0]
        together.wait()
        made = due_reports.make_due(world.installation, due.tenant_id, due.report_id, due.due_at, run_id=f"{number}")
        return len(made)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(queue, range(4)))
        assert world.rows("select count(*) from audit_due_reports") == [(3,)]
        assert sum(pool.map(make, range(4))) >= 1
    states = Counter(state for (state,) in world.rows("select state from audit_due_reports"))
    assert world.rows("select count(*) from audit_lineage where output_kind = 'access_review'") == [(states["made"],)]
    assert world.rows("select max(attempts) from audit_due_reports") == [(1,)]


def test_mail_that_fails_waits_and_a_crash_repeats_its_message_id(
    world: World, schedule: Callable[..., Schedule], clock: Clock, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(recipients=[ANN, BOB])
    clock.now = datetime(2026, 10, 2, 6, tzinfo=UTC)
    inbox.rcpt = lambda address: "550 5.1.1 unknown" if address == BOB else OK
    inbox.data = lambda _: CLOSE
    assert world.round() == 1
    said = "select state, attempts, last_error from audit_report_deliveries order by state"
    (dead, waiting) = world.rows(said)
    assert dead[:2] == ("dead", 1)
    assert dead[2].endswith("refused the recipient for good: 550 5.1.1")
    assert (waiting[:2], "to its end" in waiting[2]) == (("waiting", 1), True)
    inbox.data = lambda _: OK
    assert world.tick(report_delivery_sensor) == []
    clock.now += timedelta(minutes=1)

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(report_deliveries, "_record", kill)
        with pytest.raises(Killed):
            report_deliveries.deliver_reports(world.installation)
    assert inbox.recipients == [ANN]
    assert report_deliveries.deliver_reports(world.installation).delivered == 0
    clock.now += timedelta(minutes=6)
    assert report_deliveries.deliver_reports(world.installation).delivered == 1
    assert inbox.recipients == [ANN, ANN]
    assert len({message["Message-ID"] for message in inbox.messages}) == 1
    assert [row[:2] for row in world.rows(said)] == [("dead", 1), ("delivered", 3)]


def test_without_a_mail_server_the_report_is_made_and_says_so(
    world: World, schedule: Callable[..., Schedule], clock: Clock, tenant_id: uuid.UUID
) -> None:
    object.__setattr__(
        world.installation, "settings", world.installation.settings.model_copy(update={"smtp_host": None})
    )
    report = schedule()
    clock.now = datetime(2026, 10, 2, 6, tzinfo=UTC)
    assert world.round() == 1
    (due,) = report_schedules.dues(world.installation, tenant_id, report.report_id)
    assert (due["state"], [one["state"] for one in due["deliveries"]]) == ("made", ["not configured"])
