"""Every kind of change to a ledger, made with a superuser's rights: what verification says of each, as a table (-s)."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from audit_pipelines.db.database import Database
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.checkpoint import FileAnchor, open_note, sign
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.keys import Signer
from audit_pipelines.ledger.verify import Verification, tenants, verify_tenant

A, B = uuid.UUID(int=0xA << 120), uuid.UUID(int=0xB << 120)
SEALED, EVENTS = 12, 14
FULL, BARE = 5, 6
"""Rows of A with every nullable column set, and with none."""
ACCESS = 9
"""A row of A that says who read what."""
UUID7 = "0197a000-0000-7000-8000-000000000001"
DOCS = Path(__file__).parents[2] / "docs" / "ledger_format.md"

NEW_VALUES: Final[Mapping[str, str]] = {
    "tenant_id": "gen_random_uuid()",
    "seq": "1000",
    "recorded_at": "recorded_at + interval '1 microsecond'",
    "event_id": "'other'",
    "entry": "set_byte(entry, 60, get_byte(entry, 60) # 1)",
    "entry_hash": "sha256('x')",
    "prev_hash": "sha256('x')",
    "row_hash": "sha256('x')",
    "occurred_at": "occurred_at - interval '1 microsecond'",
    "actor_ref": "gen_random_uuid()",
    "event_type": "'harmless'",
    "entity_type": "'other'",
    "entity_id": "'other'",
    "outcome": "'failure'",
    "ip_address": "'192.0.2.99'",
    "ip_index": "substr(sha256('x'), 1, 16)",
    "user_agent": "'curl'",
    "next_seq": "next_seq + 1",
    "head_hash": "sha256('x')",
    "size": "size + 1",
    "root": "sha256('x')",
    "chain_head": "sha256('x')",
    "frontier": "set_byte(frontier, 20, get_byte(frontier, 20) # 1)",
    "note": "overlay(note placing 'x' from 70 for 1)",
    "key_id": "'00000000'",
    "sealed_at": "sealed_at + interval '1 microsecond'",
    "erasures": "erasures + 1",
    "accessed_at": "accessed_at - interval '1 microsecond'",
    "subject_ref": "gen_random_uuid()",
    "action": "'events.show'",
    "filters": 'filters || \'{"q": "other"}\'',
    "result_count": "result_count - 1",
    "fingerprint": "set_byte(fingerprint, 3, get_byte(fingerprint, 3) # 1)",
}
COUNTER = "a counter that keeps stale keys out; no part of what is vouched for"
KEYED = "made with a person's key, which a verifier does not have and erasure destroys"
BEHIND = "behind the last checkpoint: what audit_append would have stored, or nobody vouched for yet"
CRASH = "what a crash between commit and publication leaves; the note is still in the database"
SERVER_ID = "an entry does not say who chose its id; the server refuses such an id again all the same"
NO_WITNESS = "nothing is left on this machine that knew it: a copy of the anchors elsewhere does"
UNDETECTABLE: Final[Mapping[str, str]] = {
    "head: erasures": COUNTER,
    "id: fingerprint": KEYED,
    "append, consistent, behind the last checkpoint": BEHIND,
    "cut tail, consistent, behind the last checkpoint": BEHIND,
    "rewrite, consistent, behind the last checkpoint": BEHIND,
    "anchor: newest record cut": CRASH,
    "id deleted, in the form of a UUIDv7": SERVER_ID,
    "id added for an event that the server named": SERVER_ID,
    "tenant deleted, anchor file too": NO_WITNESS,
}


@dataclass
class World:
    """A ledger with two tenants and two months, a superuser's connection to it, and its anchors."""

    conn: psycopg.Connection
    installation: Installation

    def do(self, statement: str, *values: object) -> list[tuple]:
        cursor = self.conn.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def set(self, table: str, column: str, value: str, where: str) -> None:
        assert self.conn.execute(f"update {table} set {column} = {value} where {where}".encode()).rowcount

    def anchor_file(self, tenant: uuid.UUID = A) -> Path:
        return self.installation.settings.anchors_dir / f"{tenant}.notes"

    def verify(self) -> list[Verification]:
        anchor = self.installation.anchor
        keys = self.installation.verifier_keys
        known = sorted({*tenants(self.conn), *anchor.read_all()})
        return [verify_tenant(self.conn, tenant, verifier_keys=keys, anchor=anchor) for tenant in known]

    def rechain(self, tenant: uuid.UUID = A) -> None:
        """Make rows, head and register of a tenant fit each other again, as far as hashes without a key go."""
        head, last_at, count = chain.genesis(tenant), None, 0
        rows = self.do(
            "select tableoid, ctid, seq, recorded_at, entry from audit_logs where tenant_id = %s order by seq", tenant
        )
        for oid, ctid, seq, at, entry in rows:
            digest = chain.entry_hash(entry)
            prev, last_at = head, at
            head = chain.row_hash(prev, chain.leaf_hash(chain.leaf(tenant, count, chain.microseconds(at), digest)))
            self.do(
                "update audit_logs set seq = %s, entry_hash = %s, prev_hash = %s, row_hash = %s "
                "where tenant_id = %s and tableoid = %s and ctid = %s",
                *(count, digest, prev, head, tenant, oid, ctid),
            )
            self.do(
                "update audit_event_ids set seq = %s where tenant_id = %s and seq = %s and event_id = "
                "(select event_id from audit_logs where tenant_id = %s and seq = %s)",
                *(count, tenant, seq, tenant, count),
            )
            count += 1
        self.do(
            "update audit_chain_heads set next_seq = %s, head_hash = %s, recorded_at = %s where tenant_id = %s",
            *(count, head, last_at, tenant),
        )

    def copy_row(self, seq: int, to_seq: int, tenant: uuid.UUID = A, to_tenant: uuid.UUID = A) -> None:
        """Insert a row like another under an id of its own, its entry and columns in agreement."""
        self.do(
            "insert into audit_logs select %s, %s, l.recorded_at, i.id, "
            "convert_to(replace(convert_from(entry, 'UTF8'), "
            "'\"event_id\":\"' || event_id, '\"event_id\":\"' || i.id), 'UTF8'), entry_hash, prev_hash, row_hash, "
            "occurred_at, actor_ref, event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent "
            "from audit_logs l, (select '0197a000-0000-7000-8000-00000000abcd' as id) i "
            "where tenant_id = %s and seq = %s",
            *(to_tenant, to_seq, tenant, seq),
        )

    def make_room(self, seq: int) -> None:
        """Renumber so that `seq` is free."""
        for table in ("audit_logs", "audit_event_ids"):
            self.do(f"update {table} set seq = seq + 1000 where tenant_id = %s and seq >= %s", A, seq)
            self.do(f"update {table} set seq = seq - 999 where tenant_id = %s and seq >= 1000", A)

    def delete_rows(self, which: str) -> None:
        for table in ("audit_logs", "audit_event_ids"):
            self.do(f"delete from {table} where tenant_id = %s and {which}", A)

    def forget_checkpoints(self) -> None:
        self.do("delete from audit_checkpoints where tenant_id = %s", A)

    def resign(self, signer: Signer) -> list[str]:
        """Sign what the checkpoints say with another key, in the database."""
        notes = []
        for size, note in self.do("select size, note from audit_checkpoints where tenant_id = %s order by size", A):
            forged = sign(open_note(note, self.installation.verifier_keys), signer)
            key_id = signer.verifier_key.key_hash.hex()
            self.do(
                "update audit_checkpoints set note = %s, key_id = %s where tenant_id = %s and size = %s",
                *(forged, key_id, A, size),
            )
            notes.append(forged)
        return notes


