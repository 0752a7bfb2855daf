"""Which sentences of a model are borne out by the sources that they cite; no other is ever shown.

A rule, not another model, so that no text can talk it round: a sentence is kept if each citation exists, each figure,
day, time, type and alias in it is one of its sources' (or was counted), and each other word is of these sources or of a
short list that claims nothing. What that costs is sentences that are true in other words; the composed ones are there.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Final

from audit_pipelines.intelligence.answer.lexicon import ASSURANCES, CLAIMS, DENIED, FAILED, GRAMMAR, NUMBERS, SUCCEEDED
from audit_pipelines.intelligence.answer.model import Facts
from audit_pipelines.intelligence.answer.prompt import Told, moment_of
from audit_pipelines.intelligence.search.kinds import fold_compounds, fold_signing, stem
from audit_pipelines.reports.words import MONTHS, WEEKDAYS, number

LONGEST_SENTENCE: Final = 400
MOST_SENTENCES: Final = 12
MOST_CITED: Final = 6
"""Sources of one sentence; one that cites everything is about nothing."""

_CITATION: Final = re.compile(r"\[([0-9]{1,4}(?:\s*,\s*[0-9]{1,4})*)\]")
# A full stop ends a sentence where a blank follows, so that those inside `user.login` do not; citations may come after.
_SENTENCE: Final = re.compile(r".+?(?:[.!?](?:\s*\[[0-9, ]+\])*(?=\s|$)|\n|$)", re.DOTALL)
_LEADING: Final = re.compile(r"^\s*(?:[-*•]|[0-9]{1,2}[.)])\s+", re.MULTILINE)
_ALLOWED: Final = re.compile(r"(?:[^\W_]|[ .,;:'’()/_\[\]–—-])+")
_FIGURE: Final = re.compile(r"[0-9]+(?:,[0-9]{3})*", re.ASCII)
_WORD: Final = re.compile(r"[^\W\d_]+")
_NAME: Final = re.compile(r"\w[.:/_]\w|_")
_HOLE: Final = " \x00 "


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that is borne out: its text with citations in their place, and the numbers of the sources."""

    text: str
    cited: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a model said, and what of it is borne out."""

    said: int
    kept: tuple[Sentence, ...]


def check(text: str, told: Sequence[Told], facts: Facts, zone: tzinfo) -> Checked:
    """Return the sentences of `text` that their sources bear out, in their order and each once.

    Whatever `text` is: what is kept cites sources of `told` alone and has no figure that is not theirs or of `facts`.
    """
    sources = {each.source.number: each for each in told}
    counted = {facts.matching, *(each.events for each in facts.groups)} | ({facts.compared} - {None})
    said = list(split_sentences(text))
    kept: dict[str, Sentence] = {}
    for each in said[:MOST_SENTENCES]:
        cited = citations(each)
        if not cited or len(cited) > MOST_CITED or not sources.keys() >= set(cited):
            continue
        if _is_borne_out(each, [sources[place] for place in cited], {one for one in counted if one is not None}, zone):
            tidy = _tidy(each)
            kept[tidy] = Sentence(tidy, tuple(sorted(cited)))
    return Checked(len(said), tuple(kept.values()))


def split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, without the marks of lists and bold type; one that is cut off is left out."""
    for match in _SENTENCE.finditer(_LEADING.sub("", text.replace("**", ""))):
        sentence = match[0].strip()
        if re.search(r"[.!?](?:\s*\[[0-9, ]+\])*$|\]$", sentence):
            yield sentence


def citations(sentence: str) -> list[int]:
    """Return the numbers in brackets, each once."""
    return list(dict.fromkeys(int(place) for match in _CITATION.finditer(sentence) for place in match[1].split(",")))


def without_citations(sentence: str) -> str:
    """Return a sentence without its citations, with one full stop."""
    return re.sub(r"\s+", " ", f"{_CITATION.sub(' ', sentence).rstrip(' .!?')}.").replace(" .", ".")


def is_clean(sentence: str) -> bool:
    """Return whether a sentence has letters, digits and plain punctuation alone, and no bracket but a citation's."""
    rest = _CITATION.sub("", sentence)
    return (
        len(sentence) <= LONGEST_SENTENCE
        and bool(_ALLOWED.fullmatch(sentence.rstrip("!?")))
        and "[" not in rest
        and "]" not in rest
        and "//" not in rest
    )


def _is_borne_out(sentence: str, cited: Sequence[Told], counted: Collection[int], zone: tzinfo) -> bool:
    if not is_clean(sentence):
        return False
    body = _CITATION.sub(" ", sentence).rstrip(" .!?")
    body, anchors = _take_out(body, cited, zone)
    return (
        anchors.any_at_all
        and anchors.fit(cited)
        and _figures_fit(body, {*counted, len(cited)})
        and _words_fit(body, cited, {*counted, len(cited)})
    )


