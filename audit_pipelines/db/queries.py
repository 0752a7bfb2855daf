"""Named queries: SQL lives in `sql/<stage>/<name>.sql`, where an editor and a database person can read it."""

from functools import cache

from audit_pipelines.files import data_path


@cache
def query(name: str) -> bytes:
    """Return the query `name` (`stage/name`), read once per process; bytes, because psycopg takes no built strings.

    Raises:
        FileNotFoundError: when the product ships no such query.
    """
    return data_path(f"sql/{name}.sql").read_bytes()
