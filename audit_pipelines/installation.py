"""One installation, opened: settings, keys, database, vault and ledger, wired once for every shell.

The command line, the server, Dagster's resource and the tests all start here, so none of them wires parts of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from audit_pipelines.anchors import register
from audit_pipelines.anchors.opening import open_anchors, open_time_stamping, readable_anchors
from audit_pipelines.anchors.reading import Anchors
from audit_pipelines.anchors.register import AnchorState
from audit_pipelines.db.database import Database, open_database
from audit_pipelines.keyring import Keyring, open_keyring, verifier_keys
from audit_pipelines.ledger import verified
from audit_pipelines.ledger.access import AccessLog
from audit_pipelines.ledger.checkpoint import Checkpoint, FileAnchor
from audit_pipelines.ledger.entry import SealingPolicy
from audit_pipelines.ledger.erasure import Erasure, erase
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.sealer import seal_checkpoint
from audit_pipelines.ledger.store import Ledger
from audit_pipelines.ledger.vault import Vault
from audit_pipelines.ledger.verified import Verified
from audit_pipelines.ledger.verify import Verification, verify_all
from audit_pipelines.ledger.verify_parts import OnRows
from audit_pipelines.settings import Settings

if TYPE_CHECKING:
    from audit_pipelines.reports.pdf_signing import PdfCertificate


@dataclass(frozen=True)
class Installation:
    """The parts of one running installation."""

    settings: Settings
    keyring: Keyring
    database: Database
    vault: Vault
    ledger: Ledger
    pdf_certificate: "PdfCertificate | None" = None
    """What signs PDF exports and reports."""

    @property
    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The public keys that checkpoints of this installation may be signed by; the present one comes first."""
        return verifier_keys(self.settings, self.keyring.signer)

    @property
    def anchor(self) -> FileAnchor:
        """The home's anchor folder, where every checkpoint is kept outside the database."""
        return FileAnchor(self.settings.anchors_dir)

    @property
    def anchors(self) -> Anchors:
        """A reading of all anchors that can be read, that one included; each is a new one."""
        return readable_anchors(self.settings)

    @property
    def access_log(self) -> AccessLog:
        """Where everything that shows, exports or proves events records it."""
        return AccessLog(self.ledger, enabled=self.settings.audit_enable_access_logging)

    def anchor_due(self) -> list[AnchorState]:
        """Send the newest checkpoints to the anchors that lack them; see `register.anchor_due`."""
        return register.anchor_due(self.database, open_anchors(self.settings), self.verifier_keys)

    def anchor_states(self) -> list[AnchorState]:
        """Return how far each anchor has each tenant's checkpoints."""
        return register.states(self.database, open_anchors(self.settings))

    def seal(self, tenant_id: UUID) -> Checkpoint | None:
        """Sign a checkpoint over the tenant's ledger into the home's anchor folder; see `sealer.seal_checkpoint`."""
        return seal_checkpoint(
            self.database,
            tenant_id,
            signer=self.keyring.signer,
            verifier_keys=self.verifier_keys,
            anchor=self.anchor,
        )

    def verify(
        self,
        tenant_id: UUID | None = None,
        on_rows: OnRows | None = None,
        *,
        since: datetime | None = None,
        resume: bool = False,
    ) -> list[Verification]:
        """Verify one tenant or all; see `verify.verify_all`. An anchor that cannot be read is a warning of each.

        With `since`, rows are read behind the newest checkpoint sealed by that time; with `resume`, behind the one that
        the last verification reached. What was read whole, or on from there, and is intact is remembered.
        """
        anchors = self.anchors

        def behind(checkpoint: Checkpoint) -> bool:
            if since:
                return checkpoint.sealed_at <= since
            before = self.verified(checkpoint.tenant_id) if resume else None
            return before is not None and (before.size, before.root) == (checkpoint.size, checkpoint.root)

        begun = datetime.now(UTC)
        done = verify_all(
            self.database,
            verifier_keys=self.verifier_keys,
            anchor=anchors,
            tenant_id=tenant_id,
            on_rows=on_rows,
            behind=behind,
        )
        if since is None:
            for one in done:
                self._remember(one, begun)
        unread = tuple(f"anchor {name} could not be read: {why}" for name, why in anchors.unread.items())
        return [replace(one, warnings=one.warnings + unread) for one in done]

    def verified(self, tenant_id: UUID) -> Verified | None:
        """Return how far the tenant's ledger was found intact, and when all of that was last read."""
        return verified.recall(self.settings.home / "verified", tenant_id, self.verifier_keys)

    def _remember(self, done: Verification, begun: datetime) -> None:
        if not done.intact or done.sealed is None:
            return
        before = self.verified(done.tenant_id) if done.first_seq else None
        said = Verified(done.tenant_id, done.sealed.size, done.sealed.root, before.whole_at if before else begun)
        verified.remember(self.settings.home / "verified", said, self.keyring.signer)

    def deletions(self, verification: Verification) -> list[str]:
        """Return in words which archived months were deleted, and by whose approval; by name where there is one."""
        if not verification.deletions:
            return []
        with self.database.tenant_connection(verification.tenant_id) as conn:
            names = self.vault.identities(conn, {ref for one in verification.deletions for ref in one.approvers})
        return [one.sentence(names) for one in verification.deletions]

    def erase(self, tenant_id: UUID, person: str) -> Erasure:
        """Destroy a person's key; see `erasure.erase`."""
        return erase(self.database, self.vault, self.ledger, tenant_id, person)


@contextmanager
def open_installation(settings: Settings) -> Iterator[Installation]:
    """Open the installation for the length of the block; the embedded server is joined, and left at the end.

    Raises:
        ConfigurationError: when a setting or key is missing or malformed.
        DatabaseUnavailableError: when the database cannot be started or reached.
    """
    keyring = open_keyring(settings)
    with open_database(settings) as database:
        yield assemble(settings, keyring, database)


def assemble(settings: Settings, keyring: Keyring, database: Database) -> Installation:
    """Wire the parts over an open database."""
    vault = Vault(database, keyring.master_keys)
    policy = SealingPolicy(settings.audit_sealed_fields, frozenset(settings.audit_person_entity_types))
    ledger = Ledger(database, vault, policy)
    return Installation(settings, keyring, database, vault, ledger, _open_pdf_certificate(settings))


def _open_pdf_certificate(settings: Settings) -> "PdfCertificate | None":
    if settings.audit_pdf_certificate is None:
        return None
    from audit_pipelines.reports.pdf_signing import open_certificate  # noqa: PLC0415 -- ReportLab, for who signs alone

    password = settings.audit_pdf_certificate_password
    return open_certificate(
        settings.audit_pdf_certificate.expanduser(),
        password.get_secret_value() if password else None,
        open_time_stamping(settings),
    )
