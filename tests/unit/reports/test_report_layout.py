"""Wrapping, shortening and the text that the embedded fonts can print."""

import unicodedata
from io import BytesIO

import pytest
from report_samples import make_report

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.reports import fonts, layout
from audit_pipelines.reports.canvas import TextCanvas
from audit_pipelines.reports.layout import (
    BOTTOM,
    CELL,
    CODE,
    CONTENT,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SEVERITY_COLOURS,
    TOP,
    Sheet,
    shorten,
    wrap,
    wrap_code,
)
from audit_pipelines.reports.shaping import Source

LONG = [
    "iam:AttachRolePolicyToFederatedServicePrincipalWithTemporaryElevation",
    "x" * 2000,
    "words and " * 300,
    "e\u0301" * 300,
    "مستخدم " * 40,
    "用户登录" * 60,
    "/a/path/with-dashes_and.dots/" * 20,
]


def measure(line: str, style=CELL) -> float:
    return fonts.width(line, style.font, style.size)


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("width", [12, 60, 300])
def test_no_wrapped_line_is_too_wide_and_no_character_is_lost(text, width):
    lines = wrap(text, CELL, width)
    assert all(measure(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == fonts.printable(text).replace(" ", "")


@pytest.mark.parametrize("text", LONG)
def test_max_lines_holds_and_says_that_something_is_missing(text):
    lines = wrap(text, CELL, 120, max_lines=2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert all(measure(line) <= 120 for line in lines)


def test_short_text_keeps_its_line_and_empty_text_has_one():
    assert wrap("user.login", CELL, 200, max_lines=1) == ["user.login"]
    assert wrap("", CELL, 200) == [""]


def test_words_break_at_spaces_then_after_punctuation():
    assert wrap("one two", CELL, measure("one two") - 1) == ["one", "two"]
    assert wrap("aaaa/bbbb", CELL, measure("aaaa/bb")) == ["aaaa/", "bbbb"]


def test_a_width_that_fits_nothing_still_ends():
    assert wrap("abc", CELL, 0.1) == ["a", "b", "c"]


def test_combining_marks_stay_with_their_letter():
    assert not any(line.startswith("\u0301") for line in wrap("x\u0301" * 100, CELL, 31))


def test_code_keeps_its_spaces():
    assert wrap_code("a  b", CODE, 200) == ["a  b"]
    assert "".join(wrap_code("0123456789 " * 40, CODE, 100)) == "0123456789 " * 40


@pytest.mark.parametrize("text", [text for text in LONG if " " not in text])
def test_shortening_keeps_both_ends(text):
    line = shorten(text, CELL, 90)
    assert measure(line) <= 90
    assert "…" in line
    head, tail = line.split("…")
    assert fonts.printable(text).startswith(head)
    assert fonts.printable(text).endswith(tail)
    assert abs(len(head) - len(tail)) <= 2
    assert shorten("user.login", CELL, 90) == "user.login"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Zürich – Łódź – Ωμέγα – вход ‖", "Zürich – Łódź – Ωμέγα – вход ‖"),
        ("e\u0301", "\u00e9"),
        ("مستخدم \u05d0\u05d1 (1)", "مستخدم \u05d0\u05d1 (1)"),
        ("中文 日本語 한국어 ไทย हिन्दी ✓", "中文 日本語 한국어 ไทย हिन्दी ✓"),
        ("\u12a0\u121b ok", "[U+12A0 U+121B] ok"),
        ("blank\u3164\u2800\u115f\ufe0f", "blank[U+3164 U+2800 U+115F U+FE0F]"),
        ("e" + "\u0323" * 6, "\u1eb9" + "\u0323" * 4 + "[U+0323]"),
        ("a👩‍🚀b", "a[U+1F469 U+200D U+1F680]b"),
        ("txt\u202egnp.exe", "txt[U+202E]gnp.exe"),
        ("bell\x07 nul\x00", "bell[U+0007] nul[U+0000]"),
        ("\ud800", "[U+D800]"),
        ("line\r\nbreak\ttab", "line break tab"),
        ("\ue000", "[U+E000]"),
    ],
)
def test_what_the_font_lacks_or_hides_is_shown_as_code_points(text, printed):
    assert fonts.printable(text) == printed
    assert fonts.printable(printed) == printed


@pytest.mark.parametrize("font", [fonts.BODY, fonts.MONO])
def test_no_font_lets_an_invisible_or_turning_character_through(font):
    tried = map(chr, (*range(0x20000), *range(0xE0000, 0xE0200)))
    shown = {character for character in tried if fonts.printable(character, font) == character}
    assert {unicodedata.category(character) for character in shown}.isdisjoint(
        {"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    assert shown.isdisjoint("\u034f\u115f\u1160\u17b4\u2800\u3164\ufe0f\uffa0\U000e0100")
    assert set("Aßžłñ…–€אم中あ한ไह") < shown
    sample = sorted(shown)[::23]
    assert all(fonts.width(character, font, 10) > 0 or unicodedata.category(character) == "Mn" for character in sample)


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "colour",
    [layout.INK, layout.MUTED, layout.ACCENT, layout.GOOD, layout.BAD, layout.NEUTRAL, *SEVERITY_COLOURS.values()],
)
def test_text_stands_out_from_its_ground(colour):
    # Dark text on white, and white text on the grounds of chips (WCAG 2, 1.4.3).
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


@pytest.mark.parametrize("font", [fonts.BODY, fonts.BOLD, fonts.MONO])
def test_figures_are_all_of_one_width(font):
    assert len({fonts.width(figure, font, 10) for figure in "0123456789"}) == 1


def test_everything_the_report_says_itself_is_in_the_font():
    report = make_report()
    said = [*report.summary.sentences, *report.integrity.steps]
    assert [fonts.printable(text) for text in said] == said


@pytest.mark.parametrize(
    ("path", "package"),
    [("files/No-Such-Font.ttf", "fontpkg_fira_sans_condensed"), ("files/Any.ttf", "fontpkg_no_such_package")],
)
def test_a_missing_font_says_how_to_install_it(monkeypatch, path, package):
    monkeypatch.setitem(fonts.STACKS, fonts.BODY, (Source(package, path),))
    with pytest.raises(ConfigurationError, match=rf"{path} in the package {package}, .* `make setup`"):
        fonts.register.__wrapped__()


def test_a_word_does_not_stand_alone_on_the_last_line():
    sheet = Sheet(TextCanvas(BytesIO(), (PAGE_WIDTH, PAGE_HEIGHT)), lambda _: None)
    drawn = []
    sheet.line = lambda x, y, line, style, align="left": drawn.append(line)
    sheet.paragraph("word " * 20 + "end", CELL, indent=CONTENT - measure("word " * 20) - 0.1)
    assert drawn == [" ".join(["word"] * 18), "word word end"]


def test_a_short_paragraph_is_not_split_between_pages():
    sheet = Sheet(TextCanvas(BytesIO(), (PAGE_WIDTH, PAGE_HEIGHT)), lambda _: None)
    sheet.skip(TOP - BOTTOM - 2 * CELL.leading)
    pages = []
    sheet.line = lambda x, y, line, style, align="left": pages.append(sheet.canvas.getPageNumber())
    sheet.paragraph("word " * 60, CELL)
    assert pages == [2, 2, 2]
