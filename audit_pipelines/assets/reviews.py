"""The records of daily reviews, which people sign."""

from datetime import UTC, datetime

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import lineage
from audit_pipelines.derive.reviews import make_due_reviews
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import table


@dg.asset(
    description=(
        "One record per tenant and UTC day that is over: events, failed logins, locked accounts, anomalies, and what a "
        "verification found. Made once and never changed; people sign its digest."
    ),
    group_name="reports",
    owners=OWNERS,
    kinds={"postgres", "table"},
    tags={"layer": "report"},
    deps=["checkpoints", "anomalies"],
    code_version=lineage.product_version(),
)
def daily_reviews(installation: dg.ResourceParam[Installation]) -> dg.MaterializeResult[None]:
    """Make the records that are due."""
    made = make_due_reviews(installation, datetime.now(UTC))
    return dg.MaterializeResult(
        metadata={"reviews_made": sum(made.values()), "by_tenant": table(("tenant", "reviews made"), made.items())}
    )
