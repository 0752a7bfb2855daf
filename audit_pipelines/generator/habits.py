"""A person's ordinary week: when the day begins, from where, and the pieces of work it is made of.

Stands for what audit trails of an office company are full of: log-ins in the morning, a dip at lunch, short bursts of
related acts on favourite records, mistyped passwords, a glance at the phone in the evening, on-call nights. Nothing
here is out of the ordinary; oddities and attacks have modules of their own.
"""

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import Final

from audit_pipelines.generator.company import Company, Department, Person
from audit_pipelines.generator.networks import OFFICE_NETWORKS, Network
from audit_pipelines.generator.record import Origin, Recorder, stream
from audit_pipelines.generator.vocabulary import SPECS


@dataclass(frozen=True, slots=True)
class Step:
    """One act of a piece of work, done `low` to `high` times, and the chance that it is done at all."""

    event_type: str
    low: int = 1
    high: int = 1
    chance: float = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work: acts in this order, on the same record wherever the kind of entity is the same."""

    weight: float
    steps: tuple[Step, ...]


def _task(weight: float, *steps: Step | str) -> Task:
    return Task(weight, tuple(Step(step) if isinstance(step, str) else step for step in steps))


_FILES = (
    _task(3, Step("file:folder.list", 1, 2), Step("file:read", 1, 4), Step("file:download", 0, 1)),
    _task(1.5, "file:read", "file:upload", Step("file:share", chance=0.3)),
    _task(0.25, "hr:absence.request"),
    _task(0.3, "ticket:create"),
    _task(0.08, "file:folder.list", Step("file:delete", 1, 3)),
)

TASKS: Final[dict[Department, tuple[Task, ...]]] = {
    "engineering": (
        _task(4, Step("scm:push", 1, 3), Step("scm:pull_request.open", chance=0.6)),
        _task(4, Step("scm:pull_request.review", 1, 3), Step("scm:pull_request.merge", chance=0.5)),
        _task(1, Step("scm:repo.clone", 1, 2)),
        _task(2, "log:dashboard.view", Step("log:query", 1, 4)),
        _task(1.4, Step("cloud:resource.list", chance=0.5), Step("cloud:resource.describe", 1, 3)),
        _task(0.9, "db:login", Step("db:query", 1, 5)),
        _task(0.5, "iam:role.assume", Step("cloud:object.read", 1, 3), Step("cloud:bucket.list", chance=0.5)),
        _task(0.5, "cloud:deployment.create", "log:dashboard.view"),
        _task(0.15, "iam:role.list", Step("iam:policy.read", 1, 2)),
        _task(0.25, "iam:secret.read"),
        _task(0.12, "cloud:session.start", Step("log:query", chance=0.5)),
        _task(0.05, "scm:settings.update"),
        _task(0.1, "scm:token.create"),
        _task(1.5, "ticket:read", Step("ticket:comment", chance=0.5)),
        *_FILES,
    ),
    "finance": (
        _task(5, "erp:invoice.read", Step("erp:vendor.read", chance=0.4), Step("erp:invoice.approve", chance=0.6)),
        _task(2, Step("erp:invoice.create", 1, 3)),
        _task(2, "erp:payment.create", Step("erp:payment.approve", chance=0.5)),
        _task(2, Step("erp:ledger.read", 1, 4)),
        _task(0.7, "crm:customer.search", Step("crm:customer.read", 1, 2)),
        _task(0.8, "erp:ledger.read", "erp:report.export"),
        _task(0.3, "erp:vendor.read", "erp:vendor.update"),
        _task(0.4, "hr:payroll.read"),
        *_FILES,
    ),
    "hr": (
        _task(4, Step("hr:employee.read", 1, 4), Step("hr:employee.update", chance=0.35)),
        _task(2, Step("hr:absence.approve", 1, 4)),
        _task(2.5, Step("hr:candidate.read", 1, 5)),
        _task(1.5, Step("hr:document.download", 1, 2)),
        _task(0.6, Step("hr:payroll.read", 1, 2), Step("hr:payroll.export", chance=0.3)),
        _task(0.25, "hr:employee.create", "ticket:create"),
        *_FILES,
    ),
    "sales": (
        _task(6, "crm:customer.search", Step("crm:customer.read", 1, 3), Step("crm:note.create", chance=0.5)),
        _task(4, Step("crm:deal.read", 1, 3), Step("crm:deal.update", chance=0.6)),
        _task(1, "crm:customer.read", "crm:customer.update"),
        _task(0.5, "crm:customer.create", "crm:note.create"),
        _task(0.9, Step("crm:report.run", 1, 2), Step("crm:report.export", chance=0.35)),
        _task(0.6, "erp:invoice.read"),
        *_FILES,
    ),
    "support": (
        _task(
            8,
            "ticket:read",
            Step("crm:customer.read", 1, 2, 0.8),
            Step("ticket:comment"),
            Step("ticket:close", chance=0.5),
        ),
        _task(3, Step("ticket:read", 1, 3), Step("ticket:assign", chance=0.5)),
        _task(1.5, "crm:customer.search", "crm:customer.read", Step("crm:customer.update", chance=0.5)),
        _task(0.8, "erp:invoice.read"),
        _task(0.6, Step("log:query", 1, 2)),
        _task(0.15, "crm:report.run", Step("crm:report.export", chance=0.3)),
        *_FILES,
    ),
    "it": (
        _task(
            4, "ticket:read", Step("iam:user.update", chance=0.5), "ticket:comment", Step("ticket:close", chance=0.7)
        ),
        _task(2, "ticket:read", "sso:password.reset", "ticket:close"),
        _task(1.1, "ticket:read", "iam:mfa.reset", "ticket:close"),
        _task(1.6, "ticket:read", Step("iam:role.grant", 1, 2), Step("iam:role.revoke", chance=0.2)),
        _task(0.5, "iam:role.list", Step("iam:policy.read", 1, 3), Step("iam:policy.update", chance=0.3)),
        _task(1.2, Step("cloud:resource.list", 1, 2), Step("cloud:resource.describe", 1, 4)),
        _task(0.6, Step("cloud:session.start", 1, 2), Step("log:query", 1, 2)),
        _task(0.4, "cloud:firewall.update"),
        _task(0.4, "iam:key.create", Step("iam:secret.read", chance=0.6)),
        _task(0.3, Step("cloud:instance.start", chance=0.7), Step("cloud:instance.stop", chance=0.7)),
        _task(0.3, "iam:role.assume", Step("iam:secret.read", 1, 2)),
        _task(0.2, "db:login", Step("db:query", 1, 2), Step("db:schema.change", chance=0.4)),
        _task(0.25, "iam:user.create", Step("iam:role.grant", 1, 2), "iam:key.create"),
        _task(0.25, "iam:user.disable", Step("iam:role.revoke", 1, 2)),
        _task(
            0.25, "log:dashboard.view", Step("log:sink.update", chance=0.5), Step("log:retention.update", chance=0.4)
        ),
        _task(0.3, "iam:identity.read"),
        *_FILES,
    ),
    "security": (
        _task(5, Step("log:query", 2, 6)),
        _task(2, "log:dashboard.view", "log:alert.acknowledge", Step("log:query", 1, 3)),
        _task(1, Step("log:alert_rule.update", 1, 2), Step("log:alert_rule.disable", chance=0.25)),
        _task(1, Step("iam:role.list", 1, 2), Step("iam:policy.read", 1, 4)),
        _task(0.6, Step("iam:identity.read", 1, 3), Step("iam:user.disable", chance=0.1)),
        _task(0.3, "log:query", "log:export"),
        _task(0.5, Step("cloud:resource.list", 1, 3), "cloud:resource.describe"),
        _task(0.15, "iam:role.assume", Step("iam:secret.read", chance=0.4)),
        _task(1, "ticket:read", "ticket:comment"),
        *_FILES,
    ),
    "contractor": (
        _task(3, Step("scm:push", 1, 2), Step("scm:pull_request.open", chance=0.5)),
        _task(1, Step("scm:repo.clone")),
        _task(2, "ticket:read", Step("ticket:comment", chance=0.7)),
        _task(1, Step("log:query", 1, 2)),
        _task(0.5, "db:login", Step("db:query", 1, 3)),
        *_FILES,
    ),
}

# Which application each department opens after signing in.
_APPS: Final[dict[Department, tuple[str, ...]]] = {
    "engineering": ("git", "logs", "cloud", "tickets"),
    "finance": ("erp", "files"),
    "hr": ("hr", "files"),
    "sales": ("crm", "files"),
    "support": ("tickets", "crm"),
    "it": ("tickets", "cloud", "logs"),
    "security": ("logs", "cloud", "tickets"),
    "contractor": ("git", "tickets"),
}

_WEIGHTS: Final = {department: tuple(accumulate(task.weight for task in tasks)) for department, tasks in TASKS.items()}

# How work spreads over a day, in tenths of the time between start and end: slow start, lull at noon, slow end.
_DAY_SHAPE: Final = tuple(accumulate((1.0, 1.5, 1.4, 1.2, 0.7, 0.8, 1.3, 1.4, 1.1, 0.7)))
_LUNCH: Final = (12.0, 13.4)

# Local hour after which nobody begins anything but the on-call engineer.
_LATEST: Final = 22.5

_TASKS_A_DAY: Final[dict[Department, float]] = {
    "engineering": 4.6,
    "finance": 5.0,
    "hr": 4.4,
    "sales": 4.8,
    "support": 5.8,
    "it": 6.0,
    "security": 5.0,
    "contractor": 2.8,
}


@dataclass
class Session:
    """Somebody at a device in one place: performs acts one after another and keeps the time."""

    company: Company
    recorder: Recorder
    rng: Random
    person: Person
    network: Network | None
    """Where the device is; None in the office."""
    agent: str | None = None
    """The device, where it is not the usual computer."""
    tunnel: str | None = None
    """Address inside the company's network while a tunnel is open."""
    address: str | None = field(init=False)

    def __post_init__(self) -> None:
        """Take the one address of this sitting."""
        self.address = self.network.address(self.rng) if self.network is not None else None

    def origin(self, moment: datetime, event_type: str) -> Origin:
        """Return what the application would note as the source of this act."""
        person = self.person
        day = person.local_day(moment)
        tool = SPECS[event_type].tool
        browser = self.agent or person.agent(day)
        agent: str | None = browser
        if tool in person.tools and not (tool == "cloud" and self.rng.random() < 0.5):
            agent = person.tools[tool]
        if tool == "sql" and self.rng.random() < 0.5:
            agent = None
        if self.network is None:
            return Origin(office_address(person, day), agent, person.site.country)
        if self.tunnel is not None and tool in {"git", "cloud", "sql"}:
            return Origin(self.tunnel, agent, person.site.country)
        return Origin(self.address, agent, self.network.country)

    def act(
        self,
        moment: datetime,
        event_type: str,
        entity_id: str | None = None,
        *,
        outcome: str | None = None,
        scale: float = 1.0,
        **changes: object,
    ) -> datetime:
        """Record one act and return when the next may follow; `changes` replace details."""
        if entity_id is None:
            entity_id = self.entity(SPECS[event_type].entity_type, event_type)
        # Some are written by an app that was offline and reports when it is back.
        late = timedelta(minutes=self.rng.uniform(3, 170)) if self.rng.random() < 0.004 else timedelta(0)
        self.recorder.add(
            moment,
            self.person.username,
            event_type,
            entity_id,
            rng=self.rng,
            origin=self.origin(moment, event_type),
            outcome=outcome,
            scale=scale,
            changes=changes,
            delay=late,
        )
        # Long gaps are cut off, so that no chain of acts drags on past midnight into a day off.
        return moment + timedelta(seconds=min(240.0, self.rng.lognormvariate(3.2, 1.0)))

    def entity(self, entity_type: str, event_type: str) -> str:
        """Return what this act would touch."""
        if entity_type == "user" and not event_type.startswith(("iam:", "sso:password.reset")):
            return self.person.username
        return self.company.usual_entity(self.rng, self.person.username, entity_type)

    def sign_in(self, moment: datetime) -> datetime:
        """Sign in, now and then after a mistyped password; outside the office often open a tunnel first."""
        rng = self.rng
        if rng.random() < 0.045:
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                moment = self.mistype(moment)
        if rng.random() < 0.02:
            moment = self.act(
                moment, "sso:mfa.challenge", outcome="failure", reason=rng.choice(("timeout", "timeout", "declined"))
            )
        moment = self.act(moment, "sso:login", outcome="success")
        if self.network is not None and rng.random() < self.person.uses_vpn:
            site = self.person.site.name
            gateway = f"vpn-{site.lower()}" if site in OFFICE_NETWORKS else "vpn-munich"
            moment = self.act(moment, "vpn:connect", gateway)
            self.tunnel = f"10.8.{rng.randint(0, 3)}.{rng.randint(2, 254)}"
        return moment

    def mistype(self, moment: datetime) -> datetime:
        """Fail to sign in with the right name and a wrong password."""
        return self.act(moment, "sso:login", outcome="failure", method="password", mfa=None, reason="bad password")

    def work(self, moment: datetime, task: Task) -> datetime:
        """Do a piece of work."""
        rng = self.rng
        at_hand: dict[str, str] = {}
        for step in task.steps:
            if step.chance < 1.0 and rng.random() >= step.chance:
                continue
            kind = SPECS[step.event_type].entity_type
            for turn in range(rng.randint(step.low, step.high)):
                if turn or kind not in at_hand:
                    at_hand[kind] = self.entity(kind, step.event_type)
                moment = self.act(moment, step.event_type, at_hand[kind])
        return moment


