"""What analysts open."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import lineage
from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import STORAGE_VERSION, build_catalog
from audit_pipelines.metadata import table


@dg.asset(
    description=(
        "`audit.duckdb`: documented views over the lake for DuckDB 1.0 and later. Built aside and renamed, so that "
        "nobody who has it open waits or sees half of it."
    ),
    group_name="analytics",
    owners=OWNERS,
    kinds={"duckdb", "parquet"},
    tags={"layer": "serving"},
    deps=[
        "raw_events",
        "event_features",
        "actor_features",
        "event_scores",
        "event_tags",
        "anomalies",
        "incidents",
        "checkpoints",
    ],
    code_version=lineage.product_version(),
)
def analyst_catalog(installation: dg.ResourceParam[Installation]) -> dg.MaterializeResult[None]:
    """Build the catalog anew."""
    catalog = build_catalog(installation)
    return dg.MaterializeResult(
        metadata={
            "path": dg.MetadataValue.path(str(catalog.path)),
            "bytes": catalog.bytes,
            "storage_version": STORAGE_VERSION,
            "rows": table(("dataset", "rows"), catalog.rows.items()),
        }
    )
