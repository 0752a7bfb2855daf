"""Which kinds of event the words of a question mean, among those that the tenant has.

Here: English words to the event types of a tenant, whatever products they come from. Not here: persons, times and
outcomes (`question`). An event type is read as its own words: `hr:payroll.export` is an export, and of a payroll.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from audit_pipelines.intelligence.search.words import ACTION, ACTIONS, OBJECT, SENSES

_WORD: Final = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|\d+")

# What a type's source says of it beside what its action says.
_SOURCE_WEIGHT: Final = 0.5
_NEW: Final = "new"
# What makes new things, beside creating them.
_MAKING: Final = frozenset(
    {"enroll", "publish", "upload", "grant", "invite", "open", "import", "request", "run", "send"}
)

# Made one before times are read: "log in this week" is no log of this week. Each is as long as what it stands for.
_SIGNING: Final = (
    (
        re.compile(
            r"(?<!the )(?<!audit )(?<!event )(?<!events )(?<!was )(?<!were )(?<!is )(?<!are )(?<!show )(?<!activity )"
            r"(?<!entries )(?<!all )(?<!access )\blog(?:s|ged|ging)? (?:in|on)(?:s|to)?\b",
            re.IGNORECASE,
        ),
        "login",
    ),
    (re.compile(r"\b(?:sign(?:s|ed|ing)?[ -]|log(?:s|ged|ging)?-)(?:in|on)(?:s|to)?\b", re.IGNORECASE), "login"),
    # Times that no number says.
    (re.compile(r"\bhalf (?:an )?hour\b", re.IGNORECASE), "30 min"),
    (re.compile(r"\bquarter of an hour\b", re.IGNORECASE), "15 min"),
    (re.compile(r"\bat the weekend\b", re.IGNORECASE), "on the weekend"),
    # Who signs off approves.
    (
        re.compile(r"\b(?:(?:log|sign)(?:s|ged|ed|ging|ing)?[ -]out|log(?:s|ged|ging)?[ -]off)s?\b", re.IGNORECASE),
        "logout",
    ),
)
_COMPOUNDS: Final = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), single)
    for pattern, single in (
        (r"(?:turn|switch|shut)(?:s|ed|ing|ting)? (?:off|down)", "disable"),
        (r"(?:turn|switch|shut)(?:s|ed|ing|ting)? (?P<kept>\w+(?: \w+){0,2}) (?:off|down)", "disable"),
        (r"(?:turn|switch)(?:s|es|ed|ing)? on", "enable"),
        (r"set(?:s|ting)?[ -]?ups?(?= |$)", "create"),
        (r"set(?:s|ting)? (?P<kept>\w+(?: \w+){0,2}) up", "create"),
        (r"(?:hand|g[ai]v|giv)(?:e|es|s|ed|en|ing)? (?:out|away)", "grant"),
        (r"pull(?:s|ed|ing)? down", "download"),
        (r"t(?:ook|ake|akes|aken|aking) (?:(?:a )?backups? )of", "backup"),
        (r"log(?:s|ged|ging)? off", "logout"),
        (r"sign(?:s|ed|ing)?[ -]offs?", "approve"),
        (r"t(?:ook|ake|akes|aken|aking) away", "revoke"),
        (r"look(?:s|ed|ing)?[ -](?:at|into)", "read"),
        (r"look(?:s|ed|ing)?[ -]up", "lookup"),
        (r"roll(?:s|ed|ing)?[ -]back", "rollback"),
        (r"(?:two|2|multi|second)[ -]?factors?(?: authentication)?|2fa", "mfa"),
        (r"(?:api|access)[ -]keys?", "key"),
        (r"pull[ -]requests?", "pull_request"),
        (r"alert(?:ing)?[ -]rules?", "alert_rule"),
        (r"firewall rules?", "firewall"),
        (r"back(?:ed|s|ing)? up", "backup"),
    )
)


@dataclass(frozen=True, slots=True)
class Meant:
    """The event types that some words mean, and which of the words said so."""

    event_types: tuple[str, ...]
    words: frozenset[str]
    """The words, as they were given, that are explained by these types."""


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the word that a word becomes: one of the tables, else itself without a plural's end."""
    lower = word.lower()
    return _known(lower) or _known(_singular(lower)) or _inflected(lower) or _doer(lower) or _singular(lower)


def _known(word: str) -> str | None:
    return ACTION.get(word) or OBJECT.get(word)


def _singular(word: str) -> str:
    for ending, rest in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            return word[: -len(ending)] + rest
    return word


def _inflected(word: str) -> str | None:
    """Return the word of the tables that another form comes from: resetting, revocations."""
    base = re.sub(r"(?:ing|ed|ations?|ions?|ments?)$", "", word)
    if base == word or len(base) < 3:
        return None
    single = base[:-1] if base[-1] == base[-2] else base
    # Revocations revoke.
    forms = (base, f"{base}e", single, re.sub("c$", "ke", base), f"{base}ate")
    return next((known for each in forms if (known := _known(each))), None)


def _doer(word: str) -> str | None:
    """Return what somebody does who is called so: a downloader downloads."""
    base = re.sub(r"(?:er|or)s?$", "", word)
    return None if base == word else ACTION.get(base) or ACTION.get(f"{base}e")


