"""Which addresses outgoing requests may reach: a matrix of spellings, ranges and exceptions."""

import ipaddress
import socket
from typing import Any

import anyio
import pytest

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.outgoing import PUBLIC, ForbiddenAddressError, Outgoing, check_host, check_url
from audit_pipelines.settings import load_settings

FORBIDDEN = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 100.100.100.200 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.7
    192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255
    :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 2002:808:808:: 3fff::1 5f00::1
    fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1 4000::1
"""
PERMITTED = """
    1.1.1.1 8.8.8.8 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 172.15.255.255 172.32.0.1 192.0.1.1
    192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255
    2606:4700:4700::1111 2a00:1450:4001::1 2400::1 ::ffff:8.8.8.8 64:ff9b::808:808
"""


@pytest.mark.parametrize("address", FORBIDDEN.split())
def test_inner_and_special_addresses_are_forbidden(address: str) -> None:
    assert not PUBLIC.permits(ipaddress.ip_address(address))
    assert not PUBLIC.permits(ipaddress.ip_address(address), "hooks.example")


@pytest.mark.parametrize("address", PERMITTED.split())
def test_addresses_of_the_open_internet_are_permitted(address: str) -> None:
    assert PUBLIC.permits(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "address", "host", "permitted"),
    [
        ("10.0.0.0/8", "10.1.2.3", "", True),
        ("10.0.0.0/8", "192.168.0.1", "", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "", True),
        ("10.0.0.0/8", "64:ff9b::a01:203", "", True),
        ("127.0.0.1", "127.0.0.1", "anything", True),
        ("127.0.0.1", "127.0.0.2", "", False),
        ("127.0.0.1", "::1", "", False),
        ("[::1]", "::1", "", True),
        ("fd00::/8", "fd12::1", "", True),
        ("keys.corp.example", "10.1.2.3", "keys.corp.example", True),
        ("keys.corp.example", "10.1.2.3", "Keys.Corp.Example.", True),
        ("keys.corp.example", "127.0.0.1", "keys.corp.example", True),
        ("keys.corp.example", "10.1.2.3", "evil.keys.corp.example", False),
        ("keys.corp.example", "10.1.2.3", "corp.example", False),
        # A name does not open what tells this machine's identity; its network does.
        ("keys.corp.example", "169.254.169.254", "keys.corp.example", False),
        ("keys.corp.example", "::ffff:169.254.169.254", "keys.corp.example", False),
        ("keys.corp.example", "fd00:ec2::254", "keys.corp.example", False),
        ("keys.corp.example", "100.100.100.200", "keys.corp.example", False),
        ("169.254.169.254", "169.254.169.254", "", True),
    ],
)
def test_exceptions_open_what_they_name(allowed: str, address: str, host: str, permitted: bool) -> None:
    assert Outgoing.allowing([allowed]).permits(ipaddress.ip_address(address), host) is permitted


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0177.0.0.1", "127.1", "127.0.1", "0x7f.0.0.1", "0x7f000001", "017700000001", "127.0.0.01"),
        *(
            "127.0.0.1.",
            "0",
            "0x",
            "1.2.3.4.5",
            "a.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "exa mple",
            "",
            "-",
            "a..b",
            "a%00b",
        ),
        *("[::1]", "bücher.example", "local\u0131host", "x" * 64, "evil.example#"),
    ],
)
def test_a_host_has_one_spelling(host: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_host(host)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/", "file:///etc/passwd", "gopher://a.example", "//a.example/", "a.example", ""),
        *(
            "https://user@a.example/",
            "https://user:T0KEN@a.example/",
            "https://a.example/#T0KEN",
            "https://a.example:x/",
        ),
        *("https://a.example\\@b.example/", "https://2130706433/", "https://0x7f.1/", "https://", "https://[::1"),
        "http://a.example/",
    ],
)
def test_what_is_no_url_to_be_called(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        check_url(url, "https")
    assert "T0KEN" not in str(refused.value)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name stand for `addresses`; return what was asked for."""
    asked = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return asked


def test_one_forbidden_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "8.8.8.8", "127.0.0.1")
    with pytest.raises(ForbiddenAddressError, match=r"'two\.example' leads to an address of this machine"):
        anyio.run(PUBLIC.resolve, "two.example", 443)


def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, "127.0.0.1")
    assert anyio.run(PUBLIC.resolve, "8.8.8.8", 443).addresses == ("8.8.8.8",)
    with pytest.raises(ForbiddenAddressError):
        anyio.run(PUBLIC.resolve, "::1", 443)
    assert asked == []


def test_few_addresses_of_many_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, *(f"8.8.8.{number}" for number in range(200)))
    assert len(anyio.run(PUBLIC.resolve, "many.example", 443).addresses) == 4


def test_a_name_without_an_address_is_no_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        anyio.run(PUBLIC.resolve, "none.example", 443)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AUDIT_OUTGOING_ALLOWED": "10.0.0.1/8"}, "AUDIT_OUTGOING_ALLOWED: expected host names, addresses and net"),
        ({"AUDIT_OUTGOING_ALLOWED": "https://T0KEN"}, "AUDIT_OUTGOING_ALLOWED: expected"),
        ({"AUDIT_OUTGOING_ALLOWED": "0x7f.1"}, "AUDIT_OUTGOING_ALLOWED: expected"),
        ({"JWT_ALGORITHMS": "none"}, "JWT_ALGORITHMS: expected some of HS256, RS256"),
        ({"JWT_ALGORITHMS": "hs256"}, "JWT_ALGORITHMS: expected"),
        ({"JWT_ALGORITHMS": "HS512"}, "JWT_ALGORITHMS: expected"),
        ({"JWT_ALGORITHMS": "RS256"}, "JWT_JWKS_URL: expected the address of a key set, which RS256 needs"),
        ({"JWT_JWKS_URL": "https://idp.example/T0KEN"}, "JWT_JWKS_URL: expected JWT_ALGORITHMS to name"),
        ({"JWT_ALGORITHMS": "RS256", "JWT_JWKS_URL": "http://idp.example/T0KEN"}, "JWT_JWKS_URL: expected https"),
        ({"JWT_ALGORITHMS": "RS256", "JWT_JWKS_URL": "https://T0KEN@idp.example"}, "JWT_JWKS_URL: expected a URL wi"),
        ({"JWT_ALGORITHMS": "RS256", "JWT_JWKS_URL": "file:///T0KEN"}, "JWT_JWKS_URL: expected a URL that begins"),
        ({"JWT_SECRET": "T0KEN"}, "JWT_SECRET: expected at least 32 bytes"),
        ({"JWT_ISSUER": " T0KEN"}, "JWT_ISSUER: expected no spaces"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS: expected"),
        ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS: expected"),
        ({"CORS_ORIGINS": "https://app.example/"}, "CORS_ORIGINS: expected origins such as"),
        ({"CORS_ORIGINS": "https://App.example"}, "CORS_ORIGINS: expected origins such as"),
        ({"CORS_ORIGINS": "https://*.example"}, "CORS_ORIGINS: expected"),
        ({"AUDIT_RATE_LIMIT": "-1"}, "AUDIT_RATE_LIMIT"),
    ],
)
def test_a_malformed_setting_is_named_and_not_shown(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings()
    assert "T0KEN" not in str(caught.value)
