"""A question in plain English as filters that are applied exactly, and the rest of it, which is searched by meaning.

By rules alone, so that the same words always ask the same. Everything understood says which words it was understood
from, to be shown back; what was not understood is never guessed at. How filters become SQL is the server's.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Final, Literal
from uuid import UUID

from audit_pipelines.intelligence.search.kinds import Kinds, fold_compounds
from audit_pipelines.intelligence.search.times import Period, TimeWords, find_times

Wanted = Literal["events", "count", "ranking", "comparison"]
Group = Literal["actor", "event_type", "entity", "network", "day", "hour", "outcome"]
Hours = Literal["off_hours", "night", "weekend"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody named in the question, as the vault knows him."""

    refs: tuple[UUID, ...]
    """All who are called so: "alice" may be two."""
    name: str


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of the question and the filter that they became."""

    words: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an event must be. Empty is "any"; of several values any one holds; conditions hold together."""

    since: datetime | None = None
    until: datetime | None = None
    event_types: tuple[str, ...] = ()
    actors: tuple[UUID, ...] = ()
    not_actors: tuple[UUID, ...] = ()
    persons: tuple[UUID, ...] = ()
    """Who it was done to: the entity is one of them."""
    entity_types: tuple[str, ...] = ()
    entity_ids: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    not_outcomes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    not_addresses: tuple[str, ...] = ()
    hours: Hours | None = None
    phrases: tuple[str, ...] = ()
    """Quoted words, which the event must have as they stand."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked."""

    text: str
    wanted: Wanted
    conditions: Conditions
    group: Group | None = None
    """What a ranking counts by."""
    fewest: bool = False
    top: int | None = None
    first: bool | None = None
    """True for "the first time", False for "the last time"."""
    compared_with: Period | None = None
    meaning: str = ""
    """What to embed for a search by meaning: the question without what became a filter and without words that only ask."""
    likely_types: tuple[str, ...] = ()
    """Event types that some of the words mean, where others stay unexplained: no filter, but a hint for the ranking."""
    unexplained: tuple[str, ...] = ()
    """Words that carry meaning and became no filter; with none of them the filters say it all."""
    understood: tuple[Understood, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the words of a question are looked up in: what the tenant's events say, and who its persons are."""

    event_types: tuple[str, ...]
    entity_types: tuple[str, ...]
    outcomes: tuple[str, ...]
    person: Callable[[str], Person | None] = field(default=lambda _: None)
    """Find somebody by an identity or a part of one that stands for the whole."""


_ADDRESS: Final = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:/\d{1,3})?)(?![\w:]|\.\d)", re.I)  # fmt: skip  # noqa: E501
_QUOTED: Final = re.compile(r'"([^"]{1,200})"|“([^”]{1,200})”')
_IDENTITY: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|arn:[\w:/.@+=-]+", re.I)
# An identifier has digits and a letter, or a path; a plain number is a count or a clock.
_IDENTIFIER: Final = re.compile(r"(?<![\w/])(?=[\w./-]*\d)(?=[\w./-]*[A-Za-z_/-])[A-Za-z0-9_][\w./-]{2,}(?![\w/])")
_TOKEN: Final = re.compile(r"[A-Za-z][\w'’.-]*\w|[A-Za-z]|\d+")  # noqa: RUF001 - apostrophes as people type them
_NEGATION: Final = re.compile(
    r"(?:\bnot\b|\bexcept(?:ing)?(?:\s+for)?\b|\bexclud(?:e|es|ing)\b|\bother\s+than\b|\bapart\s+from\b|\bwithout\b|"
    r"\bbut\s+not\b|\banyone\s+but\b|\banybody\s+but\b|\beveryone\s+but\b|n't\b)(?:\s+(?:by|from|for|at|in|on|done|the|those|any|ones|of|"
    r"events|logins?|address|ip))*\s*$",
    re.I,
)
_OUTCOMES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"\b(?:un-?success(?:ful(?:ly)?)?|fail(?:s|ed|ing|ures?)?|errors?|went\s+wrong|wrong)\b", re.I),
        "failure",
    ),
    (
        re.compile(
            r"\b(?:den(?:y|ies|ied|ials?)|refus(?:ed|als?|es)|reject(?:ed|ions?)|block(?:ed)?|forbidden|unauthori[sz]ed|"
            r"access\s+denied|not\s+allowed|turned\s+away)\b",
            re.I,
        ),
        "denied",
    ),
    (re.compile(r"\b(?:success(?:es|ful(?:ly)?)?|succeed(?:ed|s)?|worked|went\s+through)\b", re.I), "success"),
)
# How the tenants' own words for outcomes fall under the three that people use.
_SPELLINGS: Final = {
    "failure": re.compile(r"(?:fail|err|invalid|unsuccess|timeout|false|ko$|5\d\d)", re.I),
    "denied": re.compile(r"(?:den|refus|reject|block|forbid|unauthori|40[13])", re.I),
    "success": re.compile(r"(?:success|succeed|ok|allow|granted|pass|complete|accept|true|approved|permit)", re.I),
}
_HOURS: Final[tuple[tuple[re.Pattern[str], Hours], ...]] = (
    (
        re.compile(
            r"\b(?:outside\s+(?:of\s+)?(?:business|office|working|work|normal)\s+hours|(?:after|off|out\s+of)[\s-]hours|"
            r"unusual\s+(?:hours|times?)|outside\s+(?:of\s+)?working\s+time)\b",
            re.I,
        ),
        "off_hours",
    ),
    (
        re.compile(
            r"\b(?:at\s+night|overnight|during\s+the\s+night|in\s+the\s+middle\s+of\s+the\s+night|nightly)\b", re.I
        ),
        "night",
    ),
    (re.compile(r"\b(?:on|at|during|over)\s+(?:the\s+)?weekends?\b", re.I), "weekend"),
)
_COUNT: Final = re.compile(
    r"\b(?:how\s+(?:many|often|much)|(?:the\s+)?(?:total\s+)?(?:number|count|amount)\s+of|count(?:\s+of|\s+the|\s+all)?|total)\b",
    re.I,
)
_MOST: Final = re.compile(
    r"\b(?:(?:the\s+)?most(?:\s+(?:often|frequent(?:ly)?|active|common|times))?|(?:the\s+)?(?:fewest|least)(?:\s+(?:often|active|common))?|"
    r"(?:the\s+)?busiest|top(?:\s+(?P<top>\d{1,4}|three|five|ten|twenty))?|rank(?:ed|ing)?)\b",
    re.I,
)
_PER: Final = re.compile(
    r"\b(?:per|by|for\s+each|for\s+every|each|grouped\s+by|broken\s+down\s+by)\s+(?P<group>[a-z]+(?:\s+type)?)\b", re.I
)
_SUBJECT: Final = re.compile(
    r"\b(?:who(?:se|m)?|which\s+(?P<what>[a-z_]+(?:\s+(?:type|address|of\s+event))?s?)|what\s+(?P<kind>kinds?|types?|[a-z]+))\b",
    re.I,
)
_GROUPS: Final[dict[str, Group]] = {
    "who": "actor", "user": "actor", "person": "actor", "people": "actor", "actor": "actor", "account": "actor",
    "employee": "actor", "service": "actor", "somebody": "actor", "event": "event_type", "type": "event_type",
    "event type": "event_type", "kind": "event_type", "action": "event_type", "operation": "event_type",
    "activity": "event_type", "network": "network", "address": "network", "ip": "network", "ip address": "network",
    "location": "network", "day": "day", "date": "day", "hour": "hour", "time": "hour", "outcome": "outcome",
    "result": "outcome",
}  # fmt: skip
_TOPS: Final = {"three": 3, "five": 5, "ten": 10, "twenty": 20}
_COMPARED: Final = re.compile(
    r"\b(?:compar(?:ed|e|ing|ison)\s*(?:with|to|and|against)?|versus|vs\.?|against|as\s+opposed\s+to|(?:more|less|fewer)\b.*?\bthan|than)"
    r"(?:\s+(?:in|on|during|the|for))*\s*$",
    re.I,
)
_BEFORE_THAT: Final = re.compile(
    r"\b(?:compar(?:ed|e|ing)\s+(?:with|to)|versus|vs\.?|than|against)\s+(?:the\s+)?(?:one\s+before|last|previous|prior|period\s+before|"
    r"before|last\s+one|previous\s+one|preceding)\b\s*(?:one|period)?",
    re.I,
)
_TIMES: Final = re.compile(
    r"\b(?:(?:for\s+)?the\s+)?(?P<which>first|last|latest|most\s+recent(?:ly)?|newest|earliest|oldest)\s+(?:time|ever)?\b",
    re.I,
)
# Words that ask, and carry nothing of what is asked for.
_EMPTY: Final = frozenset(
    """
    a about across after again all also am an and any anybody anyone anything are as ask at audit be because been before
    being between but by can case could did do does doing done during each either entries entry even event events ever
    every everybody everyone everything find finds for from full give had happen happened happening happens has have he
    her hers him his how i if in into is it item items its itself just know kind kinds last latest let like list
    logged logs look made make many may me might more most much must my name need no nobody now occur occurred of off
    on one ones only or other our out over own perform performed person people per please possible record recorded
    records related same say see seen several she should show shown since so some somebody someone something stuff
    system take taken tell than that the their them then there these they thing things this those through time times
    to too trail try tried type under until up us was we were what when where which while who whom whose why will with
    within without would you your activity activities action actions happenings data detail details information info
    done today yesterday user users account's actor actors involving involved regarding concerning belonging against
    """.split()
)
_PERSON_BEFORE: Final = re.compile(
    r"\b(?P<word>by|from|did|has|have|does|do|had|was|were|is|user|users|actor|person|employee|of|for|to|and|or|,|with|about|on|account)\s*$",
    re.I,
)
_DONE_TO: Final = re.compile(r"\b(?:to|for|of|on|about|against)\s*(?:the\s+)?(?:user|account|person)?\s*$", re.I)


