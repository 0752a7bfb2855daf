"""The ledger as daily Parquet: the one door between Postgres and everything that is derived."""

import warnings
from datetime import timedelta

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.checks import RAW_EVENTS_CHECKS, raw_events_results
from audit_pipelines.derive import lineage
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import export_window
from audit_pipelines.metadata import table
from audit_pipelines.partitions import recorded_days

with warnings.catch_warnings():
    # Back-fill policies are beta in Dagster 1.13 and have no other form; one run per day would cost 14 times as much.
    warnings.simplefilter("ignore", dg.BetaWarning)
    _daily_asset = dg.asset(
        description=(
            "Every event of the ledger as Parquet, a folder per tenant and UTC day of recorded_at. A past day is "
            "one file and never changes; to today, only rows that are not there yet are added. Deleted, it is made "
            "again from the ledger."
        ),
        group_name="lake",
        owners=OWNERS,
        kinds={"parquet", "arrow"},
        tags={"layer": "raw"},
        deps=["checkpoints"],
        partitions_def=recorded_days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=RAW_EVENTS_CHECKS,
        code_version=lineage.product_version(),
    )


@_daily_asset
def raw_events(
    context: dg.AssetExecutionContext,
    installation: dg.ResourceParam[Installation],
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster refuses the parameter beside inline checks
    """Bring the run's days of every tenant into the lake."""
    window = context.partition_time_window
    since, until = window.start.date(), window.end.date()
    days = export_window(installation, since, until, run_id=context.run.run_id)
    return dg.MaterializeResult(
        metadata={
            "days": f"{since} to {until - timedelta(days=1)}",
            "rows": sum(day.rows for day in days),
            "new_rows": sum(day.new_rows for day in days),
            "files_written": sum(len(day.written) for day in days),
            "path": dg.MetadataValue.path(str(installation.settings.lake_dir / "raw_events")),
            "by_day": table(
                ("tenant", "day", "rows", "new", "files", "KiB"),
                (
                    (
                        day.tenant_id,
                        day.day,
                        day.rows,
                        day.new_rows,
                        len(day.written),
                        sum(one.bytes for one in day.written) // 1024,
                    )
                    for day in days
                ),
            ),
        },
        check_results=raw_events_results(installation, since, until),
    )
