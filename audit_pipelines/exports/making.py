"""Making one export: its bytes, the digest over them, and the event that says so before the last of them leaves.

The same for a client that waits, a job and the command line. The event `audit.export.made` has the digest, the number
of rows and the end of the ledger they were read up to, so a file can be told from another one for as long as the ledger
lasts. That somebody asked at all is recorded as any access is, by whoever calls.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID, uuid4

import msgspec
from psycopg.types.json import Jsonb

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.exports import documents
from audit_pipelines.exports.reading import Reader, columns, head_of, left_out
from audit_pipelines.exports.selection import Format, Order, Selection
from audit_pipelines.exports.writing import Streamed, pieces
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.event import Event
from audit_pipelines.noting import Said, store_with_event

MADE: Final = "audit.export.made"
ENTITY_TYPE: Final = "audit_export"
DOCUMENTS: Final = frozenset({"pdf", "evidence"})
"""Formats that are made as a whole, of so many events at most as `documents` says."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: rows, bytes and the SHA-256 of the bytes."""

    rows: int
    size: int
    sha256: bytes


def order(
    installation: Installation,
    tenant_id: UUID,
    form: Format,
    selection: Selection,
    asked: Mapping[str, Any],
    *,
    by: str,
    with_names: bool,
    include_summary: bool = False,
) -> Order:
    """Return an order for what the ledger holds by now; of evidence, for what a checkpoint covers by now."""
    head = head_of(installation, tenant_id)
    if form == "evidence":
        head = documents.covered(installation, tenant_id, head)
    most = {"pdf": documents.MOST_IN_PDF, "evidence": documents.MOST_IN_EVIDENCE + 1}.get(form)
    if most is not None:
        selection = replace(selection, limit=min(most, selection.limit or most))
    return Order(
        export_id=uuid4(),
        tenant_id=tenant_id,
        format=form,
        selection=selection,
        asked=asked,
        by=by,
        # Evidence has what was hashed, and no name in clear is.
        with_names=with_names and form != "evidence",
        include_summary=include_summary,
        head=head,
    )


def logged(wanted: Order, asked: Mapping[str, Any]) -> Order:
    """Return the order with its filters as the access log may hold them, which is known once something was found."""
    return replace(wanted, asked=asked)


class Making:
    """One export on its way; iterate it in one thread, and cancel it from any other."""

    def __init__(self, installation: Installation, wanted: Order) -> None:
        self._installation = installation
        self.order = wanted
        self.reader = Reader(
            installation, wanted.tenant_id, wanted.selection, wanted.head, with_names=wanted.with_names
        )
        self._rows = 0
        self._size = 0
        self._digest = hashlib.sha256()

    @property
    def so_far(self) -> Made:
        """What has been handed over by now."""
        return Made(self._rows, self._size, self._digest.digest())

    @property
    def progress(self) -> float:
        """How much of the ledger has been looked at, 0 to 1."""
        return self.reader.looked_at / max(1, self.order.head.seq + 1)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file's bytes; nothing is recorded by this.

        Raises:
            ValidationError: when a document cannot be made of these events.
            CancelledError, DatabaseUnavailableError, TamperedError: as `Reader`.
        """
        if self.order.format in DOCUMENTS:
            source: Iterator[bytes] = self._document()
        else:
            form = cast("Streamed", self.order.format)
            names = columns(with_names=self.order.with_names)
            source = pieces(form, names, self._counted(), self._about())
        for piece in source:
            if piece:
                self._digest.update(piece)
                self._size += len(piece)
                yield piece

    def _counted(self) -> Iterator[Any]:
        for frame in self.reader:
            self._rows += frame.height
            yield frame

    def _document(self) -> Iterator[bytes]:
        make = documents.evidence if self.order.format == "evidence" else documents.pdf
        content, self._rows = make(self._installation, self.order, self.reader)
        yield content

    def _about(self) -> dict[str, str]:
        wanted = self.order
        return {
            "audit_pipelines.export_id": str(wanted.export_id),
            "audit_pipelines.tenant_id": str(wanted.tenant_id),
            "audit_pipelines.filters": msgspec.json.encode(wanted.asked).decode(),
            "audit_pipelines.head_seq": str(wanted.head.seq),
            "audit_pipelines.head_row_hash": wanted.head.row_hash.hex(),
            "audit_pipelines.months_left_out": ",".join(
                left_out(self._installation, wanted.tenant_id, wanted.selection)
            ),
            "audit_pipelines.made_at": format_moment(datetime.now(UTC)),
            "audit_pipelines.version": lineage.product_version(),
        }


def record(
    installation: Installation,
    wanted: Order,
    made: Made,
    change: Callable[[Connection, Said], None],
    *,
    whole: bool = True,
) -> None:
    """Append the event that an export was made, and run `change` in its transaction; hand the last bytes out after it.

    An export that was broken off is recorded with what had been handed over, as a failure.
    """
    event = Event(
        event_type=MADE,
        entity_type=ENTITY_TYPE,
        entity_id=str(wanted.export_id),
        actor=wanted.by,
        outcome="success" if whole else "failure",
        details={
            "format": wanted.format,
            "filters": dict(wanted.asked),
            "rows": made.rows,
            "bytes": made.size,
            "sha256": made.sha256.hex(),
            "names": wanted.with_names,
            "head_seq": wanted.head.seq,
            "head_row_hash": wanted.head.row_hash.hex(),
        },
    )
    store_with_event(installation, wanted.tenant_id, event, change)


def record_handed_out(installation: Installation, wanted: Order, made: Made, *, whole: bool = True) -> None:
    """Record an export that is no job: the event and its row of `audit_exports`."""

    def insert(conn: Connection, said: Said) -> None:
        conn.execute(
            query("exports/insert_made"),
            {
                "tenant_id": wanted.tenant_id,
                "export_id": wanted.export_id,
                "format": wanted.format,
                "state": "streamed" if whole else "broken",
                "requested_ref": said.by,
                "with_names": wanted.with_names,
                "asked": Jsonb(dict(wanted.asked)),
                "head_seq": wanted.head.seq,
                "rows_total": made.rows if whole else None,
                "rows_done": made.rows,
                "bytes": made.size,
                "sha256": made.sha256,
                "seq": said.receipt.seq,
            },
        )

    record(installation, wanted, made, insert, whole=whole)


def write(making: Making, path: Path, on_piece: Callable[[], None] = lambda: None) -> Made:
    """Write an export to a file, not atomically by itself; `on_piece` is called after each piece."""
    with path.open("wb") as file:
        for piece in making:
            file.write(piece)
            on_piece()
    return making.so_far
