"""What verification finds: one difference, and the list of them that is kept short enough to read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

Kind = Literal[
    "sequence", "content", "column", "link", "order", "head", "event_id", "access", "checkpoint", "anchor", "archive"
]

# A destroyed ledger has as many findings as rows; the first ones tell all that a person can use.
_MOST_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between what is stored and what was vouched for."""

    tenant_id: UUID
    seq: int | None
    """The row concerned; None where the evidence does not point to one row."""
    kind: Kind
    what: str

    def __str__(self) -> str:
        place = f"seq {self.seq}" if self.seq is not None else "whole ledger"
        return f"tenant {self.tenant_id}, {place}: {self.kind}: {self.what}"


class Findings:
    """Collects one tenant's findings; counts those beyond the first hundred."""

    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._found: list[Finding] = []
        self._more = 0

    def add(self, seq: int | None, kind: Kind, what: str) -> None:
        """Note a difference at row `seq`, or None where the evidence points to no single row."""
        if len(self._found) < _MOST_FINDINGS:
            self._found.append(Finding(self._tenant_id, seq, kind, what))
        else:
            self._more += 1

    def extend(self, findings: Iterable[Finding]) -> None:
        """Note what was found elsewhere."""
        for finding in findings:
            self.add(finding.seq, finding.kind, finding.what)

    def all(self) -> tuple[Finding, ...]:
        """Return what was found, in the order of finding, and how much more there is."""
        if not self._more:
            return tuple(self._found)
        rest = Finding(self._tenant_id, None, "content", f"{self._more} further findings are not listed")
        return (*self._found, rest)
