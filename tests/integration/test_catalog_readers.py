"""Readers of the catalog while the job makes it anew over a lake that moves on: no error, and whole answers."""

import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from audit_pipelines.installation import Installation
from audit_pipelines.lake import snapshots
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import erasing

CLI = Path(sys.executable).with_name("duckdb")
# All rows are read, not counted by the files' footers; a row that is there twice, or half a batch, shows.
QUESTION = "select count(*), count(distinct seq), max(seq), count(length(row_hash)) from events"
BATCH = 10
OPENINGS = 100


def add(installation: Installation, tenant_id: uuid.UUID, count: int = BATCH) -> None:
    event = Event(event_type="file.read", entity_type="file", entity_id="f", actor="ann", outcome="success")
    installation.ledger.append(tenant_id, [event] * count)


def export(installation: Installation, *, days: int = 0) -> None:
    """Fill the lake as if it were so many days later: from tomorrow on, today is merged into one part."""
    now = datetime.now(UTC) + timedelta(days=days)
    export_window(installation, date(2025, 1, 1), now.date() + timedelta(days=1), run_id="test", now=now)


def asked_of_python(path: Path) -> tuple[int, ...]:
    with duckdb.connect(str(path), read_only=True) as conn:
        return conn.execute(QUESTION).fetchone()


def asked_of_the_command(path: Path, *before: str, cwd: Path | None = None) -> tuple[int, ...]:
    commands = [word for each in (*before, QUESTION) for word in ("-c", each)]
    done = subprocess.run(
        [CLI, "-readonly", "-csv", "-noheader", "-init", os.devnull, str(path), *commands],
        capture_output=True, text=True, check=False, cwd=cwd,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(map(int, done.stdout.split()[-1].split(",")))


@contextmanager
def rebuilding(installation: Installation, tenant_id: uuid.UUID) -> Iterator[list[int]]:
    """Run the job in a loop: new rows, their part, all parts of the day merged, the catalog anew."""
    builds, end, faults = [], threading.Event(), []

    def work() -> None:
        try:
            while not end.is_set():
                add(installation, tenant_id)
                export(installation)
                build_catalog(installation)
                export(installation, days=1)
                build_catalog(installation)
                builds.append(2)
        except Exception as error:  # noqa: BLE001 - shown by the test that waits for the thread
            faults.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield builds
    finally:
        end.set()
        worker.join()
    assert faults == []


def test_a_hundred_openings_while_the_job_rebuilds_it(installation: Installation, tenant_id: uuid.UUID) -> None:
    path = installation.settings.catalog_path
    add(installation, tenant_id)
    export(installation)
    build_catalog(installation)
    # Of its own name: a process gets the database again that it has open under a name already.
    opened = shutil.copy(path, path.with_name("opened.duckdb"))
    with duckdb.connect(str(opened), read_only=True) as kept, rebuilding(installation, tenant_id) as builds:
        first = kept.execute(QUESTION).fetchone()
        seen = []
        for opening in range(OPENINGS):
            seen.append(asked_of_the_command(path) if opening % 2 else asked_of_python(path))
            # Who has had it open all the while sees what they saw, whatever was merged since.
            assert opening % 5 or kept.execute(QUESTION).fetchone() == first
    assert sum(builds) > 4
    for rows, seqs, last, hashes in seen:
        assert rows == seqs == hashes == last + 1
        assert rows % BATCH == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


@pytest.fixture
def moved(installation: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> Path:
    """The catalog of 10 events with its lake, copied elsewhere; what it was made in is gone."""
    add(installation, tenant_id)
    export(installation)
    home = installation.settings.home
    build_catalog(installation)
    elsewhere = tmp_path / "it's elsewhere"
    elsewhere.mkdir()
    shutil.copy(home / "audit.duckdb", elsewhere)
    shutil.copytree(home / "lake" / "catalog", elsewhere / "lake" / "catalog")
    shutil.rmtree(home / "lake")
    return elsewhere / "audit.duckdb"


def test_a_copy_is_opened_elsewhere(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (BATCH, BATCH, BATCH - 1, BATCH)
    assert asked_of_python(moved) == expected
    assert asked_of_the_command(moved) == expected
    for folder, name in ((moved.parent, Path(moved.name)), (moved.parents[1], Path(moved.parent.name, moved.name))):
        monkeypatch.chdir(folder)
        assert asked_of_python(name) == expected
        assert asked_of_the_command(name, cwd=folder) == expected
    renamed = moved.rename(moved.with_name("june.duckdb"))
    assert asked_of_python(renamed) == expected


def test_a_catalog_that_is_attached_is_told_where_it_lies(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    literal = str(moved).replace("'", "''")
    home = str(moved.parent).replace("'", "''")
    question = QUESTION.replace("events", "audit.events")
    for telling in (f"set variable audit_home = '{home}'", f"set file_search_path = '{home}'"):
        with duckdb.connect() as conn:
            conn.execute(f"attach '{literal}' as audit (read_only)")
            with pytest.raises(duckdb.IOException, match="No files found"):
                conn.execute(question)
            conn.execute(telling)
            assert conn.execute(question).fetchone()[0] == BATCH
    monkeypatch.chdir(moved.parent)
    with duckdb.connect() as conn:
        conn.execute(f"attach '{literal}' as audit (read_only)")
        assert conn.execute(question).fetchone()[0] == BATCH


def test_files_of_a_catalog_stay_for_a_day_after_the_next(installation: Installation, tenant_id: uuid.UUID) -> None:
    lake = Lake(installation.settings.lake_dir)
    root = lake.root / snapshots.FOLDER

    def build() -> Path:
        before = set(root.iterdir()) if root.exists() else set()
        add(installation, tenant_id)
        export(installation)
        build_catalog(installation)
        (new,) = set(root.iterdir()) - before
        return new

    first, second = build(), build()
    os.utime(first / "replaced", (0, 0))
    third = build()
    assert set(root.iterdir()) == {second, third}
    assert (second / "replaced").exists()
    assert not (third / "replaced").exists()


def test_a_merged_part_beside_its_pieces_is_not_counted_twice(installation: Installation, tenant_id: uuid.UUID) -> None:
    lake = Lake(installation.settings.lake_dir)
    for _ in range(2):
        add(installation, tenant_id)
        export(installation)
    pieces = [(part.path, part.path.read_bytes()) for part in lake.parts(tenant_id)]
    assert len(pieces) == 2
    export(installation, days=1)
    for path, content in pieces:
        path.write_bytes(content)
    assert asked_of_python(build_catalog(installation).path) == (20, 20, 19, 20)


def test_an_erasure_leaves_no_earlier_files(installation: Installation, tenant_id: uuid.UUID) -> None:
    for _ in range(2):
        add(installation, tenant_id)
        export(installation)
        build_catalog(installation)
    with duckdb.connect(str(installation.settings.catalog_path), read_only=True) as conn:
        (ref,) = conn.execute("select distinct actor_ref from events").fetchone()
    erased = erasing.begin(installation, tenant_id, "ann")
    assert str(erased.actor_ref) == ref
    erasing.finish(installation, tenant_id, erased.actor_ref, run_id="test")
    lake = installation.settings.lake_dir
    assert len(list((lake / snapshots.FOLDER).iterdir())) == 1
    found = [
        path for path in lake.rglob("*.parquet")
        if ref in duckdb.sql(f"select * from read_parquet('{path}')").pl().write_ndjson()
        and "audit.subject.erased" not in path.read_bytes().decode(errors="replace")
    ]  # fmt: skip
    assert found == []
