"""A question as it was typed to one that rules can read: odd characters, and slips of the finger in known words.

Every character of the result remembers where it came from, so that what is understood is shown in the asker's own
words. A word is corrected only where one letter is missing, doubled or out of place, the word has six letters and more,
and one known word alone is that near; a letter in another's place is left, since it mostly makes another real word
(`expert` is not `export`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LONGEST: Final = 1_000
"""Characters of a question that are read, as many as the endpoint takes; the model reads no more, either."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_SHORTEST: Final = 6
# Real words one slip away from words of the trade.
_REAL: Final = frozenset({
    "stated", "rested", "though", "trough", "trial", "signed", "singed", "casual", "causal", "united", "untied",
    "filed", "moths", "stats", "shred", "sever", "tales", "coped",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Typed:
    """A text to read, and for each of its characters the place in the original."""

    text: str
    origin: tuple[int, ...]


def tidy(text: str, known: Collection[str]) -> Typed:
    """Return the text with single spaces, straight quotes, no control characters, and slips in known words mended.

    `known` are words in lower case, of which each is right as it stands.
    """
    characters: list[str] = []
    origin: list[int] = []
    for place, character in enumerate(text[:LONGEST]):
        plain = _PLAIN.get(character, character)
        if not plain.isprintable() or plain.isspace():
            plain = " "
        if plain == " " and characters and characters[-1] == " ":
            continue
        characters.append(plain)
        origin.append(place)
    return _mended("".join(characters), origin, frozenset(known))


_PLAIN: Final = {"‘": "'", "’": "'", "´": "'", "`": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}


def _mended(text: str, origin: list[int], known: frozenset[str]) -> Typed:
    slips = _slips(known)
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for match in _WORD.finditer(text):
        right = _right(match[0].lower(), known, slips)
        if right is None or _inside_a_name(text, match):
            continue
        pieces += [text[at : match.start()], right]
        places += origin[at : match.start()]
        # All letters of the right word come from the wrong one; its last letter keeps its place.
        last = origin[match.end() - 1]
        places += [min(origin[match.start()] + step, last) for step in range(len(right) - 1)] + [last]
        at = match.end()
    return Typed("".join((*pieces, text[at:])), (*places, *origin[at:]))


def _inside_a_name(text: str, match: re.Match[str]) -> bool:
    """Return whether the word is part of an address or an identifier, which are as they are."""
    around = text[max(0, match.start() - 1) : match.start()] + text[match.end() : match.end() + 1]
    return any(each in "@_/\\:-0123456789" for each in around) or bool(re.match(r"\.\w", text[match.end() :]))


def _right(word: str, known: frozenset[str], slips: dict[str, frozenset[str]]) -> str | None:
    if len(word) < _SHORTEST - 1 or len(word) > 24 or word in known or word in _REAL or word.removesuffix("s") in known:
        return None
    near = {
        each
        for shorter in (word, *_shorter(word))
        for each in slips.get(shorter, ())
        if _one_slip(word, each)
    }  # fmt: skip
    return near.pop() if len(near) == 1 else None


def _shorter(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place in range(len(word))}


@lru_cache(maxsize=64)
def _slips(known: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return for every known word and every one without a letter which known words that may be."""
    slips: dict[str, set[str]] = {}
    for word in known:
        if len(word) >= _SHORTEST and word.isalpha():
            for each in (word, *_shorter(word)):
                slips.setdefault(each, set()).add(word)
    return {each: frozenset(words) for each, words in slips.items()}


def _one_slip(wrong: str, right: str) -> bool:
    """Return whether one letter is missing, too many, or two neighbours have changed places."""
    if len(wrong) != len(right):
        longer, shorter = (wrong, right) if len(wrong) > len(right) else (right, wrong)
        return len(longer) - len(shorter) == 1 and shorter in _shorter(longer)
    different = [place for place in range(len(wrong)) if wrong[place] != right[place]]
    return (
        len(different) == 2
        and different[1] - different[0] == 1
        and wrong[different[0]] == right[different[1]]
        and wrong[different[1]] == right[different[0]]
    )
