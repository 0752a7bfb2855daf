"""A time-stamp authority as an anchor: RFC 3161 over HTTP (its section 3.4). The token is the receipt.

When an answer is believed, `ledger/time_stamp.py` says.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from audit_pipelines.anchors.posting import TIMEOUT_S, post
from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.ledger import time_stamp
from audit_pipelines.outgoing import PUBLIC, Outgoing

_QUERY: Final = "application/timestamp-query"
_REPLY: Final = "application/timestamp-reply"


@dataclass(frozen=True, slots=True)
class AuthorityAnchor:
    """Asks for a time-stamp over each note's exact bytes; the authority sees their SHA-256 alone and keeps nothing."""

    name: str
    url: str = field(repr=False)
    certificates: Path
    outgoing: Outgoing = PUBLIC
    timeout_s: float = TIMEOUT_S

    def publish(self, note: str) -> bytes:
        """Return a checked time-stamp token over `note`.

        Raises:
            AnchorUnavailableError: when the authority gave no answer.
            ConfigurationError: when the certificates cannot be read.
            TamperedError: when its answer is not to be believed.
        """
        trusted = time_stamp.load_certificates(self.certificates)
        request = time_stamp.request_for(note)
        answer = ask(self.url, request.content, outgoing=self.outgoing, timeout_s=self.timeout_s)
        return time_stamp.token_from(answer, request, note, trusted)


def ask(url: str, request: bytes, *, outgoing: Outgoing, timeout_s: float = TIMEOUT_S) -> bytes:
    """Return an authority's TimeStampResp to a TimeStampReq, both DER, unchecked (RFC 3161, section 3.4).

    Raises:
        AnchorUnavailableError: when the authority gave no answer.
    """
    answer = post(url, request, {"Content-Type": _QUERY, "Accept": _REPLY}, outgoing, timeout_s)
    if answer.media_type != _REPLY:
        raise AnchorUnavailableError(f"expected {_REPLY}, got {answer.media_type[:60]!r}")
    return answer.content
