"""The neutral form: strict names, tolerant spellings."""

from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.ndjson import parse

LINE = {
    "occurred_at": "2026-03-01T09:30:00+01:00",
    "actor": "m.huber",
    "event_type": "invoice.approve",
    "entity_type": "invoice",
    "entity_id": "INV-7",
    "ip_address": "198.51.100.4",
    "user_agent": "ERP/4",
    "outcome": "success",
    "details": {"amount": 12.5},
}


def line(**changes: Any) -> bytes:
    return msgspec.json.encode({**LINE, **changes})


def test_every_field_arrives() -> None:
    event = parse(line(event_id="e-1"))
    assert event.occurred_at is not None
    assert event.occurred_at.isoformat() == "2026-03-01T08:30:00+00:00"
    assert (event.actor, event.event_type, event.entity_type, event.entity_id) == (
        "m.huber",
        "invoice.approve",
        "invoice",
        "INV-7",
    )
    assert (event.ip_address, event.user_agent, event.outcome, event.event_id) == (
        "198.51.100.4",
        "ERP/4",
        "success",
        "e-1",
    )
    assert event.details == {"amount": 12.5}
    assert event.sealed_fields == ()


def test_optional_fields_may_be_absent_null_or_empty() -> None:
    bare = {name: LINE[name] for name in ("occurred_at", "event_type", "entity_type", "entity_id")}
    empty = dict.fromkeys(("actor", "ip_address", "user_agent", "outcome", "event_id"), "")
    nulls: dict[str, Any] = dict.fromkeys((*empty, "details"))
    assert parse(msgspec.json.encode(bare)) == parse(line(**nulls)) == parse(line(**empty, details=None))


def test_all_faults_of_a_line_are_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        parse(b'{"timestamp":"x","entity_typ":"x","event_type":"a","details":[1],"ip_address":7,"foo":1}')
    message = str(caught.value)
    for part in (
        "timestamp: unknown field, did you mean occurred_at?",
        "entity_typ: unknown field, did you mean entity_type?",
        "foo: unknown field, put it under details",
        "occurred_at: expected a value",
        "entity_id: expected a value",
        "details: expected a JSON object or null, got an array",
        "ip_address: expected a text or null, got a number",
    ):
        assert part in message


@pytest.mark.parametrize("moment", ["2026-03-01T09:30:00", "01.03.2026", 1772353800, "2026-03-01"])
def test_a_time_without_its_zone_is_refused(moment: object) -> None:
    with pytest.raises(ValidationError, match="occurred_at"):
        parse(line(occurred_at=moment))


@pytest.mark.parametrize("field", ["actor", "entity_id", "event_id", "user_agent", "entity_type", "event_type"])
def test_a_field_of_the_wrong_type_is_named(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        parse(line(**{field: ["x"]}))


@pytest.mark.parametrize(
    ("spelling", "outcome"),
    [
        ("Success", "success"),
        ("succeeded", "success"),
        ("OK", "success"),
        (0, "success"),
        ("0", "success"),
        (True, "success"),
        ("true", "success"),
        ("Allowed", "success"),
        ("GRANTED", "success"),
        ("Failure", "failure"),
        ("failed", "failure"),
        (False, "failure"),
        ("ERROR", "failure"),
        ("Access_Denied", "denied"),
        ("AccessDenied", "denied"),
        ("forbidden", "denied"),
        ("Unauthorized", "denied"),
        ("Challenge", "Challenge"),
        (1, "1"),
        ("418", "418"),
        (None, None),
        ("", None),
    ],
)
def test_outcomes(spelling: object, outcome: str | None) -> None:
    assert parse(line(outcome=spelling)).outcome == outcome


def test_an_outcome_that_is_no_word_is_refused() -> None:
    with pytest.raises(ValidationError, match="outcome"):
        parse(line(outcome={"result": "ok"}))


@pytest.mark.parametrize(
    ("source", "column", "kept"),
    [
        ("198.51.100.4:443", "198.51.100.4", True),
        ("[2001:db8::1]:443", "2001:db8::1", True),
        ("2001:DB8:0::1", "2001:db8::1", False),
        ("front-door", None, True),
    ],
)
def test_an_address_is_never_lost_and_its_copy_is_sealed(source: str, column: str | None, kept: bool) -> None:
    event = parse(line(ip_address=source))
    assert event.ip_address == column
    assert event.details == ({"amount": 12.5, "source_address": source} if kept else {"amount": 12.5})
    assert event.sealed_fields == (("/source_address",) if kept else ())


def test_the_kept_address_overwrites_nothing() -> None:
    event = parse(line(ip_address="front-door", details={"source_address": "mine"}))
    assert event.details == {"source_address": "mine", "source_address_": "front-door"}
    assert parse(line(ip_address="front-door", details=None)).details == {"source_address": "front-door"}


def test_secrets_and_the_actors_own_name_in_details_are_sealed() -> None:
    details = {"by": "m.huber", "text": "approved by m.huber from 198.51.100.4", "api_key": "k", "note": "fine"}
    assert parse(line(details=details)).sealed_fields == ("/api_key", "/by", "/text")


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a":NaN}', b'{"occurred_at":"\\ud800"}', b"\xff\xfe"])
def test_broken_lines_are_validation_errors(raw: bytes) -> None:
    with pytest.raises(ValidationError):
        parse(raw)


def test_numbers_beyond_64_bits_are_refused() -> None:
    raw = line(details={"n": "@"}).replace(b'"@"', b"1" + b"0" * 30)
    with pytest.raises(ValidationError, match="64 bits"):
        parse(raw)
