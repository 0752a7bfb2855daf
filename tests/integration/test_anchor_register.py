"""What became of each anchoring, and what verification and evidence make of what the anchors have.

Here: the register, reading back and time-stamps in evidence. Not here: the protocols, in `test_anchor_protocols.py`.
"""

import base64
import hashlib
import json
import shutil
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from test_anchor_protocols import hook, seal_more

from audit_pipelines.anchors.authority import AuthorityAnchor
from audit_pipelines.anchors.folder import FolderAnchor
from audit_pipelines.anchors.reading import Anchors
from audit_pipelines.anchors.register import anchor_due, states
from audit_pipelines.checks import anchors_current
from audit_pipelines.db.database import Database
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger.checkpoint import FileAnchor
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence, check_time_stamps
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.time_stamp import verify_token
from audit_pipelines.ledger.verify_evidence import to_bytes
from audit_pipelines.settings import Settings
from tests.integration.anchor_servers import Authority, Server, Storage

pytest_plugins = ["test_anchor_protocols"]


# The register


def test_what_failed_is_recorded_paused_and_tried_again(
    installation: Installation, tenant_id: uuid.UUID, note: str, webhook: Server, tmp_path: Path
) -> None:
    keys, anchors = installation.verifier_keys, (FolderAnchor("folder", tmp_path / "far"), hook(webhook))
    now = datetime.now(UTC)
    webhook.fault = (500, {}, b"")

    def serve(minutes: float) -> list:
        return anchor_due(installation.database, anchors, keys, now=now + timedelta(minutes=minutes))

    folder, late = serve(0)
    assert (folder.anchored_size, folder.lag, folder.behind_since) == (3, 0, None)
    assert (late.anchored_size, late.lag, late.attempts) == (None, 3, 1)
    assert late.last_error == "expected status 2xx, got 500"
    assert late.next_try_at == now + timedelta(minutes=1)
    assert serve(0.5)[1].attempts == 1
    assert serve(1)[1].next_try_at == now + timedelta(minutes=3)
    # A newer checkpoint takes the older one's place and inherits its pause.
    newest = seal_more(installation, tenant_id)
    assert serve(2)[1].attempts == 2
    assert len(webhook.requests) == 2
    webhook.fault = (503, {"Retry-After": "86000"}, b"")
    assert serve(3)[1].next_try_at == now + timedelta(minutes=3, seconds=86000)
    webhook.fault = None
    folder, late = serve(60 * 24 + 30)
    assert (late.anchored_size, late.lag, late.last_error, late.attempts) == (6, 0, None, 0)
    assert json.loads(webhook.requests[-1][3])["note"] == newest
    assert [json.loads(body)["size"] for *_, body in webhook.requests] == [3, 3, 6, 6]
    assert FileAnchor(tmp_path / "far").read(tenant_id).notes == (note, newest)
    before = len(webhook.requests)
    serve(60 * 48)
    assert len(webhook.requests) == before


def test_an_anchor_that_is_away_costs_three_attempts_a_run(installation: Installation, webhook: Server) -> None:
    for _ in range(5):
        seal_more(installation, uuid.uuid4(), 1)
    webhook.fault = (500, {}, b"")
    now = datetime.now(UTC)
    anchor_due(installation.database, [hook(webhook)], installation.verifier_keys, now=now)
    assert len(webhook.requests) == 3
    webhook.fault = None
    anchor_due(installation.database, [hook(webhook)], installation.verifier_keys, now=now)
    late = anchor_due(
        installation.database, [hook(webhook)], installation.verifier_keys, now=now + timedelta(minutes=1)
    )
    assert [state.lag for state in late] == [0] * 5


def test_a_library_that_raises_anything_does_not_stop_sealing(installation: Installation, note: str) -> None:
    class Broken:
        name = "broken"

        def publish(self, note: str) -> None:
            raise RuntimeError("hidden-key")

    (state,) = anchor_due(installation.database, [Broken()], installation.verifier_keys)
    assert state.last_error == "unexpected RuntimeError"


def test_a_forged_note_does_not_leave_the_house(
    installation: Installation, tenant_id: uuid.UUID, note: str, webhook: Server
) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("alter table audit_checkpoints disable trigger user")
        conn.execute("update audit_checkpoints set note = replace(note, 'time 2', 'time 3')")
        conn.commit()
    (state,) = anchor_due(installation.database, [hook(webhook)], installation.verifier_keys)
    assert "does not fit its text" in state.last_error
    assert webhook.requests == []


