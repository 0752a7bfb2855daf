"""Whether a file of the lake is what was recorded: what is changed, missing or foreign is found, and said."""

import json
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from audit_pipelines import cli, cli_lake
from audit_pipelines.derive import features, lineage
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake import verify
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import erasing

TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


@pytest.fixture
def filled(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    """A lake with two parts, features, copies of tables and a catalog."""
    for name in ("ann", "ben"):
        event = Event(event_type="file.read", entity_type="file", entity_id="f", actor=name, details={"rows": 7})
        installation.ledger.append(tenant_id, [event] * 6)
        export_window(installation, date(2025, 1, 1), TOMORROW, run_id="test")
    features.update_event_features(installation, run_id="test")
    installation.seal(tenant_id)
    build_catalog(installation)
    return installation


def lake_of(installation: Installation) -> Lake:
    return Lake(installation.settings.lake_dir)


def wrong(installation: Installation, *files: Path, deep: bool = False) -> list[tuple[str, str]]:
    states = verify.verify_lake(installation, files, deep=deep)
    return [(one.state, f"{one.path}: {one.what}") for one in states if one.state != "intact"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    # The catalog's link to the same file keeps the old bytes.
    path.unlink()
    path.write_bytes(content)


def test_all_of_an_untouched_lake_is_intact(filled: Installation) -> None:
    states = verify.verify_lake(filled, deep=True)
    assert {one.state for one in states} == {"intact"}
    assert sum(one.rows or 0 for one in states) == 2 * 12
    held = {path for path in filled.settings.lake_dir.rglob("*") if path.is_file() and path.name != "replaced"}
    told = {(filled.settings.home / one.path).resolve() for one in states}
    assert {path.resolve() for path in held} == told


def test_a_changed_byte_is_found_wherever_it_is(filled: Installation, tenant_id: uuid.UUID) -> None:
    lake = lake_of(filled)
    (linked,) = lake.root.glob("catalog/*/checkpoints/*/*.parquet")
    paths = [
        lake.parts(tenant_id)[1].path,
        lake.files("event_features", tenant_id)[0],
        lake.dataset_path("event_features", tenant_id),
        lake.dataset_path("checkpoints", tenant_id),
        linked,
    ]
    for path in paths:
        before = path.read_bytes()
        flip(path)
        ((state, told),) = wrong(filled)
        assert state == "changed"
        assert path.name in told
        assert "expected SHA-256" in told
        assert wrong(filled, path)[0][0] == "changed"
        path.write_bytes(before)
    assert wrong(filled) == []


def test_missing_files_are_found(filled: Installation, tenant_id: uuid.UUID) -> None:
    lake = lake_of(filled)
    lake.parts(tenant_id)[1].path.unlink()
    lake.dataset_path("checkpoints", tenant_id).unlink()
    lake.files("event_features", tenant_id)[0].unlink()
    found = wrong(filled)
    assert [state for state, _ in found] == ["missing"] * 3
    assert "seq 6 to 11 were exported" in found[0][1]
    assert "lake/checkpoints/" in found[1][1]
    assert "lake/event_features/" in found[2][1]


def test_a_foreign_file_is_found(filled: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    lake = lake_of(filled)
    part = lake.parts(tenant_id)[1].path
    shutil.copy(part, part.with_name("part-00000000000000000012-00000000000000000017.parquet"))
    ((state, told),) = wrong(filled)
    assert (state, "its bytes are those of" in told) == ("foreign", True)
    own = tmp_path / "own.parquet"
    pl.DataFrame({"seq": [1]}).write_parquet(own)
    ((state, told),) = wrong(filled, own)
    assert (state, "found none" in told) == ("foreign", True)


def test_a_copy_is_known_by_its_bytes(filled: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    part = lake_of(filled).parts(tenant_id)[0].path
    copy = Path(shutil.copy(part, tmp_path / "input.parquet"))
    (state,) = verify.verify_lake(filled, [copy])
    assert state.state == "intact"
    assert str(part.relative_to(filled.settings.home)) in state.what
    with pytest.raises(ValidationError, match="found none"):
        verify.verify_lake(filled, [tmp_path / "absent.parquet"])


def test_a_file_of_before_an_erasure_does_not_come_back(filled: Installation, tenant_id: uuid.UUID) -> None:
    part = lake_of(filled).parts(tenant_id)[0].path
    before = part.read_bytes()
    erased = erasing.begin(filled, tenant_id, "ann")
    erasing.finish(filled, tenant_id, erased.actor_ref, run_id="test")
    assert wrong(filled, deep=True) == []
    part.write_bytes(before)
    found = wrong(filled)
    assert {state for state, _ in found} == {"changed"}
    assert "that of an earlier record" in found[0][1]


def test_rows_are_compared_with_the_ledger(filled: Installation, tenant_id: uuid.UUID) -> None:
    """Whoever can write a record for a changed file is found by its rows."""
    path = lake_of(filled).parts(tenant_id)[1].path
    frame = pl.read_parquet(path, hive_partitioning=False)
    changed = frame.with_columns(outcome=pl.when(pl.col("seq") == 8).then(pl.lit("success")).otherwise("outcome"))
    for table, expected in ((changed, "seq 8: outcome other than in the ledger; 1 rows differ"), (frame[1:], "6 rows")):
        path.unlink()
        table.write_parquet(path)
        key = str(path.relative_to(filled.settings.home))
        with filled.database.connection("audit_pipeline") as conn:
            output = lineage.Output(tenant_id, "raw_events", key, lineage.file_digest(path), ())
            lineage.record(conn, [output], run_id="forger")
        assert wrong(filled) == []
        found = wrong(filled, deep=True)
        assert found[0][0] == "changed"
        assert expected in found[0][1]


def test_the_command_says_it_and_exits_by_it(
    filled: Installation, tenant_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def opened(_: object) -> Iterator[Installation]:
        yield filled

    monkeypatch.setattr(cli_lake, "open_installation", opened)

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["audit-pipelines", "verify-lake", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    part = lake_of(filled).parts(tenant_id)[0].path
    assert command("--deep")[0] == 0
    code, told, _ = command(part)
    assert (code, told.startswith("intact: lake/raw_events/")) == (0, True)
    flip(part)
    code, told, _ = command()
    assert code == 1
    assert f"CHANGED: {part.relative_to(filled.settings.home)}: expected SHA-256" in told
    code, told, _ = command("--json")
    assert code == 1
    assert json.loads(told)["intact"] is False
    code, _, told = command(part.with_name("absent.parquet"))
    assert (code, "found none" in told) == (2, True)
