"""One search from a question to what is found: understood by rules, applied by SQL, ordered by meaning.

All of it runs as `audit_app` on a connection of one tenant, so row-level security decides what exists. Filters are
exact: an event that does not fulfil them is never found, however near it is in meaning. Meaning only chooses and orders
among those that do. Answers in words are made elsewhere, out of what is found here.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg
from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive.embedders import embedder_in_use, is_local
from audit_pipelines.derive.readings import ReadingVectors, of_installation
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.answer.model import Facts, Group
from audit_pipelines.intelligence.embed import Embedder, Vectors
from audit_pipelines.intelligence.render import label_words, parse_text, render_texts
from audit_pipelines.intelligence.search.deeds import deeds, deeds_of
from audit_pipelines.intelligence.search.question import Conditions, Person, Question, Vocabulary, understand
from audit_pipelines.intelligence.search.ranking import MORE, Candidate, Ranked, rank
from audit_pipelines.intelligence.search.readings import Reading
from audit_pipelines.ledger.stored_row import StoredRow
from audit_pipelines.search.conditions import Place, Wanted, joined, parameters, unsupported_networks
from audit_pipelines.search.knowledge import Knowledge, State
from audit_pipelines.search.persons import Persons
from audit_pipelines.search.wording import known_words

_LOG: Final = logging.getLogger(__name__)
# What one page may hold in memory.
_PAGE_BYTES: Final = 16 * 1024 * 1024
_DEFAULT_TOP: Final = 10
_MOST_TEXTS: Final = 4_000
# Unrelated texts have cosines of 0.0 to 0.15 with the built-in model.
_FAR: Final = 0.15
# Of sentences: what counts as near where a whole kind is counted, and as being as near as the nearest.
_NEAR: Final = 0.4
_AS_NEAR: Final = 0.03
_IN_VAIN: Final = frozenset({"failure", "denied"})
# Looking up the texts of this many events takes 0.2 s; with more, the newest of each text are soon found.
_FEW: Final = 60_000
# By how many doublings of every text's share a list grows that was too short; and where even one text fills any list.
_FARTHER: Final = 2
_DEAREST: Final = 20.0
# What at most this many events fulfil is answered by one pass over the covering index; keeping more of them costs more
# than a second pass.
_MOST_AT_ONCE: Final = 100_000
_MOST_UNTOLD: Final = 100_000
# A server of embeddings that failed is asked again after this long; until then words alone decide.
_PAUSE_S: Final = 30.0


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
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Hit(StoredRow):
    """One event found; `found` counts the rows that the page could have had."""

    found: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question that is understood, and the state of the tenant that it was understood in."""

    tenant_id: UUID
    state: State
    question: Question
    """Its conditions are those that are applied: the understood ones joined with the explicit ones."""
    wanted: Wanted
    asked: Asked

    @property
    def is_by_meaning(self) -> bool:
        """Whether words are left that no filter says."""
        return self.question.wanted == "events" and bool(self.question.unexplained)

    @property
    def key(self) -> tuple[Any, ...]:
        """All that the answer depends on; "today" is another question tomorrow."""
        return self.state.key, self.question, self.wanted, self.asked.limit, self.asked.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a question came to."""

    question: Question
    hits: Sequence[Hit]
    facts: Facts
    """Of all events that the filters let through, whatever their meaning."""
    next: Place | None = None
    ranked: bool = False
    """Whether the hits are in an order of meaning."""
    distinct: int = 0
    """Of a ranking: how many different values there are, also beyond its end."""
    notes: tuple[str, ...] = ()
    """What the caller must know to read the result rightly, a sentence each."""
    whole: bool = True
    """False where something was left out that may be there the next time: not to be kept."""
    archived: tuple[int, str] | None = None
    """How many events are in the archive alone, and up to which month."""


class Search:
    """The engine over one installation; safe to share between threads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._database = installation.database
        self._vault = installation.vault
        self._persons = Persons(installation.vault)
        self._knowledge = Knowledge()
        self._embedders: dict[str, Embedder | None] = {}
        self._readings: dict[str, ReadingVectors] = {}
        self._quiet_until: dict[str, float] = {}
        self._timeout_ms = installation.settings.database_timeout
        self._most = installation.settings.audit_max_search_results

    def search(self, tenant_id: UUID, asked: Asked) -> Found:
        """Return what the tenant's trail has for a question."""
        return self.find(self.prepare(tenant_id, asked))

    def prepare(self, tenant_id: UUID, asked: Asked) -> Prepared:
        """Understand a question in the tenant's own words."""
        with self._database.tenant_connection(tenant_id) as conn:
            state = self._knowledge.state(conn, tenant_id)
            called: dict[str, str] = {}

            def find(name: str) -> Person | None:
                person = self._persons.find(conn, tenant_id, state.erasures, name)
                if person:
                    called[person.name] = ", ".join(map(str, person.refs))
                return person

            vocabulary = Vocabulary(state.event_types, state.entity_types, state.outcomes, find, state.pairs)
            question = understand(asked.query, vocabulary, now=asked.now, zone=asked.zone)
        conditions = joined(question.conditions, asked.explicit)
        if question.wanted != "events" and question.unexplained and not conditions.event_types:
            # What is counted is whole kinds, never single events by their likeness.
            likely = question.likely_types or self._nearest_kinds(tenant_id, state, question)
            conditions = replace(conditions, event_types=likely)
        question = replace(question, conditions=conditions)
        if not asked.show_names:
            # A name that was completed from a part of it is told by reference.
            hidden = (replace(each, value=called.get(each.value, each.value)) for each in question.understood)
            question = replace(question, understood=tuple(hidden))
        wanted = Wanted(conditions, asked.words, asked.with_accesses or _asks_accesses(conditions), str(asked.zone))
        return Prepared(tenant_id, state, question, wanted, asked)

    def find(self, prepared: Prepared) -> Found:
        """Return what there is.

        Raises:
            DatabaseUnavailableError: when it takes longer than DATABASE_TIMEOUT.
        """
        question, asked = prepared.question, prepared.asked
        ordered = self._order(prepared) if prepared.is_by_meaning else None
        try:
            with self._database.tenant_connection(prepared.tenant_id) as conn:
                return self._find(conn, prepared, ordered) if asked.limit else _nothing(question)
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseUnavailableError(f"searching took longer than {self._timeout_ms} ms") from error

    def _find(self, conn: Connection, prepared: Prepared, ordered: "_Order | None") -> Found:
        question, wanted, asked = prepared.question, prepared.wanted, prepared.asked
        found, matching = self._exact(conn, prepared, wanted, question)
        ids = wanted.conditions.entity_ids
        if not found.facts.matching and ids and ids != asked.explicit.entity_ids:
            # An identifier may stand elsewhere than in entity_id.
            conditions = replace(wanted.conditions, entity_ids=(), phrases=(*wanted.conditions.phrases, *ids))
            other = replace(question, conditions=conditions)
            elsewhere, as_words = self._exact(conn, prepared, replace(wanted, conditions=conditions), other)
            if elsewhere.facts.matching:
                note = f"No entity is called {' or '.join(ids)}: events with these words were looked for."
                found, matching = replace(elsewhere, notes=(note,)), as_words
        notes = (*map(_network_note, unsupported_networks(wanted.conditions)), *found.notes)
        found = replace(found, notes=notes, archived=_archived(conn))
        if question.wanted == "comparison" and question.compared_with:
            period = question.compared_with
            conditions = replace(found.question.conditions, since=period.since, until=period.until)
            other_period = self._parameters(prepared, replace(wanted, conditions=conditions))
            found = replace(found, facts=replace(found.facts, compared=_count(conn, other_period).matching))
        return found if ordered is None else self._by_meaning(conn, prepared, found, matching, ordered)

    def _exact(
        self, conn: Connection, prepared: Prepared, wanted: Wanted, question: Question
    ) -> tuple[Found, dict[str, Any]]:
        """Return what the conditions alone find, and how SQL is asked for it."""
        asked = prepared.asked
        is_ranking = question.wanted == "ranking"
        by = "seq" if question.first is None or question.wanted != "events" or asked.after else (
            "first" if question.first else "last"
        )  # fmt: skip
        limit = asked.limit if by == "seq" else min(question.top or asked.limit, asked.limit)
        matching = self._parameters(prepared, wanted) | {
            "group": (question.group or "actor") if is_ranking else None,
            "fewest": question.fewest,
            "top": question.top or _DEFAULT_TOP,
            "by": by,
            "newest": by != "first",
            "cursor": asked.after.seq if asked.after else None,
            "limit": limit,
            "max_bytes": _PAGE_BYTES,
            "most": _MOST_AT_ONCE,
        }
        if wanted.is_narrow:
            count, first_at, last_at, page, groups, distinct = _rows(conn, "at_once", matching)[0]
            if count <= _MOST_AT_ONCE:
                facts = Facts(
                    matching=count, first_at=first_at, last_at=last_at,
                    groups=tuple(Group(value, int(events)) for value, events in groups or ()),
                )  # fmt: skip
                seqs = page or []
                hits = _hits(conn, query("search/by_seq"), {"seqs": seqs[:limit], "max_bytes": _PAGE_BYTES})
                place = Place(hits[-1].seq) if by == "seq" and len(seqs) > len(hits) else None
                return Found(question=question, hits=hits, facts=facts, distinct=distinct, next=place), matching
        if is_ranking:
            rows = _rows(conn, "groups", matching)
            _, _, distinct, count, first_at, last_at = rows[0]
            groups = tuple(Group(value, events) for value, events, *_ in rows if value is not None)
            facts = Facts(matching=count or 0, first_at=first_at, last_at=last_at, groups=groups)
        else:
            facts, distinct = _count(conn, matching), 0
        if prepared.is_by_meaning:
            return Found(question=question, hits=(), facts=facts), matching
        hits = _hits(conn, _over_matching("page" if by == "seq" else "by_time"), matching)
        more = by == "seq" and bool(hits) and hits[0].found > len(hits)
        place = Place(hits[-1].seq) if more else None
        return Found(question=question, hits=hits, facts=facts, distinct=distinct, next=place), matching

    def _parameters(self, prepared: Prepared, wanted: Wanted) -> dict[str, Any]:
        return parameters(wanted, self._vault.tenant_key(prepared.tenant_id))

    # ---------------------------------------------------------------- by meaning

    def _order(self, prepared: Prepared) -> "_Order":
        """Return the tenant's texts in the order of the question's meaning; without a vector, by words."""
        question, state = prepared.question, prepared.state
        meaning = question.meaning or " ".join(question.unexplained)
        vector, note = self._vector(prepared.tenant_id, state, meaning)
        asked: dict[str, Any] = {"words": meaning, "most": _MOST_TEXTS, "model": state.model}
        with self._database.tenant_connection(prepared.tenant_id) as conn:
            if vector is None:
                rows = conn.execute(query("search/select_texts_by_words"), asked).fetchall()
            else:
                rows = conn.execute(query("search/select_texts"), asked | {"embedding": _as_sql(vector)}).fetchall()
        nearness = {} if vector is None else self._nearness(prepared.tenant_id, state, vector)
        said = deeds(meaning)
        fits = _fitting(question.conditions, state)
        type_of = _types_by_words(state.event_types)
        candidates: list[Candidate] = []
        for text_hash, text, similarity, words in rows:
            parts = parse_text(text)
            if fits(parts.event, parts.entity, parts.outcome):
                reading = nearness.get(Reading(parts.event, parts.outcome in _IN_VAIN))
                done = not said.isdisjoint(deeds_of(parts.event))
                candidates.append(Candidate(text_hash, type_of.get(parts.event, ""), similarity, reading, done, words))
        near = {each.text_hash for each in candidates if each.words or _nearest(each) >= _FAR}
        ranked = [one for one in rank(question, candidates) if one.text_hash in near or one.decided_by == "kind"]
        return _Order(ranked, note, whole=not note)

    def _nearest_kinds(self, tenant_id: UUID, state: State, question: Question) -> tuple[str, ...]:
        """Return the kind that a question reads most like, with others as near; none where none is near."""
        vector, _ = self._vector(tenant_id, state, question.meaning)
        nearness = {} if vector is None else self._nearness(tenant_id, state, vector)
        near = {each: nearness.get(Reading(label_words(each)), -1.0) for each in state.event_types}
        best = max(near.values(), default=-1.0)
        return tuple(each for each, cosine in near.items() if cosine >= max(best - _AS_NEAR, _NEAR))

    def _nearness(self, tenant_id: UUID, state: State, vector: Vectors) -> Mapping[Reading, float]:
        """Return how near the sentences for the tenant's kinds are; none of a model elsewhere, which costs."""
        embedder = self._embedder(tenant_id, state.model) if state.model else None
        if state.model is None or embedder is None or not is_local(embedder):
            return {}
        if state.model not in self._readings:
            self._readings[state.model] = of_installation(self._installation, embedder)
        return self._readings[state.model].nearness(_kinds_read(state.event_types), vector)

    def _vector(self, tenant_id: UUID, state: State, meaning: str) -> tuple[Vectors | None, str]:
        """Return the question's vector, or None and why."""
        model = state.model
        if model is None:
            return None, "This tenant's events have no vectors yet: words alone decided."
        if time.monotonic() < self._quiet_until.get(model, 0.0):
            return None, _NO_EMBEDDER
        try:
            embedder = self._embedder(tenant_id, model)
            if embedder is None:
                return None, _NO_EMBEDDER
            # What leaves this machine holds no word that may be somebody's.
            text = meaning if is_local(embedder) else known_words(meaning, state.event_types)
            if not text:
                return None, "None of the question's words may leave this machine: words alone decided."
            return embedder.encode([text])[0], ""
        except (AuditError, OSError) as error:
            _LOG.warning("a question was not embedded: %s", error)
            self._quiet_until[model] = time.monotonic() + _PAUSE_S
            return None, _NO_EMBEDDER

    def _embedder(self, tenant_id: UUID, model: str) -> Embedder | None:
        """Return the embedder of the tenant's model; opened once, since loading one takes half a second."""
        if model not in self._embedders:
            with self._database.tenant_connection(tenant_id) as conn:
                self._embedders[model] = embedder_in_use(self._installation, conn, tenant_id)
        return self._embedders[model]

    def _by_meaning(
        self, conn: Connection, prepared: Prepared, found: Found, matching: dict[str, Any], ordered: "_Order"
    ) -> Found:
        asked, state = prepared.asked, prepared.state
        # Pages of one list end before what came after its first page.
        end = asked.after.seq if asked.after else state.texts_until
        begun = asked.after.shown or 0 if asked.after else 0
        most = min(begun + asked.limit + 1, self._most)
        bounded = matching | {"before_seq": end, "most": most, "more": MORE}
        if found.facts.matching <= _FEW:
            texts = {
                "text_hashes": [one.text_hash for one in ordered.ranked],
                "costs": [one.cost for one in ordered.ranked],
            }
            seqs = [seq for seq, _ in _rows(conn, "by_texts", bounded | texts)]
        else:
            seqs = _newest_of_texts(conn, bounded, ordered.ranked, most)
        page = seqs[begun : begun + asked.limit]
        hits = _hits(conn, query("search/by_seq"), {"seqs": page, "max_bytes": _PAGE_BYTES})
        notes = found.notes + ((ordered.note,) if ordered.note else ())
        untold = _untold(conn, state.texts_until)
        if untold:
            notes += (f"{untold:,} new events are not searched by meaning yet.",)
        more = len(seqs) > begun + len(hits)
        return replace(
            found, hits=hits, ranked=True, notes=notes, whole=ordered.whole,
            next=Place(end, begun + len(hits)) if more else None,
        )  # fmt: skip


