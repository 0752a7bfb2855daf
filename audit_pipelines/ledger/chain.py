"""The hashes of ledger format 1, as pure functions of bytes.

Chain and Merkle tree commit to the same 64-byte leaf, so they cannot disagree unseen. The SQL function `audit_append`
computes the same hashes inside the database; a test holds the two against each other. Nothing here parses an entry.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

GENESIS_PREFIX = b"audit_pipelines/v1"
LEAF_LENGTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC, exactly (no float is involved)."""
    return (moment - _EPOCH) // _MICROSECOND


def genesis(tenant_id: UUID) -> bytes:
    """Return the `prev_hash` of a tenant's first row: no two tenants share a chain's start."""
    return hashlib.sha256(GENESIS_PREFIX + tenant_id.bytes).digest()


def entry_hash(entry: bytes) -> bytes:
    """Return SHA-256 of the entry's bytes as stored; the JSON in them is never parsed or re-made."""
    return hashlib.sha256(entry).digest()


def leaf(tenant_id: UUID, seq: int, recorded_at_us: int, entry_digest: bytes) -> bytes:
    """Return the 64 bytes a row is committed by: tenant ‖ seq ‖ recorded_at in µs ‖ entry hash, big-endian."""
    return tenant_id.bytes + seq.to_bytes(8) + recorded_at_us.to_bytes(8) + entry_digest


def leaf_hash(leaf_bytes: bytes) -> bytes:
    """Return the Merkle leaf hash SHA-256(0x00 ‖ leaf) (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + leaf_bytes).digest()


def row_hash(prev_hash: bytes, leaf_digest: bytes) -> bytes:
    """Return the link SHA-256(0x02 ‖ prev_hash ‖ leaf_hash); 0x02 keeps it apart from RFC 6962's 0x00 and 0x01."""
    return hashlib.sha256(b"\x02" + prev_hash + leaf_digest).digest()