@dataclass(frozen=True)
class Kind:
    """One way to tamper: `group` is how docs/ledger_format.md calls it."""

    name: str
    group: str
    change: Callable[[World], object]
    hurt: frozenset[uuid.UUID] = field(default=frozenset({A}))
    """Tenants that verification must name."""


def columns(table: str, group: str, label: str, where: str) -> Callable[[World], Iterator[Kind]]:
    def kinds(world: World) -> Iterator[Kind]:
        described = world.do(
            "select column_name, is_nullable from information_schema.columns where table_name = %s "
            "and is_identity = 'NO' order by ordinal_position",
            table,
        )
        for name, nullable in described:
            yield Kind(f"{label}: {name}", group, lambda w, n=name: w.set(table, n, NEW_VALUES[n], where))
            if nullable == "YES":
                yield Kind(f"{label}: {name} to null", group, lambda w, n=name: w.set(table, n, "null", where))
                bare = where.replace(f"seq = {FULL}", f"seq = {BARE}")
                yield Kind(
                    f"{label}: {name} from null", group, lambda w, n=name, b=bare: w.set(table, n, NEW_VALUES[n], b)
                )
            # A superuser may drop the constraint too; tenant_id and recorded_at are keys of index or partition.
            elif table == "audit_logs" and name not in {"tenant_id", "recorded_at"}:
                yield Kind(f"{label}: {name} to null, constraint dropped", group, lambda w, n=name: _force_null(w, n))

    return kinds


