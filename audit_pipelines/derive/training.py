"""Fitting models from the lake and the texts, and entering them in the register.

How a model learns is decided in `intelligence`; here is what it learns from and when, and what the newly trained one is
measured by before `promotion` decides. An anomaly detector is fitted on nothing but the past of the events it will
score; classifiers learn from a tenant's distinct texts, from examples and from verdicts.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, get_args
from uuid import UUID

import numpy as np
import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import detector_choice, promotion
from audit_pipelines.derive.embedders import embedder_in_use, embedding_model, model_in_use
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import (
    Decision,
    RegisteredModel,
    TrainedModel,
    TrainingSet,
    load,
    register,
)
from audit_pipelines.derive.promotion import Measure
from audit_pipelines.derive.trail import Trail
from audit_pipelines.derive.verdicts import verdict_labels
from audit_pipelines.derive.walk_forward import SEED, fit_detector, provenance
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.classifiers import TrainedClassifier, later_rows, measure, train
from audit_pipelines.intelligence.detectors import READS, Detector
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder, Vectors
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.intelligence.lessons import lessons
from audit_pipelines.intelligence.teaching import Kind, TextVerdict, Verdict, structure_features
from audit_pipelines.lake.datasets import Lake

MEASURES: Final = (Measure("agreement", 0.03), Measure("log_loss", 0.10, "lower"))
"""How far a new classifier may fall behind the one in use, on the same texts."""

LabelSource = Callable[[Connection, UUID], pl.DataFrame]
"""Reads a tenant's verdicts as labels: seq, verdict, weight in (0, 1], analysts; one row per judged event."""

_FEWEST_LATER: Final = 20
# A run has three that ask, each with an embedder of its own; some 2 s of processor time each.
_LESSONS_IN_MINILM: Final[dict[str, Vectors]] = {}


@dataclass(frozen=True)
class Texts:
    """A tenant's distinct texts with their vectors, and how many events each stands for; ordered by text."""

    hashes: list[bytes]
    texts: list[str]
    vectors: Vectors
    events: list[int]
    came: list[int]
    """The `seq` of the first event of each text."""
    verdicts: tuple[TextVerdict, ...]
    trained_on: TrainingSet


def train_anomaly_detector(
    installation: Installation, *, run_id: str, labels: LabelSource = verdict_labels
) -> list[TrainedModel]:
    """Fit each tenant's detector on all its events in `event_features`; if it is used, it scores what comes after.

    Training again on the same events with the same code gives the same digest and no second row.
    """
    lake = Lake(installation.settings.lake_dir)
    done = []
    with exclusive(installation.database, "anomaly_detector"):
        for tenant_id in lake.tenants():
            trail = Trail.of(lake, tenant_id)
            with installation.database.connection("audit_pipeline") as conn:
                told = labels(conn, tenant_id)
                # Without verdicts: what analysts say later must not give the same detector another digest.
                later = detector_choice.later_figures(trail.rows, _taking(trail), told.clear(), seed=SEED)
                trained = fit_detector(conn, installation, tenant_id, trail, trail.rows, run_id=run_id, later=later)
                done.append(_choose_detector(conn, installation, trained, trail, told, run_id=run_id))
    return done


def train_classifier(
    installation: Installation, kind: Kind, embedder: Embedder, *, run_id: str, labels: LabelSource = verdict_labels
) -> list[TrainedModel]:
    """Train a classifier of `kind` on each tenant's distinct texts."""
    done = []
    with exclusive(installation.database, kind):
        taught = Lessons(installation, embedder)
        for tenant_id in Lake(installation.settings.lake_dir).tenants():
            with installation.database.connection("audit_pipeline") as conn:
                model = model_in_use(conn, tenant_id, embedder)
                texts = read_texts(conn, tenant_id, model, labels)
                vectors = taught.vectors(conn, tenant_id, model)
                done.append(
                    fit_classifier(
                        conn, installation, tenant_id, kind, texts=texts, model=model, taught=vectors, run_id=run_id
                    )
                )
    return done


