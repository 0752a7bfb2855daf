"""Category and risk of an event, learnt from examples, weak rules and verdicts over the meaning of its canonical text.

Here: fitting, prediction, honest figures. Not here: what is learnt from (`teaching`), the vectors (`embed`), files
(`registry`). It exists because rules know only their words: `remove the trail` and `erase journal` lie side by side as
vectors, and what lies near nothing learnt is answered with `unknown` instead of a guess.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.registry import ModelArtefact
from audit_pipelines.intelligence.teaching import (
    KINDS,
    LESSON_WEIGHT,
    MOST_LEARNT,
    SHARED_SHARE,
    SOLE_SHARE,
    STRUCTURE,
    Floats,
    Kind,
    Taught,
    TextVerdict,
    joined_features,
    lot,
    taught_rows,
    weak_label,
)
from audit_pipelines.intelligence.weak_labels import CATEGORIES, RISKS

UNKNOWN: Final = "unknown"
"""The label of a text about which the classifier is not sure enough."""

ABSTAIN_BELOW: Final[dict[Kind, float]] = {"category_classifier": 0.40, "risk_classifier": 0.50}
"""The confidence that an answer needs where too few texts were held out to choose one."""

RIGHT_WHERE_ANSWERED: Final[dict[Kind, float]] = {"category_classifier": 0.85, "risk_classifier": 0.75}
"""Share of right answers among held-out texts for which the confidence that an answer needs is chosen."""

FAMILIAR_FROM: Final = 0.40
"""Cosine to the nearest learnt text under which a text is strange.

Measured on 114 and 987 texts of real logs: the nearest text of another event type is never farther than 0.41, and
made-up sentences (sky, bread, birds, ships) are never nearer than 0.38. Without the bound the risk of
`colour of the sky` was `low` with confidence 0.69.
"""

HARM: Final = {"low": 0.0, "medium": 1 / 3, "high": 2 / 3, "critical": 1.0}
"""The risk labels as numbers, for ranking."""

_MOST_KNOWN: Final = 4096
_CLASSES: Final[dict[Kind, tuple[str, ...]]] = {"category_classifier": CATEGORIES, "risk_classifier": RISKS}
_FOLDS: Final = 3
_FEWEST_FOR_HELD_OUT: Final = 20
_FEWEST_ANSWERED: Final = 10
_TEMPERATURES: Final = np.geomspace(0.3, 3.0, 25)
_CONFIDENCES: Final = tuple(round(0.30 + 0.05 * step, 2) for step in range(13))
# Unit vectors of 384 numbers: with scikit-learn's default of 1 every probability stays near 1/classes.
_INVERSE_REGULARISATION: Final = 10.0
_LATER_SHARE: Final = 0.2


@dataclass(frozen=True)
class TrainedClassifier:
    """A linear classifier with calibrated probabilities; immutable, and needing numpy alone to predict.

    `metrics` speaks of agreement with rules and examples on event types held out of training, never of truth.
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
        shares = self.shares(vectors, structure)
        if not self.classes or not len(shares):
            return [UNKNOWN] * len(shares), np.zeros(len(shares))
        nearest = (vectors.astype(np.float32) @ self.known.T).max(axis=1)
        best = shares.argmax(axis=1)
        confidence = shares[np.arange(len(best)), best] * self.ceiling
        confidence *= np.where(nearest < FAMILIAR_FROM, np.clip(nearest, 0.0, 1.0), 1.0)
        labels = [
            self.classes[index] if sure else UNKNOWN
            for index, sure in zip(best, confidence >= self.threshold, strict=True)
        ]
        return labels, confidence

    def shares(self, vectors: NDArray[Any], structure: NDArray[Any]) -> Floats:
        """Return the probability of each class for each row, `[rows, classes]`, calibrated on held-out event types."""
        features = joined_features(vectors, structure)
        if not self.classes:
            return np.zeros((len(features), 0))
        if features.shape[1] != self.coefficients.shape[1]:
            raise ValidationError(f"expected {self.coefficients.shape[1]} features a row, got {features.shape[1]}")
        return _softmax(features @ self.coefficients.T + self.intercepts, self.temperature)

    def harm(self, vectors: NDArray[Any], structure: NDArray[Any]) -> Floats:
        """Return the expected harm of each row in 0..1, for ranking; of a risk classifier alone."""
        if self.kind != "risk_classifier":
            raise ValidationError(f"expected a risk_classifier to rank by harm, got a {self.kind}")
        return np.asarray(self.shares(vectors, structure) @ np.array([HARM[label] for label in self.classes]))

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


