"""Electronic signatures (21 CFR 11.50 to 11.200): made with a password, bound to a record's hash, checked when shown.

A signature is a row of `audit_signatures` and an event of the ledger, stored together. Both hold the digest of what was
signed, by whom and with what meaning, so a row that is copied to another record, or whose record changed, is not valid.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args
from uuid import UUID, uuid4

import msgspec

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, TamperedError, ValidationError
from audit_pipelines.identity.accounts import Accounts, PasswordExpiredError
from audit_pipelines.identity.credentials import Attempt, Credentials, Origin, Refusal, Stored
from audit_pipelines.identity.records import (
    RecordKind,
    RecordState,
    Where,
    read_archived,
    read_records,
    read_row,
    why_not,
)
from audit_pipelines.identity.sessions import Sessions
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.archives import ArchiveFolder, DeletedArchiveError, archived_seqs, archives_of, released
from audit_pipelines.ledger.entry import SEALED_KEY
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.store import Ledger, store_drafts, until_fresh
from audit_pipelines.ledger.stored_row import StoredRow, content_is_intact
from audit_pipelines.ledger.vault import ERASED, Vault

Meaning = Literal["authored", "reviewed", "approved", "responsible"]
State = Literal["valid", "invalid", "deleted"]
MEANINGS: Final[tuple[Meaning, ...]] = get_args(Meaning)
PERMISSION: Final = "audit:sign"
CREATED: Final = "audit.signature.created"
REFUSED: Final = "audit.signature.refused"
ENTITY_TYPE: Final = "audit_signature"
LISTED: Final = 1_000
UNREADABLE: Final = "unreadable"

# The row that says so, why it cannot be had, or nothing.
_Entry = StoredRow | DeletedArchiveError | TamperedError | None

_encoder: Final = msgspec.json.Encoder(order="sorted")


class SignatureRefusedError(AuditError):
    """Login or password were wrong, or the account may not be used now; nothing was signed."""


class SessionEndedError(AuditError):
    """Signing takes a session that is live."""


class NotASignerError(AuditError):
    """The account lacks the permission to sign."""


class NoRecordError(AuditError):
    """The tenant has no such record."""


class RecordChangedError(AuditError):
    """The record is not what it was, or not what the signer saw; nothing was signed."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What somebody asks to sign. `login` may be left out after the first signature of a session."""

    kind: RecordKind
    record_id: str
    meaning: Meaning
    password: str = field(repr=False)
    login: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    seen_hash: bytes | None = None
    """The hash of what the signer saw; where given, nothing else is signed."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as every display and printout shows it (21 CFR 11.50), and whether it holds now."""

    signature_id: UUID
    record_kind: RecordKind
    record_id: str
    record_hash: bytes
    meaning: Meaning
    printed_name: str
    """Of the signer; `erased` after they were erased."""
    signer_ref: UUID
    signed_at: datetime
    reason: str | None
    seq: int
    row_hash: bytes
    problems: tuple[str, ...]
    deleted: bool = False
    """Whether nothing is wrong but that record or entry were deleted with their archive, as two persons approved."""

    @property
    def valid(self) -> bool:
        """Whether the record is what was signed, and the ledger says that it was."""
        return not self.problems

    @property
    def state(self) -> State:
        """What came of checking it."""
        return "deleted" if self.deleted else "valid" if self.valid else "invalid"


@dataclass(frozen=True, slots=True)
class _Row:
    tenant_id: UUID
    signature_id: UUID
    record_kind: RecordKind
    record_id: str
    record_hash: bytes
    signer_ref: UUID
    meaning: Meaning
    signed_at: datetime
    seq: int
    row_hash: bytes


