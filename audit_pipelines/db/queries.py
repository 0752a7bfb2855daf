"""Named queries: SQL lives in `sql/<stage>/<name>.sql`, where an editor and a database person can read it.

What several queries must say alike stands once, in `sql/parts/`; a line `-- include <part>` is where it belongs.
"""

import re
from functools import cache
from typing import Final

from audit_pipelines.files import data_path

_INCLUDE: Final = re.compile(rb"^[ \t]*-- include (\w+)\n", re.MULTILINE)


@cache
def query(name: str) -> bytes:
    """Return the query `name` (`stage/name`), read once per process; bytes, because psycopg takes no built strings.

    Raises:
        FileNotFoundError: when the product ships no such query, or it includes a part that there is not.
    """
    text = data_path(f"sql/{name}.sql").read_bytes()
    return _INCLUDE.sub(lambda match: query(f"parts/{match[1].decode()}"), text)
