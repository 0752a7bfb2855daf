"""`event_scores`: every event of every tenant, each scored by a model that knew nothing but its past.

Which models those are is decided in `walk_forward`; how a model scores, in `intelligence.detectors`. An event is scored
again when its features changed or another model is now the newest before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import IS_ACCESS, unscored
from audit_pipelines.derive.drift import spread
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import RegisteredModel, load
from audit_pipelines.derive.ordered import current, end_of, parts_before, place_of, rewrite, with_parts
from audit_pipelines.derive.trail import Trail
from audit_pipelines.derive.walk_forward import walk_forward_models
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow, tenant_windows
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.detectors import LOOKS_BACK_S, READS, Detector, hour_before, score
from audit_pipelines.lake.datasets import Lake, Stamp, behind
from audit_pipelines.lake.versions import BEGINNING, Bound, Piece, Version, VersionPart, planned_rows

Models = Sequence[tuple[int, RegisteredModel]]

_IDENTITY: Final = ("tenant_id", "seq", "event_id", "occurred_at", "actor_ref")
_KINDS: Final = ("event_type", "entity_type")
_FEATURES: Final = "features"
_MODELS: Final = "models"


@dataclass(frozen=True)
class _Scoring:
    """One tenant's events and models, as they are now."""

    installation: Installation
    lake: Lake
    window: TenantWindow
    trail: Trail
    models: Models


def score_events(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `event_scores` up to date from `event_features`.

    From its place in the order of (occurred_at, seq) on, each registered model scores until a newer one takes over;
    none scores an event that it was fitted on. On a fresh history this equals `detectors.walk_forward`.
    """
    lake = Lake(installation.settings.lake_dir)
    done = []
    with exclusive(installation.database, "event_scores"):
        for window in tenant_windows(lake, redo):
            trail = Trail.of(lake, window.tenant_id)
            with installation.database.connection("audit_pipeline") as conn:
                models = walk_forward_models(conn, installation, window.tenant_id, trail, run_id=run_id)
            done.append(_score_tenant(_Scoring(installation, lake, window, trail, models), run_id=run_id, redo=redo))
    return done


def detector(installation: Installation, digest: str) -> Detector:
    """Load a detector by the digest of its artefact (hex)."""
    return Detector.from_arrays(load(installation, "anomaly_detector", digest).arrays)


def _score_tenant(these: _Scoring, *, run_id: str, redo: Redo | None = None) -> TenantUpdate:
    lake, window, trail, models = these.lake, these.window, these.trail, these.models
    stamp = window.stamp(*(model.digest for _, model in models))
    version = current(lake, "event_scores", window, redo)
    changed = _first_change(these, version)
    if version and changed is None and Stamp.from_json(version.stamp) == stamp:
        return TenantUpdate(window.tenant_id, version.rows, None)
    keep = parts_before(version, changed) if version else []
    pieces = _pieces(these, end_of(keep)) if changed else ()
    notes = {
        _FEATURES: trail.version.mark if trail.version else "",
        _MODELS: [[place, model.digest] for place, model in models],
    }
    return rewrite(
        these.installation, lake, "event_scores", window,
        keep=keep, pieces=pieces, join=partial(_joined, version),
        stamp=stamp, changed=changed, notes=notes, run_id=run_id, redo=redo,
        beside=tuple(lineage.file_input("model", model.model_id, model.digest) for _, model in models),
    )  # fmt: skip


def _first_change(these: _Scoring, version: Version | None) -> Bound | None:
    """Return the place of the first event whose score may be another one now."""
    if version is None:
        return BEGINNING
    trail = these.trail
    bounds = [trail.version.changed_since(str(version.notes[_FEATURES])) if trail.version else None]
    new = these.lake.events(
        these.window.tenant_id,
        from_seq=Stamp.from_json(version.stamp).through_seq + 1,
        columns=("occurred_at", "seq", *_KINDS),
    )
    bounds.append(place_of(new.filter(IS_ACCESS)))
    place = _first_other({at: model.digest for at, model in these.models}, dict(version.notes[_MODELS]))
    if place is not None and place < trail.rows:
        bounds.append(place_of(trail.slice(place, place + 1, ("occurred_at", "seq"))))
    return min((bound for bound in bounds if bound), default=None)


def _first_other(now: dict[int, str], before: dict[int, str]) -> int | None:
    """Return the first place from which another model scores than before."""
    scores_now = scored_before = ""
    for place in sorted({*now, *before}):
        scores_now, scored_before = now.get(place, scores_now), before.get(place, scored_before)
        if scores_now != scored_before:
            return place
    return None


def _pieces(these: _Scoring, since: Bound) -> Iterator[Piece]:
    lake, tenant_id = these.lake, these.window.tenant_id
    scored = lake.read("event_features", tenant_id, ("occurred_at", "seq"), where=behind(since))
    accesses = lake.events_after(tenant_id, since, columns=(*_IDENTITY, *_KINDS)).filter(IS_ACCESS)
    places = pl.concat([scored, accesses.select("occurred_at", "seq")]).sort("occurred_at", "seq")
    read = tuple(dict.fromkeys((*_IDENTITY, *READS)))
    place, at = these.trail.rows - scored.height, 0
    before = lake.read("event_features", tenant_id, read, where=_looked_back_at(since))
    for rows in planned_rows(places.height):
        last = places[at + rows - 1]
        until = int(last["occurred_at"].dt.epoch("us").item()), int(last["seq"].item())
        own = behind(since) & ~behind(until)
        features = lake.read("event_features", tenant_id, read, where=own)
        looked_at = pl.concat([before, features])
        found = _score_by_past(these, looked_at, place - before.height, place)
        yield _piece(pl.concat([found, unscored(accesses.filter(own))]).sort("occurred_at", "seq"))
        before = looked_at.slice(hour_before(looked_at, looked_at.height - 1)) if looked_at.height else looked_at
        place, at, since = place + features.height, at + rows, until


def _joined(version: Version | None, parts: Sequence[VersionPart], piece: Piece) -> Piece:
    return piece if version is None else _piece(with_parts(version, parts, piece.frame))


def _piece(frame: pl.DataFrame) -> Piece:
    return Piece(frame, notes=spread(frame))


def _looked_back_at(bound: Bound) -> pl.Expr:
    """Return whether a row lies at a place in the order of (occurred_at, seq) or within LOOKS_BACK_S before it."""
    if bound == BEGINNING:
        return pl.lit(value=False)
    return behind((bound[0] - int(LOOKS_BACK_S * 1e6), -1)) & ~behind(bound)


def _score_by_past(these: _Scoring, features: pl.DataFrame, at: int, first: int) -> pl.DataFrame:
    """Score ordered features, each from place `first` on by the newest model fitted before it.

    `at` is the place of the first row: up to `first` they are those of the hour before.
    """
    pieces, end = [], at + features.height
    ends = [place for place, _ in these.models[1:]] + [end] * bool(these.models)
    for (place, model), until in zip(these.models, ends, strict=True):
        start, stop = max(place, first) - at, min(until, end) - at
        if stop > start:
            since = hour_before(features, start)
            scores = score(
                detector(these.installation, model.digest), features.slice(since, stop - since), lead=start - since
            )
            pieces.append(
                features.slice(start, stop - start)
                .select(_IDENTITY)
                .with_columns(score=pl.Series(scores, dtype=pl.Float64), model_id=pl.lit(model.model_id))
            )
    empty = features.select(_IDENTITY).clear()
    return pl.concat(pieces) if pieces else empty.with_columns(score=pl.lit(0.0), model_id=pl.lit(""))