class Lessons:
    """The examples that every classifier learns, some 250 short texts, embedded once by each model asked for."""

    def __init__(self, installation: Installation, embedder: Embedder) -> None:
        self._installation = installation
        self._embedder = embedder
        self._vectors: dict[str, Vectors] = {}

    def vectors(self, conn: Connection, tenant_id: UUID, model: str) -> Vectors | None:
        """Return the examples' vectors of the embedding model that a tenant uses; None if it is not to be had any more.

        Then a classifier learns without them, until the tenant's texts have vectors of a model that is there.
        """
        if model not in self._vectors:
            own = embedding_model(self._embedder) == model
            used = self._embedder if own else embedder_in_use(self._installation, conn, tenant_id)
            if used is None:
                return None
            self._vectors[model] = _lesson_vectors(used)
        return self._vectors[model]


def _lesson_vectors(embedder: Embedder) -> Vectors:
    """Return the examples' vectors; those of the built-in model, whose digest decides them, once in a process."""
    texts = [each.text for each in lessons()]
    if not isinstance(embedder, MiniLMEmbedder):
        return embedder.encode(texts)
    if embedder.digest not in _LESSONS_IN_MINILM:
        vectors = embedder.encode(texts)
        vectors.setflags(write=False)
        _LESSONS_IN_MINILM[embedder.digest] = vectors
    return _LESSONS_IN_MINILM[embedder.digest]


def fit_classifier(
    conn: Connection,
    installation: Installation,
    tenant_id: UUID,
    kind: Kind,
    *,
    texts: Texts,
    model: str,
    taught: Vectors | None,
    run_id: str,
) -> TrainedModel:
    """Train on one tenant's texts with vectors of the embedding `model`, register, and decide whether it is used."""

    def learn(which: slice | np.ndarray[Any, np.dtype[np.bool_]]) -> TrainedClassifier:
        some = np.arange(len(texts.texts))[which]
        rows = [texts.texts[row] for row in some]
        return train(
            kind,
            rows,
            texts.vectors[some],
            structure_features(rows),
            weights=np.array(texts.events, dtype=np.float64)[some],
            came=np.array(texts.came, dtype=np.float64)[some],
            lesson_vectors=taught,
            verdicts=texts.verdicts,
            seed=SEED,
        )

    classifier = learn(slice(None))
    artefact = classifier.to_artefact(embedder=model, **provenance(texts.trained_on))
    trained = register(conn, installation, tenant_id, artefact, texts.trained_on, run_id=run_id)
    if known := promotion.decided(conn, tenant_id, trained.model_id):
        return replace(trained, decision=known)
    old = promotion.in_use(conn, installation, tenant_id, kind)
    decision = Decision(trained.model_id, True, "the first of its kind", new=classifier.metrics["later"])
    if old is not None:
        former = load(installation, kind, old.digest)
        reads = ("embedder", "feature_names")
        if any(former.metadata[name] != artefact.metadata[name] for name in reads):
            reason = f"{old.model_id} in use reads other vectors or features and cannot be measured on these"
            decision = Decision(trained.model_id, True, reason, old.model_id, classifier.metrics["later"])
        else:
            before = TrainedClassifier.from_artefact(former)
            decision = _compared(classifier, learn, texts, model_id=trained.model_id, old=old, former=before)
    promotion.decide(conn, trained, decision, run_id=run_id)
    return replace(trained, decision=decision)


def _compared(
    classifier: TrainedClassifier,
    learn: Callable[[np.ndarray[Any, np.dtype[np.bool_]]], TrainedClassifier],
    texts: Texts,
    *,
    model_id: str,
    old: RegisteredModel,
    former: TrainedClassifier,
) -> Decision:
    """Compare on the later half of the texts that are new to the one in use, or on the last fifth that both know."""
    came = np.array(texts.came, dtype=np.float64)
    new = came > (-1 if old.last_seq is None else old.last_seq)
    if new.sum() >= 2 * _FEWEST_LATER:
        later = came >= np.median(came[new])
        classifier, on = learn(~later), f"{later.sum()} texts that neither learnt"
    else:
        later = later_rows(came)
        on = f"{later.sum()} texts that both learnt, since {new.sum()} new ones are too few"
    rows = [text for text, kept in zip(texts.texts, later, strict=True) if kept]
    mine, theirs = (
        measure(each, rows, texts.vectors[later], structure_features(rows)) for each in (classifier, former)
    )
    return promotion.compare(model_id, mine, old, theirs, MEASURES, on=on)


