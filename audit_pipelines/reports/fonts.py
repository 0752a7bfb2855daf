"""The fonts of a report, and how text becomes what they can print.

Fira Sans Condensed and IBM Plex Mono are embedded in every document and cover Latin, Greek and Cyrillic; behind them
stand fonts for other scripts (`shaping.py`), all from Python packages under free licences. What none draws is printed
as its code point, `[U+1F680]`, and so are invisible and direction-changing characters: no reader is shown other text
than is there. Text that the first font draws alone never meets HarfBuzz, which would cost ten times as much.
"""

import re
import struct
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.reports.shaping import BODY, BOLD, MONO, STACKS, Source, face_of, is_hidden, shape

__all__ = ["BODY", "BOLD", "MONO", "is_plain", "measure", "printable", "register", "width"]

_FIGURES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_STANDARD_GLYPHS: Final = 258
# More marks over one letter than any script has would run into the lines above.
_MOST_MARKS: Final = 4


@lru_cache(maxsize=1)
def register() -> None:
    """Make the fonts known to ReportLab, once per process (parsing them takes about 0.1 s).

    Raises `ConfigurationError` when the package of one that every document needs is not installed.
    """
    for name, (source, *_) in STACKS.items():
        font: Any = TTFont(name, BytesIO(_read(source)))
        _use_even_figures(font.face)
        pdfmetrics.registerFont(font)


def width(text: str, font: str, size: float) -> float:
    """Return the width of printable text in points."""
    return measure(font, size)(text)


@lru_cache(maxsize=64)
def measure(font: str, size: float) -> Callable[[str], float]:
    """Return what gives the width of printable text in points; of plain text it is the sum of its characters'."""
    ascii_widths, widths, missing = _widths(font)
    plain, scale, width_of = _plain(font), size / 1000, ascii_widths.__getitem__

    def measured(text: str) -> float:
        if text.isascii():
            return sum(map(width_of, text.encode())) * scale
        if plain.issuperset(text):
            return sum([widths.get(ord(character), missing) for character in text]) * scale
        return shape(text, font).width * scale

    return measured


def is_plain(text: str, font: str) -> bool:
    """Tell whether the font itself draws text character by character, from left to right."""
    return text.isascii() or _plain(font).issuperset(text)


def printable(text: str, font: str = BODY) -> str:
    """Return text in which every character is one that `font` or a font behind it draws, in logical order.

    Line breaks and tabs become spaces; runs of characters that no font draws or that a reader could not see become
    `[U+XXXX …]`, and so do marks beyond the fourth over one letter.
    """
    if text.isascii() and text.isprintable():
        return text
    plain = _plain(font)
    parts: list[str] = []
    escaped: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", re.sub(r"\r\n|[\t\n\r]", " ", text)):
        shown = character in plain
        if shown:
            marks = 0
        else:
            marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
            shown = marks <= _MOST_MARKS and face_of(character, font) is not None
        if shown:
            if escaped:
                parts.append(f"[{' '.join(escaped)}]")
                escaped.clear()
            parts.append(character)
        else:
            escaped.append(f"U+{ord(character):04X}")
    if escaped:
        parts.append(f"[{' '.join(escaped)}]")
    return "".join(parts)


@lru_cache(maxsize=8)
def _plain(font: str) -> frozenset[str]:
    """Return the characters that need no shaping: ReportLab 5 maps those beyond U+FFFF to wrong ones."""
    _, widths, _ = _widths(font)
    return frozenset(character for character in map(chr, widths) if _needs_no_shaping(character))


def _needs_no_shaping(character: str) -> bool:
    return (
        character <= "\uffff"
        # ReportLab draws the one as a plain space, HarfBuzz the other narrower: a width must not depend on the line.
        and character not in "\xa0\u0268"
        and not is_hidden(character)
        and not unicodedata.category(character).startswith("M")
        and unicodedata.bidirectional(character) not in {"R", "AL", "AN"}
    )


@lru_cache(maxsize=8)
def _widths(font: str) -> tuple[tuple[float, ...], dict[int, float], float]:
    """Return the widths of ASCII by code, of all characters, and of what is missing, in thousandths of the size."""
    register()
    face: Any = pdfmetrics.getFont(font).face
    widths, missing = face.charWidths, face.defaultWidth
    return tuple(widths.get(code, missing) for code in range(128)), widths, missing


def _read(source: Source) -> bytes:
    try:
        return source.read()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigurationError(
            f"Expected the font {source.path} in the package {source.package}, got: {error}. "
            "Run `make setup` to install it."
        ) from error


def _use_even_figures(face: Any) -> None:
    """Draw figures that are all of one width, so that columns of numbers align.

    Fira's plain figures are not, and ReportLab knows no OpenType features: the even ones are found by their glyph
    names (`zero.tf`) in the `post` table, format 2. A font without them, as any monospaced one, stays as it is.
    """
    glyphs = _glyph_names(face.get_table("post"))
    for figure, name in zip("0123456789", _FIGURES, strict=True):
        if (glyph := glyphs.get(f"{name}.tf")) is not None:
            face.charToGlyph[ord(figure)] = glyph
            face.charWidths[ord(figure)] = face.hmetrics[glyph][0] * 1000 / face.unitsPerEm


def _glyph_names(post: bytes) -> dict[str, int]:
    """Return the glyphs that a `post` table of format 2 names itself, by name."""
    if post[:4] != b"\0\2\0\0":
        return {}
    (count,) = struct.unpack_from(">H", post, 32)
    places = struct.unpack_from(f">{count}H", post, 34)
    names: list[str] = []
    at = 34 + 2 * count
    while at < len(post):
        names.append(post[at + 1 : at + 1 + post[at]].decode("ascii"))
        at += 1 + post[at]
    return {names[place - _STANDARD_GLYPHS]: glyph for glyph, place in enumerate(places) if place >= _STANDARD_GLYPHS}
