"""Old months as files of their own, and persons who are gone for good."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS, table
from audit_pipelines.derive import lineage
from audit_pipelines.derive.archiving import archive_segments, ensure_partitions
from audit_pipelines.installation import Installation
from audit_pipelines.privacy import erasing


class ArchiveConfig(dg.Config):
    """How a run of the archive came about."""

    on_demand: bool = True
    """False for the daily job, which AUDIT_AUTO_ARCHIVE=false keeps from writing archives."""


@dg.asset(
    description=(
        "Copies of whole months that ended AUDIT_RETENTION_DAYS ago, with the hashed bytes and a manifest, read back "
        "and recomputed. Deletes nothing. Also makes the ledger's partitions of the coming months."
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
    """Make partitions ahead, then archive the months that are due."""
    made = ensure_partitions(installation)
    wanted = config.on_demand or installation.settings.audit_auto_archive
    done = archive_segments(installation, run_id=context.run.run_id) if wanted else []
    return dg.MaterializeResult(
        metadata={
            "partitions_made": made,
            "archiving": "done" if wanted else "switched off by AUDIT_AUTO_ARCHIVE",
            "retention_days": installation.settings.audit_retention_days,
            "archives": len(done),
            "new_archives": sum(one.is_new for one in done),
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
                    for one in done
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
