"""Figures and their limits, and what Postgres itself does with the same rows."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final
from uuid import UUID, uuid4

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.ledger.event import Event

COLUMNS: Final = (
    "tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, "
    "event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent"
)
ID_COLUMNS: Final = "tenant_id, event_id, seq, recorded_at, fingerprint"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: what was measured, its values over all repeats, and the limit."""

    what: str
    values: Sequence[float]
    limit: float
    at_most: bool = False
    unit: str = ""
    note: str = ""

    def __str__(self) -> str:
        median = statistics.median(self.values)
        met = median <= self.limit if self.at_most else median >= self.limit
        spread = f"{min(self.values):.2f} to {max(self.values):.2f}"
        sign = "at most" if self.at_most else "at least"
        verdict = "met" if met else "MISSED"
        return f"{median:8.2f}{self.unit:3} ({spread}; {sign} {self.limit}: {verdict})  {self.what}  {self.note}"


def make_events(count: int) -> list[Event]:
    """Return events of about 560 bytes with ids of the client, 211 persons and many addresses."""
    run = uuid4().hex
    return [
        Event(
            event_type="record.read",
            entity_type="record",
            entity_id=f"record-{number % 977}",
            actor=f"person-{number % 211}@example.org",
            outcome="success",
            ip_address=f"198.51.{number % 100}.{number % 251}",
            user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            details={"rows": number % 17, "app": "records", "region": "eu-1", "note": "read in the course of work"},
            event_id=f"{run}-{number}",
        )
        for number in range(count)
    ]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copy_in(database: Database, tenants: Sequence[UUID]) -> float:
    """Return the seconds of COPY alone: the tenants' rows and ids taken out, then put back over one connection."""
    named = ", ".join(f"'{tenant}'" for tenant in tenants)
    with (
        database.connect_admin() as conn,
        tempfile.TemporaryFile() as rows,
        tempfile.TemporaryFile() as ids,
    ):
        conn.execute("set session_replication_role = replica")
        _take_out(conn, f"select {COLUMNS} from audit_logs where tenant_id in ({named}) order by seq", rows)
        _take_out(conn, f"select {ID_COLUMNS} from audit_event_ids where tenant_id in ({named}) order by seq", ids)
        conn.execute(f"delete from audit_logs where tenant_id in ({named})")
        conn.execute(f"delete from audit_event_ids where tenant_id in ({named})")
        return timed(
            lambda: (
                _put_in(conn, f"audit_logs ({COLUMNS})", rows),
                _put_in(conn, f"audit_event_ids ({ID_COLUMNS})", ids),
            )
        )


def drain(database: Database, tenant: UUID) -> None:
    """Read a tenant's rows by binary COPY and throw them away."""
    query = f"copy (select {COLUMNS} from audit_logs where tenant_id = '{tenant}' order by seq) to stdout binary"
    with database.connect_admin() as conn, conn.cursor().copy(query) as out:
        for _ in out:
            pass


def _take_out(conn: Connection, query: str, file: IO[bytes]) -> None:
    with conn.cursor().copy(f"copy ({query}) to stdout binary") as out:
        for block in out:
            file.write(block)
    file.seek(0)


def _put_in(conn: Connection, table: str, file: IO[bytes]) -> None:
    with conn.cursor().copy(f"copy {table} from stdin binary") as copy:
        while block := file.read(1 << 16):
            copy.write(block)
