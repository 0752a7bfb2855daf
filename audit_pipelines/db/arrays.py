"""Array parameters in Postgres's binary form, built at once from whole columns.

psycopg writes lists as text, value by value and through regular expressions: 20 µs for the fourteen columns of an
event, more than sealing and hashing it. Here a column is one join of bytes. Only the types `audit_append` takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Final
from uuid import UUID

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_length: Final = Struct(">i").pack
_int64: Final = Struct(">q").pack
# One dimension, a flag for nulls, the type of the elements, how many there are, counted from 1.
_header: Final = Struct(">iiIii").pack
_NULL: Final = _length(-1)
_TRUE: Final = _length(1) + b"\x01"
_FALSE: Final = _length(1) + b"\x00"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class BinaryArray:
    """An array as it is sent; the statement must say its type, as in `%(ids)s::uuid[]`."""

    data: bytes


class _BinaryArrayDumper(Dumper):
    """Sends an array as it is, with no type of its own."""

    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(BinaryArray, _BinaryArrayDumper)


def bools(values: Sequence[bool]) -> BinaryArray:
    """Return a `boolean[]`."""
    return _array(16, [_TRUE if value else _FALSE for value in values])


def byteas(values: Sequence[bytes | None]) -> BinaryArray:
    """Return a `bytea[]`; None is null."""
    return _array(17, [_NULL if value is None else _length(len(value)) + value for value in values])


def texts(values: Sequence[str | None]) -> BinaryArray:
    """Return a `text[]`; None is null.

    Raises:
        UnicodeEncodeError: for a lone surrogate, which no UTF-8 can hold.
    """
    encoded = [None if value is None else value.encode() for value in values]
    return _array(25, [_NULL if value is None else _length(len(value)) + value for value in encoded])


def moments(values: Sequence[datetime]) -> BinaryArray:
    """Return a `timestamptz[]` of aware moments."""
    return _array(1184, [_length(8) + _int64((value - _EPOCH) // _MICROSECOND) for value in values])


def uuids(values: Sequence[UUID | None]) -> BinaryArray:
    """Return a `uuid[]`; None is null."""
    size = _length(16)
    # A batch has few tenants and actors, so each is written once; by identity, since hashing a UUID costs as much.
    distinct = {id(value): value for value in values}
    written = {key: _NULL if value is None else size + value.bytes for key, value in distinct.items()}
    return _array(2950, [written[id(value)] for value in values])


def _array(element_type: int, elements: Sequence[bytes]) -> BinaryArray:
    return BinaryArray(_header(1, 1, element_type, len(elements), 1) + b"".join(elements))
