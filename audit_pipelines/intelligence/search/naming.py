"""Whom and what a question names: persons, addresses, records, and quoted words, each wanted or ruled out.

Here: finding them in a draft, and what a person is there for: who did it, to whom it was done, or who is left out. Not
here: who a name belongs to, which the vocabulary says.
"""

import ipaddress
import re
from itertools import islice
from typing import Final, Literal

from audit_pipelines.intelligence.search.asked import Person, Vocabulary
from audit_pipelines.intelligence.search.draft import Draft
from audit_pipelines.intelligence.search.kinds import Kinds, stem
from audit_pipelines.intelligence.search.words import ACTIONS, EMPTY

_Part = Literal["actor", "not actor", "entity"]

# A question of more names than this is no question; each lookup may ask the database.
_MOST_LOOKUPS: Final = 150
# Nor is one of more records, addresses or quoted words; each of them is a condition, and looking at one costs 20 µs.
_MOST_NAMED: Final = 32

_ADDRESS: Final = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:/\d{1,3})?)"
    r"(?![\w:]|\.\d)",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r'"([^"]{1,200})"')
_IDENTITY: Final = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}|\barn:[\w:/.@+=-]{1,500}", re.IGNORECASE
)
_IDENTIFIER: Final = re.compile(r"(?<![\w/.@-])/?[A-Za-z0-9_][\w./-]{1,199}(?<![.-])(?![\w/@])")
_MEASURE: Final = re.compile(
    r"\d+(?:\.\d+)?(?:am|pm|h|hrs?|d|days?|w|m|mins?|s|secs?|ms|x|k|kb|mb|gb|tb|st|nd|rd|th)|\d+(?:[./-]\d+)*",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"[^\W\d_][\w'.-]{0,60}\w|[^\W\d_]")
_NEGATION: Final = re.compile(
    r"(?:\bnot\b|\bexcept(?:ing)?(?:\s+for)?\b|\bexclud(?:e|es|ing)\b|\bother\s+than\b|\bapart\s+from\b|\bwithout\b|"
    r"\bbut\s+not\b|\b(?:any(?:one|body|thing)|every(?:one|body|thing)|all)\s+but\b|"
    r"\bbut\s+(?:those|the\s+ones)\b|\boutside(?:\s+of)?\b|n't\b|\bignor(?:e|ing)\b|\bnever\b|\bbesides\b)"
    r"(?:\s+(?:by|from|for|at|in|on|of|done|the|those|any|ones|made|to|was|were|be|user|account|service|address|ip)\b)*"
    r"\s*$",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"\s*(?:,|&|/|\band\b|\bor\b|\bnor\b|\s)+(?:by\s+|from\s+|to\s+|for\s+)?", re.IGNORECASE)
_BY: Final = re.compile(
    r"\b(?:by|from|did|does|do|has|have|had|was|is|were|user|account|actor|person|employee|service)\s*$", re.IGNORECASE
)
_DOER: Final = re.compile(r"\b(?:by|user|account|actor|service)\s*$", re.IGNORECASE)
_ACTIVITY_OF: Final = re.compile(
    r"\b(?:activit(?:y|ies)|actions?|events?|logins?|history|everything|anything|all)\s+(?:of|for|about|on)\s*$",
    re.IGNORECASE,
)
_TO: Final = re.compile(r"\b(?:to|against)\s+(?:the\s+)?(?:user\s+|account\s+|person\s+)?$", re.IGNORECASE)
_OF: Final = re.compile(r"\b(?:for|of|on|about)\s+(?:the\s+)?(?:user\s+|account\s+|person\s+)?$", re.IGNORECASE)
_WHO: Final = re.compile(r"\b(?:who|which\s+\w+|some(?:one|body)|any(?:one|body)|nobody)\b", re.IGNORECASE)
# Not "that": "cases that Lucia closed".
_THE: Final = re.compile(r"\b(?:the|a|an|our|this|any|some|new|all)\s*$", re.IGNORECASE)
_HIS: Final = re.compile(
    r"'s?\s+(?:\w+\s+)?(?:password|passwords|mfa|account|accounts|roles?|permissions?|rights|salary|access|factor|phone)\b",
    re.IGNORECASE,
)
# What is done to people, so that "for Alice" and "of Alice" mean to whom.
_DONE_TO_PEOPLE: Final = frozenset({"reset", "grant", "revoke", "disable", "enable", "invite", "create", "delete"})


