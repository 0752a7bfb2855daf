"""How each operation of the interface is asked, for the tests that go through all of them with two tenants.

Who adds a path adds a line to EXAMPLES here: the permission it needs, a request that is answered, and requests that
name what only the other tenant has. A path that cannot be asked like that goes to ELSEWHERE, with where it is tested.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from audit_pipelines.derive import lineage, report_schedules
from audit_pipelines.exports import jobs, making
from audit_pipelines.exports.selection import Selection
from audit_pipelines.feedback import suppressions
from audit_pipelines.identity.opening import Identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.privacy import holds

EVENTS: Final = "/api/audit/events"
SEARCH: Final = "/api/audit/search"
ACCESS_LOG: Final = "/api/audit/access-log"
LOGIN: Final = "/api/audit/login"
LOGOUT: Final = "/api/audit/logout"
PASSWORD: Final = "/api/audit/password"
ACCOUNTS: Final = "/api/audit/accounts"
SIGNATURES: Final = "/api/audit/signatures"
REVIEWS: Final = "/api/audit/reviews"
EXPORT: Final = "/api/audit/gdpr-export"
ERASE: Final = "/api/audit/gdpr-erase"
HOLDS: Final = "/api/audit/legal-holds"
ARCHIVES: Final = "/api/admin/archives"
ANOMALIES: Final = "/api/audit/anomalies"
INCIDENTS: Final = "/api/audit/incidents"
SUPPRESSIONS: Final = "/api/audit/suppressions"
EXPORTING: Final = "/api/audit/export"
EXPORTS: Final = "/api/audit/exports"
REPORTS: Final = "/api/audit/reports"
SCHEDULES: Final = "/api/audit/scheduled-reports"
ALICE: Final = "alice@example.org"
GONE: Final = "gone@example.org"
"""Somebody whom both tenants have until they are erased."""
SECRET: Final = "a long enough otter 7"
"""Everybody's password."""
ANY: Final = "any"
"""Of an operation that any valid token may ask."""


@dataclass(frozen=True)
class Side:
    """One of two tenants whose data look alike: the same ids, actors and addresses, with other contents."""

    name: str
    tenant_id: UUID
    canary: str
    """A word that stands in this tenant's data alone, and in every event of it."""
    only: str
    """The id of an event that this tenant alone has; also the login of an account and a person of theirs."""
    month: str
    """A month of which this tenant alone has an archive, due for deletion."""
    account: UUID | None = None
    """The account of `only`."""
    session: UUID | None = None
    """A session of Alice's that is live."""


@dataclass
class World:
    """An installation with two tenants in it."""

    installation: Installation
    identity: Identity
    a: Side
    b: Side
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    exports: dict[tuple[str, str], str] = field(default_factory=dict)
    """Exports that lie ready, by the tenant and what they are for: making one takes longer than asking for it."""

    def other(self, side: Side) -> Side:
        """Return the other tenant."""
        return self.b if side is self.a else self.a


@dataclass(frozen=True)
class Call:
    """One request of a tenant's token; `status` is what it must be answered with if the token may ask at all."""

    url: str
    status: frozenset[int] = frozenset({200, 201})
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What httpx takes beside method and URL: `json`, `params`, `headers`, `content`."""


Make = Callable[[World, Side], Call]


@dataclass(frozen=True)
class Example:
    """One operation: the permission it needs (None: it asks for no token; ANY: any will do), and requests."""

    permission: str | None
    own: Make
    """Asks for, or stores, something of the tenant's own; must be repeatable any number of times."""
    foreign: Sequence[Make] = ()
    """Name what the other tenant has. They must be answered as if it did not exist."""
    recorded: str | None = None
    """The action under which the access log has it; None for what shows, exports and proves nothing of events."""
    with_session: bool = False
    """Whether it is asked with a token of a session."""


