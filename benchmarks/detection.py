"""How fast events become scores: beside pandas and scikit-learn on plain columns, and the hourly job over a past."""

import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch
from uuid import UUID, uuid4

import polars as pl

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.lake.datasets import RAW_EVENTS, Lake
from audit_pipelines.ledger.event import Event
from audit_pipelines.runs import run_here
from audit_pipelines.settings import Settings
from benchmarks.events import DAYS, as_events, make_frame, midnight
from benchmarks.rates import Figure, timed
from tests.moved_clock import MovedClock

_REPEATS: Final = 3
_JOB: Final = "anomaly_detection_job"
_EVENTS_A_DAY: Final = 10_000


def detection_figures(events: int, new: int) -> Iterator[Figure]:
    """Yield both figures of a history of so many events: scoring all of it, and scoring what is new behind it."""
    yield from whole_figures(events)
    yield from hourly_figures(small=new, large=events, new=new)


def whole_figures(events: int) -> Iterator[Figure]:
    """Yield features and scores of a whole history ÷ two rolling sums and an isolation forest over the same rows."""
    import pandas as pd  # noqa: PLC0415 — no dependency of the product; `pip install pandas`
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415

    from audit_pipelines.intelligence.detectors import fit, score, walk_forward  # noqa: PLC0415
    from audit_pipelines.intelligence.features import compute_features  # noqa: PLC0415

    frame = make_frame(events, seed=1, first=midnight(DAYS))
    features = compute_features(frame)
    detector = fit(features, seed=0)
    plain = pd.DataFrame(
        {"occurred_at": frame["occurred_at"].to_numpy(), "actor": frame["actor"].to_numpy()}
        | {name: features[name].to_numpy() for name in ("failed", "size")}
    ).set_index("occurred_at")
    columns = plain[["failed", "size"]].to_numpy()
    forest = IsolationForest(random_state=0).fit(columns)
    ratios, seconds = [], []
    for _ in range(_REPEATS):
        ours = timed(lambda: score(detector, compute_features(frame)))
        theirs = timed(lambda: plain.groupby("actor")[["failed", "size"]].rolling("1h").sum())
        theirs += timed(lambda: forest.score_samples(columns))
        ratios.append(ours / theirs)
        seconds.append(ours)
    rate = f"{events / statistics.median(seconds):,.0f} events/s"
    yield Figure("features and scores ÷ pandas rolling + IsolationForest", ratios, 2.5, at_most=True, note=rate)
    yield Figure(f"features and scores of {events:,} events", seconds, 30.0, at_most=True, unit="s")
    walk = timed(lambda: walk_forward(features, seed=0))
    yield Figure("the same with every model of the walk fitted", [walk + seconds[-1]], 60.0, at_most=True, unit="s")


def tenant_figures(events: int) -> Iterator[Figure]:
    """Yield CPU and most memory of a process that makes features and scores of a tenant's whole history in a lake.

    The functions of `event_features` and `event_scores`, models fitted on the way, part by part. One run: how busy the
    machine is says little about CPU, and each takes minutes. The lake is written by another process, since the events
    at once need more memory than what is measured.
    """
    processes = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with _home() as installation, processes:
        processes.submit(_write_lake, installation.settings, events).result()
        cpu, peak = processes.submit(_score_lake, installation.settings).result()
    yield Figure(f"features and scores of a tenant of {events:,} events, CPU", [cpu], 120, at_most=True, unit="s")
    yield Figure("the same, most memory of the process", [peak / 1e9], 6, at_most=True, unit="GB")


def _write_lake(settings: Settings, events: int) -> None:
    lake, tenant = Lake(settings.lake_dir), uuid4()
    digest = pl.col("seq").cast(pl.String).str.pad_start(64, "0")
    frame = make_frame(events, seed=3, first=midnight(DAYS)).with_columns(
        tenant_id=pl.lit(str(tenant)), recorded_at="occurred_at", row_hash=digest
    )
    for (day,), rows in frame.group_by(pl.col("recorded_at").dt.date(), maintain_order=True):
        path = lake.part_path(tenant, day, rows["seq"][0], rows["seq"][-1])  # type: ignore[arg-type] - a date
        path.parent.mkdir(parents=True)
        rows.select(list(RAW_EVENTS)).write_parquet(path)


