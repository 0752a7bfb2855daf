"""What can happen in the demo company: event types, the kind of entity each touches and its details.

One table, read by habits, services, oddities and attacks alike: an attacker has no words of his own, so nothing in an
event's shape gives him away. Who does what when does not belong here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

Detail = Callable[[Random], Any]
Tool = Literal["browser", "git", "cloud", "sql", "api"]
Details = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """One event type: the entity it touches, its details, the tool that causes it and how often it goes wrong."""

    entity_type: str
    details: Mapping[str, Detail]
    tool: Tool = "browser"
    denied: float = 0.0
    """Chance that a policy refuses it to somebody who is allowed to try."""
    failed: float = 0.0
    sealed: tuple[str, ...] = ()
    """JSON pointers into the details that hold somebody's personal data."""

    def describe(self, rng: Random, scale: float = 1.0) -> Details:
        """Return details as this event type usually has them; counts and sizes are multiplied by `scale`.

        A detail whose maker gives None is absent, as optional fields are in real logs.
        """
        made = {name: maker(rng) for name, maker in self.details.items()}
        return {
            name: max(1, round(value * scale)) if name in _SCALED else value
            for name, value in made.items()
            if value is not None
        }


_SCALED: Final = frozenset({"rows", "bytes"})


def _one_of(*values: Any) -> Detail:
    return lambda rng: rng.choice(values)


def _always(value: Any) -> Detail:
    return lambda _rng: value


def _count(median: float, spread: float = 0.8) -> Detail:
    mu = math.log(median)
    return lambda rng: max(1, round(rng.lognormvariate(mu, spread)))


def _maybe(chance: float, detail: Detail) -> Detail:
    return lambda rng: detail(rng) if rng.random() < chance else None


def _ticket(prefix: str) -> Detail:
    return lambda rng: f"{prefix}-{rng.randint(21000, 24999)}"


_MFA = _one_of("push", "push", "push", "totp", "webauthn")
_REGION = _one_of("eu-central-1", "eu-central-1", "eu-central-1", "us-east-1", "ap-southeast-1")
_CHANGE = _maybe(0.6, _ticket("CHG"))
_REQUEST = _maybe(0.55, _ticket("REQ"))
_FORMAT = _one_of("csv", "csv", "xlsx", "pdf")
_BRANCH = _one_of("main", "develop", "feature/search", "feature/pricing", "fix/timeouts", "release/24")
_PERMISSION = _one_of("reader", "editor", "deployer", "billing-viewer", "support-agent", "db-reader", "admin")
_ROWS = _count(12)
_SIZE = _count(180_000, 1.4)


def _spec(entity_type: str, tool: Tool = "browser", **details: Detail) -> Spec:
    return Spec(entity_type, details, tool)


