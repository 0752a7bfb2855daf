"""A proxy before Postgres that cuts a connection exactly at the commit of an append.

It reads the protocol (type byte, length, body) no further than needed to know which message of a client commits an
append, and when the server's answer to it is complete. What is written, retried or counted is the tests' business.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

Point = Literal["before", "during", "after"]
"""Where a connection is cut: the committing message is held back; it is forwarded and its answer not awaited; its
answer has come in full and is held back."""

APPEND: Final = b"audit_append"
_CHUNK: Final = 65_536


class Frames:
    """Takes a stream of bytes apart into messages; a client's first one has no type byte and gets the type b''."""

    def __init__(self, *, has_startup: bool) -> None:
        self._buffer = bytearray()
        self._head = 0 if has_startup else 1

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield type and whole bytes of each message that is complete now."""
        self._buffer += data
        while len(self._buffer) >= self._head + 4:
            (length,) = struct.unpack_from("!I", self._buffer, self._head)
            end = self._head + length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield message[: self._head], message
            self._head = 1


@dataclass
class Statements:
    """Follows the statements of one connection, to say which message makes an append durable."""

    _texts: dict[bytes, bytes] = field(default_factory=dict)
    _portals: dict[bytes, bytes] = field(default_factory=dict)
    _in_transaction: bool = False
    _appended: bool = False

    def commits_append(self, kind: bytes, message: bytes) -> bool:
        """Take the next message of the client; return whether an append is committed once the server has it."""
        body = message[5:]
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._texts[name] = text
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._texts[name]
        elif kind == b"E":
            return self._run(self._portals[body.partition(b"\0")[0]])
        elif kind == b"Q":
            return self._run(body)
        elif kind == b"S":
            # A statement outside a transaction block is committed by the Sync behind it, not by its Execute.
            return self._appended and not self._in_transaction
        return False

    def idle(self, status: bytes) -> None:
        """Take the transaction status of a ReadyForQuery."""
        self._in_transaction = status != b"I"
        if not self._in_transaction:
            self._appended = False

    def _run(self, text: bytes) -> bool:
        if APPEND in text:
            self._appended = True
        words = text.strip(b" \0;").upper()
        if words.startswith(b"BEGIN"):
            self._in_transaction = True
        return words == b"COMMIT" and self._appended


class Proxy:
    """Listens on loopback and forwards to a Unix socket; `cut` cuts the next append's connection at a given point."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._armed: tuple[Point, threading.Event] | None = None
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self, point: Point, timeout_s: float) -> None:
        """Return once the connection of one append was cut at `point`; the others stay."""
        struck = threading.Event()
        with self._lock:
            self._armed = (point, struck)
        assert struck.wait(timeout_s), f"no append within {timeout_s} s"

    def close(self) -> None:
        """Cut everything and end every thread."""
        _shut(self._listener)
        with self._lock:
            for end in self._open:
                _shut(end)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._listener.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._forward, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self._server_socket)
            except OSError:
                return
            with self._lock:
                self._open |= {client, server}
            link = _Link(self, client, server)
            back = threading.Thread(target=link.pump_back)
            back.start()
            link.pump_forth()
            back.join()
            with self._lock:
                self._open -= {client, server}

    def take(self, *points: Point) -> bool:
        """Return whether a cut at one of `points` was asked for, which is then done."""
        with self._lock:
            if self._armed is None or self._armed[0] not in points:
                return False
            self._armed[1].set()
            self._armed = None
            return True


class _Link:
    """One client's connection and its own to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._statements = Statements()
        self._lock = threading.Lock()
        self._committing = False

    def pump_forth(self) -> None:
        """Forward what the client says until either side is gone or the connection is to be cut."""
        frames = Frames(has_startup=True)
        for data in _chunks(self._client):
            for kind, message in frames.feed(data):
                with self._lock:
                    commits = self._statements.commits_append(kind, message)
                    self._committing |= commits
                if commits and self._proxy.take("before"):
                    return self._cut()
                if not _send(self._server, message) or (commits and self._proxy.take("during")):
                    return self._cut()
        return self._cut()

    def pump_back(self) -> None:
        """Forward what the server says; what may tell of a commit is held back until it is complete."""
        frames = Frames(has_startup=False)
        held = b""
        failed = False
        for data in _chunks(self._server):
            for kind, message in frames.feed(data):
                held += message
                failed |= kind == b"E"
                with self._lock:
                    waits = self._committing
                    if kind == b"Z":
                        self._statements.idle(message[5:6])
                        self._committing = False
                if kind == b"Z":
                    if waits and not failed and message[5:6] == b"I" and self._proxy.take("after"):
                        return self._cut()
                    waits = failed = False
                if not waits:
                    if not _send(self._client, held):
                        return self._cut()
                    held = b""
        return self._cut()

    def _cut(self) -> None:
        _shut(self._client)
        _shut(self._server)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            yield data


def _send(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(server_socket: str) -> Iterator[Proxy]:
    """Run a proxy for the length of the block."""
    proxy = Proxy(server_socket)
    try:
        yield proxy
    finally:
        proxy.close()
