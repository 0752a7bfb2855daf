"""What a control gets to look at, and what it answers. Which controls there are is `catalogue`'s to say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.identity.opening import Identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.verify import Verification


@dataclass(frozen=True, slots=True)
class Scene:
    """One tenant of a running installation, a verification of it made for this, and what time it is."""

    installation: Installation
    verification: Verification
    conn: Connection
    """Of the pipeline's role, which reads across tenants."""
    identity: Identity
    now: datetime

    @property
    def tenant_id(self) -> UUID:
        """Whose controls are checked."""
        return self.verification.tenant_id

    def ask(self, name: str, **parameters: Any) -> tuple[Any, ...]:
        """Return the one row of a query of `sql/controls`, which may name `tenant_id`."""
        given = {"tenant_id": self.tenant_id, **parameters}
        row: tuple[Any, ...] | None = self.conn.execute(query(f"controls/{name}"), given).fetchone()
        return row or ()

    def ask_all(self, name: str) -> list[tuple[Any, ...]]:
        """Return all rows of a query that names `tenant_id`."""
        return self.conn.execute(query(f"controls/{name}"), {"tenant_id": self.tenant_id}).fetchall()

    def ask_as_tenant(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query that needs the server's role, which sees this tenant alone."""
        with self.installation.database.tenant_connection(self.tenant_id) as conn:
            return conn.execute(query(f"controls/{name}"), parameters).fetchall()

    def findings(self, *kinds: str) -> list[str]:
        """Return in words what the verification found of these kinds."""
        return [finding.what for finding in self.verification.findings if finding.kind in kinds]


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a control holds, and by what that is seen: whole sentences that name what is wrong."""

    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class ControlDefinition:
    """One control: a name for people, what it compares, and the check itself."""

    key: str
    name: str
    looks_at: str
    """What is compared with what, for the documents; a noun phrase."""
    check: Callable[[Scene], Found]
    for_people: bool = False
    """Whether only people can mend it, so that it warns and is no fault of the machine."""


def found(faults: Sequence[str], evidence: str) -> Found:
    """Return what holds when there are no faults; else the first five of them come before the evidence."""
    told = [f"{_capital(fault).rstrip('.')}." for fault in faults[:5]]
    if len(faults) > 5:
        told.append(f"{len(faults) - 5} more.")
    return Found(not faults, " ".join([*told, evidence]))


def _capital(sentence: str) -> str:
    # Names of files, tables and functions stay as they are written.
    is_word = sentence.partition(" ")[0].isalpha()
    return f"{sentence[:1].upper()}{sentence[1:]}" if is_word else sentence


def some(items: Sequence[object], most: int = 5) -> str:
    """Return items in one line, the first few of many."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
