"""The attacks woven into the story, each a small number of ordinary-looking events.

Intruders use the company's own event types, plausible tools and the same address blocks as the staff; what gives them
away is who does what, from where, when and in which order. Technique ids are those of MITRE ATT&CK for Enterprise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from audit_pipelines.generator.company import (
    API_TOOLS,
    BROWSER_VERSIONS,
    BROWSERS,
    CLOUD_TOOLS,
    DOMAIN,
    Company,
    Department,
    Person,
)
from audit_pipelines.generator.habits import choose_task, office_address
from audit_pipelines.generator.names import FIRST_NAMES, LAST_NAMES
from audit_pipelines.generator.networks import COUNTRIES, Network, hosting, residential
from audit_pipelines.generator.record import Incident, Origin, Recorder, stream
from audit_pipelines.generator.services import Service, service_network
from audit_pipelines.generator.truth import ATTACK_KINDS, AttackKind
from audit_pipelines.generator.vocabulary import SPECS

_SLOT = timedelta(minutes=10)
_DATA_ACTS: Final[dict[Department, tuple[str, ...]]] = {
    "engineering": ("scm:repo.clone", "iam:secret.read", "db:query", "log:query", "file:read"),
    "finance": ("erp:invoice.read", "erp:vendor.read", "erp:ledger.read", "erp:report.export", "file:download"),
    "hr": ("hr:employee.read", "hr:payroll.read", "hr:document.download", "file:download"),
    "sales": ("crm:customer.search", "crm:customer.read", "crm:deal.read", "crm:report.export", "file:download"),
    "support": ("crm:customer.search", "crm:customer.read", "ticket:read", "file:download"),
    "it": ("iam:role.list", "iam:secret.read", "cloud:resource.list", "cloud:object.read"),
    "security": ("log:query", "iam:role.list", "iam:policy.read", "file:download"),
    "contractor": ("scm:repo.clone", "file:folder.list", "file:download", "db:query"),
}


@dataclass
class Plot:
    """One incident in the making: picks victim and hour, and writes down what the intruder does."""

    company: Company
    recorder: Recorder
    services: Sequence[Service]
    incident: Incident
    earliest: datetime
    """Nothing of the incident happens before."""
    taken: set[str]
    """Accounts with a part in some incident; each is spared a second one where that can be done."""
    rng: Random = field(init=False)

    def __post_init__(self) -> None:
        """Give the incident a stream of its own."""
        self.rng = stream(self.company.seed, "attack", self.incident.incident_id)

    def victim(self, *departments: Department) -> Person:
        """Return somebody of these departments who is no part of another incident, if there is one."""
        people = self.company.of(*departments)
        people = [person for person in people if person.joined is None] or people
        free = [person for person in people if person.username not in self.taken] or people
        person = self.rng.choice(free)
        self.taken.add(person.username)
        return person

    def when(self, person: Person, first: float, last: float, hours: float, *, at_work: bool = False) -> datetime:
        """Return a moment between two local hours that leaves `hours` until the story ends.

        The span may cross midnight. `at_work` asks for a day the person works, and is given up first where no moment
        meets every wish.
        """
        moments = [self.earliest]
        while moments[-1] + _SLOT + timedelta(hours=hours) < self.company.end:
            moments.append(moments[-1] + _SLOT)
        fitting = [one for one in moments if _between(_local_hour(person, one), first, last)] or moments
        if at_work:
            days = [(one, person.local_day(one)) for one in fitting]
            fitting = [one for one, day in days if person.works_on(day) and day.weekday() < 5] or fitting
        return self.rng.choice(fitting) + timedelta(seconds=self.rng.uniform(0, 590))

    def elsewhere(self, person: Person | None, *, rented: bool | None = None) -> Network:
        """Return a network that is not this person's: a rented server, or a home in another country."""
        if rented or (rented is None and self.rng.random() < 0.4):
            return hosting(self.rng, self.rng.choice(("DE", "US", "NL", "RO", "CA", "SG")))
        home = person.site.country if person else ""
        return residential(self.rng, self.rng.choice([country for country in COUNTRIES if country != home]))

    def intruder(self, actor: str, network: Network, moment: datetime, agent: str | None = None) -> "Intruder":
        """Return somebody who acts as `actor` from that network."""
        agent = agent or _browser(self.rng)
        return Intruder(self, actor, network, moment, agent, {"cloud": self.rng.choice((*CLOUD_TOOLS, agent))})

    def insider(self, person: Person, moment: datetime) -> "Intruder":
        """Return the person himself, or somebody at his own desk."""
        day = person.local_day(moment)
        network = person.network_on(day)
        if network is None:
            prefix, _dot, host = office_address(person, day).rpartition(".")
            network = Network(prefix, person.site.country, int(host))
        return Intruder(self, person.username, network, moment, person.agent(day), person.tools)


