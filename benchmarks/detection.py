"""How fast events become scores: beside pandas and scikit-learn on plain columns, and the hourly job over a past."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch
from uuid import UUID, uuid4

import polars as pl

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
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