def test_a_receipt_is_kept_and_nothing_anchored_changes(
    installation: Installation,
    tenant_id: uuid.UUID,
    note: str,
    authority: tuple[Authority, Server, AuthorityAnchor],
) -> None:
    signing, _, anchor = authority
    anchor_due(installation.database, [anchor], installation.verifier_keys)
    with installation.database.tenant_connection(tenant_id, "audit_reader") as conn:
        (token,) = conn.execute("select receipt from audit_anchorings").fetchone()
    assert verify_token(token, note, [signing.certificate])
    with installation.database.tenant_connection(uuid.uuid4(), "audit_reader") as conn:
        assert conn.execute("select * from audit_anchorings").fetchall() == []
    for role, change in [
        ("audit_pipeline", "update audit_anchorings set attempts = 9"),
        ("audit_pipeline", "update audit_anchorings set size = 9"),
        ("audit_pipeline", "delete from audit_anchorings"),
        ("audit_app", "update audit_anchorings set attempts = 9"),
        ("audit_app", "insert into audit_anchorings select * from audit_anchorings"),
    ]:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            installation.database.tenant_connection(tenant_id, role) as conn,
        ):
            conn.execute(change)
    for change in ("delete from audit_anchorings", "truncate audit_anchorings"):
        with installation.database.connect_admin() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(change)


# Reading back


def anchoring(tmp_path: Path, bucket: Server, anchors: str) -> Settings:
    """Return settings of a home that anchors to `anchors`, of which a bucket is the given server's."""
    return Settings(
        _env_file=None,
        audit_home=tmp_path / "home",
        audit_anchors=anchors,
        aws_endpoint_url=f"http://127.0.0.1:{bucket.port}",
        aws_region="eu-central-1",
        aws_access_key_id="somebody",
        aws_secret_access_key="hidden-key",
        audit_outgoing_allowed="127.0.0.1",
    )


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_database_rolled_back_with_its_anchor_folder_is_found_by_any_other_anchor(
    database: Database, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path, where: str
) -> None:
    _, server = storage
    configured = anchoring(tmp_path, server, f"file://{tmp_path}/far" if where == "folder" else "s3://ledger/notes")
    installation = assemble(configured, open_keyring(configured), database)
    seal_more(installation, tenant_id)
    assert [state.lag for state in installation.anchor_due()] == [0, 0]
    assert [one.intact for one in installation.verify()] == [True]
    with database.connect_admin() as conn:
        for table in ("audit_logs", "audit_checkpoints", "audit_event_ids", "audit_chain_heads"):
            conn.execute(f"alter table {table} disable trigger user")
            conn.execute(f"delete from {table}")
        conn.commit()
    shutil.rmtree(configured.anchors_dir)
    (result,) = installation.verify()
    assert result.tenant_id == tenant_id
    assert {finding.kind for finding in result.findings} == {"anchor"}


@pytest.fixture
def anchored(database: Database, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path) -> Installation:
    """An installation with a further folder and a bucket, each of which has every one of four checkpoints."""
    configured = anchoring(tmp_path, storage[1], f"file://{tmp_path}/far,s3://ledger/notes")
    installation = assemble(configured, open_keyring(configured), database)
    for _ in range(4):
        seal_more(installation, tenant_id)
        assert [state.lag for state in installation.anchor_due()] == [0, 0, 0]
    return installation


def test_damage_in_any_anchor_is_a_finding_that_names_it(
    anchored: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path
) -> None:
    (result,) = anchored.verify()
    assert (result.findings, result.warnings) == ((), ())
    far = tmp_path / "far" / f"{tenant_id}.notes"
    whole = far.read_bytes()
    far.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    (result,) = anchored.verify()
    (finding,) = result.findings
    assert finding.kind == "anchor"
    assert f"of the file of tenant {tenant_id} in anchor file://{tmp_path}/far are none that sealing wrote" in str(
        finding
    )
    # What a crash leaves is none, there as in the home.
    record = len(whole) // 4
    far.write_bytes(whole[: record + 50] + whole[record:])
    (result,) = anchored.verify()
    assert result.intact
    (warning,) = result.warnings
    assert f"in anchor file://{tmp_path}/far has a torn record in bytes {record} to {record + 50}" in warning
    far.write_bytes(whole)
    kept, _ = storage
    name = sorted(kept.objects)[1]
    kept.objects[name] += b"\n"
    kept.objects["notes/README.md"] = b"hello"
    (result,) = anchored.verify()
    (finding,) = result.findings
    expected = f"anchor s3://ledger/notes: the object {name.removeprefix('notes/')} does not have the content its name"
    assert expected in str(finding)


