"""Whatever a model says: what is shown cites sources that exist, and holds no figure that they do not hold."""

import json
import re
import unicodedata
from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.grounding import check
from audit_pipelines.intelligence.answer.labels import shown
from audit_pipelines.intelligence.answer.lexicon import CLAIMS, GRAMMAR, NUMBERS
from audit_pipelines.intelligence.answer.prompt import may_leave, prompt_for
from tests.unit.intelligence.answer_samples import BERLIN, SOURCES, ask, facts

COUNTED: Final = 4321
TOLD: Final = prompt_for(ask("what happened today"), facts(COUNTED), SOURCES, BERLIN).told
TIMES: Final = {each.source.number: each.source.occurred_at.astimezone(BERLIN) for each in TOLD}
# A figure of each source, as sets of digits: those of its moment, its aliases and its type.
FIGURES: Final = {
    each.source.number: {
        *re.findall(r"[0-9]+", f"{TIMES[each.source.number]:%Y %m %d %H %M %S %-d}"),
        *re.findall(r"[0-9]+", f"{each.person} {each.entity} {each.type} {each.entity_type}"),
    }
    for each in TOLD
}

words = st.sampled_from(
    [*sorted(GRAMMAR), *sorted(CLAIMS), *NUMBERS, "deleted", "login", "logged in", "failed", "denied", "policy",
     "person_1", "person_2", "person_3", "entity_1", "entity_9", "document.delete", "user.login", "iam:PutUserPolicy",
     "backup", "26 November 2026", "2026-11-26", "November 26, 2026", "26 November", "27 November 2026", "09:59:59",
     "09:59", "08:58", "4321", "4,321", "17", "1e3", "٤", "²", "3.5", "[1]", "[2]", "[3]", "[4]", "[5]",
     "[1, 2]", "[1][2]", "[99]", "[", "]", "(", "http://evil.example", "![x](y)", "\u200b", "\u202e", "<b>", "é", "\n"]
)  # fmt: skip
sentences = st.lists(words, min_size=1, max_size=14).map(" ".join)
# Mostly borne out already, so that much is kept, with something put in or taken out.
nearly = st.tuples(
    st.sampled_from(
        [
            "person_1 deleted the document entity_1 on 26 November 2026 at 09:59:59 [1]",
            "person_1 failed to log in on 26 November 2026 at 08:59:58 [2]",
            "person_2 was denied a change of user policy [3]",
            "There was backup.run on 26 November 2026 at 06:59:56 [4]",
        ]
    ),
    st.integers(0, 12),
    st.one_of(words, st.text(max_size=3), st.integers(0, 10**6).map(str)),
).map(lambda parts: " ".join([*(pieces := parts[0].split())[: parts[1]], parts[2], *pieces[parts[1] :]]))
texts = st.lists(st.one_of(sentences, nearly, st.text(max_size=60)), min_size=1, max_size=6).map(". ".join)


@given(texts)
def test_what_is_kept_cites_what_exists_and_holds_no_figure_of_its_own(text: str) -> None:
    for sentence in check(f"{text}.", TOLD, facts(COUNTED), BERLIN).kept:
        cited = [int(place) for place in re.findall(r"\[([0-9]+)\]", sentence.text)]
        assert cited
        assert set(cited) == set(sentence.cited) <= FIGURES.keys()
        rest = re.sub(r"\[[0-9]+\]", "", sentence.text).replace("4,321", "4321")
        allowed = {str(COUNTED), str(len(set(cited)))}.union(*(FIGURES[place] for place in cited))
        assert set(re.findall(r"\d+", rest)) <= allowed
        spelled = {NUMBERS[word] for word in re.findall(r"[a-z]+", rest.lower()) if word in NUMBERS}
        assert spelled <= {COUNTED, len(set(cited))}
        assert not re.search(r"//|[\[\]<>!|`*{}\\]", rest)
        assert not [character for character in rest if unicodedata.category(character)[0] == "C"]


@given(st.text())
def test_a_label_that_is_shown_brings_no_citation_no_link_and_nothing_unseen(label: str) -> None:
    text = shown(label)
    assert text.isprintable()
    assert not re.search(r"[\[\]<>{}`*]|://|www\.", text, re.IGNORECASE)
    assert len(text) < 90


@given(st.lists(st.text(max_size=80), min_size=4, max_size=4), st.text(max_size=80))
def test_whatever_events_say_an_answer_is_composed_and_a_model_is_told_no_free_text(
    fields: list[str], asked: str
) -> None:
    names = ("event_type", "entity_type", "entity_id", "outcome")
    event = replace(SOURCES[0], text=asked, **dict(zip(names, fields, strict=True)))  # type: ignore[arg-type]
    question = replace(ask("what happened today"), text=asked, unexplained=tuple(asked.split()))
    answer = compose(question, facts(), (event,), zone=BERLIN)
    assert answer.text.isprintable()
    assert {int(place) for place in re.findall(r"\[([0-9]+)\]", answer.text)} == set(answer.cited) <= {1}
    system, user = prompt_for(question, facts(), (event,), BERLIN).messages
    assert user.content.isascii()
    assert len(user.content.splitlines()) == 4
    told = json.loads(user.content.splitlines()[2])
    event_type, entity_type, entity_id, outcome = fields
    assert told["type"] == event_type if may_leave(event_type) else told["type"] == "type_1"
    assert "entity_type" not in told or told["entity_type"] != entity_type or may_leave(entity_type)
    assert told.get("entity") == ("entity_1" if entity_id else None)
    assert "outcome" not in told or re.fullmatch(r"[A-Za-z][A-Za-z_-]*", outcome)
    assert asked not in system.content or len(asked) < 20
