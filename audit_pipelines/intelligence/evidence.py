"""How far a pattern of surprises and meaning looks like an attack: trees, grown once, the same for every tenant.

Surprises alone say that something is odd; which oddities together mean harm was learnt from made-up tenants and from
replayed attacks (`benchmarks/evidence.py` grows the trees anew). Coarse trees sieve what is worth a closer look, some
15 % of usual events; they are monotone, so an odder event never fails where a less odd one passes. Fine ones, grown on
what passes alone, tell attacks from work that looks like them: an oddity may speak for work there, while harm never
does. All see tails, never names, so they know no product, tool or tenant. What a tail is, and how this joins the other
detectors, is decided in `detectors`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.features import SURPRISES

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]

BESIDE: Final = ("risk", "exposed", "failed", "repeats_1h")
"""What the trees see beside the tails."""
INPUTS: Final = (*SURPRISES, *BESIDE)
RISING: Final = (*(1 for _ in SURPRISES), 1, 1, 0, -1)
"""In which direction each of INPUTS may move the outcome of the sieve: up, either way (0), or down."""
FREE: Final = (*(0 for _ in SURPRISES), 1, 1, 0, -1)
"""The same of the fine trees: what an event could do, and that it is no repetition, never makes it less suspicious."""
SIEVED: Final = -20.0
"""The log odds of what does not pass the sieve; nothing that passes has less."""

_FILE: Final = "evidence.npz"
# Beyond e^-25 a tail says nothing more, and no training set holds enough to tell.
_TAIL_AT_MOST: Final = 25.0
# A call of NumPy's costs as much as combining the packed bits of 10,000 events, and of those that a sieve lets through
# there are few. In two threads at once such calls cost several times as much: each waits for the lock of Python.
_CHUNK: Final = 1 << 17


@dataclass(frozen=True)
class Trees:
    """Complete trees as plain arrays: node i leads to 2 i + 1 and 2 i + 2, to the right where above."""

    feature: npt.NDArray[np.int32]
    """[trees, 2^depth - 1] which of INPUTS a node splits on."""
    threshold: Singles
    """[trees, 2^depth - 1] infinite below a leaf."""
    value: Singles
    """[trees, 2^depth] what each end adds to the log odds of an attack."""


@dataclass(frozen=True)
class Evidence:
    """The trees of a release."""

    sieve: Trees
    """What they add up to is above 0 for an event that passes."""
    fine: Trees
    """What they add up to are the log odds of an event that passed."""


@lru_cache(maxsize=1)
def shipped() -> Evidence:
    """Return the trees of this release.

    Raises ValidationError when they were grown for other inputs.
    """
    with files(__package__).joinpath(_FILE).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return from_arrays(dict(stored))


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Evidence:
    """Rebuild trees from plain arrays; `inputs` names what they see.

    Raises ValidationError when that is not what this version computes.
    """
    named = tuple(str(name) for name in arrays["inputs"])
    if named != INPUTS:
        odd = sorted(set(named) ^ set(INPUTS))
        raise ValidationError(
            f"expected trees over the {len(INPUTS)} inputs of this version, got {len(named)} ({', '.join(odd[:5])}); "
            "grow them anew with benchmarks/evidence.py"
        )
    sieve, fine = (
        Trees(*(arrays[f"{name}_{part}"] for part in ("feature", "threshold", "value"))) for name in ("sieve", "fine")
    )
    return Evidence(sieve, fine)


def inputs(tails: Floats, beside: Floats) -> Singles:
    """Return [INPUTS, events] as the trees see them, from tails [events, SURPRISES] and the columns of BESIDE."""
    out = np.empty((len(INPUTS), len(tails)), dtype=np.float32)
    np.minimum(tails.T, _TAIL_AT_MOST, out=out[: len(SURPRISES)], casting="same_kind")
    out[len(SURPRISES) :] = beside.T
    return out


def log_odds(evidence: Evidence, tails: Floats, beside: Floats) -> Floats:
    """Return the log odds of an attack for each event, each from its own row alone; SIEVED at least."""
    out = np.full(len(tails), SIEVED)
    for start in range(0, len(tails), _CHUNK):
        here = slice(start, start + _CHUNK)
        seen = inputs(tails[here], beside[here])
        passed = np.flatnonzero(added_up(evidence.sieve, seen) > 0.0)
        out[start + passed] = np.maximum(added_up(evidence.fine, seen.take(passed, axis=1)), SIEVED)
    return out


def added_up(trees: Trees, seen: Singles) -> Floats:
    """Return the sum of all trees for each event, tree after tree; `seen` is what `inputs` made of events."""
    # Many nodes ask the same of an event, and what lies below a leaf asks nothing.
    nodes = (trees.feature.astype(np.int64) << np.int64(32)) | trees.threshold.view(np.uint32)
    asked, which = np.unique(nodes, return_inverse=True)
    limits = (asked & np.int64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    questions = zip((asked >> np.int64(32)).tolist(), limits.tolist(), strict=True)
    answers = [None if limit == np.inf else np.packbits(seen[each] > limit) for each, limit in questions]
    total = np.zeros(seen.shape[1])
    # One buffer for all trees: taking by bytes makes two fresh arrays a tree. No place is out of bounds, and `clip`
    # alone writes to a buffer without another one between.
    place, added = np.empty(len(total), dtype=np.intp), np.empty(len(total))
    for tree, value in zip(which.reshape(nodes.shape).tolist(), trees.value.astype(np.float64), strict=True):
        place[:] = ends([answers[each] for each in tree], len(total))
        total += value.take(place, out=added, mode="clip")
    return total


def ends(above: Sequence[Bits | None], events: int) -> Bits:
    """Return where each event comes out, from 0, of a tree of 2^depth - 1 nodes, depth 8 at most.

    `above` tells for each node which events are above its threshold, eight to a byte as `numpy.packbits` lays them;
    None where no event is.
    """
    ways: list[Bits] = []
    place = np.zeros(events, dtype=np.uint8)
    while len(ways) < len(above).bit_length():
        first = (1 << len(ways)) - 1
        level = list(above[first : 2 * first + 1])
        for way in ways:
            half = len(level) // 2
            level = [_chosen(way, *both) for both in zip(level[:half], level[half:], strict=True)]
        ways.append(np.zeros((events + 7) // 8, dtype=np.uint8) if level[0] is None else level[0])
        place += place
        place += np.unpackbits(ways[-1], count=events)
    return place


def _chosen(way: Bits, left: Bits | None, right: Bits | None) -> Bits | None:
    """Return the bits of `right` where the way leads right, else those of `left`."""
    # Eight events at once; `where` takes 20 times as long, gathering 30 times.
    if right is None:
        return None if left is None else left & ~way
    return way & right if left is None else left ^ (way & (left ^ right))
