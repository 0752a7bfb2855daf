"""Comparing the access log with the ledger: each row says what its entry says, and neither is without the other.

The entries are what counts: whoever removes or changes a row of `audit_access_log` leaves the entry behind, whose loss
or change the chain shows.
"""

from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.ledger.findings import Findings


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

    `archived` are the seqs of months that left the database, whose entries are not compared.
    """
    parameters = {"tenant_id": tenant_id, "first_seq": first_seq, "archived": archived}
    with conn.cursor() as cursor:
        # Streamed: a long access log does not have to fit in memory.
        for pair in map(_Pair._make, cursor.stream(query("ledger/select_accesses_to_verify"), parameters)):
            if what := _fault(pair):
                findings.add(pair.seq, "access", what)


def _fault(pair: _Pair) -> str | None:
    if not pair.in_log:
        return "the access of this entry is missing from audit_access_log"
    if not pair.in_ledger:
        return "a row of audit_access_log has no entry in the ledger"
    if pair.copies != 1:
        return f"{pair.copies} rows of audit_access_log stand for one entry"
    if not pair.same or not _says(pair):
        return "the row of audit_access_log says something else than its entry"
    return None


def _says(pair: _Pair) -> bool:
    """Return whether the entry's details are those of the row, as `audit_keep_access` reads them."""
    try:
        details = _decode(pair.entry).details
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    asked = {} if details is None else details.get("filters", details)
    return (asked, (details or {}).get("result_count")) == (msgspec.json.decode(pair.filters), pair.result_count)
