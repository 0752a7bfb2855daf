"""One POST to an outside anchor, bounded in time and size, with its failure in words that hold no secret."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from audit_pipelines.anchors.deadline import run
from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.outgoing import ForbiddenAddressError, Outgoing, retry_after_s

TIMEOUT_S: Final = 10.0
"""For the whole exchange: a receiver that answers a byte a second must not hold up all the others."""
_MAX_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer with status 2xx, and its media type in lower case."""

    content: bytes
    media_type: str


def post(
    url: str, content: bytes, headers: Mapping[str, str], outgoing: Outgoing, timeout_s: float = TIMEOUT_S
) -> Answer:
    """Post `content` to where `outgoing` permits, follow no redirect, and return the answer if its status is 2xx.

    Raises:
        AnchorUnavailableError: for everything else, with the Retry-After that came.
    """
    try:
        return run(_post(url, content, headers, outgoing, timeout_s))
    except ForbiddenAddressError as error:
        raise AnchorUnavailableError(str(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise AnchorUnavailableError(f"no answer within {timeout_s:g} s") from error
    except httpx.ConnectError as error:
        raise AnchorUnavailableError("no connection could be opened") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AnchorUnavailableError(f"the exchange broke off ({type(error).__name__})") from error


async def _post(url: str, content: bytes, headers: Mapping[str, str], outgoing: Outgoing, timeout_s: float) -> Answer:
    async with (
        asyncio.timeout(timeout_s),
        outgoing.exchange("POST", url, timeout_s=timeout_s, headers=headers, content=content) as response,
    ):
        if not response.is_success:
            raise AnchorUnavailableError(
                f"expected status 2xx, got {response.status_code}", retry_after_s(response.headers)
            )
        return Answer(await _body(response), _media_type(response.headers))


async def _body(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise AnchorUnavailableError(f"expected an answer of at most {_MAX_ANSWER} bytes, got more")
    return body


def _media_type(headers: httpx.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()
