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
from audit_pipelines.intelligence.search.words import EMPTY, READ

_WORD: Final = re.compile(r"\w+")
# A year, a clock, a count; longer numbers may be somebody's.
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,4}")
_PERSONAL: Final = frozenset({"actor", "not actor", "entity"})


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
            and (
                _SHORT_NUMBER.fullmatch(word)
                or lower in EMPTY
                or lower in READ
                or lower in VOCABULARY
                or kinds.knows(word)
            )
        )

    return is_known
