"""Evidence: what is true passes, whatever was changed is refused, and the verifier stands alone."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger import chain, merkle, verify_evidence
from audit_pipelines.ledger.checkpoint import Checkpoint, sign
from audit_pipelines.ledger.evidence import (
    Disclosure,
    EvidenceEntry,
    LaterCheckpoint,
    build_evidence,
    check_evidence,
    verifier_source,
)
from audit_pipelines.ledger.keys import Signer

TENANT = UUID("6f1de5c2-0b59-4b9e-9f0e-3d8e5c1a2b77")
SIGNER = Signer("example.org/ledger", bytes(range(32)))
KEY = str(SIGNER.verifier_key)
OTHER_SIGNER = Signer("example.org/ledger", bytes(range(1, 33)))

# RFC 8032 §7.1, TEST 1 to 3: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def _salt(seq: int, plaintext: str) -> bytes:
    return hashlib.sha256(f"{seq} {plaintext}".encode()).digest()[:16]


def _sealed(seq: int, plaintext: str) -> str:
    commitment = hashlib.sha256(b"\x03" + _salt(seq, plaintext) + plaintext.encode()).digest()
    return "v1.bm9uY2UgYW5kIGNpcGhlcnRleHQ." + base64.urlsafe_b64encode(commitment).decode().rstrip("=")


@dataclass(frozen=True)
class Ledger:
    """A ledger in memory: rows, leaf hashes and, by size, checkpoints."""

    rows: tuple[EvidenceEntry, ...]
    leaves: tuple[bytes, ...]

    def checkpoint(self, size: int, signer: Signer = SIGNER) -> str:
        head = self.rows[size - 1].row_hash if size else chain.genesis(TENANT)
        moment = datetime(2026, 11, 23, 8, size, tzinfo=UTC)
        return sign(Checkpoint(TENANT, size, merkle.root(self.leaves[:size]), head, moment), signer)

    def entry(self, seq: int, size: int) -> EvidenceEntry:
        return replace(self.rows[seq], inclusion_proof=merkle.inclusion_proof(self.leaves[:size], seq))

    def later(self, first: int, second: int) -> LaterCheckpoint:
        return LaterCheckpoint(self.checkpoint(second), merkle.consistency_proof(self.leaves, first, second))


def _ledger(size: int = 11) -> Ledger:
    rows, leaves, previous = [], [], chain.genesis(TENANT)
    for seq in range(size):
        event = {
            "v": 1,
            "event_id": f"e-{seq}",
            "event_type": "user.login",
            "entity_type": "user",
            "entity_id": "Zoë\u2028\x1b[31m",
            "ip_address": _sealed(seq, "192.0.2.7"),
            "details": {"a/b": [{"~": {"$sealed": _sealed(seq, '"Zoë"')}}], "plain": "text", "n": 1.5},
        }
        entry = json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        recorded_at = 1_795_419_660_123_456 + seq
        leaf_hash = chain.leaf_hash(chain.leaf(TENANT, seq, recorded_at, chain.entry_hash(entry)))
        row_hash = chain.row_hash(previous, leaf_hash)
        rows.append(EvidenceEntry(seq, recorded_at, entry, previous, row_hash, ()))
        leaves.append(leaf_hash)
        previous = row_hash
    return Ledger(tuple(rows), tuple(leaves))


LEDGER = _ledger()
DISCLOSURES = (
    Disclosure(3, "/ip_address", _salt(3, "192.0.2.7"), "192.0.2.7"),
    Disclosure(3, "/details/a~1b/0/~0", _salt(3, '"Zoë"'), '"Zoë"'),
    Disclosure(5, "/details/a~1b/0/~0/$sealed", _salt(5, '"Zoë"'), '"Zoë"'),
)


def _build(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "tenant_id": TENANT,
        "entries": [LEDGER.entry(3, 7), LEDGER.entry(6, 7), LEDGER.entry(5, 7)],
        "checkpoint": LEDGER.checkpoint(7),
        "verifier_key": SIGNER.verifier_key,
        "later": [LEDGER.later(7, 8), LEDGER.later(8, 11)],
        "disclosures": DISCLOSURES,
    }
    return build_evidence(**arguments | changes)


DOCUMENT = _build()


def _changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the document after a change that keeps its spelling right, so that the spelling does not betray it."""
    document = json.loads(DOCUMENT)
    change(document)
    return verify_evidence.to_bytes(document)


