"""Finding files and splitting them into records: every shape, and every way a file can be broken."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from audit_pipelines.importers import source
from audit_pipelines.importers.source import Fault, FoundFile, Record, find_files, read_records


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def split(path: Path) -> tuple[list[tuple[int, bytes]], list[Fault]]:
    items = list(read_records(path))
    records = [(item.number, item.raw) for item in items if isinstance(item, Record)]
    return records, [item for item in items if isinstance(item, Fault)]


@pytest.mark.parametrize(
    ("content", "unit"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "line"),
        (b'{"a": 1}\r\n{"a": 2}', "line"),
        (b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n', "line"),
        (b'[{"a": 1}, {"a": 2}]', "record"),
        (b'\xef\xbb\xbf\n [\n{"a": 1}, {"a": 2}\n]\n', "record"),
        (b'{"Records": [{"a": 1}, {"a": 2}]}', "record"),
        (b'{\n "Records" : [\n {"a": 1},\n {"a": 2}\n ]\n}\n', "record"),
        (b'{"Records":[{"a": 1}]}{"Records":[{"a": 2}]}', "record"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[{"a": 1},{"a": 2}]}', "record"),
        (b'{"@odata.context":"https://x","@odata.count":2,"value":[{"a": 1},{"a": 2}]}', "record"),
        (b'{"Records":[{"a": 1}]}\n{"Records":[{"a": 2}]}\n', "record"),
        (b'[{"a": 1}]\n[{"a": 2}]\n', "record"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_gives_the_same_two_records_whatever_the_name(
    tmp_path: Path, content: bytes, unit: str, packed: bool
) -> None:
    path = write(tmp_path / "no_suffix", gzip.compress(content, mtime=0) if packed else content)
    assert split(path) == ([(1, b'{"a": 1}'), (2, b'{"a": 2}')], [])
    assert all(isinstance(item, Record) and item.unit == unit for item in read_records(path))


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ndjson", b'\n\n{"a":1}\n   \n{"a":2}\n\n')
    assert split(path) == ([(3, b'{"a":1}'), (5, b'{"a":2}')], [])


def test_byte_order_marks_of_joined_files_are_tolerated(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ndjson", b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{"a":2}\n')
    assert split(path) == ([(1, b'{"a":1}'), (2, b'{"a":2}')], [])


def test_one_pretty_printed_object_is_one_record(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps({"a": {"b": [1, "}{"]}}, indent=2).encode())
    records, faults = split(path)
    assert not faults
    assert [json.loads(raw) for _, raw in records] == [{"a": {"b": [1, "}{"]}}]


def test_pretty_printed_objects_one_after_another(tmp_path: Path) -> None:
    objects = [{"a": 'a "quoted" \\ } brace'}, {"a": 2}]
    path = write(tmp_path / "a.json", "\n".join(json.dumps(item, indent=1) for item in objects).encode())
    records, faults = split(path)
    assert not faults
    assert [json.loads(raw) for _, raw in records] == objects


def test_lines_that_span_chunks_and_several_gzip_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_CHUNK_BYTES", 7)
    lines = [b'{"n":%d}' % number for number in range(500)]
    half = b"\n".join(lines[:250]) + b"\n"
    plain = write(tmp_path / "a.ndjson", b"\n".join(lines))
    packed = write(tmp_path / "b.gz", gzip.compress(half, mtime=0) + gzip.compress(b"\n".join(lines[250:]), mtime=0))
    assert [raw for _, raw in split(plain)[0]] == lines
    assert [raw for _, raw in split(packed)[0]] == lines


def test_a_line_above_the_limit_is_reported_and_the_others_come_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_LINE_BYTES", 64)
    monkeypatch.setattr(source, "_CHUNK_BYTES", 16)
    long = b'{"a":"' + b"x" * 200 + b'"}'
    records, faults = split(write(tmp_path / "a.ndjson", b'{"a":1}\n' + long + b'\n{"a":2}\n' + long))
    assert records == [(1, b'{"a":1}'), (3, b'{"a":2}')]
    assert [fault.number for fault in faults] == [2, 4]


def test_a_document_above_the_limit_is_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_DOCUMENT_BYTES", 10)
    records, faults = split(write(tmp_path / "a.json", b'[{"a":1},{"a":2}]'))
    assert records == []
    assert "one record a line" in faults[0].message


@pytest.mark.parametrize("size", [0.5, 0.9, 0.999])
def test_truncated_gzip_gives_its_whole_lines_and_one_fault(tmp_path: Path, size: float) -> None:
    # Digits of a hash do not compress away, so the cut falls among the lines.
    lines = [f'{{"n":{number},"x":"{hash((number, 7)):x}"}}'.encode() for number in range(2000)]
    packed = gzip.compress(b"\n".join(lines) + b"\n", mtime=0)
    records, faults = split(write(tmp_path / "a.ndjson.gz", packed[: int(len(packed) * size)]))
    assert 100 < len(records) <= 2000
    assert [raw for _, raw in records] == lines[: len(records)]
    assert len(faults) == 1
    assert "ends before its end mark" in faults[0].message
    assert f"line {len(records)}" in faults[0].message


def test_damaged_gzip_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b'{"a":1}\n' * 50, mtime=0))
    packed[-6] ^= 0xFF
    _, faults = split(write(tmp_path / "a.gz", bytes(packed)))
    assert "damaged" in faults[0].message


def test_truncated_document_gives_its_whole_records_and_a_fault(tmp_path: Path) -> None:
    records, faults = split(write(tmp_path / "a.json", b'{"Records":[{"a":{"b":1}},{"a":2},{"a":'))
    assert records == [(1, b'{"a":{"b":1}}'), (2, b'{"a":2}')]
    assert len(faults) == 1
    assert "broken" in faults[0].message


def test_a_bad_record_in_a_document_does_not_cost_the_others(tmp_path: Path) -> None:
    records, faults = split(write(tmp_path / "a.json", b'{"Records":[{"a":1},{"a":NaN},{"a":3}]}'))
    assert [raw for _, raw in records] == [b'{"a":1}', b'{"a":NaN}', b'{"a":3}']
    assert len(faults) == 1


def test_text_between_documents_is_reported(tmp_path: Path) -> None:
    records, faults = split(write(tmp_path / "a.json", b'[{"a":1}]\noops\n[{"a":2}]'))
    assert len(records) == 2
    assert "oops" in faults[0].message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b" \n\n ", "empty"),
        (gzip.compress(b"", mtime=0), "empty"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "twice"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
    ],
)
def test_files_that_are_no_json_are_named(tmp_path: Path, content: bytes, word: str) -> None:
    records, faults = split(write(tmp_path / "a.json", content))
    assert records == []
    assert [word in fault.message and fault.number is None for fault in faults] == [True]


def test_a_zip_archive_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.json", "w") as archive:
        archive.writestr("x", "{}")
    assert "zip" in split(tmp_path / "a.json")[1][0].message


def test_an_unreadable_file_is_a_fault(tmp_path: Path) -> None:
    assert "cannot be read" in split(tmp_path)[1][0].message


def test_folders_are_walked_in_sorted_order_and_other_files_left_alone(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/1.JSON.GZ", "a/x.ndjson", "c.jsonl", "LICENSE", "labels.csv", "d.gz"):
        write(tmp_path / name, b"{}")
    found = [item.path.relative_to(tmp_path).as_posix() for item in find_files([tmp_path])]
    assert found == ["a/x.ndjson", "b/1.JSON.GZ", "b/2.json", "c.jsonl"]


def test_a_file_is_listed_once_and_link_loops_end(tmp_path: Path) -> None:
    path = write(tmp_path / "logs/a.json", b"{}")
    (tmp_path / "logs/loop").symlink_to(tmp_path / "logs", target_is_directory=True)
    (tmp_path / "logs/again.json").symlink_to(path)
    assert len(list(find_files([tmp_path / "logs", path, tmp_path / "logs/a.json"]))) == 1


def test_missing_paths_and_empty_folders_are_faults_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path = write(tmp_path / "a.json", b"{}")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/dangling.json").symlink_to(tmp_path / "gone")
    found = list(find_files([tmp_path / "missing", tmp_path / "empty", tmp_path / "b", path, Path("/dev/null")]))
    assert [item.path for item in found if isinstance(item, FoundFile)] == [path]
    messages = [str(item) for item in found if isinstance(item, Fault)]
    assert any("missing" in text and "check the path" in text for text in messages)
    assert any("empty" in text and "found none" in text for text in messages)
    assert any("dangling.json" in text for text in messages)
    assert any("/dev/null" in text for text in messages)


def test_a_fault_says_where() -> None:
    assert str(Fault(Path("a.json"), "bad", 3, "record")) == "a.json, record 3: bad"
    assert str(Fault(Path("a.json"), "bad")) == "a.json: bad"
