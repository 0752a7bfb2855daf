"""One event out of the archive, as the database would have given it: what is not stored there comes from the entry."""

from collections.abc import Sequence
from dataclasses import fields
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger.archives import ArchiveFolder, DeletedArchiveError, archived_rows
from audit_pipelines.ledger.segment import Row
from audit_pipelines.ledger.stored_row import of_archive
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.rows import EventRow


def archived_event(
    conn: Connection, folder: ArchiveFolder, tenant_id: UUID, event_id: str
) -> Sequence[EventRow] | RequestError:
    """Return the event if it is archived, nothing if it is not, and what to answer if it cannot be shown."""
    try:
        rows = archived_rows(conn, folder, tenant_id, [event_id])
        return [_as_row(tenant_id, row) for row in rows[:1]]
    except DeletedArchiveError as error:
        return RequestError(410, "deleted", f"{str(error)[0].upper()}{str(error)[1:]}.")
    except TamperedError:
        return RequestError(
            503,
            "archive-unavailable",
            "The event is in an archive that cannot be read. `audit-pipelines verify` says what is wrong with it.",
        )


def _as_row(tenant_id: UUID, row: Row) -> EventRow:
    stored = of_archive(tenant_id, row)
    return EventRow(**{column.name: getattr(stored, column.name) for column in fields(stored)}, found=1)
