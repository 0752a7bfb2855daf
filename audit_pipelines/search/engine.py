"""One search from a question to what is found: understood by rules, applied by SQL, ranked by meaning.

All of it runs as `audit_app` on a connection of one tenant, so row-level security decides what exists. Filters are
exact: an event that does not fulfil them is never found, however near it is in meaning. Meaning only chooses and orders
among those that do. Answers in words are made elsewhere, out of what is found here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive.embedders import embedder_in_use
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.answer.model import Facts, Group
from audit_pipelines.intelligence.embed import Embedder
from audit_pipelines.intelligence.render import label_words, parse_text
from audit_pipelines.intelligence.search.question import Conditions, Question, Vocabulary, understand
from audit_pipelines.intelligence.search.ranking import Candidate, rank
from audit_pipelines.ledger.stored_row import StoredRow
from audit_pipelines.search.conditions import Wanted, joined, parameters
from audit_pipelines.search.knowledge import Knowledge, State
from audit_pipelines.search.persons import Persons

# What one page may hold in memory.
_PAGE_BYTES: Final = 16 * 1024 * 1024
_DEFAULT_TOP: Final = 10
_MOST_TEXTS: Final = 2_000
# How much farther than the best text another may be and still be counted as meant.
_NEAR: Final = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question as it comes in; persons and addresses stand in it in clear: never log this object."""

    query: str
    explicit: Conditions
    words: str | None
    with_accesses: bool
    limit: int
    now: datetime
    zone: ZoneInfo
    show_names: bool
    after: int | None = None
    """The seq that the last page ended with."""


@dataclass(frozen=True, slots=True)
class Hit(StoredRow):
    """One event found; `found` counts the rows that the page could have had."""

    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a question came to."""

    question: Question
    wanted: Wanted
    hits: Sequence[Hit]
    facts: Facts
    more: bool
    ranked: bool
    """Whether the hits are in an order of meaning; otherwise they are by seq."""
    notes: tuple[str, ...] = ()


class Search:
    """The engine over one installation; safe to share between threads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._database = installation.database
        self._vault = installation.vault
        self._persons = Persons(installation.vault)
        self._knowledge = Knowledge()
        self._embedders: dict[str, Embedder | None] = {}

    def search(self, tenant_id: UUID, asked: Asked) -> Found:
        """Return what the tenant's trail has for a question."""
        with self._database.tenant_connection(tenant_id) as conn:
            state = self._knowledge.state(conn, tenant_id)
            question = self._understand(conn, tenant_id, state, asked)
            wanted = Wanted(
                joined(question.conditions, asked.explicit), asked.words, asked.with_accesses, str(asked.zone)
            )
            return self._answer(conn, tenant_id, state, question, wanted, asked)

    def _understand(self, conn: Connection, tenant_id: UUID, state: State, asked: Asked) -> Question:
        person = partial(self._persons.find, conn, tenant_id, state.erasures, show_names=asked.show_names)
        vocabulary = Vocabulary(state.event_types, state.entity_types, state.outcomes, person)
        return understand(asked.query, vocabulary, now=asked.now, zone=asked.zone)

    def _answer(
        self, conn: Connection, tenant_id: UUID, state: State, question: Question, wanted: Wanted, asked: Asked
    ) -> Found:
        tenant_key = self._vault.tenant_key(tenant_id)
        matching = parameters(wanted, tenant_key)
        count, first_at, last_at = _rows(conn, "count", matching)[0]
        facts = Facts(matching=count, first_at=first_at, last_at=last_at)
        if question.wanted == "ranking":
            grouped = matching | {
                "group": question.group or "actor",
                "fewest": question.fewest,
                "top": question.top or _DEFAULT_TOP,
            }
            facts = replace(
                facts, groups=tuple(Group(value, events) for value, events in _rows(conn, "groups", grouped))
            )
        if question.wanted == "comparison" and question.compared_with:
            period = question.compared_with
            other = parameters(
                replace(wanted, conditions=replace(wanted.conditions, since=period.since, until=period.until)),
                tenant_key,
            )
            facts = replace(facts, compared=_rows(conn, "count", other)[0][0])
        if question.unexplained and question.meaning:
            texts = self._texts(conn, tenant_id, state, question)
            ranked = [one.text_hash for one in rank(question, texts)]
            rows = _rows(conn, "of_texts", matching | {"text_hashes": ranked, "most": asked.limit})
            seqs = [seq for seq, _ in rows]
            with conn.cursor(row_factory=class_row(Hit)) as cursor:
                hits = cursor.execute(query("search/by_seq"), {"seqs": seqs}, binary=True).fetchall()
            return Found(question=question, wanted=wanted, hits=hits, facts=facts, more=False, ranked=True)
        paged = matching | {
            "newest": not question.first,
            "cursor": asked.after,
            "limit": asked.limit,
            "max_bytes": _PAGE_BYTES,
        }
        with conn.cursor(row_factory=class_row(Hit)) as cursor:
            hits = cursor.execute(_over_matching("page"), paged, prepare=False, binary=True).fetchall()
        more = bool(hits) and hits[0].found > len(hits)
        return Found(question=question, wanted=wanted, hits=hits, facts=facts, more=more, ranked=False)

    def _texts(self, conn: Connection, tenant_id: UUID, state: State, question: Question) -> list[Candidate]:
        embedder = self._embedder(conn, tenant_id, state)
        if embedder is None:
            asked: dict[str, Any] = {"words": question.meaning, "most": _MOST_TEXTS}
            rows = conn.execute(query("search/select_texts_by_words"), asked).fetchall()
        else:
            vector = embedder.encode([question.meaning])[0]
            asked = {
                "model": state.model,
                "embedding": "[" + ",".join(map(str, vector.tolist())) + "]",
                "words": question.meaning,
                "most": _MOST_TEXTS,
            }
            rows = conn.execute(query("search/select_texts"), asked).fetchall()
        type_of = _types_by_words(state.event_types)
        return [
            Candidate(text_hash, type_of.get(parse_text(text).event, ""), similarity, words)
            for text_hash, text, similarity, words in rows
        ]

    def _embedder(self, conn: Connection, tenant_id: UUID, state: State) -> Embedder | None:
        """Return the embedder of the tenant's model; opened once, since loading one takes half a second."""
        if state.model is None:
            return None
        if state.model not in self._embedders:
            self._embedders[state.model] = embedder_in_use(self._installation, conn, tenant_id)
        return self._embedders[state.model]


@lru_cache(maxsize=64)
def _types_by_words(event_types: tuple[str, ...]) -> dict[str, str]:
    """Return which event type the first part of a text comes from."""
    return {label_words(each) or "event": each for each in event_types}


@lru_cache
def _over_matching(name: str) -> bytes:
    return query("search/matching") + query(f"search/{name}")


def _rows(conn: Connection, name: str, asked: dict[str, Any]) -> list[Any]:
    """Run a query over what matches, planned for its parameters: a generic plan would read past every index."""
    return conn.execute(_over_matching(name), asked, prepare=False).fetchall()
