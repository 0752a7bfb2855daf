"""The job that embeds, by a server and back: what its asset says, and what a failure of the server leaves."""

import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from audit_pipelines.definitions import build_definitions
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import pending_days
from audit_pipelines.runs import run_job
from tests.integration.embedding_servers import KEY, Embeddings, embedding_server


@pytest.fixture
def answers() -> Iterator[Embeddings]:
    with embedding_server() as answers:
        yield answers


def _choose(installation: Installation, **changed: Any) -> None:
    object.__setattr__(installation, "settings", installation.settings.model_copy(update=changed))


def _run(installation: Installation, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(resources={"installation": installation})
    days = pending_days(installation)
    return run_job(definitions, "embedding_generation_job", instance=instance, days=days)


def _metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    [made] = result.asset_materializations_for_node("event_embeddings")
    return {name: value.value for name, value in made.metadata.items()}


def _in_use(installation: Installation, tenant_id: uuid.UUID) -> str:
    with installation.database.connection("audit_pipeline") as conn:
        named = "select name from audit_embedding_models where tenant_id = %s and in_use"
        return str(conn.execute(named, [tenant_id]).fetchone()[0])


def test_a_server_takes_over_when_it_has_every_text(
    stocked: Installation, tenant_id: uuid.UUID, instance: dg.DagsterInstance, answers: Embeddings
) -> None:
    first = _run(stocked, instance)
    assert first.success
    said = _metadata(first)
    assert (said["model"], said["dimension"], said["source"]) == ("all-MiniLM-L6-v2", 384, "built in")
    assert (said["requests"], said["tokens"], said["changed_model"]) == (0, 0, 0)
    lake = Lake(stocked.settings.lake_dir)
    tags = lake.read("event_tags", tenant_id)

    _choose(
        stocked,
        openai_api_key=SecretStr(KEY),
        openai_base_url=answers.url,
        openai_embedding_model="some-model",
        openai_embedding_batch_size=20,
        openai_embedding_price=2.0,
        openai_max_retries=0,
    )
    answers.next += [None, None, (401, {}, b"")]
    failed = _run(stocked, instance)
    assert not failed.success
    assert any("OPENAI_API_KEY" in str(event.event_specific_data) for event in failed.all_events)
    assert not any(KEY in str(event) for event in failed.all_events)
    assert _in_use(stocked, tenant_id) == "all-MiniLM-L6-v2"
    assert lake.read("event_tags", tenant_id).equals(tags)

    done = _run(stocked, instance)
    assert done.success
    said = _metadata(done)
    assert (said["model"], said["dimension"], said["changed_model"]) == ("some-model", 8, 2)
    assert said["new_texts"] == said["distinct_texts"] - 20
    # Afterwards the classifiers ask for the examples that they learn.
    assert 0 < said["requests"] < len(answers.asked) - 3
    assert said["cost"] == pytest.approx(said["tokens"] * 2.0 / 1_000_000)
    assert _in_use(stocked, tenant_id) == "some-model"
    [coverage] = [one for one in done.get_asset_check_evaluations() if one.check_name == "embedding_coverage"]
    assert coverage.passed
    tagged = lake.read("event_tags", tenant_id)
    assert tagged["seq"].to_list() == tags["seq"].to_list()
    assert not tagged.equals(tags), "classifiers of the new model have their own confidence"

    _choose(stocked, openai_api_key=None)
    asked = len(answers.asked)
    back = _run(stocked, instance)
    assert back.success
    assert (_metadata(back)["changed_model"], _metadata(back)["new_texts"]) == (2, 0)
    assert _in_use(stocked, tenant_id) == "all-MiniLM-L6-v2"
    assert len(answers.asked) == asked
    assert lake.read("event_tags", tenant_id).equals(tags), "back to the classifiers of before"
