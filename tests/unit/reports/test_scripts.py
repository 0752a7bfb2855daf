"""Text of any script: its order, its glyphs, its widths, and that it is found again in the file."""

import random
import unicodedata
from pathlib import Path

import pytest
from bidi import get_display
from pdf_tools import drawn, extracted, poppler

from audit_pipelines.reports import bidi, fonts, shaping
from audit_pipelines.reports.layout import CELL, CODE, wrap
from audit_pipelines.reports.shaping import Source, shape

TEXTS = {
    "Hebrew": "המשתמש ניסה להיכנס ונכשל",
    "pointed Hebrew": "שָׁלוֹם עֲלֵיכֶם",
    "Arabic": "المستخدم لا يملك صلاحية الإلغاء",
    "vowelled Arabic": "مُسْتَخْدِم",
    "Persian": "کاربر گزارش پرونده را پاک کرد",
    "Chinese": "用户登录失败，权限被拒绝。",
    "traditional Chinese": "使用者登錄失敗",
    "Japanese": "ユーザーがログインに失敗しました",
    "Korean": "사용자가 로그인에 실패했습니다",
    "Thai": "ผู้ใช้เข้าสู่ระบบไม่สำเร็จ",
    "Hindi": "उपयोगकर्ता लॉगिन विफल",
    "Greek and Cyrillic": "αποτυχία σύνδεσης отказ",
    "Vietnamese": "đăng nhập thất bại",
    "symbols": "done ✓ then → rule ①",
}


def test_order_is_what_another_implementation_says():
    chance = random.Random(20260724)
    letters = "abאבגدمع 12٣-+.,:/()[]{}!$%\u05b0\u064e"
    upright = str.maketrans(")]}", "([{")
    for _ in range(4_000):
        text = "".join(chance.choices(letters, k=chance.randint(1, 14)))
        for base, direction in ((0, "L"), (1, "R")):
            found = bidi.levels(text, base)
            ours = "".join(bidi.visual(list(zip(found, text, strict=True))))
            # Which way a bracket points is the glyph's to say.
            assert ours.translate(upright) == get_display(text, base_dir=direction).translate(upright), text


@pytest.mark.parametrize(
    ("text", "base"), [("", 0), ("abc", 0), ("12 -", 0), ("12 אב abc", 1), ("abc אב", 0), ("(مس", 1)]
)
def test_the_first_letter_decides_the_direction(text, base):
    assert bidi.base_level(text) == base


def test_arabic_letters_join():
    isolated = [shape(letter, fonts.BODY).runs[0].glyphs[0].index for letter in "ملك"]
    [run] = shape("ملك", fonts.BODY).runs
    # From left to right: the last letter comes first.
    assert [glyph.text for glyph in run.glyphs] == ["ك", "ل", "م"]
    assert all(glyph.index not in isolated for glyph in run.glyphs)


def test_a_ligature_carries_each_of_its_letters():
    [run] = shape("لا", fonts.BODY).runs
    assert [glyph.text for glyph in run.glyphs] == ["", "ا", "ل"]
    assert sum(glyph.advance for glyph in run.glyphs) == pytest.approx(run.glyphs[0].width)


def test_each_run_has_the_font_that_draws_it():
    packages = [run.face.source.package for run in shape("ab 用户 שלום", fonts.BODY).runs]
    assert packages == [
        "fontpkg_fira_sans_condensed",
        "paperang_p2_fonts_cjk",
        "fontpkg_fira_sans_condensed",
        "fontpkg_heebo",
    ]


def test_brackets_are_mirrored_and_copy_as_they_look():
    line = shape("שלום (דנה)", fonts.BODY)
    shown = "".join(glyph.text for run in line.runs for glyph in run.glyphs)
    assert shown == "(הנד) םולש"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("font", [fonts.BODY, fonts.BOLD, fonts.MONO])
def test_a_line_is_as_wide_as_its_words(text, font):
    words = [fonts.width(word, font, 10) for word in text.split()]
    spaces = fonts.width(" ", font, 10) * (len(words) - 1)
    assert fonts.width(text, font, 10) == pytest.approx(sum(words) + spaces)


