"""An import from files to ledger: batches, deterministic ids, faults, a summary.

Keeps no state of its own between runs. The ids make a second run add nothing and a killed run go on where it was, so
the ledger is the only thing that has to be right. It stores through the `append` it is given and through nothing else.
"""

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from audit_pipelines.errors import ConflictError, ValidationError
from audit_pipelines.importers.fields import decode_object
from audit_pipelines.importers.source import Fault, FoundFile, Record, find_files, read_records
from audit_pipelines.ledger.event import Event

MAX_FAULTS = 100
BATCH_BYTES = 8 * 1024 * 1024

_INDEX = re.compile(r"/(\d+)(?=/|$)")

Parse = Callable[[bytes], Event]


class AppendResult(Protocol):
    """What the ledger answers for one batch, stored as a whole or not at all."""

    @property
    def stored(self) -> int:
        """How many events are new."""

    @property
    def duplicates(self) -> int:
        """How many were there already, with the same id and content."""


class Progress(Protocol):
    """Told after every batch, for a progress bar."""

    def update(self, path: Path, read_bytes: int, total_bytes: int, records: int) -> None:
        """Take the file at hand, the bytes read so far of all files together, as they lie on disk, and the records."""


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did: `records == stored + duplicates + refused`, always."""

    files: int
    records: int
    stored: int
    duplicates: int
    refused: int
    """Records that were not stored; each has a fault."""
    fault_count: int
    """All faults: those of records and those of whole files."""
    faults: tuple[Fault, ...]
    """The first `MAX_FAULTS` of them; `on_fault` got every one."""
    first_occurred_at: datetime | None
    last_occurred_at: datetime | None


def run_import(
    paths: Iterable[Path],
    parse: Parse,
    append: Callable[[Sequence[Event]], AppendResult],
    *,
    batch_size: int = 1000,
    progress: Progress | None = None,
    on_fault: Callable[[Fault], None] | None = None,
) -> ImportSummary:
    """Store every record under `paths` that is not yet stored.

    Idempotent; killed at any moment, a second run adds just the rest. `append` must store its batch whole or not at
    all. Where it raises `ValidationError` or `ConflictError`, the events at fault are found, reported with their path
    and line, and the others stored; every other error ends the import and leaves what was stored.
    """
    run = _Run(append, on_fault)
    files: list[FoundFile] = []
    for found in find_files(paths):
        if isinstance(found, Fault):
            run.report(found)
        else:
            files.append(found)
    total, done = sum(file.size for file in files), 0
    for file in files:
        with closing(_Occurrences()) as occurrences:
            for item in read_records(file.path):
                run.take(item, parse, occurrences)
                if run.is_full(batch_size):
                    run.flush()
                    if progress:
                        read = item.position if isinstance(item, Record) else 0
                        progress.update(file.path, done + read, total, run.records)
        done += file.size
        if progress:
            progress.update(file.path, done, total, run.records)
    run.flush()
    return run.summary(len(files))


def content_id(record: bytes, occurrence: int) -> str:
    """Return the id of a record that has none: the same content, the nth time in its file, has the same id anywhere.

    `import:` and the first 16 bytes, in hex, of SHA-256(JSON with sorted keys and no spaces ‖ occurrence, 8 bytes big
    endian). It depends on the source's record alone, so a later release that maps it otherwise keeps the id.
    """
    return _id_of(_canonical(record), occurrence)


def _canonical(record: bytes) -> bytes:
    return msgspec.json.encode(decode_object(record), order="deterministic")


def _id_of(canonical: bytes, occurrence: int) -> str:
    return f"import:{hashlib.sha256(canonical + occurrence.to_bytes(8)).hexdigest()[:32]}"


class _Occurrences:
    """Counts equal contents within one file, in a temporary SQLite table so that a large file needs no memory."""

    def __init__(self) -> None:
        self._table: sqlite3.Connection | None = None

    def count(self, digest: bytes) -> int:
        """Return how often this content has now been seen, from 1."""
        if self._table is None:
            self._table = sqlite3.connect("")
            self._table.executescript(
                "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16384;"
                "create table seen (digest blob primary key, times integer) without rowid;"
            )
        if self._table.execute("insert or ignore into seen values (?, 1)", (digest,)).rowcount:
            return 1
        self._table.execute("update seen set times = times + 1 where digest = ?", (digest,))
        times: int = self._table.execute("select times from seen where digest = ?", (digest,)).fetchone()[0]
        return times

    def close(self) -> None:
        if self._table is not None:
            self._table.close()


@dataclass(slots=True)
class _Pending:
    """An event on its way, and the records it came from: more than one where equal ones share a batch."""

    event: Event
    sources: list[Record]


class _Run:
    """The counters and the open batch of one import."""

    def __init__(
        self, append: Callable[[Sequence[Event]], AppendResult], on_fault: Callable[[Fault], None] | None
    ) -> None:
        self._append = append
        self._on_fault = on_fault
        self._batch: dict[str, _Pending] = {}
        self._batch_bytes = 0
        self._faults: list[Fault] = []
        self._fault_count = 0
        self._stored = 0
        self._duplicates = 0
        self._refused = 0
        self._first: datetime | None = None
        self._last: datetime | None = None
        self.records = 0

    def report(self, fault: Fault) -> None:
        """Count a fault, keep the first ones, and pass it on."""
        self._fault_count += 1
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(fault)
        if self._on_fault:
            self._on_fault(fault)

    def refuse(self, fault: Fault) -> None:
        """Report a fault that costs a record."""
        self._refused += 1
        self.report(fault)

    def take(self, item: Record | Fault, parse: Parse, occurrences: _Occurrences) -> None:
        """Parse one record and put it in the batch."""
        if isinstance(item, Fault):
            if item.number is None:
                self.report(item)
            else:
                self.records += 1
                self.refuse(item)
            return
        self.records += 1
        try:
            event = _with_id(parse(item.raw), item.raw, occurrences)
        except ValidationError as error:
            self.refuse(item.fault(str(error)))
            return
        event_id = event.event_id or ""
        pending = self._batch.get(event_id)
        if pending and pending.event == event:
            pending.sources.append(item)
        else:
            if pending:
                self.flush()  # same id, other content: the ledger decides, so it must hold the first one by then
            self._batch[event_id] = _Pending(event, [item])
        self._batch_bytes += len(item.raw)

    def is_full(self, batch_size: int) -> bool:
        """Tell whether the batch should go out, by its events or its bytes."""
        return len(self._batch) >= batch_size or self._batch_bytes >= BATCH_BYTES

    def flush(self) -> None:
        """Store the open batch."""
        batch = list(self._batch.values())
        self._batch = {}
        self._batch_bytes = 0
        if batch:
            self._store(batch)

    def _store(self, batch: list[_Pending]) -> None:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                result = self._append([pending.event for pending in part])
            except (ValidationError, ConflictError) as error:
                if len(part) == 1:
                    self._refuse_pending(part[0], error)
                else:
                    waiting.extend(reversed(_split(part, error)))
                continue
            self._stored += result.stored
            self._duplicates += result.duplicates + sum(len(pending.sources) - 1 for pending in part)
            moments = [pending.event.occurred_at for pending in part if pending.event.occurred_at]
            self._first = min(filter(None, (self._first, *moments)), default=None)
            self._last = max(filter(None, (self._last, *moments)), default=None)

    def _refuse_pending(self, pending: _Pending, error: ValidationError | ConflictError) -> None:
        named = [f"{_INDEX.sub('', where)[1:] or 'event'}: {what}" for where, what in error.faults]
        what = "; ".join(named) or str(error)
        for source in pending.sources:
            self.refuse(source.fault(f"the ledger refused event {pending.event.event_id}: {what}"))

    def summary(self, files: int) -> ImportSummary:
        """Return what was done."""
        return ImportSummary(
            files=files,
            records=self.records,
            stored=self._stored,
            duplicates=self._duplicates,
            refused=self._refused,
            fault_count=self._fault_count,
            faults=tuple(self._faults),
            first_occurred_at=self._first,
            last_occurred_at=self._last,
        )


def _with_id(event: Event, raw: bytes, occurrences: _Occurrences) -> Event:
    """Return the event with an id; an id that the source gave is never replaced."""
    if event.event_id is not None:
        return event
    canonical = _canonical(raw)
    occurrence = occurrences.count(hashlib.sha256(canonical).digest())
    return msgspec.structs.replace(event, event_id=_id_of(canonical, occurrence))


def _split(batch: list[_Pending], error: ValidationError | ConflictError) -> list[list[_Pending]]:
    """Divide a refused batch so that in the end each event at fault stands alone.

    The indices that the error's faults begin with are a hint that saves round trips; no event is refused on the hint's
    word, since it is then tried by itself. Without a usable hint the batch is halved.
    """
    hinted: set[int] = set()
    for where, _ in error.faults:
        if (match := _INDEX.match(where)) and int(match[1]) < len(batch):
            hinted.add(int(match[1]))
    if not hinted:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    rest = [pending for index, pending in enumerate(batch) if index not in hinted]
    return [part for part in (rest, *([batch[index]] for index in sorted(hinted))) if part]
