"""Where an import's batches go: one tenant's ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one batch."""

    stored: int
    duplicates: int


def ledger_sink(ledger: Ledger, tenant_id: UUID) -> Callable[[Sequence[Event]], Stored]:
    """Return the `append` that `run_import` takes: it stores a batch whole or not at all."""

    def append(events: Sequence[Event]) -> Stored:
        receipts = ledger.append(tenant_id, events)
        duplicates = sum(receipt.duplicate for receipt in receipts)
        return Stored(len(receipts) - duplicates, duplicates)

    return append
