"""Mail to a real SMTP server of this machine: what arrives, what is refused for good or for now, TLS, hangs, sizes."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mail_servers import CLOSE, HANG, Inbox, own_authority, receiving

from audit_pipelines.notify.alert import DeliveryError
from audit_pipelines.notify.email import Mail, MailServer, check_address


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiving() as inbox:
        yield inbox


def server_at(port: int, **fields: object) -> MailServer:
    made = MailServer("127.0.0.1", port, "audit@example.org", "Prüfspur 監査", use_tls=False, timeout_s=5)
    return replace(made, **fields)


def mail(**fields: object) -> Mail:
    made = Mail(
        to="ann@example.net",
        subject="Bericht: März – 報告",
        text="Grüße\n.\nfrom the trail, 監査\n",
        message_id="0b7e@example.org",
        sent_at=datetime(2026, 3, 2, 6, tzinfo=UTC),
    )
    return replace(made, **fields)


def test_a_message_arrives_as_it_was_written(inbox: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-\r\n.\r\n\x00\xff")
    server_at(inbox.port).send(mail(attachment=path))
    (message,) = inbox.messages
    assert inbox.recipients == ["ann@example.net"]
    assert message["From"] == "Prüfspur 監査 <audit@example.org>"
    assert (message["To"], message["Subject"]) == ("ann@example.net", "Bericht: März – 報告")
    assert message["Message-ID"] == "<0b7e@example.org>"
    assert message["Date"].datetime == datetime(2026, 3, 2, 6, tzinfo=UTC)
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").rstrip() == "Grüße\n.\nfrom the trail, 監査"
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("report.pdf", "application/pdf")
    assert attached.get_content() == path.read_bytes()
    # Nothing that a reader's program would fetch, and no line that a server must refuse.
    assert message.get_body(("html",)) is None
    assert max(map(len, inbox.bodies[0].split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("where", "said", "permanent", "told"),
    [
        ("rcpt", "550 5.1.1 ann@example.net is unknown here", True, "refused the recipient for good: 550 5.1.1"),
        ("rcpt", "451 4.7.1 ann@example.net is greylisted", False, "refused the recipient for now: 451 4.7.1"),
        ("data", "554 5.7.1 spam of ann@example.net", True, "refused the message for good: 554 5.7.1"),
        ("data", "452 full", False, "refused the message for now: 452"),
        ("data", CLOSE, False, "expected an exchange to its end"),
    ],
)
def test_refusals_are_told_apart_and_name_nobody(
    inbox: Inbox, where: str, said: str, permanent: bool, told: str
) -> None:
    setattr(inbox, where, lambda _: said)
    with pytest.raises(DeliveryError) as caught:
        server_at(inbox.port).send(mail())
    assert told in str(caught.value)
    assert (caught.value.permanent, "ann" in str(caught.value)) == (permanent, False)
    assert inbox.messages == []


def test_a_server_that_hangs_is_left(inbox: Inbox) -> None:
    inbox.data = lambda _: HANG
    with pytest.raises(DeliveryError, match="expected an exchange to its end") as caught:
        server_at(inbox.port, timeout_s=0.3).send(mail())
    assert not caught.value.permanent


def test_a_server_that_drips_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_pipelines.notify.email._WHOLE_S", 0.5)
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            while not ended.wait(0.1):
                try:
                    peer.sendall(b"2")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        begun = time.monotonic()
        with pytest.raises(DeliveryError):
            server_at(listener.getsockname()[1]).send(mail())
        # Without a limit for the whole, the drops go on for ever.
        assert time.monotonic() - begun < 10
        ended.set()
        thread.join()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeliveryError, match="ConnectionRefusedError") as caught:
        server_at(port).send(mail())
    assert not caught.value.permanent


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "smtps"])
def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, implicit: bool) -> None:
    roots, context = own_authority(tmp_path)
    with receiving(context, implicit=implicit) as inbox:
        if implicit:
            # Port 465 is for root alone.
            monkeypatch.setattr("audit_pipelines.notify.email.SMTPS_PORT", inbox.port)
        trusting = server_at(inbox.port, use_tls=True, ca_file=roots)
        trusting.send(mail())
        with pytest.raises(DeliveryError, match="certificate that verifies, got unable to get local issuer"):
            replace(trusting, ca_file=None).send(mail())
        with pytest.raises(DeliveryError, match="certificate that verifies, got Hostname mismatch"):
            replace(trusting, host="localhost").send(mail())
        assert inbox.under_tls == [True]
    roots, context = own_authority(tmp_path, days=-1)
    with receiving(context, implicit=implicit) as inbox:
        if implicit:
            monkeypatch.setattr("audit_pipelines.notify.email.SMTPS_PORT", inbox.port)
        with pytest.raises(DeliveryError, match="certificate that verifies, got certificate has expired") as caught:
            server_at(inbox.port, use_tls=True, ca_file=roots).send(mail())
        assert (inbox.messages, caught.value.permanent) == ([], False)


@contextmanager
def listening(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer one client line by line as told, the first answer unasked; yield the port and what the client said."""
    said: list[bytes] = []

    def talk(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        peer.settimeout(5)
        with peer, suppress(OSError):
            for answer in answers:
                peer.sendall(answer)
                said.append(peer.recv(4_096))
            while more := peer.recv(4_096):
                said.append(more)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, args=[listener])
        thread.start()
        yield listener.getsockname()[1], said
        thread.join(10)


