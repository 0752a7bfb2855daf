"""Tokens nobody may get in with: each is refused with 401 in the same bytes, and the log says why in one word.

A whole application with a secret, a key set, an audience and an issuer; its database is never asked.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import jwt
import pytest
from starlette.applications import Starlette

from audit_pipelines.db.database import Database
from audit_pipelines.identity.opening import open_identity, utc_now
from audit_pipelines.identity.sessions import Sessions
from audit_pipelines.installation import assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.server.app import create_app
from audit_pipelines.settings import Settings
from tests.integration.anchor_servers import Server, serving
from tests.integration.key_server import (
    claims,
    encoded,
    hmac_signed,
    jwk,
    key_set,
    private_key,
    public_pem,
    rsa_signed,
)

SECRET = "the secret of this test, thirty-two bytes and more"
HS, RS = {"alg": "HS256", "typ": "JWT"}, {"alg": "RS256", "kid": "RS256"}
SERVED = ("RS256", "ES256", "Ed25519")


def hs(payload: Any = None, header: Any = None, secret: str = SECRET, **changed: Any) -> str:
    return hmac_signed(HS if header is None else header, payload or claims(**changed), secret.encode())


def rs(header: Any = RS, kind: str = "RS256", **changed: Any) -> str:
    return rsa_signed(header, claims(**changed), kind)


def resigned(**changed: Any) -> str:
    """Return a valid token whose claims were exchanged afterwards."""
    head, _, signature = hs().split(".")
    return f"{head}.{encoded(claims(**changed))}.{signature}"


def unsigned(spelling: str, signature: str = "") -> str:
    return f"{encoded({'alg': spelling, 'typ': 'JWT'})}.{encoded(claims(sub='mallory'))}.{signature}"


def raw_claims(text: str) -> str:
    return hs(payload=text.encode())


def twice(name: str, value: str) -> str:
    whole = str(claims()).replace("'", '"')
    return raw_claims(whole[:-1] + f', "{name}": {value}}}')


def seconds_from_now(seconds: int) -> int:
    """When the token is made: a module may be collected long before its tests run."""
    return int(time.time()) + seconds


EVIL: dict[str, str] = {}
"""Where the attacker's key server is, once it runs."""
ATTACKS: dict[str, tuple[Callable[[], str | list[str]], str]] = {
    # What is no token of ours at all
    "nothing": (list, "absent"),
    "empty": (lambda: "", "absent"),
    "white space": (lambda: "   ", "absent"),
    "scheme alone": (lambda: "Bearer", "absent"),
    "scheme and spaces": (lambda: "Bearer   ", "absent"),
    "no scheme": (hs, "absent"),
    "basic": (lambda: f"Basic {hs()}", "absent"),
    "tab for a space": (lambda: f"Bearer\t{hs()}", "absent"),
    "two tokens in one header": (lambda: f"Bearer {hs()} {hs()}", "absent"),
    "two tokens by comma": (lambda: f"Bearer {hs()}, Bearer {hs()}", "absent"),
    "two headers, both valid": (lambda: [f"Bearer {hs()}", f"Bearer {hs()}"], "absent"),
    "two headers, one empty": (lambda: [f"Bearer {hs()}", ""], "absent"),
    "two parts": (lambda: f"Bearer {encoded(HS)}.{encoded(claims())}", "form"),
    "four parts": (lambda: f"Bearer {hs()}.AAAA", "form"),
    "five parts, encrypted": (lambda: f"Bearer {encoded({'alg': 'dir', 'enc': 'A256GCM'})}....", "form"),
    "padding": (lambda: f"Bearer {hs()}=", "form"),
    "foreign letters in base64": (lambda: f"Bearer {hs()[:-4]}!{hs()[-4:]}", "form"),
    "unicode": (lambda: "Bearer é.é.é", "form"),
    "header no JSON": (lambda: f"Bearer {encoded(b'{')}.{encoded(claims())}.AAAA", "form"),
    "header a list": (lambda: hs(header=["HS256"]), "form"),
    "header not UTF-8": (lambda: hs(header=b"\xff\xfe"), "form"),
    "claims a list": (lambda: hs(payload=[1]), "form"),
    "claims a number": (lambda: raw_claims("1"), "form"),
    "huge": (lambda: hs(note="a" * 20_000), "size"),
    "huge without dots": (lambda: "Bearer " + "a" * 1_000_000, "size"),
    "deep header": (lambda: f"Bearer {encoded(b'[' * 4_000)}.e30.AAAA", "form"),
    "deep claims": (lambda: raw_claims('{"a":' + "[" * 2_500 + "]" * 2_500 + "}"), "form"),
    # Algorithms
    **{
        f"alg {spelling!r}": (lambda spelling=spelling: f"Bearer {unsigned(spelling, 'AAAA')}", "algorithm")
        for spelling in ("none", "None", "NONE", "nOnE", "none ", "n\u043ene", "", "null", "hs256", "HS256\x00")
    },
    "alg none, no signature": (lambda: f"Bearer {unsigned('none')}", "form"),
    "alg null": (lambda: hs(header={"alg": None}), "algorithm"),
    "alg missing": (lambda: hs(header={"typ": "JWT"}), "algorithm"),
    "alg a list": (lambda: hs(header={"alg": ["HS256"]}), "algorithm"),
    "alg a number": (lambda: hs(header={"alg": 256}), "algorithm"),
    "alg twice": (lambda: hs(header=b'{"alg":"none","alg":"HS256"}'), "form"),
    "HS512 under the right secret": (lambda: jwt.encode(claims(), SECRET * 2, algorithm="HS512"), "algorithm"),
    "RS512, which is not configured": (lambda: jwt.encode(claims(), private_key("RS256"), "RS512"), "algorithm"),
    "PS256, which is not configured": (lambda: jwt.encode(claims(), private_key("RS256"), "PS256"), "algorithm"),
    # Confusion of keys
    "public key (PEM) as secret": (lambda: hmac_signed(HS, claims(), public_pem("RS256")), "signature"),
    "public key (PEM) as secret, with its kid": (
        lambda: hmac_signed(HS | {"kid": "RS256"}, claims(), public_pem("RS256")),
        "signature",
    ),
    "key set as secret": (lambda: hmac_signed(HS, claims(), key_set(jwk("RS256"))), "signature"),
    "HMAC that says RS256": (lambda: hmac_signed(RS, claims(), public_pem("RS256")), "signature"),
    "HMAC with our secret that says RS256": (lambda: hmac_signed(RS, claims(), SECRET.encode()), "signature"),
    "RSA signature that says HS256": (lambda: rs(header=HS), "signature"),
    "RSA signature under the id of an EC key": (lambda: rs(header=RS | {"kid": "ES256"}), "key"),
    "EC signature under the id of an RSA key": (
        lambda: jwt.encode(claims(), private_key("ES256"), "ES256", headers={"kid": "RS256"}),
        "key",
    ),
    "EC signature of another curve": (
        lambda: jwt.encode(claims(), private_key("ES384"), "ES384", headers={"kid": "ES256"}),
        "algorithm",
    ),
    "empty secret": (lambda: hs(secret=""), "signature"),
    "another secret": (lambda: hs(secret="another secret of thirty-two bytes!!"), "signature"),
    "another key under a known id": (lambda: rs(kind="RS256-other"), "signature"),
    "a known key under an unknown id": (lambda: rs(header=RS | {"kid": "nobody"}), "key"),
    "no id where several keys fit": (lambda: rs(header={"alg": "RS256"}), "key"),
    "id a path": (lambda: rs(header=RS | {"kid": "../../../../dev/null"}), "key"),
    "id an injection": (lambda: rs(header=RS | {"kid": "x' union select 'secret"}), "key"),
    "id an address": (lambda: rs(header=RS | {"kid": "http://127.0.0.1/keys"}), "key"),
    "id a list": (lambda: rs(header=RS | {"kid": ["RS256"]}), "key"),
    "id of a key too small": (lambda: rs(header=RS | {"kid": "RSA-1024"}, kind="RSA-1024"), "key"),
    "id of a symmetric key in the set": (lambda: hmac_signed(HS | {"kid": "oct"}, claims(), b"k" * 32), "signature"),
    "id of a key for encryption": (lambda: rs(header=RS | {"kid": "enc"}, kind="RS256-enc"), "key"),
    "id of a key for another algorithm": (lambda: rs(header=RS | {"kid": "PS"}, kind="RS256-ps"), "key"),
    "id of a key that shows its private half": (
        lambda: jwt.encode(claims(), private_key("Ed25519-open"), "EdDSA", headers={"kid": "open"}),
        "key",
    ),
    "id that two keys have": (lambda: rs(header=RS | {"kid": "twin"}, kind="RS256-twin"), "key"),
    # A token that brings its key along
    "embedded jwk": (lambda: rs(header=RS | {"jwk": jwk("RS256-evil")}, kind="RS256-evil"), "signature"),
    "embedded jwk, no id": (
        lambda: rs(header={"alg": "RS256", "jwk": jwk("RS256-evil")}, kind="RS256-evil"),
        "key",
    ),
    "jku": (lambda: rs(header=RS | {"jku": EVIL["url"]}, kind="RS256-evil"), "signature"),
    "jku, id of its own": (lambda: rs(header=RS | {"kid": "RS256-evil", "jku": EVIL["url"]}, kind="RS256-evil"), "key"),
    "x5u": (lambda: rs(header=RS | {"x5u": EVIL["url"]}, kind="RS256-evil"), "signature"),
    "x5c": (lambda: rs(header=RS | {"x5c": ["MIIB"]}, kind="RS256-evil"), "signature"),
    "crit": (lambda: hs(header=HS | {"crit": ["exp"]}), "critical"),
    "crit, empty": (lambda: hs(header=HS | {"crit": []}), "critical"),
    "unencoded payload": (lambda: hs(header=HS | {"b64": False}), "critical"),
    "another kind of JWT": (lambda: hs(header=HS | {"typ": "logout+jwt"}), "kind"),
    "kind a list": (lambda: hs(header=HS | {"typ": ["JWT"]}), "kind"),
    # Times
    "expired": (lambda: hs(exp=seconds_from_now(-1)), "expired"),
    "expires this second": (lambda: hs(exp=int(time.time())), "expired"),
    "expired long ago": (lambda: hs(exp=0), "expired"),
    "expired, negative": (lambda: hs(exp=-1), "expired"),
    "no exp": (lambda: hs(exp=None), "claims"),
    "exp a string": (lambda: hs(exp=str(seconds_from_now(300))), "claims"),
    "exp true": (lambda: hs(exp=True), "expired"),
    "exp a list": (lambda: hs(exp=[seconds_from_now(300)]), "form"),
    "exp infinite": (lambda: hs(exp=float("inf")), "form"),
    "exp not a number": (lambda: hs(exp=float("nan")), "form"),
    "exp too large for a float": (lambda: raw_claims('{"exp": 1e999}'), "claims"),
    "exp with 5,000 digits": (lambda: raw_claims(f'{{"exp": {"9" * 5_000}}}'), "form"),
    "not yet valid": (lambda: hs(nbf=seconds_from_now(3_600)), "early"),
    "nbf a word": (lambda: hs(nbf="never"), "form"),
    # For others, or by others
    "another audience": (lambda: hs(aud="billing"), "audience"),
    "other audiences": (lambda: hs(aud=["billing", "crm"]), "audience"),
    "no audience": (lambda: hs(aud=None), "claims"),
    "audience a number": (lambda: hs(aud=1), "audience"),
    "audience but for case": (lambda: hs(aud="AUDIT"), "audience"),
    "another issuer": (lambda: hs(iss="https://evil.example"), "issuer"),
    "no issuer": (lambda: hs(iss=None), "claims"),
    "issuer with a slash more": (lambda: hs(iss="https://idp.example/"), "issuer"),
    "issuers": (lambda: hs(iss=["https://idp.example"]), "issuer"),
    # Claims that were changed, or are odd
    "tampered tenant": (lambda: resigned(tenant_id=str(uuid4())), "signature"),
    "tampered permissions": (lambda: resigned(permissions=["audit:admin"]), "signature"),
    "tampered subject": (lambda: resigned(sub="root"), "signature"),
    "tampered exp": (lambda: resigned(exp=seconds_from_now(10**6)), "signature"),
    "signature cut": (lambda: hs()[:-6], "form"),
    "signature of one byte": (lambda: f"{hs().rpartition('.')[0]}.AA", "signature"),
    "tenant twice": (lambda: twice("tenant_id", f'"{uuid4()}"'), "form"),
    "permissions twice": (lambda: twice("permissions", '["audit:admin"]'), "form"),
    "exp twice": (lambda: twice("exp", "99999999999"), "form"),
    "a name twice, once escaped": (lambda: twice("su\\u0062", '"root"'), "form"),
    "no tenant": (lambda: hs(tenant_id=None), "claims"),
    "tenant a star": (lambda: hs(tenant_id="*"), "claims"),
    "tenant empty": (lambda: hs(tenant_id=""), "claims"),
    "tenant in braces": (lambda: hs(tenant_id=f"{{{uuid4()}}}"), "claims"),
    "tenant without dashes": (lambda: hs(tenant_id=uuid4().hex), "claims"),
    "tenants": (lambda: hs(tenant_id=[str(uuid4())]), "claims"),
    "tenant with full-width digits": (lambda: hs(tenant_id=str(uuid4()).replace("-", "\uff0d")), "claims"),
    "no sub": (lambda: hs(sub=None), "claims"),
    "sub empty": (lambda: hs(sub=""), "claims"),
    "sub a number": (lambda: hs(sub=7), "claims"),
    "sub an object": (lambda: hs(sub={"$ne": None}), "claims"),
    "sub with a line break": (lambda: hs(sub="alice\nlevel=ERROR"), "claims"),
    "sub with a null": (lambda: hs(sub="alice\x00root"), "claims"),
    "sub half a character": (lambda: hs(sub="\ud83d"), "claims"),
    "sub too long": (lambda: hs(sub="é" * 257), "claims"),
    "no permissions": (lambda: hs(permissions=None), "claims"),
    "permissions a word": (lambda: hs(permissions="audit:admin"), "claims"),
    "permissions an object": (lambda: hs(permissions={"audit:admin": True}), "claims"),
    "permissions in a list in a list": (lambda: hs(permissions=[["audit:admin"]]), "claims"),
    "session that nobody knows": (lambda: hs(sid=str(uuid4())), "session"),
    "session a word": (lambda: hs(sid="current"), "claims"),
    "session null": (lambda: raw_claims(str(claims()).replace("'", '"')[:-1] + ', "sid": null}'), "claims"),
}


