"""Outgoing requests against real servers: they go to the address that was checked, and to no other."""

import asyncio
import base64
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit_pipelines.anchors.bucket import Access, BucketAnchor
from audit_pipelines.anchors.tunnel import tunnel
from audit_pipelines.anchors.webhook import WebhookAnchor
from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.outgoing import PUBLIC, ForbiddenAddressError, Outgoing
from tests.integration.anchor_servers import Server, serving

LOCAL = Outgoing.allowing(["127.0.0.1"])
NOTE = "audit_pipelines/0e5a5c8e-8a39-4b7b-9d4c-0a4b8a6f2a11\n3\nAAAA\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda *_: (200, {}, b"here")) as running:
        yield running


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let the first look-up of any name give the first answer, and so on; return the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: Any, *rest: Any, **named: Any) -> Any:
        if host == "127.0.0.1":
            return real(host, port, *rest, **named)
        asked.append(host)
        return real(answers[min(len(asked), len(answers)) - 1], port, *rest, **named)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return asked


async def fetch(outgoing: Outgoing, url: str) -> tuple[int, bytes]:
    async with outgoing.exchange("GET", url, timeout_s=20, headers={}) as response:
        return response.status_code, b"".join([chunk async for chunk in response.aiter_raw()])


def test_a_name_is_looked_up_once_and_that_address_is_reached(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # The second answer is where nobody listens: who looks up again would end there.
    asked = names(monkeypatch, "127.0.0.1", "127.0.0.9")
    url = f"http://rebinding.example:{server.port}/path?query=1"
    assert anyio.run(fetch, LOCAL, url) == (200, b"here")
    assert asked == ["rebinding.example"]
    ((_, path, headers, _),) = server.requests
    assert (path, headers["host"]) == ("/path?query=1", f"rebinding.example:{server.port}")


def test_a_name_that_turns_inwards_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "127.0.0.1")
    with pytest.raises(ForbiddenAddressError, match="AUDIT_OUTGOING_ALLOWED"):
        anyio.run(fetch, PUBLIC, f"http://hooks.example:{server.port}/")
    assert server.requests == []


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1."]
)
def test_other_spellings_of_this_machine_are_refused(server: Server, host: str) -> None:
    with pytest.raises((ForbiddenAddressError, httpx.InvalidURL)):
        anyio.run(fetch, PUBLIC, f"http://{host}:{server.port}/")
    assert server.requests == []


def test_a_redirect_is_not_followed(server: Server) -> None:
    with serving(lambda *_: (200, {}, b"metadata")) as inner:
        server.fault = (307, {"Location": f"http://127.0.0.1:{inner.port}/latest/meta-data"}, b"")
        assert anyio.run(fetch, LOCAL, f"http://127.0.0.1:{server.port}/") == (307, b"")
        assert inner.requests == []


def test_the_next_address_is_tried_where_nobody_listens(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        places = ("127.0.0.9", "127.0.0.1") if host == "two.example" else (host,)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in places]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    allowed = Outgoing.allowing(["127.0.0.0/8"])
    assert anyio.run(fetch, allowed, f"http://two.example:{server.port}/")[0] == 200


def test_a_proxy_of_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: (200, {}, b"proxy")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert anyio.run(fetch, LOCAL, f"http://127.0.0.1:{server.port}/")[1] == b"here"
        assert proxy.requests == []


def test_an_anchor_says_why_it_sends_nothing(server: Server) -> None:
    with pytest.raises(AnchorUnavailableError, match=r"'127\.0\.0\.1' leads to an address of this machine"):
        WebhookAnchor("hook", f"http://127.0.0.1:{server.port}/T0KEN").publish(NOTE)
    access = Access(f"http://127.0.0.1:{server.port}", "eu-central-1", "somebody", "hidden-key")
    with pytest.raises(AnchorUnavailableError, match="object storage: '127"):
        BucketAnchor("bucket", "ledger", access).publish(NOTE)
    with pytest.raises(AnchorUnavailableError, match=r"object storage: '169\.254"):
        BucketAnchor("bucket", "ledger", Access("https://169.254.169.254/")).read_all({})
    assert server.requests == []


# TLS


@dataclass
class TlsServer:
    """Answers `here` once a connection is encrypted; notes which name was asked for."""

    port: int = 0
    asked_for: list[str | None] = field(default_factory=list)
    connections: int = 0


@contextmanager
def tls_server(folder: Path, name: str) -> Iterator[TlsServer]:
    """Run a server in a thread of its own, with a certificate for `name` by nobody but itself."""
    state = TlsServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder, name))
    context.sni_callback = lambda _socket, asked, _context: state.asked_for.append(asked)

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.connection = context.wrap_socket(self.request, server_side=True)
            state.connections += 1
            self.connection.recv(65_536)
            self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere")
            self.connection.close()

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    # A client that does not believe the certificate ends the handshake, which is no fault of the server's.
    server.handle_error = lambda *_: None
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_tls_asks_for_the_name_and_believes_its_certificate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, "127.0.0.1")
    with tls_server(tmp_path, "keys.example") as server:
        monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "keys.example.pem"))
        assert anyio.run(fetch, LOCAL, f"https://keys.example:{server.port}/") == (200, b"here")
        assert server.asked_for == ["keys.example"]
        for host in ("other.example", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                anyio.run(fetch, LOCAL, f"https://{host}:{server.port}/")
        assert server.connections == 1


def test_object_storage_is_reached_at_the_address_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library could not reach the name by itself: it stands in no name server, and the tunnel alone knows it.
    asked = names(monkeypatch, "127.0.0.1")
    with tls_server(tmp_path, "storage.example") as server:
        access = Access(f"https://storage.example:{server.port}", "eu-central-1", "somebody", "hidden-key")
        with pytest.raises(AnchorUnavailableError, match="object storage: Generic"):
            BucketAnchor("bucket", "ledger", access, LOCAL, timeout_s=20).publish(NOTE)
        # It came as far as the certificate, which nobody vouches for.
        assert {*server.asked_for} == {"storage.example"}
        assert {*asked} == {"storage.example"}


async def through_tunnel(outgoing: Outgoing, request: str, *, with_password: bool = True) -> bytes:
    async with asyncio.timeout(20), tunnel(outgoing) as url:
        proxy = httpx.URL(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        given = f"{proxy.username}:{proxy.password if with_password else 'guess'}".encode()
        password = f"Proxy-Authorization: Basic {base64.b64encode(given).decode()}\r\n"
        writer.write(f"{request} HTTP/1.1\r\n{password}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            writer.close()
            return head.split(b"\r\n")[0]
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.readuntil(b"here")
        writer.close()
        return answer


def test_a_tunnel_leads_to_permitted_addresses_for_who_knows_its_password(server: Server) -> None:
    there = f"CONNECT 127.0.0.1:{server.port}"
    assert anyio.run(through_tunnel, LOCAL, there).endswith(b"here")
    assert len(server.requests) == 1
    refused = b"HTTP/1.1 403 Forbidden"
    assert anyio.run(through_tunnel, PUBLIC, there) == refused
    assert anyio.run(lambda: through_tunnel(LOCAL, there, with_password=False)) == refused
    assert anyio.run(through_tunnel, LOCAL, f"GET http://127.0.0.1:{server.port}/") == refused
    assert anyio.run(through_tunnel, LOCAL, "CONNECT 127.0.0.1:x") == refused
    assert anyio.run(through_tunnel, LOCAL, "CONNECT 127.0.0.1:1") == b"HTTP/1.1 502 Bad Gateway"
    assert len(server.requests) == 1
