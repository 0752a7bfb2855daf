"""The application: every path of the interface in one table, and the layers around it.

A new path is a line here and a handler elsewhere. Importing this module opens nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.identity.opening import Identity, open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.server.auth import Authenticator
from audit_pipelines.server.boundary import Boundary
from audit_pipelines.server.events import EVENTS_PATH, EventWriting
from audit_pipelines.server.health import Health
from audit_pipelines.server.managing import ACCOUNTS_PATH, ManagingAccounts
from audit_pipelines.server.problems import problem_of, problem_of_http
from audit_pipelines.server.read_log import ReadLog
from audit_pipelines.server.reading import EventReading
from audit_pipelines.server.resource import OpenResource, Operation, Resource
from audit_pipelines.server.signing import REVIEWS_PATH, SIGNATURES_PATH, SigningRecords
from audit_pipelines.server.signing_in import (
    LOGIN_PATH,
    LOGOUT_PATH,
    PASSWORD_PATH,
    PASSWORD_QUEUE,
    PASSWORD_THREADS,
    SigningIn,
)
from audit_pipelines.server.workers import Workers

_LOG: Final = logging.getLogger(__name__)
# More threads than this only take turns at the interpreter and at the tenants' heads.
_MOST_THREADS: Final = 16
_QUEUE: Final = 1_000
# A batch in memory is up to 32 MB of text and some times that as objects.
_BATCH_THREADS: Final = 2
_BATCH_QUEUE: Final = 16


def create_app(
    installation: Installation, *, on_stop: Callable[[], None] | None = None, identity: Identity | None = None
) -> Starlette:
    """Return the application over an open installation; it may run in several processes at once.

    `on_stop` is called when all that was begun is finished. `identity` is what the settings say, unless given.
    """
    settings = installation.settings
    workers = Workers(min(_MOST_THREADS, settings.database_pool_max), _QUEUE)
    batches = Workers(_BATCH_THREADS, _BATCH_QUEUE)
    writing = EventWriting(installation.ledger, installation.database, workers, batches)
    identity = identity or open_identity(installation)
    reading = EventReading(installation, workers, identity.signatures)
    health = Health(installation)

    passwords = Workers(PASSWORD_THREADS, PASSWORD_QUEUE)
    signing_in = SigningIn(identity, installation.keyring.jwt_secret, passwords, workers)
    reads = ReadLog(installation, workers)
    managing = ManagingAccounts(identity.accounts, reads, passwords=passwords, others=workers)
    signing = SigningRecords(installation.database, identity, reads, passwords=passwords, others=workers)

    authenticate = Authenticator(installation.keyring.jwt_secret, sessions=identity.sessions)

    def resource(path: str, **operations: Operation) -> Route:
        return Route(path, Resource(path, authenticate, operations))

    routes = [
        Route("/health", health.alive),
        Route("/api/audit/health", health.dependencies),
        resource(
            EVENTS_PATH,
            GET=Operation("audit:read", reading.timeline),
            POST=Operation("audit:write", writing.append),
        ),
        resource(
            f"{EVENTS_PATH}/batch",
            POST=Operation("audit:write", writing.append_batch),
            # An event may be called "batch" as well as anything else.
            GET=Operation("audit:read", reading.event),
        ),
        # Ids that clients chose may hold slashes.
        resource(f"{EVENTS_PATH}/{{event_id:path}}", GET=Operation("audit:read", reading.event)),
        Route(LOGIN_PATH, OpenResource(LOGIN_PATH, signing_in.log_in)),
        Route(PASSWORD_PATH, OpenResource(PASSWORD_PATH, signing_in.change_password)),
        resource(LOGOUT_PATH, POST=Operation(None, signing_in.log_out)),
        resource(
            ACCOUNTS_PATH,
            GET=Operation("audit:admin", managing.show),
            POST=Operation("audit:admin", managing.add),
        ),
        resource(f"{ACCOUNTS_PATH}/{{account_id}}", POST=Operation("audit:admin", managing.change)),
        resource(
            SIGNATURES_PATH,
            GET=Operation("audit:read", signing.list_signatures),
            POST=Operation("audit:sign", signing.sign),
        ),
        resource(REVIEWS_PATH, GET=Operation("audit:sign", signing.list_reviews)),
    ]
    middleware = [Middleware(Boundary, https=settings.api_base_url.startswith("https:"))]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key"],
                expose_headers=["Location", "Retry-After", "WWW-Authenticate"],
            )
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await workers.run(lambda: _ensure_partitions(installation.database))
        yield
        await anyio.to_thread.run_sync(writing.close)
        if on_stop:
            await anyio.to_thread.run_sync(on_stop)

    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={AuditError: _on_audit_error, HTTPException: _on_http_error},
        lifespan=lifespan,
    )
    # A redirect would have clients send a token and an event twice, the second time to wherever it points.
    app.router.redirect_slashes = False
    return app


def _ensure_partitions(database: Database) -> None:
    """Make the coming months' partitions; a database that is away now makes them at the first event of a month."""
    try:
        with database.connection("audit_app") as conn:
            conn.execute(query("server/ensure_partitions"))
    except DatabaseUnavailableError as error:
        _LOG.warning("partitions not made ahead: %s", error)


async def _on_audit_error(_: Request, error: Exception) -> Response:
    # Starlette types handlers for any exception; the table above sends only these here.
    expected = error if isinstance(error, AuditError) else AuditError(type(error).__name__)
    problem = problem_of(expected)
    if problem.status >= 500:
        _LOG.warning("answered status=%d error=%s: %s", problem.status, type(error).__name__, _one_line(str(expected)))
    return problem.response()


async def _on_http_error(_: Request, error: Exception) -> Response:
    return problem_of_http(error if isinstance(error, HTTPException) else HTTPException(500)).response()


def _one_line(text: str) -> str:
    return " ".join(text.split())
