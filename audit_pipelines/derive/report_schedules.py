"""Scheduled reports as people make and change them: checked with every fault named, each change an event of the ledger.

Addresses are personal data: sealed in the table, counted and never named in events. Switching off keeps the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from psycopg.rows import dict_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import report_deliveries
from audit_pipelines.derive.report_deliveries import DUES_PER_TICK, address_key, recipient_index
from audit_pipelines.errors import AuditError, ConflictError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.entry import normalise_identity
from audit_pipelines.ledger.event import Event
from audit_pipelines.notify.email import check_address
from audit_pipelines.noting import Said, store_with_event
from audit_pipelines.reports.cron import CronError, parse_cron
from audit_pipelines.reports.model import AnyKind

DeliveryForm = Literal["link", "file"]

CREATED: Final = "audit.scheduled_report.created"
CHANGED: Final = "audit.scheduled_report.changed"
DISABLED: Final = "audit.scheduled_report.disabled"
ASKED: Final = "audit.scheduled_report.asked"
ENTITY_TYPE: Final = "audit_scheduled_report"
MOST_RECIPIENTS: Final = 50
NAMING: Final[frozenset[AnyKind]] = frozenset({"access_review", "person"})
"""Kinds that name people in clear: they are fetched by those who may see them and never attached."""
_MOST_DUES_SHOWN: Final = 50
_NEXT: Final = 3


class UnknownScheduleError(AuditError):
    """The tenant has no such scheduled report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; addresses and person in clear: never log this object."""

    kind: AnyKind
    cron: str
    time_zone: str = "UTC"
    recipients: Sequence[str] = ()
    delivery: DeliveryForm = "link"
    person: str | None = None
    """An identity or a reference; of a per-person report alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different; None leaves a thing as it is."""

    cron: str | None = None
    time_zone: str | None = None
    recipients: Sequence[str] | None = None
    delivery: DeliveryForm | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A scheduled report as those who may see it are shown it."""

    report_id: UUID
    kind: AnyKind
    cron: str
    time_zone: str
    delivery: DeliveryForm
    recipients: tuple[str, ...]
    person_ref: UUID | None
    enabled: bool
    created_at: datetime
    last_due_at: datetime | None
    made: int
    waiting: int
    failed: int
    next_due: tuple[datetime, ...] = ()
    """The next three due times, in its time zone; none where it is switched off."""


def add(installation: Installation, tenant_id: UUID, wanted: Wanted, *, by: str) -> Schedule:
    """Keep a scheduled report; due from now on.

    Raises:
        ValidationError: with every fault.
        UnknownPersonError: when nobody living of this tenant is the person.
    """
    faults = _faults(wanted.kind, wanted.cron, wanted.time_zone, wanted.recipients, wanted.delivery)
    if (wanted.kind == "person") is (wanted.person is None):
        faults.append(("/person", "expected with the kind person, and with no other"))
    _refuse(faults)
    person = _person(installation, tenant_id, wanted.person) if wanted.person else None
    report_id = uuid4()
    sealed = _sealed(installation, tenant_id, wanted.recipients)
    row = {
        "tenant_id": tenant_id,
        "report_id": report_id,
        "kind": wanted.kind,
        "cron": " ".join(wanted.cron.split()),
        "time_zone": wanted.time_zone,
        "delivery": wanted.delivery,
        "recipients": sealed,
        "person_ref": person,
        "now": report_deliveries.clock(),
    }
    details = _details(row) | ({"person_ref": str(person)} if person else {})

    def change(conn: Connection, _: Said) -> None:
        conn.execute(query("reports/insert_schedule"), row)

    store_with_event(installation, tenant_id, _event(CREATED, report_id, details, by), change)
    return one(installation, tenant_id, report_id)


