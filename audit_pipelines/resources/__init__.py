"""What assets, checks, schedules and sensors are given: the installation, opened once per run or tick."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.settings import load_settings


@dg.resource(description="Settings, keys, database, vault and ledger of this installation, opened at first need.")
def installation_resource(_context: dg.InitResourceContext) -> Iterator[Installation]:
    """Open the installation that the environment describes for one run or tick, and leave it afterwards.

    Tests and commands that have an `Installation` open pass that object in its place.
    """
    with open_installation(load_settings()) as installation:
        yield installation


RESOURCES: Final = {"installation": installation_resource}
