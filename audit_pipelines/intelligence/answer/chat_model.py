"""A chat model of OpenAI's, or of any server that speaks its `POST /chat/completions`: texts in, one text out, in time.

Here: how it is asked, how often, for how long, and when an answer is whole. Not here: what may be sent (`prompt`) and
what of the answer is believed (`grounding`). No tools are offered, and calls of tools in an answer are not looked at.

Reference: https://platform.openai.com/docs/api-reference/chat/streaming; events by the HTML standard, section 9.2.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from audit_pipelines.errors import ChatModelError
from audit_pipelines.intelligence.openai_client import backoff_s, is_passing, open_client
from audit_pipelines.outgoing import PUBLIC, ForbiddenAddressError, Outgoing, retry_after_s
from audit_pipelines.settings import Settings

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

MAX_CHARACTERS: Final = 20_000
"""More than that is no answer to a question; the rest is not looked at."""

# A piece of text is one event of some 250 bytes, and models that think aloud send those thoughts as well.
_MAX_ANSWER_BYTES: Final = 8 << 20
# Whoever waits has the composed answer before OPENAI_TIMEOUT is over.
_SHARE_OF_TIME: Final = 0.9
# To open a connection and hear nothing takes some of it; a try with less time than that comes back late.
_SHORTEST_TRY_S: Final = 0.2
# Servers of open models send what a model thinks before it answers in the same text.
_THOUGHTS: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_HELP: Final = {
    401: "OPENAI_API_KEY is not accepted",
    403: "the key may not use this model: look at its project and at OPENAI_ORG_ID",
    404: "no such model or address: look at OPENAI_CHAT_MODEL and OPENAI_BASE_URL",
}


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of what a model is given."""

    role: str
    """`system` or `user`."""
    content: str


class ChatModel:
    """Asks a chat model, again when it failed for the moment, within one time for all tries together.

    Safe to share between threads; not to be used from within an event loop. `sleep` takes seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        api_key: SecretStr,
        organisation: str | None = None,
        max_retries: int = 3,
        timeout_s: float = 30.0,
        outgoing: Outgoing = PUBLIC,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._source = base_url
        self._max_retries = max_retries
        self._time_s = timeout_s * _SHARE_OF_TIME
        self._sleep = sleep
        # Now and not at the first question: loading the client takes longer than a short time-out.
        self._client = open_client(
            base_url,
            api_key,
            organisation,
            timeout_s=self._time_s,
            most_bytes=_MAX_ANSWER_BYTES,
            outgoing=outgoing,
        )

    @classmethod
    def of(cls, settings: Settings) -> "ChatModel | None":
        """Return the model of `OPENAI_CHAT_MODEL`, or None where that or `OPENAI_API_KEY` is not set."""
        if not settings.openai_chat_model or not settings.openai_api_key:
            return None
        # Whoever set the address meant it, an inner one too.
        host = urlsplit(settings.openai_base_url).hostname or ""
        return cls(
            settings.openai_chat_model,
            base_url=settings.openai_base_url,
            api_key=settings.openai_api_key,
            organisation=settings.openai_org_id,
            max_retries=settings.openai_max_retries,
            timeout_s=settings.openai_timeout,
            outgoing=Outgoing.allowing((*settings.audit_outgoing_allowed, host)),
        )

    def complete(self, messages: Sequence[Message]) -> str:
        """Return the model's text, at most `MAX_CHARACTERS`; where it was cut for length it ends within a sentence.

        Raises `ChatModelError` when there is none, at the latest just before `OPENAI_TIMEOUT` is over, tries and pauses
        included.
        """
        ends = time.monotonic() + self._time_s
        tries = 0
        while True:
            answer = self._ask(messages, ends - time.monotonic())
            if isinstance(answer, str):
                return answer
            pause_s = backoff_s(tries) if answer.retry_after_s is None else answer.retry_after_s
            if answer.is_permanent or tries == self._max_retries or pause_s + _SHORTEST_TRY_S > ends - time.monotonic():
                # Outside of any handler: the client's errors repeat the server's words.
                raise answer
            self._sleep(pause_s)
            tries += 1

    @property
    def _who(self) -> str:
        return f"chat model {self.name} at {urlsplit(self._source).netloc}"

    def _ask(self, messages: Sequence[Message], time_s: float) -> str | ChatModelError:
        """Return the text of one try, or what went wrong."""
        import openai  # noqa: PLC0415 — loaded by `open_client`

        turns: list[ChatCompletionMessageParam] = [_turn(message) for message in messages]
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=self.name, messages=turns, stream=True, timeout=max(time_s, 0.001)
            )
        except openai.APIStatusError as error:
            return self._refused(error.status_code, error.code, dict(error.response.headers))
        except openai.APITimeoutError:
            return self._failed("no whole answer in time (OPENAI_TIMEOUT)")
        except openai.APIConnectionError as error:
            return self._failed("no connection, or it broke off" if error.__cause__ is None else str(error.__cause__))
        except ForbiddenAddressError as error:
            return ChatModelError(f"OPENAI_BASE_URL: {error}", is_permanent=True)
        return self._text_of(response.content)

    def _text_of(self, body: bytes) -> str | ChatModelError:
        pieces: list[str] = []
        finish = None
        try:
            for chunk in _chunks(body):
                for choice in chunk.choices:
                    said = choice.delta or choice.message
                    if said and said.refusal:
                        return self._failed("it declined to answer", is_permanent=True)
                    if said and said.content and choice.index == 0:
                        pieces.append(said.content)
                    finish = finish or choice.finish_reason
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._failed("an answer that is not of the protocol")
        if finish == "content_filter":
            return self._failed("its filter stopped the answer", is_permanent=True)
        if finish is None:
            return self._failed("an answer that broke off" if pieces else "no answer of the protocol")
        text = _THOUGHTS.sub("", "".join(pieces))[:MAX_CHARACTERS]
        return text if text.strip() else self._failed("an answer without text", is_permanent=True)

    def _failed(self, what: str, *, is_permanent: bool = False) -> ChatModelError:
        return ChatModelError(f"{self._who}: {what}", is_permanent=is_permanent)

    def _refused(self, status: int, code: str | None, headers: dict[str, str]) -> ChatModelError:
        if is_passing(status, code):
            wait_s = retry_after_s(headers)
            return ChatModelError(f"{self._who}: status {status}", is_permanent=False, retry_after_s=wait_s)
        no_credit = "the account has no credit left" if code == "insufficient_quota" else None
        what = no_credit or _HELP.get(status, "it does not take the request: look at OPENAI_CHAT_MODEL")
        return ChatModelError(f"{self._who}: status {status}: {what}", is_permanent=True)


def _turn(message: Message) -> "ChatCompletionMessageParam":
    if message.role == "system":
        return {"role": "system", "content": message.content}
    return {"role": "user", "content": message.content}


def _chunks(body: bytes) -> Iterator[_Chunk]:
    """Yield what a stream of events holds up to `[DONE]`, or the one answer of a server that does not stream."""
    if body.lstrip()[:1] == b"{":
        yield msgspec.json.decode(body, type=_Chunk)
        return
    for line in body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, data = line.partition(b":")
        if name != b"data":
            continue
        if data.strip() == b"[DONE]":
            # Some servers give no reason for an end.
            yield _Chunk([_Choice(finish_reason="stop")])
            return
        yield msgspec.json.decode(data, type=_Chunk)
