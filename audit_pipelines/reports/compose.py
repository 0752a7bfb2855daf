"""From frames to a `Report`: the facts are counted here and the summary's sentences are filled from those counts.

No sentence is written that a count does not carry, so the summary needs no reviewer and no language model. Layout and
storage are elsewhere; which anomalies, controls and integrity results exist is the caller's to say.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import polars as pl

from audit_pipelines.errors import ValidationError
from audit_pipelines.reports.model import (
    SEVERITIES,
    ActorLine,
    AnomalyLine,
    Before,
    BinUnit,
    Control,
    Coverage,
    Integrity,
    ModelLine,
    Report,
    ReportKind,
    RequirementLine,
    Share,
    SignatureLine,
    Summary,
    TimeBin,
    Timeline,
    Totals,
)
from audit_pipelines.reports.summary import compose_summary, verification_steps

UNSUCCESSFUL: Final = ("failure", "denied")

TITLES: Final[dict[ReportKind, str]] = {"security": "Security report", "compliance": "Compliance report"}

_UTC_MICROSECONDS = pl.Datetime("us", "UTC")
_EVENT_COLUMNS: Final[dict[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "seq": pl.Int64(),
    "occurred_at": _UTC_MICROSECONDS,
    "actor_ref": pl.String(),
    "event_type": pl.String(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "outcome": pl.String(),
    "ip_index": pl.String(),
}
_SCORE_COLUMNS: Final[dict[str, pl.DataType]] = {"seq": pl.Int64(), "score": pl.Float64()}
_TAG_COLUMNS: Final[dict[str, pl.DataType]] = {"seq": pl.Int64(), "category": pl.String(), "risk": pl.String()}

# Up to so long a period, this unit: at most 192 hours, 93 days, 79 weeks or 240 months stay legible in a page's width.
_BIN_UNITS: Final[tuple[tuple[timedelta, BinUnit], ...]] = (
    (timedelta(days=8), "hour"),
    (timedelta(days=93), "day"),
    (timedelta(days=550), "week"),
    (timedelta(days=20 * 366), "month"),
)
_POLARS_UNIT: Final[dict[BinUnit, str]] = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "year": "1y"}


def compose_report(
    kind: ReportKind,
    tenant_id: UUID,
    since: datetime,
    until: datetime,
    events: pl.DataFrame,
    *,
    scores: pl.DataFrame | None,
    tags: pl.DataFrame | None,
    anomalies: Sequence[AnomalyLine],
    models: Sequence[ModelLine],
    integrity: Integrity,
    controls: Sequence[Control],
    coverage: Coverage,
    generated_at: datetime,
    signatures: Sequence[SignatureLine] = (),
    requirements: Sequence[RequirementLine] = (),
    tenant_name: str = "",
    product_version: str = "",
    title: str | None = None,
    top: int = 12,
    anomaly_limit: int = 500,
) -> Report:
    """Count a tenant's period and compose its report.

    `events` has the columns of `raw_events`, `scores` those of `event_scores`, `tags` those of `event_tags`; rows
    outside `since <= occurred_at < until` are not counted, and so are scores, tags and anomalies that belong to them.
    `top` bounds the rows of each ranking, `anomaly_limit` the anomalies printed; totals always count all. The same
    input in any row order gives an equal `Report`. Rows before `since` are what the period is compared with.

    Raises `ValidationError` for a period that is naive or empty, a missing column, or another tenant's event.
    """
    since, until = _period(since, until)
    whole = _checked(events, _EVENT_COLUMNS, "events")
    frame = _in_period(whole, tenant_id, since, until)
    seqs = frame.select("seq")
    scored = None if scores is None else _checked(scores, _SCORE_COLUMNS, "scores").join(seqs, on="seq", how="semi")
    tagged = None if tags is None else _checked(tags, _TAG_COLUMNS, "tags").join(seqs, on="seq", how="semi")
    found = sorted(
        (line for line in anomalies if since <= line.occurred_at < until),
        key=lambda line: (SEVERITIES.index(line.severity), -line.score, line.seq),
    )
    totals = _totals(frame, scored, len(found))
    timeline = make_timeline(frame, found, since, until)
    event_types = _shares(frame, "event_type", top)
    actors = _actors(frame, scored, found, top)
    severities = tuple(
        Share(severity, count) for severity in SEVERITIES if (count := sum(line.severity == severity for line in found))
    )
    risks = () if tagged is None else _by_severity(_shares(tagged, "risk", top))
    if not integrity.steps:
        integrity = replace(integrity, steps=verification_steps(tenant_id, integrity))
    report = Report(
        kind=kind,
        title=title or TITLES[kind],
        tenant_id=tenant_id,
        tenant_name=tenant_name,
        since=since,
        until=until,
        generated_at=generated_at.astimezone(UTC),
        product_version=product_version,
        summary=Summary(()),
        totals=totals,
        timeline=timeline,
        hour_of_week=_hour_of_week(frame),
        event_types=event_types,
        outcomes=_shares(frame.with_columns(pl.col("outcome").fill_null("not stated")), "outcome", top),
        categories=() if tagged is None else _shares(tagged, "category", top),
        risks=risks,
        actors=actors,
        severities=severities,
        anomalies=tuple(found[:anomaly_limit]),
        models=tuple(models),
        controls=tuple(controls),
        integrity=integrity,
        coverage=coverage,
        signatures=tuple(signatures),
        requirements=tuple(requirements),
        before=_before(whole, frame, scored, anomalies, period=(since, until), top=top),
    )
    failed = frame.filter(pl.col("outcome").is_in(UNSUCCESSFUL))
    return replace(report, summary=compose_summary(report, _shares(failed, "event_type", 2)))


def _before(
    whole: pl.DataFrame,
    frame: pl.DataFrame,
    scored: pl.DataFrame | None,
    anomalies: Sequence[AnomalyLine],
    *,
    period: tuple[datetime, datetime],
    top: int,
) -> Before | None:
    since, until = period
    begun = since - (until - since)
    first = whole["occurred_at"].min()
    # A trail that began within the period before would make everything look new.
    if not isinstance(first, datetime) or first > begun:
        return None
    past = whole.filter(pl.col("occurred_at").is_between(begun, since, closed="left"))
    fresh_types = frame.join(past.select("event_type").unique(), on="event_type", how="anti")
    acted = frame.filter(pl.col("actor_ref").is_not_null())
    fresh_actors = acted.join(past.select("actor_ref").unique(), on="actor_ref", how="anti")
    found = [line for line in anomalies if since <= line.occurred_at < until]
    return Before(
        since=begun,
        until=since,
        events=past.height,
        actors=past["actor_ref"].drop_nulls().n_unique(),
        unsuccessful=past.filter(pl.col("outcome").is_in(UNSUCCESSFUL)).height,
        anomalies=sum(begun <= line.occurred_at < since for line in anomalies),
        new_event_types=_shares(fresh_types, "event_type", top),
        new_event_types_total=fresh_types["event_type"].n_unique(),
        new_actors=_actors(fresh_actors, scored, found, top),
        new_actors_total=fresh_actors["actor_ref"].n_unique(),
    )


def bin_unit(since: datetime, until: datetime) -> BinUnit:
    """Choose the timeline's unit so that a week and three years both give a readable chart."""
    span = until - since
    return next((unit for longest, unit in _BIN_UNITS if span <= longest), "year")


