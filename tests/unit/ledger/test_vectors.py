"""The published vectors: what the product computes, and what a program of few lines computes from the format's page.

The second half is what somebody would write in another language: it shares nothing with the product but the page.
"""

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain, merkle, rotation, sealing
from audit_pipelines.ledger.checkpoint import open_note
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.keys import Signer, VerifierKey

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "ledger_format_1.json").read_text(encoding="utf-8"))
EVIDENCE = (FOLDER / "evidence_1.json").read_bytes()
TENANT = UUID(VECTORS["tenant_id"])
ENTRIES = VECTORS["entries"]
LEAVES = [bytes.fromhex(item["leaf_hash"]) for item in ENTRIES]


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The product


def test_the_maker_makes_vectors_of_this_form() -> None:
    made = _maker().build()
    assert made.keys() == VECTORS.keys()
    assert {name: len(made[name]) for name in made if isinstance(made[name], list)} == {
        name: len(VECTORS[name]) for name in VECTORS if isinstance(VECTORS[name], list)
    }
    for name in ("genesis", "keys", "key_rotation"):
        assert made[name] == VECTORS[name]
    # Entries with something sealed differ from run to run; the others are the same bytes.
    plain = [item["seq"] for item in ENTRIES if "v1." not in item["entry"]]
    assert len(plain) > 5
    assert [made["entries"][seq]["entry"] for seq in plain] == [ENTRIES[seq]["entry"] for seq in plain]


def test_the_product_computes_the_rows() -> None:
    head = chain.genesis(TENANT)
    assert head.hex() == VECTORS["genesis"]
    for seq, item in enumerate(ENTRIES):
        digest = chain.entry_hash(item["entry"].encode())
        leaf = chain.leaf(TENANT, seq, item["recorded_at_us"], digest)
        row_hash = chain.row_hash(head, chain.leaf_hash(leaf))
        computed = (seq, digest, leaf, chain.leaf_hash(leaf), head, row_hash)
        names = ("entry_hash", "leaf", "leaf_hash", "prev_hash", "row_hash")
        assert computed == (item["seq"], *(bytes.fromhex(item[name]) for name in names))
        head = row_hash


def test_the_product_computes_trees_and_proofs() -> None:
    assert {tree["size"] for tree in VECTORS["trees"]} >= {*range(10), 11, 13, 15, 17, 19, 21}
    for tree in VECTORS["trees"]:
        assert merkle.root(LEAVES[: tree["size"]]).hex() == tree["root"]
    for item in VECTORS["inclusion_proofs"]:
        proof = merkle.inclusion_proof(LEAVES[: item["size"]], item["leaf"])
        assert [node.hex() for node in proof] == item["proof"]
    for item in VECTORS["consistency_proofs"]:
        proof = merkle.consistency_proof(LEAVES, item["first"], item["second"])
        assert [node.hex() for node in proof] == item["proof"]
    for item in VECTORS["frontiers"]:
        assert merkle.Frontier().append(LEAVES[: item["size"]]).to_bytes().hex() == item["bytes"]


def test_the_product_opens_notes_and_sealed_values() -> None:
    keys = [VerifierKey.parse(item["verifier_key"]) for item in VECTORS["keys"]]
    for item in VECTORS["checkpoints"]:
        opened = open_note(item["note"], keys)
        assert (opened.size, opened.root) == (item["size"], merkle.root(LEAVES[: item["size"]]))
    (change,) = rotation.parse_history(VECTORS["key_rotation"])
    assert [change.retired, change.successor] == keys
    for item in VECTORS["sealed"]:
        opening = sealing.open_sealed(bytes.fromhex(item["key"]), item["sealed"])
        assert opening == (bytes.fromhex(item["salt"]), item["plaintext"])
    for item in VECTORS["keys"]:
        assert str(Signer("example.org/ledger", bytes.fromhex(item["seed"])).verifier_key) == item["verifier_key"]


def test_the_evidence_file_is_made_of_the_vectors_and_proven() -> None:
    made, kept = json.loads(_maker().evidence(VECTORS)), json.loads(EVIDENCE)
    # The program inside may be of another version.
    assert {name: made[name] for name in made if name != "verifier"} == {
        name: kept[name] for name in kept if name != "verifier"
    }
    lines = check_evidence(EVIDENCE, VECTORS["keys"][0]["verifier_key"])
    assert "Proven: the 21 events" in "\n".join(lines)
    assert "Proven: '/ip_address' of seq 5 was sealed over the value \"192.0.2.7\"." in lines
    assert [item["seq"] for item in kept["entries"]] == [0, 5, 6, 12]
    with pytest.raises(TamperedError):
        check_evidence(EVIDENCE, VECTORS["keys"][1]["verifier_key"])


def test_the_note_on_the_page_is_that_of_the_vectors() -> None:
    page = (FOLDER.parents[1] / "docs" / "ledger_format.md").read_text(encoding="utf-8")
    assert f"```\n{VECTORS['key_rotation']}```" in page


