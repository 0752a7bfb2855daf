"""The deployment checklist, executed: what must be in place around the ledger, and every control of every tenant.

Belongs here: what concerns the installation as a whole. What concerns a tenant's events is `derive/controls`. Nothing
is changed, and what no program can see is said to be so instead of being passed over.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import httpx
import psycopg

from audit_pipelines.db import migrate
from audit_pipelines.db.database import LOGIN_ROLES
from audit_pipelines.db.queries import query
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.derive.controls.ledger import key_file_faults
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation

Result = Literal["pass", "fail", "not checked", "not visible"]
"""`not checked` could not be looked at now; `not visible` can be seen by people alone."""

_LEAST_ROOM: Final = 5 * 1024**3
_LEAST_SHARE: Final = 0.05
_RENEWAL: Final = timedelta(days=30)
_OLDEST_POSTGRES: Final = 160000
_OLDEST_PGVECTOR: Final = (0, 7)
# Three times what their schedules say, a day and a bit for what is daily: one missed run is no news.
_JOBS: Final = {
    "checkpoint_job": timedelta(minutes=15),
    "embedding_generation_job": timedelta(minutes=45),
    "anomaly_detection_job": timedelta(hours=3),
    "daily_review_job": timedelta(hours=26),
    "verification_job": timedelta(hours=26),
    "controls_job": timedelta(hours=26),
    "retention_job": timedelta(hours=26),
    "model_training_job": timedelta(days=8),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist."""

    about: str
    """`deployment`, or the tenant whose control it is."""
    name: str
    result: Result
    detail: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """The whole list, as it was at one time."""

    checked_at: datetime
    items: tuple[Item, ...]

    @property
    def worst(self) -> Result:
        """`fail` if anything fails, else `not checked` if anything could not be checked, else `pass`."""
        results = {item.result for item in self.items}
        return "fail" if "fail" in results else "not checked" if "not checked" in results else "pass"


def run_checklist(installation: Installation) -> Checklist:
    """Look at everything; what cannot be looked at is a line of its own and stops nothing."""
    moment = datetime.now(UTC)
    deployment = [_item(name, look, installation) for name, look in _LOOKS]
    return Checklist(moment, (*deployment, *_unseen(installation), *_controls(installation)))


def _item(name: str, look: Callable[[Installation], tuple[bool, str]], installation: Installation) -> Item:
    try:
        passed, detail = look(installation)
    except (AuditError, psycopg.Error, httpx.HTTPError, OSError) as error:
        # Only our own errors are known to hold no secret.
        reason = str(error) if isinstance(error, AuditError) else type(error).__name__
        return Item("deployment", name, "not checked", f"Could not be checked: {reason}")
    return Item("deployment", name, "pass" if passed else "fail", detail)


def _controls(installation: Installation) -> Iterator[Item]:
    try:
        verified = installation.verify()
    except AuditError as error:
        yield Item("deployment", "Controls", "not checked", f"The ledger could not be verified: {error}")
        return
    if not verified:
        yield Item("deployment", "Controls", "not checked", "The ledger is empty: there is no tenant to check.")
    for verification in verified:
        for one in check_controls(installation, verification):
            yield Item(str(verification.tenant_id), one.control, one.result, one.evidence)


def _database(installation: Installation) -> tuple[bool, str]:
    begun = time.perf_counter()
    with installation.database.connection("audit_app") as conn:
        conn.execute("select 1")
        row = conn.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
        version = conn.info.server_version
    took = (time.perf_counter() - begun) * 1000
    vector = row[0] if row else "none"
    numbers = tuple(int(part) for part in vector.split(".")[:2]) if row else (0, 0)
    return (
        version >= _OLDEST_POSTGRES and numbers >= _OLDEST_PGVECTOR,
        (
            f"Answered in {took:.0f} ms. PostgreSQL {version // 10000}.{version % 10000}, expected 16 or later; "
            f"pgvector {vector}, expected 0.7 or later."
        ),
    )


def _migrations(installation: Installation) -> tuple[bool, str]:
    with installation.database.connect_admin() as conn:
        lines = migrate.status(conn)
    pending = [line.name for line in lines if line.applied_at is None]
    told = f"Pending: {', '.join(pending)}." if pending else "All are applied, with the digests of the files shipped."
    return not pending, f"{len(lines)} migrations. {told}"


def _roles(installation: Installation) -> tuple[bool, str]:
    wrong = []
    for role in LOGIN_ROLES:
        with installation.database.connection(role) as conn:
            row = conn.execute("select current_user").fetchone()
        if row is None or row[0] != role:
            wrong.append(f"{role} acts as {row[0] if row else 'nobody'}")
    return not wrong, f"{'; '.join(wrong)}." if wrong else f"Each connects as itself: {', '.join(LOGIN_ROLES)}."


def _partitions(installation: Installation) -> tuple[bool, str]:
    with installation.database.connection("audit_app") as conn:
        row = conn.execute(query("server/select_partitions_ahead")).fetchone()
    months = row[0] if row else -1
    return months >= 1, f"Partitions of audit_logs are there for this month and {max(months, 0)} more."


