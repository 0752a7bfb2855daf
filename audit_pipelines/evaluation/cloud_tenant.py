"""A made-up AWS account: services that make nine tenths of the noise, people, and eight attacks.

Two accounts of three are large and last thirty days; each third one is small, lasts eight, and is attacked from its
second day on, when nobody has habits yet.

In the spirit of real accounts: roles that are refused the same call thousands of times, scanners that list everything
every night, administrators who do by day what attackers do by night, new services and new people without any past.
No name in it says what is an attack. Invented throughout; addresses are drawn at random.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Final

from audit_pipelines.evaluation.labelled import BENIGN, Label, Labelled
from audit_pipelines.evaluation.story import Network, Notebook, Weighted, gaps, network, pick, some, working_days

_ACCOUNT: Final = "302716459821"
_ROLE: Final = f"arn:aws:iam::{_ACCOUNT}:role"
_USER: Final = f"arn:aws:iam::{_ACCOUNT}:user"
_AGENTS: Final = (
    "aws-cli/2.15.30 Python/3.11.8", "Boto3/1.34.69 Python/3.11.9", "aws-sdk-go/1.51.6", "aws-sdk-java/2.25.16",
    "console.amazonaws.com", "APN/1.0 HashiCorp/1.0 Terraform/1.7.5",
)  # fmt: skip

_SERVICES: Final[dict[str, tuple[Weighted, float, float]]] = {
    # role: what it calls, calls an hour, share that is refused
    "app-web": ({"sts:AssumeRole": 1, "s3:GetObject": 6, "dynamodb:GetItem": 4, "kms:Decrypt": 3}, 12, 0.01),
    "app-worker": ({"sqs:ReceiveMessage": 4, "s3:PutObject": 2, "kms:GenerateDataKey": 2, "sns:Publish": 1}, 10, 0.01),
    "etl": (
        {"s3:ListObjects": 4, "s3:GetObject": 6, "glue:StartJobRun": 0.3, "athena:StartQueryExecution": 1},
        5, 0.02,
    ),
    "eks-nodes": ({"ec2:DescribeInstances": 5, "ecr:GetAuthorizationToken": 3, "ecr:BatchGetImage": 2}, 9, 0.0),
    "autoscaling": ({"ec2:DescribeInstances": 3, "ec2:RunInstances": 0.3, "ec2:TerminateInstances": 0.3}, 3, 0.02),
    "monitoring": (
        {"cloudwatch:GetMetricData": 5, "ec2:DescribeVolumes": 1, "rds:DescribeDBInstances": 1, "tag:GetResources": 1},
        8, 0.0,
    ),
    "backup": ({"ec2:CreateSnapshot": 1, "ec2:DescribeSnapshots": 2, "ec2:DeleteSnapshot": 0.5}, 1.5, 0.0),
    "vendor-inventory": (
        {"ec2:DescribeSecurityGroups": 1, "s3:GetBucketPolicy": 2, "iam:GetRolePolicy": 2, "lambda:ListFunctions": 1},
        4, 0.6,
    ),
}  # fmt: skip
_HABITS: Final[dict[str, Weighted]] = {
    "developer": {
        "logs:FilterLogEvents": 5, "lambda:GetFunction": 2, "lambda:UpdateFunctionCode20150331v2": 0.5,
        "s3:ListBuckets": 1, "ec2:DescribeInstances": 2, "cloudformation:DescribeStacks": 2, "ssm:GetParameter": 1,
        "secretsmanager:GetSecretValue": 0.4, "ssm:StartSession": 0.2, "ec2:StartInstances": 0.2,
    },
    "analyst": {
        "athena:StartQueryExecution": 5, "athena:GetQueryResults": 5, "glue:GetTables": 2, "s3:GetObject": 1,
        "s3:ListBuckets": 0.4,
    },
    "operator": {
        "ec2:DescribeInstances": 4, "ec2:DescribeSecurityGroups": 2, "iam:ListRoles": 1, "iam:GetRole": 1,
        "iam:ListUsers": 0.7, "cloudtrail:DescribeTrails": 0.3, "rds:DescribeDBInstances": 1, "ec2:StopInstances": 0.4,
        "iam:CreateRole": 0.15, "iam:AttachRolePolicy": 0.2, "iam:PutRolePolicy": 0.1, "iam:CreateUser": 0.06,
        "iam:CreateAccessKey": 0.08, "ec2:AuthorizeSecurityGroupIngress": 0.25, "s3:PutBucketPolicy": 0.1,
        "ec2:ModifySnapshotAttribute": 0.05, "iam:UpdateLoginProfile": 0.05, "iam:DeleteAccessKey": 0.06,
    },
}  # fmt: skip
_SCAN: Final = (
    "iam:ListUsers", "iam:ListRoles", "iam:ListPolicies", "s3:ListBuckets", "ec2:DescribeInstances",
    "rds:DescribeDBInstances", "lambda:ListFunctions", "ec2:DescribeSecurityGroups", "kms:ListKeys",
    "ec2:DescribeSnapshots", "iam:GetAccountSummary", "cloudtrail:DescribeTrails", "secretsmanager:ListSecrets",
    "ec2:DescribeVpcs", "eks:ListClusters",
)  # fmt: skip
_KINDS: Final = {
    "s3": "bucket", "ec2": "instance", "iam": "role", "lambda": "function", "rds": "db_instance", "kms": "key",
    "dynamodb": "table", "sqs": "queue", "secretsmanager": "secret", "logs": "log_group",
}  # fmt: skip


class _Account:
    """The account: its notebook, people, services, and how one call is written down."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"cloud/{seed}")  # noqa: S311 - a made-up account, not a secret
        self.small = seed % 3 == 0
        self.days = 8 if self.small else 30
        self.book = Notebook(f"cloud:{seed}", self.rng)
        self.office = network(self.rng)
        self.people: dict[str, tuple[str, Network, str, float]] = {}

    def call(
        self, moment: datetime, actor: str, name: str, place: Network | None, agent: str, *,
        entity: str | None = None, denied: bool = False, label: Label = BENIGN,
        details: dict[str, object] | None = None, spread: int = 0,
    ) -> datetime:  # fmt: skip
        """Write one call down and return its moment."""
        service = name.partition(":")[0]
        kind = _KINDS.get(service)
        number = int(self.rng.random() ** 2 * 40)
        thing = (kind, entity or f"{kind}-{number}") if kind else ("account", _ACCOUNT)
        said: dict[str, object] = {"awsRegion": "eu-west-1", "readOnly": _reads(name), **(details or {})}
        if denied:
            said["errorCode"] = "AccessDenied"
        self.book.write(
            moment, actor, name, thing, address=place.address(self.rng, spread) if place else None, agent=agent,
            outcome="denied" if denied else "success", details=said, label=label,
        )  # fmt: skip
        return moment


