"""The page: grid, palette, type sizes, and the few blocks every report is set from.

A `Sheet` lays blocks from top to bottom on a ReportLab canvas and turns the page when one does not fit. Column widths
are fixed and strings are wrapped here: ReportLab's own paragraph cells cost ten times as much. What a report says and
in which order is in `pdf.py`.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from reportlab.graphics import renderPDF
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4

from audit_pipelines.reports import bidi, fonts
from audit_pipelines.reports.canvas import TextCanvas

PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN: Final = 48.0
TOP: Final = PAGE_HEIGHT - 66
BOTTOM: Final = 62.0
CONTENT: Final = PAGE_WIDTH - 2 * MARGIN
GUTTER: Final = 8.0
"""Part of a column's width that stays empty, at its right."""

INK: Final = "#17212B"
MUTED: Final = "#5C6976"
HAIRLINE: Final = "#D8DEE4"
PANEL: Final = "#F4F6F8"
ACCENT: Final = "#1F4E79"
ACCENT_SOFT: Final = "#9DBBD6"
GOOD: Final = "#2F6B4F"
BAD: Final = "#9B1C31"
NEUTRAL: Final = "#6B7785"
SEVERITY_COLOURS: Final[dict[str, str]] = {
    "critical": "#8A1538",
    "high": "#C04A1A",
    "medium": "#A67C00",
    "low": "#4C7A67",
}

Align = Literal["left", "right"]


_HEAD_HEIGHT: Final = 14.0
_PAGE_TOTAL: Final = "page-total"


@dataclass(frozen=True, slots=True)
class Style:
    """A font with its size, line distance and colour."""

    font: str = fonts.BODY
    size: float = 8.0
    leading: float = 10.8
    colour: str = INK


