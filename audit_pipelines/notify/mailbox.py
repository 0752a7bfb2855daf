"""A mailbox as a destination: the alert as a message in plain text, by the mail server that reports leave through.

Here: what the message says. How it gets there, and which refusals are for good, is `email.py`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from audit_pipelines.notify.alert import Alert
from audit_pipelines.notify.email import Mail, MailServer
from audit_pipelines.reports import words

# A message is read on a telephone: the rest is behind its link.
_MOST_STEPS: Final = 20
_LONGEST_SUBJECT: Final = 150
_LONGEST_STEP: Final = 400


@dataclass(frozen=True, slots=True)
class MailboxDestination:
    """Sends each alert to one address; the server's answer 250 to the whole message means that it is taken."""

    server: MailServer
    address: str = field(repr=False)

    def send(self, alert: Alert) -> None:
        """Send the alert, its `delivery_id` in the Message-ID, by which a mail program tells a copy.

        Raises:
            DeliveryError: `permanent` when the server refused the recipient or the message for good (5xx); the
                mailbox may have it all the same where the exchange broke off after the message.
        """
        mail = Mail(
            to=self.address,
            subject=_line(f"[audit] {alert.severity}: {alert.title}", _LONGEST_SUBJECT),
            text="\n".join(_text(alert)),
            message_id=f"{alert.delivery_id}@{self.server.message_domain}",
            # Of this attempt: it tells the incident as it is by now.
            sent_at=datetime.now(UTC),
        )
        self.server.send(mail)


def _text(alert: Alert) -> Iterator[str]:
    yield _line(alert.title, _LONGEST_STEP)
    yield ""
    yield f"Severity:   {alert.severity}"
    yield f"Tenant:     {alert.tenant_id}"
    if alert.cause == "incident":
        yield f"Incident:   {alert.incident_id}"
        yield f"Actor:      {alert.actor_ref or 'nobody in particular'}"
        yield f"Score:      {alert.score:.2f}"
        suppressed = f", {words.number(alert.suppressed)} of them suppressed" if alert.suppressed else ""
        yield f"Anomalies:  {words.number(alert.anomalies)}{suppressed}"
    yield f"From:       {words.second(alert.first_at)}"
    yield f"To:         {words.second(alert.last_at)}"
    yield ""
    for step in alert.story[:_MOST_STEPS]:
        at = f"{words.second(datetime.fromisoformat(step['at']))}: " if "at" in step else ""
        yield _line(f"- {at}{step['text']}", _LONGEST_STEP)
    if len(alert.story) > _MOST_STEPS:
        yield f"- and {words.number(len(alert.story) - _MOST_STEPS)} more, which are at the address below"
    yield ""
    yield "Who may see the incident finds it at" if alert.cause == "incident" else "The API is at"
    yield alert.link
    yield ""
    yield "Persons are references. Sent at least once: a second message with this Message-ID is the same alert."


def _line(text: str, most: int) -> str:
    """Return a text as one line: event types are the applications' own words, and must forge no line or header."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