def test_true_evidence_is_accepted_and_says_what_it_proves() -> None:
    text = "\n".join(check_evidence(DOCUMENT, KEY))
    assert "the key is yours" in text
    assert f"covers 7 events of tenant {TENANT}, at 2026-11-23T08:07:00.000000Z" in text
    assert "seq 3 at 2026-11-23T07:41:00.123459Z: {" in text
    assert '"event_id": "e-3"' in text
    assert "Proven: '/ip_address' of seq 3 was sealed over the value \"192.0.2.7\"." in text
    assert "Proven: the 11 events of the checkpoint at 2026-11-23T08:11:00.000000Z begin with the same events." in text
    assert "Proven: row_hash of seq 5" in text
    assert "Proven: row_hash of seq 6" in text
    assert "Not proven: row_hash of seq 3" in text
    assert "whose key" not in text


def test_without_a_key_from_elsewhere_it_says_that_the_key_proves_nothing() -> None:
    assert "Not proven: whose key this is" in "\n".join(check_evidence(DOCUMENT))


def test_small_evidence_claims_less() -> None:
    document = _build(entries=[LEDGER.entry(2, 7)], later=[], disclosures=[])
    text = "\n".join(check_evidence(document, KEY))
    assert "begin with the same events" not in text
    assert "sealed" not in text
    assert "Not proven: anything about events after the first 7" in text


@pytest.mark.parametrize("size", range(1, 12))
def test_every_event_of_every_ledger_size_can_be_proven(size: int) -> None:
    document = _build(
        entries=[LEDGER.entry(seq, size) for seq in range(size)],
        checkpoint=LEDGER.checkpoint(size),
        later=[LEDGER.later(size, 11)] if size < 11 else [],
        disclosures=[],
    )
    assert "Not proven: row_hash" not in "\n".join(check_evidence(document, KEY))


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for name, item in items for leaf in _leaves(item, (*path, name))]
    return [path]


