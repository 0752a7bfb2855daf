"""Opening chosen sealed values of chosen events, so that somebody without any key can check them.

Reads the vault, so whoever calls it may see personal data in clear; the values opened go into the evidence file and no
other value becomes readable by it. What an opening proves is written in docs/ledger_format.md.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Database
from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import SEALED_KEY
from audit_pipelines.ledger.evidence import Disclosure
from audit_pipelines.ledger.vault import Vault

_POINTER: Final = re.compile("(?:/(?:[^~/]|~[01])*)+")
_SEALED: Final = re.compile(r"v1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Discloser:
    """What to open: JSON pointers (RFC 6901) into the entries, and the vault that holds the keys."""

    database: Database
    vault: Vault
    pointers: Sequence[str]

    def __post_init__(self) -> None:
        for pointer in self.pointers:
            if not _POINTER.fullmatch(pointer):
                raise ValidationError(
                    f"expected a JSON pointer into the entry, like /ip_address or /details/userName, got {pointer!r}"
                )

    def disclose(self, tenant_id: UUID, entries: Sequence[tuple[int, bytes]]) -> list[Disclosure]:
        """Return the openings of the sealed values that the pointers lead to, in `entries`, `(seq, entry)` each.

        An event that has nothing in a place, or something in clear, is passed over.

        Raises:
            ValidationError: when a pointer leads to a sealed value in none of the events, or when the person whose
                key is needed was erased.
            TamperedError: when a sealed value does not open with that person's key.
        """
        parsed = [(seq, msgspec.json.decode(entry)) for seq, entry in entries]
        found = [
            (seq, pointer, sealed, event["actor_ref"])
            for seq, event in parsed
            for pointer in dict.fromkeys(self.pointers)
            if (sealed := _sealed_text(event, pointer)) is not None
        ]
        if unused := sorted(set(self.pointers) - {pointer for _, pointer, _, _ in found}):
            raise ValidationError(
                f"{', '.join(unused)}: expected a sealed value there in at least one of the {len(parsed)} events, "
                "got none; a pointer starts at the entry, so a field of details is /details/NAME, and what is in clear "
                "needs no opening"
            )
        keys = dict(self._keys(tenant_id, {ref: seq for seq, _, _, ref in found}))
        return [
            Disclosure(seq, pointer, *sealing.open_sealed(keys[ref], sealed)) for seq, pointer, sealed, ref in found
        ]

    def _keys(self, tenant_id: UUID, refs: dict[str | None, int]) -> Iterator[tuple[str | None, bytes]]:
        """Yield the key behind each reference; what has no actor is sealed under the tenant's own."""
        persons = {UUID(ref): seq for ref, seq in refs.items() if ref is not None}
        with self.database.tenant_connection(tenant_id) as conn:
            # Asked of the database and not of the vault's cache: an erasure elsewhere counts from its commit on.
            keys = self.vault.living_keys(conn, persons)
        for ref, seq in persons.items():
            if ref not in keys:
                raise ValidationError(
                    f"seq {seq}: expected a person whose key exists, got {ref}, who was erased; what was sealed under "
                    "that key can never be shown again: leave this event out or disclose nothing of it"
                )
            yield str(ref), keys[ref]
        if None in refs:
            yield None, self.vault.tenant_key(tenant_id)


def _sealed_text(event: Any, pointer: str) -> str | None:
    """Return the sealed text at `pointer`, or None where there is none."""
    value = event
    for token in pointer[1:].split("/"):
        value = _member(value, token.replace("~1", "/").replace("~0", "~"))
    if isinstance(value, dict):
        value = value.get(SEALED_KEY)
    return value if isinstance(value, str) and _SEALED.fullmatch(value) else None


def _member(value: Any, token: str) -> Any:
    if isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", token) and int(token) < len(value):
        return value[int(token)]
    return value.get(token) if isinstance(value, dict) else None
