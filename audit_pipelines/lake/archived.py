"""Archived rows as the lake keeps events: every column out of the hashed entry, as the query of the ledger gives it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.ledger.segment import Row

if TYPE_CHECKING:
    import pyarrow as pa


class _Entry(msgspec.Struct):
    """What of an entry the lake has."""

    occurred_at: datetime
    actor_ref: str | None
    event_type: str
    entity_type: str
    entity_id: str
    outcome: str | None
    ip_index: str | None
    user_agent: str | None
    details: msgspec.Raw


_decode: Final = msgspec.json.Decoder(_Entry).decode


def archived_table(tenant_id: UUID, rows: Sequence[Row], schema: "pa.Schema") -> "pa.Table":
    """Return rows of a segment with the columns of `raw_events`."""
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that importing the asset graph need not pay

    tenant = str(tenant_id)
    lines = [_line(tenant, row) for row in rows]
    columns = [
        pa.array([line[field.name] for line in lines], pa.int64()).cast(field.type)
        if field.name == "recorded_at"
        else pa.array([line[field.name] for line in lines], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _line(tenant: str, row: Row) -> dict[str, Any]:
    said = _decode(row.entry)
    details = bytes(said.details).decode()
    return {
        "tenant_id": tenant,
        "seq": row.seq,
        "recorded_at": row.recorded_at_us,
        "event_id": row.event_id,
        "occurred_at": said.occurred_at,
        "actor_ref": said.actor_ref,
        "event_type": said.event_type,
        "entity_type": said.entity_type,
        "entity_id": said.entity_id,
        "outcome": said.outcome,
        "ip_index": said.ip_index,
        "user_agent": said.user_agent,
        "details": None if details == "null" else details,
        "row_hash": row.row_hash.hex(),
    }
