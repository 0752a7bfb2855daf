"""Meaning as vectors."""

from typing import Any

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import lineage
from audit_pipelines.derive.embedders import default_embedder, source_of
from audit_pipelines.derive.embeddings import cost_of, spent_by, update_embeddings
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder
from audit_pipelines.metadata import table


@dg.asset(
    description=(
        "Each distinct canonical text of the events once, as a vector in pgvector; events point to texts. Texts hold "
        "no names, ids or addresses. Costs the new texts only. MiniLM runs offline unless settings choose a model of "
        "one's own or a server; another model takes over, tenant by tenant, once it has every text."
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
            "new_sentences": sum(one.new_sentences for one in done),
            "distinct_texts": sum(one.texts for one in done),
            "changed_model": sum(one.former is not None for one in done),
            **(_model(embedder) if done else {}),
            **_spent(installation, embedder),
            "by_tenant": table(
                ("tenant", "new events", "new texts", "texts"),
                ((one.tenant_id, one.new_events, one.new_texts, one.texts) for one in done),
            ),
        }
    )


def _model(embedder: Embedder) -> dict[str, Any]:
    return {
        "model": embedder.name,
        "model_digest": embedder.digest,
        "dimension": embedder.dimension,
        "source": source_of(embedder),
    }


def _spent(installation: Installation, embedder: Embedder) -> dict[str, Any]:
    spent = spent_by(embedder)
    cost = cost_of(installation, spent)
    counts = {"requests": spent.requests, "tokens": spent.tokens}
    return counts if cost is None else counts | {"cost": cost}
