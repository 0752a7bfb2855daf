"""What happened on days whose month left the database: the figures of a review, read out of the segment."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.identity.credentials import LOCKED
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.segment import read_rows
from audit_pipelines.ledger.stored_row import StoredRow, of_archive

# As `sql/identity/count_days.sql` has it.
_SPEAKS_OF_LOGGING_IN: Final = re.compile(r"log[-_. ]?[io]n|sign[-_. ]?in|authenticat", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """One day; figures are None where the rows were deleted by approval or cannot be read."""

    first_seq: int
    last_seq: int
    failed: int | None = None
    locked: int | None = None
    row_hash: bytes | None = None

    @property
    def events(self) -> int:
        """How many events were recorded."""
        return self.last_seq - self.first_seq + 1


def archived_days(
    conn: Connection, folder: ArchiveFolder, tenant_id: UUID, since: datetime, until: datetime
) -> dict[date, ArchivedDay]:
    """Return a tenant's days from `since` to before `until` whose rows are in the archive alone, or were deleted."""
    bounds = {"tenant_id": tenant_id, "since": since, "until": until}
    found = {}
    for day, first_seq, last_seq, month, is_deleted in conn.execute(query("identity/select_archived_days"), bounds):
        found[day] = ArchivedDay(first_seq, last_seq)
        if not is_deleted:
            found[day] = _read(folder, tenant_id, month, found[day])
    return found


def _read(folder: ArchiveFolder, tenant_id: UUID, month: str, day: ArchivedDay) -> ArchivedDay:
    try:
        rows = (
            of_archive(tenant_id, row)
            for some in read_rows(folder.segment(tenant_id, month), day.first_seq, day.last_seq)
            for row in some
        )
        return _counted(day, rows)
    except TamperedError:
        # Verification says what is wrong with it, and its findings stand in the record.
        return day


def _counted(day: ArchivedDay, rows: Iterable[StoredRow]) -> ArchivedDay:
    failed = locked = 0
    row_hash = None
    for row in rows:
        failed += row.outcome in {"failure", "denied"} and bool(_SPEAKS_OF_LOGGING_IN.search(row.event_type))
        locked += row.event_type == LOCKED
        row_hash = row.row_hash
    return ArchivedDay(day.first_seq, day.last_seq, failed, locked, row_hash)
