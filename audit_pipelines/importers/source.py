"""Finding files and splitting them into raw records, by their content.

Knows folders, gzip, NDJSON, JSON arrays and the envelopes around them; knows nothing of what a record means. Whatever
cannot be read comes out as a `Fault` among the records, in its place, and never stops what comes after it.
"""

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, Literal

import msgspec

MAX_LINE_BYTES = 32 * 1024 * 1024
MAX_DOCUMENT_BYTES = 512 * 1024 * 1024
SUFFIXES = (".json", ".ndjson", ".jsonl")

_CHUNK_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"PAR1", "a Parquet file"),
    (_GZIP, "compressed with gzip twice"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
# How a document with an array of records begins: AWS, a list of Kubernetes, an answer of Microsoft Graph. `items` or
# `value` alone would not do: a record of one's own may begin so.
_EVENT_LIST = re.compile(rb'\{\s*"kind"\s*:\s*"EventList"')
_GRAPH_ANSWER = re.compile(rb'\{\s*"@odata\.context"\s*:')
_RECORDS = re.compile(rb'\{\s*"Records"\s*:\s*\[|' + _EVENT_LIST.pattern + rb"|" + _GRAPH_ANSWER.pattern)
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)

Unit = Literal["line", "record"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that could not be imported: a record by its number, or a whole file where `number` is None."""

    path: Path
    message: str
    number: int | None = None
    unit: Unit = "line"

    def __str__(self) -> str:
        where = f"{self.path}" if self.number is None else f"{self.path}, {self.unit} {self.number}"
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in its file; `number` counts from 1, `position` is how far the file on disk is read."""

    path: Path
    number: int
    unit: Unit
    raw: bytes
    position: int

    def fault(self, message: str) -> Fault:
        """Return a fault that points at this record."""
        return Fault(self.path, message, self.number, self.unit)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read and its size in bytes, as it lies on disk."""

    path: Path
    size: int


class _DocumentRoot(msgspec.Struct):
    Records: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _EventList(msgspec.Struct):
    items: list[msgspec.Raw]


class _GraphAnswer(msgspec.Struct):
    value: list[msgspec.Raw]


_event_list_decoder = msgspec.json.Decoder(_EventList)
_graph_decoder = msgspec.json.Decoder(_GraphAnswer)
_document_decoder = msgspec.json.Decoder(_DocumentRoot)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def find_files(paths: Iterable[Path]) -> Iterator[FoundFile | Fault]:
    """List the files to read: named ones whatever their name, folders recursively in sorted order by `SUFFIXES`.

    A file reached twice, through a link or by being named twice, is listed once; loops of links end.
    """
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            yield Fault(path, f"expected a file or folder: {error.strerror}; check the path")
            continue
        if S_ISDIR(status.st_mode):
            yield from _find_in_folder(path, seen)
        elif not S_ISREG(status.st_mode):
            yield Fault(path, "expected a file or folder, got a device, pipe or socket")
        elif (key := (status.st_dev, status.st_ino)) not in seen:
            seen.add(key)
            yield FoundFile(path, status.st_size)


def _find_in_folder(root: Path, seen: set[tuple[int, int]]) -> Iterator[FoundFile | Fault]:
    faults: list[Fault] = []
    candidates: list[Path] = []
    folders: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        faults.append(Fault(Path(error.filename or root), f"cannot list the folder: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=unreadable):
        status = Path(folder).stat()
        key = (status.st_dev, status.st_ino)
        if key in folders:
            subfolders.clear()
            continue
        folders.add(key)
        subfolders.sort()
        candidates += [Path(folder, name) for name in names if name.lower().removesuffix(".gz").endswith(SUFFIXES)]

    yield from faults
    matched = False
    for path in sorted(candidates):
        try:
            status = path.stat()
        except OSError as error:
            yield Fault(path, f"cannot be read: {error.strerror}")
            continue
        if not S_ISREG(status.st_mode):
            continue
        matched = True
        if (key := (status.st_dev, status.st_ino)) not in seen:
            seen.add(key)
            yield FoundFile(path, status.st_size)
    if not matched:
        endings = ", ".join(SUFFIXES)
        yield Fault(root, f"expected files ending in {endings} (or these with .gz) in this folder, found none")


class _Content:
    """The bytes of a file, unpacked; iteration ends at the first damage, which `damage` then describes."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.position = 0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        magic = self._handle.read(len(_GZIP))
        self._handle.seek(0)
        packed = magic == _GZIP
        try:
            # `read1` hands out what it has before it meets the damage; `read` would lose it.
            stream = gzip.GzipFile(fileobj=self._handle) if packed else None
            while chunk := stream.read1(_CHUNK_BYTES) if stream else self._handle.read(_CHUNK_BYTES):
                self.position = self._handle.tell()
                yield chunk
        except EOFError:
            self.damage = "the gzip stream ends before its end mark; copy the file again"
        except (gzip.BadGzipFile, zlib.error) as error:
            self.damage = f"the gzip stream is damaged ({error}); copy the file again"
        except OSError as error:
            self.damage = f"cannot be read: {error.strerror or error}"


def read_records(path: Path) -> Iterator[Record | Fault]:
    """Yield the records of one file, NDJSON in constant memory, a JSON document of up to `MAX_DOCUMENT_BYTES` whole."""
    try:
        with path.open("rb", buffering=0) as handle:
            yield from _read(path, _Content(handle))
    except OSError as error:
        yield Fault(path, f"cannot be read: {error.strerror or error}")


def _read(path: Path, content: _Content) -> Iterator[Record | Fault]:
    chunks = iter(content)
    head = b""
    for chunk in chunks:
        head += chunk
        start = head.removeprefix(_BOM).lstrip()
        if b"\n" in start or len(start) >= _CHUNK_BYTES or len(head) >= MAX_LINE_BYTES:
            break
    head = head.removeprefix(_BOM)
    start = head.lstrip()
    foreign = next((what for magic, what in _FOREIGN if head.startswith(magic)), None)
    if foreign:
        yield Fault(path, f"expected JSON in UTF-8, plain or gzip, got a file that is {foreign}; convert it first")
    elif not start and content.damage is None:
        yield Fault(path, "expected JSON records, got an empty file")
    elif start.startswith(b"[") or _RECORDS.match(start) or start.split(b"\n", 1)[0].rstrip() == b"{":
        yield from _read_document(path, content, chain((head,), chunks))
    else:
        yield from _read_lines(path, content, chain((head,), chunks))


def _read_lines(path: Path, content: _Content, chunks: Iterable[bytes]) -> Iterator[Record | Fault]:
    whole = 0
    for number, (line, ended) in enumerate(_lines(chunks), start=1):
        if content.damage and not ended:
            break  # a torso: the fault below speaks for it
        whole = number
        if line is None:
            yield Fault(path, f"expected a line of at most {MAX_LINE_BYTES // 2**20} MiB", number)
        elif record := line.removeprefix(_BOM).strip():
            yield Record(path, number, "line", record, content.position)
    if content.damage:
        yield Fault(path, f"{content.damage}; it was read up to line {whole}")


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes | None, bool]]:
    """Yield each line and whether a newline ended it; None for one above `MAX_LINE_BYTES`, which is never held."""
    pending: list[bytes] = []
    length = 0
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        length += len(first)
        if length <= MAX_LINE_BYTES:
            pending.append(first)
        else:
            pending.clear()
        if rest:
            yield (b"".join(pending) if length <= MAX_LINE_BYTES else None), True
            for line in rest[:-1]:
                yield line, True
            pending, length = [rest[-1]], len(rest[-1])
    if length:
        yield (b"".join(pending) if length <= MAX_LINE_BYTES else None), False


