"""The last step that formats share: from what a record means to an `Event`.

Fits texts into their columns, names what to seal, and marks actors that are machines. The details keep the record, so
what a column cannot hold (a port, a control character) is lost to nobody. What a record means, the format finds out.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit_pipelines.importers.fields import address, build_event, fit
from audit_pipelines.importers.sealing import PRODUCT_NAMES, SealedNames, sealed_pointers
from audit_pipelines.ledger.event import Event

ACTOR_KIND = "actor_kind"
"""The detail that says `machine` of an actor who is no person; the ledger shows no names by which to tell."""


@dataclass(slots=True)
class Meaning:
    """What one record says. `details` is a copy that `build` may change; `taken` are its keys that became columns."""

    event_type: str
    entity_type: str
    entity_id: str
    details: dict[str, Any]
    event_id: str | None = None
    occurred_at: datetime | None = None
    actor: str | None = None
    is_machine: bool = False
    outcome: str | None = None
    address: str | None = None
    """The source's own text: an address, with a port perhaps, or anything else."""
    user_agent: str | None = None
    taken: tuple[str, ...] = ()
    """Top-level keys that the columns hold exactly: the id, the type and the time."""
    identifiers: set[str] = field(default_factory=set)
    """More texts that give the actor away wherever they stand in the details."""
    sealed: tuple[str, ...] = ()
    """Pointers to seal beyond what names and content say."""


def build(meaning: Meaning, size: int, names: SealedNames = PRODUCT_NAMES) -> Event:
    """Return the event; `size` is the record's length in bytes. Raises `ValidationError` naming every misfit."""
    details = meaning.details
    for key in meaning.taken:
        details.pop(key, None)
        details.pop(key.lower(), None)
    identifiers = {text for text in (meaning.actor, *meaning.identifiers) if text}
    if meaning.actor and "\\" in meaning.actor:
        identifiers.add(meaning.actor.rpartition("\\")[2])
    ip_address = address(meaning.address)[0] if meaning.address else None
    if ip_address:
        identifiers.add(ip_address)
    sealed = sealed_pointers(details, frozenset(identifiers), names)
    if meaning.sealed:
        sealed = tuple(sorted({*sealed, *meaning.sealed}))
    if meaning.is_machine:
        details.setdefault(ACTOR_KIND, "machine")
    return build_event(
        {
            "event_id": meaning.event_id,
            "occurred_at": meaning.occurred_at,
            "actor": fit(meaning.actor, 1024) if meaning.actor else None,
            "event_type": fit(meaning.event_type, 256),
            "entity_type": fit(meaning.entity_type, 256),
            "entity_id": fit(meaning.entity_id, 1024),
            "outcome": fit(meaning.outcome, 64) if meaning.outcome else None,
            "ip_address": ip_address,
            "user_agent": fit(meaning.user_agent, 2048) if meaning.user_agent else None,
            "action_details": details,
            "sealed_fields": sealed,
        },
        size,
    )
