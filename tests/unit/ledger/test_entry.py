"""From an event to the bytes that are hashed: what is referenced, sealed, refused and kept."""

import hmac
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import (
    Draft,
    SealingPolicy,
    Subject,
    format_moment,
    make_drafts,
    normalise_identity,
    uuid7s,
)
from audit_pipelines.ledger.event import Event

TENANT = uuid.UUID(int=1)
TENANT_KEY = bytes(range(32))
ALICE = Subject(uuid.UUID(int=2), bytes(range(1, 33)))
BOB = Subject(uuid.UUID(int=3), bytes(range(2, 34)))
POLICY = SealingPolicy(("/password", "/nested/email"), frozenset({"user"}))
RECEIVED = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)


def draft(event: Event, *, actor: Subject | None = ALICE, entity: Subject | None = None) -> Draft:
    named = {event.actor: actor, event.entity_id: entity}
    [made] = make_drafts(
        [event],
        tenant_id=TENANT,
        tenant_key=TENANT_KEY,
        subjects={name: subject for name, subject in named.items() if name and subject},
        policy=POLICY,
        received_at=[RECEIVED],
    )
    return made


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "event_type": "a.b",
        "entity_type": "thing",
        "entity_id": "1",
        "actor": "alice@example.org",
    }
    return Event(**fields | changes)


def entry(event: Event, **parts: Any) -> dict[str, Any]:
    return msgspec.json.decode(draft(event, **parts).entry)


def opened(value: dict[str, str], key: bytes = ALICE.key) -> Any:
    return msgspec.json.decode(sealing.unseal(key, value["$sealed"]))


def test_entry_is_deterministic_json_with_sorted_keys_and_no_spaces() -> None:
    text = draft(event(details={"b": 1, "a": [1.5, True, None]}, event_id="x")).entry.decode()
    assert text == (
        '{"actor_ref":"00000000-0000-0000-0000-000000000002","details":{"a":[1.5,true,null],"b":1},"entity_id":"1",'
        '"entity_type":"thing","event_id":"x","event_type":"a.b","ip_address":null,"ip_index":null,'
        '"occurred_at":"2026-03-04T05:06:07.000008Z","outcome":null,"user_agent":null,"v":1}'
    )


def test_columns_say_what_the_entry_says() -> None:
    made = draft(event(ip_address="192.0.2.9", user_agent="browser", outcome="success"))
    said = msgspec.json.decode(made.entry)
    assert said["occurred_at"] == format_moment(made.occurred_at)
    assert said["ip_index"] == made.ip_index.hex() if made.ip_index else False
    for name in ("event_id", "event_type", "entity_type", "entity_id", "outcome", "ip_address", "user_agent"):
        assert said[name] == getattr(made, name)


def test_numbers_of_any_size_keep_every_digit() -> None:
    assert entry(event(details={"n": 2**70, "m": -(2**65)}))["details"] == {"n": 2**70, "m": -(2**65)}


def test_a_backslash_before_u0000_is_only_a_backslash() -> None:
    assert entry(event(details={"path": r"C:\u0000"}))["details"] == {"path": r"C:\u0000"}


def test_times_of_any_zone_become_utc_microseconds() -> None:
    moment = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    assert entry(event(occurred_at=moment))["occurred_at"] == "2026-01-01T00:00:00.000000Z"


def test_named_fields_are_sealed_wherever_they_lie() -> None:
    details = {"password": "hunter2", "nested": {"email": ["a", 1]}, "list": [{"key": "k"}], "kept": "as it is"}
    said = entry(event(details=details, sealed_fields=("/list/0/key", "/absent/field")))["details"]
    assert opened(said["password"]) == "hunter2"
    assert opened(said["nested"]["email"]) == ["a", 1]
    assert opened(said["list"][0]["key"]) == "k"
    assert said["kept"] == "as it is"


def test_strings_with_the_actors_names_or_address_are_sealed() -> None:
    details = {
        "note": "approved by Alice@Example.org",
        "short": "alice did it",
        "from": "198.51.100.7",
        "word": "malice",
    }
    said = entry(event(details=details, ip_address="198.51.100.7"))["details"]
    assert opened(said["note"]) == details["note"]
    assert opened(said["short"]) == details["short"]
    assert opened(said["from"]) == details["from"]
    assert said["word"] == "malice"


def test_an_object_with_a_name_as_a_key_is_sealed_whole() -> None:
    said = entry(event(details={"by": {"alice@example.org": 1}}))["details"]
    assert opened(said["by"]) == {"alice@example.org": 1}


def test_a_person_as_entity_becomes_a_reference() -> None:
    assert entry(event(entity_type="user", entity_id="bob"), entity=BOB)["entity_id"] == str(BOB.ref)


