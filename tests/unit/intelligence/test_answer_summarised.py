"""A report's sentences in other words: only where figures, their nouns and every denial are the same."""

import json

import pytest

from audit_pipelines.errors import ChatModelError
from audit_pipelines.intelligence.answer.chat_model import ChatModel
from audit_pipelines.intelligence.answer.summarise import summarise
from audit_pipelines.reports.model import Summary

COMPOSED = (
    "From 1 March 2026 to 7 March 2026 (UTC) this report counts 1,234 events by 12 actors, of 9 types.",
    "The most frequent type was document.delete with 300 events (24.3 %).",
    "The most active actor, reference a1b2c3d4, caused 200 events (16.2 %).",
    "12 events (1.0 %) failed or were denied, user.login most often (7).",
    "No anomaly was found among 1,234 scored events.",
    "Of 4 controls, Erasure by Grant failed.",
)


class Said(ChatModel):
    """A model that says what it is told to, without a server."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sent = ""

    def complete(self, messages) -> str:
        self.sent = messages[1].content
        if not self.text:
            raise ChatModelError("no text", is_permanent=True)
        return self.text


@pytest.mark.parametrize(
    ("place", "said", "shown"),
    [
        (1, "This report counts 1,234 events by 12 actors, of 9 types, from 1 March 2026 to 7 March 2026 [1].",
         "This report counts 1,234 events by 12 actors, of 9 types, from 1 March 2026 to 7 March 2026."),
        (2, "label_1 was the most frequent type, with 300 events (24.3 %) [2].",
         "document.delete was the most frequent type, with 300 events (24.3 %)."),
        (3, "The actor with reference label_2 was the most active and caused 200 events (16.2 %) [3].",
         "The actor with reference a1b2c3d4 was the most active and caused 200 events (16.2 %)."),
        (4, "In this period 12 events (1.0 %) failed or were denied, label_3 most often (7) [4].", None),
        (5, "Among 1,234 scored events no anomaly was found [5].", "Among 1,234 scored events no anomaly was found."),
    ],
)  # fmt: skip
def test_a_sentence_in_another_order_is_taken(place: int, said: str, shown: str | None) -> None:
    summary = summarise(Said(said), COMPOSED)
    if shown is None:
        assert summary == Summary(COMPOSED)
    else:
        assert summary == Summary((*COMPOSED[: place - 1], shown, *COMPOSED[place:]), "model")


@pytest.mark.parametrize(
    "said",
    [
        "This report counts 12 events by 1,234 actors, of 9 types, from 1 March 2026 to 7 March 2026 [1].",
        "This report counts 1,234 events by 12 actors, of 9 types, from 7 March 2026 to 1 March 2026 [1].",
        "This report counts 1,234 events [1].",
        "The most frequent type was label_1 with 301 events (24.3 %) [2].",
        "The most frequent type was label_3 with 300 events (24.3 %) [2].",
        "The most frequent type was label_1 with 300 events (24.3 %).",
        "The most frequent type was label_1 with 300 events (24.3 %) [2][3].",
        "The most frequent type was label_1 with 300 events (24.3 %) [7].",
        "12 events (1.0 %) were found, label_3 most often (7) [4].",
        "12 events (1.0 %) never failed or were denied, label_3 most often (7) [4].",
        "An anomaly was found among 1,234 scored events [5].",
        "No anomaly was found among 1,234 scored events, so all is well [5].",
        "No anomaly was found among 1,234 scored events, see www.evil.example [5].",
        "![x](http://evil.example) No anomaly was found among 1,234 scored events [5].",
        "",
    ],
)
def test_a_sentence_that_says_something_else_is_not(said: str) -> None:
    assert summarise(Said(said), COMPOSED) == Summary(COMPOSED)


def test_what_may_name_somebody_is_sent_by_another_name() -> None:
    model = Said("x")
    summarise(model, COMPOSED, labels=["events (24"])
    _, *lines, _ = model.sent.splitlines()
    sentences = [json.loads(line)["sentence"] for line in lines]
    assert len(sentences) == len(COMPOSED)
    sent = " ".join(sentences)
    for hidden in ("document.delete", "a1b2c3d4", "user.login", "Grant", "Erasure", "events (24"):
        assert hidden not in sent
    assert "1,234 events by 12 actors" in sent


def test_a_type_that_looks_like_a_name_of_ours_is_hidden_as_well() -> None:
    composed = ("The most frequent type was label_2 with 3 events.", "The most active was label_1 with 3 events.")
    summary = summarise(Said("label_1 was the most frequent type with 3 events [1]."), composed)
    assert summary.sentences == ("label_2 was the most frequent type with 3 events.", composed[1])
