"""Plain arrays of 64-bit integers in one file, read by mapping it into memory: what is not asked for is not read.

A header in JSON names each array with its place; nothing in the file is code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from audit_pipelines.errors import ValidationError

_MAGIC: Final = b"AUDITI64"
_ALIGNED: Final = 64


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.int64]]) -> None:
    """Write arrays, little-endian, in the order of their names."""
    places, at = {}, 0
    for name in sorted(arrays):
        places[name] = [at, len(arrays[name])]
        at += len(arrays[name])
    header = json.dumps(places, sort_keys=True).encode()
    start = len(_MAGIC) + 8 + len(header)
    with path.open("wb") as file:
        file.write(_MAGIC + len(header).to_bytes(8, "little") + header + bytes(-start % _ALIGNED))
        for name in sorted(arrays):
            file.write(np.ascontiguousarray(arrays[name], dtype="<i8").data)


def map_arrays(path: Path) -> dict[str, npt.NDArray[np.int64]]:
    """Return the arrays of a file as read-only views of it; raises ValidationError where it is none."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValidationError(f"expected arrays in {path.name}, got another file; derive the features anew")
        size = int.from_bytes(file.read(8), "little")
        places = json.loads(file.read(size))
    start = len(_MAGIC) + 8 + size
    start += -start % _ALIGNED
    total = sum(length for _, length in places.values())
    if path.stat().st_size != start + 8 * total:
        raise ValidationError(
            f"expected {start + 8 * total} bytes in {path.name}, got {path.stat().st_size}; derive the features anew"
        )
    every = np.memmap(path, dtype="<i8", mode="r", offset=start) if total else np.zeros(0, dtype=np.int64)
    return {name: every[at : at + length] for name, (at, length) in places.items()}
