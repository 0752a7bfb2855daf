"""Write the vectors: `python tests/vectors/make.py`, after a change of the format and never to mend a test.

`ledger_format_1.json` holds the parts, `evidence_1.json` an evidence file over the same rows.

Keys and times are fixed; salts and nonces are random as in the product, so each run gives other sealed values.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from audit_pipelines.ledger import chain, merkle, rotation, sealing
from audit_pipelines.ledger.checkpoint import Checkpoint, sign
from audit_pipelines.ledger.entry import SealingPolicy, Subject, make_drafts
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.evidence import Disclosure, EvidenceEntry, LaterCheckpoint, build_evidence
from audit_pipelines.ledger.keys import Signer

FILE = Path(__file__).with_name("ledger_format_1.json")
EVIDENCE = Path(__file__).with_name("evidence_1.json")
TENANT = UUID("6f1de5c2-0b59-4b9e-9f0e-3d8e5c1a2b77")
START = datetime(2026, 11, 23, 7, 41, 0, 123456, tzinfo=UTC)
SIGNER = Signer("example.org/ledger", bytes(range(32)))
SUCCESSOR = Signer("example.org/ledger", bytes(range(32, 64)))
TENANT_KEY = bytes(range(64, 96))
PERSON = Subject(UUID("0f8fad5b-d9cb-469f-a165-70867728950e"), bytes(range(96, 128)))
POLICY = SealingPolicy(("/email",), frozenset({"user"}))
DETAILS: list[dict[str, Any] | None] = [
    None,
    {},
    {"email": "zoë@example.org", "n": 1.5},
    {"nested": [{"b": 1, "a": [True, None]}], "text": 'quote " backslash \\ slash / tab \t'},
    {"unicode": "Zoë 🎈 \u2028", "big": 12345678901234567890, "small": 1e-7},
]
SIZES = [*range(10), 11, 13, 15, 16, 17, 19, 21]
PLAINTEXTS = ["192.0.2.7", "2001:db8::7", "", '"zoë@example.org"', '{"a":[1,null]}']


def build() -> dict[str, Any]:
    """Return the vectors as they are written."""
    entries = _entries(max(SIZES))
    leaves = [bytes.fromhex(item["leaf_hash"]) for item in entries]
    tree = merkle.Tree.of(leaves)
    return {
        "format": 1,
        "tenant_id": str(TENANT),
        "genesis": chain.genesis(TENANT).hex(),
        "entries": entries,
        "trees": [{"size": size, "root": merkle.root(leaves[:size]).hex()} for size in SIZES],
        "inclusion_proofs": [
            {"leaf": leaf, "size": size, "proof": _hex(merkle.inclusion_proof(leaves[:size], leaf))}
            for size in (1, 2, 3, 5, 7, 8, 13, 21)
            for leaf in sorted({0, size // 2, size - 1})
        ],
        "consistency_proofs": [
            {"first": first, "second": second, "proof": _hex(merkle.consistency_proof(leaves, first, second))}
            for first, second in ((1, 2), (1, 8), (2, 5), (3, 7), (4, 8), (6, 8), (7, 21), (8, 21), (13, 17), (21, 21))
        ],
        "frontiers": [
            {"size": size, "bytes": merkle.Frontier().append(leaves[:size]).to_bytes().hex()} for size in (0, 1, 7, 21)
        ],
        "keys": [{"seed": key.seed.hex(), "verifier_key": str(key.verifier_key)} for key in (SIGNER, SUCCESSOR)],
        "checkpoints": [_checkpoint(size, tree, leaves, entries) for size in (0, 1, 13, 21)],
        "sealed": [_opening(PERSON.key, sealing.seal(PERSON.key, text)) for text in PLAINTEXTS],
        "key_rotation": rotation.announce(SIGNER, SUCCESSOR, START).note,
    }


def evidence(vectors: dict[str, Any]) -> bytes:
    """Return an evidence file over rows of `vectors`: neighbours, both ends, a later checkpoint, and disclosures."""
    leaves = [bytes.fromhex(item["leaf_hash"]) for item in vectors["entries"]]
    notes = {item["size"]: item["note"] for item in vectors["checkpoints"]}
    first, later = 13, 21
    rows = [vectors["entries"][seq] for seq in (0, 5, 6, 12)]
    return build_evidence(
        TENANT,
        [
            EvidenceEntry(
                item["seq"],
                item["recorded_at_us"],
                item["entry"].encode(),
                bytes.fromhex(item["prev_hash"]),
                bytes.fromhex(item["row_hash"]),
                merkle.inclusion_proof(leaves[:first], item["seq"]),
            )
            for item in rows
        ],
        notes[first],
        SIGNER.verifier_key,
        later=[LaterCheckpoint(notes[later], merkle.consistency_proof(leaves, first, later))],
        disclosures=[
            Disclosure(item["seq"], "/ip_address", *sealing.open_sealed(PERSON.key, sealed))
            for item in rows
            if (sealed := json.loads(item["entry"])["ip_address"])
        ],
    )


def _entries(count: int) -> list[dict[str, Any]]:
    entries = []
    head = chain.genesis(TENANT)
    for seq in range(count):
        moment = START + timedelta(microseconds=seq * 1_000_003)
        entry = _entry(seq, moment)
        digest = chain.entry_hash(entry)
        leaf = chain.leaf(TENANT, seq, chain.microseconds(moment), digest)
        leaf_hash = chain.leaf_hash(leaf)
        row_hash = chain.row_hash(head, leaf_hash)
        entries.append(
            {
                "seq": seq,
                "recorded_at_us": chain.microseconds(moment),
                "entry": entry.decode(),
                "entry_hash": digest.hex(),
                "leaf": leaf.hex(),
                "leaf_hash": leaf_hash.hex(),
                "prev_hash": head.hex(),
                "row_hash": row_hash.hex(),
            }
        )
        head = row_hash
    return entries


def _entry(seq: int, moment: datetime) -> bytes:
    event = Event(
        event_type="invoice.paid",
        entity_type="invoice",
        entity_id=f"№ {seq}",
        details=DETAILS[seq % len(DETAILS)],
        actor="zoë@example.org" if seq % 3 else None,
        outcome="success" if seq % 2 else None,
        ip_address="192.0.2.7" if seq % 4 == 1 else None,
        user_agent="browser",
        event_id=f"vector-{seq}",
    )
    subjects = {event.actor: PERSON} if event.actor else {}
    [made] = make_drafts(
        [event], tenant_id=TENANT, tenant_key=TENANT_KEY, subjects=subjects, policy=POLICY, received_at=[moment]
    )
    return made.entry


def _checkpoint(size: int, tree: merkle.Tree, leaves: list[bytes], entries: list[dict[str, Any]]) -> dict[str, Any]:
    head = bytes.fromhex(entries[size - 1]["row_hash"]) if size else chain.genesis(TENANT)
    sealed_at = START + timedelta(minutes=size)
    root = tree.root() if size == tree.size else merkle.root(leaves[:size])
    return {"size": size, "note": sign(Checkpoint(TENANT, size, root, head, sealed_at), SIGNER)}


def _opening(key: bytes, sealed: str) -> dict[str, str]:
    salt, plaintext = sealing.open_sealed(key, sealed)
    return {"key": key.hex(), "sealed": sealed, "salt": salt.hex(), "plaintext": plaintext}


def _hex(proof: tuple[bytes, ...]) -> list[str]:
    return [node.hex() for node in proof]


if __name__ == "__main__":
    made = build()
    FILE.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    EVIDENCE.write_bytes(evidence(made))
