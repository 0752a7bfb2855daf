"""How far a pattern of surprises and meaning looks like an attack: small trees, grown once, the same for every tenant.

Surprises alone say that something is odd; which oddities together mean harm was learnt from made-up tenants and from
replayed attacks (`benchmarks/evidence.py` grows the trees anew). The trees see tails, never names, so they know no
product, tool or tenant, and they are monotone: no event gets less suspicious by being odder or more harmful. What a
tail is, and how this joins the other detectors, is decided in `detectors`.
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
MONOTONE: Final = (*(1 for _ in SURPRISES), 1, 1, 0, -1)
"""In which direction each of INPUTS may move the outcome: up, either way (0), or down."""
DEPTH: Final = 3

_FILE: Final = "evidence.npz"
# Beyond e^-25 a tail says nothing more, and no training set holds enough to tell.
_TAIL_AT_MOST: Final = 25.0
# A call of NumPy's costs as much as combining the packed bits of 10,000 events: 480 trees make eight thousand calls.
_CHUNK: Final = 1 << 15


@dataclass(frozen=True)
class Evidence:
    """Complete trees of depth 3 as plain arrays: node i leads to 2 i + 1 and 2 i + 2, to the right where above."""

    feature: npt.NDArray[np.int32]
    """[trees, 7] which of INPUTS a node splits on."""
    threshold: Singles
    """[trees, 7] infinite below a leaf."""
    value: Floats
    """[trees, 8] what each end adds to the log odds of an attack."""


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
    return Evidence(arrays["feature"], arrays["threshold"], arrays["value"])


def inputs(tails: Floats, beside: Floats) -> Singles:
    """Return [INPUTS, events] as the trees see them, from tails [events, SURPRISES] and the columns of BESIDE."""
    out = np.empty((len(INPUTS), len(tails)), dtype=np.float32)
    np.minimum(tails.T, _TAIL_AT_MOST, out=out[: len(SURPRISES)], casting="same_kind")
    out[len(SURPRISES) :] = beside.T
    return out


def log_odds(evidence: Evidence, tails: Floats, beside: Floats) -> Floats:
    """Return the log odds of an attack for each event, each from its own row alone."""
    out = np.zeros(len(tails))
    # Many nodes ask the same of an event: the 1,120 of the shipped trees have 222 questions between them.
    nodes = (evidence.feature.astype(np.int64) << np.int64(32)) | evidence.threshold.view(np.uint32)
    asked, which = np.unique(nodes, return_inverse=True)
    limits = (asked & np.int64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    questions = list(zip((asked >> np.int64(32)).tolist(), limits, strict=True))
    trees = which.reshape(nodes.shape).tolist()
    for start in range(0, len(tails), _CHUNK):
        here = slice(start, start + _CHUNK)
        seen = inputs(tails[here], beside[here])
        answers = [np.packbits(seen[each] > limit) for each, limit in questions]
        total = out[here]
        # One buffer for all trees: taking by bytes makes two fresh arrays a tree. No place is out of bounds, and `clip`
        # alone writes to a buffer without another one between.
        place, added = np.empty(len(total), dtype=np.intp), np.empty(len(total))
        for tree, value in zip(trees, evidence.value, strict=True):
            place[:] = ends([answers[each] for each in tree], len(total))
            total += value.take(place, out=added, mode="clip")
    return out


def ends(above: Sequence[Bits], events: int) -> Bits:
    """Return where each event comes out, 0 to 7, of a tree's seven nodes.

    `above` tells for each node which events are above its threshold, eight to a byte as `numpy.packbits` lays them.
    """
    # Chosen as left ^ (way & (left ^ right)), eight events at once; `where` takes 20 times as long, gathering 30 times.
    first, left, right, *lower = above
    second = left ^ (first & (left ^ right))
    below_left = lower[0] ^ (left & (lower[0] ^ lower[1]))
    below_right = lower[2] ^ (right & (lower[2] ^ lower[3]))
    third = below_left ^ (first & (below_left ^ below_right))
    place: Bits = np.unpackbits(first, count=events)
    for bits in (second, third):
        place += place
        place += np.unpackbits(bits, count=events)
    return place