@pytest.fixture(scope="module")
def evil() -> Iterator[Server]:
    """A server nobody may ask: it would give the attacker's key."""
    with serving(lambda *_: (200, {}, key_set(jwk("RS256-evil")))) as server:
        EVIL["url"] = f"http://127.0.0.1:{server.port}/"
        yield server


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    with_private_half = jwt.algorithms.OKPAlgorithm.to_jwk(private_key("Ed25519-open"), as_dict=True)
    keys = [
        *map(jwk, SERVED),
        jwk("RSA-1024"),
        {"kty": "oct", "kid": "oct", "k": encoded(b"k" * 32)},
        jwk("RS256-enc", "enc", use="enc"),
        jwk("RS256-ps", "PS", alg="PS256"),
        with_private_half | {"kid": "open"},
        jwk("RS256-twin", "twin"),
        jwk("RS256-other", "twin"),
    ]
    with serving(lambda *_: (200, {}, key_set(*keys))) as server:
        settings = Settings(
            _env_file=None,
            audit_home=tmp_path_factory.mktemp("home"),
            jwt_secret=SECRET,
            jwt_algorithms="HS256,RS256,ES256,EdDSA",
            jwt_jwks_url=f"http://127.0.0.1:{server.port}/keys",
            jwt_audience="audit",
            jwt_issuer="https://idp.example",
            audit_outgoing_allowed="127.0.0.1",
            audit_rate_limit_refusals=0,
        )
        with Database(settings, embedded=None) as database:
            installation = assemble(settings, open_keyring(settings), database)
            identity = open_identity(installation)
            sessions = NoSessions(database, identity.sessions.limits, utc_now)
            yield create_app(installation, identity=replace(identity, sessions=sessions))


