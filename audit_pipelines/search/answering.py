"""From what was found to an answer in words: its sources, who writes it, and the names in it for those allowed.

Persons stand as references until the last step, so that neither a model outside nor the access log is told a name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Final
from uuid import UUID

import msgspec
import polars as pl

from audit_pipelines.intelligence.answer.chat import ChatAnswerer
from audit_pipelines.intelligence.answer.chat_model import ChatModel
from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.labels import defused
from audit_pipelines.intelligence.answer.model import Answer, Source
from audit_pipelines.intelligence.render import COLUMNS, render_texts
from audit_pipelines.search.engine import Found, Hit
from audit_pipelines.settings import Settings

MOST_SOURCES: Final = 20
_REFERENCE: Final = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")


class _Entry(msgspec.Struct):
    details: msgspec.Raw = msgspec.Raw(b"null")


_details: Final = msgspec.json.Decoder(_Entry)


class Answering:
    """Writes answers: a chat model where the settings name one, else sentences composed of the facts."""

    def __init__(self, settings: Settings) -> None:
        chat = ChatModel.of(settings)
        self._chat = ChatAnswerer(chat) if chat else None

    @property
    def is_slow(self) -> bool:
        """Whether a model is asked, which takes seconds."""
        return self._chat is not None

    def answer(self, found: Found, sources: Sequence[Source], zone: tzinfo) -> Answer:
        """Return the answer; persons in it are references."""
        facts = replace(found.facts, distinct=found.distinct)
        if self._chat is not None:
            return self._chat.answer(found.question, facts, sources, zone=zone)
        return compose(found.question, facts, sources, zone=zone)


def sources_of(hits: Sequence[Hit]) -> tuple[Source, ...]:
    """Return the first events found as what an answer may cite, numbered in their order."""
    first = hits[:MOST_SOURCES]
    if not first:
        return ()
    rows = [(hit.event_type, hit.entity_type, hit.outcome, _details_of(hit)) for hit in first]
    texts = render_texts(pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row"))
    return tuple(
        Source(
            number=number,
            event_id=hit.event_id,
            seq=hit.seq,
            row_hash=hit.row_hash.hex(),
            occurred_at=hit.occurred_at,
            event_type=hit.event_type,
            entity_type=hit.entity_type,
            entity_id=hit.entity_id,
            outcome=hit.outcome,
            actor_ref=hit.actor_ref,
            text=text,
        )
        for number, (hit, text) in enumerate(zip(first, texts.to_list(), strict=True), start=1)
    )


def references_in(text: str) -> set[UUID]:
    """Return what may be references to persons in an answer."""
    return {UUID(each) for each in _REFERENCE.findall(text)}


def with_names(text: str, names: Mapping[UUID, str]) -> str:
    """Return the text with references to known persons replaced by their names."""
    # A name was chosen by somebody too: it must not look like a citation or a link of ours.
    shown = {ref: defused(name) for ref, name in names.items()}
    return _REFERENCE.sub(lambda match: shown.get(UUID(match[0]), match[0]), text)


def _details_of(hit: Hit) -> str | None:
    """Return the details as they were hashed; None where the entry was destroyed."""
    try:
        return bytes(_details.decode(hit.entry).details).decode()
    except ValueError:
        return None
