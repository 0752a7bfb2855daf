"""Archives changed by a forger: verification finds each change, in the files and in what the database says of them.

Here: changes after a month was archived. Not here: how months come into the archive and how it ends, in
`test_retention.py`.
"""

import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pyarrow.parquet as pq
import pytest
from moved_clock import month, named
from test_retention import A_MONTH, OTHER, findings, run

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.verify import verify_tenant
from audit_pipelines.settings import Settings

pytest_plugins = ["test_retention"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"audit_archive_grace_days": 0})


def rewrite(path: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)


def edit(**values: object) -> Callable[[list[dict]], list[dict]]:
    return lambda rows: [row | values if place == 7 else row for place, row in enumerate(rows)]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


SECOND = A_MONTH + 17
"""The first seq of the month that is tampered with."""
CHANGES: Final[Mapping[str, tuple[Callable[[Path, Path], object], int]]] = {
    "segment missing": (lambda s, m: s.unlink(), SECOND),
    "segment cut in the middle": (lambda s, m: s.write_bytes(s.read_bytes()[:4_000]), SECOND),
    "segment cut by a byte": (lambda s, m: s.write_bytes(s.read_bytes()[:-1]), SECOND),
    "segment emptied": (lambda s, m: s.write_bytes(b""), SECOND),
    "segment: a byte flipped": (lambda s, m: flip(s, 2_000), SECOND),
    "segment: another month's": (lambda s, m: shutil.copy(s.with_name(f"{named(14)}.parquet"), s), 2 * SECOND),
    "segment: another tenant's": (lambda s, m: shutil.copy(s.parents[1] / str(OTHER) / s.name, s), SECOND),
    "segment: written anew, same rows": (lambda s, m: rewrite(s, lambda rows: rows), SECOND),
    "segment: an entry edited": (lambda s, m: rewrite(s, edit(entry=b"{}")), SECOND + 7),
    "segment: recorded_at edited": (
        lambda s, m: rewrite(s, edit(recorded_at=month(15) + timedelta(seconds=1))),
        SECOND + 7,
    ),
    "segment: event_id edited": (lambda s, m: rewrite(s, edit(event_id="other")), SECOND + 7),
    "segment: a row deleted": (lambda s, m: rewrite(s, lambda rows: rows[:7] + rows[8:]), SECOND + 8),
    "segment: the last row deleted": (lambda s, m: rewrite(s, lambda rows: rows[:-1]), 2 * SECOND - 1),
    "segment: two rows swapped": (
        lambda s, m: rewrite(s, lambda rows: [*rows[:7], rows[8], rows[7], *rows[9:]]),
        SECOND + 8,
    ),
    "manifest missing": (lambda s, m: m.unlink(), SECOND),
    "manifest cut": (lambda s, m: m.write_text(m.read_text()[:-20]), SECOND),
    "manifest: a number edited": (
        lambda s, m: m.write_text(m.read_text().replace('"rows": 317', '"rows": 318')),
        SECOND,
    ),
    "manifest: another month's": (lambda s, m: shutil.copy(m.with_name(f"{named(14)}.manifest"), m), SECOND),
    "both: another month's": (
        lambda s, m: (
            shutil.copy(s.with_name(f"{named(14)}.parquet"), s),
            shutil.copy(m.with_name(f"{named(14)}.manifest"), m),
        ),
        SECOND,
    ),
    "the whole folder missing": (lambda s, m: shutil.rmtree(s.parent), 0),
}
THIS: Final = "where month = %(month)s and tenant_id = %(tenant)s"
REGISTER: Final[Mapping[str, tuple[str, int]]] = {
    "register: row deleted": (f"delete from audit_archives {THIS}", 2 * SECOND),
    "register: first_prev_hash": (f"update audit_archives set first_prev_hash = sha256('x') {THIS}", SECOND),
    "register: last_row_hash": (f"update audit_archives set last_row_hash = sha256('x') {THIS}", SECOND),
    "register: file_sha256": (f"update audit_archives set file_sha256 = sha256('x') {THIS}", SECOND),
    "register: manifest": (
        f"update audit_archives set manifest = overlay(manifest placing 'x' from 90 for 1) {THIS}",
        SECOND,
    ),
    "register: not released": (f"update audit_archives set released_at = null {THIS}", 2 * SECOND),
    "register: said to be deleted": (f"update audit_archives set due_at = now(), deleted_at = now() {THIS}", SECOND),
    "a client's id deleted": ("delete from audit_event_ids where event_id = 'm16-3'", 3),
    "a client's id moved": ("update audit_event_ids set seq = 9 where event_id = 'm16-3'", 3),
    "kept ids changed": ("update audit_archived_ids set ids = set_byte(ids, 5, 1) where first_seq = 0", 0),
    "kept links changed": ("update audit_archived_ids set links = set_byte(links, 5, 1) where first_seq = 0", 0),
    "kept ids deleted": ("delete from audit_archived_ids where first_seq = 0", 0),
    "kept days changed": ("update audit_archived_days set last_seq = last_seq + 1 where first_seq = 0", 0),
    "a row put back": (
        """
        insert into audit_logs
        select tenant_id, 5, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref,
               event_type, entity_type, entity_id, outcome, ip_address, ip_index, user_agent
        from audit_logs limit 1
        """,
        5,
    ),
}


def test_every_change_to_the_archive_is_found(aged: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    run(aged)
    root = aged.database.archives_dir
    shutil.copytree(root, tmp_path / "sound")
    table = []
    for name, (change, seq) in CHANGES.items():
        change(root / str(tenant_id) / f"{named(15)}.parquet", root / str(tenant_id) / f"{named(15)}.manifest")
        table.append((name, seq, [one for each in aged.verify() for one in each.findings]))
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "sound", root)
        assert findings(aged) == [], name
    with aged.database.connect_admin() as conn:
        for name, (statement, seq) in REGISTER.items():
            with conn.transaction(force_rollback=True):
                conn.execute("set local session_replication_role = replica")
                assert conn.execute(statement, {"month": named(15), "tenant": tenant_id}).rowcount, name
                conn.execute("set local session_replication_role = origin")
                table.append((name, seq, verified(conn, aged, tenant_id)))
    for name, seq, found in table:
        sys.stdout.write(f"{name:40} {seq:6} {found[0] if found else 'NOTHING'}\n")
    assert [name for name, seq, found in table if seq not in {one.seq for one in found}] == []
    assert [name for name, _, found in table if {one.tenant_id for one in found} != {tenant_id}] == []


def verified(conn: psycopg.Connection, installation: Installation, tenant_id: uuid.UUID) -> list:
    folder = ArchiveFolder(installation.database.archives_dir)
    keys = installation.verifier_keys
    return list(verify_tenant(conn, tenant_id, verifier_keys=keys, anchor=installation.anchor, folder=folder).findings)


def test_a_damaged_archive_is_made_anew_as_long_as_its_rows_are_here(aged: Installation, tenant_id: uuid.UUID) -> None:
    keeps = replace(aged, settings=aged.settings.model_copy(update={"audit_auto_archive": False}))
    run(keeps)
    path = aged.database.archives_dir / str(tenant_id) / f"{named(15)}.parquet"
    flip(path, 2_000)
    [result] = aged.verify(tenant_id)
    assert result.intact
    assert "made anew" not in result.warnings
    assert [named(15) in warning for warning in result.warnings] == [True]
    assert [one.segment.month for one in run(keeps).archived if one.is_new] == [named(15)]
    assert aged.verify(tenant_id)[0].warnings == ()
