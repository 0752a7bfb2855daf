"""A server for tests that speaks `POST /v1/chat/completions` as a stream of events, and fails on demand."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.integration.anchor_servers import Reply, Server, serving
from tests.integration.embedding_servers import KEY

Asked = dict[str, Any]
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


@contextmanager
def chat_server() -> Iterator["Chat"]:
    """Run such a server for the length of the block."""
    chat = Chat()
    with serving(chat) as chat.server:
        yield chat


def stream(pieces: Sequence[str], finish: str | None = "stop", *, ended: bool = True, **delta: object) -> bytes:
    """Return the events of an answer; `delta` comes after them, and `finish` None breaks it off."""
    chunks: list[dict] = [_chunk({"role": "assistant", "content": ""})]
    chunks += [_chunk({"content": piece}) for piece in pieces]
    if delta:
        chunks.append(_chunk(delta))
    if finish:
        chunks.append(_chunk({}, finish))
        chunks.append({"object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 1}})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join(
        [
            ": a comment, as servers send to keep a connection\n\n",
            *lines,
            *["data: [DONE]\n\n"] * (ended and bool(finish)),
        ]
    ).encode()


def _chunk(delta: dict, finish: str | None = None) -> dict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def shown_events(asked: Asked) -> list[dict]:
    """Return the events that a model was shown, as a model reads them."""
    lines = asked["messages"][1]["content"].splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("BEGIN EVENTS "))
    end = next(place for place, line in enumerate(lines) if line.startswith("END EVENTS "))
    return [json.loads(line) for line in lines[begin + 1 : end]]


def honest(asked: Asked) -> str:
    """Answer as a good model does: a sentence an event, in the event's own words."""
    return " ".join(_sentence(event) for event in shown_events(asked)[:6])


def _sentence(event: dict) -> str:
    done = f"{event['person']} did" if "person" in event else "There was"
    on = f" on {event['entity']}" if "entity" in event else ""
    how = {"failure": " and failed", "denied": " and was denied"}.get(event.get("outcome", ""), "")
    when = f"on {event['day']} at {event['time']}"
    return f"{done} {event['type']}{on} {when}{how} [{event['number']}]."


class Chat:
    """What such a server answers, and what it was asked."""

    server: Server

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.next: deque[Reply] = deque()
        """What the next requests get, instead of an answer."""
        self.says: Callable[[Asked], str] = honest

    @property
    def url(self) -> str:
        """The server's address, as settings want it."""
        return f"http://127.0.0.1:{self.server.port}/v1"

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if (method, path) != ("POST", "/v1/chat/completions") or headers.get("authorization") != f"Bearer {KEY}":
            return 404, {}, b"{}"
        asked = json.loads(body)
        self.asked.append(asked)
        if self.next:
            return self.next.popleft()
        said = self.says(asked)
        return 200, STREAM, stream([said[at : at + 7] for at in range(0, len(said), 7)])
