"""Which sentences are borne out by the events that they cite, and which are not."""

from datetime import UTC
from pathlib import Path

import pytest

from audit_pipelines.intelligence.answer.grounding import Sentence, check, split_sentences
from audit_pipelines.intelligence.answer.prompt import may_leave, prompt_for
from tests.unit.intelligence.answer_samples import BERLIN, SOURCES, ask, facts, source

TRUE_SENTENCES = Path(__file__).parents[2] / "labelled" / "true_sentences.tsv"
ODD = source(5, event_type="Add member to role.", entity_type="secure", entity_id="all", outcome="approved",
             text="add member to role; secure; outcome unknown")  # fmt: skip
PRAISED = source(
    6, event_type="system.secure.approved", actor_ref=None, text="system secure approved; document; success"
)
TOLD = prompt_for(ask("what happened today"), facts(), (*SOURCES, ODD, PRAISED), BERLIN).told


def kept(text: str) -> list[str]:
    return [sentence.text for sentence in check(text, TOLD, facts(17), BERLIN).kept]


@pytest.mark.parametrize(
    "sentence",
    [
        "person_1 deleted the document entity_1 on 26 November 2026 at 09:59:59 [1].",
        "person_1 did document.delete on entity_1 [1].",
        "On Thursday, 26 November 2026, person_1 deleted a document [1].",
        "On November 26, 2026 at 09:59 the document entity_1 was deleted by person_1 [1].",
        "person_1 logged in without MFA on 2026-11-26 and the login failed [2].",
        "person_1 failed to log in at 08:59:58 and deleted entity_1 at 09:59:59 [1][2].",
        "person_2's attempt to change an IAM user policy was denied [3].",
        "Two events show person_1: a failed login and a deleted document [1][2].",
        "The trail shows 17 events, as person_1 deleted entity_1 [1].",
        "A backup was run on 26 November 2026 [4].",
        "type_1 was recorded on 26 November [5].",
    ],
)
def test_what_the_events_say_is_kept(sentence: str) -> None:
    assert kept(sentence) == [sentence]


@pytest.mark.parametrize(
    "sentence",
    [
        # citations
        "person_1 deleted entity_1.",
        "person_1 deleted entity_1 [7].",
        "person_1 deleted entity_1 [0].",
        "person_1 deleted entity_1 [1][99].",
        "person_1 deleted entity_1 [one].",
        "person_1 deleted entity_1 [١].",
        "person_1 deleted entity_1 [[1]].",
        "person_1 deleted entity_1 [1](http://evil.example).",
        # figures
        "person_1 deleted entity_1 on 27 November 2026 [1].",
        "person_1 deleted entity_1 on 26 November 2025 [1].",
        "person_1 deleted entity_1 on 26 October 2026 [1].",
        "person_1 deleted entity_1 at 09:58 [1].",
        "person_1 deleted 18 documents at 09:59 [1].",
        "person_1 deleted three documents at 09:59 [1].",
        "person_1 deleted a dozen documents at 09:59 [1].",
        "person_1 deleted ١٧ documents at 09:59 [1].",
        "person_1 deleted 1.7 documents at 09:59 [1].",
        "person_1 deleted entity_1 at 09:59:59 UTC [1].",
        "person_1 deleted entity_1 in March [1].",
        "person_1 deleted entity_1 on Monday [1].",
        "person_1 deleted entity_17 [1].",
        # persons, things, kinds
        "person_2 deleted entity_1 [1].",
        "person_1 deleted entity_1 [1][3].",
        "person_1 deleted entity_1 [1][4].",
        "The document entity_1 was deleted by backup.run [1][4].",
        "person_3 deleted entity_1 [1].",
        "person_1 did payroll.export on entity_1 [1].",
        "person_1 did document.deleted on entity_1 [1].",
        "person_1 exported entity_1 [1].",
        "Alice deleted entity_1 [1].",
        "person_1 deleted entity_1 to hide a theft [1].",
        "person_1 shared the document entity_1 [1].",
        # what happened, and how it ended
        "person_1 logged in on 26 November 2026 [2].",
        "person_2 changed a user policy on 26 November 2026 [3].",
        "person_1 failed to delete entity_1 [1].",
        "person_1 deleted entity_1 without MFA [1].",
        # too much, or about nothing
        "The document was deleted [1].",
        "No document was deleted by person_1 [1].",
        "person_1 deleted every document at 09:59 [1].",
        "Only person_1 deleted entity_1 [1].",
        "The document was secure on 26 November 2026 [5].",
        "The system was secure on 26 November 2026 [6].",
        "all was approved on 26 November 2026 and secure [5].",
        "A member was added to a role on 26 November 2026 [5].",
        # signs
        "**person_1** deleted `entity_1` [1].",
        "person_1 deleted entity_1 <b>[1]</b>.",
        "person_1 deleted\u200b entity_1 [1].",
        "person_1 deleted entity_1 \u202e[1].",
        "person_1 deleted the d\u043ecument entity_1 [1].",
        "person_1 deleted entity_1 (//evil.example) [1].",
        f"person_1 deleted {'the ' * 100}document entity_1 [1].",
    ],
)
def test_what_no_event_says_is_dropped(sentence: str) -> None:
    assert kept(sentence.replace("**", "* *")) == []


