"""Things that look like attacks and are not: the reason why naive rules drown in false alarms.

Each stands for something security teams see every week; each stays within the rules of the company, and none is in
the truth. Attacks are in `attacks`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

from audit_pipelines.generator.company import API_TOOLS, NAMED_ENTITIES, Company, Department, Person
from audit_pipelines.generator.habits import Session, Step, Task, at_local, office_address, story_days
from audit_pipelines.generator.networks import hosting
from audit_pipelines.generator.record import Origin, Recorder, stream
from audit_pipelines.generator.services import Service, run, service_entity, service_network


@dataclass(frozen=True)
class Scene:
    """What an oddity needs to happen: the company, its machines, and a source of chance."""

    company: Company
    recorder: Recorder
    services: Sequence[Service]
    rng: Random

    def somebody(self, *departments: Department) -> tuple[Person, date] | None:
        """Return somebody of these departments and a weekday he works, wholly in the story; None if nobody does."""
        choices = [
            (person, day)
            for person in self.company.of(*departments)
            for day in story_days(self.company)
            if person.works_on(day)
            and day.weekday() < 5
            and at_local(person, day, 0) >= self.company.start
            and at_local(person, day, 23) < self.company.end
        ]
        return self.rng.choice(choices) if choices else None

    def colleague(self, day: date, *departments: Department) -> Person | None:
        """Return somebody of these departments who works that day."""
        there = [person for person in self.company.of(*departments) if person.works_on(day)]
        return self.rng.choice(there) if there else None

    def session(self, person: Person, day: date, *, at_home: bool = False) -> Session:
        """Sit this person down where he works that day, or at home."""
        network = person.home if at_home else person.network_on(day)
        return Session(self.company, self.recorder, self.rng, person, network)

    def ticket(self, prefix: str) -> str:
        """Return the number of an approved request or change."""
        return f"{prefix}-{self.rng.randint(21000, 24999)}"


def new_hire(scene: Scene) -> None:
    """Everything a new hire does is a first, starting with an account, roles and a second factor on one morning."""
    for person in scene.company.people:
        if person.joined is None:
            continue
        request = scene.ticket("REQ")
        for act in ("hr:employee.create", "iam:user.create", "iam:role.grant", "iam:role.grant"):
            of_people = act.startswith("hr:")
            colleague = scene.colleague(person.joined, "hr" if of_people else "it")
            if colleague is None:
                continue
            moment = at_local(colleague, person.joined, scene.rng.uniform(7, 8))
            if of_people:
                scene.session(colleague, person.joined).act(moment, act, person.employee_id, reason="new hire")
            else:
                scene.session(colleague, person.joined).act(moment, act, person.username, ticket=request)
        session = scene.session(person, person.joined)
        moment = session.act(at_local(person, person.joined, 8), "sso:mfa.enroll", outcome="success")
        session.act(moment, "sso:password.change", reason="user request")


def back_from_leave(scene: Scene) -> None:
    """An account that slept for months wakes up: forgotten password, reset by IT, new phone."""
    for person in scene.company.people:
        day = person.returned
        if day is None or not person.works_on(day):
            continue
        session = scene.session(person, day)
        moment = at_local(person, day, person.starts - 0.6)
        for _ in range(scene.rng.randint(2, 4)):
            moment = session.mistype(moment)
        admin = scene.colleague(day, "it")
        if admin is not None:
            desk = scene.session(admin, day)
            moment = desk.act(moment + timedelta(minutes=3), "sso:password.reset", person.username, reason="locked out")
            moment = desk.act(moment, "iam:mfa.reset", person.username, reason="new phone")
        session.act(moment, "sso:mfa.enroll", outcome="success")


def new_laptop(scene: Scene) -> None:
    """Somebody's user agent changes for good and a second factor is enrolled, as a thief would do."""
    for person in scene.company.people:
        if person.laptop_swap is not None and person.works_on(person.laptop_swap[0]):
            day = person.laptop_swap[0]
            scene.session(person, day).act(
                at_local(person, day, person.starts + 0.4), "sso:mfa.enroll", reason="new device"
            )


def quarter_end_export(scene: Scene) -> None:
    """Finance exports the books in the evening, ten times the usual rows, because the auditors asked for them."""
    found = scene.somebody("finance")
    if found:
        person, day = found
        session = scene.session(person, day, at_home=True)
        moment = session.sign_in(at_local(person, day, scene.rng.uniform(18.5, 20.5)))
        for _ in range(scene.rng.randint(5, 11)):
            moment = session.act(moment, "erp:ledger.read", scale=scene.rng.uniform(4, 12))
            moment = session.act(moment, "erp:report.export", scale=scene.rng.uniform(6, 18))


