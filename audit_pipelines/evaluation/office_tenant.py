"""A made-up Office 365 tenant: mailboxes, files, sign-ins, administrators, and eight attacks.

Two tenants of three are large and last thirty days; each third one is small, lasts eight, and is attacked from its
second day on, when nobody has habits yet.

In the spirit of real unified audit logs: phones and roaming make new networks a daily matter, people make inbox rules
and share files for good reasons, sync clients download in bursts, background services touch every mailbox. No name in
it says what is an attack. Invented throughout; addresses are drawn at random.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final

from audit_pipelines.evaluation.labelled import BENIGN, Label, Labelled
from audit_pipelines.evaluation.story import Network, Notebook, Weighted, gaps, network, pick, some, working_days

_DESK: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/122.0.0.0 Safari/537.36 Edg/122.0.0.0"
)
_PHONE: Final = "Outlook-iOS/2.0"
_SYNC: Final = "Microsoft SkyDriveSync 24.020.0128.0003 ship; Windows NT 10.0 (22631)"
_CLIENTS: Final = (_DESK, "Mozilla/5.0 (X11; Linux x86_64) Chrome/121.0.0.0", "python-requests/2.31.0", "axios/1.6.7")

_DAILY: Final[Weighted] = {
    "Exchange:MailItemsAccessed": 8, "SharePoint:FileAccessed": 5, "SharePoint:FileModified": 2, "Exchange:Send": 2,
    "SharePoint:FilePreviewed": 1, "SharePoint:FileDownloaded": 0.5, "Exchange:MoveToDeletedItems": 1,
    "Teams:MessageSent": 3, "SharePoint:SharingSet": 0.1, "SharePoint:FileUploaded": 0.5,
    "Exchange:New-InboxRule": 0.01, "Exchange:SoftDelete": 0.4, "Exchange:HardDelete": 0.05,
    "SharePoint:AnonymousLinkCreated": 0.03, "Exchange:Set-MailboxAutoReplyConfiguration": 0.01,
}  # fmt: skip
_ADMIN: Final[Weighted] = {
    "AzureActiveDirectory:Update user.": 4, "AzureActiveDirectory:Add user.": 1, "Exchange:Set-Mailbox": 1,
    "AzureActiveDirectory:Add member to group.": 2, "AzureActiveDirectory:Reset user password.": 1,
    "AzureActiveDirectory:Add member to role.": 0.2, "AzureActiveDirectory:Update application.": 0.4,
    "AzureActiveDirectory:Add service principal.": 0.2, "Exchange:Add-MailboxPermission": 0.4,
    "AzureActiveDirectory:Update conditional access policy.": 0.1, "AzureActiveDirectory:Consent to application.": 0.1,
    "SecurityComplianceCenter:Get-ComplianceSearch": 0.4, "Exchange:New-TransportRule": 0.05,
}  # fmt: skip
_KINDS: Final = {"Exchange": "mailbox", "SharePoint": "file", "Teams": "chat", "AzureActiveDirectory": "user"}


class _Tenant:
    """The tenant: its notebook and people, and how one record is written down."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"office/{seed}")  # noqa: S311 - a made-up tenant, not a secret
        self.small = seed % 3 == 0
        self.days = 8 if self.small else 30
        self.book = Notebook(f"office:{seed}", self.rng)
        self.office = network(self.rng)
        self.people: dict[str, tuple[bool, Network, float]] = {}

    def record(
        self, moment: datetime, actor: str, name: str, place: Network | None, agent: str | None, *,
        failed: bool = False, label: Label = BENIGN, details: dict[str, object] | None = None, size: int | None = None,
        entity: str | None = None,
    ) -> datetime:  # fmt: skip
        """Write one record down and return its moment."""
        workload = name.partition(":")[0]
        kind = _KINDS.get(workload, "tenant")
        thing = entity or (actor if kind == "mailbox" else f"{kind}-{actor[:6]}-{int(self.rng.random() ** 2 * 60)}")
        said: dict[str, object] = {"Workload": workload, "UserType": "Regular", **(details or {})}
        if size is not None:
            said["ItemCount"] = size
        self.book.write(
            moment, actor, name, (kind, thing), address=place.address(self.rng) if place else None, agent=agent,
            outcome="failure" if failed else "success", details=said, label=label,
        )  # fmt: skip
        return moment

    def sign_in(
        self, moment: datetime, actor: str, place: Network, agent: str, *, failed: bool = False, label: Label = BENIGN
    ) -> None:
        """Write a sign-in down."""
        name = "AzureActiveDirectory:UserLoginFailed" if failed else "AzureActiveDirectory:UserLoggedIn"
        details: dict[str, object] = {"LogonError": "InvalidUserNameOrPassword"} if failed else {}
        self.record(moment, actor, name, place, agent, failed=failed, label=label, entity=actor, details=details)


