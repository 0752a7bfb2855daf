"""Asking over HTTP with a chat model that obeys what attackers wrote into events: all that it words is the answer."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from test_server_running import Api, serving

from audit_pipelines.db.database import Database
from audit_pipelines.installation import assemble
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import Settings
from tests.integration.chat_servers import Chat, chat_server, honest
from tests.integration.embedding_servers import KEY
from tests.integration.prompt_injections import INJECTIONS

# A model has 90 % of it; the rest is the search's: half a second, on a machine that does three other things.
TIMEOUT_S = 5.0
NOW = datetime.now(UTC)
# A day, not a stretch of time before now, so that the same question asks the same.
QUERY = f"failed logins by alice@example.com since {NOW - timedelta(days=7):%Y-%m-%d}"
ALL = "show me all events"


@dataclass(frozen=True)
class World:
    """A served installation whose events hold injections, and the chat model that it asks."""

    api: Api
    chat: Chat
    tenant: UUID
    other: UUID


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    fresh_database: Callable[[Settings], AbstractContextManager[Database]],
) -> Iterator[World]:
    home = tmp_path_factory.mktemp("chat") / "home"
    with chat_server() as chat:
        settings = Settings(
            _env_file=None,
            audit_home=home,
            audit_embedder="minilm",
            openai_api_key=SecretStr(KEY),
            openai_base_url=chat.url,
            openai_chat_model="some-model",
            openai_timeout=TIMEOUT_S,
            openai_max_retries=0,
        )
        with fresh_database(settings) as database:
            installation = assemble(settings, open_keyring(settings), database)
            with serving(installation) as api:
                tenant, other = uuid4(), uuid4()
                post(api, tenant)
                post(api, other)
                yield World(api, chat, tenant, other)


def post(api: Api, tenant: UUID) -> None:
    """Store an ordinary login, then every injection in the fields of one that failed."""
    events = [
        {
            "event_type": "user.login",
            "entity_type": "document",
            "entity_id": f"of-{tenant}",
            "actor": "alice@example.com",
            "outcome": "failure",
            "occurred_at": (NOW - timedelta(minutes=1)).isoformat(),
            "action_details": {"note": each.text.replace("\x00", "")},
        }
        for each in INJECTIONS
    ]
    printable = [each for each in INJECTIONS if each.text.isprintable() and len(each.text) < 200]
    for event, each in zip(events, printable, strict=False):
        event |= {"entity_id": each.text, "user_agent": each.text}
    answer = api.client(tenant).post("/api/audit/events/batch", json=events)
    assert answer.status_code == 201, answer.text


def ask(world: World, query: str, tenant: UUID | None = None, *permissions: str, **body: object) -> dict:
    client = world.api.client(tenant or world.tenant, *(permissions or ("audit:read",)))
    response = client.post("/api/audit/search", json={"query": query, "time_zone": "Europe/Berlin", **body})
    assert response.status_code == 200, response.text
    return dict(response.json())


def settled(found: dict) -> dict:
    """Return what was settled before a model was asked."""
    return {name: value for name, value in found.items() if name not in {"answer", "sources"}}


@pytest.mark.parametrize("query", [QUERY, ALL])
def test_an_obeying_model_changes_nothing_but_who_wrote_the_answer(world: World, query: str) -> None:
    def says(_: dict) -> str:
        return "\n".join(f"{each.obeyed} [1].\n{each.obeyed}" for each in INJECTIONS)

    world.chat.says = says
    before = ask(world, query, answer=False)
    found = ask(world, query, limit=50)
    assert settled(found) == settled(before)
    assert found["total"] == len(INJECTIONS)
    assert found["answer"]["generated_by"] == "composed"
    numbers = [source["number"] for source in found["sources"]]
    assert set(found["answer"]["cited"]) <= set(numbers)
    assert str(world.other) not in json.dumps(found)
    results = {result["event_id"] for result in found["results"]}
    assert {source["event_id"] for source in found["sources"]} <= results


def test_an_honest_model_is_named_and_names_are_for_those_allowed(world: World) -> None:
    world.chat.says = honest
    found = ask(world, QUERY, limit=7)
    assert found["answer"]["generated_by"] == "some-model"
    assert "alice" not in found["answer"]["text"]
    named = ask(world, QUERY, None, "audit:read", "audit:privacy", limit=7)
    assert "alice@example.com did user.login" in named["answer"]["text"]
    assert named["answer"]["cited"] == found["answer"]["cited"] != []
    sent = b" ".join(body for *_, body in world.chat.server.requests).decode()
    assert "alice" not in sent
    assert str(world.tenant) not in sent
    assert not [each.text for each in INJECTIONS if len(each.text) > 25 and each.text in sent]


def test_a_model_that_does_not_answer_costs_no_more_than_its_time(world: World) -> None:
    world.chat.server.fault = "slow body"
    try:
        started = time.monotonic()
        found = ask(world, f"failed logins since {NOW - timedelta(days=6):%Y-%m-%d}")
        assert time.monotonic() - started < TIMEOUT_S
    finally:
        world.chat.server.fault = None
    assert found["answer"]["generated_by"] == "composed"
    assert found["answer"]["text"].startswith("The trail shows 65 events")


def test_what_was_asked_and_answered_is_kept_without_names(world: World) -> None:
    world.chat.says = honest
    ask(world, "logins by alice@example.com since yesterday", limit=3)
    with world.api.installation.database.connect_admin() as conn:
        (kept,) = conn.execute(
            "select filters from audit_access_log where tenant_id = %s and action = 'events.search' "
            "order by seq desc limit 1",
            [world.tenant],
        ).fetchone() or ({},)
    assert kept["generated_by"] == "some-model"
    assert "user.login" in kept["answer"]
    assert "alice" not in json.dumps(kept)