def _force_null(world: World, column: str) -> None:
    world.do(f"alter table audit_logs alter column {column} drop not null")
    world.set("audit_logs", column, "null", f"tenant_id = '{A}' and seq = {FULL}")


SPELLINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "content": lambda text: text.replace('"entity_id":"r-5"', '"entity_id":"r-X"'),
    "white space": lambda text: text.replace(",", ", ", 1),
    "key order": lambda text: text.replace('"v":1}', "}").replace("{", '{"v":1,', 1).replace(",}", "}"),
    "a key twice": lambda text: text.replace('"v":1}', '"v":1,"v":1}'),
}


def _change_entry(world: World, spelling: str, depth: int) -> None:
    here = f"tenant_id = '{A}' and seq = {FULL}"
    [(text, prev, at)] = world.do(
        f"select convert_from(entry, 'UTF8'), prev_hash, recorded_at from audit_logs where {here}"
    )
    entry = SPELLINGS[spelling](text).encode()
    assert entry != text.encode()
    world.do(f"update audit_logs set entry = %s where {here}", entry)
    if spelling == "content" and depth:
        world.set("audit_logs", "entity_id", "'r-X'", here)
    digest = chain.entry_hash(entry)
    if depth >= 1:
        world.do(f"update audit_logs set entry_hash = %s where {here}", digest)
    if depth >= 2:
        leaf = chain.leaf_hash(chain.leaf(A, FULL, chain.microseconds(at), digest))
        world.do(f"update audit_logs set row_hash = %s where {here}", chain.row_hash(prev, leaf))
    if depth >= 3:
        world.rechain()
    if depth >= 4:
        world.forget_checkpoints()


def entry_kinds(world: World) -> Iterator[Kind]:
    depths = ("", ", entry_hash too", ", row_hash too", ", whole chain too", ", whole chain too, checkpoints deleted")
    for spelling in SPELLINGS:
        for depth, label in enumerate(depths):
            group = "entry changed" if depth < 3 else "chain rewritten consistently"
            yield Kind(f"entry: {spelling}{label}", group, lambda w, s=spelling, d=depth: _change_entry(w, s, d))


def _swap(world: World, column: str) -> None:
    world.do(
        f"update audit_logs a set {column} = b.{column} from audit_logs b where a.tenant_id = %s "
        "and b.tenant_id = a.tenant_id and (a.seq, b.seq) in ((3, 4), (4, 3))",
        A,
    )


