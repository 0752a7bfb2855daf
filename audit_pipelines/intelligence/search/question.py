"""A question in plain English as filters that are applied exactly, and the rest of it, which is searched by meaning.

By rules alone, so that the same words always ask the same. Everything understood says which words it was understood
from, to be shown back; what was not understood is never guessed at. How filters become SQL is the server's.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from functools import lru_cache
from itertools import islice, product
from typing import Final

from audit_pipelines.intelligence.search.asked import (
    Conditions,
    Group,
    Hours,
    Person,
    Question,
    Understood,
    Vocabulary,
    Wanted,
)
from audit_pipelines.intelligence.search.draft import Draft
from audit_pipelines.intelligence.search.kinds import Kinds, Meant, fold_compounds, fold_signing, stem
from audit_pipelines.intelligence.search.naming import Names, denial, read_addresses, read_exact_types, read_phrases
from audit_pipelines.intelligence.search.spelling import tidy
from audit_pipelines.intelligence.search.times import Period, TimeWords, find_times
from audit_pipelines.intelligence.search.wanted import (
    end_comparison,
    read_comparison,
    read_form,
    read_imperative,
    read_order,
    read_same_time,
    read_versus,
    shifted,
)
from audit_pipelines.intelligence.search.words import ACTION, EMPTY, OBJECT, READ

__all__ = ["Conditions", "Group", "Hours", "Person", "Question", "Understood", "Vocabulary", "Wanted", "understand"]

_OUTCOMES: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), outcomes)
    for pattern, outcomes in (
        (
            r"fail(?:s|ed|ing|ures?)?|errors?|errored|went\s+wrong|go(?:es|ne)?\s+wrong",
            ("failure",),
        ),
        # Whoever was denied had no success, either.
        (
            r"un-?success(?:ful(?:ly)?)?|non-?success\w*|(?:in|to)\s+(?:vain|no\s+avail)|fruitless(?:ly)?",
            ("failure", "denied"),
        ),
        (
            r"den(?:y|ies|ied|ials?)|refus(?:ed|als?|es)|reject(?:ed|ions?)|blocked|forbidden|unauthori[sz]ed",
            ("denied",),
        ),
        (r"not\s+allowed|not\s+permitted|turned\s+away", ("denied",)),
        (r"success(?:es|ful(?:ly)?)?|succeed(?:ed|s|ing)?|went\s+through", ("success",)),
    )
)
# How the tenants' own words for outcomes fall under the three that people use.
_SPELLINGS: Final = {
    "failure": re.compile(r"fail|err|invalid|unsuccess|timeout|false|ko$|5\d\d", re.IGNORECASE),
    "denied": re.compile(r"den|refus|reject|block|forbid|unauthori|40[13]", re.IGNORECASE),
    "success": re.compile(
        r"success|succeed|ok$|allow|granted|pass|complete|accept|true|approved|permit", re.IGNORECASE
    ),
}
# A question with more of the same outcome says no more; each costs 70 µs.
_MOST_OUTCOMES: Final = 8
_HOURS: Final[tuple[tuple[re.Pattern[str], Hours], ...]] = (
    (
        re.compile(
            r"\b(?:outside\s+(?:of\s+)?(?:the\s+)?(?:business|office|working|work|normal|usual|regular)\s+(?:hours|time)|"
            r"(?:after|off|out\s+of)[\s-]hours|(?:at\s+)?(?:unusual|odd)\s+(?:hours|times))\b",
            re.IGNORECASE,
        ),
        "off_hours",
    ),
    (
        re.compile(
            r"\b(?:at\s+night(?:time)?|overnight|(?:in|during)\s+the\s+nights?(?:\s*time)?|by\s+night|in\s+the\s+(?:middle|dead)\s+of\s+the\s+night)\b",
            re.IGNORECASE,
        ),
        "night",
    ),
    (re.compile(r"\b(?:(?:on|at|during|over)\s+(?:the\s+)?)?weekends\b", re.IGNORECASE), "weekend"),
)
_DIFFERENCE_BETWEEN: Final = re.compile(r"\b(?:difference|compar\w+)\s+(between)\b", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[^\W_](?:[\w'-]*\w)?")
_EXCEPT: Final = re.compile(
    r"\b(?:(?:everything|anything|all)\s+but|except(?:ing)?(?:\s+for)?|excluding|exclude|other\s+than|apart\s+from|but\s+not|without|ignoring|not\s+counting|besides|no)"
    r"\s+(?:(?:the|any|all|those|of)\s+)*(?P<kinds>[a-z_ ,-]{3,80})",
    re.IGNORECASE,
)
# "accounts that were closed": what it is done to is no word to leave out.
_ACTED_UPON: Final = re.compile(
    r"\b(?:users?|accounts?|employees?)\s+(?:(?:that|which|who)\s+)?(?:(?:were|was|are|is|been|being|got|have|has|had)\s+)+\w+ed\b",
    re.IGNORECASE,
)
# "people who couldn't get in": words that say nothing each, and something together.
_TOGETHER: Final = re.compile(
    r"\b(?:gets?|got|getting|lets?|letting|goes|go|went|gone|going|comes?|came|coming|takes?|took|taken|gives?|gave|given)\b"
    r"(?:\s+\w+)?\s+(?:in|out|off|away|through|into|over)\b|\btime\s+off\b",
    re.IGNORECASE,
)
_PARTED: Final = re.compile(r"\b(?:and|or|plus)\b|,|/|&")


def understand(text: str, vocabulary: Vocabulary, *, now: datetime, zone: tzinfo) -> Question:
    """Return what a question asks, with every filter and the words that it was understood from.

    `now` has a zone; days and clocks are those of `zone`. Takes any text: what is no question has no filters. The first
    1,000 characters are read (`spelling.LONGEST`).
    """
    kinds = _kinds(vocabulary.event_types)
    draft = Draft(text, tidy(text, _known_words(vocabulary.event_types)))
    read_phrases(draft, vocabulary)
    read_addresses(draft)
    draft.rest = fold_signing(draft.rest)
    compared_with = _read_times(draft, now, zone)
    _read_hours(draft)
    read_exact_types(draft, vocabulary)
    names = Names(draft, vocabulary, kinds)
    names.read_identities()
    _read_outcomes(draft, vocabulary)
    read_imperative(draft)
    if compared_with:
        end_comparison(draft)
    form = read_form(draft, kinds)
    first, some = read_order(draft) if form.wanted == "events" else (None, None)
    names.read_persons()
    if form.wanted in {"events", "count"} and not compared_with:
        form = read_versus(draft, form, names.mentioned)
    untaken = draft.untaken().strip(" ,;:")
    _read_except(draft, kinds)
    unexplained, meant = _read_kinds(draft, kinds, vocabulary)
    if not unexplained and not meant and not draft.conditions.event_types and _TOGETHER.search(untaken):
        unexplained = tuple(untaken.lower().split())
    return Question(
        text=text,
        wanted="comparison" if compared_with else form.wanted,
        conditions=draft.conditions,
        group=None if compared_with else form.group,
        fewest=form.fewest,
        top=form.top or some,
        distinct=form.distinct,
        first=first,
        compared_with=compared_with,
        meaning=untaken,
        likely_types=meant.event_types if unexplained and meant and len(meant.event_types) <= _MOST_LIKELY else (),
        hints=tuple(kinds.hints(unexplained).items()) if unexplained else (),
        unexplained=unexplained,
        understood=tuple(draft.understood),
    )


@lru_cache(maxsize=256)
def _kinds(event_types: tuple[str, ...]) -> Kinds:
    return Kinds(event_types)


@lru_cache(maxsize=256)
def _known_words(event_types: tuple[str, ...]) -> frozenset[str]:
    """Return words that are right as they stand, and what others may be slips of."""
    of_types = {word.lower() for each in event_types for word in re.findall(r"[A-Z]?[a-z]{3,}", each)}
    return frozenset({*ACTION, *OBJECT, *EMPTY, *READ, *of_types})


def _read_times(draft: Draft, now: datetime, zone: tzinfo) -> Period | None:
    """Narrow the conditions to the times named, and return the other period of a comparison."""
    between = _DIFFERENCE_BETWEEN.search(draft.rest)
    if between:
        draft.blank(between.start(1), between.end(1))
    unit = read_same_time(draft)
    found = find_times(draft.rest, now, zone)
    other, period = read_comparison(draft, found, now, zone)
    if unit and found and not period:
        period = shifted(found[0].period, unit, zone)
    if period:
        start, end = (other.start, other.end) if other else (0, 0)
        draft.take(start, end, "compared with", _shown(period))
    for words in found:
        if words is not other and not denial(draft, words.start)[0]:
            _narrow(draft, words)
    return period


def _narrow(draft: Draft, words: TimeWords) -> None:
    since, until, period = draft.conditions.since, draft.conditions.until, words.period
    later = max((each for each in (since, period.since) if each), default=None)
    sooner = min((each for each in (until, period.until) if each), default=None)
    if later and sooner and later >= sooner:
        # "today and yesterday": two periods beside each other are both meant.
        later = min(each for each in (since, period.since) if each)
        sooner = max(each for each in (until, period.until) if each)
    draft.narrow(later, sooner)
    draft.take(words.start, words.end, "time", _shown(period))


def _read_hours(draft: Draft) -> None:
    for pattern, hours in _HOURS:
        match = pattern.search(draft.rest)
        if match and draft.conditions.hours is None and not denial(draft, match.start())[0]:
            draft.restrict_hours(hours)
            draft.take(match.start(), match.end(), "hours", hours)


def _read_outcomes(draft: Draft, vocabulary: Vocabulary) -> None:
    for pattern, outcomes in _OUTCOMES:
        for match in islice(pattern.finditer(draft.rest), _MOST_OUTCOMES):
            values = [
                each
                for outcome in outcomes
                for each in [one for one in vocabulary.outcomes if _SPELLINGS[outcome].match(one)] or [outcome]
            ]
            denied, start = denial(draft, match.start())
            draft.add("not_outcomes" if denied else "outcomes", *values)
            draft.take(start, match.end(), "not outcome" if denied else "outcome", ", ".join(values))


def _read_except(draft: Draft, kinds: Kinds) -> None:
    """Read the kinds of event that are left out: "everything except logins"."""
    for match in _EXCEPT.finditer(draft.rest):
        parts = list(_parts(match["kinds"]))
        meant = kinds.meant_by_parts(parts) if parts else None
        if meant and meant.words.issuperset(word for part in parts for word in part):
            draft.add("not_event_types", *meant.event_types)
            draft.take(match.start(), match.end(), "not event_type", ", ".join(meant.event_types))


def _read_kinds(draft: Draft, kinds: Kinds, vocabulary: Vocabulary) -> tuple[tuple[str, ...], Meant | None]:
    """Read the kinds of event asked for; returns the words left without a meaning, and what some of the words mean.

    A kind is a filter only where every word is explained: a part of a question may mean something else.
    """
    parts = list(_parts(fold_compounds(re.sub(r"\s+", " ", draft.rest))))
    words = [word for part in parts for word in part]
    if not words or draft.conditions.event_types:
        return tuple(words), None
    meant = _meant(kinds, parts, acted_upon=bool(_ACTED_UPON.search(draft.rest)))
    explained = meant.words if meant else frozenset()
    left = tuple(word for word in words if word not in explained)
    stems = frozenset(stem(word) for word in left)
    entity_types = tuple(each for each in vocabulary.entity_types if stem(each) in stems)
    records = {word for word in left if stem(word) in {stem(each) for each in entity_types}}
    # Two kinds of record that no "and" joins are no list of both.
    listed = len(entity_types) == 1 or len(parts) > 1
    # "personnel files that were edited" is about employees: no event of that kind is about a file.
    listed = listed and (not meant or _go_together(vocabulary, meant.event_types, entity_types))
    if records and listed and not (left := tuple(word for word in left if word not in records)):
        draft.add("entity_types", *entity_types)
        draft.note(" ".join(sorted(records)), "entity_type", ", ".join(entity_types))
    if meant and not left:
        if len(meant.event_types) < len(vocabulary.event_types):
            draft.add("event_types", *meant.event_types)
            draft.note(
                " ".join(word for word in words if word in explained), "event_type", ", ".join(meant.event_types)
            )
        return (), meant
    return (tuple(words) if left else ()), meant


def _go_together(vocabulary: Vocabulary, event_types: Iterable[str], entity_types: Iterable[str]) -> bool:
    """Return whether any such event is about any such entity, as far as is known."""
    return not vocabulary.pairs or not vocabulary.pairs.isdisjoint(product(event_types, entity_types))


def _meant(kinds: Kinds, parts: list[list[str]], *, acted_upon: bool) -> Meant | None:
    """Return what the words mean; "requests" and "logs" may be nothing but events, and are tried without."""
    meant = kinds.meant_by_parts(parts)
    words = [word for part in parts for word in part]
    # "users created" is about users, "users who logged in" about log-ins.
    spared = _PEOPLE if acted_upon or (meant and meant.words & _PEOPLE) else frozenset()
    plain = [[word for word in part if word not in _MAY_BE_EMPTY - spared] for part in parts]
    if words and all(word in _MAY_BE_EMPTY for word in words):
        # "denied requests" are no requests for absence, and "logs" are whatever is logged.
        return Meant(kinds.event_types, frozenset(words))
    if meant and meant.words.issuperset(words):
        return meant
    otherwise = kinds.meant_by_parts([[_OTHERWISE.get(word, word) for word in part] for part in parts])
    if otherwise and otherwise.words.issuperset(_OTHERWISE.get(word, word) for word in words):
        return Meant(otherwise.event_types, frozenset(words))
    again = kinds.meant_by_parts([part for part in plain if part])
    rest = [word for part in plain for word in part]
    if again and again.words.issuperset(rest):
        return Meant(again.event_types, again.words | frozenset(words) - frozenset(rest))
    return meant


# Logs are queried where customers are searched for, and people say either of both.
_OTHERWISE: Final = {word: "query" for word, head in ACTION.items() if head == "search"} | {
    word: "search" for word, head in ACTION.items() if head == "query"
}
# More types than that, and the words said what was done but not to what.
_MOST_LIKELY: Final = 8
_PEOPLE: Final = frozenset(["user", "users", "account", "accounts", "employee", "employees"])
_MAY_BE_EMPTY: Final = _PEOPLE | frozenset(
    ["request", "requests", "access", "accesses", "log", "logs", "trail", "trails"]
)


def _parts(text: str) -> Iterator[list[str]]:
    """Yield the words that say something, in parts as "and", "or" and commas part them."""
    for part in _PARTED.split(text.lower()):
        words = [re.sub(r"'s?$", "", match[0]) for match in _TOKEN.finditer(part)]
        said = [word for word in words if word.replace("'", "") not in EMPTY]
        if said:
            yield said


def _shown(period: Period) -> str:
    since = period.since.isoformat().replace("+00:00", "Z") if period.since else "…"
    until = period.until.isoformat().replace("+00:00", "Z") if period.until else "…"
    return f"{since} to {until}"
