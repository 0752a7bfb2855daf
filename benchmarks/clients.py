"""HTTP clients that cost little: prepared requests over kept-alive connections, one answer awaited before the next.

The load generator shares the machine with what it measures, so it parses no more of an answer than it must.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import uvloop


@dataclass(slots=True)
class Load:
    """What a run came to: wall-clock seconds, seconds of each request, and how many answers of each status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def requests_per_second(self) -> float:
        """Answers of any status a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def post(path: str, token: str, body: bytes, content_type: str = "application/json") -> bytes:
    """Return a whole HTTP/1.1 request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def apache_bench(port: int, path: str, token: str, body: bytes, *, count: int, connections: int) -> float | None:
    """Return the latency that 95 % of `count` posts by Apache's `ab` did not exceed, in seconds; None without `ab`.

    It opens a connection for each request, so that what this tells is that of clients that keep none open.

    Raises:
        RuntimeError: when not every answer was 2xx.
    """
    if shutil.which("ab") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        content, percentiles = Path(folder, "body"), Path(folder, "percentiles.csv")
        content.write_bytes(body)
        command = ["ab", "-q", "-n", str(count), "-c", str(connections), "-p", str(content), "-T", "application/json"]
        command += ["-H", f"Authorization: Bearer {token}", "-e", str(percentiles), f"http://127.0.0.1:{port}{path}"]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        # What it counts as failed are answers of another length than the first, and receipts differ in length.
        if "Non-2xx" in told or not re.search(rf"Complete requests: +{count}\b", told):
            raise RuntimeError(f"expected 2xx alone, got {told}")
        rows = dict(line.split(",") for line in percentiles.read_text().splitlines())
    return float(rows["95"]) / 1000


def run(ports: Sequence[int], requests_of: Sequence[Sequence[bytes]], count: int) -> Load:
    """Send `count` requests over one connection for each of `requests_of`, spread over the ports, and time them.

    A connection sends its own requests again and again, in turn, so that every connection does the same.

    Raises:
        RuntimeError: when the server closes a connection.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(ports, requests_of, count))


async def _run(ports: Sequence[int], requests_of: Sequence[Sequence[bytes]], count: int) -> Load:
    load = Load()
    loop = asyncio.get_running_loop()
    clients = [_Client() for _ in requests_of]
    for client, port in zip(clients, cycle(ports), strict=False):
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    share, rest = divmod(count, len(clients))
    started = time.perf_counter()
    await asyncio.gather(
        *(
            client.send_all(islice(cycle(own), share + (place < rest)), load)
            for place, (client, own) in enumerate(zip(clients, requests_of, strict=True))
        )
    )
    load.seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return load


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in shape alone.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer:
            self._received = b""
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(RuntimeError("the server closed the connection"))

    async def send_all(self, requests: Iterator[bytes], load: Load) -> None:
        loop = asyncio.get_running_loop()
        for request in requests:
            self._answer = loop.create_future()
            started = time.perf_counter()
            self._transport.write(request)
            status = await self._answer
            load.latencies.append(time.perf_counter() - started)
            load.statuses[status] += 1

    def close(self) -> None:
        self._transport.close()
