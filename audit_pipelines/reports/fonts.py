"""The fonts of a report and how text becomes what they can print.

Fira Sans Condensed and IBM Plex Mono come as Python packages (both SIL Open Font License), are embedded in every
document and cover Latin, Greek, Cyrillic and common symbols. What they lack is printed as its code point, `[U+4E2D]`,
and so are invisible and direction-changing characters: no reader is shown other text than is there.
"""

import re
import struct
import unicodedata
from functools import lru_cache
from importlib import resources
from io import BytesIO
from typing import Any, Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from audit_pipelines.errors import ConfigurationError

BODY: Final = "FiraSansCondensed-Regular"
BOLD: Final = "FiraSansCondensed-Bold"
MONO: Final = "IBMPlexMono-Regular"

_PACKAGES: Final = {
    BODY: "fontpkg_fira_sans_condensed",
    BOLD: "fontpkg_fira_sans_condensed",
    MONO: "fontpkg_ibm_plex_mono",
}
# Format (bidi overrides too), control, surrogate, private use, unassigned, line and paragraph separators.
_HIDDEN: Final = frozenset({"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_FIGURES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_STANDARD_GLYPHS: Final = 258


@lru_cache(maxsize=1)
def register() -> None:
    """Make the fonts known to ReportLab, once per process (parsing them takes about 0.1 s).

    Raises `ConfigurationError` when a font's package is not installed.
    """
    for name, package in _PACKAGES.items():
        font: Any = TTFont(name, BytesIO(_read(package, f"{name}.ttf")))
        _use_even_figures(font.face)
        pdfmetrics.registerFont(font)


def width(text: str, font: str, size: float) -> float:
    """Return the width of printable text in points."""
    widths, missing = _widths(font)
    return sum([widths.get(ord(character), missing) for character in text]) * size / 1000


def printable(text: str, font: str = BODY) -> str:
    """Return text in which every character is one that `font` draws, in logical order.

    Line breaks and tabs become spaces; runs of characters that the font lacks or that a reader could not see become
    `[U+XXXX …]`. So do letters of scripts that run from right to left, which would need reordering and joining, and
    characters beyond U+FFFF: ReportLab 5 maps them back to wrong ones, so that copying or searching the page would
    find other text than it shows.
    """
    if text.isascii() and text.isprintable():
        return text
    widths, _ = _widths(font)
    parts: list[str] = []
    escaped: list[str] = []
    for character in unicodedata.normalize("NFC", re.sub(r"\r\n|[\t\n\r]", " ", text)):
        if ord(character) in widths and _is_plain(character):
            if escaped:
                parts.append(f"[{' '.join(escaped)}]")
                escaped.clear()
            parts.append(character)
        else:
            escaped.append(f"U+{ord(character):04X}")
    if escaped:
        parts.append(f"[{' '.join(escaped)}]")
    return "".join(parts)


def _is_plain(character: str) -> bool:
    return (
        character <= "\uffff"
        and unicodedata.category(character) not in _HIDDEN
        and unicodedata.bidirectional(character) not in {"R", "AL", "AN"}
    )


@lru_cache(maxsize=8)
def _widths(font: str) -> tuple[dict[int, float], float]:
    register()
    face: Any = pdfmetrics.getFont(font).face
    return face.charWidths, face.defaultWidth


def _read(package: str, file: str) -> bytes:
    try:
        return (resources.files(package) / "files" / file).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigurationError(
            f"Expected the font {file} in the package {package}, got: {error}. Run `make setup` to install it."
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
