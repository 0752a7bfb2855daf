"""Idempotency-Key: the answer to a request is remembered for 24 hours, in the transaction that did what it asked.

The header follows draft-ietf-httpapi-idempotency-key-header. Only answers that say "stored" are remembered: after any
other, repeating the request with its key tries again.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from starlette.requests import Request

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.store import HeadLockedError
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.problems import RequestError

_HEADER: Final = b"idempotency-key"
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's name for one request, within its tenant, and the digest of what it asked."""

    tenant_id: UUID
    key: str
    request_hash: bytes


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer that can be given again, byte for byte."""

    status: int
    body: str
    location: str | None = None


def request_key(request: Request, principal: Principal, body: bytes) -> RequestKey | None:
    """Return the request's key, or None where it has none.

    The digest covers who asks, where, and the body as decompressed: who asks is the actor of events without one.

    Raises:
        RequestError: 400 when the header is given more than once, or is not 1 to 255 visible ASCII characters.
    """
    values = [value.decode("latin-1") for name, value in request.scope["headers"] if name == _HEADER]
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise RequestError(
            400,
            "idempotency-key",
            "Expected one Idempotency-Key of 1 to 255 ASCII characters without control characters. Nothing was stored.",
        )
    digest = hashlib.sha256()
    for part in (request.url.path.encode(), principal.subject.encode(), body):
        digest.update(len(part).to_bytes(8) + part)
    return RequestKey(principal.tenant_id, values[0], digest.digest())


def recall(
    conn: Connection, keys: Iterable[RequestKey], *, lock_timeout_ms: int = 0
) -> Mapping[RequestKey, Answer | AuditError]:
    """Return the answer given before under each key that was used, and the refusal of one used for something else.

    From here to the end of the transaction no other has these keys, so that of requests that come together one is
    done and the others find its answer. Call it before any head is locked.

    Raises:
        HeadLockedError: another request with one of these keys is taking longer than `lock_timeout_ms` (0: no limit).
    """
    found: dict[RequestKey, Answer | AuditError] = {}
    for tenant_id, wanted in _by_tenant(keys):
        names = {"keys": [key.key for key in wanted]}
        limits = {"tenant_id": tenant_id, "lock_timeout_ms": str(lock_timeout_ms)}
        try:
            with conn.pipeline():
                conn.execute(query("server/lock_idempotency_keys"), names | limits)
                conn.execute(query("server/forget_idempotency_keys"), names)
                rows = conn.execute(query("server/select_idempotency_keys"), names)
        except psycopg.errors.LockNotAvailable as error:
            raise HeadLockedError(f"a request's key was locked for more than {lock_timeout_ms} ms") from error
        used = {key: (request_hash, response) for key, request_hash, response in rows}
        for key in wanted:
            if key.key in used:
                request_hash, response = used[key.key]
                found[key] = Answer(**response) if request_hash == key.request_hash else _other_request(key)
    return found


def remember(conn: Connection, answers: Mapping[RequestKey, Answer]) -> None:
    """Store answers under keys that `recall` did not find, in the same transaction."""
    for tenant_id, keys in _by_tenant(answers):
        with conn.pipeline():
            conn.execute(query("ledger/set_tenant"), {"tenant_id": tenant_id})
            for key in keys:
                answer = answers[key]
                response = {"status": answer.status, "body": answer.body, "location": answer.location}
                conn.execute(
                    query("server/insert_idempotency_key"),
                    {
                        "tenant_id": tenant_id,
                        "key": key.key,
                        "request_hash": key.request_hash,
                        "response": Jsonb(response),
                    },
                )


def _by_tenant(keys: Iterable[RequestKey]) -> Sequence[tuple[UUID, list[RequestKey]]]:
    ordered = sorted(keys, key=lambda key: (key.tenant_id.int, key.key))
    return [(tenant_id, list(group)) for tenant_id, group in groupby(ordered, key=lambda key: key.tenant_id)]


def _other_request(key: RequestKey) -> RequestError:
    return RequestError(
        409,
        "idempotency-key",
        f"The Idempotency-Key {key.key[:40]!r} was used for another request within 24 hours; expected a new key or the "
        "same request. Nothing was stored.",
    )
