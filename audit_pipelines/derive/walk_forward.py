"""The detectors that score a tenant's events, each fitted on nothing but the events before those it scores.

What goes through a history is planned by `detectors.blocks`; here the models that the plan needs are found in the
register or fitted. Neither reads the history: a prefix of it is named by digests of blocks that were taken when they
were written, and a fit reads a sample.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.derive import lineage
from audit_pipelines.derive.models import (
    RegisteredModel,
    TrainedModel,
    TrainingSet,
    register,
    registered,
    training_set,
)
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
from audit_pipelines.lake.datasets import SCHEMAS, Lake
from audit_pipelines.lake.versions import Version

SEED: Final = 0
BLOCKS: Final = "blocks"
"""The note of a part of `event_features` that holds the digests of the blocks which end in it, in order."""
# Enough for a share with two digits; scoring a whole history for one figure would cost more than fitting.
_METRIC_EVENTS: Final = 5_000
BLOCK: Final = 4_096
"""Events that one digest stands for."""
_FITTED: Final = ("occurred_at", "seq", *READS)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trail:
    """A tenant's features in the order of behaviour, read a piece at a time."""

    version: Version | None

    @classmethod
    def of(cls, lake: Lake, tenant_id: UUID) -> "Trail":
        """Return the trail as it is now."""
        return cls(lake.version("event_features", tenant_id))

    @cached_property
    def rows(self) -> int:
        """Return the number of events."""
        return self.version.rows if self.version else 0

    def slice(self, start: int, stop: int, columns: Sequence[str]) -> pl.DataFrame:
        """Read the events of places `start <= place < stop`."""
        return self.take(np.arange(start, stop), columns)

    def take(self, places: Numbers, columns: Sequence[str]) -> pl.DataFrame:
        """Read the events of some places, which ascend; in memory is never more than one part."""
        schema = SCHEMAS["event_features"]
        pieces, at = [pl.DataFrame(schema={name: schema[name] for name in columns})], 0
        if self.version is None:
            return pieces[0]
        for part in self.version.parts:
            own = places[np.searchsorted(places, at) : np.searchsorted(places, at + part.rows)] - at
            if len(own):
                first = int(own[0])
                rows = pl.scan_parquet(self.version.folder / part.name, hive_partitioning=False).slice(
                    first, int(own[-1]) - first + 1
                )
                read = rows.select(columns).collect()
                pieces.append(read if read.height == len(own) else read[own - first])
            at += part.rows
        return pl.concat(pieces)

    def seqs(self, start: int, stop: int) -> Numbers:
        """Read the `seq`s of places `start <= place < stop`."""
        return self.slice(start, stop, ("seq",))["seq"].to_numpy()


def block_digests(open_block: Numbers, seqs: Numbers) -> list[str]:
    """Return the digests (hex) of the blocks that end among `seqs`; `open_block` is what is before them of the first.

    Rows of the ledger never change, so the numbers alone say which events they were.
    """
    every = np.concatenate((open_block, seqs)).astype(">i8")
    return [
        hashlib.sha256(every[at : at + BLOCK].tobytes()).hexdigest() for at in range(0, len(every) - BLOCK + 1, BLOCK)
    ]


def open_block(trail: Trail, place: int) -> Numbers:
    """Return the `seq`s before a place that are in no whole block."""
    return trail.seqs(place - place % BLOCK, place)


def prefix_digests(tenant_id: UUID, trail: Trail, sizes: Sequence[int]) -> list[str]:
    """Return for each size the SHA-256 (hex) of tenant and the first `seq`s in the order of behaviour.

    Over digests of blocks of 4,096 and the numbers behind the last one, so that a size costs one block at most.
    """
    parts = trail.version.parts if trail.version else ()
    whole = [digest for part in parts for digest in part.notes[BLOCKS]]
    found = []
    for size in sizes:
        state = hashlib.sha256(b"training set v2" + tenant_id.bytes)
        state.update(bytes.fromhex("".join(whole[: size // BLOCK])))
        state.update(open_block(trail, size).astype(">i8").tobytes())
        found.append(state.hexdigest())
    return found


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
    conn: Connection, installation: Installation, tenant_id: UUID, trail: Trail, events: int, *, run_id: str
) -> TrainedModel:
    """Fit a detector on a sample of the first events of a trail and enter it in the register."""
    digest = prefix_digests(tenant_id, trail, [events])[0]
    trained_on = training_set(trail.slice(0, events, ("seq", "occurred_at")), digest)
    detector = fit(trail.take(sample_places(events), _FITTED), seed=SEED, events=events)
    metadata = {
        **provenance(trained_on),
        "params": {"seed": SEED},
        "feature_names": list(SURPRISES),
        "metrics": _metrics(detector, trail.slice(max(0, events - _METRIC_EVENTS), events, READS), events),
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
