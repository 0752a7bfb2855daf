"""Which font draws which character, and text as glyphs in their places, by HarfBuzz.

Each of the documents' fonts has others behind it for the scripts that it lacks; the first that draws a character does,
whatever stands beside it, so that the width of a line is the sum of its words'. A font whose package is not installed
is passed over: what only it draws is then printed as code points. No PDF is known here.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from itertools import groupby
from typing import Any, Final

import uharfbuzz as hb

from audit_pipelines.reports import bidi

BODY: Final = "FiraSansCondensed-Regular"
BOLD: Final = "FiraSansCondensed-Bold"
MONO: Final = "IBMPlexMono-Regular"


@dataclass(frozen=True, slots=True)
class Source:
    """A font file inside an installed package."""

    package: str
    path: str
    weight: int | None = None
    """Where in a variable font's range; None for a font of one weight."""

    def read(self) -> bytes:
        """Return the file; raises `ModuleNotFoundError` or `FileNotFoundError` where it is not installed."""
        return (resources.files(self.package) / self.path).read_bytes()


def _behind(weight: int, arabic: str) -> tuple[Source, ...]:
    return (
        Source("fontpkg_heebo", "files/Heebo[wght].ttf", weight),
        Source("fontpkg_ibm_plex_sans_arabic", f"files/IBMPlexSansArabic-{arabic}.ttf"),
        Source("fontpkg_noto_sans_thai", "files/NotoSansThai[wdth,wght].ttf", weight),
        Source("fontpkg_noto_sans_devanagari", "files/NotoSansDevanagari[wdth,wght].ttf", weight),
        Source("paperang_p2_fonts_cjk", "fonts/wqy-microhei.ttc"),
    )


STACKS: Final[dict[str, tuple[Source, ...]]] = {
    BODY: (Source("fontpkg_fira_sans_condensed", f"files/{BODY}.ttf"), *_behind(400, "Regular")),
    BOLD: (Source("fontpkg_fira_sans_condensed", f"files/{BOLD}.ttf"), *_behind(700, "Bold")),
    MONO: (Source("fontpkg_ibm_plex_mono", f"files/{MONO}.ttf"), *_behind(400, "Regular")),
}
"""Of each font of a document, the font itself and those behind it."""