def _swap_rows(world: World) -> None:
    for before, after in ((3, 1000), (4, 3), (1000, 4)):
        for table in ("audit_logs", "audit_event_ids"):
            world.do(f"update {table} set seq = %s where tenant_id = %s and seq = %s", after, A, before)


def _insert(world: World, seq: int, *, rechain: bool) -> None:
    world.make_room(seq)
    world.copy_row(seq + 1 if seq < EVENTS else seq - 1, seq)
    if rechain:
        world.rechain()


def _move(world: World, *, rechain: bool) -> None:
    for table in ("audit_event_ids", "audit_logs"):
        world.do(f"update {table} set tenant_id = %s, seq = 100 where tenant_id = %s and seq = 11", B, A)
    if rechain:
        world.rechain(A)
        world.rechain(B)


def _delete_tenant(world: World) -> None:
    tables = "audit_logs audit_event_ids audit_checkpoints audit_chain_heads audit_subjects audit_access_log"
    for table in tables.split():
        world.do(f"delete from {table} where tenant_id = %s", A)


def _replay(world: World, whose: uuid.UUID, its_size: int) -> None:
    world.do(
        "update audit_checkpoints c set root = o.root, chain_head = o.chain_head, frontier = o.frontier, "
        "note = o.note, sealed_at = o.sealed_at from audit_checkpoints o "
        "where c.tenant_id = %s and c.size = %s and o.tenant_id = %s and o.size = %s",
        *(A, SEALED, whose, its_size),
    )


def _delete_access(world: World, *, rechain: bool) -> None:
    world.do("delete from audit_access_log where tenant_id = %s", A)
    world.delete_rows(f"seq = {ACCESS}")
    if rechain:
        world.rechain()


def _copy_access(world: World, seq: str) -> None:
    world.do("drop index audit_access_log_seq")
    columns = "tenant_id, event_id, row_hash, accessed_at, subject_ref, action, filters, result_count, ip_address, "
    columns += "ip_index, user_agent"
    world.do(
        f"insert into audit_access_log ({columns}, seq) select {columns}, {seq} from audit_access_log "
        "where tenant_id = %s",
        A,
    )


def _resign_everywhere(world: World, *, rewrite: bool) -> None:
    forger = Signer(world.installation.keyring.signer.name, bytes(32))
    if rewrite:
        _change_entry(world, "content", 3)
    notes = world.resign(forger)
    world.anchor_file().unlink()
    for note in notes:
        FileAnchor(world.anchor_file().parent).publish(note)


def _cut(path: Path, records: int) -> None:
    data = path.read_bytes()
    for _ in range(records):
        data = data[: data.rindex(b"\n# ")]
    path.write_bytes(data)


def _flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def _gone_with_anchor(world: World) -> None:
    _delete_tenant(world)
    world.anchor_file().unlink()


def _drop_month(world: World, statement: str) -> None:
    [(name,)] = world.do("select tableoid::regclass::text from audit_logs where tenant_id = %s and seq = 0", A)
    world.do(statement.format(name))