# Another implementation, from docs/ledger_format.md alone


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def mth(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\x01", mth(leaves[:split]), mth(leaves[split:]))


def path(leaf: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if leaf < split:
        return [*path(leaf, leaves[:split]), mth(leaves[split:])]
    return [*path(leaf - split, leaves[split:]), mth(leaves[:split])]


def subproof(first: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [mth(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if first <= split:
        return [*subproof(first, leaves[:split], whole), mth(leaves[split:])]
    return [*subproof(first - split, leaves[split:], False), mth(leaves[:split])]


def test_rows_by_the_page_alone() -> None:
    tenant = bytes.fromhex(VECTORS["tenant_id"].replace("-", ""))
    head = sha(b"audit_pipelines/v1", tenant)
    for seq, item in enumerate(ENTRIES):
        entry = item["entry"].encode()
        content = json.loads(entry)
        assert content["v"] == 1
        spelled = sorted(content)
        assert [name for name, _ in json.loads(entry, object_pairs_hook=list)] == spelled
        leaf = tenant + seq.to_bytes(8, "big") + item["recorded_at_us"].to_bytes(8, "big") + sha(entry)
        assert item["leaf"] == leaf.hex()
        assert item["leaf_hash"] == sha(b"\x00", leaf).hex()
        assert item["prev_hash"] == head.hex()
        head = sha(b"\x02", head, sha(b"\x00", leaf))
        assert item["row_hash"] == head.hex()


def test_trees_by_the_page_alone() -> None:
    for tree in VECTORS["trees"]:
        assert mth(LEAVES[: tree["size"]]).hex() == tree["root"]
    for item in VECTORS["inclusion_proofs"]:
        assert [node.hex() for node in path(item["leaf"], LEAVES[: item["size"]])] == item["proof"]
    for item in VECTORS["consistency_proofs"]:
        proof = subproof(item["first"], LEAVES[: item["second"]], True)
        assert [node.hex() for node in proof] == item["proof"]
    for item in VECTORS["frontiers"]:
        size, at, data = item["size"], 0, item["size"].to_bytes(8, "big")
        for power in reversed(range(64)):
            if size >> power & 1:
                data += mth(LEAVES[at : at + (1 << power)])
                at += 1 << power
        assert data.hex() == item["bytes"]


def test_keys_and_notes_by_the_page_alone() -> None:
    public: dict[bytes, Ed25519PublicKey] = {}
    for item in VECTORS["keys"]:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(item["seed"])).public_key()
        raw = key.public_bytes_raw()
        digest = sha(b"example.org/ledger\n\x01", raw)[:4]
        public[digest] = key
        expected = f"example.org/ledger+{digest.hex()}+{base64.b64encode(bytes([1]) + raw).decode()}"
        assert item["verifier_key"] == expected
    for item in VECTORS["checkpoints"]:
        text, (signed_by,) = _verified(item["note"], public)
        origin, size, root, chain_head, time, end = text.split("\n")
        assert signed_by == next(iter(public))
        assert (origin, int(size), end) == (f"audit_pipelines/{VECTORS['tenant_id']}", item["size"], "")
        assert base64.b64decode(root) == mth(LEAVES[: item["size"]])
        head = ENTRIES[item["size"] - 1]["row_hash"] if item["size"] else VECTORS["genesis"]
        assert chain_head == "chain " + base64.b64encode(bytes.fromhex(head)).decode()
        assert time.startswith("time 2026-11-23T")
    text, signed_by = _verified(VECTORS["key_rotation"], public)
    retired, successor = (item["verifier_key"] for item in VECTORS["keys"])
    expected = ["audit_pipelines key rotation", f"retired {retired}", f"next {successor}"]
    assert text.split("\n") == [*expected, "time 2026-11-23T07:41:00.123456Z", ""]
    assert signed_by == list(public)


def _verified(note: str, public: dict[bytes, Ed25519PublicKey]) -> tuple[str, list[bytes]]:
    text, _, tail = note.rpartition("\n\n")
    signers = []
    for line in tail.splitlines():
        dash, name, encoded = line.split(" ")
        assert (dash, name) == ("\u2014", "example.org/ledger")
        data = base64.b64decode(encoded)
        public[data[:4]].verify(data[4:], f"{text}\n".encode())
        signers.append(data[:4])
    return text + "\n", signers


def test_sealed_values_by_the_page_alone() -> None:
    for item in VECTORS["sealed"]:
        version, box, commitment = item["sealed"].split(".")
        nonce, ciphertext = base64url(box)[:12], base64url(box)[12:]
        salt, plaintext = bytes.fromhex(item["salt"]), item["plaintext"].encode()
        assert version == "v1"
        assert AESGCM(bytes.fromhex(item["key"])).decrypt(nonce, ciphertext, None) == salt + plaintext
        assert base64url(commitment) == sha(b"\x03", salt, plaintext)
        assert len(commitment) == 43


@pytest.mark.parametrize("name", ["entry", "entry_hash", "leaf_hash", "prev_hash", "row_hash", "recorded_at_us"])
def test_a_changed_vector_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = ENTRIES[4]
    value = item[name]
    monkeypatch.setitem(item, name, value + 1 if isinstance(value, int) else value[:-2] + "0" + value[-1])
    if item[name] == value:
        monkeypatch.setitem(item, name, value[:-2] + "1" + value[-1])
    with pytest.raises((AssertionError, ValueError)):
        test_the_product_computes_the_rows()
