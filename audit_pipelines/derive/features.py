"""Behaviour as numbers: `event_features` and `actor_features`, from the lake's raw events.

What the numbers mean is decided in `intelligence.features`; here is what of them is made anew and where it goes, and
that they are about the tenant's business: who read the audit trail is no part of it. Events that come last cost
themselves; one that comes late costs what was computed after its place.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from audit_pipelines.derive.accesses import business
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.ordered import current, end_of, parts_before, place_of, rewrite, with_parts
from audit_pipelines.derive.walk_forward import BLOCK, BLOCKS, Trail, block_digests, open_block
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow, tenant_windows
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.features import NEEDED, actor_features, advance
from audit_pipelines.intelligence.past import Layer, State, merge
from audit_pipelines.lake.arrays import map_arrays
from audit_pipelines.lake.datasets import SCHEMAS, Dataset, Lake, Stamp, behind
from audit_pipelines.lake.versions import BEGINNING, Bound, Piece, Version, VersionPart, planned_rows

# The keys that are carried come from the hash of this very version.
_HASH: Final = f"polars {pl.__version__}"
_SEED: Final = "seed"
_FEATURES: Final[Dataset] = "event_features"
_PLACES: Final = ("occurred_at", "seq", "entity_type", "event_type")
_DAY_US: Final = 86_400_000_000
_LAST: Final = (1 << 63) - 1
# Events whose days are summed up at a time.
_DAYS_AT_ONCE: Final = 1 << 18
_SUMMED: Final = (
    "tenant_id", "seq", "occurred_at", "actor_ref", "event_type", "entity_type", "entity_id", "outcome", "ip_index",
)  # fmt: skip


def update_event_features(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `event_features` up to date: one row per event that is no access, each from the past alone."""
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "event_features"):
        return [
            _update_events(installation, lake, window, run_id=run_id, redo=redo)
            for window in tenant_windows(lake, redo)
        ]


def _update_events(
    installation: Installation, lake: Lake, window: TenantWindow, *, run_id: str, redo: Redo | None
) -> TenantUpdate:
    stamp = window.stamp(_HASH)
    version = current(lake, "event_features", window, redo, inputs=stamp.inputs)
    if version and Stamp.from_json(version.stamp) == stamp:
        return TenantUpdate(window.tenant_id, version.rows, None)
    known = Stamp.from_json(version.stamp).through_seq if version else -1
    changed = place_of(business(lake.events(window.tenant_id, from_seq=known + 1, columns=_PLACES)))
    keep = parts_before(version, changed) if version else []
    seed = version.notes[_SEED] if version else secrets.randbits(64)
    state = State(seed, tuple(_layer(version, part) for part in keep) if version else ())
    pieces = _event_pieces(lake, window, Trail(version), keep, state) if changed else ()
    return rewrite(
        installation, lake, "event_features", window,
        keep=keep, pieces=pieces, join=lambda parts, piece: _joined(version, parts, piece),
        stamp=stamp, changed=changed, notes={_SEED: seed}, run_id=run_id, redo=redo,
    )  # fmt: skip


def _event_pieces(
    lake: Lake, window: TenantWindow, trail: Trail, keep: Sequence[VersionPart], state: State
) -> Iterator[Piece]:
    since = end_of(keep)
    places = business(lake.events_after(window.tenant_id, since, columns=_PLACES))
    place, at = sum(part.rows for part in keep), 0
    unfinished = open_block(trail, place)
    for rows in planned_rows(places.height):
        last = places[at + rows - 1]
        until = int(last["occurred_at"].dt.epoch("us").item()), int(last["seq"].item())
        events = business(lake.events_after(window.tenant_id, since, until, columns=NEEDED))
        frame, layer = advance(events, state)
        seqs = frame["seq"].to_numpy()
        yield Piece(frame, layer.to_arrays(), {BLOCKS: block_digests(unfinished, seqs)})
        every = np.concatenate((unfinished, seqs))
        place, at, since = place + rows, at + rows, until
        unfinished = every[len(every) - place % BLOCK :]
        state = state.after(layer)


