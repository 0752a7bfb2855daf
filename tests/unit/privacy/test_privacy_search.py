"""Looking for a person in files: every spelling and container is found, and longer words are not."""

import base64
import gzip
import json
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from reportlab.pdfgen.canvas import Canvas

from audit_pipelines.privacy.search import Needles
from audit_pipelines.reports import fonts
from audit_pipelines.reports.canvas import TextCanvas

NAME = "Zoë.Quist@example.org"
NEEDLES = Needles([NAME])


@pytest.mark.parametrize(
    "spelled",
    [
        NAME.encode(),
        NAME.lower().encode(),
        f"x {NAME.lower()}, y".encode(),
        quote(NAME).encode(),
        quote(NAME, safe="").encode(),
        json.dumps({"a": NAME}).encode(),
        NAME.encode("utf-16-le"),
        NAME.encode("utf-16-be"),
        *(base64.b64encode(b"-" * shift + NAME.encode() + b" and more") for shift in range(4)),
    ],
)
def test_every_spelling_is_found(spelled: bytes) -> None:
    assert NEEDLES.in_bytes(b"before " + spelled + b" after")


@pytest.mark.parametrize("text", ["", "zo", "zoë.quist@example.organic", "azoë.quist@example.org"])
def test_other_words_are_not(text: str) -> None:
    assert not NEEDLES.in_bytes(text.encode())


def test_names_too_short_to_tell_anything_find_nothing() -> None:
    assert not Needles(["zo", ""]).in_bytes(b"zo zo zo")


def _plain(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _gzip(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content))


def _zip(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt.gz", gzip.compress(content))


def _pdf(path: Path, content: bytes) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(10, 10, content.decode())
    canvas.save()


def _parquet(path: Path, content: bytes) -> None:
    pl.DataFrame({"a": [{"b": [content.decode()]}] * 1_000, "c": [content] * 1_000}).write_parquet(path)


def _json(path: Path, content: bytes) -> None:
    path.write_text(json.dumps({"entry": base64.b64encode(b"x" * 40 + content).decode()}))


@pytest.mark.parametrize("put", [_plain, _gzip, _zip, _pdf, _parquet, _json])
def test_in_every_container(tmp_path: Path, put: Callable[[Path, bytes], None]) -> None:
    path = tmp_path / "file"
    put(path, b"by ada.quist@example.org now")
    assert Needles(["ada.quist@example.org"]).in_file(path)
    assert not Needles(["eve.quist@example.org"]).in_file(path)


@pytest.mark.parametrize(
    "name", ["Ann (Quist", "ET ET", "Zoë Quistmark", "Łukasz Żółw", "Иван Петров", "李小龍", "יעקב כהן"]
)
def test_letters_of_any_script_and_case_in_text_and_in_our_documents(tmp_path: Path, name: str) -> None:
    path, other = tmp_path / "file", Needles([f"{name[:-1]}q"])
    path.write_text(f"seq,actor\n0,{name.upper()} now\n")
    assert Needles([name.casefold()]).in_file(path)
    assert not other.in_file(path)
    buffer = BytesIO()
    canvas = TextCanvas(buffer, (300, 300))
    canvas.setFont(fonts.BODY, 9)
    canvas.drawString(10, 100, f"by {name} now")
    canvas.showPage()
    canvas.drawString(10, 100, "nobody")
    canvas.showPage()
    canvas.save()
    path.write_bytes(buffer.getvalue())
    assert Needles([name.casefold()]).in_file(path)
    assert not other.in_file(path)


def test_a_page_is_read_whatever_byte_its_compression_ends_with(tmp_path: Path) -> None:
    pages = [zlib.compress(f"({number} by ada.quist@example.org) Tj".encode()) for number in range(400)]
    # The last byte is of a checksum: one page in forty ends with what a line may end with.
    odd = [page for page in pages if page != page.strip()]
    assert len({page[-1:] for page in odd}) > 3
    path = tmp_path / "file"
    for page, end in ((page, end) for page in odd for end in (b"", b"\n", b"\r\n")):
        path.write_bytes(b"%PDF-1.7\n1 0 obj\n<< >>\nstream\n" + page + end + b"endstream\nendobj\n")
        assert Needles(["ada.quist@example.org"]).in_file(path)


def test_what_only_looks_like_a_container_is_searched_as_bytes(tmp_path: Path) -> None:
    for number, head in enumerate((b"\x1f\x8b", b"PK\x03\x04", b"%PDF-", b"{")):
        path = tmp_path / str(number)
        path.write_bytes(head + b" ada.quist@example.org ")
        assert Needles(["ada.quist@example.org"]).in_file(path)
    assert not NEEDLES.in_file(tmp_path / "gone")