_NO_EMBEDDER: Final = "The embedding model does not answer: words alone decided."


@dataclass(frozen=True, slots=True)
class _Order:
    ranked: Sequence[Ranked]
    note: str
    whole: bool


def _as_sql(vector: Vectors) -> str:
    return "[" + ",".join(map(str, vector.tolist())) + "]"


def _nearest(candidate: Candidate) -> float:
    return max(candidate.similarity or 0.0, candidate.reading or 0.0)


@lru_cache(maxsize=64)
def _kinds_read(event_types: tuple[str, ...]) -> frozenset[Reading]:
    return frozenset(Reading(label_words(each) or "event", failed) for each in event_types for failed in (False, True))


def _nothing(question: Question) -> Found:
    return Found(question=question, hits=(), facts=Facts(matching=0))


def _asks_accesses(conditions: Conditions) -> bool:
    """Return whether events that say who read what are asked for by their types."""
    return any(each.startswith("audit.") for each in (*conditions.event_types, *conditions.entity_types))


def _network_note(network: str) -> str:
    return f"{network} cannot be looked for: addresses are kept as keyed hashes, of which it has too many."


def _count(conn: Connection, matching: dict[str, Any]) -> Facts:
    count, first_at, last_at = _rows(conn, "count", matching)[0]
    return Facts(matching=count, first_at=first_at, last_at=last_at)


