"""The vault: who is behind a reference, and the keys that open what is sealed about them.

The only place with personal data in clear to those allowed. Every person has a random reference and a random key,
wrapped by AUDIT_ENCRYPTION_KEY; erasing a person is destroying that one key. Each tenant has a key of its own for the
blind indexes, so that changing the master key changes no index and no ledger row.
"""

import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import Subject, normalise_identity
from audit_pipelines.ledger.master_keys import KEY_LENGTH, MasterKeys

ERASED: Final = "erased"
_TENANT_INDEX: Final = bytes(32)
# About 300 bytes each; a tenant with more people than this reads some keys again.
_CACHE_LIMIT: Final = 100_000
# The database names another master key at most once a rotation; two rotations within one insert are none.
_WRAPPING_ATTEMPTS: Final = 3
_NOT_IN_USE: Final = "AU003"


@dataclass(frozen=True, slots=True)
class Keys:
    """What it takes to seal events of a tenant, read when the tenant had erased `erasures` persons or later.

    `audit_append` refuses them at any other count: whatever is stored is sealed under keys that exist.
    """

    erasures: int
    tenant_key: bytes = field(repr=False)
    subjects: Mapping[str, Subject] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Tenant:
    """What this process knows of a tenant.

    Every subject in it was read after `erasures`, and it is thrown away whole, so that whoever still holds it keeps the
    count that its subjects belong to.
    """

    erasures: int
    key: bytes
    subjects: dict[str, Subject] = field(default_factory=dict)
    """By their names as they came: an index takes longer to compute than all else about a known person."""

    def index(self, identity: str) -> bytes:
        return sealing.keyed_hash(self.key, "actor", normalise_identity(identity).encode())


