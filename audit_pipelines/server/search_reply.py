"""What a search tells: the document that goes out, and what the access log keeps of question and answer.

Pure. Names are in the document alone, for those allowed. The record holds references, words of a closed list, what the
ledger shows itself, and keyed hashes of all other words.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from audit_pipelines.intelligence.answer.model import Answer, Source
from audit_pipelines.intelligence.search.question import Conditions
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.search.answering import references_in, with_names
from audit_pipelines.search.engine import Found, Prepared
from audit_pipelines.search.persons import NOBODY
from audit_pipelines.search.wording import redact, redact_words
from audit_pipelines.server.places import cursor_text, encode_place
from audit_pipelines.server.rows import shown

_REFERENCE: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_LONGEST_LOGGED: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One question, what was found for it and what is said about it; persons are references."""

    prepared: Prepared
    found: Found
    answer: Answer | None
    sources: Sequence[Source]

    @property
    def may_be_kept(self) -> bool:
        """Whether the same question may be answered with the same again while nothing changes."""
        return self.found.whole and not (self.answer and self.answer.without_model)

    def references(self) -> set[UUID]:
        """Return the persons that stand in the document."""
        refs = {hit.actor_ref for hit in self.found.hits if hit.actor_ref}
        if self._ranks_persons:
            refs |= {UUID(group.value) for group in self.found.facts.groups}
        return refs | (references_in(self.answer.text) if self.answer else set())

    @property
    def _ranks_persons(self) -> bool:
        return self.found.question.group in {None, "actor"}

    def document(self, names: Mapping[UUID, str] | None) -> dict[str, Any]:
        """Return what goes out; `actor` and names in the answer are there only where `names` is given."""
        found, answer, question, facts = self.found, self.answer, self.found.question, self.found.facts
        known = None if names is None else dict(names)
        document: dict[str, Any] = {
            "query": question.text,
            "wanted": question.wanted,
            "results": [shown(hit, known) for hit in found.hits],
            "total": facts.matching,
            "order": "meaning" if found.ranked else "time" if question.first is not None else "seq",
            "next_cursor": encode_place(found.next) if found.next else None,
            "answer": None,
            "sources": [
                {
                    "number": source.number,
                    "event_id": source.event_id,
                    "seq": source.seq,
                    "row_hash": source.row_hash,
                    "occurred_at": format_moment(source.occurred_at),
                    "text": source.text,
                }
                for source in self.sources
            ],
            "understood": [
                {"words": each.words, "filter": each.field, "value": each.value} for each in question.understood
            ],
            "unexplained": list(question.unexplained),
            "filters": _shown_conditions(question.conditions, self.prepared.wanted.words),
            "first_at": format_moment(facts.first_at) if facts.first_at else None,
            "last_at": format_moment(facts.last_at) if facts.last_at else None,
            "notes": list(found.notes),
        }
        if question.wanted == "ranking":
            document["distinct"] = found.distinct
        document["groups"] = [self._group(each.value, each.events, names) for each in facts.groups]
        if question.wanted == "comparison" and question.compared_with:
            period = question.compared_with
            document["compared"] = {
                "total": facts.compared,
                "from": format_moment(period.since) if period.since else None,
                "to": format_moment(period.until) if period.until else None,
            }
        if answer:
            document["answer"] = {
                "text": self._named(answer.text, names),
                "generated_by": answer.generated_by,
                "cited": list(answer.cited),
            }
            if answer.without_model:
                document["answer"]["without_model"] = answer.without_model
        if found.archived:
            # A search that ends where the database does must not look like the whole history.
            document["archived"] = {"events": found.archived[0], "through": found.archived[1]}
        return document

    def _group(self, value: str, events: int, names: Mapping[UUID, str] | None) -> dict[str, Any]:
        group: dict[str, Any] = {"value": value, "events": events}
        if names is not None and self._ranks_persons:
            group["actor"] = names.get(UUID(value))
        return group

    @staticmethod
    def _named(text: str, names: Mapping[UUID, str] | None) -> str:
        return with_names(text, {**(names or {}), NOBODY: "nobody whom the trail knows"})

    def logged(self, tenant_key: bytes) -> dict[str, Any]:
        """Return what the access log keeps."""
        prepared, found = self.prepared, self.found
        asked, kinds = prepared.asked, prepared.state.event_types
        veil = partial(_veiled, tenant_key)
        logged: dict[str, Any] = {
            "query": redact(asked.query, found.question, kinds, veil),
            "query_hash": hashed(tenant_key, asked.query),
            "filters": self._logged_conditions(tenant_key),
            "limit": asked.limit,
            "time_zone": str(asked.zone),
            "matching": found.facts.matching,
        }
        if asked.after:
            logged["cursor"] = cursor_text(asked.after)
        if self.answer:
            text = redact_words(self.answer.text, found.question, kinds, veil)
            logged["answer"] = text[:_LONGEST_LOGGED]
            logged["generated_by"] = self.answer.generated_by
            logged["sources"] = [source.seq for source in self.sources]
        return logged

    def _logged_conditions(self, tenant_key: bytes) -> dict[str, Any]:
        """Return the conditions with keyed hashes for what may be a name or is an address."""
        question, state = self.found.question, self.prepared.state
        told = _shown_conditions(question.conditions, self.prepared.wanted.words)
        known = {
            "event_type": state.event_types,
            "entity_type": state.entity_types,
            "outcome": state.outcomes,
            "not_outcome": state.outcomes,
            # What was found stands there in clear.
            "not_event_type": state.event_types,
            "entity_id": question.conditions.entity_ids if self.found.facts.matching else (),
            "not_entity_id": (),
            "ip_address": (),
            "not_ip_address": (),
            "phrases": (),
            "q": (),
        }
        for name, clear in known.items():
            if name in told:
                values = told[name] if isinstance(told[name], list) else [told[name]]
                told[name] = [
                    each if each in clear or _REFERENCE.fullmatch(each) else hashed(tenant_key, each) for each in values
                ]
        return told


def _shown_conditions(conditions: Conditions, words: str | None) -> dict[str, Any]:
    """Return the conditions that were applied; persons as references."""
    told = {
        "from": conditions.since and format_moment(conditions.since),
        "to": conditions.until and format_moment(conditions.until),
        "event_type": conditions.event_types,
        "not_event_type": conditions.not_event_types,
        "actor_ref": tuple(map(str, conditions.actors)),
        "not_actor_ref": tuple(map(str, conditions.not_actors)),
        "entity_type": conditions.entity_types,
        "entity_id": (*conditions.entity_ids, *map(str, conditions.persons)),
        "not_entity_id": conditions.not_entity_ids,
        "outcome": conditions.outcomes,
        "not_outcome": conditions.not_outcomes,
        "ip_address": conditions.addresses,
        "not_ip_address": conditions.not_addresses,
        "hours": conditions.hours,
        "phrases": conditions.phrases,
        "q": words,
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items() if value}


def _veiled(tenant_key: bytes, word: str) -> str:
    return f"[{hashed(tenant_key, word)}]"
