"""`ledgerchain`: SQLAlchemy over psycopg, one chain for all tenants, Merkle checkpoints, anchors in an object store.

An entry is written inside the caller's transaction, so a batch is one transaction of 1,000 entries: it has no other way
for many. The object store is a folder, handed over as the S3 client that its documents let a caller inject.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

from ledgerchain import (
    AnchorConfig,
    DecisionLedgerEntry,
    LedgerCheckpoint,
    LedgerWriter,
    anchor_checkpoint,
    build_checkpoint,
    compute_entry_hash,
    create_all,
    merkle_root,
    sha256_hex,
    verify_anchor,
    verify_chain,
)
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.peer_programs import subject
from benchmarks.peer_programs.subject import BATCH, A, B, Change, Connection, Event, Subject, Verdict, statement
from benchmarks.peer_programs.tasks import run

_CONFIG: Final = AnchorConfig(bucket="anchors")
_ROW: Final = "seq = 4"


class Ledgerchain(Subject):
    """A ledger as its README sets it up."""

    distribution = "ledgerchain"
    not_applicable: ClassVar[Mapping[str, str]] = {
        subject.PARTITION: "its tables have no partitions",
        subject.KEY: "nothing is signed",
    }

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://", 1))
        self._session = sessionmaker(bind=self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def prepare(self) -> None:
        create_all(self._engine)

    def append_each(self, events: Sequence[Event], tenant: str = A) -> int:
        refused = 0
        for event in events:
            with self._session() as session:
                try:
                    _append(session, event, tenant)
                    session.commit()
                except SQLAlchemyError:
                    refused += 1
        return refused

    def append_batches(self, events: Sequence[Event]) -> None:
        for at in range(0, len(events), BATCH):
            with self._session() as session:
                for event in events[at : at + BATCH]:
                    _append(session, event, A)
                session.commit()

    def append_together(self, shares: Sequence[Sequence[Event]]) -> int:
        with ThreadPoolExecutor(len(shares)) as pool:
            return sum(pool.map(self.append_each, shares))

    def anchor(self) -> None:
        with self._session() as session:
            checkpoint = build_checkpoint(session).checkpoint
            if not anchor_checkpoint(session, checkpoint, config=_CONFIG, client=_Folder(self.folder)).ok:
                raise RuntimeError("the checkpoint was not anchored")

    def verify(self) -> Verdict:
        with self._session() as session:
            result = verify_chain(session)
            if not result.valid:
                return Verdict(False, result.checked_entries, result.reason or "")
            for known in result.checkpoints:
                if known["anchor_status"] == "anchored":
                    checkpoint = session.get(LedgerCheckpoint, known["id"])
                    anchored = verify_anchor(checkpoint, config=_CONFIG, client=_Folder(self.folder))
                    if not anchored.ok:
                        return Verdict(False, result.checked_entries, anchored.error or "differs from its anchor")
            return Verdict(True, result.checked_entries)

    def stored(self) -> int:
        events = select(func.count()).where(DecisionLedgerEntry.event_type.not_in(["genesis", "checkpoint"]))
        with self._session() as session:
            return session.execute(events).scalar_one()

    def changes(self, conn: Connection) -> Iterator[Change]:
        yield from subject.column_changes(conn, subject.COLUMN, "decision_ledger", _ROW, {})
        for kind, name, change in _REWRITES:
            yield Change(kind, name, lambda c, _, change=change: change(c))  # type: ignore[misc]
        yield statement(subject.SWAPPED, "their places", *_swap(1000))
        yield statement(
            subject.INSERTED,
            "in the middle",
            "update decision_ledger set seq = seq + 1000 where seq >= 5",
            "update decision_ledger set seq = seq - 999 where seq >= 1000",
            "insert into decision_ledger select 5, tenant_id, ts, event_type, actor, subject_uri, payload, "
            f"payload_sha256, prev_hash, md5('x') || md5('y') from decision_ledger where {_ROW}",
            "update ledger_head set last_seq = last_seq + 1",
        )
        for kind, place in ((subject.FIRST, "1"), (subject.MIDDLE, "4"), (subject.LAST, "(select last_seq from l)")):
            text = f"with l as (select last_seq from ledger_head) delete from decision_ledger where seq = {place}"
            yield statement(kind, "", text)
        yield statement(
            subject.TAIL,
            "",
            "delete from decision_ledger where seq >= 18",
            "update ledger_head set last_seq = 17, last_hash = (select entry_hash from decision_ledger where seq = 17)",
        )
        yield statement(subject.TENANT, "", f"delete from decision_ledger where tenant_id = '{A}'")
        yield statement(subject.MOVED, "", f"update decision_ledger set tenant_id = '{B}' where {_ROW}")
        yield from subject.column_changes(conn, subject.HEAD, "ledger_head", "true", {"id": None})
        yield from subject.column_changes(
            conn, subject.CHECKPOINT, "ledger_checkpoint", "id = 2", {"anchor_status": "'pending'"}
        )


def _append(session: Session, event: Event, tenant: str) -> None:
    LedgerWriter.append(
        session,
        event_type=event["event_type"],
        payload={name: event[name] for name in ("event_id", "outcome", "ip_address", "user_agent", "action_details")},
        actor={"kind": "human", "sub": event["actor"]},
        tenant_id=tenant,
        subject_uri=f"/{event['entity_type']}/{event['entity_id']}",
    )


class _Body:
    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


class _Folder:
    """An object store in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_object(self, **given: Any) -> None:
        (self._folder / given["Key"].replace("/", "-")).write_bytes(given["Body"])

    def get_object(self, **given: Any) -> dict[str, Any]:
        return {"Body": _Body((self._folder / given["Key"].replace("/", "-")).read_bytes())}


