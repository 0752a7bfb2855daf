"""Showing who read what: the access log of a tenant, to its administrators. Reading it is an access like any other.

Runs as `audit_app` on a connection of one tenant. A line carries the number and hash of its entry in the chain, and
the id under which evidence of it can be had.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.filters import ACCESS_PARAMETERS, Filters, encode_cursor, parse_filters
from audit_pipelines.server.reading import NOBODY, Found, asked_for, named_actor
from audit_pipelines.server.workers import Workers

ACCESS_LOG_PATH: Final = "/api/audit/access-log"


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of audit_access_log."""

    seq: int
    event_id: str
    row_hash: bytes
    accessed_at: datetime
    subject_ref: UUID | None
    action: str
    filters: dict[str, Any]
    result_count: int | None
    ip_address: str | None
    ip_index: bytes | None
    user_agent: str | None


class AccessReading:
    """The handler that shows the access log."""

    def __init__(self, installation: Installation, workers: Workers, access: AccessRecorder) -> None:
        self._database = installation.database
        self._vault = installation.vault
        self._workers = workers
        self._access = access

    async def lines(self, request: Request, principal: Principal) -> Response:
        """Return one page of the access log, newest first unless asked otherwise."""
        filters = parse_filters(request.query_params, ACCESS_PARAMETERS)
        found = await self._workers.run(partial(self._page, principal, filters))
        await self._access.record(request, principal, "access_log.list", found.asked, found.count)
        return Response(msgspec.json.encode(found.answer), media_type="application/json")

    def _page(self, principal: Principal, filters: Filters) -> Found:
        tenant_id = principal.tenant_id
        actor_ref = named_actor(self._vault, tenant_id, filters)
        parameters = {
            "actor_ref": actor_ref,
            "action": filters.action,
            "since": filters.since,
            "until": filters.until,
            "newest": filters.order == "desc",
            "cursor": filters.cursor,
            "limit": filters.limit,
        }
        with self._database.tenant_connection(tenant_id) as conn:
            with conn.cursor(row_factory=class_row(_Line)) as cursor:
                rows = cursor.execute(query("server/select_accesses"), parameters, prepare=False).fetchall()
            more, rows = len(rows) > filters.limit, rows[: filters.limit]
            refs = {row.subject_ref for row in rows if row.subject_ref}
            names = self._vault.identities(conn, refs)
            keys = self._vault.living_keys(conn, refs)
        asked = asked_for(filters, self._vault.tenant_key(tenant_id), actor_ref=actor_ref)
        if filters.action:
            asked["action"] = filters.action if rows else hashed(self._vault.tenant_key(tenant_id), filters.action)
        answer = {
            "accesses": [_shown(row, names, keys) for row in rows],
            "next_cursor": encode_cursor(filters.order, rows[-1].seq) if more else None,
        }
        return Found(answer, asked, len(rows))


def _shown(row: _Line, names: dict[UUID, str], keys: dict[UUID, bytes]) -> dict[str, Any]:
    ref = row.subject_ref or NOBODY
    key = keys.get(ref)
    return {
        "event_id": row.event_id,
        "seq": row.seq,
        "row_hash": row.row_hash.hex(),
        "accessed_at": format_moment(row.accessed_at),
        "actor_ref": str(row.subject_ref) if row.subject_ref else None,
        "actor": names.get(ref),
        "action": row.action,
        "filters": row.filters,
        "result_count": row.result_count,
        "ip_address": _opened(row.ip_address, key),
        "ip_index": row.ip_index.hex() if row.ip_index else None,
        "user_agent": row.user_agent,
    }


def _opened(sealed: str | None, key: bytes | None) -> str | None:
    """Return a sealed address in clear; None where its key was destroyed or it is not what was sealed."""
    if sealed is None or key is None:
        return None
    try:
        return sealing.unseal(key, sealed)
    except TamperedError:
        return None
