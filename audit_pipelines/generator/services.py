"""The machines of the demo company: which service accounts and API keys there are and what they do, and when.

They are the loudest actors by far, work at night, fail and are refused as a matter of course; volume alone therefore
says nothing about an attack. Each keeps to its network, its tool and its few event types.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Literal

from audit_pipelines.generator.company import Company
from audit_pipelines.generator.networks import Network, hosting
from audit_pipelines.generator.record import Origin, Recorder, stream
from audit_pipelines.generator.vocabulary import SPECS

Rhythm = Literal["every", "nightly", "office", "always"]


@dataclass(frozen=True, slots=True)
class Service:
    """A service account: its rhythm, the acts of one run, and where it runs."""

    name: str
    rhythm: Rhythm
    rate: float
    """Minutes between runs for `every`, hour (UTC) for `nightly`, runs a working hour for `office` and `always`."""
    acts: tuple[tuple[str, int, int], ...]
    """(event type, fewest, most) of one run."""
    agent: str | None
    country: str | None = None
    """Where its rented network is; None for a machine inside, which has a private address."""
    scale: float = 1.0
    """Rows and bytes beside those of a person."""
    failures: float = 0.005
    refused: float = 0.0


_GIT, _GO, _PYTHON, _BOTO, _TERRAFORM, _APP = (
    "git/2.45.2",
    "Go-http-client/2.0",
    "python-requests/2.32.3",
    "Boto3/1.35.40 Python/3.11.9",
    "HashiCorp Terraform/1.9.8",
    "okhttp/4.12.0",
)


def _acts(text: str) -> tuple[tuple[str, int, int], ...]:
    """Read `event:type 2-5, …`: how often one run does each."""
    pairs = (act.split() for act in text.split(","))
    return tuple((name, int(span.split("-")[0]), int(span.split("-")[-1])) for name, span in pairs)


def _service(
    rhythm: Rhythm, rate: float, name: str, acts: str, agent: str | None, *, country: str | None = None, **more: float
) -> Service:
    return Service(name, rhythm, rate, _acts(acts), agent, country, **more)


SERVICES: Final = (
    _service(
        "office",
        7.5,
        "svc-ci-runner",
        "scm:repo.clone 1, scm:pipeline.run 1-2, scm:artifact.publish 0-1",
        _GIT,
        country="DE",
    ),
    _service("nightly", 1.2, "svc-backup", "db:backup 6, cloud:snapshot.create 3-6, cloud:object.write 90-150", _BOTO),
    _service("every", 15, "svc-monitoring", "log:query 1-2", _GO),
    _service("every", 60, "svc-etl", "db:login 1, db:query 3-6, cloud:object.write 1-2", None, scale=30.0),
    _service("every", 30, "svc-crm-sync", "crm:customer.search 1, crm:customer.update 0-4", _PYTHON, scale=6.0),
    _service(
        "office",
        0.7,
        "svc-deploy",
        "iam:role.assume 1, cloud:deployment.create 1-2, iam:secret.read 1-2",
        _TERRAFORM,
        country="DE",
    ),
    _service("office", 2.5, "svc-invoice-bot", "erp:invoice.create 1-4", _PYTHON),
    _service(
        "always", 5.0, "key-shop", "crm:customer.read 1-2, erp:payment.create 0-1", _APP, country="DE", failures=0.02
    ),
    _service("always", 4.0, "key-mobile-app", "crm:customer.read 1-2", _APP, country="US", failures=0.03),
    _service(
        "nightly",
        2.5,
        "svc-vuln-scanner",
        "cloud:resource.list 4-9, cloud:resource.describe 12-30, iam:policy.read 3-7",
        _PYTHON,
        refused=0.35,
    ),
    _service("every", 360, "svc-hr-sync", "hr:employee.read 6-12, iam:user.update 0-3", _PYTHON),
    _service("every", 120, "svc-log-archiver", "log:export 1, cloud:object.write 1-2", _BOTO, scale=8.0),
    _service("nightly", 3.6, "svc-secret-rotator", "iam:key.rotate 2-5, iam:secret.read 2-5", _GO),
    _service("office", 3.0, "svc-ticket-bot", "ticket:create 0-1, ticket:assign 1-2", _PYTHON),
    _service("every", 45, "key-partner", "crm:customer.read 1-2, crm:deal.read 0-1", _GO, country="NL", failures=0.03),
    _service(
        "nightly", 4.5, "svc-bi-reports", "db:login 1-2, db:query 8-16, crm:report.export 2-4", _PYTHON, scale=12.0
    ),
    _service(
        "every",
        240,
        "svc-terraform",
        "iam:role.assume 1, cloud:resource.describe 8-14, iam:policy.read 1-3",
        _TERRAFORM,
        country="DE",
    ),
    _service(
        "every", 120, "svc-search-indexer", "file:folder.list 1-2, file:read 3-8", _GO, failures=0.01, refused=0.02
    ),
    _service("always", 2.5, "svc-payment-gateway", "erp:payment.create 1", _GO, country="DE", failures=0.03),
    _service("every", 180, "svc-autoscaler", "cloud:instance.start 0-2, cloud:instance.stop 0-2", _GO),
    _service("always", 2.0, "svc-mail-gateway", "file:upload 1-2", _GO),
    _service("every", 60, "key-status", "log:dashboard.view 1", _GO, country="NL"),
    _service("nightly", 0.5, "svc-cert-bot", "iam:secret.read 2-4, cloud:object.write 1-3", _GO),
    _service(
        "nightly",
        6.0,
        "svc-cost-report",
        "cloud:bucket.list 2-4, cloud:resource.list 4-8, cloud:object.read 3-6",
        _BOTO,
    ),
    _service(
        "nightly", 5.2, "svc-dependency-bot", "scm:repo.clone 6-12, scm:pull_request.open 1-5", _GIT, country="US"
    ),
    _service("every", 240, "svc-warehouse", "db:login 1, db:query 2-5, db:export 0-1", None, scale=20.0),
    _service("office", 1.2, "key-bi", "db:query 1-3", "DBeaver 24.2.0", country="DE", scale=6.0),
    _service("every", 240, "svc-scim", "iam:identity.read 2-6, iam:role.grant 0-1", _GO, country="US"),
    _service("office", 2.0, "svc-media", "cloud:object.write 1-3, cloud:object.read 0-2", _BOTO),
    _service("nightly", 23.0, "svc-legacy-import", "db:login 1-3, db:update 4-12", None, failures=0.12),
)


def build_services(count: int) -> tuple[Service, ...]:
    """Return `count` services: the catalogue in its order, then slower copies of it for further regions."""
    made = []
    for number in range(count):
        round_number, index = divmod(number, len(SERVICES))
        service = SERVICES[index]
        if round_number:
            slower = {"every": service.rate * 2, "nightly": service.rate}.get(service.rhythm, service.rate / 2)
            service = replace(service, name=f"{service.name}-{round_number + 1}", rate=slower)
        made.append(service)
    return tuple(made)


def service_network(company: Company, service: Service) -> Network:
    """Return the network this service calls from all week."""
    rng = stream(company.seed, "service network", service.name)
    if service.country is not None:
        return hosting(rng, service.country)
    return Network(f"10.20.{rng.randint(0, 12)}", "DE", rng.randint(4, 250))


def serve(company: Company, recorder: Recorder, service: Service) -> None:
    """Record a service's week."""
    rng = stream(company.seed, "service", service.name)
    network = service_network(company, service)
    moves, next_network = _move(company, service, rng)
    for begin in _runs(company, service, rng):
        run(company, recorder, service, begin, place=next_network if begin >= moves else network, rng=rng)