class NoSessions(Sessions):
    """Sessions of a server without any; its tests have no database to look into."""

    def is_live(self, tenant_id: UUID, sid: UUID) -> bool:
        return False


def send(app: Starlette, authorization: str | list[str]) -> httpx.Response:
    lines = [authorization] if isinstance(authorization, str) else authorization
    headers = [(b"authorization", line.encode("latin-1")) for line in lines]

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            # A method that the path has not: 405 is what somebody known gets, without any database.
            return await client.put("/api/audit/events", headers=headers)

    return anyio.run(run)


def bearer(made: str | list[str]) -> str | list[str]:
    is_bare = isinstance(made, str) and re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]*", made, re.ASCII)
    return f"Bearer {made}" if is_bare else made


@pytest.mark.parametrize("name", ATTACKS)
def test_no_other_token_gets_in(app: Starlette, evil: Server, name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, reason = ATTACKS[name]
    made = make()
    authorization = made if name == "no scheme" else bearer(made)
    with caplog.at_level(logging.DEBUG):
        response = send(app, authorization)
        nothing = send(app, [])
    assert response.status_code == 401
    assert (response.content, response.headers.raw) == (nothing.content, nothing.headers.raw)
    assert f"token refused reason={reason}" in caplog.text
    assert evil.requests == []
    for line in authorization if isinstance(authorization, list) else [authorization]:
        for part in re.split(r"[. ]", line):
            assert len(part) < 12 or part not in caplog.text + response.text


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(hs, id="secret"),
        pytest.param(rs, id="RSA"),
        pytest.param(lambda: jwt.encode(claims(), private_key("ES256"), "ES256", headers={"kid": "ES256"}), id="EC"),
        pytest.param(
            lambda: jwt.encode(claims(), private_key("Ed25519"), "EdDSA", headers={"kid": "Ed25519"}), id="Ed25519"
        ),
        pytest.param(lambda: jwt.encode(claims(), private_key("ES256"), "ES256"), id="no id, one key of the type"),
        pytest.param(lambda: hs(aud=["billing", "audit"]), id="one audience of several"),
        pytest.param(lambda: hs(header=HS | {"typ": "at+jwt", "jku": "https://idp.example/keys"}), id="access token"),
        pytest.param(lambda: hs(sub="José 🙂 / \u202e"), id="unicode subject"),
        pytest.param(lambda: hs(exp=time.time() + 60.5), id="fractions of a second"),
        pytest.param(lambda: hs(permissions=["audit:read", "other:thing"], extra={"a": [1, None]}), id="more claims"),
    ],
)
def test_what_is_as_it_must_be_gets_in(app: Starlette, token: Callable[[], str]) -> None:
    assert send(app, f"Bearer {token()}").status_code == 405


def test_of_all_attacks_none_is_missing_from_the_table() -> None:
    assert len(ATTACKS) >= 100
