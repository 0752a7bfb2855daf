"""What can be signed, and the hash that a signature is bound to: computed anew from the record itself each time.

An event and an erasure are rows of the ledger, a report is a file, a review is the stored text of a day.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, get_args
from uuid import UUID

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.ledger.stored_row import StoredRow, content_is_intact

RecordKind = Literal["event", "report", "review", "erasure"]
RECORD_KINDS: Final[tuple[RecordKind, ...]] = get_args(RecordKind)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record as it is now: its hash, 32 bytes, or what is wrong with it."""

    digest: bytes | None
    problem: str = ""
    is_there: bool = True


_ABSENT: Final = RecordState(None, "the record is not there", is_there=False)


def read_record(conn: Connection, storage_dir: Path, kind: RecordKind, record_id: str) -> RecordState:
    """Return the state of a record of the tenant that `conn` sees."""
    return _READERS[kind](conn, storage_dir, record_id)


def read_row(conn: Connection, name: str, parameters: Mapping[str, Any]) -> StoredRow | None:
    """Return the row that a query finds."""
    with conn.cursor(row_factory=class_row(StoredRow)) as cursor:
        return cursor.execute(query(name), parameters, binary=True).fetchone()


def _event(conn: Connection, _: Path, record_id: str) -> RecordState:
    return _row(read_row(conn, "identity/select_event_row", {"id": record_id.replace("\x00", "\ufffd")}))


def _erasure(conn: Connection, _: Path, record_id: str) -> RecordState:
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


def _report(conn: Connection, storage_dir: Path, record_id: str) -> RecordState:
    # What is read is a name that the product wrote down itself, never a path of the caller's.
    row = conn.execute(query("identity/select_report"), {"id": record_id.replace("\x00", "\ufffd")}).fetchone()
    if row is None:
        return _ABSENT
    try:
        with (storage_dir / record_id).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return RecordState(None, f"the file cannot be read: {error.strerror or type(error).__name__}")
    if digest != row[0]:
        return RecordState(None, "the file is not the one that was written")
    return RecordState(digest)


def _review(conn: Connection, _: Path, record_id: str) -> RecordState:
    try:
        day = date.fromisoformat(record_id) if _DAY.fullmatch(record_id) else None
    except ValueError:
        day = None
    row = conn.execute(query("identity/select_review"), {"day": day}).fetchone() if day else None
    return RecordState(hashlib.sha256(row[0]).digest()) if row else _ABSENT


_READERS: Final[dict[RecordKind, Callable[[Connection, Path, str], RecordState]]] = {
    "event": _event,
    "report": _report,
    "review": _review,
    "erasure": _erasure,
}
