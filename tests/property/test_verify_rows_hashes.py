"""The hashes written out in verification's inner loop are those of `chain.py`, whatever the row."""

import struct
import uuid

from hypothesis import given
from hypothesis import strategies as st

from audit_pipelines.ledger import chain, merkle, verify_rows
from audit_pipelines.ledger.findings import Findings

# From 1970, where a leaf's time begins, to the last that Postgres can hold.
MOMENTS = st.integers(0, 9_224_318_015_999_999_999)
ROWS = st.lists(st.tuples(MOMENTS, st.binary(max_size=200)), min_size=1, max_size=20)


def row(seq: int, recorded_at_us: int, entry: bytes, hashes: tuple[bytes, bytes, bytes]) -> bytes:
    """Return a row as binary COPY writes it, its two texts of columns left empty."""
    entry_hash, prev_hash, row_hash = hashes
    fields = (9, 8, seq, 8, recorded_at_us - verify_rows._YEAR_2000_US, 32, entry_hash, 32, prev_hash, 32, row_hash, 2)
    return verify_rows._FIXED.pack(*fields, 4, len(entry)) + entry + struct.pack(">ii", 0, 0)


def chained(tenant_id: uuid.UUID, content: list[tuple[int, bytes]]) -> tuple[list[bytes], list[bytes], bytes]:
    """Return rows, leaf hashes and the chain's end, all by `chain.py`."""
    head, rows, leaves = chain.genesis(tenant_id), [], []
    for seq, (moment, entry) in enumerate(sorted(content)):
        digest = chain.entry_hash(entry)
        leaves.append(chain.leaf_hash(chain.leaf(tenant_id, seq, moment, digest)))
        link = chain.row_hash(head, leaves[-1])
        rows.append(row(seq, moment, entry, (digest, head, link)))
        head = link
    return rows, leaves, head


@given(st.uuids(), ROWS)
def test_rows_hashed_by_chain_are_intact_in_the_loop(tenant_id: uuid.UUID, content: list[tuple[int, bytes]]) -> None:
    rows, leaves, head = chained(tenant_id, content)
    findings = Findings(tenant_id)
    walk = verify_rows.Walk(tenant_id, findings, verify_rows.Start(0, chain.genesis(tenant_id)), ())
    assert walk.take(iter(rows)) == len(rows)
    assert findings.all() == ()
    assert (walk.head, walk.next_seq) == (head, len(rows))
    assert walk.frontier.root() == merkle.root(leaves)


@given(st.uuids(), ROWS, st.data())
def test_any_changed_bit_of_a_row_is_found_by_the_loop(
    tenant_id: uuid.UUID, content: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    rows, _, head = chained(tenant_id, content)
    at = data.draw(st.integers(0, len(rows) - 1))
    # The last 8 bytes are the lengths of the columns' texts; the two before the entry's length count optional columns.
    hashed_end = verify_rows._FIXED.size - 6
    place = data.draw(st.sampled_from([*range(hashed_end), *range(hashed_end + 6, len(rows[at]) - 8)]))
    changed = bytearray(rows[at])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    findings = Findings(tenant_id)
    walk = verify_rows.Walk(tenant_id, findings, verify_rows.Start(0, chain.genesis(tenant_id)), ())
    walk.take(iter([*rows[:at], bytes(changed), *rows[at + 1 :]]))
    assert findings.all() or (walk.head, walk.next_seq) != (head, len(rows))
