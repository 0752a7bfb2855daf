"""Sealing of single values, as pure functions: AES-256-GCM with a commitment that can be opened without any key.

`v1.<nonce ‖ ciphertext>.<commitment>`: the ciphertext holds a random salt and the plaintext, the commitment is
SHA-256(0x03 ‖ salt ‖ plaintext). Whoever is shown salt and plaintext can check them against the hashed entry; once the
key is destroyed, the salt is gone and the commitment says nothing. Also the keyed hashes (blind indexes).
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_pipelines.errors import TamperedError

PREFIX = "v1."
SALT_LENGTH = 16
NONCE_LENGTH = 12
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
NETWORK_BITS = {4: 24, 6: 48}


def seal(key: bytes, plaintext: str) -> str:
    """Return the sealed text of `plaintext` under a 32-byte key; two calls never give the same text."""
    noise = secrets.token_bytes(NONCE_LENGTH + SALT_LENGTH)
    nonce, salt = noise[:NONCE_LENGTH], noise[NONCE_LENGTH:]
    content = plaintext.encode()
    box = nonce + _cipher(key).encrypt(nonce, salt + content, None)
    return f"{PREFIX}{_encode(box)}.{_encode(_commitment(salt, content))}"


def unseal(key: bytes, sealed: str) -> str:
    """Return the plaintext.

    Raises:
        TamperedError: when the text is not one that `seal` made with this key, or its commitment does not fit.
    """
    return open_sealed(key, sealed)[1]


def open_sealed(key: bytes, sealed: str) -> tuple[bytes, str]:
    """Return `(salt, plaintext)`: the opening that convinces somebody who has no key.

    Raises:
        TamperedError: as `unseal`.
    """
    try:
        version, box_text, commitment = sealed.split(".")
        box = _decode(box_text)
        opened = _cipher(key).decrypt(box[:NONCE_LENGTH], box[NONCE_LENGTH:], None)
        salt, content = opened[:SALT_LENGTH], opened[SALT_LENGTH:]
        if version != "v1" or _decode(commitment) != _commitment(salt, content):
            raise TamperedError("sealed text: the commitment does not fit what was sealed")
        return salt, content.decode()
    except (InvalidTag, ValueError) as error:
        raise TamperedError("sealed text: expected v1.<box>.<commitment> made with this key, got other text") from error


def keyed_hash(key: bytes, purpose: str, content: bytes) -> bytes:
    """Return HMAC-SHA-256 of `content` under a subkey for `purpose`; 32 bytes."""
    return hmac.digest(_subkey(key, purpose), content, "sha256")


def forget_keys() -> None:
    """Let go of all keys kept here for speed, such as those of persons who were erased."""
    _cipher.cache_clear()
    _subkey.cache_clear()


# A tenant's events come from few addresses and actors: parsing an address takes 20 µs, a look-up 0.1.
@lru_cache(maxsize=65_536)
def ip_index(key: bytes, address: str) -> bytes:
    """Return the 16-byte blind index of an address: 8 bytes of its network (/24 or /48), 8 of the address itself.

    Equal networks share the first half, so that "same network" can be asked without an address in clear.

    Raises:
        ValueError: when `address` is no IP address.
    """
    parsed = ipaddress.ip_address(address)
    network = ipaddress.ip_network((parsed, NETWORK_BITS[parsed.version]), strict=False)
    return network_index(key, str(network)) + keyed_hash(key, "ip", str(parsed).encode())[:8]


def network_index(key: bytes, network: str) -> bytes:
    """Return the first half of the blind indexes of all addresses of a network, 8 bytes.

    `network` is a /24 or /48 as `ipaddress` writes it: of others the indexes tell nothing.
    """
    return keyed_hash(key, "ip-network", network.encode())[:8]


# Expanding a key costs as much as sealing an address under it. Few, so that an erased key does not linger.
@lru_cache(maxsize=4_096)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


@lru_cache(maxsize=65_536)
def _subkey(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, purpose.encode(), "sha256")


def _commitment(salt: bytes, content: bytes) -> bytes:
    return hashlib.sha256(b"\x03" + salt + content).digest()


def _encode(data: bytes) -> str:
    # What base64.urlsafe_b64encode does, in a third of its time: two of these are half of sealing a value.
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