def office_tenant(seed: int) -> Labelled:
    """Return the tenant's month and its attacks, the same for the same seed."""
    tenant = _Tenant(seed)
    for number in range(15 if tenant.small else 45):
        _work(tenant, number)
    _background(tenant)
    attacks = list(_ATTACKS)
    tenant.rng.shuffle(attacks)
    for number, attack in enumerate(attacks):
        first = 1 if tenant.small else 6
        day = first + (number + tenant.rng.random()) * (tenant.days - first - 1) / len(attacks)
        technique = attack.__name__.strip("_")
        attack(tenant, tenant.book.moment(int(day), tenant.rng.uniform(0, 23)), Label("attack", technique, technique))
    return tenant.book.finish()


def _work(tenant: _Tenant, number: int) -> None:
    rng = tenant.rng
    surname = rng.choice(("stone", "vega", "frey", "okoro", "lund"))
    actor = f"{rng.choice('abcdefghijklmnop')}.{surname}{number}@firm.example"
    home, mobile, starts = network(rng), [network(rng) for _ in range(3)], rng.uniform(6, 9.5)
    admin = number < 3
    tenant.people[actor] = (admin, home, starts)
    appetite = {name: weight * rng.lognormvariate(0, 0.8) for name, weight in _DAILY.items()}
    for day in working_days(rng, tenant.days):
        if number == 44 and day < 14:
            continue
        place = home if rng.random() < 0.4 else tenant.office
        if rng.random() < 0.03:
            place = network(rng)
        moment = tenant.book.moment(day, starts + rng.gauss(0, 0.5))
        for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 1, 3))):
            tenant.sign_in(moment, actor, place, _DESK, failed=True)
            moment += gaps(rng, 12)
        tenant.sign_in(moment, actor, place, _DESK)
        end = moment + timedelta(hours=rng.uniform(6, 9))
        while moment < end:
            for _ in range(rng.randint(1, 5)):
                moment += gaps(rng, 40)
                name = pick(rng, _ADMIN if admin and rng.random() < 0.15 else appetite)
                size = int(rng.lognormvariate(1.5, 1.0)) if "MailItems" in name else None
                tenant.record(moment, actor, name, place, _DESK, size=size)
            if rng.random() < 0.02:
                for _ in range(rng.randint(8, 40)):
                    moment += gaps(rng, 2)
                    tenant.record(moment, actor, "SharePoint:FileSyncDownloadedFull", place, _SYNC)
            if rng.random() < 0.15:
                tenant.record(moment, actor, "Exchange:MailItemsAccessed", rng.choice(mobile), _PHONE, size=3)
            moment += gaps(rng, 2000)
        if rng.random() < 0.003:
            tenant.record(moment, actor, "AzureActiveDirectory:Consent to application.", place, _DESK)


def _background(tenant: _Tenant) -> None:
    rng = tenant.rng
    for actor, name, rate in (
        ("NT AUTHORITY\\SYSTEM (Microsoft.Exchange.ServiceHost)", "Exchange:Set-Mailbox", 1.5),
        ("ServicePrincipal_backup", "SharePoint:FileDownloaded", 6.0),
        ("app@sharepoint", "SharePoint:FileModifiedExtended", 9.0),
        ("NT AUTHORITY\\SYSTEM (w3wp)", "Exchange:Update-DistributionGroup", 0.4),
    ):
        moment = tenant.book.moment(0, rng.random())
        while moment < tenant.book.moment(tenant.days, 0):
            tenant.record(moment, actor, name, None, None)
            moment += timedelta(hours=rng.expovariate(rate))


def _somebody(tenant: _Tenant, *, admin: bool = False) -> str:
    return tenant.rng.choice([actor for actor, (is_admin, *_rest) in tenant.people.items() if is_admin == admin])


def _enter(tenant: _Tenant, moment: datetime, label: Label, actor: str) -> tuple[datetime, Network, str]:
    """Sign in as somebody else, from elsewhere, with a client of the thief's own or the commonest one."""
    rng = tenant.rng
    place = tenant.people[actor][1] if rng.random() < 0.2 else network(rng)
    agent = _DESK if rng.random() < 0.5 else rng.choice(_CLIENTS)
    tenant.sign_in(moment, actor, place, agent, label=label)
    return moment + gaps(rng, 60), place, agent


