"""Digital signatures of PDF files: PAdES baseline B-B (ETSI EN 319 142-1) with a certificate of the organisation.

Belongs here: opening the certificate and signing a finished file. Which files are signed is the callers' to say; the
electronic signatures of persons (21 CFR 11) are `identity.signatures`' and have nothing to do with it.
"""

from dataclasses import dataclass, field
from pathlib import Path

from audit_pipelines.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class PdfCertificate:
    """A PKCS#12 file with a private key and its certificate; the password never prints."""

    path: Path
    password: str | None = field(default=None, repr=False)


def sign_pdf(path: Path, certificate: PdfCertificate) -> None:
    """Sign the file at `path` in place: signed, or an error and the file as it was. Its digest is another afterwards.

    Raises:
        ConfigurationError: when the certificate cannot be opened or is not valid now.
    """
    raise ConfigurationError(f"signing {path} with {certificate.path} is not possible yet")
