"""Replacing the master key that wraps the keys of persons, wherever it comes from.

Files in AUDIT_HOME/keys tell how far a change is: `encryption.key.next` is made and not yet in place,
`encryption.key.former` is needed until nothing is wrapped in it, `encryption.key.unneeded` is about to be destroyed.
Keys given by the environment are the operator's.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from audit_pipelines.db.database import Database
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.keyring import ENCRYPTION_FILE, FORMER_ENCRYPTION_FILE, make_secret, read_master_keys, read_secret
from audit_pipelines.ledger.keys import exclusively, sync_directory
from audit_pipelines.ledger.master_keys import MasterKeys
from audit_pipelines.ledger.rewrap import rewrap
from audit_pipelines.settings import Settings

NEXT_ENCRYPTION_FILE: Final = "encryption.key.next"
UNNEEDED_ENCRYPTION_FILE: Final = "encryption.key.unneeded"
_SIGNS: Final = (NEXT_ENCRYPTION_FILE, FORMER_ENCRYPTION_FILE, UNNEEDED_ENCRYPTION_FILE)


@dataclass(frozen=True, slots=True)
class EncryptionRotation:
    """What a change of the master key came to."""

    master_key_id: str
    """The name of the key that wraps everything now."""
    rewrapped: int
    """How many keys of persons this call put in other wrapping."""
    former_destroyed: bool
    """Whether there was a file of the former key, which is gone now."""


def rotate_encryption_key(
    settings: Settings, database: Database, on_rows: Callable[[int], object] | None = None
) -> EncryptionRotation:
    """Replace the master key; repeated after an interruption, it finishes the change instead of beginning another.

    A generated key gets a successor, and its file is overwritten and deleted as soon as nothing needs it. Where
    AUDIT_ENCRYPTION_KEY is given, that is the new key, and the former ones come from AUDIT_FORMER_ENCRYPTION_KEYS.
    Servers go on working. Calls at once over one home take turns.

    Raises:
        ConfigurationError: when a key that is needed is missing; nothing was changed.
        TamperedError: when a person's key does not open; no master key was destroyed.
        DatabaseUnavailableError: repeat it when the database is back.
    """
    if settings.audit_encryption_key or settings.database_url is not None:
        keys = MasterKeys(partial(read_master_keys, settings))
        return EncryptionRotation(keys.present, rewrap(database, keys, on_rows), former_destroyed=False)
    with exclusively(settings.keys_dir):
        _put_in_place(settings.keys_dir)
        keys = MasterKeys(partial(read_master_keys, settings))
        rewrapped = rewrap(database, keys, on_rows)
        _destroy(settings.keys_dir)
        return EncryptionRotation(keys.present, rewrapped, former_destroyed=True)


def is_unfinished(settings: Settings) -> bool:
    """Return whether a change was interrupted, or goes on right now."""
    return any((settings.keys_dir / name).exists() for name in _SIGNS)


def _put_in_place(keys_dir: Path) -> None:
    """Make another key the present one and keep the former aside; each step is on disk before the next begins."""
    present, draft, former = (
        keys_dir / name for name in (ENCRYPTION_FILE, NEXT_ENCRYPTION_FILE, FORMER_ENCRYPTION_FILE)
    )
    is_in_place = former.exists() or (keys_dir / UNNEEDED_ENCRYPTION_FILE).exists()
    if is_in_place and not draft.exists():
        return
    make_secret(draft)
    if not former.exists():
        os.link(present, former)
        sync_directory(keys_dir)
    draft.replace(present)
    sync_directory(keys_dir)


def _destroy(keys_dir: Path) -> None:
    present, former, unneeded = (
        keys_dir / name for name in (ENCRYPTION_FILE, FORMER_ENCRYPTION_FILE, UNNEEDED_ENCRYPTION_FILE)
    )
    if former.exists():
        if read_secret(present) == read_secret(former):
            raise ConfigurationError(
                f"{present}: expected another key than the former one beside it, got the same; nothing was destroyed: "
                "restore keys/ from a backup made since the rotation began"
            )
        # A half overwritten file under the former name would be taken for a damaged key.
        former.replace(unneeded)
        sync_directory(keys_dir)
    # Some file systems write elsewhere: what they forget is up to them.
    descriptor = os.open(unneeded, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(descriptor, bytes(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unneeded.unlink()
    sync_directory(keys_dir)