def live(company: Company, recorder: Recorder, person: Person) -> None:
    """Record a person's ordinary week."""
    rng = stream(company.seed, "week", person.username)
    renewed: Network | None = None
    for day in story_days(company):
        if not person.home.version_6 and rng.random() < 0.04:
            renewed = person.home.neighbour(rng)
        if not person.works_on(day):
            continue
        weekend = day.weekday() >= 5
        if not weekend or rng.random() < person.weekends:
            network = person.network_on(day)
            if network is person.home and renewed is not None:
                network = renewed
            _day(Session(company, recorder, rng, person, network), day, 0.3 if weekend else 1.0)
        if rng.random() < (person.evenings * 0.5 if weekend else person.evenings):
            _evening(Session(company, recorder, rng, person, person.phone_network, person.phone), day)


def office_address(person: Person, day: date) -> str:
    """Return the address everybody in this person's office shares that day; abroad, that of the head office."""
    return f"{OFFICE_NETWORKS.get(person.site.name, OFFICE_NETWORKS['Munich'])}.{10 + day.toordinal() % 2}"


def story_days(company: Company) -> Iterable[date]:
    """Return every day that some local clock shows within the story."""
    first = company.start.date() - timedelta(days=1)
    return (first + timedelta(days=offset) for offset in range((company.end - company.start).days + 3))


