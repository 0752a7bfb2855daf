"""Words that others wrote, made harmless to show and to send: event types, entity ids, whatever an event says.

Anybody who may write events chooses them, so one may hold a sentence, a link, a citation or a sign that nobody sees.
Here: which of them are plain names, and what is shown for the rest. Not here: which may leave the machine (`prompt`).
"""

import re
import unicodedata
from typing import Final

LONGEST: Final = 80
"""Characters of a label that are shown."""

_PLAIN: Final = re.compile(r"(?!//)[\w.:/@+=-]*\w")
# What some reader's screen would make a link or a tag of; brackets would look like citations.
_LINK: Final = re.compile(r":\s*//|www\.|(?:mailto|javascript|data):", re.IGNORECASE)
_MARKUP: Final = str.maketrans(
    {"[": "(", "]": ")", "<": "(", ">": ")", "{": "(", "}": ")", "`": "'", '"': "'", "“": "'", "”": "'", "*": "·"}
)
# Control, format (zero width, bidi, tags), private, lone halves, unassigned, line ends, marks around a letter.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Me"})
# Letters and marks by category, and nothing to see: fillers of Hangul, Braille's blank, joiners, variation selectors.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_plain(label: str) -> bool:
    """Return whether a label is one name, as programs give them: no blank, no bracket, no link, nothing unseen."""
    return (
        len(label) <= LONGEST and bool(_PLAIN.fullmatch(label)) and not _LINK.search(label) and visible(label) == label
    )


def shown(label: str) -> str:
    """Return a label fit for a sentence: a plain name as it is, all else in quotation marks, defused and cut."""
    if is_plain(label):
        return label
    return f"“{defused(label)}”"


def defused(text: str) -> str:
    """Return a text that others chose, such as a person's name, as it may stand in an answer unquoted."""
    return _LINK.sub("·", visible(text[: LONGEST + 1], LONGEST)).translate(_MARKUP)


def visible(text: str, longest: int | None = None) -> str:
    """Return `text` in one line, each character that cannot be seen written as `(U+200B)`; cut to `longest`."""
    written = "".join(map(_written, text))
    return written if longest is None or len(written) <= longest else f"{written[:longest]}…"


def _written(character: str) -> str:
    unseen = unicodedata.category(character) in _UNSEEN or _BLANK.match(character)
    return f"(U+{ord(character):04X})" if unseen or (character.isspace() and character != " ") else character