class Vault:
    """References and keys of all tenants, cached in this process."""

    def __init__(self, database: Database, master_keys: MasterKeys) -> None:
        self._database = database
        self._master_keys = master_keys
        # The database says which key is in use as soon as it is not this one.
        self._wrapping_key_id = master_keys.present
        self._tenants: dict[UUID, _Tenant] = {}
        self._cached = 0
        self._lock = threading.Lock()

    def tenant_key(self, tenant_id: UUID) -> bytes:
        """Return the tenant's own key: 32 bytes, made at first use."""
        return self._tenant(tenant_id).key

    def known_tenant_key(self, tenant_id: UUID) -> bytes | None:
        """Return the tenant's own key, or None where there is no such tenant; never makes one."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            with self._database.tenant_connection(tenant_id) as conn:
                tenant = self._read_tenant(conn)
        return tenant.key if tenant else None

    def keys(self, tenant_id: UUID, identities: Iterable[str], *, stale: int | None = None) -> Keys:
        """Return what sealing events about these persons takes, making those who are new; all of them at once.

        What this process holds is used, unless it is of the count of erasures `stale`, which the database refused.
        """
        tenant = self._tenant(tenant_id, stale)
        wanted = set(identities)
        missing = {identity: tenant.index(identity) for identity in wanted if identity not in tenant.subjects}
        if missing:
            found = self._find_or_make(tenant_id, {index: identity for identity, index in missing.items()})
            with self._lock:
                self._cached += len(missing)
                if self._cached > _CACHE_LIMIT:
                    self._tenants.clear()
                    self._cached = 0
                tenant.subjects.update({identity: found[index] for identity, index in missing.items()})
        return Keys(tenant.erasures, tenant.key, {identity: tenant.subjects[identity] for identity in wanted})

    def knows(self, tenant_id: UUID, identity: str | None) -> bool:
        """Return whether `known_keys` has this person, and the tenant itself."""
        tenant = self._tenants.get(tenant_id)
        return tenant is not None and (not identity or identity in tenant.subjects)

    def known_keys(self, tenant_id: UUID, identities: Iterable[str]) -> Keys | None:
        """Return at least the same if this process holds all of it already, else None; never asks the database."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return None
        known = tenant.subjects
        for identity in identities:
            if identity not in known:
                return None
        return Keys(tenant.erasures, tenant.key, known)

    def living_keys(self, conn: Connection, refs: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the keys of those behind `refs` who are not erased, as the database has them now.

        `conn` must see the tenant.
        """
        rows = conn.execute(query("ledger/select_identities"), {"refs": list(refs)}).fetchall()
        return {
            ref: self._master_keys.unwrap(wrapped, key_id) for ref, _, wrapped, key_id in rows if wrapped is not None
        }

    def identities(self, conn: Connection, refs: Iterable[UUID]) -> dict[UUID, str]:
        """Return the names behind references, `erased` for those erased; unknown references are absent.

        Asked of the database each time. `conn` must see the tenant, so that no reference of another tenant is ever
        opened.
        """
        rows = conn.execute(query("ledger/select_identities"), {"refs": list(refs)}).fetchall()
        return {
            ref: ERASED if wrapped is None else sealing.unseal(self._master_keys.unwrap(wrapped, key_id), sealed)
            for ref, sealed, wrapped, key_id in rows
            if wrapped is None or sealed is not None
        }

    def find(self, tenant_id: UUID, identity: str) -> UUID | None:
        """Return the reference of a living subject, or None; never makes one."""
        with self._database.tenant_connection(tenant_id) as conn:
            tenant = self._tenants.get(tenant_id) or self._read_tenant(conn)
            found = self._select(conn, [index := tenant.index(identity)]) if tenant else {}
        return found[index].ref if found else None

    def references(self, conn: Connection, tenant_id: UUID, names: Iterable[str]) -> dict[str, UUID]:
        """Return the references of those names that are living subjects'; `conn` must see the tenant."""
        tenant = self._tenants.get(tenant_id) or self._read_tenant(conn)
        if tenant is None:
            return {}
        indexes = {tenant.index(name): name for name in names}
        rows = conn.execute(query("privacy/select_references"), {"indexes": list(indexes)}, binary=True).fetchall()
        return {indexes[index]: ref for index, ref in rows}

    def keyed(self, tenant_id: UUID, purpose: str, identity: str) -> bytes | None:
        """Return the tenant's keyed hash of an identity for `purpose`; None where the tenant has no key yet."""
        with self._database.tenant_connection(tenant_id) as conn:
            tenant = self._tenants.get(tenant_id) or self._read_tenant(conn)
        return sealing.keyed_hash(tenant.key, purpose, normalise_identity(identity).encode()) if tenant else None

    def forget(self, tenant_id: UUID) -> None:
        """Let go of what this process knows of a tenant, keys of erased persons among it."""
        with self._lock:
            self._tenants.pop(tenant_id, None)
        sealing.forget_keys()

    def _tenant(self, tenant_id: UUID, stale: int | None = None) -> _Tenant:
        known = self._tenants.get(tenant_id)
        if known is not None and known.erasures != stale:
            return known
        if known is not None:
            # Their keys have to go from the memory of this process too.
            sealing.forget_keys()
        for _ in range(2):
            with self._database.tenant_connection(tenant_id) as conn:
                tenant = self._read_tenant(conn)
            if tenant:
                break
            self._insert(tenant_id, {_TENANT_INDEX: None})
        assert tenant is not None, "the tenant's key was inserted, or was there"  # noqa: S101 - for the type checker
        with self._lock:
            self._tenants[tenant_id] = tenant
        return tenant

    def _read_tenant(self, conn: Connection) -> _Tenant | None:
        # First the count, then the keys: what was living after the count was read is all that the count promises.
        (erasures,) = conn.execute(query("ledger/select_erasures")).fetchone() or (0,)
        own = self._select(conn, [_TENANT_INDEX])
        return _Tenant(erasures, own[_TENANT_INDEX].key) if own else None

    def _find_or_make(self, tenant_id: UUID, wanted: Mapping[bytes, str]) -> dict[bytes, Subject]:
        with self._database.tenant_connection(tenant_id) as conn:
            found = self._select(conn, list(wanted))
        new = {index: identity for index, identity in wanted.items() if index not in found}
        if new:
            self._insert(tenant_id, new)
            with self._database.tenant_connection(tenant_id) as conn:
                found |= self._select(conn, list(new))
        return found

    def _select(self, conn: Connection, indexes: list[bytes]) -> dict[bytes, Subject]:
        rows = conn.execute(query("ledger/select_subjects"), {"indexes": indexes}, binary=True).fetchall()
        return {index: Subject(ref, self._master_keys.unwrap(wrapped, key_id)) for index, ref, wrapped, key_id in rows}

    def _insert(self, tenant_id: UUID, new: Mapping[bytes, str | None]) -> None:
        """Make subjects; whoever was faster with one of them wins."""
        for attempt in range(1, _WRAPPING_ATTEMPTS + 1):
            rows = self._new_rows(tenant_id, new)
            try:
                with self._database.tenant_connection(tenant_id) as conn:
                    conn.execute(query("ledger/insert_subjects"), rows)
            except psycopg.DatabaseError as error:
                in_use = error.diag.message_detail
                if error.sqlstate != _NOT_IN_USE or in_use is None or attempt == _WRAPPING_ATTEMPTS:
                    raise
                self._master_keys.require(in_use)
                self._wrapping_key_id = in_use
            else:
                return

    def _new_rows(self, tenant_id: UUID, new: Mapping[bytes, str | None]) -> dict[str, Any]:
        keys = [secrets.token_bytes(KEY_LENGTH) for _ in new]
        key_id = self._wrapping_key_id
        return {
            "tenant_id": tenant_id,
            "master_key_id": key_id,
            "refs": [uuid4() for _ in new],
            "indexes": list(new),
            "identities": [
                None if identity is None else sealing.seal(key, identity)
                for key, identity in zip(keys, new.values(), strict=True)
            ],
            "keys": [self._master_keys.wrap(key, key_id) for key in keys],
        }
