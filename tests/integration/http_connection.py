"""A kept-alive HTTP connection that costs little, so that hundreds of them leave the machine to the servers under load.

Knows framing and no more of HTTP; what is asked and what an answer means is the test's.
"""

import asyncio
from typing import NamedTuple, cast

IDLE_S = 2
"""The server closes a connection that was idle for 5 s, even as a request is on its way; here none is."""


class Reply(NamedTuple):
    status: int
    retry_after: int
    body: bytes


class Connection(asyncio.Protocol):
    """One kept-alive connection to a server process, with one request under way at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._received = b""
        self._used_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in shape alone.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(headers[b"content-length"]) and self._reply and not self._reply.done():
            self._received = b""
            self._reply.set_result(Reply(int(head[9:12]), int(headers.get(b"retry-after", b"0")), body))

    def connection_lost(self, _: Exception | None) -> None:
        if self._reply and not self._reply.done():
            self._reply.set_exception(RuntimeError("the server closed the connection"))

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._used_at = loop.time()

    async def send(self, request: bytes) -> Reply:
        loop = asyncio.get_running_loop()
        if loop.time() - self._used_at > IDLE_S:
            self.close()
            await self.open()
        self._reply = loop.create_future()
        assert self._transport
        self._transport.write(request)
        reply = await self._reply
        self._used_at = loop.time()
        return reply

    def close(self) -> None:
        if self._transport:
            self._transport.close()
