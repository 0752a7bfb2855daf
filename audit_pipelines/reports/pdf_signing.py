"""Digital signatures of PDF files: PAdES baseline B-B, B-T with a time-stamp authority (ETSI EN 319 142-1).

Belongs here: opening the organisation's certificate and signing a finished file. Which files are signed is the
callers' to say; the electronic signatures of persons (21 CFR 11) are `identity.signatures`' and another thing. pyHanko,
which takes 0.8 s to import, is loaded when something is signed.
"""

import asyncio
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from audit_pipelines.errors import AnchorUnavailableError, ConfigurationError
from audit_pipelines.files import replacing
from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.layout import ACCENT, CONTENT, MARGIN, MUTED, Style, shorten

if TYPE_CHECKING:
    from pyhanko.sign.timestamps import TimeStamper

SIGNATURE_PLACE: Final = "digital-signature"
"""Name of the place beside the integrity page's result where a digital signature shows itself."""
FIELD: Final = "DigitalSignature"
_HEIGHT: Final = 20.0
_LEAST_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class PdfCertificate:
    """A certificate with its private key, opened and found fit for signing; neither key nor password ever prints."""

    path: Path
    signer: str
    """Its subject's common name, else all of its subject."""
    issuer: str
    serial: int
    valid_from: datetime
    valid_until: datetime
    content: bytes = field(repr=False)
    """The PKCS#12 file's bytes."""
    password: bytes | None = field(repr=False)
    time_stamp: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    """Takes a TimeStampReq to an authority and brings its TimeStampResp (RFC 3161), both DER."""

    def check(self, moment: datetime) -> None:
        """Raise `ConfigurationError` where the certificate is not valid at a moment."""
        if not self.valid_from <= moment <= self.valid_until:
            raise ConfigurationError(
                f"AUDIT_PDF_CERTIFICATE: expected a certificate that is valid now, got one of {self.signer} valid from "
                f"{words.second(self.valid_from)} to {words.second(self.valid_until)}; renew it, or empty the setting "
                "to write unsigned files"
            )


