"""The cursor between pages of a search: opaque to clients, and read back with its fault named. Pure."""

import base64
import re
from typing import Any, Final

from audit_pipelines.search.conditions import Place

_LONGEST: Final = 100
_PLACE: Final = re.compile(r"seq:(\d{1,18})|meaning:(\d{1,18}):(\d{1,6})")


def encode_place(place: Place) -> str:
    """Return the opaque text from which the next page goes on."""
    return base64.urlsafe_b64encode(cursor_text(place).encode()).rstrip(b"=").decode()


def cursor_text(place: Place) -> str:
    """Return a place as the access log has it."""
    return f"seq:{place.seq}" if place.shown is None else f"meaning:{place.seq}:{place.shown}"


def parse_place(value: Any) -> Place:
    """Return the place that a cursor names; raises `ValueError`."""
    match = None
    if isinstance(value, str) and len(value) <= _LONGEST and value.isascii():
        try:
            match = _PLACE.fullmatch(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode())
        except ValueError:
            match = None
    if match is None:
        raise ValueError("expected the next_cursor of an earlier answer")
    return Place(int(match[1])) if match[1] else Place(int(match[2]), int(match[3]))
