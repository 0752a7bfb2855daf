"""One event out of the archive, as the database would have given it: what is not stored there comes from the entry."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger.archives import ArchiveFolder, DeletedArchiveError, archived_rows
from audit_pipelines.ledger.segment import Row
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.rows import EventRow

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


def archived_event(
    conn: Connection, folder: ArchiveFolder, tenant_id: UUID, event_id: str
) -> Sequence[EventRow] | RequestError:
    """Return the event if it is archived, nothing if it is not, and what to answer if it cannot be shown."""
    try:
        rows = archived_rows(conn, folder, tenant_id, [event_id])
        return [_as_row(tenant_id, row) for row in rows[:1]]
    except DeletedArchiveError as error:
        return RequestError(410, "deleted", f"{str(error)[0].upper()}{str(error)[1:]}.")
    except (TamperedError, msgspec.DecodeError):
        return RequestError(
            503,
            "archive-unavailable",
            "The event is in an archive that cannot be read. `audit-pipelines verify` says what is wrong with it.",
        )


def _as_row(tenant_id: UUID, row: Row) -> EventRow:
    said: Any = _decode(row.entry)
    return EventRow(
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
        ip_index=bytes.fromhex(said.ip_index) if said.ip_index else None,
        user_agent=said.user_agent,
        found=1,
    )
