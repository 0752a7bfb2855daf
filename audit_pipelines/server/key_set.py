"""The public keys of an identity provider (JWKS, RFC 7517): fetched aside, kept, and refreshed within bounds.

What a stranger sends decides when a key is missing, so it is bounded how often that asks the key server. While the
server is away the keys last fetched are used for some hours and no longer: whoever withdrew a key expects it to go.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import anyio.to_thread
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from audit_pipelines.anchors.deadline import run
from audit_pipelines.outgoing import ForbiddenAddressError, Outgoing

FRESH_S: Final = 600.0
"""Keys older than this are fetched again, without anybody waiting for it."""
KEPT_S: Final = 4 * 3600.0
"""For so long keys are used while the key server does not answer."""
_PAUSE_S: Final = 30.0
"""Between two requests to the key server, whatever comes."""
_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 64
_LEAST_RSA_BITS: Final = 2_048
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_LOG: Final = logging.getLogger(__name__)

Clock = Callable[[], float]


class _NoKeySetError(Exception):
    """The key server gave no key set; the message is ours and holds no secret."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key of a set: a public key, and what it says that it is for."""

    kind: str
    key_id: str | None
    algorithm: str | None
    key: Any


class KeySet:
    """The keys behind one URL; `ready` and `find` are for one event loop, the fetching is done on a thread."""

    def __init__(
        self, url: str, outgoing: Outgoing, *, timeout_s: float = _TIMEOUT_S, clock: Clock = time.monotonic
    ) -> None:
        self._url = url
        self._outgoing = outgoing
        self._timeout_s = timeout_s
        self._clock = clock
        self._entries: tuple[_Entry, ...] = ()
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def is_known(self) -> bool:
        """Whether there are keys that may still be used."""
        return self._clock() - self._fetched_at < KEPT_S

    async def ready(self, algorithm: str, key_id: str | None) -> None:
        """Return when all was done to have the key: at once when it is there, else after one request to the server.

        Never raises for what the key server does; ask `find` and `is_known` afterwards.
        """
        now = self._clock()
        missing = not self.is_known or self.find(algorithm, key_id) is None
        if self._fetching is None and (missing or now - self._fetched_at > FRESH_S) and now - self._tried_at > _PAUSE_S:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._refresh())
        if missing and self._fetching is not None:
            # Many may wait for one request; that one of them goes away is nothing to the others.
            await asyncio.wait([self._fetching])

    def find(self, algorithm: str, key_id: str | None) -> Any | None:
        """Return the one key for `algorithm` of that id, or without an id the only one there is; None otherwise."""
        if not self.is_known:
            return None
        fitting = [
            entry.key
            for entry in self._entries
            if entry.kind == _TYPES[algorithm[:2]]
            and entry.algorithm in {None, algorithm}
            and (key_id is None or entry.key_id == key_id)
            and _fits(entry.key, algorithm)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        try:
            entries = await anyio.to_thread.run_sync(self._fetch)
            self._entries, self._fetched_at = entries, self._clock()
        except _NoKeySetError as error:
            _LOG.warning("key set not fetched host=%s: %s", urlsplit(self._url).hostname, error)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here must not end the serving of requests
            _LOG.warning("key set not fetched host=%s: %s", urlsplit(self._url).hostname, type(error).__name__)
        finally:
            self._fetching = None

    def _fetch(self) -> tuple[_Entry, ...]:
        """Fetch the set in a loop of this thread's own, name resolution and TLS included."""
        try:
            content = run(_get(self._url, self._outgoing, self._timeout_s))
        except ForbiddenAddressError as error:
            raise _NoKeySetError(str(error)) from None
        except TimeoutError:
            raise _NoKeySetError(f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _NoKeySetError(f"no answer ({type(error).__name__})") from None
        return read_key_set(content)


async def _get(url: str, outgoing: Outgoing, timeout_s: float) -> bytes:
    accepted = {"Accept": "application/jwk-set+json, application/json"}
    async with (
        asyncio.timeout(timeout_s),
        outgoing.exchange("GET", url, timeout_s=timeout_s, headers=accepted) as response,
    ):
        if response.status_code != 200:
            raise _NoKeySetError(f"expected status 200, got {response.status_code}")
        content = b""
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > _MAX_BYTES:
                raise _NoKeySetError(f"expected at most {_MAX_BYTES} bytes, got more")
        return content


def read_key_set(content: bytes) -> tuple[_Entry, ...]:
    """Return the public keys of a set that can check signatures; what cannot is left out.

    Raises:
        _NoKeySetError: when it is no set, or holds no such key: an answer of that kind never replaces keys.
    """
    try:
        keys = json.loads(content)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _NoKeySetError("expected a key set in JSON") from None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise _NoKeySetError(f"expected a list of at most {_MOST_KEYS} keys")
    entries = tuple(_usable(keys))
    if not entries:
        raise _NoKeySetError("expected a public key for signatures, got none")
    return entries


def _usable(keys: Iterable[object]) -> Iterable[_Entry]:
    for key in keys:
        if not isinstance(key, dict) or not _is_for_signatures(key):
            continue
        kind, key_id, algorithm = key.get("kty"), key.get("kid"), key.get("alg")
        if not all(text is None or isinstance(text, str) for text in (kind, key_id, algorithm)):
            continue
        # A symmetric key has no place in a public set, and one that shows its private half is anybody's.
        if kind not in {"RSA", "EC", "OKP"} or "d" in key:
            continue
        try:
            yield _Entry(kind, key_id, algorithm, _load(kind, key))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue


def _is_for_signatures(key: Mapping[str, Any]) -> bool:
    uses = key.get("key_ops")
    return key.get("use", "sig") == "sig" and (uses is None or (isinstance(uses, list) and "verify" in uses))


def _load(kind: str, key: Mapping[str, Any]) -> Any:
    if kind == "RSA":
        return jwt.algorithms.RSAAlgorithm.from_jwk(dict(key))
    if kind == "EC":
        return jwt.algorithms.ECAlgorithm.from_jwk(dict(key))
    return jwt.algorithms.OKPAlgorithm.from_jwk(dict(key))


def _fits(key: Any, algorithm: str) -> bool:
    """Return whether a key of the right type is also of the right size or curve."""
    if isinstance(key, RSAPublicKey):
        return key.key_size >= _LEAST_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.name == _CURVES.get(algorithm)
    return algorithm == "EdDSA"
