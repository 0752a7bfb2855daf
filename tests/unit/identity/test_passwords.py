"""Which passwords are refused, when they are too old, and that hashes are made as the documents say."""

from datetime import UTC, datetime, timedelta

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.identity.passwords import Hasher, PasswordPolicy

NAMES = ("a.liddell@example.org", "Alice Liddell")


@pytest.mark.parametrize(
    "password",
    [
        "quiet otter in the reeds",
        "kX9#vQ2!mZ7w",
        "passwordless otter reeds",
        "Überraschung im Schilf",
        "92837465018273",
        "ein Satz mit alicorn",
    ],
)
def test_good_passwords_pass(password: str) -> None:
    PasswordPolicy().check(password, names=NAMES)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("kX9#vQ2!mZ7", "12 to 1,024 characters"),
        ("x" * 1_025, "12 to 1,024 characters"),
        ("Password2026!", "commonest"),
        ("p@ssw0rd1234", "commonest"),
        ("Welcome12345", "commonest"),
        ("qwertyuiop12", "commonest"),
        ("correct-horse-battery-staple", "commonest"),
        ("correct horse battery staple", "commonest"),
        ("Summer2026!!", "commonest"),
        ("123456789012", "commonest"),
        ("987654321098", "commonest"),
        ("abcabcabcabc", "commonest"),
        ("aaaaaaaaaaaaaaaa", "commonest"),
        ("liddell 92837465", "part of the login or the name"),
        ("92837465 ALICE 7", "part of the login or the name"),
        ("ａｌｉｃｅ 92837465", "part of the login or the name"),
    ],
)
def test_bad_passwords_are_refused_and_not_repeated(password: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as refusal:
        PasswordPolicy().check(password, names=NAMES)
    assert password not in str(refusal.value)
    assert {where for where, _ in refusal.value.faults} == {"/new_password"}


def test_every_reason_is_named() -> None:
    with pytest.raises(ValidationError) as refusal:
        PasswordPolicy().check("admin", names=("admin", "Ada Min"))
    assert len(refusal.value.faults) == 3


def test_age() -> None:
    set_at = datetime(2026, 1, 1, tzinfo=UTC)
    policy = PasswordPolicy(max_age=timedelta(days=90))
    assert not policy.is_expired(set_at, set_at + timedelta(days=89, hours=23))
    assert policy.is_expired(set_at, set_at + timedelta(days=90))
    assert policy.expires_at(set_at) == set_at + timedelta(days=90)
    assert not PasswordPolicy(max_age=None).is_expired(set_at, set_at + timedelta(days=9_000))
    assert PasswordPolicy(max_age=None).expires_at(set_at) is None


def test_hashes_are_argon2id_with_the_documented_parameters() -> None:
    hasher = Hasher()
    hashed = hasher.hash("quiet otter in the reeds")
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hasher.dummy.split("$")[:4] == hashed.split("$")[:4]
    assert hasher.fits(hashed, "quiet otter in the reeds")
    assert not hasher.fits(hashed, "quiet otter in the reed")
    assert not hasher.fits("no hash", "quiet otter in the reeds")
    assert hasher.hash("quiet otter in the reeds") != hashed


def test_a_hash_of_other_parameters_is_outdated() -> None:
    cheap = Hasher(passes=1, memory_kib=64, lanes=1)
    hashed = cheap.hash("quiet otter in the reeds")
    assert not cheap.is_outdated(hashed)
    assert Hasher().is_outdated(hashed)


def test_one_password_typed_in_two_ways_is_one() -> None:
    hasher = Hasher(passes=1, memory_kib=64, lanes=1)
    assert hasher.fits(hasher.hash("Ube\u0301rraschung"), "Ub\u00e9rraschung")
