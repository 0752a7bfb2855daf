"""A way out for a library that looks names up by itself: it asks for a host, and gets to an address that was checked.

`obstore` can be given neither a resolver nor an address, but a proxy. This one lives as long as an exchange, on
loopback, opens tunnels (CONNECT, RFC 9110 section 9.3.6) for whoever knows its password, and sees only what TLS shows.
"""

import asyncio
import base64
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from audit_pipelines.outgoing import ForbiddenAddressError, Outgoing

_MAX_HEAD: Final = 8_192
_CHUNK: Final = 65_536
_CLOSING_S: Final = 1.0
_REFUSED: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
_AWAY: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_OPEN: Final = b"HTTP/1.1 200 Connection Established\r\n\r\n"


@asynccontextmanager
async def tunnel(outgoing: Outgoing) -> AsyncIterator[str]:
    """Yield the URL of a proxy that opens connections to where `outgoing` permits, for the length of the block."""
    password = secrets.token_hex(32)
    credentials = b"Basic " + base64.b64encode(f"tunnel:{password}".encode())
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            open_ones.add(task)
            task.add_done_callback(open_ones.discard)
        try:
            # A cancelled task of a server is logged as a fault by asyncio of Python 3.11.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
                await _serve(reader, writer, credentials, outgoing)
        finally:
            await _close(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_MAX_HEAD)
    try:
        yield f"http://tunnel:{password}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(open_ones):
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, credentials: bytes, outgoing: Outgoing
) -> None:
    request, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines if b": " in line)
    given = next((value for name, value in headers.items() if name.lower() == b"proxy-authorization"), b"")
    method, _, rest = request.partition(b" ")
    host, _, port = rest.partition(b" ")[0].decode("ascii", "replace").rpartition(":")
    if method != b"CONNECT" or not port.isdecimal() or not hmac.compare_digest(given, credentials):
        writer.write(_REFUSED)
        await writer.drain()
        return
    try:
        far_reader, far_writer = await _connect(host.strip("[]"), int(port), outgoing)
    except (OSError, ForbiddenAddressError) as error:
        writer.write(_REFUSED if isinstance(error, ForbiddenAddressError) else _AWAY)
        await writer.drain()
        return
    try:
        writer.write(_OPEN)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    finally:
        await _close(far_writer)


async def _connect(host: str, port: int, outgoing: Outgoing) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    destination = await outgoing.resolve(host, port)
    failure: OSError | None = None
    for address in destination.addresses:
        try:
            return await asyncio.open_connection(address, port)
        except OSError as error:
            failure = error
    raise failure or OSError("no address")


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    with suppress(OSError):
        sink.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close before the loop ends, which would leave the socket to the garbage collector."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSING_S):
            await writer.wait_closed()
    except OSError:
        writer.transport.abort()
