"""The certificate of an installation: reports are signed with it, time-stamped by an authority, or not written."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from audit_pipelines.db.database import Database
from audit_pipelines.derive.reporting import Period, make_reports
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from audit_pipelines.settings import Settings
from tests.certificates import signature_status, write_certificate
from tests.integration.anchor_servers import Authority, Server, serving


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[tuple[Authority, Server]]:
    signing = Authority()
    (tmp_path / "authorities.pem").write_bytes(signing.pem)
    with serving(signing) as server:
        yield signing, server


@pytest.fixture
def signing_settings(settings: Settings, tmp_path: Path, authority: tuple[Authority, Server]) -> Settings:
    return settings.model_copy(
        update={
            "audit_pdf_certificate": tmp_path / "documents.p12",
            "audit_pdf_certificate_password": SecretStr("a password"),
            "audit_anchors": (SecretStr(f"rfc3161+http://127.0.0.1:{authority[1].port}/"),),
            "audit_tsa_certificates": tmp_path / "authorities.pem",
            "audit_outgoing_allowed": ("127.0.0.1",),
        }
    )


def opened(settings: Settings, database: Database) -> Installation:
    return assemble(settings, open_keyring(settings), database)


def test_reports_are_signed_and_time_stamped(
    signing_settings: Settings,
    database: Database,
    tenant_id: uuid.UUID,
    authority: tuple[Authority, Server],
    tmp_path: Path,
) -> None:
    signing, server = authority
    certificate = write_certificate(tmp_path / "documents.p12")
    installation = opened(signing_settings, database)
    installation.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="record", entity_id="1")])
    today = datetime.now(UTC).date()
    export_window(installation, today - timedelta(days=1), today + timedelta(days=1), run_id="test")

    [made] = make_reports(installation, "security", Period(), run_id="test")
    found = signature_status(made.path, certificate, signing.certificate)
    assert found.bottom_line
    stamp = found.timestamp_validity
    assert (stamp.intact, stamp.valid, stamp.trusted) == (True, True, True)
    assert made.digest == hashlib.sha256(made.path.read_bytes()).hexdigest()

    server.fault = (503, {}, b"")
    [made] = make_reports(installation, "compliance", Period(), run_id="test")
    found = signature_status(made.path, certificate, signing.certificate)
    assert found.bottom_line
    assert found.timestamp_validity is None


def test_a_certificate_that_cannot_sign_stops_the_installation(
    signing_settings: Settings, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="AUDIT_PDF_CERTIFICATE: expected a PKCS#12 file at"):
        opened(signing_settings, database)
    write_certificate(tmp_path / "documents.p12", "another")
    with pytest.raises(ConfigurationError, match="AUDIT_PDF_CERTIFICATE_PASSWORD opens"):
        opened(signing_settings, database)
    write_certificate(tmp_path / "documents.p12", days=0)
    with pytest.raises(ConfigurationError, match="valid now"):
        opened(signing_settings, database)
