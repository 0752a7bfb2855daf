"""The client of OpenAI's protocol, over our own way out: shared by whoever asks such a server for vectors or words.

Here: where a request may go, how long and how large an answer may be, what of us it tells, and which failures pass. Not
here: what is asked and what is believed of the answer.
"""

import asyncio
import random
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import SecretStr

from audit_pipelines.anchors.deadline import run
from audit_pipelines.outgoing import Outgoing

if TYPE_CHECKING:
    import httpx2
    import openai

_FIRST_WAIT_S: Final = 0.5
_LONGEST_BACKOFF_S: Final = 30.0
# 409 and 425: a server's own races; 408: it gave up waiting for us.
_PASSING: Final = frozenset({408, 409, 425, 429})
# The client would tell the machine's system, processor and versions as well.
_SENT_HEADERS: Final = frozenset({"accept", "authorization", "content-type", "openai-organization"})
# Lengths and encodings were dealt with by whoever read the body.
_KEPT_HEADERS: Final = frozenset({"content-type", "retry-after"})


def open_client(
    base_url: str,
    api_key: SecretStr,
    organisation: str | None,
    *,
    timeout_s: float,
    most_bytes: int,
    outgoing: Outgoing,
) -> "openai.OpenAI":
    """Return a client that tries each request once, reaches what `outgoing` permits and reads `most_bytes` at most.

    `timeout_s`, or the time-out that a request brings, is for the whole of it. Not for use within an event loop.
    """
    import httpx2  # noqa: PLC0415 — 1.8 s with openai, for those who ask a server
    import openai  # noqa: PLC0415

    return openai.OpenAI(
        api_key=api_key.get_secret_value(),
        organization=organisation,
        base_url=base_url,
        timeout=timeout_s,
        # One counter of tries: the client's own gives up on a Retry-After of more than a minute, and does not see an
        # answer that is wrong.
        max_retries=0,
        http_client=httpx2.Client(transport=_checked_transport(outgoing, timeout_s, most_bytes), trust_env=False),
    )


def is_passing(status: int, code: str | None) -> bool:
    """Return whether a refusal with this status and error code is worth another try."""
    return (status in _PASSING or status >= 500) and code != "insufficient_quota"


def backoff_s(tries: int) -> float:
    """Return the seconds to wait after so many tries more than one, where the server names none."""
    # Many clients that failed together must not come back together.
    return float(min(_FIRST_WAIT_S * 2**tries, _LONGEST_BACKOFF_S)) * random.uniform(0.75, 1.25)  # noqa: S311


def _checked_transport(outgoing: Outgoing, timeout_s: float, most_bytes: int) -> "httpx2.BaseTransport":
    import httpx2  # noqa: PLC0415 — as openai

    class Transport(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            try:
                status, headers, body = run(self._exchange(request))
            except (TimeoutError, httpx.TimeoutException):
                raise httpx2.ReadTimeout("no answer in time", request=request) from None
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise httpx2.ReadError(f"the exchange broke off ({type(error).__name__})", request=request) from None
            return httpx2.Response(status, headers=headers, content=body, request=request)

        async def _exchange(self, request: httpx2.Request) -> tuple[int, list[tuple[str, str]], bytes]:
            whole_s = request.extensions.get("timeout", {}).get("read") or timeout_s
            # The client's own time-outs are for each step; a server that sends a byte a second would outlast them.
            async with (
                asyncio.timeout(whole_s),
                outgoing.exchange(
                    request.method,
                    str(request.url),
                    timeout_s=whole_s,
                    headers={name: value for name, value in request.headers.items() if name in _SENT_HEADERS},
                    content=request.read(),
                ) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > most_bytes:
                        raise httpx.DecodingError("the answer is too large")
                kept = [(name, value) for name, value in response.headers.items() if name in _KEPT_HEADERS]
                return response.status_code, kept, bytes(body)

    return Transport()
