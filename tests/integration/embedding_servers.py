"""A server for tests that speaks `POST /v1/embeddings` and fails on demand."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.integration.anchor_servers import Reply, Server, serving

Answer = dict[str, Any]
KEY = "sk-CANARY-of-a-key"


def vectors_of(texts: Sequence[str], dimension: int) -> np.ndarray:
    """Return what the server's model makes of texts, of length 1, as an embedder returns it."""
    raw = np.array([_raw(text, dimension) for text in texts], dtype=np.float64).reshape(len(texts), dimension)
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def _raw(text: str, dimension: int) -> list[int]:
    return [byte + 1 for byte in hashlib.shake_128(text.encode()).digest(dimension)]


@contextmanager
def embedding_server() -> Iterator["Embeddings"]:
    """Run such a server for the length of the block."""
    answers = Embeddings()
    with serving(answers) as answers.server:
        yield answers


class Embeddings:
    """What such a server answers, and what it was asked."""

    server: Server

    def __init__(self) -> None:
        self.dimension = 8
        self.asked: list[list[str]] = []
        """The texts of each request, those that failed included."""
        self.tokens = 0
        """What was charged: one token a word, of answers with status 200."""
        self.next: deque[Reply | Callable[[Answer], Answer] | None] = deque()
        """What the next requests get: a reply, a change of the right answer, or None for that one."""
        self.default: Reply | None = None
        """What they get when `next` is empty, instead of the right answer."""

    @property
    def url(self) -> str:
        """The server's address, as settings want it."""
        return f"http://127.0.0.1:{self.server.port}/v1"

    @property
    def texts(self) -> list[str]:
        """All texts that were asked for, in order."""
        return [text for batch in self.asked for text in batch]

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if (method, path) != ("POST", "/v1/embeddings") or headers.get("authorization") != f"Bearer {KEY}":
            return 404, {}, b"{}"
        asked = json.loads(body)
        self.asked.append(asked["input"])
        change = self.next.popleft() if self.next else self.default
        if isinstance(change, tuple):
            return change
        tokens = sum(len(text.split()) for text in asked["input"])
        self.tokens += tokens
        answer: Answer = {
            "object": "list",
            "model": asked["model"],
            "data": [
                {"object": "embedding", "index": place, "embedding": _raw(text, self.dimension)}
                for place, text in enumerate(asked["input"])
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(change(answer) if change else answer).encode()
