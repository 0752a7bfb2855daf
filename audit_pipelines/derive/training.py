"""Fitting models from the lake and the texts, and entering them in the register.

How a model learns is decided in `intelligence`; here is what it learns from and when. An anomaly detector is fitted on
nothing but the past of the events it will score; classifiers learn from a tenant's distinct texts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.embeddings import embedding_model
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import (
    RegisteredModel,
    TrainedModel,
    TrainingSet,
    register,
    registered,
    training_set,
)
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.classifiers import TrainedClassifier, train
from audit_pipelines.intelligence.detectors import ALERT_BUDGET, SCORE_THRESHOLD_DEFAULT, Detector, blocks, fit, score
from audit_pipelines.intelligence.embed import Embedder, Vectors
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.intelligence.registry import ModelArtefact
from audit_pipelines.intelligence.teaching import Kind, structure_features
from audit_pipelines.lake.datasets import Lake

SEED: Final = 0
# Enough for a share with two digits; scoring a whole history for one figure would cost more than fitting.
_METRIC_EVENTS: Final = 5_000


@dataclass(frozen=True)
class Texts:
    """A tenant's distinct texts with their vectors, and how many events each stands for; ordered by text."""

    hashes: list[bytes]
    texts: list[str]
    vectors: Vectors
    events: list[int]
    trained_on: TrainingSet


def train_anomaly_detector(installation: Installation, *, run_id: str) -> list[TrainedModel]:
    """Fit each tenant's detector on all its events in `event_features`; it scores the events that come after.

    Training again on the same events with the same code gives the same digest and no second row.
    """
    lake = Lake(installation.settings.lake_dir)
    done = []
    with exclusive(installation.database, "anomaly_detector"):
        for tenant_id in lake.tenants():
            features = ordered_features(lake, tenant_id)
            with installation.database.connection("audit_pipeline") as conn:
                done.append(_fit_detector(conn, installation, tenant_id, features, run_id))
    return done


def walk_forward_models(
    conn: Connection, installation: Installation, tenant_id: UUID, features: pl.DataFrame, *, run_id: str
) -> list[tuple[int, RegisteredModel]]:
    """Return `(place, model)` in order of place: from that place on (0 is the first event) the model is the newest one
    that was fitted on the past alone; models that the plan of `blocks` needs and nobody has are fitted and registered.

    `features` are all of the tenant's, ordered by (occurred_at, seq). A registered model counts only if the events it
    was fitted on are still exactly the first ones: an event that arrives late has its whole future scored anew.
    """
    by_digest = {
        model.training_digest: model for model in registered(conn, installation, tenant_id, "anomaly_detector")
    }
    planned = {block.fitted_events for block in blocks(features.height)}
    sizes = sorted(planned | {model.rows for model in by_digest.values() if model.rows < features.height})
    found = []
    for size, digest in zip(sizes, prefix_digests(tenant_id, features["seq"], sizes), strict=True):
        if digest not in by_digest and size in planned:
            trained = _fit_detector(conn, installation, tenant_id, features.head(size), run_id)
            by_digest[digest] = RegisteredModel(trained.model_id, trained.digest, size, digest)
        if digest in by_digest:
            found.append((size, by_digest[digest]))
    return found


def prefix_digests(tenant_id: UUID, seqs: pl.Series, sizes: Sequence[int]) -> list[str]:
    """Return for each size (ascending) the SHA-256 (hex) of tenant and the first `seq`s in the order of behaviour.

    Rows of the ledger never change, so the numbers alone say which events they were.
    """
    content = seqs.to_numpy().astype(">i8").tobytes()
    state, at, digests = hashlib.sha256(b"training set v1" + tenant_id.bytes), 0, []
    for size in sizes:
        state.update(content[at * 8 : size * 8])
        at = size
        digests.append(state.hexdigest())
    return digests


def ordered_features(lake: Lake, tenant_id: UUID) -> pl.DataFrame:
    """Read a tenant's features in the order of behaviour."""
    return lake.read("event_features", tenant_id).sort("occurred_at", "seq")