def at_local(person: Person, day: date, hour: float) -> datetime:
    """Return the moment when this person's clock shows `hour` (a fraction, below 24) on that day, in UTC."""
    local = datetime.combine(day, time.min, person.site.zone) + timedelta(hours=hour)
    return local.astimezone(UTC)


def _day(session: Session, day: date, share: float) -> None:
    rng, person = session.rng, session.person
    starts = person.starts + rng.gauss(0, 0.3)
    moment = session.sign_in(at_local(person, day, starts))
    for app in rng.sample(_APPS[person.department], rng.randint(1, 2)):
        moment = session.act(moment, "sso:app.open", app)
    count = round(_TASKS_A_DAY[person.department] * person.pace * share * rng.lognormvariate(0, 0.3))
    for hour in sorted(_work_hours(rng, starts, person.hours, max(1, count))):
        # Work waits for the piece before it.
        begin = max(moment, at_local(person, day, min(_LATEST, hour)))
        if begin > at_local(person, day, _LATEST):
            break
        moment = session.work(begin, choose_task(rng, person.department))
    if rng.random() < 0.07:
        session.act(moment, "sso:token.refresh", outcome="failure", reason="expired")
        moment = session.act(moment + timedelta(seconds=4), "sso:token.refresh", outcome="success")
    if moment < at_local(person, day, _LATEST):
        if session.tunnel is not None and rng.random() < 0.6:
            moment = session.act(moment, "vpn:disconnect", "vpn-munich")
        if rng.random() < 0.35:
            session.act(moment, "sso:logout")


