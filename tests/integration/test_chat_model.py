"""Asking a chat model: in time whatever its server does, and with nothing shown that its sources do not bear out."""

import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from audit_pipelines.errors import ChatModelError
from audit_pipelines.intelligence.answer import chat_model
from audit_pipelines.intelligence.answer.chat import ChatAnswerer
from audit_pipelines.intelligence.answer.chat_model import MAX_CHARACTERS, ChatModel, Message
from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.model import COMPOSED, Answer, Facts
from audit_pipelines.intelligence.answer.summarise import summarise
from audit_pipelines.outgoing import PUBLIC, Outgoing
from audit_pipelines.reports.model import Summary
from audit_pipelines.settings import Settings
from tests.integration.chat_servers import STREAM, Chat, chat_server, stream
from tests.integration.embedding_servers import KEY
from tests.unit.intelligence.answer_samples import ALICE, BERLIN, BOB, SOURCES, ask, facts

QUESTION = ask("what happened today")
JSON = {"Content-Type": "application/json"}
TRUE = f"{ALICE} did document.delete on INV-1 on 26 November 2026 at 09:59:59 [1]."


class World:
    """A server, models that ask it, and the pauses that they made."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.slept: list[float] = []

    def model(self, **changed: object) -> ChatModel:
        options: dict = {
            "base_url": self.chat.url,
            "api_key": SecretStr(KEY),
            "timeout_s": 20.0,
            "outgoing": Outgoing.allowing(["127.0.0.1"]),
            "sleep": self.slept.append,
        }
        return ChatModel("some-model", **options | changed)

    def answer(self, model: ChatModel) -> Answer:
        return ChatAnswerer(model).answer(QUESTION, facts(), SOURCES, zone=BERLIN)


@pytest.fixture
def world() -> Iterator[World]:
    with chat_server() as chat:
        yield World(chat)


def assert_composed(answer: Answer, why: str) -> None:
    assert answer.generated_by == COMPOSED
    assert why in answer.without_model
    assert KEY not in answer.without_model
    composed = compose(QUESTION, facts(), SOURCES, zone=BERLIN)
    assert (answer.text, answer.cited) == (composed.text, composed.cited)


def test_a_model_words_what_its_sources_bear_out(world: World) -> None:
    answer = world.answer(world.model())
    assert answer.generated_by == "some-model"
    assert answer.cited == (1, 2, 3, 4)
    assert answer.without_model == ""
    lead, told = re.fullmatch(r"(.*? \[4\]\. )(.*) Times are those of Europe/Berlin\.", answer.text).groups()  # type: ignore[union-attr]
    assert lead.startswith("The trail shows 4 events on 26 November 2026.")
    assert told == (
        f"{TRUE} {ALICE} did user.login on {ALICE} on 26 November 2026 at 08:59:58 and failed [2]. "
        f"{BOB} did iam:PutUserPolicy on {BOB} on 26 November 2026 at 07:59:57 and was denied [3]. "
        "There was backup.run on 26 November 2026 at 06:59:56 [4]."
    )


def test_nothing_is_sent_but_model_and_messages_under_the_key(world: World) -> None:
    world.answer(world.model(organisation="org-1"))
    ((_, path, headers, body),) = world.chat.server.requests
    assert path == "/v1/chat/completions"
    sent = json.loads(body)
    assert sent.keys() == {"model", "messages", "stream"}
    assert sent["stream"] is True
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert headers == {
        "host": f"127.0.0.1:{world.chat.server.port}",
        "authorization": f"Bearer {KEY}",
        "openai-organization": "org-1",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "audit-pipelines",
    }


def test_where_nothing_was_found_no_model_is_asked(world: World) -> None:
    nothing = ChatAnswerer(world.model()).answer(QUESTION, Facts(matching=0), (), zone=BERLIN)
    assert nothing.text.startswith("The trail does not show any event on 26 November 2026.")
    assert (nothing.generated_by, nothing.cited) == (COMPOSED, ())
    assert ChatAnswerer(world.model()).answer(QUESTION, facts(), (), zone=BERLIN).generated_by == COMPOSED
    assert not world.chat.asked


ANSWERS = {
    "not JSON": (STREAM, b"data: {oops\n\n", "not of the protocol"),
    "a page": ({"Content-Type": "text/html"}, b"<html><body>proxy: [1] all is well</body></html>", "no answer of the"),
    "an image": ({"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\n\xff\xfe", "no answer of the protocol"),
    "nothing": (STREAM, b"", "no answer of the protocol"),
    "no text": (STREAM, b"data: \xff\xfe\n\n", "not of the protocol"),
    "another shape": (STREAM, b'data: {"choices": "all is well [1]."}\n\n', "not of the protocol"),
    "deep": (STREAM, b"data: " + b"[" * 100_000 + b"\n\n", "not of the protocol"),
    "an error in the stream": (STREAM, b'data: {"error": {"message": "CANARY"}}\n\n', "not of the protocol"),
    "broken off": (STREAM, stream(["person_1 did document.delete [1]. And"], None), "broke off"),
    "no piece": (STREAM, stream([]), "without text"),
    "blank": (STREAM, stream([" \n "]), "without text"),
    "refused": (STREAM, stream(["I"], refusal="CANARY I cannot help with that [1]."), "declined to answer"),
    "filtered": (STREAM, stream(["person_1 did document.delete [1]."], "content_filter"), "filter stopped"),
    "a tool call": (
        STREAM,
        stream([], "tool_calls", tool_calls=[{"index": 0, "function": {"name": "drop", "arguments": "{}"}}]),
        "without text",
    ),
    "invented citations": (STREAM, stream(["person_1 did document.delete [9]. person_1 did it [10]."]), "0 of the 2"),
    "no citation": (STREAM, stream(["person_1 did document.delete on 26 November 2026."]), "0 of the 1"),
    "mostly invented": (
        STREAM,
        stream(["person_1 did document.delete [1]. Eve did it [1]. All is well [2]."]),
        "1 of the 3",
    ),
    "in another's name": (STREAM, stream(["person_2 did document.delete on entity_1 [1]."]), "0 of the 1"),
    "cut for length": (STREAM, stream(["person_1 did document.delete on entity_1 [1"], "length"), "0 of the 0"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_of_an_answer_that_is_wrong_nothing_is_shown(world: World, name: str) -> None:
    headers, body, why = ANSWERS[name]
    world.chat.next += [(200, headers, body)] * 2
    answer = world.answer(world.model(max_retries=1))
    assert_composed(answer, why)
    assert "CANARY" not in answer.text + answer.without_model


def test_what_is_whole_of_an_answer_cut_for_length_is_shown(world: World) -> None:
    said = "person_1 did document.delete on entity_1 on 26 November 2026 at 09:59:59 [1]. person_1 then also d"
    world.chat.next.append((200, STREAM, stream([said], "length")))
    answer = world.answer(world.model())
    assert f" {TRUE} Times are" in answer.text
    assert answer.generated_by == "some-model"


def test_a_tool_call_beside_a_text_is_not_looked_at(world: World) -> None:
    call = [{"index": 0, "id": "1", "function": {"name": "search", "arguments": '{"tenant": "*"}'}}]
    world.chat.next.append((200, STREAM, stream(["person_1 did document.delete on entity_1 [1]."], tool_calls=call)))
    answer = world.answer(world.model())
    assert f"{ALICE} did document.delete on INV-1 [1]." in answer.text
    assert len(world.chat.asked) == 1


def test_a_server_that_does_not_stream_is_understood(world: World) -> None:
    message = {"role": "assistant", "content": "person_1 did document.delete on entity_1 [1]."}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    world.chat.next.append((200, JSON, json.dumps(whole).encode()))
    assert world.answer(world.model()).generated_by == "some-model"


def test_what_a_model_thinks_aloud_is_no_part_of_its_answer(world: World) -> None:
    thought = "<think>\nIs that all? No document is safe [1]. " * 1_000 + "\n</think>\n\n"
    world.chat.next.append((200, STREAM, stream([thought, "person_1 did document.delete on entity_1 [1]."])))
    answer = world.answer(world.model())
    assert answer.generated_by == "some-model"
    assert "safe" not in answer.text


def test_a_stream_that_ends_without_a_reason_is_whole(world: World) -> None:
    body = stream(["person_1 did document.delete on entity_1 [1]."], None) + b"data: [DONE]\n\ndata: {not read"
    world.chat.next.append((200, STREAM, body))
    assert world.answer(world.model()).generated_by == "some-model"


def test_a_stream_with_other_line_ends_is_understood(world: World) -> None:
    body = (
        stream(["person_1 did document.delete on entity_1 [1]."]).replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
    )
    world.chat.next.append((200, STREAM, body))
    assert world.answer(world.model()).generated_by == "some-model"


PASSING = [(429, {"Retry-After": "2"}, b"{}"), (500, {}, b"<html>oops</html>"), (503, {}, b""), (408, {}, b"{}")]


@pytest.mark.parametrize("reply", PASSING, ids=lambda reply: str(reply[0]))
def test_what_failed_for_the_moment_is_asked_again(world: World, reply: tuple) -> None:
    world.chat.next.append(reply)
    assert world.answer(world.model()).generated_by == "some-model"
    assert len(world.chat.asked) == 2
    (pause,) = world.slept
    assert pause == 2 if reply[0] == 429 else 0.3 < pause < 0.7


# The test's name must not hold the time: processes that share the tests would each have another one.
@pytest.mark.parametrize(
    "after",
    ["3600", "20", pytest.param(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), id="a date")],
)
def test_a_pause_that_would_outlast_the_time_is_not_made(world: World, after: str) -> None:
    world.chat.next.append((429, {"Retry-After": after}, b"{}"))
    assert_composed(world.answer(world.model()), "status 429")
    assert not world.slept
    assert len(world.chat.asked) == 1


def test_tries_come_to_an_end(world: World) -> None:
    world.chat.next += [(500, {}, b"{}")] * 9
    assert_composed(world.answer(world.model(max_retries=2)), "status 500")
    assert len(world.chat.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"{}", "OPENAI_API_KEY"),
        (403, b"{}", "OPENAI_ORG_ID"),
        (404, b"{}", "OPENAI_CHAT_MODEL"),
        (400, f'{{"error": {{"message": "CANARY {KEY}"}}}}'.encode(), "OPENAI_CHAT_MODEL"),
        (429, b'{"error": {"code": "insufficient_quota", "message": "CANARY"}}', "no credit"),
        (302, b"", "status 302"),
    ],
)
def test_what_needs_somebody_is_not_asked_again(world: World, status: int, body: bytes, told: str) -> None:
    headers = JSON | ({"Location": "https://example.com/"} if status == 302 else {})
    world.chat.next.append((status, headers, body))
    answer = world.answer(world.model())
    assert_composed(answer, told)
    assert "CANARY" not in answer.without_model
    assert len(world.chat.asked) == 1


@pytest.fixture
def quarter_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the rest to what comes before and after the model: on a busy machine a tenth of a second is not enough."""
    assert chat_model._SHARE_OF_TIME <= 0.9
    monkeypatch.setattr(chat_model, "_SHARE_OF_TIME", 0.25)


