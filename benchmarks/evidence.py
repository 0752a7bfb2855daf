"""Growing the trees of `intelligence/evidence.npz`: `python -m benchmarks.evidence`, ten minutes on two cores.

Prints the digest of what it wrote, to compare with the committed file.

Needs scikit-learn alone; the real logs, where they are at hand (AUDIT_TEST_DATA), add the half of the replayed
techniques and the earlier half of the hospital's trail that development may see. Seeds, techniques and events used
here are never judged by `benchmarks.quality`. The trees change with features and with these sets, so they are grown
anew when a feature comes or goes.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from audit_pipelines.evaluation.cloud_tenant import cloud_tenant
from audit_pipelines.evaluation.datasets import (
    GENERATED,
    Attack,
    demo_tenant,
    read_attacks,
    read_labelled,
    replay,
)
from audit_pipelines.evaluation.labelled import Labelled
from audit_pipelines.evaluation.office_tenant import office_tenant
from audit_pipelines.intelligence import evidence
from audit_pipelines.intelligence.detectors import Detector, ModelBlock, contributions, walk_forward
from audit_pipelines.intelligence.features import SURPRISES, compute_features

DATA: Final = Path(os.environ.get("AUDIT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
GROWN_ON: Final = {"demo": (*range(101, 107), *range(131, 191)), "cloud": range(101, 121), "office": range(101, 121)}
"""Seeds of the made-up tenants that the trees are grown on: more of the demo, whose attacks look most like work."""
_REPLAYED_INTO: Final = range(111, 123)
_SMALL: Final = range(1001, 1065)

# What a group of sets weighs as a whole, however many sets it has. The demo's insiders do what they may, and two
# clerks in seven hundred events of the hospital do nothing forbidden under each other's name: with equal weights both
# are lost among intruders. Of a tenant of some hundred events all tails are short, which the small ones teach.
_WEIGH: Final = {
    "demo": 45.0, "cloud": 20.0, "office": 20.0, "replayed": 30.0, "small": 30.0, "hospital": 3.0,
    "hospital replayed": 10.0,
}  # fmt: skip
# Attack events of a set weigh as a hundred together and its benign ones as twenty thousand, however many it has.
_ATTACKS_WEIGH: Final = 100.0
_BENIGN_WEIGH: Final = 20_000.0
# Of so many benign events of each set the sieve learns; the fine trees see all that pass it.
_SIEVED_EACH: Final = 4_000
_PASSES_FROM: Final = -7.0
"""Log odds of the coarse trees from which an event passes. Counted by hand on seeds that no tree was grown on: 99 % of
the attacks of made-up tenants and a fifth of what is benign; from -6.5 on an eighth, and in a tenant of a hundred
events little."""
_OUT: Final = Path(evidence.__file__).with_name("evidence.npz")


@dataclass(frozen=True)
class Shape:
    """How many trees, how large, and how free."""

    trees: int
    depth: int
    leaf: int
    """Events in a leaf at least."""
    shrinking: float
    """L2 penalty on what a leaf adds."""
    directions: tuple[int, ...]


SIEVE: Final = Shape(trees=96, depth=3, leaf=30, shrinking=5.0, directions=evidence.RISING)
FINE: Final = Shape(trees=240, depth=6, leaf=50, shrinking=10.0, directions=evidence.FREE)

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Sample = tuple[Singles, npt.NDArray[np.bool_], Floats]
"""Inputs [events, INPUTS] of the trees, which events are attacks, and weights."""


@dataclass(frozen=True)
class Stream:
    """One labelled stream to grow trees on."""

    group: str
    make: Callable[[], Labelled]
    without: tuple[str, ...] = ()


def may_be_seen(technique: str) -> bool:
    """Say whether development may look at a technique; the other half is for the tables alone."""
    return hashlib.sha256(technique.encode()).digest()[0] % 2 == 0


def main() -> None:
    """Grow the trees and write them where the product reads them."""
    # Tails are computed with a detector, which reads trees over the same inputs; these say nothing.
    none = evidence.Trees(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32), np.zeros((0, 2), np.float32))
    _write(sieve=none, fine=none)
    streams = _streams()
    with ProcessPoolExecutor(2) as processes:
        sets = list(processes.map(_inputs_of, streams))
    weights = [_WEIGH[each.group] / sum(other.group == each.group for other in streams) for each in streams]
    sieve = grown((drawn(*each, weight) for each, weight in zip(sets, weights, strict=True)), SIEVE)
    passing = (passed(sieve, *each, weight) for each, weight in zip(sets, weights, strict=True))
    fine = grown(passing, FINE)
    _write(sieve=as_trees(sieve, depth=SIEVE.depth, above=_PASSES_FROM), fine=as_trees(fine, depth=FINE.depth))
    print(f"{_OUT}: {hashlib.sha256(_OUT.read_bytes()).hexdigest()}")


def grown(samples: Iterable[Sample], shape: Shape) -> HistGradientBoostingClassifier:
    """Grow trees over samples."""
    rows, attack, weight = (np.concatenate(each) for each in zip(*samples, strict=True))
    print(f"{shape.trees} trees of {len(rows):,} events, {int(attack.sum()):,} of them attacks", flush=True)
    return HistGradientBoostingClassifier(
        max_iter=shape.trees, learning_rate=0.12, max_depth=shape.depth, min_samples_leaf=shape.leaf,
        l2_regularization=shape.shrinking, max_bins=63, monotonic_cst=list(shape.directions), early_stopping=False,
        random_state=0,
    ).fit(rows, attack, weight)  # fmt: skip


def _streams() -> list[Stream]:
    streams = [Stream(name, partial(tenant, seed)) for name, tenant in GENERATED.items() for seed in GROWN_ON[name]]
    if DATA.is_dir():
        seen = [each for each in read_attacks(DATA / "cloudtrail-stratus") if may_be_seen(each.technique)]
        streams.append(Stream("hospital", partial(_hospital, None)))
        streams.append(Stream("hospital replayed", partial(_hospital, seen), ("user_agent",)))
        for seed in _REPLAYED_INTO:
            tenant = demo_tenant if seed % 10 > 4 else cloud_tenant
            streams.append(Stream("replayed", partial(_replayed, seen, tenant, seed), ("user_agent",)))
        streams += [
            Stream("small", partial(_small, seen, seed), ("user_agent",) if seed % 2 else ()) for seed in _SMALL
        ]
    return streams


def _replayed(attacks: list[Attack], tenant: Callable[[int], Labelled], seed: int) -> Labelled:
    return replay(attacks, tenant(seed), "own" if seed % 2 else "existing", seed)


def _small(attacks: list[Attack], seed: int) -> Labelled:
    """Put three techniques into a hundred to two thousand benign events in a row."""
    rng = Random(f"small/{seed}")
    tenant = (cloud_tenant, cloud_tenant, office_tenant, demo_tenant)[seed % 4](seed)
    benign = [each for each in tenant.events if each.label.truth == "benign"]
    size = int(100 * 20 ** rng.random())
    first = rng.randrange(len(benign) - size)
    few = Labelled(f"{size} events of {tenant.name}", tuple(benign[first : first + size]))
    return replay(rng.sample(attacks, 3), few, "own" if seed % 3 else "existing", seed)


def _hospital(attacks: list[Attack] | None) -> Labelled:
    whole = read_labelled(DATA / "hospital-billing")
    earlier = Labelled("hospital, earlier half", whole.events[: len(whole.events) // 2])
    return earlier if attacks is None else replay(attacks, earlier, "existing", 0)


def _inputs_of(stream: Stream) -> tuple[Singles, npt.NDArray[np.bool_]]:
    """Return what the trees see of each event that counts, and which are attacks."""
    labelled = stream.make()
    truth, tails, beside = observed(labelled, stream.without)
    counts = truth != "ignored"
    print(f"  {labelled.name}: {len(truth):,} events, {(truth == 'attack').sum()} attacks", flush=True)
    return evidence.inputs(tails[counts], beside[counts]).T, truth[counts] == "attack"


def observed(labelled: Labelled, without: tuple[str, ...]) -> tuple[npt.NDArray[np.object_], Floats, Floats]:
    """Return truth and inputs of each event as a walk-forward run meets them: truth, tails, and what lies beside."""
    features = compute_features(labelled.frame(without))
    tails = np.zeros((features.height, len(SURPRISES)))

    def keep(block: ModelBlock, detector: Detector) -> None:
        size = block.last - block.first + 1
        tails[block.first : block.last + 1] = contributions(detector, features.slice(block.first, size))

    walk_forward(features, seed=0, on_model=keep)
    truth = pl.DataFrame({"seq": range(len(labelled.events)), "truth": [each.label.truth for each in labelled.events]})
    ordered = features.select("seq", *evidence.BESIDE).join(truth, on="seq", how="left", maintain_order="left")
    return ordered["truth"].to_numpy(), tails, ordered.select(evidence.BESIDE).to_numpy()


def drawn(rows: Singles, attack: npt.NDArray[np.bool_], weight: float) -> Sample:
    """Return the attacks of a set and an even sample of its benign events."""
    benign = np.flatnonzero(~attack)
    kept = np.random.default_rng(0).choice(benign, min(_SIEVED_EACH, len(benign)), replace=False)
    return _weighed(rows, attack, np.concatenate((np.flatnonzero(attack), kept)), weight, len(kept))


def passed(
    sieve: HistGradientBoostingClassifier, rows: Singles, attack: npt.NDArray[np.bool_], weight: float
) -> Sample:
    """Return what of a set passes the sieve, all of it: work that looks like an attack is what is to be learnt."""
    places = np.flatnonzero(sieve.decision_function(rows) > _PASSES_FROM)
    return _weighed(rows, attack, places, weight, len(attack) - int(attack.sum()))


def _weighed(
    rows: Singles, attack: npt.NDArray[np.bool_], places: npt.NDArray[np.int64], weight: float, benign: int
) -> Sample:
    """Return the events at some places; `benign` are those that share the weight of what is benign."""
    each = np.where(attack[places], _ATTACKS_WEIGH / max(attack.sum(), 1), _BENIGN_WEIGH / max(benign, 1))
    return rows[places], attack[places], each * weight


def as_trees(forest: HistGradientBoostingClassifier, *, depth: int, above: float = 0.0) -> evidence.Trees:
    """Return scikit-learn's trees as complete trees of a depth; the base, less `above`, in the first."""
    trees = [each[0].nodes for each in forest._predictors]  # noqa: SLF001 - there is no public way to a tree's nodes
    feature = np.zeros((len(trees), 2**depth - 1), dtype=np.int32)
    threshold = np.full(feature.shape, np.inf, dtype=np.float32)
    value = np.zeros((len(trees), 2**depth))
    for row, nodes in enumerate(trees):
        _fill(nodes, 0, 0, depth, feature[row], threshold[row], value[row])
    value[0] += float(forest._baseline_prediction[0, 0]) - above  # noqa: SLF001
    return evidence.Trees(feature, threshold, value.astype(np.float32))


def _fill(nodes: Any, node: int, place: int, depth: int, feature: Any, threshold: Any, value: Any) -> None:
    one = nodes[node]
    if one["is_leaf"]:
        # Below a leaf the way always leads left, but every end gets the value.
        first = (place + 1) * 2**depth - len(value)
        value[first : first + 2**depth] = one["value"]
        return
    limit = np.float32(one["num_threshold"])
    down = limit if float(limit) <= one["num_threshold"] else np.nextafter(limit, np.float32(-np.inf))
    feature[place], threshold[place] = one["feature_idx"], down
    for side, child in (("left", 2 * place + 1), ("right", 2 * place + 2)):
        _fill(nodes, int(one[side]), child, depth - 1, feature, threshold, value)


def _write(**trees: evidence.Trees) -> None:
    arrays = {
        f"{name}_{part}": getattr(each, part)
        for name, each in trees.items()
        for part in ("feature", "threshold", "value")
    }
    np.savez_compressed(_OUT, inputs=np.array(evidence.INPUTS), **arrays)


if __name__ == "__main__":
    main()
