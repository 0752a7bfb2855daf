"""`nodii-audit-chain`: asyncpg, one chain a tenant, rows signed (HMAC here), a verifier that marks how far it came.

It has no call for many events; its store lets `append_row` join a caller's transaction, so a batch is one transaction
of 1,000 of these. An operator has `verify` for a tenant and the verifier for all; what either notices counts.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import asyncpg
from nodii_audit_chain import (
    GENESIS_HASH,
    HmacKmsClient,
    PostgresAuditChainStore,
    _reset_for_tests,
    apply_audit_chain_migrations,
    compute_chain_hash,
    emit,
    init_audit_chain,
    start_audit_chain_verifier,
    verify,
)

from benchmarks.peer_programs import subject
from benchmarks.peer_programs.subject import BATCH, A, B, Change, Connection, Event, Subject, Verdict, statement
from benchmarks.peer_programs.tasks import run

_SERVICE: Final = "bench"
_SECRET: Final = "the service's secret"
_MARKS: Final = f"{_SERVICE}_audit_verifier_checkpoints"
_OF_A: Final = f"tenant_id = '{A}'"
_ROW: Final = f"{_OF_A} and tenant_audit_seq = 5"


class Nodii(Subject):
    """A service's chain."""

    distribution = "nodii-audit-chain"
    not_applicable: ClassVar[Mapping[str, str]] = {
        subject.HEAD: "a tenant's newest row is the head",
        subject.PARTITION: "its tables have no partitions",
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._runner = asyncio.Runner()
        self._pool = self._runner.run(_connect(self.url))
        self._signing = HmacKmsClient(_SECRET)
        self._store = PostgresAuditChainStore(self._pool)
        # One process opens many databases, and the library takes the first for good.
        _reset_for_tests()
        init_audit_chain(signing_mode="hmac", kms_client=self._signing, pool=self._pool)

    def close(self) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    def prepare(self) -> None:
        # Row-level security needs roles of its platform, and a superuser passes it anyway.
        self._runner.run(apply_audit_chain_migrations(self._pool, _SERVICE, emit_rls=False))

    def append_each(self, events: Sequence[Event], tenant: str = A) -> int:
        return self._runner.run(self._append_each(events, tenant))

    async def _append_each(self, events: Sequence[Event], tenant: str) -> int:
        refused = 0
        for event in events:
            try:
                await emit(tenant_id=tenant, event=dict(event))
            except Exception:  # noqa: BLE001 - the driver's errors come through
                refused += 1
        return refused

    def append_batches(self, events: Sequence[Event]) -> None:
        async def signature(this_hash: str) -> str:
            return (await self._signing.sign(this_hash.encode())).hex()

        async def append() -> None:
            for at in range(0, len(events), BATCH):
                async with self._pool.acquire() as conn, conn.transaction():
                    for event in events[at : at + BATCH]:
                        await self._store.append_row(
                            tenant_id=A,
                            event=dict(event),
                            compute_hash=lambda prev, event=event: compute_chain_hash(prev_hash=prev, event=event),
                            now_iso=datetime.now(UTC).isoformat(),
                            sign_hash=signature,
                            conn=conn,
                        )

        self._runner.run(append())

    def append_together(self, shares: Sequence[Sequence[Event]]) -> int:
        async def append() -> int:
            return sum(await asyncio.gather(*(self._append_each(share, A) for share in shares)))

        return self._runner.run(append())

    def anchor(self) -> None:
        """Let the verifier mark how far it came: that is all it has of the kind."""
        self._runner.run(self._verifier().run_once())

    def _verifier(self) -> Any:
        return start_audit_chain_verifier(service_name=_SERVICE, verifier_db=self._pool, manual_tick_only=True)

    def verify(self) -> Verdict:
        is_tampering = self.told["task"] == "tamper"
        rows = 0
        for tenant in (A, B) if is_tampering else (A,):
            verdict = self._runner.run(verify(tenant_id=tenant))
            rows += verdict.count
            if not verdict.ok:
                return Verdict(False, rows, f"at {verdict.broken_at}: {verdict.reason}")
        if is_tampering:
            breaks = self._runner.run(self._verifier().run_once()).breaks
            if breaks:
                return Verdict(False, rows, f"at {breaks[0].tenant_audit_seq}: {breaks[0].break_kind}")
        return Verdict(True, rows)

    def stored(self) -> int:
        return self._runner.run(self._pool.fetchval("select count(*) from audit_rows"))

    def changes(self, conn: Connection) -> Iterator[Change]:
        other = """jsonb_set(event, '{outcome}', '"failure"')"""
        yield from subject.column_changes(conn, subject.COLUMN, "audit_rows", _ROW, {"event": other})
        for kind, name, change in _REWRITES:
            yield Change(kind, name, lambda c, _, change=change: change(c))  # type: ignore[misc]
        moves = ((5, 1000), (6, 5), (1000, 6))
        yield statement(subject.SWAPPED, "their places", *(_renumbered(str(after), f"= {old}") for old, after in moves))
        yield statement(
            subject.INSERTED,
            "in the middle",
            _renumbered("tenant_audit_seq + 1000", ">= 6"),
            _renumbered("tenant_audit_seq - 999", ">= 1000"),
            _copied("tenant_id", "6"),
        )
        for kind, place in ((subject.FIRST, 1), (subject.MIDDLE, 5), (subject.LAST, 12)):
            yield statement(kind, "", f"delete from audit_rows where {_OF_A} and tenant_audit_seq = {place}")
        yield statement(subject.TAIL, "", f"delete from audit_rows where {_OF_A} and tenant_audit_seq >= 8")
        yield statement(
            subject.TENANT, "", f"delete from audit_rows where {_OF_A}", f"delete from {_MARKS} where {_OF_A}"
        )
        yield statement(subject.MOVED, "", _copied(f"'{B}'", "7"), f"delete from audit_rows where {_ROW}")
        yield from subject.column_changes(conn, subject.CHECKPOINT, _MARKS, _OF_A, {})
        yield statement(subject.CHECKPOINT, "deleted", f"delete from {_MARKS} where {_OF_A}")


async def _connect(url: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(url, min_size=1, max_size=10)


def _renumbered(seq: str, which: str) -> str:
    return f"update audit_rows set tenant_audit_seq = {seq} where {_OF_A} and tenant_audit_seq {which}"


def _copied(tenant: str, seq: str) -> str:
    rest = "prev_hash, this_hash, sig, event, at"
    return f"insert into audit_rows select gen_random_uuid(), {tenant}, {seq}, {rest} from audit_rows where {_ROW}"


def _rechain(conn: Connection, first: int, last: int = 1000) -> None:
    """Make hashes fit the contents again; signatures need the secret."""
    before = conn.execute(
        f"select this_hash from audit_rows where {_OF_A} and tenant_audit_seq = %s".encode(), [first - 1]
    ).fetchone()
    head = str(before[0]) if before else GENESIS_HASH
    rows = conn.execute(
        f"select id, event from audit_rows where {_OF_A} and tenant_audit_seq between %s and %s "
        "order by tenant_audit_seq".encode(),
        [first, last],
    )
    for key, event in rows.fetchall():
        prev, head = head, compute_chain_hash(prev_hash=head, event=event)
        conn.execute("update audit_rows set prev_hash = %s, this_hash = %s where id = %s", [prev, head, key])


def _forge(conn: Connection) -> None:
    conn.execute(f"update audit_rows set event = event || '{json.dumps({'outcome': 'failure'})}' where {_ROW}".encode())


def _own_hashes(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, 5, 5)


def _chain(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, 5)


def _without_marks(conn: Connection) -> None:
    _chain(conn)
    conn.execute(f"delete from {_MARKS}".encode())


def _append_by_hand(conn: Connection) -> None:
    conn.execute(_copied("tenant_id", "13").encode())
    _rechain(conn, 13)


def _resign(conn: Connection) -> None:
    signing = HmacKmsClient("another secret")
    for key, this_hash in conn.execute("select id, this_hash from audit_rows").fetchall():
        with asyncio.Runner() as runner:
            signature = runner.run(signing.sign(this_hash.encode())).hex()
        conn.execute("update audit_rows set sig = %s where id = %s", [signature, key])


_REWRITES: Final[Sequence[tuple[str, str, Callable[[Connection], None]]]] = (
    (subject.OWN_HASHES, "", _own_hashes),
    (subject.APPENDED, "", _append_by_hand),
    (subject.CHAIN, "", _chain),
    (subject.CHECKPOINTS, "deleted", _without_marks),
    (subject.KEY, "rows", _resign),
)

if __name__ == "__main__":
    run(Nodii)
