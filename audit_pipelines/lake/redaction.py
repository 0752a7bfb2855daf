"""Taking an erased person out of the parts of `raw_events` that lie in the lake already.

What is left of them is what `sql/lake/read_events.sql` exports of somebody who was erased before; a part is rewritten
from itself, because its rows may have left the ledger meanwhile.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import polars as pl

from audit_pipelines.files import replacing
from audit_pipelines.lake.datasets import RAW_EVENTS, ROW_GROUP, Lake, Part, Written, describe, parquet_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

ERASED_ENTITY: Final = "erased"
_OWN_ENTITY_TYPE: Final = "audit_subject"
_OF_THE_ACTOR: Final = ("actor_ref", "ip_index", "user_agent", "details")


def parts_about(lake: Lake, tenant_id: UUID, ref: UUID) -> list[Part]:
    """Return the parts that have an event of the person or about them."""
    return [part for part in lake.parts(tenant_id) if not _about(pl.scan_parquet(part.path), ref).collect().is_empty()]


def redact_part(path: Path, ref: UUID, before: "Callable[[Written], None]") -> Written:
    """Rewrite a part without the person: same rows, same order; whole or not at all.

    `before` is called when the bytes are known and before they have the name, as in `Lake.replace`.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 — 0.3 s that importing the asset graph need not pay

    table = redacted_table(pl.read_parquet(path, hive_partitioning=False).to_arrow(), [ref])
    with replacing(path) as staging:
        pq.write_table(table, staging, compression="zstd", row_group_size=ROW_GROUP)
        written = describe(staging, table.num_rows, path)
        before(written)
    return written


def redacted_table(events: "pa.Table", refs: Sequence[UUID]) -> "pa.Table":
    """Return raw events without what leads to these persons."""
    acted = _is_actor(refs).fill_null(value=False)
    frame = pl.DataFrame(events).with_columns(
        *(pl.when(acted).then(None).otherwise(pl.col(name)).alias(name) for name in _OF_THE_ACTOR),
        pl.when(_is_entity(refs)).then(pl.lit(ERASED_ENTITY)).otherwise(pl.col("entity_id")).alias("entity_id"),
    )
    return frame.select(list(RAW_EVENTS)).to_arrow().cast(parquet_schema())


def _about(events: pl.LazyFrame, ref: UUID) -> pl.LazyFrame:
    return events.filter(_is_actor([ref]) | _is_entity([ref])).select("seq").head(1)


def _is_actor(refs: Sequence[UUID]) -> pl.Expr:
    return pl.col("actor_ref").is_in([str(ref) for ref in refs])


def _is_entity(refs: Sequence[UUID]) -> pl.Expr:
    return pl.col("entity_id").is_in([str(ref) for ref in refs]) & (pl.col("entity_type") != _OWN_ENTITY_TYPE)