def read_phrases(draft: Draft, vocabulary: Vocabulary) -> None:
    """Read quoted words, which events must have as they stand; a quoted event type is that type."""
    for match in islice(_QUOTED.finditer(draft.rest), _MOST_NAMED):
        phrase = match[1].strip()
        if phrase in vocabulary.event_types:
            draft.add("event_types", phrase)
            draft.take(match.start(), match.end(), "event_type", phrase)
        elif phrase:
            draft.add("phrases", phrase)
            draft.take(match.start(), match.end(), "phrase", phrase)


def read_addresses(draft: Draft) -> None:
    """Read IP addresses and networks."""
    for match in islice(_ADDRESS.finditer(draft.rest), _MOST_NAMED):
        try:
            if "/" in match[0]:
                address = str(ipaddress.ip_network(match[0], strict=False))
            else:
                address = str(ipaddress.ip_address(match[0]))
        except ValueError:
            continue
        denied, start = denial(draft, match.start())
        draft.add("not_addresses" if denied else "addresses", address)
        draft.take(start, match.end(), "not ip_address" if denied else "ip_address", address)


def read_exact_types(draft: Draft, vocabulary: Vocabulary) -> None:
    """Read event types written as logs write them: `iam:CreateUser`, or `CreateUser` of whatever source."""
    lower = draft.rest.lower()
    for name in sorted(vocabulary.event_types, key=len, reverse=True):
        action = name.rpartition(":")[2]
        for written in dict.fromkeys((name, action) if re.search(r"[a-z][A-Z]", action) else (name,)):
            if not re.search(r"[:._A-Z]", written) or written.lower() not in lower:
                continue
            match = re.search(rf"(?<![\w:.]){re.escape(written)}(?![\w:])", draft.text, re.IGNORECASE)
            if match:
                denied, start = denial(draft, match.start())
                draft.add("not_event_types" if denied else "event_types", name)
                draft.take(start, match.end(), "not event_type" if denied else "event_type", name)


def denial(draft: Draft, start: int) -> tuple[bool, int]:
    """Return whether what begins at a place is ruled out, and where the words that do so begin."""
    before = draft.before(start)
    match = _NEGATION.search(before)
    return (True, start - len(before) + match.start()) if match else (False, start)


