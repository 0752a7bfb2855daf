"""A verification of the ledger in the words of reports, and sealing of all tenants at once.

What is compared and how is `ledger.verify`'s, what is signed is `ledger.sealer`'s.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from audit_pipelines.anchors.register import AnchorState
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.checkpoint import Checkpoint
from audit_pipelines.ledger.verify import Verification, tenants
from audit_pipelines.reports import model as report


@dataclass(frozen=True, slots=True)
class Sealing:
    """What sealing came to: new checkpoints, how many tenants had nothing new, and how far each anchor is."""

    sealed: tuple[Checkpoint, ...]
    unchanged: int
    anchors: tuple[AnchorState, ...]


def seal_all(installation: Installation) -> Sealing:
    """Seal every tenant's new rows and send the newest checkpoints to the anchors; what fails there is only reported.

    Raises:
        TamperedError: after all others were sealed, naming each tenant whose rows do not continue its chain.
    """
    sealed, refused, unchanged = [], [], 0
    with installation.database.connection("audit_pipeline") as conn:
        known = tenants(conn)
    for tenant_id in known:
        try:
            checkpoint = installation.seal(tenant_id)
        except TamperedError as error:
            refused.append(str(error))
            continue
        if checkpoint:
            sealed.append(checkpoint)
        else:
            unchanged += 1
    anchors = installation.anchor_due()
    if refused:
        raise TamperedError("; ".join(refused))
    return Sealing(tuple(sealed), unchanged, tuple(anchors))


def integrity_of(installation: Installation, verification: Verification) -> report.Integrity:
    """Return a verification as a report prints it, with the newest checkpoint."""
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("reports/select_newest_checkpoint"), {"tenant_id": verification.tenant_id}).fetchone()
    return report.Integrity(
        result="intact" if verification.intact else "tampered",
        events_verified=verification.events,
        first_seq=0 if verification.events else None,
        last_seq=verification.last_seq,
        chain_head=verification.head.hex(),
        verified_at=datetime.now(UTC),
        checkpoint=report.Checkpoint(*row) if row else None,
        finding="; ".join(str(finding) for finding in verification.findings[:3]),
    )