def test_one_wrong_object_does_not_hide_that_the_database_was_rolled_back(
    anchored: Installation, tenant_id: uuid.UUID, storage: tuple[Storage, Server], tmp_path: Path
) -> None:
    kept, _ = storage
    name = min(kept.objects)
    kept.objects[name] = kept.objects[name].replace(b"time 2", b"time 3")
    with anchored.database.connect_admin() as conn:
        for table in ("audit_logs", "audit_checkpoints", "audit_event_ids", "audit_chain_heads"):
            conn.execute(f"alter table {table} disable trigger user")
            conn.execute(f"delete from {table}")
        conn.commit()
    shutil.rmtree(anchored.settings.anchors_dir)
    shutil.rmtree(tmp_path / "far")
    (result,) = anchored.verify()
    said = [str(finding) for finding in result.findings]
    assert any(name.removeprefix("notes/") in line for line in said)
    for size in (6, 9, 12):
        assert any(f"the anchored checkpoint of size {size} is not in the database" in line for line in said)


def test_a_file_that_cannot_be_read_is_a_warning_and_hides_no_other(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    other, far = uuid.uuid4(), FolderAnchor("far", tmp_path / "far")
    far.publish(seal_more(installation, tenant_id))
    kept = seal_more(installation, other)
    far.publish(kept)
    (far.directory / f"{tenant_id}.notes").unlink()
    (far.directory / f"{tenant_id}.notes").mkdir()
    logs = far.read_all({})
    assert logs[tenant_id].unread == (f"the file of tenant {tenant_id} could not be read: Is a directory",)
    assert logs[other].notes == (kept,)


def test_an_anchor_that_cannot_be_read_is_a_warning(
    installation: Installation, tenant_id: uuid.UUID, note: str, tmp_path: Path
) -> None:
    anchors = Anchors(installation.settings.anchors_dir, [FolderAnchor("far", tmp_path / "missing")])
    assert anchors.read(tenant_id).notes == (note,)
    assert anchors.read_all() == {tenant_id: [note]}
    assert anchors.unread == {"far": "the folder is missing"}
    changed = {"audit_anchors": f"file://{tmp_path}/missing", "audit_home": installation.settings.audit_home}
    elsewhere = replace(installation, settings=Settings(_env_file=None, **changed))
    (result,) = elsewhere.verify()
    assert result.intact
    assert result.warnings == (f"anchor file://{tmp_path}/missing could not be read: the folder is missing",)


def test_the_check_names_the_anchor_that_is_behind(
    installation: Installation, tenant_id: uuid.UUID, note: str, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    changed = {"audit_anchors": f"file://{blocked}", "audit_home": installation.settings.audit_home}
    configured = replace(installation, settings=Settings(_env_file=None, **changed))
    configured.anchor_due()
    result = anchors_current(configured)
    assert not result.passed
    assert result.description.startswith(f"file://{blocked} is behind since 20")
    assert result.description.endswith("for 1 tenants: the folder cannot be written: Not a directory")
    installation.anchor_due()
    assert anchors_current(installation).passed
    assert [state.lag for state in states(installation.database, [FolderAnchor("home", tmp_path)])] == [0]


# Evidence


def test_evidence_carries_the_time_stamp_of_the_oldest_checkpoint_that_has_one(
    installation: Installation, tenant_id: uuid.UUID, authority: tuple[Authority, Server, AuthorityAnchor]
) -> None:
    signing, _, anchor = authority
    installation.ledger.append(
        tenant_id, [Event(event_type="a.b", entity_type="record", entity_id="1", event_id="first")]
    )
    installation.seal(tenant_id)
    seal_more(installation, tenant_id)
    anchor_due(installation.database, [anchor], installation.verifier_keys)
    seal_more(installation, tenant_id)
    document = evidence_for(installation.database, tenant_id, ["first"], *installation.verifier_keys)
    later = [item["checkpoint"].split("\n")[1] for item in json.loads(document)["later"]]
    assert later == ["4", "7"]
    lines = check_evidence(document)
    assert "Proven: a time-stamp token names the checkpoint of 4 events by its SHA-256." in lines
    assert any(line.startswith("Not proven: who made a time-stamp") for line in lines)
    (proven,) = check_time_stamps(document, [signing.certificate])
    assert proven.startswith("CN=Test Authority says that the checkpoint of 4 events existed at 20")
    with pytest.raises(TamperedError, match="verifying certificates"):
        check_time_stamps(document, [Authority("Another").certificate])
    file = json.loads(document)
    forged = signing.token(bytes(32), 1)
    stamp = {"sha256": hashlib.sha256(forged).hexdigest(), "token": base64.b64encode(forged).decode()}
    with pytest.raises(TamperedError, match="imprint of one checkpoint"):
        check_evidence(to_bytes(file | {"time_stamps": [stamp]}))
    damaged = file["time_stamps"][0]["sha256"].translate(str.maketrans("0123456789", "1234567890"))
    with pytest.raises(TamperedError, match="damage"):
        check_evidence(to_bytes(file | {"time_stamps": [file["time_stamps"][0] | {"sha256": damaged}]}))
