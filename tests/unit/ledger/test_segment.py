"""Segments and manifests without a database, also by a program of few lines that shares nothing with the product.

The second half is what somebody would write from docs/ledger_format.md alone.
"""

import base64
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain, merkle
from audit_pipelines.ledger.checkpoint import open_note
from audit_pipelines.ledger.findings import Findings
from audit_pipelines.ledger.keys import Signer
from audit_pipelines.ledger.merkle import Frontier, Tree
from audit_pipelines.ledger.segment import (
    Day,
    Manifest,
    SegmentWalk,
    SubtreeBuilder,
    join,
    open_manifest,
    read_rows,
    schema,
    with_file,
    write_rows,
)
from audit_pipelines.ledger.verify_rows import Start

TENANT = uuid.UUID(int=0xA << 120)
SIGNER = Signer("example.org/ledger", bytes(range(32)))
FIRST = 5
AT_US = 1_700_000_000_000_000
LEAF_COUNT = 70


def leaf(place: int) -> bytes:
    return hashlib.sha256(bytes([place])).digest()


def make_rows(count: int) -> tuple[Start, list[tuple[Any, ...]]]:
    """Return the start behind the first five rows of a ledger, and the rows from there on."""
    head, frontier, rows = chain.genesis(TENANT), Frontier(), []
    start = Start(0, head)
    for seq in range(count):
        if seq == FIRST:
            start = Start(seq, head, AT_US + seq - 1, frontier)
        entry = json.dumps({"event_id": f"e-{seq}", "text": "ü" * seq}, ensure_ascii=False).encode()
        leaf_hash = chain.leaf_hash(chain.leaf(TENANT, seq, AT_US + seq, chain.entry_hash(entry)))
        row_hash = chain.row_hash(head, leaf_hash)
        rows.append((seq, AT_US + seq, f"e-{seq}", entry, chain.entry_hash(entry), head, row_hash))
        head, frontier = row_hash, frontier.append([leaf_hash])
    return start, rows[FIRST:]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Manifest]:
    start, rows = make_rows(40)
    path = tmp_path / "2023-11.parquet"
    write_rows(path, rows)
    walk = SegmentWalk(TENANT, Findings(TENANT), start, [])
    builder = SubtreeBuilder(FIRST)
    for batch in read_rows(path):
        builder.extend(walk.take(batch))
    manifest = Manifest(
        tenant_id=TENANT,
        month="2023-11",
        first_seq=FIRST,
        last_seq=39,
        first_prev_hash=start.head,
        last_row_hash=walk.head,
        first_recorded_at_us=AT_US + FIRST,
        last_recorded_at_us=AT_US + 39,
        occurred_from="2023-11-14 22:13:20+00",
        occurred_to="2023-11-14 22:13:20+00",
        days=(Day("2023-11-14", FIRST, 39),),
        before=start.frontier,
        subtrees=builder.subtrees(),
        checkpoint="a note",
        file=path.name,
        file_bytes=0,
        file_sha256="",
    )
    manifest = with_file(manifest, path.stat().st_size, hashlib.sha256(path.read_bytes()).digest())
    note = path.with_suffix(".manifest")
    note.write_text(manifest.sign(SIGNER))
    return path, note, manifest


def test_a_manifest_comes_back_and_a_changed_one_does_not(files: tuple[Path, Path, Manifest]) -> None:
    _, note, manifest = files
    text = note.read_text()
    assert open_manifest(text, [SIGNER.verifier_key]) == manifest
    for changed in (text.replace('"rows": 35', '"rows": 36'), text[:-10], text.replace("segment/2", "segment/3"), ""):
        with pytest.raises(TamperedError, match="manifest"):
            open_manifest(changed, [SIGNER.verifier_key])
    with pytest.raises(TamperedError, match="signature"):
        open_manifest(text, [Signer("example.org/ledger", bytes(32)).verifier_key])
    # Its signature is no checkpoint's.
    with pytest.raises(TamperedError):
        open_note(text, [SIGNER.verifier_key])


