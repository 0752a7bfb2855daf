"""The facts of an access review: accounts and what they were used for, who read without one, what was changed.

How they look, and which sentences follow from them, is `reports/access_review.py`'s.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.vault import ERASED
from audit_pipelines.reports.access_review import (
    AccessReview,
    AccountLine,
    ChangeLine,
    ReaderLine,
    compose_review,
)
from audit_pipelines.reports.model import Summary

_CHANGES: Final = {
    "audit.account.created": "made",
    "audit.account.password_set": "password set by an administrator",
    "audit.account.disabled": "disabled",
    "audit.account.enabled": "enabled again",
    "audit.account.locked": "locked after wrong passwords",
    "audit.account.unlocked": "unlocked",
}
_MOST_CHANGES: Final = 500

_Reader = tuple[UUID, int, list[str], datetime]


def review_access(
    installation: Installation, tenant_id: UUID, since: datetime, until: datetime, *, generated_at: datetime
) -> tuple[AccessReview, set[UUID]]:
    """Return a tenant's review of a period, and whom it names; erased persons are not in it.

    What is older than AUDIT_RETENTION_DAYS and left the database is not counted.
    """
    identity = open_identity(installation)
    accounts = [one for one in identity.accounts.list(tenant_id) if one.login != ERASED]
    idle = timedelta(minutes=installation.settings.audit_session_idle_minutes)
    with installation.database.tenant_connection(tenant_id) as conn:
        period = {"since": since, "until": until}
        readers = _readers(conn, since, until)
        earlier = _readers(conn, since - (until - since), since)
        signed = dict(conn.execute(query("reports/count_signed"), period).fetchall())
        live = dict(
            conn.execute(
                query("reports/count_live_sessions"), {"at": generated_at, "idle_since": generated_at - idle}
            ).fetchall()
        )
        asked = period | {"types": list(_CHANGES), "limit": _MOST_CHANGES}
        changes = conn.execute(query("reports/select_account_changes"), asked).fetchall()
        acted = {by for *_, by, _, _ in changes if by} | {UUID(who) for _, _, who, *_ in changes}
        names = installation.vault.identities(conn, {*readers, *acted})
    known = {one.user_id for one in accounts}
    strangers = [one for ref, one in readers.items() if ref not in known and names.get(ref) != ERASED]
    review = AccessReview(
        tenant_id=str(tenant_id),
        since=since,
        until=until,
        generated_at=generated_at,
        product_version=lineage.product_version(),
        accounts=[
            AccountLine(
                account_ref=str(one.user_id),
                login=one.login,
                name=one.name,
                permissions=one.permissions,
                created_at=one.created_at,
                last_login_at=one.last_login_at,
                disabled_at=one.disabled_at,
                locked_until=one.locked_until,
                must_change=one.must_change,
                live_sessions=live.get(one.user_id, 0),
                reads=readers[one.user_id][1] if one.user_id in readers else 0,
                signatures=signed.get(one.user_id, 0),
            )
            for one in accounts
        ],
        readers=[
            ReaderLine(str(ref), names.get(ref, str(ref)), reads, tuple(actions), last_at, ref not in earlier)
            for ref, reads, actions, last_at in strangers
        ],
        changes=[
            ChangeLine(at, _CHANGES[what], names.get(UUID(who), who), names.get(by, "nobody"), seq)
            for at, what, who, by, seq, _ in changes
        ],
        changes_total=changes[0][-1] if changes else 0,
        reads=sum(reads for _, reads, _, _ in readers.values()),
        reads_before=sum(reads for _, reads, _, _ in earlier.values()),
        readers_before=len(earlier.keys() - known),
        summary=Summary(()),
    )
    named = known | {ref for ref, *_ in strangers} | {ref for ref in acted if names.get(ref, ERASED) != ERASED}
    return replace(review, summary=compose_review(review)), named


def _readers(conn: Connection, since: datetime, until: datetime) -> dict[UUID, _Reader]:
    rows = conn.execute(query("reports/select_readers"), {"since": since, "until": until}).fetchall()
    return {row[0]: row for row in rows}
