"""Asking a server for vectors: what is sent, what is tried again, and which answers are not believed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from pydantic import SecretStr

from audit_pipelines.errors import EmbeddingServerError
from audit_pipelines.intelligence.embedding_server import OpenAIEmbedder, Spent
from audit_pipelines.outgoing import PUBLIC, Outgoing
from tests.integration.embedding_servers import KEY, Embeddings, embedding_server, vectors_of

TEXTS = [f"user login; user; {outcome}" for outcome in ("success", "failure", "denied", "outcome unknown")]
HERE = Outgoing.allowing(["127.0.0.1"])


class World:
    """A server, an embedder that asks it, and the pauses that the embedder made."""

    def __init__(self, answers: Embeddings) -> None:
        self.server = answers.server
        self.answers = answers
        self.slept: list[float] = []

    def embedder(self, **changed: object) -> OpenAIEmbedder:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.server.fault = None

        options: dict = {
            "base_url": self.answers.url,
            "api_key": SecretStr(KEY),
            "known_dimension": 8,
            "outgoing": HERE,
            "sleep": sleep,
        }
        return OpenAIEmbedder("some-model", **options | changed)


@pytest.fixture
def world() -> Iterator[World]:
    with embedding_server() as answers:
        yield World(answers)


def test_vectors_come_in_the_order_of_the_texts_and_have_length_1(world: World) -> None:
    world.answers.next.append(lambda answer: answer | {"data": answer["data"][::-1]})
    embedder = world.embedder()
    vectors = embedder.encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, vectors_of(TEXTS, 8))
    assert embedder.spent == Spent(1, world.answers.tokens)
    assert world.answers.tokens > 0
    assert embedder.encode([]).shape == (0, 8)


def test_nothing_is_sent_but_model_and_texts_under_the_key(world: World) -> None:
    world.embedder(organisation="org-1").encode(TEXTS)
    world.embedder(dimensions=8).encode(TEXTS[:1])
    (_, path, headers, body), (*_, shortened) = world.server.requests
    assert path == "/v1/embeddings"
    assert json.loads(body) == {"input": TEXTS, "model": "some-model", "encoding_format": "float"}
    assert json.loads(shortened)["dimensions"] == 8
    assert headers == {
        "host": f"127.0.0.1:{world.server.port}",
        "authorization": f"Bearer {KEY}",
        "openai-organization": "org-1",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "audit-pipelines",
    }


def _without_last(answer: dict) -> dict:
    return answer | {"data": answer["data"][:-1]}


def _with_first(**changed: object):
    return lambda answer: answer | {"data": [answer["data"][0] | changed, *answer["data"][1:]]}


OK = {"Content-Type": "application/json"}
WRONG_ANSWERS = {
    "too few": _without_last,
    "too many": lambda answer: answer | {"data": [*answer["data"], answer["data"][0] | {"index": 4}]},
    "one place twice": _with_first(index=1),
    "no such place": _with_first(index=7),
    "a negative place": _with_first(index=-1),
    "no place": lambda answer: answer | {"data": [{"embedding": [1] * 8}] * 4},
    "a null": _with_first(embedding=[None] * 8),
    "a string": _with_first(embedding="AAAA"),
    "a zero vector": _with_first(embedding=[0] * 8),
    "not a number": (200, OK, b'{"data":[{"index":0,"embedding":[NaN,1,1,1,1,1,1,1]}]}'),
    "infinite": (200, OK, b'{"data":[{"index":0,"embedding":[1e999,1,1,1,1,1,1,1]}]}'),
    "no data": (200, OK, b'{"error":"busy"}'),
    "half of it": (200, OK, b'{"data":[{"index":0,"embedd'),
    "a page": (200, {"Content-Type": "text/html"}, b"<html>proxy</html>"),
    "nothing": (200, OK, b""),
    "no text": (200, OK, b"\xff\xfe\x00"),
    "deep": (200, OK, b"[" * 100_000),
}


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_an_answer_that_is_wrong_is_not_believed(world: World, name: str) -> None:
    world.answers.next += [WRONG_ANSWERS[name]] * 2
    with pytest.raises(EmbeddingServerError, match="nothing of it was stored") as caught:
        world.embedder(max_retries=0).encode(TEXTS)
    assert not caught.value.is_permanent
    np.testing.assert_array_equal(world.embedder(max_retries=1).encode(TEXTS), vectors_of(TEXTS, 8))
    assert len(world.answers.asked) == 3


@pytest.mark.parametrize("fault", ["hang", "cut", "slow head", "slow body"])
def test_an_answer_that_does_not_end_is_asked_for_again(world: World, fault: str) -> None:
    world.server.fault = fault
    # On a busy machine a right answer may come too late, too.
    embedder = world.embedder(timeout_s=1.0, max_retries=10)
    np.testing.assert_array_equal(embedder.encode(TEXTS), vectors_of(TEXTS, 8))
    assert len(world.server.requests) == len(world.slept) + 1 > 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_tried_again_with_growing_pauses(world: World, status: int) -> None:
    world.answers.next += [(status, {}, b"CANARY")] * 3
    world.embedder().encode(TEXTS)
    assert len(world.answers.asked) == 4
    first, second, third = world.slept
    assert 0.37 < first < 0.63 < second < 1.26 < third < 2.51


def test_the_pause_that_a_server_asks_for_is_kept(world: World) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    world.answers.next += [(429, {"Retry-After": "7"}, b"{}"), (503, {"Retry-After": later}, b"{}")]
    world.embedder().encode(TEXTS)
    assert world.slept[0] == 7
    assert 20 < world.slept[1] <= 30


def test_a_long_pause_is_left_to_the_next_run(world: World) -> None:
    world.answers.default = (429, {"Retry-After": "3600"}, b"{}")
    with pytest.raises(EmbeddingServerError, match="asked to wait 3600 s") as caught:
        world.embedder().encode(TEXTS)
    assert (caught.value.retry_after_s, caught.value.is_permanent, world.slept) == (3600, False, [])


def test_tries_are_bounded(world: World) -> None:
    world.answers.default = (500, {}, b"{}")
    embedder = world.embedder(max_retries=2)
    with pytest.raises(EmbeddingServerError, match="status 500"):
        embedder.encode(TEXTS)
    assert len(world.answers.asked) == embedder.spent.requests == 3


NO_CREDIT = b'{"error":{"code":"insufficient_quota","message":"CANARY"}}'


@pytest.mark.parametrize(
    ("status", "body", "what_to_do"),
    [
        (401, b"CANARY", "OPENAI_API_KEY is not accepted"),
        (400, b'{"error":{"code":"model_not_found","message":"CANARY"}}', "look at OPENAI_EMBEDDING_MODEL"),
        (403, b"", "OPENAI_ORG_ID"),
        (404, b'{"error":"CANARY"}', "no such model or address"),
        (413, b"", "lower OPENAI_EMBEDDING_BATCH_SIZE"),
        (422, b"CANARY", "OPENAI_EMBEDDING_DIMENSIONS"),
        (429, NO_CREDIT, "no credit left"),
    ],
)
def test_what_will_not_pass_fails_at_once_and_says_what_to_do(
    world: World, status: int, body: bytes, what_to_do: str
) -> None:
    world.answers.default = (status, OK, body)
    with pytest.raises(EmbeddingServerError, match=what_to_do) as caught:
        world.embedder().encode(TEXTS)
    assert caught.value.is_permanent
    assert (len(world.answers.asked), world.slept) == (1, [])
    error: BaseException | None = caught.value
    while error is not None:
        assert "CANARY" not in str(error)
        error = error.__cause__ or error.__context__


def test_vectors_of_another_length_than_before_are_another_model(world: World) -> None:
    world.answers.dimension = 9
    with pytest.raises(EmbeddingServerError, match="expected vectors of 8 numbers, got 9") as caught:
        world.embedder().encode(TEXTS)
    assert caught.value.is_permanent
    assert len(world.answers.asked) == 1


def test_a_length_that_nobody_knows_is_asked_for_once(world: World) -> None:
    embedder = world.embedder(known_dimension=None)
    assert embedder.dimension == 8
    assert len(embedder.digest) == 64
    embedder.encode(TEXTS)
    assert world.answers.asked == [["event"], TEXTS]


def test_the_digest_is_of_name_length_and_host(world: World) -> None:
    digests = {
        world.embedder().digest,
        world.embedder(known_dimension=9).digest,
        world.embedder(base_url="https://other.example/v1").digest,
        OpenAIEmbedder("other", base_url=world.embedder().source, api_key=SecretStr("k"), known_dimension=8).digest,
    }
    assert len(digests) == 4
    assert world.embedder(api_key=SecretStr("other"), batch_size=1).digest in digests
    assert OpenAIEmbedder("text-embedding-3-large", base_url="", api_key=SecretStr("k")).dimension == 3072


def test_many_texts_are_many_requests(world: World) -> None:
    texts = [f"text {number}" for number in range(25)]
    np.testing.assert_array_equal(world.embedder(batch_size=10).encode(texts), vectors_of(texts, 8))
    assert [len(batch) for batch in world.answers.asked] == [10, 10, 5]


def test_an_inner_address_is_reached_by_permission_alone(world: World) -> None:
    with pytest.raises(EmbeddingServerError, match="AUDIT_OUTGOING_ALLOWED") as caught:
        world.embedder(outgoing=PUBLIC).encode(TEXTS)
    assert caught.value.is_permanent
    assert world.server.requests == []


def test_a_server_that_is_not_there_is_said_to_be_so(world: World) -> None:
    embedder = world.embedder(base_url="http://127.0.0.1:1/v1", max_retries=1)
    with pytest.raises(EmbeddingServerError, match="broke off") as caught:
        embedder.encode(TEXTS)
    assert not caught.value.is_permanent
    assert len(world.slept) == 1