BOTH = frozenset({A, B})
LINES = "access log changed"
ROWS, HEAD, POINT, IDS, ANCHOR = (
    "column changed",
    "head changed",
    "checkpoint changed",
    "register changed",
    "anchor changed",
)
LATE = "behind the last checkpoint"
KINDS: Final = (
    Kind("two rows swapped", "rows swapped", _swap_rows),
    Kind("two rows swapped, whole chain too", "chain rewritten consistently", lambda w: (_swap_rows(w), w.rechain())),
    Kind("two entries swapped", "rows swapped", lambda w: _swap(w, "entry")),
    Kind("two entries swapped, entry_hash too", "rows swapped", lambda w: (_swap(w, "entry"), _swap(w, "entry_hash"))),
    Kind("row inserted in the middle", "row inserted", lambda w: _insert(w, 6, rechain=False)),
    Kind("row inserted in the middle, whole chain too", "row inserted", lambda w: _insert(w, 6, rechain=True)),
    Kind("row inserted as the first, whole chain too", "row inserted", lambda w: _insert(w, 0, rechain=True)),
    Kind(
        "row inserted before the last checkpoint's end, whole chain too",
        "row inserted",
        lambda w: _insert(w, SEALED - 1, rechain=True),
    ),
    Kind("row copied to the end, nothing else", "row inserted", lambda w: _insert(w, EVENTS, rechain=False)),
    Kind("append, consistent, behind the last checkpoint", LATE, lambda w: _insert(w, EVENTS, rechain=True)),
    Kind(
        "cut tail, consistent, behind the last checkpoint",
        LATE,
        lambda w: (w.delete_rows(f"seq >= {SEALED}"), w.rechain()),
    ),
    Kind(
        "rewrite, consistent, behind the last checkpoint",
        LATE,
        lambda w: (w.delete_rows(f"seq = {SEALED}"), w.rechain()),
    ),
    *(
        Kind(f"row {seq} deleted{label}", "rows deleted", change)
        for seq in (0, 6, SEALED - 1)
        for label, change in (
            ("", lambda w, s=seq: w.delete_rows(f"seq = {s}")),
            (", whole chain too", lambda w, s=seq: (w.delete_rows(f"seq = {s}"), w.rechain())),
        )
    ),
    Kind("last row deleted", "rows deleted", lambda w: w.delete_rows(f"seq = {EVENTS - 1}")),
    Kind("tail deleted, consistent", "rows deleted", lambda w: (w.delete_rows("seq >= 8"), w.rechain())),
    Kind(
        "tail deleted, consistent, its checkpoints too",
        "rows deleted",
        lambda w: (w.delete_rows("seq >= 8"), w.rechain(), w.do("delete from audit_checkpoints where size > 8")),
    ),
    Kind("all rows deleted", "rows deleted", lambda w: w.delete_rows("true")),
    Kind("tenant deleted from every table", "tenant deleted", _delete_tenant),
    Kind("tenant deleted, anchor file too", "tenant deleted", _gone_with_anchor),
    Kind("row moved to another tenant", "row moved between tenants", lambda w: _move(w, rechain=False), BOTH),
    # Behind B's last checkpoint the moved row could have been appended, so B has nothing to complain of.
    Kind("row moved to another tenant, both chains too", "row moved between tenants", lambda w: _move(w, rechain=True)),
    Kind("head deleted", HEAD, lambda w: w.do("delete from audit_chain_heads where tenant_id = %s", A)),
    Kind(
        "head: next_seq back by one",
        HEAD,
        lambda w: w.set("audit_chain_heads", "next_seq", "next_seq - 1", f"tenant_id = '{A}'"),
    ),
    Kind(
        "checkpoint deleted: first",
        POINT,
        lambda w: w.do("delete from audit_checkpoints where tenant_id = %s and size = 4", A),
    ),
    Kind(
        "checkpoint deleted: newest",
        POINT,
        lambda w: w.do("delete from audit_checkpoints where tenant_id = %s and size = %s", A, SEALED),
    ),
    Kind("checkpoints deleted: all", POINT, lambda w: w.forget_checkpoints()),
    Kind("another tenant's checkpoint replayed", POINT, lambda w: _replay(w, B, 4)),
    Kind("an older checkpoint replayed", POINT, lambda w: _replay(w, A, 4)),
    Kind(
        "checkpoints signed with another key",
        "signed with another key",
        lambda w: w.resign(Signer(w.installation.keyring.signer.name, bytes(32))),
    ),
    Kind(
        "checkpoints and anchors signed with another key",
        "signed with another key",
        lambda w: _resign_everywhere(w, rewrite=False),
    ),
    Kind(
        "chain rewritten, checkpoints and anchors signed with another key",
        "signed with another key",
        lambda w: _resign_everywhere(w, rewrite=True),
    ),
    Kind("partition dropped", "partition dropped", lambda w: _drop_month(w, "drop table {}"), BOTH),
    Kind(
        "partition detached",
        "partition dropped",
        lambda w: _drop_month(w, "alter table audit_logs detach partition {}"),
        BOTH,
    ),
    Kind("id deleted", IDS, lambda w: w.do("delete from audit_event_ids where tenant_id = %s and seq = 5", A)),
    Kind(
        "id deleted, in the form of a UUIDv7",
        IDS,
        lambda w: w.do("delete from audit_event_ids where tenant_id = %s and event_id = %s", A, UUID7),
    ),
    Kind(
        "id added for no event",
        IDS,
        lambda w: w.do(
            "insert into audit_event_ids select tenant_id, 'new', seq, recorded_at, fingerprint "
            "from audit_event_ids where tenant_id = %s and seq = 5",
            A,
        ),
    ),
    Kind(
        "id added for an event that the server named",
        IDS,
        lambda w: w.do(
            "insert into audit_event_ids select tenant_id, event_id, seq, recorded_at, "
            "substr(row_hash, 1, 16) "
            "from audit_logs where tenant_id = %s and seq = 7",
            A,
        ),
    ),
    Kind("access: row deleted", LINES, lambda w: w.do("delete from audit_access_log where tenant_id = %s", A)),
    Kind("access: row deleted, entry too", LINES, lambda w: _delete_access(w, rechain=False)),
    Kind("access: row deleted, entry too, whole chain too", LINES, lambda w: _delete_access(w, rechain=True)),
    Kind("access: row copied", LINES, lambda w: _copy_access(w, "seq")),
    Kind("access: row added for no entry", LINES, lambda w: _copy_access(w, "seq + 1")),
    Kind("access: row added without a number", LINES, lambda w: _copy_access(w, "null")),
    *(
        Kind(f"anchor: byte flipped at {at:.0%}", ANCHOR, lambda w, a=at: _flip(w.anchor_file(), a))
        for at in (0.0, 0.02, 0.1, 0.5, 0.8, 0.999)
    ),
    Kind("anchor: newest record cut", ANCHOR, lambda w: _cut(w.anchor_file(), 1)),
    Kind("anchor: two records cut", ANCHOR, lambda w: _cut(w.anchor_file(), 2)),
    Kind(
        "anchor: cut in the middle of a record",
        ANCHOR,
        lambda w: w.anchor_file().write_bytes(w.anchor_file().read_bytes()[:200]),
    ),
    Kind("anchor: file emptied", ANCHOR, lambda w: w.anchor_file().write_bytes(b"")),
    Kind("anchor: file deleted", ANCHOR, lambda w: w.anchor_file().unlink()),
    Kind(
        "anchor: another tenant's file in its place", ANCHOR, lambda w: shutil.copy(w.anchor_file(B), w.anchor_file())
    ),
)
GENERATED: Final = (
    columns("audit_logs", ROWS, "row", f"tenant_id = '{A}' and seq = {FULL}"),
    entry_kinds,
    columns("audit_chain_heads", HEAD, "head", f"tenant_id = '{A}'"),
    columns("audit_checkpoints", POINT, "checkpoint", f"tenant_id = '{A}' and size = 8"),
    columns("audit_event_ids", IDS, "id", f"tenant_id = '{A}' and seq = {FULL}"),
    columns("audit_access_log", LINES, "access", f"tenant_id = '{A}' and seq = {ACCESS}"),
)


