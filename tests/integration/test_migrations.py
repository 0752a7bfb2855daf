"""Migrations go up, all the way down and up again to the same schema; edited ones are refused."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit_pipelines.db import migrate
from audit_pipelines.db.database import Database
from audit_pipelines.errors import MigrationError

VERSIONS = [item.version for item in migrate.migrations()]
SCHEMA = """
    select 'column', table_name, column_name, data_type || coalesce(column_default, '') || is_nullable
    from information_schema.columns where table_schema = 'public' and table_name !~ '^audit_logs_\\d+$'
    union all
    select 'index', tablename, indexname, indexdef from pg_indexes
    where schemaname = 'public' and tablename !~ '^audit_logs_\\d+$'
    union all
    select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger
    where not tgisinternal and tgrelid::regclass::text !~ '^audit_logs_\\d+$'
    union all
    select 'policy', tablename, policyname, roles::text || qual || coalesce(with_check, '') from pg_policies
    union all
    select 'row security', relname, relrowsecurity::text, relforcerowsecurity::text from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname !~ '^audit_logs_\\d+$'
    union all
    select 'grant', table_name, grantee, string_agg(privilege_type, ',' order by privilege_type)
    from information_schema.role_table_grants where table_schema = 'public' and table_name !~ '^audit_logs_\\d+$'
    group by table_name, grantee
    union all
    select 'function', proname, prosecdef::text, prosrc || coalesce(proacl::text, '') from pg_proc
    where pronamespace = 'public'::regnamespace and proowner = (select oid from pg_roles where rolname = 'audit_owner')
    union all
    select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace and conrelid::regclass::text !~ '^audit_logs_\\d+$'
    order by 1, 2, 3, 4
"""


def schema(conn: psycopg.Connection[Any]) -> list[Any]:
    return conn.execute(SCHEMA).fetchall()


def test_up_down_up_leaves_the_same_schema(database: Database) -> None:
    with database.connect_admin() as conn:
        before = schema(conn)
        assert {row[0] for row in before} >= {"column", "index", "trigger", "policy", "grant", "function"}
        assert migrate.rollback(conn, -1) == tuple(reversed(VERSIONS))
        left = {row[1] for row in schema(conn)}
        assert left == {"audit_schema_migrations"}
        assert len(migrate.migrate(conn)) == len(VERSIONS)
        assert schema(conn) == before


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_each_migration_can_be_undone_to_and_applied_again(database: Database, version: int) -> None:
    with database.connect_admin() as conn:
        before = schema(conn)
        assert migrate.rollback(conn, version) == tuple(item for item in reversed(VERSIONS) if item > version)
        migrate.migrate(conn)
        assert schema(conn) == before


def test_a_second_run_does_nothing(database: Database) -> None:
    with database.connect_admin() as conn:
        assert migrate.migrate(conn) == ()
        assert all(line.applied_at for line in migrate.status(conn))


def test_an_edited_migration_is_refused(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = tmp_path / "migrations"
    edited.mkdir()
    for path in migrate.data_path("migrations").iterdir():
        (edited / path.name).write_bytes(path.read_bytes())
    (edited / "003_create_audit_ml_models.sql").write_text("select 1;")
    monkeypatch.setattr(migrate, "data_path", lambda _: edited)
    with database.connect_admin() as conn, pytest.raises(MigrationError, match=r"003_create_audit_ml_models.*edited"):
        migrate.migrate(conn)


def test_a_failing_migration_leaves_nothing_behind(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extended = tmp_path / "migrations"
    extended.mkdir()
    for path in migrate.data_path("migrations").iterdir():
        (extended / path.name).write_bytes(path.read_bytes())
    (extended / "999_broken.sql").write_text("create table left_behind (a int); select 1 / 0;")
    monkeypatch.setattr(migrate, "data_path", lambda _: extended)
    with database.connect_admin() as conn:
        with pytest.raises(MigrationError, match="999_broken failed and was undone: division by zero"):
            migrate.migrate(conn)
        assert conn.execute("select to_regclass('left_behind')").fetchone() == (None,)
        assert migrate.status(conn)[-1].applied_at is None


def test_the_archive_cannot_be_undone_once_it_alone_has_rows(database: Database) -> None:
    with database.connect_admin() as conn:
        conn.execute(
            """
            insert into audit_archives
            values (gen_random_uuid(), '2020-01', 0, 0, sha256('a'), sha256('b'), now(), now(), sha256('c'), 1, '', 1,
                    now(), now())
            """
        )
        with pytest.raises((MigrationError, psycopg.Error), match="released to the archive"):
            migrate.rollback(conn, 16)
        assert conn.execute("select count(*) from audit_archives").fetchone() == (1,)
