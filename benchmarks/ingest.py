"""How fast events are taken in through HTTP: batches against COPY, single events against what they could cost."""

import statistics
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import msgspec

from audit_pipelines.installation import Installation
from audit_pipelines.server.auth import mint_token
from benchmarks import clients
from benchmarks.rates import Figure, copy_in, make_events
from benchmarks.serving import process_at, serving

_REPEATS: Final = 3
_BATCH: Final = 1_000
_BATCHES: Final = 20
# For each process: as many times as it has connections, with those that are used often enough to be prepared.
_WARMING: Final = 60
_REQUESTS: Final = 8_000
_WARM_UP: Final = 500
_PATH: Final = "/api/audit/events"
# The second process takes the core that one client would leave idle.
_PROCESSES: Final = 2


def batch_figures(installation: Installation) -> Iterator[Figure]:
    """Yield the figures of batches."""
    for connections, tenants, limit in ((1, 1, 0.5), (2, 1, 0.5), (4, 4, 0.75)):
        ratios = []
        rates = []
        for _ in range(_REPEATS):
            seconds, copied, events = _batch_run(installation, connections, tenants)
            ratios.append(copied / seconds)
            rates.append(events / seconds)
        what = f"batches of 1,000: {tenants} tenants, {connections} clients, {_PROCESSES} processes ÷ COPY"
        yield Figure(what, ratios, limit, note=f"{sorted(rates)[len(rates) // 2]:,.0f} events/s")


def _batch_run(installation: Installation, connections: int, tenants: int) -> tuple[float, float, int]:
    chosen = [uuid4() for _ in range(tenants)]
    for tenant in chosen:
        installation.ledger.append(tenant, make_events(_BATCH))
    requests = [
        [_batch_request(installation, tenant, _BATCH) for _ in range(_BATCHES)]
        for tenant in (chosen[place % tenants] for place in range(connections))
    ]
    small = [[_batch_request(installation, tenant, 10) for _ in range(_WARMING)] for tenant in chosen[:1]] * _PROCESSES
    with serving(installation.settings.home, processes=_PROCESSES) as ports:
        # Connections prepare their statements at first use, and the pool gives out another one each time.
        clients.run(ports, small, _WARMING * _PROCESSES)
        load = clients.run(ports, requests, _BATCHES * connections)
    if set(load.statuses) != {201}:
        raise RuntimeError(f"expected every batch to be stored, got {load.statuses}")
    events = _BATCH * _BATCHES * connections
    stored = events + _BATCH * tenants + 10 * _WARMING * _PROCESSES
    return load.seconds, copy_in(installation.database, chosen) * events / stored, events


def _batch_request(installation: Installation, tenant: UUID, events: int) -> bytes:
    return clients.post(f"{_PATH}/batch", _token(installation, tenant), msgspec.json.encode(make_events(events)))


def single_figures(installation: Installation) -> Iterator[Figure]:
    """Yield the figures of single events: one process, 64 connections unless said."""
    rates: dict[tuple[str, int], list[float]] = {}
    costs: dict[tuple[str, int], list[float]] = {}
    tail: list[float] = []
    anew: list[float] = []
    least_anew: list[float] = []
    for _ in range(_REPEATS):
        for variant, tenants in (("no-op", 1), ("product", 1), ("product", 20), ("per-event", 1)):
            with serving(installation.settings.home, variant) as ports:
                count = _REQUESTS // (4 if variant == "per-event" else 1)
                load, cpu = _single_run(installation, ports, 64, tenants, count)
                rates.setdefault((variant, tenants), []).append(load.requests_per_second)
                costs.setdefault((variant, tenants), []).append(cpu / count * 1e6)
                if variant == "no-op":
                    least_anew += _posted_anew(installation, ports[0])
                if (variant, tenants) == ("product", 1):
                    few, _ = _single_run(installation, ports, 10, 1, 1_000)
                    tail.append(few.quantile(0.95) * 1_000)
                    anew += _posted_anew(installation, ports[0])
    product = rates["product", 1]

    def against(divisor: list[float], dividend: list[float] = product) -> list[float]:
        return [one / other for one, other in zip(dividend, divisor, strict=True)]

    rate = f"{sorted(product)[1]:,.0f} requests/s"
    yield Figure("single events ÷ one transaction each", against(rates["per-event", 1]), 6, note=rate)
    yield Figure("single events ÷ no-op POST", against(rates["no-op", 1]), 0.6)
    cost, floor = costs["product", 1], costs["no-op", 1]
    each = f"{statistics.median(cost):,.0f} and {statistics.median(floor):,.0f} µs of user and system a request"
    what = "single events ÷ no-op POST, CPU of the server's process"
    yield Figure(what, against(floor, cost), 1.67, at_most=True, note=each)
    yield Figure("single events, 10 connections, p95", tail, 5, at_most=True, unit=" ms")
    if anew:
        least = f"a POST that stores nothing {statistics.median(least_anew):.1f} ms"
        what = "the same, a connection for each event (ab -n 1000 -c 10)"
        yield Figure(what, anew, 5, at_most=True, unit=" ms", note=least)
    yield Figure("single events: 20 tenants ÷ 1 tenant", against(product, rates["product", 20]), 0.75)


def _single_run(
    installation: Installation, ports: list[int], connections: int, tenants: int, count: int
) -> tuple[clients.Load, float]:
    """Return what the clients saw, and the seconds of CPU that the server's process took for it."""
    body = _body()
    tokens = [_token(installation, uuid4()) for _ in range(tenants)]
    requests = [[clients.post(_PATH, tokens[place % tenants], body)] for place in range(connections)]
    clients.run(ports, requests, _WARM_UP)
    before = _cpu(ports)
    load = clients.run(ports, requests, count)
    cpu = _cpu(ports) - before
    if set(load.statuses) != {201}:
        raise RuntimeError(f"expected every event to be stored, got {load.statuses}")
    return load, cpu


def _posted_anew(installation: Installation, port: int) -> list[float]:
    """Return the p95 of clients that keep no connection open, in milliseconds; nothing where there is no `ab`."""
    token = _token(installation, uuid4())
    seconds = clients.apache_bench(port, _PATH, token, _body(), count=1_000, connections=10)
    return [] if seconds is None else [seconds * 1_000]


def _body() -> bytes:
    """Return one event whose id the server makes."""
    [event] = make_events(1)
    return msgspec.json.encode(msgspec.structs.replace(event, event_id=None))


def _cpu(ports: list[int]) -> float:
    times = [process_at(port).cpu_times() for port in ports]
    return float(sum(one.user + one.system for one in times))


def _token(installation: Installation, tenant: UUID) -> str:
    return mint_token(
        installation.keyring.jwt_secret,
        subject="benchmark",
        tenant_id=tenant,
        permissions=["audit:write"],
        lifetime=timedelta(hours=6),
    )
