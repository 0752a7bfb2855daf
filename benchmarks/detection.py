"""How fast events become scores: beside pandas and scikit-learn on plain columns, and the hourly job over a past."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import numpy as np
import polars as pl

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.runs import run_here
from audit_pipelines.settings import Settings
from benchmarks.events import DAYS, as_events, make_frame, midnight
from benchmarks.rates import Figure, timed
from tests.moved_clock import MovedClock

_REPEATS: Final = 3
_JOB: Final = "anomaly_detection_job"


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
    """Yield the hourly job over `new` events behind a long history ÷ behind a short one, each in a home of its own."""
    taken: dict[int, list[float]] = {}
    for history in (small, large):
        with _home() as installation:
            tenant = uuid4()
            _fill(installation, tenant, history)
            run_here(installation, _JOB)
            taken[history] = []
            for repeat in range(_REPEATS):
                _append_new(installation, tenant, new, seed=100 + repeat)
                taken[history].append(timed(lambda: run_here(installation, _JOB)))
    ratios = [one / other for one, other in zip(taken[large], taken[small], strict=True)]
    note = f"{statistics.median(taken[large]):.1f} s and {statistics.median(taken[small]):.1f} s"
    yield Figure(f"{_JOB}, {new:,} new on {large:,} ÷ on {small:,}", ratios, 1.5, at_most=True, note=note)


@contextmanager
def _home() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, audit_home=Path(home))  # type: ignore[call-arg] - a pydantic option
        try:
            with open_installation(settings) as installation:
                yield installation
        finally:
            EmbeddedPostgres(settings.home).destroy()


def _fill(installation: Installation, tenant: UUID, events: int) -> None:
    """Store a history of DAYS that ends yesterday, each day's events recorded on that day."""
    clock = MovedClock(installation)
    frame = make_frame(events, seed=2, first=midnight(DAYS + 1))
    for (moment,), day in frame.group_by(pl.col("occurred_at").dt.truncate("1d"), maintain_order=True):
        clock.append(moment + timedelta(hours=23, minutes=59), tenant, as_events(day))  # type: ignore[operator]
    installation.seal(tenant)


def _append_new(installation: Installation, tenant: UUID, events: int, *, seed: int) -> None:
    """Store events of the last minutes, a batch at a time."""
    frame = make_frame(events, seed=seed, first=midnight(0), days=1)
    now = pl.lit(int(time.time() * 1e6))
    spread = pl.Series(np.linspace(0, 60_000_000, events).astype(np.int64))
    moments = (now - 60_000_000 + spread).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    recent = as_events(frame.with_columns(occurred_at=moments))
    for at in range(0, events, 1_000):
        installation.ledger.append(tenant, recent[at : at + 1_000])
