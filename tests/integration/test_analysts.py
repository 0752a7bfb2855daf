"""The analysts' questions over a small real lake: each answer computed a second time in Python, and by Postgres."""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import polars as pl
import pytest

from audit_pipelines.db.database import Database
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from audit_pipelines.settings import Settings
from benchmarks.analysts import as_reader, in_postgres, mark_anomalies, questions

END = datetime(2026, 11, 20, tzinfo=UTC)
TENANT = uuid.uuid4()
BAD = ("failure", "denied")
Row = dict[str, Any]
Answer = list[tuple[Any, ...]]


def story() -> list[Event]:
    """Three weeks of a small company, and what the questions look for."""
    told = generate(5, END, days=21, people=24, services=8).events

    def event(kind: str, minutes: float, **fields: Any) -> Event:
        given = {"entity_type": "file", "entity_id": "F-1", "actor": "mallory", "outcome": "success", **fields}
        return Event(event_type=kind, occurred_at=END - timedelta(minutes=minutes), **given)

    told += [event("sso:login", 400 - n, outcome="failure", ip_address="192.0.2.9") for n in range(5)]
    told += [event("sso:login", 390), event("vault:open", 380), event("vault:open", 30_000)]
    told += [event("file:purge", 300, outcome="denied"), event("file:purge", 200)]
    told += [event("file:purge", 199, outcome="denied", entity_id="F-2"), event("file:purge", 5_000, entity_id="F-2")]
    told += [event("file:download", 60 * 24 * day + 5, details={"bytes": day, "by": "hand"}) for day in range(2, 8)]
    told += [event("file:download", 100 + n, details=None) for n in range(9)]
    return told