@pytest.mark.usefixtures("quarter_of_the_time")
@pytest.mark.parametrize("fault", ["hang", "stall", "slow head", "slow body"])
def test_the_composed_answer_comes_before_the_time_is_over(world: World, fault: str) -> None:
    world.chat.server.fault = fault
    model = world.model(timeout_s=2.0, max_retries=5)
    started = time.monotonic()
    answer = world.answer(model)
    assert time.monotonic() - started < 2.0
    assert_composed(answer, "OPENAI_TIMEOUT")


@pytest.mark.usefixtures("quarter_of_the_time")
def test_tries_and_pauses_share_one_time(world: World) -> None:
    world.chat.next += [(503, {"Retry-After": "0"}, b"")] * 200
    model = world.model(timeout_s=8.0, max_retries=20, sleep=lambda _: time.sleep(0.2))
    started = time.monotonic()
    assert_composed(world.answer(model), "chat model some-model")
    assert time.monotonic() - started < 8.0
    assert 1 < len(world.chat.asked) < 15


@pytest.mark.usefixtures("quarter_of_the_time")
def test_a_second_try_has_what_time_the_first_one_left(world: World) -> None:
    def sleep(_: float) -> None:
        time.sleep(0.4)
        world.chat.server.fault = "hang"

    world.chat.next.append((503, {"Retry-After": "0"}, b""))
    model = world.model(timeout_s=4.0, sleep=sleep)
    started = time.monotonic()
    assert_composed(world.answer(model), "OPENAI_TIMEOUT")
    assert time.monotonic() - started < 4.0


