"""Maps: what they say, and every fault in one."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.map_file import load_map, read_map
from audit_pipelines.ledger.event import Event

MAP = """\
version = 1
name = "acme erp"

[event_type]
from = ["{module}:{op}", "op"]
prefix = "erp:"

[time]
from = ["at", "/sent.at"]
formats = ["rfc3339", "epoch_ms", "%d.%m.%Y %H:%M:%S"]
zone = "Europe/Vienna"

[actor]
from = ["who.mail", "who.name"]
kind = "who.kind"
machine_kinds = ["job"]

[entity]
type = ["doc.type"]
id = ["doc.no"]
default_type = "document"

[outcome]
from = ["rc"]
values = { "0" = "success", "8" = "denied" }
default = "success"

[ip]
from = ["net.0.addr"]

[user_agent]
from = ["client"]

[event_id]
from = ["{module}-{nr}"]

[details]
sealed = ["bank.*.iban", "/odd.key"]
"""
RECORD: dict[str, Any] = {
    "module": "fi",
    "op": "post",
    "at": "04.05.2026 05:02:01",
    "who": {"mail": "Ada@Example.com", "name": "Ada", "kind": "dialog"},
    "doc": {"no": "4711"},
    "rc": 0,
    "net": [{"addr": "203.0.113.9:80"}],
    "client": "GUI/8",
    "nr": 17,
    "bank": [{"iban": "AT00", "name": "x"}, {"iban": "AT01"}],
    "odd.key": "y",
}


def event(mapped: str = MAP, **changes: Any) -> Event:
    body = {key: value for key, value in {**RECORD, **changes}.items() if value is not ...}
    return read_map(mapped, "erp.toml").parse(msgspec.json.encode(body))


def test_columns() -> None:
    got = event()
    assert (got.event_id, got.event_type, got.actor) == ("fi-17", "erp:fi:post", "ada@example.com")
    assert (got.entity_type, got.entity_id, got.outcome) == ("document", "4711", "success")
    assert (got.ip_address, got.user_agent) == ("203.0.113.9", "GUI/8")
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01+00:00"
    assert {"/bank/0/iban", "/bank/1/iban", "/odd.key", "/who/mail"} <= set(got.sealed_fields)
    assert "/bank/0/name" not in got.sealed_fields


def test_paths_are_tried_in_order_and_a_template_needs_all_its_values() -> None:
    assert event(module=...).event_type == "erp:post"
    assert event(module=...).event_id is None
    assert event(who={"name": "Ada", "kind": "JOB"}).actor == "Ada"
    assert (event(who={"name": "Ada", "kind": "JOB"}).details or {})["actor_kind"] == "machine"
    assert event(doc={"no": 1, "type": "order"}).entity_type == "order"
    assert (event(doc=...).entity_type, event(doc=...).entity_id) == ("activity", "fi:post")
    assert event(rc=8).outcome == "denied"
    assert event(rc="Granted").outcome == "success"
    assert event(rc="odd").outcome == "odd"
    assert event(rc=...).outcome == "success"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2026-05-04T05:02:01+02:00", "rfc3339"),
        (1777863721000, "epoch_ms"),
        (1777863721, "epoch_s"),
        ("1777863721.0", "epoch_s"),
        (1777863721000000, "epoch_us"),
        (1777863721000000000, "epoch_ns"),
        ("2026-05-04 05:02:01", "iso"),
        ("05/04/2026 05:02:01 AM", "%m/%d/%Y %I:%M:%S %p"),
        ("04.05.2026 03:02:01 +0000", "%d.%m.%Y %H:%M:%S %z"),
    ],
)
def test_time_formats(value: object, form: str) -> None:
    got = event(MAP.replace('"rfc3339", "epoch_ms", "%d.%m.%Y %H:%M:%S"', f'"{form}"'), at=value)
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01+00:00"


def test_a_missing_time_refuses_the_record_unless_the_map_says_otherwise() -> None:
    with pytest.raises(
        ValidationError, match=r'time: expected a value at at, sent\.at, got none; with missing = "receipt"'
    ):
        event(at=...)
    assert event(MAP.replace('zone = "Europe', 'missing = "receipt"\nzone = "Europe'), at=...).occurred_at is None
    with pytest.raises(ValidationError, match=r"time: expected one of rfc3339, epoch_ms, .* got 'soon'"):
        event(at="soon")
    with pytest.raises(ValidationError, match=r"event_type: expected a value at a template, op, got none; time: "):
        event(at="soon", op=...)


def test_a_record_inside_a_record() -> None:
    mapped = MAP.replace('name = "acme erp"', 'unwrap = ["envelope.body"]')
    inner = msgspec.json.encode(RECORD).decode()
    expected = event()
    for body in (inner, RECORD):
        got = read_map(mapped, "x").parse(msgspec.json.encode({"envelope": {"body": body}}))
        assert got == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version = 1", "version = 2"), "line 1: version: expected 1, got 2"),
        (("[actor]", "[actr]"), "line 13: actr: expected one of"),
        (('kind = "who.kind"', "kin = 1"), "line 15: actor.kin: expected one of from, kind, machine_kinds, got"),
        (('"{module}:{op}", "op"', "7"), "line 5: event_type.from: expected a text, got a number"),
        (('"{module}:{op}"', '"{module:{op}"'), "line 5: event_type.from: expected a template"),
        (('"at", "/sent.at"', '"at.."'), "line 9: time.from: expected a path such as actor.email"),
        (('"epoch_ms"', '"epoch"'), "line 10: time.formats: expected rfc3339, iso, epoch_s"),
        (('"%d.%m.%Y %H:%M:%S"', '"%d.%m.%Y %Q"'), "line 10: time.formats: expected a strptime format"),
        (('"%d.%m.%Y %H:%M:%S"', '"%H:%M"'), "line 10: time.formats: expected a format with day and month"),
        (('zone = "Europe/Vienna"', ""), 'line 10: time.formats: expected a zone beside %d.%m.%Y %H:%M:%S'),
        (('"Europe/Vienna"', '"Vienna"'), "line 11: time.zone: expected a zone such as UTC"),
        (('{ "0" = "success", "8" = "denied" }', "{ a = 1 }"), "line 25: outcome.values: expected a table"),
        (('"net.0.addr"', '"net.*.addr"'), "line 29: ip.from: expected a path to one value, got one with *"),
        (("[ip]\n", "[ip\n"), "expected TOML: "),
        (('[time]\nfrom = ["at", "/sent.at"]', "[time]"), "line 8: time.from: expected a value, got none"),
        (('[user_agent]\nfrom = ["client"]', "user_agent = 3"), "user_agent: expected"),
    ],
)  # fmt: skip
def test_faults_are_named_by_line_and_key(change: tuple[str, str], message: str) -> None:
    text = MAP.replace(*change)
    with pytest.raises(ValidationError) as caught:
        read_map(text, "erp.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("erp.toml")


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        read_map('version = 2\n[time]\nformats = ["x"]\n', "m")
    assert len(caught.value.faults) == 4
    assert str(caught.value).count("\n") == 3


def test_a_file_that_is_no_map(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="expected a map, got: No such file"):
        load_map(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ValidationError, match="expected UTF-8"):
        load_map(tmp_path / "bytes.toml")
    (tmp_path / "good.toml").write_text(MAP)
    assert load_map(tmp_path / "good.toml").parse(msgspec.json.encode(RECORD)) == event()


def test_the_documented_map_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "importers.md").read_text()
    block = page.partition("```toml\n")[2].partition("```")[0]
    documented = read_map(block, "docs/importers.md")
    assert documented.machine_kinds == {"job", "interface"}
    got = documented.parse(
        b'{"op": "post", "doc": {"no": 7}, "rc": 8, "who": {"name": "Ada"}, "bank": [{"iban": "AT0"}]}'
    )
    assert (got.event_type, got.entity_id, got.outcome, got.actor) == ("erp:post", "7", "denied", "Ada")
    assert got.sealed_fields == ("/bank/0/iban",)
