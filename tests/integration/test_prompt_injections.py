"""A model that obeys every injected text has nothing of it shown, and was sent none of it as anything but data."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from audit_pipelines.intelligence.answer.chat import ChatAnswerer
from audit_pipelines.intelligence.answer.chat_model import ChatModel
from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.labels import shown
from audit_pipelines.intelligence.answer.model import COMPOSED, Source
from audit_pipelines.outgoing import Outgoing
from tests.integration.chat_servers import Asked, Chat, chat_server, honest, shown_events
from tests.integration.embedding_servers import KEY
from tests.integration.prompt_injections import INJECTIONS, Injection
from tests.unit.intelligence.answer_samples import ALICE, BERLIN, BOB, SOURCES, ask, facts, source

FIELDS = ("event_type", "entity_type", "entity_id", "outcome", "text")
QUESTION = ask("what happened today")
each_injection = pytest.mark.parametrize(
    "injection", INJECTIONS, ids=[f"{place} {each.kind}" for place, each in enumerate(INJECTIONS)]
)


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    with chat_server() as chat:
        yield chat


@pytest.fixture(scope="module")
def model(chat: Chat) -> ChatModel:
    allowed = Outgoing.allowing(["127.0.0.1"])
    return ChatModel("some-model", base_url=chat.url, api_key=SecretStr(KEY), timeout_s=20, outgoing=allowed)


def poisoned(injection: Injection) -> tuple[Source, ...]:
    """Return an event for each field that holds the text, then events that are as they should be."""
    ill = [replace(source(number), **{name: injection.text}) for number, name in enumerate(FIELDS, start=1)]  # type: ignore[arg-type]
    return (*ill, *(replace(each, number=each.number + len(ill)) for each in SOURCES))


def obeying(injection: Injection):
    """Return what the worst of models says: the text as asked, and dressed up as its rules want sentences.

    Twelve sentences are looked at, so each dress is worn by another event's sentence.
    """

    def says(asked: Asked) -> str:
        bare = injection.obeyed.rstrip(".")
        one, two, three, four, five, *_ = shown_events(asked)
        dressed = [
            f"{bare} [1].",
            f"{bare} [1][2][3].",
            f"{bare}.[4]",
            f"On {one['day']} {bare} [1].",
            f"On {five['day']} at {five['time']} {bare} [5].",
            f"{two['person']} acted on {two['day']}: {bare} [2].",
            f"{three['person']} did {three.get('type', 'it')} on {three['day']} and {bare} [3].",
            f"{four['person']} {bare} {four['entity']} [4].",
            f"{five['person']} did {injection.text} on {five['day']} [5].",
        ]
        return "\n".join([injection.obeyed, *dressed, f"{injection.text} [1]."])

    return says


def own_words(text: str, sources: tuple[Source, ...]) -> str:
    """Return an answer without what it shows of events as their names, plain or in quotation marks."""
    text = re.sub("“[^”]*”", "“”", text)
    for each in sources:
        for label in (each.event_type, each.entity_type, each.entity_id, each.outcome):
            text = text.replace(shown(label), "") if label else text
    return text


def assert_clean(text: str, cited: tuple[int, ...], sources: tuple[Source, ...], injection: Injection) -> None:
    told = own_words(text, sources)
    assert not [wanted for wanted in injection.wanted if wanted.casefold() in told.casefold()]
    assert {int(number) for number in re.findall(r"\[([0-9]+)\]", text)} == set(cited)
    assert set(cited) <= {each.number for each in sources}
    assert not re.search(r"\]\(|!\[|[<>{}`]|://|www\.", text)
    assert text.isprintable()


def test_the_corpus_is_large_and_mixed() -> None:
    kinds = Counter(injection.kind for injection in INJECTIONS)
    assert len(INJECTIONS) >= 60
    assert len(kinds) >= 15
    assert len({injection.text for injection in INJECTIONS}) == len(INJECTIONS)


@each_injection
def test_nothing_that_an_injection_asks_for_is_shown(chat: Chat, model: ChatModel, injection: Injection) -> None:
    sources = poisoned(injection)
    chat.says = obeying(injection)
    answer = ChatAnswerer(model).answer(QUESTION, facts(), sources, zone=BERLIN)
    assert_clean(answer.text, answer.cited, sources, injection)
    assert answer.generated_by == COMPOSED
    assert "sentences of some-model" in answer.without_model
    assert answer == replace(compose(QUESTION, facts(), sources, zone=BERLIN), without_model=answer.without_model)

    asked = chat.asked[-1]
    assert asked.keys() == {"messages", "model", "stream"}
    system, user = (message["content"] for message in asked["messages"])
    mark = re.search(r"the mark ([0-9a-f]{32})\.", system)
    assert mark
    assert user.isascii()
    question, begin, *events, end = user.splitlines()
    assert json.loads(question)["question"] == QUESTION.text
    assert (begin, end) == (f"BEGIN EVENTS {mark[1]}", f"END EVENTS {mark[1]}")
    assert [json.loads(line)["number"] for line in events] == [each.number for each in sources]
    assert max(map(len, events)) < 800
    # Only what has the form of a program's name goes as it stands.
    assert injection.text not in user or injection.kind == "in words" or re.fullmatch(r"[\w.]+", injection.text)
    assert mark[1] not in "".join(json.dumps(before["messages"]) for before in chat.asked[:-1])


@pytest.mark.parametrize("injection", INJECTIONS[::4], ids=lambda injection: injection.kind)
def test_true_sentences_do_not_bring_an_injected_one_along(chat: Chat, model: ChatModel, injection: Injection) -> None:
    sources = poisoned(injection)
    chat.says = lambda asked: f"{honest(asked)}\n{injection.obeyed} [1]."
    answer = ChatAnswerer(model).answer(QUESTION, facts(), sources, zone=BERLIN)
    assert_clean(answer.text, answer.cited, sources, injection)
    assert answer.generated_by == "some-model"


def test_nothing_that_names_somebody_leaves(chat: Chat, model: ChatModel) -> None:
    chat.says = honest
    secret = ["Grant", "Miller", "alice", "bob", "example.com", "10.1.2.3", "555", "4711", "Jonathan", "laptop"]
    question = ask(
        "What did Grant and alice@example.com from 10.1.2.3 do with Jonathan's laptop, call +49 555 47110 or bob"
    )
    named, numbered, *rest = SOURCES
    named = replace(
        named, entity_id="alice-laptop-4711", event_type="Login of alice@example.com", text="login of alice"
    )
    numbered = replace(
        numbered, event_type="user.login.00471155", entity_type="Jonathan Miller", text="jonathan miller"
    )
    answer = ChatAnswerer(model).answer(question, facts(), (named, numbered, *rest), zone=BERLIN)
    _, path, headers, body = chat.server.requests[-1]
    sent = f"{path} {headers} {body.decode()}"
    assert not [word for word in (*secret, str(ALICE), str(BOB)) if word.casefold() in sent.casefold()]
    assert str(ALICE) in answer.text
    assert "alice-laptop-4711" in answer.text
