"""The parts of this package, wired once over an open installation for every shell."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit_pipelines.identity.accounts import Accounts
from audit_pipelines.identity.credentials import AttemptLimits, Credentials
from audit_pipelines.identity.passwords import Hasher, PasswordPolicy
from audit_pipelines.identity.reviews import Reviews
from audit_pipelines.identity.sessions import SessionLimits, Sessions
from audit_pipelines.identity.signatures import Signatures
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.settings import Settings


@dataclass(frozen=True)
class Identity:
    """Who signs in and signs, in one installation."""

    accounts: Accounts
    sessions: Sessions
    signatures: Signatures
    reviews: Reviews


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def open_identity(
    installation: Installation, *, hasher: Hasher | None = None, clock: Callable[[], datetime] = utc_now
) -> Identity:
    """Wire accounts, sessions, signatures and reviews by the settings; nothing is opened or read."""
    settings, database, vault = installation.settings, installation.database, installation.vault
    limits = SessionLimits(
        timedelta(minutes=settings.audit_session_idle_minutes), timedelta(hours=settings.audit_session_hours)
    )
    attempts = AttemptLimits(settings.audit_login_attempts, timedelta(minutes=settings.audit_lockout_minutes))
    sessions = Sessions(database, limits, clock)
    credentials = Credentials(
        database, vault, installation.ledger, hasher=hasher or Hasher(), limits=attempts, clock=clock
    )
    accounts = Accounts(database, vault, credentials, sessions, _policy(settings))
    signatures = Signatures(
        database,
        vault,
        installation.ledger,
        credentials=credentials,
        accounts=accounts,
        sessions=sessions,
        storage_dir=settings.storage_dir,
        archives=ArchiveFolder(database.archives_dir),
    )
    reviews = Reviews(database, signatures, timedelta(days=settings.audit_review_due_days), clock)
    return Identity(accounts, sessions, signatures, reviews)


def _policy(settings: Settings) -> PasswordPolicy:
    days = settings.audit_password_max_age_days
    return PasswordPolicy(
        settings.audit_password_min_length, timedelta(days=days) if days else None, settings.audit_password_history
    )
