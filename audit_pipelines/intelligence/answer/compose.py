"""The composed answer: sentences filled from what was counted and found, without a model.

Each is true by construction: it is written only where the fact that carries it is there, and counts are exact. What
events say of themselves is data that anybody may have written, so it is shown by `labels.shown` alone.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from audit_pipelines.intelligence.answer.labels import shown, visible
from audit_pipelines.intelligence.answer.model import COMPOSED, Answer, Facts, Source
from audit_pipelines.intelligence.search.asked import Conditions, Question
from audit_pipelines.intelligence.search.periods import Period
from audit_pipelines.reports import words

_MOST_EXAMPLES: Final = 5
_MOST_RANKED: Final = 10
_MOST_VALUES: Final = 4
_HOURS: Final = {"off_hours": "outside working hours", "night": "at night", "weekend": "at a weekend"}
_RANKED: Final = {
    "actor": ("actor", "actors"), "event_type": ("type of event", "types of event"), "entity": ("entity", "entities"),
    "network": ("network", "networks"), "day": ("day", "days"), "hour": ("hour of the day", "hours of the day"),
    "outcome": ("outcome", "outcomes"),
}  # fmt: skip
_OUTCOMES: Final = {"success": "it succeeded", "failure": "it failed", "denied": "it was denied"}


def compose(question: Question, facts: Facts, sources: Sequence[Source], *, zone: tzinfo = UTC) -> Answer:
    """Answer from counted facts and found events alone; times are in `zone`, the caller's."""
    sentences = [*lead(question, facts, sources, zone), *_examples(question, sources, zone)]
    return answer_of([*sentences, *closing(question, facts, zone)], COMPOSED)


def closing(question: Question, facts: Facts, zone: tzinfo) -> list[tuple[str, tuple[int, ...]]]:
    """Return the sentence that says whose clock the times are of, where there are any."""
    dated = facts.matching or question.conditions.since or question.conditions.until or question.compared_with
    return [(f"Times are those of {zone_name(zone)}", ())] if dated else []


def answer_of(sentences: Iterable[tuple[str, tuple[int, ...]]], generated_by: str) -> Answer:
    """Return sentences with the sources of each, put in before its full stop, as one answer."""
    told = list(sentences)
    text = " ".join(f"{body}{''.join(f' [{number}]' for number in cited)}." for body, cited in told)
    return Answer(text, generated_by, tuple(sorted({number for _, cited in told for number in cited})))


def lead(
    question: Question, facts: Facts, sources: Sequence[Source], zone: tzinfo
) -> list[tuple[str, tuple[int, ...]]]:
    """Return what was counted, as sentences without their full stop, each with the sources that it cites."""
    by_meaning = bool(question.unexplained) and question.wanted == "events"
    if not facts.matching or (by_meaning and not sources):
        return _nothing(question, facts, zone)
    found = _events(facts.matching, question.conditions, zone)
    if by_meaning:
        asked = _quoted(visible(" ".join(question.unexplained), 200))
        if len(sources) == 1:
            return [(f"Of the {found}, the nearest in meaning to {asked} is listed", ())]
        return [(f"Of the {found}, the {len(sources)} nearest in meaning to {asked} are listed", ())]
    sentences: list[tuple[str, tuple[int, ...]]] = [(f"The trail shows {found}", ())]
    if question.unexplained:
        asked = visible(" ".join(question.unexplained), 200)
        sentences.append((f"No filter was understood in {_quoted(asked)}, so these words count for nothing here", ()))
    if question.wanted == "comparison":
        return sentences + _comparison(question, facts, zone)
    if question.wanted == "ranking":
        return sentences + _ranking(question, facts)
    return sentences + _first_and_last(question, facts, sources, zone)


def _nothing(question: Question, facts: Facts, zone: tzinfo) -> list[tuple[str, tuple[int, ...]]]:
    sentences = [f"The trail does not show any event{_filters(question.conditions, zone)}"]
    if facts.matching:
        asked = visible(" ".join(question.unexplained), 200)
        sentences = [f"The trail does not show anything near in meaning to {_quoted(asked)}"]
    if question.wanted == "comparison" and facts.compared is not None and question.compared_with:
        it = words.counted(facts.compared, "event") if facts.compared else "none either"
        sentences.append(f"{_capital(_span(question.compared_with, zone))} it shows {it}")
    return [(sentence, ()) for sentence in sentences]


def _comparison(question: Question, facts: Facts, zone: tzinfo) -> list[tuple[str, tuple[int, ...]]]:
    before, now = facts.compared, facts.matching
    if before is None or question.compared_with is None:
        return []
    span = _capital(_span(question.compared_with, zone))
    if before == 0:
        return [(f"{span} it shows none", ())]
    if before == now:
        return [(f"{span} it shows the same number", ())]
    more = "more" if now > before else "fewer"
    share = words.percent(abs(now - before), before)
    return [
        (f"{span} it shows {words.number(before)}", ()),
        (f"That is a difference of {words.number(abs(now - before))}: {share} {more} than then", ()),
    ]


def _ranking(question: Question, facts: Facts) -> list[tuple[str, tuple[int, ...]]]:
    group = question.group or "actor"
    one, several = _RANKED[group]
    if not facts.groups:
        return [(f"None of them names {_article(one)}, so there is nothing to rank", ())]
    first = facts.groups[:_MOST_RANKED]
    lines = [
        f"{_value(group, each.value)} with {words.counted(each.events, 'event')}" if place == 0 else
        f"{_value(group, each.value)} with {words.number(each.events)}"
        for place, each in enumerate(first)
    ]  # fmt: skip
    order = "fewest" if question.fewest else "most"
    sentences = [f"By {one}, the {order} first: {words.listed(lines)}"]
    if question.distinct and facts.distinct is not None:
        are = f"is 1 {one}" if facts.distinct == 1 else f"are {words.number(facts.distinct)} different {several}"
        sentences.insert(0, f"Among them {are}")
    level = [each for each in first if each.events == facts.groups[0].events]
    if len(level) > 1:
        sentences.append(f"The first {len(level)} are level")
    places = max(len(facts.groups), facts.distinct or 0)
    if places > len(first):
        sentences.append(f"The ranking goes on to {words.number(places)} places")
    named = sum(each.events for each in first)
    if named < facts.matching:
        sentences.append(f"Together these are {words.number(named)} of the {words.number(facts.matching)}")
    return [(sentence, ()) for sentence in sentences]


