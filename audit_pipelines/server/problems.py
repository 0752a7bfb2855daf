"""Errors as clients see them: problem documents (RFC 9457), made from the same classes that the rest raises.

Only what a client may know leaves through here: messages of the database and of unexpected errors go to the log, never
into an answer.
"""

import http
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from audit_pipelines.errors import AuditError, ConflictError, DatabaseUnavailableError, ValidationError

Fault = tuple[str, str]
"""Where (a JSON pointer into the body, or `/name` of a query parameter) and what."""

MEDIA_TYPE: Final = "application/problem+json"
FAULTS_LISTED: Final = 1_000
RETRY_AFTER_S: Final = 2
_LOG: Final = logging.getLogger("audit_pipelines.server")
_TYPE_PREFIX: Final = "urn:audit-pipelines:problem:"


class RequestError(AuditError):
    """A request that HTTP itself has a status for; `kind` is the last part of the problem's `type`."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.faults = faults
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Problem:
    """One problem document and the headers that go with it."""

    status: int
    kind: str
    detail: str
    faults: tuple[Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    instance: str | None = None

    def body(self) -> bytes:
        """Return the document as JSON; at most 1,000 faults are listed, and `detail` says how many there are."""
        document: dict[str, Any] = {
            "type": _TYPE_PREFIX + self.kind,
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            document["faults"] = [{"pointer": where, "detail": what} for where, what in self.faults[:FAULTS_LISTED]]
        if len(self.faults) > FAULTS_LISTED:
            document["detail"] += f"; the first {FAULTS_LISTED:,} of {len(self.faults):,} faults are listed"
        if self.instance:
            document["instance"] = self.instance
        return msgspec.json.encode(document)

    def response(self) -> Response:
        """Return the document as an answer."""
        return Response(self.body(), self.status, headers=dict(self.headers), media_type=MEDIA_TYPE)


def problem_of(error: AuditError) -> Problem:
    """Return what a client is told about `error`.

    An unavailable database is described in our words: libpq's name hosts and accounts.
    """
    if isinstance(error, RequestError):
        return Problem(error.status, error.kind, str(error), error.faults, error.headers)
    if isinstance(error, ValidationError):
        return Problem(422, "invalid", str(error), error.faults)
    if isinstance(error, ConflictError):
        return Problem(409, "conflict", str(error), error.faults)
    if isinstance(error, DatabaseUnavailableError):
        return Problem(
            503,
            "unavailable",
            "The database did not answer in time. Nothing is known to be stored: repeat the request; with an event_id "
            "of your own it is stored once.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    return internal()


def answer_to(error: AuditError) -> Response:
    """Return the answer to a request that raised `error`; such as are no fault of the client's are logged."""
    problem = problem_of(error)
    if problem.status >= 500:
        _LOG.warning("answered status=%d error=%s: %s", problem.status, type(error).__name__, _one_line(str(error)))
    return problem.response()


def internal(instance: str | None = None) -> Problem:
    """Return the problem that says nothing but that it is ours; `instance` is found again in the server's log."""
    return Problem(500, "internal", "An unexpected error on the server; its log has the details.", instance=instance)


def problem_of_http(error: HTTPException) -> Problem:
    """Return the problem for what the router itself refuses, an unknown path above all."""
    kind = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http")
    detail = "There is nothing at this path; see docs/http_api.md." if error.status_code == 404 else error.detail
    return Problem(error.status_code, kind, detail, headers=error.headers or {})


def _one_line(text: str) -> str:
    return " ".join(text.split())