def make_timeline(events: pl.DataFrame, anomalies: Sequence[AnomalyLine], since: datetime, until: datetime) -> Timeline:
    """Count events (columns `occurred_at`, `outcome`) and anomalies of a period per bin, empty bins included."""
    unit = bin_unit(since, until)
    every = _POLARS_UNIT[unit]
    start = pl.col("start")
    edges = pl.DataFrame({"start": [since, until - timedelta(microseconds=1)]}, schema={"start": _UTC_MICROSECONDS})
    first, last = edges.select(start.dt.truncate(every))["start"]
    grid = pl.DataFrame({"start": pl.datetime_range(first, last, every, time_zone="UTC", eager=True)})
    marked = pl.DataFrame({"start": [line.occurred_at for line in anomalies]}, schema={"start": _UTC_MICROSECONDS})
    binned = (
        grid.with_columns(start.cast(_UTC_MICROSECONDS))
        .join(
            events.group_by(start=pl.col("occurred_at").dt.truncate(every)).agg(
                events=pl.len(), unsuccessful=pl.col("outcome").is_in(UNSUCCESSFUL).sum()
            ),
            on="start",
            how="left",
        )
        .join(marked.group_by(start.dt.truncate(every)).agg(anomalies=pl.len()), on="start", how="left")
        .with_columns(pl.col("events", "unsuccessful", "anomalies").fill_null(0))
        .sort("start")
    )
    return Timeline(unit, tuple(TimeBin(*row) for row in binned.iter_rows()))


