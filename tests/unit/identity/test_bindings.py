"""The digest that ties a signature to its record: every part of it counts."""

from typing import Any
from uuid import UUID

import pytest

from audit_pipelines.identity.signatures import Signing, binding

SIGNED: dict[str, Any] = {
    "signature_id": UUID(int=1),
    "record_kind": "event",
    "record_id": "batch-17",
    "record_hash": bytes(32),
    "meaning": "approved",
    "signer_ref": UUID(int=2),
}


def test_the_digest_is_the_documented_one() -> None:
    # printf '{"meaning":"approved","record_hash":"00…","record_id":"batch-17",…,"v":1}' | sha256sum
    assert binding(**SIGNED).hex() == "8b7b168e24441bdc8c4dab698a03150877798892482b6a2ab199565cfcc610e9"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("signature_id", UUID(int=3)),
        ("record_kind", "report"),
        ("record_id", "batch-18"),
        ("record_hash", bytes(31) + b"\x01"),
        ("meaning", "reviewed"),
        ("signer_ref", UUID(int=3)),
    ],
)
def test_every_part_counts(part: str, other: object) -> None:
    assert binding(**SIGNED) != binding(**SIGNED | {part: other})


def test_what_is_asked_to_be_signed_shows_no_secret() -> None:
    shown = repr(Signing("event", "batch-17", "approved", "secret password", login="alice", reason="why"))
    assert not [word for word in ("secret", "alice", "why") if word in shown]