@pytest.fixture(scope="module")
def installation(
    fresh_database: Callable[[Settings], AbstractContextManager[Database]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    settings = Settings(_env_file=None, audit_home=tmp_path_factory.mktemp("analysts") / "home")
    with fresh_database(settings) as database:
        installation = assemble(settings, open_keyring(settings), database)
        events = story()
        for at in range(0, len(events), 1_000):
            installation.ledger.append(TENANT, events[at : at + 1_000])
        with database.connect_admin() as conn:
            mark_anomalies(conn, TENANT, every=40)
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        export_window(installation, date(2025, 1, 1), tomorrow, run_id="test")
        build_catalog(installation)
        yield installation


@pytest.fixture(scope="module")
def catalog(installation: Installation) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(installation.settings.catalog_path), read_only=True) as conn:
        yield conn


@pytest.fixture(scope="module")
def rows(installation: Installation) -> list[Row]:
    """All events, in order of time, as the lake has them."""
    frame = Lake(installation.settings.lake_dir).events(TENANT).sort("occurred_at", "seq")
    return frame.with_columns(
        day=pl.col("occurred_at").dt.date(),
        late=(pl.col("occurred_at").dt.weekday() > 5) | ~pl.col("occurred_at").dt.hour().is_between(7, 18),
        network=pl.col("ip_index").str.slice(0, 16),
    ).to_dicts()


def grouped(rows: list[Row], *names: str) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def acted(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["actor_ref"]]


def kinds(rows: list[Row]) -> set[str]:
    return {row["event_type"] for row in rows}


def failed(rows: list[Row]) -> int:
    return sum(row["outcome"] in BAD for row in rows)


def failed_then_successful_logins(rows: list[Row]) -> Answer:
    answer = []
    for (actor,), logins in grouped([row for row in acted(rows) if "login" in row["event_type"]], "actor_ref").items():
        run: list[Row] = []
        for row in logins:
            run.append(row)
            if row["outcome"] == "success":
                if failed(run) >= 3:
                    networks = {one["network"] for one in run} - {None}
                    answer.append((actor, run[0]["occurred_at"], row["occurred_at"], failed(run), len(networks)))
                run = []
    return sorted(answer, key=lambda each: (-each[3], each[2], each[0]))


def busiest_actors(rows: list[Row]) -> Answer:
    answer = [
        (actor, len(own), len(kinds(own)), failed(own), own[0]["occurred_at"], own[-1]["occurred_at"])
        for (actor,), own in grouped(acted(rows), "actor_ref").items()
    ]
    return sorted(answer, key=lambda each: (-each[1], each[0]))[:20]


def rare_kinds(rows: list[Row]) -> Answer:
    answer = []
    for (kind,), events in grouped(rows, "event_type").items():
        if len(events) <= 5 and len({row["actor_ref"] for row in acted(events)}) <= 2:
            for (actor,), own in grouped(events, "actor_ref").items():
                answer.append((kind, len(events), actor, own[-1]["occurred_at"]))
    return sorted(answer, key=lambda each: (each[1], -each[3].timestamp(), each[0]))


def first_times(rows: list[Row]) -> Answer:
    known = {actor: own[0]["occurred_at"] for (actor,), own in grouped(acted(rows), "actor_ref").items()}
    pairs = grouped(acted(rows), "actor_ref", "event_type")
    end = max(own[0]["occurred_at"] for own in pairs.values())
    answer = [
        (actor, kind, own[0]["occurred_at"], len(own), known[actor])
        for (actor, kind), own in pairs.items()
        if own[0]["occurred_at"] >= end - timedelta(days=3) and known[actor] < end - timedelta(days=14)
    ]
    return sorted(answer, key=lambda each: (-each[2].timestamp(), each[0], each[1]))


def after_hours(rows: list[Row]) -> Answer:
    answer = []
    for (actor,), own in grouped(acted(rows), "actor_ref").items():
        late = [row for row in own if row["late"]]
        if 5 <= len(late) <= len(own) / 4:
            answer.append((actor, len(own), len(late), len(late) / len(own), len({row["day"] for row in late})))
    return sorted(answer, key=lambda each: (-each[2], each[0]))


def exports_against_own_average(rows: list[Row]) -> Answer:
    words = ("download", "export", "clone")
    taken = [row for row in acted(rows) if any(word in row["event_type"] for word in words)]
    answer = []
    for (actor,), own in grouped(taken, "actor_ref").items():
        before: list[int] = []
        for (day,), events in grouped(own, "day").items():
            if len(before) >= 3 and len(events) >= 5 and len(events) > 3 * sum(before) / len(before):
                answer.append((actor, day, len(events), sum(before) / len(before), len(before)))
            before.append(len(events))
    return sorted(answer, key=lambda each: (-each[2] / each[3], each[0], each[1]))


def denied_then_allowed(rows: list[Row]) -> Answer:
    answer = []
    tries = [row for row in acted(rows) if row["outcome"] in ("denied", "success")]
    for key, own in grouped(tries, "actor_ref", "event_type", "entity_type", "entity_id").items():
        for one, then in pairwise(own):
            apart = then["occurred_at"] - one["occurred_at"]
            if (one["outcome"], then["outcome"]) == ("denied", "success") and apart <= timedelta(days=1):
                answer.append((*key, one["occurred_at"], then["occurred_at"]))
    return sorted(answer, key=lambda each: (each[5], *each[:4]))


def anomalies_explained(rows: list[Row]) -> Answer:
    reasons = ("hour_rare", "burst_1h", "network_new_actor", "silence")
    odd = [{**row, "reason": reasons[row["seq"] % 4]} for row in rows if row["seq"] % 40 == 0]
    every = {kind: len(events) for (kind,), events in grouped(rows, "event_type").items()}
    answer = []
    for (reason, kind), own in grouped(odd, "reason", "event_type").items():
        score = max(0.7 + row["seq"] % 29 / 100 for row in own)
        succeeded = sum(row["outcome"] == "success" for row in own)
        actors = len({row["actor_ref"] for row in acted(own)})
        last = max(row["occurred_at"] for row in own)
        answer.append((reason, kind, len(own), actors, succeeded, score, last, len(own) / every[kind]))
    return sorted(answer, key=lambda each: (-each[2], each[0], each[1]))


def detail_fields(rows: list[Row]) -> Answer:
    every = {kind: len(events) for (kind,), events in grouped(rows, "event_type").items()}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        for field in json.loads(row["details"] or "{}"):
            counts[row["event_type"], field] += 1
    answer = [(kind, field, count, count / every[kind]) for (kind, field), count in counts.items()]
    return sorted(answer, key=lambda each: (each[0], -each[2], each[1]))


def entity_history(rows: list[Row]) -> Answer:
    things = grouped([row for row in rows if row["outcome"] in BAD], "entity_type", "entity_id")
    thing = min(things, key=lambda each: (-len(things[each]), each))
    names = ("seq", "occurred_at", "actor_ref", "event_type", "outcome", "details", "row_hash")
    own = [row for row in rows if (row["entity_type"], row["entity_id"]) == thing]
    return [tuple(row[name] for name in names) for row in own]


ANSWERS = {
    each.__name__: each
    for each in (
        failed_then_successful_logins, busiest_actors, rare_kinds, first_times, after_hours,
        exports_against_own_average, denied_then_allowed, anomalies_explained, detail_fields, entity_history,
    )
}  # fmt: skip


def comparable(answer: Answer) -> Answer:
    def one(value: Any) -> Any:
        if isinstance(value, float | Decimal):
            return round(float(value), 9)
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value

    return [tuple(one(value) for value in row) for row in answer]


def test_there_are_ten_questions() -> None:
    assert set(questions()) == set(ANSWERS)
    assert len(ANSWERS) == 10


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_is_answered_right(name: str, catalog: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    told = catalog.execute(questions()[name])
    columns = [column[0] for column in told.description]
    answer = comparable(told.fetchall())
    assert answer, "an answer without rows shows nothing"
    assert answer == comparable(ANSWERS[name](rows))
    described = questions()[name].partition("-- Columns:")[2].partition("\nwith")[0].partition("\nselect")[0]
    assert [column for column in columns if column not in described] == []


@pytest.mark.parametrize("name", ANSWERS)
def test_postgres_answers_the_same(name: str, installation: Installation, catalog: duckdb.DuckDBPyConnection) -> None:
    with installation.database.connect_admin() as conn:
        as_reader(conn, TENANT)
        theirs = comparable(conn.execute(in_postgres(questions()[name])).fetchall())
    ours = comparable(catalog.execute(questions()[name]).fetchall())
    if name == "entity_history":
        ours = [(*row[:5], row[5] and json.dumps(json.loads(row[5]), sort_keys=True), row[6]) for row in ours]
    # Texts sort by another collation there.
    assert sorted(map(repr, ours)) == sorted(map(repr, theirs))


def test_every_column_of_every_view_says_what_it_means(catalog: duckdb.DuckDBPyConnection) -> None:
    columns = catalog.execute(
        "select table_name, column_name, comment from duckdb_columns() where database_name = 'audit' and not internal"
    ).fetchall()
    views = dict(catalog.execute("select view_name, comment from duckdb_views() where not internal").fetchall())
    assert set(views) >= {
        "events", "event_scores", "daily_activity", "actors", "anomalies", "incidents", "models", "reports",
        "checkpoints",
    }  # fmt: skip
    assert {name for name, _, _ in columns} == set(views)
    assert [column for column in columns if not (column[2] or "").endswith(".")] == []
    assert all(views.values())


def test_no_view_knows_a_name(catalog: duckdb.DuckDBPyConnection) -> None:
    for (name,) in catalog.execute("select view_name from duckdb_views() where not internal").fetchall():
        told = catalog.sql(f"select * from {name}").pl().write_ndjson()
        assert "mallory" not in told, name
        assert "192.0.2.9" not in told, name


def test_the_views_count_what_the_events_count(catalog: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    days = dict(catalog.execute("select day, events from daily_activity").fetchall())
    assert days == {day: len(own) for (day,), own in grouped(rows, "day").items()}
    actors = catalog.execute("select actor_ref, events, first_seen, last_seen from actors").fetchall()
    assert sorted(comparable(actors)) == sorted(
        (actor, len(own), own[0]["occurred_at"], own[-1]["occurred_at"])
        for (actor,), own in grouped(acted(rows), "actor_ref").items()
    )
    hours = catalog.execute("select seq, hour, weekday from events order by occurred_at, seq").fetchall()
    assert hours == [(row["seq"], row["occurred_at"].hour, row["occurred_at"].isoweekday()) for row in rows]
    assert catalog.execute("select count(*) from scored_events").fetchone() == (len(rows),)
