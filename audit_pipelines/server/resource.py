"""One path of the interface: which methods it has, and which permission each of them needs.

Authentication happens here and nowhere else, so no handler can forget it. A method that a path does not have answers
405 to whoever has a token, since "nobody may change an event" is an answer, and 401 to everybody else.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from audit_pipelines.server.auth import Authenticator, Permission, Principal, require
from audit_pipelines.server.limits import Limits
from audit_pipelines.server.problems import RequestError

Handler = Callable[[Request, Principal], Awaitable[Response]]
OpenHandler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method of a path."""

    permission: Permission | None
    """None: any valid token will do."""
    handler: Handler


class Resource:
    """An ASGI application for one path; it needs `Authorization: Bearer …` whatever the method."""

    def __init__(
        self, pattern: str, authenticate: Authenticator, limits: Limits, operations: Mapping[str, Operation]
    ) -> None:
        self.pattern = pattern
        self._authenticate = authenticate
        self._limits = limits
        self._operations = dict(operations)
        if "GET" in operations:
            self._operations["HEAD"] = operations["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        authorization = authorization_of(scope)
        principal = self._authenticate.known(authorization) or await self._admit(scope, authorization)
        operation = self._operations.get(request.method)
        self._limits.admit(principal, writes=operation is not None and operation.permission == "audit:write")
        if operation is None:
            allowed = ", ".join(sorted(self._operations))
            raise RequestError(
                405,
                "method-not-allowed",
                f"Expected {allowed} here. Events are append-only: nobody can change or delete one.",
                headers={"Allow": allowed},
            )
        if operation.permission is not None:
            require(principal, operation.permission)
        response = await operation.handler(request, principal)
        await response(scope, receive, send)

    async def _admit(self, scope: Scope, authorization: str | None) -> Principal:
        with self._limits.counting_refusals(scope):
            return await self._authenticate(authorization)


def authorization_of(scope: Scope) -> str | None:
    """Return the `Authorization` header; None for none, and for several, of which others may believe another one."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    return found[0].decode("latin-1") if len(found) == 1 else None


class OpenResource:
    """An ASGI application for one path that takes POST without a token, because it is how one is come by."""

    def __init__(self, pattern: str, limits: Limits, handler: OpenHandler) -> None:
        self.pattern = pattern
        self._limits = limits
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.method != "POST":
            raise RequestError(405, "method-not-allowed", "Expected POST here.", headers={"Allow": "POST"})
        with self._limits.counting_refusals(scope):
            response = await self._handler(request)
        await response(scope, receive, send)
