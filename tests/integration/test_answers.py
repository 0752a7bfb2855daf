"""Every answer, whatever its status and path, carries the security headers; a browser gets in where it is told to."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.server.app import create_app
from audit_pipelines.server.auth import PERMISSIONS, mint_token
from audit_pipelines.settings import Settings

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
ORIGIN = "https://app.example"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
EVENT = {"event_type": "a", "entity_type": "b", "entity_id": "c"}


class Client:
    """Sends requests to an application over a real database, one after another."""

    def __init__(self, installation: Installation, tenant_id: UUID) -> None:
        self.app: Starlette = create_app(installation)
        self._secret = installation.keyring.jwt_secret
        self._tenant_id = tenant_id

    def token(self, *permissions: str, subject: str = "alice") -> dict[str, str]:
        minted = mint_token(
            self._secret,
            subject=subject,
            tenant_id=self._tenant_id,
            permissions=permissions or PERMISSIONS,
            lifetime=timedelta(minutes=5),
        )
        return {"Authorization": f"Bearer {minted}"}

    def __call__(self, method: str, path: str, headers: dict[str, str] | None = None, **named: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            # An unexpected error is to be seen as a client sees it.
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("198.51.100.9", 4))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers, **named)

        return anyio.run(run)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "cors_origins": (ORIGIN, "https://other.example:8443"),
            "api_base_url": "https://api.example",
            "audit_rate_limit": 1,
            "audit_rate_limit_refusals": 2,
            "database_pool_min": 1,
        }
    )


@pytest.fixture
def send(installation: Installation, tenant_id: UUID) -> Client:
    return Client(installation, tenant_id)


def has_security_headers(response: httpx.Response) -> bool:
    return all(response.headers.get_list(name) == [value] for name, value in SECURITY.items())


def paths(app: Starlette) -> list[str]:
    found = [re.sub(r"\{\w+(:\w+)?\}", "some-id", route.path) for route in app.routes if isinstance(route, Route)]
    assert len(found) >= 5
    return found


def test_every_route_and_method_answers_with_the_security_headers(send: Client) -> None:
    statuses = set()
    for path in [*paths(send.app), "/", "/nothing", "/api/audit/events/%00", "/api/audit/../x", "/health/"]:
        for method in METHODS:
            for number, headers in enumerate(({}, send.token(subject=f"{path} {method}"), send.token("audit:sign"))):
                response = send(method, path, headers)
                statuses.add(response.status_code)
                assert has_security_headers(response), (method, path, number, response.headers)
                assert response.headers["strict-transport-security"] == "max-age=31536000"
                assert "server" not in response.headers
                if response.status_code >= 400:
                    assert response.headers["content-type"] == "application/problem+json"
    assert statuses >= {200, 401, 403, 404, 405, 415, 429}


def test_every_status_of_an_error_has_the_headers_and_the_same_form(
    send: Client, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, json_type = "/api/audit/events", {"Content-Type": "application/json"}
    known = send.token()
    assert send("POST", events, known, json=EVENT | {"event_id": "1"}).status_code == 201
    requests: dict[int, Any] = {
        400: lambda: send("POST", events, known | json_type, content=b"{"),
        401: lambda: send("GET", events),
        403: lambda: send("GET", events, send.token("audit:write")),
        404: lambda: send("GET", f"{events}/nothing", known),
        405: lambda: send("DELETE", events, known),
        409: lambda: send("POST", events, known, json=EVENT | {"event_id": "1", "outcome": "denied"}),
        413: lambda: send("POST", events, known | json_type, content=b" " * (2 * 1024 * 1024 + 1)),
        415: lambda: send("POST", events, known | {"Content-Type": "text/xml"}, content=b"<x/>"),
        422: lambda: send("POST", events, known, json={}),
        429: lambda: [send("GET", "/api/audit/events/batch", known) for _ in range(50)][-1],
        500: lambda: send("POST", events, send.token(subject="bob"), json=EVENT),
        503: lambda: send("POST", events, send.token(subject="carol"), json=EVENT),
    }
    for status, request in requests.items():
        if status == 500:
            monkeypatch.setattr(installation.ledger, "knows", _raise(KeyError("s3cret")))
        if status == 503:
            from audit_pipelines.errors import DatabaseUnavailableError

            monkeypatch.setattr(installation.ledger, "knows", _raise(DatabaseUnavailableError("s3cret")))
        response = request()
        assert response.status_code == status, response.text
        assert has_security_headers(response)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"].startswith("urn:audit-pipelines:problem:")
        assert response.json()["status"] == status
        assert ("retry-after" in response.headers) == (status in {429, 503})
        assert "s3cret" not in response.text


def _raise(error: Exception) -> Any:
    def prepare(*_: object, **__: object) -> None:
        raise error

    return prepare


def test_hsts_is_for_https_alone(installation: Installation, tenant_id: UUID) -> None:
    plain = installation.settings.model_copy(update={"api_base_url": "http://api.example"})
    client = Client(assemble(plain, open_keyring(plain), installation.database), tenant_id)
    for path in ("/health", "/nothing", "/api/audit/events"):
        response = client("GET", path)
        assert "strict-transport-security" not in response.headers
        assert has_security_headers(response)


def test_too_many_refused_tokens_of_an_address_are_answered_429_and_valid_ones_are_not(send: Client) -> None:
    headers = {"Authorization": "Bearer no.such.token"}
    answers = [send("GET", "/api/audit/events", headers) for _ in range(30)]
    assert [answer.status_code for answer in answers[:20]] == [401] * 20
    assert {answer.status_code for answer in answers[25:]} == {429}
    assert answers[-1].headers["retry-after"] == "1"
    assert send("PUT", "/api/audit/events", send.token(subject="new")).status_code == 405
    assert send("GET", "/health").status_code == 200


# CORS


def preflight(send: Client, origin: str, method: str = "POST", headers: str = "authorization") -> httpx.Response:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return send("OPTIONS", "/api/audit/events", {"Origin": origin} | asked)


@pytest.mark.parametrize("origin", [ORIGIN, "https://other.example:8443"])
def test_configured_origins_get_in_without_credentials_of_the_browser(send: Client, origin: str) -> None:
    response = preflight(send, origin, headers="authorization,content-type,idempotency-key")
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    # Tokens are sent by scripts that have them. Cookies and the like of the browser's are never asked for.
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]
    answer = send("GET", "/api/audit/events", send.token() | {"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    refused = send("GET", "/api/audit/events", {"Origin": origin})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "http://app.example", "https://app.example:444", "https://app.example.evil.example"),
        *("https://evil-app.example", "null", "*", "https://app.example/", "HTTPS://APP.EXAMPLE", ""),
        "https://app.example, https://evil.example",
    ],
)
def test_no_other_origin_gets_in(send: Client, origin: str) -> None:
    for response in (preflight(send, origin), send("GET", "/api/audit/events", send.token() | {"Origin": origin})):
        assert "access-control-allow-origin" not in response.headers
        assert has_security_headers(response)


def test_a_preflight_is_for_what_the_interface_has(send: Client) -> None:
    assert preflight(send, ORIGIN, method="PUT").status_code == 400
    assert preflight(send, ORIGIN, headers="x-anything").status_code == 400
    assert "PUT" not in preflight(send, ORIGIN).headers["access-control-allow-methods"]


def test_without_the_setting_no_origin_gets_in(installation: Installation) -> None:
    closed = installation.settings.model_copy(update={"cors_origins": ()})
    client = Client(assemble(closed, open_keyring(closed), installation.database), uuid4())
    assert preflight(client, ORIGIN).status_code == 401
    assert "access-control-allow-origin" not in preflight(client, ORIGIN).headers
