"""An event type in several short English sentences, so that a question is near to one of them however it is put.

`iam:role.revoke` alone is far from "who lost rights?"; "somebody took away access rights" is near. Here: sentences from
the words of a type and the tables of `lexicon`, pure. Not here: vectors of them, and what they weigh (`ranking`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from audit_pipelines.intelligence.search.kinds import stem
from audit_pipelines.intelligence.search.lexicon import AREAS, PHRASES, THINGS, VERBS

_MOST: Final = 6
_FAILURE: Final = "failure"


class Reading(NamedTuple):
    """A kind of event as its texts begin, and whether it was an attempt in vain."""

    event: str
    """The words of the event type, as `render.label_words` gives them."""
    failed: bool = False


@lru_cache(maxsize=16_384)
def readings(event: str, failed: bool = False) -> tuple[str, ...]:
    """Return the sentences for the words of a type, these first; with `failed` those for an attempt in vain, too."""
    words = event.split()
    verb, rest = verb_of(words)
    area = next((AREAS[word] for word in words if word in AREAS), ())
    things = _things([word for word in rest if word not in AREAS] or rest)
    said = list(VERBS.get(verb, ()))
    sentences = [" ".join(words)]
    for place in range(min(max(len(said), len(things)), _MOST)):
        done = said[place % len(said)] if said else "did something with"
        thing = things[place % len(things)] if things else ""
        sentences.append(_sentence(done, thing, ""))
    if said and area:
        sentences += [_sentence(said[0], things[0] if things else "", each) for each in area]
    known = {*words, *map(stem, words), *([_FAILURE] if failed else ())}
    for key, phrases in _PHRASES:
        if key <= known and (_FAILURE in key) == (failed and _FAILURE in key):
            sentences += phrases
    return tuple(dict.fromkeys(sentences))


_PHRASES: Final = tuple((frozenset(key.split()), phrases) for key, phrases in PHRASES.items())


def verb_of(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the word of a type that says what was done, and the others: `CreateAccessKey`, `role.grant`.

    The last word where it may be one, else the first that may.
    """
    own = [place for place, word in enumerate(words) if word in VERBS]
    if not own:
        own = [place for place, word in enumerate(words) if stem(word) in VERBS]
    if not own:
        return "", list(words)
    place = own[-1]
    if place != len(words) - 1:
        place = own[0]
    verb = words[place] if words[place] in VERBS else stem(words[place])
    return verb, [*words[:place], *words[place + 1 :]]


def _things(words: Sequence[str]) -> list[str]:
    """Return what people call the things of a type: the last word says most, two words together more."""
    found: list[str] = []
    plain = " ".join(words)
    for width in (2, 1):
        for at in range(len(words) - width, -1, -1):
            piece = " ".join(words[at : at + width])
            for each in (piece, re.sub(r"s$", "", piece)):
                if each in THINGS:
                    found += THINGS[each]
                    break
    return list(dict.fromkeys([*([f"a {plain}"] if plain else []), *found]))


def _sentence(done: str, thing: str, area: str) -> str:
    text = done.replace("{}", thing) if "{}" in done else f"{done} {thing}"
    said = " ".join(f"{text} {area}".split())
    return said if said.startswith("somebody ") else f"somebody {said}"
