"""Certificates for tests that sign documents: made on the spot, as PKCS#12 files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext


def write_certificate(
    path: Path,
    password: str | None = "a password",
    *,
    days: int = 90,
    since: timedelta = timedelta(days=1),
    signs: bool = True,
    name: str = "Northwind Clinics",
    key: object = None,
) -> x509.Certificate:
    """Write a PKCS#12 file with a key and a certificate that it signed itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(signs, signs, not signs, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - since)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"documents", key, certificate, None, encryption))
    return certificate


def signature_status(path: Path, *trusted: x509.Certificate) -> PdfSignatureStatus:
    """Return pyHanko's verdict over the only signature of a file."""
    roots = [asn1.Certificate.load(one.public_bytes(serialization.Encoding.DER)) for one in trusted]
    with path.open("rb") as file:
        [signature] = PdfFileReader(file).embedded_signatures
        return validate_pdf_signature(
            signature, ValidationContext(trust_roots=roots), ts_validation_context=ValidationContext(trust_roots=roots)
        )
