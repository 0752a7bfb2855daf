"""What each actor did per UTC day, for people and reports; the detector reads nothing of it."""

import polars as pl

from audit_pipelines.intelligence.risk import FAILURE_WORDS


def actor_features(events: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Summarise the behaviour of each actor per UTC day of `occurred_at`, from whole days of events.

    `features` are those of the same events. Returns tenant_id, actor_ref, day, events, failures, event_types,
    entities, networks, off_hours_share (outside 07 to 19 UTC or on a weekend), first_times (kinds of event the actor
    had never done before).
    """
    moment = pl.col("occurred_at")
    off_hours = (moment.dt.weekday() >= 6) | (moment.dt.hour() < 7) | (moment.dt.hour() >= 19)
    firsts = features.select("seq", _first=pl.col("type_actor_events") == 0)
    return (
        events.with_columns(day=moment.dt.date())
        .join(firsts, on="seq", how="left")
        .group_by("tenant_id", "actor_ref", "day")
        .agg(
            events=pl.len().cast(pl.Int64),
            failures=pl.col("outcome").fill_null("").str.contains(FAILURE_WORDS).sum().cast(pl.Int64),
            event_types=pl.col("event_type").n_unique().cast(pl.Int64),
            entities=pl.struct("entity_type", "entity_id").n_unique().cast(pl.Int64),
            networks=pl.col("ip_index").str.slice(0, 16).drop_nulls().n_unique().cast(pl.Int64),
            off_hours_share=off_hours.mean(),
            first_times=pl.col("_first").sum().cast(pl.Int64),
        )
        .sort("day", "actor_ref", nulls_last=True)
    )
