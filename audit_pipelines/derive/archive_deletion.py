"""The end of an archive: marked when it is old enough, deleted when two different persons approved, never otherwise.

Marks, approvals and deletions are written by the database's own functions, which check age, holds and persons; each
approval and each deletion is an event of the tenant's ledger, in the same transaction. The record comes before the file
goes, so that a run that is cut off leaves a file too many and never a gap. The manifest stays for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from audit_pipelines.db.queries import query
from audit_pipelines.derive.archiving import OnStep, folder_of, ignore, waiting_months
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.ledger.archives import Archive, archives_of
from audit_pipelines.ledger.entry import Draft
from audit_pipelines.ledger.erasure import LegalHoldError
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.keys import sync_directory
from audit_pipelines.ledger.store import store_drafts, until_fresh
from audit_pipelines.ledger.verify_archives import APPROVAL_EVENT, ARCHIVE_ENTITY, DELETION_EVENT, file_faults

APPROVALS_NEEDED: Final = 2
_HELD: Final = "AU002"
_NOT_DUE: Final = "AU010"
_SAME_PERSON: Final = "AU013"


@dataclass(frozen=True, slots=True)
class Deleted:
    """An archive whose file a run deleted, and how many bytes that were."""

    archive: Archive
    bytes: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An archive as `archives list` shows it."""

    archive: Archive
    state: str
    approvers: tuple[UUID, ...]
    why: str
    """Why it is where it is; what is wrong with its files comes first."""


def mark_due(installation: Installation, *, now: datetime | None = None) -> int:
    """Mark archives whose month ended AUDIT_ARCHIVE_YEARS ago or earlier, unless held; return how many are new."""
    moment = now or datetime.now(UTC)
    years = installation.settings.audit_archive_years
    # The 29th of February of a year without one is the 28th.
    day = min(moment.day, 28) if moment.month == 2 else moment.day
    with installation.database.connection("audit_custodian") as conn:
        row = conn.execute(
            query("derive/mark_due"), {"before": moment.replace(year=moment.year - years, day=day)}
        ).fetchone()
    return int(row[0]) if row else 0


def approve(installation: Installation, tenant_id: UUID, month: str, person: str) -> int:
    """Record that `person` approves the deletion of an archive, as an event of the ledger; return how many approved.

    Raises:
        ValidationError: when no archive of that month is marked for deletion.
        ConflictError: when the same person approved before.
        LegalHoldError: naming the reason of the hold.
    """
    event = Event(event_type=APPROVAL_EVENT, entity_type=ARCHIVE_ENTITY, entity_id=month, actor=person)

    def attempt(stale: int | None) -> int:
        draft = installation.ledger.prepare(tenant_id, event, stale=stale)
        with installation.database.tenant_connection(tenant_id, "audit_custodian") as conn:
            [receipt] = store_drafts(conn, [draft])
            given = {"month": month, "approver_ref": draft.actor_ref, "seq": receipt.seq}
            row = conn.execute(query("derive/approve_deletion"), given).fetchone()
        return int(row[0]) if row else 0

    try:
        return until_fresh(attempt, tenant_id)
    except psycopg.DatabaseError as error:
        raise _refusal(error, tenant_id, month) from error


def delete_approved(installation: Installation, *, on_step: OnStep = ignore) -> tuple[list[Deleted], list[str]]:
    """Delete what two persons approved, and what an earlier run recorded and left; return that, and refusals."""
    done: list[Deleted] = []
    refused: list[str] = []
    for tenant_id in _tenants(installation):
        with installation.database.connection("audit_pipeline") as conn:
            archives = archives_of(conn, tenant_id)
            approvals = _approvals(conn, tenant_id)
        for one in archives:
            is_deleted = one.deleted_at is not None
            if one.due_at and not is_deleted and len(approvals.get(one.month, ())) >= APPROVALS_NEEDED:
                try:
                    _record_deletion(installation, one, approvals[one.month])
                except LegalHoldError as error:
                    refused.append(str(error))
                    continue
                on_step("deletion recorded")
                is_deleted = True
            if is_deleted and (size := _delete_files(installation, one, on_step)):
                done.append(Deleted(one, size))
    return done, refused


