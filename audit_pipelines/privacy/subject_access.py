"""Everything about one person, for that person: GDPR Art. 15 (access) and 20 (portability), as JSON and as pages.

A stream: events are read, opened and written a page at a time, so that a person with a million events takes no more
memory than one with a thousand. What is opened and what of others is left out, `opening` decides.
"""

import io
import json
import zipfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive.report_schedules import schedules_of
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Dataset, Lake
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.archives import Archive, ArchiveFolder
from audit_pipelines.ledger.entry import format_moment, names_of
from audit_pipelines.ledger.erasure import ENTITY_TYPE, UnknownPersonError, resolve
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.vault import ERASED
from audit_pipelines.notify.destinations import mailboxes_of
from audit_pipelines.privacy import archived
from audit_pipelines.privacy.opening import MASKED, Opener, PersonRow
from audit_pipelines.reports.person import EventLine, PersonReport, render_person

Format = Literal["json", "pdf", "zip"]

FORMAT: Final = "audit_pipelines personal data v1"
EXPORTED: Final = "audit.subject.exported"
MEDIA_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "pdf": "application/pdf",
    "zip": "application/zip",
}
# An event may have a megabyte.
_PAGE: Final = 100
_PIECE_BYTES: Final = 1 << 18
_NEWEST: Final = 500
_MOST_ANOMALIES: Final = 100
_COLUMNS: Final = tuple(each.name for each in fields(PersonRow) if each.name not in {"category", "risk"})
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is about; `identity` is a name in clear."""

    tenant_id: UUID
    ref: UUID
    identity: str
    known_since: datetime


@dataclass
class _Summary:
    """What the pages need of a stream that has gone by."""

    by_type: Counter[str] = field(default_factory=Counter)
    by_month: Counter[str] = field(default_factory=Counter)
    newest: deque[EventLine] = field(default_factory=lambda: deque(maxlen=_NEWEST))
    counts: dict[str, int] = field(default_factory=dict)
    anomalies: list[tuple[str, str, str, str]] = field(default_factory=list)
    period: tuple[datetime, datetime] | None = None
    recent: int = 0
    before: int = 0

    def add(self, event: dict[str, Any]) -> None:
        occurred = datetime.fromisoformat(event["occurred_at"])
        if self.period:
            since, until = self.period
            self.recent += since <= occurred < until
            self.before += since - (until - since) <= occurred < since
        self.by_type[event["event_type"]] += 1
        self.by_month[f"{occurred:%Y-%m}"] += 1
        entity, outcome, address = event["entity_id"], event["outcome"] or "", event["ip_address"] or ""
        self.newest.append(
            EventLine(
                occurred, event["role"], event["event_type"], entity, outcome, address, event["seq"], event["row_hash"]
            )
        )


def format_of(suffix: str) -> Format:
    """Return the format that a file's suffix names, JSON where it names none."""
    forms: dict[str, Format] = {f".{form}": form for form in MEDIA_TYPES}
    return forms.get(suffix.lower(), "json")


def find_person(installation: Installation, tenant_id: UUID, person: str) -> Person:
    """Return a living person of a tenant, by identity or reference.

    Raises:
        UnknownPersonError: when the tenant has no such person, or they were erased.
    """
    ref = resolve(installation.database, installation.vault, tenant_id, person)
    with installation.database.tenant_connection(tenant_id) as conn:
        identity = installation.vault.identities(conn, [ref]).get(ref, ERASED)
        named = {"tenant_id": tenant_id, "actor_ref": ref}
        row = conn.execute(query("privacy/select_subject"), named).fetchone()
    if row is None or identity == ERASED:
        raise UnknownPersonError(
            f"tenant {tenant_id} has no living person of this name or reference; expected an actor's or person's "
            "identity as it was posted, or an actor_ref. What is left of somebody erased is nobody's"
        )
    return Person(tenant_id, ref, identity, row[0])


def count_events(installation: Installation, person: Person) -> int:
    """Count the events in which the person acted or was acted upon."""
    named = {"tenant_id": person.tenant_id, "actor_ref": person.ref}
    with installation.database.tenant_connection(person.tenant_id) as conn:
        row = conn.execute(query("privacy/count_person_events"), named).fetchone()
    return int(row[0]) if row else 0


