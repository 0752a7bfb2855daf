"""A webhook as an anchor: the note as JSON to somebody else's server, signed with a shared secret if there is one."""

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from audit_pipelines.anchors.posting import TIMEOUT_S, post
from audit_pipelines.ledger.checkpoint import tenant_of
from audit_pipelines.outgoing import PUBLIC, Outgoing

SIGNATURE_HEADER: Final = "X-Audit-Signature"
FORMAT: Final = "audit_pipelines checkpoint v1"


@dataclass(frozen=True, slots=True)
class WebhookAnchor:
    """Posts each note; an answer 2xx means that the receiver keeps it. Reading back is not possible."""

    name: str
    url: str = field(repr=False)
    secret: bytes | None = field(default=None, repr=False)
    outgoing: Outgoing = PUBLIC
    timeout_s: float = TIMEOUT_S

    def publish(self, note: str) -> None:
        """Post `note`; one note always has the same body and Idempotency-Key.

        Raises:
            AnchorUnavailableError: when the receiver did not take it.
        """
        body = json.dumps(
            {"format": FORMAT, "tenant_id": str(tenant_of(note)), "size": int(note.split("\n")[1]), "note": note},
            ensure_ascii=False,
            sort_keys=True,
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": hashlib.sha256(note.encode()).hexdigest(),
        }
        if self.secret:
            headers[SIGNATURE_HEADER] = f"sha256={hmac.new(self.secret, body, hashlib.sha256).hexdigest()}"
        post(self.url, body, headers, self.outgoing, self.timeout_s)