HELLO, OFFERS = b"220 here\r\n", b"250-here\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((HELLO, b"250-here\r\n250 AUTH PLAIN\r\n", b"235 ok\r\n", b"250 ok\r\n"), "expected it to offer STARTTLS"),
        ((HELLO, OFFERS, b"454 not now\r\n", b"250 ok\r\n"), "got 454"),
        ((HELLO, OFFERS, b"220 go on\r\n", b"250 in clear\r\n"), "expected TLS, got what is none"),
    ],
    ids=["not offered", "refused", "clear text after it"],
)
def test_where_tls_was_asked_for_nothing_is_said_in_clear(answers: tuple[bytes, ...], told: str) -> None:
    with listening(*answers) as (port, said):
        server = server_at(port, use_tls=True, user="audit", password="secret-of-the-mail")
        with pytest.raises(DeliveryError, match=told) as caught:
            server.send(mail())
    assert not caught.value.permanent
    heard = b"".join(said)
    assert heard.startswith(b"ehlo")
    assert not [word for word in (b"AUTH", b"MAIL", b"ann@", b"secret", b"YXVkaXQ") if word in heard]


def test_on_the_port_of_smtps_a_server_without_tls_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(HELLO, OFFERS) as (port, said):
        monkeypatch.setattr("audit_pipelines.notify.email.SMTPS_PORT", port)
        with pytest.raises(DeliveryError, match="expected TLS, got what is none"):
            server_at(port, use_tls=True, user="audit", password="secret-of-the-mail").send(mail())
    # A handshake, and nothing that a mail server would understand.
    assert said[0].startswith(b"\x16\x03")
    assert b"ehlo" not in b"".join(said)


@pytest.mark.parametrize("fields", [{"most_bytes": 5_000}, {}])
def test_what_is_too_large_goes_without_its_file(tmp_path: Path, fields: dict[str, int]) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(bytes(6_000))
    with receiving(size=33_554_432 if fields else 5_000) as inbox:
        server_at(inbox.port, **fields).send(mail(attachment=path, too_large="It is too large."))
        (message,) = inbox.messages
        assert list(message.iter_attachments()) == []
        assert "It is too large." in message.get_content()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@example",
        "ann@example.org\r\nBcc: eve@example.org",
        "ann@example.org\nx",
        "ann@example.org, eve@example.org",
        "Ann <ann@example.org>",
        '"a b"@example.org',
        "a..b@example.org",
        "änn@example.org",
        "ann@-example.org",
        "ann@exa mple.org",
        "ann@example.org\x00",
        f"{'a' * 65}@example.org",
        f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 60}.org",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="expected one address") as caught:
        check_address(text)
    assert "eve" not in str(caught.value)


@pytest.mark.parametrize("text", ["ann@example.org", " o'hara+x@sub.example.co ", "a.b_c-d@xn--bcher-kva.example"])
def test_addresses_are_taken(text: str) -> None:
    assert check_address(text) == text.strip()


@pytest.mark.parametrize("name", ["subject", "message_id"])
def test_no_header_can_be_brought_in(inbox: Inbox, name: str) -> None:
    with pytest.raises(ValueError, match=r"newline|linefeed|carriage"):
        server_at(inbox.port).send(mail(**{name: "x\r\nBcc: eve@example.org"}))
    assert inbox.messages == []
