"""In which order the texts that a search found are shown: meaning, words and what the rules understood, made one.

Here: numbers to an order, pure. Not here: where the numbers come from (pgvector, Postgres full text). Fusing by
reciprocal rank lowered the mean reciprocal rank by 0.1 to 0.2 here, since a list that knows nothing still votes. So
no list votes: what has the identifier or the quoted words comes first, the rest goes by its cosine and by that of the
nearest sentence that its kind is read as (`readings`). Words decide where there is no vector.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from audit_pipelines.intelligence.search.asked import Question

Decided = Literal["exact", "kind", "meaning", "words"]

_READ: Final = 0.6
"""What the nearest sentence for the kind says of the score, the text itself the rest: from 0.5 to 0.7 the mean
reciprocal rank of five labelled sets stays within 0.03; without sentences it is 0.1 to 0.4 lower."""
_KIND: Final = 0.2
"""What the question's words add that say an event type wholly, where there is no vector."""
_DONE: Final = 0.08
"""What a kind gains by which that was done which the question says: 0.02 to 0.05 of the mean reciprocal rank."""
MORE: Final = 0.12
"""What each doubling of the events of a kind takes from the score of the next."""
_WORDS: Final = 0.01
"""What the best match by words adds: enough to part texts that mean the same, too little to overrule meaning. With
0.05 the mean reciprocal rank of questions by meaning was 0.05 lower."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One distinct text that a search by meaning or by words found."""

    text_hash: bytes
    event_type: str
    similarity: float | None
    """Cosine to the question's meaning, -1 to 1; None where the text has no vector yet."""
    reading: float | None = None
    """Cosine of the nearest sentence that its kind is read as; None where there is none."""
    done: bool = False
    """Whether the question says what was done (`deeds.deeds`)."""
    words: float = 0.0
    """Rank by full text, 0 (no match) and up, comparable within one question only."""
    exact: bool = False
    """Whether events of this text have an identifier or quoted words of the question as they stand."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text's place."""

    text_hash: bytes
    score: float
    """Comparable within one question only."""
    decided_by: Decided
    cost: float = 0.0
    """What the text's newest event costs: it grows along the list, and the n-th newest costs `MORE` × log2 n on top."""


def rank(question: Question, candidates: Iterable[Candidate]) -> list[Ranked]:
    """Return the candidates cheapest first, each text once; equal ones in the order of their hashes.

    A thousand events of the best text would leave no place for anything else. So what is shown is ordered by cost: how
    far a text's score is below the best, plus `MORE` for each doubling of what its kind has before it, as in maximal
    marginal relevance (Carbonell and Goldstein, 1998). The order of the input says nothing.
    """
    by_hash: dict[bytes, Candidate] = {}
    for each in candidates:
        known = by_hash.get(each.text_hash)
        by_hash[each.text_hash] = _joined(known, each) if known else each
    most = max((each.words for each in by_hash.values()), default=0.0) or 1.0
    hints = dict(question.hints)
    ranked = [_ranked(each, hints.get(each.event_type, 0.0), most) for each in by_hash.values()]
    ranked.sort(key=lambda one: (-one.score, one.text_hash))
    of_kind: Counter[str] = Counter()
    spread = []
    for one in ranked:
        kind = by_hash[one.text_hash].event_type
        spread.append(replace(one, cost=ranked[0].score - one.score + MORE * math.log2(1 + of_kind[kind])))
        of_kind[kind] += 1
    return sorted(spread, key=lambda one: (one.cost, -one.score, one.text_hash))


def _joined(one: Candidate, other: Candidate) -> Candidate:
    similar = [each.similarity for each in (one, other) if each.similarity is not None]
    return Candidate(
        one.text_hash,
        one.event_type,
        max(similar, default=None),
        max((each.reading for each in (one, other) if each.reading is not None), default=None),
        one.done or other.done,
        max(one.words, other.words),
        one.exact or other.exact,
    )


def _ranked(one: Candidate, kind: float, most: float) -> Ranked:
    if one.similarity is None:
        meant = _KIND * kind
    elif one.reading is None:
        meant = one.similarity
    else:
        meant = (1 - _READ) * one.similarity + _READ * one.reading
    score = meant + _DONE * one.done + _WORDS * one.words / most
    if one.exact:
        # More than every other part together.
        return Ranked(one.text_hash, 3.0 + score, "exact")
    by: Decided = "meaning" if one.similarity is not None else "kind" if kind else "words"
    return Ranked(one.text_hash, score, by)
