"""Body limits hold whatever the client says about its body's length and encoding."""

import gzip
import tracemalloc
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from starlette.requests import Request

from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.problems import RequestError


def request(chunks: Sequence[bytes], **headers: str) -> Request:
    messages = iter([{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks])

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.request", "body": b"", "more_body": False})

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def read(chunks: Sequence[bytes], limit: int, *, allow_gzip: bool = True, **headers: str) -> bytes:
    async def run() -> bytes:
        return await read_body(request(chunks, **headers), limit, gzip=allow_gzip)

    return anyio.run(run)


def refused(*arguments: Any, **named: Any) -> int:
    with pytest.raises(RequestError) as error:
        read(*arguments, **named)
    return error.value.status


def test_chunks_are_put_together_up_to_the_limit() -> None:
    assert read([b"ab", b"", b"cd"], 4) == b"abcd"
    assert refused([b"ab", b"cde"], 4) == 413


def test_an_announced_length_is_refused_unread() -> None:
    assert refused([], 4, content_length="5") == 413
    assert refused([], 4, content_length="9" * 5_000) == 413


def test_gzip_in_any_cut() -> None:
    packed = gzip.compress(b"abc" * 1_000) + gzip.compress(b"def")
    for size in (1, 7, len(packed)):
        chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
        assert read(chunks, 3_003, content_encoding="gzip") == b"abc" * 1_000 + b"def"
    assert refused([packed], 3_002, content_encoding="gzip") == 413


def test_a_bomb_eats_no_memory() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    assert refused([bomb], 1_000_000, content_encoding="gzip") == 413
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "content",
    [b"not gzip", b"", gzip.compress(b"abcdef")[:-4], gzip.compress(b"a") + b"tail", gzip.compress(b"") * 1_001],
    ids=["other", "empty", "cut off", "tail", "members"],
)
def test_broken_gzip_is_malformed(content: bytes) -> None:
    assert refused([content], 100_000, content_encoding="gzip") == 400


def test_other_encodings_are_unsupported() -> None:
    assert refused([b"x"], 9, content_encoding="br") == 415
    assert refused([b"x"], 9, content_encoding="gzip", allow_gzip=False) == 415


def test_content_types() -> None:
    json_request = request([], content_type="Application/JSON; charset=utf-8")
    assert require_content_type(json_request, "application/json") == "application/json"
    for other in ({}, {"content_type": "text/plain"}):
        with pytest.raises(RequestError) as error:
            require_content_type(request([], **other), "application/json")
        assert error.value.status == 415
