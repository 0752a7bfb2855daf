"""Random single-byte changes anywhere in a row are all found, and none is found where there is none."""

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event

BYTES = ("entry", "entry_hash", "prev_hash", "row_hash", "ip_index")
TEXTS = ("event_id", "event_type", "entity_type", "entity_id", "outcome", "ip_address", "user_agent")
MUTATIONS = 150
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


def test_every_random_single_byte_change_is_found_at_its_row(stored: Installation, tenant_id: uuid.UUID) -> None:
    chance = random.Random(20261123)
    missed = []
    with stored.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        for _ in range(MUTATIONS):
            seq, column = chance.randrange(40), chance.choice((*BYTES, *TEXTS))
            raw = column if column in BYTES else f"convert_to({column}, 'UTF8')"
            where = f"where tenant_id = '{tenant_id}' and seq = {seq}"
            [(before, length)] = conn.execute(f"select {column}, length({raw}) from audit_logs {where}").fetchall()
            if not length:
                continue
            place, bit = chance.randrange(length), 1 << chance.randrange(8)
            if column in BYTES:
                change = f"set_byte({column}, {place}, get_byte({column}, {place}) # {bit})"
            else:
                # Another letter in its place: a flipped bit is often no UTF-8, which Postgres itself refuses.
                at = chance.randrange(len(before)) + 1
                letter = "x" if before[at - 1] != "x" else "y"
                change = f"overlay({column} placing '{letter}' from {at} for 1)"
            conn.execute(f"update audit_logs set {column} = {change} {where}")
            (result,) = stored.verify(tenant_id)
            if seq not in {finding.seq for finding in result.findings}:
                missed.append((seq, column, result.findings))
            conn.execute(f"update audit_logs set {column} = %s {where}", [before])
    assert missed == []
    assert [result.findings for result in stored.verify(tenant_id)] == [()]