def test_ranges_are_read_without_the_rest(files: tuple[Path, Path, Manifest]) -> None:
    path, _, _ = files
    assert [row.seq for rows in read_rows(path, 7, 9) for row in rows] == [7, 8, 9]
    assert list(read_rows(path, 100, 200)) == []


@given(st.integers(0, LEAF_COUNT), st.integers(0, LEAF_COUNT), st.integers(0, LEAF_COUNT))
def test_subtrees_stand_for_their_leaves(a: int, b: int, c: int) -> None:
    """Trees, roots and proofs come out the same when a stretch of leaves is known by its subtrees alone."""
    first, end, size = sorted((a, b, c))
    leaves = [leaf(place) for place in range(size)]
    builder = SubtreeBuilder(first)
    builder.extend(leaves[first:end])
    subtrees = builder.subtrees()
    assert join(Frontier().append(leaves[:first]), subtrees) == Frontier().append(leaves[:end])
    assert len(subtrees) <= 14
    whole = Tree.of(leaves)
    known = [(each.first, each.level, each.digest) for each in subtrees]
    partial = Tree.of([*leaves[:first], *[bytes(32)] * (end - first), *leaves[end:]], known)
    assert partial.root() == whole.root()
    for place in [*range(first), *range(end, size)]:
        assert partial.inclusion_proof(place) == whole.inclusion_proof(place)
    for earlier in [*range(first + 1), *range(end, size + 1)]:
        assert partial.consistency_proof(earlier) == whole.consistency_proof(earlier)


# From the page alone


def test_a_stranger_checks_a_segment_from_the_page(files: tuple[Path, Path, Manifest]) -> None:
    path, note, _ = files
    stranger(path, note, SIGNER.verifier_key.public_key)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssertionError):
        stranger(path, note, SIGNER.verifier_key.public_key)


def stranger(segment: Path, manifest: Path, public_key: bytes) -> None:
    def sha(data: bytes) -> bytes:
        return hashlib.sha256(data).digest()

    text, _, tail = manifest.read_text().rpartition("\n\n")
    signature = base64.b64decode(tail.split(" ")[2])[4:]
    Ed25519PublicKey.from_public_bytes(public_key).verify(signature, f"{text}\n".encode())
    heading, _, document = f"{text}\n".partition("\n")
    assert heading == "audit_pipelines/segment/2"
    said = json.loads(document)
    assert len(segment.read_bytes()) == said["file_bytes"]
    assert sha(segment.read_bytes()).hex() == said["sha256"]

    tenant, head = uuid.UUID(said["tenant_id"]).bytes, bytes.fromhex(said["first_prev_hash"])
    hashes = []
    rows = pq.read_table(segment).to_pylist()
    for seq, row in enumerate(rows, said["first_seq"]):
        at = round(row["recorded_at"].timestamp() * 1_000_000)
        leaf_bytes = tenant + seq.to_bytes(8) + at.to_bytes(8) + sha(row["entry"])
        hashes.append(sha(b"\x00" + leaf_bytes))
        assert (row["seq"], row["prev_hash"]) == (seq, head)
        head = sha(b"\x02" + head + hashes[-1])
        assert row["row_hash"] == head
    assert (len(rows), head.hex()) == (said["rows"], said["last_row_hash"])

    def node(level: int, first: int) -> bytes:
        if level == 0:
            return hashes[first - said["first_seq"]]
        return sha(b"\x01" + node(level - 1, first) + node(level - 1, first + (1 << (level - 1))))

    place = said["first_seq"]
    for each in said["subtrees"]:
        assert (each["first"], each["first"] % (1 << each["level"])) == (place, 0)
        assert node(each["level"], place).hex() == each["hash"]
        place += 1 << each["level"]
    assert place == said["last_seq"] + 1


def test_the_schema_is_that_of_the_page() -> None:
    assert schema().names == ["seq", "recorded_at", "event_id", "entry", "entry_hash", "prev_hash", "row_hash"]
    assert merkle.HASH_LENGTH == 32
