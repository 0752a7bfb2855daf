"""Requests to addresses that somebody configured: which may be reached, and that no other one is.

A URL is checked by the addresses its name stands for, not by its text, and the connection goes to the very address that
was checked: between a check and a second look-up, whoever owns the name could point it at this machine. Whatever calls
out (anchors, key servers, webhooks) does it through `Outgoing`; what it says there is its own business.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from audit_pipelines.errors import AuditError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' own; one cloud has its metadata here
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata at an address that looks public
            "169.254.0.0/16",  # link-local; the other clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""Of the registry of special-purpose addresses (RFC 6890), what is no single host of the open internet."""
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)  # of the public ones: Teredo and other protocols, examples, 6to4
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# An allowed name says that its owner is trusted with the inner network, not with the identity of this machine.
_BY_NETWORK_ALONE: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "100.100.100.200/32",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "::/128",
            "fd00:ec2::/32",
            "fe80::/10",
            "ff00::/8",
        ),
    )
)
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# Resolvers read 0x7f.1, 0177.0.0.1 and 2130706433 as addresses, each by rules of its own.
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_MOST_ADDRESSES: Final = 4
_PORTS: Final = {"https": 443, "http": 80}


class ForbiddenAddressError(AuditError):
    """An outgoing URL leads to where nothing may go; the message names the host alone."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A host as it was asked for, and the addresses it stands for, each checked."""

    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Says which addresses may be reached; without exceptions, those of the open internet."""

    hosts: frozenset[str] = frozenset()
    """Names whose inner addresses may be reached."""
    networks: tuple[IPNetwork, ...] = ()
    """Inner networks that may be reached, by whatever name."""

    @classmethod
    def allowing(cls, items: Iterable[str]) -> "Outgoing":
        """Return what allows each of `items`, a host name, an address or a network.

        Raises:
            ValueError: when an item is none of them.
        """
        hosts, networks = [], []
        for item in items:
            try:
                networks.append(ipaddress.ip_network(item.strip("[]")))
            except ValueError:
                if not _NAME.fullmatch(item) or _NUMERIC.fullmatch(item):
                    raise ValueError("expected host names, addresses and networks such as 10.0.0.0/8") from None
                hosts.append(_plain(item))
        return cls(frozenset(hosts), tuple(networks))

    def excepts(self, host: str) -> bool:
        """Return whether `host` is named itself, or is an address in a network that is; looks up nothing."""
        address = _literal(host)
        return _plain(host) in self.hosts or (address is not None and any(address in each for each in self.networks))

    def permits(self, address: IPAddress, host: str = "") -> bool:
        """Return whether `address`, reached by the name `host`, may be connected to."""
        forms = _forms(address)
        if any(form in network for network in self.networks for form in forms):
            return True
        if _plain(host) in self.hosts:
            return not any(form in network for network in _BY_NETWORK_ALONE for form in forms)
        return all(map(_is_public, forms))

    async def resolve(self, host: str, port: int) -> Destination:
        """Return where `host` leads, looked up once; each of its addresses may be reached.

        Raises:
            ForbiddenAddressError: when any of them may not.
            OSError: when there is none.
        """
        literal = _literal(host)
        if literal:
            found: list[str] = [str(literal)]
        else:
            loop = asyncio.get_running_loop()
            answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            found = list(dict.fromkeys(str(where[0]) for *_, where in answers))
        # All or none: a name that stands for an inner address beside a public one is a trap or a mistake.
        for text in found:
            if not self.permits(ipaddress.ip_address(text), host):
                raise ForbiddenAddressError(_refusal(host))
        if not found:
            raise OSError("the name has no address")
        return Destination(host, port, tuple(found[:_MOST_ADDRESSES]))

    @asynccontextmanager
    async def exchange(
        self, method: str, url: str, *, timeout_s: float, headers: Mapping[str, str], content: bytes = b""
    ) -> AsyncIterator[httpx.Response]:
        """Send one request and yield the answer, its body still to be read with `aiter_raw`; follow no redirect.

        `timeout_s` is for each step; whoever calls bounds the whole. Not by an `httpx.AsyncClient`: that logs each URL,
        and a token may be part of one. Proxies and .netrc of the environment stay out: only settings say where
        something goes. No compression is asked for, and none undone, so that a small answer stays small.

        Raises:
            ForbiddenAddressError: when the URL leads to where nothing may go.
            httpx.HTTPError: when there was no answer.
        """
        request = httpx.Request(
            method,
            url,
            headers={"User-Agent": "audit-pipelines", "Accept-Encoding": "identity", **headers},
            content=content,
            extensions={"timeout": httpx.Timeout(timeout_s).as_dict()},
        )
        async with _CheckedTransport(self) as transport:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                yield response
            finally:
                await response.aclose()


PUBLIC: Final = Outgoing()
"""The open internet, without exceptions."""


def check_url(text: str, *schemes: str) -> SplitResult:
    """Return the parts of `text`, a URL fit to be called; looks up nothing.

    Raises:
        ValueError: saying what was expected; it repeats nothing of the URL.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError("expected a URL, got none") from None
    if parts.scheme not in schemes:
        raise ValueError(f"expected a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "@" in parts.netloc or parts.fragment or "\\" in text:
        raise ValueError("expected a URL without user name, password and fragment")
    check_host(parts.hostname or "")
    return parts


def check_host(host: str) -> None:
    """Pass if `host` is a name, or an address in the one spelling that everybody reads alike.

    Raises:
        ValueError: otherwise, an internationalised name in any form but its ASCII one included.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if _NUMERIC.fullmatch(host):
            raise ValueError("expected an address as four decimal numbers, or a name") from None
        if not _NAME.fullmatch(host):
            raise ValueError("expected a host name in ASCII, or an address") from None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, in either of its forms (RFC 9110 section 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves, checks, then connects to the address instead of the name; TLS still asks for the name's certificate."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._inner = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, scheme = request.url.host, request.url.scheme
        port = request.url.port or _PORTS.get(scheme, 0)
        try:
            check_host(host)
        except ValueError:
            raise ForbiddenAddressError(_refusal(host)) from None
        try:
            destination = await self._outgoing.resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError("the name could not be resolved", request=request) from error
        request.extensions = {**request.extensions, "sni_hostname": host}
        await request.aread()
        for address in destination.addresses[:-1]:
            try:
                return await self._send(request, address, len(destination.addresses))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send(request, destination.addresses[-1], len(destination.addresses))

    async def _send(self, request: httpx.Request, address: str, shares: int) -> httpx.Response:
        extensions = dict(request.extensions)
        timeout = dict(extensions.get("timeout") or {})
        if timeout.get("connect"):
            timeout["connect"] /= shares
        extensions["timeout"] = timeout
        # The Host header was set from the name when the request was built, and stays.
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            content=request.content,
            extensions=extensions,
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _forms(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return the address, and the IPv4 address that it leads to, if it is one in the clothes of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            # Behind NAT64 or mapped, the inner address is all there is to judge.
            return (address, inner) if address.sixtofour else (inner,)
    return (address,)


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)


def _plain(host: str) -> str:
    return host.rstrip(".").casefold()


def _refusal(host: str) -> str:
    return (
        f"{host[:253]!r} leads to an address of this machine or an inner network; expected one of the open internet, "
        "or one that AUDIT_OUTGOING_ALLOWED names"
    )