def test_a_body_cut_short_is_no_answer(world: World) -> None:
    world.chat.server.fault = "cut"
    assert_composed(world.answer(world.model(max_retries=0)), "broke off")


def test_a_huge_answer_is_read_to_a_bound(world: World) -> None:
    huge = stream(["person_1 did document.delete on entity_1 [1]. " * 100]) + b": padding\n\n" * 5_000_000
    world.chat.next.append((200, STREAM, huge))
    model = world.model(max_retries=0)
    tracemalloc.start()
    answer = world.answer(model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_composed(answer, "broke off")
    assert peak < 40 << 20


def test_a_long_text_is_cut_and_a_sentence_said_often_shown_once(world: World) -> None:
    world.chat.says = lambda _: "person_1 did document.delete on entity_1 [1]. " * 10
    assert world.answer(world.model()).text.count("did document.delete") == 1
    world.chat.says = lambda _: "x" * (2 * MAX_CHARACTERS)
    assert len(world.model().complete([Message("user", "say x")])) == MAX_CHARACTERS


def test_an_inner_address_is_reached_by_permission_alone(world: World) -> None:
    answer = world.answer(world.model(outgoing=PUBLIC))
    assert_composed(answer, "AUDIT_OUTGOING_ALLOWED")
    assert not world.chat.asked


def test_the_settings_choose_the_model(world: World) -> None:
    given = {"openai_api_key": SecretStr(KEY), "openai_base_url": world.chat.url, "openai_chat_model": "their-model"}
    settings = Settings(_env_file=None, **given)
    model = ChatModel.of(settings)
    assert model
    assert world.answer(model).generated_by == "their-model"
    assert world.chat.asked[-1]["model"] == "their-model"
    for lacking in ("openai_api_key", "openai_chat_model"):
        assert ChatModel.of(settings.model_copy(update={lacking: None})) is None


def test_a_summary_is_reworded_or_stays_as_it_is(world: World) -> None:
    composed = ("This report counts 1,234 events by 12 actors.", "No event is recorded as failed or denied.")
    world.chat.says = lambda _: "By 12 actors: 1,234 events [1]. This report counts 1,234 events, by 12 actors [1]."
    assert summarise(world.model(), composed) == Summary(
        ("This report counts 1,234 events, by 12 actors.", composed[1]), "model"
    )
    world.chat.says = lambda _: "All is well, of 1,234 events [1]. Every event failed [2]."
    assert summarise(world.model(), composed) == Summary(composed)
    world.chat.next.append((401, {}, b"{}"))
    assert summarise(world.model(), composed) == Summary(composed)
    assert summarise(world.model(), ()) == Summary(())


def test_no_text_is_an_error_for_whoever_asks_a_model_itself(world: World) -> None:
    world.chat.next.append((401, {}, b"{}"))
    with pytest.raises(ChatModelError, match="OPENAI_API_KEY") as caught:
        world.model().complete([Message("user", "hello")])
    assert caught.value.is_permanent
