"""Comparing the access log with the ledger: each row says what its entry says, and neither is without the other.

Entries in the database are compared there, those of a month in the archive as its rows go by. The entries are what
counts: whoever removes or changes a row of `audit_access_log` leaves the entry behind, whose loss or change the chain
shows.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.ledger.access import ENTITY_TYPE
from audit_pipelines.ledger.event import ACCESS_PREFIX
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.segment import Row

_MISSING: Final = "the access of this entry is missing from audit_access_log"
_NO_ENTRY: Final = "a row of audit_access_log has no entry in the ledger"
_OTHER: Final = "the row of audit_access_log says something else than its entry"
_FETCH: Final = 5_000
# Entries have sorted keys and no spaces, so that most are told apart without decoding.
_MARK: Final = b'"entity_type":"audit.access"'


class _Details(msgspec.Struct):
    details: dict[str, Any] | None = None


class _Pair(NamedTuple):
    """What select_accesses_to_verify says of one entry, one row, or both."""

    seq: int | None
    in_ledger: bool
    in_log: bool
    copies: int | None
    same: bool
    """Whether columns and columns agree."""
    entry: bytes
    filters: str
    result_count: int | None


_decode: Final = msgspec.json.Decoder(_Details).decode


def check_accesses(conn: Connection, tenant_id: UUID, first_seq: int, archived: str, findings: Findings) -> None:
    """Note every row of the access log that is missing, altered, copied, or of no entry from `first_seq` on.

    `archived` are the seqs of months that left the database, for which `ArchivedAccesses` is.
    """
    parameters = {"tenant_id": tenant_id, "first_seq": first_seq, "archived": archived}
    with conn.cursor() as cursor:
        # Streamed: a long access log does not have to fit in memory.
        for pair in map(_Pair._make, cursor.stream(query("ledger/select_accesses_to_verify"), parameters)):
            if what := _fault(pair):
                findings.add(pair.seq, "access", what)


def _fault(pair: _Pair) -> str | None:
    if not pair.in_log:
        return _MISSING
    if not pair.in_ledger:
        return _NO_ENTRY
    if pair.copies != 1:
        return f"{pair.copies} rows of audit_access_log stand for one entry"
    if not pair.same or not _says(pair.entry, pair.filters, pair.result_count):
        return _OTHER
    return None


def _says(entry: bytes, filters: str, result_count: int | None) -> bool:
    """Return whether the entry's details are those of the row, as `audit_keep_access` reads them."""
    try:
        details = _decode(entry).details
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    asked = {} if details is None else details.get("filters", details)
    return (asked, (details or {}).get("result_count")) == (msgspec.json.decode(filters), result_count)


class _Entry(msgspec.Struct):
    """What an entry says of an access beside its details."""

    event_id: str
    occurred_at: datetime
    actor_ref: UUID | None
    event_type: str
    entity_type: str
    ip_address: str | None
    ip_index: str | None
    user_agent: str | None


_decode_entry: Final = msgspec.json.Decoder(_Entry).decode


class ArchivedAccesses:
    """Compares the accesses of a month in the archive with their rows in the database, a few thousand at a time."""

    def __init__(self, conn: Connection, tenant_id: UUID, first_seq: int, last_seq: int, findings: Findings) -> None:
        bounds = {"tenant_id": tenant_id, "first_seq": first_seq, "last_seq": last_seq}
        self._findings = findings
        self._rows = _logged(conn, bounds)
        self._ahead = next(self._rows, None)

    def take(self, rows: Sequence[Row]) -> None:
        """Compare the segment's next rows, in their order."""
        for row in rows:
            if _MARK not in row.entry or (entry := _access(row.entry)) is None:
                continue
            self._refuse_before(row.seq)
            if self._ahead is None or self._ahead[0] != row.seq:
                self._findings.add(row.seq, "access", _MISSING)
                continue
            logged, self._ahead = self._ahead, next(self._rows, None)
            index = bytes.fromhex(entry.ip_index) if entry.ip_index else None
            said = (entry.event_id, row.row_hash, entry.occurred_at, entry.actor_ref, entry.event_type)
            if logged[1:9] != (*said, entry.ip_address, index, entry.user_agent) or not _says(row.entry, *logged[9:]):
                self._findings.add(row.seq, "access", _OTHER)

    def finish(self) -> None:
        """Note the rows that are left: they are of no entry."""
        self._refuse_before(None)

    def _refuse_before(self, seq: int | None) -> None:
        while self._ahead is not None and (seq is None or self._ahead[0] < seq):
            self._findings.add(self._ahead[0], "access", _NO_ENTRY)
            self._ahead = next(self._rows, None)


def _logged(conn: Connection, bounds: dict[str, Any]) -> Iterator[Any]:
    with conn.cursor(name=f"accesses_{bounds['first_seq']}") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query("ledger/select_accesses_between"), bounds, binary=True)
        yield from cursor


def _access(content: bytes) -> _Entry | None:
    """Return what an entry says, None where it is no access: nothing of a changed segment may stop its reading."""
    try:
        entry = _decode_entry(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_access = entry.entity_type == ENTITY_TYPE and entry.event_type.startswith(ACCESS_PREFIX)
    return entry if is_access else None