@pytest.mark.parametrize("font", [fonts.BODY, fonts.BOLD, fonts.MONO])
def test_plain_text_is_as_wide_when_it_stands_among_other(font):
    plain = [chr(code) for code in range(0x2500) if fonts.is_plain(chr(code), font) and chr(code).isprintable()]
    assert len(plain) > 700
    for character in plain:
        assert fonts.width(character, font, 1000) == pytest.approx(shape(character, font).width, abs=0.5), character


def test_plain_text_is_never_shaped(monkeypatch):
    monkeypatch.setattr(fonts, "shape", lambda *_: pytest.fail("HarfBuzz was asked"))
    for text in ("ASCII (1)", "Zürich – Łódź", "вход Ωμέγα"):
        assert fonts.is_plain(text, fonts.BODY)
        assert fonts.width(text, fonts.BODY, 8) > 0


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_drawn_can_be_printed(text):
    assert fonts.printable(text) == unicodedata.normalize("NFC", text)


@poppler
def test_what_is_drawn_is_found_again(tmp_path: Path):
    lines = [unicodedata.normalize("NFC", text) for text in TEXTS.values()]
    for font in (fonts.BODY, fonts.BOLD, fonts.MONO):
        found = [line.strip() for line in extracted(drawn(lines, tmp_path / "text.pdf", font)).split("\n")]
        assert [line for line in found if line] == lines


def test_chinese_breaks_between_characters_but_not_before_a_full_stop():
    lines = wrap("用户登录。失败", CELL, CELL.size * 4.2)
    assert lines == ["用户登", "录。失败"]
    assert wrap("abc用户", CELL, CELL.size * 2.5) == ["abc用", "户"]


def test_a_broken_paragraph_keeps_its_direction():
    text = "שלום עולם admin שלום"
    lines = wrap(text, CELL, fonts.width("admin שלום", CELL.font, CELL.size) + 1)
    assert lines == ["שלום עולם", f"{bidi.RIGHT_TO_LEFT}admin שלום"]
    assert fonts.width(lines[1], CELL.font, CELL.size) == fonts.width(lines[1][1:], CELL.font, CELL.size)
    assert [run.glyphs[-1].text for run in shape(lines[1], CELL.font).runs] == ["ש", " ", "n"]
    assert wrap("admin שלום", CELL, fonts.width("admin", CELL.font, CELL.size) + 1)[1] == f"{bidi.LEFT_TO_RIGHT}שלום"


@pytest.mark.parametrize("text", [*TEXTS.values(), "دخول" * 300, "用" * 2000, "ก" * 900, "क्षि" * 200])
@pytest.mark.parametrize("style", [CELL, CODE], ids=["body", "code"])
def test_no_line_of_any_script_is_too_wide(text, style):
    measure = fonts.measure(style.font, style.size)
    lines = wrap(text, style, 60)
    assert all(measure(line) <= 60.01 for line in lines)
    kept = "".join(lines).translate({ord(bidi.LEFT_TO_RIGHT): None, ord(bidi.RIGHT_TO_LEFT): None})
    assert kept.replace(" ", "") == fonts.printable(text, style.font).replace(" ", "")


def test_without_a_fonts_package_its_script_is_printed_as_code_points(monkeypatch):
    first, *others = shaping.STACKS[fonts.BODY]
    absent = [Source("fontpkg_not_installed", source.path) for source in others]
    monkeypatch.setitem(shaping.STACKS, fonts.BODY, (first, *absent))
    caches = (shaping._stack, shaping.face_of, shaping.shape)
    for cache in caches:
        cache.cache_clear()
    try:
        assert fonts.printable("ok 用户") == "ok [U+7528 U+6237]"
        assert fonts.printable("שלום") == "[U+05E9 U+05DC U+05D5 U+05DD]"
    finally:
        for cache in caches:
            cache.cache_clear()
