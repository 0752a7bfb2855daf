"""`audit_anomalies`: events at or over the threshold, with reasons in words and the rows they can be checked against.

Scores come from `event_scores`, words from `intelligence.reasons`, the events beside them from
`intelligence.comparisons`. An analyst's verdict is never overwritten. What belongs together is `derive.incidents`',
doing it all again from the ledger `derive.recompute`'s.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import NO_MODEL, business
from audit_pipelines.derive.changes import mark_read, unread_scores
from audit_pipelines.derive.drift import scored_events
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import digests
from audit_pipelines.derive.scoring import detector
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.comparisons import COLUMNS as COMPARED_COLUMNS
from audit_pipelines.intelligence.comparisons import compare
from audit_pipelines.intelligence.detectors import Detector
from audit_pipelines.intelligence.reasons import explain, severity
from audit_pipelines.intelligence.risk import meaning
from audit_pipelines.lake.datasets import UTC_MICROSECONDS, Dataset, Lake

SeqRange = tuple[int, int]
"""A range of `seq`, both ends inclusive."""

_COLUMNS: Final = {
    "seq": pl.Int64(),
    "event_id": pl.String(),
    "row_hash": pl.String(),
    "occurred_at": UTC_MICROSECONDS,
    "actor_ref": pl.String(),
    "event_type": pl.String(),
    "score": pl.Float64(),
    "severity": pl.String(),
    "meaning": pl.String(),
    "risk": pl.Float64(),
    "reasons": pl.String(),
    "compared_with": pl.String(),
    "model_id": pl.String(),
    # Not kept: suppressions are looked up by them.
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "ip_index": pl.String(),
}
_EVENT_COLUMNS: Final = (*COMPARED_COLUMNS, "entity_type", "entity_id")


@dataclass(frozen=True, slots=True)
class AnomalyUpdate:
    """What detection came to for one tenant."""

    tenant_id: UUID
    events: int
    """Scored events that were looked at."""
    anomalies: int
    new: int
    withdrawn: int
    """Anomalies of earlier runs that no longer reach the threshold and that nobody has judged."""
    enough: bool
    """Whether the tenant has AUDIT_MIN_EVENTS_FOR_DETECTION events; without, nothing is reported."""
    suppressed: int = 0
    """Anomalies among the new ones that a suppression covers: written and counted like all others."""


def update_anomalies(
    installation: Installation,
    *,
    run_id: str,
    tenant_id: UUID | None = None,
    changed: Mapping[UUID, Sequence[SeqRange]] | None = None,
) -> list[AnomalyUpdate]:
    """Write every scored event at or over AUDIT_ANOMALY_THRESHOLD, and withdraw those that fell below it.

    Of all tenants, or of one. With `changed`, only events in those ranges of a tenant are looked at, and tenants that
    it does not name are left alone: the cost follows what changed. One transaction per tenant, with its row of
    `audit_lineage`.
    """
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "anomalies"):
        return [
            _update_tenant(installation, lake, tenant, run_id, None if changed is None else changed[tenant])
            for tenant in lake.tenants()
            if tenant_id in {None, tenant} and (changed is None or changed.get(tenant))
        ]


def update_changed_anomalies(installation: Installation, *, run_id: str) -> list[AnomalyUpdate]:
    """Do what `update_anomalies` does for the scores that are new or others since this was last done to its end.

    Everything is looked at anew after a change of the threshold or of the code, and of a tenant that had too few events
    so far. Tenants without such scores are in no answer.
    """
    settings = installation.settings
    lake, done = Lake(settings.lake_dir), []
    reader = f"anomalies of {settings.audit_anomaly_threshold:g} and more, code {lineage.code_version()[:16]}"
    with exclusive(installation.database, "anomalies"):
        for changed in unread_scores(lake, reader):
            update = None
            if changed.ranges:
                update = _update_tenant(installation, lake, changed.tenant_id, run_id, changed.ranges)
                done.append(update)
            if update is None or update.enough:
                mark_read(lake, reader, changed)
    return done


def _update_tenant(
    installation: Installation, lake: Lake, tenant_id: UUID, run_id: str, ranges: Sequence[SeqRange] | None
) -> AnomalyUpdate:
    settings = installation.settings
    scores = _read_changed(lake, "event_scores", tenant_id, ranges, ("seq", "score", "model_id"))
    scored = scores.filter(pl.col("model_id") != NO_MODEL)
    if scored_events(lake.version("event_scores", tenant_id)) < settings.audit_min_events_for_detection:
        return AnomalyUpdate(tenant_id, scores.height, 0, 0, 0, enough=False)
    with installation.database.connection("audit_pipeline") as conn:
        judged = [seq for (seq,) in conn.execute(query("derive/select_judged"), {"tenant_id": tenant_id})]
    # What somebody judged stays, with the score that it has by now: a reader must not see one that nobody computes.
    reaching = pl.col("score") >= settings.audit_anomaly_threshold
    over = scored.filter(reaching | pl.col("seq").is_in(judged))
    found = _explained(installation, lake, tenant_id, over)
    columns = {name: found[name].to_list() for name in found.columns}
    stamp = lake.stamp("event_scores", tenant_id)
    spans = ranges or [(0, stamp.through_seq if stamp else -1)]
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(
            query("derive/upsert_anomalies"),
            {"tenant_id": tenant_id, "run_id": run_id, "code_version": lineage.code_version(), **columns},
        ).fetchone()
        written, new, suppressed = row or (0, 0, 0)
        bounds = {
            "tenant_id": tenant_id,
            "seq": columns["seq"],
            "first": [first for first, _ in spans],
            "last": [last for _, last in spans],
        }
        withdrawn = conn.execute(query("derive/withdraw_anomalies"), bounds).rowcount
        if written or withdrawn:
            lineage.record(conn, [_output(lake, tenant_id, spans, found)], run_id=run_id)
    return AnomalyUpdate(tenant_id, scores.height, found.height, new, withdrawn, enough=True, suppressed=suppressed)


def _read_changed(
    lake: Lake, dataset: Dataset, tenant_id: UUID, ranges: Sequence[SeqRange] | None, columns: tuple[str, ...] | None
) -> pl.DataFrame:
    """Read a derived dataset in some ranges of `seq`, ascending and apart, or whole; `columns` hold `seq`."""
    if ranges is None:
        return lake.read(dataset, tenant_id, columns)
    first, last = np.array(ranges, dtype=np.int64).T
    frame = lake.read(dataset, tenant_id, columns, where=pl.col("seq").is_between(int(first[0]), int(last[-1])))
    seq = frame["seq"].to_numpy()
    return frame.filter(pl.Series(seq <= last[np.searchsorted(first, seq, side="right") - 1], dtype=pl.Boolean))


def _output(lake: Lake, tenant_id: UUID, spans: Sequence[SeqRange], found: pl.DataFrame) -> lineage.Output:
    path = lake.dataset_path("event_scores", tenant_id)
    source = lineage.file_input("event_scores", str(path.relative_to(lake.root.parent)), lineage.file_digest(path))
    key = f"seq {min(first for first, _ in spans)}-{max(last for _, last in spans)}"
    return lineage.Output(tenant_id, "anomalies", key, _digest(found), (source,))


def _explained(installation: Installation, lake: Lake, tenant_id: UUID, over: pl.DataFrame) -> pl.DataFrame:
    """Return one row per anomaly with everything the table wants; each explained by the model that scored it."""
    if over.is_empty():
        return _empty()
    seq = over["seq"]
    # By the rows that are wanted, not by their span: a first run's span is the history, at 1 kB an event.
    wanted = pl.col("seq").is_between(seq.min(), seq.max()) & pl.col("seq").is_in(seq.implode())
    features = lake.read("event_features", tenant_id, None, where=wanted).join(over, on="seq", how="inner")
    events = _events_of(lake, tenant_id, features["actor_ref"])
    with installation.database.connection("audit_pipeline") as conn:
        known = digests(conn, tenant_id, over["model_id"].unique().to_list())
    return explained(features, lambda model_id: detector(installation, known[model_id]), events).sort("seq")


def _events_of(lake: Lake, tenant_id: UUID, actors: pl.Series) -> pl.DataFrame:
    """Read what some actors did, as far as comparing needs it; an actor may be null."""
    paths = [part.path for part in lake.parts(tenant_id)]
    own = pl.col("actor_ref").is_in(actors.drop_nulls().unique().to_list())
    if actors.null_count():
        own = own.fill_null(value=True)
    return business(pl.scan_parquet(paths, hive_partitioning=False).filter(own).select(_EVENT_COLUMNS).collect())


def explained(features: pl.DataFrame, model: Callable[[str], Detector], events: pl.DataFrame) -> pl.DataFrame:
    """Tell why each event is odd: the columns of `audit_anomalies` for rows of a features frame, ordered by model.

    `features` have `score` and `model_id` beside them, and `model` gives the one of an id, which is called once for
    each: a long history has scores of dozens. `events` are all of their actors' (see `comparisons.compare`).
    """
    features = features.sort("model_id", "seq")
    told = [
        reasons
        for (model_id,), piece in features.group_by("model_id", maintain_order=True)
        for reasons in explain(piece, model(str(model_id)))
    ]
    # Of all models' anomalies at once: the events are put in order once, not as often as the history had models.
    compared = compare(features["seq"].to_list(), events, [[one.feature for one in reasons] for reasons in told])
    kinds = zip(features["event_type"], features["entity_type"], features["failed"], strict=True)
    columns: dict[str, list[str]] = {
        "severity": [severity(score, risk) for score, risk in zip(features["score"], features["risk"], strict=True)],
        "meaning": [meaning(kind, entity or "", bool(failed)).phrase for kind, entity, failed in kinds],
        "reasons": [
            json.dumps([{"feature": one.feature, "text": one.text, "share": one.share} for one in reasons])
            for reasons in told
        ],
        "compared_with": [
            json.dumps(
                [
                    {
                        "part": one.part,
                        "seq": one.seq,
                        "row_hash": one.row_hash,
                        "occurred_at": one.occurred_at.isoformat(),
                        "event_type": one.event_type,
                    }
                    for one in beside
                ]
            )
            for beside in compared
        ],
    }
    frame = features.with_columns(pl.Series(name, values, dtype=pl.String) for name, values in columns.items())
    return frame.join(events.select("seq", "row_hash", "ip_index"), on="seq", how="left").select(list(_COLUMNS))


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=_COLUMNS)


def _digest(found: pl.DataFrame) -> bytes:
    return hashlib.sha256("\n".join(json.dumps(row, default=str) for row in found.iter_rows()).encode()).digest()


def severity_counts(installation: Installation) -> list[tuple[str, int]]:
    """Count all anomalies by severity, most severe first."""
    with installation.database.connection("audit_pipeline") as conn:
        return [(severity, count) for severity, count in conn.execute(query("derive/count_severities"))]
