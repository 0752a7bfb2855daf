"""A webhook as a destination: the alert as JSON, signed with the secret that both sides have."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from audit_pipelines.anchors.posting import TIMEOUT_S, post
from audit_pipelines.anchors.webhook import SIGNATURE_HEADER
from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.notify.alert import Alert, DeliveryError
from audit_pipelines.outgoing import PUBLIC, Outgoing

FORMAT: Final = "audit_pipelines alert v1"


@dataclass(frozen=True, slots=True)
class WebhookDestination:
    """Posts each alert; an answer 2xx, read to its end, means that the receiver has it."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    outgoing: Outgoing = PUBLIC
    timeout_s: float = TIMEOUT_S

    def send(self, alert: Alert) -> None:
        """Post the alert with `Idempotency-Key` (its delivery_id) and `X-Audit-Signature` (HMAC-SHA-256 of the body).

        Raises:
            DeliveryError: for any other answer, or none; the receiver may have it all the same.
        """
        body = json.dumps({"format": FORMAT, **alert.shown()}, sort_keys=True).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(alert.delivery_id),
            SIGNATURE_HEADER: f"sha256={hmac.new(self.secret, body, hashlib.sha256).hexdigest()}",
        }
        try:
            post(self.url, body, headers, self.outgoing, self.timeout_s)
        except AnchorUnavailableError as error:
            raise DeliveryError(str(error), error.retry_after_s) from error