class Signatures:
    """Making and showing signatures."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        ledger: Ledger,
        *,
        credentials: Credentials,
        accounts: Accounts,
        sessions: Sessions,
        storage_dir: Path,
        archives: ArchiveFolder,
    ) -> None:
        self._database = database
        self._vault = vault
        self._ledger = ledger
        self._credentials = credentials
        self._accounts = accounts
        self._sessions = sessions
        self._storage_dir = storage_dir
        self._archives = archives

    def sign(self, tenant_id: UUID, session_id: UUID | None, signing: Signing, origin: Origin) -> Signature:
        """Sign a record for the owner of a session, and return the signature once it is stored durably.

        Wrong passwords count as at the login. The one that locks the account ends its sessions.

        Raises:
            SessionEndedError: there is no live session.
            NoRecordError, RecordChangedError: of the record.
            ValidationError: the first signature of a session needs the login as well.
            SignatureRefusedError: of login and password.
            NotASignerError, PasswordExpiredError: both were right, and the account may not sign.
        """

        def attempt(stale: int | None) -> UUID | Refusal | AuditError:
            login, login_index, has_signed = self._signer(tenant_id, session_id)
            if signing.login is None and not has_signed:
                fault = "required for the first signature of a session (21 CFR 11.200(a)(1)(i))"
                raise ValidationError("The signature is incomplete.", (("/login", fault),))
            is_owner = signing.login is None or self._credentials.login_index(tenant_id, signing.login) == login_index
            trying = Attempt(tenant_id, login, stale, origin)
            self._credentials.ready(trying, login, login_index)
            with self._database.tenant_connection(tenant_id) as conn:
                state = self._record(conn, tenant_id, signing)
                account = self._credentials.lock(conn, login_index)
                refusal = self._credentials.compare(conn, account, signing.password, is_owner=is_owner)
                if refusal is not None:
                    self._credentials.refuse(conn, trying, refusal, REFUSED)
                    if refusal.locks and refusal.user_id:
                        self._sessions.end_all(conn, refusal.user_id, "locked")
                    return refusal
                assert account is not None, "an unknown login is refused"  # noqa: S101 - for the type checker
                if (error := self._unfit(account)) is not None:
                    return error
                return self._store(conn, trying, signing, state, account, session_id=session_id)

        outcome = until_fresh(attempt, tenant_id)
        if isinstance(outcome, Refusal):
            outcome.log(tenant_id, REFUSED)
            raise SignatureRefusedError(
                "The login or the password is wrong, or the account may not be used now. Nothing was signed; several "
                "wrong passwords lock the account and end its sessions."
            )
        if isinstance(outcome, AuditError):
            raise outcome
        with self._database.tenant_connection(tenant_id) as conn:
            made = self.of_records(conn, signing.kind, [signing.record_id])
        return next(one for one in made if one.signature_id == outcome)

    def of_records(
        self,
        conn: Connection,
        kind: RecordKind | None = None,
        record_ids: Sequence[str] | None = None,
        *,
        limit: int | None = LISTED,
    ) -> list[Signature]:
        """Return the signatures of some records of a kind, of all of it or of everything, each checked just now.

        The oldest first. `conn` sees the tenant, as the role that may open the vault.
        """
        ids = None if record_ids is None else list(record_ids)
        return self._shown(conn, record_kind=kind, record_ids=ids, limit=limit)

    def of_period(self, tenant_id: UUID, since: datetime, until: datetime, limit: int = LISTED) -> list[Signature]:
        """Return the signatures made in a period, and those of its events and reviews, each checked just now."""
        with self._database.tenant_connection(tenant_id) as conn:
            archived = self._archived_of_period(conn, tenant_id, since, until)
            return self._shown(conn, since=since, until=until, archived=archived, limit=limit)

    def _archived_of_period(self, conn: Connection, tenant_id: UUID, since: datetime, until: datetime) -> list[str]:
        """Return the ids of signed events that happened in a period and are in the archive alone."""
        months = [
            one
            for one in released(archives_of(conn, tenant_id))
            if one.occurred_from < until and one.occurred_to >= since and not one.deleted_at
        ]
        if not months:
            return []
        signed = [record_id for (record_id,) in conn.execute(query("identity/select_signed_events"))]
        places = {
            seq: record_id
            for record_id, seq in archived_seqs(conn, signed).items()
            if any(one.first_seq <= seq <= one.last_seq for one in months)
        }
        rows = read_archived(conn, self._where(tenant_id), places)
        return [
            places[seq] for seq, row in rows.items() if isinstance(row, StoredRow) and since <= row.occurred_at < until
        ]

    def _shown(self, conn: Connection, **chosen: Any) -> list[Signature]:
        parameters = (
            dict.fromkeys(("record_kind", "record_ids", "since", "until", "archived")) | {"limit": LISTED} | chosen
        )
        rows = [_Row(*row) for row in conn.execute(query("identity/select_signatures"), parameters)]
        keys = self._vault.living_keys(conn, {row.signer_ref for row in rows}) if rows else {}
        if not rows:
            return []
        where = self._where(rows[0].tenant_id)
        states = read_records(conn, where, dict.fromkeys((row.record_kind, row.record_id) for row in rows))
        entries: dict[int, _Entry] = {}
        for row in rows:
            place = {"seq": row.seq, "recorded_at": row.signed_at}
            entries[row.seq] = read_row(conn, "identity/select_ledger_row", place)
        entries |= read_archived(conn, where, [seq for seq, entry in entries.items() if entry is None])
        return [
            _check(row, states[row.record_kind, row.record_id], entries[row.seq], keys.get(row.signer_ref))
            for row in rows
        ]

    def _where(self, tenant_id: UUID) -> Where:
        return Where(tenant_id, self._storage_dir, self._archives)

    def _signer(self, tenant_id: UUID, session_id: UUID | None) -> tuple[str, bytes, bool]:
        now = self._credentials.clock()
        parameters = {"session_id": session_id, "now": now, "idle_since": now - self._sessions.limits.idle}
        with self._database.tenant_connection(tenant_id) as conn:
            row = conn.execute(query("identity/select_session"), parameters).fetchone() if session_id else None
            if row is None:
                raise SessionEndedError(
                    "Signing takes a token of a live session; log in with POST /api/audit/login first."
                )
            user_id, login_index, has_signed = row
            return self._vault.identities(conn, [user_id])[user_id], login_index, has_signed

    def _record(self, conn: Connection, tenant_id: UUID, signing: Signing) -> RecordState:
        record = signing.kind, signing.record_id
        state = read_records(conn, self._where(tenant_id), [record])[record]
        if not state.is_there:
            raise NoRecordError(f"This tenant has no {signing.kind} with this id.")
        if state.digest is None:
            raise RecordChangedError(f"Nothing was signed: {state.problem}.")
        if signing.seen_hash is not None and signing.seen_hash != state.digest:
            raise RecordChangedError("Nothing was signed: the record's hash is not the one that was given as seen.")
        return state

    def _unfit(self, account: Stored) -> AuditError | None:
        if self._accounts.has_expired(account):
            return PasswordExpiredError("The password has to be replaced first: POST /api/audit/password.")
        if PERMISSION not in account.permissions:
            return NotASignerError(f"The account lacks the permission {PERMISSION}; nothing was signed.")
        return None

    def _store(
        self,
        conn: Connection,
        trying: Attempt,
        signing: Signing,
        state: RecordState,
        account: Stored,
        *,
        session_id: UUID | None,
    ) -> UUID:
        assert state.digest is not None, "a record without a hash is refused"  # noqa: S101 - for the type checker
        signature_id = uuid4()
        row: dict[str, Any] = {
            "signature_id": signature_id,
            "record_kind": signing.kind,
            "record_id": signing.record_id,
            "record_hash": state.digest,
            "meaning": signing.meaning,
            "signer_ref": account.user_id,
        }
        key = self._vault.living_keys(conn, [account.user_id])[account.user_id]
        details = {
            "record": {"kind": signing.kind, "id": signing.record_id, "hash": state.digest.hex()},
            "meaning": signing.meaning,
            "binding": binding(**row).hex(),
            "printed_name": sealing.unseal(key, account.sealed_name),
            "reason_given": signing.reason,
        }
        event = Event(
            event_type=CREATED,
            entity_type=ENTITY_TYPE,
            entity_id=str(signature_id),
            details=details,
            actor=trying.actor,
            outcome="success",
            ip_address=trying.origin.ip_address,
            user_agent=trying.origin.user_agent,
            sealed_fields=("/printed_name", "/reason_given"),
        )
        [receipt] = store_drafts(conn, [self._ledger.prepare(trying.tenant_id, event, stale=trying.stale)])
        stored = {
            "tenant_id": trying.tenant_id,
            "session_id": session_id,
            "signed_at": receipt.recorded_at,
            "seq": receipt.seq,
            "row_hash": receipt.row_hash,
        }
        conn.execute(query("identity/insert_signature"), row | stored)
        conn.execute(query("identity/note_signing"), {"session_id": session_id, "now": self._credentials.clock()})
        return signature_id


def binding(
    *, signature_id: UUID, record_kind: str, record_id: str, record_hash: bytes, meaning: str, signer_ref: UUID
) -> bytes:
    """Return the digest of what a signature says: SHA-256 of deterministic JSON."""
    said = {
        "v": 1,
        "signature_id": str(signature_id),
        "record_kind": record_kind,
        "record_id": record_id,
        "record_hash": record_hash.hex(),
        "meaning": meaning,
        "signer_ref": str(signer_ref),
    }
    return hashlib.sha256(_encoder.encode(said)).digest()


def _check(row: _Row, state: RecordState, entry: _Entry, key: bytes | None) -> Signature:
    problems = []
    lawful = []
    if state.is_deleted:
        lawful.append(f"the record cannot be compared: {state.problem}")
    elif state.digest is None:
        problems.append(state.problem)
    elif state.digest != row.record_hash:
        problems.append("the record has another hash than the one that was signed")
    details: Mapping[str, Any] = {}
    if entry is None:
        problems.append("the ledger entry of the signature is not there")
    elif isinstance(entry, DeletedArchiveError):
        lawful.append(f"the ledger entry of the signature cannot be compared: {why_not(entry)}")
    elif isinstance(entry, TamperedError):
        problems.append(f"the ledger entry of the signature: {why_not(entry)}")
    elif not content_is_intact(entry) or entry.row_hash != row.row_hash:
        problems.append("the ledger entry of the signature was changed")
    else:
        details = msgspec.json.decode(entry.entry)["details"] or {}
        if not _says(entry, details, row):
            problems.append("the ledger entry says something else than the signature: it belongs to another")
    return Signature(
        row.signature_id,
        row.record_kind,
        row.record_id,
        row.record_hash,
        row.meaning,
        _open(details, "printed_name", key) or UNREADABLE,
        row.signer_ref,
        row.signed_at,
        _open(details, "reason_given", key),
        row.seq,
        row.row_hash,
        tuple(problems + lawful),
        deleted=bool(lawful) and not problems,
    )


def _says(entry: StoredRow, details: Mapping[str, Any], row: _Row) -> bool:
    said = binding(
        signature_id=row.signature_id,
        record_kind=row.record_kind,
        record_id=row.record_id,
        record_hash=row.record_hash,
        meaning=row.meaning,
        signer_ref=row.signer_ref,
    )
    return (
        entry.event_type == CREATED
        and entry.entity_id == str(row.signature_id)
        and entry.actor_ref == row.signer_ref
        and details.get("binding") == said.hex()
    )


def _open(details: Mapping[str, Any], name: str, key: bytes | None) -> str | None:
    """Return a sealed text of the entry's details, `erased` where nobody can open it any more, None where none is."""
    sealed = details.get(name)
    if not isinstance(sealed, dict):
        return None
    if key is None:
        return ERASED
    try:
        text: str = msgspec.json.decode(sealing.unseal(key, sealed[SEALED_KEY]))
    except TamperedError:
        # Somebody rewrote the entry and all hashes after it: `verify` says so, and this name is not theirs to show.
        return UNREADABLE
    return text
