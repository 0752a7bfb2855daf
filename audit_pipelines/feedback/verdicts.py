"""Verdicts on anomalies: each is kept for ever with its event in the ledger; of one person's the newest counts.

What verdicts do to the threshold is `thresholds`', what training makes of them `derive.verdicts`'. Nobody judges what
they did themselves, and nobody says so much in an hour that it drowns what others say.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.alert_threshold import Verdict
from audit_pipelines.ledger.event import Event
from audit_pipelines.noting import Said, one_line, refuse_names, store_with_event

JUDGED: Final = "audit.anomaly.judged"
ENTITY_TYPE: Final = "audit_anomaly"
MOST_PER_HOUR: Final = 200
"""Verdicts of one person: as many as somebody can look at who looks at each for 18 seconds."""


class UnknownAnomalyError(AuditError):
    """The tenant has no such anomaly."""


class OwnEventError(AuditError):
    """Somebody judged, or would silence, what they did themselves."""


class TooManyVerdictsError(AuditError):
    """One person said more within an hour than counts as looking."""

    retry_after_s: Final = 600


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    """One verdict of the history."""

    verdict_id: UUID
    anomaly_id: UUID
    seq: int
    verdict: Verdict
    comment: str | None
    given_by: UUID
    given_at: datetime
    ledger_seq: int
    counts: bool
    """Whether it is its author's newest on this event."""


def judge(
    installation: Installation,
    tenant_id: UUID,
    anomaly_id: UUID,
    verdict: Verdict,
    *,
    comment: str | None = None,
    by: str,
) -> GivenVerdict:
    """Give a verdict in the name of `by`, with the event `audit.anomaly.judged`; the comment is in the table alone.

    The anomaly's own verdict becomes what most persons say, each by their newest; among equals the graver.

    Raises:
        UnknownAnomalyError: when the tenant has no such anomaly.
        OwnEventError: when the event judged is by the same person.
        TooManyVerdictsError: when they gave MOST_PER_HOUR within an hour.
        ValidationError: for a comment that is empty, too long or names the person it is about.
    """
    text = one_line(comment, "/comment") if comment is not None else None
    with installation.database.tenant_connection(tenant_id) as conn:
        seq, row_hash, actor = _anomaly(conn, anomaly_id)
    if text is not None and actor is not None:
        refuse_names(installation, tenant_id, text, actor, "/comment")
    details = {"verdict": verdict, "seq": seq, "row_hash": row_hash.hex()}
    event = Event(event_type=JUDGED, entity_type=ENTITY_TYPE, entity_id=str(anomaly_id), details=details, actor=by)

    def change(conn: Connection, said: Said) -> GivenVerdict:
        _, _, actor = _anomaly(conn, anomaly_id)
        if actor is not None and actor == said.by:
            raise OwnEventError("expected a verdict of somebody else: this event is your own")
        (lately,) = conn.execute(query("feedback/count_lately"), {"given_by": said.by}).fetchone() or (0,)
        if lately >= MOST_PER_HOUR:
            raise TooManyVerdictsError(
                f"expected at most {MOST_PER_HOUR} verdicts of one person within an hour, got more; nothing was stored"
            )
        row = {
            "tenant_id": tenant_id,
            "anomaly_id": anomaly_id,
            "verdict": verdict,
            "comment": text,
            "given_by": said.by,
            "ledger_seq": said.receipt.seq,
            "ledger_row_hash": said.receipt.row_hash,
        }
        conn.execute(query("feedback/insert_verdict"), row)
        conn.execute(query("feedback/settle_anomaly"), {"anomaly_id": anomaly_id})
        return history(conn, anomaly_id)[0]

    return store_with_event(installation, tenant_id, event, change)


def history(conn: Connection, anomaly_id: UUID) -> list[GivenVerdict]:
    """Return everything said of an anomaly's event, newest first; `conn` sees one tenant."""
    with conn.cursor(row_factory=class_row(GivenVerdict)) as cursor:
        return cursor.execute(query("feedback/select_verdicts"), {"anomaly_id": anomaly_id}).fetchall()


def _anomaly(conn: Connection, anomaly_id: UUID) -> tuple[int, bytes, UUID | None]:
    row = conn.execute(query("feedback/select_judged_event"), {"anomaly_id": anomaly_id}).fetchone()
    if row is None:
        raise UnknownAnomalyError("expected an anomaly of this tenant, got none of this id; it may have been withdrawn")
    return row[0], row[1], row[2]
