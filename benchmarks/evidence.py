"""Growing the trees of `intelligence/evidence.npz`: `python -m benchmarks.evidence`, about ten minutes on two cores.

Prints the digest of what it wrote, to compare with the committed file.

Needs scikit-learn alone; the real logs, where they are at hand (AUDIT_TEST_DATA), add the half of the replayed
techniques and the earlier half of the hospital's trail that development may see. Seeds, techniques and events used
here are never judged by `benchmarks.quality`. The trees change with features and with these sets, so they are grown
anew when a feature comes or goes.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
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
from audit_pipelines.intelligence import evidence
from audit_pipelines.intelligence.detectors import Detector, ModelBlock, contributions, walk_forward
from audit_pipelines.intelligence.features import SURPRISES, compute_features

DATA: Final = Path(os.environ.get("AUDIT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
GROWN_ON: Final = {"demo": (*range(101, 107), *range(131, 141)), "cloud": range(101, 107), "office": range(101, 107)}
"""Seeds of the made-up tenants that the trees are grown on: more of the demo, whose attacks look most like work."""

Floats = npt.NDArray[np.float64]

_TREES: Final = 480
_RATE: Final = 0.08
_BENIGN_EACH: Final = 6_000
# Attack events of a set weigh as a hundred together and its benign ones as twenty thousand, however many it has.
_ATTACKS_WEIGH: Final = 100.0
_BENIGN_WEIGH: Final = 20_000.0
_HOSPITAL: Final = "hospital, earlier half"
# The demo's insiders do what they may, and two clerks in seven hundred events of the hospital do nothing forbidden
# under each other's name: with equal weights both are lost among intruders (AP of other demo seeds 0.68, not 0.72).
_DEMO_WEIGHS: Final = 3.0
_HOSPITAL_WEIGHS: Final = 2.0
_OUT: Final = Path(evidence.__file__).with_name("evidence.npz")


def may_be_seen(technique: str) -> bool:
    """Say whether development may look at a technique; the other half is for the tables alone."""
    return hashlib.sha256(technique.encode()).digest()[0] % 2 == 0


def main() -> None:
    """Grow the trees and write them where the product reads them."""
    _write(*(np.zeros((0, width)) for width in (7, 7, 8)))
    _write(*as_arrays(grown(_sets())))
    print(f"{_OUT}: {hashlib.sha256(_OUT.read_bytes()).hexdigest()}")


def grown(samples: Iterable[tuple[Any, Any, Any]]) -> HistGradientBoostingClassifier:
    """Grow the trees over what `sampled` returned of each set."""
    rows, attack, weight = (np.concatenate(each) for each in zip(*samples, strict=True))
    print(f"{_TREES} trees of {len(rows):,} events, {int(attack.sum()):,} of them attacks", flush=True)
    return HistGradientBoostingClassifier(
        max_iter=_TREES, learning_rate=_RATE, max_depth=evidence.DEPTH, min_samples_leaf=30, l2_regularization=5.0,
        max_bins=63, monotonic_cst=list(evidence.MONOTONE), early_stopping=False, random_state=0,
    ).fit(rows, attack, weight)  # fmt: skip


def _sets() -> Iterator[tuple[Any, Any, Any]]:
    streams: list[tuple[Callable[[], Labelled], tuple[str, ...]]] = [
        (partial(tenant, seed), ()) for name, tenant in GENERATED.items() for seed in GROWN_ON[name]
    ]
    if DATA.is_dir():
        seen = [each for each in read_attacks(DATA / "cloudtrail-stratus") if may_be_seen(each.technique)]
        streams += [(partial(_hospital, None), ()), (partial(_hospital, seen), ("user_agent",))]
        for seed in range(111, 117):
            tenant = demo_tenant if seed > 114 else cloud_tenant
            streams.append((partial(_replayed, seen, tenant, seed), ("user_agent",)))
    for make, without in streams:
        labelled = make()
        yield sampled(labelled.name, *observed(labelled, without))


def _replayed(attacks: list[Attack], tenant: Callable[[int], Labelled], seed: int) -> Labelled:
    return replay(attacks, tenant(seed), "own" if seed % 2 else "existing", seed)


def _hospital(attacks: list[Attack] | None) -> Labelled:
    whole = read_labelled(DATA / "hospital-billing")
    earlier = Labelled(_HOSPITAL, whole.events[: len(whole.events) // 2])
    return earlier if attacks is None else replay(attacks, earlier, "existing", 0)


def observed(labelled: Labelled, without: tuple[str, ...]) -> tuple[pl.DataFrame, Floats, Floats]:
    """Return truth and inputs of each event as a walk-forward run meets them: truth, tails, and what lies beside."""
    features = compute_features(labelled.frame(without))
    tails = np.zeros((features.height, len(SURPRISES)))

    def keep(block: ModelBlock, detector: Detector) -> None:
        size = block.last - block.first + 1
        tails[block.first : block.last + 1] = contributions(detector, features.slice(block.first, size))

    walk_forward(features, seed=0, on_model=keep)
    truth = pl.DataFrame({"seq": range(len(labelled.events)), "truth": [each.label.truth for each in labelled.events]})
    ordered = features.select("seq", *evidence.BESIDE).join(truth, on="seq", how="left", maintain_order="left")
    return ordered, tails, ordered.select(evidence.BESIDE).to_numpy()


def sampled(name: str, ordered: pl.DataFrame, tails: Floats, beside: Floats) -> tuple[Any, Any, Any]:
    """Return the attacks and a sample of the benign events of a set: inputs, what is an attack, and weights."""
    truth = ordered["truth"].to_numpy()
    attacks, benign = np.flatnonzero(truth == "attack"), np.flatnonzero(truth == "benign")
    kept = np.random.default_rng(0).choice(benign, min(_BENIGN_EACH, len(benign)), replace=False)
    places = np.concatenate((attacks, kept))
    weight = np.concatenate(
        (np.full(len(attacks), _ATTACKS_WEIGH / len(attacks)), np.full(len(kept), _BENIGN_WEIGH / len(kept)))
    )
    weight *= _HOSPITAL_WEIGHS if name == _HOSPITAL else _DEMO_WEIGHS if name.startswith("demo:") else 1.0
    print(f"  {name}: {len(ordered):,} events, {len(attacks)} attacks", flush=True)
    return evidence.inputs(tails[places], beside[places]).T, truth[places] == "attack", weight


def as_arrays(grown: HistGradientBoostingClassifier) -> tuple[Any, Any, Any]:
    """Return scikit-learn's trees as complete trees of depth 3: features, thresholds, values; the base in the first."""
    trees = [each[0].nodes for each in grown._predictors]  # noqa: SLF001 - there is no public way to a tree's nodes
    feature = np.zeros((len(trees), 7), dtype=np.int32)
    threshold = np.full((len(trees), 7), np.inf, dtype=np.float32)
    value = np.zeros((len(trees), 8))
    for row, nodes in enumerate(trees):
        _fill(nodes, 0, 0, evidence.DEPTH, feature[row], threshold[row], value[row])
    value[0] += float(grown._baseline_prediction[0, 0])  # noqa: SLF001
    return feature, threshold, value


def _fill(nodes: Any, node: int, place: int, depth: int, feature: Any, threshold: Any, value: Any) -> None:
    one = nodes[node]
    if one["is_leaf"]:
        # Below a leaf the way always leads left, but every end gets the value.
        first = (place + 1) * 2**depth - 8
        value[first : first + 2**depth] = one["value"]
        return
    limit = np.float32(one["num_threshold"])
    down = limit if float(limit) <= one["num_threshold"] else np.nextafter(limit, np.float32(-np.inf))
    feature[place], threshold[place] = one["feature_idx"], down
    for side, child in (("left", 2 * place + 1), ("right", 2 * place + 2)):
        _fill(nodes, int(one[side]), child, depth - 1, feature, threshold, value)


def _write(feature: Any, threshold: Any, value: Any) -> None:
    np.savez_compressed(
        _OUT, inputs=np.array(evidence.INPUTS), feature=feature.astype(np.int32),
        threshold=threshold.astype(np.float32), value=value.astype(np.float64),
    )  # fmt: skip
    evidence.shipped.cache_clear()


if __name__ == "__main__":
    main()
