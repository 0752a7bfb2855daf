"""Random single-byte changes anywhere in the ledger's tables and anchors are all found; none where there is none."""

import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.verify import tenants, verify_tenant

MUTATIONS = 750
"""Some hit a null or an empty value, or are refused by a constraint: at least 500 remain."""
TABLES = ("audit_logs", "audit_chain_heads", "audit_event_ids", "audit_checkpoints")
NOT_VOUCHED_FOR = {("audit_chain_heads", "erasures"), ("audit_event_ids", "fingerprint")}
"""See docs/ledger_format.md, What verification notices."""
_FLIP = "set_byte({0}, %(place)s %% length({0}), get_byte({0}, %(place)s %% length({0})) # (1 << %(bit)s))"
# In a text another letter: a flipped bit is often no UTF-8, which Postgres itself refuses.
CHANGES = {
    "bytea": _FLIP,
    "uuid": f"encode({_FLIP.format('uuid_send({0})')}, 'hex')::uuid",
    "bigint": "{0} # (1::bigint << (%(place)s %% 62))",
    "timestamp with time zone": "{0} + (1::bigint << (%(place)s %% 32)) * interval '1 microsecond'",
    "text": "overlay({0} placing case substr({0}, %(place)s %% greatest(length({0}), 1) + 1, 1) when 'x' then 'y' "
    "else 'x' end from %(place)s %% greatest(length({0}), 1) + 1 for 1)",
}
AWKWARD = ['quote " here', "back\\slash", "ünï ☃ 𝄞", "a,b:{}[]", "</script>", "' or 1=1 --", "null", "\u00a0"]


@pytest.fixture
def stored(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    start = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    events = [
        Event(
            event_type=f"type {AWKWARD[number % len(AWKWARD)]}",
            entity_type=AWKWARD[(number + 1) % len(AWKWARD)],
            entity_id=f"{number} {AWKWARD[(number + 2) % len(AWKWARD)]}",
            actor=None if number % 5 == 0 else f"person-{number % 3}@example.org",
            outcome=None if number % 4 == 0 else AWKWARD[(number + 3) % len(AWKWARD)],
            ip_address=None if number % 3 == 0 else f"192.0.2.{number}",
            user_agent=None if number % 7 == 0 else AWKWARD[(number + 4) % len(AWKWARD)],
            details=None if number % 6 == 0 else {AWKWARD[number % len(AWKWARD)]: [number, 1.5, None, {"v": 1}]},
            occurred_at=start + timedelta(microseconds=number * 7),
            event_id=f"{number} {AWKWARD[(number + 5) % len(AWKWARD)]}" if number % 2 else None,
        )
        for number in range(40)
    ]
    installation.ledger.append(tenant_id, events)
    installation.seal(tenant_id)
    return installation


def test_awkward_rows_are_no_false_alarm(stored: Installation, tenant_id: uuid.UUID) -> None:
    with stored.database.connect_admin() as conn:
        for setting in ("timezone = 'Asia/Kathmandu'", "datestyle = 'German, DMY'", "bytea_output = 'escape'"):
            for role in ("audit_app", "audit_pipeline"):
                conn.execute(f"alter role {role} set {setting}")
    try:
        assert [result.findings for result in stored.verify(tenant_id)] == [()]
    finally:
        with stored.database.connect_admin() as conn:
            for role in ("audit_app", "audit_pipeline"):
                conn.execute(f"alter role {role} reset all")


def test_every_random_single_byte_change_in_the_database_is_found(stored: Installation, tenant_id: uuid.UUID) -> None:
    """The whole run is one transaction; each change is undone by a savepoint."""
    caught = 0
    with stored.database.connect_admin() as conn, conn.transaction(force_rollback=True):
        conn.execute("set session_replication_role = replica")
        places = {table: conn.execute(f"select tableoid, ctid from {table}".encode()).fetchall() for table in TABLES}
        columns = conn.execute(
            "select table_name, column_name, data_type from information_schema.columns where table_name = any (%s)",
            [list(TABLES)],
        ).fetchall()
        columns = [(table, name, kind) for table, name, kind in columns if (table, name) not in NOT_VOUCHED_FOR]
        assert {table for table, *_ in columns} == set(TABLES)

        def is_intact() -> bool:
            known = sorted({*tenants(conn), tenant_id})
            keys, anchor = stored.verifier_keys, stored.anchor
            return all(verify_tenant(conn, one, verifier_keys=keys, anchor=anchor).intact for one in known)

        @settings(max_examples=MUTATIONS, deadline=None, database=None, derandomize=True)
        @given(st.sampled_from(columns), st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 7))
        def mutate(column: tuple[str, str, str], row: int, place: int, bit: int) -> None:
            nonlocal caught
            table, name, kind = column
            oid, ctid = places[table][row % len(places[table])]
            try:
                with conn.transaction(force_rollback=True):
                    statement = (
                        f"update {table} set {name} = {CHANGES[kind].format(name)} where tableoid = %(oid)s and "
                    )
                    statement += (
                        f"ctid = %(ctid)s and length({name}::text) > 0 and {CHANGES[kind].format(name)} <> {name}"
                    )
                    values = {"oid": oid, "ctid": ctid, "place": place, "bit": bit}
                    if conn.execute(statement.encode(), values).rowcount:
                        assert not is_intact()
                        caught += 1
            except (psycopg.IntegrityError, psycopg.DataError):
                # A constraint holds against superusers too: another tenant's or month's row, a negative number.
                event(f"refused: {table}.{name}")

        assert is_intact()
        mutate()
        assert is_intact()
    assert caught >= 500


def test_every_random_single_bit_change_of_an_anchor_file_is_found(stored: Installation, tenant_id: uuid.UUID) -> None:
    path = stored.settings.anchors_dir / f"{tenant_id}.notes"
    whole = path.read_bytes()
    with stored.database.connect_admin() as conn:

        @settings(max_examples=100, deadline=None, database=None, derandomize=True)
        @given(st.integers(0, len(whole) - 1), st.integers(0, 7))
        def mutate(place: int, bit: int) -> None:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            found = verify_tenant(conn, tenant_id, verifier_keys=stored.verifier_keys, anchor=stored.anchor).findings
            assert {finding.kind for finding in found} == {"anchor"}

        mutate()
    path.write_bytes(whole)
    assert [result.findings for result in stored.verify(tenant_id)] == [()]
