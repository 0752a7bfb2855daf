"""Local accounts: made, changed and used. Every change is an event of the tenant's ledger, in the same transaction.

An account is a person of the vault, and its login stays theirs for ever: neither a disabled nor an erased one's is
given to anybody else (21 CFR 11.100(a)). Who erases a person ends their account with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.identity.credentials import LOGIN, Attempt, Credentials, Origin, Refusal, Stored, index_of
from audit_pipelines.identity.passwords import PasswordPolicy, refused
from audit_pipelines.identity.sessions import Session, Sessions
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.event import UNPRINTABLE
from audit_pipelines.ledger.store import until_fresh
from audit_pipelines.ledger.vault import ERASED, Vault

T = TypeVar("T")

_LONGEST_NAME: Final = 200
_LONGEST_LOGIN: Final = 256


class LoginRefusedError(AuditError):
    """A login or a password was wrong, or the account may not be used; which of them, only ledger and log say."""


class PasswordExpiredError(AuditError):
    """The password is right and has to be replaced by its owner before anything else."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as those who may see it are shown it; after an erasure, login and name are `erased`."""

    user_id: UUID
    login: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    password_set_at: datetime
    must_change: bool
    last_login_at: datetime | None
    disabled_at: datetime | None
    failed_attempts: int
    locked_until: datetime | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a login opened, and what a token for it may hold."""

    session: Session
    permissions: tuple[str, ...]
    password_expires_at: datetime | None


class Accounts:
    """The accounts of all tenants."""

    def __init__(
        self, database: Database, vault: Vault, credentials: Credentials, sessions: Sessions, policy: PasswordPolicy
    ) -> None:
        self._database = database
        self._vault = vault
        self._credentials = credentials
        self._sessions = sessions
        self.policy = policy

    def add(
        self, tenant_id: UUID, login: str, password: str, *, name: str, permissions: Sequence[str], by: str
    ) -> UUID:
        """Make an account, whose password has to be replaced at the first login, and return its id.

        Raises:
            ValidationError: a login, a name or a password that cannot be one, with every fault.
            ConflictError: the login was given to somebody before, whatever became of them.
        """
        _check_texts(login, name)
        self.policy.check(password, names=(login, name))
        # Like the vault: what differs in outer space alone is one login, and shown as it was first given.
        login = login.strip()
        password_hash = self._credentials.hasher.hash(password)

        login_index = index_of(self._vault.tenant_key(tenant_id), login)

        def attempt(stale: int | None) -> UUID:
            # Before the vault is asked: it would make an erased person's name anew.
            if self._is_taken(tenant_id, login_index):
                raise _taken()
            subject = self._vault.keys(tenant_id, [login, by], stale=stale).subjects[login]
            with self._database.tenant_connection(tenant_id) as conn:
                made = conn.execute(
                    query("identity/insert_account"),
                    {
                        "tenant_id": tenant_id,
                        "user_id": subject.ref,
                        "login_index": login_index,
                        "sealed_name": sealing.seal(subject.key, name),
                        "password_hash": password_hash,
                        "permissions": list(permissions),
                        "now": self._credentials.clock(),
                    },
                )
                if made.rowcount == 0:
                    raise _taken()
                details = {"permissions": list(permissions)}
                self._credentials.say(
                    conn, Attempt(tenant_id, by, stale), "audit.account.created", subject.ref, details
                )
            return subject.ref

        return until_fresh(attempt, tenant_id)

    def set_password(self, tenant_id: UUID, login: str, password: str, *, by: str) -> UUID:
        """Give an account another password, which its owner has to replace; its sessions end.

        Raises:
            ValidationError: no such account, or a password that is refused.
        """

        def change(conn: Connection, account: Stored) -> None:
            names = login, self._name(tenant_id, login, account)
            self._replace(conn, account, names, password, must_change=True)

        return self._administer(tenant_id, login, by, "audit.account.password_set", change)

    def disable(self, tenant_id: UUID, login: str, *, by: str) -> UUID:
        """Keep everybody from using the account, at once: its sessions end."""

        def change(conn: Connection, account: Stored) -> None:
            parameters = {"user_id": account.user_id, "disabled_at": self._credentials.clock()}
            conn.execute(query("identity/update_disabled"), parameters)
            self._sessions.end_all(conn, account.user_id, "disabled")

        return self._administer(tenant_id, login, by, "audit.account.disabled", change)

    def enable(self, tenant_id: UUID, login: str, *, by: str) -> UUID:
        """Let its owner use a disabled account again."""

        def change(conn: Connection, account: Stored) -> None:
            conn.execute(query("identity/update_disabled"), {"user_id": account.user_id, "disabled_at": None})

        return self._administer(tenant_id, login, by, "audit.account.enabled", change)

    def unlock(self, tenant_id: UUID, login: str, *, by: str) -> UUID:
        """End a lock-out before its time."""

        def change(conn: Connection, account: Stored) -> None:
            parameters = {"user_id": account.user_id, "failed_attempts": 0, "locked_until": None}
            conn.execute(query("identity/update_attempts"), parameters)

        return self._administer(tenant_id, login, by, "audit.account.unlocked", change)

    def list(self, tenant_id: UUID) -> list[Account]:
        """Return all accounts of a tenant, the oldest first."""
        with self._database.tenant_connection(tenant_id) as conn:
            rows = conn.execute(query("identity/select_accounts")).fetchall()
            refs = [row[0] for row in rows]
            logins, keys = self._vault.identities(conn, refs), self._vault.living_keys(conn, refs)
        return [
            Account(
                user_id,
                logins[user_id],
                sealing.unseal(keys[user_id], sealed_name) if user_id in keys else ERASED,
                tuple(permissions),
                *rest,
            )
            for user_id, sealed_name, permissions, *rest in rows
        ]

    def login_of(self, tenant_id: UUID, user_id: UUID) -> str | None:
        """Return the login of an account, or None where there is none or its person is erased."""
        with self._database.tenant_connection(tenant_id) as conn:
            row = conn.execute(query("identity/select_account"), {"user_id": user_id}).fetchone()
            return self._vault.identities(conn, [user_id])[user_id] if row else None

    def log_in(self, tenant_id: UUID, login: str, password: str, origin: Origin) -> LoggedIn:
        """Open a session for whoever knows the password.

        Raises:
            LoginRefusedError: always the same, whatever was wrong.
            PasswordExpiredError: the password is right, but too old or set by an administrator.
        """

        def use(conn: Connection, account: Stored, trying: Attempt) -> LoggedIn | PasswordExpiredError:
            if self.has_expired(account):
                refusal = Refusal("password expired", account.user_id)
                self._credentials.refuse(conn, trying, refusal, LOGIN)
                return PasswordExpiredError("The password has to be replaced first: POST /api/audit/password.")
            session = self._sessions.begin(conn, tenant_id, account.user_id)
            now = self._credentials.clock()
            conn.execute(query("identity/update_last_login"), {"user_id": account.user_id, "now": now})
            details = {"session": str(session.session_id)}
            self._credentials.say(conn, trying, LOGIN, account.user_id, details)
            expires_at = self.policy.expires_at(account.password_set_at)
            return LoggedIn(session, tuple(account.permissions), expires_at)

        outcome = self._with_password(Attempt(tenant_id, login, None, origin), password, LOGIN, use)
        if isinstance(outcome, PasswordExpiredError):
            raise outcome
        return outcome

    def change_password(self, tenant_id: UUID, login: str, old: str, new: str, origin: Origin) -> None:
        """Replace a password by its owner's own choice; all sessions of the account end.

        Raises:
            LoginRefusedError: as `log_in`.
            ValidationError: the old one is right and the new one refused; nothing was changed.
        """
        event_type = "audit.account.password_changed"

        def use(conn: Connection, account: Stored, trying: Attempt) -> ValidationError | None:
            try:
                names = login, self._name(tenant_id, login, account)
                self._replace(conn, account, names, new, must_change=False)
            except ValidationError as error:
                # Returned, so that what `compare` has written is committed.
                return error
            self._credentials.say(conn, trying, event_type, account.user_id)
            return None

        refused = self._with_password(Attempt(tenant_id, login, None, origin), old, event_type, use)
        if refused is not None:
            raise refused

    def log_out(self, tenant_id: UUID, session_id: UUID, login: str, origin: Origin) -> None:
        """End a session; one that has ended stays as it is."""

        def attempt(stale: int | None) -> None:
            trying = Attempt(tenant_id, login, stale, origin)
            with self._database.tenant_connection(tenant_id) as conn:
                session = self._live_session(conn, session_id)
                if session is not None and self._sessions.end(conn, session_id, "logout"):
                    details = {"session": str(session_id)}
                    self._credentials.say(conn, trying, "audit.account.logout", session, details)

        until_fresh(attempt, tenant_id)

    def has_expired(self, account: Stored) -> bool:
        """Return whether the password has to be replaced before it opens or signs anything."""
        return account.must_change or self.policy.is_expired(account.password_set_at, self._credentials.clock())

    def _with_password(
        self, asked: Attempt, password: str, event_type: str, use: Callable[[Connection, Stored, Attempt], T]
    ) -> T:
        """Return what `use` returns, which is called when login and password are right, in the same transaction."""
        login_index = self._credentials.login_index(asked.tenant_id, asked.actor)
        if login_index is None:
            # There is no ledger to say it in; the time it takes is the same but for that.
            self._credentials.hasher.fits(self._credentials.hasher.dummy, password)
            Refusal("unknown login").log(asked.tenant_id, event_type)
            raise _refused()

        def attempt(stale: int | None) -> T | Refusal:
            trying = replace(asked, stale=stale)
            self._credentials.ready(trying, asked.actor, login_index)
            with self._database.tenant_connection(asked.tenant_id) as conn:
                account = self._credentials.lock(conn, login_index)
                refusal = self._credentials.compare(conn, account, password)
                if refusal is not None:
                    self._credentials.refuse(conn, trying, refusal, event_type)
                    return refusal
                assert account is not None, "an unknown login is refused"  # noqa: S101 - for the type checker
                return use(conn, account, trying)

        outcome = until_fresh(attempt, asked.tenant_id)
        if isinstance(outcome, Refusal):
            outcome.log(asked.tenant_id, event_type)
            raise _refused()
        return outcome

    def _administer(
        self,
        tenant_id: UUID,
        login: str,
        by: str,
        event_type: str,
        change: Callable[[Connection, Stored], None],
    ) -> UUID:
        login_index = self._credentials.login_index(tenant_id, login)

        def attempt(stale: int | None) -> UUID:
            if login_index is None:
                raise _no_account()
            trying = Attempt(tenant_id, by, stale)
            self._vault.keys(tenant_id, [by], stale=stale)
            self._credentials.ready(trying, login, login_index)
            with self._database.tenant_connection(tenant_id) as conn:
                account = self._credentials.lock(conn, login_index)
                if account is None or account.is_erased:
                    raise _no_account()
                change(conn, account)
                self._credentials.say(conn, trying, event_type, account.user_id)
            return account.user_id

        return until_fresh(attempt, tenant_id)

    def _replace(
        self, conn: Connection, account: Stored, names: tuple[str, str], password: str, *, must_change: bool
    ) -> None:
        self.policy.check(password, names=names)
        known = [account.password_hash, *account.former_hashes][: max(self.policy.history, 1)]
        if any(self._credentials.hasher.fits(hashed, password) for hashed in known):
            raise refused([f"expected none of the last {len(known)} passwords"])
        self._credentials.store_password(
            conn,
            account,
            self._credentials.hasher.hash(password),
            former_hashes=known[: max(self.policy.history - 1, 0)],
            set_at=self._credentials.clock(),
            must_change=must_change,
        )
        self._sessions.end_all(conn, account.user_id, "password")

    def _name(self, tenant_id: UUID, login: str, account: Stored) -> str:
        subject = self._vault.keys(tenant_id, [login]).subjects[login]
        return sealing.unseal(subject.key, account.sealed_name)

    def _is_taken(self, tenant_id: UUID, login_index: bytes) -> bool:
        with self._database.tenant_connection(tenant_id) as conn:
            return self._credentials.lock(conn, login_index) is not None

    def _live_session(self, conn: Connection, session_id: UUID) -> UUID | None:
        now = self._credentials.clock()
        parameters = {"session_id": session_id, "now": now, "idle_since": now - self._sessions.limits.idle}
        row = conn.execute(query("identity/select_session"), parameters).fetchone()
        return row[0] if row else None


def _check_texts(login: str, name: str) -> None:
    faults = [
        (where, f"expected 1 to {longest} characters without control characters")
        for where, text, longest in (("/login", login, _LONGEST_LOGIN), ("/name", name, _LONGEST_NAME))
        if not 0 < len(text.strip()) <= longest or UNPRINTABLE.search(text)
    ]
    if faults:
        told = "; ".join(f"{where[1:]}: {what}" for where, what in faults)
        raise ValidationError(f"The account cannot be made: {told}.", tuple(faults))


def _refused() -> LoginRefusedError:
    return LoginRefusedError(
        "The tenant, the login or the password is wrong, or the account may not be used now. Several wrong passwords "
        "lock an account for a while; an administrator can unlock it."
    )


def _no_account() -> ValidationError:
    return ValidationError("expected the login of an account of this tenant, got another; nothing was changed")


def _taken() -> ConflictError:
    # An erased person's login stays taken as well.
    return ConflictError(
        "the login belongs to an account of this tenant, or did; expected one that was never given to anybody",
        (("/login", "is taken for ever"),),
    )
