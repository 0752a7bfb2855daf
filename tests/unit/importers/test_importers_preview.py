"""A dry run: what it counts, what it prints, and that it needs nothing but the files."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from audit_pipelines import cli_import
from audit_pipelines.cli import app
from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.preview import preview

RECORDS = [
    {"id": "a", "time": "2026-05-04T03:02:01Z", "action": "login", "user": "Ada@Example.com", "ip": "203.0.113.9:1",
     "status": "ok"},
    {"id": "b", "time": "2026-05-04T03:01:01Z", "action": "login", "user": "ada@example.com", "token": "made-up"},
    {"id": "c", "action": "job.run", "user": "build[bot]", "items": [{"token": "x1"}, {"token": "x2"}]},
    {"id": "d", "nothing": 1},
]  # fmt: skip


def write(path: Path, *records: Any) -> Path:
    path.write_text("\n".join(record if isinstance(record, str) else json.dumps(record) for record in records))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "1.ndjson", *RECORDS, "{", '{"x":')
    write(folder / "2.ndjson", RECORDS[0])
    return folder


def test_counts(files: Path) -> None:
    found = preview([files], FORMATS["json"])
    assert (found.summary.records, found.summary.stored, found.summary.duplicates, found.summary.refused) == (
        7,
        3,
        1,
        3,
    )
    assert found.event_types == [("login", 2), ("job.run", 1)]
    assert found.actors == [("ada@example.com", 2), ("build[bot]", 1)]
    assert (found.machine_events, found.out_of_order, found.conflicts) == (1, 1, 0)
    assert found.outcomes == [("not told", 2), ("success", 1)]
    assert found.shares == {"actor": 1.0, "time": 0.6667, "ip_address": 0.3333, "user_agent": 0.0, "outcome": 0.3333}
    assert dict(found.sealed)["/items/*/token"] == 1
    assert [example["event_type"] for example in found.examples] == ["login", "login", "job.run"]
    assert found.proposed_map is None


def test_faults_count_by_reason(files: Path) -> None:
    reasons = dict(preview([files], FORMATS["json"]).faults)
    assert sum(reasons.values()) == 3
    assert any("says what happened" in reason for reason in reasons)


def test_equal_reasons_are_one_whatever_the_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ndjson", *({"eventType": "x", "published": f"day {day}"} for day in range(3)))
    assert [count for _, count in preview([path], FORMATS["okta"]).faults] == [3]


def test_an_id_with_other_content_is_foretold(tmp_path: Path) -> None:
    records = [{"eventType": "x", "uuid": "same", "severity": word} for word in ("INFO", "WARN")]
    assert preview([write(tmp_path / "a.ndjson", *records)], FORMATS["okta"]).conflicts == 1


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["import", *map(str, arguments)], env={"COLUMNS": "160"})


def test_the_command_shows_it_and_exits_1_where_records_are_refused(files: Path) -> None:
    result = run("json", files, "--dry-run")
    assert result.exit_code == 1
    for words in (
        "7 records in 2 files: 3 events, 1 repeated, 3 refused; nothing was stored",
        "time: 2026-05-04T03:01:01+00:00 to 2026-05-04T03:02:01+00:00; 1 earlier than the one before",
        "events without a time would get the time of their import",
        "ada@example.com",
        "/items/*/token",
        "first events",
        '[event_type]\nfrom = [\n    "action",  # 4\n]',
    ):
        assert words in result.output


def test_the_command_as_json(files: Path) -> None:
    shown = json.loads(run("json", files, "--dry-run", "--json").stdout)
    assert shown["events"] == 3
    assert shown["event_types"] == {"login": 2, "job.run": 1}
    assert "[event_type]" in shown["proposed_map"]


def test_a_proposed_map_is_written_once_and_serves(files: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    assert run("json", files / "2.ndjson", "--dry-run", "--write-map", draft).exit_code == 0
    by_map = json.loads(run("json", files / "2.ndjson", "--dry-run", "--json", "--map", draft).stdout)
    assert by_map["examples"][0]["actor"] == "ada@example.com"
    assert by_map["proposed_map"] is None
    again = run("json", files, "--dry-run", "--write-map", draft)
    assert "expected a file that does not exist" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("okta", "x", "--map", "m.toml", "--dry-run"), "--map: expected the format json, got okta"),
        (("okta", "x", "--dry-run", "--write-map", "m.toml"), "--write-map: expected import json --dry-run"),
        (("json", "x", "--map", "absent.toml", "--dry-run"), "absent.toml: expected a map"),
        (("okta", "x"), "--tenant: expected a tenant's UUID"),
    ],
)
def test_wrong_use_is_said(arguments: tuple[str, ...], words: str) -> None:
    assert words in str(run(*arguments).exception)


def test_every_format_can_be_typed() -> None:
    assert set(get_args(cli_import.Format)) == set(FORMATS)
