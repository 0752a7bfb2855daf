"""The product as a library, through the same programs as its peers: `Ledger.append`, `Installation.seal`, `verify`.

Its anchor is the folder of checkpoints that every installation has; keys and server are those of the home told.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Database
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.checkpoint import open_note, sign
from audit_pipelines.ledger.event import Event as LedgerEvent
from audit_pipelines.ledger.keys import Signer
from audit_pipelines.settings import Settings
from benchmarks.peer_programs import subject
from benchmarks.peer_programs.subject import BATCH, A, B, Change, Connection, Event, Subject, Verdict, statement
from benchmarks.peer_programs.tasks import run

_OF_A: Final = f"tenant_id = '{A}'"
_ROW: Final = f"{_OF_A} and seq = 5"
_TABLES: Final = ("audit_logs", "audit_event_ids")


class _Joined(EmbeddedPostgres):
    """The server that the orchestrating process runs: closing a database must not stop it."""

    def release(self) -> None:
        return


class Ours(Subject):
    """An installation over a database of its own."""

    distribution = "audit-pipelines"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        home = Path(self.told["home"])
        if not (self.folder / "keys").exists():
            shutil.copytree(home / "keys", self.folder / "keys")
        settings = Settings(_env_file=None, audit_home=self.folder)  # type: ignore[call-arg] - a pydantic option
        self._database = Database(settings, _Joined(home), self.url.partition("?")[0].rpartition("/")[2])
        self._installation: Installation = assemble(settings, open_keyring(settings), self._database)

    def close(self) -> None:
        self._database.close()

    def prepare(self) -> None:
        self._database.migrate()

    def append_each(self, events: Sequence[Event], tenant: str = A) -> int:
        made, refused = _made(events), 0
        for event in made:
            try:
                self._installation.ledger.append(UUID(tenant), [event])
            except AuditError:
                refused += 1
        return refused

    def append_batches(self, events: Sequence[Event]) -> None:
        made = _made(events)
        for at in range(0, len(made), BATCH):
            self._installation.ledger.append(UUID(A), made[at : at + BATCH])

    def append_together(self, shares: Sequence[Sequence[Event]]) -> int:
        with ThreadPoolExecutor(len(shares)) as pool:
            return sum(pool.map(self.append_each, shares))

    def anchor(self) -> None:
        for tenant in (A, B):
            self._installation.seal(UUID(tenant))

    def verify(self) -> Verdict:
        done = self._installation.verify()
        findings = [str(finding) for one in done for finding in one.findings]
        return Verdict(all(one.intact for one in done), sum(one.events for one in done), "; ".join(findings[:1]))

    def stored(self) -> int:
        with self._database.connect_admin() as conn:
            [[count]] = conn.execute("select count(*) from audit_logs").fetchall()
            return int(count)

    def changes(self, conn: Connection) -> Iterator[Change]:
        yield from subject.column_changes(conn, subject.COLUMN, "audit_logs", _ROW, {"ip_address": "'192.0.2.99'"})
        for kind, name, change in _REWRITES:
            yield Change(kind, name, lambda c, _, change=change: change(c))  # type: ignore[misc]
        moves = ((5, 1000), (6, 5), (1000, 6))
        yield statement(
            subject.SWAPPED, "their places", *(text for old, new in moves for text in _renumbered(old, new))
        )
        yield statement(subject.INSERTED, "in the middle", *_make_room(6), _copied(6))
        for kind, seq in ((subject.FIRST, 0), (subject.MIDDLE, 5), (subject.LAST, 11)):
            yield statement(kind, "", *(f"delete from {table} where {_OF_A} and seq = {seq}" for table in _TABLES))
        everywhere = (*_TABLES, "audit_checkpoints", "audit_chain_heads", "audit_subjects")
        yield statement(
            subject.TENANT, "from every table", *(f"delete from {table} where {_OF_A}" for table in everywhere)
        )
        moved = f"set tenant_id = '{B}', seq = 100 where {_ROW}"
        yield statement(subject.MOVED, "", *(f"update {table} {moved}" for table in reversed(_TABLES)))
        yield from subject.column_changes(conn, subject.HEAD, "audit_chain_heads", _OF_A, {"erasures": "erasures + 1"})
        yield statement(subject.HEAD, "deleted", f"delete from audit_chain_heads where {_OF_A}")
        yield from subject.column_changes(conn, subject.CHECKPOINT, "audit_checkpoints", f"{_OF_A} and size = 4", {})
        yield statement(subject.CHECKPOINT, "deleted", f"delete from audit_checkpoints where {_OF_A}")
        yield Change(subject.PARTITION, "", lambda c, _: _drop_partition(c), drops=True)
        yield Change(subject.KEY, "checkpoints", lambda c, _: self._resign(c))

    def _resign(self, conn: Connection) -> None:
        forger = Signer(self._installation.keyring.signer.name, bytes(32))
        for tenant, size, note in conn.execute("select tenant_id, size, note from audit_checkpoints").fetchall():
            forged = sign(open_note(note, self._installation.verifier_keys), forger)
            conn.execute(
                "update audit_checkpoints set note = %s, key_id = %s where tenant_id = %s and size = %s",
                [forged, forger.verifier_key.key_hash.hex(), tenant, size],
            )


def _made(events: Sequence[Event]) -> list[LedgerEvent]:
    return msgspec.convert(events, list[LedgerEvent])


def _renumbered(old: int, new: int) -> list[str]:
    return [f"update {table} set seq = {new} where {_OF_A} and seq = {old}" for table in _TABLES]


def _make_room(seq: int) -> list[str]:
    return [
        f"update {table} set seq = {moved} where {_OF_A} and seq >= {first}"
        for table in _TABLES
        for moved, first in (("seq + 1000", seq), ("seq - 999", 1000))
    ]


def _copied(seq: int) -> str:
    """Return the statement that inserts a row like the one before, under an id as the server makes them."""
    return (
        f"insert into audit_logs select tenant_id, {seq}, recorded_at, i.id, convert_to(replace(convert_from(entry, "
        "'UTF8'), event_id, i.id), 'UTF8'), entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type, "
        "entity_type, entity_id, outcome, ip_address, ip_index, user_agent "
        f"from audit_logs l, (select '0197a000-0000-7000-8000-00000000abcd' as id) i where {_OF_A} and seq = {seq - 1}"
    )


def _drop_partition(conn: Connection) -> None:
    [[name]] = conn.execute(
        f"select tableoid::regclass::text from audit_logs where {_OF_A} limit 1".encode()
    ).fetchall()
    conn.execute(f"drop table {name}".encode())


def _rechain(conn: Connection, *, last: int = 1000, first: int = 0) -> None:
    """Make hashes and head fit the contents again; nothing in them needs a key."""
    head = chain.genesis(UUID(A))
    rows = conn.execute(
        f"select seq, recorded_at, entry, row_hash from audit_logs where {_OF_A} order by seq".encode()
    ).fetchall()
    for seq, at, entry, row_hash in rows:
        if not first <= seq <= last:
            head = row_hash
            continue
        prev, digest = head, chain.entry_hash(entry)
        leaf = chain.leaf(UUID(A), seq, chain.microseconds(at), digest)
        head = chain.row_hash(prev, chain.leaf_hash(leaf))
        conn.execute(
            f"update audit_logs set entry_hash = %s, prev_hash = %s, row_hash = %s where {_OF_A} and seq = %s".encode(),
            [digest, prev, head, seq],
        )
    conn.execute(
        "update audit_chain_heads h set (next_seq, head_hash, recorded_at) = (select seq + 1, row_hash, recorded_at "
        f"from audit_logs l where l.tenant_id = h.tenant_id order by seq desc limit 1) where {_OF_A}".encode()
    )


def _forge(conn: Connection) -> None:
    """Change an outcome in entry and column alike."""
    conn.execute(
        "update audit_logs set outcome = 'failure', entry = convert_to(replace(convert_from(entry, 'UTF8'), "
        f"'\"success\"', '\"failure\"'), 'UTF8') where {_ROW}".encode()
    )


def _own_hashes(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn, first=5, last=5)


def _chain(conn: Connection) -> None:
    _forge(conn)
    _rechain(conn)


def _without_checkpoints(conn: Connection) -> None:
    _chain(conn)
    conn.execute(f"delete from audit_checkpoints where {_OF_A}".encode())


def _cut_tail(conn: Connection) -> None:
    for table in _TABLES:
        conn.execute(f"delete from {table} where {_OF_A} and seq >= 8".encode())
    _rechain(conn)


def _append_by_hand(conn: Connection) -> None:
    conn.execute(_copied(12).encode())
    _rechain(conn)


_REWRITES: Final[Sequence[tuple[str, str, Callable[[Connection], None]]]] = (
    (subject.OWN_HASHES, "", _own_hashes),
    (subject.APPENDED, "", _append_by_hand),
    (subject.TAIL, "", _cut_tail),
    (subject.CHAIN, "", _chain),
    (subject.CHECKPOINTS, "deleted", _without_checkpoints),
)

if __name__ == "__main__":
    run(Ours)
