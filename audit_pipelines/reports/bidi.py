"""In which direction text runs: the Unicode bidirectional algorithm (UAX #9) for one line of printable text.

Marks that direct it by hand (embeddings, overrides, isolates) never reach this place, because `fonts.printable` shows
them as code points; so of the algorithm its rules P2, W1-W7, N0-N2, I1-I2, L1 and L2 are all that is left.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar
from unicodedata import bidirectional

Run = TypeVar("Run")

LEFT_TO_RIGHT: Final = "\u200e"
RIGHT_TO_LEFT: Final = "\u200f"
"""At the head of a line, what direction the paragraph has that it was broken from; never drawn."""

OPENING: Final = "([{⁅⁽₍⌈⌊〈❨❪❬❮❰❲❴⟦⟨⟪⟬⟮〈《「『【〔〖〘〚﹙﹛﹝（［｛｟｢"
CLOSING: Final = ")]}⁆⁾₎⌉⌋〉❩❫❭❯❱❳❵⟧⟩⟫⟭⟯〉》」』】〕〗〙〛﹚﹜﹞）］｝｠｣"
_CLOSED_BY: Final = dict(zip(OPENING, CLOSING, strict=True))
_CLOSES: Final = frozenset(CLOSING)
_NEUTRAL: Final = frozenset({"B", "S", "WS", "ON"})
_DEEPEST_BRACKETS: Final = 63


def base_level(text: str) -> int:
    """Return 1 where the first letter with a direction runs from right to left, else 0 (P2, P3)."""
    if text.isascii():
        return 0
    for character in text:
        kind = bidirectional(character)
        if kind == "L":
            return 0
        if kind in {"R", "AL"}:
            return 1
    return 0


def levels(text: str, base: int) -> list[int]:
    """Return each character's embedding level: odd runs from right to left."""
    embedding = "R" if base else "L"
    original = [bidirectional(character) or "L" for character in text]
    kinds = _weak(original, embedding)
    _brackets(text, kinds, original, embedding)
    _neutral(kinds, embedding)
    found = [base + _RAISED[base][kind] for kind in kinds]
    for place in range(len(text) - 1, -1, -1):
        if original[place] not in {"WS", "S", "B"}:
            break
        found[place] = base
    return found


def visual(runs: Sequence[tuple[int, Run]]) -> list[Run]:
    """Return runs, given with their levels in logical order, from left to right (L2)."""
    ordered = list(runs)
    highest = max((level for level, _ in ordered), default=0)
    for least in range(highest, 0, -1):
        start = 0
        while start < len(ordered):
            end = start
            while end < len(ordered) and ordered[end][0] >= least:
                end += 1
            ordered[start:end] = reversed(ordered[start:end])
            start = end + 1
    return [run for _, run in ordered]


_RAISED: Final = ({"L": 0, "R": 1, "AN": 2, "EN": 2}, {"L": 1, "R": 0, "AN": 1, "EN": 1})


def _weak(original: Sequence[str], embedding: str) -> list[str]:
    kinds = list(original)
    previous = strong = embedding
    for place, kind in enumerate(kinds):
        kinds[place] = previous if kind in {"NSM", "BN"} else kind  # W1
        if kinds[place] in {"L", "R", "AL"}:
            strong = kinds[place]
        elif kinds[place] == "EN" and strong == "AL":  # W2
            kinds[place] = "AN"
        previous = kinds[place]
    kinds = ["R" if kind == "AL" else kind for kind in kinds]  # W3
    for place in range(1, len(kinds) - 1):  # W4
        before, kind, after = kinds[place - 1 : place + 2]
        if before == after and ((kind == "ES" and before == "EN") or (kind == "CS" and before in {"EN", "AN"})):
            kinds[place] = before
    for start, end in _stretches(kinds, {"ET"}):  # W5
        if (start and kinds[start - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN"):
            kinds[start:end] = ["EN"] * (end - start)
    strong = embedding
    for place, kind in enumerate(kinds):
        if kind in {"ES", "ET", "CS"}:  # W6
            kinds[place] = "ON"
        elif kind in {"L", "R"}:
            strong = kind
        elif kind == "EN" and strong == "L":  # W7
            kinds[place] = "L"
    return kinds


def _brackets(text: str, kinds: list[str], original: Sequence[str], embedding: str) -> None:
    """Give both brackets of a pair one direction (N0)."""
    for start, end in _pairs(text, kinds):
        inside = {_direction(kind) for kind in kinds[start + 1 : end]}
        if embedding in inside:
            chosen = embedding
        elif inside & {"L", "R"}:
            opposite = "L" if embedding == "R" else "R"
            before = next((_direction(kind) for kind in reversed(kinds[:start]) if _direction(kind)), embedding)
            chosen = opposite if before == opposite else embedding
        else:
            continue
        for bracket in (start, end):
            kinds[bracket] = chosen
            mark = bracket + 1
            while mark < len(text) and original[mark] == "NSM":
                kinds[mark] = chosen
                mark += 1


def _pairs(text: str, kinds: Sequence[str]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    waiting: list[tuple[str, int]] = []
    for place, character in enumerate(text):
        if kinds[place] != "ON":
            continue
        if (closing := _CLOSED_BY.get(character)) is not None:
            if len(waiting) == _DEEPEST_BRACKETS:
                break
            waiting.append((closing, place))
        elif character in _CLOSES:
            for depth in range(len(waiting) - 1, -1, -1):
                if waiting[depth][0] == character:
                    pairs.append((waiting[depth][1], place))
                    del waiting[depth:]
                    break
    return sorted(pairs)


def _neutral(kinds: list[str], embedding: str) -> None:
    """Give what has no direction that of both its neighbours, else the line's (N1, N2)."""
    for start, end in _stretches(kinds, _NEUTRAL):
        before = _direction(kinds[start - 1]) if start else embedding
        after = _direction(kinds[end]) if end < len(kinds) else embedding
        kinds[start:end] = [before if before == after and before else embedding] * (end - start)


def _direction(kind: str) -> str:
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(kind, "")


def _stretches(kinds: Sequence[str], wanted: frozenset[str] | set[str]) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(kinds):
        end = start
        while end < len(kinds) and kinds[end] in wanted:
            end += 1
        if end > start:
            yield start, end
        start = end + 1
