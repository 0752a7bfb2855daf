"""What analysts gain by the lake: time per question against the same SQL in Postgres, bytes, and how fast it fills.

The events are the demo company's, in weeks of a company of 1,200, each day recorded on its day. Both databases answer
the files of `sql/analyst/` as they are; a dialect's word is replaced where Postgres knows another one.
"""

import shutil
import statistics
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID, uuid4

import duckdb
import msgspec

from audit_pipelines.db.database import Connection
from audit_pipelines.files import data_path
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from benchmarks.events import midnight
from benchmarks.rates import Figure, drain, timed
from tests.moved_clock import MovedClock

_REPEATS: Final = 3
_PEOPLE: Final = 1_200
_SERVICES: Final = 90
_CALL: Final = 1_000
_ANOMALOUS: Final = 5_000
# What the catalog's views add to the ledger's columns, in the words of Postgres; a reader sees one tenant.
_POSTGRES: Final = """
create temp view events as
select *, (occurred_at at time zone 'UTC')::date as day, extract(hour from occurred_at at time zone 'UTC')::int as hour,
       extract(isodow from occurred_at at time zone 'UTC')::int as weekday, left(ip_index, 16) as network
from audit_events;
create temp view anomalies as select * from audit_anomalies;
"""
_DIALECT: Final[Mapping[str, str]] = {
    "unnest(json_keys(details))": "json_object_keys(coalesce(nullif(details::text, 'null'), '{}')::json)",
}
# Which events are odd does not matter here; that there are some, with reasons as detection writes them, does.
_MARK: Final = """
insert into audit_anomalies (tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity,
                             reasons, model_id, run_id)
select tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, 0.7 + seq %% 29 / 100.0, 'medium',
       json_build_array(
           json_build_object('feature', (array['hour_rare', 'burst_1h', 'network_new_actor', 'silence'])[1 + seq %% 4],
                             'text', 'is unlike what the actor did before', 'share', 0.6),
           json_build_object('feature', 'type_rare_actor', 'text', 'is rare for the actor', 'share', 0.4)),
       'benchmark', 'benchmark'
from audit_logs where tenant_id = %(tenant)s and seq %% %(every)s = 0
"""


