"""Ed25519 keys of a ledger: making, keeping and naming them as C2SP signed notes do.

Belongs here: the key file and the two text forms of a key, those of https://c2sp.org/signed-note and Go's
`sumdb/note`, so that other tools read them. What gets signed, `checkpoint.py` says; persons' keys are the vault's.
"""

import base64
import binascii
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit_pipelines.errors import ConfigurationError, ValidationError

DEFAULT_NAME = "audit_pipelines"
_ED25519 = b"\x01"
_SECRET_PREFIX = "PRIVATE+KEY+"  # noqa: S105 - the label in front of a key, not a key


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name; `str()` gives the one line that is handed to those who verify."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise ValidationError(f"a key name is printable ASCII without space and without '+', got {self.name!r}")
        if len(self.public_key) != 32:
            raise ValidationError(f"an Ed25519 public key has 32 bytes, got {len(self.public_key)}")

    @property
    def key_hash(self) -> bytes:
        """The 4-byte key id SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]: a label, too short to be trusted alone."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_hash.hex()}+{_encode(self.public_key)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+hash+base64`; raise `ValidationError` unless it is exactly what `str()` writes."""
        name, _, rest = text.partition("+")
        key = cls(name, _decode(rest.partition("+")[2], "verifier key"))
        if str(key) != text:
            raise ValidationError(f"verifier key: expected {str(key)!r} for this public key, got {text!r}")
        return key

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Return whether `signature` (64 bytes) is this key's over `message` (RFC 8032)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with its name. `repr()` does not show the seed."""

    name: str
    seed: bytes = field(repr=False)

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature (RFC 8032); equal messages give equal signatures."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def secret_text(self) -> str:
        """Return `PRIVATE+KEY+name+hash+base64`, the only text that holds the seed."""
        return f"{_SECRET_PREFIX}{self.name}+{self.verifier_key.key_hash.hex()}+{_encode(self.seed)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `secret_text` wrote; raise `ValidationError`, without showing the text, if it is anything else."""
        name, _, rest = text.removeprefix(_SECRET_PREFIX).partition("+")
        seed = _decode(rest.partition("+")[2], "signing key")
        signer = cls(name, seed)
        if len(seed) != 32 or not is_key_name(name) or signer.secret_text() != text:
            raise ValidationError(f"signing key: expected {_SECRET_PREFIX}NAME+HASH+BASE64 in one line, got other text")
        return signer


def load_or_create(path: Path, name: str = DEFAULT_NAME) -> Signer:
    """Return the key in `path`, or make one there first, under `name`.

    The file appears complete, on disk and with mode 0600, or not at all; processes that start at once get the same
    key, because only the first link to a name succeeds. Raises `ConfigurationError` if the file is readable by others
    or is no key. The folder must be on a file system with hard links.
    """
    try:
        return load(path)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = Signer(name, secrets.token_bytes(32))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, signer.secret_text() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
    return load(path)


def load(path: Path) -> Signer:
    """Return the key in `path`; raise `FileNotFoundError` if there is none, `ConfigurationError` if it is not safe."""
    with path.open("rb") as file:
        # Of the open file, not of the path: the path may point elsewhere by the time it is read.
        mode = os.fstat(file.fileno()).st_mode & 0o777
        content = file.read(4096)
    if mode & 0o077:
        raise ConfigurationError(
            f"{path}: expected a signing key that only its owner can read (mode 600), got mode {mode:o}; "
            "if nobody else can have read it, run chmod 600 on it, otherwise put a new key in its place"
        )
    try:
        return Signer.parse(content.decode().removesuffix("\n"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: expected {_SECRET_PREFIX}NAME+HASH+BASE64 in one line, got something else; "
            "restore it from a backup: checkpoints signed with the old key need its public half to be verified"
        ) from error


def is_key_name(text: str) -> bool:
    """Return whether `text` may name a key: printable ASCII without space and plus.

    Signed notes allow other letters; they are refused here because two names may then look the same to a person.
    """
    return re.fullmatch("[!-*,-~]+", text) is not None


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Force a folder's entries to disk: until then a new file may be whole, synced and nameless after a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusively(directory: Path) -> Iterator[None]:
    """Hold the folder's lock for the length of the block; the kernel takes it back from a process that dies."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _encode(key: bytes) -> str:
    return base64.b64encode(_ED25519 + key).decode()


def _decode(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if data[:1] != _ED25519:
        raise ValidationError(
            f"{what}: expected base64 of 0x01 and an Ed25519 key after the second '+', got other text"
        )
    return data[1:]
