"""Exports over HTTP: each format against the timeline, what may be asked, what the ledger says, archived months.

Here: files that are streamed while they are made. Not here: those made in the background, in `test_export_jobs.py`.
"""

import csv
import hashlib
import io
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_world import BOB, EXPORT, EXPORTS, NASTY, export, fill, made_events, timeline
from moved_clock import MovedClock, month
from test_server_running import Api, serving

from audit_pipelines.derive.archiving import retain
from audit_pipelines.exports import making, reading
from audit_pipelines.exports.selection import Selection
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.settings import Settings

pytest_plugins = ["test_server_running"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"audit_export_batch_size": 7, "audit_archive_grace_days": 0})


def armed(text: str | None) -> str | None:
    return text[1:] if text and text.startswith("'") and text[1:2] in "=+-@" else text


# Formats, against the timeline


@pytest.mark.parametrize(
    "permissions", [("audit:read", "audit:export"), ("audit:read", "audit:export", "audit:privacy")]
)
def test_every_format_has_what_the_timeline_shows(api: Api, tenant_id: UUID, permissions: tuple[str, ...]) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id, *permissions)
    expected = timeline(client, actor=BOB)
    asked: dict[str, Any] = {"filters": {"actor": BOB}}
    lines = export(client, "ndjson", **asked).text.splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert next(json.loads(line).keys() for line in lines) == expected[0].keys()

    content = export(client, "csv", **asked).content
    assert content.count(b"\r\n") >= len(expected) + 1
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    names = ["actor", "event_type", "entity_type", "outcome", "ip_index", "row_hash", "event_id"]
    for row, event in zip(rows, expected, strict=True):
        assert int(row["seq"]) == event["seq"]
        assert row["occurred_at"] == event["occurred_at"]
        assert {name: row.get(name) for name in names} == {name: event.get(name) for name in names}
        assert armed(row["entity_id"]) == event["entity_id"]
        assert armed(row["user_agent"]) == event["user_agent"]
        assert (json.loads(row["details"]) if row["details"] else None) == event["details"]
        assert row["entity_id"][0] not in "=+-@\t"
        assert row["user_agent"][0] not in "=+-@\t"
    assert ("actor" in rows[0]) == ("audit:privacy" in permissions)

    table = pq.read_table(pa.BufferReader(export(client, "parquet", **asked).content))
    assert table.schema.field("occurred_at").type == pa.timestamp("us", tz="UTC")
    assert table["seq"].to_pylist() == [event["seq"] for event in expected]
    assert table["row_hash"].to_pylist() == [event["row_hash"] for event in expected]
    assert [each and json.loads(each) for each in table["details"].to_pylist()] == [one["details"] for one in expected]
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert about["audit_pipelines.tenant_id"] == str(tenant_id)
    assert BOB not in about["audit_pipelines.filters"]
    assert (
        pq.ParquetFile(pa.BufferReader(export(client, "parquet", **asked).content))
        .metadata.row_group(0)
        .column(1)
        .compression
        == "ZSTD"
    )


def test_the_proof_columns_chain_the_rows_of_a_whole_ledger(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id)
    content = export(client, "csv", filters={"order": "asc", "include": "access"}).text
    rows = list(csv.DictReader(io.StringIO(content, newline=""), strict=True))
    assert [int(row["seq"]) for row in rows] == list(range(40))
    assert [row["prev_hash"] for row in rows[1:]] == [row["row_hash"] for row in rows[:-1]]
    assert len({len(row["entry_hash"]) for row in rows}) == 1


def test_strict_readers_take_the_csv(api: Api, tenant_id: UUID, tmp_path: Path) -> None:
    fill(api.installation, tenant_id)
    path = tmp_path / "export.csv"
    path.write_bytes(export(api.client(tenant_id), "csv", filters={"order": "asc"}).content)
    with duckdb.connect() as conn:
        rows = conn.execute(
            "select seq, entity_id, details from read_csv(?, all_varchar = true, strict_mode = true, "
            "quote = '\"', escape = '\"')",
            [str(path)],
        ).fetchall()
    assert [int(seq) for seq, _, _ in rows] == list(range(40))
    assert rows[5][1] == "0042"
    assert json.loads(rows[6][2])["note"] == NASTY[6] + "\nnext line"


