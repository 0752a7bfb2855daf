"""Addresses in one spelling, strict JSON, and what gets sealed."""

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.fields import address, build_event, decode_object, fit, moment, utc_moment
from audit_pipelines.importers.sealing import sealed_pointers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7", True)),
        (" 192.0.2.7 ", ("192.0.2.7", True)),
        ("192.0.2.7:51234", ("192.0.2.7", False)),
        ("08.1.250.016", ("8.1.250.16", True)),
        ("2001:DB8::0001", ("2001:db8::1", True)),
        ("[2001:db8::1]:443", ("2001:db8::1", False)),
        ("[2001:db8::1]", ("2001:db8::1", False)),
        ("fe80::1%eth0", ("fe80::1", False)),
        ("::ffff:192.0.2.7", ("192.0.2.7", True)),
        ("ec2.amazonaws.com", (None, False)),
        ("AWS Internal", (None, False)),
        ("300.1.1.1", (None, False)),
        ("192.0.2", (None, False)),
        ("-", (None, False)),
        ("", (None, False)),
    ],
)
def test_address(text: str, expected: tuple[str | None, bool]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b'{"a": NaN}', "malformed"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "JSON object"),
        (b'{"a": ', "truncated"),
        (b"[1]", "an array"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b'"x"', "a string"),
        (b"1", "a number"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(raw: bytes, word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        decode_object(raw)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T09:41:00.5+02:00", "2026-11-23T07:41:00.500000+00:00"),
        ("2026-11-23 07:41:00.500000000", "2026-11-23T07:41:00.500000+00:00"),
        ("2026-11-23 07:41:00 +0000", "2026-11-23T07:41:00+00:00"),
        ("2026-11-23 07:41:00 (UTC)", "2026-11-23T07:41:00+00:00"),
        (631152000, "1990-01-01T00:00:00+00:00"),
        (631152000000, "1990-01-01T00:00:00+00:00"),
        ("631152000000000", "1990-01-01T00:00:00+00:00"),
        (631152000000000000, "1990-01-01T00:00:00+00:00"),
        (99999999999, "5138-11-16T09:46:39+00:00"),
        ("1747795144.253623", "2025-05-21T02:39:04.253623+00:00"),
    ],
)
def test_times_of_products_are_utc(value: object, expected: str) -> None:
    read = utc_moment(value, "t")
    assert read is not None
    assert read.isoformat() == expected


def test_no_time_is_none_and_a_bad_one_is_named() -> None:
    assert utc_moment(None, "t") is utc_moment("", "t") is None
    for value in (
        "yesterday",
        "2026-11-23",
        "2026-13-01 00:00:00",
        True,
        {},
        "0001-01-01T00:00:00+10:00",
        10**40,
        1e300,
    ):
        with pytest.raises(ValidationError, match="t: expected a time"):
            utc_moment(value, "t")


def test_moments_need_a_zone_and_become_utc() -> None:
    assert moment("2026-11-23T09:41:00.5+02:00", "t").isoformat() == "2026-11-23T07:41:00.500000+00:00"
    for value in ("2026-11-23T09:41:00", "2026-11-23", "yesterday", "0001-01-01T00:00:00+10:00", 1700000000, None):
        with pytest.raises(ValidationError, match="t: expected a time"):
            moment(value, "t")


def test_fit_leaves_what_fits_and_never_refuses() -> None:
    assert fit("curl/8.0", 2048) == "curl/8.0"
    assert fit("a\nb\x00c\u2028d", 10) == "a\ufffdb\ufffdc\ufffdd"
    assert fit("x" * 11, 10) == "x" * 9 + "…"


def test_every_column_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        build_event({"event_type": "", "entity_type": 7, "entity_id": "x", "user_agent": "u" * 3000}, 10)
    assert [where for where, _ in caught.value.faults] == ["/event_type", "/entity_type", "/user_agent"]
    with pytest.raises(ValidationError, match="entity_id: expected printable"):
        build_event({"event_type": "a", "entity_type": "b", "entity_id": "trailing newline\n"}, 10)


def test_details_beyond_the_ledgers_limit_are_refused() -> None:
    columns = {"event_type": "a", "entity_type": "b", "entity_id": "c", "action_details": {"x": "y" * 1_000_000}}
    with pytest.raises(ValidationError, match="at most 1000000 bytes"):
        build_event(columns, 1_000_100)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"sessionToken": "abc"}, ["/sessionToken"]),
        ({"Session-Token": "abc", "session_token": "abc"}, ["/Session-Token", "/session_token"]),
        (
            {"a": {"password": {"old": "x", "rounds": 7, "set": True, "hint": None}}},
            ["/a/password/old", "/a/password/rounds"],
        ),
        ({"passwordResetRequired": "yes"}, []),
        ({"password": "HIDDEN_DUE_TO_SECURITY_REASONS"}, []),
        ({"userName": "bob", "roleName": "admin"}, ["/userName"]),
        ({"username": {"kind": "x"}}, []),
        ({"list": [{"email": "x"}, "see bob@example.org"]}, ["/list/0/email", "/list/1"]),
        ({"note": "key AKIAIOSFODNN7EXAMPLE leaked"}, ["/note"]),
        ({"arn": "arn:aws:iam::1:user/bob", "role": "arn:aws:iam::1:role/r"}, ["/arn"]),
        ({"arn": "arn:aws-us-gov:sts::1:assumed-role/r/bob"}, ["/arn"]),
        ({"pem": "-----BEGIN RSA PRIVATE KEY-----\nMII"}, ["/pem"]),
        ({"a/b~c": {"token": "x"}}, ["/a~1b~0c/token"]),
        ({"host": "10.0.0.12", "peer": "from 10.0.0.1:22"}, ["/peer"]),
        (
            {"onBehalfOf": {"userId": "u", "identityStoreArn": "s"}},
            ["/onBehalfOf/identityStoreArn", "/onBehalfOf/userId"],
        ),
    ],
)
def test_what_is_sealed(details: dict[str, object], expected: list[str]) -> None:
    assert list(sealed_pointers(details, frozenset({"10.0.0.1", "x"}))) == expected


def test_pointers_do_not_depend_on_the_order_of_keys() -> None:
    assert sealed_pointers({"token": "a", "email": "b"}) == sealed_pointers({"email": "b", "token": "a"})


def test_numbers_beyond_64_bits_and_bottomless_nesting_are_refused() -> None:
    with pytest.raises(ValidationError, match="/a/0: expected a number of at most 64 bits"):
        sealed_pointers({"a": [2**64]})
    assert sealed_pointers({"a": [2**64 - 1, -(2**63)]}) == ()
    deep: object = 1
    for _ in range(70):
        deep = [deep]
    with pytest.raises(ValidationError, match="levels"):
        sealed_pointers({"a": deep})
