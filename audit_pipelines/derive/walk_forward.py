"""The detectors that score a tenant's events, each fitted on nothing but the events before those it scores.

What goes through a history is planned by `detectors.blocks`; here the models that the plan needs are found in the
register or fitted. Neither reads the history: prefixes of it have names (see `trail`), and a fit reads a sample.
"""

from typing import Any, Final
from uuid import UUID

import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.derive import lineage
from audit_pipelines.derive.models import (
    Figures,
    RegisteredModel,
    TrainedModel,
    TrainingSet,
    register,
    registered,
    training_set,
)
from audit_pipelines.derive.trail import Trail, prefix_digests
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.detectors import (
    ALERT_BUDGET,
    READS,
    SCORE_THRESHOLD_DEFAULT,
    Detector,
    blocks,
    fit,
    sample_places,
    score,
)
from audit_pipelines.intelligence.features import SURPRISES
from audit_pipelines.intelligence.registry import ModelArtefact

SEED: Final = 0
# Enough for a share with two digits; scoring a whole history for one figure would cost more than fitting.
_METRIC_EVENTS: Final = 5_000


def walk_forward_models(
    conn: Connection, installation: Installation, tenant_id: UUID, trail: Trail, *, run_id: str
) -> list[tuple[int, RegisteredModel]]:
    """Return `(place, model)` in order of place: from that place on (0 is the first event) the model is the newest one
    that was fitted on the past alone; models that the plan of `blocks` needs and nobody has are fitted and registered.

    A registered model counts only if the events it was fitted on are still exactly the first ones: an event that
    arrives late has its whole future scored anew.
    """
    by_digest = {
        model.training_digest: model for model in registered(conn, installation, tenant_id, "anomaly_detector")
    }
    planned = {block.fitted_events for block in blocks(trail.rows)}
    sizes = sorted(planned | {model.rows for model in by_digest.values() if model.rows < trail.rows})
    found = []
    for size, digest in zip(sizes, prefix_digests(tenant_id, trail, sizes), strict=True):
        if digest not in by_digest and size in planned:
            trained = fit_detector(conn, installation, tenant_id, trail, size, run_id=run_id)
            by_digest[digest] = RegisteredModel(trained.model_id, trained.digest, size, digest)
        if digest in by_digest:
            found.append((size, by_digest[digest]))
    return found


def fit_detector(
    conn: Connection,
    installation: Installation,
    tenant_id: UUID,
    trail: Trail,
    events: int,
    *,
    run_id: str,
    later: Figures | None = None,
) -> TrainedModel:
    """Fit a detector on a sample of the first events of a trail and enter it in the register, with how it did later."""
    digest = prefix_digests(tenant_id, trail, [events])[0]
    trained_on = training_set(trail.slice(0, events, ("seq", "occurred_at")), digest)
    detector = fit(trail.take(sample_places(events), READS), seed=SEED, events=events)
    metadata = {
        **provenance(trained_on),
        "params": {"seed": SEED},
        "feature_names": list(SURPRISES),
        "metrics": {
            **_metrics(detector, trail.slice(max(0, events - _METRIC_EVENTS), events, READS), events),
            "later": later,
        },
    }
    artefact = ModelArtefact.build("anomaly_detector", detector.to_arrays(), metadata)
    return register(conn, installation, tenant_id, artefact, trained_on, run_id=run_id)


def _metrics(detector: Detector, recent: pl.DataFrame, events: int) -> dict[str, Any]:
    share = float((score(detector, recent) >= SCORE_THRESHOLD_DEFAULT).mean()) if recent.height else None
    return {"alert_budget": ALERT_BUDGET, "events": events, "share_over_threshold_in_training": share}


def provenance(trained_on: TrainingSet) -> dict[str, Any]:
    """Return what an artefact says of its training."""
    return {
        "code_version": lineage.code_version(),
        "inputs_digest": trained_on.digest,
        "rows": trained_on.rows,
        "trained_from": trained_on.since.isoformat() if trained_on.since else None,
        "trained_to": trained_on.until.isoformat() if trained_on.until else None,
    }