@dataclass
class Intruder:
    """An account in the wrong hands; keeps the time from act to act."""

    plot: Plot
    actor: str
    network: Network
    moment: datetime
    agent: str
    tools: dict[str, str]
    """Other user agents, by the tool an event type is caused with."""
    address: str = field(init=False)

    def __post_init__(self) -> None:
        """Take the one address of this sitting."""
        self.address = self.network.address(self.plot.rng)

    def act(
        self,
        event_type: str,
        entity_id: str | None = None,
        *,
        core: bool = True,
        outcome: str | None = None,
        pause: tuple[float, float] | None = None,
        scale: float = 1.0,
        usual: bool = False,
        **changes: object,
    ) -> None:
        """Do something, then wait as people do or between `pause` seconds.

        It happens to any record, or with `usual` to one that this account often has open.
        """
        rng = self.plot.rng
        spec = SPECS[event_type]
        if entity_id is None:
            company = self.plot.company
            if spec.entity_type == "user" and event_type.startswith("sso:"):
                entity_id = self.actor
            elif usual:
                entity_id = company.usual_entity(rng, self.actor, spec.entity_type)
            else:
                entity_id = company.any_entity(rng, spec.entity_type)
        agent: str | None = self.tools.get(spec.tool, self.agent)
        if spec.tool == "sql" and rng.random() < 0.5:
            agent = None
        self.plot.recorder.add(
            self.moment,
            self.actor,
            event_type,
            entity_id,
            rng=rng,
            origin=Origin(self.address, agent, self.network.country),
            outcome=outcome,
            scale=scale,
            changes=changes,
            incident=self.plot.incident,
            core=core,
        )
        seconds = min(300.0, rng.lognormvariate(3.4, 0.9)) if pause is None else rng.uniform(*pause)
        self.moment += timedelta(seconds=seconds)

    def mistype(self, pause: tuple[float, float] | None = None) -> None:
        """Try a password that does not fit."""
        self.act("sso:login", outcome="failure", pause=pause, method="password", mfa=None, reason="bad password")

    def sign_in(self, *, mfa: str | None = "push", method: str = "password") -> None:
        """Sign in with everything that it takes."""
        self.act("sso:login", outcome="success", mfa=mfa, method=method)


def _browser(rng: Random) -> str:
    return rng.choice(BROWSERS).format(rng.choice(BROWSER_VERSIONS))


def _local_hour(person: Person, moment: datetime) -> float:
    local = moment.astimezone(person.site.zone)
    return local.hour + local.minute / 60


def _between(hour: float, first: float, last: float) -> bool:
    return first <= hour < last if first < last else hour >= first or hour < last


def credential_stuffing(plot: Plot) -> None:
    """T1110.004: leaked passwords tried once or twice on a dozen accounts from a few addresses, until one fits."""
    rng = plot.rng
    victim = plot.victim("sales", "support", "finance", "contractor")
    moment = plot.when(victim, 0, 24, 3)
    agent = rng.choice((_browser(rng), rng.choice(API_TOOLS)))
    networks = [plot.elsewhere(victim) for _ in range(rng.randint(2, 4))]
    others = rng.sample([one.username for one in plot.company.people if one is not victim], rng.randint(8, 16))
    for username in others:
        attempt = plot.intruder(username, rng.choice(networks), moment, agent)
        for _ in range(rng.choice((1, 1, 2))):
            attempt.mistype(pause=(4, 240))
        moment = attempt.moment
    thief = plot.intruder(victim.username, networks[0], moment, agent)
    if rng.random() < 0.5:
        thief.mistype()
    thief.sign_in(mfa=None)
    thief.moment += timedelta(minutes=rng.uniform(1, 40))
    thief.agent = _browser(rng)
    for act in rng.choices(_DATA_ACTS[victim.department], k=rng.randint(4, 10)):
        thief.act(act)


