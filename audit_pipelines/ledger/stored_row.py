"""One row of the ledger as it is stored, and whether its content still has its hashes.

Pure. `verify` is what checks a ledger; here one row that is shown or was signed is checked, so that nobody takes a
changed one for what it was.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.segment import Row

_object: Final = msgspec.json.Decoder(dict[str, Any])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Entry(msgspec.Struct):
    event_id: str
    occurred_at: datetime
    actor_ref: UUID | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: str | None
    user_agent: str | None


_decode: Final = msgspec.json.Decoder(_Entry).decode


@dataclass(frozen=True, slots=True)
class StoredRow:
    """The columns of audit_logs."""

    tenant_id: UUID
    seq: int
    recorded_at: datetime
    event_id: str
    entry: bytes
    entry_hash: bytes
    prev_hash: bytes
    row_hash: bytes
    occurred_at: datetime
    actor_ref: UUID | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_address: str | None
    ip_index: bytes | None
    user_agent: str | None


def content_is_intact(row: StoredRow) -> bool:
    """Return whether the entry has its hash, the link follows from it, and every column says what the entry says."""
    digest = chain.entry_hash(row.entry)
    leaf = chain.leaf(row.tenant_id, row.seq, chain.microseconds(row.recorded_at), digest)
    if digest != row.entry_hash or chain.row_hash(row.prev_hash, chain.leaf_hash(leaf)) != row.row_hash:
        return False
    try:
        entry = _object.decode(row.entry)
    except ValueError:
        return False
    columns = {
        "event_id": row.event_id,
        "occurred_at": format_moment(row.occurred_at),
        "actor_ref": str(row.actor_ref) if row.actor_ref else None,
        "event_type": row.event_type,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "outcome": row.outcome,
        "ip_address": row.ip_address,
        "ip_index": row.ip_index.hex() if row.ip_index else None,
        "user_agent": row.user_agent,
    }
    return all(entry.get(name) == value for name, value in columns.items())


def of_archive(tenant_id: UUID, row: Row) -> StoredRow:
    """Return a row of a segment as the database had it: what is not stored there comes from the entry.

    Raises:
        TamperedError: when the entry is none.
    """
    try:
        said = _decode(row.entry)
        ip_index = bytes.fromhex(said.ip_index) if said.ip_index else None
    except (ValueError, RecursionError) as error:
        raise TamperedError(f"the archived row at seq {row.seq} holds no entry") from error
    return StoredRow(
        tenant_id=tenant_id,
        seq=row.seq,
        recorded_at=_EPOCH + timedelta(microseconds=row.recorded_at_us),
        event_id=row.event_id,
        entry=row.entry,
        entry_hash=row.entry_hash,
        prev_hash=row.prev_hash,
        row_hash=row.row_hash,
        occurred_at=said.occurred_at,
        actor_ref=said.actor_ref,
        event_type=said.event_type,
        entity_type=said.entity_type,
        entity_id=said.entity_id,
        outcome=said.outcome,
        ip_address=said.ip_address,
        ip_index=ip_index,
        user_agent=said.user_agent,
    )
