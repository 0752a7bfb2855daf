"""What must hold of trees of any size, and between the product's checks and those of the stand-alone verifier."""

import hashlib
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger import merkle, verify_evidence

LEAVES = [hashlib.sha256(number.to_bytes(4)).digest() for number in range(700)]
sizes = st.integers(1, len(LEAVES))


class Case(NamedTuple):
    size: int
    part: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(sizes)
    return Case(size, draw(st.integers(1, size)))


@given(st.lists(st.integers(0, 60), max_size=8))
def test_appending_in_pieces_gives_the_tree_of_the_whole(pieces: list[int]) -> None:
    frontier, done = merkle.Frontier(), 0
    for piece in pieces:
        frontier = merkle.Frontier.from_bytes(frontier.append(LEAVES[done : done + piece]).to_bytes())
        done += piece
    assert frontier.size == done
    assert frontier.root() == merkle.Tree.of(LEAVES[:done]).root()


@given(st.integers(0, 8), st.integers(0, 40), st.data())
def test_trees_made_side_by_side_join_to_the_tree_of_the_whole(level: int, before: int, data: st.DataObject) -> None:
    cut = min(before << level, len(LEAVES) >> level << level)
    end = data.draw(st.integers(cut, min(cut + (1 << level), len(LEAVES))))
    joined = merkle.Frontier().append(LEAVES[:cut]).join(merkle.Frontier().append(LEAVES[cut:end]))
    assert joined == merkle.Frontier().append(LEAVES[:end])


def test_a_tree_that_has_no_room_for_another_is_not_joined() -> None:
    with pytest.raises(ValidationError, match="3 leaves cannot be joined by one of 4"):
        merkle.Frontier().append(LEAVES[:3]).join(merkle.Frontier().append(LEAVES[3:7]))


@given(cases())
def test_proofs_verify_in_the_product_and_in_the_stand_alone_verifier(case: Case) -> None:
    size, part = case
    tree = merkle.Tree.of(LEAVES[:size])
    inclusion = tree.inclusion_proof(part - 1)
    merkle.verify_inclusion(LEAVES[part - 1], part - 1, size, inclusion, tree.root())
    assert verify_evidence._roots(part, size, [LEAVES[part - 1], *inclusion], smallest=1)[1] == tree.root()
    old, consistency = merkle.root(LEAVES[:part]), tree.consistency_proof(part)
    merkle.verify_consistency(part, size, old, tree.root(), consistency)
    if part < size:
        heads = ({"size": part, "root": old}, {"size": size, "root": tree.root()})
        verify_evidence._check_consistency(*heads, [node.hex() for node in consistency])


@given(cases(), st.data())
def test_a_flipped_bit_in_a_proof_is_refused_by_both(case: Case, data: st.DataObject) -> None:
    size, part = case
    tree = merkle.Tree.of(LEAVES[:size])
    old, proof = merkle.root(LEAVES[:part]), list(tree.consistency_proof(part))
    path = [LEAVES[part - 1], *tree.inclusion_proof(part - 1)]
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    path[at] = _flip(path[at], bit)
    with pytest.raises(TamperedError):
        merkle.verify_inclusion(path[0], part - 1, size, path[1:], tree.root())
    assert verify_evidence._roots(part, size, path, smallest=1)[1] != tree.root()
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        proof[at] = _flip(proof[at], bit)
        with pytest.raises(TamperedError):
            merkle.verify_consistency(part, size, old, tree.root(), proof)
        heads = ({"size": part, "root": old}, {"size": size, "root": tree.root()})
        with pytest.raises(verify_evidence.RefusedError):
            verify_evidence._check_consistency(*heads, [node.hex() for node in proof])


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.integers(0, 511))
def test_the_verifier_agrees_with_the_library_about_signatures(seed: bytes, message: bytes, bit: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert verify_evidence.ed25519_verify(public, signature, message)
    assert not verify_evidence.ed25519_verify(public, _flip(signature, bit), message)
    assert not verify_evidence.ed25519_verify(public, signature, message + b"\x00")


def _flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data) ^ 1 << bit).to_bytes(len(data))
