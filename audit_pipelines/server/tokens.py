"""What a token (JWT, RFC 7519) must be to be believed: its form, its signature, its claims.

Pure: keys come from the caller, one for an algorithm and a key id. The library checks signatures and times; what it
lets pass although nobody honest sends it (RFC 8725) is refused here first. Reasons of refusals are for the log alone.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from uuid import UUID

import jwt

Permission = Literal["audit:read", "audit:write", "audit:export", "audit:sign", "audit:privacy", "audit:admin"]
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)
Reason = Literal[
    "absent", "size", "form", "kind", "critical", "algorithm", "key", "signature", "expired", "early", "audience",
    "issuer", "claims", "session",
]  # fmt: skip
"""Why a token was refused, in the one word that the log shows."""

# A token is parsed before its signature is checked, so its size bounds what a stranger can make us do.
LONGEST_TOKEN: Final = 8_192
_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_REQUIRED: Final = ("sub", "tenant_id", "permissions", "exp")
# Other kinds of JWT (logout, security event, proof of possession) must not pass for an access token.
_KINDS: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_LONGEST_KEY_ID: Final = 256
# The subject becomes the actor of events and a name in the vault: same alphabet as there.
SUBJECT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,256}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (jwt.InvalidSignatureError, "signature"),
    (jwt.DecodeError, "form"),
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "early"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidKeyError, "key"),
    (jwt.InvalidAlgorithmError, "algorithm"),
)


class RefusedTokenError(Exception):
    """A token that is not believed; it says why in one word and holds nothing of the token."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """The two things of a token's header that count. Keys and addresses of keys in it are never looked at."""

    algorithm: str
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    subject: str
    tenant_id: UUID
    permissions: frozenset[Permission]
    expires_at: float
    """Seconds since 1970."""
    session: UUID | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What every token must have; None of the last two: nothing is expected, and a token for an audience is refused."""

    algorithms: frozenset[str]
    audience: str | None = None
    issuer: str | None = None


def read_header(token: str, expected: Expected) -> Header:
    """Return the header of `token`, whose signature is still unknown.

    Raises:
        RefusedTokenError: when it has not the form of a token, or an algorithm that is not expected.
    """
    if len(token) > LONGEST_TOKEN:
        raise RefusedTokenError("size")
    parts = _PARTS.fullmatch(token)
    if not parts:
        raise RefusedTokenError("form")
    header, _ = _object(parts[1]), _object(parts[2])
    if "crit" in header or "b64" in header:
        raise RefusedTokenError("critical")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.casefold() not in _KINDS:
        raise RefusedTokenError("kind")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in expected.algorithms:
        raise RefusedTokenError("algorithm")
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= _LONGEST_KEY_ID):
        raise RefusedTokenError("key")
    return Header(algorithm, key_id)


def read_claims(token: str, header: Header, key: Any, expected: Expected) -> Claims:
    """Return what `token` says, once its signature under `key` and each claim was checked.

    Unknown permissions grant nothing and are left out, so that an older server takes newer tokens.

    Raises:
        RefusedTokenError: when anything of it is not as it must be.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[header.algorithm],
            audience=expected.audience,
            issuer=expected.issuer,
            options={
                "require": [*_REQUIRED, *(["aud"] if expected.audience else []), *(["iss"] if expected.issuer else [])],
                # A clock a second behind the issuer's must not refuse fresh tokens; exp and nbf bound the validity.
                "verify_iat": False,
            },
        )
    # int() overflows on an infinite exp, and a lone surrogate cannot be encoded: both are bad tokens.
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedTokenError(_reason(error)) from None
    return Claims(
        _checked(claims, "sub", lambda value: isinstance(value, str) and SUBJECT.fullmatch(value)),
        UUID(_checked(claims, "tenant_id", _is_uuid)),
        _permissions(claims["permissions"]),
        float(_checked(claims, "exp", _is_moment)),
        UUID(_checked(claims, "sid", _is_uuid)) if "sid" in claims else None,
    )


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object in one part of a token; two values of one name, or no number (NaN), are no JSON here."""
    try:
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RefusedTokenError("form") from None
    if not isinstance(value, dict):
        raise RefusedTokenError("form")
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_number(_: str) -> float:
    raise ValueError("no number")


def _reason(error: Exception) -> Reason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "claims")


def _checked(claims: dict[str, Any], name: str, fits: Callable[[Any], object]) -> Any:
    value = claims[name]
    if not fits(value):
        raise RefusedTokenError("claims")
    return value


def _is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _is_moment(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _permissions(value: object) -> frozenset[Permission]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RefusedTokenError("claims")
    return frozenset(item for item in PERMISSIONS if item in value)
