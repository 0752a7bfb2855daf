"""Erasing a person to the last copy: the key first, then everything that was made of their events, then a certificate.

The key's destruction is one transaction and cannot be taken back; from then on the erasure is unfinished until its
certificate is signed, whoever finishes it: this call, the next one, or Dagster. How far it is stands in the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.erasure import EVENT_TYPE, FoundCopy, LegalHoldError, erase, record_copies, resolve
from audit_pipelines.ledger.vault import ERASED
from audit_pipelines.privacy.certificate import sign_certificate
from audit_pipelines.privacy.copies import Case, copies_naming, plan

# Whoever began an erasure gets this long before somebody else looks after it.
GRACE_S: Final = 120


@dataclass(frozen=True, slots=True)
class Begun:
    """That a person's key is destroyed; `is_new` if this call did it."""

    actor_ref: UUID
    erased_at: datetime
    is_new: bool


@dataclass(frozen=True, slots=True)
class _CopyRow:
    kind: str
    key: str
    action: str
    reason: str
    digest_before: str | None
    digest_after: str | None
    done_at: datetime | None

    def shown(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "key": self.key,
            "action": self.action,
            "reason": self.reason,
            "sha256_before": self.digest_before,
            "sha256_after": self.digest_after,
            "done_at": format_moment(self.done_at) if self.done_at else None,
        }


def begin(installation: Installation, tenant_id: UUID, person: str, *, requested_by: str | None = None) -> Begun:
    """Destroy a person's key, noting what names them while that can still be looked for; see `erasure.erase`.

    Raises:
        UnknownPersonError, LegalHoldError, DatabaseUnavailableError: as there; nothing was erased.
    """
    database, vault = installation.database, installation.vault
    ref = resolve(database, vault, tenant_id, person)
    with database.tenant_connection(tenant_id) as conn:
        identity = vault.identities(conn, [ref]).get(ref, ERASED)
        named = {"tenant_id": tenant_id, "actor_ref": ref}
    with database.connection("audit_custodian") as conn:
        held = conn.execute(query("privacy/select_concerning_hold"), named).fetchone()
    if held and identity != ERASED:
        # The database refuses as well; asked before, nothing is looked for or renamed in vain.
        raise LegalHoldError(
            f"a legal hold covers {ref}: {held[0]}; expected it to be released first. Nothing was erased"
        )
    requester = None
    if requested_by is not None:
        requester = vault.keys(tenant_id, [requested_by]).subjects[requested_by].ref
    found = [] if identity == ERASED else copies_naming(installation, tenant_id, ref, identity)
    erasure = erase(
        database, vault, installation.ledger, tenant_id, str(ref), requested_by=requester, found=tuple(found)
    )
    if erasure.receipt and identity != ERASED:
        # What was written between the look and the commit: one more look, with what only this process still knows.
        _note(installation, tenant_id, ref, copies_naming(installation, tenant_id, ref, identity))
    return Begun(erasure.actor_ref, erasure.erased_at, is_new=erasure.receipt is not None)


def finish(installation: Installation, tenant_id: UUID, ref: UUID, *, run_id: str) -> str | None:
    """Follow every copy of an erased person's events and return the signed certificate; the same one ever after.

    Waits for whoever does the same, and goes on where a killed one stopped. None where the person was erased before
    erasures were followed: nothing was recorded of it then.

    Raises:
        NotHereError: when the copies lie elsewhere; the erasure stays unfinished.
    """
    from audit_pipelines.privacy import purge  # noqa: PLC0415 — scikit-learn, 2 s; the graph only asks what is unfinished

    with exclusive(installation.database, f"erasure {tenant_id}"):
        row = _erasure(installation, tenant_id, ref)
        if row is None or row[5] is not None:
            return None if row is None else str(row[5])
        erased_at, seq, row_hash, requested_by, _, _ = row
        case = Case(installation, tenant_id, ref, erased_at, seq, row_hash, run_id)
        _note(installation, tenant_id, ref, plan(case))
        pending = [copy for copy in _copies(installation, tenant_id, ref) if copy.action == "pending"]
        by_kind = {kind: list(group) for kind, group in groupby(pending, key=attrgetter("kind"))}
        for kind in purge.STEPS:
            for copy in by_kind.get(kind, ()):
                done = purge.STEPS[kind](case, copy.key)
                named = {"tenant_id": tenant_id, "actor_ref": ref, "kind": kind, "key": copy.key}
                with installation.database.connection("audit_custodian") as conn:
                    outcome = {"action": done.action, "reason": done.reason, "digest": done.digest}
                    conn.execute(query("privacy/finish_copy"), named | outcome)
        return _certify(case, requested_by, purge.REMAINS)


def unfinished(installation: Installation, *, grace_s: int = GRACE_S) -> list[tuple[UUID, UUID]]:
    """Return tenant and reference of erasures without a certificate that were begun more than `grace_s` ago."""
    with installation.database.connection("audit_custodian") as conn:
        return conn.execute(query("privacy/select_unfinished"), {"grace_s": grace_s}).fetchall()


def finish_all(installation: Installation, *, run_id: str, grace_s: int = GRACE_S) -> list[tuple[UUID, UUID]]:
    """Finish what nobody finishes any more, and forget the names asked for a month ago; return what was certified."""
    with installation.database.connection("audit_custodian") as conn:
        conn.execute(query("privacy/forget_requests"))
    waiting = unfinished(installation, grace_s=grace_s)
    return [named for named in waiting if finish(installation, *named, run_id=run_id)]


def _certify(case: Case, requested_by: UUID | None, remains: Mapping[str, str]) -> str:
    installation = case.installation
    certified_at = datetime.now(UTC)
    statement = {
        "tenant_id": str(case.tenant_id),
        "actor_ref": str(case.ref),
        "erased_at": format_moment(case.erased_at),
        "event_type": EVENT_TYPE,
        "seq": case.seq,
        "row_hash": case.row_hash,
        "requested_by": str(requested_by) if requested_by else None,
        "events_in_ledger": len(case.seqs),
        "deleted_months": case.deleted_months,
        "destroyed": ["the person's key", "the sealed name", "the index by which the name was found"],
        "copies": [copy.shown() for copy in _copies(installation, case.tenant_id, case.ref)],
        "remains": dict(remains),
        "code_version": lineage.code_version(),
        "certified_at": format_moment(certified_at),
    }
    certificate = sign_certificate(statement, installation.keyring.signer)
    with installation.database.connection("audit_custodian") as conn:
        conn.execute(
            query("privacy/certify_erasure"),
            {
                "tenant_id": case.tenant_id,
                "actor_ref": case.ref,
                "certificate": certificate,
                "certified_at": certified_at,
            },
        )
    return certificate


def _note(installation: Installation, tenant_id: UUID, ref: UUID, copies: Sequence[FoundCopy]) -> None:
    with installation.database.connection("audit_custodian") as conn:
        record_copies(conn, tenant_id, ref, copies)


def _erasure(installation: Installation, tenant_id: UUID, ref: UUID) -> tuple[Any, ...] | None:
    named = {"tenant_id": tenant_id, "actor_ref": ref}
    with installation.database.connection("audit_custodian") as conn:
        return conn.execute(query("privacy/select_erasure"), named).fetchone()


def _copies(installation: Installation, tenant_id: UUID, ref: UUID) -> list[_CopyRow]:
    named = {"tenant_id": tenant_id, "actor_ref": ref}
    with installation.database.connection("audit_custodian") as conn:
        return [_CopyRow(*row) for row in conn.execute(query("privacy/select_copies"), named)]
