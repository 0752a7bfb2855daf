"""Where everything begins: the ledger, which Dagster watches but does not make, and its signed checkpoints."""

import dagster as dg

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import integrity, lineage
from audit_pipelines.installation import Installation
from audit_pipelines.metadata import table

audit_logs = dg.AssetSpec(
    "audit_logs",
    description=(
        "The ledger in Postgres: one hash-chained, append-only row per event and tenant. Written by the server and by "
        "imports through `audit_append` alone; Dagster reads it and never changes it."
    ),
    group_name="ledger",
    owners=OWNERS,
    kinds={"postgres", "table"},
    tags={"truth": "ledger"},
    code_version=lineage.product_version(),
)


@dg.asset(
    description=(
        "Signed tree heads (RFC 6962, Ed25519) over each tenant's ledger, in `audit_checkpoints` and in the anchors "
        "outside the database. Costs the new rows only; refuses to sign over rows that do not continue the chain."
    ),
    group_name="ledger",
    owners=OWNERS,
    kinds={"postgres", "table"},
    tags={"truth": "ledger"},
    deps=["audit_logs"],
    code_version=lineage.product_version(),
)
def checkpoints(installation: dg.ResourceParam[Installation]) -> dg.MaterializeResult[None]:
    """Seal every tenant with new rows and serve the anchors."""
    result = integrity.seal_all(installation)
    return dg.MaterializeResult(
        metadata={
            "sealed": len(result.sealed),
            "tenants_without_new_events": result.unchanged,
            "anchor": dg.MetadataValue.path(str(installation.settings.anchors_dir)),
            "anchors_behind": len({state.anchor for state in result.anchors if state.behind_since}),
            "anchors": table(
                ("anchor", "tenant", "events anchored", "lag", "at", "last error"),
                (
                    (
                        state.anchor,
                        state.tenant_id,
                        state.anchored_size or 0,
                        state.lag,
                        state.anchored_at.isoformat(timespec="seconds") if state.anchored_at else "never",
                        state.last_error or "",
                    )
                    for state in sorted(result.anchors, key=lambda state: -state.lag)
                ),
            ),
            "signing_key": installation.keyring.signer.verifier_key.key_hash.hex(),
            "newest": table(
                ("tenant", "events covered", "root", "chain head"),
                ((one.tenant_id, one.size, one.root.hex()[:16], one.chain_head.hex()[:16]) for one in result.sealed),
            ),
        }
    )
