"""Request bodies within limits: counted as they arrive, so that neither a missing length nor a gzip bomb eats memory.

Knows HTTP framing, not what the bytes mean.
"""

import zlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from audit_pipelines.server.problems import RequestError

# One gzip file may be many put end to end (bgzip writes one for each 64 KB); each costs 40 KB of set-up.
_MOST_MEMBERS: Final = 1_000
_GZIP: Final = 16 + zlib.MAX_WBITS
_PART: Final = "http.request"


def header_of(request: Request, name: bytes) -> str:
    """Return the first header of this name, which is in lower case; empty where there is none.

    Starlette's own look-up makes an object, and takes five times as long; a small request has four of them.
    """
    for present, value in request.scope["headers"]:
        if present == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def content_type(request: Request) -> str:
    """Return the media type in lower case without parameters; empty where none was sent."""
    return header_of(request, b"content-type").partition(";")[0].strip().lower()


def require_content_type(request: Request, *allowed: str) -> str:
    """Return the body's media type, which must be one of `allowed`; 415 otherwise."""
    media_type = content_type(request)
    if media_type not in allowed:
        raise RequestError(
            415,
            "unsupported-media-type",
            f"Expected Content-Type {' or '.join(allowed)}, got {media_type[:100] or 'none'}.",
            headers={"Accept": ", ".join(allowed)},
        )
    return media_type


async def read_body(request: Request, limit: int, *, gzip: bool = False) -> bytes:
    """Return the whole body, decompressed where `Content-Encoding: gzip` is allowed and sent.

    Raises:
        RequestError: 413 when the body, as sent or decompressed, exceeds `limit` bytes; 415 for another encoding; 400
            for gzip data that is broken or cut off.
    """
    encoding = header_of(request, b"content-encoding").strip().lower() or "identity"
    if encoding not in ({"identity", "gzip"} if gzip else {"identity"}):
        expected = "gzip or identity" if gzip else "identity"
        raise RequestError(
            415,
            "unsupported-encoding",
            f"Expected Content-Encoding {expected}, got {encoding[:100]}.",
            headers={"Accept-Encoding": "gzip" if gzip else "identity"},
        )
    length = header_of(request, b"content-length")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    first = await request.receive()
    if encoding == "identity" and first["type"] == _PART and not first.get("more_body"):
        # Nearly every single event. Starlette's stream and what counts it cost four times as much as the rest of this.
        body: bytes = first.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    chunks = _limited(request, first, limit)
    if encoding == "gzip":
        return await _gunzip(chunks, limit)
    return b"".join([chunk async for chunk in chunks])


async def _limited(request: Request, message: Message, limit: int) -> AsyncIterator[bytes]:
    size = 0
    while message["type"] == _PART:
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        yield chunk
        if not message.get("more_body"):
            return
        message = await request.receive()
    raise ClientDisconnect


async def _gunzip(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    members = 1
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        rest = chunk
        while rest:
            if inflater.eof:
                members += 1
                if members > _MOST_MEMBERS:
                    raise _broken_gzip(f"more than {_MOST_MEMBERS:,} gzip members")
                inflater = zlib.decompressobj(_GZIP)
            try:
                piece = inflater.decompress(rest, limit - size + 1)
            except zlib.error:
                raise _broken_gzip("bytes that are not gzip") from None
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        raise _broken_gzip("gzip data that ends too early")
    return b"".join(pieces)


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413, "too-large", f"Expected a body of at most {limit:,} bytes, decompressed too; nothing was stored."
    )


def _broken_gzip(got: str) -> RequestError:
    return RequestError(400, "malformed", f"Expected a gzip body (RFC 1952), got {got}; nothing was stored.")