def analyst_figures(installation: Installation, events: int) -> Iterator[Figure]:
    """Yield how fast the lake fills, how small it is, and how much faster than Postgres it answers each question."""
    tenant = fill(installation, events)
    with installation.database.connect_admin() as conn:
        mark_anomalies(conn, tenant, every=max(1, events // _ANOMALOUS))
        conn.execute("vacuum analyze")
    yield _export_figure(installation, tenant, events)
    yield _bytes_figure(installation, events)
    yield from _question_figures(installation, tenant)


def questions() -> Mapping[str, str]:
    """Return the analysts' questions by name."""
    return {path.stem: path.read_text() for path in sorted(data_path("sql/analyst").glob("*.sql"))}


def in_postgres(question: str) -> bytes:
    """Return a question in the words of Postgres; it reads the views that `as_reader` makes."""
    for theirs, ours in _DIALECT.items():
        question = question.replace(theirs, ours)
    return question.encode()


def as_reader(conn: Connection, tenant: UUID) -> None:
    """Make the connection that of a reader of one tenant, with the views that the questions read."""
    conn.execute("set role audit_reader")
    conn.execute("select set_config('app.current_tenant_id', %s, false)", [str(tenant)])
    conn.execute(_POSTGRES)


def mark_anomalies(conn: Connection, tenant: UUID, *, every: int) -> None:
    """Make an anomaly of every so-manieth event."""
    conn.execute(_MARK, {"tenant": tenant, "every": every})


def _export_figure(installation: Installation, tenant: UUID, events: int) -> Figure:
    ratios, seconds = [], []
    for _ in range(_REPEATS):
        shutil.rmtree(installation.settings.lake_dir, ignore_errors=True)
        floor = timed(lambda: drain(installation.database, tenant))
        since, until = midnight(400).date(), midnight(0).date() + timedelta(days=1)
        seconds.append(timed(lambda: export_window(installation, since, until, run_id="benchmark")))  # noqa: B023
        ratios.append(floor / seconds[-1])
    note = f"{events / statistics.median(seconds):,.0f} rows/s of {events:,}, a file a day"
    return Figure("ledger → lake ÷ COPY TO STDOUT binary, drained", ratios, 0.35, note=note)


def _bytes_figure(installation: Installation, events: int) -> Figure:
    lake = sum(path.stat().st_size for path in (installation.settings.lake_dir / "raw_events").rglob("*.parquet"))
    with installation.database.connect_admin() as conn:
        [[postgres]] = conn.execute(
            "select sum(pg_total_relation_size(inhrelid)) + pg_total_relation_size('audit_event_ids')"
            " from pg_inherits where inhparent = 'audit_logs'::regclass"
        ).fetchall()
    note = f"{lake / events:,.0f} and {float(postgres) / events:,.0f} bytes an event, indexes included"
    return Figure("bytes of the lake ÷ of Postgres", [lake / float(postgres)], 0.15, at_most=True, note=note)


def _question_figures(installation: Installation, tenant: UUID) -> Iterator[Figure]:
    catalog = build_catalog(installation).path
    taken: dict[str, list[tuple[float, float]]] = {}
    with installation.database.connect_admin() as conn, duckdb.connect(str(catalog), read_only=True) as lake:
        as_reader(conn, tenant)
        for name, question in questions().items():
            both = _both(conn, lake, question)
            taken[name] = both
            ratios = [postgres / duck for postgres, duck in both]
            slow, fast = (statistics.median(column) * 1_000 for column in zip(*both, strict=True))
            yield Figure(name, ratios, 0.5, note=f"{slow:,.0f} ms in Postgres, {fast:,.0f} ms on the lake")
    means = [
        statistics.geometric_mean([each[repeat][0] / each[repeat][1] for each in taken.values()])
        for repeat in range(_REPEATS)
    ]
    yield Figure(f"Postgres ÷ lake, geometric mean of {len(taken)} questions", means, 4.0)


def _both(conn: Connection, lake: duckdb.DuckDBPyConnection, question: str) -> list[tuple[float, float]]:
    """Return the seconds of a question in Postgres and on the lake; both have answered it once before."""
    asked = in_postgres(question)

    def of_postgres() -> list[tuple[Any, ...]]:
        return conn.execute(asked).fetchall()

    def of_the_lake() -> list[tuple[Any, ...]]:
        return lake.execute(question).fetchall()

    told, expected = len(of_the_lake()), len(of_postgres())
    if told != expected:
        raise AssertionError(f"expected {expected} rows as Postgres has, got {told}:\n{question}")
    return [(timed(of_postgres), timed(of_the_lake)) for _ in range(_REPEATS)]


def fill(installation: Installation, count: int) -> UUID:
    """Store `count` events, week by week up to yesterday, and return their tenant."""
    tenant, clock = uuid4(), MovedClock(installation)
    weeks = [_week(0)]
    while sum(map(len, weeks)) < count:
        weeks.append(_week(len(weeks)))
    left = count
    for week in reversed(weeks):
        for day, events in groupby(week[:left], key=lambda event: event.occurred_at.date()):
            clock.set(
                midnight(0).replace(year=day.year, month=day.month, day=day.day) + timedelta(hours=23, minutes=59)
            )
            told = list(events)
            for at in range(0, len(told), _CALL):
                installation.ledger.append(tenant, told[at : at + _CALL])
        left -= min(left, len(week))
    clock.set(None)
    return tenant


def _week(number: int) -> list[Event]:
    story = generate(1, midnight(7 * number), people=_PEOPLE, services=_SERVICES)
    # Equal weeks have equal ids; the server's own are unique and cost Postgres less.
    told = [msgspec.structs.replace(event, event_id=None) for event in story.events]
    return sorted(told, key=lambda event: event.occurred_at)
