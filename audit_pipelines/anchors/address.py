"""The addresses in AUDIT_ANCHORS: which are understood, and how an anchor is called without telling its secrets."""

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

Kind = Literal["folder", "authority", "webhook", "bucket"]

_KINDS: Final[dict[str, Kind]] = {
    "file": "folder",
    "s3": "bucket",
    "rfc3161+https": "authority",
    "rfc3161+http": "authority",
    "https": "webhook",
    "http": "webhook",
    "webhook+https": "webhook",
    "webhook+http": "webhook",
}
_ACCEPTED: Final = "file:///folder, s3://bucket/prefix, rfc3161+https://…, https://… or webhook+https://…"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.=-]+(?:/[A-Za-z0-9_.=-]+)*")


@dataclass(frozen=True, slots=True)
class Address:
    """One anchor as configured. `name` stands in tables, logs and errors; `target` may hold a token in its path."""

    kind: Kind
    name: str
    target: str = field(repr=False)


def parse_address(text: str) -> Address:
    """Return the address in one URL of AUDIT_ANCHORS.

    Raises:
        ValueError: saying what was expected; it repeats nothing but the scheme.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError(f"expected {_ACCEPTED}, got no URL") from None
    kind = _KINDS.get(parts.scheme)
    if kind is None:
        raise ValueError(f"expected {_ACCEPTED}, got the scheme {parts.scheme[:20]!r}")
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("expected a URL without user name, password and fragment")
    if kind == "folder":
        return _folder(parts)
    if kind == "bucket":
        return _bucket(parts)
    return _web(kind, parts)


def _folder(parts: SplitResult) -> Address:
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not path.startswith("/") or parts.query or "\0" in path:
        raise ValueError("expected file:///absolute/folder on this machine")
    return Address("folder", f"file://{path}", path)


def _bucket(parts: SplitResult) -> Address:
    prefix = parts.path.strip("/")
    steps = prefix.split("/")
    if not _BUCKET.fullmatch(parts.netloc) or parts.query or {".", ".."} & {*steps}:
        raise ValueError("expected s3://bucket/prefix")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("expected a prefix of letters, digits and _ . = - / in s3://bucket/prefix")
    name = f"s3://{parts.netloc}/{prefix}".rstrip("/")
    return Address("bucket", name, name.removeprefix("s3://"))


def _web(kind: Kind, parts: SplitResult) -> Address:
    scheme = parts.scheme.rpartition("+")[2]
    host = parts.hostname or ""
    if not host:
        raise ValueError("expected a host name")
    if scheme == "http" and not is_loopback(host):
        raise ValueError("expected https: plain http is for addresses of this machine alone")
    target = parts._replace(scheme=scheme).geturl()
    # Receivers often know a sender by a token in the path, so a digest tells two addresses of one host apart.
    digest = hashlib.sha256(target.encode()).hexdigest()[:8]
    label = "rfc3161" if kind == "authority" else "webhook"
    return Address(kind, f"{label}+{scheme}://{parts.netloc}#{digest}", target)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
