"""The RFC 6962 Merkle tree over a tenant's leaf hashes: roots, proofs, and the checks of proofs.

Belongs here: the shape of the tree. What a leaf is, `chain.py` says; who signs a root, `checkpoint.py`. A `Frontier`
lets a new checkpoint cost its new rows only; a proof costs one pass over all leaf hashes, so `Tree` serves many.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self

from audit_pipelines.errors import TamperedError, ValidationError

HASH_LENGTH = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves (RFC 6962 §2.1)."""

_SIZE_LENGTH = 8


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the interior node SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: all that is needed to append to it and to know its root.

    `nodes` are the roots of the complete subtrees that the tree falls into, the largest (leftmost) first: one for each
    one-bit of `size`, so at most 64. A frontier holds no proof of itself: before one from storage is
    appended to, its `root()` must be compared with the last signed checkpoint.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size < 1 << 64:
            raise ValidationError(f"a tree size must be at least 0 and below 2^64, got {self.size}")
        if len(self.nodes) != self.size.bit_count() or any(len(node) != HASH_LENGTH for node in self.nodes):
            raise TamperedError(
                f"a frontier of {self.size} leaves has {self.size.bit_count()} nodes of {HASH_LENGTH} bytes, "
                f"got lengths {[len(node) for node in self.nodes]}; rebuild it from the leaf hashes"
            )

    def append(self, leaf_hashes: Iterable[bytes]) -> "Frontier":
        """Return the frontier after `leaf_hashes` (32 bytes each, in `seq` order): about one hash a leaf."""
        size, nodes = self.size, list(self.nodes)
        for leaf_hash in leaf_hashes:
            node, carry = leaf_hash, size
            # As in binary addition: each one-bit at the end of `size` is a complete subtree that now gets its twin.
            while carry & 1:
                node = node_hash(nodes.pop(), node)
                carry >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    def join(self, following: "Frontier") -> "Frontier":
        """Return the frontier after the leaves that `following`, a tree of its own, was made of.

        Its subtrees must fall where this tree has room for them whole: `size` is a multiple of a power of two that is
        no smaller than `following.size`. Parts of a ledger can so be hashed side by side.

        Raises:
            ValidationError: when they do not.
        """
        size, nodes = self.size, list(self.nodes)
        levels = [level for level in reversed(range(following.size.bit_length())) if following.size >> level & 1]
        for level, whole in zip(levels, following.nodes, strict=True):
            if size % (1 << level):
                raise ValidationError(f"a tree of {self.size} leaves cannot be joined by one of {following.size}")
            node, carry = whole, size >> level
            while carry & 1:
                node = node_hash(nodes.pop(), node)
                carry >>= 1
            nodes.append(node)
            size += 1 << level
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        """Return the root of the tree of `size` leaves; `EMPTY_ROOT` if there are none."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """Return size (8 bytes, big-endian) ‖ nodes, the form a `bytea` column holds."""
        return self.size.to_bytes(_SIZE_LENGTH) + b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; raise `TamperedError` if size and number of nodes disagree."""
        if len(data) < _SIZE_LENGTH or len(data) % HASH_LENGTH != _SIZE_LENGTH:
            raise TamperedError(
                f"a stored frontier has {_SIZE_LENGTH} bytes and then {HASH_LENGTH} per node, got {len(data)} bytes; "
                "rebuild it from the leaf hashes"
            )
        nodes = (data[start : start + HASH_LENGTH] for start in range(_SIZE_LENGTH, len(data), HASH_LENGTH))
        return cls(int.from_bytes(data[:_SIZE_LENGTH]), tuple(nodes))


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole tree in memory, for any number of proofs; 64 bytes a leaf, about a second to build for a million.

    `levels[k]` holds the joined hashes of the subtrees over 2^k leaves each, left to right. The last of a level may
    cover fewer: a node without a right twin moves up unchanged, which is the tree of RFC 6962 §2.1.
    """

    levels: tuple[bytes, ...]

    @classmethod
    def of(cls, leaf_hashes: Iterable[bytes], known: Iterable[tuple[int, int, bytes]] = ()) -> Self:
        """Build the tree over `leaf_hashes` (32 bytes each, in `seq` order).

        `known` are roots of complete subtrees, `(first leaf, height, hash)`, whose leaves are not known: whatever
        stands for those leaves, proofs that touch no such leaf come out right.
        """
        level = b"".join(leaf_hashes)
        if len(level) % HASH_LENGTH:
            raise ValidationError(f"leaf hashes must have {HASH_LENGTH} bytes each, got {len(level)} bytes in all")
        nodes: dict[int, list[tuple[int, bytes]]] = {}
        for first, height, digest in known:
            if first + (1 << height) <= len(level) // HASH_LENGTH:
                nodes.setdefault(height, []).append((first >> height, digest))
        level = _with_nodes(level, nodes.get(0, ()))
        levels = [level]
        sha256 = hashlib.sha256
        while len(level) > HASH_LENGTH:
            paired = len(level) // (2 * HASH_LENGTH) * 2 * HASH_LENGTH
            parents = [sha256(b"\x01" + level[at : at + 64]).digest() for at in range(0, paired, 2 * HASH_LENGTH)]
            level = _with_nodes(b"".join(parents) + level[paired:], nodes.get(len(levels), ()))
            levels.append(level)
        return cls(tuple(levels))

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self.levels[0]) // HASH_LENGTH

    def root(self) -> bytes:
        """Return the root; `EMPTY_ROOT` without leaves."""
        return self.levels[-1] or EMPTY_ROOT

    def inclusion_proof(self, index: int) -> tuple[bytes, ...]:
        """Return the audit path of leaf `index`, from the leaf's sibling upwards (RFC 6962 §2.1.1)."""
        if not 0 <= index < self.size:
            raise ValidationError(
                f"expected a leaf index below the tree size {self.size}, got {index}; "
                "an event can be proven once a checkpoint covers it"
            )
        return self._path(0, index)

    def consistency_proof(self, first: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of the first `first` leaves is a prefix of this one (RFC 6962 §2.1.2).

        It is empty where `first` is 0 or the whole tree: there is nothing to prove beyond the roots.
        """
        if not 0 <= first <= self.size:
            raise ValidationError(f"expected an earlier size from 0 to {self.size}, got {first}")
        if first in (0, self.size):
            return ()
        # The proof starts at the last complete subtree of the earlier tree; where that is all of it, its root is known.
        height = (first & -first).bit_length() - 1
        index = (first - 1) >> height
        path = self._path(height, index)
        return (self._node(height, index), *path) if index else path

    def _node(self, height: int, index: int) -> bytes:
        return self.levels[height][index * HASH_LENGTH : (index + 1) * HASH_LENGTH]

    def _path(self, height: int, index: int) -> tuple[bytes, ...]:
        path = []
        for level in range(height, len(self.levels)):
            # A node at the right border may lack a sibling; it then moved up, and this level gives the proof no hash.
            if sibling := self._node(level, index ^ 1):
                path.append(sibling)
            index >>= 1
        return tuple(path)


def _with_nodes(level: bytes, nodes: Sequence[tuple[int, bytes]]) -> bytes:
    if not nodes:
        return level
    changed = bytearray(level)
    for index, digest in nodes:
        changed[index * HASH_LENGTH : (index + 1) * HASH_LENGTH] = digest
    return bytes(changed)


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over `leaf_hashes`, in constant memory."""
    return Frontier().append(leaf_hashes).root()


def inclusion_proof(leaf_hashes: Iterable[bytes], index: int) -> tuple[bytes, ...]:
    """Return the audit path of leaf `index` in the tree over all of `leaf_hashes`; for several, use one `Tree`."""
    return Tree.of(leaf_hashes).inclusion_proof(index)


def consistency_proof(leaf_hashes: Iterable[bytes], first: int, second: int) -> tuple[bytes, ...]:
    """Return the proof between the trees of the first `first` and the first `second` of `leaf_hashes`."""
    tree = Tree.of(islice(leaf_hashes, max(second, 0)))
    if tree.size != second:
        raise ValidationError(f"expected at least {second} leaf hashes, got {tree.size}")
    return tree.consistency_proof(first)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check that `leaf_hash` is leaf `index` of the tree of `size` leaves with `expected_root`.

    The algorithm is RFC 9162 §2.1.3.2. Raises `TamperedError` if the proof leads elsewhere or has the wrong length.
    """
    if not 0 <= index < size:
        raise TamperedError(f"inclusion proof: expected an index below the tree size {size}, got {index}")
    node, last, computed = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise TamperedError(f"inclusion proof of leaf {index} of {size} is too long: it has {len(proof)} hashes")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise TamperedError(f"inclusion proof of leaf {index} of {size} is too short: it has {len(proof)} hashes")
    _expect_root(f"inclusion proof of leaf {index} of {size}", expected_root, computed)


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `second` leaves begins with the tree of `first` leaves, unchanged.

    The algorithm is RFC 9162 §2.1.4.2; any tree is consistent with the empty one, by an empty proof. Raises
    `TamperedError` if the proof leads to another root or has the wrong length.
    """
    what = f"consistency proof from {first} to {second} leaves"
    if not 0 <= first <= second:
        raise TamperedError(f"{what}: expected the later tree to be no smaller than the earlier one")
    if first in (0, second):
        if proof:
            raise TamperedError(f"{what}: expected no hashes, got {len(proof)}")
        _expect_root(what, first_root, second_root if first else EMPTY_ROOT)
        return
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    if not path or len(path) > 64:
        raise TamperedError(f"{what}: expected 1 to 64 hashes, got {len(path)}")
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first_computed = second_computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise TamperedError(f"{what} is too long: it has {len(proof)} hashes")
        if node & 1 or node == last:
            first_computed = node_hash(sibling, first_computed)
            second_computed = node_hash(sibling, second_computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second_computed = node_hash(second_computed, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise TamperedError(f"{what} is too short: it has {len(proof)} hashes")
    _expect_root(f"{what}, earlier root", first_root, first_computed)
    _expect_root(f"{what}, later root", second_root, second_computed)


def _expect_root(what: str, expected: bytes, got: bytes) -> None:
    if expected != got:
        raise TamperedError(f"{what}: expected root {expected.hex()}, got {got.hex()}; the leaves are not those signed")
