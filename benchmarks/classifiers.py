"""What the classifiers are worth: categories against labels by hand, risk against rules of a detection library.

Here: figures on data that taught nothing, and the tables that show them. Not here: how a classifier learns. The risk
part needs the `panther-rule-tests` of AUDIT_TEST_DATA; without them it is left out, and says so.
"""

import csv
import gzip
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.classifiers import UNKNOWN, TrainedClassifier, train
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder, Vectors
from audit_pipelines.intelligence.lessons import lessons
from audit_pipelines.intelligence.render import render_texts
from audit_pipelines.intelligence.risk import add_risk
from audit_pipelines.intelligence.teaching import Kind, TextVerdict, structure_features, weak_label

ROOT: Final = Path(__file__).parents[1]
LABELLED: Final = ROOT / "tests" / "labelled" / "categories.tsv"
DATA: Final = Path(os.environ.get("AUDIT_TEST_DATA", ROOT.parent / "shared" / "data"))
FOLDS: Final = 5
_RULES: Final = "panther-rule-tests"


@dataclass(frozen=True)
class Texts:
    """Distinct texts with their vectors, and for each event the place of its text."""

    texts: list[str]
    vectors: NDArray[np.float32]
    structure: NDArray[np.float32]
    place: NDArray[np.int64]


@dataclass(frozen=True)
class CategoryFigures:
    """How the category classifier does on events labelled by hand."""

    events: int
    rules: float
    """Share of events on which the plain rules say what the hand says."""
    accuracy: float
    """Share right by the most likely category, with no abstention."""
    answered: float
    accuracy_where_answered: float
    coverage: list[tuple[float, float, float]]
    """Confidence, share answered, accuracy of those."""
    confusion: dict[str, dict[str, int]]


@dataclass(frozen=True)
class RiskFigures:
    """How well possible harm separates events on which a rule fires from those on which it does not."""

    events: int
    rules: int
    meaning: float
    """ROC-AUC of `risk.meaning`, which learns nothing."""
    untaught: float
    """ROC-AUC of the classifier without any of these labels: nothing to leak."""
    by_rule: float
    """ROC-AUC with the labels of four fifths of the rules as verdicts, measured on the other rules, in five turns."""
    by_log_type: float
    """The same with whole products held out."""
    confusion: dict[str, dict[str, int]]
    """Of the split by rule: fires or not, then whether the harm is over the median of the events that taught."""


