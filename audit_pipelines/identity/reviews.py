"""Daily reviews (PCI DSS 10.4.1, 21 CFR 11.10(e)): what there was to look at on each day, and who signed for it.

A review's record is made once, when its UTC day is over, and never changed; signing one is `signatures.py`'s. What a
person looked at beyond these figures, only that person knows.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.identity.archived_days import archived_days
from audit_pipelines.identity.signatures import Meaning, Signature, Signatures
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.verify import Verification

State = Literal["signed", "open", "overdue", "missing"]
# Who wrote a thing has not reviewed it by that.
REVIEWING: Final[frozenset[Meaning]] = frozenset({"reviewed", "approved", "responsible"})
ONE_DAY: Final = timedelta(days=1)
# An import of old events makes no days: they are recorded today. A ledger that is older than this got its reviews late.
MOST_DAYS: Final = 400
_FINDINGS_NAMED: Final = 10
_encoder: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Review:
    """One UTC day of a tenant: its figures, the hash that is signed, and its signatures, each checked just now."""

    day: date
    state: State
    due_at: datetime
    figures: Mapping[str, Any] | None
    digest: bytes | None
    signatures: tuple[Signature, ...]


class Reviews:
    """The reviews of all tenants."""

    def __init__(
        self, database: Database, signatures: Signatures, due_after: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._signatures = signatures
        self._due_after = due_after
        self._clock = clock

    def of_days(self, conn: Connection, since: date, until: date) -> list[Review]:
        """Return the reviews of the days from `since` to before `until`, the newest first; `conn` sees the tenant.

        Days before the tenant's first event and days that are not over are left out.
        """
        first = conn.execute(query("identity/select_first_day")).fetchone()
        if first is None or first[0] is None:
            return []
        since = max(since, first[0])
        rows = {row[0]: row[1] for row in self._rows(conn, since, until)}
        signed: dict[str, list[Signature]] = {}
        for one in self._signatures.of_records(conn, "review", [day.isoformat() for day in rows]):
            signed.setdefault(one.record_id, []).append(one)
        last = min(until, self._clock().astimezone(UTC).date()) - ONE_DAY
        days = max((last - since).days + 1, 0)
        return [
            self._review(day, rows.get(day), signed.get(day.isoformat(), ()))
            for day in (last - ONE_DAY * place for place in range(days))
        ]

    def overdue(self, conn: Connection, days: int) -> list[Review]:
        """Return the reviews of the last so many days that ought to be signed and are not."""
        return [review for review in self.due(conn, days) if review.state != "signed"]

    def due(self, conn: Connection, days: int) -> list[Review]:
        """Return the reviews of the last so many days that ought to be signed by now."""
        now = self._clock()
        today = now.astimezone(UTC).date()
        return [review for review in self.of_days(conn, today - ONE_DAY * days, today) if review.due_at <= now]

    def _rows(self, conn: Connection, since: date, until: date) -> list[tuple[Any, ...]]:
        return conn.execute(query("identity/select_reviews"), {"since": since, "until": until}).fetchall()

    def _review(self, day: date, content: bytes | None, signatures: Sequence[Signature]) -> Review:
        due_at = midnight(day + ONE_DAY) + self._due_after
        if content is None:
            return Review(day, "missing", due_at, None, None, ())
        state: State = "overdue" if self._clock() >= due_at else "open"
        if any(one.state != "invalid" and one.meaning in REVIEWING for one in signatures):
            state = "signed"
        figures = msgspec.json.decode(content)
        return Review(day, state, due_at, figures, sha256(content), tuple(signatures))


def make_due(
    database: Database,
    archives: ArchiveFolder,
    verify: Callable[[UUID, datetime], Sequence[Verification]],
    now: datetime,
) -> dict[UUID, int]:
    """Make the records of all days that are over and have none; return how many were made, by tenant.

    `verify` recomputes a tenant's ledger from a time on; what it finds stands in the record of the day concerned.
    """
    with database.connection("audit_pipeline") as conn:
        bounds = conn.execute(query("identity/select_review_bounds")).fetchall()
    made = {}
    today = now.astimezone(UTC).date()
    for tenant_id, first, newest in bounds:
        since = max(newest + ONE_DAY if newest else first, today - ONE_DAY * MOST_DAYS)
        if since < today:
            verifications = verify(tenant_id, midnight(since))
            with database.connection("audit_pipeline") as conn:
                made[tenant_id] = sum(
                    conn.execute(
                        query("identity/insert_review"),
                        {"tenant_id": tenant_id, "day": day, "content": _encoder.encode(figures)},
                    ).rowcount
                    for day, figures in _figures(conn, archives, tenant_id, (since, today), verifications)
                )
    return made


def midnight(day: date) -> datetime:
    """Return the beginning of a UTC day."""
    return datetime.combine(day, time(), UTC)


def sha256(content: bytes) -> bytes:
    """Return the hash that a review's signature is bound to."""
    return hashlib.sha256(content).digest()


