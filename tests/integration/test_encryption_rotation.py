"""Changing the master key: whatever moment it is killed at, everything stays readable and running it again ends it."""

import base64
import multiprocessing
import os
import secrets
import signal
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from audit_pipelines import cli, encryption_rotation
from audit_pipelines.db.database import Database
from audit_pipelines.encryption_rotation import is_unfinished, rotate_encryption_key
from audit_pipelines.errors import ConfigurationError, TamperedError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger import rewrap
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.master_keys import master_key_id
from audit_pipelines.settings import Settings

PEOPLE = 12
LAST = 10
FILES = ("encryption.key", "encryption.key.next", "encryption.key.former")


def event(number: int) -> Event:
    return Event(event_type="a.b", entity_type="thing", entity_id="1", actor=f"person-{number}")


@pytest.fixture
def stocked(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    installation.ledger.append(tenant_id, [event(number) for number in range(PEOPLE)])
    installation.seal(tenant_id)
    return installation


@pytest.fixture
def admin(installation: Installation) -> Iterator[psycopg.Connection[Any]]:
    with installation.database.connect_admin() as conn:
        yield conn


def anew(installation: Installation, settings: Settings | None = None) -> Installation:
    """Return the installation as a process that starts now opens it."""
    chosen = settings or installation.settings
    return assemble(chosen, open_keyring(chosen), installation.database)


def rotate(installation: Installation, settings: Settings | None = None) -> encryption_rotation.EncryptionRotation:
    return rotate_encryption_key(settings or installation.settings, installation.database)


def names(installation: Installation, tenant_id: uuid.UUID) -> set[str]:
    with installation.database.tenant_connection(tenant_id) as conn:
        refs = [
            ref for (ref,) in conn.execute("select actor_ref from audit_subjects where sealed_identity is not null")
        ]
        return set(installation.vault.identities(conn, refs).values())


def wrappings(admin: psycopg.Connection[Any]) -> dict[str, int]:
    rows = admin.execute("select master_key_id, count(*) from audit_subjects where wrapped_key is not null group by 1")
    return dict(rows.fetchall())


def everybody(count: int = PEOPLE) -> set[str]:
    return {f"person-{number}" for number in range(count)}


def test_everything_opens_with_the_new_key_and_the_old_one_is_gone(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    keys_dir = stocked.settings.keys_dir
    old = (keys_dir / FILES[0]).read_text()
    ledger = "select *, ctid from audit_logs order by seq"
    before = admin.execute(ledger).fetchall()

    rotation = rotate(stocked)

    new = (keys_dir / FILES[0]).read_text()
    assert old != new
    assert rotation.master_key_id == master_key_id(base64.b64decode(new))
    assert (rotation.rewrapped, rotation.former_destroyed) == (PEOPLE + 1, True)
    assert wrappings(admin) == {rotation.master_key_id: PEOPLE + 1}
    assert sorted(path.name for path in keys_dir.glob("*encryption*")) == [FILES[0]]
    assert (keys_dir / FILES[0]).stat().st_mode & 0o777 == 0o600
    assert not [path for path in keys_dir.rglob("*") if old in path.read_text()]
    for process in (stocked, anew(stocked)):
        assert names(process, tenant_id) == everybody()
    assert admin.execute(ledger).fetchall() == before
    assert [result.findings for result in stocked.verify()] == [()]


def test_a_running_server_goes_on_and_wraps_in_the_new_key(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    rotation = rotate(stocked)
    stocked.ledger.append(tenant_id, [event(PEOPLE), event(0)])
    stocked.ledger.append(uuid.uuid4(), [event(0)])
    assert wrappings(admin) == {rotation.master_key_id: PEOPLE + 4}
    assert names(anew(stocked), tenant_id) == everybody(PEOPLE + 1)


def die_at(when: int, home: Path, conninfo: str) -> None:
    """Rotate, and be killed before the `when`th step that a crash could fall between."""
    steps = iter(range(100))

    def step(*_: object) -> None:
        if next(steps) == when:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        overwrites = name == "open" and str(arguments[0]).endswith(".unneeded") and arguments[2] & os.O_WRONLY
        if overwrites or (name in {"os.link", "os.rename", "os.remove"} and "encryption.key" in str(arguments[0])):
            step()

    rewrap.BATCH = 5
    settings = Settings(_env_file=None, audit_home=home)
    given = Settings(_env_file=None, audit_home=home, database_url=SecretStr(conninfo), database_pool_min=1)
    with Database(given, None) as database:
        sys.addaudithook(watch)
        rotate_encryption_key(settings, database, on_rows=step)


# Link and unlink of the next key's draft, link of the former, rename, three batches, rename, overwriting, deletion; and
# one that is not killed.
@pytest.mark.parametrize("when", range(LAST + 1))
def test_killed_anywhere_it_is_finished_by_the_next_run(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID, when: int
) -> None:
    spawn = multiprocessing.get_context("spawn")
    victim = spawn.Process(target=die_at, args=(when, stocked.settings.home, stocked.database.conninfo(None)))
    victim.start()
    victim.join(60)
    assert victim.exitcode == (-signal.SIGKILL if when < LAST else 0)

    for process in (stocked, anew(stocked)):
        assert names(process, tenant_id) == everybody()
    stocked.ledger.append(tenant_id, [event(PEOPLE)])
    anew(stocked).ledger.append(tenant_id, [event(PEOPLE + 1)])

    if when < LAST:
        rotate(stocked)
    assert not is_unfinished(stocked.settings)
    keys = {path.name: path for path in stocked.settings.keys_dir.glob("encryption*")}
    assert keys.keys() == {FILES[0]}
    assert wrappings(admin) == {master_key_id(base64.b64decode(keys[FILES[0]].read_text())): PEOPLE + 3}
    assert names(anew(stocked), tenant_id) == everybody(PEOPLE + 2)
    assert [result.findings for result in stocked.verify()] == [()]


def test_an_interrupted_rotation_is_reported(stocked: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_HOME", str(stocked.settings.home))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert "interrupted" not in CliRunner().invoke(cli.app, ["keys", "list"]).output
    (stocked.settings.keys_dir / FILES[1]).touch(0o600)
    assert "encryption key was interrupted" in CliRunner().invoke(cli.app, ["keys", "list"]).output


def test_the_former_key_outlives_a_key_that_does_not_open(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    admin.execute(
        "update audit_subjects set wrapped_key = set_byte(wrapped_key, 20, get_byte(wrapped_key, 20) # 1) "
        "where actor_ref = (select actor_ref from audit_logs where seq = 3)"
    )
    with pytest.raises(TamperedError, match="does not open with master key"):
        rotate(stocked)
    assert (stocked.settings.keys_dir / FILES[2]).stat().st_mode & 0o777 == 0o600
    assert is_unfinished(stocked.settings)


def test_the_erased_stay_erased(stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID) -> None:
    stocked.erase(tenant_id, "person-3")
    assert rotate(stocked).rewrapped == PEOPLE
    assert admin.execute("select count(*) from audit_subjects where wrapped_key is null").fetchone() == (1,)
    assert "erased" in _shown(stocked, tenant_id)


def test_an_erasure_between_reading_and_writing_wins(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    rows = admin.execute("select tenant_id, actor_ref, wrapped_key, master_key_id from audit_subjects").fetchall()
    stocked.erase(tenant_id, "person-3")
    columns = [list(column) for column in zip(*rows, strict=True)]
    with stocked.database.connection("audit_custodian") as conn:
        done = conn.execute(
            "select audit_rewrap_subjects(%s, %s, %s, %s, %s)", [*columns[:3], columns[2], columns[3][0]]
        ).fetchone()
    assert done == (PEOPLE,)
    assert admin.execute("select count(*) from audit_subjects where wrapped_key is null").fetchone() == (1,)


def given_keys(installation: Installation, present: str, *former: str) -> Settings:
    """Return settings as with keys from the environment; the embedded database stays the one that is asked."""
    return installation.settings.model_copy(
        update={
            "audit_encryption_key": SecretStr(present),
            "audit_former_encryption_keys": SecretStr(", ".join(former)) if former else None,
        }
    )


def test_given_keys_are_exchanged_by_way_of_a_phase_with_both(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    old = (stocked.settings.keys_dir / FILES[0]).read_text()
    new = base64.b64encode(secrets.token_bytes(32)).decode()
    both = anew(stocked, given_keys(stocked, new, old))
    # Not yet rotated: what others could not open must not be made, so the key in use is the old one.
    both.ledger.append(tenant_id, [event(PEOPLE)])
    assert wrappings(admin) == {master_key_id(base64.b64decode(old)): PEOPLE + 2}

    with pytest.raises(ConfigurationError, match="AUDIT_FORMER_ENCRYPTION_KEYS"):
        rotate(stocked, given_keys(stocked, new))
    assert wrappings(admin) == {master_key_id(base64.b64decode(old)): PEOPLE + 2}

    rotation = rotate(stocked, given_keys(stocked, new, old))
    assert (rotation.rewrapped, rotation.former_destroyed) == (PEOPLE + 2, False)
    assert rotate(stocked, given_keys(stocked, new)).rewrapped == 0
    only_new = anew(stocked, given_keys(stocked, new))
    for process in (both, only_new):
        assert names(process, tenant_id) == everybody(PEOPLE + 1)
    only_new.ledger.append(tenant_id, [event(PEOPLE + 1)])

    # A server that nobody restarted has the old key alone: it must fail rather than wrap in what may be destroyed.
    outdated = anew(stocked, given_keys(stocked, old))
    with pytest.raises(ConfigurationError, match=rotation.master_key_id) as caught:
        outdated.ledger.append(tenant_id, [event(PEOPLE + 2)])
    assert new not in str(caught.value)
    assert wrappings(admin) == {rotation.master_key_id: PEOPLE + 3}


def test_a_malformed_former_key_is_named_and_not_shown(stocked: Installation) -> None:
    present = (stocked.settings.keys_dir / FILES[0]).read_text()
    with pytest.raises(ConfigurationError, match="AUDIT_FORMER_ENCRYPTION_KEYS: expected 32 bytes") as caught:
        anew(stocked, given_keys(stocked, present, "c2hvcnQ="))
    assert "c2hvcnQ=" not in str(caught.value)


def test_a_key_wrapped_late_is_refused_by_the_database(
    stocked: Installation, admin: psycopg.Connection[Any], tenant_id: uuid.UUID
) -> None:
    """Somebody inserts in old wrapping while the rotation begins: it waits for them, and finds their key."""
    insert = (
        "insert into audit_subjects (tenant_id, actor_ref, actor_index, sealed_identity, wrapped_key, master_key_id) "
        "select tenant_id, gen_random_uuid(), sha256(uuid_send(gen_random_uuid())), sealed_identity, wrapped_key, "
        "master_key_id from audit_subjects where sealed_identity is not null limit 1"
    )
    with psycopg.connect(stocked.database.conninfo("audit_app")) as late, ThreadPoolExecutor(1) as pool:
        late.execute("select set_config('app.current_tenant_id', %s, false)", [str(tenant_id)])
        late.execute(insert)
        rotation = pool.submit(rotate, stocked)
        while not admin.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock'").fetchone():
            assert not rotation.done()
        late.commit()
        assert rotation.result(60).rewrapped == PEOPLE + 2
        former = admin.execute("select master_key_id from audit_master_keys where retired_at is not null").fetchone()
        assert former
        with pytest.raises(psycopg.DatabaseError, match="must be wrapped in the master key that is in use") as caught:
            late.execute(insert.replace("wrapped_key, master_key_id from", f"wrapped_key, '{former[0]}' from"))
    assert caught.value.sqlstate == "AU003"


def _shown(installation: Installation, tenant_id: uuid.UUID) -> set[str]:
    with installation.database.tenant_connection(tenant_id) as conn:
        refs = [ref for (ref,) in conn.execute("select distinct actor_ref from audit_logs where actor_ref is not null")]
        return set(installation.vault.identities(conn, refs).values())