def read_labelled() -> pl.DataFrame:
    """Return the events labelled by hand with their `category`."""
    rows = [line.split("\t") for line in LABELLED.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return pl.DataFrame(rows, schema=["event_type", "entity_type", "outcome", "details", "category"], orient="row")


def category_figures(embedder: Embedder) -> CategoryFigures:
    """Train as for a tenant that has these events, without a look at the labels, and compare."""
    events = read_labelled()
    texts = _texts(events, embedder)
    classifier = _train("category_classifier", texts, _lesson_vectors(embedder))
    truth = events["category"].to_numpy()
    shares = classifier.shares(texts.vectors, texts.structure)[texts.place]
    best = np.array(classifier.classes)[shares.argmax(axis=1)]
    labels = np.array(classifier.predict(texts.vectors, texts.structure)[0])[texts.place]
    sure, right, top = labels != UNKNOWN, best == truth, shares.max(axis=1)
    ruled = np.array([weak_label("category_classifier", texts.texts[place]) or "" for place in texts.place])
    return CategoryFigures(
        events=len(truth),
        rules=float((ruled == truth).mean()),
        accuracy=float(right.mean()),
        answered=float(sure.mean()),
        accuracy_where_answered=float((labels[sure] == truth[sure]).mean()),
        coverage=[
            (needed, float((top >= needed).mean()), float(right[top >= needed].mean()))
            for needed in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
            if (top >= needed).any()
        ],
        confusion={
            name: dict(Counter(best[truth == name].tolist()).most_common()) for name in sorted(set(truth.tolist()))
        },
    )


def risk_figures(embedder: Embedder) -> RiskFigures | None:
    """Rank the rule tests by expected harm; None where they are not at hand."""
    if not (DATA / _RULES).is_dir():
        return None
    with gzip.open(DATA / _RULES / "events.ndjson.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    with (DATA / _RULES / "labels.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    events = pl.DataFrame(
        {
            name: [json.dumps(row[name], separators=(",", ":")) if name == "details" else row[name] for row in rows]
            for name in ("event_type", "entity_type", "outcome", "details")
        }
    )
    fires = np.array([row["label"] == "attack" for row in told])
    texts = _texts(events, embedder)
    taught = _lesson_vectors(embedder)
    untaught = _train("risk_classifier", texts, taught)
    harm = untaught.harm(texts.vectors, texts.structure)[texts.place]
    by_rule, said = _taught_by_others(texts, taught, fires, [row["rule_id"] for row in told])
    by_log_type, _ = _taught_by_others(texts, taught, fires, [row["log_type"] for row in told])
    return RiskFigures(
        events=len(fires),
        rules=len({row["rule_id"] for row in told}),
        meaning=float(roc_auc_score(fires, add_risk(events).to_numpy())),
        untaught=float(roc_auc_score(fires, harm)),
        by_rule=float(roc_auc_score(fires, by_rule)),
        by_log_type=float(roc_auc_score(fires, by_log_type)),
        confusion={
            name: dict(Counter(said[fires == fired].tolist()).most_common())
            for name, fired in (("fires", True), ("does not", False))
        },
    )


def measure(installation: Installation, _: int) -> dict[str, Any]:
    """Print both tables and return the figures."""
    embedder = MiniLMEmbedder(installation.settings.storage_dir / "embedders")
    category, risk = category_figures(embedder), risk_figures(embedder)
    print(*category_lines(category), *risk_lines(risk), sep="\n", flush=True)
    return {"category": category.__dict__, "risk": risk.__dict__ if risk else None}


def category_lines(figures: CategoryFigures) -> list[str]:
    """Return the figures of categories as lines to print."""
    return [
        f"categories of {figures.events} events labelled by hand",
        f"  rules alone {figures.rules:.3f}, classifier {figures.accuracy:.3f}",
        f"  it answers {figures.answered:.3f} of them, {figures.accuracy_where_answered:.3f} right",
        "  confidence  answered  right",
        *(f"  {needed:10.2f}  {share:8.3f}  {right:5.3f}" for needed, share, right in figures.coverage),
        *(f"  {name}: {_counts(row)}" for name, row in figures.confusion.items()),
    ]


def risk_lines(figures: RiskFigures | None) -> list[str]:
    """Return the figures of risk as lines to print."""
    if figures is None:
        return [f"risk: left out, no {_RULES} in {DATA}; set AUDIT_TEST_DATA"]
    return [
        f"risk on {figures.events} tests of {figures.rules} detection rules: ROC-AUC, fires against does not",
        f"  words alone (risk.meaning)           {figures.meaning:.3f}",
        f"  classifier, no label of these        {figures.untaught:.3f}",
        f"  taught by other rules                {figures.by_rule:.3f}",
        f"  taught by rules of other products    {figures.by_log_type:.3f}",
        *(f"  {name}: {_counts(row)}" for name, row in figures.confusion.items()),
    ]


def _counts(row: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in row.items())


def _texts(events: pl.DataFrame, embedder: Embedder) -> Texts:
    rendered = render_texts(events).to_list()
    distinct = sorted(set(rendered))
    place = {text: number for number, text in enumerate(distinct)}
    return Texts(
        distinct,
        embedder.encode(distinct),
        structure_features(distinct),
        np.array([place[text] for text in rendered]),
    )


def _lesson_vectors(embedder: Embedder) -> Vectors:
    return embedder.encode([each.text for each in lessons()])


def _train(kind: Kind, texts: Texts, taught: Vectors, verdicts: Sequence[TextVerdict] = ()) -> TrainedClassifier:
    return train(
        kind,
        texts.texts,
        texts.vectors,
        texts.structure,
        weights=np.bincount(texts.place),
        lesson_vectors=taught,
        verdicts=verdicts,
    )


def _taught_by_others(
    texts: Texts, taught: Vectors, fires: NDArray[np.bool_], groups: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Return the harm of each event, and whether it is over the median of the events that taught.

    A classifier has the verdicts of the other groups alone. A group is in one turn whole, so that the tests of a rule
    never lie on both sides. Each verdict counts as that of two persons, since a single one may move little by design.
    """
    fold = np.array([hashlib.sha256(group.encode()).digest()[0] % FOLDS for group in groups])
    harm, said = np.zeros(len(fires)), np.full(len(fires), "not raised", dtype="<U10")
    for turn in range(FOLDS):
        others, here = fold != turn, fold == turn
        verdicts = [
            TextVerdict(texts.texts[place], "true_positive" if fired else "false_positive", float(count), 2)
            for (place, fired), count in sorted(
                Counter(zip(texts.place[others].tolist(), fires[others].tolist(), strict=True)).items()
            )
        ]
        classifier = _train("risk_classifier", texts, taught, verdicts)
        every = classifier.harm(texts.vectors, texts.structure)[texts.place]
        harm[here] = every[here]
        said[here] = np.where(every[here] > np.median(every[others]), "raised", "not raised")
    return harm, said
