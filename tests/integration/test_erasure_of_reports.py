"""Reports and exports that name a person, after their erasure: deleted, kept where signed, no others touched."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_pipelines.derive import lineage, report_schedules
from audit_pipelines.derive.reporting import MadeDocument, Period, make_access_review, make_person_report
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import erasing
from audit_pipelines.privacy.search import Needles

ANN, BEN = "ann.quist@example.org", "ben@example.org"
PRINTED = "Ann Kowalczyk-Quist"
NAMED = Needles([ANN, PRINTED])


@pytest.fixture
def accounts(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    """Two who acted and have accounts, one of them under a printed name of her own."""
    for login in (ANN, BEN):
        installation.ledger.append(
            tenant_id, [Event(event_type="record.read", entity_type="record", entity_id="r", actor=login)]
        )
    accounts = open_identity(installation, hasher=Hasher(passes=1, memory_kib=64, lanes=1)).accounts
    for login, name in ((ANN, PRINTED), (BEN, "Ben")):
        accounts.add(tenant_id, login, "quiet-otter 11 of it", name=name, permissions=["audit:read"], by="chief")
    return installation


def ref_of(installation: Installation, tenant_id: uuid.UUID, login: str) -> uuid.UUID:
    found = installation.vault.find(tenant_id, login)
    assert found
    return found


def sign(installation: Installation, tenant_id: uuid.UUID, made: MadeDocument, signer: uuid.UUID) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute(
            "insert into audit_signatures (tenant_id, signature_id, session_id, record_kind, record_id, record_hash, "
            "signer_ref, meaning, signed_at, seq, row_hash) "
            "values (%s, gen_random_uuid(), gen_random_uuid(), 'report', 'r', %s, %s, 'approved', now(), 1, %s)",
            [tenant_id, bytes.fromhex(made.digest), signer, bytes(32)],
        )


def test_what_names_an_erased_person_goes_and_what_was_signed_stays(
    accounts: Installation, tenant_id: uuid.UUID
) -> None:
    ann, ben = (ref_of(accounts, tenant_id, login) for login in (ANN, BEN))
    now = datetime.now(UTC)

    def review(days: int) -> MadeDocument:
        return make_access_review(accounts, tenant_id, Period(now - timedelta(days=days), now), run_id="r")

    unsigned, signed, before = (
        review(30),
        review(60),
        make_access_review(
            accounts, tenant_id, Period(now - timedelta(days=400), now - timedelta(days=399)), run_id="r"
        ),
    )
    sign(accounts, tenant_id, signed, ben)
    hers, his = (make_person_report(accounts, tenant_id, who, Period(None, now), run_id="r") for who in (ann, ben))
    exports = unsigned.path.parent
    table, foreign = exports / "handed-out.csv", exports / "others.csv"
    table.write_text(f"seq,actor\n0,{PRINTED}\n")
    foreign.write_text("seq,actor\n1,Ben\n")
    about_her = report_schedules.add(
        accounts, tenant_id, report_schedules.Wanted(kind="person", cron="@monthly", person=ANN), by="chief"
    )
    naming = {path for path in exports.iterdir() if NAMED.in_file(path)}
    # Accounts of now are in a review, whatever its period is.
    assert naming == {unsigned.path, signed.path, before.path, hers.path, table}

    begun = erasing.begin(accounts, tenant_id, ANN)
    certificate = json.loads(erasing.finish(accounts, tenant_id, begun.actor_ref, run_id="r") or "")

    assert {path for path in exports.iterdir() if NAMED.in_file(path)} == {signed.path}
    assert {path for path in exports.iterdir() if path.is_file()} == {signed.path, his.path, foreign}
    assert lineage.file_digest(signed.path).hex() == signed.digest
    assert lineage.file_digest(his.path).hex() == his.digest
    told = {(copy["kind"], Path(copy["key"]).name): copy["action"] for copy in certificate["statement"]["copies"]}
    assert told["access_review", unsigned.path.name] == "purged"
    assert told["access_review", before.path.name] == "purged"
    assert told["access_review", signed.path.name] == "kept"
    assert told["person_report", hers.path.name] == "purged"
    assert told["file", table.name] == "purged"
    assert ("person_report", his.path.name) not in told
    assert not report_schedules.one(accounts, tenant_id, about_her.report_id).enabled

    # Whoever reads the next one finds nobody of that name.
    after = make_access_review(accounts, tenant_id, Period(now - timedelta(days=30), datetime.now(UTC)), run_id="r2")
    assert not NAMED.in_file(after.path)