def list_archives(
    installation: Installation, *, tenant_id: UUID | None = None, now: datetime | None = None
) -> list[Listed]:
    """Return one tenant's or every tenant's archives with their state, and why months wait."""
    waits = waiting_months(installation, now=now)
    waiting = {one.month: one.told_to(tenant_id) if tenant_id else one.why for one in waits}
    folder = folder_of(installation)
    listed = []
    for tenant in [tenant_id] if tenant_id else _tenants(installation):
        with installation.database.connection("audit_pipeline") as conn:
            archives = archives_of(conn, tenant)
            approvals = _approvals(conn, tenant)
        for one in archives:
            approvers = approvals.get(one.month, ())
            why = "; ".join(file_faults(folder, one)) or _why(one, approvers, waiting)
            listed.append(Listed(one, _state(one), approvers, why))
    return listed


def faults(installation: Installation) -> list[str]:
    """Return what is wrong with the files of all archives, by their bytes alone."""
    folder = folder_of(installation)
    found = []
    for tenant_id in _tenants(installation):
        with installation.database.connection("audit_pipeline") as conn:
            archives = archives_of(conn, tenant_id)
        found += [f"tenant {tenant_id}: {fault}" for one in archives for fault in file_faults(folder, one)]
    return found


def _state(one: Archive) -> str:
    if one.deleted_at:
        return "deleted"
    if one.due_at:
        return "due for deletion"
    return "archive alone" if one.released_at else "archived, rows in the database"


def _why(one: Archive, approvers: tuple[UUID, ...], waiting: dict[str, str]) -> str:
    if one.deleted_at:
        return f"deleted on {one.deleted_at:%Y-%m-%d}"
    if one.due_at:
        return f"{len(approvers)} of {APPROVALS_NEEDED} persons approved its deletion"
    return "" if one.released_at else waiting.get(one.month, "")


def _tenants(installation: Installation) -> list[UUID]:
    with installation.database.connection("audit_pipeline") as conn:
        return [tenant_id for (tenant_id,) in conn.execute(query("derive/select_archived_tenants"))]


def _approvals(conn: Any, tenant_id: UUID) -> dict[str, tuple[UUID, ...]]:
    found: dict[str, tuple[UUID, ...]] = {}
    for month, ref, _, _ in conn.execute(query("ledger/select_archive_approvals"), {"tenant_id": tenant_id}):
        found[month] = (*found.get(month, ()), ref)
    return found


def _record_deletion(installation: Installation, one: Archive, approvers: tuple[UUID, ...]) -> None:
    event = Event(
        event_type=DELETION_EVENT,
        entity_type=ARCHIVE_ENTITY,
        entity_id=one.month,
        details={
            "first_seq": one.first_seq,
            "last_seq": one.last_seq,
            "sha256": one.file_sha256.hex(),
            "approved_by": [str(ref) for ref in approvers],
        },
    )

    def attempt(stale: int | None) -> None:
        draft: Draft = installation.ledger.prepare(one.tenant_id, event, stale=stale)
        with installation.database.tenant_connection(one.tenant_id, "audit_custodian") as conn:
            store_drafts(conn, [draft])
            conn.execute(query("derive/delete_archive"), {"month": one.month})

    try:
        until_fresh(attempt, one.tenant_id)
    except psycopg.DatabaseError as error:
        raise _refusal(error, one.tenant_id, one.month) from error


def _delete_files(installation: Installation, one: Archive, on_step: OnStep) -> int:
    """Delete the segment and the lake's copy of its days; return how many bytes that freed."""
    path = folder_of(installation).segment(one.tenant_id, one.month)
    freed = 0
    if path.exists():
        freed += path.stat().st_size
        path.unlink()
        sync_directory(path.parent)
        on_step("segment deleted")
    with exclusive(installation.database, "raw_events"):
        for part in Lake(installation.settings.lake_dir).parts(one.tenant_id):
            if one.first_seq <= part.first_seq and part.last_seq <= one.last_seq:
                freed += part.path.stat().st_size
                part.path.unlink()
    on_step("lake purged")
    return freed


def _refusal(error: psycopg.DatabaseError, tenant_id: UUID, month: str) -> AuditError | psycopg.DatabaseError:
    which = f"the archive of {month} of tenant {tenant_id}"
    if error.sqlstate == _HELD:
        return LegalHoldError(f"a legal hold covers {which}: {error.diag.message_detail}. Nothing was done")
    if error.sqlstate == _SAME_PERSON:
        return ConflictError(f"this person approved the deletion of {which} before; expected another person")
    if error.sqlstate == _NOT_DUE:
        return ValidationError(f"{which} is not marked for deletion; `audit-pipelines archives list` shows what is")
    return error


def approvers_named(installation: Installation, tenant_id: UUID, refs: Iterable[UUID]) -> dict[UUID, str]:
    """Return the names behind references, of those who were not erased."""
    with installation.database.tenant_connection(tenant_id) as conn:
        return installation.vault.identities(conn, set(refs))