def _reads(name: str) -> bool:
    return name.partition(":")[2].startswith(("Get", "List", "Describe", "Batch", "Lookup", "Receive", "Filter"))


def cloud_tenant(seed: int) -> Labelled:
    """Return the account's month and its attacks, the same for the same seed."""
    account = _Account(seed)
    for role, (calls, rate, refused) in _SERVICES.items():
        if not account.small or account.rng.random() < 0.6:
            _serve(account, f"{_ROLE}/{role}", calls, rate * (0.25 if account.small else 1), refused, 0)
    if not account.small:
        _serve(account, f"{_ROLE}/search-index", _SERVICES["etl"][0], 4, 0.05, account.rng.randint(8, 24))
    for number in range(4 if account.small else 14):
        _work(account, number)
    _nightly_scan(account)
    _deployments(account)
    attacks = list(_ATTACKS)
    account.rng.shuffle(attacks)
    for number, attack in enumerate(attacks):
        first = 1 if account.small else 6
        day = first + (number + account.rng.random()) * (account.days - first - 1) / len(attacks)
        technique = attack.__name__.strip("_")
        attack(
            account, account.book.moment(int(day), account.rng.uniform(0, 23)), Label("attack", technique, technique)
        )
    return account.book.finish()


def _serve(account: _Account, actor: str, calls: Weighted, rate: float, refused: float, first_day: int) -> None:
    rng = account.rng
    inside = rng.random() < 0.5
    place, agent = network(rng), rng.choice(_AGENTS[1:4])
    # Some calls are refused always: a permission nobody gave and nobody misses.
    doomed = {name for name in calls if rng.random() < refused}
    moment = account.book.moment(first_day, rng.uniform(0, 1))
    while moment < account.book.moment(account.days, 0):
        moment += timedelta(hours=rng.expovariate(rate))
        if rng.random() < 0.002:
            place = network(rng)
        name = pick(rng, calls)
        account.call(
            moment, actor, name, None if inside and rng.random() < 0.9 else place, agent, spread=6,
            denied=rng.random() < (0.9 if name in doomed else refused * 0.05),
        )  # fmt: skip


