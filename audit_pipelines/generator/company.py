"""The demo company: sites, people, service accounts, and what each of them is like.

Everything that stays the same through the week is decided here; what they do with it is in `habits` and `services`.
The company and its domain are invented (RFC 2606 reserves `.example`).
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Final, Literal
from zoneinfo import ZoneInfo

from audit_pipelines.generator.names import FIRST_NAMES, LAST_NAMES, words
from audit_pipelines.generator.networks import COUNTRIES, Network, mobile, residential
from audit_pipelines.generator.record import stream

DOMAIN: Final = "halden.example"

Department = Literal["engineering", "finance", "hr", "sales", "support", "it", "security", "contractor"]

# Share of the staff; where they sit (weights of SITES); earliest and latest usual start; days a week at home.
_DEPARTMENTS: Final[dict[Department, tuple[float, tuple[int, ...], tuple[float, float], int]]] = {
    "engineering": (0.29, (6, 2, 3, 1), (8.5, 10.5), 3),
    "finance": (0.09, (5, 3, 1, 0), (7.5, 9.0), 1),
    "hr": (0.06, (5, 2, 1, 0), (8.0, 9.5), 1),
    "sales": (0.19, (4, 3, 4, 2), (8.0, 9.5), 2),
    "support": (0.19, (4, 2, 4, 4), (7.0, 10.0), 2),
    "it": (0.06, (5, 1, 2, 1), (7.5, 9.5), 2),
    "security": (0.03, (3, 1, 1, 0), (8.5, 10.0), 3),
    "contractor": (0.09, (3, 1, 2, 1), (8.5, 11.0), 5),
}


@dataclass(frozen=True, slots=True)
class Site:
    """An office: its town, country and clock."""

    name: str
    country: str
    zone: ZoneInfo


SITES: Final = (
    Site("Munich", "DE", ZoneInfo("Europe/Berlin")),
    Site("London", "GB", ZoneInfo("Europe/London")),
    Site("Boston", "US", ZoneInfo("America/New_York")),
    Site("Singapore", "SG", ZoneInfo("Asia/Singapore")),
)
_ABROAD: Final = (
    Site("Lisbon", "PT", ZoneInfo("Europe/Lisbon")),
    Site("Warsaw", "PL", ZoneInfo("Europe/Warsaw")),
    Site("Pune", "IN", ZoneInfo("Asia/Kolkata")),
)

BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0} Safari/537.36 Edg/{0}",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
)
BROWSER_VERSIONS: Final = ("141.0.0.0", "142.0.0.0")
PHONES: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
)
GIT_TOOLS: Final = ("git/2.45.2", "git/2.47.1", "git/2.50.0.windows.1", "git/2.39.5 (Apple Git-154)")
CLOUD_TOOLS: Final = ("aws-cli/2.17.9 Python/3.11.8", "aws-cli/2.22.12 Python/3.12.6", "HashiCorp Terraform/1.9.8")
SQL_TOOLS: Final = ("psql/16.4", "DBeaver 24.2.0", "DataGrip 2025.2")
API_TOOLS: Final = ("python-requests/2.32.3", "Boto3/1.35.40 Python/3.11.9", "okhttp/4.12.0", "Go-http-client/2.0")


@dataclass(frozen=True)
class Person:
    """Somebody with an account: place, hours, devices, and the days he is not there."""

    username: str
    employee_id: str
    department: Department
    site: Site
    starts: float
    """Local hour at which a usual day begins."""
    hours: float
    pace: float
    """How busy a day is beside the department's usual one."""
    remote_days: frozenset[int]
    """Weekdays (Monday 0) worked from home."""
    home: Network
    phone_network: Network
    browser: str
    """User agent of the computer, with `{}` where the version stands."""
    upgraded: date
    """First day with the newer browser."""
    phone: str
    tools: dict[str, str]
    uses_vpn: float
    evenings: float
    """Chance of a look at the phone in the evening."""
    weekends: float
    away: frozenset[date]
    """Local days of holiday, illness, public holiday, or before the first day."""
    dormant: bool = False
    """On long leave, or gone with the account never closed."""
    trip: tuple[frozenset[date], Network] | None = None
    """Days on the road, and the hotel's network."""
    laptop_swap: tuple[date, str] | None = None
    """First day with another computer, and its user agent."""
    joined: date | None = None
    """First day, for somebody hired within the story."""
    returned: date | None = None
    """First day after a long leave that ends within the story."""

    def works_on(self, day: date) -> bool:
        """Say whether any ordinary act on this local day is possible at all."""
        return not self.dormant and day not in self.away

    def local_day(self, moment: datetime) -> date:
        """Return the day on this person's calendar."""
        return moment.astimezone(self.site.zone).date()

    def agent(self, day: date) -> str:
        """Return the computer's user agent on this day."""
        browser = self.browser
        if self.laptop_swap is not None and day >= self.laptop_swap[0]:
            browser = self.laptop_swap[1]
        return browser.format(BROWSER_VERSIONS[day >= self.upgraded])

    def network_on(self, day: date) -> Network | None:
        """Return where the working day is spent; None is the office."""
        if self.trip is not None and day in self.trip[0]:
            return self.trip[1]
        return self.home if day.weekday() >= 5 or day.weekday() in self.remote_days else None


