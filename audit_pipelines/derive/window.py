"""Which tenants a derived dataset must be made anew for: those with events that it does not hold, or older code.

The last event's `row_hash` stands for everything before it, so "nothing new" is one comparison, not a scan.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import polars as pl

from audit_pipelines.derive import lineage
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Dataset, Lake, Stamp, Written


@dataclass(frozen=True, slots=True)
class TenantUpdate:
    """What a stage did for one tenant; `written` is None where nothing was new."""

    tenant_id: UUID
    rows: int
    written: Written | None


@dataclass(frozen=True, slots=True)
class Redo:
    """That one tenant's data is made anew whatever its stamp says, and why: an input that its lineage names."""

    tenant_id: UUID
    because: dict[str, object]


@dataclass(frozen=True, slots=True)
class TenantWindow:
    """One tenant's events as a stage sees them: all up to `through_seq`, whose row has the hash `head` (hex)."""

    tenant_id: UUID
    through_seq: int
    head: str

    def stamp(self, *inputs: str) -> Stamp:
        """Return the stamp of what is made of these events and `inputs` by the present code."""
        return Stamp(self.through_seq, self.head, lineage.code_version(), inputs)

    def ledger_input(self) -> dict[str, object]:
        """Name these events for the lineage."""
        return lineage.ledger_input(0, self.through_seq, self.head)


def tenant_windows(lake: Lake, redo: Redo | None = None) -> Iterator[TenantWindow]:
    """Yield what the lake holds of each tenant, or of the one to redo; reads one value of one file per tenant."""
    for tenant_id in lake.tenants():
        if redo and tenant_id != redo.tenant_id:
            continue
        parts = lake.parts(tenant_id)
        last = max(parts, key=lambda part: part.last_seq)
        heads = pl.scan_parquet(last.path, hive_partitioning=False).select("row_hash").tail(1).collect()
        yield TenantWindow(tenant_id, last.last_seq, heads.item())


def write(
    installation: Installation,
    lake: Lake,
    dataset: Dataset,
    window: TenantWindow,
    frame: pl.DataFrame,
    *,
    stamp: Stamp,
    beside: tuple[dict[str, object], ...] = (),
    run_id: str,
    redo: Redo | None = None,
) -> Written:
    """Replace a tenant's file of `dataset`, with its row in `audit_lineage` written first."""
    reason = (redo.because,) if redo else ()

    def before(written: Written) -> None:
        key = str(written.path.relative_to(lake.root.parent))
        output = lineage.Output(
            window.tenant_id, dataset, key, written.digest, (window.ledger_input(), *beside, *reason), _model(beside)
        )
        with installation.database.connection("audit_pipeline") as conn:
            lineage.record(conn, [output], run_id=run_id)

    return lake.replace(dataset, window.tenant_id, frame, stamp, before=before)


def _model(beside: tuple[dict[str, object], ...]) -> str | None:
    models = [str(each["key"]) for each in beside if each["kind"] == "model"]
    return models[-1] if models else None
