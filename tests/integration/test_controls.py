"""Controls with live evidence: all hold in a sound installation, and each fails when what it looks at is broken.

`-s` prints the table of breaks.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from moved_clock import MovedClock, month

from audit_pipelines.derive import archiving, lineage
from audit_pipelines.derive.controls import CONTROLS, REQUIREMENTS, check_controls, requirement_lines
from audit_pipelines.derive.controls.requirements import FRAMEWORKS
from audit_pipelines.derive.reviews import make_due_reviews
from audit_pipelines.identity.credentials import Origin
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.identity.signatures import Signing
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.intelligence import registry
from audit_pipelines.keyring import open_keyring, rotate_signing_key
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.erasure import erase
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import erasing
from audit_pipelines.reports.model import Control
from audit_pipelines.settings import Settings

KEYS = [control.key for control in CONTROLS]
PASSWORD = "a long trombone in May"
SEEN: list[tuple[str, str, str]] = []


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    width = max((len(what) for what, _, _ in SEEN), default=0)
    for what, failed, evidence in SEEN:
        print(f"\n{what:{width}} | {failed:44} | {evidence[:140]}", end="")  # noqa: T201 - the table is what -s is for


@dataclasses.dataclass
class World:
    """A sound installation with a bit of everything, and what it takes to break it."""

    installation: Installation
    tenant_id: UUID
    now: datetime
    person: UUID

    def superuser(self, statement: str, *parameters: Any, changes: bool = True) -> None:
        """Do what only somebody with all rights can, triggers switched off."""
        with self.installation.database.connect_admin() as conn:
            conn.execute("set session_replication_role = replica")
            done = conn.execute(statement.encode(), parameters)
            assert not changes or done.rowcount > 0, statement

    def ddl(self, statement: str) -> None:
        self.superuser(statement, changes=False)

    def set(self, **changed: Any) -> None:
        settings = self.installation.settings.model_copy(update=changed)
        self.installation = replace(self.installation, settings=settings)

    def controls(self) -> dict[str, Control]:
        [verification] = self.installation.verify(self.tenant_id)
        return {one.key: one for one in check_controls(self.installation, verification, now=self.now)}


@pytest.fixture
def world(fresh_database: Any, tmp_path: Any, tenant_id: UUID) -> Iterator[World]:
    settings = Settings(_env_file=None, audit_home=tmp_path / "home", audit_controller="Example Ltd, Dublin")
    with fresh_database(settings) as database:
        installation = assemble(settings, open_keyring(settings), database)
        events = [
            Event(
                event_type="record.read",
                entity_type="record",
                entity_id=str(number),
                actor=f"user{number % 3}@example.org",
                ip_address="192.0.2.7",
                event_id=f"event/{number}",
            )
            for number in range(12)
        ]
        installation.ledger.append(tenant_id, events)
        accounts = open_identity(installation).accounts
        accounts.add(tenant_id, "alice", PASSWORD, name="Alice Liddell", permissions=["audit:sign"], by="root")
        installation.access_log.record(
            tenant_id, Access(actor="user0@example.org", action="events.list", filters={}, result_count=3)
        )
        erased = erasing.begin(installation, tenant_id, "user2@example.org")
        assert erasing.finish(installation, tenant_id, erased.actor_ref, run_id="test")
        installation.seal(tenant_id)
        yield World(installation, tenant_id, datetime.now(UTC), erased.actor_ref)


def test_everything_holds_in_a_sound_installation(world: World) -> None:
    controls = world.controls()
    assert list(controls) == KEYS
    assert [f"{one.key}: {one.evidence}" for one in controls.values() if one.result != "pass"] == []
    assert all(one.evidence.endswith(".") or one.key == "evidence_given" for one in controls.values())


# Breaks: what is done, what must fail and nothing else, and words that the evidence must name.

Break = Callable[[World], None]
BREAKS: dict[str, tuple[Break, dict[str, str]]] = {}


def breaks(what: str, **failing: str) -> Callable[[Break], Break]:
    def note(function: Break) -> Break:
        assert what not in BREAKS
        BREAKS[what] = function, failing
        return function

    return note


@breaks("the newest sealed row is changed", evidence_given="no proof", ledger_intact="")
def _(world: World) -> None:
    world.superuser("update audit_logs set entry = entry || ' ' where seq = (select max(seq) from audit_logs)")


@breaks("a row's bytes are changed", ledger_intact="seq 4")
def _(world: World) -> None:
    world.superuser("update audit_logs set entry = entry || ' ' where seq = 4")


@breaks("a guarding trigger is switched off", append_only="append_only on audit_checkpoints")
def _(world: World) -> None:
    world.ddl("alter table audit_checkpoints disable trigger append_only")


@breaks("a trigger of one partition is dropped", append_only="no_truncate on audit_logs_2")
def _(world: World) -> None:
    with world.installation.database.connect_admin() as conn:
        [name] = conn.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'audit_logs'::regclass limit 1"
        ).fetchone()  # type: ignore[misc]
    world.ddl(f"drop trigger no_truncate on {name}")


@breaks("a trigger refuses nothing any more", append_only="append_only on audit_logs")
def _(world: World) -> None:
    world.ddl(
        "create or replace function audit_refuse_change() returns trigger language plpgsql as 'begin return new; end'"
    )


@breaks("INSERT is granted", append_only="audit_app INSERT on audit_logs")
def _(world: World) -> None:
    world.ddl("grant insert on audit_logs to audit_app")


@breaks("UPDATE of one column is granted to analysts", append_only="audit_reader UPDATE on audit_lineage")
def _(world: World) -> None:
    world.ddl("grant update (code_version) on audit_lineage to audit_reader")


@breaks("an anchor file is deleted", checkpoints_anchored="missing from the anchor file")
def _(world: World) -> None:
    (world.installation.settings.anchors_dir / f"{world.tenant_id}.notes").unlink()


@breaks("nothing is sealed for an hour", sealed_in_time="1 events are older than 15 minutes")
def _(world: World) -> None:
    world.installation.ledger.append(world.tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="1")])
    world.now += timedelta(hours=1)


@breaks("a key file can be read by everybody", keys_guarded="jwt.secret has mode 644")
def _(world: World) -> None:
    (world.installation.settings.keys_dir / "jwt.secret").chmod(0o644)


@breaks("a retired signing key is put back", keys_guarded="the signing key was retired and still signs")
def _(world: World) -> None:
    path = world.installation.settings.keys_dir / "signing.key"
    old = path.read_bytes()
    rotate_signing_key(world.installation.settings)
    (path.parent / "signing.key.next").write_bytes(path.read_bytes())
    (path.parent / "signing.key.next").chmod(0o600)
    path.write_bytes(old)


@breaks("a rotation of the encryption key is left half done", keys_guarded="unfinished")
def _(world: World) -> None:
    folder = world.installation.settings.keys_dir
    (folder / "encryption.key.unneeded").write_text("x")
    (folder / "encryption.key.unneeded").chmod(0o600)


@breaks("events are kept for a month", history_retained="AUDIT_RETENTION_DAYS is 30")
def _(world: World) -> None:
    world.set(audit_retention_days=30)


@breaks("an archive segment is removed", archives_complete="the segment of 2", ledger_intact="")
def _(world: World) -> None:
    world.tenant_id = uuid4()
    world.set(audit_archive_grace_days=0, audit_review_due_days=500)
    clock = MovedClock(world.installation)
    clock.append(month(16), world.tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="1")] * 20)
    world.installation.ledger.append(world.tenant_id, [Event(event_type="a.b", entity_type="c", entity_id="2")])
    world.installation.seal(world.tenant_id)
    archiving.retain(world.installation, run_id="test")
    make_due_reviews(world.installation, world.now)
    scored = ({"kind": "audit_logs", "first_seq": 0, "last_seq": 20, "digest": ""},)
    with world.installation.database.connection("audit_pipeline") as conn:
        lineage.record(conn, [lineage.Output(world.tenant_id, "event_scores", "x", bytes(32), scored)], run_id="test")
    assert [one.evidence for one in world.controls().values() if one.result != "pass"] == []
    [segment] = world.installation.settings.storage_dir.glob(f"archives/{world.tenant_id}/*.parquet")
    segment.unlink()


@breaks("the chain's head is moved into the future", clocks_agree="which is in the future", ledger_intact="")
def _(world: World) -> None:
    world.superuser("update audit_chain_heads set recorded_at = clock_timestamp() + interval '3 hours'")


@breaks("row-level security is not forced", tenants_apart="audit_anomalies")
def _(world: World) -> None:
    world.ddl("alter table audit_anomalies no force row level security")


@breaks("a policy shows everything", tenants_apart="audit_app sees rows of audit_subjects")
def _(world: World) -> None:
    world.ddl("create policy support on audit_subjects to audit_app using (true)")


@breaks("a role is given a table", least_privilege="audit_app owns audit_integrations")
def _(world: World) -> None:
    world.ddl("alter table audit_integrations owner to audit_app")


@breaks("everybody may call the way in", least_privilege="audit_append runs as audit_owner for everybody")
def _(world: World) -> None:
    with world.installation.database.connect_admin() as conn:
        [name] = conn.execute(
            "select oid::regprocedure::text from pg_proc where proname = 'audit_append' limit 1"
        ).fetchone()  # type: ignore[misc]
    world.ddl(f"grant execute on function {name} to public")


@breaks("access logging is switched off", reading_recorded="AUDIT_ENABLE_ACCESS_LOGGING is false")
def _(world: World) -> None:
    world.set(audit_enable_access_logging=False)


@breaks("the access log's trigger is switched off", reading_recorded="switched off on audit_logs")
def _(world: World) -> None:
    world.ddl("alter table audit_logs disable trigger keep_access")


@breaks("a row of the access log is deleted", reading_recorded="differ", ledger_intact="")
def _(world: World) -> None:
    world.superuser("delete from audit_access_log")


@breaks("logins may be given again", accounts_unique="tenant_id, login_index")
def _(world: World) -> None:
    world.ddl("alter table audit_users drop constraint audit_users_tenant_id_login_index_key")


@breaks("accounts may be changed", accounts_unique="trigger keep_account")
def _(world: World) -> None:
    world.ddl("alter table audit_users disable trigger keep_account")


@breaks("an account is made past the product", accounts_recorded="no entry of the ledger says who made account")
def _(world: World) -> None:
    world.superuser(
        "insert into audit_users (tenant_id, user_id, password_hash, permissions, created_at, login_index, sealed_name,"
        " password_set_at, must_change) select tenant_id, %s, password_hash, '{audit:admin}', '2020-01-01',"
        " sha256('x'), sealed_name, clock_timestamp(), false from audit_users limit 1",
        uuid4(),
    )


@breaks("a session is made past the product", accounts_recorded="began with a login")
def _(world: World) -> None:
    world.superuser(
        "insert into audit_sessions (tenant_id, session_id, user_id, begun_at, last_seen_at, expires_at)"
        " select tenant_id, %s, user_id, now(), now(), now() + interval '1 hour' from audit_users limit 1",
        uuid4(),
    )


@breaks("a password is hashed with MD5", passwords_strong="is not hashed with Argon2id")
def _(world: World) -> None:
    world.superuser("update audit_users set password_hash = md5('secret')")


@breaks("passwords never expire", passwords_strong="passwords expire never")
def _(world: World) -> None:
    world.set(audit_password_max_age_days=0)
    world.superuser("update audit_users set password_set_at = clock_timestamp() - interval '400 days'")


@breaks("a lock is taken off", tries_limited="is not locked")
def _(world: World) -> None:
    world.superuser("update audit_users set failed_attempts = 7, locked_until = null")


@breaks("an account is locked and nobody is told", tries_limited="was locked")
def _(world: World) -> None:
    world.superuser("update audit_users set failed_attempts = 5, locked_until = now() + interval '5 minutes'")


@breaks("a disabled account's session goes on", sessions_end="disabled", accounts_recorded="")
def _(world: World) -> None:
    world.superuser(
        "insert into audit_sessions (tenant_id, session_id, user_id, begun_at, last_seen_at, expires_at)"
        " select tenant_id, %s, user_id, now(), now(), now() + interval '1 hour' from audit_users limit 1",
        uuid4(),
    )
    world.superuser("update audit_users set disabled_at = now()")


@breaks("clients are told plain HTTP", transport_guarded="plain http to audit.example")
def _(world: World) -> None:
    world.set(api_base_url="http://audit.example")


@breaks("a signature's row is deleted", signatures_bound="1 of these signatures are missing")
def _(world: World) -> None:
    sign(world)
    world.superuser("delete from audit_signatures")


@breaks("a signature's meaning is changed", signatures_bound="1 of them do not hold")
def _(world: World) -> None:
    sign(world)
    world.superuser("update audit_signatures set meaning = 'responsible'")


@breaks("nobody reviews for three days", reviews_signed="lack a valid signature", events_scored="")
def _(world: World) -> None:
    world.now += timedelta(days=3)
    make_due_reviews(world.installation, world.now)


@breaks("daily_review_job stands still", reviews_made="no record was made", reviews_signed="", events_scored="")
def _(world: World) -> None:
    world.now += timedelta(days=3)


@breaks("anomaly detection stands still", events_scored="events are older than 3 hours and not scored")
def _(world: World) -> None:
    world.now += timedelta(hours=5)
    # Of a day that ends meanwhile there is a record, which nobody needs to have signed yet.
    make_due_reviews(world.installation, world.now)


@breaks("a model's file is replaced", models_traceable="is not what was trained")
def _(world: World) -> None:
    digest = hashlib.sha256(b"a model").hexdigest()
    path = registry.artefact_path(world.installation.settings.storage_dir, "anomaly_detector", digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"another model")
    world.superuser(
        "insert into audit_ml_models (tenant_id, model_id, kind, artefact_digest, artefact_path, training_rows,"
        " parameters, metrics, code_version, run_id)"
        " values (%s, 'm', 'anomaly_detector', decode(%s, 'hex'), 'x', 1, '{}', '{}', '1', 'r')",
        world.tenant_id,
        digest,
    )


@breaks("an address stands in clear", addresses_sealed="1 of them in clear", ledger_intact="")
def _(world: World) -> None:
    world.superuser("update audit_logs set ip_address = '192.0.2.1' where seq = 0")


@breaks("a name stands in clear", persons_sealed="not sealed under a key of their own", person_answered="")
def _(world: World) -> None:
    world.superuser("update audit_subjects set sealed_identity = 'user0@example.org' where sealed_identity is not null")


@breaks("a person's key is replaced", person_answered="cannot be given", persons_sealed="does not open")
def _(world: World) -> None:
    world.superuser(
        "update audit_subjects set wrapped_key = decode(repeat('00', 60), 'hex') where sealed_identity is not null"
    )


@breaks("an erasure stops before its certificate", erasures_certified="no certificate")
def _(world: World) -> None:
    erase(
        world.installation.database,
        world.installation.vault,
        world.installation.ledger,
        world.tenant_id,
        "user1@example.org",
    )
    world.installation.seal(world.tenant_id)
    world.now += timedelta(hours=2)


@breaks("a certificate is altered", erasures_certified="does not hold")
def _(world: World) -> None:
    world.superuser(
        "update audit_erasures set certificate = replace(certificate, 'rebuilt', 'purged'), certified_at = now()"
    )
    world.superuser(
        """update audit_erasures set certificate = regexp_replace(certificate, '"seq": \\d+', '"seq": 1')"""
    )


@breaks("an erased person's key comes back", erasures_certified="there again")
def _(world: World) -> None:
    world.superuser(
        "update audit_subjects s set erased_at = null, wrapped_key = o.wrapped_key, sealed_identity = o.sealed_identity"
        " from (select * from audit_subjects where sealed_identity is not null and erased_at is null limit 1) o"
        " where s.actor_ref = %s",
        world.person,
    )


@breaks("somebody is erased under a legal hold", holds_kept="was erased")
def _(world: World) -> None:
    world.superuser(
        "insert into audit_legal_holds (tenant_id, reason, filters, placed_by, placed_at)"
        " values (%s, 'case 7', %s::jsonb, %s, now() - interval '1 day')",
        world.tenant_id,
        json.dumps({"actor_ref": str(world.person)}),
        uuid4(),
    )


@breaks("nobody is named as controller", processing_recorded="AUDIT_CONTROLLER is not set")
def _(world: World) -> None:
    world.set(audit_controller=None)


def sign(world: World) -> None:
    identity = open_identity(world.installation)
    identity.accounts.change_password(world.tenant_id, "alice", PASSWORD, "another " + PASSWORD, Origin())
    opened = identity.accounts.log_in(world.tenant_id, "alice", "another " + PASSWORD, Origin())
    asked = Signing("event", "event/1", "approved", "another " + PASSWORD, login="alice")
    made = identity.signatures.sign(world.tenant_id, opened.session.session_id, asked, Origin())
    assert made.valid


@pytest.mark.parametrize("what", BREAKS)
def test_each_break_is_seen_by_its_controls_alone(world: World, what: str) -> None:
    do, failing = BREAKS[what]
    do(world)
    failed = {one.key: one.evidence for one in world.controls().values() if one.result != "pass"}
    SEEN.append((what, ", ".join(failed), next((failed[key] for key in failing if key in failed), "")))
    assert failed.keys() == failing.keys(), failed
    for key, words in failing.items():
        assert words.casefold() in failed[key].casefold()


def test_every_control_can_fail() -> None:
    assert {next(iter(failing)) for _, failing in BREAKS.values()} == set(KEYS)


# The catalogue


def test_requirements_and_controls_fit() -> None:
    named = [(one.framework, one.number) for one in REQUIREMENTS]
    assert len(set(named)) == len(named)
    assert list(dict.fromkeys(framework for framework, _ in named)) == list(FRAMEWORKS)
    for one in REQUIREMENTS:
        assert set(one.controls) <= set(KEYS), one.number
        # Exactly one of: controls, a gap, or the organisation alone.
        assert not (one.controls and one.gap), one.number
        assert one.controls or one.gap or one.organisation, one.number
        assert not one.asks.endswith(".")
        assert all(text.endswith(".") for text in (one.organisation, one.gap) if text), one.number
    assert {key for one in REQUIREMENTS for key in one.controls} == set(KEYS)
    assert len(set(KEYS)) == len({one.name for one in CONTROLS}) == len(KEYS)


def test_a_requirement_is_as_good_as_its_worst_control() -> None:
    controls = [Control(one.name, "", "pass", "", one.key) for one in CONTROLS]
    results = {line.result for line in requirement_lines(controls)}
    assert results == {"pass", "organisational", "not met"}
    controls[0] = replace(controls[0], result="fail")
    controls[1] = replace(controls[1], result="not checked")
    lines = {(line.framework, line.number): line.result for line in requirement_lines(controls)}
    for one in REQUIREMENTS:
        expected = "fail" if KEYS[0] in one.controls else "not checked" if KEYS[1] in one.controls else None
        assert expected is None or lines[one.framework, one.number] == expected


def test_what_cannot_be_looked_at_is_said_and_the_rest_is_checked(world: World) -> None:
    world.ddl("drop table audit_erasure_copies, audit_erasures")
    controls = world.controls()
    unseen = {key for key, one in controls.items() if one.result == "not checked"}
    assert unseen == {"erasures_certified", "holds_kept"}
    assert "UndefinedTable" in controls["holds_kept"].evidence
    assert controls["ledger_intact"].result == "pass"
