"""A tenant's features in the order of behaviour, read a piece at a time, and names for the beginnings of it.

The first so many events are named by a digest over digests of blocks that were taken when the events were written, so
that a name costs one block and not the history. Apart from `walk_forward`, because none of this needs scikit-learn.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from audit_pipelines.lake.datasets import SCHEMAS, Lake
from audit_pipelines.lake.versions import Version

BLOCKS: Final = "blocks"
"""The note of a part of `event_features` that holds the digests of the blocks which end in it, in order."""
BLOCK: Final = 4_096
"""Events that one digest stands for."""

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
