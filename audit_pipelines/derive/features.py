"""Behaviour as numbers: `event_features` and `actor_features`, from the lake's raw events.

What the numbers mean is decided in `intelligence.features`; here is only which tenants need them, where they go, and
that they are about the tenant's business: who read the audit trail is no part of it.
"""

import polars as pl

from audit_pipelines.derive.accesses import business
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow, refresh
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.features import actor_features, compute_features
from audit_pipelines.lake.datasets import Lake


def update_event_features(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `event_features` up to date: one row per event that is no access, each from the past alone."""
    lake = Lake(installation.settings.lake_dir)

    def compute(window: TenantWindow) -> pl.DataFrame:
        return compute_features(business(lake.events(window.tenant_id)))

    return refresh(installation, "event_features", compute, run_id=run_id, redo=redo)


def update_actor_features(installation: Installation, *, run_id: str, redo: Redo | None = None) -> list[TenantUpdate]:
    """Bring `actor_features` up to date: one row per actor and UTC day of `occurred_at`."""
    lake = Lake(installation.settings.lake_dir)

    def compute(window: TenantWindow) -> pl.DataFrame:
        return actor_features(business(lake.events(window.tenant_id)))

    return refresh(installation, "actor_features", compute, run_id=run_id, redo=redo)
