"""What each derived artefact was made of, in `audit_lineage`.

Rows are append-only and written in the transaction of the data they describe. Dagster's own event log is no evidence:
deleting a run in its UI deletes what it materialised.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query

# What decides the content of a derived artefact: the same sources over the same ledger give the same artefact.
_DECIDING: Final = ("intelligence", "lake", "derive", "reports", "identity")


@dataclass(frozen=True, slots=True)
class Output:
    """One derived artefact and what went into it."""

    tenant_id: UUID
    kind: str
    """What it is: a dataset's or asset's name, `model`, `report`."""
    key: str
    """Which one: a path below AUDIT_HOME, a model id, a range of `seq`."""
    digest: bytes
    """SHA-256, 32 bytes."""
    inputs: tuple[dict[str, Any], ...]
    model_id: str | None = None


def ledger_input(first_seq: int, last_seq: int, row_hash: str) -> dict[str, Any]:
    """Name a range of the ledger by the hash of its last row (hex), which commits to every row before it."""
    return {"kind": "audit_logs", "first_seq": first_seq, "last_seq": last_seq, "digest": row_hash}


def file_input(kind: str, key: str, digest: bytes | str) -> dict[str, Any]:
    """Name a derived artefact that went into another one."""
    return {"kind": kind, "key": key, "digest": digest if isinstance(digest, str) else digest.hex()}


def record(conn: Connection, outputs: Sequence[Output], *, run_id: str) -> None:
    """Write one row per output over the caller's connection, hence in the caller's transaction."""
    if not outputs:
        return
    conn.execute(
        query("derive/insert_lineage"),
        {
            "tenants": [output.tenant_id for output in outputs],
            "kinds": [output.kind for output in outputs],
            "keys": [output.key for output in outputs],
            "digests": [output.digest for output in outputs],
            "inputs": [json.dumps(output.inputs, sort_keys=True) for output in outputs],
            "models": [output.model_id for output in outputs],
            "code_version": code_version(),
            "run_id": run_id,
        },
    )


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@cache
def code_version() -> str:
    """Return the product's version and a digest of the sources that decide derived artefacts.

    A hand-kept number is forgotten on the day it matters. Reading some 50 files costs 3 ms, once per process.
    """
    package = Path(__file__).parents[1]
    state = hashlib.sha256()
    for folder in _DECIDING:
        for path in sorted((package / folder).rglob("*.py")):
            content = path.read_bytes()
            state.update(f"{path.relative_to(package)}\0{len(content)}\0".encode() + content)
    return f"{product_version()}+{state.hexdigest()[:12]}"


def product_version() -> str:
    """Return the installed version of the product."""
    return version("audit-pipelines")
