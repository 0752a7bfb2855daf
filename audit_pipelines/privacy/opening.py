"""Opening an event for the person it is about: their own values in clear, everybody else as a reference.

What was sealed under the person's key is opened; of what others sealed, only values that name the person. Then every
text is looked through for other persons: the vault knows them by their names, and an address that it does not know is
left out as well.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import SEALED_KEY, format_moment, names_of, normalise_identity

_LONGEST_NAME: Final = 256
_TOKEN: Final = re.compile(r"[^\s\"',;<>()\[\]{}|=]{3,256}")
_MAIL: Final = re.compile(r"[^\s\"',;:<>()\[\]{}|=/]+@[^\s\"',;:<>()\[\]{}|=/]+")
_SOMEBODY: Final = "[address of another person]"
_SEALED: Final = "[sealed under another person's key]"

# Where `ledger.entry` keeps the id of an entity that is named after its actor.
_ENTITY_ID: Final = "$entity_id"

Role = Literal["actor", "entity", "mentioned"]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One row as `select_person_rows` has it."""

    seq: int
    recorded_at: Any
    event_id: str
    entry: bytes
    entry_hash: bytes
    prev_hash: bytes
    row_hash: bytes
    occurred_at: Any
    actor_ref: UUID | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    user_agent: str | None
    category: str | None
    risk: str | None


@dataclass
class Opener:
    """Opens rows for one person; the keys of others come with each page."""

    tenant_id: UUID
    ref: UUID
    identity: str
    key: bytes = field(repr=False)
    tenant_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        self._own = names_of(self.identity) | {normalise_identity(self.identity)}
        alternatives = "|".join(re.escape(name) for name in sorted(self._own, key=lambda name: (-len(name), name)))
        self._named = re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)

    def opened(self, row: PersonRow, keys: Mapping[UUID, bytes]) -> dict[str, Any] | None:
        """Return the event for an answer, names of others still in it; None where it is not about the person."""
        details = msgspec.json.decode(row.entry).get("details")
        if row.actor_ref == self.ref:
            return self._shown(row, "actor", self._opened(details, self.key, lambda _: True), self.key)
        key = self.tenant_key if row.actor_ref is None else keys.get(row.actor_ref)
        found = self._opened(details, key, self._names_person) if key else details
        if row.entity_id == str(self.ref):
            return self._shown(row, "entity", found, None)
        if self._names_person(msgspec.json.encode([found, row.entity_id, row.user_agent]).decode()):
            return self._shown(row, "mentioned", found, None)
        return None

    def strangers(self, value: Any) -> Iterator[str]:
        """Yield every piece of text in a value that could be another person's name."""
        for text in _texts(value):
            yield from (piece for piece in _pieces(text) if normalise_identity(piece) not in self._own)

    def without_strangers(self, value: Any, refs: Mapping[str, UUID]) -> Any:
        """Return a value with the names that `refs` has, and unknown mail addresses, replaced."""
        if isinstance(value, str):
            return self._masked(value, refs)
        if isinstance(value, list):
            return [self.without_strangers(item, refs) for item in value]
        if isinstance(value, dict):
            return {self._masked(name, refs): self.without_strangers(item, refs) for name, item in value.items()}
        return value

    def _masked(self, text: str, refs: Mapping[str, UUID]) -> str:
        if len(text) < 3:
            return text
        others = {piece for piece in _pieces(text) if piece in refs and refs[piece] != self.ref}
        for piece in sorted(others, key=len, reverse=True):
            if normalise_identity(piece) not in self._own:
                text = text.replace(piece, f"person {refs[piece]}")
        return _MAIL.sub(lambda match: match[0] if self._is_own(match[0]) else _SOMEBODY, text) if "@" in text else text

    def _is_own(self, address: str) -> bool:
        return normalise_identity(address.strip(".")) in self._own

    def _names_person(self, text: str) -> bool:
        return bool(self._named.search(text))

    def _opened(self, value: Any, key: bytes, wanted: Callable[[str], bool]) -> Any:
        if isinstance(value, list):
            return [self._opened(item, key, wanted) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {SEALED_KEY}:
            text = sealing.unseal(key, value[SEALED_KEY])
            return _json_or_text(text) if wanted(text) else _SEALED
        opened = {name: self._opened(item, key, wanted) for name, item in value.items()}
        if (kept := value.get(_ENTITY_ID)) and isinstance(opened.get(_ENTITY_ID), (int, float)):
            # It was sealed as the text it is, and not as JSON.
            opened[_ENTITY_ID] = sealing.unseal(key, kept[SEALED_KEY])
        return opened

    def _shown(self, row: PersonRow, role: Role, details: Any, key: bytes | None) -> dict[str, Any]:
        entity_id = row.entity_id
        if key and isinstance(details, dict) and _ENTITY_ID in details:
            entity_id = str(details[_ENTITY_ID])
            details = {name: value for name, value in details.items() if name != _ENTITY_ID}
        return {
            "role": role,
            "seq": row.seq,
            "event_id": row.event_id,
            "occurred_at": format_moment(row.occurred_at),
            "recorded_at": format_moment(row.recorded_at),
            "actor_ref": str(row.actor_ref) if row.actor_ref else None,
            "event_type": row.event_type,
            "entity_type": row.entity_type,
            "entity_id": entity_id,
            "outcome": row.outcome,
            "ip_address": _unsealed(row.ip_address, key),
            "user_agent": _unsealed(row.user_agent, key),
            "details": details,
            "category": row.category,
            "risk": row.risk,
            "entry_hash": row.entry_hash.hex(),
            "prev_hash": row.prev_hash.hex(),
            "row_hash": row.row_hash.hex(),
        }


MASKED: Final = ("event_id", "entity_id", "user_agent", "details")
"""Members of an event whose text may name others."""


def _unsealed(text: str | None, key: bytes | None) -> str | None:
    if text is None or not text.startswith(sealing.PREFIX):
        return text
    return sealing.unseal(key, text) if key else None


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return text


def _pieces(text: str) -> tuple[str, ...]:
    return _pieces_of_short(text) if len(text) <= _LONGEST_NAME else tuple(dict.fromkeys(_cut(text)))


# Each text is cut twice: to ask for the names in it, and to replace them. Long ones would fill the memory.
@lru_cache(maxsize=16_384)
def _pieces_of_short(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_cut(text)))


def _cut(text: str) -> Iterator[str]:
    if 3 <= len(text) <= _LONGEST_NAME:
        yield text
    for match in _TOKEN.finditer(text):
        yield match[0]
        stripped = match[0].strip(".:/\\!?")
        if stripped != match[0]:
            yield stripped
        if "/" in stripped or "\\" in stripped or ":" in stripped:
            yield from (piece for piece in re.split(r"[/\\:]", stripped) if len(piece) >= 3)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
