"""Electronic signatures as reports print them, each checked when the report is made."""

from datetime import datetime
from typing import Final
from uuid import UUID

from audit_pipelines.identity.opening import open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.reports.model import SignatureLine

PRINTED: Final = 500


def signature_lines(
    installation: Installation, tenant_id: UUID, since: datetime, until: datetime
) -> list[SignatureLine]:
    """Return the signatures of a period and of its records, with the signers' printed names."""
    made = open_identity(installation).signatures.of_period(tenant_id, since, until, PRINTED)
    return [
        SignatureLine(
            one.signed_at,
            one.printed_name,
            str(one.signer_ref),
            one.meaning,
            one.record_kind,
            one.record_id,
            one.record_hash.hex(),
            one.seq,
            one.valid,
            "; ".join(one.problems),
        )
        for one in made
    ]