def run(
    company: Company, recorder: Recorder, service: Service, begin: datetime, *, place: Network, rng: Random
) -> None:
    """Record one run of a service; now and then all of it reaches the collector late."""
    moment = begin
    late = timedelta(minutes=rng.uniform(5, 90)) if rng.random() < 0.003 else timedelta(0)
    for event_type, fewest, most in service.acts:
        for _ in range(rng.randint(fewest, most)):
            luck = rng.random()
            failed = luck < service.refused + service.failures
            recorder.add(
                moment,
                service.name,
                event_type,
                service_entity(company, rng, service, event_type),
                rng=rng,
                origin=Origin(place.address(rng) if rng.random() < 0.97 else None, service.agent),
                outcome="denied" if luck < service.refused else "failure" if failed else "success",
                scale=service.scale,
                delay=late,
            )
            moment += timedelta(seconds=rng.expovariate(1 / 6))


def service_entity(company: Company, rng: Random, service: Service, event_type: str) -> str:
    """Return what this service would touch."""
    return company.usual_entity(rng, service.name, SPECS[event_type].entity_type)


def _move(company: Company, service: Service, rng: Random) -> tuple[datetime, Network]:
    """Let one rented machine in five move to another network within the story, as cloud providers make them do."""
    country = service.country
    if country is None or rng.random() >= 0.2:
        return company.end, service_network(company, service)
    moment = company.start + rng.random() * (company.end - company.start)
    return moment, hosting(rng, rng.choice((country, "NL", "US")))


def _runs(company: Company, service: Service, rng: Random) -> Iterator[datetime]:
    midnight = datetime.combine(company.start.date(), datetime.min.time(), UTC)
    if service.rhythm == "nightly":
        for day in range(-1, (company.end - company.start).days + 2):
            yield midnight + timedelta(days=day, hours=service.rate, minutes=rng.uniform(0, 9))
        return
    moment = company.start - timedelta(minutes=rng.random() * service.rate)
    while moment < company.end:
        if service.rhythm == "every":
            moment += timedelta(minutes=service.rate, seconds=rng.gauss(0, 8))
            yield moment
            continue
        moment += timedelta(hours=rng.expovariate(service.rate))
        if rng.random() < _busy(service.rhythm, moment):
            yield moment


def _busy(rhythm: Rhythm, moment: datetime) -> float:
    """Return how busy the business is, 0 to 1: by day and evening, or in the office hours of three continents."""
    hour = moment.hour + moment.minute / 60
    if rhythm == "always":
        return 0.55 + 0.45 * math.sin((hour - 11) / 24 * 2 * math.pi)
    if moment.weekday() >= 5:
        return 0.05
    return max(0.08, math.exp(-(((hour - 13.0) / 4.2) ** 2)))
