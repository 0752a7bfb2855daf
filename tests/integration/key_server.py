"""Keys of an identity provider for tests, the server that publishes them, and tokens made by hand, byte by byte."""

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

TENANT = UUID("0e5a5c8e-8a39-4b7b-9d4c-0a4b8a6f2a11")
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def private_key(kind: str) -> Any:
    """Return the one private key of a name such as `RS256`, `RSA-1024` or `RS256-other`, made when first asked for."""
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))
    if kind[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, 2048)
    if kind[:5] in CURVES:
        return ec.generate_private_key(CURVES[kind[:5]])
    return ed448.Ed448PrivateKey.generate() if kind == "Ed448" else ed25519.Ed25519PrivateKey.generate()


def public_pem(kind: str) -> bytes:
    return (
        private_key(kind)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def jwk(kind: str, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the public half as a JSON Web Key, with the id `kind` unless another is given."""
    public = private_key(kind).public_key()
    if isinstance(public, rsa.RSAPublicKey):
        content = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        content = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        content = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    content.pop("key_ops", None)
    return content | {"kid": key_id or kind, "use": "sig"} | more


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a token that is valid for five minutes; None leaves one out."""
    whole = {
        "sub": "alice",
        "tenant_id": str(TENANT),
        "permissions": ["audit:read"],
        "exp": int(time.time()) + 300,
        "aud": "audit",
        "iss": "https://idp.example",
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def encoded(content: Any) -> str:
    """Return one part of a token: bytes as they are, anything else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hmac_signed(header: Any, payload: Any, secret: bytes) -> str:
    signing = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing}.{encoded(hmac.digest(secret, signing.encode(), hashlib.sha256))}"


def rsa_signed(header: Any, payload: Any, kind: str) -> str:
    signing = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing}.{encoded(private_key(kind).sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
