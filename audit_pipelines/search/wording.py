"""A question's words as they may be kept in the ledger or leave this machine: without what may be somebody's.

Personal data cannot be recognised by its form, so words pass by a closed list: the trade's, those of the tenant's own
event types, and those that questions are made of. All others may be names; in the access log they are keyed hashes,
which answer "was this asked for?" and nothing else.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from audit_pipelines.intelligence.render import VOCABULARY
from audit_pipelines.intelligence.search.kinds import Kinds
from audit_pipelines.intelligence.search.question import Question


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD: Final = re.compile(r"\w+")
# A year, a clock, a count; longer numbers may be somebody's.
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,4}")
_PERSONAL: Final = frozenset({"actor", "not actor", "entity"})
# No name of a person or place may be added.
_ASKING: Final = _set(
    """
    a about across after again against ago all also am an and any anybody anyone anything are around as at away be
    because been before behind being between both but by came can come compared could count data day days did do does
    doing done during each either else ever event events every everybody everyone everything exactly except few fewer fewest find
    first for friday from gave get give given go had happened has have hour hours how i if in into is it its january
    february april june july august september october november december just last latest least left less let like
    list long made make many me might minutes monday month months more morning most much my named never new next night
    no nobody not nothing now number o of off often on once one ones only or other our out outside over own past per
    please previous quarter recently saturday say see seen she should show since so some somebody someone something
    sunday take taken tell than that the their them then there these they thing things this those through thursday
    time times to today together tonight too top total tried try tuesday twice under until up us used versus was we
    wednesday week weekend weeks were what when where which while who whom whose why with within without would wrong
    year years yesterday yet you your
    """
)


def known_words(text: str, event_types: Iterable[str]) -> str:
    """Return the words of a text that are on the list, in their order."""
    is_known = _known(event_types)
    return " ".join(word for word in _WORD.findall(text) if is_known(word))


def redact(text: str, question: Question, event_types: Iterable[str], hashed: Callable[[str], str]) -> str:
    """Return the question's text with every word off the list in the form that `hashed` gives it.

    Words that named a person are never kept, on the list or not; numbers of up to four digits are.
    """
    is_known, named = _known(event_types), _named(question)

    def replacement(match: re.Match[str]) -> str:
        word = match[0].casefold()
        return match[0] if is_known(match[0]) and word not in named else hashed(word)

    return _WORD.sub(replacement, text)


def redact_words(text: str, question: Question, event_types: Iterable[str], hashed: Callable[[str], str]) -> str:
    """Return an answer with those words in the same form that `redact` hides in its question.

    What else stands in an answer, the ledger shows itself: labels of events and references.
    """
    is_known = _known(event_types)
    hidden = _named(question) | {word.casefold() for word in _WORD.findall(question.text) if not is_known(word)}

    def replacement(match: re.Match[str]) -> str:
        word = match[0].casefold()
        return hashed(word) if word in hidden else match[0]

    return _WORD.sub(replacement, text)


def _named(question: Question) -> set[str]:
    return {
        word.casefold() for each in question.understood if each.field in _PERSONAL for word in _WORD.findall(each.words)
    }


def _known(event_types: Iterable[str]) -> Callable[[str], bool]:
    kinds = Kinds(event_types)

    def is_known(word: str) -> bool:
        lower = word.lower()
        return bool(
            word.isascii()
            and (_SHORT_NUMBER.fullmatch(word) or lower in _ASKING or lower in VOCABULARY or kinds.knows(word))
        )

    return is_known
