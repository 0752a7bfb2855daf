"""What form of answer a question asks for: events, a count, a ranking, a comparison of two periods, the first or last.

Here: the words that say so, taken out of the draft. Not here: which events it is about. A ranking by something that
events do not have (departments, say) is not understood, rather than made one by something else.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from audit_pipelines.intelligence.search.asked import Group, Wanted
from audit_pipelines.intelligence.search.draft import Draft
from audit_pipelines.intelligence.search.kinds import Kinds, is_doer, stem
from audit_pipelines.intelligence.search.times import Period, TimeWords
from audit_pipelines.intelligence.search.words import ACTIONS, EMPTY

_COUNT: Final = re.compile(
    r"\b(?:how\s+(?:many(?:\s+times)?|often)|(?:the\s+)?(?:total\s+)?(?:number|nr|no|count|amount|tally)\.?\s+of|"
    r"count(?:\s+(?:of|up))?(?:\s+(?:the|all))?|in\s+total)\b|#\s+of\b",
    re.IGNORECASE,
)
_TOPS: Final = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
    "fifteen": 15, "twenty": 20,
}  # fmt: skip
_SOME: Final = rf"\d{{1,4}}|{'|'.join(_TOPS)}"
_MOST: Final = re.compile(
    rf"\b(?:the\s+)?(?:(?P<some>{_SOME})\s+)?(?:(?:(?<!at )|(?<=looked at ))"
    r"(?P<most>most|fewest|least|rarest|scarcest|commonest)"
    r"(?!\s+(?:recent|of\b))"
    r"(?:\s+(?:often|frequent(?:ly)?|active|common(?:ly)?|rare(?:ly)?|popular|usual(?:ly)?|seldom|times|busy))?"
    r"(?:\s+(?P<used>used|seen|performed|occurring))?"
    r"|(?P<extreme>highest|largest|biggest|greatest|lowest|smallest|tiniest)\s+(?:number|count|amount|volume)\s+of"
    rf"|busiest|quietest|(?:only\s+|very\s+)?(?:rarely|seldom|hardly\s+ever)"
    rf"|(?:top|bottom)(?:\s+(?P<top>{_SOME}))?|rank(?:ed|ing)?(?:\s+of)?)\b",
    re.IGNORECASE,
)
_FEWEST: Final = re.compile(
    r"fewest|least|lowest|smallest|tiniest|quietest|rare|scarcest|seldom|hardly|bottom", re.IGNORECASE
)
_NOUN: Final = r"(?P<noun>event\s+types?|types?\s+of\s+events?|kinds?\s+of\s+events?|ip\s+addresse?s?|[a-z_]+)"
_PER: Final = re.compile(
    rf"\b(?P<how>per|for\s+each|for\s+every|each|grouped\s+by|group\s+by|(?:broken|break|split)\s+(?:down\s+)?by|by)\s+(?:the\s+)?{_NOUN}\b",
    re.IGNORECASE,
)
_SO_MANY: Final = re.compile(rf"\bthe\s+(?P<some>{_SOME})\s+{_NOUN}\b", re.IGNORECASE)
_WHICH: Final = re.compile(
    rf"\b(?:which|what)\s+(?:are\s+|is\s+|were\s+|was\s+|kinds?\s+of\s+)?(?:the\s+)?(?:(?P<some>{_SOME})\s+)?{_NOUN}\b",
    re.IGNORECASE,
)
# "networks with the most denied requests"
_WITH: Final = re.compile(
    rf"(?:^|\bthe\s+)\W*(?:the\s+)?(?:(?P<some>{_SOME})\s+)?{_NOUN}\s+(?:with|having|who\s+had|that\s+had|which\s+had)\s*$",
    re.IGNORECASE,
)
_NEXT: Final = re.compile(rf"\s*{_NOUN}\b", re.IGNORECASE)
_PHRASE: Final = re.compile(r"\s*((?:[a-z_]+\s*){1,4})", re.IGNORECASE)
_WHO: Final = re.compile(r"\bwho(?:se|m)?\b", re.IGNORECASE)
_GROUPS: Final[dict[str, Group]] = {
    "user": "actor", "person": "actor", "people": "actor", "actor": "actor", "account": "actor", "employee": "actor",
    "service": "actor", "somebody": "actor", "colleague": "actor", "identity": "actor", "event type": "event_type",
    "type of event": "event_type", "kind of event": "event_type", "type": "event_type", "kind": "event_type",
    "event": "event_type", "action": "event_type", "operation": "event_type", "activity": "event_type",
    "network": "network", "address": "network", "ip": "network", "ip address": "network", "location": "network",
    "day": "day", "date": "day", "hour": "hour", "outcome": "outcome", "result": "outcome",
}  # fmt: skip
_DISTINCT: Final = re.compile(
    r"\bhow\s+many\s+(?P<different>different\s+|distinct\s+|unique\s+)?"
    r"(?P<noun>users|people|persons|employees|accounts|services|actors|colleagues|ips|ip\s+addresses|addresses|networks)\b"
    r"(?P<rest>(?:\s+\w+){0,3})",
    re.IGNORECASE,
)
# "users by number of downloads"
_SORTED: Final = re.compile(
    rf"\b{_NOUN}\s+(?:(?:ordered|sorted|ranked|listed)\s+)?by\s+(?:the\s+|their\s+)?(?:number|count|amount)\s+of\b",
    re.IGNORECASE,
)
_OVER: Final = re.compile(r"over\b", re.IGNORECASE)
_SAW: Final = re.compile(r"\b(?:saw|sees?)\s+$", re.IGNORECASE)
_COMPARING: Final = (
    r"compar(?:ed?|es|ing|isons?)|versus|vs\.?|against|than|as\s+opposed\s+to|relative\s+to|differen(?:ce|t|ces)"
)
_COMPARED: Final = re.compile(rf"\b(?:{_COMPARING})(?![\w])", re.IGNORECASE)
_COMPARING_WORDS: Final = re.compile(
    rf"\b(?:(?:{_COMPARING})(?:\s+(?:with|to|and|against|between|of|from))?|more|fewer|less|higher|lower)(?![\w])",
    re.IGNORECASE,
)
_OR: Final = re.compile(r"[\s,]*\b(?:or|and|with|to|from|than|over)\b[\s\w]{0,12}$|[\s,]*$", re.IGNORECASE)
_PREVIOUS: Final = re.compile(
    r"\b(?:with|to|versus|vs\.?|than|against|from|and|over)\s+(?:"
    r"(?:the\s+)?(?:last|previous|prior|preceding)(?:\s+(?:one|period|time))?(?=\s*(?:$|[.,?!;]))|"
    r"(?:in\s+|on\s+|during\s+)?(?:the\s+)?(?:(?:\d{1,4}\s+)?(?:minutes?|hours?|days?|weeks?|weekends?|months?|quarters?|years?)|one|period|same\s+period|time)"
    r"\s+(?:before|earlier|prior|previously)(?:\s+that)?(?!\s+yesterday)|before(?=\s*(?:$|[.,?!;])))",
    re.IGNORECASE,
)
_SAME: Final = re.compile(
    r"\b(?:the\s+)?same\s+(?:time|day|period|hours?|weekday|point)?\s*(?:of\s+|in\s+|on\s+)?(?:the\s+)?"
    r"(?:(?P<which>last|previous|prior|preceding)\s+(?P<unit>day|week|month|year)|(?P<before>day|week|month|year)\s+(?:before|ago|earlier)"
    r"|(?P<yesterday>yesterday))\b",
    re.IGNORECASE,
)
_BREAKDOWN: Final = re.compile(
    r"\b(?:break(?:ing)?\s*down|breakdown|broken\s+down|distribution|split|histogram|grouped|group)\b(?:\s+of\b)?",
    re.IGNORECASE,
)
_TREND: Final = re.compile(
    r"\b(?:increas(?:e|ed|es|ing)|decreas(?:e|ed|es|ing)|declin(?:e|ed|ing)|grow(?:n|th|ing)?|grew|rise|rose|risen|rising|"
    r"(?:go|goes|gone|going|went)\s+(?:up|down)|trend(?:s|ing)?)\b",
    re.IGNORECASE,
)
_ASKING: Final = re.compile(
    r"\s*(?:so\s+|and\s+)?(?:did|has|have|is|are|was|were|do|does|how\s+much|by\s+how\s+much|what)\b", re.IGNORECASE
)
_ORDER: Final = re.compile(
    r"\b(?:for\s+)?(?:the\s+)?(?:very\s+)?(?P<which>first|last|latest|most\s+recent(?:ly)?|newest|earliest|oldest)"
    rf"(?:\s+(?P<count>{_SOME}))?(?:\s+(?:time|ever|ones?|seen))?\b(?!\s+names?\b)",
    re.IGNORECASE,
)
_IMPERATIVE: Final = re.compile(
    r"\s*(?:(?:please|pls|hi|hey|hello|can\s+you|could\s+you|i\s+(?:want|need)\s+to\s+(?:see|know)|let\s+me\s+see)[\s,]+)*"
    r"(?:(?:show|list|find|give|get|display|view|tell|bring|print|return)\b(?:\s+(?:me|us|up|out|all|every)\b)*|"
    r"(?:search|look|check|query)\s+(?:for|up|all|whether|if|in|through\s+all)\b|report\s+(?:on|all)\b)",
    re.IGNORECASE,
)


def read_imperative(draft: Draft) -> None:
    """Take out the "show me" and "search for" that a question may begin with: they are no kind of event."""
    match = _IMPERATIVE.match(draft.rest)
    if match and match.end() < len(draft.rest):
        draft.blank(match.start(), match.end())


def read_comparison(
    draft: Draft, found: list[TimeWords], now: datetime, zone: tzinfo
) -> tuple[TimeWords | None, Period | None]:
    """Return which of the times named is the other period of a comparison, and that period; both None where it is none.

    The period may be named by itself ("than last week") or from the first ("compared with the week before").
    """
    for one, other in pairwise(found):
        between = draft.rest[one.end : other.start]
        lead = draft.rest[: one.start]
        if _COMPARED.search(between) or (
            (_COMPARED.search(lead[-100:]) or re.search(r"\b(?:more|fewer|less)\b", lead[-100:], re.IGNORECASE))
            and _OR.fullmatch(between)
        ):
            return other, other.period
        rising = _TREND.search(lead)
        if rising and _OR.fullmatch(between) and (between.strip(" ,") or _OVER.match(draft.rest, other.start)):
            draft.blank(rising.start(), rising.end())
            return other, other.period
    if not found:
        return None, None
    match = next((each for each in _PREVIOUS.finditer(draft.rest) if _COMPARED.search(draft.rest[: each.end()])), None)
    trend = _TREND.search(draft.rest) if _ASKING.match(draft.rest) else None
    if not match and not trend:
        return None, None
    earlier = _earlier(found[0].period, now, zone)
    if earlier and match:
        draft.blank(match.start(), match.end())
    elif earlier and trend:
        draft.blank(trend.start(), trend.end())
    return None, earlier


def read_same_time(draft: Draft) -> str | None:
    """Return the unit by which "the same day last week" lies back, having taken the words out of the rest."""
    match = _SAME.search(draft.rest)
    if not match or not _COMPARED.search(draft.rest[: match.end()]):
        return None
    draft.blank(match.start(), match.end())
    return "day" if match["yesterday"] else (match["unit"] or match["before"]).lower()


def shifted(period: Period, unit: str, zone: tzinfo) -> Period | None:
    """Return a period so much earlier on the caller's calendar; None where that calendar has no such day."""
    ends = [_back(each, unit, zone) if each else None for each in (period.since, period.until)]
    return None if ends == [None, None] else Period(*ends)


