"""Who is asking: bearer tokens (JWT, RFC 7519, sent as RFC 6750 says) made and checked.

The algorithm is pinned, every required claim is checked, and each refusal looks the same to the client: which part of a
token was wrong is nobody's business but the log's. What a permission opens is written at the routes.
"""

import logging
import math
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, get_args
from uuid import UUID

import jwt

from audit_pipelines.errors import ValidationError
from audit_pipelines.server.problems import RequestError

Permission = Literal["audit:read", "audit:write", "audit:export", "audit:sign", "audit:privacy", "audit:admin"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_ALGORITHM: Final = "HS256"
_CHALLENGE: Final = 'Bearer realm="audit_pipelines"'
_REQUIRED: Final = ["sub", "tenant_id", "permissions", "exp"]
# A token is parsed before its signature is checked, so its size bounds what a stranger can make us do.
_LONGEST_TOKEN: Final = 8_192
# Valid ones alone are kept, so a stranger cannot fill the memory.
_TOKENS_KEPT: Final = 4_096
# The subject becomes the actor of events and a name in the vault: same alphabet as there.
_SUBJECT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,256}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ASK_SESSIONS_S: Final = 5.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid token speaks for; `subject` is a name in clear."""

    subject: str
    tenant_id: UUID
    permissions: frozenset[Permission]
    session: UUID | None = None
    """The session that the token belongs to, if to any."""

    @property
    def sees_names(self) -> bool:
        """Whether persons are shown by name and not by reference alone."""
        return not self.permissions.isdisjoint({"audit:privacy", "audit:admin"})


class Sessions(Protocol):
    """What knows the sessions that tokens with the claim `sid` belong to."""

    def is_live(self, tenant_id: UUID, sid: UUID) -> bool:
        """Return whether the session still lives."""


def mint_token(
    secret: str,
    *,
    subject: str,
    tenant_id: UUID,
    permissions: Iterable[str],
    lifetime: timedelta,
    now: datetime | None = None,
    session: UUID | None = None,
) -> str:
    """Return a signed token for `subject` in one tenant, valid from `now` for `lifetime`.

    Raises:
        ValidationError: an unknown permission, a lifetime that is not positive, or a subject no event could carry.
    """
    granted = tuple(permissions)
    unknown = sorted(set(granted) - set(PERMISSIONS))
    if unknown:
        raise ValidationError(f"permission: expected some of {', '.join(PERMISSIONS)}, got {', '.join(unknown)}")
    if lifetime <= timedelta():
        raise ValidationError(f"lifetime: expected more than nothing, got {lifetime}")
    if not _SUBJECT.fullmatch(subject):
        raise ValidationError("subject: expected 1 to 256 characters without control characters")
    issued = now or datetime.now(UTC)
    claims = {
        "sub": subject,
        "tenant_id": str(tenant_id),
        "permissions": list(granted),
        "iat": issued,
        "exp": issued + lifetime,
    } | ({"sid": str(session)} if session else {})
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


class Authenticator:
    """Says who an `Authorization` header speaks for, under one secret; for one thread.

    A token's signature and claims are checked when it first comes, its expiry each time: to check it whole takes 40 µs,
    a third of what else a small request costs.
    """

    def __init__(self, secret: str, sessions: Sessions | None = None) -> None:
        self._secret = secret
        self._sessions = sessions
        self._known: dict[str, tuple[Principal, float]] = {}

    def __call__(self, authorization: str | None) -> Principal:
        """Return who the `Authorization` header speaks for.

        Unknown permissions in a token grant nothing and are left out, so that an older server takes newer tokens.

        Raises:
            RequestError: 401, of the same shape whatever was wrong.
        """
        principal, expires_at = self._known.get(authorization or "", (None, 0.0))
        if principal is not None and time.time() < expires_at:
            return principal
        try:
            principal, expires_at = _verify(_bearer(authorization), self._secret)
            expires_at = min(expires_at, self._session_until(principal))
        # json inside pyjwt recurses on nested text and int() overflows on an infinite exp: both are bad tokens.
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            _LOG.info("token refused reason=%s", type(error).__name__)
            raise RequestError(
                401,
                "unauthenticated",
                "Expected a valid token as `Authorization: Bearer …`; mint one with `audit-pipelines token`.",
                headers={"WWW-Authenticate": _CHALLENGE},
            ) from None
        if len(self._known) >= _TOKENS_KEPT:
            self._known.clear()
        self._known[authorization or ""] = principal, expires_at
        return principal

    def _session_until(self, principal: Principal) -> float:
        if principal.session is None:
            return math.inf
        if self._sessions is None or not self._sessions.is_live(principal.tenant_id, principal.session):
            raise ValueError("session")
        return time.time() + _ASK_SESSIONS_S


def require(principal: Principal, permission: Permission) -> None:
    """Pass, or refuse with 403 naming the missing permission."""
    if permission not in principal.permissions:
        raise RequestError(
            403, "forbidden", f"This needs the permission {permission}; the token was made without it.", headers={}
        )


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.casefold() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
        raise ValueError("no bearer token of a sane size")
    return token.strip()


def _verify(token: str, secret: str) -> tuple[Principal, float]:
    """Return who `token` speaks for, and until when, in seconds since 1970."""
    claims = jwt.decode(
        token,
        secret,
        algorithms=[_ALGORITHM],
        # A clock a second behind the issuer's must not refuse fresh tokens; exp and nbf bound the validity.
        options={"require": _REQUIRED, "verify_iat": False},
    )
    subject, tenant_id, permissions = claims["sub"], claims["tenant_id"], claims["permissions"]
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise ValueError("sub")
    if not isinstance(tenant_id, str) or not _UUID.fullmatch(tenant_id):
        raise ValueError("tenant_id")
    if not isinstance(permissions, list) or not all(isinstance(item, str) for item in permissions):
        raise ValueError("permissions")
    granted = frozenset(item for item in PERMISSIONS if item in permissions)
    session = claims.get("sid")
    if session is not None and (not isinstance(session, str) or not _UUID.fullmatch(session)):
        raise ValueError("sid")
    return Principal(subject, UUID(tenant_id), granted, UUID(session) if session else None), int(claims["exp"])