def change(installation: Installation, tenant_id: UUID, report_id: UUID, changes: Changes, *, by: str) -> Schedule:
    """Change a scheduled report, or switch it on or off; what came due before the change is still made.

    Raises:
        UnknownScheduleError: when there is none of this id.
        ValidationError: with every fault.
    """
    before = one(installation, tenant_id, report_id)
    after = replace(
        before,
        cron=before.cron if changes.cron is None else " ".join(changes.cron.split()),
        time_zone=before.time_zone if changes.time_zone is None else changes.time_zone,
        recipients=before.recipients if changes.recipients is None else tuple(changes.recipients),
        delivery=before.delivery if changes.delivery is None else changes.delivery,
        enabled=before.enabled if changes.enabled is None else changes.enabled,
    )
    _refuse(_faults(after.kind, after.cron, after.time_zone, after.recipients, after.delivery))
    restarts = (before.cron, before.time_zone, before.enabled) != (after.cron, after.time_zone, after.enabled)
    now = report_deliveries.clock()
    row = {
        "report_id": report_id,
        "cron": after.cron,
        "time_zone": after.time_zone,
        "delivery": after.delivery,
        "recipients": _sealed(installation, tenant_id, after.recipients),
        "enabled": after.enabled,
        "restarts": restarts,
        "now": now,
    }

    def apply(conn: Connection, _: Said) -> None:
        if restarts and before.enabled:
            _queue(conn, tenant_id, before, now)
        conn.execute(query("reports/update_schedule"), row)

    event_type = DISABLED if before.enabled and not after.enabled else CHANGED
    store_with_event(installation, tenant_id, _event(event_type, report_id, _details(row), by), apply)
    return one(installation, tenant_id, report_id)


def ask_now(installation: Installation, tenant_id: UUID, report_id: UUID, *, by: str) -> datetime:
    """Have a scheduled report made now, beside its due times, of the time since the last of them; return its due time.

    Raises:
        UnknownScheduleError: when there is none of this id.
        ConflictError: when it is switched off, or was asked for in this second already.
    """
    found = one(installation, tenant_id, report_id)
    if not found.enabled:
        raise ConflictError("expected a scheduled report that is switched on; switch it on first")
    now = report_deliveries.clock()
    due_at = now.replace(microsecond=0)
    row = {
        "tenant_id": tenant_id,
        "report_id": report_id,
        "due_at": due_at,
        "since": parse_cron(found.cron, found.time_zone).beginning(due_at),
        "now": now,
    }

    def insert(conn: Connection, _: Said) -> None:
        if conn.execute(query("reports/insert_due_now"), row).rowcount != 1:
            raise ConflictError("expected no other report of this second; ask again in the next one")

    details = {"due_at": due_at.isoformat()}
    store_with_event(installation, tenant_id, _event(ASKED, report_id, details, by), insert)
    return due_at


def listed(installation: Installation, tenant_id: UUID) -> list[Schedule]:
    """Return the tenant's scheduled reports, those that are switched off too, the oldest first."""
    return _schedules(installation, tenant_id, None)


def one(installation: Installation, tenant_id: UUID, report_id: UUID) -> Schedule:
    """Return one of them.

    Raises:
        UnknownScheduleError: when there is none of this id.
    """
    found = _schedules(installation, tenant_id, report_id)
    if not found:
        raise UnknownScheduleError("expected a scheduled report of this tenant, got none of this id")
    return found[0]


def dues(installation: Installation, tenant_id: UUID, report_id: UUID) -> list[dict[str, Any]]:
    """Return the newest due times of a scheduled report and what became of them, with its messages."""
    key = address_key(installation, tenant_id)
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(
            query("reports/select_dues"), {"report_id": report_id, "limit": _MOST_DUES_SHOWN}
        ).fetchall()
    for row in rows:
        for delivery in row["deliveries"]:
            sealed = delivery["recipient"]
            delivery["recipient"] = sealing.unseal(key, sealed) if sealed else "erased"
    return rows