def is_doer(word: str) -> bool:
    """Return whether a word calls somebody by what he does."""
    return _known(word.lower()) is None and _doer(word.lower()) is not None


def fold_signing(text: str) -> str:
    """Return the text with "log in", "half an hour" and the like made what rules read, padded to the same length."""

    def padded(single: str) -> Callable[[re.Match[str]], str]:
        return lambda match: single.ljust(len(match[0]))

    for pattern, single in _SIGNING:
        text = pattern.sub(padded(single), text)
    return text


def fold_compounds(text: str) -> str:
    """Return the text with words that mean something together made one."""

    def kept(single: str) -> Callable[[re.Match[str]], str]:
        return lambda match: f"{single} {match.groupdict().get('kept') or ''}"

    for pattern, single in _COMPOUNDS:
        text = pattern.sub(kept(single), text)
    return text


@lru_cache(maxsize=65_536)
def _type_stems(event_type: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return what is done, to what, and where from, as the words of an event type say it."""
    source, _, action = event_type.rpartition(":")
    if ":" in source:
        # kubernetes:create:pods
        source, _, action = event_type.partition(":")
    words = fold_compounds(fold_signing(" ".join(_WORD.findall(action or source))))
    stems = {stem(word) for word in words.split()}
    actions = stems & ACTIONS
    return frozenset(actions), frozenset(stems - actions), frozenset(stem(word) for word in _WORD.findall(source))


def _after(words: Sequence[str], word: str) -> str:
    return next(iter(words[words.index(word) + 1 :]), "")


class Kinds:
    """The kinds of event that one tenant has."""

    def __init__(self, event_types: Iterable[str]) -> None:
        self.event_types = tuple(sorted(set(event_types)))
        self._objects = frozenset(word for each in self.event_types for word in _type_stems(each)[1])
        self._sources = frozenset(word for each in self.event_types for word in _type_stems(each)[2])
        held = Counter(word for each in self.event_types for word in frozenset().union(*_type_stems(each)))
        self._weights = {word: math.log(1 + len(self.event_types) / count) for word, count in held.items()}

    def knows(self, word: str) -> bool:
        """Return whether the word is one of the trade, or of any of the types."""
        its = stem(word)
        return its in self._objects or its in self._sources or _known(word.lower()) is not None or its in ACTIONS

    def hints(self, words: Iterable[str]) -> dict[str, float]:
        """Return how much of each type the words say, from 0 (left out) to 1; rare words say more than common ones."""
        said = {stem(word) for word in words}
        hints: dict[str, float] = {}
        for each in self.event_types:
            done, to, source = _type_stems(each)
            own = done | to
            weight = sum(self._weights[word] for word in own & said)
            weight += _SOURCE_WEIGHT * sum(self._weights[word] for word in (source - to) & said)
            share = min(1.0, weight / (sum(self._weights[word] for word in own) + 1.0))
            if share:
                hints[each] = share
        return hints

    def meant(self, words: Sequence[str]) -> Meant | None:
        """Return the types that `words` mean together, or None where no type has what all of them say.

        Every action named must be the type's, or one of several that are; of the objects named, as many as any type
        has. A word that no type has explains nothing and is left to others.
        """
        stems = {word: stem(word) for word in words}
        if _NEW in stems and (not _MAKING.isdisjoint(stems.values()) or stem(_after(words, _NEW)) in ACTIONS):
            # "new phones enrolled" were enrolled, not created; "new logins" are late ones.
            stems[_NEW] = ""
        actions = {sense for each in stems.values() if each in ACTIONS for sense in SENSES.get(each, (each,))}
        objects = {each for each in stems.values() if each in self._objects - ACTIONS}
        sources = {each for each in stems.values() if each in self._sources - ACTIONS}
        if not actions and not objects and not sources:
            return None
        best: list[str] = []
        most = (0, 0)
        for each in self.event_types:
            done, to, source = _type_stems(each)
            if actions and not done & actions:
                continue
            # What is done can be an object as well: "backups deleted".
            score = (len(to & objects) + len(done & objects), len(source & sources))
            if (objects or sources) and score == (0, 0):
                continue
            if score > most or not best:
                best, most = [each], max(score, most)
            elif score == most:
                best.append(each)
        if not best or (len(best) > 1 and most[0] < len(objects - sources) and not actions):
            # "who billed our clients": each type has one of two things, none has both.
            return None
        explained = frozenset(word for each in best for part in _type_stems(each) for word in part)
        said = (word for word, its in stems.items() if not explained.isdisjoint(SENSES.get(its, (its,))) or not its)
        return Meant(tuple(best), frozenset(said))

    def meant_by_parts(self, parts: Sequence[Sequence[str]]) -> Meant | None:
        """Return what parts joined by "and" or "or" mean: together, or each alone where all of them say something."""
        whole = [word for part in parts for word in part]
        together = self.meant(whole)
        if together and together.words.issuperset(whole):
            return together
        alone = [self.meant(part) for part in parts if part]
        if len(alone) < 2 or not all(alone):
            return together
        types = tuple(dict.fromkeys(each for one in alone if one for each in one.event_types))
        words = frozenset(word for one in alone if one for word in one.words)
        return Meant(types, words) if words.issuperset(whole) else together
