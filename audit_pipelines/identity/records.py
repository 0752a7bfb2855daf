"""What can be signed, and the hash that a signature is bound to: computed anew from the record itself each time.

An event and an erasure are rows of the ledger, in the database or in the archive, a report is a file, a review is the
stored text of a day.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, get_args
from uuid import UUID

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger.archives import ArchiveFolder, DeletedArchiveError, archived_rows_at, archived_seqs
from audit_pipelines.ledger.erasure import EVENT_TYPE as ERASED
from audit_pipelines.ledger.segment import Row
from audit_pipelines.ledger.stored_row import StoredRow, content_is_intact, of_archive

RecordKind = Literal["event", "report", "review", "erasure"]
RECORD_KINDS: Final[tuple[RecordKind, ...]] = get_args(RecordKind)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record as it is now: its hash, 32 bytes, or what is wrong with it."""

    digest: bytes | None
    problem: str = ""
    is_there: bool = True
    is_deleted: bool = False
    """Whether two persons approved that it be deleted with its archive: nobody can compare it any more."""


@dataclass(frozen=True, slots=True)
class Where:
    """Whose records, and where they lie."""

    tenant_id: UUID
    storage_dir: Path
    archives: ArchiveFolder


_ABSENT: Final = RecordState(None, "the record is not there", is_there=False)


def read_records(
    conn: Connection, where: Where, wanted: Iterable[tuple[RecordKind, str]]
) -> dict[tuple[RecordKind, str], RecordState]:
    """Return the states of records of the tenant, which `conn` sees."""
    states = {(kind, record_id): _READERS[kind](conn, where, record_id) for kind, record_id in wanted}
    absent = [record for record, state in states.items() if not state.is_there]
    places = archived_seqs(conn, [one for kind, one in absent if kind == "event" and "\x00" not in one])
    for kind, record_id in absent:
        if kind == "erasure" and (seq := _erasure_place(conn, record_id)) is not None:
            places[record_id] = seq
    rows = read_archived(conn, where, places.values())
    for kind, record_id in absent:
        found = rows.get(places.get(record_id, -1)) if kind in {"event", "erasure"} else None
        if isinstance(found, StoredRow):
            states[kind, record_id] = _row(found if _is_it(kind, record_id, found) else None)
        elif found is not None:
            deleted = isinstance(found, DeletedArchiveError)
            states[kind, record_id] = RecordState(None, why_not(found), is_deleted=deleted)
    return states


def read_archived(
    conn: Connection, where: Where, seqs: Iterable[int]
) -> dict[int, StoredRow | DeletedArchiveError | TamperedError]:
    """Return rows that are in the archive alone, or why one cannot be had."""
    rows: dict[int, StoredRow | DeletedArchiveError | TamperedError] = {}
    for seq, found in archived_rows_at(conn, where.archives, where.tenant_id, seqs).items():
        try:
            rows[seq] = of_archive(where.tenant_id, found) if isinstance(found, Row) else found
        except TamperedError as error:
            rows[seq] = error
    return rows


def why_not(error: DeletedArchiveError | TamperedError) -> str:
    """Return what a signature says of a row that cannot be had."""
    if isinstance(error, DeletedArchiveError):
        return f"it was deleted by approval: {error}"
    return f"the archive cannot be read: {error}"


def read_row(conn: Connection, name: str, parameters: Mapping[str, Any]) -> StoredRow | None:
    """Return the row that a query finds."""
    with conn.cursor(row_factory=class_row(StoredRow)) as cursor:
        return cursor.execute(query(name), parameters, binary=True).fetchone()


def _is_it(kind: RecordKind, record_id: str, row: StoredRow) -> bool:
    if kind == "event":
        return row.event_id == record_id
    return (row.event_type, row.entity_id) == (ERASED, str(UUID(record_id)))


def _erasure_place(conn: Connection, record_id: str) -> int | None:
    try:
        reference = UUID(record_id)
    except ValueError:
        return None
    row = conn.execute(query("identity/select_erasure_place"), {"id": reference}).fetchone()
    return int(row[0]) if row else None


def _event(conn: Connection, _: Where, record_id: str) -> RecordState:
    return _row(read_row(conn, "identity/select_event_row", {"id": record_id.replace("\x00", "\ufffd")}))


def _erasure(conn: Connection, _: Where, record_id: str) -> RecordState:
    try:
        reference = str(UUID(record_id))
    except ValueError:
        return _ABSENT
    return _row(read_row(conn, "identity/select_erasure_row", {"id": reference}))


def _row(row: StoredRow | None) -> RecordState:
    if row is None:
        return _ABSENT
    if not content_is_intact(row):
        return RecordState(None, f"the row at seq {row.seq} was changed: its content has other hashes")
    return RecordState(row.row_hash)


def _report(conn: Connection, where: Where, record_id: str) -> RecordState:
    # What is read is a name that the product wrote down itself, never a path of the caller's.
    row = conn.execute(query("identity/select_report"), {"id": record_id.replace("\x00", "\ufffd")}).fetchone()
    if row is None:
        return _ABSENT
    try:
        with (where.storage_dir / record_id).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return RecordState(None, f"the file cannot be read: {error.strerror or type(error).__name__}")
    if digest != row[0]:
        return RecordState(None, "the file is not the one that was written")
    return RecordState(digest)


def _review(conn: Connection, _: Where, record_id: str) -> RecordState:
    try:
        day = date.fromisoformat(record_id) if _DAY.fullmatch(record_id) else None
    except ValueError:
        day = None
    row = conn.execute(query("identity/select_review"), {"day": day}).fetchone() if day else None
    return RecordState(hashlib.sha256(row[0]).digest()) if row else _ABSENT


_READERS: Final[dict[RecordKind, Callable[[Connection, Where, str], RecordState]]] = {
    "event": _event,
    "report": _report,
    "review": _review,
    "erasure": _erasure,
}
