"""Exports made in the background: queued in a table, claimed by one process at a time, and taken up when one dies.

A claim is renewed while the work goes on; one that ran out is anybody's, so a job survives the process that began it. A
file lies ready for a day, under the tenant's folder of `storage/exports`, where an erasure looks for whom it names.
Between the last byte and the row that says "ready" an erasure may come: then the file is made anew without the person.
"""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError, DatabaseUnavailableError
from audit_pipelines.exports.selection import CancelledError, Format, Head, Order, Selection, file_name
from audit_pipelines.files import replacing
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.vault import ERASED
from audit_pipelines.noting import Said

if TYPE_CHECKING:
    from audit_pipelines.exports.making import Made

LIFETIME: Final = timedelta(hours=24)
"""How long a file lies ready."""
KEPT: Final = timedelta(days=30)
"""How long a row tells of an export after its end."""
MOST_OPEN: Final = 20
"""Jobs of one tenant that wait or run."""
_CLAIM: Final = timedelta(seconds=60)
_RENEW_S: Final = 2.0
_MOST_ATTEMPTS: Final = 5
_POLL_S: Final = 5.0
_SWEEP_S: Final = 300.0
# Names are personal data; nobody but the server's account has to read the file.
_MODE: Final = 0o600

_LOG: Final = logging.getLogger(__name__)


class TooManyJobsError(AuditError):
    """The tenant has as many exports under way as it may have."""


class _LostError(AuditError):
    """Another process has the job, or it was cancelled."""


class _OutdatedError(AuditError):
    """Somebody was erased while the file was being made."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One export as the table has it."""

    export_id: UUID
    format: Format
    state: str
    requested_ref: UUID
    with_names: bool
    asked: dict[str, Any]
    head_seq: int
    rows_total: int | None
    rows_done: int
    size: int | None
    sha256: bytes | None
    seq: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    has_ended: bool
    """Whether the time of a file that lies ready is over."""


class _Question(msgspec.Struct):
    """What a job needs beside its row."""

    selection: str
    include_summary: bool
    head_seq: int
    head_hash: bytes


@dataclass(frozen=True, slots=True)
class _Claim:
    order: Order
    attempts: int


def queue(installation: Installation, wanted: Order) -> None:
    """Write an order down, to be made by whichever process comes first.

    Raises:
        TooManyJobsError: when the tenant has MOST_OPEN open ones; nothing was queued.
    """
    vault, tenant_id = installation.vault, wanted.tenant_id
    question = _Question(wanted.selection.to_json(), wanted.include_summary, wanted.head.seq, wanted.head.row_hash)
    row = {
        "tenant_id": tenant_id,
        "export_id": wanted.export_id,
        "format": wanted.format,
        "requested_ref": vault.keys(tenant_id, [wanted.by]).subjects[wanted.by].ref,
        "with_names": wanted.with_names,
        "asked": Jsonb(dict(wanted.asked)),
        # Words that were asked for may be names.
        "sealed_question": sealing.seal(vault.tenant_key(tenant_id), msgspec.json.encode(question).decode()),
        "head_seq": wanted.head.seq,
        "most": MOST_OPEN,
    }
    with installation.database.tenant_connection(tenant_id) as conn:
        if conn.execute(query("exports/insert_job"), row).rowcount == 0:
            raise TooManyJobsError(f"expected at most {MOST_OPEN} exports of a tenant to wait or run")


def show(installation: Installation, tenant_id: UUID, export_id: UUID) -> Shown | None:
    """Return an export of the tenant, or None."""
    with (
        installation.database.tenant_connection(tenant_id) as conn,
        conn.cursor(row_factory=class_row(Shown)) as cursor,
    ):
        return cursor.execute(query("exports/select_export"), {"export_id": export_id}).fetchone()


def cancel(installation: Installation, tenant_id: UUID, shown: Shown) -> None:
    """Stop a job or remove its file; what has ended stays as it is."""
    with installation.database.tenant_connection(tenant_id) as conn:
        conn.execute(query("exports/cancel_export"), {"export_id": shown.export_id})
    path_of(installation, tenant_id, shown.export_id, shown.format).unlink(missing_ok=True)


def path_of(installation: Installation, tenant_id: UUID, export_id: UUID, form: Format) -> Path:
    """Return where the file of a job lies."""
    return installation.settings.storage_dir / "exports" / str(tenant_id) / file_name(export_id, form)


