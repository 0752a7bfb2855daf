"""What a search costs over a large tenant: the endpoint against the SQL that it needs, and a page of the timeline.

The tenant's events are a generated company's weeks, copied back in time inside the database: many times faster than
appending them. Their chain is therefore broken; nothing here reads it.
"""

import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import psycopg

from audit_pipelines.db.database import Connection
from audit_pipelines.derive.embedders import default_embedder, embedding_model
from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.render import text_hash
from audit_pipelines.intelligence.search.question import Conditions
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from audit_pipelines.search.engine import Asked, Search
from audit_pipelines.server.auth import mint_token
from benchmarks.rates import Figure
from benchmarks.serving import serving

_REPEATS: Final = 3
_WEEK: Final = timedelta(days=7)
_ID: Final = re.compile(r"[A-Z]+-\d+")
# Endings that make other texts of the same events, until there are about a thousand.
_VARIANTS: Final = ("", ", region restricted", ", access temporary", ", request automated")
_PLACES: Final = (
    "events from {address}",
    "how many failed logins from {address}",
    "everything from {network}",
)
"""Questions by an address alone."""
_UNINDEXED: Final = ("everything about {entity}", "who touched {rare}", '"break-glass"', 'everything with "{rare}"')
"""Questions by an entity or by quoted words alone, which read all events."""
_QUESTIONS: Final = (
    "show me all events from today",
    "failed logins yesterday",
    "everything that {person} did last week",
    "failed logins by {person} this month",
    "exports outside business hours in the last 30 days",
    "denied requests since Monday 9am",
    "how many failed logins this week compared with last week",
    "how many exports were there",
    "how many failed logins last month",
    "who exported most in the last 90 days",
    "who had the most failed logins ever",
    "which day had the most denied requests",
    "when did {person} first export something",
    "somebody gave himself more rights",
    "an alarm was silenced before something else happened",
    "salary data left the company",
    "a colleague looked at the wages of others last week",
    "secrets were taken by {person}",
    "logging was turned off at night",
    "files shared with strangers in the last 30 days",
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A tenant to search in."""

    tenant_id: UUID
    events: int
    texts: int
    person: str
    places: Mapping[str, str]
    """Something that much was done to and something that little was, an address and its network."""


def fill(installation: Installation, events: int) -> Filled:
    """Return a tenant with at least so many events, with texts and vectors, as if it had them for months."""
    tenant = uuid4()
    now = datetime.now(UTC).replace(microsecond=0)
    story = generate(11, now).events
    for first in range(0, len(story), 1_000):
        installation.ledger.append(tenant, story[first : first + 1_000])
    export_window(installation, date(2025, 1, 1), now.date() + timedelta(days=1), run_id="benchmark")
    embedder = default_embedder(installation)
    update_embeddings(installation, embedder, run_id="benchmark")
    copies = -(-events // len(story))
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("select audit_ensure_partitions(%s, %s)", [now - copies * _WEEK, copies // 4 + 2])
        texts = _variants(installation, conn, tenant)
        for copy in range(copies):
            _copy(conn, tenant, len(story), first=(copies - copy) * len(story), weeks=copy)
        conn.execute("delete from audit_logs where tenant_id = %s and seq < %s", [tenant, len(story)])
        conn.execute("delete from audit_event_texts where tenant_id = %s and seq < %s", [tenant, len(story)])
        conn.execute(
            "update audit_chain_heads set next_seq = %s where tenant_id = %s", [(copies + 1) * len(story), tenant]
        )
        for table in ("audit_logs", "audit_event_texts", "audit_embeddings"):
            conn.execute(f"vacuum (analyze) {table}".encode())
    person = next(event.actor for event in story if event.actor and "@" in event.actor)
    return Filled(tenant, copies * len(story), texts, person, _places(story))


def _places(story: Sequence[Event]) -> dict[str, str]:
    things = [
        each for each, _ in Counter(event.entity_id for event in story if _ID.fullmatch(event.entity_id)).most_common()
    ]
    addresses = Counter(event.ip_address for event in story if event.ip_address and "." in event.ip_address)
    address = addresses.most_common()[len(addresses) // 4][0]
    network = str(ip_network(f"{address}/24", strict=False))
    return {"entity": things[0], "rare": things[-1], "address": address, "network": network}


def _copy(conn: Connection, tenant: UUID, count: int, *, first: int, weeks: int) -> None:
    asked = {"tenant": tenant, "count": count, "first": first, "back": weeks * _WEEK, "variant": weeks % len(_VARIANTS)}
    conn.execute(
        """
        insert into audit_logs (tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash,
            occurred_at, actor_ref, event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent)
        select tenant_id, seq + %(first)s, occurred_at - %(back)s, event_id || '-' || %(first)s, entry, entry_hash,
            prev_hash, row_hash, occurred_at - %(back)s, actor_ref, event_type, entity_type, entity_id, outcome,
            ip_address, ip_index, user_agent
        from audit_logs where tenant_id = %(tenant)s and seq < %(count)s order by seq
        """,
        asked,
    )
    conn.execute(
        """
        insert into audit_event_texts (tenant_id, seq, text_hash)
        select e.tenant_id, e.seq + %(first)s, coalesce(v.other, e.text_hash)
        from audit_event_texts e
        left join search_variants v on v.text_hash = e.text_hash and v.variant = %(variant)s
        where e.tenant_id = %(tenant)s and e.seq < %(count)s
        """,
        asked,
    )


def _variants(installation: Installation, conn: Connection, tenant: UUID) -> int:
    """Store other texts of the same events with their vectors; return how many texts there are then."""
    embedder = default_embedder(installation)
    rows = conn.execute("select text_hash, text from audit_embeddings where tenant_id = %s", [tenant]).fetchall()
    conn.execute("create temporary table search_variants (text_hash bytea, variant integer, other bytea)")
    new: list[tuple[bytes, int, str]] = [
        (known, number, text + (ending if text.count(";") > 2 else f"; {ending[2:]}"))
        for known, text in rows
        for number, ending in enumerate(_VARIANTS)
        if ending
    ]
    vectors = embedder.encode([text for _, _, text in new])
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into search_variants values (%s, %s, %s)",
            [(one, number, text_hash(text)) for one, number, text in new],
        )
        cursor.executemany(
            "insert into audit_embeddings (tenant_id, model, text_hash, text, embedding) "
            "values (%s, %s, %s, %s, %s::vector) on conflict do nothing",
            [
                (tenant, embedding_model(embedder), text_hash(text), text, str(vector.tolist()))
                for (_, _, text), vector in zip(new, vectors, strict=True)
            ],
        )
    return len(rows) + len(new)


def search_figures(installation: Installation, events: int) -> Iterator[Figure]:
    """Yield the figures of searching in a tenant of so many events, and of a page of its timeline."""
    filled = fill(installation, events)
    yield from measure(installation, filled)


def measure(installation: Installation, filled: Filled) -> Iterator[Figure]:
    """Yield the same for a tenant that is there."""
    questions, places, quoted = (
        [question.format(person=filled.person, **filled.places) for question in some]
        for some in (_QUESTIONS, _PLACES, _UNINDEXED)
    )
    needed = {question: _needed(installation, filled, question) for question in questions}
    with _without_cache(), serving(installation.settings.home) as [port]:
        client = _client(installation, filled, port)
        for question in questions:
            _ask(client, question)
        ratios, p95s, pages, placed, words = [], [], [], [], []
        for _ in range(_REPEATS):
            bare, asked = [], []
            # Side by side, so that whatever else the machine does falls on both.
            for question in questions:
                bare.append(_replay(installation, filled, needed[question]))
                asked.append(_ask(client, question))
            ratios.append(_p95(asked) / _p95(bare))
            p95s.append(_p95(asked) * 1_000)
            placed.append(_p95([_ask(client, question) for question in places]) * 1_000)
            words.append(max(_ask(client, question) for question in quoted))
            pages.append(_p95([_page(client) for _ in range(40)]) * 1_000)
    note = f"{filled.events:,} events, {filled.texts:,} texts"
    yield Figure("search p95 ÷ its bare pgvector and SQL", ratios, 1.5, at_most=True, note=note)
    yield Figure("search p95", p95s, 300, at_most=True, unit="ms", note=note)
    yield Figure("search by an address alone, p95", placed, 300, at_most=True, unit="ms", note=note)
    # No index has entities and the words of details: one pass over all rows.
    yield Figure("search by an entity or quoted words alone, the longest", words, 5, at_most=True, unit="s", note=note)
    yield Figure("timeline page of 100, p95", pages, 50, at_most=True, unit="ms", note=note)


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


def _client(installation: Installation, filled: Filled, port: int) -> httpx.Client:
    token = mint_token(
        installation.keyring.jwt_secret,
        subject="auditor@example.org",
        tenant_id=filled.tenant_id,
        permissions=("audit:read", "audit:admin"),
        lifetime=timedelta(hours=2),
    )
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False)


def _ask(client: httpx.Client, question: str) -> float:
    begun = time.perf_counter()
    response = client.post("/api/audit/search", json={"query": question})
    taken = time.perf_counter() - begun
    response.raise_for_status()
    return taken


def _page(client: httpx.Client) -> float:
    begun = time.perf_counter()
    client.get("/api/audit/events", params={"limit": 100}).raise_for_status()
    return time.perf_counter() - begun


@contextmanager
def _without_cache() -> Iterator[None]:
    before = os.environ.get("AUDIT_CACHE_TTL")
    os.environ["AUDIT_CACHE_TTL"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AUDIT_CACHE_TTL"]
        else:
            os.environ["AUDIT_CACHE_TTL"] = before


_Statement = tuple[Any, Any, dict[str, Any]]


class _Noting(psycopg.Cursor[Any]):
    """A cursor that notes what it is asked."""

    noted: list[_Statement]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if "set_config" not in str(query):
            _Noting.noted.append((query, params, options))
        return super().execute(query, params, **options)


def _needed(installation: Installation, filled: Filled, question: str) -> list[_Statement]:
    """Return the statements that finding the answer takes, once the question is understood."""
    engine, database = Search(installation), installation.database
    asked = Asked(
        query=question, explicit=Conditions(), words=None, with_accesses=False, limit=50, now=datetime.now(UTC),
        zone=ZoneInfo("UTC"), show_names=True,
    )  # fmt: skip
    prepared = engine.prepare(filled.tenant_id, asked)
    _Noting.noted = []
    usual = database.tenant_connection

    @contextmanager
    def noting(tenant_id: UUID) -> Iterator[Connection]:
        with usual(tenant_id) as conn:
            factory, conn.cursor_factory = conn.cursor_factory, _Noting
            try:
                yield conn
            finally:
                conn.cursor_factory = factory

    database.tenant_connection = noting  # type: ignore[method-assign, assignment] - for the length of one question
    try:
        engine.find(prepared)
    finally:
        del database.tenant_connection
    return _Noting.noted


def _replay(installation: Installation, filled: Filled, statements: Sequence[_Statement]) -> float:
    """Return the seconds of the same statements alone."""
    with installation.database.tenant_connection(filled.tenant_id) as conn:
        begun = time.perf_counter()
        for query, params, options in statements:
            with conn.cursor() as cursor:
                cursor.execute(query, params, **options).fetchall()
        return time.perf_counter() - begun