@dataclass(slots=True)
class _Anchors:
    """What ties a sentence to single events."""

    aliases: set[str]
    others: int = 0

    @property
    def any_at_all(self) -> bool:
        return bool(self.aliases or self.others)

    def fit(self, cited: Sequence[Told]) -> bool:
        """Return whether each source that is cited is one of a person and of an entity that is named, if any is."""
        persons = {each.person for each in cited} & self.aliases
        entities = {each.entity for each in cited} & self.aliases
        acted = all(each.person in persons or each.entity in persons for each in cited) if persons else True
        return acted and (
            all(each.entity in entities or each.person in entities for each in cited) if entities else True
        )


def _take_out(body: str, cited: Sequence[Told], zone: tzinfo) -> tuple[str, _Anchors]:
    """Replace what stands in the sources as it is by holes, the longest first."""
    anchors = _Anchors(set())
    aliases = {alias for each in cited for alias in (each.person, each.entity) if alias}
    moments = {form for each in cited for form in _moments(each, zone)}
    # A type that is one plain word is looked at as a word: `all` or `no` could be one, and ties a sentence to nothing.
    names = {name for each in cited for name in (each.type, each.entity_type) if name and not name.isalpha()}
    for exact in sorted({*aliases, *moments, *names}, key=len, reverse=True):
        # "3 March" is not said by "3 March 2024".
        found = rf"(?<![\w.:/,-]){re.escape(exact)}(?![\w/-]|[.,:]\w|,?\s+[0-9]{{4}}(?![:,0-9]))"
        body, times = re.subn(found, _HOLE, body)
        if times and exact in aliases:
            anchors.aliases.add(exact)
        anchors.others += times
    return body, anchors


def _moments(told: Told, zone: tzinfo) -> Iterator[str]:
    """Yield each way to write when it happened that is as exact as a day or a minute."""
    at = moment_of(told.source, zone)
    month, weekday = MONTHS[at.month - 1], WEEKDAYS[at.weekday()]
    for day in (f"{at.day} {month} {at.year}", f"{month} {at.day}, {at.year}", f"{at:%Y-%m-%d}", f"{at.day} {month}"):
        yield day
        yield f"{weekday}, {day}"
        yield f"{weekday} {day}"
    clocks = (f"{at:%H:%M:%S}", f"{at:%H:%M}", f"{at.hour}:{at:%M}", f"{at:%Y-%m-%dT%H:%M:%S}")
    yield from clocks
    # Of another zone's clock it would be another moment.
    if at.utcoffset() == timedelta(0):
        yield from (f"{clock} UTC" for clock in clocks)


def _figures_fit(body: str, counted: Collection[int]) -> bool:
    """Return whether what is left has no digit but in numbers that were counted, and no name."""
    spelled = {form for count in counted for form in (str(count), number(count))}
    for match in re.finditer(r"\S*\d\S*", body):
        if match[0].strip(".,;:()") not in spelled:
            return False
    # What is left in the form of a name is no type and no alias of these events.
    return not _NAME.search(body)


def _words_fit(body: str, cited: Sequence[Told], counted: Collection[int]) -> bool:
    said = [word.lower() for word in _WORD.findall(fold_compounds(fold_signing(body)))]
    details = {form for each in cited for word in each.details for form in (word, stem(word))}
    types = {form for each in cited for word in each.words for form in (word, stem(word))}
    outcomes = {
        word
        for each in cited
        for family in (FAILED, DENIED, SUCCEEDED)
        if each.outcome.lower() in family
        for word in family
    }
    outcomes |= {each.outcome.lower() for each in cited}
    for word in said:
        if word in CLAIMS | ASSURANCES:
            if word not in details:
                return False
        elif word in FAILED | DENIED | SUCCEEDED:
            if word not in types | details | outcomes:
                return False
        elif word in NUMBERS:
            if NUMBERS[word] not in counted:
                return False
        elif word not in GRAMMAR and not {word, stem(word)} & (types | details | outcomes):
            return False
    return all(_outcome_is_told(each, said) for each in cited)


def _outcome_is_told(told: Told, said: Collection[str]) -> bool:
    """Return whether a failed or denied attempt is called so; told as done, it would be a lie."""
    outcome = told.outcome.lower()
    family = next((family for family in (FAILED, DENIED) if outcome in family), None)
    return family is None or not family.isdisjoint(said)


def _tidy(sentence: str) -> str:
    """Return a sentence with one full stop at its end, after the citations, and one number a bracket."""
    single = _CITATION.sub(lambda match: "".join(f"[{int(place)}]" for place in match[1].split(",")), sentence)
    core, tail = re.fullmatch(r"(.*?)[.!?\s]*((?:\[[0-9]+\]\s*)*)", single, re.DOTALL).groups()  # type: ignore[union-attr]
    joined = f"{core.rstrip(' .!?')} {''.join(tail.split())}".strip()
    return re.sub(r"\s+", " ", f"{joined}.")
