"""The canvas that every document is drawn on: text of any script, the same bytes for the same input, metadata.

ReportLab's own canvas draws what its font has, character by character; text that must be shaped is written here as
glyphs of fonts embedded by glyph number (ISO 32000-1, 9.7: Identity-H), each told which characters it stands for, so
that copying and searching find what is shown. Where things stand on a page is `layout.py`'s.
"""

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from io import BytesIO
from threading import Lock
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab import rl_config
from reportlab.pdfbase import pdfdoc, pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from audit_pipelines.reports import fonts
from audit_pipelines.reports.shaping import Face, Glyph, ShapedLine, shape, subset

LANGUAGE: Final = "en-GB"
# A ReportLab font keeps per-document state in a plain dictionary: one document at a time in a process.
ONE_DOCUMENT: Final = Lock()


class TextCanvas(Canvas):  # type: ignore[misc]  # reportlab has no types
    """A canvas whose strings may hold any printable text (`fonts.printable`)."""

    def __init__(self, buffer: BytesIO, page_size: tuple[float, float]) -> None:
        """Begin a document in `buffer` that names no font but ours."""
        fonts.register()
        # Pages compressed, but not written as ASCII, which would take longer than all else on them.
        rl_config.useA85 = 0
        super().__init__(
            buffer, pagesize=page_size, invariant=1, lang=LANGUAGE, initialFontName=fonts.BODY, pdfVersion=(1, 7)
        )
        self._embedded: dict[Face, _EmbeddedFont] = {}
        self._plain_names: dict[str, str] = {}

    def drawString(self, x: float, y: float, text: str, **_: Any) -> None:  # noqa: N802 -- ReportLab's name
        """Draw one line from `x` to the right, filled."""
        self.write(x, y, text, self._fontname, self._fontsize)

    def drawRightString(self, x: float, y: float, text: str, **_: Any) -> None:  # noqa: N802 -- ReportLab's name
        """Draw one line that ends at `x`."""
        font, size = self._fontname, self._fontsize
        self.write(x - fonts.width(text, font, size), y, text, font, size)

    def write(  # noqa: PLR0917 -- by place for speed: called ten times for each event of an export
        self, x: float, y: float, text: str, font: str, size: float, colour: str = ""
    ) -> None:
        """Draw one line with its left end and baseline at a point, in a colour like `#17212B` or the one that is set.

        Writes operators of its own: ReportLab's `setFillColor` and `drawString` take ten times as long.
        """
        fill = f"{_rgb(colour)} rg " if colour else ""
        if text.isascii():
            shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") if _ESCAPED.search(text) else text
            operators = f"{self._plain_names.get(font) or self._plain_name(font)} {size:g} Tf ({shown}) Tj"
        elif fonts.is_plain(text, font):
            self._plain_name(font)
            known, document = pdfmetrics.getFont(font), self._doc
            operators = " ".join(
                f"{known.getSubsetInternalName(number, document)} {size:g} Tf ({self._escape(part)}) Tj"
                for number, part in known.splitString(text, document)
            )
        else:
            operators = self._shaped(shape(text, font), size)
        self._code.append(f"{fill}BT 1 0 0 1 {x:.2f} {y:.2f} Tm {operators} ET")

    def rule(self, x: float, y: float, end: float, colour: str, thickness: float) -> None:
        """Draw a horizontal line."""
        self._code.append(f"{_rgb(colour)} RG {thickness:g} w {x:.2f} {y:.2f} m {end:.2f} {y:.2f} l S")

    def rounded(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle with corners of 2 points' radius."""
        # Beginning, bends and ends of the sides; a quarter circle's control points are 0.5523 of its radius away.
        west, bent_west, inner_west = (f"{x + part:.2f}" for part in (0, 0.9, 2))
        south, bent_south, inner_south = (f"{y + part:.2f}" for part in (0, 0.9, 2))
        east, bent_east, inner_east = (f"{x + width - part:.2f}" for part in (0, 0.9, 2))
        north, bent_north, inner_north = (f"{y + height - part:.2f}" for part in (0, 0.9, 2))
        self._code.append(
            f"{_rgb(colour)} rg {inner_west} {south} m {inner_east} {south} l "
            f"{bent_east} {south} {east} {bent_south} {east} {inner_south} c {east} {inner_north} l "
            f"{east} {bent_north} {bent_east} {north} {inner_east} {north} c {inner_west} {north} l "
            f"{bent_west} {north} {west} {bent_north} {west} {inner_north} c {west} {inner_south} l "
            f"{west} {bent_south} {bent_west} {south} {inner_west} {south} c f"
        )

    def mark_place(self, name: str, left: float, top: float) -> None:
        """Give a place on this page a name that readers of the file find in its catalog (ISO 32000-1, 12.3.2.3)."""
        document = self._doc
        document.inPage()
        place = pdfdoc.PDFArray([document.thisPageRef(), pdfdoc.PDFName("XYZ"), round(left, 2), round(top, 2), 0])
        document.Catalog.Dests = pdfdoc.PDFDictionary({name: place})

    def describe(self, *, title: str, subject: str, author: str, keywords: list[str], made_at: datetime) -> None:
        """Set the document's metadata, in its information dictionary and as XMP, and its dates to `made_at`.

        `invariant` alone would date every document 2000-01-01, or by SOURCE_DATE_EPOCH where that is set; the
        document's id starts from the date and what identifies the document.
        """
        # Half a surrogate pair can be in a Python string but in no encoding that a PDF knows.
        title, subject = (text.encode(errors="replace").decode() for text in (title, subject))
        self.setTitle(title)
        self.setAuthor(author)
        self.setCreator("audit_pipelines")
        self.setSubject(subject)
        self.setKeywords(keywords)
        self.setViewerPreference("DisplayDocTitle", "true")
        document, moment = self._doc, made_at.astimezone(UTC)
        document.signature = hashlib.md5(f"{subject} {moment}".encode(), usedforsecurity=False)
        stamp = document._timeStamp  # noqa: SLF001 -- ReportLab offers no other way to set it
        stamp.t = moment.timestamp()
        stamp.lt = moment.timetuple()
        stamp.YMDhms = tuple(stamp.lt)[:6]
        metadata = pdfdoc.PDFStream(
            pdfdoc.PDFDictionary({"Type": pdfdoc.PDFName("Metadata"), "Subtype": pdfdoc.PDFName("XML")}),
            _xmp(title, subject, author, ", ".join(keywords), moment).encode(),
            filters=None,
        )
        document.Catalog.Metadata = document.Reference(metadata, "documentMetadata")

    def _plain_name(self, font: str) -> str:
        """Return the name of a font's first subset, which holds all of ASCII under its own codes."""
        known = pdfmetrics.getFont(font)
        known.splitString("a", self._doc)
        name: str = known.getSubsetInternalName(0, self._doc)
        self._plain_names[font] = name
        return name

    def _shaped(self, line: ShapedLine, size: float) -> str:
        parts = []
        for run in line.runs:
            embedded = self._embedded.get(run.face)
            if embedded is None:
                embedded = self._embedded[run.face] = _EmbeddedFont(run.face, self._doc)
            parts.append(f"/{embedded.name} {size:g} Tf {embedded.operators(run.glyphs, size)}")
        return " ".join(parts)


_ESCAPED: Final = re.compile(r"[()\\]")


@lru_cache(maxsize=64)
def _rgb(colour: str) -> str:
    """Return a colour as the operands of PDF's colour operators."""
    return " ".join(f"{int(colour[at : at + 2], 16) / 255:.4g}" for at in (1, 3, 5))


class _EmbeddedFont:
    """A font in one document: a code for each glyph with what it stands for, written out when the document is saved.

    The same glyph for another character gets another code, so that each copies as what it was.
    """

    def __init__(self, face: Face, document: Any) -> None:
        self.face = face
        self.name = f"G{len(document.fontMapping) + 1}"
        self._codes: dict[tuple[int, str, float], int] = {}
        document.fontMapping[f"{face.source.path} {self.name}"] = f"/{self.name}"
        document.delayedFonts.append(self)

    def operators(self, glyphs: tuple[Glyph, ...], size: float) -> str:
        """Return what shows glyphs at the pen and moves it by their advances (ISO 32000-1, 9.4.3)."""
        shown: list[str] = []
        parts: list[str] = []
        rise = 0.0
        for glyph in glyphs:
            if glyph.y != rise:
                if shown:
                    parts.append(f"[{' '.join(shown)}] TJ")
                    shown = []
                rise = glyph.y
                parts.append(f"{rise * size / 1000:.3f} Ts")
            after = glyph.advance - glyph.x - glyph.width
            before = f"{-glyph.x:.2f} " if glyph.x else ""
            behind = f" {-after:.2f}" if abs(after) > 0.005 else ""
            shown.append(f"{before}<{self._code(glyph):04X}>{behind}")
        parts.append(f"[{' '.join(shown)}] TJ")
        if rise:
            parts.append("0 Ts")
        return " ".join(parts)

    def addObjects(self, document: Any) -> None:  # noqa: N802 -- what ReportLab calls when it saves
        """Write the font: descriptor, widths, the glyphs that were used, and their characters."""
        name = pdfdoc.PDFName
        reference = document.Reference
        base = f"{self._tag()}+{self.face.source.path.rpartition('/')[2].partition('.')[0].partition('[')[0]}"
        glyphs = [0, *(glyph for glyph, _, _ in self._codes)]
        scale = self.face.scale
        box = self.face.font.get_font_extents("ltr")
        descriptor = pdfdoc.PDFDictionary(
            {
                "Type": name("FontDescriptor"),
                "FontName": name(base),
                "Flags": 4,
                "FontBBox": pdfdoc.PDFArray([-1000, round(box.descender * scale), 3000, round(box.ascender * scale)]),
                "ItalicAngle": 0,
                "Ascent": round(box.ascender * scale),
                "Descent": round(box.descender * scale),
                "CapHeight": round(box.ascender * scale),
                "StemV": 80,
                "FontFile2": reference(_stream(subset(self.face, set(glyphs)), with_length=True)),
            }
        )
        descendant = pdfdoc.PDFDictionary(
            {
                "Type": name("Font"),
                "Subtype": name("CIDFontType2"),
                "BaseFont": name(base),
                "CIDSystemInfo": pdfdoc.PDFDictionary(
                    {"Registry": pdfdoc.PDFString("Adobe"), "Ordering": pdfdoc.PDFString("Identity"), "Supplement": 0}
                ),
                "FontDescriptor": reference(descriptor),
                "CIDToGIDMap": reference(_stream(b"".join(glyph.to_bytes(2) for glyph in glyphs))),
                "DW": 1000,
                "W": pdfdoc.PDFArray([0, pdfdoc.PDFArray([0, *(width for _, _, width in self._codes)])]),
            }
        )
        font = pdfdoc.PDFDictionary(
            {
                "Type": name("Font"),
                "Subtype": name("Type0"),
                "BaseFont": name(base),
                "Encoding": name("Identity-H"),
                "DescendantFonts": pdfdoc.PDFArray([reference(descendant)]),
                "ToUnicode": reference(_stream(self._characters(base))),
            }
        )
        document.idToObject["BasicFonts"].dict[self.name] = reference(font)

    def _code(self, glyph: Glyph) -> int:
        return self._codes.setdefault((glyph.index, glyph.text, round(glyph.width, 2)), len(self._codes) + 1)

    def _tag(self) -> str:
        digest = hashlib.sha256(repr(list(self._codes)).encode()).digest()
        return "".join(chr(ord("A") + byte % 26) for byte in digest[:6])

    def _characters(self, base: str) -> bytes:
        """Return the map from codes to characters (ISO 32000-1, 9.10.3), in blocks of the 100 that are allowed."""
        lines = [f"<{code:04X}> <{text.encode('utf-16-be').hex()}>" for (_, text, _), code in self._codes.items()]
        blocks = [
            f"{len(lines[at : at + 100])} beginbfchar\n{chr(10).join(lines[at : at + 100])}\nendbfchar"
            for at in range(0, len(lines), 100)
        ]
        return _CHARACTER_MAP.format(name=base, blocks="\n".join(blocks)).encode()


_CHARACTER_MAP: Final = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /{name} def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
{blocks}
endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


def _stream(content: bytes, *, with_length: bool = False) -> Any:
    stream = pdfdoc.PDFStream(content=content, filters=[pdfdoc.PDFZCompress])
    if with_length:
        stream.dictionary.dict["Length1"] = len(content)
    return stream


def _xmp(title: str, subject: str, author: str, keywords: str, moment: datetime) -> str:
    """Return the metadata as XMP (ISO 16684-1), which indexers and archives read rather than the older dictionary."""
    title, subject, author, keywords = map(escape, (title, subject, author, keywords))
    when = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{subject}</rdf:li></rdf:Alt></dc:description>
<dc:creator><rdf:Seq><rdf:li>{author}</rdf:li></rdf:Seq></dc:creator>
<dc:language><rdf:Bag><rdf:li>{LANGUAGE}</rdf:li></rdf:Bag></dc:language>
<xmp:CreateDate>{when}</xmp:CreateDate><xmp:ModifyDate>{when}</xmp:ModifyDate>
<xmp:CreatorTool>audit_pipelines</xmp:CreatorTool><pdf:Keywords>{keywords}</pdf:Keywords>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