def impossible_travel(plot: Plot) -> None:
    """T1078.004, T1539: a stolen session works abroad while its owner sits at his desk at home."""
    rng = plot.rng
    victim = plot.victim("engineering", "finance", "hr", "sales", "support")
    moment = plot.when(victim, victim.starts + 1, victim.starts + victim.hours - 1, 2, at_work=True)
    same_agent = victim.agent(victim.local_day(moment)) if rng.random() < 0.5 else None
    thief = plot.intruder(victim.username, plot.elsewhere(victim, rented=False), moment, same_agent)
    thief.sign_in()
    for step in choose_task(rng, victim.department).steps:
        thief.act(step.event_type, core=False, usual=True)
    for act in rng.choices(_DATA_ACTS[victim.department], k=rng.randint(3, 8)):
        thief.act(act)


def privilege_escalation(plot: Plot) -> None:
    """T1098.003, T1069.003: an ordinary account looks for rights, is refused, grants itself one and uses it."""
    rng = plot.rng
    person = plot.victim("contractor", "support", "engineering")
    insider = plot.insider(person, plot.when(person, person.starts + 2, min(22.0, person.starts + 11), 2, at_work=True))
    insider.act("iam:role.list", core=False)
    for _ in range(rng.randint(1, 4)):
        insider.act("iam:policy.read", core=False)
    for _ in range(rng.randint(1, 3)):
        insider.act("iam:role.assume", rng.choice(("admin", "break-glass", "deployer")), outcome="denied")
    insider.act(
        "iam:role.grant", person.username, outcome="success", role=rng.choice(("admin", "deployer", "db-reader"))
    )
    insider.act("iam:role.assume", rng.choice(("admin", "deployer")), outcome="success")
    for act in rng.choices(
        ("iam:secret.read", "cloud:object.read", "db:query", "cloud:session.start"), k=rng.randint(2, 6)
    ):
        insider.act(act, outcome="success")


def mass_export(plot: Plot) -> None:
    """T1213, T1567: somebody with every right to the data takes far more of it than the work needs."""
    rng = plot.rng
    person = plot.victim("sales", "finance", "hr")
    insider = plot.insider(person, plot.when(person, person.starts + 5, min(23.0, person.starts + 12), 3, at_work=True))
    export = {"finance": "erp:report.export", "hr": "hr:payroll.export"}.get(person.department, "crm:report.export")
    for _ in range(rng.randint(3, 8)):
        if person.department == "sales":
            insider.act("crm:customer.search", scale=rng.uniform(2, 12), core=False)
        insider.act(export, outcome="success", scale=rng.uniform(2.5, 14), pause=(15, 400))
    for _ in range(rng.randint(2, 5)):
        insider.act("file:download", scale=rng.uniform(1, 6))
    if rng.random() < 0.6:
        insider.act("file:share", outcome="success", audience="external")


def dormant_account(plot: Plot) -> None:
    """T1078: an account that nobody uses signs in from somewhere and looks around."""
    rng = plot.rng
    sleepers = [one for one in plot.company.dormant if one.username not in plot.taken] or plot.company.dormant
    person = rng.choice(sleepers)
    plot.taken.add(person.username)
    thief = plot.intruder(person.username, plot.elsewhere(person), plot.when(person, 0, 24, 2))
    for _ in range(rng.randint(0, 2)):
        thief.mistype()
    thief.sign_in(mfa=rng.choice((None, "push", "totp")))
    thief.act("sso:app.open", "files")
    acts = ("file:folder.list", "file:read", "file:download", *_DATA_ACTS[person.department])
    for act in rng.choices(acts, k=rng.randint(5, 14)):
        thief.act(act, usual=rng.random() < 0.4)


def off_hours_admin(plot: Plot) -> None:
    """T1078.003, T1556.006, T1562.007: an administrator's account weakens defences while its owner sleeps."""
    rng = plot.rng
    admin = plot.victim("it")
    night = plot.when(admin, 0.5, 5, 2)
    at_home = rng.random() < 0.4
    thief = plot.intruder(admin.username, admin.home if at_home else plot.elsewhere(admin), night)
    thief.sign_in()
    thief.act("iam:role.list", core=False)
    acts = (
        "iam:user.update",
        "iam:mfa.reset",
        "cloud:firewall.update",
        "iam:secret.read",
        "iam:policy.update",
        "iam:key.create",
    )
    for act in rng.choices(acts, k=rng.randint(5, 12)):
        thief.act(act, outcome="success")


