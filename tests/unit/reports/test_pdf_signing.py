"""Digital signatures of documents: they verify, any change shows, and what cannot sign is refused at once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pdf_tools import extracted, poppler
from report_samples import make_report

from audit_pipelines.errors import AnchorUnavailableError, ConfigurationError
from audit_pipelines.reports.pdf import render_pdf, write_pdf
from audit_pipelines.reports.pdf_signing import open_certificate, sign_pdf
from tests.certificates import signature_status, write_certificate


@pytest.fixture
def pkcs12(tmp_path: Path) -> Path:
    return tmp_path / "organisation.p12"


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
def test_a_signed_report_verifies(pkcs12, tmp_path, kind):
    key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else None
    issued = write_certificate(pkcs12, key=key)
    path = tmp_path / "report.pdf"
    info = write_pdf(make_report(), path, open_certificate(pkcs12, "a password"))
    found = signature_status(path, issued)
    assert (found.intact, found.valid, found.trusted, found.bottom_line) == (True, True, True, True)
    assert found.coverage.name == "ENTIRE_FILE"
    assert info.bytes == path.stat().st_size
    # Appended: the document that was signed is still there, byte for byte.
    assert path.read_bytes().startswith(render_pdf(make_report())[0])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["organisation.p12", "report.pdf"]


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7])
def test_a_flipped_byte_is_detected(pkcs12, tmp_path, place):
    issued = write_certificate(pkcs12)
    path = tmp_path / "report.pdf"
    write_pdf(make_report(), path, open_certificate(pkcs12, "a password"))
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    found = signature_status(path, issued)
    assert (found.intact, found.bottom_line) == (False, False)


@poppler
def test_the_signature_shows_itself_on_the_integrity_page(pkcs12, tmp_path):
    write_certificate(pkcs12, name="诊所 Northwind")
    path = tmp_path / "report.pdf"
    write_pdf(make_report(), path)
    assert "Digitally signed" not in extracted(path)
    sign_pdf(path, open_certificate(pkcs12, "a password"))
    [page] = [page for page in extracted(path).split("\f") if "Digitally signed by 诊所 Northwind on 20" in page]
    assert "Integrity" in page
    assert "PAdES B-B" in page


def test_a_certificate_without_a_password(pkcs12, tmp_path):
    issued = write_certificate(pkcs12, None)
    path = tmp_path / "report.pdf"
    write_pdf(make_report(), path, open_certificate(pkcs12, None))
    assert signature_status(path, issued).bottom_line


@pytest.mark.parametrize("password", ["another", "", None])
def test_a_wrong_password_is_told_at_once_and_not_shown(pkcs12, password):
    write_certificate(pkcs12, "the right one")
    with pytest.raises(ConfigurationError, match="AUDIT_PDF_CERTIFICATE_PASSWORD opens") as refused:
        open_certificate(pkcs12, password)
    assert "another" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_what_is_no_certificate_is_told(pkcs12):
    with pytest.raises(ConfigurationError, match=r"PKCS#12 file at .*organisation\.p12, got: No such file"):
        open_certificate(pkcs12, None)
    pkcs12.write_bytes(b"no PKCS#12")
    with pytest.raises(ConfigurationError, match="which it does not"):
        open_certificate(pkcs12, "a password")


@pytest.mark.parametrize("fields", [{"days": -1, "since": timedelta(days=9)}, {"days": 9, "since": -timedelta(days=1)}])
def test_a_certificate_out_of_its_time_is_refused(pkcs12, fields):
    write_certificate(pkcs12, **fields)
    with pytest.raises(ConfigurationError, match="expected a certificate that is valid now, got one of Northwind"):
        open_certificate(pkcs12, "a password")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"signs": False}, "key usage permits signatures"),
        ({"key": rsa.generate_private_key(65537, 1024)}, "RSA of at least 2048 bits"),
    ],
)
def test_a_certificate_that_may_not_sign_is_refused(pkcs12, fields, told):
    write_certificate(pkcs12, **fields)
    with pytest.raises(ConfigurationError, match=told):
        open_certificate(pkcs12, "a password")


def test_a_certificate_that_ran_out_leaves_no_file(pkcs12, tmp_path, monkeypatch):
    write_certificate(pkcs12)
    certificate = open_certificate(pkcs12, "a password")
    pkcs12.unlink()

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2099, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("audit_pipelines.reports.pdf_signing.datetime", Later)
    with pytest.raises(ConfigurationError, match="valid now"):
        write_pdf(make_report(), tmp_path / "report.pdf", certificate)
    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_is_away_leaves_a_signature_without_time_stamp(pkcs12, tmp_path):
    issued = write_certificate(pkcs12)

    def away(_: bytes) -> bytes:
        raise AnchorUnavailableError("no answer within 10 s")

    path = tmp_path / "report.pdf"
    write_pdf(make_report(), path, open_certificate(pkcs12, "a password", away))
    found = signature_status(path, issued)
    assert found.bottom_line
    assert found.timestamp_validity is None


def test_neither_key_nor_password_prints(pkcs12):
    write_certificate(pkcs12, "hunter2")
    shown = repr(open_certificate(pkcs12, "hunter2"))
    assert "hunter2" not in shown
    assert "content" not in shown