def event(world: World, side: Side, **fields: Any) -> dict[str, Any]:
    """Return an event with this tenant's canary in it."""
    return {
        "event_type": "record.read",
        "entity_type": "record",
        "entity_id": f"r-{next(world.numbers)}",
        "actor": "alice@example.org",
        "ip_address": "192.0.2.7",
        "action_details": {"note": side.canary},
    } | fields


def _ref(world: World, side: Side, name: str = "alice@example.org") -> str:
    return str(world.installation.vault.find(side.tenant_id, name))


def _post(url: str, *status: int, **body: Any) -> Call:
    return Call(url, frozenset(status), {"json": body})


def _signing(record_id: str, *status: int) -> Call:
    record = {"kind": "event", "id": record_id}
    return _post(SIGNATURES, *status, record=record, meaning="reviewed", login=ALICE, password=SECRET)


def _changed(side: Side, login: str, *status: int) -> Call:
    """Ask for a password that is refused for being too short, so that it can be asked again."""
    tenant = str(side.tenant_id)
    return _post(PASSWORD, *status, tenant_id=tenant, login=login, old_password=SECRET, new_password="short")


def _hold(world: World, side: Side) -> str:
    subject = holds.Subject(entity_type="record", entity_id=f"held-{next(world.numbers)}")
    return str(holds.place(world.installation, side.tenant_id, subject, reason=side.canary, by=ALICE).hold_id)


def _anomaly(world: World, side: Side) -> str:
    """Return the id of an anomaly that this tenant has."""
    with world.installation.database.tenant_connection(side.tenant_id) as conn:
        return str((conn.execute("select anomaly_id from audit_anomalies").fetchone() or ("",))[0])


def _incident(world: World, side: Side) -> str:
    """Return the id of an incident that this tenant has."""
    with world.installation.database.tenant_connection(side.tenant_id) as conn:
        return str((conn.execute("select incident_id from audit_incidents").fetchone() or ("",))[0])


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def _suppression(world: World, side: Side) -> str:
    """Return the id of a new suppression that is in force."""
    covered = suppressions.Covered(event_type=side.canary)
    placed = suppressions.place(
        world.installation, side.tenant_id, covered, reason=side.canary, ends_at=_soon(), by=ALICE
    )
    return str(placed.suppression_id)


def _suppressing(status: int, **covered: str) -> Call:
    return _post(SUPPRESSIONS, status, ends_at=_soon().isoformat(), **covered)


def _schedule(world: World, side: Side) -> str:
    """Return the id of a new scheduled report."""
    wanted = report_schedules.Wanted(kind="security", cron="0 6 * * 1", recipients=[f"{side.only}@example.org"])
    return str(report_schedules.add(world.installation, side.tenant_id, wanted, by=ALICE).report_id)


def _report(world: World, side: Side) -> str:
    """Return the SHA-256 of a report that this tenant has."""
    path = world.installation.settings.storage_dir / "exports" / str(side.tenant_id) / "security_report-x.pdf"
    key = str(path.relative_to(world.installation.settings.storage_dir))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"%PDF- {side.canary}".encode())
        output = lineage.Output(side.tenant_id, "security_report", key, lineage.file_digest(path), ())
        with world.installation.database.connection("audit_pipeline") as conn:
            lineage.record(conn, [output], run_id="r")
    return lineage.file_digest(path).hex()


def _somebody(world: World, side: Side) -> str:
    """Return the reference of a person whom this tenant alone has, and who has just acted."""
    made = Event(event_type="a.b", entity_type="c", entity_id="d", actor=side.only, details={"note": side.canary})
    world.installation.ledger.append(side.tenant_id, [made])
    return _ref(world, side, side.only)


