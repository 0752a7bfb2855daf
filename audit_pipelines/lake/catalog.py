"""`audit.duckdb`: the file that analysts open, with documented views over the lake.

Built aside and renamed, so that readers never wait and never see half of one; its views name files of a snapshot
that stays as it is, relative to where the catalog lies, so that both can be moved. Written in an old storage version,
so that an older DuckDB reads it. It holds no data of its own: tables of Postgres are copied to the lake first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.files import data_path, replacing
from audit_pipelines.installation import Installation
from audit_pipelines.lake import snapshots
from audit_pipelines.lake.columns import comment_on
from audit_pipelines.lake.datasets import RAW_EVENTS, SCHEMAS, UTC_MICROSECONDS, Dataset, Lake, Stamp, Written
from audit_pipelines.lake.snapshots import Snapshot

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
    "incidents": "Anomalies of one actor close in time, as one story (JSON); a copy of audit_incidents.",
    "checkpoints": "Signed tree heads of each tenant's ledger; a copy of audit_checkpoints.",
    "models": "Every model that scored or tagged an event, with its training range; a copy of audit_ml_models.",
    "reports": "The reports that were made, with file, digest and period; from audit_lineage.",
}

HOME_VARIABLE: Final = "audit_home"
"""Says where the catalog lies to a DuckDB that was opened on something else and has it attached."""

LAKE_COPY: Final = "lake_copy"
"""What the lineage calls the copies of tables."""

_COPIED: Final[Mapping[Dataset, str]] = {
    "anomalies": "audit_anomalies",
    "incidents": "audit_incidents",
    "checkpoints": "audit_checkpoints",
    "models": "audit_ml_models",
    "reports": "audit_lineage",
}
# DuckDB resolves relative paths from the working directory and has no word for where an open database lies, but its
# folder for spilling is by default beside that; a database in memory, and a folder that somebody chose, have no match.
_HOME: Final = (
    f"coalesce(getvariable('{HOME_VARIABLE}') || '/', "
    r"regexp_extract(current_setting('temp_directory'), '^(.*[/\\\\])?[^/\\\\]*\.duckdb\.tmp$', 1))"
)
_TYPES: Final = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    UTC_MICROSECONDS: "TIMESTAMPTZ",
}
_COMMENTED_VIEW: Final = re.compile(r"^-- (\w+): (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog that was put in place, and how many rows each dataset has."""

    path: Path
    bytes: int
    rows: dict[str, int]


def build_catalog(installation: Installation, *, kept: timedelta = snapshots.KEPT) -> Catalog:
    """Copy what lives in Postgres into the lake and put a fresh catalog in place; works on an empty lake too.

    Who opened the catalog before can go on asking it for as long as its files are `kept`.
    """
    import duckdb  # noqa: PLC0415 — 0.1 s that importing the asset graph need not pay

    lake = Lake(installation.settings.lake_dir)
    path = installation.settings.catalog_path
    with exclusive(installation.database, "analyst_catalog"):
        for dataset in _COPIED:
            _copy_table(installation, lake, dataset)
        # No part is merged or redacted while the files of a tenant are being linked.
        with exclusive(installation.database, "raw_events"):
            snapshot = snapshots.take(lake)
        with replacing(path) as staging:
            staging.unlink()
            with duckdb.connect() as conn:
                conn.execute("set timezone = 'UTC'")
                conn.execute(f"set variable {HOME_VARIABLE} = {_literal(path.parent)}")
                conn.execute(f"attach {_literal(staging)} as catalog (storage_version {_literal(STORAGE_VERSION)})")
                conn.execute("use catalog")
                _create_views(conn, path.parent, snapshot)
                # Of datasets the files say how many rows they have; to count the views above them would read them.
                rows = {name: _count(conn, name) for name in COMMENTS}
                conn.execute("use memory")
                conn.execute("detach catalog")
        snapshots.remove_others(lake, snapshot, kept=kept)
        return Catalog(path, path.stat().st_size, rows)


def _copy_table(installation: Installation, lake: Lake, dataset: Dataset) -> None:
    schema = SCHEMAS[dataset]
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query(f"lake/select_{dataset}")).fetchall()
    frame = pl.DataFrame(rows, schema=dict(schema), orient="row")
    stamp = Stamp(-1, "", lineage.code_version())
    there = {folder.name.removeprefix("tenant_id=") for folder in (lake.root / dataset).glob("tenant_id=*")}
    for tenant in sorted({*frame["tenant_id"].unique().to_list(), *there}):
        tenant_id, own = UUID(tenant), frame.filter(pl.col("tenant_id") == tenant)
        if lake.stamp(dataset, tenant_id) == stamp and lake.read(dataset, tenant_id).equals(own):
            continue

        def record(written: Written, tenant_id: UUID = tenant_id) -> None:
            key = str(written.path.relative_to(lake.root.parent))
            source = {"kind": "table", "key": _COPIED[dataset]}
            output = lineage.Output(tenant_id, LAKE_COPY, key, written.digest, (source,))
            with installation.database.connection("audit_pipeline") as conn:
                lineage.record(conn, [output], run_id="analyst_catalog")

        lake.replace(dataset, tenant_id, own, stamp, before=record)


def _create_views(conn: "duckdb.DuckDBPyConnection", home: Path, snapshot: Snapshot) -> None:
    for dataset, comment in COMMENTS.items():
        schema = {**RAW_EVENTS, "day": pl.Date()} if dataset == "raw_events" else SCHEMAS[cast("Dataset", dataset)]
        conn.execute(f"create view {dataset} as {_source(home, snapshot, dataset, schema)}")
        conn.execute(f"comment on view {dataset} is {_literal(comment)}")
    script = data_path("sql/catalog/views.sql").read_text()
    conn.execute(script)
    for name, comment in _COMMENTED_VIEW.findall(script):
        conn.execute(f"comment on view {name} is {_literal(comment)}")
    columns = conn.execute("select table_name, column_name from duckdb_columns() where database_name = 'catalog'")
    for view, column in columns.fetchall():
        conn.execute(f"comment on column {view}.{column} is {_literal(comment_on(view, column))}")


def _source(home: Path, snapshot: Snapshot, dataset: str, schema: Mapping[str, pl.DataType]) -> str:
    """Return the query behind a dataset's view; an empty table with the same columns where there is no file yet."""
    if not snapshot.files(dataset):
        columns = ", ".join(f"null::{_TYPES[kind]} as {name}" for name, kind in schema.items())
        return f"select {columns} where false"
    # The tenant stands in path and file; read from the path, a filter on it opens no other tenant's files.
    hive = "{'tenant_id': VARCHAR, 'day': DATE}" if dataset == "raw_events" else "{'tenant_id': VARCHAR}"
    depth = "tenant_id=*/day=*" if dataset == "raw_events" else "tenant_id=*"
    files = f"{_HOME} || {_literal(snapshot.folder.relative_to(home) / dataset / depth / '*.parquet')}"
    columns = ", ".join(schema)
    # Column names and types are constants above, the path is quoted; a view's text takes no parameters.
    return f"select {columns} from read_parquet({files}, hive_partitioning = true, hive_types = {hive})"  # noqa: S608


def _count(conn: "duckdb.DuckDBPyConnection", name: str) -> int:
    return int(conn.table(name).count("*").fetchall()[0][0])


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