def events(count: int, start: int = 0) -> list[Event]:
    made = []
    for number in range(start, start + count):
        full = Event(
            event_type="record.read",
            entity_type="record",
            entity_id=f"r-{number}",
            actor="alice@example.org",
            outcome="success",
            ip_address="192.0.2.7",
            user_agent="browser",
            details={"number": number},
            event_id={8: UUID7, 7: None}.get(number, f"id-{number}"),
        )
        bare = Event(event_type="record.read", entity_type="record", entity_id="r", event_id=f"id-{number}")
        access = Access(
            actor="auditor", action="events.list", filters={"limit": 50, "q": "hmac"}, result_count=3,
            ip_address="192.0.2.8", user_agent="browser",
        )  # fmt: skip
        made.append({BARE: bare, ACCESS: access.event()}.get(number, full))
    return made


@pytest.fixture
def ledger(installation: Installation) -> Installation:
    """Tenant A: 14 events over two months, checkpoints at 4, 8 and 12; tenant B: 6 events, checkpoints at 4 and 5."""
    with installation.database.connect_admin() as conn:
        [(original,)] = conn.execute("select pg_get_functiondef('audit_append'::regproc)").fetchall()
        conn.execute("select audit_ensure_partitions('2026-01-15Z', 0)")
        assert "clock_timestamp()" in original
        conn.execute(original.replace("clock_timestamp()", "'2026-01-31T12:00:00Z'::timestamptz").encode())
        for tenant in (A, B):
            installation.ledger.append(tenant, events(4))
            installation.seal(tenant)
        conn.execute(original.encode())
    for first, count in ((4, 4), (8, 4)):
        installation.ledger.append(A, events(count, first))
        installation.seal(A)
    installation.ledger.append(A, events(2, SEALED))
    installation.ledger.append(B, events(1, 100))
    installation.seal(B)
    installation.ledger.append(B, events(1, 101))
    return installation


