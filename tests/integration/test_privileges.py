"""What each role may do to the ledger, asked of the database itself."""

import uuid
from typing import Any

import psycopg
import pytest

from audit_pipelines.db.database import LOGIN_ROLES, Database, Role
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event

APPEND_ONLY = (
    "audit_logs",
    "audit_event_ids",
    "audit_checkpoints",
    "audit_lineage",
    "audit_signatures",
    "audit_reviews",
)
CHANGES = (
    "update audit_logs set event_type = 'x'",
    "delete from audit_logs",
    "truncate audit_logs",
    "insert into audit_logs select * from audit_logs",
    "update audit_chain_heads set next_seq = 0",
    "delete from audit_event_ids",
    "delete from audit_checkpoints",
    "drop table audit_logs",
    "alter table audit_logs disable trigger all",
)


@pytest.fixture
def stored(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    event = Event(
        event_type="a.b", entity_type="thing", entity_id="1", actor="alice", ip_address="192.0.2.1", event_id="e-1"
    )
    installation.ledger.append(tenant_id, [event])
    installation.seal(tenant_id)
    return installation


@pytest.mark.parametrize("role", LOGIN_ROLES)
@pytest.mark.parametrize("statement", CHANGES)
def test_no_role_changes_the_ledger(stored: Installation, role: Role, statement: str) -> None:
    with psycopg.connect(stored.database.conninfo(role)) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_triggers_stop_the_administrator_from_truncating(stored: Installation, table: str) -> None:
    with (
        stored.database.connect_admin() as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        conn.execute(f"truncate {table}")


@pytest.mark.parametrize("table", ["audit_logs", "audit_event_ids", "audit_checkpoints"])
@pytest.mark.parametrize("change", ["delete from {}", "update {} set tenant_id = gen_random_uuid()"])
def test_triggers_stop_the_administrator_from_changing_rows(stored: Installation, table: str, change: str) -> None:
    with stored.database.connect_admin() as conn:
        assert conn.execute(f"select count(*) from {table}").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            conn.execute(change.format(table))


@pytest.mark.parametrize("value", [None, "", "nonsense", "' or true --", str(uuid.UUID(int=1))])
def test_without_the_tenant_there_are_no_rows_and_no_error(stored: Installation, value: str | None) -> None:
    with psycopg.connect(stored.database.conninfo("audit_app")) as conn:
        if value is not None:
            conn.execute("select set_config('app.current_tenant_id', %s, false)", [value])
        for table in tenant_tables(conn):
            assert conn.execute(f"select count(*) from {table}").fetchone() == (0,), table


def test_with_the_tenant_its_rows_are_seen(stored: Installation, tenant_id: uuid.UUID) -> None:
    stored.ledger.append(uuid.uuid4(), [Event(event_type="a.b", entity_type="thing", entity_id="2")])
    with stored.database.tenant_connection(tenant_id) as conn:
        assert conn.execute("select count(*) from audit_logs").fetchone() == (1,)


def test_every_tenant_table_forces_row_security(database: Database) -> None:
    with database.connect_admin() as conn:
        lax = conn.execute(
            """
            select relname from pg_class c
            where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
              and not (relrowsecurity and relforcerowsecurity) and relname <> 'audit_schema_migrations'
            """
        ).fetchall()
    assert lax == []


def test_addresses_and_names_are_not_in_clear(stored: Installation) -> None:
    with stored.database.connect_admin() as conn:
        row = conn.execute("select ip_address, encode(entry, 'escape'), actor_ref from audit_logs").fetchone()
    assert row
    assert row[0].startswith("v1.")
    assert "192.0.2.1" not in row[1]
    assert "alice" not in row[1]


def tenant_tables(conn: psycopg.Connection[Any]) -> list[str]:
    rows = conn.execute(
        """
        select table_name from information_schema.table_privileges
        where grantee = 'audit_app' and privilege_type = 'SELECT' and table_schema = 'public'
        """
    ).fetchall()
    assert len(rows) > 10
    return [row[0] for row in rows]