def api_key_abuse(plot: Plot) -> None:
    """T1552.001, T1078.004, T1530: a leaked key is tried from a rented server: who am I, what is there, take it."""
    rng = plot.rng
    service = rng.choice([one for one in plot.services if one.name not in plot.taken and one.rhythm != "nightly"])
    plot.taken.add(service.name)
    anyone = plot.company.people[0]
    agent = rng.choice([tool for tool in (*API_TOOLS, *CLOUD_TOOLS) if tool != service.agent])
    thief = plot.intruder(service.name, plot.elsewhere(None, rented=True), plot.when(anyone, 0, 24, 3), agent)
    thief.tools = {}
    thief.act("iam:identity.read", service.name)
    for _ in range(rng.randint(2, 5)):
        thief.act(rng.choice(("cloud:bucket.list", "iam:role.list", "iam:secret.read")), outcome=_refused(rng, 0.5))
    kinds = {"customer", "table", "file", "bucket"}
    reads = [act for act, _low, _high in service.acts if SPECS[act].entity_type in kinds]
    for _ in range(rng.randint(8, 22)):
        act = rng.choice([*reads, "cloud:object.read"])
        thief.act(act, outcome=_refused(rng, 0.15), scale=service.scale if act in reads else 1.0, pause=(2, 90))


def _refused(rng: Random, chance: float) -> str:
    return "denied" if rng.random() < chance else "success"


def log_tampering(plot: Plot) -> None:
    """T1562.008, T1070: logs shortened, a sink removed and rules silenced before something is done."""
    rng = plot.rng
    person = plot.victim("it", "security", "engineering")
    if rng.random() < 0.5:
        intruder = plot.insider(person, plot.when(person, person.starts, person.starts + person.hours, 2, at_work=True))
    else:
        intruder = plot.intruder(person.username, plot.elsewhere(person), plot.when(person, 0, 24, 2))
        intruder.sign_in()
    for _ in range(rng.randint(1, 3)):
        intruder.act("log:query", core=False)
    for _ in range(rng.randint(1, 2)):
        rule = rng.choice(("login-failures", "new-admin", "error-rate"))
        intruder.act("log:alert_rule.disable", rule, reason="noisy", outcome="success")
    intruder.act("log:retention.update", rng.choice(("audit", "access")), days=7, outcome="success")
    if rng.random() < 0.7:
        intruder.act(rng.choice(("log:sink.delete", "log:sink.update")), outcome="success")
    for act in rng.choices(("iam:secret.read", "db:query", "cloud:object.read"), k=rng.randint(1, 4)):
        intruder.act(act)


def insider_exfiltration(plot: Plot) -> None:
    """T1530, T1567.002, T1052: day after day somebody takes home a few documents that are not his business."""
    rng = plot.rng
    person = plot.victim("engineering", "sales", "finance", "hr")
    day = plot.earliest
    rounds = []
    while day < plot.company.end:
        local = person.local_day(day)
        begin = datetime.combine(local, datetime.min.time(), person.site.zone).astimezone(UTC)
        begin += timedelta(hours=min(21.5, person.starts + person.hours - rng.uniform(0, 1.5)))
        usable = plot.earliest <= begin < plot.company.end - timedelta(hours=1)
        if usable and person.works_on(local) and local.weekday() < 5:
            rounds.append(begin)
        day += timedelta(days=1)
    for begin in rounds or [plot.when(person, 9, 22, 2)]:
        insider = plot.insider(person, begin)
        insider.act("file:folder.list", core=False)
        for _ in range(rng.randint(3, 8)):
            file = plot.company.any_entity(rng, "file")
            insider.act("file:read", file, core=False, outcome="success")
            insider.act("file:download", file, outcome="success", scale=rng.uniform(1, 3))
        if rng.random() < 0.6:
            insider.act("file:share", outcome="success", audience="external")


