"""One writer per derived dataset, across processes.

Dagster's queue keeps runs of one lane apart, but commands and tests run jobs in their own process, past that queue.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query


@contextmanager
def exclusive(database: Database, stage: str) -> Iterator[None]:
    """Hold the stage for the length of the block; waits for whoever holds it. The server frees it if we die."""
    with database.connection("audit_pipeline") as conn:
        conn.execute(query("derive/lock_stage"), {"stage": f"derive {stage}"})
        yield
