"""The tree against the published vectors of certificate-transparency and against the definitions of RFC 6962."""

import hashlib

import pytest

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger import merkle

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [hashlib.sha256(b"\x00" + bytes.fromhex(data)).digest() for data in INPUTS]
MANY = [hashlib.sha256(number.to_bytes(4)).digest() for number in range(40)]
OTHER = b"\xaa" * 32


def _mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return hashlib.sha256(b"\x01" + _mth(leaves[:k]) + _mth(leaves[k:])).digest()


def _path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*_path(m, leaves[:k]), _mth(leaves[k:])]
    return [*_path(m - k, leaves[k:]), _mth(leaves[:k])]


def _subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962 §2.1.2."""
    if m == len(leaves):
        return [] if whole else [_mth(leaves)]
    k = _split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], whole), _mth(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], False), _mth(leaves[:k])]


def _split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]
    assert merkle.Tree.of(LEAVES[:size]).root().hex() == ROOTS[size]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(first: int, second: int) -> None:
    proof = merkle.consistency_proof(LEAVES, first, second)
    assert [node.hex() for node in proof] == CONSISTENCY[first, second]


@pytest.mark.parametrize("size", range(1, 41))
def test_every_inclusion_proof_is_the_definition_and_verifies(size: int) -> None:
    tree = merkle.Tree.of(MANY[:size])
    root = _mth(MANY[:size])
    assert tree.root() == root
    for index in range(size):
        proof = tree.inclusion_proof(index)
        assert list(proof) == _path(index, MANY[:size])
        assert proof == merkle.inclusion_proof(MANY[:size], index)
        merkle.verify_inclusion(MANY[index], index, size, proof, root)


@pytest.mark.parametrize("size", range(1, 41))
def test_every_consistency_proof_is_the_definition_and_verifies(size: int) -> None:
    tree = merkle.Tree.of(MANY[:size])
    for first in range(size + 1):
        proof = tree.consistency_proof(first)
        assert list(proof) == (_subproof(first, MANY[:size], True) if first else [])
        merkle.verify_consistency(first, size, _mth(MANY[:first]), tree.root(), proof)


def test_an_inclusion_proof_holds_for_one_leaf_one_place_and_one_root_only() -> None:
    for size in (1, 2, 3, 5, 8, 13):
        tree = merkle.Tree.of(MANY[:size])
        for index in range(size):
            good = (MANY[index], index, size, tree.inclusion_proof(index), tree.root())
            proof = good[3]
            spoiled = [
                (OTHER, *good[1:]),
                (*good[:4], OTHER),
                *((MANY[index], place, size, proof, tree.root()) for place in range(-1, size + 2) if place != index),
                (*good[:3], (*proof, OTHER), tree.root()),
                *((*good[:3], (*proof[:at], OTHER, *proof[at + 1 :]), tree.root()) for at in range(len(proof))),
                *((*good[:3], (*proof[:at], *proof[at + 1 :]), tree.root()) for at in range(len(proof))),
            ]
            for case in spoiled:
                with pytest.raises(TamperedError):
                    merkle.verify_inclusion(*case)


def test_a_proof_of_the_wrong_length_is_named_as_such() -> None:
    tree = merkle.Tree.of(MANY[:5])
    path, proof = tree.inclusion_proof(2), tree.consistency_proof(3)
    for case, message in (((*path, OTHER), "too long"), (path[:-1], "too short")):
        with pytest.raises(TamperedError, match=message):
            merkle.verify_inclusion(MANY[2], 2, 5, case, tree.root())
    for case, message in (((*proof, OTHER), "too long"), (proof[:-1], "too short"), ((OTHER,) * 65, "1 to 64")):
        with pytest.raises(TamperedError, match=message):
            merkle.verify_consistency(3, 5, merkle.root(MANY[:3]), tree.root(), case)


def test_a_consistency_proof_holds_for_two_roots_only() -> None:
    for first, second in ((1, 2), (3, 7), (4, 7), (6, 8), (7, 13), (8, 13)):
        old, new = merkle.root(MANY[:first]), merkle.root(MANY[:second])
        proof = merkle.consistency_proof(MANY, first, second)
        spoiled = [
            (first, second, OTHER, new, proof),
            (first, second, old, OTHER, proof),
            (second, first, old, new, proof),
            (first, second, old, new, (*proof, OTHER)),
            (first, second, old, new, ()),
            *((first, second, old, new, (*proof[:at], OTHER, *proof[at + 1 :])) for at in range(len(proof))),
            *((first, second, old, new, (*proof[:at], *proof[at + 1 :])) for at in range(len(proof))),
        ]
        for case in spoiled:
            with pytest.raises(TamperedError):
                merkle.verify_consistency(*case)


@pytest.mark.parametrize("first", [0, 5])
def test_trivial_consistency_takes_no_hashes_and_still_compares_roots(first: int) -> None:
    root = merkle.root(MANY[:5])
    merkle.verify_consistency(first, 5, merkle.root(MANY[:first]), root, ())
    with pytest.raises(TamperedError, match="expected no hashes"):
        merkle.verify_consistency(first, 5, merkle.root(MANY[:first]), root, (OTHER,))
    with pytest.raises(TamperedError, match="expected root"):
        merkle.verify_consistency(first, 5, OTHER, root, ())


def test_a_frontier_is_the_published_right_edge_and_survives_storage() -> None:
    frontier = merkle.Frontier().append(LEAVES[:7])
    assert [node.hex() for node in frontier.nodes] == [
        ROOTS[4],
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    ]
    stored = frontier.to_bytes()
    assert len(stored) == 8 + 3 * 32
    assert merkle.Frontier.from_bytes(stored) == frontier
    assert merkle.Frontier.from_bytes(stored).append(LEAVES[7:]).root().hex() == ROOTS[8]
    assert merkle.Frontier.from_bytes(merkle.Frontier().to_bytes()).root() == merkle.EMPTY_ROOT


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b[:-32], lambda b: b + OTHER, lambda b: b[:4]])
def test_a_stored_frontier_of_the_wrong_length_is_refused(spoil) -> None:
    with pytest.raises(TamperedError, match="rebuild it"):
        merkle.Frontier.from_bytes(spoil(merkle.Frontier().append(MANY[:7]).to_bytes()))


def test_questions_beyond_the_tree_are_refused() -> None:
    for ask in (
        lambda: merkle.inclusion_proof(MANY, 40),
        lambda: merkle.inclusion_proof([], 0),
        lambda: merkle.consistency_proof(MANY, 3, 41),
        lambda: merkle.consistency_proof(MANY, 8, 7),
        lambda: merkle.consistency_proof(MANY, -1, 7),
        lambda: merkle.Tree.of([b"short"]),
        lambda: merkle.Frontier(-1),
    ):
        with pytest.raises(ValidationError):
            ask()
