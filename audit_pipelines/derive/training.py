"""Fitting models from the lake and the texts, and entering them in the register.

How a model learns is decided in `intelligence`; here is what it learns from and when. Detectors on the way through a
history are `walk_forward`'s; classifiers learn from a tenant's distinct texts.
"""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive.embeddings import embedding_model
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import TrainedModel, TrainingSet, register
from audit_pipelines.derive.walk_forward import SEED, Trail, fit_detector, provenance
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.classifiers import Kind, TrainedClassifier, structure_features, train
from audit_pipelines.intelligence.embed import Embedder, Vectors
from audit_pipelines.lake.datasets import Lake


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
            trail = Trail.of(lake, tenant_id)
            with installation.database.connection("audit_pipeline") as conn:
                done.append(fit_detector(conn, installation, tenant_id, trail, trail.rows, run_id=run_id))
    return done


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
    artefact = classifier.to_artefact(embedder=embedding_model(embedder), **provenance(texts.trained_on))
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


def _training_set(bounds: tuple[Any, ...] | None, digest: str) -> TrainingSet:
    rows, first_seq, last_seq, since, until = bounds or (0, None, None, None, None)
    return TrainingSet(rows, first_seq, last_seq, since, until, digest)
