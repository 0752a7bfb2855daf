"""Mail: one message to one address over SMTP (RFC 5321), with TLS, time-outs, and refusals told apart.

What is sent and to whom is others' to say. A message is plain text in UTF-8 (RFC 5322, 2045) without anything that a
reader's program would fetch. Errors name codes and never repeat the server's words, which hold addresses.
"""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audit_pipelines.notify.alert import DeliveryError

if TYPE_CHECKING:
    from audit_pipelines.settings import Settings

SMTPS_PORT: Final = 465
"""TLS from the first byte (RFC 8314); on every other port STARTTLS (RFC 3207)."""
_ATOMS: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_ATOMS}(?:\.{_ATOMS})*@{_LABEL}(?:\.{_LABEL})+")
_ENHANCED: Final = re.compile(rb"^[245]\.\d{1,3}\.\d{1,3}\b")
_READY: Final = 220
_TOO_LARGE: Final = 552
# A server that sends a byte every few seconds never lets the time-out of a single read pass.
_WHOLE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Mail:
    """One message; `text` is what it says, `attachment` a PDF that goes with it where it is not too large."""

    to: str
    subject: str
    text: str
    message_id: str
    """Without angle brackets; the same at every attempt, so that a copy can be told."""
    sent_at: datetime
    attachment: Path | None = None
    too_large: str = ""
    """What the text says instead of an attachment that the server would not take."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server that relays for us."""

    host: str
    port: int
    from_address: str
    from_name: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    use_tls: bool = True
    ca_file: Path | None = None
    """Issuers to trust beside the system's."""
    most_bytes: int = 10_000_000
    """A message that is larger goes without its attachment; a server may allow less (RFC 1870)."""
    timeout_s: float = 20.0

    def send(self, mail: Mail) -> None:
        """Have the server take a message; when it returns, the server has answered for it.

        Raises:
            DeliveryError: `permanent` when the server refused this message or recipient for good (5xx).
        """
        with self._connected() as client:
            said = client.esmtp_features.get("size", "")
            most = min(self.most_bytes, int(said) or self.most_bytes) if said.isdigit() else self.most_bytes
            content = self._composed(mail, attach=True)
            if len(content) > most:
                content = self._composed(mail, attach=False)
            try:
                client.sendmail(self.from_address, [mail.to], content)
            except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
                if error.smtp_code != _TOO_LARGE or mail.attachment is None:
                    raise
                client.rset()
                client.sendmail(self.from_address, [mail.to], self._composed(mail, attach=False))

    @property
    def message_domain(self) -> str:
        """The right-hand side of the Message-IDs."""
        return self.from_address.rpartition("@")[2]

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        implicit = self.use_tls and self.port == SMTPS_PORT
        context = ssl.create_default_context() if self.use_tls else None
        if context and self.ca_file:
            context.load_verify_locations(self.ca_file)
        # The machine's own name is nobody's business.
        name = self.message_domain
        client = (
            smtplib.SMTP_SSL(local_hostname=name, timeout=self.timeout_s, context=context)
            if implicit
            else smtplib.SMTP(local_hostname=name, timeout=self.timeout_s)
        )
        # What the certificate is checked for; smtplib sets it where its constructor connects, which could not be cut.
        client._host = self.host  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way to set it
        ending = threading.Timer(_WHOLE_S, _cut, [client])
        ending.daemon = True
        ending.start()
        try:
            with _told(self):
                code, said = client.connect(self.host, self.port)
                if code != _READY:
                    raise smtplib.SMTPConnectError(code, said)
                client.ehlo()
                if context and not implicit:
                    client.starttls(context=context)
                    client.ehlo()
                if self.user:
                    client.login(self.user, self.password or "")
                yield client
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
        finally:
            ending.cancel()
            client.close()

    def _composed(self, mail: Mail, *, attach: bool) -> bytes:
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(self.from_name, addr_spec=self.from_address)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(mail.sent_at)
        message["Message-ID"] = f"<{mail.message_id}>"
        # No out-of-office answers (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        rest = mail.too_large if mail.attachment and not attach else ""
        message.set_content(f"{mail.text.rstrip()}\n{rest}", cte="quoted-printable")
        if mail.attachment and attach:
            content = mail.attachment.read_bytes()
            message.add_attachment(content, maintype="application", subtype="pdf", filename=mail.attachment.name)
        return message.as_bytes()


def mail_server(settings: "Settings") -> MailServer | None:
    """Return the mail server of the settings, None where SMTP_HOST is absent."""
    if settings.smtp_host is None:
        return None
    password = settings.smtp_password
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_from_address or "",
        settings.smtp_from_name,
        settings.smtp_user,
        password.get_secret_value() if password else None,
        settings.smtp_use_tls,
        settings.smtp_ca_file,
        settings.smtp_max_bytes,
    )


def check_address(text: str) -> str:
    """Return an address without space around it: `local@domain` in ASCII, one of them (RFC 5321, 4.1.2, no quotes).

    Raises:
        ValueError: when it is none; the message does not repeat it.
    """
    address = text.strip()
    local = address.rpartition("@")[0]
    if len(address) > 254 or len(local) > 64 or not _ADDRESS.fullmatch(address):
        raise ValueError("expected one address such as name@example.org, in ASCII and without a display name")
    return address


@contextmanager
def _told(server: MailServer) -> Iterator[None]:
    """Turn what smtplib and the network raise into one kind of error, which knows whether trying again makes sense."""
    where = f"the mail server {server.host}:{server.port}"
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        ((code, text),) = error.recipients.values()
        raise _refused(where, "the recipient", code, text) from None
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryError(
            f"{where}: expected SMTP_USER and SMTP_PASSWORD to be right, got {error.smtp_code}"
        ) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        what = "the sender" if isinstance(error, smtplib.SMTPSenderRefused) else "the message"
        raise _refused(where, what, error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPResponseException as error:
        # Before there was a message: it says nothing about it.
        raise DeliveryError(f"{where}: expected it to accept a connection, got {error.smtp_code}") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"{where}: expected a certificate that verifies, got {error.verify_message}") from None
    except ssl.SSLError as error:
        raise DeliveryError(f"{where}: expected TLS, got what is none ({error.reason or 'no reason given'})") from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError(f"{where}: expected it to offer STARTTLS and AUTH, got neither or one of them") from None
    except TimeoutError:
        raise DeliveryError(f"{where}: expected an answer within {server.timeout_s:g} s, got none") from None
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"{where}: expected an exchange to its end, got {type(error).__name__}") from None


def _refused(where: str, what: str, code: int, text: bytes | str) -> DeliveryError:
    enhanced = _ENHANCED.match(text if isinstance(text, bytes) else text.encode())
    said = f"{code} {enhanced[0].decode()}" if enhanced else str(code)
    permanent = 500 <= code < 600
    return DeliveryError(
        f"{where} refused {what} {'for good' if permanent else 'for now'}: {said}", permanent=permanent
    )


def _cut(client: smtplib.SMTP) -> None:
    with suppress(OSError):
        if isinstance(client.sock, socket.socket):
            client.sock.shutdown(socket.SHUT_RDWR)
