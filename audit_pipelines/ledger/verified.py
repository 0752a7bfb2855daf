"""How far a ledger was verified, remembered from one run to the next as a signed statement of our own.

A statement says: all rows under this checkpoint were recomputed and fitted. It is signed as checkpoints are, since
whoever changes rows in the database would also move a mark that is not. It vouches for the past and for no change that
came after it: so the daily run still reads everything.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from audit_pipelines.errors import TamperedError
from audit_pipelines.files import replacing
from audit_pipelines.ledger.checkpoint import ORIGIN_PREFIX, open_text, sign_text
from audit_pipelines.ledger.keys import Signer, VerifierKey

_KIND: Final = "verified"


@dataclass(frozen=True, slots=True)
class Verified:
    """That the first `size` rows, with the tree root `root`, were found intact; all of them last at `whole_at`."""

    tenant_id: UUID
    size: int
    root: bytes
    whole_at: datetime

    def text(self) -> str:
        """Return what is signed. Its first line is that of no checkpoint."""
        moment = self.whole_at.astimezone(UTC).isoformat(timespec="microseconds")
        return f"{ORIGIN_PREFIX}{self.tenant_id}/{_KIND}\n{self.size}\n{self.root.hex()}\n{moment}\n"


def remember(directory: Path, verified: Verified, signer: Signer) -> None:
    """Write the statement in place of the last one."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(_path(directory, verified.tenant_id)) as staging:
        staging.write_text(sign_text(verified.text(), signer))


def recall(directory: Path, tenant_id: UUID, verifier_keys: tuple[VerifierKey, ...]) -> Verified | None:
    """Return the statement about a tenant; None where there is none that one of the keys signed."""
    try:
        text = open_text(_path(directory, tenant_id).read_text(), verifier_keys)
        origin, size, root, whole_at = text.splitlines()
        verified = Verified(tenant_id, int(size), bytes.fromhex(root), datetime.fromisoformat(whole_at))
    except (OSError, ValueError, TamperedError):
        return None
    return verified if verified.text() == text and origin.endswith(f"{tenant_id}/{_KIND}") else None


def _path(directory: Path, tenant_id: UUID) -> Path:
    return directory / f"{tenant_id}.note"
