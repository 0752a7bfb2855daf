"""From a path straight to its resource, for every path that is known whole.

Starlette asks each route in turn and passes three layers on the way, which costs a small request as much as reading it
from the network. What no resource has as its whole path goes that way still.
"""

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from audit_pipelines.errors import AuditError
from audit_pipelines.server.problems import answer_to
from audit_pipelines.server.resource import Resource

_PARAMETER: Final = "{"


class Direct:
    """ASGI application over another; see the module."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._resources = {
            route.path: route.endpoint
            for route in routes
            if isinstance(route, Route) and isinstance(route.endpoint, Resource) and _PARAMETER not in route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        resource = self._resources.get(scope["path"]) if scope["type"] == "http" else None
        if resource is None:
            await self._app(scope, receive, send)
            return
        scope["endpoint"] = resource
        try:
            await resource(scope, receive, send)
        except AuditError as error:
            await answer_to(error)(scope, receive, send)