def note_export(installation: Installation, person: Person, *, by: str, form: Format) -> None:
    """Append the event that a person's data were given out, so that answering is accounted for (Art. 5(2))."""
    event = Event(
        event_type=EXPORTED, entity_type=ENTITY_TYPE, entity_id=str(person.ref), actor=by, details={"format": form}
    )
    installation.ledger.append(person.tenant_id, [event])


def export_person(
    installation: Installation, person: Person, form: Format, *, period: tuple[datetime, datetime] | None = None
) -> Iterator[bytes]:
    """Yield the export in pieces of some hundred kilobytes at most; memory does not grow with the events.

    The pages say how many events are of `period`, if one is given, and how many of the one before. A JSON document that
    does not end in `"complete":true}` was cut off.
    """
    made = _Summary(period=period)
    if form == "json":
        yield from _document(installation, person, made)
    elif form == "pdf":
        for _ in _document(installation, person, made):
            pass
        yield _pages(installation, person, made)
    else:
        yield from _zipped(installation, person, made)


def _zipped(installation: Installation, person: Person, made: _Summary) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("personal-data.json", "w", force_zip64=True) as member:
            for piece in _document(installation, person, made):
                member.write(piece)
                yield sink.take()
        archive.writestr("personal-data.pdf", _pages(installation, person, made))
        yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that is read while it is written, and so cannot seek."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._written += content
        return len(content)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def _document(installation: Installation, person: Person, made: _Summary) -> Iterator[bytes]:
    head = {
        "format": FORMAT,
        "generated_at": format_moment(datetime.now(UTC)),
        "tenant_id": str(person.tenant_id),
        "person": {
            "actor_ref": str(person.ref),
            "identity": person.identity,
            "known_since": format_moment(person.known_since),
        },
        "processing": _processing(installation, person),
    }
    yield _encode(head)[:-1] + b","
    named = {"tenant_id": person.tenant_id, "actor_ref": person.ref, "identity": person.identity}
    with installation.database.tenant_connection(person.tenant_id) as conn:
        # Reading somebody's years is no request that must end within seconds; it holds no lock.
        conn.execute("set local statement_timeout = 0")
        # No month changes places meanwhile, from the database to the archive.
        conn.execute(query("ledger/lock_partitions"))
        yield from _array("events", _events(installation, conn, person, made))
        for name, statement in (
            ("anomalies", "anomalies"),
            ("incidents", "incidents"),
            ("verdicts", "verdicts"),
            ("accesses", "accesses"),
            ("signatures", "signatures"),
            ("accounts", "accounts"),
            ("holds", "holds"),
        ):
            rows = _rows(conn, f"privacy/select_person_{statement}", named)
            if name == "accounts":
                rows = _with_printed_name(installation, conn, person, rows)
            yield from _array(name, _counted(made, name, rows))
        derived = conn.execute(query("privacy/select_person_derived"), named).fetchone() or (0, 0, 0)
        gone = [_deleted(one) for one in archived.deleted_months(conn, person.tenant_id)]
    yield b'"deleted_months":' + _encode(gone) + b","
    scheduled = schedules_of(installation, person.tenant_id, person.identity, person.ref)
    yield from _array("scheduled_reports", _counted(made, "scheduled_reports", scheduled))
    mailboxes = mailboxes_of(installation, person.tenant_id, person.identity)
    yield from _array("alert_destinations", _counted(made, "alert_destinations", mailboxes))
    yield from _array("scores", _counted(made, "scores", _lake_rows(installation, person, "event_scores")))
    yield from _array("behaviour", _counted(made, "behaviour", _lake_rows(installation, person, "actor_features")))
    features = sum(1 for _ in _lake_rows(installation, person, "event_features", ("seq", "actor_ref")))
    made.counts |= {"features": features, "embedded_events": derived[0], "texts": derived[1], "models": derived[2]}
    yield b'"counts":' + _encode({"events": made.by_type.total(), **made.counts}) + b',"complete":true}\n'


