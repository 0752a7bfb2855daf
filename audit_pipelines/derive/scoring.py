"""`event_scores`: every event of every tenant, each scored by a model that knew nothing but its past.

Which models those are is decided in `training`; how a model scores, in `intelligence.detectors`.
"""

import polars as pl

from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import unscored
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import RegisteredModel, load
from audit_pipelines.derive.training import ordered_features, walk_forward_models
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow, tenant_windows, write
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.detectors import Detector, score
from audit_pipelines.lake.datasets import Lake


def score_events(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `event_scores` up to date from `event_features`.

    From its place in the order of (occurred_at, seq) on, each registered model scores until a newer one takes over;
    none scores an event that it was fitted on. On a fresh history this equals `detectors.walk_forward`.
    """
    lake = Lake(installation.settings.lake_dir)
    done = []
    with exclusive(installation.database, "event_scores"):
        for window in tenant_windows(lake, redo):
            features = ordered_features(lake, window.tenant_id)
            with installation.database.connection("audit_pipeline") as conn:
                models = walk_forward_models(conn, installation, window.tenant_id, features, run_id=run_id)
            done.append(_score_tenant(installation, lake, window, features, models, run_id=run_id, redo=redo))
    return done


def detector(installation: Installation, digest: str) -> Detector:
    """Load a detector by the digest of its artefact (hex)."""
    return Detector.from_arrays(load(installation, "anomaly_detector", digest).arrays)


def _score_tenant(
    installation: Installation,
    lake: Lake,
    window: TenantWindow,
    features: pl.DataFrame,
    models: list[tuple[int, RegisteredModel]],
    *,
    run_id: str,
    redo: Redo | None = None,
) -> TenantUpdate:
    beside = tuple(lineage.file_input("model", model.model_id, model.digest) for _, model in models)
    stamp = window.stamp(*(model.digest for _, model in models))
    if redo is None and lake.stamp("event_scores", window.tenant_id) == stamp:
        return TenantUpdate(window.tenant_id, lake.read("event_scores", window.tenant_id, ("seq",)).height, None)
    accesses = unscored(lake.events(window.tenant_id))
    frame = pl.concat([score_by_past(installation, features, models), accesses]).sort("occurred_at", "seq")
    written = write(
        installation, lake, "event_scores", window, frame, stamp=stamp, beside=beside, run_id=run_id, redo=redo
    )
    return TenantUpdate(window.tenant_id, written.rows, written)


def score_by_past(
    installation: Installation, features: pl.DataFrame, models: list[tuple[int, RegisteredModel]]
) -> pl.DataFrame:
    """Score ordered features with the models of `walk_forward_models`, each from its place to that of the next."""
    pieces = []
    # Without models there is no event to score: a tenant whose trail is only read.
    ends = [place for place, _ in models[1:]] + [features.height] * bool(models)
    for (place, model), end in zip(models, ends, strict=True):
        piece = features.slice(place, end - place)
        pieces.append(
            piece.select("tenant_id", "seq", "event_id", "occurred_at", "actor_ref").with_columns(
                score=pl.Series(score(detector(installation, model.digest), piece), dtype=pl.Float64),
                model_id=pl.lit(model.model_id),
            )
        )
    empty = features.select("tenant_id", "seq", "event_id", "occurred_at", "actor_ref").clear()
    return pl.concat(pieces) if pieces else empty.with_columns(score=pl.lit(0.0), model_id=pl.lit(""))
