"""What all assets share: owners, and what a stage did per tenant.

Not here: what checks show as well, in `metadata`. Assets whose stage needs scikit-learn (2 s) or ReportLab (0.3 s)
import it when they run: webserver, daemon and commands all load the graph.
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from audit_pipelines.derive.window import TenantUpdate
from audit_pipelines.metadata import table

OWNERS: Final = ["team:security-engineering"]


def updates(done: Sequence[TenantUpdate]) -> dict[str, dg.MetadataValue]:
    """Describe what a stage did per tenant."""
    fresh = [update for update in done if update.written]
    return {
        "rows": dg.MetadataValue.int(sum(update.rows for update in done)),
        "tenants": dg.MetadataValue.int(len(done)),
        "tenants_updated": dg.MetadataValue.int(len(fresh)),
        "by_tenant": table(
            ("tenant", "rows", "state", "KiB", "SHA-256"),
            (
                (update.tenant_id, update.rows, "up to date", "", "")
                if update.written is None
                else (
                    update.tenant_id,
                    update.rows,
                    "written",
                    update.written.bytes // 1024,
                    update.written.digest.hex()[:16],
                )
                for update in done
            ),
        ),
    }