def _period(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    if since.tzinfo is None or until.tzinfo is None:
        raise ValidationError(f"Expected aware times for the period, got {since} and {until}; add a time zone.")
    if since >= until:
        raise ValidationError(f"Expected a period that begins before it ends, got {since} to {until}.")
    return since.astimezone(UTC), until.astimezone(UTC)


def _checked(frame: pl.DataFrame, columns: dict[str, pl.DataType], name: str) -> pl.DataFrame:
    if frame.width == 0:
        return pl.DataFrame(schema=columns)
    if missing := [column for column in columns if column not in frame.columns]:
        raise ValidationError(
            f"Expected {name} with {', '.join(columns)}, got none of {', '.join(missing)}; read it from the lake."
        )
    return frame.select(pl.col(column).cast(dtype) for column, dtype in columns.items())


def _in_period(events: pl.DataFrame, tenant_id: UUID, since: datetime, until: datetime) -> pl.DataFrame:
    foreign = events.filter(pl.col("tenant_id") != str(tenant_id))
    if not foreign.is_empty():
        raise ValidationError(
            f"Expected events of tenant {tenant_id} alone, got {foreign.height} of others; filter by tenant first."
        )
    return events.filter(pl.col("occurred_at").is_between(since, until, closed="left"))


def _totals(frame: pl.DataFrame, scored: pl.DataFrame | None, anomalies: int) -> Totals:
    counts = frame.select(
        actors=pl.col("actor_ref").drop_nulls().n_unique(),
        event_types=pl.col("event_type").n_unique(),
        entities=pl.struct("entity_type", "entity_id").n_unique(),
        networks=pl.col("ip_index").drop_nulls().str.slice(0, 16).n_unique(),
        unsuccessful=pl.col("outcome").is_in(UNSUCCESSFUL).sum(),
        first_at=pl.col("occurred_at").min(),
        last_at=pl.col("occurred_at").max(),
    ).row(0, named=True)
    return Totals(
        events=frame.height, scored=0 if scored is None else scored["seq"].n_unique(), anomalies=anomalies, **counts
    )


def _shares(frame: pl.DataFrame, column: str, top: int) -> tuple[Share, ...]:
    counts = (
        frame.filter(pl.col(column).is_not_null())
        .group_by(column)
        .agg(events=pl.col("seq").n_unique())
        .sort(["events", column], descending=[True, False])
        .head(top)
    )
    return tuple(Share(label, count) for label, count in counts.iter_rows())


def _by_severity(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    order: dict[str, int] = {label: place for place, label in enumerate(SEVERITIES)}
    return tuple(sorted(shares, key=lambda share: order.get(share.label, len(order))))


def _actors(
    frame: pl.DataFrame, scored: pl.DataFrame | None, found: Sequence[AnomalyLine], top: int
) -> tuple[ActorLine, ...]:
    if scored is not None:
        frame = frame.join(scored.group_by("seq").agg(pl.col("score").max()), on="seq", how="left")
    else:
        frame = frame.with_columns(score=pl.lit(None, pl.Float64))
    # Judged by the events' own references, so that an anomaly line without one still counts for its actor.
    odd = frame.join(
        pl.DataFrame({"seq": [line.seq for line in found]}, schema={"seq": pl.Int64}), on="seq", how="semi"
    )
    lines = (
        frame.group_by("actor_ref")
        .agg(
            events=pl.len(),
            unsuccessful=pl.col("outcome").is_in(UNSUCCESSFUL).sum(),
            event_types=pl.col("event_type").n_unique(),
            highest_score=pl.col("score").max(),
            last_at=pl.col("occurred_at").max(),
        )
        .sort(["events", "actor_ref"], descending=[True, False], nulls_last=True)
        .head(top)
        .join(odd.group_by("actor_ref").agg(anomalies=pl.len()), on="actor_ref", how="left", nulls_equal=True)
        .with_columns(pl.col("anomalies").fill_null(0))
        .sort(["events", "actor_ref"], descending=[True, False], nulls_last=True)
    )
    return tuple(ActorLine(**row) for row in lines.iter_rows(named=True))


def _hour_of_week(frame: pl.DataFrame) -> tuple[tuple[int, ...], ...]:
    grid = [[0] * 24 for _ in range(7)]
    moment = pl.col("occurred_at").dt
    for weekday, hour, count in frame.group_by(moment.weekday(), moment.hour().alias("hour")).agg(pl.len()).iter_rows():
        grid[weekday - 1][hour] = count
    return tuple(tuple(row) for row in grid)