def choose_task(rng: Random, department: Department) -> Task:
    """Return a piece of work as this department has them."""
    weights = _WEIGHTS[department]
    return TASKS[department][bisect(weights, rng.random() * weights[-1])]


def _work_hours(rng: Random, starts: float, hours: float, count: int) -> Iterable[float]:
    for _ in range(count):
        hour = _hour_of_day(rng, starts, hours)
        if _LUNCH[0] <= hour < _LUNCH[1] and rng.random() < 0.65:
            hour = _hour_of_day(rng, starts, hours)
        yield hour


def _hour_of_day(rng: Random, starts: float, hours: float) -> float:
    tenth = bisect(_DAY_SHAPE, rng.random() * _DAY_SHAPE[-1])
    return starts + hours * (tenth + rng.random()) / 10


def _evening(session: Session, day: date) -> None:
    rng = session.rng
    begin = at_local(session.person, day, rng.uniform(19.5, 22.8))
    moment = session.act(begin, "sso:login", outcome="success", mfa="push")
    for _ in range(rng.randint(1, 3)):
        moment = session.act(moment, rng.choice(("file:read", "ticket:read", "file:folder.list")))


def on_call_nights(company: Company, recorder: Recorder) -> None:
    """Record the nights of the two engineers who carry the pager: woken up to three times, at home, in the tunnel.

    Looks like an intruder at work: cloud sessions, role changes and database queries at three in the morning.
    """
    rng = stream(company.seed, "on-call")
    engineers = company.of("engineering", "it")
    pager = rng.sample(engineers, min(2, len(engineers)))
    for day in story_days(company):
        person = pager[day.toordinal() // 4 % len(pager)]
        if not person.works_on(day):
            continue
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            session = Session(company, recorder, rng, person, person.home)
            moment = session.sign_in(at_local(person, day, rng.choice((rng.uniform(0, 5.5), rng.uniform(21, 22.5)))))
            moment = session.act(moment, "log:alert.acknowledge")
            moment = session.work(moment, Task(1, (Step("log:dashboard.view"), Step("log:query", 1, 5))))
            if rng.random() < 0.5:
                moment = session.act(moment, "iam:role.assume", "break-glass")
                moment = session.work(moment, Task(1, (Step("cloud:session.start", 1, 2), Step("db:query", 0, 3))))
            if rng.random() < 0.4:
                moment = session.act(moment, "cloud:deployment.rollback")
            session.act(moment, "ticket:create", priority="high", queue="it")
