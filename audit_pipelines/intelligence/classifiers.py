"""Category and risk of an event, learnt from weak rules over the meaning of its canonical text.

Here: features of a text, training, prediction, honest figures. Not here: the rules (`weak_labels`), the vectors
(`embed`), files (`registry`). It exists because rules know only their words: `remove the trail` and `erase journal`
lie side by side as vectors, and what lies near nothing learnt is answered with `unknown` instead of a guess.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.registry import ModelArtefact
from audit_pipelines.intelligence.render import STRIKING, parse_text
from audit_pipelines.intelligence.weak_labels import CATEGORIES, RISKS, VERBS, verbs_of, weak_category, weak_risk

Kind = Literal["category_classifier", "risk_classifier"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

UNKNOWN: Final = "unknown"
"""The label of a text about which the classifier is not sure enough."""

STRUCTURE: Final = (
    *(f"outcome_{outcome}" for outcome in ("success", "failure", "denied")),
    *(f"verb_{verb}" for verb in VERBS),
    "detail_phrases",
    "detail_strikes",
)
"""Names of the columns of `structure_features`, each in 0..1."""

ABSTAIN_BELOW: Final[dict[Kind, float]] = {"category_classifier": 0.40, "risk_classifier": 0.50}

FAMILIAR_FROM: Final = 0.40
"""Cosine to the nearest learnt text under which a text is strange.

Measured on 114 and 987 texts of real logs: the nearest text of another event type is never farther than 0.41, and
made-up sentences (sky, bread, birds, ships) are never nearer than 0.38. Without the bound the risk of
`colour of the sky` was `low` with confidence 0.69.
"""

_MOST_KNOWN: Final = 4096
_CLASSES: Final[dict[Kind, tuple[str, ...]]] = {"category_classifier": CATEGORIES, "risk_classifier": RISKS}
_HELD_OUT_OF_FIVE: Final = 1
_FEWEST_FOR_HELD_OUT: Final = 20
_TEMPERATURES: Final = np.geomspace(0.3, 3.0, 25)
# Unit vectors of 384 numbers: with scikit-learn's default of 1 every probability stays near 1/classes.
_INVERSE_REGULARISATION: Final = 10.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrainedClassifier:
    """A linear classifier with calibrated probabilities; immutable, and needing numpy alone to predict.

    `metrics` speaks of agreement with the weak rules on event types held out of training, never of truth.
    """

    kind: Kind
    classes: tuple[str, ...]
    coefficients: Floats
    """`[classes, dimension + structure]`"""
    intercepts: Floats
    known: NDArray[np.float32]
    """Unit vectors of learnt texts, `[at most 4096, dimension]`: what is familiar."""
    temperature: float
    threshold: float
    ceiling: float
    """The highest confidence that so few texts can give: rule of succession where one class was all there was."""
    metrics: dict[str, Any]
    params: dict[str, Any]

    def predict(self, vectors: NDArray[Any], structure: NDArray[Any]) -> tuple[list[str], Floats]:
        """Return label and confidence (0..1) of each row; `unknown` where confidence is under the threshold.

        The confidence of `unknown` is that of the best label, so that a reader sees how near it was; that of a text
        unlike all that was learnt is multiplied by its cosine to the nearest, and so is always under the threshold.
        """
        features = _features(vectors, structure)
        if not self.classes:
            return [UNKNOWN] * len(features), np.zeros(len(features))
        if features.shape[1] != self.coefficients.shape[1]:
            raise ValidationError(f"expected {self.coefficients.shape[1]} features a row, got {features.shape[1]}")
        nearest = (vectors.astype(np.float32) @ self.known.T).max(axis=1)
        shares = _softmax(features @ self.coefficients.T + self.intercepts, self.temperature)
        best = shares.argmax(axis=1)
        confidence = shares[np.arange(len(best)), best] * self.ceiling
        confidence *= np.where(nearest < FAMILIAR_FROM, np.clip(nearest, 0.0, 1.0), 1.0)
        labels = [
            self.classes[index] if sure else UNKNOWN
            for index, sure in zip(best, confidence >= self.threshold, strict=True)
        ]
        return labels, confidence

    def to_artefact(self, **provenance: Any) -> ModelArtefact:
        """Pack it for `registry.save`; `provenance` adds metadata such as `code_version` and `inputs_digest`."""
        arrays = {
            "classes": np.array(self.classes, dtype=np.str_),
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "known": self.known,
            "calibration": np.array([self.temperature, self.threshold, self.ceiling]),
        }
        metadata = {
            **provenance,
            "params": self.params,
            "metrics": self.metrics,
            "feature_names": [f"embedding[{self.known.shape[1]}]", *STRUCTURE],
        }
        return ModelArtefact.build(self.kind, arrays, metadata)

    @classmethod
    def from_artefact(cls, artefact: ModelArtefact) -> "TrainedClassifier":
        """Unpack what `to_artefact` packed."""
        kind = next((kind for kind in KINDS if kind == artefact.kind), None)
        if kind is None:
            raise ValidationError(f"expected an artefact of {' or '.join(KINDS)}, got {artefact.kind}")
        temperature, threshold, ceiling = (float(value) for value in artefact.arrays["calibration"])
        return cls(
            kind=kind,
            classes=tuple(str(label) for label in artefact.arrays["classes"]),
            coefficients=artefact.arrays["coefficients"],
            intercepts=artefact.arrays["intercepts"],
            known=artefact.arrays["known"],
            temperature=temperature,
            threshold=threshold,
            ceiling=ceiling,
            metrics=dict(artefact.metadata["metrics"]),
            params=dict(artefact.metadata["params"]),
        )


def structure_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 `[len(texts), len(STRUCTURE)]`: outcome, kinds of act, how many and how striking the details."""
    features = np.zeros((len(texts), len(STRUCTURE)), dtype=np.float32)
    column = {name: index for index, name in enumerate(STRUCTURE)}
    for row, text in enumerate(texts):
        parts = parse_text(text)
        for name in (f"outcome_{parts.outcome}", *(f"verb_{verb}" for verb in verbs_of(text))):
            if name in column:
                features[row, column[name]] = 1.0
        phrases = [phrase for phrase in parts.details.split(", ") if phrase]
        features[row, column["detail_phrases"]] = min(len(phrases) / 6, 1.0)
        features[row, column["detail_strikes"]] = float(not STRIKING.isdisjoint(parts.details.replace(",", "").split()))
    return features


