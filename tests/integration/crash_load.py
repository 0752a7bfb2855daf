"""Load for the crash matrix: clients that do not let go of an event before it is answered, and what they were told.

What goes wrong meanwhile is the tests' business; whether the ledger agrees with the answers, `crash_world.py`'s.
"""

import http.client
import itertools
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal, Self
from uuid import uuid4

import httpx
import msgspec

PATIENCE_S = 120
"""How long a client asks for one event; many times what any recovery takes on a loaded machine."""
CLIENTS = 8
PATH = "/api/audit/events"
EVENT: dict[str, Any] = {"event_type": "crash.test", "entity_type": "thing", "entity_id": "1", "actor": "alice"}

Name = Literal["key", "event_id"]
"""How a client names a request that it may have to repeat: the first makes a flush a transaction of several statements,
the second leaves it a single one that commits by itself."""


@dataclass(frozen=True)
class Answer:
    """What a client was told at last, and what it took."""

    status: int
    body: bytes
    tries: int
    waited_s: float
    last_asked_at: float

    @property
    def receipt(self) -> dict[str, Any]:
        """The answer without what tells a first one from a later one."""
        return {name: value for name, value in msgspec.json.decode(self.body).items() if name != "duplicate"}


class Load:
    """Clients that post one event after the other, each under a name of its own, and repeat until it is answered."""

    def __init__(self, url: str, token: str, *, seed: str, name: Name = "key", hang_ups: float = 0) -> None:
        """`hang_ups` is how many of the requests are first made by a client that is gone before the answer."""
        self.answers: dict[str, Answer] = {}
        self.faults: list[str] = []
        self.refusals = 0
        self.hung_up = 0
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._name = name
        self._hang_ups = hang_ups
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {number}"),)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, *, answers: int = 0, refusals: int = 0, hang_ups: int = 0) -> None:
        """Return once so many more events were answered, requests refused with 503, and clients gone."""
        with self._changed:
            wanted = (len(self.answers) + answers, self.refusals + refusals, self.hung_up + hang_ups)

            def done() -> bool:
                have = (len(self.answers), self.refusals, self.hung_up)
                return bool(self.faults) or all(map(int.__ge__, have, wanted))

            assert self._changed.wait_for(done, PATIENCE_S), f"within {PATIENCE_S} s: expected {wanted}, {self}"
            assert not self.faults, self.faults

    def __repr__(self) -> str:
        return f"{len(self.answers)} answered, {self.refusals} refused, {self.hung_up} hung up"

    def repeat(self, names: list[str]) -> list[str]:
        """Ask once more for events that were answered, and return those for which the answer is another now."""
        with httpx.Client(headers=self._headers, timeout=60, trust_env=False) as client:
            return [name for name in names if not self._is_same(client, name)]

    def _is_same(self, client: httpx.Client, name: str) -> bool:
        first, again = self.answers[name], self._ask(client, name)
        if self._name == "key":
            return (again.status, again.body) == (first.status, first.body)
        return again.status == 200 and again.receipt == first.receipt

    def _run(self, chance: random.Random) -> None:
        try:
            with httpx.Client(headers=self._headers, timeout=30, trust_env=False) as client:
                while not self._stop.is_set():
                    name = str(uuid4())
                    first_try = 1
                    if chance.random() < self._hang_ups:
                        self._hang_up(chance, name)
                        first_try = 2
                    answer = self._ask(client, name, first_try)
                    with self._changed:
                        self.answers[name] = answer
                        self._changed.notify_all()
                    # So that flushes differ in what they hold, and the machine has room for what else runs.
                    self._stop.wait(chance.uniform(0, 0.01))
        except Exception as error:  # noqa: BLE001 - shown by whoever waits for this thread
            with self._changed:
                self.faults.append(repr(error))
                self._changed.notify_all()

    def _ask(self, client: httpx.Client, name: str, first_try: int = 1) -> Answer:
        begun = time.monotonic()
        for tries in itertools.count(first_try):
            asked_at = time.time()
            try:
                response = client.post(self._url + PATH, **self._request(name))
            except httpx.TransportError:
                pass
            else:
                if response.status_code in (200, 201):
                    waited = time.monotonic() - begun
                    return Answer(response.status_code, response.content, tries, waited, asked_at)
                assert response.status_code == 503, f"{response.status_code}: {response.text}"
                assert int(response.headers["retry-after"]) > 0
                with self._changed:
                    self.refusals += 1
                    self._changed.notify_all()
            assert time.monotonic() - begun < PATIENCE_S, f"no answer within {PATIENCE_S} s"
            # Less than Retry-After says: the sooner they come again, the more moments of a recovery they meet.
            time.sleep(0.02)
        raise AssertionError("unreachable")

    def _request(self, name: str) -> dict[str, Any]:
        if self._name == "key":
            return {"json": EVENT, "headers": {"Idempotency-Key": name}}
        return {"json": EVENT | {"event_id": name}}

    def _hang_up(self, chance: random.Random, name: str) -> None:
        """Ask as a client that resets its connection while it sends or a moment after."""
        request = self._request(name)
        body = msgspec.json.encode(request["json"])
        url = httpx.URL(self._url)
        connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=30)
        try:
            connection.putrequest("POST", PATH)
            headers = self._headers | request.get("headers", {}) | {"Content-Type": "application/json"}
            for header, value in (headers | {"Content-Length": str(len(body))}).items():
                connection.putheader(header, value)
            connection.endheaders(body if chance.random() < 0.8 else body[: len(body) // 2])
            # From before the server has read it until after it was stored.
            time.sleep(chance.choice((0, 0.005, 0.05)) * chance.random())
            assert connection.sock
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            connection.close()
        with self._changed:
            self.hung_up += 1
            self._changed.notify_all()
