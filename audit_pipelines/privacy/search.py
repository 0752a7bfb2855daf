"""Looking for a person in files, by bytes: whatever the spelling, and inside what is compressed.

Pure but for reading the file. A search can only say that it found something; what it looks into is listed here, and
other containers are searched as the bytes they are.
"""

import base64
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

_SHORTEST: Final = 3
_CHUNK: Final = 1 << 24
_LARGEST: Final = 1 << 29
_STREAM: Final = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_OBJECT: Final = re.compile(rb"(\d+) 0 obj\b(.*?)endobj", re.DOTALL)
_RESOURCE: Final = re.compile(rb"/([\w+.-]+) (\d+) 0 R")
_TO: Final = re.compile(rb"/ToUnicode (\d+) 0 R")
_MEANING: Final = re.compile(rb"<((?:[0-9A-Fa-f]{2})+)>\s*<((?:[0-9A-Fa-f]{2})+)>")
# A font, a string, an array of strings in hexadecimal digits, or the end of a text object.
_DRAWN: Final = re.compile(rb"/([\w+.-]+) [\d.]+ Tf|\(((?:[^()\\]|\\.)*)\)\s*Tj|\[([^\]]*)\]\s*TJ|\b(ET)\b", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_HEX: Final = re.compile(rb"<((?:[0-9A-Fa-f]{2})+)>")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


class Needles:
    """What a person is called, in every spelling that is looked for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names: Final = tuple(sorted({name for name in names if len(name) >= _SHORTEST}))
        self.words: Final = frozenset(spelling for name in self.names for spelling in _spellings(name))
        self._is_ascii: Final = all(map(str.isascii, self.names))
        self._folded: Final = _any_of(self.words)
        self._exact: Final = _any_of({text for name in self.names for text in _base64_spellings(name)}, whole=False)

    def in_bytes(self, content: bytes) -> bool:
        """Return whether a name stands in the bytes as they are."""
        if not self.names:
            return False
        if self._folded.search(content.lower()) or self._exact.search(content):
            return True
        # Capitals beyond ASCII are letters of a text, which bytes do not know; most names have none.
        text = "" if self._is_ascii else content.decode(errors="ignore").casefold()
        return bool(self._folded.search(text.encode()))

    def in_file(self, path: Path) -> bool:
        """Return whether a name stands in a file, or in what is compressed in it; one that went has none."""
        if not self.names:
            return False
        try:
            return any(map(self.in_bytes, _texts_of(path)))
        except FileNotFoundError:
            return False


def _spellings(name: str) -> Iterator[bytes]:
    folded = name.casefold()
    for text in {folded, folded.lower(), quote(folded, safe="").lower(), quote(folded, safe="@").lower()}:
        yield text.encode(errors="replace")
    yield json.dumps(folded)[1:-1].lower().encode()
    for encoding in ("utf-16-le", "utf-16-be"):
        yield folded.encode(encoding, errors="replace")


def _base64_spellings(name: str) -> Iterator[bytes]:
    """Yield what base64 of any text with the name has in it, whichever of the three ways the name falls into groups."""
    for text in {name, name.casefold()}:
        for shift in range(3):
            coded = base64.b64encode(bytes(shift) + text.encode())
            # The first and the last group also hold bits of the neighbours.
            inner = coded[4 if shift else 0 : len(coded) // 4 * 4 - 4]
            if len(inner) >= 8:
                yield inner
                yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _any_of(words: Iterable[bytes], *, whole: bool = True) -> re.Pattern[bytes]:
    """Return what finds any of the words; as whole words, unless they are of another width than a byte a letter."""
    alternatives = [
        re.escape(word) if not whole or b"\x00" in word else rb"(?<![0-9a-z])" + re.escape(word) + rb"(?![0-9a-z])"
        for word in sorted(words, key=lambda word: (-len(word), word))
    ]
    return re.compile(b"|".join(alternatives) or rb"(?!)")


def _texts_of(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    if size > _LARGEST:
        yield from _chunks(path)
    else:
        yield from _inside(path.read_bytes())
    # Read row group by row group, so an export may be of any size.
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    if is_parquet:
        yield from _parquet(path)


def _chunks(path: Path) -> Iterator[bytes]:
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield before + chunk
            before = chunk[-4096:]


def _inside(content: bytes) -> Iterator[bytes]:
    yield content
    try:
        if content.startswith(b"%PDF-"):
            yield _pdf(content)
        elif content.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    yield from _inside(archive.read(name))
        elif content.startswith(b"\x1f\x8b"):
            yield from _inside(gzip.decompress(content))
        elif content[:1] in b"{[":
            yield b"\n".join(base64.b64decode(coded + b"===") for coded in _BASE64.findall(content))
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile):
        return  # it only looked like one; its bytes were searched


def _pdf(content: bytes) -> bytes:
    """Return the text that a PDF shows, a line for each text object, in the characters its fonts say they stand for."""
    objects: dict[bytes, bytes] = dict(_OBJECT.findall(content))
    meanings = {
        number: _meanings(objects.get(to[1], b"")) for number, body in objects.items() if (to := _TO.search(body))
    }
    fonts: dict[bytes, list[dict[bytes, str]]] = {}
    # A name may be of different fonts on different pages: read as the wrong one, a text is nobody's name.
    for name, number in set(_RESOURCE.findall(content)):
        if number in meanings:
            fonts.setdefault(name, []).append(meanings[number])
    lines: list[str] = []
    for stream in _STREAM.findall(content):
        drawn = _DRAWN.findall(_unpacked(stream) or b"")
        most = max((len(fonts.get(name, ())) for name, *_ in drawn if name), default=1)
        for place in range(max(1, most)):
            lines += _lines(drawn, fonts, place)
    # What is written from right to left is drawn from left to right.
    lines += [line[::-1] for line in lines if not line.isascii()]
    return "\n".join(lines).encode(errors="replace")


def _unpacked(stream: bytes) -> bytes | None:
    written = stream.rstrip()
    try:
        # What is compressed may itself end like a line: cut off, the page was not read, one in forty of them.
        packed = base64.a85decode(written[:-2]) if written.endswith(b"~>") else stream
        return zlib.decompressobj().decompress(packed)
    except (ValueError, zlib.error):
        return None


def _meanings(body: bytes) -> dict[bytes, str]:
    """Return what a font's codes stand for (ISO 32000-1, 9.10.3), of single codes alone: so does our writer say it."""
    found = _STREAM.search(body)
    table = _unpacked(found[1]) if found else None
    pairs = (
        (bytes.fromhex(code.decode()), bytes.fromhex(text.decode())) for code, text in _MEANING.findall(table or b"")
    )
    return {code: text.decode("utf-16-be", errors="replace") for code, text in pairs if len(text) % 2 == 0}


def _lines(
    drawn: list[tuple[bytes, bytes, bytes, bytes]], fonts: dict[bytes, list[dict[bytes, str]]], place: int
) -> Iterator[str]:
    """Yield the text of each text object, each font's name taken for the one at `place` of those that bear it."""
    meaning: dict[bytes, str] = {}
    width = 1
    text: list[str] = []
    for name, plain, array, end in drawn:
        if end:
            yield "".join(text)
            text = []
        elif name:
            known = fonts.get(name, [{}])
            meaning = known[min(place, len(known) - 1)]
            width = max(map(len, meaning), default=1)
        else:
            codes = _ESCAPE.sub(_unescaped, plain)
            codes += b"".join(bytes.fromhex(one.decode()) for one in _HEX.findall(array))
            steps = (codes[at : at + width] for at in range(0, len(codes), width))
            text += [meaning.get(code, code.decode("latin-1")) for code in steps]
    yield "".join(text)


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8) & 0xFF]) if found[1].isdigit() else found[1]


def _parquet(path: Path) -> Iterator[bytes]:
    import pyarrow.parquet as pq  # noqa: PLC0415 — 0.3 s that most searches need not pay

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(10_000):
            yield "\n".join(map(_plain, batch.to_pylist())).encode(errors="replace")


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return "\n".join(map(_plain, value.values()))
    return "\n".join(map(_plain, value)) if isinstance(value, list) else str(value)
