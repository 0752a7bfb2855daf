"""What a classifier learns from: a tenant's texts with the labels of rules, examples, and what analysts said.

Here: features of a text, labels and weights of everything that teaches. Not here: fitting and predicting
(`classifiers`), the rules (`weak_labels`), the examples (`lessons`). It stands between them, so that what may move a
classifier, and by how much, is in one place.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.lessons import lessons
from audit_pipelines.intelligence.render import STRIKING, parse_text
from audit_pipelines.intelligence.weak_labels import (
    RISKS,
    VERBS,
    has_failed,
    verbs_of,
    weak_category,
    weak_risk,
)

Kind = Literal["category_classifier", "risk_classifier"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Verdict = Literal["true_positive", "false_positive", "benign"]

TURNS: Final = (
    "public",
    "any",
    "everything",
    "everyone",
    "external",
    "anonymous",
    "disabled",
    "suspended",
    "without",
    "mfa",
    "administrator",
    "admin",
    "owner",
    "root",
    "privileged",
    "forwarding",
    "exec",
    "bypass",
    "encryption",
    "granted",
)
"""Words among the details that turn the meaning of an act; each is a column of its own."""

STRUCTURE: Final = (
    *(f"outcome_{outcome}" for outcome in ("success", "failure", "denied")),
    *(f"verb_{verb}" for verb in VERBS),
    "detail_phrases",
    "detail_strikes",
    "failed",
    *(f"says_{word}" for word in TURNS),
)
"""Names of the columns of `structure_features`, each in 0..1."""

SOLE_SHARE: Final = 0.05
"""What all verdicts that one person alone stands behind may weigh in training, as a share of everything else.

With it a flood of false verdicts is an opinion among twenty; a second person who says the same makes it
weigh SHARED_WEIGHT an event.
"""

SOLE_MOST: Final = 0.5
"""What one person's verdicts on one text count at most; a rule that met its words counts 1 and more."""

SHARED_SHARE: Final = 2.0
"""What all verdicts that several persons stand behind may weigh, as a share of everything else."""

SHARED_WEIGHT: Final = 4.0
"""What an event counts of which several persons say the same: more than a rule that met its words."""

MOST_LEARNT: Final = 3000
"""Labelled texts of a tenant beyond which a sample is learnt: fitting is then bounded whatever the tenant's size."""

# An example was thought about; a rule, which counts 1 and the logarithm of its events, met its words.
LESSON_WEIGHT: Final = 4.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TextVerdict:
    """What analysts said of the events of one text."""

    text: str
    verdict: Verdict
    weight: float
    """Sum over the events, each bounded per analyst (see `derive.verdicts`)."""
    analysts: int
    """The most distinct persons behind any of these events."""


def structure_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 `[len(texts), len(STRUCTURE)]`: outcome, kinds of act, what the details say."""
    features = np.zeros((len(texts), len(STRUCTURE)), dtype=np.float32)
    column = {name: index for index, name in enumerate(STRUCTURE)}
    for row, text in enumerate(texts):
        parts = parse_text(text)
        for name in (f"outcome_{parts.outcome}", *(f"verb_{verb}" for verb in verbs_of(text))):
            if name in column:
                features[row, column[name]] = 1.0
        phrases = [phrase for phrase in parts.details.split(", ") if phrase]
        features[row, column["detail_phrases"]] = min(len(phrases) / 6, 1.0)
        words = frozenset(parts.details.replace(",", "").split())
        features[row, column["detail_strikes"]] = float(not STRIKING.isdisjoint(words))
        features[row, column["failed"]] = float(has_failed(parts))
        for word in words.intersection(TURNS):
            features[row, column[f"says_{word}"]] = 1.0
    return features


def weak_label(kind: Kind, text: str) -> str | None:
    """Return what the rules say of a text, or None where they say nothing: the baseline."""
    return weak_category(text) if kind == "category_classifier" else weak_risk(text)


@dataclass(frozen=True)
class Taught:
    """What a classifier learns from, row by row in an order that does not depend on the caller's."""

    texts: list[str]
    features: Floats
    labels: NDArray[np.str_]
    weights: Floats
    own: NDArray[np.bool_]
    """A tenant's text with the label of a rule."""
    judged: NDArray[np.bool_]
    """A tenant's text with the label that a verdict gives it."""
    came: Floats
    """Place of the first event of the tenant's text; before all others for lessons."""

    def part(self, which: NDArray[np.bool_]) -> "Taught":
        """Return the rows of a mask."""
        return Taught(
            [text for text, kept in zip(self.texts, which, strict=True) if kept],
            self.features[which],
            self.labels[which],
            self.weights[which],
            self.own[which],
            self.judged[which],
            self.came[which],
        )


