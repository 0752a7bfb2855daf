"""Files that travel with the package but are not Python: migrations, named SQL, Dagster's configuration.

A wheel holds them inside the package; a checkout keeps them at the top level, where people look for them. An editable
install does not apply hatch's force-include, hence the two places. Also the one way files are replaced.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).parent


def data_path(relative: str) -> Path:
    """Return the path of a file or folder that the product ships, e.g. `migrations`.

    Raises:
        FileNotFoundError: when neither place has it, naming both.
    """
    places = (_PACKAGE / "_data" / relative, _PACKAGE.parent / relative)
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{relative!r} belongs to the product but is at neither {places[0]} nor {places[1]}")


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path in the same folder that becomes `path` when the block ends without an error.

    Readers see the old file or the new one, never half of one; the new file is on disk before its name is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    staging = Path(name)
    try:
        yield staging
        with staging.open("rb") as written:
            os.fsync(written.fileno())
        staging.chmod(mode)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