def _work(account: _Account, number: int) -> None:
    rng = account.rng
    kind = ("developer", "developer", "analyst", "operator")[number % 4] if number else "operator"
    actor = f"{_USER}/{rng.choice('abcdefghklmnprst')}{rng.choice(('ames', 'ortiz', 'kova', 'lind', 'baker'))}{number}"
    home, agent, starts = network(rng), rng.choice(_AGENTS), rng.uniform(6.5, 9.5)
    account.people[actor] = (kind, home, agent, starts)
    days = [day for day in working_days(rng, account.days) if number != 13 or day > 12]
    for day in days:
        place = home if rng.random() < 0.4 else account.office
        if rng.random() < 0.02:
            place = network(rng)
        moment = account.book.moment(day, starts + rng.gauss(0, 0.5))
        if rng.random() < 0.7:
            mfa = "No" if number % 5 == 4 else "Yes"
            for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
                account.call(moment, actor, "signin:ConsoleLogin", place, _AGENTS[4], denied=True)
                moment += gaps(rng, 15)
            account.call(moment, actor, "signin:ConsoleLogin", place, _AGENTS[4], details={"MFAUsed": mfa})
        end = moment + timedelta(hours=rng.uniform(4, 9))
        while moment < end:
            for _ in range(rng.randint(2, 12)):
                moment += gaps(rng, 20)
                used = agent if rng.random() < 0.8 else _AGENTS[4]
                account.call(moment, actor, pick(rng, _HABITS[kind]), place, used, denied=rng.random() < 0.03, spread=2)
            moment += gaps(rng, 1500)


def _nightly_scan(account: _Account) -> None:
    rng, place = account.rng, network(account.rng)
    for day in range(account.days):
        moment = account.book.moment(day, 2 + rng.random() * 0.2)
        for name in _SCAN * rng.randint(2, 4):
            moment += gaps(rng, 2)
            account.call(
                moment, f"{_ROLE}/security-audit", name, place, _AGENTS[1], denied=rng.random() < 0.08, spread=3
            )


def _deployments(account: _Account) -> None:
    """A pipeline deploys: bursts of changes, roles and firewall rules among them, from ever new runners."""
    rng = account.rng
    changes = (
        "cloudformation:CreateChangeSet", "lambda:UpdateFunctionCode20150331v2", "iam:GetRole", "iam:PutRolePolicy",
        "iam:CreateRole", "iam:AttachRolePolicy", "ec2:AuthorizeSecurityGroupIngress", "s3:PutBucketPolicy",
        "ecs:UpdateService", "iam:PassRole", "ec2:CreateTags", "ec2:RunInstances", "kms:CreateGrant",
    )  # fmt: skip
    for day in working_days(rng, account.days):
        for _ in range(rng.randint(0, 5)):
            moment, place = account.book.moment(day, rng.uniform(7, 17)), network(rng)
            for name in some(rng, changes, 8, 40):
                moment += gaps(rng, 3)
                account.call(moment, f"{_ROLE}/deploy", name, place, _AGENTS[5])


def _steal(account: _Account, *kinds: str) -> tuple[str, str, Network]:
    """Return an actor whose key was stolen, the thief's client, often the owner's own, and where the thief sits.

    One in four works from the owner's own network: through a taken laptop, or because it is the owner.
    """
    rng = account.rng
    able = [actor for actor, (kind, *_rest) in account.people.items() if kind in kinds] or sorted(account.people)
    actor = rng.choice(able)
    place = account.people[actor][1] if rng.random() < 0.25 else network(rng)
    return actor, account.people[actor][2] if rng.random() < 0.5 else rng.choice(_AGENTS[:4]), place


def _run(
    account: _Account, moment: datetime, label: Label, actor: str, agent: str, place: Network, names: list[str],
    refused: float = 0.0, pause: float = 12.0,
) -> datetime:  # fmt: skip
    for name in names:
        denied = account.rng.random() < refused
        account.call(moment, actor, name, place, agent, denied=denied, label=label)
        moment += gaps(account.rng, pause)
    return moment


