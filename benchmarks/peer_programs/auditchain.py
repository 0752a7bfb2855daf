"""`auditchain`: asyncpg, one log a table, records sealed by HMAC, checkpoints in files, one writer at a time.

Speed is measured with the seal alone, its cheaper way; tampering with Ed25519 signatures and signed checkpoints, its
strongest. Several writers share the file lock that its documents prescribe. It knows no tenants: a log is one.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from auditchain import AuditLog, AuditRecord, PostgresBackend, load_checkpoint, save_checkpoint
from auditchain.hash import compute_record_hash
from auditchain.signing import load_private_key, sign_record
from psycopg.rows import dict_row

from benchmarks.peer_programs import subject
from benchmarks.peer_programs.subject import BATCH, A, B, Change, Connection, Event, Subject, Verdict, statement
from benchmarks.peer_programs.tasks import run

_SEAL: Final = bytes(range(32))
_SIGNING: Final = bytes(reversed(range(32)))
_ANOTHER: Final = bytes(32)
_TABLES: Final = {A: "log_a", B: "log_b"}
_A, _B = _TABLES[A], _TABLES[B]
_PUBLIC: Final = load_private_key(_SIGNING).public_key()
_ROW: Final = "seq = 4"


class Auditchain(Subject):
    """Logs as its README sets them up."""

    distribution = "auditchain"
    not_applicable: ClassVar[Mapping[str, str]] = {
        subject.HEAD: "the newest record is the head",
        subject.CHECKPOINTS: "its checkpoints are files outside the database",
        subject.PARTITION: "its tables have no partitions",
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._runner = asyncio.Runner()
        self._is_strong = self.told["task"] == "tamper"
        locked = {"lock_path": self.folder / "lock"} if self.told["task"].startswith("write") else {}
        signed = {"signing_key": _SIGNING} if self._is_strong else {}
        self._logs = {
            tenant: AuditLog(PostgresBackend(self.url, table), seal_key=_SEAL, **signed, **locked)
            for tenant, table in _TABLES.items()
            if tenant == A or self._is_strong
        }

    def close(self) -> None:
        for log in self._logs.values():
            self._runner.run(log.close())
        self._runner.close()

    def prepare(self) -> None:
        for log in self._logs.values():
            self._runner.run(log.init())

    def append_each(self, events: Sequence[Event], tenant: str = A) -> int:
        return self._runner.run(self._append_each(events, tenant))

    async def _append_each(self, events: Sequence[Event], tenant: str) -> int:
        log, refused = self._logs[tenant], 0
        for event in events:
            actor, action, about, metadata = _fields(event)
            try:
                await log.append(actor, action, about, metadata=metadata)
            except Exception:  # noqa: BLE001 - the driver's errors come through
                refused += 1
        return refused

    def append_batches(self, events: Sequence[Event]) -> None:
        async def append() -> None:
            for at in range(0, len(events), BATCH):
                await self._logs[A].append_many([_fields(event) for event in events[at : at + BATCH]])

        self._runner.run(append())

    def append_together(self, shares: Sequence[Sequence[Event]]) -> int:
        async def append() -> int:
            return sum(await asyncio.gather(*(self._append_each(share, A) for share in shares)))

        return self._runner.run(append())

    def anchor(self) -> None:
        for tenant, log in self._logs.items():
            save_checkpoint(self._runner.run(log.checkpoint()), self.folder / f"{_TABLES[tenant]}.checkpoint")

    def verify(self) -> Verdict:
        rows = 0
        for tenant, log in self._logs.items():
            known: dict[str, Any] = {}
            if self._is_strong:
                kept = load_checkpoint(self.folder / f"{_TABLES[tenant]}.checkpoint", _SEAL, _PUBLIC)
                known = {"checkpoint": kept, "signers": {"s0": _PUBLIC}}
            report = self._runner.run(log.verify(**known))
            rows += report.records_checked
            if not report.ok:
                return Verdict(False, rows, f"{_TABLES[tenant]}: {report.reason}")
        return Verdict(True, rows)

    def stored(self) -> int:
        return sum(len(self._runner.run(log.read())) for log in self._logs.values())

    def changes(self, conn: Connection) -> Iterator[Change]:
        yield from subject.column_changes(conn, subject.COLUMN, _A, _ROW, {"meta": """'{"other": 1}'"""})
        for kind, name, change in _REWRITES:
            yield Change(kind, name, lambda c, _, change=change: change(c))  # type: ignore[misc]
        moves = ((4, 1000), (5, 4), (1000, 5))
        yield statement(
            subject.SWAPPED,
            "their places",
            *(f"update {_A} set seq = {after} where seq = {old}" for old, after in moves),
        )
        yield statement(subject.INSERTED, "in the middle", *_make_room(5), _copied(_A, "5", _A))
        for kind, place in (
            (subject.FIRST, "0"),
            (subject.MIDDLE, "4"),
            (subject.LAST, f"(select max(seq) from {_A})"),
        ):
            yield statement(kind, "", f"delete from {_A} where seq = {place}")
        yield statement(subject.TAIL, "", f"delete from {_A} where seq >= 8")
        yield statement(subject.TENANT, "all records", f"delete from {_A}")
        yield Change(
            subject.TENANT, "its table dropped", lambda c, _: c.execute(f"drop table {_A}".encode()), drops=True
        )
        yield statement(
            subject.MOVED, "", _copied(_B, f"(select max(seq) + 1 from {_B})", _A), f"delete from {_A} where {_ROW}"
        )
        for name in ("seq", "hash", "merkle_root", "signature_ed25519"):
            yield Change(subject.CHECKPOINT, name, lambda _, folder, name=name: _edit_file(folder, name))  # type: ignore[misc]
        yield Change(subject.CHECKPOINT, "deleted", lambda _, folder: (folder / f"{_A}.checkpoint").unlink())


def _fields(event: Event) -> tuple[str, str, str, dict[str, Any]]:
    metadata = {name: event[name] for name in ("event_id", "outcome", "ip_address", "user_agent", "action_details")}
    return event["actor"], event["event_type"], f"{event['entity_type']}:{event['entity_id']}", metadata


def _make_room(seq: int) -> list[str]:
    return [
        f"update {_A} set seq = seq + 1000 where seq >= {seq}",
        f"update {_A} set seq = seq - 999 where seq >= 1000",
    ]


def _copied(to: str, seq: str, table: str) -> str:
    rest = "ts, actor, action, subject, meta, prev_hash, hash, key_id, signer_id, signature"
    return f"insert into {to} select {seq}, {rest} from {table} where {_ROW}"


def _edit_file(folder: Any, name: str) -> None:
    path = folder / f"{_A}.checkpoint"
    kept = json.loads(path.read_text())
    kept[name] = kept[name] - 1 if name == "seq" else kept[name][::-1]
    path.write_text(json.dumps(kept))


def _rechain(conn: Connection, first: int, last: int = 1000, key: bytes | None = None) -> None:
    """Make hashes fit the contents again as far as somebody without the seal's key can."""
    before = conn.execute(f"select hash from {_A} where seq = %s".encode(), [first - 1]).fetchone()
    head = str(before[0]) if before else "0" * 64
    rows = conn.cursor(row_factory=dict_row).execute(
        f"select * from {_A} where seq between %s and %s order by seq".encode(), [first, last]
    )
    for row in rows.fetchall():
        record = replace(AuditRecord.from_stored({**row, "meta": json.loads(row["meta"])}), prev_hash=head)
        record = replace(record, hash=compute_record_hash(record, key))
        head = record.hash
        signature = sign_record(record, _ANOTHER)
        conn.execute(
            f"update {_A} set prev_hash = %s, hash = %s, signature = %s where seq = %s".encode(),
            [record.prev_hash, head, signature, record.seq],
        )


def _forge(conn: Connection) -> None:
    conn.execute(f"""update {_A} set meta = replace(meta, '"success"', '"failure"') where {_ROW}""".encode())


def _own_hashes(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, 4, 4)


def _chain(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, 4)


def _append_by_hand(conn: Connection) -> None:
    conn.execute(_copied(_A, "12", _A).encode())
    _rechain(conn, 12)


_REWRITES: Final[Sequence[tuple[str, str, Callable[[Connection], None]]]] = (
    (subject.OWN_HASHES, "", _own_hashes),
    (subject.APPENDED, "", _append_by_hand),
    (subject.CHAIN, "", _chain),
    # Somebody who has the seal's key: what the signatures are for.
    (subject.KEY, "records", lambda conn: _rechain(conn, 0, key=_SEAL)),
)

if __name__ == "__main__":
    run(Auditchain)
