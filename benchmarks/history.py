"""What the size of the ledger does to verifying, sealing and appending."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID, uuid4

from audit_pipelines.installation import Installation
from benchmarks.rates import Figure, drain, make_events, timed

_REPEATS: Final = 3
_NEW: Final = 10_000
_CALL: Final = 1_000
# Rows that only make the ledger large, written by the database to itself; half a kilobyte each, as others are.
_FILL: Final = """
select count(*) from audit_append(
    p_tenant_id => array[%(tenant)s::uuid],
    p_count => array[%(count)s],
    p_erasures => array[0],
    p_event_id => (select array_agg('fill-' || (%(first)s + n) order by n) from generate_series(1, %(count)s) n),
    p_fingerprint => array_fill('\\x00112233445566778899aabbccddeeff'::bytea, array[%(count)s]),
    p_entry => (select array_agg(convert_to(repeat('x', 500) || (%(first)s + n), 'UTF8') order by n)
                from generate_series(1, %(count)s) n),
    p_occurred_at => (select array_agg(now() + n * interval '1 microsecond' order by n)
                      from generate_series(1, %(count)s) n),
    p_actor_ref => (select array_agg(md5((n %% 211)::text)::uuid order by n) from generate_series(1, %(count)s) n),
    p_event_type => array_fill('record.read'::text, array[%(count)s]),
    p_entity_type => array_fill('record'::text, array[%(count)s]),
    p_entity_id => array_fill('record-1'::text, array[%(count)s]),
    p_outcome => array_fill('success'::text, array[%(count)s]),
    p_ip_address => array_fill(null::text, array[%(count)s]),
    p_ip_index => array_fill(null::bytea, array[%(count)s]),
    p_user_agent => array_fill(null::text, array[%(count)s]))
"""

_WIDE: Final = b"""create index audit_logs_search on audit_logs (tenant_id, occurred_at)
    include (seq, actor_ref, event_type, outcome, entity_type, ip_index)"""
_NARROW: Final = b"create index audit_logs_narrow on audit_logs (tenant_id, occurred_at)"


def verify_figures(installation: Installation, events: int) -> Iterator[Figure]:
    """Yield the figure of verifying one tenant."""
    tenant = uuid4()
    _append(installation, tenant, events)
    ratios, rates = [], []
    for _ in range(_REPEATS):
        seconds = timed(lambda: installation.verify(tenant))
        ratios.append(timed(lambda: drain(installation.database, tenant)) / seconds)
        rates.append(events / seconds)
    note = f"{sorted(rates)[1]:,.0f} rows/s of {events:,}"
    yield Figure("verify ÷ COPY of the same columns, drained", ratios, 0.4, note=note)


def checkpoint_figures(installation: Installation, small: int, large: int) -> Iterator[Figure]:
    """Yield what a checkpoint over 10,000 new rows costs on a large tenant against a small one."""
    ratios = []
    tenants = []
    for size in (small, large):
        tenant = uuid4()
        _fill(installation, tenant, size)
        installation.seal(tenant)
        tenants.append(tenant)
    done = [small, large]
    for _ in range(_REPEATS):
        seconds = []
        for place, tenant in enumerate(tenants):
            _fill(installation, tenant, _NEW, done[place])
            done[place] += _NEW
            seconds.append(timed(lambda tenant=tenant: installation.seal(tenant)))  # type: ignore[misc]
        ratios.append(seconds[1] / seconds[0])
    what = f"checkpoint of {_NEW:,} new rows on {large:,} ÷ on {small:,}"
    yield Figure(what, ratios, 1.2, at_most=True)


def growth_figures(installation: Installation, small: int, large: int) -> Iterator[Figure]:
    """Yield how much of its rate appending keeps in a large ledger; the small one is measured on the way there."""
    tenant = uuid4()
    _fill(installation, tenant, small)
    at_first = [_append_rate(installation, tenant) for _ in range(_REPEATS)]
    _fill(installation, tenant, large - small, small)
    with installation.database.connect_admin() as conn:
        conn.execute("checkpoint")
    later = [_append_rate(installation, tenant) for _ in range(_REPEATS)]
    ratios = [one / other for one, other in zip(later, at_first, strict=True)]
    yield Figure(f"append in a ledger of {large:,} rows ÷ of {small:,}", ratios, 0.9)


def _append_rate(installation: Installation, tenant: UUID) -> float:
    return _NEW / _append(installation, tenant, _NEW)


def index_figures(installation: Installation) -> Iterator[Figure]:
    """Yield what the index that counts are read from costs an append, against the narrow one that it replaced."""
    tenant, done, size = uuid4(), 0, 20_000

    def rate() -> float:
        nonlocal done
        seconds = timed(lambda: _fill(installation, tenant, size, done))
        done += size
        return size / seconds

    rate()
    ratios = []
    for _ in range(2 * _REPEATS):
        # The narrow one between two of the wide one, so that a machine that drifts favours neither.
        before = rate()
        _swap(installation, "audit_logs_search", _NARROW)
        narrow = rate()
        _swap(installation, "audit_logs_narrow", _WIDE)
        ratios.append((before + rate()) / 2 / narrow)
    yield Figure("append with the index of searches ÷ with a narrow one", ratios, 0.9)


def _swap(installation: Installation, former: str, statement: bytes) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute(f"drop index {former}".encode())
        conn.execute(statement)


def _append(installation: Installation, tenant: UUID, count: int) -> float:
    events = make_events(count)
    return timed(lambda: [installation.ledger.append(tenant, events[at : at + _CALL]) for at in range(0, count, _CALL)])


def _fill(installation: Installation, tenant: UUID, count: int, first: int = 0) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("set jit = off")
        for at in range(first, first + count, _CALL):
            conn.execute(_FILL, {"tenant": tenant, "first": at, "count": _CALL})
