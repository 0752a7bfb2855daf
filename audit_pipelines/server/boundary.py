"""The outermost layer: security headers on every answer, one log line a request, and no error that gets out.

Lines hold the route's pattern, not the path or the query, and never a body or a token: names stand in all of those.
"""

import logging
import time
import traceback
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audit_pipelines.server import problems

_LOG: Final = logging.getLogger("audit_pipelines.server")
_SECURITY: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Boundary:
    """ASGI middleware around the whole application; `https` adds HSTS (RFC 6797)."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        headers = dict(_SECURITY)
        if https:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = [name for name, _ in message["headers"]]
                if self._names.isdisjoint(present):
                    message["headers"] += self._headers
                else:
                    message["headers"] += [header for header in self._headers if header[0] not in present]
            await send(message)

        try:
            await self._app(scope, receive, secured)
        except Exception as error:  # noqa: BLE001 - the last stop: what gets past here would be logged with its values
            instance = uuid4().urn
            _log_unexpected(error, instance)
            if not status:
                await problems.internal(instance).response()(scope, receive, secured)
        finally:
            _LOG.info(
                "request method=%s route=%s status=%d ms=%.1f",
                # A method is the client's own text: cut, and without anything that could look like another line.
                scope["method"][:10] if scope["method"].isalpha() else "?",
                getattr(scope.get("endpoint"), "pattern", "-"),
                status,
                (time.perf_counter() - begun) * 1000,
            )


def _log_unexpected(error: Exception, instance: str) -> None:
    """Log type and places; an error's message may repeat an event's content (libpq's DETAIL does)."""
    frames = " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-8:])
    )
    _LOG.error("unexpected error=%s instance=%s at=%s", type(error).__name__, instance, frames)