@pytest.fixture
def world(ledger: Installation) -> Iterator[World]:
    with ledger.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("alter table audit_access_log drop constraint audit_access_log_in_chain")
        yield World(conn, ledger)


def places(results: list[Verification]) -> str:
    found = [str(finding) for result in results for finding in result.findings]
    return f"{found[0].removeprefix('tenant ')[:110]} (+{len(found) - 1})" if found else "intact"


def test_every_kind_of_tampering_is_found_and_what_cannot_be_is_said(world: World, tmp_path: Path) -> None:
    assert [result.findings for result in world.verify()] == [(), ()]
    anchors, kept = world.installation.settings.anchors_dir, tmp_path / "kept"
    shutil.copytree(anchors, kept)
    wrong, groups = [], set()
    kinds = [*(kind for make in GENERATED for kind in make(world)), *KINDS]
    assert len({kind.name for kind in kinds}) == len(kinds)
    for kind in kinds:
        with world.conn.transaction(force_rollback=True):
            kind.change(world)
            results = world.verify()
        shutil.rmtree(anchors)
        shutil.copytree(kept, anchors)
        named = {result.tenant_id for result in results if not result.intact}
        caught = named >= kind.hurt
        note = "yes" if caught else "no: " + UNDETECTABLE.get(kind.name, "MISSED")
        print(f"{kind.name:62} | {places(results):120} | {note}")  # noqa: T201 - the table is what people run it for
        groups.add(kind.group)
        if caught == (kind.name in UNDETECTABLE) or (kind.name in UNDETECTABLE and named):
            wrong.append((kind.name, places(results)))
    assert wrong == []
    assert {kind.name for kind in kinds} >= set(UNDETECTABLE)
    assert [result.findings for result in world.verify()] == [(), ()]
    text = DOCS.read_text()
    assert sorted(group for group in groups if f"| {group} |" not in text) == []


def test_an_older_database_is_found_by_the_anchors_made_since(ledger: Installation) -> None:
    name = f"older_{uuid.uuid4().hex}"
    ledger.database.close()
    with ledger.database.connect_admin(dbname="postgres") as conn:
        conn.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(ledger.database._dbname)
            )
        )
        older = Database(ledger.settings, ledger.database._embedded, name)
        try:
            restored = assemble(ledger.settings, ledger.keyring, older)
            assert all(result.intact for result in restored.verify())
            ledger.seal(A)
            results = restored.verify()
            assert {result.tenant_id for result in results if not result.intact} == {A}
            assert {finding.kind for result in results for finding in result.findings} == {"anchor"}
        finally:
            older.close()
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