def _set(document: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> None:
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = change(document[path[-1]])


def _replacements(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1, value - 1, -value, str(value), float(value), True, None, 10**18]
    middle = len(value) // 2
    swapped = value[:middle] + chr(ord(value[middle]) ^ 1) + value[middle + 1 :]
    return [swapped, value[:-1], value + value[-1], value + "\n", " " + value, value.swapcase(), "", None, [value], 7]


@pytest.mark.parametrize("path", _leaves(json.loads(DOCUMENT)), ids=lambda path: "/".join(map(str, path)))
def test_every_changed_field_is_refused(path: tuple[Any, ...]) -> None:
    original: Any = json.loads(DOCUMENT)
    for name in path:
        original = original[name]
    for value in _replacements(original):
        if value == original and type(value) is type(original):
            continue
        document = _changed(lambda document, value=value: _set(document, path, lambda _: value))
        with pytest.raises((TamperedError, ValidationError)):
            check_evidence(document)


def test_changed_bytes_anywhere_in_the_file_are_refused() -> None:
    # All bytes would take minutes; the embedded program, covered by one digest, is most of them.
    for at in range(0, len(DOCUMENT), 97):
        changed = DOCUMENT[:at] + bytes([DOCUMENT[at] ^ 1]) + DOCUMENT[at + 1 :]
        with pytest.raises((TamperedError, ValidationError)):
            check_evidence(changed)


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text + "\n",
        lambda text: text + "{}",
        lambda text: text[:-1],
        lambda text: " " + text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace('"seq": 3', '"seq": 3.0'),
        lambda text: text.replace('"seq": 3', '"seq": 9, "seq": 3'),
        lambda text: text.replace('"plaintext"', '"\\u0070laintext"'),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: "[" * 100_000,
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_another_spelling_of_the_file_is_refused(spell: Callable[[str], str]) -> None:
    changed = spell(DOCUMENT.decode())
    assert changed != DOCUMENT.decode()
    with pytest.raises((TamperedError, ValidationError)):
        check_evidence(changed.encode(), KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(extra=1),
        lambda d: d["entries"][0].update(extra=1),
        lambda d: d["verifier"].update(extra=1),
        lambda d: d.pop("note"),
        lambda d: d.pop("disclosures"),
        lambda d: (d["entries"].clear(), d["disclosures"].clear()),
        lambda d: d["entries"].reverse(),
        lambda d: d["entries"].append(d["entries"][-1]),
        lambda d: d["entries"][0]["inclusion_proof"].pop(),
        lambda d: d["entries"][0]["inclusion_proof"].append("00" * 32),
        lambda d: d["entries"][0]["inclusion_proof"].insert(0, "00" * 32),
        lambda d: d["entries"][0]["inclusion_proof"].reverse(),
        lambda d: d["later"][0]["consistency_proof"].pop(),
        lambda d: d["later"][0]["consistency_proof"].append("00" * 32),
        lambda d: d["later"][0]["consistency_proof"].insert(1, "00" * 32),
        lambda d: d["later"][1]["consistency_proof"].insert(0, "00" * 32),
        lambda d: d["later"].insert(1, d["later"][0] | {"consistency_proof": []}),
        lambda d: d["later"].reverse(),
        lambda d: d["later"].pop(0),
        lambda d: d["later"].append({"checkpoint": d["checkpoint"], "consistency_proof": []}),
        lambda d: d["later"][0].update(checkpoint=d["checkpoint"], consistency_proof=[]),
        lambda d: d["disclosures"][0].update(seq=5),
        lambda d: d["disclosures"][0].update(seq=4),
        lambda d: d["disclosures"][0].update(pointer="/details/plain"),
        lambda d: d["disclosures"][0].update(pointer="/event_id"),
        lambda d: d["disclosures"][0].update(pointer="/details/a~1b/00/~0"),
        lambda d: d["disclosures"][0].update(pointer="/details/a~1b/-1/~0"),
        lambda d: d.update(checkpoint=LEDGER.checkpoint(8)),
        lambda d: d.update(checkpoint=LEDGER.checkpoint(7, OTHER_SIGNER)),
        lambda d: d.update(checkpoint=LEDGER.checkpoint(7, OTHER_SIGNER), verifier_key=str(OTHER_SIGNER.verifier_key)),
        lambda d: d.update(checkpoint=d["checkpoint"] + d["checkpoint"].split("\n")[-2] + "\n"),
    ],
)
def test_what_was_added_dropped_or_moved_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises((TamperedError, ValidationError)):
        check_evidence(_changed(change))


def test_true_is_not_taken_for_one() -> None:
    document = json.loads(_build(entries=[LEDGER.entry(1, 7)], disclosures=[]))
    assert check_evidence(verify_evidence.to_bytes(document))
    document["entries"][0]["seq"] = True
    with pytest.raises(TamperedError, match="/entries/0/seq"):
        check_evidence(verify_evidence.to_bytes(document))


def test_unused_bits_of_base64_are_not_free() -> None:
    def next_letter(text: str) -> str:
        body = text.rstrip("=\n")
        changed = body[:-1] + chr(ord(body[-1]) + 1) + text[len(body) :]
        assert base64.b64decode(changed.rpartition(" ")[2]) == base64.b64decode(text.rpartition(" ")[2])
        return changed

    padded = 0
    for position, entry in enumerate(json.loads(DOCUMENT)["entries"]):
        padded += entry["entry"].endswith("=")
        if entry["entry"].endswith("="):
            changed = _changed(lambda d, at=position: _set(d, ("entries", at, "entry"), next_letter))
            with pytest.raises(TamperedError, match="form or size"):
                check_evidence(changed)
    assert padded
    with pytest.raises(TamperedError, match="form or size"):
        check_evidence(_changed(lambda d: _set(d, ("checkpoint",), next_letter)))