def taught_rows(
    kind: Kind,
    texts: Sequence[str],
    vectors: NDArray[Any],
    structure: NDArray[Any],
    *,
    weights: NDArray[Any] | None,
    came: NDArray[Any] | None,
    lesson_vectors: NDArray[Any] | None,
    verdicts: Sequence[TextVerdict],
    seed: int,
) -> Taught:
    """Gather all that teaches a classifier of `kind`; the arguments are those of `classifiers.train`.

    Raises `ValidationError` where rows do not match.
    """
    features = joined_features(vectors, structure)
    counts = np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=np.float64)
    places = np.zeros(len(texts)) if came is None else np.asarray(came, dtype=np.float64)
    if not len(texts) == len(features) == len(counts) == len(places):
        raise ValidationError(
            f"expected as many vectors, weights and places as texts, got {len(features)}, {len(counts)} and "
            f"{len(places)} for {len(texts)}"
        )
    # In the order of the texts, so that the caller's order (a hash join's, say) cannot change the last digits.
    order = sorted((row for row, text in enumerate(texts) if weak_label(kind, text)), key=lambda row: texts[row])
    if len(order) > MOST_LEARNT:
        frequent = sorted(order, key=lambda row: (-counts[row], texts[row]))[: MOST_LEARNT // 2]
        rest = sorted(set(order) - set(frequent), key=lambda row: lot(texts[row], seed))
        order = sorted(frequent + rest[: MOST_LEARNT - len(frequent)], key=lambda row: texts[row])
    rows = [
        (texts[row], features[row], weak_label(kind, texts[row]) or "", 1.0 + np.log1p(counts[row]), 0, places[row])
        for row in order
    ]
    if lesson_vectors is not None:
        examples = lessons()
        taught = joined_features(lesson_vectors, structure_features([each.text for each in examples]))
        rows += [
            (
                each.text,
                taught[row],
                each.category if kind == "category_classifier" else each.risk,
                LESSON_WEIGHT,
                1,
                -1.0,
            )
            for row, each in enumerate(examples)
        ]
    if kind == "risk_classifier":
        rows += _verdict_rows(texts, features, places, verdicts, sum(float(row[3]) for row in rows))
    width = vectors.shape[1] + structure.shape[1]
    origin = np.array([row[4] for row in rows], dtype=np.int64)
    return Taught(
        [row[0] for row in rows],
        np.array([row[1] for row in rows], dtype=np.float64).reshape(len(rows), width),
        np.array([row[2] for row in rows], dtype=np.str_),
        np.array([row[3] for row in rows], dtype=np.float64),
        origin == 0,
        origin == 2,
        np.array([row[5] for row in rows], dtype=np.float64),
    )


def _verdict_rows(
    texts: Sequence[str], features: Floats, places: Floats, verdicts: Sequence[TextVerdict], others: float
) -> list[tuple[str, Floats, str, Any, int, Any]]:
    """Return what verdicts teach: an attack is high at least; what was no attack is a step milder than the rules say.

    All verdicts of one person alone weigh SOLE_SHARE of the rest at most, all that several share SHARED_SHARE.
    """
    known = {text: row for row, text in enumerate(texts)}
    said = sorted(
        (each for each in verdicts if each.text in known and each.weight > 0), key=lambda one: (one.text, one.verdict)
    )
    sole = sum(min(each.weight, SOLE_MOST) for each in said if each.analysts < 2)
    shared = SHARED_WEIGHT * sum(each.weight for each in said if each.analysts >= 2)
    rows = []
    for each in said:
        if each.analysts < 2:
            weight = min(each.weight, SOLE_MOST) * min(1.0, SOLE_SHARE * others / sole)
        else:
            weight = SHARED_WEIGHT * each.weight * min(1.0, SHARED_SHARE * others / shared)
        row = known[each.text]
        rows.append((each.text, features[row], _judged_risk(each), weight, 2, places[row]))
    return rows


def _judged_risk(verdict: TextVerdict) -> str:
    ruled = RISKS.index(weak_risk(verdict.text) or "medium")
    if verdict.verdict == "true_positive":
        return RISKS[max(ruled, RISKS.index("high"))]
    return RISKS[max(ruled - 1, 0)] if verdict.verdict == "benign" else "low"


def joined_features(vectors: NDArray[Any], structure: NDArray[Any]) -> Floats:
    """Return vectors and structure side by side, `[rows, dimension + structure]`."""
    if vectors.ndim != 2 or structure.ndim != 2 or len(vectors) != len(structure):
        raise ValidationError(
            f"expected two matrices with as many rows each, got the shapes {vectors.shape} and {structure.shape}"
        )
    # Half weight: outcome and verb refine what the vector says and should not decide alone.
    return np.hstack([vectors.astype(np.float64), structure.astype(np.float64) * 0.5])


def lot(text: str, seed: int) -> bytes:
    """Draw by the event type: its texts differ by an outcome or a detail, and would tell on each other."""
    return hashlib.sha256(f"{seed}/{parse_text(text).event}".encode()).digest()