SPECS: Final[dict[str, Spec]] = {
    # Single sign-on
    "sso:login": _spec(
        "user", method=_one_of("password", "password", "passkey"), mfa=_maybe(0.8, _MFA), app=_always("sso")
    ),
    "sso:logout": _spec("user", app=_always("sso")),
    "sso:app.open": Spec("application", {"session_minutes": _maybe(0.4, _count(50))}, denied=0.008),
    "sso:mfa.challenge": _spec("user", mfa=_one_of("push", "push", "totp"), app=_always("sso")),
    "sso:mfa.enroll": _spec("user", mfa=_one_of("push", "totp", "webauthn"), reason=_maybe(0.5, _always("new device"))),
    "sso:password.change": _spec("user", reason=_one_of("expired", "expired", "user request")),
    "sso:password.reset": _spec("user", reason=_one_of("forgotten", "locked out"), ticket=_REQUEST),
    "sso:token.refresh": Spec("user", {"app": _one_of("crm", "files", "tickets")}, failed=0.04),
    "vpn:connect": _spec("gateway", protocol=_one_of("wireguard", "ikev2"), posture=_one_of("compliant", "compliant")),
    "vpn:disconnect": _spec("gateway", bytes=_count(60_000_000, 1.2)),
    # Customers
    "crm:customer.read": Spec("customer", {"view": _one_of("profile", "orders", "notes", "contacts")}, denied=0.004),
    "crm:customer.search": _spec("customer_list", rows=_ROWS, query=_one_of("name", "email", "city", "open orders")),
    "crm:customer.update": Spec(
        "customer",
        {"field": _one_of("phone", "email", "address"), "new_value": lambda rng: f"contact-{rng.randint(1000, 9999)}"},
        failed=0.01,
        sealed=("/new_value",),
    ),
    "crm:customer.create": _spec("customer", source=_one_of("web", "fair", "referral")),
    "crm:deal.read": _spec("deal", stage=_one_of("lead", "offer", "negotiation", "won")),
    "crm:deal.update": _spec("deal", stage=_one_of("offer", "negotiation", "won", "lost"), amount=_count(18_000, 1.0)),
    "crm:report.run": _spec("report", rows=_count(140, 1.0), period=_one_of("week", "month", "quarter")),
    "crm:report.export": Spec(
        "report", {"rows": _count(260, 1.1), "bytes": _count(90_000, 1.1), "format": _FORMAT}, denied=0.02
    ),
    "crm:note.create": _spec("customer", length=_count(240)),
    # People
    "hr:employee.read": Spec("employee", {"section": _one_of("contract", "absence", "contact", "salary")}, denied=0.01),
    "hr:employee.update": _spec("employee", section=_one_of("contract", "absence", "contact"), reason=_REQUEST),
    "hr:employee.create": _spec("employee", section=_always("contract"), reason=_one_of("new hire", "transfer")),
    "hr:absence.approve": _spec("employee", days=_count(3)),
    "hr:absence.request": _spec("employee", days=_count(3)),
    "hr:payroll.read": Spec("payroll_run", {"rows": _count(40, 0.9)}, denied=0.02),
    "hr:payroll.export": _spec("payroll_run", rows=_count(60, 0.7), bytes=_count(40_000, 0.7), format=_FORMAT),
    "hr:candidate.read": _spec("candidate", stage=_one_of("applied", "interview", "offer")),
    "hr:document.download": _spec("document", bytes=_SIZE),
    # Finance
    "erp:invoice.read": _spec("invoice", view=_one_of("header", "lines", "history")),
    "erp:invoice.create": Spec("invoice", {"amount": _count(2_400, 1.2), "currency": _one_of("EUR", "GBP", "USD")}),
    "erp:invoice.approve": Spec("invoice", {"amount": _count(2_400, 1.2)}, denied=0.015),
    "erp:payment.create": Spec("payment", {"amount": _count(3_100, 1.2), "method": _one_of("sepa", "card", "wire")}),
    "erp:payment.approve": Spec("payment", {"amount": _count(3_100, 1.2)}, denied=0.02),
    "erp:vendor.read": _spec("vendor", view=_one_of("master", "bank", "orders")),
    "erp:vendor.update": _spec("vendor", field=_one_of("address", "contact", "bank account"), ticket=_REQUEST),
    "erp:ledger.read": _spec("account", rows=_count(60, 1.0)),
    "erp:report.export": _spec("report", rows=_count(420, 1.1), bytes=_count(160_000, 1.1), format=_FORMAT),
    # Files
    "file:read": Spec("file", {"bytes": _SIZE}, denied=0.01),
    "file:download": _spec("file", bytes=_SIZE),
    "file:upload": Spec("file", {"bytes": _SIZE}, failed=0.01),
    "file:share": Spec(
        "file", {"audience": _one_of("team", "team", "department", "external"), "expires_days": _maybe(0.5, _count(14))}
    ),
    "file:folder.list": _spec("folder", rows=_count(24)),
    "file:delete": _spec("file", bytes=_SIZE),
    # Source control
    "scm:repo.clone": Spec("repository", {"bytes": _count(9_000_000, 1.0)}, "git", denied=0.008),
    "scm:push": Spec("repository", {"branch": _BRANCH, "commits": _count(2)}, "git", failed=0.03),
    "scm:pull_request.open": _spec("pull_request", branch=_BRANCH, files=_count(6)),
    "scm:pull_request.review": _spec("pull_request", verdict=_one_of("approve", "approve", "comment", "changes")),
    "scm:pull_request.merge": Spec("pull_request", {"branch": _one_of("main", "develop")}, denied=0.02),
    "scm:pipeline.run": Spec("repository", {"branch": _BRANCH, "seconds": _count(210)}, "api", failed=0.09),
    "scm:artifact.publish": _spec("repository", "api", bytes=_count(30_000_000, 0.8)),
    "scm:settings.update": _spec(
        "repository", setting=_one_of("branch protection", "webhook", "members", "visibility")
    ),
    "scm:token.create": _spec("user", scope=_one_of("read", "write", "packages"), days=_one_of(30, 90)),
    # Cloud console and identities
    "cloud:resource.list": Spec("project", {"rows": _count(30), "region": _REGION}, "cloud", denied=0.01),
    "cloud:resource.describe": Spec("instance", {"region": _REGION}, "cloud", denied=0.01),
    "cloud:instance.start": Spec("instance", {"region": _REGION, "size": _one_of("s", "m", "l")}, "cloud", failed=0.02),
    "cloud:instance.stop": Spec("instance", {"region": _REGION}, "cloud"),
    "cloud:session.start": Spec("instance", {"region": _REGION, "shell": _one_of("bash", "sh")}, "cloud", denied=0.02),
    "cloud:deployment.create": Spec(
        "application", {"version": lambda r: f"24.{r.randint(1, 40)}"}, "cloud", failed=0.03
    ),
    "cloud:deployment.rollback": _spec("application", "cloud", version=lambda rng: f"24.{rng.randint(1, 40)}"),
    "cloud:firewall.update": Spec("firewall", {"rule": _one_of("allow", "deny"), "ticket": _CHANGE}, "cloud"),
    "cloud:bucket.list": Spec("bucket", {"rows": _count(80, 1.0)}, "cloud", denied=0.01),
    "cloud:object.read": Spec("bucket", {"bytes": _count(900_000, 1.3)}, "cloud", denied=0.008),
    "cloud:object.write": Spec("bucket", {"bytes": _count(2_000_000, 1.3)}, "cloud", failed=0.005),
    "cloud:snapshot.create": _spec("database", "cloud", bytes=_count(4_000_000_000, 0.5)),
    "cloud:snapshot.share": Spec("database", {"with": _one_of("staging", "analytics", "partner")}, "cloud"),
    "iam:identity.read": Spec("user", {"region": _REGION}, "cloud"),
    "iam:role.list": Spec("project", {"rows": _count(35, 0.3)}, "cloud", denied=0.02),
    "iam:role.grant": Spec("user", {"role": _PERMISSION, "ticket": _REQUEST}, "cloud", denied=0.02),
    "iam:role.revoke": Spec("user", {"role": _PERMISSION, "ticket": _REQUEST}, "cloud"),
    "iam:role.assume": Spec("role", {"minutes": _one_of(15, 60, 60, 240)}, "cloud", denied=0.03),
    "iam:policy.read": Spec("policy", {"version": _count(5)}, "cloud", denied=0.01),
    "iam:policy.update": Spec("policy", {"version": _count(5), "ticket": _CHANGE}, "cloud", denied=0.01),
    "iam:user.create": Spec("user", {"kind": _one_of("person", "person", "service"), "ticket": _REQUEST}, "cloud"),
    "iam:user.update": Spec("user", {"field": _one_of("group", "phone", "manager"), "ticket": _REQUEST}, "cloud"),
    "iam:user.disable": Spec("user", {"reason": _one_of("left", "contract ended"), "ticket": _REQUEST}, "cloud"),
    "iam:mfa.reset": Spec("user", {"reason": _one_of("lost phone", "new phone"), "ticket": _REQUEST}, "cloud"),
    "iam:key.create": Spec("api_key", {"days": _one_of(30, 90, 365), "ticket": _REQUEST}, "cloud"),
    "iam:key.rotate": Spec("api_key", {"days": _one_of(30, 90)}, "cloud", failed=0.02),
    "iam:secret.read": Spec("secret", {"version": _count(4)}, "cloud", denied=0.02),
    # Databases
    "db:login": Spec("database", {"tls": _always(value=True)}, "sql", failed=0.02),
    "db:query": Spec("table", {"rows": _count(90, 1.3), "ms": _count(40, 1.2)}, "sql", denied=0.008),
    "db:update": Spec("table", {"rows": _count(3, 0.9), "ticket": _CHANGE}, "sql", denied=0.01),
    "db:export": _spec("table", "sql", rows=_count(4_000, 1.2), bytes=_count(1_500_000, 1.2)),
    "db:schema.change": _spec("database", "sql", ticket=_CHANGE, statement=_one_of("create index", "add column")),
    "db:backup": Spec("database", {"bytes": _count(6_000_000_000, 0.3)}, "api", failed=0.01),
    # Tickets
    "ticket:create": _spec("ticket", priority=_one_of("low", "normal", "normal", "high"), queue=_one_of("it", "care")),
    "ticket:read": _spec("ticket", queue=_one_of("it", "care", "billing")),
    "ticket:comment": _spec("ticket", length=_count(180)),
    "ticket:close": _spec("ticket", resolution=_one_of("solved", "solved", "duplicate", "no answer")),
    "ticket:assign": _spec("ticket", queue=_one_of("it", "care", "billing")),
    # Logging platform
    "log:query": Spec("log_index", {"rows": _count(400, 1.4), "hours": _one_of(1, 4, 24, 72)}, denied=0.006),
    "log:dashboard.view": _spec("dashboard", hours=_one_of(1, 4, 24)),
    "log:alert_rule.update": _spec("alert_rule", field=_one_of("threshold", "window", "receiver"), ticket=_CHANGE),
    "log:alert_rule.disable": _spec("alert_rule", reason=_one_of("noisy", "maintenance"), ticket=_CHANGE),
    "log:alert.acknowledge": _spec("alert_rule", minutes=_count(6)),
    "log:retention.update": _spec("log_index", days=_one_of(7, 30, 90, 365), ticket=_CHANGE),
    "log:sink.delete": _spec("log_sink", ticket=_CHANGE),
    "log:sink.update": _spec("log_sink", target=_one_of("archive", "siem", "lake"), ticket=_CHANGE),
    "log:export": _spec("log_index", rows=_count(3_000, 1.2), bytes=_count(700_000, 1.2), format=_FORMAT),
}