def test_a_time_may_name_its_zone_where_it_is_the_one_that_is_meant() -> None:
    said = "person_1 deleted entity_1 at 08:59:59 UTC [1]."
    assert [each.text for each in check(said, TOLD, facts(), UTC).kept] == [said]
    assert not check(said, TOLD, facts(), BERLIN).kept


def test_citations_may_stand_anywhere_and_are_written_alike() -> None:
    assert kept("person_1 deleted entity_1. [1]") == ["person_1 deleted entity_1 [1]."]
    assert kept("person_1 deleted entity_1.[1]") == ["person_1 deleted entity_1 [1]."]
    assert kept("person_1 deleted entity_1 [1], and on 26 November failed to log in [2]!") == [
        "person_1 deleted entity_1 [1], and on 26 November failed to log in [2]."
    ]
    assert check("person_1 did user.login and failed and did document.delete [1, 2].", TOLD, facts(), BERLIN).kept == (
        Sentence("person_1 did user.login and failed and did document.delete [1][2].", (1, 2)),
    )


def test_lists_and_bold_type_are_read_as_sentences() -> None:
    text = "**Events**\n- person_1 deleted entity_1 [1].\n2. person_1 failed to log in [2].\nperson_1 then"
    assert list(split_sentences(text)) == ["person_1 deleted entity_1 [1].", "person_1 failed to log in [2]."]
    assert len(kept(text)) == 2


def test_a_sentence_is_kept_once() -> None:
    assert kept("person_1 deleted entity_1 [1]. person_1 deleted entity_1 [1].") == ["person_1 deleted entity_1 [1]."]


@pytest.mark.parametrize("name", ["person_2", "entity_1", "type_1", "x.person_77"])
def test_a_type_that_looks_like_an_alias_is_none(name: str) -> None:
    prompt = prompt_for(ask("what happened today"), facts(), (source(1, event_type=name), SOURCES[2]), BERLIN)
    assert not may_leave(name)
    assert prompt.stands_for[prompt.told[0].type] == name


def test_most_true_sentences_get_through() -> None:
    lines = TRUE_SENTENCES.read_text().splitlines()[1:]
    dropped = []
    for line in lines:
        event_type, entity_type, outcome, sentence = line.split("\t")
        event = source(1, event_type=event_type, entity_type=entity_type, outcome=outcome, text=f"x; y; {outcome}")
        told = prompt_for(ask("what happened today"), facts(), (event,), BERLIN).told
        if not check(f"{sentence} [1].", told, facts(), BERLIN).kept:
            dropped.append(sentence)
    assert len(lines) >= 40
    assert len(dropped) <= len(lines) // 10, dropped
