"""`audit.duckdb`: the file that analysts open, with documented views over the lake.

Built aside and renamed, so that readers never wait and never see half of one; written in an old storage version, so
that an older DuckDB reads it. It holds no data of its own: tables that live in Postgres are copied to the lake first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.files import data_path, replacing
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import RAW_EVENTS, SCHEMAS, UTC_MICROSECONDS, Dataset, Lake, Stamp

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION: Final = "v1.0.0"
"""DuckDB 1.0 and later read it; the default of DuckDB 2 is refused by today's command-line package."""

COMMENTS: Final[Mapping[str, str]] = {
    "raw_events": "One row per event of the ledger, by UTC day of recorded_at; row_hash ties it to the chain.",
    "event_features": "Behaviour of each event's actor as numbers, from the past of that event alone.",
    "actor_features": "Behaviour per actor and UTC day of occurred_at.",
    "event_scores": "How odd each event was when it came, 0 to 1, and the model that said so.",
    "event_tags": "Category and risk of each event by meaning, with confidence; `unknown` where unsure.",
    "anomalies": "Events at or over the threshold, with reasons as JSON; a copy of audit_anomalies.",
    "checkpoints": "Signed tree heads of each tenant's ledger; a copy of audit_checkpoints.",
    "models": "Every model that scored or tagged an event, with its training range; a copy of audit_ml_models.",
}

_COPIED: Final[tuple[Dataset, ...]] = ("anomalies", "checkpoints", "models")
_TYPES: Final = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Date(): "DATE",
    UTC_MICROSECONDS: "TIMESTAMPTZ",
}
_COMMENTED_VIEW: Final = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog that was put in place, and how many rows each view shows."""

    path: Path
    bytes: int
    rows: dict[str, int]


def build_catalog(installation: Installation) -> Catalog:
    """Copy what lives in Postgres into the lake and put a fresh catalog in place; works on an empty lake too."""
    import duckdb  # noqa: PLC0415 — 0.1 s that importing the asset graph need not pay

    lake = Lake(installation.settings.lake_dir)
    path = installation.settings.catalog_path
    with exclusive(installation.database, "analyst_catalog"):
        for dataset in _COPIED:
            _copy_table(installation, lake, dataset)
        with replacing(path) as staging:
            staging.unlink()
            with duckdb.connect() as conn:
                conn.execute("set timezone = 'UTC'")
                conn.execute(f"attach {_literal(staging)} as catalog (storage_version {_literal(STORAGE_VERSION)})")
                conn.execute("use catalog")
                names = _create_views(conn, lake)
                rows = {name: _count(conn, name) for name in names}
                conn.execute("use memory")
                conn.execute("detach catalog")
        return Catalog(path, path.stat().st_size, rows)


def _copy_table(installation: Installation, lake: Lake, dataset: Dataset) -> None:
    schema = SCHEMAS[dataset]
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query(f"lake/select_{dataset}")).fetchall()
    frame = pl.DataFrame(rows, schema=dict(schema), orient="row")
    there = {folder.name.removeprefix("tenant_id=") for folder in (lake.root / dataset).glob("tenant_id=*")}
    for tenant in sorted({*frame["tenant_id"].unique().to_list(), *there}):
        own = frame.filter(pl.col("tenant_id") == tenant)
        lake.replace(dataset, UUID(tenant), own, Stamp(-1, "", lineage.code_version()))


def _create_views(conn: "duckdb.DuckDBPyConnection", lake: Lake) -> list[str]:
    names = []
    for dataset, comment in COMMENTS.items():
        schema = {**RAW_EVENTS, "day": pl.Date()} if dataset == "raw_events" else SCHEMAS[cast("Dataset", dataset)]
        conn.execute(f"create view {dataset} as {_source(lake, dataset, schema)}")
        conn.execute(f"comment on view {dataset} is {_literal(comment)}")
        names.append(dataset)
    script = data_path("sql/analyst/views.sql").read_text()
    conn.execute(script)
    for name, comment in _COMMENTED_VIEW.findall(script):
        conn.execute(f"comment on view {name} is {_literal(comment)}")
        names.append(name)
    return names


def _source(lake: Lake, dataset: str, schema: Mapping[str, pl.DataType]) -> str:
    """Return the query behind a dataset's view; an empty table with the same columns where there is no file yet."""
    depth = "tenant_id=*/*" if dataset == "raw_events" else "tenant_id=*"
    if not any((lake.root / dataset).glob(f"{depth}/*.parquet")):
        columns = ", ".join(f"null::{_TYPES[kind]} as {name}" for name, kind in schema.items())
        return f"select {columns} where false"
    # The tenant stands in path and file; read from the path, a filter on it opens no other tenant's files.
    hive = "{'tenant_id': VARCHAR, 'day': DATE}" if dataset == "raw_events" else "{'tenant_id': VARCHAR}"
    files = _literal(lake.root / dataset / depth / "*.parquet")
    columns = ", ".join(schema)
    # Column names and types are constants above, the path is quoted; a view's text takes no parameters.
    return f"select {columns} from read_parquet({files}, hive_partitioning = true, hive_types = {hive})"  # noqa: S608


def _count(conn: "duckdb.DuckDBPyConnection", name: str) -> int:
    return int(conn.table(name).count("*").fetchall()[0][0])


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