def _layer(version: Version, part: VersionPart) -> Layer:
    return Layer.from_arrays(map_arrays(version.folder / str(part.carried)))


def _joined(version: Version | None, parts: Sequence[VersionPart], piece: Piece) -> Piece:
    """Return a piece with the parts before it: no row of them is computed again."""
    if version is None:
        raise ValueError("expected a version that parts are of, got none")
    layer = Layer.from_arrays(piece.carried or {})
    for part in reversed(parts):
        layer = merge(_layer(version, part), layer)
    digests = [digest for part in parts for digest in part.notes[BLOCKS]]
    return Piece(with_parts(version, parts, piece.frame), layer.to_arrays(), {BLOCKS: [*digests, *piece.notes[BLOCKS]]})


def update_actor_features(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `actor_features` up to date: one row per actor and UTC day of `occurred_at`, of events with features."""
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "actor_features"):
        return [
            _update_actors(installation, lake, window, run_id=run_id, redo=redo)
            for window in tenant_windows(lake, redo)
        ]


def _update_actors(
    installation: Installation, lake: Lake, window: TenantWindow, *, run_id: str, redo: Redo | None
) -> TenantUpdate:
    features = lake.version(_FEATURES, window.tenant_id)
    mark = features.mark if features else ""
    version = current(lake, "actor_features", window, redo)
    stamp = window.stamp()
    changed = _first_change(version, features)
    if changed == BEGINNING:
        version = None
    if version and changed is None and Stamp.from_json(version.stamp) == stamp:
        return TenantUpdate(window.tenant_id, version.rows, None)
    # Whole days are made anew.
    day = changed and (max(changed[0] // _DAY_US * _DAY_US, BEGINNING[0]), 0)
    keep = parts_before(version, day) if version else []
    pieces = _actor_pieces(lake, window, version, keep, day) if day else ()
    return rewrite(
        installation, lake, "actor_features", window,
        keep=keep, pieces=pieces, join=lambda parts, piece: _longer(version, parts, piece),
        stamp=stamp, changed=day, notes={_FEATURES: mark}, run_id=run_id, redo=redo,
    )  # fmt: skip


def _first_change(version: Version | None, features: Version | None) -> Bound | None:
    if features is None:
        return None
    return features.changed_since(str(version.notes[_FEATURES])) if version else BEGINNING


def _actor_pieces(
    lake: Lake, window: TenantWindow, version: Version | None, keep: Sequence[VersionPart], day: Bound
) -> Iterator[Piece]:
    """Yield the days from `day` on, a part at a time; first with the earlier days of the part that `day` lies in."""
    schema = SCHEMAS["actor_features"]
    head = pl.DataFrame(schema=dict(schema))
    if version and len(keep) < len(version.parts):
        cut = pl.lit(day[0]).cast(pl.Datetime("us")).dt.date()
        path = version.folder / version.parts[len(keep)].name
        head = pl.read_parquet(path, hive_partitioning=False).filter(pl.col("day") < cut)
    places = lake.read(_FEATURES, window.tenant_id, ("occurred_at",), where=behind((day[0] - 1, _LAST)))
    days = places.group_by(day=pl.col("occurred_at").dt.truncate("1d")).len().sort("day")
    since = (day[0] - 1, _LAST)
    waiting = 0
    for number, (moment, events) in enumerate(days.iter_rows(), start=1):
        waiting += events
        if waiting < _DAYS_AT_ONCE and number < days.height:
            continue
        until = (int(moment.timestamp()) * 1_000_000 + _DAY_US - 1, _LAST)
        own = behind(since) & ~behind(until)
        features = lake.read(_FEATURES, window.tenant_id, ("seq", "type_actor_events"), where=own)
        rows = lake.events_after(window.tenant_id, since, until, columns=_SUMMED)
        frame = actor_features(rows.join(features, on="seq", how="semi"), features)
        yield Piece(pl.concat([head, frame.select(pl.col(name).cast(kind) for name, kind in schema.items())]))
        head, since, waiting = head.clear(), until, 0


def _longer(version: Version | None, parts: Sequence[VersionPart], piece: Piece) -> Piece:
    return piece if version is None else Piece(with_parts(version, parts, piece.frame))
