"""The records of daily reviews, made when a UTC day is over, and which of them nobody has signed in time.

What stands in a record is `identity.reviews`' to say; here are the roles and the verification that it takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from audit_pipelines.derive.locks import exclusive
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.identity.reviews import Review, make_due
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.verify import Verification, tenants

# PCI DSS 10.5.1 wants three months at hand; what was left out before then is no news any more.
WATCHED_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class Overdue:
    """The days of a tenant that ought to be signed and are not, the newest first."""

    tenant_id: UUID
    reviews: tuple[Review, ...]


def make_due_reviews(installation: Installation, now: datetime) -> dict[UUID, int]:
    """Make the records of all days that are over and have none; return how many were made, by tenant."""

    def verify(tenant_id: UUID, since: datetime) -> Sequence[Verification]:
        return installation.verify(tenant_id, since=since)

    with exclusive(installation.database, "reviews"):
        return make_due(installation.database, ArchiveFolder(installation.database.archives_dir), verify, now)


def overdue_reviews(installation: Installation) -> list[Overdue]:
    """Return the tenants with reviews of the last 90 days that are not signed in time."""
    reviews = open_identity(installation).reviews
    found = []
    with installation.database.connection("audit_pipeline") as conn:
        known = tenants(conn)
    for tenant_id in known:
        with installation.database.tenant_connection(tenant_id) as conn:
            late = reviews.overdue(conn, WATCHED_DAYS)
        if late:
            found.append(Overdue(tenant_id, tuple(late)))
    return found
