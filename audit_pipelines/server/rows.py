"""A ledger row as it is read for people: what is shown of it. Pure.

Whether its content still has its hashes, `ledger.stored_row` says.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.stored_row import StoredRow

_NULL: Final = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class EventRow(StoredRow):
    """One row of audit_logs; `found` counts the rows that the question's page could have had."""

    found: int


class _Details(msgspec.Struct):
    details: msgspec.Raw = _NULL


_details: Final = msgspec.json.Decoder(_Details)


def shown(row: StoredRow, names: dict[UUID, str] | None) -> dict[str, Any]:
    """Return the row for an answer; `actor` is there only where `names` is given.

    Details are the hashed entry's own bytes, sealed parts sealed; null where the entry was destroyed.
    """
    answer: dict[str, Any] = {
        "event_id": row.event_id,
        "seq": row.seq,
        "occurred_at": format_moment(row.occurred_at),
        "recorded_at": format_moment(row.recorded_at),
        "actor_ref": str(row.actor_ref) if row.actor_ref else None,
        "event_type": row.event_type,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "outcome": row.outcome,
        "ip_index": row.ip_index.hex() if row.ip_index else None,
        "user_agent": row.user_agent,
        "details": _details_of(row.entry),
        "row_hash": row.row_hash.hex(),
    }
    if names is not None:
        answer["actor"] = names.get(row.actor_ref) if row.actor_ref else None
    return answer


def _details_of(entry: bytes) -> msgspec.Raw:
    try:
        return _details.decode(entry).details
    except ValueError:
        return _NULL