def lateral_movement(plot: Plot) -> None:
    """T1021.004, T1550.001, T1552: from machine to machine with whatever credentials lie there."""
    rng = plot.rng
    if rng.random() < 0.5:
        service = rng.choice([one for one in plot.services if one.name not in plot.taken and one.country is None])
        plot.taken.add(service.name)
        begin = plot.when(plot.company.people[0], 0, 24, 3)
        place = service_network(plot.company, service)
        intruder = plot.intruder(service.name, place, begin, service.agent or rng.choice(API_TOOLS))
        intruder.tools = {}
    else:
        person = plot.victim("engineering")
        intruder = plot.insider(person, plot.when(person, person.starts + 1, 22, 3, at_work=True))
    for _ in range(rng.randint(3, 6)):
        intruder.act("cloud:session.start", outcome=_refused(rng, 0.25), pause=(40, 600))
        if rng.random() < 0.6:
            intruder.act("iam:secret.read", outcome=_refused(rng, 0.3))
        if rng.random() < 0.7:
            intruder.act("db:login", outcome="failure" if rng.random() < 0.4 else "success")
            intruder.act("db:query", scale=rng.uniform(1, 5), core=False)


def mfa_fatigue(plot: Plot) -> None:
    """T1621: push after push in the evening until the tired owner says yes; then a second factor of the thief's own."""
    rng = plot.rng
    victim = plot.victim("engineering", "finance", "hr", "sales", "support")
    thief = plot.intruder(victim.username, plot.elsewhere(victim), plot.when(victim, 18, 2, 3))
    for _ in range(rng.randint(5, 13)):
        reason = rng.choice(("timeout", "timeout", "declined"))
        thief.act("sso:mfa.challenge", outcome="failure", pause=(20, 260), mfa="push", reason=reason)
    thief.sign_in()
    thief.act("sso:mfa.enroll", outcome="success")
    for act in rng.choices(_DATA_ACTS[victim.department], k=rng.randint(3, 9)):
        thief.act(act)


def backdoor_account(plot: Plot) -> None:
    """T1136.003, T1098.001: an administrator's account makes another account, which comes in from elsewhere later."""
    rng = plot.rng
    admin = plot.victim("it")
    by_day = rng.random() < 0.6
    first, last = (admin.starts, admin.starts + admin.hours) if by_day else (20.0, 5.0)
    begin = plot.when(admin, first, last, 9, at_work=by_day)
    rogue = plot.insider(admin, begin) if by_day else plot.intruder(admin.username, plot.elsewhere(admin), begin)
    if not by_day:
        rogue.sign_in()
    if rng.random() < 0.5:
        name, kind = (
            f"svc-{rng.choice(('report', 'sync', 'mail', 'export'))}-{rng.choice(('eu', 'us', 'v2'))}",
            "service",
        )
    else:
        name, kind = f"{rng.choice(FIRST_NAMES)}.{rng.choice(LAST_NAMES)}@{DOMAIN}", "person"
    rogue.act("iam:user.create", name, outcome="success", kind=kind)
    rogue.act("iam:role.grant", name, outcome="success", role=rng.choice(("admin", "deployer", "db-reader")))
    rogue.act("iam:key.create", outcome="success", days=365)
    later = rogue.moment + timedelta(hours=rng.uniform(0.3, 7))
    thief = plot.intruder(name, plot.elsewhere(admin), later, rng.choice((_browser(rng), rng.choice(API_TOOLS))))
    if kind == "person":
        thief.sign_in()
        thief.act("sso:mfa.enroll", outcome="success")
    for act in rng.choices(
        ("iam:role.list", "iam:secret.read", "cloud:bucket.list", "cloud:object.read"), k=rng.randint(3, 8)
    ):
        thief.act(act)


_ATTACKS: Final[dict[AttackKind, Callable[[Plot], None]]] = {
    "api_key_abuse": api_key_abuse,
    "backdoor_account": backdoor_account,
    "credential_stuffing": credential_stuffing,
    "dormant_account": dormant_account,
    "impossible_travel": impossible_travel,
    "insider_exfiltration": insider_exfiltration,
    "lateral_movement": lateral_movement,
    "log_tampering": log_tampering,
    "mass_export": mass_export,
    "mfa_fatigue": mfa_fatigue,
    "off_hours_admin": off_hours_admin,
    "privilege_escalation": privilege_escalation,
}


def attack(company: Company, recorder: Recorder, services: Sequence[Service], earliest: datetime) -> None:
    """Weave every kind of attack into the story once, and up to three of them a second time."""
    rng = stream(company.seed, "attacks")
    kinds = [*ATTACK_KINDS, *rng.sample(ATTACK_KINDS, rng.randint(0, 3))]
    rng.shuffle(kinds)
    taken: set[str] = set()
    for number, kind in enumerate(kinds, start=1):
        incident = Incident(f"incident-{number:02d}", kind)
        _ATTACKS[kind](Plot(company, recorder, services, incident, earliest, taken))