def _score_lake(settings: Settings) -> tuple[float, int]:
    """Return seconds of CPU, user and system of all threads, and bytes of memory at the highest."""
    from audit_pipelines.derive.features import update_event_features  # noqa: PLC0415 - scikit-learn, as above
    from audit_pipelines.derive.scoring import score_events  # noqa: PLC0415

    with open_installation(settings) as installation:
        before = time.process_time()
        update_event_features(installation, run_id="benchmark")
        score_events(installation, run_id="benchmark")
        cpu = time.process_time() - before
    # What getrusage says begins with the highest of the process that started this one.
    [highest] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return cpu, int(highest) * 1024


def hourly_figures(*, small: int, large: int, new: int) -> Iterator[Figure]:
    """Yield the hourly job over `new` events behind a long history ÷ behind a short one, in time and in CPU time.

    Both are tenants of 10,000 events a day, in a home of its own each, one known for longer, and the new events go on
    as those before. As a burst of a minute they would be anomalies behind the long history alone: 3,522 of 10,000, and
    telling why is most of it. Other work on the machine moves time more than CPU time, which is the job's process's.
    """
    taken: dict[int, list[float]] = {small: [], large: []}
    worked: dict[int, list[float]] = {small: [], large: []}
    with ExitStack() as homes:
        waiting = {}
        for history in taken:
            installation, tenant = homes.enter_context(_home()), uuid4()
            waiting[history] = installation, tenant, _fill(installation, tenant, history, new)
            run_here(installation, _JOB)
        for repeat in range(_REPEATS):
            for history, (installation, tenant, later) in waiting.items():
                _append(installation, tenant, later[repeat * new : (repeat + 1) * new])
                before = time.process_time()
                taken[history].append(timed(lambda: run_here(installation, _JOB)))  # noqa: B023 - called at once
                worked[history].append(time.process_time() - before)
    what = f"{_JOB}, {new:,} new on {large:,} ÷ on {small:,}"
    for figure, spent in ((what, taken), (f"{what}, in CPU time of the job's process", worked)):
        ratios = [one / other for one, other in zip(spent[large], spent[small], strict=True)]
        note = f"{statistics.median(spent[large]):.1f} s and {statistics.median(spent[small]):.1f} s"
        yield Figure(figure, ratios, 1.5, at_most=True, note=note)


@contextmanager
def _home() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, audit_home=Path(home))  # type: ignore[call-arg] - a pydantic option
        try:
            with open_installation(settings) as installation:
                yield installation
        finally:
            EmbeddedPostgres(settings.home).destroy()


def _fill(installation: Installation, tenant: UUID, events: int, new: int) -> list[Event]:
    """Store a history, each day's events recorded on that day; return those that go on from there up to yesterday."""
    clock = MovedClock(installation)
    every = events + _REPEATS * new
    days = -(-every // _EVENTS_A_DAY)
    frame = make_frame(every, seed=2, first=midnight(days + 1), days=days)
    history = frame.head(events)
    for (moment,), day in history.group_by(pl.col("occurred_at").dt.truncate("1d"), maintain_order=True):
        clock.append(moment + timedelta(hours=23, minutes=59), tenant, as_events(day))  # type: ignore[operator]
    # Hourly jobs have sealed such a history long ago; by a checkpoint of today alone, each run would verify all of it.
    with patch("audit_pipelines.ledger.sealer.datetime", wraps=datetime) as clock_of_seals:
        clock_of_seals.now.return_value = midnight(1)
        installation.seal(tenant)
    return as_events(frame.tail(every - events))


def _append(installation: Installation, tenant: UUID, events: list[Event]) -> None:
    for at in range(0, len(events), 1_000):
        installation.ledger.append(tenant, events[at : at + 1_000])