def test_a_key_hash_that_is_wrong_in_key_and_notes_alike_is_refused() -> None:
    # The key hash in a signature line is not signed, so only the key itself can tell that it is wrong.
    def relabel(note: str) -> str:
        text, mark, tail = note.rpartition(" ")
        return text + mark + base64.b64encode(bytes(4) + base64.b64decode(tail)[4:]).decode() + "\n"

    def change(document: dict[str, Any]) -> None:
        document["checkpoint"] = relabel(document["checkpoint"])
        for later in document["later"]:
            later["checkpoint"] = relabel(later["checkpoint"])
        document["verifier_key"] = KEY.replace(SIGNER.verifier_key.key_hash.hex(), "00000000")

    with pytest.raises(TamperedError, match="own hash"):
        check_evidence(_changed(change))


def _forge(entry: bytes, signer: Signer = SIGNER, **changes: Any) -> bytes:
    """Return evidence of a one-row ledger that a hostile server built and signed properly."""
    leaf_hash = chain.leaf_hash(chain.leaf(TENANT, 0, 1, chain.entry_hash(entry)))
    row_hash = chain.row_hash(chain.genesis(TENANT), leaf_hash)
    checkpoint = Checkpoint(TENANT, 1, leaf_hash, row_hash, datetime(2026, 1, 1, tzinfo=UTC))
    arguments: dict[str, Any] = {
        "tenant_id": TENANT,
        "entries": [EvidenceEntry(0, 1, entry, chain.genesis(TENANT), row_hash, ())],
        "checkpoint": sign(replace(checkpoint, **changes), signer),
        "verifier_key": signer.verifier_key,
    }
    return build_evidence(**arguments)


@pytest.mark.parametrize(
    "entry",
    [b'{"v":2}', b"[1]", b"1", b"{}", b'{"v":1,"actor_ref":"a","actor_ref":"b"}', b"{", b"\xff", b"[" * 100_000, b""],
)
def test_a_signed_row_that_is_no_entry_of_format_1_is_refused(entry: bytes) -> None:
    assert check_evidence(_forge(b'{"v":1}'), KEY)
    with pytest.raises(TamperedError):
        _forge(entry)


def test_chain_and_tree_are_held_against_each_other() -> None:
    with pytest.raises(TamperedError, match="chain head"):
        _forge(b'{"v":1}', chain_head=b"\x00" * 32)


@pytest.mark.parametrize("seq", [0, 1, 2, 6])
def test_a_row_hash_of_an_own_invention_is_refused_where_neighbours_are_there(seq: int) -> None:
    entries = [LEDGER.entry(place, 7) for place in (0, 1, 2, 5, 6)]
    invented = bytes(32)
    index = [entry.seq for entry in entries].index(seq)
    leaf_hash = LEDGER.leaves[seq]
    entries[index] = replace(entries[index], prev_hash=invented, row_hash=chain.row_hash(invented, leaf_hash))
    with pytest.raises(TamperedError, match="against the"):
        _build(entries=entries, disclosures=[])


def test_evidence_of_another_tenant_is_refused() -> None:
    with pytest.raises(TamperedError, match="tenant"):
        _build(tenant_id=UUID(int=1))


def test_evidence_that_the_ledger_does_not_bear_out_is_never_made() -> None:
    changed = replace(LEDGER.entry(3, 7), entry=LEDGER.rows[3].entry.replace(b"login", b"logon"))
    with pytest.raises(TamperedError, match="root reached from its content"):
        _build(entries=[changed], disclosures=[])
    with pytest.raises(TamperedError, match="commitment"):
        _build(disclosures=[replace(DISCLOSURES[0], plaintext="192.0.2.8")])
    with pytest.raises(TamperedError, match="signature"):
        _build(verifier_key=OTHER_SIGNER.verifier_key)


def test_witness_signatures_are_left_out_because_they_cannot_be_checked() -> None:
    witness = Signer("example.org/witness", bytes(32))
    line = LEDGER.checkpoint(7, witness).rpartition("\n\n")[2]
    assert _build(checkpoint=LEDGER.checkpoint(7) + line) == DOCUMENT


