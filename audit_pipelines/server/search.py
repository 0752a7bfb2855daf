"""Asking the trail in plain words: the body, whom the answer is shown to, and what the access log keeps of both.

What is found is `audit_pipelines.search`'s, which is loaded by the first question: it brings polars and a model, which
servers that only take events in never need. Every question is recorded before it is answered, those answered out of the
cache too; the record names persons by reference and holds no word that may be somebody's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.search.question import Conditions
from audit_pipelines.ledger.event import UNPRINTABLE
from audit_pipelines.search.cache import Reply, ReplyCache
from audit_pipelines.search.conditions import Place
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.decoding import escape_pointer
from audit_pipelines.server.filters import EVENT_PARAMETERS, Filters, parse_filters
from audit_pipelines.server.forms import FORM_BYTES
from audit_pipelines.server.places import parse_place
from audit_pipelines.server.problems import Fault, RequestError
from audit_pipelines.server.reading import named_actor
from audit_pipelines.server.workers import Workers

if TYPE_CHECKING:
    from audit_pipelines.search.answering import Answering
    from audit_pipelines.search.engine import Asked, Found, Prepared, Search

SEARCH_PATH: Final = "/api/audit/search"
_FILTERS: Final = tuple(name for name in EVENT_PARAMETERS if name not in {"limit", "order", "cursor"})
_FIELDS: Final = ("query", "filters", "limit", "cursor", "time_zone", "answer")
_LONGEST_QUERY: Final = 1_000
_LONGEST_LOGGED: Final = 4_000
_DEFAULT_LIMIT: Final = 50
_REFERENCE: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_CURSOR: Final = re.compile(r"seq:(\d{1,18})|meaning:(\d{1,18}):(\d{1,6})")
# A search takes a core for milliseconds; a model takes seconds of waiting.
_THREADS: Final = 4
_QUEUE: Final = 200
_CHAT_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class _Body:
    """A request as it was read; its texts are in clear."""

    query: str
    filters: Filters
    limit: int
    after: Place | None
    zone: ZoneInfo
    answer: bool


@dataclass(frozen=True, slots=True)
class _Work:
    """What a question came to before its answer is written: a reply that was kept, or what was found."""

    prepared: "Prepared"
    reply: Reply | None
    found: "Found | None" = None


class Searching:
    """The handler of the search."""

    def __init__(self, installation: Installation, access: AccessRecorder) -> None:
        settings = installation.settings
        self._installation = installation
        self._database = installation.database
        self._vault = installation.vault
        self._access = access
        self._most = settings.audit_max_search_results
        self._workers = Workers(min(_THREADS, settings.database_pool_max), _QUEUE)
        self._chat = Workers(_CHAT_THREADS, _QUEUE)
        self._cache = ReplyCache(settings.audit_cache_ttl)

    async def search(self, request: Request, principal: Principal) -> Response:
        """Answer one question: what was understood, what was found, and an answer with its sources."""
        require_content_type(request, "application/json")
        asked = _read_body(await read_body(request, FORM_BYTES), self._most)
        work = await self._workers.run(partial(self._find, principal, asked))
        reply = work.reply
        if reply is None:
            # Whoever waits for a model must not keep others from searching.
            pool = self._chat if asked.answer and self._answering.is_slow else self._workers
            reply = await pool.run(partial(self._reply, principal, asked, work))
        await self._access.record(request, principal, "events.search", reply.logged, reply.count)
        return Response(reply.body, media_type="application/json", headers={"Cache-Control": "no-store"})

    @cached_property
    def _engine(self) -> "Search":
        from audit_pipelines.search.engine import Search  # noqa: PLC0415 — see the module's beginning

        return Search(self._installation)

    @cached_property
    def _answering(self) -> "Answering":
        from audit_pipelines.search.answering import Answering  # noqa: PLC0415 — see the module's beginning

        return Answering(self._installation.settings)

    def _find(self, principal: Principal, body: _Body) -> _Work:
        tenant_id = principal.tenant_id
        prepared = self._engine.prepare(tenant_id, self._asked(principal, body))
        reply = self._cache.get(tenant_id, prepared.state.erasures, self._key(principal, body, prepared))
        return _Work(prepared, reply) if reply else _Work(prepared, None, self._engine.find(prepared))

    def _asked(self, principal: Principal, body: _Body) -> "Asked":
        from audit_pipelines.search.engine import Asked  # noqa: PLC0415 — see the module's beginning

        filters, tenant_id = body.filters, principal.tenant_id
        actor_ref = named_actor(self._vault, tenant_id, filters)
        entity_ref = self._vault.find(tenant_id, filters.entity_id) if filters.entity_id else None
        explicit = Conditions(
            since=filters.since,
            until=filters.until,
            event_types=_some(filters.event_type),
            actors=_some(actor_ref),
            entity_types=_some(filters.entity_type),
            entity_ids=_some(filters.entity_id) + _some(entity_ref and str(entity_ref)),
            outcomes=_some(filters.outcome),
            addresses=_some(filters.ip_address),
        )
        return Asked(
            query=body.query,
            explicit=explicit,
            words=filters.q,
            with_accesses=filters.with_accesses,
            limit=body.limit,
            now=datetime.now(UTC),
            zone=body.zone,
            show_names=principal.sees_names,
            after=body.after,
        )

    def _reply(self, principal: Principal, body: _Body, work: _Work) -> Reply:
        from audit_pipelines.search.answering import sources_of  # noqa: PLC0415 — see the module's beginning
        from audit_pipelines.server.search_reply import Told  # noqa: PLC0415 — as above

        prepared, found, tenant_id = work.prepared, work.found, principal.tenant_id
        assert found is not None, "there is a reply already"  # noqa: S101 - for the type checker
        sources = sources_of(found.hits)
        answer = self._answering.answer(found, sources, body.zone) if body.answer else None
        told = Told(prepared=prepared, found=found, answer=answer, sources=sources)
        names = None
        if principal.sees_names:
            with self._database.tenant_connection(tenant_id) as conn:
                names = self._vault.identities(conn, told.references())
        tenant_key = self._vault.tenant_key(tenant_id)
        reply = Reply(msgspec.json.encode(told.document(names)), told.logged(tenant_key), len(found.hits))
        if told.may_be_kept:
            self._cache.put(tenant_id, self._key(principal, body, prepared), reply)
        return reply

    @staticmethod
    def _key(principal: Principal, body: _Body, prepared: "Prepared") -> tuple[Any, ...]:
        return principal.permissions, body.answer, prepared.key


def _some(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,)


def _read_body(body: bytes, most: int) -> _Body:
    """Return the request in a body.

    Raises:
        RequestError: 400 when it is no JSON.
        ValidationError: every fault by its pointer.
    """
    try:
        given = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "malformed", "The body is not JSON in UTF-8; nothing was done.") from None
    if not isinstance(given, dict):
        raise ValidationError("The request's body has a fault.", (("", "expected an object"),))
    faults: list[Fault] = [
        (f"/{escape_pointer(name)}", f"unknown field; expected some of {', '.join(_FIELDS)}")
        for name in given
        if name not in _FIELDS
    ]
    if "query" not in given:
        faults.append(("/query", "expected a question, got none"))

    def read(name: str, parse: Callable[[Any], Any], default: Any = None) -> Any:
        # A null is a field that was left out, for those whose clients write all of them.
        if given.get(name) is None and name != "query":
            return default
        try:
            return parse(given.get(name)) if name in given else default
        except ValidationError as error:
            faults.extend((f"/{name}{where}", what) for where, what in error.faults)
        except (TypeError, ValueError) as error:
            faults.append((f"/{name}", str(error)))
        return default

    read_all = _Body(
        query=read("query", _query, ""),
        filters=read("filters", _filters, Filters()),
        limit=read("limit", partial(_limit, most), min(_DEFAULT_LIMIT, most)),
        after=read("cursor", parse_place),
        zone=read("time_zone", _zone, ZoneInfo("UTC")),
        answer=read("answer", _flag, True),
    )
    if faults:
        raise ValidationError("The request's body has faults; nothing was searched.", tuple(faults))
    return read_all


def _query(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_QUERY or UNPRINTABLE.search(value):
        raise ValueError(f"expected a question of 1 to {_LONGEST_QUERY:,} characters without control characters")
    if not any(character.isalnum() for character in value):
        raise ValueError("expected at least one word")
    return value


def _filters(value: Any) -> Filters:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object with some of {', '.join(_FILTERS)}")
    texts = [
        (f"/{escape_pointer(name)}", "expected text") for name, given in value.items() if not isinstance(given, str)
    ]
    if texts:
        raise ValidationError("filters", tuple(texts))
    return parse_filters(QueryParams(list(value.items())), _FILTERS)


def _limit(most: int, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"expected a number from 1 to {most:,}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value


def _zone(value: Any) -> ZoneInfo:
    # Before it becomes a path: the names of the tz database and nothing else.
    if isinstance(value, str) and value in _zones():
        return ZoneInfo(value)
    raise ValueError("expected a name of the IANA time zone database, such as Europe/Berlin")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
