"""Servers for tests of anchors: a time-stamp authority that really signs, object storage, and faults on demand."""

import hashlib
import http.server
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

Reply = tuple[int, dict[str, str], bytes]
_SLOW = 300
Handler = Callable[[str, str, dict[str, str], bytes], Reply]


@dataclass
class Server:
    """A server on loopback; `fault` replaces its answer.

    A reply; `hang`; `cut` for a body cut short; `stall` for one that never ends; `slow head` and `slow body` for an
    answer of a byte at a time, so that no single read waits long and the whole takes half a minute.
    """

    port: int
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    fault: Reply | str | None = None
    faulty_path: str = ""
    """Only requests with this in their path run into the fault."""
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed the connection while an answer was under way."""


@contextmanager
def serving(handler: Handler) -> Iterator[Server]:
    """Run a server for the length of the block."""

    class Http(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.command, self.path, headers, body))
            fault = state.fault if state.faulty_path in self.path else None
            if fault == "hang":
                released.wait(10)
                self.close_connection = True
                return
            if fault == "slow head":
                self._trickle(b"HTTP/1.1 200 OK\r\nX-Padding: ", b"\r\nContent-Length: 0\r\n\r\n")
                return
            whole = isinstance(fault, tuple)
            status, extra, answer = fault if whole else handler(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            is_short = fault in ("cut", "stall", "slow body")
            self.send_header("Content-Length", str(len(answer) + (_SLOW if is_short else 0)))
            self.end_headers()
            if self.command != "HEAD":
                try:
                    self.wfile.write(answer)
                except OSError:
                    state.hung_up.set()
                    self.close_connection = True
                    return
            if fault == "slow body":
                self._trickle()
            if fault == "stall":
                self.wfile.flush()
                released.wait(10)
            self.close_connection = is_short

        def _trickle(self, beginning: bytes = b"", end: bytes = b"") -> None:
            self.close_connection = True
            try:
                self.wfile.write(beginning)
                for _ in range(_SLOW):
                    if released.wait(0.1):
                        return
                    self.wfile.write(b"-")
                self.wfile.write(end)
            except OSError:
                state.hung_up.set()

        do_GET = do_PUT = do_POST = do_HEAD = _answer  # noqa: N815 - http.server wants these names

        def log_message(self, *_: object) -> None:
            return

    released = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http)
    server.daemon_threads = True
    state = Server(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Storage:
    """As much of S3 as an anchor uses: conditional PUT, GET of a range, and listing by prefix."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential=somebody/"):
            return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
        address = urllib.parse.urlsplit(path)
        _, bucket, key = [*urllib.parse.unquote(address.path).split("/", 2), ""][:3]
        if bucket != "ledger":
            return 404, {}, b"<Error><Code>NoSuchBucket</Code></Error>"
        if method == "PUT":
            if headers.get("if-none-match") == "*" and key in self.objects:
                return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
            self.objects[key] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        if key:
            return self._get(key, headers)
        prefix = urllib.parse.parse_qs(address.query).get("prefix", [""])[0]
        items = "".join(
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Size>{len(content)}</Size></Contents>"
            for name, content in sorted(self.objects.items())
            if name.startswith(prefix)
        )
        listing = f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, listing.encode()

    def _get(self, key: str, headers: dict[str, str]) -> Reply:
        content = self.objects.get(key)
        if content is None:
            return 404, {}, b""
        about = {"ETag": '"x"', "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}
        if "range" not in headers:
            return 200, about, content
        first, last = headers["range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        return 206, about | {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"}, part


def der(tag: int, *parts: bytes) -> bytes:
    """Return one value in DER."""
    content = b"".join(parts)
    size = len(content)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(digits)]) + digits) + content


def integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytes([40 * first + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        encoded += bytes(reversed(groups))
    return der(6, encoded)


def values(content: bytes) -> list[bytes]:
    """Return the content of each DER value in `content`."""
    found = []
    while content:
        size, start = content[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(content[2:start], "big")
        found.append(content[start : start + size])
        content = content[start + size :]
    return found


SHA256 = der(0x30, oid("2.16.840.1.101.3.4.2.1"), der(5))


class Authority:
    """A time-stamp authority (RFC 3161): CMS SignedData over a TSTInfo, RSA, certificate and all."""

    def __init__(self, name: str = "Test Authority") -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.nonce_shift = 0
        self.imprint: bytes | None = None
        self.granted = True

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if headers.get("content-type") != "application/timestamp-query":
            return 415, {}, b""
        if not self.granted:
            return 200, {"Content-Type": "application/timestamp-reply"}, der(0x30, der(0x30, integer(2)))
        _, imprint, nonce, _ = values(values(body)[0])
        digest = self.imprint or values(imprint)[1]
        token = self.token(digest, int.from_bytes(nonce, "big") + self.nonce_shift)
        answer = der(0x30, der(0x30, integer(0)), token)
        return 200, {"Content-Type": "application/timestamp-reply"}, answer

    def token(self, digest: bytes, nonce: int) -> bytes:
        moment = datetime.now(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        info = der(
            0x30,
            integer(1),
            oid("1.3.6.1.4.1.99999.1"),
            der(0x30, SHA256, der(4, digest)),
            integer(time.time_ns()),
            der(0x18, moment),
            integer(nonce),
        )
        encoded = self.certificate.public_bytes(serialization.Encoding.DER)
        content_type = oid("1.2.840.113549.1.9.16.1.4")
        signing = der(0x30, der(0x30, der(0x30, der(4, hashlib.sha256(encoded).digest()))))
        attributes = [
            der(0x30, oid("1.2.840.113549.1.9.3"), der(0x31, content_type)),
            der(0x30, oid("1.2.840.113549.1.9.4"), der(0x31, der(4, hashlib.sha256(info).digest()))),
            der(0x30, oid("1.2.840.113549.1.9.16.2.47"), der(0x31, signing)),
        ]
        ordered = b"".join(sorted(attributes))
        signature = self.key.sign(der(0x31, ordered), padding.PKCS1v15(), hashes.SHA256())
        issuer = self.certificate.issuer.public_bytes()
        signer = der(
            0x30,
            integer(1),
            der(0x30, issuer, integer(self.certificate.serial_number)),
            SHA256,
            der(0xA0, ordered),
            der(0x30, oid("1.2.840.113549.1.1.1"), der(5)),
            der(4, signature),
        )
        signed = der(
            0x30,
            integer(3),
            der(0x31, SHA256),
            der(0x30, content_type, der(0xA0, der(4, info))),
            der(0xA0, encoded),
            der(0x31, signer),
        )
        return der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, signed))
