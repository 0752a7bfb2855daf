"""What an export over HTTP costs beside Postgres's CSV of the same columns, and how much memory the server takes."""

import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import psutil

from audit_pipelines.installation import Installation
from audit_pipelines.server.auth import mint_token
from benchmarks.rates import Figure, make_events, timed
from benchmarks.serving import process_at, serving

_REPEATS: Final = 3
_CALL: Final = 1_000
_MADE: Final = 10_000
_COLUMNS: Final = (
    "seq, event_id, occurred_at, recorded_at, actor_ref, event_type, entity_type, entity_id, outcome, "
    "encode(ip_index, 'hex'), user_agent, convert_from(entry, 'UTF8')::json -> 'details', encode(entry_hash, 'hex'), "
    "encode(prev_hash, 'hex'), encode(row_hash, 'hex')"
)


def export_figures(installation: Installation, events: int) -> Iterator[Figure]:
    """Yield the time of a CSV of all rows through HTTP against COPY, and the growth of the server's memory."""
    tenant = uuid4()
    for _ in range(0, events, _MADE):
        made = make_events(min(_MADE, events))
        for first in range(0, len(made), _CALL):
            installation.ledger.append(tenant, made[first : first + _CALL])
    with serving(installation.settings.home) as (port,):
        server = process_at(port)
        before = server.memory_info().rss
        ratios, rates, growths = [], [], []
        for _ in range(_REPEATS):
            peak = _Peak(server)
            seconds = timed(lambda: _export(installation, tenant, port, events))
            growths.append((peak.stop() - before) / 1e6)
            ratios.append(seconds / timed(lambda: _copy(installation, tenant)))
            rates.append(events / seconds)
    note = f"{sorted(rates)[1]:,.0f} rows/s of {events:,}"
    yield Figure("CSV through HTTP ÷ COPY TO STDOUT CSV of the same columns", ratios, 2.5, at_most=True, note=note)
    yield Figure("memory that an export adds to the server", growths, 300, at_most=True, unit="MB")


class _Peak:
    """The highest memory of a process, looked at a hundred times a second."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._most = max(self._most, self._process.memory_info().rss)


def _export(installation: Installation, tenant: UUID, port: int, events: int) -> None:
    token = mint_token(
        installation.keyring.jwt_secret,
        subject="benchmark",
        tenant_id=tenant,
        permissions=["audit:export"],
        lifetime=timedelta(hours=1),
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/audit/export/csv",
        f'{{"filters": {{"order": "asc", "limit": {events}}}, "background": false}}'.encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        while answer.read(1 << 20):
            pass


def _copy(installation: Installation, tenant: UUID) -> None:
    query = f"copy (select {_COLUMNS} from audit_logs where tenant_id = '{tenant}' order by seq) to stdout csv"
    with installation.database.connect_admin() as conn, conn.cursor().copy(query) as out:
        for _ in out:
            pass
