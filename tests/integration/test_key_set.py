"""Keys of an identity provider: fetched when needed, kept while its server is away, and never fetched too often."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import anyio
import jwt
import pytest

from audit_pipelines.errors import DatabaseUnavailableError
from audit_pipelines.outgoing import PUBLIC, Outgoing
from audit_pipelines.server import auth as auth_module
from audit_pipelines.server.auth import Authenticator, Principal, mint_token
from audit_pipelines.server.key_set import FRESH_S, KEPT_S, KeySet
from audit_pipelines.server.problems import RequestError
from audit_pipelines.server.tokens import Expected
from tests.integration.anchor_servers import Server, serving
from tests.integration.key_server import TENANT, claims, jwk, key_set, private_key

SECRET = "the secret of this test, thirty-two bytes and more"
LOCAL = Outgoing.allowing(["127.0.0.1"])
EXPECTED = Expected(frozenset({"HS256", "RS256", "ES256", "EdDSA"}), "audit", "https://idp.example")


class Clock:
    """Moves when told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def published() -> list[dict[str, Any]]:
    """What the key server publishes; tests change it."""
    return [jwk("RS256")]


@pytest.fixture
def server(published: list[dict[str, Any]]) -> Iterator[Server]:
    with serving(lambda *_: (200, {}, key_set(*published))) as running:
        yield running


def keys_of(server: Server, clock: Clock, outgoing: Outgoing = LOCAL, timeout_s: float = 20.0) -> KeySet:
    url = f"http://127.0.0.1:{server.port}/keys?T0KEN"
    return KeySet(url, outgoing, timeout_s=timeout_s, clock=clock)


def bearer(key_id: str, kind: str | None = None, algorithm: str = "RS256", **changed: Any) -> str:
    token = jwt.encode(claims(**changed), private_key(kind or key_id), algorithm, headers={"kid": key_id})
    return f"Bearer {token}"


async def status_of(authenticate: Authenticator, header: str) -> int:
    try:
        await authenticate(header)
    except RequestError as error:
        return error.status
    return 200


async def fetched(authenticate: Authenticator) -> None:
    """Return when the fetch that goes on behind a request is done."""
    if authenticate._key_set._fetching:
        await authenticate._key_set._fetching


def test_a_new_key_is_fetched_when_a_token_names_it(server: Server, published: list[dict[str, Any]]) -> None:
    async def run() -> None:
        clock = Clock()
        authenticate = Authenticator(SECRET, EXPECTED, keys_of(server, clock))
        assert await status_of(authenticate, bearer("RS256")) == 200
        published.append(jwk("RS256-next"))
        clock.now += 31
        assert await status_of(authenticate, bearer("RS256-next")) == 200
        published[:] = [jwk("RS256-next")]
        clock.now += 31
        assert await status_of(authenticate, bearer("RS256-third")) == 401
        # The key that was withdrawn is gone with the fetch that another token caused.
        assert await status_of(authenticate, bearer("RS256", sub="bob")) == 401
        assert len(server.requests) == 3

    anyio.run(run)


