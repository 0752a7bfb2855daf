"""The secrets of an installation: given by the environment, or made once for the embedded database.

Generating a key beside a database of the user's own would hide that the key must be kept as safe as the data, so there
each must be given. Files are 0600 in a folder of 0700 and are never overwritten.
"""

import base64
import binascii
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from audit_pipelines.errors import ConfigurationError, ValidationError
from audit_pipelines.ledger.keys import DEFAULT_NAME, Signer, VerifierKey, load_or_create, sync_directory
from audit_pipelines.ledger.master_keys import KEY_LENGTH, MasterKeys
from audit_pipelines.ledger.rotation import KeyRing, Rotation, open_ring, rotate
from audit_pipelines.settings import Settings

ENCRYPTION_FILE: Final = "encryption.key"
FORMER_ENCRYPTION_FILE: Final = "encryption.key.former"
"""The master key that another has replaced, until every key wrapped in it is wrapped in the other."""


@dataclass(frozen=True)
class Keyring:
    """The keys one installation works with; `repr` shows none of them."""

    master_keys: MasterKeys
    """Wrap the keys of persons."""
    signer: Signer
    """Signs checkpoints (Ed25519)."""
    jwt_secret: str = field(repr=False)
    """Signs access tokens (HS256)."""


def open_keyring(settings: Settings) -> Keyring:
    """Return the installation's keys, generating those that the embedded database may have generated.

    Raises:
        ConfigurationError: naming the variable that is missing or malformed, never its value.
    """
    generate = settings.database_url is None
    if generate:
        settings.keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_old_keys(settings)
    master_keys = MasterKeys(partial(read_master_keys, settings))
    jwt_secret = _given_or_made(settings.jwt_secret, "JWT_SECRET", settings, "jwt.secret")
    if settings.audit_signing_key:
        signer = Signer(DEFAULT_NAME, _key_bytes(settings.audit_signing_key.get_secret_value(), "AUDIT_SIGNING_KEY"))
    elif generate:
        signer = load_or_create(_signing_key_path(settings))
    else:
        raise _missing("AUDIT_SIGNING_KEY")
    return Keyring(master_keys, signer, jwt_secret)


def read_master_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the keys that may wrap keys of persons, 32 bytes each, as they are now: the present one first.

    Raises:
        ConfigurationError: as `open_keyring`.
    """
    present = _given_or_made(settings.audit_encryption_key, "AUDIT_ENCRYPTION_KEY", settings, ENCRYPTION_FILE)
    others = [(text.strip(), "AUDIT_FORMER_ENCRYPTION_KEYS") for text in _former_keys(settings) if text.strip()]
    if settings.audit_encryption_key is None:
        # In this order: where the file of the present key was just replaced, the former one is there already.
        with suppress(FileNotFoundError):
            others.append((read_secret(settings.keys_dir / FORMER_ENCRYPTION_FILE), FORMER_ENCRYPTION_FILE))
    keys = [_key_bytes(present, "AUDIT_ENCRYPTION_KEY"), *(_key_bytes(text, name) for text, name in others)]
    return tuple(dict.fromkeys(keys))


def _former_keys(settings: Settings) -> list[str]:
    given = settings.audit_former_encryption_keys
    return given.get_secret_value().split(",") if given else []


def open_key_ring(settings: Settings) -> KeyRing | None:
    """Return the signing key of `AUDIT_HOME/keys` and its changes, as on disk now; None where AUDIT_SIGNING_KEY rules.

    Raises:
        ConfigurationError: when there is no such key, or it does not fit the record of changes.
        TamperedError: when the record of changes was altered.
    """
    if settings.audit_signing_key or settings.database_url is not None:
        return None
    try:
        return open_ring(_signing_key_path(settings))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{_signing_key_path(settings)}: expected a signing key, got no file; it is made at the first start"
        ) from None


def rotate_signing_key(settings: Settings) -> Rotation:
    """Replace the generated signing key; see `rotation.rotate`.

    Raises:
        ConfigurationError: when the key is not one of ours to replace, or not there.
        TamperedError: when the record of changes was altered.
    """
    if settings.audit_signing_key or settings.database_url is not None:
        raise ConfigurationError(
            "the signing key is given by AUDIT_SIGNING_KEY; expected a key in AUDIT_HOME/keys, which alone can be "
            "replaced from here: add what `keys list` prints to AUDIT_FORMER_VERIFIER_KEYS, then give another key"
        )
    return rotate(_signing_key_path(settings))


def verifier_keys(settings: Settings, signer: Signer) -> tuple[VerifierKey, ...]:
    """Return the public keys that checkpoints may be signed by: the present one first, then former ones.

    Read anew at each call, so that a process that runs since before a rotation accepts what the new key signs.
    `signer` is the key this process signs with; it counts even if another has replaced it meanwhile.

    Raises:
        ConfigurationError: when AUDIT_FORMER_VERIFIER_KEYS is malformed or the files do not fit each other.
        TamperedError: when the record of changes was altered.
    """
    ring = open_key_ring(settings)
    recorded = ring.verifier_keys if ring else ()
    return tuple(dict.fromkeys((*recorded, signer.verifier_key, *_given_former_keys(settings))))


def _given_former_keys(settings: Settings) -> list[VerifierKey]:
    try:
        return [VerifierKey.parse(text) for text in settings.audit_former_verifier_keys]
    except ValidationError as error:
        raise ConfigurationError(f"AUDIT_FORMER_VERIFIER_KEYS: {error}") from error


def _signing_key_path(settings: Settings) -> Path:
    return settings.keys_dir / "signing.key"


def _require_old_keys(settings: Settings) -> None:
    """Refuse to make new keys over old data: they would open nothing and vouch for nothing in it."""
    if not (settings.home / "postgres").exists():
        return
    given = {ENCRYPTION_FILE: settings.audit_encryption_key, "signing.key": settings.audit_signing_key}
    for name, value in given.items():
        if value is None and not (settings.keys_dir / name).exists():
            raise ConfigurationError(
                f"{settings.keys_dir / name} is missing, but the database of this home was written with it; "
                "expected it to be there: restore it from your backup"
            )


def _given_or_made(given: SecretStr | None, name: str, settings: Settings, file_name: str) -> str:
    if given is not None:
        return given.get_secret_value()
    if settings.database_url is not None:
        raise _missing(name)
    return make_secret(settings.keys_dir / file_name)


def make_secret(path: Path) -> str:
    """Return the 32 bytes in `path` as base64, made first where there is no such file; mode 0600, whole or not there.

    Raises:
        ConfigurationError: as `read_secret`.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(base64.b64encode(secrets.token_bytes(32)).decode())
                file.flush()
                os.fsync(handle)
            # The first of several processes that start at once wins; the others read its key.
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        sync_directory(path.parent)
    return read_secret(path)


def read_secret(path: Path) -> str:
    """Return the text of a secret's file.

    Raises:
        FileNotFoundError: when there is none.
        ConfigurationError: when others may read it.
    """
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path}: expected a key that only its owner can read (mode 600); run chmod 600 on it")
    return path.read_text().strip()


def _key_bytes(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_LENGTH:
        raise ConfigurationError(f"{name}: expected 32 bytes in base64, got text that is not")
    return key


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is required when DATABASE_URL is set: keys are generated for the embedded database alone; "
        'make one with `python -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())"`'
    )