@pytest.mark.parametrize("key", ["", "nonsense", KEY + " ", KEY[:-1]])
def test_a_malformed_key_is_told_apart_from_a_wrong_one(key: str) -> None:
    with pytest.raises(ValidationError, match="verifier key"):
        check_evidence(DOCUMENT, key)
    with pytest.raises(TamperedError, match="key given"):
        check_evidence(DOCUMENT, str(OTHER_SIGNER.verifier_key))


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_vectors_of_rfc_8032(public: str, message: str, signature: str) -> None:
    key, text, right = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify_evidence.ed25519_verify(key, right, text)
    scalar = int.from_bytes(right[32:], "little")
    spellings = [
        right[:32] + (scalar + verify_evidence.ORDER).to_bytes(32, "little"),
        right + b"\x00",
        right[:-1],
        b"",
        bytes(64),
        right[:31] + bytes([right[31] ^ 0x80]) + right[32:],
    ]
    for wrong in spellings:
        assert not verify_evidence.ed25519_verify(key, wrong, text)
    assert not verify_evidence.ed25519_verify(key, right, text + b"!")
    assert not verify_evidence.ed25519_verify(key[:31], right, text)


@pytest.mark.parametrize(
    "point",
    [
        verify_evidence.P + 1,  # the neutral point, spelled with y = p + 1
        verify_evidence.P,
        (1 << 255) - 1,
        1 | 1 << 255,  # x = 0 with the sign bit set
        2,  # on no curve
        1,  # of order 1: any message would fit
        verify_evidence.P - 1,  # of order 2
        0,  # of order 4
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,  # of order 8
    ],
)
def test_keys_that_are_no_canonical_point_of_full_order_are_refused(point: int) -> None:
    key, neutral = point.to_bytes(32, "little"), b"\x01" + bytes(31)
    # R = neutral and s = 0 satisfy the equation for every key of order 1, and for others by chance.
    assert not any(verify_evidence.ed25519_verify(key, neutral + bytes(32), bytes([number])) for number in range(16))


def test_a_point_has_one_spelling() -> None:
    decoded = [y for y in range(19) if verify_evidence._decode(y.to_bytes(32, "little"))]
    assert len(decoded) > 5
    for y in decoded:
        assert verify_evidence._decode((y + verify_evidence.P).to_bytes(32, "little")) == ()
    assert verify_evidence._decode((1 | 1 << 255).to_bytes(32, "little")) == ()
    assert verify_evidence._decode(bytes(31)) == ()


def _run(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(source), *arguments],
        env={},
        cwd=source.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_embedded_program_runs_alone_in_an_empty_environment(tmp_path: Path) -> None:
    document = json.loads(DOCUMENT)
    program, evidence = tmp_path / "taken_out.py", tmp_path / "evidence.json"
    program.write_text(document["verifier"]["source"], encoding="utf-8")
    assert document["verifier"]["source"] == verifier_source()
    evidence.write_bytes(DOCUMENT)
    good = _run(program, str(evidence), "--key", KEY)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines() == check_evidence(DOCUMENT, KEY)
    assert good.stdout.isascii()
    assert "\x1b" not in good.stdout
    assert "Not proven: whose key" in _run(program, str(evidence)).stdout

    evidence.write_bytes(DOCUMENT.replace(b'"seq": 3', b'"seq": 4', 1))
    bad = _run(program, str(evidence))
    assert (bad.returncode, bad.stderr) == (1, "")
    assert bad.stdout.startswith("REFUSED: ")
    wrong_key = _run(program, str(evidence), "--key", str(OTHER_SIGNER.verifier_key))
    assert wrong_key.returncode == 1

    for content in (b"", b"{}", b"[" * 100_000, b"\xff"):
        evidence.write_bytes(content)
        unreadable = _run(program, str(evidence))
        assert (unreadable.returncode, unreadable.stderr) == (2, "")
        assert unreadable.stdout.startswith("NOT CHECKED: ")
    absent = _run(program, str(tmp_path / "nicht da, \u00fc\u2028"))
    assert absent.returncode == 2
    assert absent.stdout.isascii()
    assert _run(program).returncode == 2


def test_the_verifier_is_one_small_file_of_the_standard_library() -> None:
    source = verifier_source()
    assert len(source.splitlines()) <= 300
    assert "audit_pipelines." not in "".join(line for line in source.splitlines() if "import" in line)
