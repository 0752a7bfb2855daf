"""Meaning as vectors."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS, table
from audit_pipelines.derive import lineage
from audit_pipelines.derive.embeddings import default_embedder, update_embeddings
from audit_pipelines.installation import Installation


@dg.asset(
    description=(
        "Each distinct canonical text of the events once, as a 384-dimensional vector in pgvector; events point to "
        "texts. Texts hold no names, ids or addresses. Costs the new texts only; the model runs offline."
    ),
    group_name="embeddings",
    owners=OWNERS,
    kinds={"postgres", "onnx"},
    tags={"layer": "derived"},
    deps=["raw_events"],
    code_version=lineage.product_version(),
)
def event_embeddings(
    context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
) -> dg.MaterializeResult[None]:
    """Render and embed what is new."""
    embedder = default_embedder(installation)
    done = update_embeddings(installation, embedder, run_id=context.run.run_id)
    return dg.MaterializeResult(
        metadata={
            "new_events": sum(one.new_events for one in done),
            "new_texts": sum(one.new_texts for one in done),
            "distinct_texts": sum(one.texts for one in done),
            "model": embedder.name,
            "model_digest": embedder.digest,
            "dimension": embedder.dimension,
            "by_tenant": table(
                ("tenant", "new events", "new texts", "texts"),
                ((one.tenant_id, one.new_events, one.new_texts, one.texts) for one in done),
            ),
        }
    )