def _deleted(one: Archive) -> dict[str, Any]:
    return {
        "month": one.month,
        "deleted_at": format_moment(one.deleted_at or one.verified_at),
        "what": "all events recorded in this month, of everybody, deleted as two persons approved; what of them was "
        "about the person, nobody can say any more",
    }


def _array(name: str, items: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a member of the document whose value is an array, in pieces of about _PIECE_BYTES."""
    gathered = bytearray(f'"{name}":['.encode())
    separator = b""
    for item in items:
        gathered += separator + item
        separator = b",\n"
        if len(gathered) > _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered) + b"],"


def _events(installation: Installation, conn: Connection, person: Person, made: _Summary) -> Iterator[bytes]:
    keys = installation.vault.living_keys(conn, [person.ref])
    tenant_key = installation.vault.tenant_key(person.tenant_id)
    opener = Opener(person.tenant_id, person.ref, person.identity, keys[person.ref], tenant_key)
    rows = merge(_archived(installation, conn, person), _stored(conn, person), key=attrgetter("seq"))
    while page := list(islice(rows, _PAGE)):
        yield from _opened(installation, conn, opener, page, made)


def _stored(conn: Connection, person: Person) -> Iterator[PersonRow]:
    parameters = {
        "tenant_id": person.tenant_id,
        "actor_ref": person.ref,
        "names": [f"%{_like(name)}%" for name in sorted(names_of(person.identity))],
    }
    with conn.cursor(name="personal_data", row_factory=class_row(PersonRow)) as cursor:
        cursor.itersize = _PAGE
        cursor.execute(query("privacy/select_person_rows"), parameters, binary=True)
        yield from cursor


def _archived(installation: Installation, conn: Connection, person: Person) -> Iterator[PersonRow]:
    folder = ArchiveFolder(installation.database.archives_dir)
    months = archived.readable_months(conn, person.tenant_id)
    rows = archived.rows_that_may_name(folder, months, person.ref, frozenset(names_of(person.identity)))
    while page := list(islice(rows, _PAGE)):
        asked = {"tenant_id": person.tenant_id, "seqs": [row.seq for row in page if row.actor_ref == person.ref]}
        said = {seq: rest for seq, *rest in conn.execute(query("privacy/select_event_classes"), asked)}
        for row in page:
            columns = {name: getattr(row, name) for name in _COLUMNS}
            category, risk = said.get(row.seq, (None, None))
            yield PersonRow(**columns, category=category, risk=risk)


def _opened(
    installation: Installation, conn: Connection, opener: Opener, rows: list[PersonRow], made: _Summary
) -> Iterator[bytes]:
    others = {row.actor_ref for row in rows if row.actor_ref and row.actor_ref != opener.ref}
    keys = installation.vault.living_keys(conn, others) if others else {}
    events = [event for row in rows if (event := opener.opened(row, keys))]
    pieces = {piece for event in events for name in MASKED for piece in opener.strangers(event[name])}
    refs = installation.vault.references(conn, opener.tenant_id, pieces) if pieces else {}
    for event in events:
        for name in MASKED:
            event[name] = opener.without_strangers(event[name], refs)
        made.add(event)
        yield _encode(event)


def _rows(conn: Connection, name: str, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with conn.cursor(name=name.rpartition("/")[2]) as cursor:
        cursor.itersize = _PAGE
        cursor.execute(query(name), parameters)
        for (row,) in cursor:
            yield row


def _with_printed_name(
    installation: Installation, conn: Connection, person: Person, accounts: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for account in accounts:
        key = installation.vault.living_keys(conn, [person.ref])[person.ref]
        yield account | {"name": sealing.unseal(key, account.pop("sealed_name"))}


def _counted(made: _Summary, name: str, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    made.counts[name] = 0
    for row in rows:
        made.counts[name] += 1
        if name == "anomalies" and len(made.anomalies) < _MOST_ANOMALIES:
            why = "; ".join(one.get("text", "") for one in row["reasons"])
            moment = datetime.fromisoformat(row["occurred_at"]).astimezone(UTC)
            made.anomalies.append((f"{moment:%Y-%m-%d %H:%M:%S}", row["severity"], row["event_type"], why))
        yield _encode(row)


def _lake_rows(
    installation: Installation, person: Person, dataset: Dataset, columns: tuple[str, ...] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the person's rows of a dataset, batch by batch."""
    import pyarrow.compute as pc  # noqa: PLC0415 — 0.3 s that a server without a lake need not pay
    import pyarrow.parquet as pq  # noqa: PLC0415

    paths = Lake(installation.settings.lake_dir).files(dataset, person.tenant_id)
    # All are open before the first is read: a version that is replaced meanwhile is read to its end.
    with ExitStack() as stack:
        for file in [stack.enter_context(pq.ParquetFile(path)) for path in paths]:
            for batch in file.iter_batches(10_000, columns=list(columns) if columns else None):
                for row in batch.filter(pc.equal(batch["actor_ref"], str(person.ref))).to_pylist():
                    yield {name: value for name, value in row.items() if name not in {"tenant_id", "actor_ref"}}


def _processing(installation: Installation, person: Person) -> dict[str, Any]:
    settings = installation.settings
    with installation.database.tenant_connection(person.tenant_id) as conn:
        kinds = conn.execute(query("privacy/select_recipient_kinds"), {"tenant_id": person.tenant_id}).fetchall()
        deleted = [one.month for one in archived.deleted_months(conn, person.tenant_id)]
    integrations = [f"{kind}: {count} configured, alerts and reports by reference" for kind, count in kinds]
    anchors = [f"{address.name}: digests of the whole ledger, nothing about persons" for address in settings.anchors]
    return {
        "controller": settings.audit_controller or "not configured; ask who gave you this",
        "purpose": settings.audit_processing_purpose,
        "categories": "what was done to what, when, from which address, with which outcome; names in the vault "
        "alone, and addresses that reports and alerts go to",
        "source": "the applications and files that the organisation connects",
        "recipients": [*settings.audit_processing_recipients, *integrations, *anchors],
        "retention_days": settings.audit_retention_days,
        "retention": f"events stay {settings.audit_retention_days} days in the database and then in the archive; "
        f"{settings.audit_archive_years} years after their month they may be deleted as two persons approve, unless a "
        "legal hold covers them",
        "deleted_months": deleted,
        "automated_decisions": "none; events that look unusual are shown to people with the reasons listed here",
        "derived_copies": {
            "lake": "events by reference, as Parquet files by day",
            "features, scores, tags": "numbers about each event",
            "texts and vectors": "what kind of event it was, in words of a closed list",
            "models": "parameters over all persons' events",
            "anomalies, incidents, verdicts, reports": "by reference",
            "archives": "old months as they were hashed",
        },
        "rights": "rectification of what an application reported, erasure (Art. 17) unless a legal hold forbids it, "
        "restriction, objection, portability, and a complaint to a supervisory authority",
        "proof": "seq and row_hash of each event: evidence of it can be asked for and checked offline",
    }


def _pages(installation: Installation, person: Person, made: _Summary) -> bytes:
    processing = _processing(installation, person)
    spoken = {
        "Responsible": processing["controller"],
        "Purpose and ground": processing["purpose"],
        "What is kept": processing["categories"],
        "Where it comes from": processing["source"],
        "Who else sees it": "; ".join(processing["recipients"]) or "nobody outside the organisation is configured",
        "For how long": processing["retention"],
        "Deleted already": ", ".join(processing["deleted_months"]) or "no month",
        "Automated decisions": processing["automated_decisions"],
        "Your rights": processing["rights"],
        "Copies": "; ".join(f"{name}: {what}" for name, what in processing["derived_copies"].items()),
    }
    return render_person(
        PersonReport(
            identity=person.identity,
            actor_ref=str(person.ref),
            tenant_id=str(person.tenant_id),
            generated_at=datetime.now(UTC),
            processing=list(spoken.items()),
            counts=[("events", made.by_type.total()), *made.counts.items()],
            by_type=made.by_type,
            by_month=made.by_month,
            newest=list(reversed(made.newest)),
            anomalies=made.anomalies,
            recent=(*made.period, made.recent, made.before) if made.period else None,
        )
    )


def _like(text: str) -> str:
    """Return a name as it stands in JSON in lower case, with what LIKE gives a meaning escaped."""
    written = json.dumps(text, ensure_ascii=False)[1:-1]
    return written.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
