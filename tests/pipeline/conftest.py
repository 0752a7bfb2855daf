"""A stocked installation, and Dagster instances of the test's own."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from audit_pipelines.definitions import build_definitions
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import pending_days
from audit_pipelines.ledger.event import Event
from audit_pipelines.runs import StepEvent, run_job
from audit_pipelines.settings import Settings

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def story() -> Sequence[Event]:
    """600 events of a small company."""
    return generate(3, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8).events[:600]


@pytest.fixture
def stocked(
    installation: Installation, story: Sequence[Event], tenant_id: uuid.UUID, lend_embedder: Callable[[Settings], None]
) -> Installation:
    """An installation with 500 events of one tenant and 100 of another."""
    lend_embedder(installation.settings)
    installation.ledger.append(tenant_id, story[:500])
    installation.ledger.append(uuid.uuid4(), story[500:])
    return installation


@pytest.fixture
def silent(stocked: Installation) -> Installation:
    """The same, recording no access; what is run after this was asked for records none either."""
    object.__setattr__(stocked, "settings", stocked.settings.model_copy(update={"audit_enable_access_logging": False}))
    return stocked


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(stocked: Installation, instance: dg.DagsterInstance) -> Run:
    """Run a job of the graph over the stocked installation."""

    def run(
        job_name: str,
        *,
        days: tuple[date, date] | None = None,
        config: Mapping[str, Any] | None = None,
        on_event: Callable[[StepEvent], None] | None = None,
        lake: bool = True,
    ) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(resources={"installation": stocked})
        chosen = (days or pending_days(stocked)) if lake else None
        return run_job(definitions, job_name, instance=instance, days=chosen, config=config, on_event=on_event)

    return run
