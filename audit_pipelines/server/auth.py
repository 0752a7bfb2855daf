"""Who is asking: bearer tokens (sent as RFC 6750 says) made and checked.

What makes a token valid is `tokens.py`; here is which key it is checked with, whether its session still lives, and what
is remembered. Each refusal looks the same to the client: which part of a token was wrong is nobody's business but the
log's. What a permission opens is written at the routes.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID

import anyio.to_thread
import jwt

from audit_pipelines.errors import ValidationError
from audit_pipelines.server.key_set import KeySet
from audit_pipelines.server.problems import RETRY_AFTER_S, RequestError
from audit_pipelines.server.tokens import (
    LONGEST_TOKEN,
    PERMISSIONS,
    SUBJECT,
    Claims,
    Expected,
    Header,
    Permission,
    RefusedTokenError,
    read_claims,
    read_header,
)

__all__ = ["PERMISSIONS", "Authenticator", "Permission", "Principal", "Sessions", "mint_token", "require"]

WITH_JWT_SECRET: Final = "HS256"  # noqa: S105 - the name of an algorithm
"""The one algorithm that JWT_SECRET is for; every other takes a public key out of the key set."""
_CHALLENGE: Final = 'Bearer realm="audit_pipelines"'
_BEARER: Final = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)
# Valid ones alone are kept, so a stranger cannot fill the memory.
_TOKENS_KEPT: Final = 4_096
_ASK_SESSIONS_S: Final = 5.0
# A key that its owner withdrew must not go on through the tokens that are remembered.
_TRUST_KEYS_S: Final = 600.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid token speaks for; `subject` is a name in clear."""

    subject: str
    tenant_id: UUID
    permissions: frozenset[Permission]
    session: UUID | None = None
    """The session that the token belongs to, if to any."""
    key: str = field(init=False, repr=False, compare=False)
    """Tenant and subject as one word: what is counted by, whatever token they come with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.tenant_id} {self.subject}")

    @property
    def sees_names(self) -> bool:
        """Whether persons are shown by name and not by reference alone."""
        return not self.permissions.isdisjoint({"audit:privacy", "audit:admin"})


class Sessions(Protocol):
    """What knows the sessions that tokens with the claim `sid` belong to."""

    def is_live(self, tenant_id: UUID, sid: UUID) -> bool:
        """Return whether the session still lives; may block, is asked on a thread, and raises `AuditError` alone."""


def mint_token(
    secret: str,
    *,
    subject: str,
    tenant_id: UUID,
    permissions: Iterable[str],
    lifetime: timedelta,
    now: datetime | None = None,
    session: UUID | None = None,
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """Return a signed token for `subject` in one tenant, valid from `now` for `lifetime`, or as long as its session.

    `audience` and `issuer` are those that the server expects, if it expects any.

    Raises:
        ValidationError: an unknown permission, a lifetime that is not positive, or a subject no event could carry.
    """
    granted = tuple(permissions)
    unknown = sorted(set(granted) - set(PERMISSIONS))
    if unknown:
        raise ValidationError(f"permission: expected some of {', '.join(PERMISSIONS)}, got {', '.join(unknown)}")
    if lifetime <= timedelta():
        raise ValidationError(f"lifetime: expected more than nothing, got {lifetime}")
    if not SUBJECT.fullmatch(subject):
        raise ValidationError("subject: expected 1 to 256 characters without control characters")
    issued = now or datetime.now(UTC)
    claims: dict[str, Any] = {
        "sub": subject,
        "tenant_id": str(tenant_id),
        "permissions": list(granted),
        "iat": issued,
        "exp": issued + lifetime,
        "sid": str(session) if session else None,
        "aud": audience,
        "iss": issuer,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, secret, algorithm=WITH_JWT_SECRET)


class Authenticator:
    """Says who an `Authorization` header speaks for; for one event loop.

    A token's signature and claims are checked when it first comes, its expiry each time: to check it whole takes 60 µs,
    half of what else a small request costs. Whether its session lives is asked again every 5 seconds.
    """

    def __init__(
        self,
        secret: str,
        expected: Expected = Expected(frozenset({WITH_JWT_SECRET})),  # noqa: B008 - frozen
        key_set: KeySet | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self._secret = secret
        self._expected = expected
        self._key_set = key_set
        self._live = _Liveness(sessions) if sessions else None
        self._known: dict[str, tuple[Principal, float]] = {}

    def known(self, authorization: str | None) -> Principal | None:
        """Return who the header speaks for if that was checked a short while ago; asks nobody."""
        found = self._known.get(authorization or "")
        return found[0] if found and time.time() < found[1] else None

    async def __call__(self, authorization: str | None) -> Principal:
        """Return who the `Authorization` header speaks for; None stands for none, and for more than one.

        Raises:
            RequestError: 401, of the same shape whatever was wrong; 503 while the key server has never been reached.
            AuditError: when it cannot be known whether the token's session lives.
        """
        principal = self.known(authorization)
        if principal is not None:
            return principal
        try:
            principal, until = await self._check(_bearer(authorization))
        except RefusedTokenError as error:
            _LOG.info("token refused reason=%s", error.reason)
            raise RequestError(
                401,
                "unauthenticated",
                "Expected a valid token as `Authorization: Bearer …`; mint one with `audit-pipelines token`.",
                headers={"WWW-Authenticate": _CHALLENGE},
            ) from None
        if len(self._known) >= _TOKENS_KEPT:
            self._known.clear()
        self._known[authorization or ""] = principal, until
        return principal

    async def _check(self, token: str) -> tuple[Principal, float]:
        """Return who `token` speaks for, and until when that may be remembered, in seconds since 1970."""
        header = read_header(token, self._expected)
        claims = read_claims(token, header, await self._key(header), self._expected)
        until = claims.expires_at
        if header.algorithm != WITH_JWT_SECRET:
            until = min(until, time.time() + _TRUST_KEYS_S)
        if claims.session is not None:
            until = min(until, await self._session_until(claims.tenant_id, claims.session))
        return _principal(claims), until

    async def _key(self, header: Header) -> Any:
        """Return the key that the algorithm takes, so that a public key never becomes a secret, nor the other way."""
        if header.algorithm == WITH_JWT_SECRET:
            return self._secret
        if self._key_set is None:
            raise RefusedTokenError("algorithm")
        await self._key_set.ready(header.algorithm, header.key_id)
        key = self._key_set.find(header.algorithm, header.key_id)
        if key is not None:
            return key
        if self._key_set.is_known:
            raise RefusedTokenError("key")
        raise RequestError(
            503,
            "unavailable",
            "The keys that tokens are checked with cannot be fetched now. Nothing was stored: repeat it later.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )

    async def _session_until(self, tenant_id: UUID, session: UUID) -> float:
        live, asked_at = await self._live(tenant_id, session) if self._live else (False, 0.0)
        if not live:
            raise RefusedTokenError("session")
        return asked_at + _ASK_SESSIONS_S


class _Liveness:
    """Asks about each session at most once in 5 seconds, however many requests wait for the answer."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._answers: dict[tuple[str, str], tuple[asyncio.Future[bool], float]] = {}

    async def __call__(self, tenant_id: UUID, session: UUID) -> tuple[bool, float]:
        """Return whether it lives, and when that was asked, in seconds since 1970."""
        key, now = (str(tenant_id), str(session)), time.time()
        answer, asked_at = self._answers.get(key, (None, 0.0))
        if answer is None or (answer.done() and (now - asked_at >= _ASK_SESSIONS_S or _failed(answer))):
            if len(self._answers) >= _TOKENS_KEPT:
                self._answers.clear()
            asking = anyio.to_thread.run_sync(partial(self._sessions.is_live, tenant_id, session))
            answer = asyncio.ensure_future(asking)
            asked_at = now
            self._answers[key] = answer, asked_at
            # Looked at in any case: that all who waited have gone away is no fault to be logged.
            answer.add_done_callback(_failed)
        return await asyncio.shield(answer), asked_at


def require(principal: Principal, permission: Permission) -> None:
    """Pass, or refuse with 403 naming the missing permission."""
    if permission not in principal.permissions:
        raise RequestError(
            403, "forbidden", f"This needs the permission {permission}; the token was made without it.", headers={}
        )


def _failed(answer: asyncio.Future[bool]) -> bool:
    return answer.cancelled() or answer.exception() is not None


def _principal(claims: Claims) -> Principal:
    return Principal(claims.subject, claims.tenant_id, claims.permissions, claims.session)


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise RefusedTokenError("absent")
    # Before the pattern: it looks at every character.
    if len(authorization) > LONGEST_TOKEN + 64:
        raise RefusedTokenError("size")
    found = _BEARER.fullmatch(authorization)
    if not found:
        raise RefusedTokenError("absent")
    return found[1]
