"""Texts to vectors by somebody else's model: OpenAI, or any server that speaks its `POST /embeddings`.

Here: what is asked, how often, and which answers are believed. Not here: what may be sent (`render` decides what a text
is, `derive.embeddings` sends nothing else), when this embedder is used, and where vectors are kept. An answer is used
whole or not at all: a vector too few, out of place, of another length or with a number that is none stores nothing.

Reference: https://platform.openai.com/docs/api-reference/embeddings; Retry-After by RFC 9110 section 10.2.3.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
from pydantic import SecretStr

from audit_pipelines.errors import EmbeddingServerError
from audit_pipelines.intelligence.embed import Vectors
from audit_pipelines.intelligence.openai_client import backoff_s, is_passing, open_client
from audit_pipelines.outgoing import PUBLIC, ForbiddenAddressError, Outgoing, retry_after_s

if TYPE_CHECKING:
    import openai

KNOWN_DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""Lengths that need no asking; every other model is asked once, with a word that is no event's."""

MAX_REQUEST_TOKENS: Final = 50_000
"""Far below the 300,000 that OpenAI takes: a request that fails is paid again, so it is better small."""

LONGEST_WAIT_S: Final = 120.0
"""A server that asks for more gets it from the next run: this one ends, and what it has is stored."""

_PROBE: Final = "event"
# 2,048 vectors of 3,072 numbers with 13 digits are 90 MB.
_MAX_ANSWER_BYTES: Final = 128 << 20
_HELP: Final = {
    401: "OPENAI_API_KEY is not accepted: set the right one, or unset it to embed on this machine",
    403: "the key may not use this model: look at its project and at OPENAI_ORG_ID, or choose another model",
    404: "no such model or address: look at OPENAI_EMBEDDING_MODEL, and that OPENAI_BASE_URL ends as the server's "
    "documentation says (often /v1)",
    413: "the request is too large for it: lower OPENAI_EMBEDDING_BATCH_SIZE",
}
_REFUSED: Final = (
    "it does not take the request: look at OPENAI_EMBEDDING_MODEL, OPENAI_EMBEDDING_DIMENSIONS (not every model takes "
    "any) and OPENAI_EMBEDDING_BATCH_SIZE"
)
_NO_CREDIT: Final = "the account has no credit left: add some, or unset OPENAI_API_KEY to embed on this machine"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was asked of a server: requests that failed count too, tokens are those it says it charges."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.requests + other.requests, self.tokens + other.tokens)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.requests - other.requests, self.tokens - other.tokens)


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Item]
    usage: _Usage | None = None


