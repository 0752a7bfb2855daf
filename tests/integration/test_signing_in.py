"""Accounts, logins and sessions over HTTP: who gets in, who is kept out for how long, and what ends a session."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from test_server_running import EVENT, Api, serving

from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.identity.accounts import Accounts
from audit_pipelines.identity.opening import Identity, open_identity
from audit_pipelines.identity.passwords import Hasher
from audit_pipelines.installation import Installation

LOGIN = "/api/audit/login"
PASSWORD = "/api/audit/password"
FIRST, SECOND, THIRD = "first quiet-otter 11", "second quiet-otter 22", "third quiet-otter 33"
ALL = ["audit:read", "audit:write", "audit:sign"]


class Clock:
    """The present time, until it is moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class CountingHasher(Hasher):
    """Argon2 with parameters for tests; knows how often it compared."""

    def __init__(self) -> None:
        super().__init__(passes=1, memory_kib=64, lanes=1)
        self.compared = 0
        self.lock = threading.Lock()

    def fits(self, hashed: str, password: str) -> bool:
        with self.lock:
            self.compared += 1
        return super().fits(hashed, password)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def identity(installation: Installation, clock: Clock, hasher: CountingHasher) -> Identity:
    return open_identity(installation, hasher=hasher, clock=clock)


@pytest.fixture
def api(installation: Installation, identity: Identity) -> Iterator[Api]:
    with serving(installation, identity) as served:
        yield served


@pytest.fixture
def accounts(identity: Identity) -> Accounts:
    return identity.accounts


def add(accounts: Accounts, tenant_id: UUID, login: str = "alice", **given: Any) -> UUID:
    """Make an account whose owner has chosen the password `SECOND`."""
    name = given.get("name", "Alice Liddell")
    made = accounts.add(tenant_id, login, FIRST, name=name, permissions=given.get("permissions", ALL), by="cli:root")
    accounts.change_password(tenant_id, login, FIRST, SECOND, Origin())
    return made


from audit_pipelines.identity.credentials import Origin  # noqa: E402


def log_in(api: Api, tenant_id: UUID, login: str = "alice", password: str = SECOND) -> httpx.Response:
    body = {"tenant_id": str(tenant_id), "login": login, "password": password}
    return api.anonymous().post(LOGIN, json=body)


def session(api: Api, tenant_id: UUID, login: str = "alice", password: str = SECOND) -> httpx.Client:
    response = log_in(api, tenant_id, login, password)
    assert response.status_code == 200, response.text
    return api.anonymous(Authorization=f"Bearer {response.json()['token']}")


def events(api: Api, tenant_id: UUID) -> list[tuple[Any, ...]]:
    with api.installation.database.tenant_connection(tenant_id) as conn:
        return conn.execute(
            "select event_type, outcome, details::jsonb, entity_id from audit_events "
            "where event_type like 'audit.account.%' order by seq"
        ).fetchall()


def account_row(api: Api, tenant_id: UUID) -> dict[str, Any]:
    with api.installation.database.connect_admin() as conn:
        cursor = conn.cursor(row_factory=psycopg.rows.dict_row)
        row = cursor.execute("select * from audit_users where tenant_id = %s", [tenant_id]).fetchone()
    assert row
    return row


def test_a_login_opens_a_session_that_works_and_ends(api: Api, accounts: Accounts, tenant_id: UUID) -> None:
    user_id = add(accounts, tenant_id)
    response = log_in(api, tenant_id)
    opened = response.json()
    assert opened["permissions"] == ALL
    client = api.anonymous(Authorization=f"Bearer {opened['token']}")
    assert client.post("/api/audit/events", json=EVENT).status_code == 201
    assert client.get("/api/audit/events").status_code == 200
    assert client.post("/api/audit/logout").status_code == 204
    expire_answers(api)
    assert client.get("/api/audit/events").status_code == 401
    story = [(kind, outcome) for kind, outcome, _, _ in events(api, tenant_id)]
    assert story == [
        ("audit.account.created", "success"),
        ("audit.account.password_changed", "success"),
        ("audit.account.login", "success"),
        ("audit.account.logout", "success"),
    ]
    assert {entity for *_, entity in events(api, tenant_id)} == {str(user_id)}
