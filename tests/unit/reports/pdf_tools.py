"""What tests of documents share: poppler's reading of a file, and a certificate that signs."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from audit_pipelines.reports import fonts
from audit_pipelines.reports.canvas import TextCanvas

poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")


def extracted(path: Path) -> str:
    """Return what pdftotext finds in a file, without the direction marks that it adds itself."""
    text = subprocess.run(
        ["pdftotext", "-layout", "-enc", "UTF-8", str(path), "-"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    return re.sub("[\u202a-\u202e]", "", text)


def drawn(lines: list[str], path: Path, font: str = fonts.BODY) -> Path:
    """Write a document with lines of printable text, each on its own."""
    buffer = BytesIO()
    canvas = TextCanvas(buffer, (1200, 40 + 24 * len(lines)))
    for place, line in enumerate(lines, 1):
        canvas.write(20, 20 + 24 * (len(lines) - place), line, font, 10)
    canvas.showPage()
    canvas.save()
    path.write_bytes(buffer.getvalue())
    return path


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