def _archived(conn: Connection) -> tuple[int, str] | None:
    row = conn.execute(query("server/select_archived")).fetchone()
    return (row[0], row[1]) if row and row[0] else None


def _untold(conn: Connection, texts_until: int) -> int:
    row = conn.execute(query("search/count_untold"), {"seq": texts_until, "most": _MOST_UNTOLD}).fetchone()
    return row[0] if row else 0


def _newest_of_texts(conn: Connection, asked: dict[str, Any], ranked: Sequence[Ranked], most: int) -> list[int]:
    """Return the seqs of the cheapest events, reading no more of each text than its share of a list of `most`.

    All that costs up to a bound is read. Where that is too little, since conditions leave a text fewer than its share,
    the bound rises until it is enough or every text is read whole.
    """
    bound = _bound(ranked, most)
    while ranked:
        within = [one for one in ranked if one.cost <= bound]
        shares = [min(most, int(2 ** min((bound - one.cost) / MORE, 30.0))) for one in within]
        texts = {
            "text_hashes": [one.text_hash for one in within],
            "costs": [one.cost for one in within],
            "shares": shares,
        }
        rows = _rows(conn, "of_texts", asked | texts)
        read = Counter(place for _, place in rows)
        is_all = len(within) == len(ranked) and all(read[place] < share for place, share in enumerate(shares, start=1))
        if len(rows) >= most or is_all or min(shares) >= most:
            return [seq for seq, _ in rows]
        bound += _FARTHER * MORE
    return []


