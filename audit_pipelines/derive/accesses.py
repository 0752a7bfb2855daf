"""Events that say who read what, among a tenant's events in the lake: kept there, and no behaviour to learn from.

Reading the trail is the product's own doing. A dashboard that asks every second would be the busiest actor of any
tenant: it would make all else look rare, and an auditor's first look an anomaly. So accesses have a row in every copy
of the ledger, a score of 0 by no model, and no part in features, training and the judgement of silence.
"""

from typing import Final

import polars as pl

from audit_pipelines.ledger.access import ENTITY_TYPE
from audit_pipelines.ledger.event import ACCESS_PREFIX

IS_ACCESS: Final = (pl.col("entity_type") == ENTITY_TYPE) & pl.col("event_type").str.starts_with(ACCESS_PREFIX)
NO_MODEL: Final = ""
"""The `model_id` of a score that no model gave."""


def business(events: pl.DataFrame) -> pl.DataFrame:
    """Return the events that are no accesses."""
    return events.filter(~IS_ACCESS)


def unscored(events: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `event_scores` that accesses have: 0, by no model."""
    return events.filter(IS_ACCESS).select(
        "tenant_id",
        "seq",
        "event_id",
        "occurred_at",
        "actor_ref",
        score=pl.lit(0.0),
        model_id=pl.lit(NO_MODEL),
    )
