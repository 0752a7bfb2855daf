"""Labelled events in the shape the lake has them, made without a ledger: pseudonyms, blind indexes, sealed values.

Features must meet here exactly what they meet in the product, or figures would speak of another detector. So actors are
references, addresses are blind indexes and sealed values are opaque; only the keys are fixed ones. Which files hold
events is known to `datasets`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.lake.datasets import RAW_EVENTS
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.sealing import ip_index

Truth = Literal["attack", "benign", "ignored"]

COLUMNS: Final = ("user_agent", "ip_address", "details", "entity_id", "outcome")
"""What `without` can drop, by the names of the neutral form."""

_TENANT: Final = "00000000-0000-4000-8000-00000000e7a1"
# Nothing here is secret: the key only gives the indexes the form that those in the ledger have.
_KEY: Final = hashlib.sha256(b"evaluation").digest()


@dataclass(frozen=True)
class Label:
    """What is known of one event."""

    truth: Truth = "benign"
    """`ignored` events, an attacker's ordinary steps, count neither for a detector nor against it."""
    technique: str | None = None
    incident: str | None = None


BENIGN: Final = Label()


@dataclass(frozen=True)
class LabelledEvent:
    """One event with its label, before the lake's form."""

    event: Event
    label: Label = BENIGN


@dataclass(frozen=True)
class Labelled:
    """A labelled stream of one tenant."""

    name: str
    events: tuple[LabelledEvent, ...]
    """In order of arrival; `seq` follows it."""

    def frame(self, without: Sequence[str] = ()) -> pl.DataFrame:
        """Return the events as the lake's `raw_events` has them, the columns in `without` empty.

        `outcome` and `entity_id` cannot be null in features' eyes: they become `success` and the entity's kind.
        Raises ValidationError for a column that cannot be dropped.
        """
        if unknown := sorted(set(without) - set(COLUMNS)):
            raise ValidationError(f"expected columns among {', '.join(COLUMNS)}, got {', '.join(unknown)}")
        gone = set(without)
        rows = [_row(seq, each.event, gone) for seq, each in enumerate(self.events)]
        return pl.DataFrame(rows, schema=dict(RAW_EVENTS), orient="row")


def _row(seq: int, event: Event, gone: set[str]) -> tuple[Any, ...]:
    moment = event.occurred_at
    if moment is None:
        raise ValidationError(f"event {seq}: expected a moment, got none")
    return (
        _TENANT,
        seq,
        moment,
        event.event_id or str(seq),
        moment,
        None if event.actor is None else _reference(event.actor),
        event.event_type,
        event.entity_type,
        event.entity_type if "entity_id" in gone else event.entity_id,
        "success" if "outcome" in gone else event.outcome,
        ip_index(_KEY, event.ip_address).hex() if event.ip_address and "ip_address" not in gone else None,
        None if "user_agent" in gone else event.user_agent,
        None if "details" in gone or not event.details else _details(event),
        "",
    )


def _reference(actor: str) -> str:
    return str(UUID(bytes=hashlib.blake2b(actor.encode(), digest_size=16).digest(), version=4))


def _details(event: Event) -> str:
    details: Any = event.details
    for pointer in event.sealed_fields:
        details = _sealed(details, [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]])
    return msgspec.json.encode(details, order="deterministic").decode()


def _sealed(value: Any, path: list[str]) -> Any:
    """Return `value` with what `path` leads to replaced by a text as opaque as a sealed one; others are shared."""
    if not path:
        return "v1." + hashlib.blake2b(msgspec.json.encode(value), digest_size=32).hexdigest()
    head, rest = path[0], path[1:]
    if isinstance(value, dict) and head in value:
        return {**value, head: _sealed(value[head], rest)}
    if isinstance(value, list) and head.isdigit() and int(head) < len(value):
        return [_sealed(each, rest) if at == int(head) else each for at, each in enumerate(value)]
    return value


def moved(each: LabelledEvent, moment: datetime, **changes: Any) -> LabelledEvent:
    """Return the event at another moment, with other values of its fields."""
    return replace(each, event=msgspec.structs.replace(each.event, occurred_at=moment, **changes))