def _do(
    tenant: _Tenant, moment: datetime, label: Label, actor: str, place: Network, agent: str, names: list[str],
    pause: float = 40.0,
) -> None:  # fmt: skip
    for name in names:
        size = int(tenant.rng.lognormvariate(4, 1)) if "MailItems" in name else None
        tenant.record(moment, actor, name, place, agent, label=label, size=size)
        moment += gaps(tenant.rng, pause)


def _spray(tenant: _Tenant, moment: datetime, label: Label) -> None:
    rng = tenant.rng
    places, victims = [network(rng) for _ in range(2)], rng.sample(sorted(tenant.people), min(14, len(tenant.people)))
    for actor in victims:
        tenant.sign_in(moment, actor, rng.choice(places), rng.choice(_CLIENTS), failed=True, label=label)
        moment += gaps(rng, 40)
    tenant.sign_in(moment, victims[-1], places[0], _CLIENTS[0], label=label)
    names = ["Exchange:MailItemsAccessed"] * rng.randint(3, 8)
    _do(tenant, moment + gaps(rng, 60), label, victims[-1], places[0], _CLIENTS[0], names)


def _mail_forwarded(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor = _somebody(tenant)
    moment, place, agent = _enter(tenant, moment, label, actor)
    names = ["Exchange:MailItemsAccessed"] * 3 + ["Exchange:New-InboxRule", "Exchange:Set-Mailbox", "Exchange:Send"]
    _do(tenant, moment, label, actor, place, agent, names)


def _consent(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor, rng = _somebody(tenant), tenant.rng
    details: dict[str, object] = {"ConsentType": "AllPrincipals" if rng.random() < 0.5 else "Principal"}
    place = tenant.people[actor][1]
    for name in (
        "AzureActiveDirectory:Add delegated permission grant.", "AzureActiveDirectory:Consent to application.",
        "AzureActiveDirectory:Add app role assignment grant to user.",
    ):  # fmt: skip
        tenant.record(moment, actor, name, place, _DESK, label=label, details=details)
        moment += gaps(rng, 3)


def _mass_download(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor, rng = _somebody(tenant), tenant.rng
    insider = rng.random() < 0.5
    place, agent = (tenant.people[actor][1], _DESK) if insider else (network(rng), rng.choice(_CLIENTS))
    names = ["SharePoint:FileDownloaded"] * rng.randint(40, 120)
    _do(tenant, moment, label, actor, place, agent, names, 3)


def _role_granted(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor = _somebody(tenant, admin=True)
    moment, place, agent = _enter(tenant, moment, label, actor)
    names = ["AzureActiveDirectory:Add user.", "AzureActiveDirectory:Add member to role.", *some(
        tenant.rng,
        (
            "AzureActiveDirectory:Update conditional access policy.",
            "AzureActiveDirectory:Disable Strong Authentication.",
        ),
        1, 2,
    )]  # fmt: skip
    _do(tenant, moment, label, actor, place, agent, names)


def _audit_off(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor = _somebody(tenant, admin=True)
    moment, place, agent = _enter(tenant, moment, label, actor)
    names = [
        "Exchange:Set-AdminAuditLogConfig",
        "Exchange:Set-MailboxAuditBypassAssociation",
        "Exchange:New-TransportRule",
    ]
    _do(tenant, moment, label, actor, place, agent, names)


def _app_credential(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor = _somebody(tenant, admin=True)
    moment, place, agent = _enter(tenant, moment, label, actor)
    names = [
        "AzureActiveDirectory:Add service principal credentials.",
        "AzureActiveDirectory:Update application – Certificates and secrets management.",
    ]
    _do(tenant, moment, label, actor, place, agent, names)


def _mailbox_read(tenant: _Tenant, moment: datetime, label: Label) -> None:
    actor = _somebody(tenant)
    moment, place, agent = _enter(tenant, moment, label, actor)
    names = ["Exchange:MailItemsAccessed"] * tenant.rng.randint(5, 30) + ["Exchange:HardDelete"] * 2
    _do(tenant, moment, label, actor, place, agent, names, 15)


_ATTACKS: Final[tuple[Callable[[_Tenant, datetime, Label], None], ...]] = (
    _spray, _mail_forwarded, _consent, _mass_download, _role_granted, _audit_off, _app_credential, _mailbox_read,
)  # fmt: skip
