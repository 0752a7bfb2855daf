"""Frames of events as bytes of a file: CSV, NDJSON and Parquet, piece by piece. Pure.

What is in the frames is decided in `reading`; a document that must be made as a whole is `documents`'.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import polars as pl

from audit_pipelines.exports.reading import COLUMNS
from audit_pipelines.reports.csv_export import csv_bytes

if TYPE_CHECKING:
    import pyarrow as pa

Streamed = Literal["csv", "ndjson", "parquet"]
# What the API shows of an event and how it calls it; the proof's other hashes belong to one event and not to a list.
_SHOWN: Final = [name for name in COLUMNS if name not in {"entry_hash", "prev_hash"}]
_MOMENTS: Final = ("occurred_at", "recorded_at")
_FORMAT_MOMENT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
# Small groups compress badly and large ones are held in memory: rows of 1 KB make 50 MB of these.
_GROUP_ROWS: Final = 50_000
_GROUP_BYTES: Final = 48 * 1024 * 1024


def pieces(
    form: Streamed, columns: list[str], frames: Iterable[pl.DataFrame], about: Mapping[str, str]
) -> Iterator[bytes]:
    """Yield a file of the frames, which have `columns`; `about` goes into the metadata of Parquet.

    The pieces follow the frames, so memory follows a batch (Parquet: a row group) and not the export.
    """
    if form == "csv":
        empty = pl.DataFrame(schema={name: COLUMNS[name] for name in columns})
        yield csv_bytes(empty, header=True, quote_texts=True)
        for frame in frames:
            yield csv_bytes(frame, header=False, quote_texts=True)
    elif form == "ndjson":
        for frame in frames:
            yield _lines(frame)
    else:
        yield from _parquet(columns, frames, about)


def _lines(frame: pl.DataFrame) -> bytes:
    shown = frame.select(
        pl.col(name).dt.strftime(_FORMAT_MOMENT) if name in _MOMENTS else pl.col(name)
        for name in _SHOWN
        if name in frame.columns
    )
    rows: list[dict[str, Any]] = shown.to_dicts()
    for row in rows:
        if row["details"] is not None:
            # As it was hashed, byte for byte.
            row["details"] = msgspec.Raw(row["details"].encode())
    return msgspec.json.Encoder().encode_lines(rows)


class _Sink:
    """A file for pyarrow to write to, emptied piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._place = 0
        self.closed = False

    def write(self, data: "bytes | pa.Buffer") -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._place += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        return

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def taken(self) -> bytes:
        """Return what was written since this was last asked."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _parquet(columns: list[str], frames: Iterable[pl.DataFrame], about: Mapping[str, str]) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 — 0.3 s that a server that exports nothing need not pay
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema([(name, _arrow_type(COLUMNS[name])) for name in columns], metadata=dict(about))
    sink = _Sink()
    held: list[pa.Table] = []
    rows = size = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for frame in frames:
            table = frame.to_arrow().cast(schema)
            held.append(table)
            rows += table.num_rows
            size += table.nbytes
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(held), row_group_size=rows)
                held, rows, size = [], 0, 0
                yield sink.taken()
        if held:
            writer.write_table(pa.concat_tables(held), row_group_size=rows)
    yield sink.taken()


def _arrow_type(dtype: pl.DataType) -> "pa.DataType":
    import pyarrow as pa  # noqa: PLC0415

    if isinstance(dtype, pl.Datetime):
        return pa.timestamp("us", tz="UTC")
    return pa.int64() if isinstance(dtype, pl.Int64) else pa.string()