class OpenAIEmbedder:
    """Asks a server for vectors, in batches, again when it failed for the moment.

    `digest` is of the model's name, the length of its vectors and the server's host: whoever changes the model behind a
    name cannot be noticed, so such a change needs a new name. Safe to share between threads. `sleep` takes seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: SecretStr,
        organisation: str | None = None,
        dimensions: int | None = None,
        known_dimension: int | None = None,
        batch_size: int = 256,
        max_retries: int = 3,
        timeout_s: float = 30.0,
        outgoing: Outgoing = PUBLIC,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.source = base_url
        self.spent = Spent()
        self._api_key = api_key
        self._organisation = organisation
        self._asked_dimensions = dimensions
        self._dimension = dimensions or KNOWN_DIMENSIONS.get(name) or known_dimension
        self._batch_size = batch_size
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._outgoing = outgoing
        self._sleep = sleep
        self._lock = Lock()
        self._client: openai.OpenAI | None = None

    @property
    def dimension(self) -> int:
        """Length of each vector; where nobody knows it, the server is asked once, for one word.

        Raises `EmbeddingServerError` as `encode` does.
        """
        if self._dimension is None:
            self._dimension = int(self._ask([_PROBE]).shape[1])
        return self._dimension

    @property
    def digest(self) -> str:
        """Hex SHA-256 of name, dimension and host."""
        host = urlsplit(self.source).netloc.lower()
        return hashlib.sha256(f"openai embeddings 1/{self.name}/{self.dimension}/{host}".encode()).hexdigest()

    def batches(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """Yield `texts` in order, in the pieces that one request takes."""
        return split(texts, most_texts=self._batch_size, most_tokens=MAX_REQUEST_TOKENS)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text, float32 `[len(texts), dimension]`; one request a batch.

        Raises `EmbeddingServerError` when a batch could not be had; vectors of batches before it are lost with it, so
        whoever pays hands over one batch at a time.
        """
        parts = [self._ask(batch) for batch in self.batches(texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimension), dtype=np.float32)

    def _ask(self, texts: Sequence[str]) -> Vectors:
        tries = 0
        while True:
            try:
                return self._ask_once(texts)
            except EmbeddingServerError as error:
                wait_s = error.retry_after_s
                if error.is_permanent or tries == self._max_retries or (wait_s or 0) > LONGEST_WAIT_S:
                    raise
            self._sleep(backoff_s(tries) if wait_s is None else wait_s)
            tries += 1

    def _ask_once(self, texts: Sequence[str]) -> Vectors:
        self.spent += Spent(requests=1)
        answer = self._post(texts)
        if isinstance(answer, EmbeddingServerError):
            # Outside the handler: the client's errors repeat the server's words, which may repeat the key.
            raise answer
        try:
            decoded = msgspec.json.decode(answer, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            decoded = None
        if decoded is None:
            raise self._useless("an answer that is not the JSON of the interface")
        if decoded.usage:
            self.spent += Spent(tokens=max(0, decoded.usage.total_tokens))
        return self._believed(decoded.data, len(texts))

    def _believed(self, items: list[_Item], count: int) -> Vectors:
        """Return the vectors in the order of the texts, if they are whole."""
        if sorted(item.index for item in items) != list(range(count)):
            raise self._useless(f"{len(items)} vectors for {count} texts, or their places wrong")
        lengths = {len(item.embedding) for item in items}
        expected = self._dimension
        if expected is not None and lengths != {expected}:
            raise EmbeddingServerError(
                f"{self._who}: expected vectors of {expected} numbers, got {_listed(lengths)}: another model answers "
                "to this name; set OPENAI_EMBEDDING_DIMENSIONS to its length, which makes it another model here too",
                is_permanent=True,
            )
        if len(lengths) != 1 or not 0 < min(lengths) <= 16_000:
            raise self._useless(f"vectors of {_listed(lengths)} numbers")
        vectors = np.empty((count, *lengths), dtype=np.float64)
        for item in items:
            vectors[item.index] = item.embedding
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise self._useless("a vector that is zero or not finite")
        unit: Vectors = (vectors / norms).astype(np.float32)
        return unit

    @property
    def _who(self) -> str:
        return f"embedding server {urlsplit(self.source).netloc} ({self.name})"

    def _useless(self, got: str) -> EmbeddingServerError:
        return EmbeddingServerError(
            f"{self._who}: expected one vector a text, got {got}; nothing of it was stored, the next run asks again",
            is_permanent=False,
        )

    def _post(self, texts: Sequence[str]) -> bytes | EmbeddingServerError:
        """Return the body of an answer with status 2xx, or what went wrong."""
        import openai  # noqa: PLC0415 — 1.8 s, for those who ask a server

        try:
            response = self._open().embeddings.with_raw_response.create(
                input=list(texts),
                model=self.name,
                dimensions=self._asked_dimensions or openai.omit,
                # The client's own default is base64, which compatible servers answer wrongly or not at all.
                encoding_format="float",
            )
        except openai.APIStatusError as error:
            return self._refused(error.status_code, error.code, dict(error.response.headers))
        except openai.APITimeoutError:
            return self._silent(f"no answer within {self._timeout_s:g} s (OPENAI_TIMEOUT)")
        except openai.APIConnectionError as error:
            return self._silent("no connection, or it broke off" if error.__cause__ is None else str(error.__cause__))
        except ForbiddenAddressError as error:
            return EmbeddingServerError(f"OPENAI_BASE_URL: {error}", is_permanent=True)
        return response.content

    def _silent(self, what: str) -> EmbeddingServerError:
        return EmbeddingServerError(
            f"{self._who}: {what}; what it answered before is stored, the next run goes on from there",
            is_permanent=False,
        )

    def _refused(self, status: int, code: str | None, headers: dict[str, str]) -> EmbeddingServerError:
        if is_passing(status, code):
            wait_s = retry_after_s(headers)
            asked = "" if wait_s is None else f" and asked to wait {wait_s:g} s"
            return EmbeddingServerError(
                f"{self._who}: status {status}{asked}; what it answered before is stored, the next run goes on from "
                "there",
                is_permanent=False,
                retry_after_s=wait_s,
            )
        what_to_do = _NO_CREDIT if code == "insufficient_quota" else _HELP.get(status, _REFUSED)
        return EmbeddingServerError(f"{self._who}: status {status}: {what_to_do}", is_permanent=True)

    def _open(self) -> "openai.OpenAI":
        with self._lock:
            if self._client is None:
                self._client = open_client(
                    self.source,
                    self._api_key,
                    self._organisation,
                    timeout_s=self._timeout_s,
                    most_bytes=_MAX_ANSWER_BYTES,
                    outgoing=self._outgoing,
                )
            return self._client


def split(texts: Iterable[str], *, most_texts: int, most_tokens: int) -> Iterator[list[str]]:
    """Yield `texts` in order, in pieces of at most so many texts and tokens; a text beyond that is a piece of its own.

    Tokens are guessed from above, three bytes each: English has about four.
    """
    piece: list[str] = []
    tokens = 0
    for text in texts:
        needed = math.ceil(len(text.encode()) / 3) + 1
        if piece and (len(piece) == most_texts or tokens + needed > most_tokens):
            yield piece
            piece, tokens = [], 0
        piece.append(text)
        tokens += needed
    if piece:
        yield piece


def _listed(lengths: Iterable[int]) -> str:
    return " and ".join(str(length) for length in sorted(lengths)[:3]) or "no"