def test_an_entity_named_after_the_actor_becomes_a_stable_pseudonym() -> None:
    first, second = (entry(event(entity_type="file", entity_id="home/alice/x")) for _ in range(2))
    assert first["entity_id"] == second["entity_id"]
    assert "alice" not in first["entity_id"]
    assert sealing.unseal(ALICE.key, first["details"]["$entity_id"]["$sealed"]) == "home/alice/x"


def test_the_address_is_sealed_and_indexed_by_network() -> None:
    one, two, far = (draft(event(ip_address=address)) for address in ("192.0.2.1", "192.0.2.2", "198.51.100.1"))
    assert one.ip_address
    assert sealing.unseal(ALICE.key, one.ip_address) == "192.0.2.1"
    assert one.ip_index
    assert two.ip_index
    assert far.ip_index
    assert one.ip_index[:8] == two.ip_index[:8] != far.ip_index[:8]
    assert one.ip_index[8:] != two.ip_index[8:]


def test_without_an_actor_values_are_sealed_under_the_tenants_key() -> None:
    made = draft(event(actor=None, ip_address="192.0.2.1"), actor=None)
    assert made.actor_ref is None
    assert made.ip_address
    assert sealing.unseal(TENANT_KEY, made.ip_address) == "192.0.2.1"


def test_a_retry_has_the_same_fingerprint_and_other_content_another() -> None:
    once = event(event_id="1", details={"n": 1}, ip_address="192.0.2.1")
    assert draft(once).fingerprint == draft(msgspec.structs.replace(once, sealed_fields=("/n",))).fingerprint
    assert draft(once).fingerprint != draft(msgspec.structs.replace(once, details={"n": 2})).fingerprint


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"ip_address": "localhost"}, "/ip_address", "IPv4 or IPv6"),
        ({"details": {"text": "x" * 1_100_000}}, "", "at most 1,000,000 bytes"),
        ({"details": {"text": "a\0b"}}, "", "U+0000"),
        ({"details": {"a\0": 1}}, "", "U+0000"),
        ({"event_type": "a\0"}, "", "U+0000"),
        ({"occurred_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=10)))}, "/occurred_at", "between the years"),
        ({"details": {"a": 1}, "sealed_fields": ("a",)}, "/sealed_fields", "starts with '/'"),
    ],
)
def test_what_cannot_be_stored_is_named(changes: dict[str, Any], where: str, what: str) -> None:
    with pytest.raises(ValidationError) as caught:
        draft(event(**changes))
    assert caught.value.faults[0][0] == where
    assert what in caught.value.faults[0][1]


@given(st.datetimes(), st.sampled_from([UTC, timezone(timedelta(hours=-3))]))
def test_moments_of_entries_are_written_as_everywhere(moment: datetime, zone: timezone) -> None:
    moment = max(moment, datetime(2, 1, 1)).replace(tzinfo=zone)  # noqa: DTZ001 - the zone is put on it here
    assert entry(event(occurred_at=moment))["occurred_at"] == format_moment(moment)


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20), st.binary(max_size=300))
def test_keyed_hashes_are_hmac(key: bytes, purpose: str, content: bytes) -> None:
    subkey = hmac.digest(key, purpose.encode(), "sha256")
    assert sealing.keyed_hash(key, purpose, content) == hmac.digest(subkey, content, "sha256")


def test_names_are_found_as_json_writes_them() -> None:
    made = entry(event(actor="CORP\\alice", details={"as": "CORP\\alice", "other": 1}))
    assert opened(made["details"]["as"]) == "CORP\\alice"
    assert made["details"]["other"] == 1


def test_sealed_text_opens_with_its_key_alone_and_notices_change() -> None:
    sealed = sealing.seal(ALICE.key, "secret")
    assert sealing.unseal(ALICE.key, sealed) == "secret"
    assert sealing.seal(ALICE.key, "secret") != sealed
    for wrong in (sealed[:-4] + "AAAA", "v2" + sealed[2:], sealed.replace(".", "", 1), "", "v1.."):
        with pytest.raises(TamperedError):
            sealing.unseal(ALICE.key, wrong)
    with pytest.raises(TamperedError):
        sealing.unseal(BOB.key, sealed)


def test_people_are_recognised_whatever_the_spelling() -> None:
    assert normalise_identity(" Straße@Example.ORG ") == normalise_identity("STRASSE@example.org")


def test_server_ids_are_version_7_and_ordered_by_time() -> None:
    texts = [*uuid7s(25), *uuid7s(25)]
    ids = [uuid.UUID(text) for text in texts]
    assert [str(item) for item in ids] == texts
    assert {item.version for item in ids} == {7}
    assert all(item.variant == uuid.RFC_4122 for item in ids)
    assert [item.int >> 80 for item in ids] == sorted(item.int >> 80 for item in ids)
