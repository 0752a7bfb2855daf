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
    blocks = {"hours": hour // 4 + 6 * weekend, "hours shifted": (hour + 2) % 24 // 4 + 6 * weekend}
    for_all, for_actor = np.zeros(len(hour)), np.zeros(len(hour))
    for name, block in blocks.items():
        for_all += f.stretch.few(name, block).count() / 2
        for_actor += f.stretch.group(f"actor, {name}", pair(f.actor, number(block))).count() / 2
    share_all = (for_all + 2.0 / 12) / (f.tenant.count() + 2.0)
    share = (for_actor + 6.0 * share_all) / (f.by_actor.count() + 6.0)
    return {
        "hour_rare": np.maximum(-np.log(share) - np.log(12.0), 0.0),
        "hour": hour.astype(np.float64),
        "weekend": weekend.astype(np.float64),
    }
