"""A tenant's chain in parts: each walked by itself, in processes of their own where there are many rows, then joined.

Belongs here: where a chain is cut, who walks a part, and whether the parts fit each other. What is compared within a
part is `verify_rows.py`'s. Parts end at multiples of a power of two, so that their trees join without hashing a leaf
again. All processes read one snapshot of the database.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.ledger.findings import Finding, Findings
from audit_pipelines.ledger.merkle import Frontier
from audit_pipelines.ledger.verify_rows import Mark, Start, Walk, check_columns, read_rows

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
# A process takes most of a second to start, in which another one checks this many rows.
_WORTH_PROCESSES: Final = 200_000
# Long enough that a part's beginning does not count, short enough that all processes end at about the same time.
_PART_BITS: Final = 16
_MOST_PROCESSES: Final = 8

OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Walked:
    """What walking a chain, or a part of it, came to."""

    rows: int
    next_seq: int
    head: bytes
    recorded_at_us: int | None
    frontier: Frontier
    marks: tuple[Mark, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    tenant_id: UUID
    start: Start
    read_from: int
    end_seq: int
    sizes: tuple[int, ...]


class Walkers:
    """Walks chains; with the help of other processes, if they can share a snapshot and a chain is worth it."""

    def __init__(self, shared: tuple[str, str] | None = None) -> None:
        self._shared = shared
        self._pool: ProcessPoolExecutor | None = None

    def walk(
        self,
        conn: Connection,
        tenant_id: UUID,
        start: Start,
        sizes: Iterable[int],
        *,
        last_seq: int,
        on_rows: OnRows | None,
        end_seq: int = _MOST,
    ) -> Walked:
        """Walk a tenant's chain from `start` to its end, or to before `end_seq`.

        About `last_seq` decides how the work is shared out.

        Raises:
            AuditError: when a process that helped was ended from outside.
            DatabaseUnavailableError: when one of them lost its connection.
        """
        wanted = sorted(sizes)
        if self._shared is None or last_seq - start.first_seq < _WORTH_PROCESSES:
            end = _Part(tenant_id, start, _read_from(start), end_seq, tuple(wanted))
            return _walk(conn, end, on_rows)
        parts = list(_cut(conn, tenant_id, start, wanted, last_seq=min(last_seq, end_seq - 1), end_seq=end_seq))
        tasks = [(*self._shared, part) for part in parts]
        walked = []
        try:
            for one in self._processes().map(_walk_elsewhere, tasks):
                walked.append(one)
                if on_rows:
                    on_rows(one.rows)
        except BrokenProcessPool as error:
            raise AuditError("could not check: a process that verified a part of the ledger was ended") from error
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(f"the database did not answer: {str(error).strip()}") from error
        return _joined(tenant_id, parts, walked)

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not forked: a server or a run has threads and connections that a copy must not have.
            self._pool = ProcessPoolExecutor(min(os.cpu_count() or 1, _MOST_PROCESSES), get_context("spawn"))
        return self._pool


@contextmanager
def walkers(database: Database, conn: Connection) -> Iterator[Walkers]:
    """Share the snapshot of `conn`'s transaction, which must be repeatable read, for the length of the block."""
    [snapshot] = conn.execute("select pg_export_snapshot()").fetchone() or [""]
    helping = Walkers((database.conninfo("audit_pipeline"), snapshot))
    try:
        yield helping
    finally:
        helping.close()


def _cut(
    conn: Connection, tenant_id: UUID, start: Start, sizes: Sequence[int], *, last_seq: int, end_seq: int
) -> Iterator[_Part]:
    """Cut a chain; a part's start is what the row before it claims, which walking that row then confirms or not."""
    step = 1 << _PART_BITS
    cuts = list(range((start.first_seq // step + 1) * step, last_seq + 1, step))
    rows = conn.execute(
        query("ledger/select_rows_before"), {"tenant_id": tenant_id, "seqs": [cut - 1 for cut in cuts]}
    ).fetchall()
    claimed = {seq + 1: (row_hash, recorded_at_us) for seq, row_hash, recorded_at_us in rows}
    starts = [start, *(Start(cut, *claimed.get(cut, (b"", None))) for cut in cuts)]
    for place, (first, end) in enumerate(zip(starts, [*cuts, end_seq], strict=True)):
        within = tuple(size for size in sizes if (size > first.first_seq or place == 0) and size <= end)
        yield _Part(tenant_id, first, first.first_seq if place else _read_from(first), end, within)


def _read_from(start: Start) -> int:
    """Return where reading begins: a pass over everything also sees numbers below zero."""
    return start.first_seq or _LEAST


def _walk_elsewhere(task: tuple[str, str, _Part]) -> Walked:
    conninfo, snapshot, part = task
    with psycopg.connect(conninfo) as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        conn.execute(sql.SQL("set transaction snapshot {}").format(snapshot))
        conn.execute("set local jit = off")
        return _walk(conn, part, None)


def _walk(conn: Connection, part: _Part, on_rows: OnRows | None) -> Walked:
    findings = Findings(part.tenant_id)
    walk = Walk(part.tenant_id, findings, part.start, part.sizes)
    rows = read_rows(conn, part.tenant_id, part.read_from, part.end_seq)
    while taken := walk.take(rows):
        if on_rows:
            on_rows(taken)
    check_columns(conn, part.tenant_id, walk.suspects, findings)
    return Walked(
        walk.rows, walk.next_seq, walk.head, walk.recorded_at_us, walk.frontier, tuple(walk.marks), findings.all()
    )


def _joined(tenant_id: UUID, parts: Sequence[_Part], walked: Sequence[Walked]) -> Walked:
    """Put parts together; where one does not end as the next one begins, the trees behind it are left out."""
    findings = Findings(tenant_id)
    whole = walked[0]
    marks, frontier, is_sound = list(whole.marks), whole.frontier, True
    findings.extend(whole.findings)
    for part, before, one in zip(parts[1:], walked, walked[1:], strict=False):
        first_seq = part.start.first_seq
        if before.next_seq != first_seq:
            findings.add(first_seq, "sequence", f"rows are missing: the row before seq {first_seq} is not there")
        elif before.head != part.start.head and part.start.head:
            findings.add(first_seq, "link", "the row before it has another hash than the one it was read with")
        findings.extend(one.findings)
        is_sound = is_sound and frontier.size == first_seq
        if is_sound:
            marks += [Mark(mark.size, frontier.join(mark.frontier), mark.head) for mark in one.marks]
            frontier = frontier.join(one.frontier)
    last = next(one for one in reversed(walked) if one.rows or one is walked[0])
    return Walked(
        sum(one.rows for one in walked),
        last.next_seq,
        last.head,
        last.recorded_at_us,
        frontier,
        tuple(marks),
        findings.all(),
    )
