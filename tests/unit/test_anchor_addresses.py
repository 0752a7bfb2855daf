"""Addresses of anchors: which are understood, and that none tells its secrets."""

import pytest

from audit_pipelines.anchors.address import parse_address
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.settings import load_settings


@pytest.mark.parametrize(
    ("text", "kind", "name", "target"),
    [
        ("file:///mnt/far%20away", "folder", "file:///mnt/far away", "/mnt/far away"),
        ("s3://ledger/notes/", "bucket", "s3://ledger/notes", "ledger/notes"),
        ("s3://ledger", "bucket", "s3://ledger", "ledger"),
        ("rfc3161+https://tsa.example/tsr", "authority", "rfc3161+https://tsa.example#", "https://tsa.example/tsr"),
        ("https://hooks.example/T0KEN", "webhook", "webhook+https://hooks.example#", "https://hooks.example/T0KEN"),
        ("webhook+http://[::1]:9/x", "webhook", "webhook+http://[::1]:9#", "http://[::1]:9/x"),
    ],
)
def test_what_is_understood(text: str, kind: str, name: str, target: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.target) == (kind, target)
    assert address.name.startswith(name)
    assert "T0KEN" not in address.name + repr(address)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/x",
        "gopher+https://host",
        "notes",
        "https://",
        "https://user:T0KEN@host/",
        "https://host/#T0KEN",
        "https://host:port/",
        "http://example.org/",
        "http://127.0.0.1.example.org/",
        "rfc3161+http://192.0.2.1/",
        "rfc3161://host/",
        "file://elsewhere/folder",
        "file:folder",
        "s3://UPPER/x",
        "s3://ledger/../x",
        "s3://ledger/a b",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parse_address(text)
    assert "T0KEN" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AUDIT_ANCHORS": "file:///a,ftp://T0KEN"}, "AUDIT_ANCHORS: address 2: expected"),
        ({"AUDIT_ANCHORS": "file:///a,file:///a"}, "address 2: expected each anchor once"),
        ({"AUDIT_ANCHORS": "rfc3161+https://tsa.example/"}, "needs AUDIT_TSA_CERTIFICATES"),
        ({"AWS_ENDPOINT_URL": "http://storage.example/"}, "AWS_ENDPOINT_URL: expected https"),
        ({"AWS_ENDPOINT_URL": "https://T0KEN:x@storage.example/"}, "without user name"),
        ({"AUDIT_ANCHOR_WEBHOOK_SECRET": "T0KEN"}, "at least 32 bytes"),
    ],
)
def test_a_malformed_setting_is_named_and_not_shown(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings()
    assert "T0KEN" not in str(caught.value)