def _figures(
    conn: Connection,
    archives: ArchiveFolder,
    tenant_id: UUID,
    days: tuple[date, date],
    verifications: Sequence[Verification],
) -> list[tuple[date, dict[str, Any]]]:
    since, until = days
    bounds: dict[str, Any] = {"tenant_id": tenant_id, "since": midnight(since), "until": midnight(until)}
    # No month changes places meanwhile, from the database to the archive.
    conn.execute(query("ledger/lock_partitions"))
    events = {row[0]: row[1:] for row in conn.execute(query("identity/count_days"), bounds)}
    archived = archived_days(conn, archives, tenant_id, bounds["since"], bounds["until"])
    events |= {day: (one.events, one.first_seq, one.last_seq, one.failed, one.locked) for day, one in archived.items()}
    anomalies = {row[0]: row[1:] for row in conn.execute(query("identity/count_detected"), bounds)}
    findings = [finding for one in verifications for finding in one.findings]
    figures = []
    for place in range((until - since).days):
        day = since + ONE_DAY * place
        count, first_seq, last_seq, failed, locked = events.get(day, (0, None, None, 0, 0))
        detected, grave = anomalies.get(day, (0, 0))
        last_hash = None
        if day in archived:
            row_hash = archived[day].row_hash
            last_hash = row_hash.hex() if row_hash else None
        elif last_seq is not None:
            row = conn.execute(query("identity/select_row_hash"), bounds | {"seq": last_seq}).fetchone()
            last_hash = row[0].hex() if row else None
        # What points to no row, or to another day's, concerns whoever looks next.
        is_last = day == until - ONE_DAY
        told = [
            # Not what was found: an id that somebody chose may be a name, and this record is for ever.
            {"seq": finding.seq, "kind": finding.kind}
            for finding in findings
            if (_is_within(finding.seq, first_seq, last_seq) or (is_last and not _has_a_day(finding.seq, events)))
        ]
        figures.append(
            (
                day,
                {
                    "v": 1,
                    "tenant_id": str(tenant_id),
                    "day": day.isoformat(),
                    "events": count,
                    "first_seq": first_seq,
                    "last_seq": last_seq,
                    "row_hash": last_hash,
                    "failed_logins": failed,
                    "locked_accounts": locked,
                    "anomalies": detected,
                    "grave_anomalies": grave,
                    "findings": len(told),
                    "first_findings": told[:_FINDINGS_NAMED],
                },
            )
        )
    return figures


def _is_within(seq: int | None, first_seq: int | None, last_seq: int | None) -> bool:
    return seq is not None and first_seq is not None and last_seq is not None and first_seq <= seq <= last_seq


def _has_a_day(seq: int | None, events: Mapping[date, Sequence[Any]]) -> bool:
    return any(_is_within(seq, row[1], row[2]) for row in events.values())
