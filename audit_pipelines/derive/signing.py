"""Electronic signatures as reports print them, each checked when the report is made, and as they protect reports."""

from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

from audit_pipelines.db.queries import query
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
            one.deleted,
        )
        for one in made
    ]


def unsigned_path(installation: Installation, tenant_id: UUID, name: str) -> Path:
    """Return where a report of this name may be written: a signed one is never overwritten, the next has a number."""
    storage = installation.settings.storage_dir
    with installation.database.tenant_connection(tenant_id) as conn:
        signed = {
            key
            for (key,) in conn.execute(
                query("reports/select_signed_reports"), {"prefix": f"exports/{tenant_id}/{name}"}
            )
        }
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    paths = (storage / "exports" / str(tenant_id) / f"{each}.pdf" for each in names)
    return next(path for path in paths if str(path.relative_to(storage)) not in signed)