def _stolen_user_key(account: _Account, moment: datetime, label: Label) -> None:
    actor, agent, place = _steal(account, "developer", "analyst")
    rng = account.rng
    names = ["sts:GetCallerIdentity", *some(rng, _SCAN, 6, 20)]
    moment = _run(account, moment, label, actor, agent, place, names, 0.5, 3)
    names = ["iam:CreateUser", "iam:AttachUserPolicy", "iam:CreateAccessKey", "iam:CreateLoginProfile"]
    _run(account, moment, label, actor, agent, place, names, 0.3)


def _stolen_role_session(account: _Account, moment: datetime, label: Label) -> None:
    rng = account.rng
    role = rng.choice(("app-web", "app-worker", "etl", "eks-nodes"))
    names = ["sts:GetCallerIdentity", "s3:ListBuckets", *(["s3:ListObjects", "s3:GetObject"] * rng.randint(3, 12))]
    place = network(rng)
    for name in names:
        denied = rng.random() < 0.2
        account.call(moment, f"{_ROLE}/{role}", name, place, rng.choice(_AGENTS[:3]), denied=denied, label=label)
        moment += gaps(rng, 6)


def _logging_off(account: _Account, moment: datetime, label: Label) -> None:
    actor, agent, place = _steal(account, "operator")
    names = ["cloudtrail:DescribeTrails", "cloudtrail:StopLogging", *some(
        account.rng, ("cloudtrail:DeleteTrail", "guardduty:DeleteDetector", "ec2:DeleteFlowLogs"), 1, 2
    )]  # fmt: skip
    _run(account, moment, label, actor, agent, place, names)


def _snapshot_shared(account: _Account, moment: datetime, label: Label) -> None:
    actor, agent, place = _steal(account, "developer", "operator")
    names = [
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ec2:CreateSnapshot",
        *(["ec2:ModifySnapshotAttribute"] * 2),
    ]
    _run(account, moment, label, actor, agent, place, names)


def _login_without_factor(account: _Account, moment: datetime, label: Label) -> None:
    actor, _, place = _steal(account, "operator", "developer")
    rng = account.rng
    for _ in range(rng.randint(0, 6)):
        account.call(moment, actor, "signin:ConsoleLogin", place, _AGENTS[4], denied=True, label=label)
        moment += gaps(rng, 20)
    account.call(moment, actor, "signin:ConsoleLogin", place, _AGENTS[4], details={"MFAUsed": "No"}, label=label)
    _run(account, moment, label, actor, _AGENTS[4], place, [*some(rng, _SCAN, 3, 8), "iam:UpdateLoginProfile"])


def _new_actor(account: _Account, moment: datetime, label: Label) -> None:
    rng = account.rng
    names = [
        *some(rng, _SCAN, 4, 12),
        "secretsmanager:GetSecretValue",
        "ssm:GetParameters",
        "secretsmanager:GetSecretValue",
    ]
    _run(
        account, moment, label, f"{_USER}/support-{rng.randint(10, 99)}", rng.choice(_AGENTS), network(rng), names, 0.2
    )


def _miner(account: _Account, moment: datetime, label: Label) -> None:
    actor, agent, place = _steal(account, "developer", "analyst")
    names = [
        "ec2:DescribeInstances",
        "ec2:CreateKeyPair",
        "ec2:CreateSecurityGroup",
        "ec2:AuthorizeSecurityGroupIngress",
    ]
    names += ["ec2:RunInstances"] * account.rng.randint(2, 8)
    _run(account, moment, label, actor, agent, place, names, 0.2)


def _own_desk(account: _Account, moment: datetime, label: Label) -> None:
    """The owner himself, or somebody at his desk: place, client and hours are the usual ones."""
    actor, agent, _ = _steal(account, "developer", "analyst")
    starts = account.people[actor][3]
    moment = moment.replace(hour=int(starts) + account.rng.randint(1, 5))
    names = [
        "iam:ListRoles",
        "iam:UpdateAssumeRolePolicy",
        "sts:AssumeRole",
        "iam:AttachUserPolicy",
        "iam:CreateAccessKey",
    ]
    _run(account, moment, label, actor, agent, account.office, names, 0.15, 60)


_ATTACKS: Final[tuple[Callable[[_Account, datetime, Label], None], ...]] = (
    _stolen_user_key, _stolen_role_session, _logging_off, _snapshot_shared, _login_without_factor, _new_actor, _miner,
    _own_desk,
)  # fmt: skip
