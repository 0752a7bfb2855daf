"""Tokens: what is minted is accepted, and nothing else is."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import jwt
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.server.auth import Authenticator as Asynchronous
from audit_pipelines.server.auth import Principal, mint_token, require
from audit_pipelines.server.problems import RequestError

SECRET = "a secret of at least thirty-two bytes"
TENANT = UUID("0e5a5c8e-8a39-4b7b-9d4c-0a4b8a6f2a11")


class Authenticator(Asynchronous):
    """The authenticator for tests without a loop of their own."""

    def __call__(self, authorization: str | None) -> Principal:
        return anyio.run(super().__call__, authorization)


def claims(**changed: Any) -> dict[str, Any]:
    whole = {
        "sub": "alice",
        "tenant_id": str(TENANT),
        "permissions": ["audit:read"],
        "exp": datetime.now(UTC) + timedelta(minutes=5),
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def signed(payload: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(payload, secret, algorithm=algorithm)


def unsigned(payload: dict[str, Any]) -> str:
    return jwt.encode(payload, "", algorithm="none")


def with_payload(token: str, change: Callable[[dict[str, Any]], None]) -> str:
    header, payload, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    change(content)
    return f"{header}.{base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b'=').decode()}.{signature}"


def deep_header() -> str:
    header = base64.urlsafe_b64encode(b"[" * 4_000).rstrip(b"=").decode()
    return f"{header}.e30.AAAA"


def test_a_minted_token_says_who_it_speaks_for() -> None:
    token = mint_token(
        SECRET, subject="alice", tenant_id=TENANT, permissions=["audit:write"], lifetime=timedelta(hours=1)
    )
    assert Authenticator(SECRET)(f"Bearer {token}") == Principal("alice", TENANT, frozenset({"audit:write"}))


def test_an_unknown_permission_grants_nothing() -> None:
    token = signed(claims(permissions=["audit:read", "audit:everything"]))
    assert Authenticator(SECRET)(f"bearer {token}").permissions == {"audit:read"}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(unsigned(claims()), id="alg none"),
        pytest.param(signed(claims(), secret="another secret of thirty-two bytes!!"), id="wrong secret"),
        pytest.param(signed(claims(), algorithm="HS512", secret=SECRET * 2), id="other algorithm"),
        pytest.param(signed(claims(exp=datetime.now(UTC) - timedelta(seconds=1))), id="expired"),
        pytest.param(signed(claims(nbf=datetime.now(UTC) + timedelta(hours=1))), id="not yet valid"),
        pytest.param(signed(claims(aud="another service")), id="another audience"),
        pytest.param(with_payload(signed(claims()), lambda c: c.update(tenant_id=str(uuid4()))), id="tampered tenant"),
        pytest.param(signed(claims(exp=None)), id="no exp"),
        pytest.param(signed(claims(sub=None)), id="no sub"),
        pytest.param(signed(claims(tenant_id=None)), id="no tenant"),
        pytest.param(signed(claims(permissions=None)), id="no permissions"),
        pytest.param(signed(claims(permissions="audit:admin")), id="permissions no list"),
        pytest.param(signed(claims(permissions=[["audit:admin"]])), id="permissions no strings"),
        pytest.param(signed(claims(tenant_id="*")), id="tenant no UUID"),
        pytest.param(signed(claims(tenant_id=f"{{{TENANT}}}")), id="tenant in braces"),
        pytest.param(signed(claims(sub="")), id="empty sub"),
        pytest.param(signed(claims(sub="alice\nlevel=ERROR")), id="sub with a line break"),
        pytest.param(signed(claims(exp=float("inf"))), id="infinite exp"),
        pytest.param(signed(claims(sub="a" * 10_000)), id="huge"),
        pytest.param(deep_header(), id="deep header"),
        pytest.param("x.y.z", id="no token"),
        pytest.param("", id="empty"),
        pytest.param("é.é.é", id="unicode"),
    ],
)
def test_every_other_token_is_refused_in_the_same_shape(token: str) -> None:
    with pytest.raises(RequestError) as nothing_sent:
        Authenticator(SECRET)(None)
    with pytest.raises(RequestError) as refused:
        Authenticator(SECRET)(f"Bearer {token}")
    assert refused.value.status == 401
    assert vars(refused.value) == vars(nothing_sent.value)
    assert str(refused.value) == str(nothing_sent.value)
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer ")


def test_other_schemes_are_refused() -> None:
    with pytest.raises(RequestError, match="Bearer"):
        Authenticator(SECRET)(f"Basic {signed(claims())}")


def test_a_missing_permission_is_named() -> None:
    with pytest.raises(RequestError, match="audit:write") as refused:
        require(Principal("alice", TENANT, frozenset({"audit:read"})), "audit:write")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "changed",
    [{"permissions": ["audit:root"]}, {"lifetime": timedelta()}, {"subject": ""}, {"subject": "a\x00b"}],
)
def test_what_could_never_be_used_is_not_minted(changed: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"subject": "a", "permissions": ["audit:read"], "lifetime": timedelta(1)} | changed
    with pytest.raises(ValidationError, match="expected"):
        mint_token(SECRET, tenant_id=TENANT, **arguments)


def test_a_token_that_was_accepted_expires_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate = Authenticator(SECRET)
    header = f"Bearer {signed(claims())}"
    assert authenticate(header) == authenticate(header)
    # Both clocks: the one for tokens seen before and the one that the library reads for new ones.
    later = datetime.now(UTC) + timedelta(minutes=6)
    monkeypatch.setattr("time.time", later.timestamp)
    monkeypatch.setattr(
        "jwt.api_jwt.datetime", type("Later", (datetime,), {"now": classmethod(lambda *_, **__: later)})
    )
    with pytest.raises(RequestError) as refused:
        authenticate(header)
    assert refused.value.status == 401


def test_tokens_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_pipelines.server.auth._TOKENS_KEPT", 3)
    authenticate = Authenticator(SECRET)
    headers = [f"Bearer {signed(claims(sub=f'user-{number}'))}" for number in range(8)]
    assert [authenticate(header).subject for header in headers] == [f"user-{number}" for number in range(8)]
    assert len(authenticate._known) <= 3
