"""Old months, into the archive, out of the database and at their end deleted; and persons who are gone for good."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import archive_deletion, lineage
from audit_pipelines.derive.archiving import Retention, ensure_partitions, retain
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import table
from audit_pipelines.privacy import erasing


class ArchiveConfig(dg.Config):
    """How a run of the archive came about."""

    on_demand: bool = True
    """False for the daily job, which AUDIT_AUTO_ARCHIVE=false keeps from writing archives."""


@dg.asset(
    description=(
        "Whole months that ended AUDIT_RETENTION_DAYS ago: sealed segments with signed manifests, read back and "
        "recomputed; then dropped from the database, unless held. Archives older than AUDIT_ARCHIVE_YEARS are marked, "
        "and deleted if two persons approved. Also makes the ledger's partitions of the coming months."
    ),
    group_name="retention",
    owners=OWNERS,
    kinds={"parquet", "file"},
    tags={"layer": "archive"},
    deps=["audit_logs"],
    code_version=lineage.product_version(),
)
def archived_segments(
    context: dg.AssetExecutionContext, config: ArchiveConfig, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Make partitions ahead, archive and drop the months that are due, delete what was approved."""
    made = ensure_partitions(installation)
    wanted = config.on_demand or installation.settings.audit_auto_archive
    done = retain(installation, run_id=context.run.run_id) if wanted else Retention()
    marked = archive_deletion.mark_due(installation) if wanted else 0
    deleted, refused = archive_deletion.delete_approved(installation) if wanted else ([], [])
    return dg.MaterializeResult(
        metadata={
            "partitions_made": made,
            "archiving": "done" if wanted else "switched off by AUDIT_AUTO_ARCHIVE",
            "retention_days": installation.settings.audit_retention_days,
            "archives": len(done.archived),
            "new_archives": sum(one.is_new for one in done.archived),
            "rows_archived": sum(one.rows for one in done.released),
            "bytes_freed": sum(one.bytes for one in done.released),
            "months_dropped": ", ".join(one.month for one in done.released) or "none",
            "marked_for_deletion": marked,
            "archives_deleted": len(deleted),
            "deletions_refused": "; ".join(refused) or "none",
            "waiting": table(("month", "why"), ((one.month, one.why) for one in done.waiting)),
            "segments": table(
                ("tenant", "month", "first seq", "last seq", "SHA-256"),
                (
                    (
                        one.segment.tenant_id,
                        one.segment.month,
                        one.segment.first_seq,
                        one.segment.last_seq,
                        one.digest[:16],
                    )
                    for one in done.archived
                ),
            ),
        }
    )


@dg.asset(
    description=(
        "Certificates of erasures that whoever began did not finish: every copy is made anew, purged or kept with a "
        "reason, then the certificate is signed. Also forgets the names that were asked for a month ago."
    ),
    group_name="retention",
    owners=OWNERS,
    kinds={"postgres"},
    tags={"layer": "evidence"},
    deps=["audit_logs"],
    code_version=lineage.product_version(),
)
def erasure_certificates(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Finish what was begun and left."""
    done = erasing.finish_all(installation, run_id=context.run.run_id)
    return dg.MaterializeResult(
        metadata={"certified": len(done), "erasures": table(("tenant", "reference"), done)},
    )
