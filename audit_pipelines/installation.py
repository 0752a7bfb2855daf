"""One installation, opened: settings, keys, database, vault and ledger, wired once for every shell.

The command line, the server, Dagster's resource and the tests all start here, so none of them wires parts of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from audit_pipelines.db.database import Database, open_database
from audit_pipelines.keyring import Keyring, open_keyring, verifier_keys
from audit_pipelines.ledger.checkpoint import Checkpoint, FileAnchor
from audit_pipelines.ledger.entry import SealingPolicy
from audit_pipelines.ledger.erasure import Erasure, erase
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.sealer import seal_checkpoint
from audit_pipelines.ledger.store import Ledger
from audit_pipelines.ledger.vault import Vault
from audit_pipelines.ledger.verify import Verification, verify_all
from audit_pipelines.ledger.verify_parts import OnRows
from audit_pipelines.settings import Settings


@dataclass(frozen=True)
class Installation:
    """The parts of one running installation."""

    settings: Settings
    keyring: Keyring
    database: Database
    vault: Vault
    ledger: Ledger

    @property
    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """The public keys that checkpoints of this installation may be signed by; the present one comes first."""
        return verifier_keys(self.settings, self.keyring.signer)

    @property
    def anchor(self) -> FileAnchor:
        """Where checkpoints are kept outside the database."""
        return FileAnchor(self.settings.anchors_dir)

    def seal(self, tenant_id: UUID) -> Checkpoint | None:
        """Sign and anchor a checkpoint over the tenant's ledger; see `sealer.seal_checkpoint`."""
        return seal_checkpoint(
            self.database,
            tenant_id,
            signer=self.keyring.signer,
            verifier_keys=self.verifier_keys,
            anchor=self.anchor,
        )

    def verify(
        self, tenant_id: UUID | None = None, on_rows: OnRows | None = None, *, since: datetime | None = None
    ) -> list[Verification]:
        """Verify one tenant or all; see `verify.verify_all`."""
        return verify_all(
            self.database,
            verifier_keys=self.verifier_keys,
            anchor=self.anchor,
            tenant_id=tenant_id,
            on_rows=on_rows,
            since=since,
        )

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
    return Installation(settings, keyring, database, vault, Ledger(database, vault, policy))
