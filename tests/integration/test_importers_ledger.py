"""Imports of every product's records into a real ledger: once, twice, from overlapping files, out of order."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.fields import utc_moment
from audit_pipelines.importers.run import ImportSummary, run_import
from audit_pipelines.importers.sink import ledger_sink
from audit_pipelines.installation import Installation

TIME = "2026-05-04T03:02:01Z"
ADA = "Ada@Example.com"
RECORDS: dict[str, dict[str, Any]] = {
    "github": {"action": "repo.create", "actor": "Ada", "repo": "acme/x", "_document_id": "g-1", "@timestamp": TIME},
    "json": {"action": "invoice.post", "user": ADA, "time": TIME, "ip": "203.0.113.9", "api_key": "made-up-secret"},
    "kubernetes": {
        "verb": "get",
        "user": {"username": "system:serviceaccount:shop:web"},
        "auditID": "k-1",
        "stage": "ResponseComplete",
        "objectRef": {"resource": "secrets", "namespace": "shop", "name": "db"},
        "responseObject": {"kind": "Secret", "data": {"password": "bWFkZS11cC1zZWNyZXQ="}},
        "requestReceivedTimestamp": TIME,
    },
    "ocsf": {"class_uid": 3002, "time_dt": TIME, "user": {"email_addr": ADA}, "metadata": {"uid": "o-1"}},
    "office365": {
        "Operation": "UserLoggedIn",
        "Id": "m-1",
        "UserId": ADA,
        "CreationTime": TIME,
        "SessionId": "made-up-secret",
    },
    "okta": {
        "eventType": "user.session.start",
        "uuid": "k-2",
        "published": TIME,
        "actor": {"alternateId": ADA, "type": "User"},
        "authenticationContext": {"externalSessionId": "made-up-secret"},
    },
}


def load(installation: Installation, tenant_id: UUID, fmt: str, *paths: Path) -> ImportSummary:
    return run_import(paths, FORMATS[fmt], ledger_sink(installation.ledger, tenant_id))


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_bytes(b"\n".join(map(msgspec.json.encode, records)))
    return path


@pytest.mark.parametrize("fmt", RECORDS)
def test_a_second_import_and_an_overlapping_file_add_nothing(
    installation: Installation, tenant_id: UUID, tmp_path: Path, fmt: str
) -> None:
    record = RECORDS[fmt]
    undated = {key: value for key, value in record.items() if value != TIME} | {"auditID": "u", "Id": "u", "uuid": "u"}
    undated |= {"_document_id": "u", "metadata": {"uid": "u"}}
    one = write(tmp_path / "1.ndjson", record, undated)
    two = write(tmp_path / "2.ndjson", dict(reversed(record.items())))
    first = load(installation, tenant_id, fmt, one)
    assert (first.stored, first.duplicates, first.refused) == (2, 0, 0)
    again = load(installation, tenant_id, fmt, one, two)
    assert (again.stored, again.duplicates, again.refused) == (0, 3, 0)


def test_one_person_of_several_products_is_one_reference_and_no_secret_is_in_clear(
    installation: Installation, tenant_id: UUID, tmp_path: Path
) -> None:
    for fmt, record in RECORDS.items():
        assert load(installation, tenant_id, fmt, write(tmp_path / f"{fmt}.json", record)).fault_count == 0
    with installation.database.connect_admin() as conn:
        rows = conn.execute(
            "select event_type, actor_ref, occurred_at, entry::text from audit_logs where tenant_id = %s", [tenant_id]
        ).fetchall()
    ada = {ref for event_type, ref, _, _ in rows if "kubernetes" not in event_type and event_type != "repo.create"}
    assert len(rows) == len(RECORDS)
    assert len(ada) == 1
    assert {moment for _, _, moment, _ in rows} == {utc_moment(TIME, "time")}
    for _, _, _, entry in rows:
        for secret in ("made-up-secret", "bWFkZS11cC1zZWNyZXQ=", "xample.com"):
            assert secret not in entry


def test_out_of_order_records_keep_their_own_times(installation: Installation, tenant_id: UUID, tmp_path: Path) -> None:
    times = ["2026-05-04T03:02:01Z", "2026-05-03T03:02:01Z", "2026-05-05T03:02:01Z"]
    records = [{"action": "a.b", "time": time, "n": position} for position, time in enumerate(times)]
    summary = load(installation, tenant_id, "json", write(tmp_path / "a.ndjson", *records))
    assert summary.stored == 3
    assert summary.first_occurred_at
    assert summary.last_occurred_at
    assert summary.last_occurred_at - summary.first_occurred_at == timedelta(days=2)


def test_an_id_with_other_content_is_refused_and_named(
    installation: Installation, tenant_id: UUID, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.ndjson", RECORDS["okta"], RECORDS["okta"] | {"severity": "WARN"})
    summary = load(installation, tenant_id, "okta", path)
    assert (summary.stored, summary.refused) == (1, 1)
    assert "the ledger refused event k-2" in str(summary.faults[0])