def campaign_export(scene: Scene) -> None:
    """Sales exports customer lists for a mailing: many rows, some shared with the agency outside."""
    for _ in range(2):
        found = scene.somebody("sales")
        if found:
            person, day = found
            session = scene.session(person, day)
            moment = at_local(person, day, scene.rng.uniform(10, 16))
            for _ in range(scene.rng.randint(2, 5)):
                moment = session.act(moment, "crm:customer.search", scale=scene.rng.uniform(5, 20))
                moment = session.act(moment, "crm:report.export", scale=scene.rng.uniform(4, 12))
            session.act(moment, "file:share", audience="external")


def night_maintenance(scene: Scene) -> None:
    """An administrator changes production at night from home, under an approved change that not every step names."""
    for _ in range(2):
        found = scene.somebody("it")
        if not found:
            continue
        person, day = found
        change = scene.ticket("CHG")
        session = scene.session(person, day, at_home=True)
        moment = session.sign_in(at_local(person, day, scene.rng.uniform(0.5, 3)))
        moment = session.act(moment, "log:alert_rule.disable", reason="maintenance", ticket=change)
        moment = session.act(moment, "iam:role.assume", "break-glass", outcome="success")
        for step in scene.rng.choices(
            (
                "cloud:instance.stop",
                "cloud:instance.start",
                "cloud:firewall.update",
                "db:schema.change",
                "iam:secret.read",
                "cloud:session.start",
                "iam:policy.update",
                "db:login",
            ),
            k=scene.rng.randint(8, 18),
        ):
            ticket = change if step in {"cloud:firewall.update", "db:schema.change"} else None
            moment = session.act(moment, step, ticket=ticket)
        session.act(moment, "log:alert_rule.update", ticket=change)


def logging_migration(scene: Scene) -> None:
    """The audit logs move to another store: sinks deleted, retention shortened, rules silenced, all of it planned."""
    found = scene.somebody("security", "it")
    if found:
        person, day = found
        change = scene.ticket("CHG")
        session = scene.session(person, day)
        moment = at_local(person, day, scene.rng.uniform(9.5, 16.5))
        for index in scene.rng.sample(NAMED_ENTITIES["log_index"], scene.rng.randint(1, 3)):
            moment = session.act(moment, "log:retention.update", index, days=scene.rng.choice((7, 30)), ticket=change)
        moment = session.act(moment, "log:sink.update", target="lake", ticket=change)
        for _ in range(scene.rng.randint(1, 2)):
            moment = session.act(moment, "log:sink.delete", ticket=change)
        session.act(moment, "log:alert_rule.disable", ticket=change)


def expired_passwords(scene: Scene) -> None:
    """A dozen passwords expire together: one morning of failed log-ins from one office."""
    found = scene.somebody("engineering", "finance", "sales", "support")
    if not found:
        return
    leader, day = found
    for person in scene.company.people:
        if person.site is leader.site and person.works_on(day) and scene.rng.random() < 0.35:
            session = scene.session(person, day)
            moment = at_local(person, day, person.starts - scene.rng.uniform(0.1, 0.5))
            for _ in range(scene.rng.randint(1, 4)):
                moment = session.mistype(moment)
            session.act(moment, "sso:password.change", reason="expired")


def expired_key(scene: Scene) -> None:
    """A service goes on calling with an expired key until somebody renews it."""
    found = scene.somebody("it")
    if not found:
        return
    person, day = found
    service = scene.rng.choice(scene.services)
    place = service_network(scene.company, service)
    moment = at_local(person, day, scene.rng.uniform(9, 15))
    event_type = service.acts[0][0]
    for _ in range(scene.rng.randint(15, 50)):
        scene.recorder.add(
            moment,
            service.name,
            event_type,
            service_entity(scene.company, scene.rng, service, event_type),
            rng=scene.rng,
            origin=Origin(place.address(scene.rng), service.agent),
            outcome="failure",
            changes={"reason": "expired"},
        )
        moment += timedelta(seconds=scene.rng.uniform(20, 90))
    session = scene.session(person, day)
    session.act(session.act(moment, "iam:key.rotate"), "iam:secret.read")


def debugging_with_a_key(scene: Scene) -> None:
    """A developer tries out a service's key from the office: known key, strange network, strange tool."""
    found = scene.somebody("engineering")
    if not found:
        return
    person, day = found
    service = scene.rng.choice([one for one in scene.services if one.country is not None] or list(scene.services))
    origin = Origin(office_address(person, day), scene.rng.choice(API_TOOLS))
    moment = at_local(person, day, scene.rng.uniform(10, 17))
    acts = ("cloud:bucket.list", "cloud:object.read", "crm:customer.read", "iam:identity.read", "iam:secret.read")
    for act in scene.rng.choices(acts, k=scene.rng.randint(5, 12)):
        entity = service.name if act == "iam:identity.read" else service_entity(scene.company, scene.rng, service, act)
        scene.recorder.add(moment, service.name, act, entity, rng=scene.rng, origin=origin)
        moment += timedelta(seconds=scene.rng.uniform(5, 120))