@dataclass(frozen=True)
class Company:
    """People in a fixed order, and the days the story covers."""

    seed: int
    start: datetime
    end: datetime
    people: tuple[Person, ...]
    _favourites: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, *departments: Department) -> list[Person]:
        """Return the people of these departments whose accounts are in use."""
        return [person for person in self.people if person.department in departments and not person.dormant]

    @property
    def dormant(self) -> list[Person]:
        """Return the accounts that nobody uses."""
        return [person for person in self.people if person.dormant]

    def any_entity(self, rng: Random, entity_type: str) -> str:
        """Return one entity of a kind, each as likely as another."""
        if entity_type == "user":
            return rng.choice(self.people).username
        if entity_type == "employee":
            return rng.choice(self.people).employee_id
        names = NAMED_ENTITIES.get(entity_type)
        if names is not None:
            return rng.choice(names)
        prefix, count = NUMBERED_ENTITIES[entity_type]
        return f"{prefix}{rng.randrange(count):0{len(str(count))}d}"

    def usual_entity(self, rng: Random, actor: str, entity_type: str) -> str:
        """Return what this actor would touch: mostly one of his favourites, the first of them most of all."""
        if rng.random() < 0.14:
            return self.any_entity(rng, entity_type)
        favourites = self._favourites.get((actor, entity_type))
        if favourites is None:
            own = stream(self.seed, "favourites", actor, entity_type)
            favourites = tuple(self.any_entity(own, entity_type) for _ in range(own.randint(6, 22)))
            self._favourites[actor, entity_type] = favourites
        return favourites[int(len(favourites) * rng.random() ** 1.8)]


NUMBERED_ENTITIES: Final[dict[str, tuple[str, int]]] = {
    "customer": ("C-", 2400),
    "deal": ("D-", 700),
    "candidate": ("CAN-", 90),
    "document": ("DOC-", 900),
    "invoice": ("INV-", 3200),
    "payment": ("PAY-", 2600),
    "vendor": ("V-", 260),
    "file": ("F-", 5200),
    "pull_request": ("PR-", 640),
    "instance": ("i-", 90),
    "ticket": ("T-", 2800),
}
NAMED_ENTITIES: Final[dict[str, tuple[str, ...]]] = {
    "application": words("crm erp hr files git cloud tickets logs payments search shop"),
    "gateway": words("vpn-munich vpn-london vpn-boston vpn-singapore"),
    "customer_list": words("all-customers key-accounts renewals churned leads"),
    "report": words("pipeline revenue churn margin ageing cash budget tax forecast"),
    "payroll_run": words("payroll-de payroll-gb payroll-us payroll-sg"),
    "account": tuple(f"GL-{number}" for number in range(1000, 8000, 250)),
    "folder": words("/board /contracts /design /finance /legal /marketing /people /product /sales"),
    "repository": words(
        "api auth billing checkout cli config crm-sync data-models docs etl frontend gateway helm infra mobile "
        "notifications orders payments pricing reports search shop site terraform warehouse"
    ),
    "project": words("prod-eu prod-us staging sandbox analytics"),
    "firewall": words("edge office prod-eu prod-us db"),
    "bucket": words("artifacts backups exports invoices logs media reports tmp"),
    "role": words("admin billing db-reader deployer auditor break-glass support analytics"),
    "policy": words("admins audit billing data deploy network support"),
    "api_key": words("key-backup key-bi key-ci key-crm key-erp key-etl key-mail key-mobile key-partner key-shop"),
    "secret": tuple(f"{a}/{b}" for a in words("api billing etl shop") for b in words("db signing smtp token")),
    "database": words("orders customers billing hr warehouse identity"),
    "table": tuple(
        f"{database}.{table}"
        for database in words("orders customers billing hr warehouse identity")
        for table in words("events lines master history prices")
    ),
    "log_index": words("audit access application database network"),
    "dashboard": words("latency errors orders logins costs capacity"),
    "alert_rule": words("disk-full error-rate login-failures new-admin latency queue-depth cert-expiry"),
    "log_sink": words("sink-archive sink-siem sink-lake sink-old"),
}


