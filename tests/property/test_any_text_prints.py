"""Whatever text an event holds can be printed, in no more room than there is, and is found again in the file."""

import sys
import unicodedata
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipelines.reports import bidi, fonts
from audit_pipelines.reports.layout import CELL, CODE, shorten, wrap, wrap_code

sys.path.append(str(Path(__file__).parents[1] / "unit" / "reports"))
from pdf_tools import drawn, extracted, poppler

SCRIPTS = st.sampled_from(
    "abcXYZ019 .,:-()[]{}/\\\"'<>אבגםשׁ\u05b8\u05bcابتثلمن\u0651\u064eء٣،؟用户登录，。「」ユーザーカナ사용자ไทยกำ้हिन्दीक्ष"
)
TEXT = st.text(st.one_of(SCRIPTS, st.characters()), max_size=60)
MARKS = {ord(bidi.LEFT_TO_RIGHT): None, ord(bidi.RIGHT_TO_LEFT): None}


@given(TEXT, st.sampled_from([fonts.BODY, fonts.BOLD, fonts.MONO]))
@settings(max_examples=300)
def test_printing_is_settled_after_once(text: str, font: str) -> None:
    printed = fonts.printable(text, font)
    assert fonts.printable(printed, font) == printed
    hidden = {"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not hidden & {unicodedata.category(character) for character in printed}


@given(TEXT, st.floats(20, 300), st.sampled_from([CELL, CODE]))
@settings(max_examples=300)
def test_lines_fit_and_keep_every_character(text: str, width: float, style: object) -> None:
    measure = fonts.measure(style.font, style.size)
    printed = fonts.printable(text, style.font)
    for lines in (wrap(text, style, width), wrap_code(text, style, width)):
        kept = "".join(lines).translate(MARKS)
        assert "".join(kept.split()) == "".join(printed.split())
        # A cluster of more than one character may be wider than a narrow column; nothing else is.
        assert all(measure(line) <= width + 0.01 for line in lines if len(line.translate(MARKS)) > 6)
    assert measure(shorten(text, style, width)) <= max(width, measure("…")) + 0.01


@poppler
@given(st.lists(TEXT.filter(lambda text: text.strip()), min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_all_that_is_drawn_is_found_again(tmp_path_factory: object, texts: list[str]) -> None:
    lines = [fonts.printable(text) for text in texts]
    path = drawn(lines, tmp_path_factory.mktemp("any", numbered=True) / "any.pdf")
    assert _characters(extracted(path)) == _characters("\n".join(lines))


def _characters(text: str) -> Counter[str]:
    """Count characters without spaces; brackets whichever way they point, compatible forms as one."""
    normal = unicodedata.normalize("NFKD", text.translate(str.maketrans(bidi.CLOSING, bidi.OPENING)))
    return Counter(character for character in normal if not character.isspace())
