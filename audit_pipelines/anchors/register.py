"""The register of anchorings: what is due at which anchor, one more attempt at it, and what came of it.

Only the newest checkpoint of a tenant is ever due, because it commits to all events of the earlier ones: an anchor that
was away for a week gets one note per tenant when it is back, not two thousand.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AnchorUnavailableError, AuditError, DatabaseUnavailableError
from audit_pipelines.ledger.checkpoint import open_note
from audit_pipelines.ledger.keys import VerifierKey

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_LONGEST_WISH: Final = timedelta(days=1)
_FAILURES_IN_A_ROW: Final = 3
"""After so many the anchor is away for this run: each further tenant could cost a time-out."""
_BUDGET_S: Final = 120.0
"""For one anchor in one run; checkpoint_job comes every 5 minutes."""


class OutsideAnchor(Protocol):
    """An anchor that may be slow or away."""

    @property
    def name(self) -> str:
        """Its name in the register: fit to be shown, the same as long as its address is."""

    def publish(self, note: str) -> bytes | None:
        """Have `note` kept elsewhere and return the receipt if there is one; raise `AuditError` otherwise."""


@dataclass(frozen=True, slots=True)
class AnchorState:
    """How far one anchor has one tenant's checkpoints."""

    tenant_id: UUID
    anchor: str
    newest_size: int
    note: str = field(repr=False)
    anchored_size: int | None
    anchored_at: datetime | None
    behind_since: datetime | None
    """When the oldest checkpoint that this anchor does not cover was sealed; None when it has the newest."""
    attempts: int
    """How often it failed since the last success."""
    last_error: str | None
    last_tried_at: datetime | None
    next_try_at: datetime | None

    @property
    def lag(self) -> int:
        """How many checkpointed events the anchor does not cover."""
        return max(0, self.newest_size - (self.anchored_size or 0)) if self.behind_since else 0


def states(database: Database, anchors: Sequence[OutsideAnchor]) -> list[AnchorState]:
    """Return the state of each anchor for each tenant with a checkpoint, by anchor in the order given, then tenant."""
    with database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("anchors/select_states"), {"anchors": [anchor.name for anchor in anchors]}).fetchall()
    return [AnchorState(tenant_id, name, *rest) for tenant_id, name, *rest in rows]


def anchor_due(
    database: Database,
    anchors: Sequence[OutsideAnchor],
    verifier_keys: Sequence[VerifierKey],
    *,
    now: datetime | None = None,
) -> list[AnchorState]:
    """Send what is due to each anchor, record every attempt, and return the states afterwards.

    A failure is recorded, not raised. A pair of tenant and anchor that failed pauses for a minute, doubled with each
    further failure up to an hour, or as long as the anchor asked for, up to a day. If another process is at it, this
    one only reports.

    Raises:
        DatabaseUnavailableError: when the register cannot be read or written.
    """
    moment = now or datetime.now(UTC)
    with database.connection("audit_pipeline") as conn:
        (alone,) = conn.execute(query("anchors/try_lock")).fetchone() or (False,)
        if alone and anchors:
            due: dict[str, list[AnchorState]] = {}
            for state in states(database, anchors):
                if state.behind_since and (state.next_try_at is None or state.next_try_at <= moment):
                    due.setdefault(state.anchor, []).append(state)
            # A thread each, so that a slow anchor does not hold up the others.
            with ThreadPoolExecutor(len(anchors), "anchor") as pool:
                for done in [
                    pool.submit(_serve, database, anchor, due.get(anchor.name, []), verifier_keys, moment)
                    for anchor in anchors
                ]:
                    done.result()
    return states(database, anchors)


def _serve(
    database: Database,
    anchor: OutsideAnchor,
    due: Sequence[AnchorState],
    verifier_keys: Sequence[VerifierKey],
    moment: datetime,
) -> None:
    deadline, failures = time.monotonic() + _BUDGET_S, 0
    # Whoever waited longest comes first, so that the budget never starves the same tenants.
    for state in sorted(due, key=lambda state: (state.last_tried_at or state.behind_since or moment, state.tenant_id)):
        error = _attempt(database, anchor, state, verifier_keys, moment)
        failures = failures + 1 if error else 0
        asked_to_wait = isinstance(error, AnchorUnavailableError) and error.retry_after_s is not None
        if asked_to_wait or failures == _FAILURES_IN_A_ROW or time.monotonic() > deadline:
            return


def _attempt(
    database: Database,
    anchor: OutsideAnchor,
    state: AnchorState,
    verifier_keys: Sequence[VerifierKey],
    moment: datetime,
) -> Exception | None:
    """Publish one note and record what came of it; return the failure."""
    row = {"tenant_id": state.tenant_id, "anchor": anchor.name, "size": state.newest_size, "tried_at": moment}
    failure: Exception | None = None
    receipt = None
    try:
        # What stands in the database is not believed: a forged note must not leave the house.
        open_note(state.note, verifier_keys)
        receipt = anchor.publish(state.note)
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library raises for an anchor must not stop sealing
        failure = error
    outcome: dict[str, Any]
    if failure is None:
        outcome = {"next_try_at": None, "error": None, "anchored_at": datetime.now(UTC), "receipt": receipt}
    else:
        # Only our own errors are known to hold no secret.
        words = str(failure) if isinstance(failure, AuditError) else f"unexpected {type(failure).__name__}"
        _LOG.warning("anchor %s, tenant %s, size %d: %s", anchor.name, state.tenant_id, state.newest_size, words)
        next_try_at = moment + _pause(state.attempts, failure)
        outcome = {"next_try_at": next_try_at, "error": words[:500], "anchored_at": None, "receipt": None}
    with database.connection("audit_pipeline") as conn:
        conn.execute(query("anchors/record_attempt"), row | outcome)
    return failure


def _pause(earlier_failures: int, error: Exception) -> timedelta:
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * (1 << min(earlier_failures, 10)))
    if isinstance(error, AnchorUnavailableError) and error.retry_after_s is not None:
        return max(pause, min(_LONGEST_WISH, timedelta(seconds=error.retry_after_s)))
    return pause
