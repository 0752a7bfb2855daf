"""Accounts of others over HTTP, for administrators; the rules are `identity/accounts.py`'s, as for `users …`."""

from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.errors import ValidationError
from audit_pipelines.identity.accounts import Account, Accounts
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.server.auth import Permission, Principal
from audit_pipelines.server.forms import read_form, require_printable
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.read_log import ReadLog
from audit_pipelines.server.signing_in import Login, Password, answer
from audit_pipelines.server.workers import Workers

ACCOUNTS_PATH: Final = "/api/audit/accounts"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class AccountForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new account."""

    login: Login
    name: Name
    permissions: Annotated[list[Permission], msgspec.Meta(min_length=1)]
    password: Password


class ChangeForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is to become of an account; `password` goes with `set_password` alone."""

    action: Literal["disable", "enable", "unlock", "set_password"]
    password: Password | None = None


class ManagingAccounts:
    """The handlers of others' accounts."""

    def __init__(self, accounts: Accounts, reads: ReadLog, *, passwords: Workers, others: Workers) -> None:
        self._accounts = accounts
        self._reads = reads
        self._passwords = passwords
        self._others = others

    async def show(self, request: Request, principal: Principal) -> Response:
        """Return the tenant's accounts, the oldest first."""
        found = await self._others.run(partial(self._accounts.list, principal.tenant_id))
        await self._reads.record(request, principal, "accounts.list", {}, len(found))
        return answer(200, {"accounts": [_shown(one) for one in found]})

    async def add(self, request: Request, principal: Principal) -> Response:
        """Make an account: 201 with its id."""
        form = await read_form(request, AccountForm)
        require_printable(login=form.login, name=form.name)
        work = partial(
            self._accounts.add,
            principal.tenant_id,
            form.login,
            form.password,
            name=form.name,
            permissions=form.permissions,
            by=principal.subject,
        )
        return answer(201, {"account_id": str(await self._passwords.run(work))})

    async def change(self, request: Request, principal: Principal) -> Response:
        """Disable, enable or unlock an account, or give it another password: 204."""
        form = await read_form(request, ChangeForm)
        if (form.action == "set_password") is (form.password is None):
            raise ValidationError(
                "The request's body has faults; nothing was done.",
                (("/password", "expected with the action set_password, and with no other"),),
            )
        account_id = _uuid(request.path_params["account_id"])
        await self._passwords.run(partial(self._change, principal, account_id, form))
        return Response(status_code=204)

    def _change(self, principal: Principal, account_id: UUID | None, form: ChangeForm) -> None:
        login = self._accounts.login_of(principal.tenant_id, account_id) if account_id else None
        if login is None:
            raise RequestError(404, "not-found", "This tenant has no account with this id whose person is not erased.")
        tenant_id, by = principal.tenant_id, principal.subject
        match form.action:
            case "disable":
                self._accounts.disable(tenant_id, login, by=by)
            case "enable":
                self._accounts.enable(tenant_id, login, by=by)
            case "unlock":
                self._accounts.unlock(tenant_id, login, by=by)
            case "set_password":
                self._accounts.set_password(tenant_id, login, form.password or "", by=by)


def _shown(account: Account) -> dict[str, Any]:
    moments = {
        name: format_moment(moment) if moment else None
        for name in ("created_at", "password_set_at", "last_login_at", "disabled_at", "locked_until")
        for moment in [getattr(account, name)]
    }
    return {
        "account_id": str(account.user_id),
        "login": account.login,
        "name": account.name,
        "permissions": list(account.permissions),
        "must_change": account.must_change,
        "failed_attempts": account.failed_attempts,
    } | moments


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
