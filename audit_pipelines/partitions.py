"""How the lake is cut: the UTC day of `recorded_at`, and how a run says which days it is for.

One run covers a range of days: a run per day costs 17 events and 36 KB in Dagster's storage, a range 2 and 5 KB a day.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

import dagster as dg

# The ledger did not exist before; days without rows cost nothing.
recorded_days: Final = dg.DailyPartitionsDefinition(start_date="2025-01-01", timezone="UTC", end_offset=1)


def range_tags(first: date, last: date) -> Mapping[str, str]:
    """Return the run tags by which Dagster runs a single-run back-fill over `first` to `last`, both inclusive."""
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
