"""Where each dataset of the lake lies, what its columns are, and how it is read and replaced.

Paths and schemas are an interface: analysts, the catalog and reports rely on them. What fills a dataset is decided in
`export` (the ledger's copy) and in `derive` (everything else). Postgres is not known here.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import polars as pl

from audit_pipelines.files import replacing
from audit_pipelines.intelligence.features import FEATURES, IDENTITY
from audit_pipelines.lake.versions import MANIFEST, Bound, Version, read_version

if TYPE_CHECKING:
    import pyarrow as pa

Dataset = Literal[
    "event_features",
    "actor_features",
    "event_scores",
    "event_tags",
    "anomalies",
    "incidents",
    "checkpoints",
    "models",
    "reports",
]

ROW_GROUP: Final = 131_072
UTC_MICROSECONDS: Final = pl.Datetime("us", "UTC")

RAW_EVENTS: Final[Mapping[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "seq": pl.Int64(),
    "recorded_at": UTC_MICROSECONDS,
    "event_id": pl.String(),
    "occurred_at": UTC_MICROSECONDS,
    "actor_ref": pl.String(),
    "event_type": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "outcome": pl.String(),
    "ip_index": pl.String(),
    "user_agent": pl.String(),
    "details": pl.String(),
    "row_hash": pl.String(),
}

_IDENTITY: Final[Mapping[str, pl.DataType]] = {name: RAW_EVENTS[name] for name in IDENTITY}

SCHEMAS: Final[Mapping[Dataset, Mapping[str, pl.DataType]]] = {
    "event_features": {**_IDENTITY, **{each.name: pl.Float64() for each in FEATURES}},
    "actor_features": {
        "tenant_id": pl.String(),
        "actor_ref": pl.String(),
        "day": pl.Date(),
        "events": pl.Int64(),
        "failures": pl.Int64(),
        "event_types": pl.Int64(),
        "entities": pl.Int64(),
        "networks": pl.Int64(),
        "off_hours_share": pl.Float64(),
        "first_times": pl.Int64(),
    },
    "event_scores": {
        "tenant_id": pl.String(),
        "seq": pl.Int64(),
        "event_id": pl.String(),
        "occurred_at": UTC_MICROSECONDS,
        "actor_ref": pl.String(),
        "score": pl.Float64(),
        "model_id": pl.String(),
    },
    "event_tags": {
        "tenant_id": pl.String(),
        "seq": pl.Int64(),
        "event_id": pl.String(),
        "category": pl.String(),
        "category_confidence": pl.Float64(),
        "risk": pl.String(),
        "risk_confidence": pl.Float64(),
    },
    "anomalies": {
        "tenant_id": pl.String(),
        "anomaly_id": pl.String(),
        "seq": pl.Int64(),
        "event_id": pl.String(),
        "occurred_at": UTC_MICROSECONDS,
        "actor_ref": pl.String(),
        "event_type": pl.String(),
        "score": pl.Float64(),
        "severity": pl.String(),
        "reasons": pl.String(),
        "model_id": pl.String(),
        "row_hash": pl.String(),
        "detected_at": UTC_MICROSECONDS,
        "verdict": pl.String(),
        "meaning": pl.String(),
        "compared_with": pl.String(),
        "incident_id": pl.String(),
        "suppressed": pl.Boolean(),
    },
    "incidents": {
        "tenant_id": pl.String(),
        "incident_id": pl.String(),
        "state": pl.String(),
        "actor_ref": pl.String(),
        "first_at": UTC_MICROSECONDS,
        "last_at": UTC_MICROSECONDS,
        "anomalies": pl.Int64(),
        "suppressed": pl.Int64(),
        "score": pl.Float64(),
        "severity": pl.String(),
        "title": pl.String(),
        "meanings": pl.String(),
        "story": pl.String(),
        "opened_at": UTC_MICROSECONDS,
        "changed_at": UTC_MICROSECONDS,
    },
    "checkpoints": {
        "tenant_id": pl.String(),
        "size": pl.Int64(),
        "root": pl.String(),
        "chain_head": pl.String(),
        "sealed_at": UTC_MICROSECONDS,
        "key_id": pl.String(),
        "note": pl.String(),
    },
    "models": {
        "tenant_id": pl.String(),
        "model_id": pl.String(),
        "kind": pl.String(),
        "artefact_digest": pl.String(),
        "artefact_path": pl.String(),
        "training_rows": pl.Int64(),
        "training_from": UTC_MICROSECONDS,
        "training_to": UTC_MICROSECONDS,
        "training_root": pl.String(),
        "code_version": pl.String(),
        "metrics": pl.String(),
        "trained_at": UTC_MICROSECONDS,
    },
    "reports": {
        "tenant_id": pl.String(),
        "kind": pl.String(),
        "path": pl.String(),
        "digest": pl.String(),
        "since": UTC_MICROSECONDS,
        "until": UTC_MICROSECONDS,
        "code_version": pl.String(),
        "run_id": pl.String(),
        "made_at": UTC_MICROSECONDS,
    },
}

ORDER: Final[Mapping[Dataset, tuple[str, ...]]] = {
    "event_features": ("occurred_at", "seq"),
    "actor_features": ("day",),
    "event_scores": ("occurred_at", "seq"),
}
"""Datasets in several parts, each by the columns that order its rows (see `versions`); the others are one file."""

_READS: Final = 5

_PART: Final = re.compile(r"part-(\d{20})-(\d{20})\.parquet")
_STAMP: Final = "audit_pipelines"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file of `raw_events`: the rows `first_seq` to `last_seq` that were recorded on one UTC day."""

    first_seq: int
    last_seq: int
    day: date
    path: Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a tenant's derived file was made of; kept inside the file, so that the two cannot part."""

    through_seq: int
    """Every event up to this one went in."""
    head: str
    """`row_hash` of that event (hex): it commits to all events before it as well."""
    code_version: str
    inputs: tuple[str, ...] = ()
    """Digests or ids of anything else that went in, such as models."""

    def to_json(self) -> dict[str, Any]:
        """Return what is kept beside the data."""
        return {**asdict(self), "inputs": list(self.inputs)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Stamp":
        """Rebuild a stamp from `to_json`."""
        return cls(said["through_seq"], said["head"], said["code_version"], tuple(said["inputs"]))


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was put in place."""

    path: Path
    digest: bytes
    """SHA-256 of the file's bytes."""
    rows: int
    bytes: int


class Lake:
    """The lake below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def tenants(self) -> list[UUID]:
        """Return the tenants that have raw events here, in order."""
        folders = (self.root / "raw_events").glob("tenant_id=*")
        return sorted(UUID(folder.name.removeprefix("tenant_id=")) for folder in folders if any(folder.iterdir()))

    def day_dir(self, tenant_id: UUID, day: date) -> Path:
        """Return the folder of one tenant's day of raw events."""
        return self.root / "raw_events" / f"tenant_id={tenant_id}" / f"day={day.isoformat()}"

    def part_path(self, tenant_id: UUID, day: date, first_seq: int, last_seq: int) -> Path:
        """Return where a part belongs."""
        return self.day_dir(tenant_id, day) / f"part-{first_seq:020}-{last_seq:020}.parquet"

    def parts(self, tenant_id: UUID) -> list[Part]:
        """Return a tenant's parts in `seq` order, from their names alone."""
        paths = (self.root / "raw_events" / f"tenant_id={tenant_id}").glob("day=*/part-*.parquet")
        return sorted(part for path in paths if (part := part_at(path)))

    def last_seq(self, tenant_id: UUID) -> int:
        """Return the highest `seq` in a tenant's raw events, -1 without any."""
        return max((part.last_seq for part in self.parts(tenant_id)), default=-1)

    def events(self, tenant_id: UUID, *, from_seq: int = 0, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """Read a tenant's raw events from `from_seq` on, in `seq` order; parts below it are not opened."""
        paths = [part.path for part in self.parts(tenant_id) if part.last_seq >= from_seq]
        names = list(columns or RAW_EVENTS)
        if not paths:
            return pl.DataFrame(schema={name: RAW_EVENTS[name] for name in names})
        frame = pl.scan_parquet(paths, hive_partitioning=False).filter(pl.col("seq") >= from_seq)
        return frame.sort("seq").select(names).collect()

    def row_hash(self, tenant_id: UUID, seq: int) -> str | None:
        """Return the hash (hex) of a row, None where the lake has no such row."""
        paths = [part.path for part in self.parts(tenant_id) if part.first_seq <= seq <= part.last_seq]
        if not paths:
            return None
        found = pl.scan_parquet(paths, hive_partitioning=False).filter(pl.col("seq") == seq).select("row_hash")
        return next(iter(found.collect()["row_hash"]), None)

    def events_after(
        self, tenant_id: UUID, bound: Bound, until: Bound | None = None, *, columns: tuple[str, ...] | None = None
    ) -> pl.DataFrame:
        """Read a tenant's raw events behind a place in the order of (occurred_at, seq), up to `until`, in that order.

        Parts and row groups that lie before it by their statistics are not read.
        """
        paths = [part.path for part in self.parts(tenant_id)]
        names = list(columns or RAW_EVENTS)
        if not paths:
            return pl.DataFrame(schema={name: RAW_EVENTS[name] for name in names})
        frame = pl.scan_parquet(paths, hive_partitioning=False).filter(behind(bound))
        if until is not None:
            frame = frame.filter(~behind(until))
        wanted = list(dict.fromkeys((*names, "occurred_at", "seq")))
        return frame.select(wanted).collect().sort("occurred_at", "seq").select(names)

    def schema_faults(self, since: date, until: date) -> list[str]:
        """Return each part of `since <= day < until` whose columns or types are not those of RAW_EVENTS."""
        return [
            f"{part.path.relative_to(self.root)}: expected {dict(RAW_EVENTS)}, got {dict(got)}"
            for tenant_id in self.tenants()
            for part in self.parts(tenant_id)
            if since <= part.day < until and (got := pl.read_parquet_schema(part.path)) != RAW_EVENTS
        ]

    def dataset_path(self, dataset: Dataset, tenant_id: UUID) -> Path:
        """Return the one file that a tenant's derived dataset is, or that names its parts with their digests."""
        return self._folder(dataset, tenant_id) / (MANIFEST if dataset in ORDER else "part.parquet")

    def _folder(self, dataset: Dataset, tenant_id: UUID) -> Path:
        return self.root / dataset / f"tenant_id={tenant_id}"

    def version(self, dataset: Dataset, tenant_id: UUID) -> Version | None:
        """Return what a dataset of several parts consists of, None where it was not made yet."""
        return read_version(self._folder(dataset, tenant_id))

    def files(self, dataset: Dataset, tenant_id: UUID) -> list[Path]:
        """Return the Parquet files of a tenant's derived dataset, in order."""
        if dataset in ORDER:
            version = self.version(dataset, tenant_id)
            return version.paths() if version else []
        path = self.dataset_path(dataset, tenant_id)
        return [path] if path.exists() else []

    def read(
        self,
        dataset: Dataset,
        tenant_id: UUID,
        columns: tuple[str, ...] | None = None,
        *,
        where: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Read a tenant's derived dataset, or the rows `where` something holds; row groups without any are skipped.

        An empty frame with its columns where it was not made yet. What is replaced meanwhile is read again.
        """
        schema = SCHEMAS[dataset]
        names = list(columns or schema)
        for attempt in range(_READS):
            paths = self.files(dataset, tenant_id)
            if not paths:
                return pl.DataFrame(schema={name: schema[name] for name in names})
            try:
                frame = pl.scan_parquet(paths, hive_partitioning=False, glob=False)
                return (frame if where is None else frame.filter(where)).select(names).collect()
            except FileNotFoundError:
                if attempt == _READS - 1:
                    raise
        raise AssertionError("unreachable")

    def stamp(self, dataset: Dataset, tenant_id: UUID) -> Stamp | None:
        """Return what a tenant's derived dataset was made of, None where there is none."""
        if dataset in ORDER:
            version = self.version(dataset, tenant_id)
            return Stamp.from_json(version.stamp) if version else None
        path = self.dataset_path(dataset, tenant_id)
        text = pl.read_parquet_metadata(path).get(_STAMP) if path.exists() else None
        return None if text is None else Stamp.from_json(json.loads(text))

    def replace(
        self,
        dataset: Dataset,
        tenant_id: UUID,
        frame: pl.DataFrame,
        stamp: Stamp,
        *,
        before: Callable[[Written], None] = lambda _: None,
    ) -> Written:
        """Put a tenant's file of a dataset that is one file in place of the one before, whole or not at all.

        `before` is called when the bytes are known and before their name is, so that the record of a file exists
        before the file does. The columns must be those of SCHEMAS; their order and types are set here.
        """
        path = self.dataset_path(dataset, tenant_id)
        schema = SCHEMAS[dataset]
        ordered = frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
        said = stamp.to_json()
        with replacing(path) as staging:
            ordered.write_parquet(staging, compression="zstd", metadata={_STAMP: json.dumps(said, sort_keys=True)})
            written = describe(staging, ordered.height, path)
            before(written)
        return written


def part_at(path: Path) -> Part | None:
    """Return what a file of `raw_events` holds by its name and folder, None for a name that is none of a part."""
    match = _PART.fullmatch(path.name)
    if not match:
        return None
    return Part(int(match[1]), int(match[2]), date.fromisoformat(path.parent.name.removeprefix("day=")), path)


def behind(bound: Bound) -> pl.Expr:
    """Return whether a row lies behind a place in the order of (occurred_at, seq)."""
    moment = pl.lit(bound[0]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return (pl.col("occurred_at") > moment) | ((pl.col("occurred_at") == moment) & (pl.col("seq") > bound[1]))


def describe(staging: Path, rows: int, path: Path) -> Written:
    """Return digest and size of a finished file that will be called `path`."""
    with staging.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return Written(path, digest, rows, staging.stat().st_size)


def parquet_schema() -> "pa.Schema":
    """Return the columns of a part of `raw_events`; text as `string`, which every reader of Parquet knows."""
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that importing the asset graph need not pay

    arrow = {pl.String(): pa.string(), pl.Int64(): pa.int64(), pl.Datetime("us", "UTC"): pa.timestamp("us", tz="UTC")}
    return pa.schema([pa.field(name, arrow[kind]) for name, kind in RAW_EVENTS.items()])
