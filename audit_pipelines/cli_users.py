"""The commands `users …`: parse, ask for a password, call, print. What they do lives in `identity/accounts.py`.

Apart from `cli.py`, which it belongs to, because accounts have rules of their own about what is asked and printed.
"""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import open_installation
from audit_pipelines.settings import load_settings

if TYPE_CHECKING:
    from audit_pipelines.identity.accounts import Accounts

users_app = typer.Typer(help="Local accounts: who may log in and sign.", no_args_is_help=True)

out = Console()

Tenant = Annotated[UUID, typer.Option("--tenant", help="The tenant's UUID.")]
Login = Annotated[str, typer.Option(help="The login; its owner's for ever.")]


@users_app.command()
def add(
    tenant: Tenant,
    login: Login,
    name: Annotated[str, typer.Option(help="The printed name that signatures show.")],
    permission: Annotated[list[str], typer.Option(help="audit:read, audit:sign, …; repeat the option for several.")],
) -> None:
    """Make an account. The password comes from a prompt or from standard input; its owner must replace it."""
    from audit_pipelines.server.auth import PERMISSIONS

    unknown = sorted(set(permission) - set(PERMISSIONS))
    if unknown:
        raise ValidationError(f"permission: expected some of {', '.join(PERMISSIONS)}, got {', '.join(unknown)}")
    with _accounts() as accounts:
        password = _password()
        made = accounts.add(tenant, login, password, name=name, permissions=permission, by=_operator())
    out.print(f"account {made} can log in, and must replace its password first", highlight=False)


@users_app.command()
def passwd(tenant: Tenant, login: Login) -> None:
    """Give an account another password, from a prompt or standard input; its owner must replace it."""
    with _accounts() as accounts:
        changed = accounts.set_password(tenant, login, _password(), by=_operator())
    out.print(f"account {changed} has another password; its sessions have ended", highlight=False)


@users_app.command()
def disable(tenant: Tenant, login: Login) -> None:
    """Keep everybody from using an account, at once."""
    with _accounts() as accounts:
        changed = accounts.disable(tenant, login, by=_operator())
    out.print(f"account {changed} is disabled; its sessions have ended", highlight=False)


@users_app.command()
def enable(tenant: Tenant, login: Login) -> None:
    """Let the owner of a disabled account use it again."""
    with _accounts() as accounts:
        changed = accounts.enable(tenant, login, by=_operator())
    out.print(f"account {changed} is enabled", highlight=False)


@users_app.command()
def unlock(tenant: Tenant, login: Login) -> None:
    """End the lock-out that wrong passwords brought on."""
    with _accounts() as accounts:
        changed = accounts.unlock(tenant, login, by=_operator())
    out.print(f"account {changed} is unlocked", highlight=False)


@users_app.command(name="list")
def list_users(tenant: Tenant) -> None:
    """Show the tenant's accounts with their names."""
    with _accounts() as accounts:
        found = accounts.list(tenant)
        is_expired = accounts.policy.is_expired
    now = datetime.now().astimezone()
    table = Table("account", "login", "name", "permissions", "state", "last login", "password set")
    for account in found:
        state = [
            "disabled" if account.disabled_at else "",
            "locked" if account.locked_until and account.locked_until > now else "",
            "must replace password" if account.must_change or is_expired(account.password_set_at, now) else "",
        ]
        table.add_row(
            str(account.user_id),
            escape(account.login),
            escape(account.name),
            " ".join(account.permissions),
            ", ".join(filter(None, state)) or "in use",
            account.last_login_at.isoformat(timespec="seconds") if account.last_login_at else "never",
            account.password_set_at.isoformat(timespec="seconds"),
        )
    out.print(table)


@contextmanager
def _accounts() -> "Iterator[Accounts]":
    from audit_pipelines.identity.opening import open_identity

    with open_installation(load_settings()) as installation:
        yield open_identity(installation).accounts


def _password() -> str:
    """Return a password, asked for twice where somebody sits there, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    ask: Callable[[str], str] = getpass.getpass
    password = ask("New password: ")
    if ask("Again: ") != password:
        raise ValidationError("expected the same password twice, got two; nothing was changed")
    return password


def _operator() -> str:
    """Return who runs the command, as the actor of what it changes: the user of the operating system."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        return "cli:unknown"