TEXT: Final = Style(size=9.2, leading=13.4)
CELL: Final = Style()
CELL_BOLD: Final = Style(font=fonts.BOLD)
CELL_MUTED: Final = Style(colour=MUTED)
SMALL: Final = Style(size=7.1, leading=9.4, colour=MUTED)
HEAD: Final = Style(font=fonts.BOLD, size=6.9, leading=9, colour=MUTED)
CODE: Final = Style(font=fonts.MONO, size=6.5, leading=8.8)
_CHIP: Final = Style(font=fonts.BOLD, size=6.8, colour="#FFFFFF")
SECTION: Final = Style(font=fonts.BOLD, size=13.5, leading=18)
SUBSECTION: Final = Style(font=fonts.BOLD, size=9.4, leading=13)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a cell; wrapped to the column, or kept on one line with its middle left out.

    A bulleted piece hangs beside its dot.
    """

    text: str
    style: Style = CELL
    wrap: bool = True
    max_lines: int = 6
    bullet: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """A word on a coloured ground; the word carries the meaning where colours do not print."""

    text: str
    colour: str


Cell = str | Chip | Sequence[Text]


@dataclass(frozen=True, slots=True)
class Column:
    """A table column of fixed width in points; plain strings are kept on one line."""

    title: str
    width: float
    align: Align = "left"
    style: Style = CELL


@dataclass(frozen=True, slots=True)
class _Set:
    """A cell ready to be drawn: lines with their styles, or a chip."""

    lines: tuple[tuple[str, Style, float], ...] = ()
    """Text, style and indent."""
    chip: Chip | None = None

    @property
    def height(self) -> float:
        return 11.0 if self.chip else sum(style.leading for _, style, _ in self.lines)


_colour = lru_cache(maxsize=64)(HexColor)


def wrap(text: str, style: Style, width: float, max_lines: int | None = None) -> list[str]:
    """Break text into lines no wider than `width` points, at spaces, else after punctuation, else anywhere.

    Chinese and Japanese break between any two characters, save before closing and behind opening punctuation. What no
    font draws is replaced first (`fonts.printable`). Combining marks stay with their letter. Lines of a paragraph that
    runs the other way than they would by themselves begin with a mark that says so and is not drawn. With `max_lines`
    the last line ends in an ellipsis when something was left out. Empty text gives one empty line.
    """
    measure = fonts.measure(style.font, style.size)
    printed = fonts.printable(text, style.font)
    if measure(printed) <= width and "  " not in printed and printed == printed.strip():
        return [printed]
    plain = fonts.is_plain(printed, style.font)
    lines: list[str] = []
    line, used, space = "", 0.0, measure(" ")
    for word in printed.split():
        for place, part in enumerate([word] if plain else _breakable(word)):
            length = measure(part)
            gap, glue = (0.0, "") if place else (space, " ")
            if line and used + gap + length <= width:
                line, used = f"{line}{glue}{part}", used + gap + length
                continue
            if line:
                lines.append(line)
            *full, line = _chunks(part, measure, width, plain=plain)
            used = measure(line)
            lines.extend(full)
        if max_lines is not None and len(lines) > max_lines:
            break
    lines.append(line)
    if max_lines is not None and len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and measure(last + " …") > width:
            last = last[:-1].rstrip()
        lines = [*lines[: max_lines - 1], last + " …"]
    return lines if plain else _directed(lines, bidi.base_level(printed))


@lru_cache(maxsize=8_192)
def shorten(text: str, style: Style, width: float) -> str:
    """Return text on one line no wider than `width` points, its middle replaced by an ellipsis when it is too long.

    Types and identifiers differ at their ends, so both ends stay.
    """
    measure = fonts.measure(style.font, style.size)
    line = fonts.printable(text, style.font)
    if measure(line) <= width:
        return line
    fits, too_many = 0, min(len(line), 400)
    while fits + 1 < too_many:
        kept = (fits + too_many) // 2
        if measure(_ends(line, kept)) <= width:
            fits = kept
        else:
            too_many = kept
    return _ends(line, fits)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """What stands around every page: title and owner above all pages but the first, number and origin below."""

    title: str
    owner: str
    origin: str

    def __call__(self, canvas: TextCanvas) -> None:
        """Draw it on a page that begins."""
        page = canvas.getPageNumber()
        canvas.setFillColor(_colour(ACCENT))
        canvas.rect(0, PAGE_HEIGHT - 5, PAGE_WIDTH, 5, stroke=0, fill=1)
        canvas.setFont(SMALL.font, SMALL.size)
        canvas.setFillColor(_colour(MUTED))
        canvas.setStrokeColor(_colour(HAIRLINE))
        canvas.setLineWidth(0.5)
        if page > 1:
            head = PAGE_HEIGHT - 34
            canvas.drawString(MARGIN, head, shorten(self.title, SMALL, CONTENT * 0.35))
            canvas.drawRightString(MARGIN + CONTENT, head, shorten(self.owner, SMALL, CONTENT * 0.6))
            canvas.line(MARGIN, head - 7, MARGIN + CONTENT, head - 7)
        foot = BOTTOM - 26
        canvas.line(MARGIN, foot + 12, MARGIN + CONTENT, foot + 12)
        label = f"Page {page} of "
        canvas.drawString(MARGIN, foot, label)
        canvas.saveState()
        canvas.translate(MARGIN + fonts.width(label, SMALL.font, SMALL.size), foot)
        canvas.doForm(_PAGE_TOTAL)
        canvas.restoreState()
        canvas.drawRightString(MARGIN + CONTENT, foot, self.origin)


def define_page_total(canvas: TextCanvas, pages: int) -> None:
    """Draw the number that every foot refers to; it is known only now, and no page has to be set twice for it."""
    canvas.beginForm(_PAGE_TOTAL, lowerx=0, lowery=-4, upperx=60, uppery=12)
    canvas.setFont(SMALL.font, SMALL.size)
    canvas.setFillColor(_colour(MUTED))
    canvas.drawString(0, 0, str(pages))
    canvas.endForm()


class Sheet:
    """A canvas with a cursor: each block draws itself below the last one and turns the page when it must."""

    def __init__(self, canvas: TextCanvas, decorate: Callable[[Any], None]) -> None:
        """Open the first page; `decorate` draws the running head and foot of every page as it begins."""
        self.canvas = canvas
        self.y = TOP
        self._decorate = decorate
        self._bookmarks = 0
        decorate(canvas)

    def turn(self) -> None:
        """End this page and begin the next."""
        self.canvas.showPage()
        self.y = TOP
        self._decorate(self.canvas)

    def need(self, height: float) -> None:
        """Turn the page unless so many points are left on it, or nothing is on it yet."""
        if self.y - height < BOTTOM and self.y < TOP:
            self.turn()

    def skip(self, height: float) -> None:
        """Leave white space."""
        self.y -= height

    def line(self, x: float, y: float, text: str, style: Style, align: Align = "left") -> None:
        """Draw one line of printable text with its baseline at `y`; `x` is its left or its right end."""
        if align == "right":
            x -= fonts.width(text, style.font, style.size)
        self.canvas.write(x, y, text, style.font, style.size, style.colour)

    def rule(self, y: float, colour: str = HAIRLINE, thickness: float = 0.5) -> None:
        """Draw a horizontal line across the grid."""
        self.canvas.rule(MARGIN, y, MARGIN + CONTENT, colour, thickness)

    def chip(self, x: float, baseline: float, chip: Chip, width: float = 44) -> None:
        """Draw a chip around a baseline."""
        self.canvas.rounded(x, baseline - 3.1, width, 10.6, chip.colour)
        text = shorten(chip.text, _CHIP, width - 4)
        self.line(x + (width - fonts.width(text, _CHIP.font, _CHIP.size)) / 2, baseline, text, _CHIP)

    def section(self, title: str, keep: float = 90) -> None:
        """Begin a section: heading, rule, bookmark and outline entry, with `keep` points of company on its page."""
        if self.y < TOP:
            self.skip(22)
        self.need(SECTION.leading + 12 + keep)
        self._bookmark(title, level=0)
        self.y -= SECTION.size
        self.line(MARGIN, self.y, title, SECTION)
        self.rule(self.y - 7, ACCENT, 0.9)
        self.y -= 20

    def subsection(self, title: str, note: str = "", keep: float = 60) -> None:
        """Begin a part of a section, with a note in muted type beside its title."""
        self.skip(6)
        self.need(SUBSECTION.leading + keep)
        self._bookmark(title, level=1)
        self.y -= SUBSECTION.size
        self.line(MARGIN, self.y, title, SUBSECTION)
        if note:
            left = MARGIN + fonts.width(title, SUBSECTION.font, SUBSECTION.size) + 8
            self.line(left, self.y, shorten(note, SMALL, MARGIN + CONTENT - left), SMALL)
        self.y -= 8

    def paragraph(self, text: str, style: Style = TEXT, bullet: str = "", indent: float = 0) -> None:
        """Set wrapped text over the grid's width; `bullet` hangs in the indent, at the first line.

        Up to six lines stay together on a page.
        """
        lines = _without_straggler(text, style, CONTENT - indent)
        self.need(min(len(lines), 6) * style.leading)
        for count, line in enumerate(lines):
            self.need(style.leading)
            self.y -= style.leading
            baseline = self.y + style.leading - style.size
            self.line(MARGIN + indent, baseline, line, style)
            if bullet and count == 0:
                self.line(MARGIN, baseline, bullet, Style(style.font, style.size, style.leading, ACCENT))

    def code(self, text: str) -> None:
        """Set text line by line in monospace on a panel; lines that are too long are continued, never cut."""
        self._panel(5)
        for source in text.split("\n"):
            for line in wrap_code(source, CODE, CONTENT - 20):
                self.need(CODE.leading)
                self._panel(CODE.leading)
                self.line(MARGIN + 10, self.y + 2.6, line, CODE)
        self._panel(5)
        self.skip(6)

    def facts(self, pairs: Iterable[tuple[str, str]], label_width: float = 104, style: Style = CELL) -> None:
        """List label and value pairs, values wrapped beside their labels; up to twelve lines stay together."""
        for label, value in pairs:
            lines = wrap(value, style, CONTENT - label_width)
            self.need(min(len(lines), 12) * style.leading + 3)
            shown = shorten(label, CELL_MUTED, label_width - GUTTER)
            self.line(MARGIN, self.y - max(style.size, CELL_MUTED.size), shown, CELL_MUTED)
            for line in lines:
                self.need(style.leading)
                self.line(MARGIN + label_width, self.y - max(style.size, CELL_MUTED.size), line, style)
                self.y -= style.leading
            self.y -= max(CELL_MUTED.leading - len(lines) * style.leading, 0.0) + 3

    def drawing(self, drawing: Any) -> None:
        """Place a chart at the left edge of the grid."""
        self.need(drawing.height)
        self.y -= drawing.height
        renderPDF.draw(drawing, self.canvas, MARGIN, self.y)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
        """Set a table whose head is repeated on every page; rows are never split, so each must fit on one.

        A cell that is higher than two thirds of a page ends in an ellipsis.
        """
        headed = False
        for row in rows:
            cells = [_set(cell, column) for cell, column in zip(row, columns, strict=True)]
            height = max(cell.height for cell in cells) + 5.6
            if not headed or self.y - height < BOTTOM:
                # Never a head without a row below it.
                self.need(_HEAD_HEIGHT + height)
                self._table_head(columns)
                headed = True
            x = MARGIN
            for cell, column in zip(cells, columns, strict=True):
                self._cell(x, cell, column)
                x += column.width
            self.y -= height
            self.rule(self.y, HAIRLINE, 0.4)
        if not headed:
            self._table_head(columns)
        self.skip(8)

    def _panel(self, height: float) -> None:
        # A little overlap hides the hairline that viewers draw between adjoining rectangles.
        self.canvas.setFillColor(_colour(PANEL))
        self.canvas.rect(MARGIN, self.y - height, CONTENT, height + 0.2, stroke=0, fill=1)
        self.y -= height

    def _table_head(self, columns: Sequence[Column]) -> None:
        self.need(40)
        x = MARGIN
        for column in columns:
            edge = x + column.width - GUTTER if column.align == "right" else x
            self.line(edge, self.y - 9, shorten(column.title, HEAD, column.width), HEAD, column.align)
            x += column.width
        self.y -= _HEAD_HEIGHT
        self.rule(self.y, MUTED, 0.6)

    def _cell(self, x: float, cell: _Set, column: Column) -> None:
        if cell.chip:
            self.chip(x, self.y - 10.8, cell.chip, column.width - GUTTER)
            return
        # Monospace is set smaller; its first line stands on the same baseline as its neighbours'.
        y = self.y - 3.0 - (max(CELL.size - cell.lines[0][1].size, 0.0) if cell.lines else 0.0)
        for text, style, indent in cell.lines:
            edge = x + column.width - GUTTER if column.align == "right" else x + indent
            self.line(edge, y - style.size, text, style, column.align)
            y -= style.leading

    def _bookmark(self, title: str, level: int) -> None:
        self._bookmarks += 1
        key = f"section-{self._bookmarks}"
        self.canvas.bookmarkPage(key, fit="XYZ", left=0, top=self.y + 10)
        self.canvas.addOutlineEntry(title, key, level=level, closed=False)


def wrap_code(text: str, style: Style, width: float) -> list[str]:
    """Break a monospace line by width alone, keeping its spaces."""
    printed = fonts.printable(text, style.font)
    plain = fonts.is_plain(printed, style.font)
    return list(_pieces(printed, fonts.measure(style.font, style.size), width, plain=plain))


_BULLET_INDENT: Final = 7.0
_HIGHEST_CELL: Final = (TOP - BOTTOM) * 2 / 3


def _set(cell: Cell, column: Column) -> _Set:
    room = column.width - GUTTER
    if isinstance(cell, Chip):
        return _Set(chip=cell)
    if isinstance(cell, str):
        return _Set(((shorten(cell, column.style, room), column.style, 0.0),))
    lines = [line for text in cell for line in _lines(text, room)]
    most = math.floor(_HIGHEST_CELL / max((style.leading for _, style, _ in lines), default=1))
    return _Set(tuple(lines if len(lines) <= most else [*lines[: most - 1], ("…", CELL_MUTED, 0.0)]))


def _lines(text: Text, room: float) -> list[tuple[str, Style, float]]:
    if not text.wrap:
        return [(shorten(text.text, text.style, room), text.style, 0.0)]
    if not text.bullet:
        return [(line, text.style, 0.0) for line in wrap(text.text, text.style, room, text.max_lines)]
    lines = wrap(text.text, text.style, room - _BULLET_INDENT, text.max_lines)
    # The dot is a line of no height of its own, at the place of the first.
    dot = ("•", Style(text.style.font, text.style.size, 0.0, ACCENT), 0.0)
    return [dot, *((line, text.style, _BULLET_INDENT) for line in lines)]


def _ends(line: str, kept: int) -> str:
    head = (kept + 1) // 2
    tail = len(line) - kept // 2
    while head and _is_mark(line[head]):
        head -= 1
    while tail < len(line) and _is_mark(line[tail]):
        tail += 1
    return f"{line[:head]}…{line[tail:]}"


def _without_straggler(text: str, style: Style, width: float) -> list[str]:
    """Wrap a little narrower where that keeps a short word from standing alone on the last line."""
    lines = wrap(text, style, width)
    if len(lines) > 1 and fonts.width(lines[-1], style.font, style.size) < width / 8:
        narrower = wrap(text, style, width * 0.93)
        return narrower if len(narrower) == len(lines) else lines
    return lines


def _is_mark(character: str) -> bool:
    return character > "\u02ff" and unicodedata.category(character).startswith("M")


# Scripts without spaces between words, and the full-width forms that stand among them.
_SPACELESS: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff10-\uff9f"
)
_OPENS: Final = "(\\[{（［｛「『【〔〈《"
_ENDS: Final = ")\\]}）］｝」』】〕〉》、。，．：；！？…ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々"
_UNIT: Final = re.compile(f"[{_OPENS}]*(?:[{_SPACELESS}]|[^{_SPACELESS}{_OPENS}{_ENDS}]+)?[{_ENDS}]*")


def _breakable(word: str) -> list[str]:
    """Split a word where a line may end inside it."""
    return [unit for unit in _UNIT.findall(word) if unit]


def _directed(lines: Sequence[str], base: int) -> list[str]:
    mark = bidi.RIGHT_TO_LEFT if base else bidi.LEFT_TO_RIGHT
    return [line if bidi.base_level(line) == base else f"{mark}{line}" for line in lines]


def _chunks(word: str, measure: Callable[[str], float], width: float, *, plain: bool) -> list[str]:
    """Split one word that may be too wide, after punctuation where the line stays at least half full."""
    if measure(word) <= width:
        return [word]
    return list(_pieces(word, measure, width, _break_place, plain=plain))


def _break_place(piece: str) -> int:
    places = [match.end() for match in re.finditer(r"[/.:,;_\-=?&|@#)\]}]", piece)]
    return places[-1] if places and places[-1] >= len(piece) / 2 else len(piece)


def _pieces(
    text: str, measure: Callable[[str], float], width: float, choose: Callable[[str], int] = len, *, plain: bool
) -> Iterator[str]:
    while len(text) > 1 and (fits := _prefix(text, measure, width, plain=plain)) < len(text):
        place = choose(text[:fits])
        while place > 1 and _is_mark(text[place]):
            place -= 1
        yield text[:place]
        text = text[place:]
    yield text


def _prefix(text: str, measure: Callable[[str], float], width: float, *, plain: bool) -> int:
    """Count the characters that fit, at least one, so that no width can stop the text from getting shorter."""
    used = 0.0
    fits = len(text)
    for place, character in enumerate(text):
        used += measure(character)
        if used > width:
            fits = max(place, 1)
            break
    # Letters that join or form syllables are of other widths than each by itself.
    while not plain and fits > 1 and measure(text[:fits]) > width:
        fits -= 1
    return fits