# Without kerning and decorative ligatures, which text that is not shaped has not either.
_FEATURES: Final = {"kern": False, "liga": False, "clig": False, "calt": False}
# A bracket that runs from right to left is drawn mirrored: it copies as what it looks like, as readers of PDF expect.
_MIRRORED: Final = str.maketrans(f"{bidi.OPENING}{bidi.CLOSING}", f"{bidi.CLOSING}{bidi.OPENING}")
_NOT_FOR_DRAWING: Final = (b"GSUB", b"GPOS", b"GDEF", b"STAT", b"name", b"post", b"OS/2", b"meta", b"DSIG")
_FIGURES: Final = re.compile("[0-9]+")
_INKLESS: Final = frozenset({"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
# Default_Ignorable_Code_Point beyond those categories, and the blank of Braille.
_IGNORABLE: Final = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A font file opened for shaping; widths and places are in thousandths of the type size."""

    source: Source
    data: bytes = field(repr=False)
    face: Any
    font: Any

    @property
    def scale(self) -> float:
        """What turns the font's units into thousandths of the type size."""
        return 1000 / int(self.face.upem)

    @property
    def blank(self) -> int:
        """A glyph without ink."""
        return int(self.font.get_nominal_glyph(0x20) or 0)

    def draws(self, character: str) -> bool:
        """Tell whether there is a glyph for a character, with ink unless it is a space, in a place of its own."""
        glyph = self.font.get_nominal_glyph(ord(character))
        if not glyph:
            return False
        category = unicodedata.category(character)
        ink = self.font.get_glyph_extents(glyph)
        has_ink = category == "Zs" or bool(ink and ink.width and ink.height)
        return has_ink and (category in {"Mn", "Me"} or self.font.get_glyph_h_advance(glyph) > 0)


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph of a line, with the character that it stands for, or none."""

    index: int
    text: str
    advance: float
    x: float
    y: float
    width: float
    """What a reader takes for its width: its own, or a blank's share."""


@dataclass(frozen=True, slots=True)
class ShapedRun:
    """Neighbouring glyphs of one font, from left to right."""

    face: Face
    glyphs: tuple[Glyph, ...]


@dataclass(frozen=True, slots=True)
class ShapedLine:
    """A line's runs from left to right, and its width in thousandths of the type size."""

    runs: tuple[ShapedRun, ...]
    width: float


def is_hidden(character: str) -> bool:
    """Tell whether a reader could not see a character: it has no ink of its own, directs others, or is unassigned."""
    return unicodedata.category(character) in _INKLESS or character in _IGNORABLE


@lru_cache(maxsize=65_536)
def face_of(character: str, font: str) -> Face | None:
    """Return the first of a font's stack that draws a character, None for what none draws or no reader sees."""
    if is_hidden(character):
        return None
    return next((face for face in _stack(font) if face.draws(character)), None)


@lru_cache(maxsize=4_096)
def shape(text: str, font: str) -> ShapedLine:
    """Set one line of printable text; its direction is its first letter's, or the mark's at its head."""
    base = bidi.base_level(text)
    if text.startswith((bidi.LEFT_TO_RIGHT, bidi.RIGHT_TO_LEFT)):
        text = text[1:]
    found = bidi.levels(text, base)
    runs: list[tuple[int, ShapedRun]] = []
    start = 0
    faces = _faces(text, font)
    for end in range(1, len(text) + 1):
        if end == len(text) or faces[end] is not faces[start] or found[end] != found[start]:
            runs.append((found[start], _shaped(text[start:end], faces[start], found[start])))
            start = end
    ordered = tuple(bidi.visual(runs))
    return ShapedLine(ordered, sum(glyph.advance for run in ordered for glyph in run.glyphs))


def _faces(text: str, font: str) -> list[Face]:
    """Choose each character's face; a mark goes with its letter where that font has it."""
    first = _stack(font)[0]
    chosen: list[Face] = []
    for character in text:
        face = face_of(character, font) or first
        if chosen and face is not chosen[-1] and unicodedata.category(character).startswith("M"):
            face = chosen[-1] if chosen[-1].font.get_nominal_glyph(ord(character)) else face
        chosen.append(face)
    return chosen


def _shaped(text: str, face: Face, level: int) -> ShapedRun:
    buffer = hb.Buffer()
    buffer.add_str(text)
    buffer.direction = "rtl" if level % 2 else "ltr"
    buffer.guess_segment_properties()
    # Figures of one width, and they alone: the feature would make other signs wider than they are in plain text.
    figures = [(match.start(), match.end(), True) for match in _FIGURES.finditer(text)]
    hb.shape(face.font, buffer, {**_FEATURES, "tnum": figures} if figures else _FEATURES)
    glyphs: list[Glyph] = []
    placed = list(zip(buffer.glyph_infos, buffer.glyph_positions, strict=True))
    starts = sorted({info.cluster for info, _ in placed})
    ends = dict(zip(starts, [*starts[1:], len(text)], strict=True))
    for start, group in groupby(placed, key=lambda one: one[0].cluster):
        glyphs += _cluster(text[start : ends[start]], list(group), face, level)
    return ShapedRun(face, tuple(glyphs))


def _cluster(text: str, placed: Sequence[tuple[Any, Any]], face: Face, level: int) -> list[Glyph]:
    """Return a cluster's glyphs from left to right, each with at most one character.

    Where glyphs and characters are not one to one (ligatures, marks, split vowels), the glyphs carry none and blanks
    laid over them carry one each: readers of PDF turn the characters of one glyph round where they should not, take
    raised marks for lines of their own, and see a space where a glyph without characters is.
    """
    if level % 2:
        text = text.translate(_MIRRORED)[::-1]
    inks = [
        Glyph(
            info.codepoint,
            "",
            position.x_advance * face.scale,
            position.x_offset * face.scale,
            position.y_offset * face.scale,
            face.font.get_glyph_h_advance(info.codepoint) * face.scale,
        )
        for info, position in placed
    ]
    if len(inks) == len(text) == 1:
        return [replace(inks[0], text=text)]
    total = sum(ink.advance for ink in inks)
    inks[-1] = replace(inks[-1], advance=inks[-1].advance - total)
    share = total / len(text)
    return inks + [Glyph(face.blank, character, share, 0.0, 0.0, share) for character in text]


@lru_cache(maxsize=8)
def _stack(font: str) -> tuple[Face, ...]:
    faces = [_opened(source) for source in STACKS[font]]
    return tuple(face for face in faces if face is not None)


@lru_cache(maxsize=32)
def _opened(source: Source) -> Face | None:
    try:
        data = source.read()
    except (ModuleNotFoundError, FileNotFoundError):
        return None
    face = hb.Face(data, 0)
    font = hb.Font(face)
    if source.weight is not None:
        font.set_variations({"wght": source.weight})
    return Face(source, data, face, font)


def subset(face: Face, glyphs: set[int]) -> bytes:
    """Return a TrueType font with these glyphs alone, under their own numbers, and without what shapes text."""
    asked = hb.SubsetInput()
    asked.flags = hb.SubsetFlags.RETAIN_GIDS | hb.SubsetFlags.NO_HINTING
    asked.sets(hb.SubsetInputSets.GLYPH_INDEX).update(glyphs)
    asked.drop_table_tag_set.update(int.from_bytes(table) for table in _NOT_FOR_DRAWING)
    if face.source.weight is not None:
        asked.pin_all_axes_to_default(face.face)
        asked.pin_axis_location(face.face, "wght", face.source.weight)
    small = hb.subset(face.face, asked)
    return bytes(small.blob.data)