def open_certificate(
    path: Path, password: str | None, time_stamp: Callable[[bytes], bytes] | None = None
) -> PdfCertificate:
    """Open a PKCS#12 file (RFC 7292) with one private key and its certificate.

    Raises:
        ConfigurationError: when it cannot be read or opened, is no longer or not yet valid, or may not sign.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"AUDIT_PDF_CERTIFICATE: expected a PKCS#12 file at {path}, got: {error.strerror}"
        ) from error
    secret = password.encode() if password else None
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(content, secret)
    except (ValueError, TypeError):
        # Not from the cause: its message may be about what was tried.
        raise ConfigurationError(
            f"AUDIT_PDF_CERTIFICATE: expected a PKCS#12 file that AUDIT_PDF_CERTIFICATE_PASSWORD opens, got {path}, "
            "which it does not"
        ) from None
    if key is None or certificate is None:
        raise ConfigurationError(
            f"AUDIT_PDF_CERTIFICATE: expected a private key and its certificate in {path}, got one without the other"
        )
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)) or (
        isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS
    ):
        raise ConfigurationError(
            f"AUDIT_PDF_CERTIFICATE: expected a key for ECDSA, or for RSA of at least {_LEAST_RSA_BITS} bits, in {path}"
        )
    with suppress(x509.ExtensionNotFound):
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            raise ConfigurationError(
                f"AUDIT_PDF_CERTIFICATE: expected a certificate whose key usage permits signatures, got {path}"
            )
    opened = PdfCertificate(
        path,
        _name(certificate.subject),
        _name(certificate.issuer),
        certificate.serial_number,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        content,
        secret,
        time_stamp,
    )
    opened.check(datetime.now(UTC))
    return opened


def sign_pdf(path: Path, certificate: PdfCertificate) -> None:
    """Sign the file at `path` in place: signed, or an error and the file as it was; its digest is another afterwards.

    The signature covers the whole file as it is then and is appended to it (ISO 32000-1, 12.8), so every byte that was
    there stays. It shows itself at `SIGNATURE_PLACE`, nowhere in a document that has no such place. Without an answer
    of the time-stamp authority it is B-B instead of B-T, and says so.

    Raises:
        ConfigurationError: when the certificate is not valid now.
    """
    from pyhanko.sign.timestamps import TimestampRequestError  # noqa: PLC0415 -- 0.8 s, for who signs alone

    moment = datetime.now(UTC)
    certificate.check(moment)
    content = path.read_bytes()
    stamper = None if certificate.time_stamp is None else _stamper(certificate.time_stamp)
    try:
        signed = _signed(content, certificate, moment, stamper)
    except (AnchorUnavailableError, TimestampRequestError):
        signed = _signed(content, certificate, moment, None)
    # Who may not read the file may not read it while it is signed.
    with replacing(path, stat.S_IMODE(path.stat().st_mode)) as staging:
        staging.write_bytes(signed)


def _signed(content: bytes, certificate: PdfCertificate, moment: datetime, stamper: "TimeStamper | None") -> bytes:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter  # noqa: PLC0415 -- as above
    from pyhanko.pdf_utils.layout import AxisAlignment, InnerScaling, SimpleBoxLayoutRule  # noqa: PLC0415 -- as above
    from pyhanko.sign import fields, signers  # noqa: PLC0415 -- as above
    from pyhanko.stamp import StaticStampStyle  # noqa: PLC0415 -- as above

    signer = signers.SimpleSigner.load_pkcs12_data(certificate.content, [], certificate.password)
    if signer is None:
        raise ConfigurationError(f"AUDIT_PDF_CERTIFICATE: expected a key that can sign PDF files in {certificate.path}")
    metadata = signers.PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        subfilter=fields.SigSeedSubFilter.PADES,
        name=certificate.signer,
        reason="Issued from the audit trail",
        # People may still countersign; any other change shows.
        certify=True,
        docmdp_permissions=fields.MDPPerm.FILL_FORMS,
    )
    writer = IncrementalPdfFileWriter(BytesIO(content))
    page, box = _place(writer.prev)
    signed = BytesIO()
    with tempfile.NamedTemporaryFile(suffix=".pdf") as appearance:
        style = None
        if box is not None:
            appearance.write(_appearance(certificate, moment, box, stamped=stamper is not None))
            appearance.flush()
            fitted = SimpleBoxLayoutRule(
                AxisAlignment.ALIGN_MIN, AxisAlignment.ALIGN_MIN, inner_content_scaling=InnerScaling.NO_SCALING
            )
            style = StaticStampStyle.from_pdf_file(appearance.name, border_width=0, background_layout=fitted)
        signers.PdfSigner(
            metadata,
            signer,
            timestamper=stamper,
            stamp_style=style,
            new_field_spec=fields.SigFieldSpec(FIELD, on_page=page, box=box, readable_field_name="Digital signature"),
        ).sign_pdf(writer, output=signed)
    return signed.getvalue()


def _place(document: Any) -> tuple[int, tuple[int, int, int, int] | None]:
    """Return the page, counted from 0, and the box that a signature shows itself in; None for the box hides it."""
    root, name = document.root, f"/{SIGNATURE_PLACE}"
    if "/Dests" not in root or name not in root["/Dests"]:
        return 0, None
    place = root["/Dests"][name]
    wanted = place.raw_get(0).reference
    pages = root["/Pages"]["/Kids"]
    number = next(number for number in range(len(pages)) if pages.raw_get(number).reference == wanted)
    left, top = round(float(place[2])), round(float(place[3]))
    return number, (left, round(top - _HEIGHT), round(MARGIN + CONTENT), top)


def _appearance(
    certificate: PdfCertificate, moment: datetime, box: tuple[int, int, int, int], *, stamped: bool
) -> bytes:
    """Return what the signature shows as a document of one page of the box's size."""
    width, height = box[2] - box[0], box[3] - box[1]
    bold, small = Style(fonts.BOLD, 7.8, 10, ACCENT), Style(size=6.6, leading=9, colour=MUTED)
    level = "PAdES B-T, with a time-stamp" if stamped else "PAdES B-B"
    lines = (
        (f"Digitally signed by {certificate.signer} on {words.second(moment)}", bold, height - 8),
        (f"Certificate of {certificate.issuer}, serial {certificate.serial:x}; {level}", small, height - 17),
    )
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (width, height))
        for text, style, y in lines:
            canvas.write(0, y, shorten(text, style, width), style.font, style.size, style.colour)
        canvas.showPage()
        canvas.save()
    return buffer.getvalue()


def _stamper(ask: Callable[[bytes], bytes]) -> "TimeStamper":
    from asn1crypto import tsp  # noqa: PLC0415 -- as above
    from pyhanko.sign.timestamps import TimeStamper  # noqa: PLC0415 -- as above

    class Authority(TimeStamper):
        async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
            # In a thread of its own: who asks may run a loop, and one is running here.
            return tsp.TimeStampResp.load(await asyncio.to_thread(ask, req.dump()))

    return Authority()  # type: ignore[no-untyped-call]  # pyHanko's constructor has no types


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
