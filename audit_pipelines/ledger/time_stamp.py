"""Time-stamps of checkpoints by a time-stamp authority, RFC 3161: the question, the answer, and its proof later on.

Belongs here: what is asked, and when an answer is believed. Who carries it over the network is `anchors/authority.py`.
A time-stamp says that the exact bytes of a note existed at a time; it is the word of somebody who is not us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from audit_pipelines.errors import ConfigurationError, TamperedError

_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")


@dataclass(frozen=True, slots=True)
class TimeStampRequest:
    """What goes to the authority, and the nonce its answer must repeat so that it cannot be an older one."""

    content: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What an authority signed: when, and which of its certificates' subjects says so."""

    moment: datetime
    authority: str


def request_for(note: str) -> TimeStampRequest:
    """Return a request over SHA-256 of the note's UTF-8, with a random nonce, that asks for the certificates too."""
    built = (
        TimestampRequestBuilder()
        .data(note.encode())
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    if built.nonce is None:
        raise AssertionError("expected a request with a nonce: one was asked for")
    return TimeStampRequest(built.as_bytes(), built.nonce)


def token_from(response: bytes, request: TimeStampRequest, note: str, trusted: Sequence[x509.Certificate]) -> bytes:
    """Return the time-stamp token in an authority's answer, checked in every respect.

    Raises:
        TamperedError: when it was not granted, is not about this note or this request, or is signed by nobody trusted.
    """
    decoded = _decode(response)
    _verify(decoded, note, trusted, request.nonce)
    return decoded.time_stamp_token()


def verify_token(token: bytes, note: str, trusted: Sequence[x509.Certificate]) -> TimeStamp:
    """Check a kept token against the exact note and the certificates; they must have been valid when it was made.

    Raises:
        TamperedError: when the token is not about this note or is signed by nobody trusted.
    """
    # A token is kept without the answer around it: PKIStatusInfo "granted" (RFC 3161 section 2.4.2) makes it one again.
    body = b"\x30\x03\x02\x01\x00" + token
    decoded = _decode(b"\x30" + _length(len(body)) + body)
    _verify(decoded, note, trusted, None)
    signer = next(iter(decoded.signed_data.signer_infos))
    return TimeStamp(
        decoded.tst_info.gen_time,
        next(
            (
                found.subject.rfc4514_string()
                for found in map(x509.load_der_x509_certificate, decoded.signed_data.certificates)
                if (found.issuer, found.serial_number) == (signer.issuer, signer.serial_number)
            ),
            signer.issuer.rfc4514_string(),
        ),
    )


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Return the PEM certificates in a file: the authorities', or those of whoever certified them.

    Raises:
        ConfigurationError: when the file cannot be read or has none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no PEM certificate is in it"
        raise ConfigurationError(
            f"expected PEM certificates of time-stamp authorities in {path}, got: {reason}"
        ) from error


def _length(count: int) -> bytes:
    """Return a length in DER (X.690 section 8.1.3): one byte below 128, else the fewest that hold it, counted first."""
    digits = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return digits if count < 128 else bytes([0x80 | len(digits)]) + digits


def _decode(response: bytes) -> TimeStampResponse:
    try:
        return decode_timestamp_response(response)
    except ValueError as error:
        raise TamperedError(f"time-stamp: expected a TimeStampResp (RFC 3161), got {len(response)} bytes") from error


def _verify(response: TimeStampResponse, note: str, trusted: Sequence[x509.Certificate], nonce: int | None) -> None:
    if response.status != 0:
        raise TamperedError(f"time-stamp: expected status 0 (granted), got {response.status}")
    try:
        # With the digest ours, an imprint of the same bytes by another algorithm is refused as well.
        if response.tst_info.message_imprint.hash_algorithm != _SHA256:
            raise TamperedError("time-stamp: expected an imprint by SHA-256, got another digest")
        VerifierBuilder(roots=list(dict.fromkeys(trusted)), nonce=nonce).build().verify(
            response, sha256(note.encode()).digest()
        )
    except (VerificationError, ValueError) as error:
        raise TamperedError(f"time-stamp: {error}") from error
