"""Datasets of several files that change as one: whole for readers, whatever happens to the writer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import polars as pl
import pytest

from audit_pipelines.lake.datasets import ORDER, SCHEMAS, Lake
from audit_pipelines.lake.versions import BEGINNING, Draft, Piece, absorbed, planned_rows

TENANT = uuid.UUID(int=7)
STAMP = {"through_seq": 0, "head": "", "code_version": "", "inputs": []}

# Writes rows 0-9 and 10-14, then keeps the first part and writes rows 10-19 over the second: for each n in a process of
# its own, ended at its n-th call of the system by the signal that nothing can catch. All are forked from one that has
# imported everything and begun no thread, which spares each half a second. It says how each ended; the last one ran to
# its end.
WRITERS = """
import json, os, signal, sys, threading, traceback
from pathlib import Path
from test_versions import write

calls = 0

def counted(call, fatal):
    def called(*args, **named):
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **named)
    return called

def write_until(fatal, root):
    write(root, [range(10), range(10, 15)])
    for name in ("link", "fsync", "replace", "symlink", "rename", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name), fatal))
    for name in ("replace", "symlink_to", "unlink", "mkdir", "chmod", "write_text"):
        setattr(Path, name, counted(getattr(Path, name), fatal))
    write(root, [range(10, 20)], keep=1)

assert threading.active_count() == 1
ended = []
for fatal in range(1, 100):
    child = os.fork()
    if child == 0:
        try:
            write_until(fatal, Path(sys.argv[1], str(fatal)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if ended[-1] == 0:
        break
print(json.dumps(ended))
"""


def rows(seqs):
    schema = SCHEMAS["event_scores"]
    frame = pl.DataFrame({"seq": list(seqs)}).with_columns(
        occurred_at=pl.from_epoch("seq", time_unit="s").dt.replace_time_zone("UTC"), tenant_id=pl.lit(str(TENANT))
    )
    return frame.with_columns(pl.lit(None).alias(name) for name in schema if name not in frame.columns)


def write(root, pieces, *, keep=0, recorded=None):
    link = root / "event_scores" / f"tenant_id={TENANT}"
    with Draft(link) as draft:
        for part in draft.before.parts[:keep] if draft.before else ():
            draft.keep(part)
        changed = None
        for piece in pieces:
            draft.write(Piece(rows(piece)), ORDER["event_scores"], SCHEMAS["event_scores"])
            changed = changed or draft.parts[-1].first
        return draft.publish(
            STAMP, changed=changed, notes={}, before=lambda digest, parts: recorded and recorded(digest, parts)
        )


def seen(root):
    return Lake(root).read("event_scores", TENANT)["seq"].to_list()


def test_a_version_is_kept_parts_and_new_ones(tmp_path: Path) -> None:
    first = write(tmp_path, [range(10), range(10, 15)])
    recorded = []
    second = write(tmp_path, [range(10, 20)], keep=1, recorded=lambda digest, parts: recorded.extend(parts))
    assert seen(tmp_path) == list(range(20))
    assert second.parts[0] == first.parts[0]
    assert recorded == [second.parts[1]]
    assert second.changed_since(second.mark) is None
    assert second.changed_since(first.mark) == (10_000_000, 10)
    assert second.changed_since("another 1") == BEGINNING
    third = write(tmp_path, [], keep=2)
    assert (third.changed_since(second.mark), third.changed_since(first.mark)) == (None, (10_000_000, 10))
    assert not first.folder.exists()


def test_what_is_not_recorded_is_not_seen(tmp_path: Path) -> None:
    write(tmp_path, [range(10)])

    def refuse(*_: object) -> None:
        raise RuntimeError("the record was refused")

    with pytest.raises(RuntimeError, match="refused"):
        write(tmp_path, [range(10, 20)], keep=1, recorded=refuse)
    assert seen(tmp_path) == list(range(10))
    assert len(list((tmp_path / "versions" / "event_scores" / f"tenant_id={TENANT}").iterdir())) == 1


def test_a_writer_that_is_killed_at_any_step_leaves_one_version_or_the_other(tmp_path: Path) -> None:
    before, after = [*range(15)], [*range(20)]
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    *killed, whole = json.loads(done.stdout)
    assert (set(killed), whole) == ({-signal.SIGKILL}, 0), done.stderr
    found = []
    for fatal in range(1, 1 + len(killed)):
        root = tmp_path / str(fatal)
        found.append(seen(root))
        write(root, [range(10, 20)], keep=1)
        assert seen(root) == after
        folders = list((root / "versions" / "event_scores" / f"tenant_id={TENANT}").iterdir())
        assert folders == [Lake(root).version("event_scores", TENANT).folder]
    assert found[0] == before
    assert found[-1] == after
    assert found == sorted(found, key=len)
    assert all(each in (before, after) for each in found)


def test_an_older_layout_gives_way(tmp_path: Path) -> None:
    folder = tmp_path / "event_scores" / f"tenant_id={TENANT}"
    folder.mkdir(parents=True)
    (folder / "part.parquet").write_bytes(b"of a version before")
    assert seen(tmp_path) == []
    write(tmp_path, [range(3)])
    assert seen(tmp_path) == [0, 1, 2]


def test_deleted_versions_are_made_again(tmp_path: Path) -> None:
    version = write(tmp_path, [range(3)])
    shutil.rmtree(version.folder)
    assert seen(tmp_path) == []
    write(tmp_path, [range(4)])
    assert seen(tmp_path) == [0, 1, 2, 3]


def test_parts_are_few_however_rows_come() -> None:
    assert sum(planned_rows(3_000_000)) == 3_000_000
    assert len(planned_rows(3_000_000)) <= 16
    assert planned_rows(3) == [3]
    assert planned_rows(0) == []

    class Part:
        def __init__(self, rows: int) -> None:
            self.rows = rows

    parts, written = [], 0
    for _ in range(2_000):
        count = absorbed(parts, 100)
        size = 100 + sum(part.rows for part in parts[len(parts) - count :])
        parts = [*parts[: len(parts) - count], Part(size)]
        written += size
    assert sum(part.rows for part in parts) == 200_000
    assert len(parts) <= 12
    assert written <= 200_000 * 12