def _swap(spare: int) -> list[str]:
    moves = ((4, spare), (5, 4), (spare, 5))
    return [f"update decision_ledger set seq = {after} where seq = {before}" for before, after in moves]


def _rechain(conn: Connection, *, first: int, last: int = 1000) -> None:
    """Make hashes and head fit the contents again; nothing in them needs a key."""
    before = conn.execute("select entry_hash from decision_ledger where seq = %s", [first - 1]).fetchone()
    head = str(before[0]) if before else "0" * 64
    rows = conn.cursor(row_factory=dict_row).execute(
        "select * from decision_ledger where seq between %s and %s order by seq", [first, last]
    )
    for row in rows.fetchall():
        payload = sha256_hex(row["payload"])
        head, prev = (
            compute_entry_hash(
                prev_hash=head,
                payload_sha256=payload,
                seq=row["seq"],
                event_type=row["event_type"],
                ts=row["ts"],
                tenant_id=row["tenant_id"],
            ),
            head,
        )
        conn.execute(
            "update decision_ledger set payload_sha256 = %s, prev_hash = %s, entry_hash = %s where seq = %s",
            [payload, prev, head, row["seq"]],
        )
    conn.execute(
        "update ledger_head set (last_seq, last_hash) = "
        "(select seq, entry_hash from decision_ledger order by seq desc limit 1)"
    )


def _forge(conn: Connection) -> None:
    conn.execute(f'update decision_ledger set payload = payload || \'{{"outcome": "failure"}}\' where {_ROW}'.encode())


def _own_hashes(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, first=4, last=4)
    conn.execute(
        "update ledger_head set last_hash = (select entry_hash from decision_ledger order by seq desc limit 1)"
    )


def _chain(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, first=4)


def _fit_checkpoints(conn: Connection) -> None:
    """Write the roots of the forged chain into the checkpoints, and those into the entries about them."""
    _forge(conn)
    previous = None
    for key, first, last in conn.execute("select id, from_seq, to_seq from ledger_checkpoint order by id").fetchall():
        _rechain(conn, first=4)
        hashes = conn.execute(
            "select entry_hash from decision_ledger where seq between %s and %s order by seq", [first, last]
        )
        root = merkle_root([str(entry_hash) for (entry_hash,) in hashes.fetchall()])
        conn.execute(
            "update ledger_checkpoint set merkle_root = %s, prev_checkpoint_root = %s where id = %s",
            [root, previous, key],
        )
        conn.execute(
            "update decision_ledger set payload = payload || %s where event_type = 'checkpoint' "
            "and payload->>'checkpoint_id' = %s",
            [Jsonb({"merkle_root": root, "prev_checkpoint_root": previous}), str(key)],
        )
        previous = root
    _rechain(conn, first=4)


def _without_checkpoints(conn: Connection) -> None:
    _chain(conn)
    conn.execute("delete from ledger_checkpoint")


def _append_by_hand(conn: Connection) -> None:
    conn.execute(
        "insert into decision_ledger select (select last_seq + 1 from ledger_head), tenant_id, ts, event_type, actor, "
        "subject_uri, payload, payload_sha256, prev_hash, md5('x') || md5('y') from decision_ledger "
        f"where {_ROW}".encode()
    )
    _rechain(conn, first=21)


_REWRITES: Final[Sequence[tuple[str, str, Callable[[Connection], None]]]] = (
    (subject.OWN_HASHES, "", _own_hashes),
    (subject.APPENDED, "", _append_by_hand),
    (subject.CHAIN, "", _chain),
    (subject.CHECKPOINTS, "made to fit", _fit_checkpoints),
    (subject.CHECKPOINTS, "deleted", _without_checkpoints),
)

if __name__ == "__main__":
    run(Ledgerchain)
