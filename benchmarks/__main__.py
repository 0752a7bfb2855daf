"""`python -m benchmarks`: how fast the ledger is against what Postgres itself can do with the same rows."""

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from audit_pipelines.db.database import Database
from audit_pipelines.installation import open_installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.settings import Settings

EVENTS = 20_000
BATCH = 1_000
REPEATS = 3
COLUMNS = (
    "tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, "
    "event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent"
)


def main() -> None:
    """Print each figure as the median of three runs, and as a ratio to COPY of the same rows in the same run."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, audit_home=Path(home))  # type: ignore[call-arg] - a pydantic option
        with open_installation(settings) as installation:
            database = installation.database
            append_rates, copy_rates, verify_rates, drain_rates = [], [], [], []
            for _ in range(REPEATS):
                tenant = uuid4()
                events = _events()
                append_rates.append(_rate(lambda t=tenant, e=events: _append(installation.ledger.append, t, e)))
                copy_rates.append(_copy_in(database, tenant))
                verify_rates.append(_rate(lambda t=tenant: installation.verify(t)))
                drain_rates.append(_rate(lambda t=tenant: _drain(database, t)))
    print(f"Python {platform.python_version()}, {platform.machine()}, {EVENTS:,} events, median of {REPEATS}")
    _print("append, batches of 1,000, sealing included", append_rates, "binary COPY in", copy_rates)
    _print("verify, everything", verify_rates, "binary COPY out, drained", drain_rates)


def _events() -> list[Event]:
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
        for number in range(EVENTS)
    ]


def _append(append: Callable[[UUID, list[Event]], object], tenant: UUID, events: list[Event]) -> None:
    for start in range(0, len(events), BATCH):
        append(tenant, events[start : start + BATCH])


def _copy_in(database: Database, tenant: UUID) -> float:
    """Return the rate of COPY alone: the same rows, into the same table and indexes, with no trigger."""
    with database.connect_admin() as conn, tempfile.TemporaryFile() as rows:
        conn.execute("set session_replication_role = replica")
        query = f"copy (select {COLUMNS} from audit_logs where tenant_id = '{tenant}') to stdout binary"
        with conn.cursor().copy(query) as out:
            for block in out:
                rows.write(block)
        conn.execute("delete from audit_logs where tenant_id = %s", [tenant])
        rows.seek(0)
        started = time.perf_counter()
        with conn.cursor().copy(f"copy audit_logs ({COLUMNS}) from stdin binary") as copy:
            while block := rows.read(1 << 16):
                copy.write(block)
        return EVENTS / (time.perf_counter() - started)


def _drain(database: Database, tenant: UUID) -> None:
    query = f"copy (select {COLUMNS} from audit_logs where tenant_id = '{tenant}' order by seq) to stdout binary"
    with database.connect_admin() as conn, conn.cursor().copy(query) as out:
        for _ in out:
            pass


def _rate(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return EVENTS / (time.perf_counter() - started)


def _print(what: str, rates: list[float], against: str, floor: list[float]) -> None:
    ratio = statistics.median(rates) / statistics.median(floor)
    print(f"{what}: {statistics.median(rates):,.0f}/s; {against}: {statistics.median(floor):,.0f}/s; ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
