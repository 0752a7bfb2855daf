"""Reading anchors back: what every readable anchor holds, for verification to compare the database with.

A rolled-back database is noticed by any one of them, also where the folder of the home was rolled back with it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Protocol
from uuid import UUID

from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.ledger.checkpoint import AnchorLog, FileAnchor

_LOG = logging.getLogger(__name__)


class ReadableAnchor(Protocol):
    """An outside anchor whose notes can be fetched."""

    @property
    def name(self) -> str:
        """Its name in the register."""

    def read_all(self, known: Mapping[str, str]) -> dict[UUID, AnchorLog]:
        """Return what is kept there by tenant; `known` holds notes by SHA-256 (hex) that need not be fetched."""


@dataclass(frozen=True)
class Anchors(FileAnchor):
    """The home's anchor folder with all readable outside anchors beside it, read once, at the first question.

    Reads like the `FileAnchor` it is; `publish` writes to the home's folder alone, the rest is the register's task.
    """

    outside: Sequence[ReadableAnchor] = ()

    def read(self, tenant_id: UUID) -> AnchorLog:
        """Return the tenant's notes of every anchor, each once, the home's first.

        Damage is the home's; that of others is in `elsewhere`.
        """
        return self._logs.get(tenant_id, AnchorLog((), ()))

    def read_all(self) -> dict[UUID, list[str]]:
        """Return every tenant's notes of every anchor, each once."""
        return {tenant_id: list(log.notes) for tenant_id, log in self._logs.items()}

    @property
    def unread(self) -> Mapping[str, str]:
        """The anchors that could not be read, by name, and why: their silence proves nothing."""
        return self._reading[1]

    @property
    def _logs(self) -> Mapping[UUID, AnchorLog]:
        return self._reading[0]

    @cached_property
    def _reading(self) -> tuple[dict[UUID, AnchorLog], dict[str, str]]:
        # Each FileAnchor method reads the files anew; `super()` in here would find this class's own `read`.
        home = FileAnchor(self.directory)
        logs = {tenant_id: home.read(tenant_id) for tenant_id in home.tenants()}
        known = {sha256(note.encode()).hexdigest(): note for log in logs.values() for note in log.notes}
        unread = {}
        for anchor in self.outside:
            try:
                found = anchor.read_all(known)
            except AnchorUnavailableError as error:
                _LOG.warning("anchor %s could not be read: %s", anchor.name, error)
                unread[anchor.name] = str(error)
                continue
            for tenant_id, log in found.items():
                known.update((sha256(note.encode()).hexdigest(), note) for note in log.notes)
                before = logs.get(tenant_id, AnchorLog((), ()))
                notes = tuple(dict.fromkeys(before.notes + log.notes))
                logs[tenant_id] = replace(before, notes=notes, elsewhere=(*before.elsewhere, (anchor.name, log)))
        return logs, unread