def train(
    kind: Kind,
    texts: Sequence[str],
    vectors: NDArray[Any],
    structure: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    came: NDArray[Any] | None = None,
    lesson_vectors: NDArray[Any] | None = None,
    verdicts: Sequence[TextVerdict] = (),
    seed: int = 0,
) -> TrainedClassifier:
    """Learn distinct texts; equal input and seed give an equal classifier.

    `vectors` are the embeddings of `texts`, `structure` their `structure_features`, `weights` how many events each
    text stands for (its logarithm counts, lest one noisy text outvote a thousand rare ones), `came` the place of its
    first event, `lesson_vectors` the embeddings of `lessons()`. A text that no rule knows and nobody judged teaches
    nothing. Event types are held out in three turns for calibration, for the confidence that an answer needs and for
    the figures; the last fifth of the texts to come is held out for those `later`. Then everything is learnt. With
    fewer than 20 labelled texts nothing is held out and the figures are null. With one class the confidence is
    (n + 1) / (n + number of possible classes), so that three alike events do not make an oracle; with none, all is
    `unknown`. Beyond 3,000 labelled texts those of most events and a sample of the others are learnt.
    """
    taught = taught_rows(
        kind,
        texts,
        vectors,
        structure,
        weights=weights,
        came=came,
        lesson_vectors=lesson_vectors,
        verdicts=verdicts,
        seed=seed,
    )
    temperature, threshold, figures = 1.0, ABSTAIN_BELOW[kind], _no_figures(len(taught.labels))
    if len(taught.labels) >= _FEWEST_FOR_HELD_OUT and len(np.unique(taught.labels)) > 1:
        temperature, threshold, figures = _held_out(kind, taught, seed)
    present = tuple(sorted(set(taught.labels.tolist())))
    width = taught.features.shape[1]
    if len(present) > 1:
        present, coefficients, intercepts = _fit(taught.features, taught.labels, taught.weights, seed)
    else:
        coefficients, intercepts = np.zeros((len(present), width)), np.zeros(len(present))
    counts = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=np.float64)
    own = taught.labels[taught.own]
    return TrainedClassifier(
        kind=kind,
        classes=present,
        coefficients=coefficients,
        intercepts=intercepts,
        known=taught.features[:: max(1, -(-len(taught.labels) // _MOST_KNOWN)), : vectors.shape[1]].astype(np.float32),
        temperature=temperature,
        threshold=threshold,
        ceiling=1.0 if len(present) != 1 else (len(own) + 1) / (len(own) + len(_CLASSES[kind])),
        metrics={
            **figures,
            "texts": len(texts),
            "texts_labelled_by_rules": len(own),
            "lessons": int((~taught.own & ~taught.judged).sum()),
            "texts_with_verdicts": int(taught.judged.sum()),
            "events": int(counts.sum()),
            "texts_per_label": dict(sorted(Counter(own.tolist()).items())),
            "later": None if came is None else _later_figures(kind, taught, seed),
        },
        params={
            "seed": seed,
            "inverse_regularisation": _INVERSE_REGULARISATION,
            "folds": _FOLDS,
            "lesson_weight": LESSON_WEIGHT,
            "sole_share": SOLE_SHARE,
            "shared_share": SHARED_SHARE,
            "most_learnt": MOST_LEARNT,
        },
    )


def measure(
    classifier: TrainedClassifier, texts: Sequence[str], vectors: NDArray[Any], structure: NDArray[Any]
) -> dict[str, float]:
    """Return how well a classifier agrees with the rules on texts: `agreement`, `share_answered`, `log_loss`, `texts`.

    The measures by which two classifiers are compared on the same texts; empty where no rule knows any of them.
    """
    rows = [row for row, text in enumerate(texts) if weak_label(classifier.kind, text)]
    if not rows or not classifier.classes:
        return {}
    labels = np.array([weak_label(classifier.kind, texts[row]) for row in rows], dtype=np.str_)
    shares = classifier.shares(vectors[rows], structure[rows])
    return _agreement(classifier.classes, shares, labels, classifier.threshold)


def later_rows(came: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which texts are the last fifth to come; the others are what a model may know when they come."""
    place = np.argsort(np.argsort(came, kind="stable"), kind="stable")
    return np.asarray(place >= len(came) - int(len(came) * _LATER_SHARE))


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


def _held_out(kind: Kind, taught: Taught, seed: int) -> tuple[float, float, dict[str, Any]]:
    """Return temperature, needed confidence and figures, all from event types that were not learnt."""
    classes = tuple(sorted(set(taught.labels.tolist())))
    fold = np.array([lot(text, seed)[0] % _FOLDS for text in taught.texts])
    logits = np.full((len(fold), len(classes)), -np.inf)
    for turn in range(_FOLDS):
        out, learnt = fold == turn, taught.part(fold != turn)
        if out.any() and len(set(learnt.labels.tolist())) > 1:
            present, coefficients, intercepts = _fit(learnt.features, learnt.labels, learnt.weights, seed)
            logits[np.ix_(out, np.searchsorted(classes, present))] = taught.features[out] @ coefficients.T + intercepts
    # Verdicts are no measure of themselves: what a flood of them says must not look like agreement.
    seen = np.isfinite(logits).any(axis=1) & ~taught.judged
    if seen.sum() < _FEWEST_FOR_HELD_OUT:
        return 1.0, ABSTAIN_BELOW[kind], _no_figures(len(taught.labels))
    logits, labels, own = logits[seen], taught.labels[seen], taught.own[seen]
    temperature = _calibrate(logits, classes, labels)
    shares = _softmax(logits, temperature)
    threshold, table = _needed_confidence(kind, classes, shares, labels)
    return temperature, threshold, _figures(classes, shares, labels, own=own, threshold=threshold, table=table)


def _needed_confidence(
    kind: Kind, classes: tuple[str, ...], shares: Floats, labels: NDArray[np.str_]
) -> tuple[float, list[dict[str, float]]]:
    """Return the least confidence from which answers are right often enough, and the table that shows the choice."""
    right = np.array(classes, dtype=np.str_)[shares.argmax(axis=1)] == labels
    confidence = shares.max(axis=1)
    table = []
    for needed in _CONFIDENCES:
        answered = confidence >= needed
        if answered.sum() >= _FEWEST_ANSWERED:
            share, agreement = float(answered.mean()), float(right[answered].mean())
            table.append({"confidence": needed, "share_answered": share, "agreement": agreement})
    enough = [row["confidence"] for row in table if row["agreement"] >= RIGHT_WHERE_ANSWERED[kind]]
    return (enough[0] if enough else max(ABSTAIN_BELOW[kind], 0.6)), table


def _later_figures(kind: Kind, taught: Taught, seed: int) -> dict[str, Any] | None:
    """Learn what came early, lessons included, and measure on the tenant's texts that came last; None if too few."""
    own = np.flatnonzero(taught.own)
    if len(own) < _FEWEST_FOR_HELD_OUT:
        return None
    later = np.zeros(len(taught.own), dtype=bool)
    later[own] = later_rows(taught.came[own])
    since = taught.came[later].min()
    early = taught.part(~later & (taught.came < since))
    if len(set(early.labels.tolist())) < 2:
        return None
    classes, coefficients, intercepts = _fit(early.features, early.labels, early.weights, seed)
    shares = _softmax(taught.features[later] @ coefficients.T + intercepts, 1.0)
    return {"from_seq": int(since), **_agreement(classes, shares, taught.labels[later], ABSTAIN_BELOW[kind])}


def _agreement(
    classes: tuple[str, ...], shares: Floats, labels: NDArray[np.str_], threshold: float
) -> dict[str, float]:
    right = np.array(classes, dtype=np.str_)[shares.argmax(axis=1)] == labels
    held = np.isin(labels, classes)
    column = np.searchsorted(classes, np.where(held, labels, classes[0]))
    told = np.where(held, shares[np.arange(len(labels)), column], 0.0)
    return {
        "texts": len(labels),
        "agreement": float(right.mean()),
        "share_answered": float((shares.max(axis=1) >= threshold).mean()),
        "log_loss": float(-np.log(np.maximum(told, 1e-3)).mean()),
    }


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
        "learnt_rows": rows,
        "agreement_with_rules": None,
        "agreement_with_lessons": None,
        "macro_f1_against_rules": None,
        "share_answered": None,
        "agreement_where_answered": None,
        "largest_class_share": None,
        "coverage": None,
        "confusion": None,
    }


def _figures(
    classes: tuple[str, ...],
    shares: Floats,
    labels: NDArray[np.str_],
    *,
    own: NDArray[np.bool_],
    threshold: float,
    table: list[dict[str, float]],
) -> dict[str, Any]:
    predicted = np.array(classes, dtype=np.str_)[shares.argmax(axis=1)]
    answered, right = shares.max(axis=1) >= threshold, predicted == labels
    confusion = {
        name: dict(sorted(Counter(predicted[labels == name].tolist()).items())) for name in sorted(set(labels.tolist()))
    }
    f1 = []
    for name in sorted(set(labels.tolist())):
        hit = float(((predicted == name) & (labels == name)).sum())
        f1.append(2 * hit / float((predicted == name).sum() + (labels == name).sum()))
    return {
        "measured_against": "weak rules" if own.all() else "weak rules and lessons",
        "held_out_texts": len(labels),
        "learnt_rows": len(labels),
        "agreement_with_rules": float(right[own].mean()) if own.any() else None,
        "agreement_with_lessons": float(right[~own].mean()) if (~own).any() else None,
        "macro_f1_against_rules": float(np.mean(f1)),
        "share_answered": float(answered.mean()),
        "agreement_where_answered": float(right[answered].mean()) if answered.any() else None,
        "largest_class_share": max(Counter(labels.tolist()).values()) / len(labels),
        "coverage": table,
        "confusion": confusion,
    }
