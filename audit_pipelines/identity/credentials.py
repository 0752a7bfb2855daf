"""Checking a login and a password: the one place where tries are counted and accounts are locked.

Every check runs Argon2 once, whether the account exists or not, and every try at a tenant's accounts is an event of its
ledger, so that neither the answer nor its time tells which logins there are. The account's row is locked from before
the comparison to the commit: of tries that race, none is free.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import Draft, normalise_identity
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger, store_drafts
from audit_pipelines.ledger.vault import Vault

ENTITY_TYPE: Final = "audit_account"
LOGIN: Final = "audit.account.login"
LOCKED: Final = "audit.account.locked"
UNKNOWN: Final = "unknown"

Reason = Literal["unknown login", "wrong password", "disabled", "locked", "erased", "password expired"]

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How many wrong passwords in a row lock an account, and for how long."""

    attempts: int = 5
    lockout: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, as far as the connection tells."""

    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that is tried at an account: in which tenant, by whom, from where, and which keys are known stale."""

    tenant_id: UUID
    actor: str
    """The login that is tried, or who administers."""
    stale: int | None
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Stored:
    """An account's row, locked."""

    user_id: UUID
    password_hash: str
    former_hashes: list[str]
    password_set_at: datetime
    must_change: bool
    permissions: list[str]
    sealed_name: str
    disabled_at: datetime | None
    failed_attempts: int
    locked_until: datetime | None
    is_erased: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a try was refused, and whether it locked the account. For the ledger and the log: clients are not told."""

    reason: Reason
    user_id: UUID | None = None
    locks: bool = False

    def log(self, tenant_id: UUID, event_type: str) -> None:
        """Write a line that names the account by reference, as urgent as it is; call it after the commit."""
        reference = self.user_id or UNKNOWN
        if self.locks:
            _LOG.warning("account locked tenant=%s account=%s by=%s", tenant_id, reference, event_type)
        else:
            _LOG.info("%s refused tenant=%s account=%s reason=%s", event_type, tenant_id, reference, self.reason)


class Credentials:
    """What accounts and signatures share: finding an account by its login, comparing, counting, and the events."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        ledger: Ledger,
        *,
        hasher: Hasher,
        limits: AttemptLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._vault = vault
        self._ledger = ledger
        self.hasher = hasher
        self.limits = limits
        self.clock = clock

    def login_index(self, tenant_id: UUID, login: str) -> bytes | None:
        """Return what finds a login, or None where there is no such tenant; makes no tenant."""
        key = self._vault.known_tenant_key(tenant_id)
        return None if key is None else index_of(key, login)

    def ready(self, attempt: Attempt, login: str, login_index: bytes) -> None:
        """Have the person's keys at hand before a row is locked, so that no transaction waits for a second connection.

        Nothing is made for a login without an account, or whose person is erased.
        """
        with self._database.tenant_connection(attempt.tenant_id) as conn:
            row = conn.execute(query("identity/peek_account"), {"login_index": login_index}).fetchone()
        if row and row[0]:
            self._vault.keys(attempt.tenant_id, [login], stale=attempt.stale)

    def lock(self, conn: Connection, login_index: bytes) -> Stored | None:
        """Return the account of a login, locked until the transaction ends."""
        with conn.cursor(row_factory=class_row(Stored)) as cursor:
            return cursor.execute(query("identity/lock_account"), {"login_index": login_index}).fetchone()

    def compare(
        self, conn: Connection, account: Stored | None, password: str, *, is_owner: bool = True
    ) -> Refusal | None:
        """Return None when the password is the account's and it may be used; count the try otherwise.

        With `is_owner` false the try is wrong whatever the password.
        """
        now = self.clock()
        fits = self.hasher.fits(account.password_hash if account else self.hasher.dummy, password) and is_owner
        if account is None:
            return Refusal("unknown login")
        if (reason := _unusable(account, now)) is not None:
            return Refusal(reason, account.user_id)
        # A lock-out that is over gives as many tries as there were at first.
        failed = 0 if account.locked_until else account.failed_attempts
        if fits:
            if account.failed_attempts or account.locked_until:
                self._note(conn, account, 0, None)
            if self.hasher.is_outdated(account.password_hash):
                self.store_password(conn, account, self.hasher.hash(password))
            return None
        locks = failed + 1 >= self.limits.attempts
        self._note(conn, account, failed + 1, now + self.limits.lockout if locks else None)
        return Refusal("wrong password", account.user_id, locks)

    def store_password(
        self,
        conn: Connection,
        account: Stored,
        password_hash: str,
        *,
        former_hashes: Sequence[str] | None = None,
        set_at: datetime | None = None,
        must_change: bool | None = None,
    ) -> None:
        """Store a hash; what is not given stays as it is."""
        conn.execute(
            query("identity/update_password"),
            {
                "user_id": account.user_id,
                "password_hash": password_hash,
                "former_hashes": list(account.former_hashes if former_hashes is None else former_hashes),
                "password_set_at": set_at or account.password_set_at,
                "must_change": account.must_change if must_change is None else must_change,
            },
        )

    def refuse(self, conn: Connection, attempt: Attempt, refusal: Refusal, event_type: str) -> None:
        """Say in the ledger that a try was refused, and that it locked the account if it did."""
        outcome = "failure" if refusal.reason in {"wrong password", "unknown login"} else "denied"
        # The vault has no such person where there is no account, and must not come to have one by this.
        by = replace(attempt, actor="") if refusal.user_id is None or refusal.reason == "erased" else attempt
        drafts = [self._draft(by, event_type, refusal.user_id, {"reason": refusal.reason}, outcome)]
        if refusal.locks:
            details = {
                "attempts": self.limits.attempts,
                "minutes": self.limits.lockout // timedelta(minutes=1),
                "by": event_type,
            }
            drafts.append(self._draft(attempt, LOCKED, refusal.user_id, details, "denied"))
        store_drafts(conn, drafts)

    def say(
        self,
        conn: Connection,
        attempt: Attempt,
        event_type: str,
        user_id: UUID,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Store an event about an account in the transaction of `conn`."""
        store_drafts(conn, [self._draft(attempt, event_type, user_id, details, "success")])

    def _draft(
        self, attempt: Attempt, event_type: str, user_id: UUID | None, details: Mapping[str, Any] | None, outcome: str
    ) -> Draft:
        event = Event(
            event_type=event_type,
            entity_type=ENTITY_TYPE,
            entity_id=str(user_id or UNKNOWN),
            details=dict(details) if details else None,
            actor=attempt.actor or None,
            outcome=outcome,
            ip_address=attempt.origin.ip_address,
            user_agent=attempt.origin.user_agent,
        )
        return self._ledger.prepare(attempt.tenant_id, event, stale=attempt.stale)

    def _note(self, conn: Connection, account: Stored, failed: int, locked_until: datetime | None) -> None:
        conn.execute(
            query("identity/update_attempts"),
            {"user_id": account.user_id, "failed_attempts": failed, "locked_until": locked_until},
        )


def index_of(tenant_key: bytes, login: str) -> bytes:
    """Return the keyed hash of a login, the same however it is spelled."""
    return sealing.keyed_hash(tenant_key, "login", normalise_identity(login).encode())


def _unusable(account: Stored, now: datetime) -> Reason | None:
    if account.is_erased:
        return "erased"
    if account.disabled_at:
        return "disabled"
    if account.locked_until and account.locked_until > now:
        return "locked"
    return None