class Names:
    """Persons and records of one question."""

    def __init__(self, draft: Draft, vocabulary: Vocabulary, kinds: Kinds) -> None:
        self._draft = draft
        self._vocabulary = vocabulary
        self._kinds = kinds
        self._looked_up = 0
        self.mentioned = 0
        """How often somebody was named."""
        self._last: tuple[int, _Part] | None = None

    def read_identities(self) -> None:
        """Read addresses of mail and other whole identities, and identifiers of records."""
        for match in islice(_IDENTITY.finditer(self._draft.rest), _MOST_NAMED):
            person = self._person(match[0])
            if person:
                self._note(person, match.start(), match.end())
        named = (each for each in _IDENTIFIER.finditer(self._draft.rest) if _may_be_an_identifier(each[0]))
        for match in islice(named, _MOST_NAMED):
            if self._kinds.knows(match[0]):
                continue
            # The name of a service or an account may look like one, too.
            person = self._person(match[0])
            if person and _is_whole(match[0], person):
                self._note(person, match.start(), match.end(), is_record=True)
                continue
            denied, start = denial(self._draft, match.start())
            self._draft.add("not_entity_ids" if denied else "entity_ids", match[0])
            self._draft.take(start, match.end(), "not entity_id" if denied else "entity_id", match[0])

    def read_persons(self) -> None:
        """Read names of people; the longest that anybody has counts."""
        tokens = list(_TOKEN.finditer(self._draft.rest))
        at = 0
        while at < len(tokens):
            at += self._read_person(tokens[at : at + 3]) or 1

    def _read_person(self, tokens: list[re.Match[str]]) -> int:
        if tokens[0][0].lower() in EMPTY or self._looked_up >= _MOST_LOOKUPS:
            return 0
        for width in range(len(tokens), 0, -1):
            first, last = tokens[0], tokens[width - 1]
            piece = self._draft.rest[first.start() : last.end()]
            if width > 1 and ("," in piece or "  " in piece or any(map(self._is_plain, tokens[:width]))):
                continue
            name = re.sub(r"'s?$", "", piece)
            if last[0].lower() in EMPTY or not self._stands_for_somebody(name, first.start()):
                continue
            person = self._person(name)
            if person and self._is_meant(name, person, first.start()):
                self._note(person, first.start(), first.start() + len(piece))
                return width
        return 0

    def _is_plain(self, token: re.Match[str]) -> bool:
        """Return whether a word is no part of a longer name; each name that may be one costs a look into the vault."""
        return token[0].lower() in EMPTY or (token[0][0].islower() and self._kinds.knows(token[0]))

    def _person(self, name: str) -> Person | None:
        self._looked_up += 1
        return self._vocabulary.person(name) if self._looked_up <= _MOST_LOOKUPS else None

    def _stands_for_somebody(self, name: str, start: int) -> bool:
        """Return whether a name may stand here: words of the trade are names only where one is expected."""
        if len(name) < 2:
            return False
        before = self._draft.before(start)
        if " " not in name and self._kinds.knows(name):
            return bool(_BY.search(before)) or (name[0].isupper() and bool(self._draft.rest[:start].strip()))
        return True

    def _is_meant(self, name: str, person: Person, start: int) -> bool:
        """Return whether a part of an identity stands for the whole: one of a service's only where somebody is due."""
        if " " in name or _is_whole(name, person):
            return True
        before = self._draft.before(start)
        if _THE.search(before):
            return False
        machine = "@" not in person.name and "-" in person.name
        # "have secret reads increased" asks nothing of svc-secret-rotator.
        due = _DOER if self._kinds.knows(name) else _BY
        return not machine or bool(due.search(before))

    def _note(self, person: Person, start: int, end: int, *, is_record: bool = False) -> None:
        part, begin = self._part(start, end)
        if (
            is_record
            and part == "actor"
            and self._draft.rest[:start].strip()
            and not _BY.search(self._draft.before(start))
        ):
            # A customer's number is somebody's name, and things are done to him: "events about C-1223".
            part = "entity"
        self.mentioned += 1
        self._draft.add({"actor": "actors", "not actor": "not_actors", "entity": "persons"}[part], *person.refs)
        self._draft.take(begin, end, part, person.name)
        possessive = re.compile(r"'s?\b").match(self._draft.rest, end)
        if possessive:
            self._draft.blank(end, possessive.end())
        self._last = (end, part)

    def _part(self, start: int, end: int) -> tuple[_Part, int]:
        """Return what somebody is there for, and where the words begin that say so."""
        if self._last and _AND.fullmatch(self._draft.text[self._last[0] : start]):
            return self._last[1], start
        denied, begin = denial(self._draft, start)
        if denied:
            return "not actor", begin
        before = self._draft.before(start)
        if _ACTIVITY_OF.search(before) or _BY.search(before):
            return "actor", start
        if _TO.search(before):
            return "entity", start
        words = [stem(each[0]) for each in _TOKEN.finditer(self._draft.text[max(0, start - 60) : start])]
        acted = [each for each in words if each in ACTIONS]
        if _OF.search(before):
            return ("entity" if acted and acted[-1] in _DONE_TO_PEOPLE else "actor"), start
        if _HIS.match(self._draft.text, end) or re.match(
            r"\s+(?:was|were|is|been|got)\s+(?:granted|given|assigned|revoked)\b", self._draft.text[end:]
        ):
            return "entity", start
        asked_who = _WHO.search(self._draft.text[:start])
        return ("entity" if asked_who and words and words[-1] in ACTIONS else "actor"), start


def _may_be_an_identifier(text: str) -> bool:
    """Return whether a word looks like the id of a record: `INV-0042`, `orders.history`, `/finance`, `a1b2c3`."""
    if _MEASURE.fullmatch(text) or not re.search(r"[A-Za-z]", text):
        return False
    digits = sum(each.isdigit() for each in text)
    if digits:
        return len(text) > 2 and (
            digits > 1 or bool(re.search(r"[./_-]", text)) or any(each.isupper() for each in text)
        )
    return text[0] == "/" or "_" in text or bool(re.fullmatch(r"\w{2,}(?:\.\w{2,})+|\w{2,}(?:/[\w-]{2,})+", text))


def _is_whole(name: str, person: Person) -> bool:
    name, identity = name.casefold(), person.name.casefold()
    return (
        identity == name or identity.startswith(f"{name}@") or "@" in name or ("-" in name and not name.endswith("-"))
    )