def weak_label(kind: Kind, text: str) -> str | None:
    """Return what the rules say of a text, or None where they say nothing: the baseline and the teacher."""
    return weak_category(text) if kind == "category_classifier" else weak_risk(text)


def train(
    kind: Kind,
    texts: Sequence[str],
    vectors: NDArray[Any],
    structure: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    seed: int = 0,
) -> TrainedClassifier:
    """Learn the weak labels of distinct texts; equal input and seed give an equal classifier.

    `vectors` are the embeddings of `texts`, `structure` their `structure_features`, `weights` how many events each
    text stands for (its logarithm counts, lest one noisy text outvote a thousand rare ones). Texts that no rule knows
    teach nothing. A fifth of the event types is held out for the figures, then everything is learnt; with fewer than
    20 labelled texts nothing is held out and the figures are null. With one class the confidence is (n + 1) / (n +
    number of possible classes), so that three alike events do not make an oracle; with none, all is `unknown`.
    """
    features = _features(vectors, structure)
    counts = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(texts) == len(features) == len(counts):
        raise ValidationError(
            f"expected as many vectors and weights as texts, got {len(features)} and {len(counts)} for {len(texts)}"
        )
    # In the order of the texts, so that the caller's order (a hash join's, say) cannot change the last digits.
    order = sorted((row for row, text in enumerate(texts) if weak_label(kind, text)), key=lambda row: texts[row])
    labels = np.array([weak_label(kind, texts[row]) for row in order], dtype=np.str_)
    learnt, weight = features[order], 1.0 + np.log1p(counts[order])
    held_out = np.array([_is_held_out(texts[row], seed) for row in order], dtype=bool)

    temperature, figures = 1.0, _no_figures(len(order))
    if len(order) >= _FEWEST_FOR_HELD_OUT and held_out.any() and len(np.unique(labels[~held_out])) > 1:
        trial = _fit(learnt[~held_out], labels[~held_out], weight[~held_out], seed)
        logits = learnt[held_out] @ trial[1].T + trial[2]
        temperature = _calibrate(logits, trial[0], labels[held_out])
        shares = _softmax(logits, temperature)
        figures = _figures(kind, trial[0], shares, labels[held_out], int((~held_out).sum()))

    present = tuple(sorted(set(labels.tolist())))
    if len(present) > 1:
        present, coefficients, intercepts = _fit(learnt, labels, weight, seed)
    else:
        coefficients, intercepts = np.zeros((len(present), features.shape[1])), np.zeros(len(present))
    return TrainedClassifier(
        kind=kind,
        classes=present,
        coefficients=coefficients,
        intercepts=intercepts,
        known=np.asarray(vectors, dtype=np.float32)[order[:: max(1, -(-len(order) // _MOST_KNOWN))]],
        temperature=temperature,
        threshold=ABSTAIN_BELOW[kind],
        ceiling=1.0 if len(present) != 1 else (len(order) + 1) / (len(order) + len(_CLASSES[kind])),
        metrics={
            **figures,
            "texts": len(texts),
            "texts_labelled_by_rules": len(order),
            "events": int(counts.sum()),
            "texts_per_label": dict(sorted(Counter(labels.tolist()).items())),
        },
        params={
            "seed": seed,
            "inverse_regularisation": _INVERSE_REGULARISATION,
            "held_out_share": _HELD_OUT_OF_FIVE / 5,
        },
    )


def _features(vectors: NDArray[Any], structure: NDArray[Any]) -> Floats:
    if vectors.ndim != 2 or structure.ndim != 2 or len(vectors) != len(structure):
        raise ValidationError(
            f"expected two matrices with as many rows each, got the shapes {vectors.shape} and {structure.shape}"
        )
    # Half weight: outcome and verb refine what the vector says and should not decide alone.
    return np.hstack([vectors.astype(np.float64), structure.astype(np.float64) * 0.5])


def _fit(
    features: Floats, labels: NDArray[np.str_], weights: Floats, seed: int
) -> tuple[tuple[str, ...], Floats, Floats]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 — 2.3 s to import, and prediction needs none
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # noqa: PLC0415 — a need of scikit-learn

    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=2000, random_state=seed)
    # One thread: the matrices are small, and on busy cores the threads of BLAS wait for each other (21 s, now 1).
    # Sums in one order also keep the coefficients from depending on the number of cores.
    with threadpool_limits(limits=1):
        model.fit(features, labels, sample_weight=weights / weights.mean())
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # Two classes come as one row of log-odds; as two rows the same softmax serves all.
        coefficients, intercepts = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.hstack([-intercepts, intercepts]) / 2,
        )
    return tuple(str(label) for label in model.classes_), coefficients, intercepts


def _is_held_out(text: str, seed: int) -> bool:
    """Decide by the event type: its texts differ by an outcome or a detail, and would tell on each other."""
    digest = hashlib.sha256(f"{seed}/{parse_text(text).event}".encode()).digest()
    return digest[0] % 5 < _HELD_OUT_OF_FIVE


def _softmax(logits: Floats, temperature: float) -> Floats:
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _calibrate(logits: Floats, classes: tuple[str, ...], labels: NDArray[np.str_]) -> float:
    """Return the temperature with the least log loss on held-out rows (Guo et al. 2017)."""
    known = np.isin(labels, classes)
    if known.sum() < _FEWEST_FOR_HELD_OUT:
        return 1.0
    column = np.searchsorted(classes, labels[known])
    losses = [
        -np.log(_softmax(logits[known], temperature)[np.arange(len(column)), column] + 1e-12).mean()
        for temperature in _TEMPERATURES
    ]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _no_figures(rows: int) -> dict[str, Any]:
    return {
        "measured_against": "weak rules",
        "held_out_texts": 0,
        "trained_texts": rows,
        "agreement_with_rules": None,
        "macro_f1_against_rules": None,
        "share_answered": None,
        "agreement_where_answered": None,
        "largest_class_share": None,
        "confusion": None,
    }


def _figures(
    kind: Kind, classes: tuple[str, ...], shares: Floats, labels: NDArray[np.str_], trained: int
) -> dict[str, Any]:
    predicted = np.array(classes, dtype=np.str_)[shares.argmax(axis=1)]
    answered = shares.max(axis=1) >= ABSTAIN_BELOW[kind]
    right = predicted == labels
    names = sorted({*labels.tolist(), *predicted.tolist()})
    confusion = {
        name: dict(sorted(Counter(predicted[labels == name].tolist()).items())) for name in names if name in labels
    }
    f1 = []
    for name in sorted(set(labels.tolist())):
        hit = float(((predicted == name) & (labels == name)).sum())
        f1.append(2 * hit / float((predicted == name).sum() + (labels == name).sum()))
    return {
        "measured_against": "weak rules",
        "held_out_texts": len(labels),
        "trained_texts": trained,
        "agreement_with_rules": float(right.mean()),
        "macro_f1_against_rules": float(np.mean(f1)),
        "share_answered": float(answered.mean()),
        "agreement_where_answered": float(right[answered].mean()) if answered.any() else None,
        "largest_class_share": max(Counter(labels.tolist()).values()) / len(labels),
        "confusion": confusion,
    }
