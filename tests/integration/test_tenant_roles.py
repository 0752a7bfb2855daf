"""What keeps tenants apart, asked of the catalog: forced row security, roles that own nothing, and queries without a
tenant to forget."""

import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
import pytest
from pydantic import SecretStr

from audit_pipelines.db.database import LOGIN_ROLES, Database, Role
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.files import data_path
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.verify import Verification

# What each role of the product may call of the product's own functions; all else is refused.
CALLABLE: Final[dict[Role, set[str]]] = {
    "audit_app": {
        "audit_append", "audit_current_tenant", "audit_ensure_partitions", "audit_hold_covers", "audit_is_access",
        "audit_nearest_texts",
    },
    "audit_reader": {"audit_current_tenant", "audit_is_access", "audit_nearest_texts"},
    "audit_pipeline": {
        "audit_archive_hold", "audit_current_tenant", "audit_ensure_partitions", "audit_held", "audit_hold_covers",
        "audit_is_access",
    },
    "audit_custodian": {
        "audit_append", "audit_approve_deletion", "audit_archive_hold", "audit_current_tenant", "audit_delete_archive",
        "audit_ensure_partitions", "audit_erase_subject", "audit_held", "audit_hold_concerns", "audit_hold_covers",
        "audit_is_access", "audit_keep_ids", "audit_mark_due", "audit_release_partition", "audit_rewrap_subjects",
        "audit_rewrite_subjects", "audit_use_master_key",
    },
}  # fmt: skip
# Statements of the server that name a tenant in a condition, and why row security does not do it for them.
NAMES_A_TENANT: Final = {
    "forget_idempotency_keys": "one flush holds requests of many tenants, and the server switches between them",
    "insert_idempotency_key": "a new row says whose it is; row security checks it",
    "lock_idempotency_keys": "one flush holds requests of many tenants, and a lock's name must hold the tenant",
}
TENANT_CONDITION: Final = re.compile(r"tenant_id\s*(?:=|<>|in\b|is\b)|%\(tenant|current_setting|audit_current_tenant")
JOIN: Final = re.compile(r"\b\w+\.tenant_id\s*=\s*\w+\.tenant_id")


def test_every_table_with_a_tenant_forces_row_security_by_policies_that_name_it(database: Database) -> None:
    with database.connect_admin() as conn:
        tables = conn.execute(
            """
            select c.relname, c.relrowsecurity and c.relforcerowsecurity,
                   array(select p.polname || ' ' || pg_get_expr(p.polqual, p.polrelid) from pg_policy p
                         where p.polrelid = c.oid and (p.polroles && array['audit_app'::regrole::oid,
                                                                        'audit_reader'::regrole::oid, 0::oid])),
                   c.relispartition
            from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
            where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
            """
        ).fetchall()
    assert len(tables) >= 20
    assert [name for name, forced, _, _ in tables if not forced] == []
    lax = {
        name: policies
        for name, _, policies, is_partition in tables
        # A partition that is read by itself has no policy at all, hence no rows for anybody.
        if not all("audit_current_tenant()" in policy for policy in policies) or (not policies and not is_partition)
    }
    assert lax == {}


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_a_role_that_connects_owns_nothing_and_can_become_nobody(database: Database, role: Role) -> None:
    with database.connect_admin() as conn:
        powers = conn.execute(
            "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit from pg_roles "
            "where rolname = %s",
            [role],
        ).fetchone()
        owned = conn.execute(
            """
            select 'relation ' || relname from pg_class where relowner = %(role)s::regrole
            union all select 'function ' || proname from pg_proc where proowner = %(role)s::regrole
            union all select 'schema ' || nspname from pg_namespace where nspowner = %(role)s::regrole
            union all select 'database ' || datname from pg_database where datdba = %(role)s::regrole
            union all select 'type ' || typname from pg_type where typowner = %(role)s::regrole
            """,
            {"role": role},
        ).fetchall()
        others = [name for (name,) in conn.execute("select rolname from pg_roles where rolname <> %s", [role])]
        creating = conn.execute("select has_schema_privilege(%s, 'public', 'create')", [role]).fetchone()
    assert powers == (False,) * 6
    assert owned == []
    assert creating == (False,)
    assert {"audit_owner", "postgres"} <= set(others)
    with psycopg.connect(database.conninfo(role), autocommit=True) as conn:
        for other in others:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f'set role "{other}"')
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f'set session authorization "{other}"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("set session_replication_role = replica")
        conn.execute("set row_security = off")
        # Off means an error instead of a filter, never all rows.
        table = "audit_logs" if role in {"audit_app", "audit_reader"} else "audit_users"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"select from {table}")