def schedules_of(installation: Installation, tenant_id: UUID, identity: str, ref: UUID) -> list[dict[str, Any]]:
    """Return the scheduled reports that have to do with a person, the oldest first, for the person and their erasure.

    Those that are about them, and those that go, or went, to the address that is their identity, however it is written;
    `address` is None where it is no recipient (any more), `messages` are those that were sent or are to be sent there.
    Other recipients are left out.
    """
    key, wanted = address_key(installation, tenant_id), normalise_identity(identity)
    named = {"actor_ref": ref, "recipient_index": recipient_index(installation, tenant_id, identity)}
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(query("reports/select_schedules_of"), named).fetchall()
    for row in rows:
        addresses = (sealing.unseal(key, sealed) for sealed in row.pop("recipients"))
        row["address"] = next((one for one in addresses if normalise_identity(one) == wanted), None)
    return [row for row in rows if row["address"] or row["messages"] or row["is_about_person"]]


def _schedules(installation: Installation, tenant_id: UUID, report_id: UUID | None) -> list[Schedule]:
    key = address_key(installation, tenant_id)
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(query("reports/select_schedule_lines"), {"report_id": report_id}).fetchall()
    now = report_deliveries.clock()
    found = []
    for row in rows:
        cron = parse_cron(row["cron"], row["time_zone"])
        after = max(now, row["last_due_at"] or now)
        next_due = [due.astimezone(cron.zone) for due in islice(cron.after(after), _NEXT)] if row["enabled"] else []
        recipients = tuple(sealing.unseal(key, one) for one in row["recipients"])
        found.append(Schedule(**row | {"recipients": recipients, "next_due": tuple(next_due)}))
    return found


def _person(installation: Installation, tenant_id: UUID, person: str) -> UUID:
    from audit_pipelines.privacy.subject_access import find_person  # noqa: PLC0415 — Polars and ReportLab, as in server

    return find_person(installation, tenant_id, person).ref


def _queue(conn: Connection, tenant_id: UUID, schedule: Schedule, now: datetime) -> None:
    """Queue what came due before a change, by the line that was valid until now."""
    cron = parse_cron(schedule.cron, schedule.time_zone)
    come = cron.come(schedule.last_due_at or schedule.created_at, now, DUES_PER_TICK)
    for due in come:
        row = {"tenant_id": tenant_id, "report_id": schedule.report_id, "due_at": due, "now": now}
        conn.execute(query("reports/insert_due_now"), row | {"since": cron.beginning(due)})


def _faults(
    kind: AnyKind, line: str, zone: str, recipients: Sequence[str], delivery: DeliveryForm
) -> list[tuple[str, str]]:
    faults = []
    try:
        parse_cron("@daily", zone)
    except CronError as error:
        faults.append(("/time_zone", str(error)))
    try:
        parse_cron(line, "UTC")
    except CronError as error:
        faults.append(("/cron", str(error)))
    if len(recipients) > MOST_RECIPIENTS:
        faults.append(("/recipients", f"expected at most {MOST_RECIPIENTS}"))
    seen: set[str] = set()
    for place, text in enumerate(recipients[:MOST_RECIPIENTS]):
        try:
            address = normalise_identity(check_address(text))
        except ValueError as error:
            faults.append((f"/recipients/{place}", str(error)))
            continue
        if address in seen:
            faults.append((f"/recipients/{place}", "expected each address once"))
        seen.add(address)
    if delivery == "file" and kind in NAMING:
        faults.append(("/delivery", "expected link: this kind names people, and those who may see it fetch it"))
    return faults


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        raise ValidationError("The scheduled report has faults; nothing was changed.", tuple(faults))


def _sealed(installation: Installation, tenant_id: UUID, recipients: Sequence[str]) -> list[str]:
    key = address_key(installation, tenant_id)
    return [sealing.seal(key, check_address(text)) for text in recipients]


def _details(row: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "cron", "time_zone", "delivery", "enabled")
    return {name: row[name] for name in names if name in row} | {"recipients": len(row["recipients"])}


def _event(event_type: str, report_id: UUID, details: dict[str, Any], by: str) -> Event:
    return Event(
        event_type=event_type, entity_type=ENTITY_TYPE, entity_id=str(report_id), details=details, actor=by
    )  # fmt: skip
