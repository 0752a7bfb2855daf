"""Whether the server lives and what it needs is there; no secret, no count and no tenant in any answer.

`/health` asks nothing of anybody, so that a sick database never gets a healthy process restarted. `/api/audit/health`
asks each dependency, at most every few seconds however often it is called, because anybody may call it.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import anyio
import msgspec
import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.db import migrate
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.server.workers import Workers

_VERSION: Final = version("audit-pipelines")
_FRESH_S: Final = 5.0
_PATIENCE_S: Final = 2.0
# checkpoint_job runs every five minutes; a missed one is no news, three are.
_CHECKPOINT_STALE_S: Final = 900.0


class Health:
    """The two health endpoints."""

    def __init__(self, installation: Installation) -> None:
        self._database = installation.database
        self._embedded = installation.settings.database_url is None
        self._workers = Workers(threads=1, queue=1_000)
        self._lock = anyio.Lock()
        self._report: dict[str, Any] = {}
        self._taken_at = float("-inf")

    async def alive(self, _: Request) -> Response:
        """Say that the process answers."""
        return _answer(200, {"status": "ok", "version": _VERSION})

    async def dependencies(self, _: Request) -> Response:
        """Say how each dependency is: 503 when a needed one is down or not as the product needs it."""
        async with self._lock:
            if time.monotonic() - self._taken_at > _FRESH_S:
                self._report = await self._workers.run(self._look)
                self._taken_at = time.monotonic()
        return _answer(200 if self._report["status"] != "down" else 503, self._report)

    def _look(self) -> dict[str, Any]:
        checks = {
            "database": _guarded(self._look_at_database),
            "migrations": _guarded(self._look_at_migrations),
            "partitions": _guarded(self._look_at_partitions),
            "checkpoint": _guarded(self._look_at_checkpoint),
        }
        states = {check["status"] for check in checks.values()}
        needed = {checks["database"]["status"], checks["migrations"]["status"]}
        status = "down" if "down" in needed else "ok" if states == {"ok"} else "degraded"
        return {"status": status, "version": _VERSION, "embedded": self._embedded, "checks": checks}

    def _look_at_database(self) -> dict[str, Any]:
        begun = time.perf_counter()
        with self._database.pool("audit_app").connection(timeout=_PATIENCE_S) as conn:
            conn.execute("select 1")
        return {"status": "ok", "ms": round((time.perf_counter() - begun) * 1000, 1)}

    def _look_at_migrations(self) -> dict[str, Any]:
        with self._database.connect_admin() as conn:
            pending = [item.name for item in migrate.status(conn) if item.applied_at is None]
        return {"status": "down" if pending else "ok", "pending": pending}

    def _look_at_partitions(self) -> dict[str, Any]:
        with self._database.pool("audit_app").connection(timeout=_PATIENCE_S) as conn:
            row = conn.execute(query("server/select_partitions_ahead")).fetchone()
        months = row[0] if row else -1
        return {"status": "ok" if months >= 1 else "degraded", "months_ahead": months}

    def _look_at_checkpoint(self) -> dict[str, Any]:
        # Row-level security shows audit_app no checkpoint without a tenant; the pipeline's role sees all of them.
        with self._database.pool("audit_pipeline").connection(timeout=_PATIENCE_S) as conn:
            row = conn.execute(query("server/select_newest_checkpoint")).fetchone()
        age = row[0] if row else None
        status = "ok" if age is None or age < _CHECKPOINT_STALE_S else "degraded"
        return {"status": status, "age_seconds": None if age is None else round(age, 1)}


def _guarded(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `look` found; a dependency that cannot be asked is down, and why stays in the log."""
    try:
        return look()
    except (psycopg.Error, PoolTimeout, AuditError) as error:
        return {"status": "down", "error": type(error).__name__}


def _answer(status: int, content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