def read_texts(conn: Connection, tenant_id: UUID, model: str, labels: LabelSource = verdict_labels) -> Texts:
    """Read a tenant's distinct texts with their vectors, ordered by text, and what analysts said of them."""
    parameters = {"tenant_id": tenant_id, "model": model}
    rows = conn.execute(query("derive/select_texts"), parameters).fetchall()
    bounds = conn.execute(query("derive/select_text_bounds"), {"tenant_id": tenant_id}).fetchone()
    state = hashlib.sha256(f"texts v2 {model}".encode())
    for digest, _, _, events, came in rows:
        state.update(digest + events.to_bytes(8) + came.to_bytes(8))
    verdicts = _text_verdicts(conn, tenant_id, labels(conn, tenant_id), {row[0]: row[1] for row in rows})
    for each in verdicts:
        state.update(f"{each.text}\0{each.verdict}\0{each.weight!r}\0{each.analysts}\n".encode())
    vectors = np.array([np.fromstring(row[2][1:-1], dtype=np.float32, sep=",") for row in rows])
    return Texts(
        [row[0] for row in rows],
        [row[1] for row in rows],
        vectors.reshape(len(rows), -1),
        [row[3] for row in rows],
        [row[4] for row in rows],
        verdicts,
        _training_set(bounds, state.hexdigest()),
    )


def _text_verdicts(
    conn: Connection, tenant_id: UUID, labels: pl.DataFrame, texts: dict[bytes, str]
) -> tuple[TextVerdict, ...]:
    """Gather the verdicts on events as verdicts on their texts, in an order that does not depend on the database's."""
    if not labels.height:
        return ()
    parameters = {"tenant_id": tenant_id, "seqs": labels["seq"].to_list()}
    of_events = dict(conn.execute(query("derive/select_texts_of_events"), parameters).fetchall())
    said: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for seq, verdict, weight, analysts in labels.sort("seq").select("seq", "verdict", "weight", "analysts").iter_rows():
        if text := texts.get(of_events.get(seq, b"")):
            said.setdefault((text, verdict), []).append((weight, analysts))
    return tuple(
        TextVerdict(text, verdict, sum(weight for weight, _ in rows), max(analysts for _, analysts in rows))
        for (text, told), rows in sorted(said.items())
        for verdict in get_args(Verdict)
        if verdict == told
    )


def _choose_detector(
    conn: Connection,
    installation: Installation,
    trained: TrainedModel,
    trail: Trail,
    labels: pl.DataFrame,
    *,
    run_id: str,
) -> TrainedModel:
    if known := promotion.decided(conn, trained.tenant_id, trained.model_id):
        return replace(trained, decision=known)
    old = promotion.in_use(conn, installation, trained.tenant_id, "anomaly_detector")
    former = None
    if old and load(installation, "anomaly_detector", old.digest).metadata["feature_names"] == list(SURPRISES):
        former = (old, _detector(installation, old.digest))
    decision = detector_choice.judge(
        _detector(installation, trained.digest),
        trained.model_id,
        former,
        rows=trail.rows,
        take=_taking(trail),
        labels=labels,
        seed=SEED,
    )
    promotion.decide(conn, trained, decision, run_id=run_id)
    return replace(trained, decision=decision)


def _detector(installation: Installation, digest: str) -> Detector:
    return Detector.from_arrays(load(installation, "anomaly_detector", digest).arrays)


def _taking(trail: Trail) -> detector_choice.Take:
    return lambda places: trail.take(places, READS)


def _training_set(bounds: tuple[Any, ...] | None, digest: str) -> TrainingSet:
    rows, first_seq, last_seq, since, until = bounds or (0, None, None, None, None)
    return TrainingSet(rows, first_seq, last_seq, since, until, digest)
