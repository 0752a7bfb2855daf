"""The register of models: artefacts on disk and their rows in `audit_ml_models`.

How a model is fitted is decided in `training`, which one is in use in `promotion`. A row is never changed; models that
are not in use any more explain older scores. The same training gives the same digest, hence no second row.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence import registry
from audit_pipelines.intelligence.registry import ModelArtefact

ModelKind = Literal["anomaly_detector", "category_classifier", "risk_classifier"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The events a model was fitted on, by their bounds; the order of bounds is that of the ledger and of time."""

    rows: int
    first_seq: int | None
    last_seq: int | None
    since: datetime | None
    until: datetime | None
    digest: str
    """Hex; equal digests of one tenant mean the same events in the same order (see `training_set`)."""


Figures = Mapping[str, float | None]
"""What was measured of a model, by name."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a model is used, why, and what was measured of it and of the one it was compared with."""

    model_id: str
    used: bool
    reason: str
    compared_with: str | None = None
    new: Figures | None = None
    old: Figures | None = None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model of one tenant in the register."""

    tenant_id: UUID
    model_id: str
    kind: ModelKind
    digest: str
    rows: int
    is_new: bool
    metrics: dict[str, Any]
    decision: Decision | None = None
    """Whether it is used; None for a detector that the plan of a walk asks for."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A row of the register, as far as using the model needs it."""

    model_id: str
    digest: str
    rows: int
    training_digest: str
    last_seq: int | None = None
    """The highest `seq` it was trained on."""


def model_id(kind: ModelKind, digest: str) -> str:
    """Return the id that scores and anomalies carry: kind and the first 16 hex digits of the artefact's digest."""
    return f"{kind}:{digest[:16]}"


def register(
    conn: Connection,
    installation: Installation,
    tenant_id: UUID,
    artefact: ModelArtefact,
    trained_on: TrainingSet,
    *,
    run_id: str,
) -> TrainedModel:
    """Save the artefact and write its row with its lineage; where the same digest is there already, nothing.

    The file comes before the row: a row never names a file that is not there.
    """
    storage = installation.settings.storage_dir
    path = registry.save(artefact, storage)
    kind: ModelKind = _kind(artefact.kind)
    identity = model_id(kind, artefact.digest)
    metadata = artefact.metadata
    row = {
        "tenant_id": tenant_id,
        "model_id": identity,
        "kind": kind,
        "digest": bytes.fromhex(artefact.digest),
        "path": str(path.relative_to(storage)),
        "rows": trained_on.rows,
        "first_seq": trained_on.first_seq,
        "last_seq": trained_on.last_seq,
        "since": trained_on.since,
        "until": trained_on.until,
        "parameters": json.dumps({**metadata["params"], "training_digest": trained_on.digest}, sort_keys=True),
        "metrics": json.dumps(metadata["metrics"], sort_keys=True),
        "code_version": lineage.code_version(),
        "run_id": run_id,
    }
    is_new = conn.execute(query("derive/insert_model"), row).fetchone() is not None
    if is_new:
        source = {
            "kind": "training_set",
            "rows": trained_on.rows,
            "first_seq": trained_on.first_seq,
            "last_seq": trained_on.last_seq,
            "digest": trained_on.digest,
        }
        output = lineage.Output(tenant_id, "model", identity, bytes.fromhex(artefact.digest), (source,), identity)
        lineage.record(conn, [output], run_id=run_id)
    return TrainedModel(tenant_id, identity, kind, artefact.digest, trained_on.rows, is_new, dict(metadata["metrics"]))


def registered(conn: Connection, installation: Installation, tenant_id: UUID, kind: ModelKind) -> list[RegisteredModel]:
    """Return a tenant's models of a kind that the present code made and whose artefact is there, newest first.

    Those that the newest decision about them put aside are left out. One whose file was lost counts as not made: fitted
    again it has the same digest, and the row finds its file again.
    """
    parameters = {"tenant_id": tenant_id, "kind": kind, "code_version": lineage.code_version()}
    rows = [RegisteredModel(*row) for row in conn.execute(query("derive/select_models"), parameters)]
    return [model for model in rows if has_artefact(installation, kind, model.digest)]


def has_artefact(installation: Installation, kind: ModelKind, digest: str) -> bool:
    """Tell whether the file of a model is there; whether it is the right one shows when it is loaded."""
    return registry.artefact_path(installation.settings.storage_dir, kind, digest).exists()


def digests(conn: Connection, tenant_id: UUID, model_ids: list[str]) -> dict[str, str]:
    """Return the full digest (hex) behind each of a tenant's model ids, whichever code made them."""
    parameters = {"tenant_id": tenant_id, "model_ids": model_ids}
    return dict(conn.execute(query("derive/select_model_digests"), parameters).fetchall())


def load(installation: Installation, kind: ModelKind, digest: str) -> ModelArtefact:
    """Read an artefact by its full digest (hex); raises `TamperedError` where the file is another one."""
    return registry.load(installation.settings.storage_dir, kind, digest)


def training_set(events: pl.DataFrame, digest: str) -> TrainingSet:
    """Describe the events (columns `seq`, `occurred_at`) that a model was fitted on."""
    bounds = events.select(
        first_seq=pl.col("seq").min(),
        last_seq=pl.col("seq").max(),
        since=pl.col("occurred_at").min(),
        until=pl.col("occurred_at").max(),
    ).row(0, named=True)
    return TrainingSet(rows=events.height, digest=digest, **bounds)


def _kind(kind: str) -> ModelKind:
    if kind == "anomaly_detector":
        return "anomaly_detector"
    return "category_classifier" if kind == "category_classifier" else "risk_classifier"
