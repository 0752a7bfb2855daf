"""What alerts and reports that leave have in common: one by one, claimed before it is sent, tried again after a pause.

Pure of what is sent and how. A failure is recorded, never raised: one destination must not stop the others.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Protocol, TypeVar
from uuid import UUID

from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.notify.alert import DeliveryError

MOST_ATTEMPTS: Final = 8
"""Over some four hours; then it is dead and shown as that."""
CLAIM: Final = timedelta(minutes=5)
"""How long whoever claimed something has it for themselves: many times what one exchange may take."""
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=2)
_LONGEST_WISH: Final = timedelta(days=1)
_BUDGET_S: Final = 120.0
_FAILURES_IN_A_ROW: Final = 3

_LOG: Final = logging.getLogger(__name__)


class Claim(Protocol):
    """Something that this process alone may send for a while."""

    @property
    def destination(self) -> UUID:
        """Where it goes: what failed there three times in a row is left alone for the rest of the run."""

    @property
    def attempts(self) -> int:
        """How often it was claimed, this time included."""


C = TypeVar("C", bound=Claim)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt."""

    state: Literal["delivered", "waiting", "dead"]
    error: str | None = None
    """In words that hold no secret."""
    pause: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one run did."""

    delivered: int
    failed: int
    dead: int
    """Of the failed ones, those that were given up."""
    waiting: int
    """What is left to send, now or later."""


def deliver(
    claim: Callable[[list[UUID]], C | None],
    send: Callable[[C], None],
    record: Callable[[C, Outcome], None],
    waiting: Callable[[], int],
) -> Delivered:
    """Claim, send and record until nothing is due or two minutes are over; several processes may do so at once.

    `claim` gets the destinations that are to be left alone. What failed waits for a minute, doubled with each further
    failure up to two hours, or as long as the receiver asked for, up to a day; what was refused for good is dead.

    Raises:
        DatabaseUnavailableError: when the table cannot be read or written.
    """
    deadline = time.monotonic() + _BUDGET_S
    failures: Counter[UUID] = Counter()
    done: Counter[str] = Counter()
    while time.monotonic() < deadline:
        claimed = claim([one for one, count in failures.items() if count >= _FAILURES_IN_A_ROW])
        if claimed is None:
            break
        error = _attempt(send, claimed)
        outcome = outcome_of(error, claimed.attempts)
        # A refusal for good is an answer: the destination works.
        works = error is None or (isinstance(error, DeliveryError) and error.permanent)
        failures[claimed.destination] = 0 if works else failures[claimed.destination] + 1
        record(claimed, outcome)
        done[outcome.state] += 1
    failed = done["waiting"] + done["dead"]
    return Delivered(done["delivered"], failed, done["dead"], waiting())


def outcome_of(error: Exception | None, attempts: int) -> Outcome:
    """Return what an attempt comes to, by what it raised and how many there were."""
    if error is None:
        return Outcome("delivered")
    # Only our own errors are known to hold no secret.
    words = (str(error) if isinstance(error, AuditError) else f"unexpected {type(error).__name__}")[:500]
    _LOG.warning("attempt %d: %s", attempts, words)
    permanent = isinstance(error, DeliveryError) and error.permanent
    pause = pause_after(attempts, error.retry_after_s if isinstance(error, DeliveryError) else None)
    return Outcome("dead" if permanent or attempts >= MOST_ATTEMPTS else "waiting", words, pause)


def pause_after(attempts: int, asked_s: float | None) -> timedelta:
    """Return how long something waits after so many attempts; what the receiver asked for counts if it is longer."""
    own: timedelta = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempts - 1))
    if asked_s is None:
        return own
    return max(own, min(_LONGEST_WISH, timedelta(seconds=asked_s)))


def _attempt(send: Callable[[C], None], claimed: C) -> Exception | None:
    try:
        send(claimed)
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library raises for one destination must not stop the others
        return error
    return None