def new_service(scene: Scene) -> None:
    """A team gets a service account, with a role and a key, and the machine runs from that hour on."""
    found = scene.somebody("it")
    if not found:
        return
    person, day = found
    request = scene.ticket("REQ")
    name = scene.rng.choice(("svc-feature-flags", "svc-translations", "svc-forecast", "svc-feedback"))
    country = scene.rng.choice(("DE", "US", "NL"))
    acts = (("iam:secret.read", 0, 1), ("cloud:object.read", 1, 3), ("cloud:bucket.list", 0, 1))
    service = Service(name, "every", 150, acts, scene.rng.choice(API_TOOLS), country)
    session = scene.session(person, day)
    moment = at_local(person, day, scene.rng.uniform(9, 16))
    moment = session.act(moment, "iam:user.create", name, kind="service", ticket=request)
    moment = session.act(moment, "iam:role.grant", name, ticket=request)
    moment = session.act(moment, "iam:key.create", days=365)
    place = service_network(scene.company, service)
    while moment < scene.company.end:
        run(scene.company, scene.recorder, service, moment, place=place, rng=scene.rng)
        moment += timedelta(minutes=service.rate, seconds=scene.rng.gauss(0, 8))


def access_review(scene: Scene) -> None:
    """Security reads every role and half the accounts, and revokes what is not needed."""
    found = scene.somebody("security", "it")
    if found:
        person, day = found
        session = scene.session(person, day)
        moment = at_local(person, day, scene.rng.uniform(9, 14))
        task = Task(1, (Step("iam:role.list", 3, 5), Step("iam:policy.read", 5, 12), Step("iam:identity.read", 15, 30)))
        moment = session.work(moment, task)
        session.work(moment, Task(1, (Step("iam:role.revoke", 2, 6),)))


def leaver(scene: Scene) -> None:
    """Somebody leaves: takes own files along, which is allowed; IT closes the account."""
    found = scene.somebody("it")
    if found:
        person, day = found
        gone = scene.rng.choice(scene.company.people)
        session = scene.session(person, day)
        moment = at_local(person, day, scene.rng.uniform(14, 17))
        moment = session.act(moment, "iam:user.disable", gone.username, reason="left")
        for _ in range(scene.rng.randint(1, 4)):
            moment = session.act(moment, "iam:role.revoke", gone.username)


def authorised_test(scene: Scene) -> None:
    """The company's own testers try doors from a rented server, with permission."""
    found = scene.somebody("security")
    if found:
        person, day = found
        session = Session(scene.company, scene.recorder, scene.rng, person, hosting(scene.rng, "NL"))
        moment = session.sign_in(at_local(person, day, scene.rng.uniform(10, 19)))
        for act in scene.rng.choices(
            ("iam:role.assume", "iam:secret.read", "cloud:session.start", "cloud:bucket.list", "iam:role.list"),
            k=scene.rng.randint(8, 20),
        ):
            outcome = "denied" if scene.rng.random() < 0.7 else None
            moment = session.act(moment, act, outcome=outcome)


def break_glass(scene: Scene) -> None:
    """Somebody grants himself a role for an hour during an outage, and gives it back."""
    found = scene.somebody("it", "engineering")
    if found:
        person, day = found
        session = scene.session(person, day)
        moment = at_local(person, day, scene.rng.uniform(9, 18))
        moment = session.act(moment, "log:alert.acknowledge")
        moment = session.act(moment, "iam:role.grant", person.username, role="admin", outcome="success")
        moment = session.act(moment, "iam:role.assume", "admin", outcome="success")
        moment = session.work(moment, Task(1, (Step("cloud:session.start", 1, 3), Step("db:query", 1, 4))))
        session.act(moment + timedelta(minutes=30), "iam:role.revoke", person.username, role="admin")


def data_repair(scene: Scene) -> None:
    """An engineer exports and rewrites thousands of rows to repair what a release broke."""
    found = scene.somebody("engineering")
    if found:
        person, day = found
        session = scene.session(person, day)
        moment = session.act(at_local(person, day, scene.rng.uniform(10, 19)), "db:login")
        for act in ("db:export", "db:export", "db:update", "db:update", "db:query", "cloud:snapshot.share"):
            moment = session.act(moment, act, scale=scene.rng.uniform(3, 15))


ODDITIES: Final[tuple[Callable[[Scene], None], ...]] = (
    new_hire,
    back_from_leave,
    new_laptop,
    quarter_end_export,
    campaign_export,
    night_maintenance,
    logging_migration,
    expired_passwords,
    expired_key,
    debugging_with_a_key,
    new_service,
    access_review,
    leaver,
    authorised_test,
    break_glass,
    data_repair,
)


def happen(company: Company, recorder: Recorder, services: Sequence[Service]) -> None:
    """Record every oddity, each from a stream of its own."""
    for oddity in ODDITIES:
        oddity(Scene(company, recorder, services, stream(company.seed, "oddity", oddity.__name__)))