def test_a_pdf_shows_the_events_and_evidence_proves_them(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    api.installation.seal(tenant_id)
    client = api.client(tenant_id)
    asked: dict[str, Any] = {"filters": {"event_type": "record.export", "order": "asc"}}
    response = export(client, "pdf", **asked, include_summary=True)
    assert response.content.startswith(b"%PDF-")
    expected = timeline(client, event_type="record.export")
    document = export(client, "evidence", **asked).content
    proven = check_evidence(document, str(api.installation.verifier_keys[0]))
    assert proven
    assert [entry["seq"] for entry in json.loads(document)["entries"]] == sorted(event["seq"] for event in expected)
    for form, content in (("pdf", response.content), ("evidence", document)):
        made = next(each for each in made_events(client) if each["details"]["format"] == form)
        assert made["details"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_chosen_events_are_exported_and_proven(api: Api, tenant_id: UUID) -> None:
    """What a search showed as its sources becomes evidence; an access too, if it is named."""
    fill(api.installation, tenant_id)
    client = api.client(tenant_id)
    export(client, "ndjson")
    (access, *_) = timeline(client, event_type="audit.access.export.ndjson")
    chosen = [access, *timeline(client, event_type="record.export")[:2]]
    api.installation.seal(tenant_id)
    asked: dict[str, Any] = {"filters": {"event_ids": [event["event_id"] for event in chosen] + ["of nothing"]}}
    document = export(client, "evidence", **asked).content
    assert check_evidence(document, str(api.installation.verifier_keys[0]))
    seqs = sorted(event["seq"] for event in chosen)
    assert [entry["seq"] for entry in json.loads(document)["entries"]] == seqs
    lines = export(client, "ndjson", **asked).content.splitlines()
    assert sorted(json.loads(line)["seq"] for line in lines) == seqs
    for wrong in ([], "e", [""], ["e"] * 1_001, ["\0"], [1]):
        assert "/filters/event_ids" in export(client, "csv", 422, filters={"event_ids": wrong}).text


def test_an_empty_export_is_a_file_with_nothing_in_it(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id)
    nothing: dict[str, Any] = {"filters": {"event_type": "of.nothing"}}
    assert export(client, "csv", **nothing).text.startswith('"seq","event_id"')
    assert export(client, "ndjson", **nothing).content == b""
    assert pq.read_table(pa.BufferReader(export(client, "parquet", **nothing).content)).num_rows == 0
    assert export(client, "pdf", **nothing).content.startswith(b"%PDF")
    assert "/filters" in export(client, "evidence", 422, **nothing).text


# What is asked


def test_filters_are_those_of_the_timeline(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id)
    for filters in (
        {"event_type": "record.export"}, {"actor": "ann", "order": "asc"}, {"ip_address": "198.51.100.3"},
        {"ip_address": "198.51.100.0/24"}, {"entity_id": "0042"}, {"outcome": "failure"}, {"q": "quoted"},
        {"from": "2026-03-01T10:00:00Z", "to": "2026-03-02T00:00:00Z"}, {"actor": "nobody"},
        {"include": "access", "entity_type": "audit.access"},
    ):  # fmt: skip
        shown = [event["seq"] for event in timeline(client, **filters)]
        exported = [json.loads(line)["seq"] for line in export(client, "ndjson", filters=filters).text.splitlines()]
        # Asking is an access itself.
        assert exported[-len(shown) :] == shown[-len(exported) :] if "include" in filters else exported == shown
    few = export(client, "ndjson", filters={"limit": 9, "order": "asc"}).text.splitlines()
    assert [json.loads(line)["seq"] for line in few] == list(range(9))
    ranged: dict[str, Any] = {"date_range": {"from": "2026-03-01T10:00:00Z", "to": "2026-03-01T12:00:00Z"}}
    assert len(export(client, "ndjson", filters=ranged).text.splitlines()) == 2
    assert export(client, "ndjson", filters={"date_range": "yesterday", "zone": "Asia/Tokyo"}).content == b""


def test_faults_are_named_all_at_once(api: Api, tenant_id: UUID) -> None:
    body: dict[str, Any] = {
        "filters": {
            "limit": 0, "colour": "red", "from": "yesterday", "date_range": "someday", "ip_address": "10.0.0.0/8",
            "order": 1, "zone": "Mars/Olympus",
        }
    }  # fmt: skip
    problem = export(api.client(tenant_id), "csv", 422, **body).json()
    assert {fault["pointer"] for fault in problem["faults"]} == {
        f"/filters/{name}" for name in ("limit", "colour", "from", "zone", "ip_address", "order")
    }
    assert "red" not in problem["detail"]
    both: dict[str, Any] = {"filters": {"date_range": "today", "from": "2026-03-01T10:00:00Z"}}
    assert export(api.client(tenant_id), "csv", 422, **both).json()["faults"][0]["pointer"] == "/filters/date_range"
    assert export(api.client(tenant_id), "csv", 422, filter={}).json()["faults"]
    assert api.client(tenant_id).post(f"{EXPORT}/xlsx", json={}).status_code == 404


def test_it_takes_the_permission(api: Api, tenant_id: UUID) -> None:
    client = api.client(tenant_id, "audit:read", "audit:write", "audit:sign")
    assert client.post(f"{EXPORT}/csv", json={}).status_code == 403
    assert client.get(f"{EXPORTS}/{uuid4()}").status_code == 403
    assert api.anonymous().post(f"{EXPORT}/csv", json={}).status_code == 401


# The ledger says so


def test_the_ledger_has_the_digest_before_the_last_byte_leaves(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id)
    client = api.client(tenant_id, subject="auditor")
    response = export(client, "csv", filters={"actor": BOB})
    shown = client.get(f"{EXPORTS}/{response.headers['audit-export-id']}").json()
    digest = hashlib.sha256(response.content).hexdigest()
    [made] = made_events(client)
    assert made["details"]["sha256"] == shown["sha256"] == digest
    assert (made["details"]["rows"], made["details"]["bytes"]) == (20, len(response.content))
    assert made["actor"] == "auditor"
    assert made["seq"] == shown["seq"]
    assert BOB not in json.dumps(made["details"])
    assert shown["state"] == "streamed"
    assert shown["download_url"] is None
    lines = client.get("/api/audit/access-log").json()["accesses"]
    [access] = [line for line in lines if line["action"] == "export.csv"]
    assert (access["action"], access["result_count"]) == ("export.csv", 20)


def test_an_export_ends_where_the_ledger_did_when_it_was_asked_for(installation: Installation, tenant_id: UUID) -> None:
    fill(installation, tenant_id, 30)
    one = making.Making(
        installation,
        making.order(installation, tenant_id, "ndjson", Selection(newest_first=False), {}, by="x", with_names=False),
    )
    # Asked for, not yet begun: where reading begins is no end either.
    fill(installation, tenant_id, 30)
    pieces = iter(one)
    lines = next(pieces)
    fill(installation, tenant_id, 30)
    lines += b"".join(pieces)
    assert [json.loads(line)["seq"] for line in lines.splitlines()] == list(range(30))
    assert one.progress == 1


# Breaking off


def open_statements(api: Api) -> int:
    with api.installation.database.connect_admin() as conn:
        [(count,)] = conn.execute(
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and backend_type = 'client backend'"
            " and application_name = '' and (state = 'active' or state like 'idle in%') and pid <> pg_backend_pid()"
        ).fetchall()
    return int(count)


def backends(api: Api) -> int:
    with api.installation.database.connect_admin() as conn:
        [(count,)] = conn.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchall()
    return int(count)


def test_a_client_that_goes_frees_its_place_and_its_connection(api: Api, tenant_id: UUID) -> None:
    fill(api.installation, tenant_id, 200)
    client = api.client(tenant_id, subject="gone")
    export(client, "csv", filters={"limit": 1})
    before = backends(api)
    for _ in range(6):
        # The answer is larger than what the sockets between hold, so it is under way when the client goes.
        big_details(api.installation, tenant_id) if _ == 0 else None
        with client.stream("POST", f"{EXPORT}/ndjson", json={}) as response:
            assert response.status_code == 200
            next(response.iter_raw(1024))
    deadline = time.monotonic() + 20
    while ((broken := [e for e in made_events(client) if e["outcome"] == "failure"]) and len(broken) < 6) or not broken:
        assert time.monotonic() < deadline
    assert backends(api) <= before + 1
    assert export(client, "csv", filters={"limit": 3}).status_code == 200


def big_details(installation: Installation, tenant_id: UUID) -> None:
    event = [
        Event(event_type="a", entity_type="b", entity_id="c", details={"text": os.urandom(200_000).hex()})
        for _ in range(30)
    ]
    installation.ledger.append(tenant_id, event)


def test_a_reader_that_sleeps_holds_no_transaction_and_others_are_told_when_all_places_are_taken(
    api: Api, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api.installation, tenant_id, 10)
    big_details(api.installation, tenant_id)
    client = api.client(tenant_id)
    opened = [client.stream("POST", f"{EXPORT}/ndjson", json={}) for _ in range(4)]
    for each in opened:
        assert each.__enter__().status_code == 200
    refused = client.post(f"{EXPORT}/csv", json={})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    deadline = time.monotonic() + 10
    while open_statements(api):
        assert time.monotonic() < deadline
    for each in opened:
        each.__exit__(None, None, None)


# Old months


@pytest.fixture
def aged(installation: Installation, tenant_id: UUID) -> Installation:
    """Twenty events of two months that are old enough for the archive, and ten of today."""
    clock = MovedClock(installation)
    for ago in (16, 14):
        clock.append(month(ago), tenant_id, [old_event(ago, number) for number in range(10)])
    clock.set(None)
    installation.ledger.append(tenant_id, [old_event(0, number) for number in range(10)])
    installation.seal(tenant_id)
    return installation


def old_event(ago: int, number: int) -> Event:
    return Event(
        event_type=f"kind.{number % 3}",
        entity_type="record",
        entity_id=f"r-{ago}",
        actor=BOB if number % 2 else "ann",
        ip_address="198.51.100.7",
        details={"ago": ago, "number": number},
    )


def exported(installation: Installation, tenant_id: UUID, form: str, selection: Selection) -> bytes:
    wanted = making.order(installation, tenant_id, form, selection, {}, by="ann", with_names=True)  # type: ignore[arg-type]
    return b"".join(making.Making(installation, wanted))


def test_archived_months_are_exported_as_if_they_were_here(aged: Installation, tenant_id: UUID) -> None:
    selections = [
        Selection(newest_first=newest, event_type=kind, limit=limit, actor_ref=ref)
        for newest in (True, False)
        for kind in (None, "kind.1")
        for limit in (None, 13)
        for ref in (None, aged.vault.find(tenant_id, BOB))
    ]
    before = [exported(aged, tenant_id, "csv", each) for each in selections]
    assert len(before[0].splitlines()) == 31
    aged.seal(tenant_id)
    done = retain(aged, run_id="a test")
    assert len(done.released) == 2
    assert [exported(aged, tenant_id, "csv", each) for each in selections] == before
    assert reading.left_out(aged, tenant_id, Selection()) == []
    assert len(reading.left_out(aged, tenant_id, Selection(q="number"))) == 2
    head = reading.head_of(aged, tenant_id)
    assert reading.count(aged, tenant_id, Selection(), head, most=None) == 30
    assert reading.count(aged, tenant_id, Selection(event_ids=("a", "b")), head, most=None) == 2


def test_a_month_that_leaves_the_database_while_it_is_read_is_not_lost(aged: Installation, tenant_id: UUID) -> None:
    selection = Selection(newest_first=False)
    wanted = making.order(aged, tenant_id, "ndjson", selection, {}, by="ann", with_names=True)
    pieces = iter(making.Making(aged, wanted))
    lines = next(pieces)
    aged.seal(tenant_id)
    assert len(retain(aged, run_id="a test").released) == 2
    lines += b"".join(pieces)
    assert [json.loads(line)["seq"] for line in lines.splitlines()] == list(range(30))


def test_an_archive_that_is_missing_refuses_the_export(aged: Installation, tenant_id: UUID) -> None:
    retain(aged, run_id="a test")
    for path in (aged.settings.storage_dir / "archives").rglob("*.parquet"):
        path.unlink()
    with serving(aged) as api:
        assert export(api.client(tenant_id), "csv", 503).json()["type"].endswith("archive-unavailable")
        recent = {"from": datetime.now(UTC).replace(hour=0, minute=0).isoformat()}
        assert export(api.client(tenant_id), "csv", 200, filters=recent).status_code == 200
