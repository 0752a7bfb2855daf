"""The application without a database: layers, refusals and what errors give away."""

import functools
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from audit_pipelines.db.database import Database
from audit_pipelines.errors import DatabaseUnavailableError, TamperedError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS, mint_token
from audit_pipelines.server.workers import Workers
from audit_pipelines.settings import Settings

EVENT = {"event_type": "a", "entity_type": "b", "entity_id": "c"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cors_origins": ("https://app.example",), "api_base_url": "https://api.example"})


@pytest.fixture
def offline(settings: Settings) -> Iterator[Installation]:
    """An installation whose database nobody may ask."""
    with Database(settings, embedded=None) as database:
        yield assemble(settings, open_keyring(settings), database)


@pytest.fixture
def app(offline: Installation) -> Starlette:
    return create_app(offline)


@pytest.fixture
def token(offline: Installation) -> str:
    return mint_token(
        offline.keyring.jwt_secret,
        subject="alice",
        tenant_id=uuid4(),
        permissions=PERMISSIONS,
        lifetime=timedelta(minutes=5),
    )


def call(app: Starlette, method: str, path: str, *, token: str | None = None, **named: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return await client.request(method, path, headers=headers | named.pop("headers", {}), **named)

    return anyio.run(run)


def broken_by(monkeypatch: pytest.MonkeyPatch, offline: Installation, error: Exception) -> None:
    def append(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(offline.ledger, "prepare", append)


def test_health_needs_nothing(app: Starlette) -> None:
    response = call(app, "GET", "/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("path", ["/api/audit/events", "/api/audit/events/batch", "/api/audit/events/some/id"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_nothing_is_answered_without_a_token(app: Starlette, method: str, path: str) -> None:
    response = call(app, method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/audit/events", "/api/audit/events/batch", "/api/audit/events/some/id"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_no_event_can_be_changed(app: Starlette, token: str, method: str, path: str) -> None:
    response = call(app, method, path, token=token, json=EVENT)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert response.json()["status"] == 405


@pytest.mark.parametrize("path", ["/", "/api/audit", "/api/audit/events.json", "/health/", "/api/audit/health/"])
def test_unknown_paths_are_problems_too(app: Starlette, path: str) -> None:
    response = call(app, "GET", path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_every_answer_has_the_security_headers(app: Starlette, token: str) -> None:
    for response in (call(app, "GET", "/health"), call(app, "GET", "/no"), call(app, "PUT", "/api/audit/events")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert "max-age" in response.headers["strict-transport-security"]


def test_cors_is_for_the_configured_origins(app: Starlette) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    ours = call(app, "OPTIONS", "/api/audit/events", headers={"Origin": "https://app.example"} | asked)
    other = call(app, "OPTIONS", "/api/audit/events", headers={"Origin": "https://evil.example"} | asked)
    assert ours.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "caf\xe9"])
def test_a_malformed_idempotency_key_is_refused(app: Starlette, token: str, key: str) -> None:
    for path in ("/api/audit/events", "/api/audit/events/batch"):
        headers = {"Idempotency-Key": key.encode("latin-1")}
        response = call(app, "POST", path, token=token, json=EVENT, headers=headers)
        assert (response.status_code, response.json()["type"]) == (400, "urn:audit-pipelines:problem:idempotency-key")


def test_an_unexpected_error_says_nothing_but_is_found_in_the_log(
    app: Starlette,
    offline: Installation,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken_by(monkeypatch, offline, KeyError("the patient's name"))
    with caplog.at_level(logging.INFO, logger="audit_pipelines"):
        response = call(app, "POST", "/api/audit/events?actor=bob", token=token, json=EVENT)
    assert response.status_code == 500
    assert "patient" not in response.text + caplog.text
    assert "KeyError" not in response.text
    assert f"KeyError instance={response.json()['instance']}" in caplog.text
    assert "bob" not in caplog.text
    assert token not in caplog.text
    assert "request method=POST route=/api/audit/events status=500" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"), [(DatabaseUnavailableError("host db-7 refused user x"), 503), (TamperedError("db-7"), 500)]
)
def test_expected_errors_keep_internals_to_themselves(  # noqa: PLR0917 - pytest calls it by name
    app: Starlette,
    offline: Installation,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
) -> None:
    broken_by(monkeypatch, offline, error)
    response = call(app, "POST", "/api/audit/events", token=token, json=EVENT)
    assert response.status_code == status
    assert ("retry-after" in response.headers) == (status == 503)
    assert "db-7" not in response.text
    assert "db-7" in caplog.text


def test_workers_turn_away_what_they_cannot_queue() -> None:
    async def run() -> list[str]:
        workers = Workers(threads=1, queue=1)
        gate = anyio.Event()
        outcomes: list[str] = []

        async def one() -> None:
            try:
                await workers.run(functools.partial(anyio.from_thread.run, gate.wait))
                outcomes.append("done")
            except Exception as error:  # noqa: BLE001 - the test reads what it was
                outcomes.append(str(error)[:10])
                gate.set()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
        return outcomes

    assert sorted(anyio.run(run)) == ["The server", "done", "done"]