def _export(world: World, side: Side, use: str = "to look at") -> str:
    """Return the id of an export that this tenant's Alice asked for, and that lies ready."""
    if (side.name, use) not in world.exports:
        wanted = making.order(
            world.installation, side.tenant_id, "csv", Selection(limit=9), {}, by=ALICE, with_names=False
        )
        jobs.queue(world.installation, wanted)
        deadline = time.monotonic() + 30
        while not _is_ready(world, side, wanted.export_id):
            # The server's own thread may have it as well.
            jobs.run_next(world.installation, threading.Event())
            assert time.monotonic() < deadline
        world.exports[side.name, use] = str(wanted.export_id)
    return world.exports[side.name, use]


def _is_ready(world: World, side: Side, export_id: UUID) -> bool:
    shown = jobs.show(world.installation, side.tenant_id, export_id)
    return shown is not None and shown.state == "ready"


def _nothing(url: str, **arguments: Any) -> Call:
    return Call(url, frozenset({404}), arguments)


EXAMPLES: Final[Mapping[tuple[str, str], Example]] = {
    ("/health", "GET"): Example(None, lambda _w, _s: Call("/health")),
    ("/api/audit/health", "GET"): Example(None, lambda _w, _s: Call("/api/audit/health")),
    (EVENTS, "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(EVENTS, arguments={"params": {"limit": 20}}),
        recorded="events.list",
        foreign=(
            lambda w, s: Call(EVENTS, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),
            lambda w, s: Call(EVENTS, arguments={"params": {"q": w.other(s).canary}}),
            lambda w, s: Call(EVENTS, arguments={"params": {"entity_id": w.other(s).only}}),
            lambda _w, _s: Call(EVENTS, arguments={"params": {"cursor": "ZGVzYzo5OTk5OTk", "include": "access"}}),
            lambda w, s: Call(EVENTS, frozenset({422}), arguments={"params": {"tenant_id": str(w.other(s).tenant_id)}}),
        ),
    ),
    (EVENTS, "POST"): Example(
        "audit:write",
        lambda w, s: Call(EVENTS, arguments={"json": event(w, s)}),
        (
            # Stored, since it is new here: 409 or a receipt of before would say that somebody else has it.
            lambda w, s: Call(
                EVENTS,
                frozenset({201, 200}),
                {"json": event(w, s, event_id=w.other(s).only, entity_id="fixed", occurred_at="2026-11-01T00:00:00Z")},
            ),
            lambda w, s: Call(
                EVENTS,
                frozenset({201}),
                {"json": event(w, s), "headers": {"Idempotency-Key": f"{s.name}-{next(w.numbers)}"}},
            ),
            lambda w, s: Call(
                EVENTS, frozenset({422}), {"json": event(w, s) | {"tenant_id": str(w.other(s).tenant_id)}}
            ),
        ),
    ),
    (f"{EVENTS}/batch", "POST"): Example(
        "audit:write", lambda w, s: Call(f"{EVENTS}/batch", arguments={"json": [event(w, s), event(w, s)]})
    ),
    (f"{EVENTS}/batch", "GET"): Example(
        "audit:read", lambda _w, _s: _nothing(f"{EVENTS}/batch"), recorded="events.show"
    ),
    (f"{EVENTS}/{{event_id:path}}", "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(f"{EVENTS}/e-1"),
        (
            lambda w, s: _nothing(f"{EVENTS}/{w.other(s).only}-hidden"),
            lambda w, s: _nothing(f"{EVENTS}/{w.other(s).only}-old"),
        ),
        recorded="events.show",
    ),
    (SEARCH, "POST"): Example(
        "audit:read",
        lambda _w, _s: _post(SEARCH, 200, query="everything that alice@example.org read"),
        # Words of the question come back with what they were understood as: in capitals they are no word of a row.
        [
            lambda w, s: _post(SEARCH, 200, query=f'events with "{w.other(s).canary.upper()}"'),
            lambda w, s: _post(SEARCH, 200, query="all events", filters={"q": w.other(s).canary.upper()}),
            lambda w, s: _post(SEARCH, 200, query="all events", filters={"actor": w.other(s).only}),
        ],
        recorded="events.search",
    ),
    (ANOMALIES, "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(ANOMALIES),
        (
            lambda w, s: Call(ANOMALIES, arguments={"params": {"incident": _incident(w, w.other(s))}}),
            lambda w, s: Call(ANOMALIES, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),
        ),
        recorded="anomalies.list",
    ),
    (f"{ANOMALIES}/{{anomaly_id}}", "GET"): Example(
        "audit:read",
        lambda w, s: Call(f"{ANOMALIES}/{_anomaly(w, s)}"),
        (lambda w, s: _nothing(f"{ANOMALIES}/{_anomaly(w, w.other(s))}"),),
        recorded="anomalies.show",
    ),
    (f"{ANOMALIES}/{{anomaly_id}}/feedback", "POST"): Example(
        "audit:sign",
        lambda w, s: _post(f"{ANOMALIES}/{_anomaly(w, s)}/feedback", 201, verdict="benign", comment=s.canary),
        (lambda w, s: _post(f"{ANOMALIES}/{_anomaly(w, w.other(s))}/feedback", 404, verdict="benign"),),
    ),
    (INCIDENTS, "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(INCIDENTS),
        (lambda w, s: Call(INCIDENTS, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),),
        recorded="incidents.list",
    ),
    (f"{INCIDENTS}/{{incident_id}}", "GET"): Example(
        "audit:read",
        lambda w, s: Call(f"{INCIDENTS}/{_incident(w, s)}"),
        (lambda w, s: _nothing(f"{INCIDENTS}/{_incident(w, w.other(s))}"),),
        recorded="incidents.show",
    ),
    (SUPPRESSIONS, "GET"): Example("audit:read", lambda _w, _s: Call(SUPPRESSIONS), recorded="suppressions.list"),
    (SUPPRESSIONS, "POST"): Example(
        "audit:admin",
        lambda _w, s: _suppressing(201, event_type=s.canary, reason=s.canary),
        (lambda w, s: _suppressing(404, user_id=w.other(s).only, reason="a case"),),
    ),
    (f"{SUPPRESSIONS}/{{suppression_id}}", "DELETE"): Example(
        "audit:admin",
        lambda w, s: Call(f"{SUPPRESSIONS}/{_suppression(w, s)}"),
        (lambda w, s: _nothing(f"{SUPPRESSIONS}/{_suppression(w, w.other(s))}"),),
    ),
    (f"{EXPORTING}/{{format}}", "POST"): Example(
        "audit:export",
        lambda _w, _s: _post(f"{EXPORTING}/ndjson", 200, filters={"limit": 20}),
        (
            lambda w, s: _post(f"{EXPORTING}/csv", 200, filters={"actor_ref": _ref(w, w.other(s))}),
            lambda w, s: _post(f"{EXPORTING}/ndjson", 200, filters={"q": w.other(s).canary}),
            lambda w, s: _post(f"{EXPORTING}/parquet", 200, filters={"entity_id": w.other(s).only}),
            lambda w, s: _post(f"{EXPORTING}/csv", 422, filters={"tenant_id": str(w.other(s).tenant_id)}),
        ),
        recorded="export.ndjson",
    ),
    (f"{EXPORTS}/{{export_id}}", "GET"): Example(
        "audit:export",
        lambda w, s: Call(f"{EXPORTS}/{_export(w, s)}"),
        (lambda w, s: _nothing(f"{EXPORTS}/{_export(w, w.other(s))}"),),
        recorded="export.show",
    ),
    (f"{EXPORTS}/{{export_id}}", "DELETE"): Example(
        "audit:export",
        lambda w, s: Call(f"{EXPORTS}/{_export(w, s, 'to remove')}", frozenset({204})),
        (lambda w, s: _nothing(f"{EXPORTS}/{_export(w, w.other(s))}"),),
    ),
    (f"{EXPORTS}/{{export_id}}/file", "GET"): Example(
        "audit:export",
        lambda w, s: Call(f"{EXPORTS}/{_export(w, s)}/file"),
        (lambda w, s: _nothing(f"{EXPORTS}/{_export(w, w.other(s))}/file"),),
        recorded="export.download",
    ),
    (REPORTS, "GET"): Example("audit:export", lambda _w, _s: Call(REPORTS), recorded="reports.list"),
    (f"{REPORTS}/{{sha256}}", "GET"): Example(
        "audit:export",
        lambda w, s: Call(f"{REPORTS}/{_report(w, s)}"),
        (lambda w, s: _nothing(f"{REPORTS}/{_report(w, w.other(s))}"),),
        recorded="reports.fetch",
    ),
    (SCHEDULES, "GET"): Example("audit:admin", lambda _w, _s: Call(SCHEDULES), recorded="scheduled_reports.list"),
    (SCHEDULES, "POST"): Example(
        "audit:admin",
        lambda _w, s: _post(
            SCHEDULES, 201, kind="security", cron="0 6 * * 1", recipients=[f"{s.only}@example.org"], delivery="file"
        ),
        (
            lambda w, s: _post(SCHEDULES, 404, kind="person", cron="@daily", person=_somebody(w, w.other(s))),
            lambda w, s: _post(SCHEDULES, 404, kind="person", cron="@daily", person=w.other(s).only),
        ),
    ),
    (f"{SCHEDULES}/{{report_id}}", "GET"): Example(
        "audit:admin",
        lambda w, s: Call(f"{SCHEDULES}/{_schedule(w, s)}"),
        (lambda w, s: _nothing(f"{SCHEDULES}/{_schedule(w, w.other(s))}"),),
        recorded="scheduled_reports.show",
    ),
    (f"{SCHEDULES}/{{report_id}}", "PATCH"): Example(
        "audit:admin",
        lambda w, s: _post(f"{SCHEDULES}/{_schedule(w, s)}", 200, recipients=[f"new-{s.only}@example.org"]),
        (lambda w, s: _post(f"{SCHEDULES}/{_schedule(w, w.other(s))}", 404, enabled=False),),
    ),
    (f"{SCHEDULES}/{{report_id}}", "DELETE"): Example(
        "audit:admin",
        lambda w, s: Call(f"{SCHEDULES}/{_schedule(w, s)}"),
        (lambda w, s: _nothing(f"{SCHEDULES}/{_schedule(w, w.other(s))}"),),
    ),
    (f"{SCHEDULES}/{{report_id}}/run-now", "POST"): Example(
        "audit:admin",
        lambda w, s: Call(f"{SCHEDULES}/{_schedule(w, s)}/run-now", frozenset({202})),
        (lambda w, s: _nothing(f"{SCHEDULES}/{_schedule(w, w.other(s))}/run-now"),),
    ),
    (ACCESS_LOG, "GET"): Example(
        "audit:admin",
        lambda _w, _s: Call(ACCESS_LOG, arguments={"params": {"limit": 20}}),
        (lambda w, s: Call(ACCESS_LOG, arguments={"params": {"actor_ref": _ref(w, w.other(s))}}),),
        recorded="access_log.list",
    ),
    (LOGIN, "POST"): Example(
        None,
        lambda _w, s: _post(LOGIN, 200, tenant_id=str(s.tenant_id), login=ALICE, password=SECRET),
        (lambda w, s: _post(LOGIN, 401, tenant_id=str(s.tenant_id), login=w.other(s).only, password=SECRET),),
    ),
    (PASSWORD, "POST"): Example(
        None,
        lambda _w, s: _changed(s, ALICE, 422),
        (lambda w, s: _changed(s, w.other(s).only, 401),),
    ),
    # A token of no session has nothing to end, and can be asked with again.
    (LOGOUT, "POST"): Example(ANY, lambda _w, _s: Call(LOGOUT, frozenset({409}))),
    (ACCOUNTS, "GET"): Example("audit:admin", lambda _w, _s: Call(ACCOUNTS), recorded="accounts.list"),
    (ACCOUNTS, "POST"): Example(
        "audit:admin",
        lambda w, s: _post(
            ACCOUNTS, 201, login=f"n-{next(w.numbers)}", name=s.canary, permissions=["audit:read"], password=SECRET
        ),
        # Stored, since it is new here: 409 would say that somebody else has it. From then on it is both tenants'.
        (
            lambda w, s: _post(
                ACCOUNTS,
                201,
                login=f"{w.other(s).only}-{next(w.numbers)}",
                name="new here",
                permissions=["audit:read"],
                password=SECRET,
            ),
        ),
    ),
    (f"{ACCOUNTS}/{{account_id}}", "POST"): Example(
        "audit:admin",
        lambda _w, s: _post(f"{ACCOUNTS}/{s.account}", 204, action="unlock"),
        (lambda w, s: _post(f"{ACCOUNTS}/{w.other(s).account}", 404, action="disable"),),
    ),
    (SIGNATURES, "GET"): Example(
        "audit:read",
        lambda _w, _s: Call(SIGNATURES),
        (
            lambda w, s: Call(
                SIGNATURES, arguments={"params": {"record_kind": "event", "record_id": f"{w.other(s).only}-hidden"}}
            ),
        ),
        recorded="signatures.list",
    ),
    (SIGNATURES, "POST"): Example(
        "audit:sign",
        lambda _w, _s: _signing("e-1", 201),
        (
            lambda w, s: _signing(f"{w.other(s).only}-hidden", 404),
            lambda w, s: _signing(f"{w.other(s).only}-old", 404),
        ),
        with_session=True,
    ),
    (REVIEWS, "GET"): Example("audit:sign", lambda _w, _s: Call(REVIEWS), recorded="reviews.list"),
    (EXPORT, "POST"): Example(
        "audit:privacy",
        lambda _w, _s: _post(EXPORT, 200, user_id=ALICE),
        (
            lambda w, s: _post(EXPORT, 404, user_id=_somebody(w, w.other(s))),
            lambda w, s: _post(EXPORT, 404, user_id=w.other(s).only),
        ),
        recorded="persons.export",
    ),
    (ERASE, "POST"): Example(
        "audit:privacy",
        lambda _w, _s: _post(ERASE, 200, user_id=GONE),
        (
            lambda w, s: _post(ERASE, 404, user_id=_somebody(w, w.other(s))),
            lambda w, s: _post(ERASE, 404, user_id=w.other(s).only),
        ),
    ),
    (HOLDS, "GET"): Example("audit:admin", lambda _w, _s: Call(HOLDS), recorded="holds.list"),
    (HOLDS, "POST"): Example(
        "audit:admin",
        lambda w, s: _post(HOLDS, 201, entity_type="record", entity_id=f"h-{next(w.numbers)}", reason=s.canary),
        (lambda w, s: _post(HOLDS, 404, user_id=w.other(s).only, reason="a case"),),
    ),
    (f"{HOLDS}/{{hold_id}}/release", "POST"): Example(
        "audit:admin",
        lambda w, s: _post(f"{HOLDS}/{_hold(w, s)}/release", 200, reason=s.canary),
        (lambda w, s: _post(f"{HOLDS}/{_hold(w, w.other(s))}/release", 404, reason="a case"),),
    ),
    (ARCHIVES, "GET"): Example("audit:admin", lambda _w, _s: Call(ARCHIVES), recorded="archives.list"),
    (f"{ARCHIVES}/{{month}}/approvals", "POST"): Example(
        "audit:admin",
        # The same person approves once.
        lambda _w, s: _post(f"{ARCHIVES}/{s.month}/approvals", 201, 409),
        (lambda w, s: _post(f"{ARCHIVES}/{w.other(s).month}/approvals", 422),),
    ),
}

ELSEWHERE: Final[Mapping[str, str]] = {}
"""Paths that have no example above, such as WebSockets and mounted applications: which test goes through them."""
