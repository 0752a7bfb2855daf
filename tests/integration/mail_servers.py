"""A mail server of this machine for tests: it keeps what it accepts and misbehaves as it is told."""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.pipeline.test_up import free_port

OK = "250 2.0.0 taken"
HANG = "hang"
CLOSE = "close"


@dataclass
class Inbox:
    """What the server has; `rcpt` and `data` say what it answers, the default is to take everything."""

    port: int = 0
    rcpt: Callable[[str], str] = lambda _: OK
    data: Callable[[bytes], str] = lambda _: OK
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    under_tls: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - the library's name
        said = self.rcpt(address)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        said = self.data(envelope.content)
        if said == HANG:
            await asyncio.sleep(30)
        if said == CLOSE:
            server.transport.close()
            return OK
        if said.startswith("250"):
            self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            self.bodies.append(envelope.content)
            self.recipients += envelope.rcpt_tos
            self.under_tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return said


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, *, implicit: bool = False, size: int = 33_554_432) -> Iterator[Inbox]:
    """Run a server on a free port of this machine; with `tls` it offers STARTTLS and takes nothing before.

    With `implicit` it speaks TLS from the first byte instead (SMTPS).
    """
    inbox = Inbox(port=free_port())
    controller = Controller(
        inbox,
        hostname="127.0.0.1",
        port=inbox.port,
        ssl_context=tls if implicit else None,
        tls_context=None if implicit else tls,
        require_starttls=tls is not None and not implicit,
        data_size_limit=size,
    )
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


def own_authority(folder: Path, host: str = "127.0.0.1", *, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a new issuer's certificate, and a server's context with a certificate for `host` by it.

    The server's is valid for so many days; below 0 it has ended.
    """
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's issuer")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: x509.Name, public: ec.EllipticCurvePublicKey, *, is_issuer: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=1 if is_issuer else days))
            .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        )
        if not is_issuer:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    roots, chain, secret = folder / "roots.pem", folder / "server.pem", folder / "server.key"
    pem = serialization.Encoding.PEM
    roots.write_bytes(certificate(issuer, issuer_key.public_key(), is_issuer=True).public_bytes(pem))
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    chain.write_bytes(certificate(server, key.public_key(), is_issuer=False).public_bytes(pem))
    secret.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return roots, context