def _first_and_last(
    question: Question, facts: Facts, sources: Sequence[Source], zone: tzinfo
) -> list[tuple[str, tuple[int, ...]]]:
    if facts.first_at is None or facts.last_at is None:
        return []
    first = _at(facts.first_at, sources)
    last = _at(facts.last_at, sources)
    if question.first is True:
        return [(f"The first was on {_moment(facts.first_at, zone)}", first)]
    if question.first is False:
        return [(f"The last was on {_moment(facts.last_at, zone)}", last)]
    if facts.matching == 1:
        return [(f"It was on {_moment(facts.first_at, zone)}", first)] if question.wanted != "events" else []
    return [
        (
            f"The first was on {_moment(facts.first_at, zone)}, the last on {_moment(facts.last_at, zone)}",
            tuple(sorted({*first, *last})),
        )
    ]


def _at(moment: datetime, sources: Sequence[Source]) -> tuple[int, ...]:
    """Return the source of that moment, where there is exactly one."""
    there = [source.number for source in sources if source.occurred_at == moment]
    return tuple(there) if len(there) == 1 else ()


def _examples(question: Question, sources: Sequence[Source], zone: tzinfo) -> list[tuple[str, tuple[int, ...]]]:
    if question.wanted in ("ranking", "comparison"):
        return []
    return [(describe(source, zone), (source.number,)) for source in sources[:_MOST_EXAMPLES]]


def describe(source: Source, zone: tzinfo) -> str:
    """Return one event as a sentence without its full stop."""
    # Somebody who logs in does it to their own account.
    to_self = source.actor_ref is not None and source.entity_id == str(source.actor_ref)
    entity = "" if to_self else " ".join(shown(each) for each in (source.entity_type, source.entity_id) if each)
    on = f" on {entity}" if entity else ""
    outcome = source.outcome and _OUTCOMES.get(source.outcome, f"its outcome was {shown(source.outcome)}")
    ending = f"; {outcome}" if outcome else ""
    done = f"{source.actor_ref} did {shown(source.event_type)}" if source.actor_ref else shown(source.event_type)
    happened = "" if source.actor_ref else " happened"
    return f"On {_moment(source.occurred_at, zone)}, {done}{happened}{on}{ending}"


def _events(count: int, conditions: Conditions, zone: tzinfo) -> str:
    return f"{words.counted(count, 'event')}{_filters(conditions, zone)}"


def _filters(conditions: Conditions, zone: tzinfo) -> str:
    """Return the filters as they follow a noun, each with a blank before it."""
    told = [
        _any(conditions.event_types, "of type {}"),
        _any(conditions.not_event_types, "other than of type {}"),
        _any(map(str, conditions.actors), "by {}"),
        _any(map(str, conditions.not_actors), "not by {}"),
        _any(map(str, conditions.persons), "about {}"),
        _any(conditions.entity_types, "on something of type {}"),
        _any(conditions.entity_ids, "on {}"),
        _any(conditions.not_entity_ids, "not on {}"),
        _any(conditions.outcomes, "with outcome {}"),
        _any(conditions.not_outcomes, "with an outcome other than {}"),
        _any(conditions.addresses, "from address {}"),
        _any(conditions.not_addresses, "not from address {}"),
        "with the words " + words.listed([_quoted(each) for each in conditions.phrases]) if conditions.phrases else "",
        _HOURS[conditions.hours] if conditions.hours else "",
        _span(Period(conditions.since, conditions.until), zone),
    ]
    return "".join(f" {each}" for each in told if each)


def _any(values: Iterable[str], form: str) -> str:
    names = [shown(value) for value in values]
    if not names:
        return ""
    if len(names) > _MOST_VALUES:
        return form.format(f"{names[0]}, {names[1]} or one of {len(names) - 2} others")
    return form.format(" or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names))


def _span(period: Period, zone: tzinfo) -> str:
    """Return a period as it stands in a sentence, by the clock of `zone`; empty without ends."""
    since, until = period.since, period.until
    if since and until:
        told = words.period(since, until, zone)
        return f"from {told}" if " to " in told else f"on {told}"
    if since:
        return f"since {_moment(since, zone)}"
    return f"before {_moment(until, zone)}" if until else ""


def _moment(moment: datetime, zone: tzinfo) -> str:
    return f"{words.day(moment, zone)} at {moment.astimezone(zone):%H:%M:%S}"


def zone_name(zone: tzinfo) -> str:
    """Return what a caller's zone is called: `Europe/Berlin`, `UTC`."""
    return getattr(zone, "key", None) or str(zone)


def _value(group: str, value: str) -> str:
    if group == "day":
        try:
            day = date.fromisoformat(value)
        except ValueError:
            return shown(value)
        return words.day(datetime(day.year, day.month, day.day, tzinfo=UTC))
    if group == "hour" and value.isascii() and value.isdigit():
        return f"{int(value):02}:00"
    return shown(value)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' or noun.startswith('hour') else 'a'} {noun}"


def _quoted(text: str) -> str:
    told = shown(text)
    return told if told.startswith("“") else f"“{told}”"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
