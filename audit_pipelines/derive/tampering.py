"""A ledger that a job found changed is told to its tenant's destinations, once for each thing that was found.

What counts as changed is `ledger.verify`'s, and how alerts leave `derive.alerts`'. The rows written here are notes for
people: whoever can change the ledger can delete them too, and the next verification finds the same again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from audit_pipelines.db.queries import query
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.verify import Verification


def tell_findings(installation: Installation, done: Sequence[Verification], *, run_id: str, whole: bool = False) -> int:
    """Note what verifications found and queue an alert per tenant with findings that nobody was told of.

    What a verification of `whole` ledgers did not find again is over, and is told anew if it comes back. Returns how
    many findings are new; one transaction per tenant, so that none is noted and not queued.
    """
    return sum(_tell(installation, one, run_id, whole=whole) for one in done if one.findings or whole)


def _tell(installation: Installation, one: Verification, run_id: str, *, whole: bool) -> int:
    alert_id = uuid4()
    found = {
        "tenant_id": one.tenant_id,
        "alert_id": alert_id,
        "run_id": run_id,
        "kinds": [finding.kind for finding in one.findings],
        "seqs": [finding.seq for finding in one.findings],
        "whats": [finding.what for finding in one.findings],
    }
    with installation.database.connection("audit_pipeline") as conn:
        (new,) = conn.execute(query("notify/note_findings"), found).fetchone() or (0,)
        if whole:
            conn.execute(query("notify/end_findings"), found)
        if new:
            conn.execute(query("notify/queue_tampering"), {"tenant_id": one.tenant_id, "alert_id": alert_id})
    return int(new)


def told_of(installation: Installation, tenant_id: UUID, alert_id: UUID) -> list[tuple[str, int | None, datetime]]:
    """Return `(kind, seq, found at)` of the findings of one alert, the first rows first; None is the whole ledger."""
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(query("notify/select_findings"), {"tenant_id": tenant_id, "alert_id": alert_id}).fetchall()