def test_a_withdrawn_key_ends_the_tokens_that_were_remembered(
    server: Server, published: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        clock = Clock()
        authenticate = Authenticator(SECRET, EXPECTED, keys_of(server, clock))
        header = bearer("RS256", exp=int(time.time()) + 7_200)
        assert await status_of(authenticate, header) == 200
        published[:] = [jwk("RS256-next")]
        clock.now += FRESH_S + 1
        later = time.time() + 601
        monkeypatch.setattr(auth_module.time, "time", lambda: later)
        # Old keys are good enough for whoever comes first; the fetch goes on behind them.
        await status_of(authenticate, bearer("RS256", sub="first", exp=int(later) + 60))
        await fetched(authenticate)
        assert authenticate.known(header) is None
        assert await status_of(authenticate, header) == 401

    anyio.run(run)


def test_strangers_cannot_have_the_key_server_asked_often(server: Server) -> None:
    async def run() -> None:
        clock = Clock()
        authenticate = Authenticator(SECRET, EXPECTED, keys_of(server, clock))
        headers = [bearer(f"RS256-{number}", "RS256") for number in range(100)]
        # All at once, then one after another: one request for all of them.
        answers = await asyncio.gather(*(status_of(authenticate, header) for header in headers))
        assert {*answers} == {401}
        for header in headers:
            await status_of(authenticate, header)
        assert len(server.requests) == 1
        for _ in range(10):
            clock.now += 31
            await status_of(authenticate, headers[0])
        assert len(server.requests) == 11

    anyio.run(run)


HUGE = json.dumps({"keys": [jwk("RS256")], "padding": "x" * 300_000}).encode()
FAULTS: dict[str, Any] = {
    "error": ((500, {}, b"T0KEN"), "expected status 200, got 500"),
    "away": ((404, {}, b""), "expected status 200, got 404"),
    "redirect": ((302, {"Location": "http://127.0.0.1:1/"}, b""), "expected status 200, got 302"),
    "hang": ("hang", "no answer within"),
    "slow head": ("slow head", "no answer within"),
    "slow body": ("slow body", "no answer within"),
    "cut": ("cut", "no answer (RemoteProtocolError)"),
    "huge": ((200, {}, HUGE), "expected at most 262144 bytes"),
    "no JSON": ((200, {}, b"<html>"), "expected a key set in JSON"),
    "deep": ((200, {}, b'{"keys":' + b"[" * 100_000), "expected a key set in JSON"),
    "a list": ((200, {}, b"[]"), "expected a key set in JSON"),
    "keys no list": ((200, {}, b'{"keys": {}}'), "expected a list of at most"),
    "no keys": ((200, {}, key_set()), "expected a public key"),
    "odd keys": ((200, {}, key_set({}, {"kty": []}, {"kty": "RSA", "n": 1, "e": None})), "expected a public key"),
    "too many keys": ((200, {}, key_set(*[{}] * 65)), "expected a list of at most 64 keys"),
    "compressed": ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b broken"), "expected a key set in JSON"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_key_server_that_fails_changes_nothing(server: Server, name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault, words = FAULTS[name]
    timeout_s = 0.5 if name in ("hang", "slow head", "slow body") else 20.0

    async def run() -> None:
        clock = Clock()
        # Before there were any keys: nobody can say whether the token is good.
        server.fault = fault
        empty = Authenticator(SECRET, EXPECTED, keys_of(server, clock, timeout_s=timeout_s))
        assert await status_of(empty, bearer("RS256")) == 503
        assert await status_of(empty, bearer("RS256")) == 503
        assert len(server.requests) == 1
        # Tokens under the secret need no key server.
        ours = mint_token(
            SECRET,
            subject="alice",
            tenant_id=TENANT,
            permissions=["audit:read"],
            lifetime=auth_module.timedelta(hours=1),
            audience="audit",
            issuer="https://idp.example",
        )
        assert await status_of(empty, f"Bearer {ours}") == 200
        server.fault = None
        filled = Authenticator(SECRET, EXPECTED, keys_of(server, clock, timeout_s=20.0))
        assert await status_of(filled, bearer("RS256")) == 200
        server.fault = fault
        filled._key_set._timeout_s = timeout_s
        clock.now += 3_600
        assert await status_of(filled, bearer("RS256", sub="bob")) == 200
        await fetched(filled)
        clock.now += 31
        assert await status_of(filled, bearer("RS256-next")) == 401
        clock.now = 1_000 + KEPT_S + 1
        assert await status_of(filled, bearer("RS256", sub="carol")) == 503
        server.fault = None
        clock.now += 31
        assert await status_of(filled, bearer("RS256", sub="carol")) == 200

    with caplog.at_level(logging.INFO):
        anyio.run(run)
    assert f"key set not fetched host=127.0.0.1: {words}" in caplog.text
    assert "T0KEN" not in caplog.text


def test_the_loop_goes_on_while_keys_are_fetched(server: Server) -> None:
    async def run() -> None:
        server.fault = "slow body"
        authenticate = Authenticator(SECRET, EXPECTED, keys_of(server, Clock(), timeout_s=1.0))
        waiting = asyncio.create_task(status_of(authenticate, bearer("RS256")))
        rounds = 0
        while not waiting.done():
            await asyncio.sleep(0.005)
            rounds += 1
        assert waiting.result() == 503
        # 200 on a quiet machine; one that stands still for the second of the fetch goes round once or twice.
        assert rounds > 10

    anyio.run(run)


def test_one_who_hangs_up_does_not_take_the_others_keys_away(server: Server) -> None:
    async def run() -> None:
        authenticate = Authenticator(SECRET, EXPECTED, keys_of(server, Clock()))
        first = asyncio.create_task(status_of(authenticate, bearer("RS256")))
        second = asyncio.create_task(status_of(authenticate, bearer("RS256", sub="bob")))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 200

    anyio.run(run)


def test_a_key_server_on_an_inner_network_is_not_asked_unless_allowed(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        assert (
            await status_of(Authenticator(SECRET, EXPECTED, keys_of(server, Clock(), PUBLIC)), bearer("RS256")) == 503
        )

    anyio.run(run)
    assert "AUDIT_OUTGOING_ALLOWED" in caplog.text
    assert server.requests == []


# Sessions


class Sessions:
    """Sessions that live until they are in `ended`; counts the questions."""

    def __init__(self) -> None:
        self.ended: set[UUID] = set()
        self.asked = 0
        self.fails = False

    def is_live(self, tenant_id: UUID, sid: UUID) -> bool:
        self.asked += 1
        time.sleep(0.05)
        if self.fails:
            raise DatabaseUnavailableError("away")
        return tenant_id == TENANT and sid not in self.ended


def session_token(session: UUID, subject: str = "alice") -> str:
    token = mint_token(
        SECRET,
        subject=subject,
        tenant_id=TENANT,
        permissions=["audit:read"],
        lifetime=auth_module.timedelta(hours=1),
        session=session,
    )
    return f"Bearer {token}"


def test_a_session_is_asked_about_every_five_seconds_and_ends_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        sessions, session = Sessions(), uuid4()
        authenticate = Authenticator(SECRET, sessions=sessions)
        header = session_token(session)
        answers = await asyncio.gather(*(authenticate(header) for _ in range(50)))
        assert {*answers} == {Principal("alice", TENANT, frozenset({"audit:read"}), session)}
        for _ in range(50):
            assert authenticate.known(header)
        assert sessions.asked == 1
        sessions.ended.add(session)
        # Another token of the session does not make its answer last longer.
        now = time.time()
        monkeypatch.setattr(auth_module.time, "time", lambda: now + 4.0)
        other = session_token(session, subject="alice again")
        assert await status_of(authenticate, other) == 200
        monkeypatch.setattr(auth_module.time, "time", lambda: now + 5.1)
        assert authenticate.known(header) is authenticate.known(other) is None
        for _ in range(50):
            assert await status_of(authenticate, header) == 401
        assert sessions.asked == 2

    anyio.run(run)


def test_a_session_that_cannot_be_asked_about_is_neither_live_nor_ended() -> None:
    async def run() -> None:
        sessions = Sessions()
        sessions.fails = True
        authenticate = Authenticator(SECRET, sessions=sessions)
        header = session_token(uuid4())
        with pytest.raises(DatabaseUnavailableError):
            await authenticate(header)
        sessions.fails = False
        assert await status_of(authenticate, header) == 200

    anyio.run(run)


def test_without_anybody_who_knows_sessions_no_token_of_one_is_taken() -> None:
    assert anyio.run(status_of, Authenticator(SECRET), session_token(uuid4())) == 401
