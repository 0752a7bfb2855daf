"""What a figure was measured on, so that nobody compares figures of two machines unknowingly."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from audit_pipelines.db.database import Database

_LIBRARIES: Final = ("psycopg", "starlette", "uvicorn", "msgspec")


def machine(database: Database) -> Mapping[str, str]:
    """Return the machine and the versions that matter, by name, in the order of the report's head."""
    with database.connect_admin() as conn:
        [[postgres]] = conn.execute("show server_version").fetchall()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": platform.machine(),
        "CPU": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": str(postgres),
        **{name: version(name) for name in _LIBRARIES},
    }


def _cpu_model() -> str:
    # platform.processor() is empty on most distributions, and /proc/cpuinfo of ARM names no model.
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