def build_company(seed: int, start: datetime, end: datetime, people: int) -> Company:
    """Return the company with exactly `people` accounts of persons, the same for the same arguments."""
    rng = stream(seed, "company")
    usernames = _usernames(rng, people)
    departments = _departments(people)
    days = [start.date() + timedelta(days=offset) for offset in range(-1, (end - start).days + 3)]
    holiday_site, holiday = rng.choice(SITES), rng.choice(days)
    staff = []
    for number, (username, department) in enumerate(zip(usernames, departments, strict=True)):
        own = stream(seed, "person", username)
        person = _person(own, username, f"E{1041 + number}", department, days)
        if person.site is holiday_site and rng.random() < 0.85:
            person = replace(person, away=person.away | {holiday})
        staff.append(person)
    return Company(seed, start, end, tuple(_with_long_stories(rng, staff, days)))


def _usernames(rng: Random, count: int) -> list[str]:
    pairs = [(first, last) for first in FIRST_NAMES for last in LAST_NAMES]
    return [f"{first}.{last}@{DOMAIN}" for first, last in rng.sample(pairs, count)]


def _departments(people: int) -> list[Department]:
    """Share the people out, two at least to every department; engineering takes what rounding leaves or lacks."""
    seats: list[Department] = []
    for department, (share, *_rest) in _DEPARTMENTS.items():
        seats += [department] * max(2, round(share * people))
    while len(seats) > people:
        seats.remove("engineering" if seats.count("engineering") > 2 else max(_DEPARTMENTS, key=seats.count))
    return seats + ["engineering"] * (people - len(seats))


def _person(rng: Random, username: str, employee_id: str, department: Department, days: list[date]) -> Person:
    _share, weights, (earliest, latest), remote = _DEPARTMENTS[department]
    site = rng.choices(SITES, weights)[0]
    if department == "contractor" and rng.random() < 0.6:
        site = rng.choice(_ABROAD)
    remote_count = 5 if site in _ABROAD else min(5, max(0, remote + rng.choice((-1, 0, 0, 1))))
    away = set()
    if rng.random() < 0.11:
        first = rng.randrange(len(days))
        away.update(days[first : first + rng.randint(2, 9)])
    if rng.random() < 0.1:
        away.add(rng.choice(days))
    if rng.random() < 0.08:
        part_time = rng.randrange(5)
        away.update(day for day in days if day.weekday() == part_time)
    technical = department in {"engineering", "it", "security", "contractor"}
    browser = rng.choice(BROWSERS if technical else BROWSERS[:4])
    trip = None
    if rng.random() < (0.12 if department in {"sales", "engineering", "security"} else 0.02):
        abroad = residential(rng, rng.choice([country for country in COUNTRIES if country != site.country]))
        first = rng.randrange(len(days))
        trip = (frozenset(days[first : first + rng.randint(1, 3)]), abroad)
    return Person(
        username=username,
        employee_id=employee_id,
        department=department,
        site=site,
        starts=rng.uniform(earliest, latest),
        hours=rng.uniform(5.0, 6.5) if rng.random() < 0.1 else rng.uniform(8.0, 9.3),
        pace=rng.lognormvariate(0.0, 0.35),
        remote_days=frozenset(rng.sample(range(5), remote_count)),
        home=residential(rng, site.country),
        phone_network=mobile(rng, site.country),
        browser=browser,
        upgraded=rng.choice(days),
        phone=rng.choice(PHONES),
        tools={"git": rng.choice(GIT_TOOLS), "cloud": rng.choice(CLOUD_TOOLS), "sql": rng.choice(SQL_TOOLS)},
        uses_vpn=rng.choice((0.2, 0.7, 0.95)) if technical else rng.choice((0.0, 0.3, 0.8)),
        evenings=rng.choice((0.02, 0.08, 0.3)),
        weekends=rng.choice((0.0, 0.01, 0.03, 0.12)),
        away=frozenset(away),
        trip=trip,
        laptop_swap=(rng.choice(days), rng.choice(BROWSERS)) if rng.random() < 0.03 else None,
    )


def _with_long_stories(rng: Random, staff: list[Person], days: list[date]) -> list[Person]:
    """Let a few accounts lie unused, somebody come back from a long leave, and somebody start new."""
    settled = [index for index, person in enumerate(staff) if person.department not in {"it", "security", "hr"}]
    chosen = rng.sample(settled, 2 + max(2, len(staff) // 40))
    workdays = [day for day in days[1:-2] if day.weekday() < 5] or days[:1]
    for index, role in zip(chosen, ("joined", "returned"), strict=False):
        first = rng.choice(workdays)
        person = staff[index]
        away = frozenset(day for day in days if day < first) | {day for day in person.away if day > first}
        if role == "joined":
            staff[index] = replace(person, away=away, joined=first)
        else:
            staff[index] = replace(person, away=away, returned=first)
    for index in chosen[2:]:
        staff[index] = replace(staff[index], dormant=True)
    return staff
