"""Showing events: the timeline and one event with its proof state. Every read is recorded before it is answered.

All of it runs as `audit_app` on a connection of one tenant, so row-level security decides what exists; no query names a
tenant. Names in clear come out of the vault, for those allowed alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import class_row
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.identity.signatures import Signatures
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.stored_row import content_is_intact
from audit_pipelines.ledger.vault import Vault
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.archived import archived_event
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.events import EVENTS_PATH
from audit_pipelines.server.filters import Filters, encode_cursor, parse_filters
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.rows import EventRow, shown
from audit_pipelines.server.signing import shown_signature
from audit_pipelines.server.workers import Workers

# What one page may hold in memory; a page of events with large details is shorter than asked and has a next_cursor.
_PAGE_BYTES: Final = 16 * 1024 * 1024
# No subject ever has it, so filtering by it finds nothing: what a question about an unknown person must answer.
NOBODY: Final = UUID(int=0)
_VOCABULARY: Final = ("event_type", "entity_type", "entity_id", "outcome")


@dataclass(frozen=True, slots=True)
class Found:
    """What a read came to: its answer, what was asked for as the access log may hold it, how many things were found."""

    answer: dict[str, Any] | None
    asked: dict[str, Any]
    count: int
    refusal: RequestError | None = None
    """Why what was found cannot be shown."""


class EventReading:
    """The handlers that read."""

    def __init__(
        self, installation: Installation, workers: Workers, access: AccessRecorder, signatures: Signatures
    ) -> None:
        self._database = installation.database
        self._vault = installation.vault
        self._access = access
        self._archives = ArchiveFolder(installation.database.archives_dir)
        self._timeout_ms = installation.settings.database_timeout
        self._workers = workers
        self._signatures = signatures

    async def timeline(self, request: Request, principal: Principal) -> Response:
        """Return one page of events, newest first unless asked otherwise."""
        filters = parse_filters(request.query_params)
        found = await self._workers.run(partial(self._timeline, principal, filters))
        return await self._answer(request, principal, "events.list", found)

    async def event(self, request: Request, principal: Principal) -> Response:
        """Return one event with its proof state, anomalies and tags; 404 for what this tenant does not have."""
        # Not from the route: an event may be called "batch", whose path is a route of its own. Nor from request.url,
        # which takes the decoded "?" of an id for the start of a query.
        event_id = request.scope["path"].removeprefix(f"{EVENTS_PATH}/")
        found = await self._workers.run(partial(self._event, principal, event_id))
        return await self._answer(request, principal, "events.show", found)

    async def _answer(self, request: Request, principal: Principal, action: str, found: Found) -> Response:
        await self._access.record(request, principal, action, found.asked, found.count)
        if found.refusal is not None:
            raise found.refusal
        if found.answer is None:
            raise RequestError(404, "not-found", "This tenant has no event with this id.")
        return Response(msgspec.json.encode(found.answer), media_type="application/json")

    def _timeline(self, principal: Principal, filters: Filters) -> Found:
        tenant_id = principal.tenant_id
        tenant_key = self._vault.tenant_key(tenant_id)
        named = resolve(self._vault, tenant_id, filters)
        parameters = {
            "event_type": filters.event_type,
            "entity_type": filters.entity_type,
            "entity_ids": named.entity_ids,
            "actor_ref": named.actor_ref,
            "outcome": filters.outcome,
            "ip_index": named.ip_index,
            "since": filters.since,
            "until": filters.until,
            "q": filters.q,
            "pieces": named.pieces,
            "with_accesses": filters.with_accesses,
            "newest": filters.order == "desc",
            "cursor": filters.cursor,
            "limit": filters.limit,
            "max_bytes": _PAGE_BYTES,
        }
        with self._database.tenant_connection(tenant_id) as conn:
            rows = self._select(conn, "server/select_events", parameters)
            names = self._names(conn, principal, rows)
            archived = conn.execute(query("server/select_archived")).fetchone()
        more = bool(rows) and rows[0].found > len(rows)
        answer: dict[str, Any] = {
            "events": [shown(row, names) for row in rows],
            "next_cursor": encode_cursor(filters.order, rows[-1].seq) if more else None,
        }
        if archived and archived[0]:
            # A timeline that ends where the database does must not look like the whole history.
            answer["archived"] = {"events": archived[0], "through": archived[1]}
        asked = asked_for(
            filters,
            tenant_key,
            actor_ref=named.actor_ref,
            entity_ref=named.entity_ref,
            ip_index=named.ip_index,
            found=bool(rows),
        )
        return Found(answer, asked, len(rows))

    def _event(self, principal: Principal, event_id: str) -> Found:
        tenant_id = principal.tenant_id
        tenant_key = self._vault.tenant_key(tenant_id)
        # Postgres has no text with NUL, so no event has such an id.
        wanted = event_id.replace("\x00", "\ufffd")
        with self._database.tenant_connection(tenant_id) as conn:
            rows: Sequence[EventRow] = self._select(conn, "server/select_event", {"event_id": wanted})
            refusal = None
            if not rows:
                archived = archived_event(conn, self._archives, tenant_id, wanted)
                rows, refusal = ([], archived) if isinstance(archived, RequestError) else (archived, None)
            answer = _with_proof(conn, rows[0], self._names(conn, principal, rows)) if rows else None
            if answer is not None:
                signed = self._signatures.of_records(conn, "event", [rows[0].event_id])
                answer["signatures"] = [shown_signature(one) for one in signed]
        asked = {"event_id": event_id if rows else hashed(tenant_key, event_id)}
        return Found(answer, asked, len(rows), refusal)

    def _select(self, conn: Connection, name: str, parameters: dict[str, Any]) -> list[EventRow]:
        """Run a query planned for its parameters: a generic plan would read past every index."""
        conn.execute("select set_config('statement_timeout', %s, true)", [str(self._timeout_ms)])
        try:
            with conn.cursor(row_factory=class_row(EventRow)) as cursor:
                return cursor.execute(query(name), parameters, prepare=False, binary=True).fetchall()
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseUnavailableError(f"reading took longer than {self._timeout_ms} ms") from error

    def _names(self, conn: Connection, principal: Principal, rows: Sequence[EventRow]) -> dict[UUID, str] | None:
        if not principal.sees_names:
            return None
        return self._vault.identities(conn, {row.actor_ref for row in rows if row.actor_ref})


def _with_proof(conn: Connection, row: EventRow, names: dict[UUID, str] | None) -> dict[str, Any]:
    seq = {"seq": row.seq}
    checkpoint = conn.execute(query("server/select_covering_checkpoint"), seq).fetchone()
    anomalies = conn.execute(query("server/select_event_anomalies"), seq).fetchall()
    category, category_confidence, risk, risk_confidence = (
        conn.execute(query("server/select_event_tags"), seq).fetchone() or (None,) * 4
    )
    return shown(row, names) | {
        "proof": {
            "entry_hash": row.entry_hash.hex(),
            "prev_hash": row.prev_hash.hex(),
            "row_hash": row.row_hash.hex(),
            "hash_ok": content_is_intact(row),
            "covered_by": {"size": checkpoint[0], "sealed_at": format_moment(checkpoint[1])} if checkpoint else None,
        },
        "anomalies": [
            {
                "anomaly_id": str(anomaly_id),
                "score": score,
                "severity": severity,
                "reasons": reasons,
                "model_id": model_id,
                "detected_at": format_moment(detected_at),
                "verdict": verdict,
            }
            for anomaly_id, score, severity, reasons, model_id, detected_at, verdict in anomalies
        ],
        "tags": {
            "category": category,
            "category_confidence": category_confidence,
            "risk": risk,
            "risk_confidence": risk_confidence,
        },
    }


@dataclass(frozen=True, slots=True)
class Named:
    """What filters name, as the database knows it: persons by reference, addresses by their index."""

    actor_ref: UUID | None
    entity_ref: UUID | None
    entity_ids: list[str] | None
    ip_index: bytes | None
    pieces: list[str] | None
    """LIKE patterns that any row with all the words must match."""


def resolve(vault: Vault, tenant_id: UUID, filters: Filters) -> Named:
    """Look up whom filters name."""
    entity_ref = vault.find(tenant_id, filters.entity_id) if filters.entity_id else None
    return Named(
        actor_ref=named_actor(vault, tenant_id, filters),
        entity_ref=entity_ref,
        entity_ids=_present([filters.entity_id, str(entity_ref) if entity_ref else None]),
        ip_index=_ip_index(vault.tenant_key(tenant_id), filters.ip_address) if filters.ip_address else None,
        pieces=_pieces(filters.q) if filters.q else None,
    )


def named_actor(vault: Vault, tenant_id: UUID, filters: Filters) -> UUID | None:
    """Return the reference to filter by; a name nobody has filters everything out."""
    if filters.actor is None:
        return filters.actor_ref
    named = vault.find(tenant_id, filters.actor) or _as_uuid(filters.actor) or NOBODY
    return named if filters.actor_ref in {None, named} else NOBODY


def asked_for(
    filters: Filters,
    tenant_key: bytes,
    *,
    actor_ref: UUID | None,
    entity_ref: UUID | None = None,
    ip_index: bytes | None = None,
    found: bool = False,
) -> dict[str, Any]:
    """Return the filters as the access log may hold them: references, and only such words as the ledger shows itself.

    A word that found nothing may be a name typed into the wrong field, and free words may always be one: those become
    keyed hashes, which answer "was this asked for?" and nothing else.
    """
    logged: dict[str, Any] = {"order": filters.order, "limit": filters.limit, "cursor": filters.cursor}
    for name in _VOCABULARY:
        value = getattr(filters, name)
        if value is not None:
            logged[name] = value if found else hashed(tenant_key, value)
    if entity_ref:
        logged["entity_id"] = str(entity_ref)
    if actor_ref == NOBODY:
        logged["actor"] = hashed(tenant_key, filters.actor or "")
    elif actor_ref:
        logged["actor_ref"] = str(actor_ref)
    if ip_index:
        logged["ip_index"] = ip_index.hex()
    if filters.since:
        logged["from"] = format_moment(filters.since)
    if filters.until:
        logged["to"] = format_moment(filters.until)
    if filters.q:
        logged["q"] = hashed(tenant_key, filters.q)
    if filters.include:
        logged["include"] = sorted(filters.include)
    return {name: value for name, value in logged.items() if value is not None}


def _ip_index(tenant_key: bytes, place: str) -> bytes:
    """Return what the index of an address equals, or what those of a network's addresses begin with."""
    return sealing.network_index(tenant_key, place) if "/" in place else sealing.ip_index(tenant_key, place)


def _present(values: Sequence[str | None]) -> list[str] | None:
    return [value for value in values if value is not None] or None


def _pieces(words: str) -> list[str] | None:
    """Return LIKE patterns that any row with all of `words` must match.

    ASCII alone: for other letters, Python and Postgres do not always agree on what the lower case is.
    """
    return [f"%{piece.lower()}%" for piece in re.findall(r"[0-9A-Za-z]+", words)] or None


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
