"""Four server processes at work on one ledger: what they answered is stored once, no chain forks, nobody deadlocks.

Every client holds connections to two of the processes and sends the same request to both at once. Processes that die on
the way are test_crash_matrix.py's; flushes within one process are test_group_commit.py's.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import UUID, uuid4

import pytest
import uvloop
from http_connection import Connection, Reply

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.server.auth import mint_token
from audit_pipelines.settings import Settings

PROCESSES = 4
CONNECTIONS = 64
"""To each process; every client has two of them, to two processes."""
CLIENTS = PROCESSES * CONNECTIONS // 2
ROUNDS = 7
BATCH = 12
PATIENCE_S = 240
EVENTS = "/api/audit/events"


@dataclass(frozen=True)
class Request:
    """What a client asks: one event or a batch, of one tenant, under a key or not."""

    tenant: int
    events: Sequence[dict[str, Any]]
    key: str | None = None
    is_batch: bool = False

    @property
    def marks(self) -> list[str]:
        return [event["action_details"]["mark"] for event in self.events]

    def encode(self, token: str) -> bytes:
        body = json.dumps(self.events if self.is_batch else self.events[0]).encode()
        head = (
            f"POST {EVENTS}{'/batch' if self.is_batch else ''} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        return f"{head}{f'Idempotency-Key: {self.key}' if self.key else 'X-Key: none'}\r\n\r\n".encode() + body


@dataclass
class Load:
    """What was sent and answered."""

    tenants: Sequence[UUID]
    tokens: Sequence[str]
    answered: list[tuple[Request, Reply]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, connection: Connection, request: Request, chance: random.Random) -> None:
        """Send a request until it is taken; a 503 must say that nothing was stored, else none could repeat it."""
        encoded = request.encode(self.tokens[request.tenant])
        while True:
            reply = await connection.send(encoded)
            self.statuses[reply.status] += 1
            if reply.status != 503:
                break
            assert reply.retry_after > 0
            assert b"problem:busy" in reply.body, reply.body
            # Sooner than it says: an impatient client must lose nothing either, and this file takes less time.
            await asyncio.sleep(chance.uniform(0.1, 0.6))
        self.answered.append((request, reply))


class Client:
    """Somebody who never quite knows whether a request arrived, and so asks two processes at once."""

    def __init__(self, number: int, load: Load, here: Connection, there: Connection) -> None:
        self._number = number
        self._load = load
        self._connections = (here, there)
        self._chance = random.Random(number)
        self._round = 0

    async def run(self) -> None:
        for self._round in range(ROUNDS):
            # The first round is batches alone: more at once than the processes take.
            step = self._chance.choice(STEPS) if self._round else Client.batches_of_a_key
            both = list(step(self))
            await asyncio.gather(*map(self._ask, self._connections, both))
            if self._chance.random() < 0.2:
                # Later, by the other way; what has neither id nor key would be another event.
                again = [one for one in both if one.key or all("event_id" in event for event in one.events)]
                await asyncio.gather(*map(self._ask, reversed(self._connections), again))

    async def _ask(self, connection: Connection, request: Request) -> None:
        await self._load.ask(connection, request, self._chance)

    def _tenant(self) -> int:
        return self._chance.randrange(len(self._load.tenants))

    def _name(self, what: str) -> str:
        return f"{what}-{self._number}-{self._round}"

    def _event(self, mark: str, **more: object) -> dict[str, Any]:
        # Persons of a round are new to all clients at once, and each client names them in an order of its own.
        actor = f"round-{self._round}-{self._chance.randrange(8)}@example.org"
        return {
            "event_type": "load.test",
            "entity_type": "thing",
            "entity_id": str(self._number),
            "actor": actor,
            "ip_address": f"192.0.2.{self._number}",
            "action_details": {"mark": mark},
            **more,
        }

    def _batch(self, what: str, *, with_ids: bool = False) -> list[dict[str, Any]]:
        marks = [f"{self._name(what)}-{place}" for place in range(BATCH)]
        return [self._event(mark, **({"event_id": f"id {mark}"} if with_ids else {})) for mark in marks]

    def singles(self) -> Iterator[Request]:
        for side in ("here", "there"):
            yield Request(self._tenant(), [self._event(self._name(side))])

    def retries_of_an_id(self) -> Iterator[Request]:
        mark = self._name("id")
        request = Request(self._tenant(), [self._event(mark, event_id=mark)])
        yield from (request, request)

    def retries_of_a_key(self) -> Iterator[Request]:
        request = Request(self._tenant(), [self._event(self._name("key"))], key=self._name("key"))
        yield from (request, request)

    def retries_of_an_id_and_a_key(self) -> Iterator[Request]:
        mark = self._name("both")
        request = Request(self._tenant(), [self._event(mark, event_id=mark)], key=mark)
        yield from (request, request)

    def an_id_that_all_send(self) -> Iterator[Request]:
        event = self._event(f"shared-{self._round}", event_id=f"shared-{self._round}", actor="all@example.org")
        request = Request(self._tenant(), [event | {"entity_id": "shared", "ip_address": "192.0.2.255"}])
        yield from (request, request)

    def other_content_under_an_id(self) -> Iterator[Request]:
        tenant = self._tenant()
        for side in ("here", "there"):
            yield Request(tenant, [self._event(self._name(f"clash-{side}"), event_id=self._name("clash"))])

    def batch_and_single(self) -> Iterator[Request]:
        yield Request(self._tenant(), self._batch("plain"), is_batch=True)
        yield Request(self._tenant(), [self._event(self._name("beside"))])

    def batches_of_ids(self) -> Iterator[Request]:
        request = Request(self._tenant(), self._batch("ids", with_ids=True), is_batch=True)
        yield from (request, request)

    def batches_of_a_key(self) -> Iterator[Request]:
        request = Request(self._tenant(), self._batch("keyed"), key=self._name("batch"), is_batch=True)
        yield from (request, request)

    def batch_of_known_and_new(self) -> Iterator[Request]:
        """A batch that shares half its ids with another one, in the other order."""
        tenant = self._tenant()
        first, second = self._batch("half", with_ids=True), self._batch("other", with_ids=True)
        yield Request(tenant, first, is_batch=True)
        yield Request(tenant, [*second[: BATCH // 2], *reversed(first[: BATCH // 2])], is_batch=True)


# Twice as many single events as batches.
_SINGLES: Sequence[Callable[[Client], Iterator[Request]]] = (
    Client.singles,
    Client.retries_of_an_id,
    Client.retries_of_a_key,
    Client.retries_of_an_id_and_a_key,
    Client.an_id_that_all_send,
    Client.other_content_under_an_id,
)
STEPS = (
    *_SINGLES,
    *_SINGLES,
    Client.singles,
    Client.batch_and_single,
    Client.batches_of_ids,
    Client.batches_of_a_key,
    Client.batch_of_known_and_new,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    settings = Settings(_env_file=None, audit_home=tmp_path_factory.mktemp("concurrency") / "home")
    open_keyring(settings)  # before the database, beside which none would be made
    # All others join the server that was started first. What a crash of the machine would do is no question here.
    postgres = EmbeddedPostgres(settings.home, durable=False)
    postgres.start()
    try:
        with open_installation(settings) as installation:
            yield installation
    finally:
        postgres.destroy()


@pytest.fixture(scope="module")
def ports(home: Installation) -> Iterator[list[int]]:
    """Four `serve` over one home, started side by side."""
    with ExitStack() as stack:
        servers = [stack.enter_context(_Server(home.settings.home, number)) for number in range(PROCESSES)]
        yield [server.port() for server in servers]


class _Server:
    def __init__(self, home: Path, number: int) -> None:
        self._log = home / f"server-{number}.log"
        # A machine with other work to do may keep a statement waiting for long, and it is no fault here.
        self._environment = {**os.environ, "AUDIT_HOME": str(home), "DATABASE_TIMEOUT": str(PATIENCE_S * 1_000)}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "audit_pipelines", "serve", "--port", "0"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, env=self._environment, stderr=log, cwd=self._log.parent)
        return self

    def port(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self._log.read_text().splitlines():
                if "listening" in line:
                    return int(line.rpartition("port=")[2])
            time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self._log.read_text()[-2_000:]}")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()


async def drive(load: Load, ports: Sequence[int]) -> None:
    clients, connections = [], []
    for number in range(CLIENTS):
        # Each process is the first of a quarter of the clients, and the second of another quarter.
        apart = 1 + number // PROCESSES % (PROCESSES - 1)
        pair = [Connection(ports[(number + offset) % PROCESSES]) for offset in (0, apart)]
        connections += pair
        clients.append(Client(number, load, *pair))
    try:
        await asyncio.gather(*(connection.open() for connection in connections))
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.run())
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("count", [1, 20])
def test_processes_at_once(home: Installation, ports: list[int], count: int) -> None:
    tenants = [uuid4() for _ in range(count)]
    tokens = [
        mint_token(
            home.keyring.jwt_secret,
            subject="a client",
            tenant_id=tenant_id,
            permissions=["audit:write"],
            lifetime=timedelta(hours=1),
        )
        for tenant_id in tenants
    ]
    load = Load(tenants, tokens)
    started = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(drive(load, ports))
    seconds = time.monotonic() - started

    ledgers = [Rows(home, tenant_id) for tenant_id in tenants]
    rows = sum(len(ledger.rows) for ledger in ledgers)
    found = deadlocks(home)
    print(  # noqa: T201 - the table is what people run it for
        f"\nprocesses {PROCESSES} | connections {PROCESSES * CONNECTIONS} | tenants {count} | "
        f"answers {load.statuses.total()} {dict(sorted(load.statuses.items()))} | events {rows} | "
        f"503 {load.statuses[503]} | deadlocks {found} | {seconds:.1f} s"
    )
    assert set(load.statuses) <= {200, 201, 409, 503}
    assert found == 0
    expect_one_answer_to_a_key(load)
    expect_each_once(load, ledgers)
    for tenant_id, ledger in zip(tenants, ledgers, strict=True):
        ledger.expect_one_chain()
        assert home.seal(tenant_id)
        [result] = home.verify(tenant_id)
        assert (result.findings, result.events) == ((), len(ledger.rows))


def deadlocks(installation: Installation) -> int:
    """Return how many there ever were in this database; a session adds its own to the count when it ends."""
    sessions = "from pg_stat_activity where usename = 'audit_app' and pid = any (%s)"
    deadline = time.monotonic() + PATIENCE_S
    with installation.database.connect_admin() as conn:
        ended = conn.execute("select pid from pg_stat_activity where usename = 'audit_app'").fetchall()
        pids = [pid for (pid,) in ended]
        conn.execute("select pg_terminate_backend(pid) " + sessions, [pids])
        while conn.execute("select 1 " + sessions, [pids]).fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        [(count,)] = conn.execute(
            "select deadlocks from pg_stat_database where datname = current_database()"
        ).fetchall()
    return int(count)


def expect_one_answer_to_a_key(load: Load) -> None:
    answers = defaultdict(set)
    for request, reply in load.answered:
        if request.key:
            answers[request.tenant, request.key].add((reply.status, reply.body))
    assert answers
    assert [one for one in answers.items() if len(one[1]) != 1] == []


def expect_each_once(load: Load, ledgers: Sequence["Rows"]) -> None:
    """Every event that was answered for is in one row, at the place it was answered with, and nothing else is."""
    stored = defaultdict(set)
    new: Counter[int] = Counter()
    keys = set()
    clashes: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    persons = defaultdict(set)
    for request, reply in load.answered:
        ledger = ledgers[request.tenant]
        event_id = request.events[0].get("event_id", "")
        if event_id.startswith("clash"):
            clashes[request.tenant, event_id][0 if reply.status == 409 else 1] += 1
        if reply.status == 409:
            assert event_id.startswith("clash")
            continue
        answer = json.loads(reply.body)
        rows = [ledger.row_of(mark) for mark in request.marks]
        stored[request.tenant].update(request.marks)
        for event, row in zip(request.events, rows, strict=True):
            persons[request.tenant, event["actor"]].add(row.actor_ref)
            assert event.get("event_id", row.event_id) == row.event_id
        is_first = (request.tenant, request.key) not in keys
        if request.key:
            keys.add((request.tenant, request.key))
        if request.is_batch:
            first, last = min(rows, key=lambda row: row.seq), max(rows, key=lambda row: row.seq)
            assert answer["accepted"] + answer["duplicates"] == len(rows)
            assert (answer["first_seq"], answer["last_seq"]) == (first.seq, last.seq)
            assert answer["row_hash"] == last.row_hash.hex()
            if answer["duplicates"] == 0:
                assert [row.seq for row in rows] == list(range(first.seq, last.seq + 1))
            new[request.tenant] += answer["accepted"] if is_first else 0
        else:
            assert {name: answer[name] for name in answer if name != "duplicate"} == rows[0].receipt()
            assert answer["duplicate"] is (reply.status == 200)
            new[request.tenant] += not answer["duplicate"] and is_first
    for number, ledger in enumerate(ledgers):
        # Nothing that nobody was answered for, and of retries exactly one was told that it is new.
        assert {row.mark for row in ledger.rows} == stored[number]
        assert len(ledger.rows) == new[number]
    assert all(len(refs) == 1 and None not in refs for refs in persons.values())
    # Of two that come at once one is stored; a later retry is refused or is a duplicate, as it was.
    assert all(sides[0] and sides[1] for sides in clashes.values())


class Row(NamedTuple):
    seq: int
    event_id: str
    recorded_at: Any
    entry_hash: bytes
    prev_hash: bytes
    row_hash: bytes
    actor_ref: UUID | None
    mark: str

    def receipt(self) -> dict[str, Any]:
        return {
            "event_id": self.event_id,
            "seq": self.seq,
            "recorded_at": format_moment(self.recorded_at),
            "entry_hash": self.entry_hash.hex(),
            "prev_hash": self.prev_hash.hex(),
            "row_hash": self.row_hash.hex(),
        }


class Rows:
    """A tenant's chain as it lies in the database."""

    def __init__(self, installation: Installation, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        with installation.database.connect_admin() as conn:
            found = conn.execute(
                "select seq, event_id, recorded_at, entry_hash, prev_hash, row_hash, actor_ref, "
                "convert_from(entry, 'UTF8')::jsonb -> 'details' ->> 'mark' from audit_logs where tenant_id = %s "
                "order by seq",
                [tenant_id],
            ).fetchall()
        self.rows = [Row(*row) for row in found]
        self._by_mark = defaultdict(list)
        for row in self.rows:
            self._by_mark[row.mark].append(row)

    def row_of(self, mark: str) -> Row:
        """Return the one row of an event."""
        [row] = self._by_mark[mark]
        return row

    def expect_one_chain(self) -> None:
        assert [row.seq for row in self.rows] == list(range(len(self.rows)))
        assert self.rows[0].prev_hash == chain.genesis(self._tenant_id)
        assert all(after.prev_hash == before.row_hash for before, after in pairwise(self.rows))
        assert len({row.prev_hash for row in self.rows}) == len(self.rows)
