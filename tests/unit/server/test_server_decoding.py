"""Bodies to events: all faults at once, each with its pointer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.event import Event
from audit_pipelines.server.decoding import MAX_DEPTH, decode_array, decode_event, decode_lines
from audit_pipelines.server.problems import RequestError

WHOLE: dict[str, Any] = {"event_type": "user.login", "entity_type": "session", "entity_id": "s-1"}


def faults(body: bytes) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        decode_event(body)
    return dict(refused.value.faults)


def body(**changed: Any) -> bytes:
    return json.dumps(WHOLE | changed).encode()


def nested(levels: int) -> bytes:
    return b'{"event_type":"a","entity_type":"b","entity_id":"c","action_details":{"x":%b%b}}' % (
        b"[" * levels,
        b"]" * levels,
    )


def test_a_whole_event() -> None:
    event = decode_event(body(action_details={"n": 1}, occurred_at="2026-11-23T07:41:00Z", ip_address="10.0.0.1"))
    assert (event.event_type, event.details) == ("user.login", {"n": 1})


def test_every_fault_is_named() -> None:
    found = faults(
        b'{"event_type": 7, "entity_type": "", "action_details": [], "occurred_at": "2026-11-23T07:41:00",'
        b' "ip_address": "300.1.1.1", "outcome": "a\\u0000b", "sealed_fields": ["/a", "b", 3], "a/b~c": 1}'
    )
    assert set(found) == {
        "/event_type",
        "/entity_type",
        "/entity_id",
        "/action_details",
        "/occurred_at",
        "/ip_address",
        "/outcome",
        "/sealed_fields/2",
        "/a~1b~0c",
    }
    assert found["/entity_id"] == "required, but missing"
    assert "`int`" in found["/event_type"]
    assert "unknown field" in found["/a~1b~0c"]


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (body(occurred_at="0001-01-01T00:00:00+10:00"), "/occurred_at"),
        (body(occurred_at="9999-12-31T23:59:59-10:00"), "/occurred_at"),
        (body(ip_address="localhost"), "/ip_address"),
        (body(sealed_fields=["email"]), "/sealed_fields/0"),
        (body(sealed_fields=["/a"] * 101), "/sealed_fields"),
        (body(sealed_fields=["/" + "1" * 5_000]), "/sealed_fields/0"),
        (body(action_details={"a": ["\x00"]}), "/action_details"),
        (body(action_details={"\x00": 1}), "/action_details"),
        (nested(MAX_DEPTH), "/action_details"),
        (b"[]", ""),
        (b'"text"', ""),
        (b"null", ""),
    ],
)
def test_faults_beyond_types(content: bytes, pointer: str) -> None:
    assert list(faults(content)) == [pointer]


def test_nesting_that_no_decoder_survives_is_a_fault() -> None:
    assert "levels" in " ".join(faults(nested(100_000)).values())


def test_nesting_up_to_the_limit_and_brackets_in_text_are_fine() -> None:
    assert decode_event(nested(MAX_DEPTH - 1)).details
    assert decode_event(body(action_details={"text": "[" * 500, "many": [[]] * 500})).details


@pytest.mark.parametrize("content", [b"", b"{", b'{"event_type": 7,', b"\xff", b"{} {}", b'{"event_type": "\\ud800"}'])
def test_what_is_no_json_is_malformed(content: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        decode_event(content)
    assert refused.value.status == 400


def test_a_value_is_never_repeated_in_a_fault() -> None:
    found = faults(body(event_type=["hunter2"], ip_address="hunter2", occurred_at="hunter2", sealed_fields="hunter2"))
    assert "hunter2" not in str(found)
    assert len(found) == 4


def test_an_array_names_each_event() -> None:
    whole, broken = WHOLE, {"event_type": "a", "entity_type": 3}
    with pytest.raises(ValidationError) as refused:
        decode_array(json.dumps([whole, broken, whole, 5, whole | {"ip_address": "x"}]).encode())
    assert [where for where, _ in refused.value.faults] == ["/1/entity_id", "/1/entity_type", "/3", "/4/ip_address"]


def test_a_right_array_and_right_lines_give_the_same_events() -> None:
    events = [WHOLE | {"entity_id": str(number)} for number in range(3)]
    lines = b"\r\n".join(json.dumps(event).encode() for event in events)
    assert decode_array(json.dumps(events).encode()) == decode_lines(b"\n" + lines + b"\n\n")


def test_lines_name_index_and_line() -> None:
    with pytest.raises(ValidationError) as refused:
        decode_lines(body() + b"\n\n" + body(outcome=1) + b"\n")
    [(where, what)] = refused.value.faults
    assert where == "/1/outcome"
    assert what.startswith("line 3: ")


def test_a_broken_line_makes_the_whole_malformed() -> None:
    with pytest.raises(RequestError) as refused:
        decode_lines(body() + b"\n{\n" + body(outcome=1))
    assert (refused.value.status, [where for where, _ in refused.value.faults]) == (400, ["/1"])


@pytest.mark.parametrize("content", [b"[]", b"[" + b",".join([body()] * 10_001) + b"]", b"[" + b"1," * 10_000 + b"1]"])
def test_an_array_has_1_to_10000_events(content: bytes) -> None:
    with pytest.raises((ValidationError, RequestError), match=r"10,000|One fault"):
        decode_array(content)


def test_an_array_of_millions_of_parts_is_not_taken_apart() -> None:
    with pytest.raises(ValidationError) as refused:
        decode_array(b"[" + b"1," * 1_500_000 + b"1]")
    assert [where for where, _ in refused.value.faults] == ["/0"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from([*Event.__struct_encode_fields__, "surprise", ""])


@given(st.dictionaries(field_names, json_values | st.text(max_size=3)))
def test_any_object_is_an_event_or_has_named_faults(content: dict[str, Any]) -> None:
    faults: tuple[tuple[str, str], ...] = ()
    try:
        event_type = decode_event(json.dumps(content).encode()).event_type
    except ValidationError as error:
        faults, event_type = error.faults, None
    assert event_type == content.get("event_type") if not faults else all(where[0] == "/" for where, _ in faults)


@given(st.binary())
def test_any_bytes_are_answered(content: bytes) -> None:
    for decode in (decode_event, decode_array, decode_lines):
        with pytest.raises((ValidationError, RequestError)):
            decode(content)