def run_next(installation: Installation, stop: threading.Event) -> bool:
    """Make the job that waits longest, of any tenant; return whether there was one.

    What fails is written down and not raised. Once `stop` is set the job is given back.

    Raises:
        DatabaseUnavailableError: when the table cannot be read or written; a claim then runs out by itself.
    """
    with (
        installation.database.connection("audit_pipeline") as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        row = cursor.execute(query("exports/claim_job"), {"claim": _CLAIM, "most": _MOST_ATTEMPTS}).fetchone()
    if row is None:
        return False
    claim = _opened(installation, row)
    if claim is None:
        _end(installation, row, "failed", "whoever asked for it was erased")
        return True
    try:
        _make(installation, claim, stop)
    except _LostError:
        pass
    except CancelledError:
        _end(installation, row, "waiting", None)
    except DatabaseUnavailableError:
        raise
    except _OutdatedError:
        _end(installation, row, "waiting", None)
    except AuditError as error:
        _end(installation, row, "failed", str(error))
    except Exception as error:  # noqa: BLE001 - one job must not stop the others, whatever a library raises
        _LOG.exception("export %s", claim.order.export_id)
        _end(installation, row, "failed", f"unexpected {type(error).__name__}")
    return True


def remove_ended(installation: Installation) -> int:
    """Remove the files whose time is over, and the rows of long ago; return how many files went."""
    with installation.database.connection("audit_pipeline") as conn:
        ended = conn.execute(query("exports/select_ended")).fetchall()
        for tenant_id, export_id, form in ended:
            path_of(installation, tenant_id, export_id, form).unlink(missing_ok=True)
            conn.execute(query("exports/end_ready"), {"tenant_id": tenant_id, "export_id": export_id})
        conn.execute(query("exports/forget_exports"), {"kept": KEPT})
    return len(ended)


class Runner:
    """The thread of a server process that makes jobs, one at a time, and removes what has ended."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exports", daemon=True)

    def start(self) -> None:
        """Begin; a job that another process left is taken up at once."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a job was queued."""
        self._wake.set()

    def stop(self) -> None:
        """Give back what is being made, and return when the thread has ended."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        swept_at = -_SWEEP_S
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if time.monotonic() - swept_at >= _SWEEP_S:
                    remove_ended(self._installation)
                    swept_at = time.monotonic()
                while not self._stop.is_set() and run_next(self._installation, self._stop):
                    pass
            except DatabaseUnavailableError:
                _LOG.warning("exports wait for the database")
            except Exception:  # noqa: BLE001 - nobody would start another thread, whatever a library raises
                _LOG.exception("exports")
            self._wake.wait(_POLL_S)


def _opened(installation: Installation, row: Mapping[str, Any]) -> _Claim | None:
    """Return a claimed row as an order; None if whoever asked is gone."""
    tenant_id = row["tenant_id"]
    with installation.database.tenant_connection(tenant_id) as conn:
        by = installation.vault.identities(conn, [row["requested_ref"]]).get(row["requested_ref"], ERASED)
        (_, _, erasures) = conn.execute(query("exports/select_head")).fetchone() or (-1, b"", 0)
    if by == ERASED:
        return None
    text = sealing.unseal(installation.vault.tenant_key(tenant_id), row["sealed_question"])
    question = msgspec.json.decode(text, type=_Question)
    wanted = Order(
        export_id=row["export_id"],
        tenant_id=tenant_id,
        format=row["format"],
        selection=Selection.from_json(question.selection),
        asked=row["asked"],
        by=by,
        with_names=row["with_names"],
        include_summary=question.include_summary,
        # Erasures count from now on: what came before them is seen as it is.
        head=Head(question.head_seq, question.head_hash, erasures),
    )
    return _Claim(wanted, row["attempts"])


def _make(installation: Installation, claim: _Claim, stop: threading.Event) -> None:
    # Arrow and polars are loaded by the first job: most servers never have one.
    from audit_pipelines.exports.making import Making, record, write  # noqa: PLC0415
    from audit_pipelines.exports.reading import count  # noqa: PLC0415

    wanted = claim.order
    making = Making(installation, wanted)
    total = count(installation, wanted.tenant_id, wanted.selection, wanted.head, most=None)
    renewed_at = 0.0

    def go_on() -> None:
        nonlocal renewed_at
        if stop.is_set():
            raise CancelledError("the process stops")
        if time.monotonic() - renewed_at >= _RENEW_S:
            _renew(installation, claim, making.so_far.rows, total)
            renewed_at = time.monotonic()

    path = path_of(installation, wanted.tenant_id, wanted.export_id, wanted.format)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    go_on()
    with replacing(path, _MODE) as staging:
        made = write(making, staging, go_on)
    try:
        record(installation, wanted, made, lambda conn, said: _finish(conn, claim, made, said))
    except BaseException as error:
        if not (isinstance(error, _LostError) and _is_wanted(installation, wanted)):
            with suppress(OSError):
                path.unlink()
        raise


def _is_wanted(installation: Installation, wanted: Order) -> bool:
    """Return whether another process makes, or has made, the file at the same place."""
    shown = show(installation, wanted.tenant_id, wanted.export_id)
    return shown is not None and shown.state in {"running", "ready"}


def _renew(installation: Installation, claim: _Claim, rows_done: int, rows_total: int) -> None:
    row = {
        "tenant_id": claim.order.tenant_id,
        "export_id": claim.order.export_id,
        "attempts": claim.attempts,
        "claim": _CLAIM,
        "rows_done": rows_done,
        "rows_total": rows_total,
    }
    with installation.database.connection("audit_pipeline") as conn:
        if conn.execute(query("exports/renew_claim"), row).rowcount == 0:
            raise _LostError("the job is another process's, or nobody's any more")


def _finish(conn: Connection, claim: _Claim, made: "Made", said: Said) -> None:
    # Behind the event, which holds the chain's head: no erasure can come between this look and the commit.
    (_, _, erasures) = conn.execute(query("exports/select_head")).fetchone() or (0, b"", 0)
    if erasures != claim.order.head.erasures:
        raise _OutdatedError("somebody was erased while the export was made")
    row = {
        "export_id": claim.order.export_id,
        "attempts": claim.attempts,
        "rows_done": made.rows,
        "bytes": made.size,
        "sha256": made.sha256,
        "seq": said.receipt.seq,
        "lifetime": LIFETIME,
    }
    if conn.execute(query("exports/finish_job"), row).rowcount == 0:
        raise _LostError("the job is another process's, or nobody's any more")


def _end(installation: Installation, row: Mapping[str, Any], state: str, error: str | None) -> None:
    named = {"tenant_id": row["tenant_id"], "export_id": row["export_id"], "attempts": row["attempts"]}
    with installation.database.connection("audit_pipeline") as conn:
        conn.execute(query("exports/end_job"), named | {"state": state, "error": error and error[:500]})
