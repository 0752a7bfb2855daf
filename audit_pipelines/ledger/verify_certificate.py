"""Check the certificate of an erasure, offline, with nothing but Python's standard library (3.9 on).

Usage: python3 -S verify_certificate.py FILE [--key VERIFIER_KEY], with verify_evidence.py beside it, whose signature
check it uses. Exit status as there: 0 signed as it stands, 1 not, 2 the file or the key could not be read.
The format is described in docs/privacy.md. FILE is the certificate, or a whole answer of the interface that holds it.
"""

from __future__ import annotations  # the Python of whoever checks may be older than the product's

import argparse
import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

try:
    from audit_pipelines.ledger.verify_evidence import RefusedError, ed25519_verify
except ImportError:  # on a stranger's machine there are these two files alone
    from verify_evidence import RefusedError, ed25519_verify  # type: ignore[import-not-found,no-redef,unused-ignore]

CERTIFICATE_FORMAT = "audit_pipelines erasure certificate v1"
_KEY = re.compile(r"([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
_MEMBERS = {"format", "statement", "verifier_key", "signature"}


def certificate_message(statement: dict[str, Any]) -> bytes:
    """Return what is signed: the format, a line break, and the canonical JSON of the statement, which has no floats."""
    canonical = json.dumps(statement, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return f"{CERTIFICATE_FORMAT}\n{canonical}".encode()


def verify_certificate(document: bytes, key: str | None = None) -> list[str]:
    """Check a certificate and return, in plain language, what was proven and what was not.

    Raises `RefusedError` when something does not fit; `ValueError` if this is no certificate or no key.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError(f"expected a verifier key NAME+HASH+BASE64, got {key!a}")
    file: Any = json.loads(document.decode(), object_pairs_hook=_object, parse_float=_no_float)
    if isinstance(file, dict) and isinstance(file.get("certificate"), dict):
        file = file["certificate"]
    if not isinstance(file, dict) or file.get("format") != CERTIFICATE_FORMAT:
        raise ValueError(f"the file holds no {CERTIFICATE_FORMAT!r}")
    statement = file.get("statement")
    texts = [file.get(name) for name in ("verifier_key", "signature")]
    if file.keys() != _MEMBERS or not isinstance(statement, dict) or not all(isinstance(each, str) for each in texts):
        raise RefusedError(f"expected the members {', '.join(sorted(_MEMBERS))} and nothing else")
    own, signature = map(str, texts)
    match = _KEY.fullmatch(own)
    if not match or (key is not None and key != own):
        raise RefusedError(f"verifier_key: expected {key or 'NAME+HASH+BASE64'}, got {own!a}")
    name, digest, encoded = match.groups()
    public = base64.b64decode(encoded)
    if hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8] != digest or public[:1] != b"\x01":
        raise RefusedError("verifier_key: its hash is not its own")
    if not ed25519_verify(public[1:], base64.b64decode(signature, validate=True), certificate_message(statement)):
        raise RefusedError("the statement and its signature do not fit")
    return _told(statement, own, is_given=key is not None)


def _told(statement: dict[str, Any], key: str, *, is_given: bool) -> list[str]:
    erased = {name: statement.get(name) for name in ("tenant_id", "actor_ref", "erased_at", "seq", "row_hash")}
    copies = [json.dumps(copy, sort_keys=True) for copy in statement.get("copies", [])]
    return [
        f"Proven: key {key} signed this certificate; the key is {'yours' if is_given else 'in this file'}.",
        f"Stated: the key of this person was destroyed: {json.dumps(erased)}",
        *(f"Stated, of a copy: {copy}" for copy in copies),
        "Not proven: that it was done as stated. The ledger has the event of the erasure: ask for its evidence.",
        *([] if is_given else ["Not proven: whose key this is. Get the key from elsewhere."]),
    ]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise RefusedError("the file has a name twice in one object, and readers may differ about it")
    return dict(pairs)


def _no_float(text: str) -> Any:
    raise ValueError(f"a certificate has no number such as {text}")


def main(argv: list[str] | None = None) -> int:
    """Check the file that the arguments name, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the certificate of an erasure, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", metavar="VERIFIER_KEY", help="the public key, got from elsewhere than the file")
    arguments = parser.parse_args(argv)
    try:
        status, lines = 0, verify_certificate(arguments.file.read_bytes(), arguments.key)
    except (RefusedError, ValueError, RecursionError, OSError) as error:
        status, verdict = (1, "REFUSED") if isinstance(error, RefusedError) else (2, "NOT CHECKED")
        lines = [f"{verdict}: {error}"]
    # ASCII alone: what stands in a file must not be able to steer a terminal.
    sys.stdout.write("\n".join(lines).encode("ascii", "backslashreplace").decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
