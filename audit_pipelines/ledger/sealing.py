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
from functools import lru_cache
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_pipelines.errors import TamperedError

_sha256 = hashlib.sha256
_base64 = binascii.b2a_base64
PREFIX = "v1."
SALT_LENGTH = 16
NONCE_LENGTH = 12
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
NETWORK_BITS = {4: 24, 6: 48}


def seal(key: bytes, plaintext: str) -> str:
    """Return the sealed text of `plaintext` under a 32-byte key; two calls never give the same text."""
    noise = urandom(NONCE_LENGTH + SALT_LENGTH)
    nonce, salt = noise[:NONCE_LENGTH], noise[NONCE_LENGTH:]
    salted = salt + plaintext.encode()
    box = _base64(nonce + _cipher(key).encrypt(nonce, salted, None), newline=False)
    commitment = _base64(_sha256(b"\x03" + salted).digest(), newline=False)
    # What base64.urlsafe_b64encode does, for both at once: half of sealing a value otherwise.
    return (b"v1." + box + b"." + commitment).translate(_URL_SAFE, b"=").decode("ascii")


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
    """Return HMAC-SHA-256 (RFC 2104) of `content` under a subkey for `purpose`; 32 bytes."""
    # Written out, since `hmac.digest` looks the hash function up each time: 2.1 µs against 1.0 for 250 bytes.
    began_inner, began_outer = _begun(key, purpose)
    inner, outer = began_inner.copy(), began_outer.copy()
    inner.update(content)
    outer.update(inner.digest())
    return outer.digest()


def forget_keys() -> None:
    """Let go of all keys kept here for speed, such as those of persons who were erased."""
    _cipher.cache_clear()
    _begun.cache_clear()
    sealed_address.cache_clear()


# People come from few addresses. That one person's events share a sealed text says no more than that they share their
# blind index, and sealing anew took a third of what an event costs.
@lru_cache(maxsize=65_536)
def sealed_address(key: bytes, tenant_key: bytes, address: str) -> tuple[str, bytes, str]:
    """Return an address sealed under a person's key, its blind index under the tenant's, and the index in hex.

    Raises:
        ValueError: when `address` is no IP address.
    """
    index = ip_index(tenant_key, address)
    return seal(key, address), index, index.hex()


# Parsing an address takes 20 µs, a look-up 0.1.
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


# Some 700 bytes each.
@lru_cache(maxsize=16_384)
def _begun(key: bytes, purpose: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return HMAC's two hashes of a subkey, begun with it: padded to a block of 64 bytes, under either mask."""
    subkey = hmac.digest(key, purpose.encode(), "sha256").ljust(64, b"\x00")
    return _sha256(subkey.translate(_INNER)), _sha256(subkey.translate(_OUTER))


def _commitment(salt: bytes, content: bytes) -> bytes:
    return _sha256(b"\x03" + salt + content).digest()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
