"""The application: every path of the interface in one table, and the layers around it.

A new path is a line here and a handler elsewhere. Importing this module opens nothing.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.identity.opening import Identity, open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.group_commit import GroupCommit
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.access_reading import ACCESS_LOG_PATH, AccessReading
from audit_pipelines.server.anomalies import ANOMALIES_PATH, INCIDENTS_PATH, SUPPRESSIONS_PATH, Anomalies
from audit_pipelines.server.archives import ARCHIVES_PATH, Archives
from audit_pipelines.server.auth import WITH_JWT_SECRET, Authenticator, Sessions, mint_token
from audit_pipelines.server.boundary import Boundary
from audit_pipelines.server.direct import Direct
from audit_pipelines.server.events import EVENTS_PATH, EventWriting
from audit_pipelines.server.exports import EXPORT_PATH, EXPORTS_PATH, Exports
from audit_pipelines.server.express import Express
from audit_pipelines.server.health import Health
from audit_pipelines.server.idempotency import Answer
from audit_pipelines.server.key_set import KeySet
from audit_pipelines.server.limits import Limits
from audit_pipelines.server.managing import ACCOUNTS_PATH, ManagingAccounts
from audit_pipelines.server.privacy import Privacy
from audit_pipelines.server.problems import answer_to, problem_of_http
from audit_pipelines.server.reading import EventReading
from audit_pipelines.server.resource import OpenResource, Operation, Resource
from audit_pipelines.server.scheduled_reports import REPORTS_PATH, SCHEDULES_PATH, ScheduledReports
from audit_pipelines.server.search import SEARCH_PATH, Searching
from audit_pipelines.server.signing import REVIEWS_PATH, SIGNATURES_PATH, SigningRecords
from audit_pipelines.server.signing_in import (
    LOGIN_PATH,
    LOGOUT_PATH,
    PASSWORD_PATH,
    PASSWORD_QUEUE,
    PASSWORD_THREADS,
    SigningIn,
)
from audit_pipelines.server.tokens import Expected
from audit_pipelines.server.workers import Workers
from audit_pipelines.server.writing import EventWrite, store

_LOG: Final = logging.getLogger(__name__)
# More threads than this only take turns at the interpreter and at the tenants' heads.
_MOST_THREADS: Final = 16
_QUEUE: Final = 1_000
# A batch in memory is up to 32 MB of text and some times that as objects.
_BATCH_THREADS: Final = 2
_BATCH_QUEUE: Final = 16
_FEW_CONNECTIONS: Final = 2


def create_app(
    installation: Installation, *, on_stop: Callable[[], None] | None = None, identity: Identity | None = None
) -> Starlette:
    """Return the application over an open installation; it may run in several processes at once.

    `on_stop` is called when all that was begun is finished. `identity` is what the settings say, unless given.
    """
    settings = installation.settings
    workers = Workers(min(_MOST_THREADS, settings.database_pool_max), _QUEUE)
    batches = Workers(_BATCH_THREADS, _BATCH_QUEUE)
    # It keeps a connection for itself; a pool of two would have one left for all the rest.
    is_express = settings.database_pool_max > _FEW_CONNECTIONS
    express = Express(installation.ledger, installation.database, settings.database_timeout) if is_express else None
    group: GroupCommit[EventWrite, Answer] = GroupCommit(partial(store, installation.database), express)
    writing = EventWriting(installation.ledger, installation.database, workers, batches, group)
    access = AccessRecorder(installation, workers, group)
    identity = identity or open_identity(installation)
    reading = EventReading(installation, workers, access, identity.signatures)
    access_reading = AccessReading(installation, workers, access)
    health = Health(installation)
    privacy = Privacy(installation, workers, access)
    archives = Archives(installation, workers, access)
    anomalies = Anomalies(installation, workers, access)
    exports = Exports(installation, workers, access)
    reports = ScheduledReports(installation, workers, access)
    searching = Searching(installation, access)

    passwords = Workers(PASSWORD_THREADS, PASSWORD_QUEUE)
    mint = partial(
        mint_token, installation.keyring.jwt_secret, audience=settings.jwt_audience, issuer=settings.jwt_issuer
    )
    signing_in = SigningIn(identity, mint, passwords, workers)
    managing = ManagingAccounts(identity.accounts, access, passwords, workers)
    signing = SigningRecords(installation, identity, access, passwords, workers)

    authenticate = _authenticator(installation, identity.sessions)
    limits = Limits(settings)

    def resource(path: str, **operations: Operation) -> Route:
        return Route(path, Resource(path, authenticate, limits, operations))

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
        resource(SEARCH_PATH, POST=Operation("audit:read", searching.search)),
        resource("/api/audit/gdpr-export", POST=Operation("audit:privacy", privacy.export)),
        resource("/api/audit/gdpr-erase", POST=Operation("audit:privacy", privacy.erase)),
        # Whoever may erase persons must not be the one who lifts what forbids it.
        resource(
            "/api/audit/legal-holds",
            GET=Operation("audit:admin", privacy.list_holds),
            POST=Operation("audit:admin", privacy.place_hold),
        ),
        resource("/api/audit/legal-holds/{hold_id}/release", POST=Operation("audit:admin", privacy.release_hold)),
        # Ids that clients chose may hold slashes.
        resource(f"{EVENTS_PATH}/{{event_id:path}}", GET=Operation("audit:read", reading.event)),
        Route(PASSWORD_PATH, OpenResource(PASSWORD_PATH, limits, signing_in.change_password)),
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
        resource(ANOMALIES_PATH, GET=Operation("audit:read", anomalies.list_anomalies)),
        resource(f"{ANOMALIES_PATH}/{{anomaly_id}}", GET=Operation("audit:read", anomalies.show_anomaly)),
        # Judging is what reviewers do, who sign; what keeps alerts from leaving is an administrator's.
        resource(f"{ANOMALIES_PATH}/{{anomaly_id}}/feedback", POST=Operation("audit:sign", anomalies.judge)),
        resource(INCIDENTS_PATH, GET=Operation("audit:read", anomalies.list_incidents)),
        resource(f"{INCIDENTS_PATH}/{{incident_id}}", GET=Operation("audit:read", anomalies.show_incident)),
        resource(
            SUPPRESSIONS_PATH,
            GET=Operation("audit:read", anomalies.list_suppressions),
            POST=Operation("audit:admin", anomalies.suppress),
        ),
        resource(f"{SUPPRESSIONS_PATH}/{{suppression_id}}", DELETE=Operation("audit:admin", anomalies.end_suppression)),
        resource(f"{EXPORT_PATH}/{{format}}", POST=Operation("audit:export", exports.export)),
        resource(
            f"{EXPORTS_PATH}/{{export_id}}",
            GET=Operation("audit:export", exports.show),
            DELETE=Operation("audit:export", exports.cancel),
        ),
        resource(f"{EXPORTS_PATH}/{{export_id}}/file", GET=Operation("audit:export", exports.download)),
        # What a report says is an export; that it comes about, and who is sent it, is an administrator's.
        resource(REPORTS_PATH, GET=Operation("audit:export", reports.list_reports)),
        resource(f"{REPORTS_PATH}/{{sha256}}", GET=Operation("audit:export", reports.fetch_report)),
        resource(
            SCHEDULES_PATH,
            GET=Operation("audit:admin", reports.list_schedules),
            POST=Operation("audit:admin", reports.add),
        ),
        resource(
            f"{SCHEDULES_PATH}/{{report_id}}",
            GET=Operation("audit:admin", reports.show_schedule),
            PATCH=Operation("audit:admin", reports.change),
            DELETE=Operation("audit:admin", reports.disable),
        ),
        resource(f"{SCHEDULES_PATH}/{{report_id}}/run-now", POST=Operation("audit:admin", reports.run_now)),
        resource(ACCESS_LOG_PATH, GET=Operation("audit:admin", access_reading.lines)),
        resource(ARCHIVES_PATH, GET=Operation("audit:admin", archives.listing)),
        resource(f"{ARCHIVES_PATH}/{{month}}/approvals", POST=Operation("audit:admin", archives.approve)),
    ]
    if WITH_JWT_SECRET in settings.jwt_algorithms:
        # Where identity providers alone are trusted, the token of a login would open nothing.
        routes.append(Route(LOGIN_PATH, OpenResource(LOGIN_PATH, limits, signing_in.log_in)))
    middleware = [Middleware(Boundary, https=settings.api_base_url.startswith("https:"))]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key"],
                expose_headers=["Location", "Retry-After", "WWW-Authenticate"],
            )
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await workers.run(lambda: _ensure_partitions(installation.database))
        exports.start()
        yield
        await anyio.to_thread.run_sync(exports.stop)
        await group.finish()
        if express:
            express.close()
        if on_stop:
            await anyio.to_thread.run_sync(on_stop)

    app = _Application(
        routes=routes,
        middleware=middleware,
        exception_handlers={AuditError: _on_audit_error, HTTPException: _on_http_error},
        lifespan=lifespan,
    )
    # A redirect would have clients send a token and an event twice, the second time to wherever it points.
    app.router.redirect_slashes = False
    return app


def _authenticator(installation: Installation, sessions: Sessions) -> Authenticator:
    settings = installation.settings
    expected = Expected(frozenset(settings.jwt_algorithms), settings.jwt_audience, settings.jwt_issuer)
    url = settings.jwt_jwks_url
    key_set = KeySet(url.get_secret_value(), settings.outgoing) if url else None
    return Authenticator(installation.keyring.jwt_secret, expected, key_set, sessions)


def _ensure_partitions(database: Database) -> None:
    """Make the coming months' partitions; a database that is away now makes them at the first event of a month."""
    try:
        with database.connection("audit_app") as conn:
            conn.execute(query("server/ensure_partitions"))
    except DatabaseUnavailableError as error:
        _LOG.warning("partitions not made ahead: %s", error)


class _Application(Starlette):
    """Starlette with `Direct` before its router, and without its outermost layer, whose work `Boundary` does."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = Direct(ExceptionMiddleware(self.router, handlers=self.exception_handlers), self.routes)
        for layer, args, kwargs in reversed(self.user_middleware):
            app = layer(app, *args, **kwargs)
        return app


async def _on_audit_error(_: Request, error: Exception) -> Response:
    # Starlette types handlers for any exception; the table above sends only these here.
    return answer_to(error if isinstance(error, AuditError) else AuditError(type(error).__name__))


async def _on_http_error(_: Request, error: Exception) -> Response:
    return problem_of_http(error if isinstance(error, HTTPException) else HTTPException(500)).response()