def _encrypted(installation: Installation) -> tuple[bool, str]:
    if installation.settings.database_url is None:
        return True, "The embedded database is reached by a socket of this machine."
    with installation.database.connection("audit_app") as conn:
        row = conn.execute(query("controls/select_own_connection")).fetchone()
        mode = conn.info.get_parameters().get("sslmode")
    by_socket, address, encrypted, version = row or (False, "", False, "")
    if by_socket:
        return True, "DATABASE_URL leads to a socket of this machine."
    checked = "and checked" if mode == "verify-full" else "and not checked: set DATABASE_SSL_MODE to verify-full"
    how = f"encrypted ({version}); the server's name is given {checked}" if encrypted else "not encrypted"
    return encrypted and mode == "verify-full", f"The connection from {address} is {how}."


def _keys(installation: Installation) -> tuple[bool, str]:
    faults = key_file_faults(installation.settings)
    where = "the folder keys/" if installation.settings.keys_dir.is_dir() else "the environment"
    return not faults, "; ".join(faults) + "." if faults else f"Keys come from {where}, whose owner alone can read it."


def _anchors(installation: Installation) -> tuple[bool, str]:
    late = [state for state in installation.anchor_states() if state.behind_since]
    names = sorted({state.anchor for state in late})
    count = len(installation.settings.anchors)
    if late:
        return False, f"Behind: {', '.join(names)}, for {len({state.tenant_id for state in late})} tenants."
    if not count:
        return False, "AUDIT_ANCHORS names none, so every checkpoint lies on this machine, beside the database."
    return True, f"{count} anchors elsewhere have every tenant's newest checkpoint."


def _pdf_certificate(installation: Installation) -> tuple[bool, str]:
    certificate = installation.pdf_certificate
    if certificate is None:
        return True, "AUDIT_PDF_CERTIFICATE names none, so PDF files are not signed."
    left = certificate.valid_until - datetime.now(UTC)
    told = f"The certificate of {certificate.signer} is valid for {max(left.days, 0)} more days"
    return left > _RENEWAL, f"{told}." if left > _RENEWAL else f"{told}: renew it now."


def _jobs(installation: Installation) -> tuple[bool, str]:
    url = installation.database.dagster_url().replace("postgresql+psycopg2://", "postgresql://", 1)
    now = datetime.now(UTC)
    try:
        with psycopg.connect(url, connect_timeout=5) as conn:
            ended: dict[str, datetime] = dict(conn.execute(query("controls/select_last_runs")).fetchall())
    except psycopg.errors.UndefinedTable:
        ended = dict[str, datetime]()
    late = []
    for job, allowed in _JOBS.items():
        if job not in ended:
            late.append(f"{job} never succeeded")
        elif now - ended[job] > allowed:
            late.append(f"{job} last succeeded on {ended[job].isoformat(timespec='seconds')}")
    return not late, "; ".join(late) + "." if late else f"Each of {len(_JOBS)} jobs succeeded in time."


def _room(installation: Installation) -> tuple[bool, str]:
    settings = installation.settings
    places = {"AUDIT_HOME": settings.home, "storage": settings.storage_dir}
    if settings.database_url is None:
        places["the embedded database"] = (settings.home / "postgres").resolve()
    low: list[str] = []
    told: list[str] = []
    for name, place in places.items():
        there = next(each for each in (place, *place.parents) if each.exists())
        usage = shutil.disk_usage(there)
        share = usage.free / usage.total
        (low if usage.free < _LEAST_ROOM or share < _LEAST_SHARE else told).append(
            f"{name} has {usage.free / 1024**3:,.1f} GiB free ({share:.0%})"
        )
    return not low, "; ".join([*low, *told]) + "."


def _api(installation: Installation) -> tuple[bool, str]:
    address = installation.settings.api_base_url.rstrip("/")
    try:
        answer = httpx.get(f"{address}/api/audit/health", timeout=5, follow_redirects=False)
    except httpx.HTTPError as error:
        return False, f"{address} does not answer: {type(error).__name__}."
    return answer.status_code == 200, f"{address}/api/audit/health answers {answer.status_code}."


_LOOKS: Final[tuple[tuple[str, Callable[[Installation], tuple[bool, str]]], ...]] = (
    ("Database reachable", _database),
    ("Migrations applied", _migrations),
    ("Roles", _roles),
    ("Partitions ahead", _partitions),
    ("Way to the database encrypted", _encrypted),
    ("Keys are their owner's alone", _keys),
    ("Anchors elsewhere", _anchors),
    ("PDF certificate valid", _pdf_certificate),
    ("Jobs succeed in time", _jobs),
    ("Room on disk", _room),
    ("API answers", _api),
)


def _unseen(installation: Installation) -> Iterator[Item]:
    told = [
        ("Copies of keys", "That keys/ was copied, apart from copies of the data, no program can see."),
        (
            "Backups",
            "That database, archive and ml_models/ are backed up, and a restore was tried, nobody can see here.",
        ),
        ("Dagster's page", "That nobody else reaches it is for the network: it has no authentication."),
    ]
    if installation.settings.database_url is not None:
        told.append(("Disk of the database", "DATABASE_URL leads elsewhere; its disk is not to be seen from here."))
    for name, detail in told:
        yield Item("deployment", name, "not visible", detail)