def _read_document(path: Path, content: _Content, chunks: Iterable[bytes]) -> Iterator[Record | Fault]:
    parts: list[bytes] = []
    length = 0
    for chunk in chunks:
        parts.append(chunk)
        length += len(chunk)
        if length > MAX_DOCUMENT_BYTES:
            limit = MAX_DOCUMENT_BYTES // 2**20
            yield Fault(path, f"expected a JSON document of at most {limit} MiB; convert it to one record a line")
            return
    if content.damage:
        yield Fault(path, f"{content.damage}; its whole records were read one by one")
    number = 0
    for item in _document_items(b"".join(parts)):
        if isinstance(item, str):
            if not content.damage:
                yield Fault(path, item)
        else:
            number += 1
            yield Record(path, number, "record", item, content.position)


def _document_items(data: bytes) -> Iterator[bytes | str]:
    """Yield the records of one or several JSON documents, and in words what could not be told apart."""
    items = _decode_document(data)
    if not isinstance(items, str):
        yield from items
        return
    # Several documents one after another (`zcat *.json.gz`), or a broken one: find its values by their brackets.
    tail = 0
    for start, end in _bracketed(data, 0):
        if gap := data[tail:start].strip():
            yield f"expected JSON, got {gap[:40]!r} before byte {start}"
        tail = end
        yield from _salvage(data[start:end], start)
    if data[tail:].strip():
        yield from _salvage(data[tail:], tail)


def _salvage(document: bytes, offset: int) -> Iterator[bytes | str]:
    items = _decode_document(document)
    if not isinstance(items, str):
        yield from items
        return
    level = 2 if _RECORDS.match(document.lstrip()) else 1 if document.lstrip().startswith(b"[") else 0
    if level == 0:
        yield document
        return
    yield f"the JSON document at byte {offset} is broken ({items}); its whole records were read one by one"
    for start, end in _bracketed(document, level):
        yield document[start:end]


def _decode_document(data: bytes) -> Iterator[bytes] | str:
    """Return the records of one sound document, or what is wrong with it."""
    try:
        if data.lstrip().startswith(b"["):
            return map(bytes, _array_decoder.decode(data))
        if _EVENT_LIST.match(data.lstrip()):
            return map(bytes, _event_list_decoder.decode(data).items)
        if _GRAPH_ANSWER.match(data.lstrip()):
            return map(bytes, _graph_decoder.decode(data).value)
        records = _document_decoder.decode(data).Records
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)
    return iter((data.strip(),)) if records is msgspec.UNSET else map(bytes, records)


def _bracketed(data: bytes, level: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the values in brackets that open at nesting depth `level` and close."""
    depth = start = 0
    for match in _BRACKETS.finditer(data):
        bracket = data[match.start() : match.start() + 1]
        if bracket in b"[{":
            if depth == level:
                start = match.start()
            depth += 1
        elif bracket in b"]}" and depth:
            depth -= 1
            if depth == level:
                yield start, match.end()