def _bound(ranked: Sequence[Ranked], most: int) -> float:
    """Return the cost up to which there would be `most` events if every text had as many as it may show."""
    bound = ranked[0].cost if ranked else 0.0
    while sum(2 ** ((bound - one.cost) / MORE) for one in ranked if one.cost <= bound) < most and bound < _DEAREST:
        bound += MORE / 4
    return bound


class _Fitting(NamedTuple):
    events: frozenset[str] | None
    entities: frozenset[str] | None
    outcomes: frozenset[str] | None

    def __call__(self, event: str, entity: str, outcome: str) -> bool:
        return (
            (self.events is None or event in self.events)
            and (self.entities is None or entity in self.entities)
            and (self.outcomes is None or outcome in self.outcomes)
        )


def _fitting(conditions: Conditions, state: State) -> _Fitting:
    """Return which texts an event that fulfils the conditions can have: texts of others need not be walked through.

    It only leaves out what cannot be; the conditions themselves are applied by SQL.
    """
    left = tuple(each for each in state.outcomes if each not in conditions.not_outcomes)
    outcomes = conditions.outcomes or (left if conditions.not_outcomes else ())
    allowed = {_outcome_words(each) for each in outcomes}
    if conditions.not_outcomes and not conditions.outcomes:
        allowed.add(_outcome_words(None))
    return _Fitting(
        frozenset(label_words(each) or "event" for each in conditions.event_types) or None,
        frozenset(label_words(each) or "entity" for each in conditions.entity_types) or None,
        frozenset(allowed) or None,
    )


@lru_cache(maxsize=1_024)
def _outcome_words(outcome: str | None) -> str:
    """Return how texts say an outcome."""
    row = {"event_type": ["x"], "entity_type": ["x"], "outcome": [outcome], "details": [None]}
    return parse_text(render_texts(pl.DataFrame(row, schema=dict.fromkeys(row, pl.String)))[0]).outcome


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


def _hits(conn: Connection, statement: bytes, asked: dict[str, Any]) -> list[Hit]:
    with conn.cursor(row_factory=class_row(Hit)) as cursor:
        return cursor.execute(statement, asked, prepare=False, binary=True).fetchall()
