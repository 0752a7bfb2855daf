"""In which order the texts that a search found are shown: meaning, words and what the rules understood, made one.

Here: numbers to an order, pure. Not here: where the numbers come from (pgvector, Postgres full text). Fusing by
reciprocal rank lowered the mean reciprocal rank by 0.1 to 0.2 here, since a list that knows nothing still votes. So
no list votes: what has the identifier or the quoted words comes first, the rest goes by its cosine, and kinds that the
rules took out of the question add to it.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from audit_pipelines.intelligence.search.asked import Question

Decided = Literal["exact", "kind", "meaning", "words"]

_KIND: Final = 0.2
"""What an event type adds to the cosine that the question's words say wholly.

Without it the mean reciprocal rank of 120 labelled questions is 0.03 lower; from 0.1 to 0.3 none of four sets changes
by more than that."""
MORE: Final = 0.12
"""What each doubling of the events of a kind takes from the score of the next."""
_DECISIVE: Final = 0.5
_WORDS: Final = 0.05
"""What the best match by words adds: enough to part texts that mean the same, too little to overrule meaning."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One distinct text that a search by meaning or by words found."""

    text_hash: bytes
    event_type: str
    similarity: float | None
    """Cosine to the question's meaning, -1 to 1; None where the text has no vector yet."""
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
        max(one.words, other.words),
        one.exact or other.exact,
    )


def _ranked(one: Candidate, kind: float, most: float) -> Ranked:
    score = (one.similarity or 0.0) + _KIND * kind + _WORDS * one.words / most
    if one.exact:
        # More than every other part together.
        return Ranked(one.text_hash, 3.0 + score, "exact")
    by: Decided = "kind" if kind >= _DECISIVE else "meaning" if one.similarity is not None else "words"
    return Ranked(one.text_hash, score, by)
