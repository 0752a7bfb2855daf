"""A person's events in months that left the database: read out of the segments row by row, in constant memory.

Nothing finds a person in the archive but reading it, so this takes some seconds for each million of archived events.
What was deleted by approval of two persons is gone; `deleted_months` says which months that were.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.ledger.archives import Archive, ArchiveFolder, archives_of, released
from audit_pipelines.ledger.entry import SEALED_KEY
from audit_pipelines.ledger.erasure import ENTITY_TYPE
from audit_pipelines.ledger.segment import Row, read_rows
from audit_pipelines.ledger.stored_row import StoredRow, of_archive


def deleted_months(conn: Connection, tenant_id: UUID) -> list[Archive]:
    """Return the months of a tenant whose archive was deleted by approval."""
    return [one for one in archives_of(conn, tenant_id) if one.deleted_at]


def readable_months(conn: Connection, tenant_id: UUID) -> list[Archive]:
    """Return the months of a tenant that are in the archive alone."""
    return [one for one in released(archives_of(conn, tenant_id)) if not one.deleted_at]


def rows_that_may_name(
    folder: ArchiveFolder, months: Sequence[Archive], ref: UUID, names: frozenset[str]
) -> Iterator[StoredRow]:
    """Yield a person's archived rows, and those that have sealed values or name the person, in the order of `seq`.

    Raises:
        TamperedError: when a segment is missing or cut.
    """
    sealed, wanted = f'"{SEALED_KEY}"'.encode(), str(ref).encode()
    for tenant_id, row in _rows(folder, months):
        if wanted in row.entry or sealed in row.entry or _names(row.entry, names):
            yield of_archive(tenant_id, row)


def events_of(folder: ArchiveFolder, months: Sequence[Archive], ref: UUID) -> Iterator[tuple[int, datetime]]:
    """Yield `seq` and `occurred_at` of the archived events in which a person acted or was acted upon.

    Raises:
        TamperedError: when a segment is missing or cut.
    """
    wanted = str(ref)
    for tenant_id, row in _rows(folder, months):
        if wanted.encode() in row.entry:
            stored = of_archive(tenant_id, row)
            if stored.actor_ref == ref or (stored.entity_id == wanted and stored.entity_type != ENTITY_TYPE):
                yield stored.seq, stored.occurred_at


def _rows(folder: ArchiveFolder, months: Sequence[Archive]) -> Iterator[tuple[UUID, Row]]:
    for one in months:
        for rows in read_rows(folder.segment(one.tenant_id, one.month)):
            for row in rows:
                yield one.tenant_id, row


def _names(entry: bytes, names: frozenset[str]) -> bool:
    text = entry.decode(errors="replace").lower()
    return any(name in text for name in names)