def train_classifier(installation: Installation, kind: Kind, embedder: Embedder, *, run_id: str) -> list[TrainedModel]:
    """Train a classifier of `kind` on each tenant's distinct texts."""
    done = []
    with exclusive(installation.database, kind):
        for tenant_id in Lake(installation.settings.lake_dir).tenants():
            with installation.database.connection("audit_pipeline") as conn:
                texts = read_texts(conn, tenant_id, embedding_model(embedder))
                _, trained = fit_classifier(
                    conn, installation, tenant_id, kind, texts=texts, embedder=embedder, run_id=run_id
                )
            done.append(trained)
    return done


def fit_classifier(
    conn: Connection,
    installation: Installation,
    tenant_id: UUID,
    kind: Kind,
    *,
    texts: Texts,
    embedder: Embedder,
    run_id: str,
) -> tuple[TrainedClassifier, TrainedModel]:
    """Train on one tenant's texts and enter the model in the register."""
    weights = np.array(texts.events, dtype=np.float64)
    classifier = train(kind, texts.texts, texts.vectors, structure_features(texts.texts), weights=weights, seed=SEED)
    artefact = classifier.to_artefact(embedder=embedding_model(embedder), **_provenance(texts.trained_on))
    return classifier, register(conn, installation, tenant_id, artefact, texts.trained_on, run_id=run_id)


def read_texts(conn: Connection, tenant_id: UUID, model: str) -> Texts:
    """Read a tenant's distinct texts with their vectors, ordered by text."""
    parameters = {"tenant_id": tenant_id, "model": model}
    rows = conn.execute(query("derive/select_texts"), parameters).fetchall()
    bounds = conn.execute(query("derive/select_text_bounds"), {"tenant_id": tenant_id}).fetchone()
    state = hashlib.sha256(f"texts v1 {model}".encode())
    for digest, _, _, events in rows:
        state.update(digest + events.to_bytes(8))
    vectors = np.array([np.fromstring(vector[1:-1], dtype=np.float32, sep=",") for _, _, vector, _ in rows])
    return Texts(
        [digest for digest, _, _, _ in rows],
        [text for _, text, _, _ in rows],
        vectors.reshape(len(rows), -1),
        [events for _, _, _, events in rows],
        _training_set(bounds, state.hexdigest()),
    )


def _fit_detector(
    conn: Connection, installation: Installation, tenant_id: UUID, past: pl.DataFrame, run_id: str
) -> TrainedModel:
    digest = prefix_digests(tenant_id, past["seq"], [past.height])[0]
    trained_on = training_set(past, digest)
    detector = fit(past, seed=SEED)
    metadata = {
        **_provenance(trained_on),
        "params": {"seed": SEED},
        "feature_names": list(SURPRISES),
        "metrics": _metrics(detector, past),
    }
    artefact = ModelArtefact.build("anomaly_detector", detector.to_arrays(), metadata)
    return register(conn, installation, tenant_id, artefact, trained_on, run_id=run_id)


def _metrics(detector: Detector, past: pl.DataFrame) -> dict[str, Any]:
    recent = past.tail(_METRIC_EVENTS)
    share = float((score(detector, recent) >= SCORE_THRESHOLD_DEFAULT).mean()) if recent.height else None
    return {"alert_budget": ALERT_BUDGET, "events": past.height, "share_over_threshold_in_training": share}


def _provenance(trained_on: TrainingSet) -> dict[str, Any]:
    return {
        "code_version": lineage.code_version(),
        "inputs_digest": trained_on.digest,
        "rows": trained_on.rows,
        "trained_from": trained_on.since.isoformat() if trained_on.since else None,
        "trained_to": trained_on.until.isoformat() if trained_on.until else None,
    }


def _training_set(bounds: tuple[Any, ...] | None, digest: str) -> TrainingSet:
    rows, first_seq, last_seq, since, until = bounds or (0, None, None, None, None)
    return TrainingSet(rows, first_seq, last_seq, since, until, digest)
