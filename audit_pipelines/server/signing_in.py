"""Signing in and out, and changing one's password, over HTTP.

Passwords are compared by workers of their own, two at once: each takes 64 MiB and a core for a tenth of a second, and
events must not wait for them. What a login is and when it is refused is decided in `identity/`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.identity.accounts import LoginRefusedError, PasswordExpiredError
from audit_pipelines.identity.opening import Identity
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.server.auth import PERMISSIONS, Principal
from audit_pipelines.server.forms import origin_of, read_form, require_printable
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.workers import Workers

LOGIN_PATH: Final = "/api/audit/login"
LOGOUT_PATH: Final = "/api/audit/logout"
PASSWORD_PATH: Final = "/api/audit/password"  # noqa: S105 - a path
PASSWORD_THREADS: Final = 2
PASSWORD_QUEUE: Final = 64
_CHALLENGE: Final = 'Bearer realm="audit_pipelines"'

Login = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class LoginForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a login takes."""

    tenant_id: UUID
    login: Login
    password: Password


class PasswordForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a change of password takes; no token, since an expired password opens no session."""

    tenant_id: UUID
    login: Login
    old_password: Password
    new_password: Password


class SigningIn:
    """The handlers of logins."""

    def __init__(self, identity: Identity, mint: Callable[..., str], passwords: Workers, others: Workers) -> None:
        """`mint` is `mint_token` for this server: it knows the secret, the audience and the issuer."""
        self._accounts = identity.accounts
        self._limits = identity.sessions.limits
        self._mint = mint
        self._passwords = passwords
        self._others = others

    async def log_in(self, request: Request) -> Response:
        """Return a token for the session that the password opened."""
        form = await read_form(request, LoginForm)
        require_printable(login=form.login)
        work = partial(self._accounts.log_in, form.tenant_id, form.login, form.password, origin_of(request))
        try:
            opened = await self._passwords.run(work)
        except LoginRefusedError as error:
            raise refused(error) from None
        except PasswordExpiredError as error:
            raise expired(error) from None
        session = opened.session
        permissions = [one for one in PERMISSIONS if one in opened.permissions]
        token = self._mint(
            subject=form.login.strip(),
            tenant_id=form.tenant_id,
            permissions=permissions,
            lifetime=max(session.expires_at - datetime.now(UTC), self._limits.idle),
            session=session.session_id,
        )
        return answer(
            200,
            {
                "token": token,
                "session_id": str(session.session_id),
                "expires_at": format_moment(session.expires_at),
                "idle_minutes": self._limits.idle.total_seconds() / 60,
                "permissions": permissions,
                "password_expires_at": _moment(opened.password_expires_at),
            },
        )

    async def log_out(self, request: Request, principal: Principal) -> Response:
        """End the session of the token; 204 also when it has ended."""
        if principal.session is None:
            raise RequestError(409, "no-session", "This token belongs to no session; it is valid until it expires.")
        work = partial(
            self._accounts.log_out, principal.tenant_id, principal.session, principal.subject, origin_of(request)
        )
        await self._others.run(work)
        return Response(status_code=204)

    async def change_password(self, request: Request) -> Response:
        """Replace one's password by another; 204, and all sessions of the account have ended."""
        form = await read_form(request, PasswordForm)
        require_printable(login=form.login)
        work = partial(
            self._accounts.change_password,
            form.tenant_id,
            form.login,
            form.old_password,
            form.new_password,
            origin_of(request),
        )
        try:
            await self._passwords.run(work)
        except LoginRefusedError as error:
            raise refused(error) from None
        return Response(status_code=204)


def refused(error: LoginRefusedError) -> RequestError:
    """Return the one answer to every wrong login."""
    return RequestError(401, "login-refused", str(error), headers={"WWW-Authenticate": _CHALLENGE})


def expired(error: PasswordExpiredError) -> RequestError:
    """Return the answer to a right password that is too old; it tells nothing to whoever does not know it."""
    return RequestError(403, "password-expired", str(error))


def answer(status: int, content: dict[str, Any]) -> Response:
    """Return JSON."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)