@pytest.mark.parametrize("own", [True, False])
def test_the_servers_account_can_be_kept_from_other_rights(installation: Installation, *, own: bool) -> None:
    """A database of one's own: with DATABASE_APP_URL there is no role to go back to; without, the report says so."""
    conninfo = installation.database.conninfo
    urls = {"database_url": SecretStr(conninfo(None)), "database_app_url": SecretStr(conninfo("audit_app"))}
    settings = installation.settings.model_copy(update=urls if own else {"database_url": urls["database_url"]})
    database = Database(settings, embedded=None)
    try:
        with database.tenant_connection(uuid.uuid4()) as conn:
            assert conn.execute("select current_user::text").fetchone() == ("audit_app",)
            conn.execute("set role none")
            powerful = conn.execute("select current_user::text <> 'audit_app'").fetchone()
        assert powerful == (not own,)
        entered = replace(installation, settings=settings, database=database)
        verification = Verification(uuid.uuid4(), 0, 0, None, bytes(32), ())
        [control] = check_controls(entered, verification, keys={"least_privilege"})
        assert control.result == ("pass" if own else "fail")
        assert ("DATABASE_APP_URL" in control.evidence) is not own
    finally:
        database.close()


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_a_role_calls_the_functions_it_needs_and_no_other(database: Database, role: Role) -> None:
    with database.connect_admin() as conn:
        rows = conn.execute(
            """
            select p.proname from pg_proc p
            where p.pronamespace = 'public'::regnamespace and has_function_privilege(%s, p.oid, 'execute')
              and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
            """,
            [role],
        ).fetchall()
    assert {name for (name,) in rows} == CALLABLE[role]


def test_no_function_with_its_owners_rights_can_be_given_other_tables(database: Database) -> None:
    """Temporary tables are found before all others, unless pg_temp is said to come last."""
    with database.connect_admin() as conn:
        lax = conn.execute(
            """
            select proname, proconfig from pg_proc
            where prosecdef and pronamespace = 'public'::regnamespace
              and not coalesce('search_path=pg_catalog, public, pg_temp' = any (proconfig), false)
            """
        ).fetchall()
    assert lax == []


def test_a_temporary_table_does_not_hide_a_legal_hold(database: Database) -> None:
    tenant, person = "7d3c1f0e-0000-4000-8000-000000000001", "7d3c1f0e-0000-4000-8000-000000000002"
    with database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "insert into audit_subjects "
            "(tenant_id, actor_ref, actor_index, sealed_identity, wrapped_key, master_key_id) "
            "values (%s, %s, %s, 'v1', 'k', 'm')",
            [tenant, person, bytes(32)],
        )
        conn.execute(
            "insert into audit_legal_holds (tenant_id, reason, placed_by) values (%s, 'a trial', %s)", [tenant, person]
        )
    with psycopg.connect(database.conninfo("audit_custodian"), autocommit=True) as conn:
        conn.execute("create temporary table audit_legal_holds (like public.audit_legal_holds)")
        conn.execute("grant all on audit_legal_holds to public")
        conn.execute("select set_config('app.current_tenant_id', %s, false)", [tenant])
        with pytest.raises(psycopg.DatabaseError) as caught:
            conn.execute("select * from audit_erase_subject(%s)", [person])
    assert caught.value.sqlstate == "AU002"


def test_the_servers_queries_name_no_tenant() -> None:
    """Row security filters; a condition that somebody can forget must not be what tenants rely on."""
    found = set()
    # What they include is read where it stands.
    folders = [Path(str(data_path(f"sql/{name}"))) for name in ("server", "parts")]
    for path in sorted(path for folder in folders for path in folder.glob("*.sql")):
        text = "\n".join(line.partition("--")[0] for line in path.read_text().splitlines())
        if TENANT_CONDITION.search(JOIN.sub("", text)):
            found.add(path.stem)
    assert found == set(NAMES_A_TENANT)


def test_the_server_has_no_query_but_those() -> None:
    """A query written into Python would escape the test above."""
    server = Path(str(data_path("sql"))).parent / "audit_pipelines" / "server"
    written = {
        f"{path.name}: {match[0]}"
        for path in server.rglob("*.py")
        for match in re.finditer(r"\b(?:from|into|update|join)\s+audit_(?!pipelines)\w+", path.read_text())
    }
    assert written == set()


# What the lake is made of leaves out who is erased.
EXCEPT = {("audit_subjects", "audit_pipeline"): {"tenant_id", "actor_ref", "erased_at"}}


@pytest.mark.parametrize("role", ["audit_pipeline", "audit_reader"])
@pytest.mark.parametrize("table", ["audit_subjects", "audit_users", "audit_idempotency_keys"])
def test_who_reads_many_tenants_reads_no_names_and_no_passwords(database: Database, role: Role, table: str) -> None:
    """Dagster's role spans tenants by design: it must not reach the vault, accounts or answers given to clients."""
    with database.connect_admin() as conn:
        columns = conn.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
            "and has_column_privilege(%s, attrelid, attnum, 'select')",
            [table, role],
        ).fetchall()
    assert {name for (name,) in columns} == EXCEPT.get((table, role), set())
