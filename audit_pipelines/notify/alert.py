"""An alert: what leaves the installation about an incident, or about a ledger found changed. No name, ever.

Pure. Every kind of destination tells the same; only the form differs.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.entry import format_moment

if TYPE_CHECKING:
    from audit_pipelines.intelligence.reasons import Severity


class DeliveryError(AuditError):
    """A destination did not take what was sent; it is tried again unless that is `permanent`. It holds no secret.

    `retry_after_s` is the pause that the destination itself asked for, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float | None = None, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident that reached a severity, or what a verification found, on its way to one destination."""

    delivery_id: UUID
    """The same at every attempt: by it a receiver knows what it has already."""
    tenant_id: UUID
    incident_id: UUID
    """For tampering, the id under which its findings are noted."""
    severity: "Severity"
    actor_ref: UUID | None
    first_at: datetime
    last_at: datetime
    anomalies: int
    suppressed: int
    score: float
    title: str
    meanings: list[str]
    story: list[dict[str, Any]]
    link: str
    """Where the incident is shown, to those who may see it; for tampering, the address of the API."""
    cause: Literal["incident", "tampering"] = "incident"

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "cause": self.cause,
            "delivery_id": str(self.delivery_id),
            "tenant_id": str(self.tenant_id),
            "incident_id": str(self.incident_id),
            "severity": self.severity,
            "actor_ref": str(self.actor_ref) if self.actor_ref else None,
            "first_at": format_moment(self.first_at),
            "last_at": format_moment(self.last_at),
            "anomalies": self.anomalies,
            "suppressed": self.suppressed,
            "score": self.score,
            "title": self.title,
            "meanings": self.meanings,
            "story": self.story,
            "link": self.link,
        }


class Destination(Protocol):
    """Where alerts go."""

    def send(self, alert: Alert) -> None:
        """Have the alert taken; it may come again with the same `delivery_id`.

        Raises:
            DeliveryError: when it is not known to have been taken.
        """
