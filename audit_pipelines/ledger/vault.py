"""The vault: who is behind a reference, and the keys that open what is sealed about them.

The only place with personal data in clear to those allowed. Every person has a random reference and a random key,
wrapped by AUDIT_ENCRYPTION_KEY; erasing a person is destroying that one key. Each tenant has a key of its own for the
blind indexes, so that changing the master key changes no index and no ledger row.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import Subject, normalise_identity

ERASED: Final = "erased"
_TENANT_INDEX: Final = bytes(32)
# About 300 bytes each; a tenant with more people than this reads some keys again.
_CACHE_LIMIT: Final = 100_000


class Vault:
    """References and keys of all tenants, cached in this process."""

    def __init__(self, database: Database, master_key: bytes) -> None:
        self._database = database
        self._master = AESGCM(master_key)
        self._master_key_id = hashlib.sha256(b"audit_pipelines master key" + master_key).hexdigest()[:16]
        self._cache: dict[tuple[UUID, bytes], Subject] = {}
        self._lock = threading.Lock()

    def tenant_key(self, tenant_id: UUID) -> bytes:
        """Return the tenant's own key: 32 bytes, made at first use."""
        return self._ensure(tenant_id, {_TENANT_INDEX: None})[_TENANT_INDEX].key

    def subjects(self, tenant_id: UUID, identities: Iterable[str]) -> dict[str, Subject]:
        """Return the subject behind each identity, making those that are new; one round trip for all of them."""
        tenant_key = self.tenant_key(tenant_id)
        by_identity = {identity: self._index(tenant_key, identity) for identity in identities}
        found = self._ensure(tenant_id, {index: identity for identity, index in by_identity.items()})
        return {identity: found[index] for identity, index in by_identity.items()}

    def known_subjects(self, tenant_id: UUID, identities: Iterable[str]) -> tuple[bytes, dict[str, Subject]] | None:
        """Return the tenant's key and the subjects, or None unless this process holds all of them already."""
        tenant = self._cache.get((tenant_id, _TENANT_INDEX))
        if tenant is None:
            return None
        subjects: dict[str, Subject] = {}
        for identity in identities:
            subject = self._cache.get((tenant_id, self._index(tenant.key, identity)))
            if subject is None:
                return None
            subjects[identity] = subject
        return tenant.key, subjects

    def identities(self, conn: Connection, refs: Iterable[UUID]) -> dict[UUID, str]:
        """Return the names behind references, `erased` for those erased; unknown references are absent.

        `conn` must see the tenant, so that no reference of another tenant is ever opened.
        """
        rows = conn.execute(query("ledger/select_identities"), {"refs": list(refs)}).fetchall()
        return {
            ref: ERASED if wrapped is None else sealing.unseal(self._unwrap(wrapped, key_id), sealed)
            for ref, sealed, wrapped, key_id in rows
            if sealed is not None
        }

    def find(self, tenant_id: UUID, identity: str) -> UUID | None:
        """Return the reference of a living subject, or None; never makes one."""
        index = self._index(self.tenant_key(tenant_id), identity)
        with self._database.tenant_connection(tenant_id) as conn:
            found = self._select(conn, [index])
        return found[index].ref if found else None

    def _index(self, tenant_key: bytes, identity: str) -> bytes:
        return sealing.keyed_hash(tenant_key, "actor", normalise_identity(identity).encode())

    def _ensure(self, tenant_id: UUID, wanted: Mapping[bytes, str | None]) -> dict[bytes, Subject]:
        known = {index: subject for index in wanted if (subject := self._cache.get((tenant_id, index)))}
        missing = [index for index in wanted if index not in known]
        if not missing:
            return known
        with self._database.tenant_connection(tenant_id) as conn:
            known |= self._select(conn, missing)
            new = [index for index in missing if index not in known]
            if new:
                conn.execute(query("ledger/insert_subjects"), self._new_rows(tenant_id, new, wanted))
                known |= self._select(conn, new)
        with self._lock:
            if len(self._cache) + len(missing) > _CACHE_LIMIT:
                self._cache.clear()
            self._cache.update({(tenant_id, index): known[index] for index in missing})
        return known

    def _select(self, conn: Connection, indexes: list[bytes]) -> dict[bytes, Subject]:
        rows = conn.execute(query("ledger/select_subjects"), {"indexes": indexes}, binary=True).fetchall()
        return {index: Subject(ref, self._unwrap(wrapped, key_id)) for index, ref, wrapped, key_id in rows}

    def _new_rows(self, tenant_id: UUID, indexes: list[bytes], wanted: Mapping[bytes, str | None]) -> dict[str, Any]:
        keys = [secrets.token_bytes(32) for _ in indexes]
        identities = [wanted[index] for index in indexes]
        return {
            "tenant_id": tenant_id,
            "master_key_id": self._master_key_id,
            "refs": [uuid4() for _ in indexes],
            "indexes": indexes,
            "identities": [
                None if identity is None else sealing.seal(key, identity)
                for key, identity in zip(keys, identities, strict=True)
            ],
            "keys": [self._wrap(key) for key in keys],
        }

    def _wrap(self, key: bytes) -> bytes:
        nonce = secrets.token_bytes(sealing.NONCE_LENGTH)
        return nonce + self._master.encrypt(nonce, key, None)

    def _unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        try:
            return self._master.decrypt(wrapped[: sealing.NONCE_LENGTH], wrapped[sealing.NONCE_LENGTH :], None)
        except InvalidTag:
            raise TamperedError(
                f"a person's key does not open: it was wrapped by master key {key_id}, "
                f"AUDIT_ENCRYPTION_KEY is {self._master_key_id}"
            ) from None
