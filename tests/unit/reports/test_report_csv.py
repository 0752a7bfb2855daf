"""CSV by the standard library's reader: the same cells come back, and none begins like a formula."""

import csv
import hashlib
import io
from datetime import UTC, datetime

import polars as pl
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.reports.csv_export import frames, write_csv


def read_back(*batches: pl.DataFrame) -> list[list[str]]:
    file = io.BytesIO()
    write_csv(batches, file)
    return list(csv.reader(io.StringIO(file.getvalue().decode("utf-8"), newline=""), strict=True))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_formulas_are_disarmed(start):
    text = f"{start}HYPERLINK(A1)"
    assert read_back(pl.DataFrame({"text": [text, "safe"], f"{start}h": [1, 2]})) == [
        ["text", f"'{start}h"],
        [f"'{text}", "1"],
        ["safe", "2"],
    ]


def test_formulas_inside_categories_lists_and_structs_are_disarmed():
    frame = pl.DataFrame({"kind": pl.Series(["=1"], dtype=pl.Categorical), "list": [["=1"]], "struct": [{"a": "=1"}]})
    assert read_back(frame)[1] == ["'=1", '["=1"]', '{"a":"=1"}']


def test_numbers_stay_numbers():
    frame = pl.DataFrame({"whole": [-5, 3], "real": [-0.5, 2.25], "flag": [True, False]})
    assert read_back(frame)[1:] == [["-5", "-0.5", "true"], ["3", "2.25", "false"]]


@pytest.mark.parametrize(
    "text", ['quo"te', "com,ma", "line\r\nbreak", "line\nfeed", "carriage\rreturn", "é中👩‍🚀", " pad ", "'x", "a=b"]
)
def test_text_comes_back_as_it_was(text):
    assert read_back(pl.DataFrame({"text": [text], "next": ["n"]}))[1] == [text, "n"]


def test_times_are_iso_in_utc_and_null_differs_from_empty():
    moment = datetime(2026, 11, 23, 7, 41, 0, 123456, tzinfo=UTC)
    file = io.BytesIO()
    write_csv([pl.DataFrame({"at": [moment, None], "text": [None, ""]})], file)
    assert file.getvalue() == b'at,text\r\n2026-11-23T07:41:00.123456Z,\r\n,""\r\n'


def test_batches_stream_into_one_file_with_one_header(tmp_path):
    path = tmp_path / "events.csv"
    taken = []

    def batches():
        for number in range(3):
            taken.append(number)
            yield pl.DataFrame({"seq": [number * 2, number * 2 + 1]})

    info = write_csv(batches(), path)
    content = path.read_bytes()
    assert content == b"seq\r\n0\r\n1\r\n2\r\n3\r\n4\r\n5\r\n"
    assert (info.rows, info.bytes, info.sha256) == (6, len(content), hashlib.sha256(content).hexdigest())
    assert taken == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_midway_leaves_no_file(tmp_path):
    def batches():
        yield pl.DataFrame({"seq": [1]})
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        write_csv(batches(), tmp_path / "events.csv")
    assert list(tmp_path.iterdir()) == []


def test_other_columns_or_no_frame_are_refused():
    with pytest.raises(ValidationError, match="every batch"):
        read_back(pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}))
    with pytest.raises(ValidationError, match="at least one frame"):
        read_back()


def test_rows_are_gathered_into_frames_and_none_still_give_a_header():
    schema = {"seq": pl.Int64(), "event_type": pl.String()}
    rows = ({"seq": seq, "event_type": "=x"} for seq in range(25))
    gathered = list(frames(rows, schema, batch_size=10))
    assert [frame.height for frame in gathered] == [10, 10, 5]
    assert read_back(*frames([], schema)) == [["seq", "event_type"]]
