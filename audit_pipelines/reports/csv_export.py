"""CSV as spreadsheets and parsers both read it: RFC 4180, UTF-8, CRLF, a header, and no cell that runs as a formula.

Batches stream through, so memory follows the batch and not the export. What to select is the caller's; the text of a
cell changes only by the apostrophe that disarms a formula.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.files import replacing

# OWASP "CSV Injection"; the full-width forms open a formula in East Asian locales of spreadsheet programs.
FORMULA_START: Final = tuple("=+-@\t\r\n＝＋－＠")
_ISO_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S%.6f"


@dataclass(frozen=True, slots=True)
class CsvInfo:
    """What was written: data rows without the header, SHA-256 of the bytes (hex) and their number."""

    rows: int
    sha256: str
    bytes: int


def write_csv(batches: Iterable[pl.DataFrame], target: Path | BinaryIO) -> CsvInfo:
    """Stream frames of one schema as one CSV file.

    Text cells that begin like a formula get a leading apostrophe; numbers stay numbers. Times are ISO 8601 in UTC with
    microseconds, null is an empty field and the empty text is `""`. A path appears complete or not at all (temporary
    file, fsync, rename); a binary file object is left open. At least one frame is needed, for the header; it may be
    empty.

    Raises `ValidationError` when there is no frame or a later one has other columns.
    """
    if isinstance(target, Path):
        with replacing(target) as staging, staging.open("wb") as file:
            return _stream(batches, file)
    return _stream(batches, target)


def csv_bytes(frame: pl.DataFrame, *, header: bool, quote_texts: bool = False) -> bytes:
    """Return one frame as lines of CSV, the names of its columns first where `header`; cells as `write_csv` says.

    With `quote_texts` every text stands in quotes, so that a spreadsheet can be told to leave texts as they are:
    without them, `0042` becomes 42 and a digest of digits alone a number of which 15 are right.
    """
    buffer = BytesIO()
    _printable(frame).write_csv(
        buffer,
        include_header=header,
        line_terminator="\r\n",
        quote_style="non_numeric" if quote_texts else "necessary",
        null_value="",
    )
    return buffer.getvalue()


def frames(
    rows: Iterable[Mapping[str, object]], schema: Mapping[str, pl.DataType], batch_size: int = 10_000
) -> Iterator[pl.DataFrame]:
    """Gather rows into frames of at most `batch_size`; no rows give one empty frame, so that the header is written."""
    source = iter(rows)
    batch: Sequence[Mapping[str, object]] = list(islice(source, batch_size))
    yield pl.DataFrame(batch, schema=schema)
    while batch := list(islice(source, batch_size)):
        yield pl.DataFrame(batch, schema=schema)


def _stream(batches: Iterable[pl.DataFrame], file: BinaryIO) -> CsvInfo:
    digest = hashlib.sha256()
    rows = size = 0
    columns: list[str] | None = None
    for frame in batches:
        if columns is not None and frame.columns != columns:
            raise ValidationError(
                f"Expected every batch to have the columns {columns}, got {frame.columns}; export one schema per file."
            )
        chunk = csv_bytes(frame, header=columns is None)
        columns = frame.columns
        digest.update(chunk)
        file.write(chunk)
        rows += frame.height
        size += len(chunk)
    if columns is None:
        raise ValidationError("Expected at least one frame, got none; give an empty frame to write a header alone.")
    return CsvInfo(rows, digest.hexdigest(), size)


def _printable(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn every column into text or plain numbers, disarmed; header names included."""
    columns = [_column(frame.schema[name], name) for name in frame.columns]
    names = {name: "'" + name for name in frame.columns if name.startswith(FORMULA_START)}
    return frame.select(columns).rename(names)


def _column(dtype: pl.DataType, name: str) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC") if dtype.time_zone else column
        return utc.dt.strftime(_ISO_MICROSECONDS + ("Z" if dtype.time_zone else ""))
    if dtype.is_nested():
        # A struct of one field is the only way to JSON that takes lists too; its wrapping is cut off again.
        text = pl.struct(column.alias("v")).struct.json_encode().str.slice(5).str.head(-1)
        return _disarmed(pl.when(column.is_not_null()).then(text)).alias(name)
    if isinstance(dtype, pl.Binary):
        return column.bin.encode("hex")
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return _disarmed(column.cast(pl.String)).alias(name)
    return column


def _disarmed(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.head(1).is_in(FORMULA_START)).then(pl.lit("'") + text).otherwise(text)
