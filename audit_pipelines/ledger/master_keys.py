"""The master keys this process holds: what the keys of persons are wrapped in.

Usually one. While one replaces another there are two, and the rows say which of them each needs. A key that this
process has not heard of is looked for once more where keys come from, so that a running server survives a rotation.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_pipelines.errors import ConfigurationError, TamperedError
from audit_pipelines.ledger.sealing import NONCE_LENGTH

KEY_LENGTH: Final = 32


def master_key_id(key: bytes) -> str:
    """Return the name of a master key: 16 hex digits that tell keys apart and say nothing about them."""
    return hashlib.sha256(b"audit_pipelines master key" + key).hexdigest()[:16]


class MasterKeys:
    """Wraps and opens the keys of persons; `load` gives all master keys there are now, the present one first."""

    def __init__(self, load: Callable[[], Sequence[bytes]]) -> None:
        self._load = load
        self._ciphers: Mapping[str, AESGCM] = {}
        self._present = ""
        self.reload()

    @property
    def present(self) -> str:
        """The id of the key that comes first where keys come from."""
        return self._present

    def reload(self) -> None:
        """Read the keys anew; those that are gone are kept for what was read before they went."""
        keys = self._load()
        self._ciphers = {**self._ciphers, **{master_key_id(key): AESGCM(key) for key in keys}}
        self._present = master_key_id(keys[0])

    def require(self, key_id: str) -> None:
        """Raise `ConfigurationError` unless this process has, or now finds, the master key `key_id`."""
        self._cipher(key_id)

    def wrap(self, key: bytes, key_id: str) -> bytes:
        """Return `key` wrapped in the master key `key_id`: nonce (12) ‖ AES-256-GCM (RFC 5116).

        Raises:
            ConfigurationError: when that key is not among those given to this process.
        """
        nonce = secrets.token_bytes(NONCE_LENGTH)
        return nonce + self._cipher(key_id).encrypt(nonce, key, None)

    def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Return the key that `wrap` wrapped.

        Raises:
            ConfigurationError: as `wrap`.
            TamperedError: when it was not wrapped in that key.
        """
        try:
            return self._cipher(key_id).decrypt(wrapped[:NONCE_LENGTH], wrapped[NONCE_LENGTH:], None)
        except (InvalidTag, ValueError):
            raise TamperedError(
                f"a person's key does not open with master key {key_id}, in which it is said to be wrapped"
            ) from None

    def _cipher(self, key_id: str) -> AESGCM:
        if key_id not in self._ciphers:
            self.reload()
        try:
            return self._ciphers[key_id]
        except KeyError:
            raise ConfigurationError(
                f"a person's key is wrapped in master key {key_id}; this process has {', '.join(self._ciphers)}. "
                "Expected that key as AUDIT_ENCRYPTION_KEY or among AUDIT_FORMER_ENCRYPTION_KEYS, or in AUDIT_HOME/keys"
            ) from None
