"""When the actor acts: the habit of the week."""

from typing import Final

import numpy as np

from audit_pipelines.intelligence.features.facts import Facts, Feature
from audit_pipelines.intelligence.past import Floats, number, pair

FEATURES: Final = (
    Feature("hour_rare", "how unusual the hour of the week is for the actor", "nats"),
    Feature("hour", "hour of the day, UTC", "hours", "evidence"),
    Feature("weekend", "Saturday or Sunday, UTC", "0 or 1", "evidence"),
)


def compute(f: Facts) -> dict[str, Floats]:
    """Compare with the actor's habit in blocks of 4 hours, weekdays and weekends apart.

    Two sets of blocks, shifted by half, smooth the edges: 08:05 is not far from 07:55.
    """
    hours = f.time_us // 3_600_000_000
    hour, day = hours % 24, (hours // 24 + 3) % 7
    weekend = day >= 5
    sharp, shifted = number(hour // 4 + 6 * weekend), number((hour + 2) % 24 // 4 + 6 * weekend)
    group = f.stretch.group
    for_all = (group("hours", sharp).count() + group("hours shifted", shifted).count()) / 2
    for_actor = (
        group("actor, hours", pair(f.actor, sharp)).count()
        + group("actor, hours shifted", pair(f.actor, shifted)).count()
    ) / 2
    share_all = (for_all + 2.0 / 12) / (f.tenant.count() + 2.0)
    share = (for_actor + 6.0 * share_all) / (f.by_actor.count() + 6.0)
    return {
        "hour_rare": np.maximum(-np.log(share) - np.log(12.0), 0.0),
        "hour": hour.astype(np.float64),
        "weekend": weekend.astype(np.float64),
    }
