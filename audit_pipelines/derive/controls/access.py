"""Controls of who may do what: tenants, roles, accounts, passwords, sessions, and the way to the database."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import Type
from psycopg import sql

from audit_pipelines.anchors.address import is_loopback
from audit_pipelines.db.database import Connection, Role
from audit_pipelines.db.queries import query
from audit_pipelines.derive.controls.scene import ControlDefinition, Found, Scene, found, some
from audit_pipelines.identity.passwords import MEMORY_KIB, PASSES

_NO_TENANT: Final = ""
# PCI DSS 4.0, 8.3.6, 8.3.7 and 8.3.9.
_LEAST_LENGTH: Final = 12
_LEAST_HISTORY: Final = 4
_OLDEST_PASSWORD: Final = timedelta(days=90)


def _tenants_apart(scene: Scene) -> Found:
    tables, unforced = scene.ask("select_row_security")
    faults = [f"row-level security is not forced on {unforced}"] if unforced else []
    probed = 0
    roles: tuple[Role, ...] = ("audit_app", "audit_reader")
    for role in roles:
        for tenant, told in ((_NO_TENANT, "no tenant"), (str(uuid4()), "another tenant")):
            with scene.installation.database.connection(role) as conn:
                conn.execute("select set_config('app.current_tenant_id', %s, true)", [tenant])
                names = [name for (name,) in conn.execute(query("controls/select_tenant_tables"))]
                seen = [name for name in names if _shows_a_row(conn, name)]
            probed += len(names)
            if seen:
                faults.append(f"with {told} set, {role} sees rows of {some(seen)}")
    return found(
        faults,
        f"{tables} tables with a tenant looked at; read as the server's and the analysts' role without a tenant and "
        f"with a strange one, {probed} times, {'some' if faults else 'none'} showed a row.",
    )


def _shows_a_row(conn: Connection, table: str) -> bool:
    row = conn.execute(sql.SQL("select exists (select from {})").format(sql.Identifier(table))).fetchone()
    return bool(row and row[0])


def _roles(scene: Scene) -> Found:
    (wrong,) = scene.ask("select_role_faults")
    ((login, is_more),) = scene.ask_as_tenant("select_server_login")
    faults = [wrong] if wrong else []
    if is_more:
        faults.append(
            f"the server's requests run in sessions of the account {login}, which can take on more rights than "
            "audit_app has; DATABASE_APP_URL names an account that cannot"
        )
    return found(
        faults,
        "The four roles that log in were looked at for attributes, membership and ownership, and functions that run as "
        f"their owner for who may call them. The server's requests run in sessions of the account {login}.",
    )


def _reading_recorded(scene: Scene) -> Found:
    (count,) = scene.ask("count_accesses")
    (unguarded,) = scene.ask("select_reading_guards")
    differing = scene.findings("access")
    faults = []
    if not scene.installation.access_log.enabled:
        faults.append("AUDIT_ENABLE_ACCESS_LOGGING is false: nothing that is read is recorded now")
    if unguarded:
        faults.append(f"the trigger that writes the access log is missing or switched off on {unguarded}")
    if differing:
        faults.append(f"the access log and the ledger differ: {differing[0]}")
    return found(
        faults,
        f"{count:,} accesses are recorded as entries of the chain; {len(differing):,} differ from their entries.",
    )


def _accounts_unique(scene: Scene) -> Found:
    ((missing,),) = scene.ask_as_tenant("select_account_guards")
    return found(
        [f"what keeps a login and an account one person's is missing: {missing}"] if missing else [],
        "Logins and ids of accounts, of erased persons too, are unique, and a trigger keeps them from being changed or "
        "given again."
        if not missing
        else "",
    )


def _accounts_recorded(scene: Scene) -> Found:
    ((accounts, sessions, made, begun),) = scene.ask_as_tenant("select_unrecorded")
    faults = [
        *([f"no entry of the ledger says who made account {made}"] if made else []),
        *([f"no entry of the ledger says that session {begun} began with a login"] if begun else []),
    ]
    return found(
        faults,
        f"{accounts:,} accounts and {sessions:,} sessions compared with the entries that say who made them and who "
        "logged in.",
    )


def _passwords(scene: Scene) -> Found:
    policy = scene.identity.accounts.policy
    accounts = scene.ask_as_tenant("select_accounts")
    weak = [str(account) for account, hashed, *_ in accounts if _is_weak(hashed)]
    faults = [f"the password of account {some(weak)} is not hashed with Argon2id at full cost"] if weak else []
    if policy.max_age is None or policy.max_age > _OLDEST_PASSWORD:
        age = "never" if policy.max_age is None else f"only after {policy.max_age.days} days"
        faults.append(f"passwords expire {age} (AUDIT_PASSWORD_MAX_AGE_DAYS)")
        old = [str(row[0]) for row in accounts if scene.now - row[2] >= _OLDEST_PASSWORD]
        faults += [f"older than {_OLDEST_PASSWORD.days} days is the password of account {some(old)}"] if old else []
    if policy.min_length < _LEAST_LENGTH:
        faults.append(f"passwords of {policy.min_length} characters are accepted (AUDIT_PASSWORD_MIN_LENGTH)")
    if policy.history < _LEAST_HISTORY:
        faults.append(f"{policy.history} former passwords are refused again (AUDIT_PASSWORD_HISTORY)")
    longest = "never" if policy.max_age is None else f"after {policy.max_age.days} days"
    return found(
        faults,
        f"{len(accounts):,} accounts in use looked at. Passwords have {policy.min_length} characters or more, expire "
        f"{longest}, and the last {policy.history} are refused.",
    )


def _is_weak(hashed: str) -> bool:
    try:
        made_with = extract_parameters(hashed)
    except InvalidHashError:
        return True
    return made_with.type is not Type.ID or made_with.memory_cost < MEMORY_KIB or made_with.time_cost < PASSES


def _tries(scene: Scene) -> Found:
    limit = scene.installation.settings.audit_login_attempts
    ((refused, locked),) = scene.ask_as_tenant("count_tries")
    accounts = scene.ask_as_tenant("select_accounts")
    open_still = [str(row[0]) for row in accounts if row[3] >= limit and row[4] is None]
    unsaid = [str(row[0]) for row in accounts if row[5]]
    faults = [
        *([f"account {some(open_still)} had {limit} wrong passwords or more and is not locked"] if open_still else []),
        *([f"no entry of the ledger says that account {some(unsaid)} was locked"] if unsaid else []),
    ]
    return found(
        faults,
        f"{len(accounts):,} accounts in use looked at; the ledger's database has {refused:,} refused logins and "
        f"signatures and {locked:,} lock-outs. {limit} wrong passwords lock an account.",
    )


def _sessions(scene: Scene) -> Found:
    settings = scene.installation.settings
    idle = timedelta(minutes=settings.audit_session_idle_minutes)
    longest = timedelta(hours=settings.audit_session_hours)
    given = {"now": scene.now, "idle_since": scene.now - idle, "longest": longest}
    ((usable, wrong),) = scene.ask_as_tenant("select_sessions", **given)
    return found(
        [f"session {wrong} can be used though its account is disabled or erased, or it lasts too long"]
        if wrong
        else [],
        f"{usable:,} sessions can be used now; one ends after {settings.audit_session_idle_minutes} idle minutes and "
        f"after {settings.audit_session_hours} hours.",
    )


def _transport(scene: Scene) -> Found:
    by_socket, address, encrypted, version = scene.ask("select_own_connection")
    faults = []
    if not (by_socket or encrypted or (address and ip_address(address).is_loopback)):
        faults.append(f"the connection to the database from {address} is not encrypted")
    how = "a socket of this machine" if by_socket else version if encrypted else "loopback"
    parts = urlsplit(scene.installation.settings.api_base_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        faults.append(f"API_BASE_URL says that clients come by plain {parts.scheme} to {parts.hostname}")
    return found(
        faults,
        f"This check reached the database by {how}. Clients are told {parts.scheme}://{parts.hostname}; TLS is "
        "ended by a proxy that no check here can see.",
    )


CONTROLS: Final = (
    ControlDefinition(
        "tenants_apart",
        "Tenants kept apart",
        "row-level security of each table with a tenant, and what is seen without one or as a strange one",
        _tenants_apart,
    ),
    ControlDefinition(
        "least_privilege",
        "Roles have no more than their part",
        "attributes, memberships and tables of the database's roles, and functions that run as their owner",
        _roles,
    ),
    ControlDefinition(
        "reading_recorded",
        "Reading is recorded",
        "the access log against the chain, and the trigger that writes it",
        _reading_recorded,
    ),
    ControlDefinition(
        "accounts_unique",
        "Accounts are one person's for ever",
        "the trigger and the unique indexes on accounts and logins",
        _accounts_unique,
    ),
    ControlDefinition(
        "accounts_recorded",
        "Accounts and logins are in the ledger",
        "each account and session, and the entry that says who made it",
        _accounts_recorded,
    ),
    ControlDefinition(
        "passwords_strong",
        "Passwords hashed and replaced",
        "the stored hashes of accounts in use, and what the running policy accepts",
        _passwords,
    ),
    ControlDefinition(
        "tries_limited",
        "Wrong passwords lock, and are told",
        "counted tries of each account, locks, and the entries that say so",
        _tries,
    ),
    ControlDefinition(
        "sessions_end",
        "Sessions end",
        "sessions that can be used now, and whether their accounts may",
        _sessions,
    ),
    ControlDefinition(
        "transport_guarded",
        "Ways in are encrypted or local",
        "this check's own connection to the database, and the address that clients are told",
        _transport,
    ),
)