def understand(text: str, vocabulary: Vocabulary, *, now: datetime, zone: tzinfo) -> Question:
    """Return what a question asks, with every filter and the words that it was understood from.

    `now` has a zone; days and clocks are those of `zone`.
    """
    return _Reading(text, vocabulary, now, zone).question()


class _Reading:
    """One question while it is read: each reader takes the words that it understands, the rest is left."""

    def __init__(self, text: str, vocabulary: Vocabulary, now: datetime, zone: tzinfo) -> None:
        self._text = text
        self._rest = text
        self._vocabulary = vocabulary
        self._kinds = Kinds(vocabulary.event_types)
        self._now, self._zone = now, zone
        self._conditions = Conditions()
        self._understood: list[Understood] = []
        self._compared_with: Period | None = None

    def question(self) -> Question:
        self._phrases()
        self._addresses()
        self._hours()
        self._times()
        meaning = re.sub(r"\s+", " ", self._rest).strip()
        self._exact_types()
        self._identities()
        self._entities()
        self._outcomes()
        wanted, group, fewest, top = self._wanted()
        first = self._first_or_last()
        self._persons()
        unexplained = self._event_types()
        if self._compared_with:
            wanted = "comparison"
        return Question(
            self._text, wanted, self._conditions, group, fewest, top, first, self._compared_with, meaning, (), unexplained,
            tuple(self._understood),
        )  # fmt: skip

    # ------------------------------------------------------------------ bookkeeping

    def _take(self, start: int, end: int, field_name: str, value: str) -> None:
        self._understood.append(Understood(self._text[start:end].strip(), field_name, value))
        self._rest = self._rest[:start] + " " * (end - start) + self._rest[end:]

    def _add(self, name: str, *values: object) -> None:
        known = getattr(self._conditions, name)
        self._conditions = replace(self._conditions, **{name: (*known, *(v for v in values if v not in known))})

    def _negation(self, start: int) -> tuple[bool, int]:
        """Return whether what begins here is denied, and where the denial begins."""
        match = _NEGATION.search(self._rest[:start])
        return (True, match.start()) if match else (False, start)

    # ------------------------------------------------------------------ readers

    def _phrases(self) -> None:
        for match in _QUOTED.finditer(self._rest):
            phrase = (match[1] or match[2]).strip()
            if phrase in self._vocabulary.event_types:
                self._add("event_types", phrase)
                self._take(match.start(), match.end(), "event_type", phrase)
            elif phrase:
                self._add("phrases", phrase)
                self._take(match.start(), match.end(), "phrase", phrase)

    def _addresses(self) -> None:
        for match in _ADDRESS.finditer(self._rest):
            try:
                if "/" in match[0]:
                    address = str(ipaddress.ip_network(match[0], strict=False))
                else:
                    address = str(ipaddress.ip_address(match[0]))
            except ValueError:
                continue
            denied, start = self._negation(match.start())
            self._add("not_addresses" if denied else "addresses", address)
            self._take(start, match.end(), "not ip_address" if denied else "ip_address", address)

    def _hours(self) -> None:
        for pattern, hours in _HOURS:
            match = pattern.search(self._rest)
            if match and self._conditions.hours is None:
                self._conditions = replace(self._conditions, hours=hours)
                self._take(match.start(), match.end(), "hours", hours)

    def _times(self) -> None:
        found = find_times(self._rest, self._now, self._zone)
        before = _BEFORE_THAT.search(self._rest)
        for words in found:
            if before and before.start() < words.end and words.start < before.end() and words is not found[0]:
                before = None
        if len(found) > 1 and _COMPARED.search(self._rest[: found[1].start]):
            self._compared_with = found[1].period
            self._take(found[1].start, found[1].end, "compared with", _shown(found[1].period))
            found = [found[0], *found[2:]]
        elif found and before:
            earlier = _earlier(found[0].period, self._now, self._zone)
            if earlier:
                self._compared_with = earlier
                self._take(before.start(), before.end(), "compared with", _shown(earlier))
        for words in found:
            denied, _ = self._negation(words.start)
            if not denied:
                self._narrow(words)

    def _narrow(self, words: TimeWords) -> None:
        since, until = self._conditions.since, self._conditions.until
        period = words.period
        later = max((each for each in (since, period.since) if each), default=None)
        sooner = min((each for each in (until, period.until) if each), default=None)
        if later and sooner and later >= sooner:
            # "today and yesterday": two periods beside each other are both meant.
            later = min(each for each in (since, period.since) if each)
            sooner = max(each for each in (until, period.until) if each)
        self._conditions = replace(self._conditions, since=later, until=sooner)
        self._take(words.start, words.end, "time", _shown(period))

    def _exact_types(self) -> None:
        for name in sorted(self._vocabulary.event_types, key=len, reverse=True):
            if not re.search(r"[:._A-Z]", name):
                continue
            match = re.search(rf"(?<![\w:.]){re.escape(name)}(?![\w:])", self._rest, re.I)
            if match:
                self._add("event_types", name)
                self._take(match.start(), match.end(), "event_type", name)

    def _identities(self) -> None:
        for match in _IDENTITY.finditer(self._rest):
            person = self._vocabulary.person(match[0])
            if person:
                self._person(person, match.start(), match.end())

    def _entities(self) -> None:
        for match in _IDENTIFIER.finditer(self._rest):
            person = self._vocabulary.person(match[0])
            if person:
                self._person(person, match.start(), match.end())
                continue
            self._add("entity_ids", match[0])
            self._take(match.start(), match.end(), "entity_id", match[0])

    def _outcomes(self) -> None:
        for pattern, outcome in _OUTCOMES:
            for match in pattern.finditer(self._rest):
                values = [each for each in self._vocabulary.outcomes if _SPELLINGS[outcome].match(each)] or [outcome]
                denied, start = self._negation(match.start())
                self._add("not_outcomes" if denied else "outcomes", *values)
                self._take(start, match.end(), "not outcome" if denied else "outcome", ", ".join(values))

    def _wanted(self) -> tuple[Wanted, Group | None, bool, int | None]:
        most, count, per = _MOST.search(self._rest), _COUNT.search(self._rest), _PER.search(self._rest)
        group = _GROUPS.get(_singular(per["group"])) if per else None
        if per and group and (count or most):
            self._take(per.start(), per.end(), "grouped by", group)
        elif not (most or count):
            group = None
        if most and not re.fullmatch(r"(?:the\s+)?most\s+recent(?:ly)?", most[0], re.I):
            subject = _SUBJECT.search(self._rest)
            asked = subject and (subject["what"] or subject["kind"] or "who")
            group = group or (_GROUPS.get(_singular(asked), "entity") if asked else "actor")
            fewest = bool(re.search(r"fewest|least", most[0], re.I))
            top = most["top"]
            number = None if top is None else _TOPS.get(top.lower()) or int(top)
            self._take(most.start(), most.end(), "ranking", f"by {group}, {'fewest' if fewest else 'most'} first")
            if subject:
                self._take(subject.start(), subject.end(), "ranking of", group)
            return "ranking", group, fewest, number
        if count:
            self._take(count.start(), count.end(), "count", "number of events")
            return ("ranking" if group else "count"), group, False, None
        return "events", None, False, None

    def _first_or_last(self) -> bool | None:
        match = _TIMES.search(self._rest)
        if not match or not re.search(r"\bwhen\b|\btime\b|\bever\b", self._text, re.I):
            return None
        first = match["which"].lower() in {"first", "earliest", "oldest"}
        self._take(match.start(), match.end(), "order", "first" if first else "last")
        return first

    def _persons(self) -> None:
        tokens = list(_TOKEN.finditer(self._rest))
        at = 0
        while at < len(tokens):
            for width in (3, 2, 1):
                piece = tokens[at : at + width]
                if len(piece) < width or self._rest[piece[0].start() : piece[-1].end()].count(",") > 0:
                    continue
                start, end = piece[0].start(), piece[-1].end()
                name = re.sub(r"['’]s$", "", self._rest[start:end])  # noqa: RUF001
                if self._may_be_a_person(name, start) and (person := self._vocabulary.person(name)):
                    self._person(person, start, end)
                    at += width - 1
                    break
            at += 1

    def _may_be_a_person(self, name: str, start: int) -> bool:
        """Return whether a name would stand here: common words are names only where one is expected."""
        if len(name) < 2 or name.lower() in _EMPTY:
            return False
        if self._kinds.knows(name):
            return bool(re.search(r"\b(?:by|user|actor|did|has)\s*$", self._rest[:start], re.I)) or name[0].isupper()
        return True

    def _person(self, person: Person, start: int, end: int) -> None:
        denied, begin = self._negation(start)
        if denied:
            self._add("not_actors", *person.refs)
            self._take(begin, end, "not actor", person.name)
        elif _DONE_TO.search(self._rest[:start]) and not re.search(r"\b(?:activity|actions?|events?|logins?|log-ins?|history)\s+(?:of|for)\s*$", self._rest[:start], re.I):  # fmt: skip  # noqa: E501
            self._add("persons", *person.refs)
            self._take(start, end, "entity", person.name)
        else:
            self._add("actors", *person.refs)
            self._take(start, end, "actor", person.name)

    def _event_types(self) -> tuple[str, ...]:
        folded = fold_compounds(self._rest)
        words = [
            match[0].lower()
            for match in _TOKEN.finditer(folded)
            if match[0].lower() not in _EMPTY or (match[0].lower() in {"log", "logs"} and False)
        ]
        words = [re.sub(r"['’]s$", "", word) for word in words if not word.isdigit()]  # noqa: RUF001
        meant = self._kinds.meant(words) if words and not self._conditions.event_types else None
        unexplained = tuple(word for word in words if meant is None or word not in meant.words)
        if meant and not unexplained and len(meant.event_types) < len(self._vocabulary.event_types):
            self._add("event_types", *meant.event_types)
            self._understood.append(Understood(" ".join(words), "event_type", ", ".join(meant.event_types)))
        elif meant:
            unexplained = tuple(words)
        return unexplained


def _singular(word: str) -> str:
    word = re.sub(r"\s+", " ", word.lower())
    return word[:-3] + "y" if word.endswith("ies") else word[:-2] if word.endswith("sses") else word.removesuffix("s")


def _earlier(period: Period, now: datetime, zone: tzinfo) -> Period | None:
    """Return the period of the same length just before."""
    if period.since is None:
        return None
    until = period.until or now
    local_since, local_until = period.since.astimezone(zone), until.astimezone(zone)
    length = local_until.replace(tzinfo=None) - local_since.replace(tzinfo=None)
    since = (local_since.replace(tzinfo=None) - length).replace(tzinfo=zone)
    return Period(since.astimezone(period.since.tzinfo), period.since)


def _shown(period: Period) -> str:
    since = period.since.isoformat().replace("+00:00", "Z") if period.since else "…"
    until = period.until.isoformat().replace("+00:00", "Z") if period.until else "…"
    return f"{since} to {until}"


def times_of(conditions: Conditions) -> Sequence[datetime | None]:
    """Return both ends."""
    return conditions.since, conditions.until
