"""`audit_anomalies`: events at or over the threshold, with reasons in words and the row they can be checked against.

Scores come from `event_scores`, words from `intelligence.reasons`. An analyst's verdict is never overwritten.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import NO_MODEL
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import digests
from audit_pipelines.derive.scoring import detector
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.reasons import explain, severity
from audit_pipelines.lake.datasets import UTC_MICROSECONDS, Lake

_COLUMNS: Final = {
    "seq": pl.Int64(),
    "event_id": pl.String(),
    "row_hash": pl.String(),
    "occurred_at": UTC_MICROSECONDS,
    "actor_ref": pl.String(),
    "event_type": pl.String(),
    "score": pl.Float64(),
    "severity": pl.String(),
    "reasons": pl.String(),
    "model_id": pl.String(),
}


@dataclass(frozen=True, slots=True)
class AnomalyUpdate:
    """What detection came to for one tenant."""

    tenant_id: UUID
    events: int
    anomalies: int
    new: int
    withdrawn: int
    """Anomalies of earlier runs that no longer reach the threshold and that nobody has judged."""
    enough: bool
    """Whether the tenant has AUDIT_MIN_EVENTS_FOR_DETECTION events; without, nothing is reported."""


def update_anomalies(installation: Installation, *, run_id: str, tenant_id: UUID | None = None) -> list[AnomalyUpdate]:
    """Write every scored event at or over AUDIT_ANOMALY_THRESHOLD, and withdraw those that fell below it.

    Of all tenants, or of one.
    One transaction per tenant, with its row of `audit_lineage`.
    """
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "anomalies"):
        return [
            _update_tenant(installation, lake, tenant, run_id)
            for tenant in lake.tenants()
            if tenant_id in {None, tenant}
        ]


def _update_tenant(installation: Installation, lake: Lake, tenant_id: UUID, run_id: str) -> AnomalyUpdate:
    settings = installation.settings
    scores = lake.read("event_scores", tenant_id)
    if scores.filter(pl.col("model_id") != NO_MODEL).height < settings.audit_min_events_for_detection:
        return AnomalyUpdate(tenant_id, scores.height, 0, 0, 0, enough=False)
    over = scores.filter(pl.col("score") >= settings.audit_anomaly_threshold).select("seq", "score", "model_id")
    found = _explained(installation, lake, tenant_id, over)
    columns = {name: found[name].to_list() for name in found.columns}
    stamp = lake.stamp("event_scores", tenant_id)
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(
            query("derive/upsert_anomalies"), {"tenant_id": tenant_id, "run_id": run_id, **columns}
        ).fetchone()
        changed, new = row or (0, 0)
        bounds = {"tenant_id": tenant_id, "seq": columns["seq"], "through_seq": stamp.through_seq if stamp else -1}
        withdrawn = conn.execute(query("derive/withdraw_anomalies"), bounds).rowcount
        if changed or withdrawn:
            path = lake.dataset_path("event_scores", tenant_id)
            digest = lineage.file_digest(path)
            source = lineage.file_input("event_scores", str(path.relative_to(lake.root.parent)), digest)
            key = f"seq 0-{bounds['through_seq']}"
            lineage.record(
                conn, [lineage.Output(tenant_id, "anomalies", key, _digest(found), (source,))], run_id=run_id
            )
    return AnomalyUpdate(tenant_id, scores.height, found.height, new, withdrawn, enough=True)


def _explained(installation: Installation, lake: Lake, tenant_id: UUID, over: pl.DataFrame) -> pl.DataFrame:
    """Return one row per anomaly with everything the table wants; each explained by the model that scored it."""
    features = lake.read("event_features", tenant_id).join(over, on="seq", how="inner").sort("seq")
    hashes = lake.events(tenant_id, columns=("seq", "row_hash"))
    features = features.join(hashes, on="seq", how="inner", maintain_order="left")
    with installation.database.connection("audit_pipeline") as conn:
        known = digests(conn, tenant_id, over["model_id"].unique().to_list())
    pieces = [_empty()]
    for (model_id,), piece in features.group_by("model_id", maintain_order=True):
        told = explain(piece, detector(installation, known[str(model_id)]))
        graded = [severity(score, risk) for score, risk in zip(piece["score"], piece["risk"], strict=True)]
        reasons = [
            json.dumps([{"feature": one.feature, "text": one.text, "share": one.share} for one in reasons])
            for reasons in told
        ]
        pieces.append(
            piece.with_columns(
                severity=pl.Series(graded, dtype=pl.String), reasons=pl.Series(reasons, dtype=pl.String)
            ).select(list(_COLUMNS))
        )
    return pl.concat(pieces).sort("seq")


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=_COLUMNS)


def _digest(found: pl.DataFrame) -> bytes:
    return hashlib.sha256("\n".join(json.dumps(row, default=str) for row in found.iter_rows()).encode()).digest()


def severity_counts(installation: Installation) -> list[tuple[str, int]]:
    """Count all anomalies by severity, most severe first."""
    with installation.database.connection("audit_pipeline") as conn:
        return [(severity, count) for severity, count in conn.execute(query("derive/count_severities"))]