def _back(moment: datetime, unit: str, zone: tzinfo) -> datetime | None:
    local = moment.astimezone(zone)
    if unit in {"day", "week"}:
        return (local - timedelta(days=7 if unit == "week" else 1)).astimezone(moment.tzinfo)
    place = local.year * 12 + local.month - 1 - (12 if unit == "year" else 1)
    try:
        return local.replace(year=place // 12, month=place % 12 + 1).astimezone(moment.tzinfo)
    except ValueError:
        return None


def read_versus(draft: Draft, form: "Form", persons: int) -> "Form":
    """Make a comparison of people or of outcomes a ranking by them."""
    if not _COMPARED.search(draft.rest) and not re.search(r"\b(?:more|fewer|less)\b", draft.rest, re.IGNORECASE):
        return form
    group: Group | None = "actor" if persons > 1 else "outcome" if len(draft.conditions.outcomes) > 1 else None
    if group is None:
        return form
    end_comparison(draft)
    draft.note(draft.text.strip(), "ranking", f"by {group}, most first")
    return Form("ranking", group)


def end_comparison(draft: Draft) -> None:
    """Take out the words that compare, once it is known what with."""
    for match in _COMPARING_WORDS.finditer(draft.rest):
        draft.blank(match.start(), match.end())


@dataclass(frozen=True, slots=True)
class Form:
    """The form of the answer."""

    wanted: Wanted = "events"
    group: Group | None = None
    fewest: bool = False
    top: int | None = None
    distinct: bool = False


def read_form(draft: Draft, kinds: Kinds) -> Form:
    """Read whether a count or a ranking is wanted, and by what."""
    distinct = _DISTINCT.search(draft.rest)
    if distinct and (distinct["different"] or not _is_passive(distinct["rest"])):
        group = _GROUPS[_singular(distinct["noun"])]
        draft.take(distinct.start(), distinct.end("noun"), "count", f"number of different values of {group}")
        return Form("ranking", group, distinct=True)
    sorted_by = _SORTED.search(draft.rest)
    sorted_group = _GROUPS.get(_singular(sorted_by["noun"])) if sorted_by else None
    if sorted_by and sorted_group and not _MOST.search(draft.rest):
        draft.take(sorted_by.start(), sorted_by.end(), "ranking", f"by {sorted_group}, most first")
        return Form("ranking", sorted_group)
    most, count = _MOST.search(draft.rest), _COUNT.search(draft.rest)
    breakdown = _BREAKDOWN.search(draft.rest)
    per = _per(draft, kinds, loosely=bool(most or count or breakdown))
    if breakdown and per:
        draft.blank(breakdown.start(), breakdown.end())
    if most:
        form = _ranking(draft, kinds, most, per)
        if form:
            if count and form.group != "hour":
                draft.blank(count.start(), count.end())
            return form
    if per and (count or not most):
        draft.take(per[0], per[1], "grouped by", per[2])
        if count:
            draft.take(count.start(), count.end(), "count", "number of events")
        return Form("ranking", per[2])
    if count and not most:
        for again in _COUNT.finditer(draft.rest, count.end()):
            draft.blank(again.start(), again.end())
        draft.take(count.start(), count.end(), "count", "number of events")
        return Form("count")
    return Form()


def read_order(draft: Draft) -> tuple[bool | None, int | None]:
    """Return True for the first, False for the last, None for all, and how many of them where a number says so."""
    match = _ORDER.search(draft.rest)
    if not match:
        return None, None
    first = match["which"].lower() in {"first", "earliest", "oldest"}
    number = match["count"]
    draft.take(match.start(), match.end(), "order", "first" if first else "last")
    return first, None if number is None else _number(number)


def _ranking(draft: Draft, kinds: Kinds, most: re.Match[str], per: tuple[int, int, Group] | None) -> Form | None:
    fewest = bool(_FEWEST.search(most[0]))
    before = draft.rest[: most.start()]
    which = _WHICH.search(draft.rest) or _WITH.search(before) or _so_many(before, kinds)
    # "what are the most common actions" asks by the noun after "most common".
    which = (
        which
        if which
        and which.start() < most.start()
        and not which["noun"].lower().startswith(("most", "fewest", "least", "top", "busiest"))
        else None
    )
    some = most["top"] or most["some"] or (which and which["some"])
    top = _number(some) if some else None
    following = _NEXT.match(draft.rest, most.end())
    group: Group | None = None
    blanks = [(most.start(), most.end())]
    saw = _SAW.search(before)
    if saw:
        blanks.append((saw.start(), saw.end()))
    if which:
        group = _group(which["noun"], kinds)
        if group is None:
            return None
        # A kind of record stays: "which customer was read most" is about customers.
        end = which.start("noun") if group == "entity" else which.end()
        blanks.append((which.start(), end))
    elif following and _singular(following["noun"]) in _GROUPS:
        group = _GROUPS[_singular(following["noun"])]
        # "the most events" counts events; "the top event types" are event types.
        if _singular(following["noun"]) == "event" and not most["top"]:
            group = per[2] if per else "actor"
        blanks.append((following.start(), following.end()))
    elif per:
        group = per[2]
    elif _WHO.search(draft.rest):
        group = "actor"
    else:
        group = _group_of_phrase(draft.rest[most.end() :], kinds, of_records=bool(most["top"] or most["used"]))
    if per and per[2] == group:
        blanks.append((per[0], per[1]))
    draft.note(
        draft.text[most.start() : most.end()].strip(), "ranking", f"by {group}, {'fewest' if fewest else 'most'} first"
    )
    for start, end in blanks:
        draft.blank(start, end)
    return Form("ranking", group, fewest, top)


def _so_many(before: str, kinds: Kinds) -> re.Match[str] | None:
    """Return "the five files" of "the five files opened most often", if it is something that can be ranked."""
    found = _SO_MANY.search(before)
    return found if found and _group(found["noun"], kinds) else None


def _group_of_phrase(after: str, kinds: Kinds, *, of_records: bool) -> Group:
    """Return what "most downloaded files" ranks: the records where something is done to them, else who did it.

    With `of_records` a kind of record suffices: the "top 10 customers".
    """
    phrase = _PHRASE.match(after)
    words = phrase[1].split() if phrase else []
    noun = next((place for place, word in enumerate(words) if word.lower() in EMPTY), len(words)) - 1
    if noun < 0 or is_doer(words[noun]) or stem(words[noun]) in ACTIONS or not kinds.knows(words[noun]):
        return "actor"
    return "entity" if of_records or (noun and stem(words[noun - 1]) in ACTIONS) else "actor"


def _per(draft: Draft, kinds: Kinds, *, loosely: bool) -> tuple[int, int, Group] | None:
    """Return the place of a "per day" and what it groups by; "by" alone does so only beside a count."""
    for match in _PER.finditer(draft.rest):
        noun = _singular(match["noun"])
        group = _GROUPS.get(noun) or (_group(noun, kinds) if match["how"].lower() == "per" else None)
        if group is None:
            continue
        if match["how"].lower() in {"by", "each"}:
            following = re.match(r"\s*([^\W\d_]\w*)", draft.rest[match.end() :])
            # "by user alice" is about her; nobody is called hour.
            named = following and following[1].lower() not in EMPTY and match["how"].lower() == "by"
            if named or not (loosely or group not in {"actor", "entity"}):
                continue
        return match.start(), match.end(), group
    return None


def _group(noun: str, kinds: Kinds) -> Group | None:
    return _GROUPS.get(_singular(noun)) or ("entity" if kinds.knows(noun) and stem(noun) not in ACTIONS else None)


def _is_passive(words: str) -> bool:
    """Return whether something was done to those counted: "accounts were created", not "users logged in"."""
    auxiliary = re.match(r"\s+(?:were|was|are|is|got|have\s+been|has\s+been|had\s+been)\s+(\w+)", words)
    done = re.match(r"\s+(\w+ed)\b", words)
    return bool(auxiliary and stem(auxiliary[1]) in ACTIONS) or bool(
        done and stem(done[1]) in {"create", "delete", "disable", "enable", "invite"}
    )


def _number(word: str) -> int:
    return _TOPS.get(word.lower()) or int(word)


def _singular(word: str) -> str:
    word = re.sub(r"\s+", " ", word.lower())
    if word.endswith("addresses"):
        return word[:-2]
    if word.startswith(("types of", "kinds of")):
        word = word.replace("s of", " of", 1)
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word if word.endswith("ss") else word.removesuffix("s")


def _earlier(period: Period, now: datetime, zone: tzinfo) -> Period | None:
    """Return the period of the same length just before, by the caller's calendar; of an open one, up to now."""
    if period.since is None:
        return None
    since, until = (each.astimezone(zone).replace(tzinfo=None) for each in (period.since, period.until or now))
    before = (since - (until - since)).replace(tzinfo=zone)
    if since.day == 1 and until.day == 1 and since.time() == until.time() and (until - since).days >= 28:
        # Months and quarters have no length of their own.
        months = (until.year - since.year) * 12 + until.month - since.month
        place = since.year * 12 + since.month - 1 - months
        before = since.replace(year=place // 12, month=place % 12 + 1, tzinfo=zone)
    return Period(before.astimezone(period.since.tzinfo), period.since)
