"""Which model embeds a tenant's texts: chosen by settings, paid for once, and changed without a moment in between."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from audit_pipelines.db import migrate
from audit_pipelines.db.database import Database
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.db.queries import query
from audit_pipelines.derive import embeddings, tagging
from audit_pipelines.derive.embedders import default_embedder, embedder_in_use, embedding_model, is_local, model_in_use
from audit_pipelines.derive.training import read_texts
from audit_pipelines.errors import ConfigurationError, EmbeddingServerError
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import MiniLMEmbedder
from audit_pipelines.intelligence.embedding_server import OpenAIEmbedder
from audit_pipelines.intelligence.onnx_folder import OnnxFolderEmbedder
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from tests.integration.anchor_servers import Reply
from tests.integration.embedding_servers import KEY, Embeddings, embedding_server, vectors_of
from tests.unit.intelligence.onnx_models import write_model

EVENTS = 600
LANDED = "moon landed; rocket; outcome unknown"
BUSY: Reply = (500, {}, b"{}")


@pytest.fixture(scope="module")
def story() -> list[Event]:
    """Events of a small company, of some 80 texts."""
    return generate(5, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8).events[:EVENTS]


@pytest.fixture
def answers() -> Iterator[Embeddings]:
    with embedding_server() as answers:
        yield answers


@pytest.fixture
def stocked(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> Installation:
    installation.ledger.append(tenant_id, story)
    export(installation)
    return installation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model on this machine, of two numbers a text."""
    return write_model(tmp_path / "own-model")


def export(installation: Installation) -> None:
    export_window(installation, date(2025, 1, 1), datetime.now(UTC).date() + timedelta(days=1), run_id="test")


def with_settings(installation: Installation, **changed: Any) -> Installation:
    return replace(installation, settings=installation.settings.model_copy(update=changed))


def by_server(installation: Installation, answers: Embeddings, **changed: Any) -> Installation:
    """The same installation, whose settings choose the server."""
    chosen: dict[str, Any] = {
        "openai_api_key": SecretStr(KEY),
        "openai_base_url": answers.url,
        "openai_embedding_model": "some-model",
        "openai_embedding_batch_size": 10,
        "openai_max_retries": 0,
    }
    return with_settings(installation, **chosen | changed)


def by_folder(installation: Installation, folder: Path) -> Installation:
    return with_settings(installation, audit_embedding_model_dir=folder)


def update(installation: Installation) -> list[embeddings.EmbeddingUpdate]:
    return embeddings.update_embeddings(installation, default_embedder(installation), run_id="test")


def rows(installation: Installation, sql: str, *parameters: object) -> list[Any]:
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(sql, parameters).fetchall()


def in_use(installation: Installation, tenant_id: uuid.UUID) -> str:
    [(name,)] = rows(installation, "select name from audit_embedding_models where tenant_id = %s and in_use", tenant_id)
    return name


def texts_of(installation: Installation) -> set[str]:
    return {text for (text,) in rows(installation, "select text from audit_embeddings")}


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, MiniLMEmbedder),
        ({"openai_api_key": SecretStr("k")}, OpenAIEmbedder),
        ({"openai_api_key": SecretStr("k"), "audit_embedder": "minilm"}, MiniLMEmbedder),
        ({"openai_base_url": "https://embeddings.example/v1"}, MiniLMEmbedder),
        ({"audit_embedding_model_dir": Path("model")}, OnnxFolderEmbedder),
        ({"audit_embedding_model_dir": Path("model"), "openai_api_key": SecretStr("k")}, OnnxFolderEmbedder),
    ],
)
def test_settings_choose_who_embeds(installation: Installation, changed: dict[str, Any], kind: type) -> None:
    embedder = default_embedder(with_settings(installation, **changed))
    assert type(embedder) is kind
    assert is_local(embedder) == (kind is not OpenAIEmbedder)


@pytest.mark.parametrize(("chosen", "lacking"), [("onnx", "AUDIT_EMBEDDING_MODEL_DIR"), ("openai", "OPENAI_API_KEY")])
def test_a_choice_that_lacks_its_setting_says_which(installation: Installation, chosen: str, lacking: str) -> None:
    with pytest.raises(ConfigurationError, match=lacking):
        default_embedder(with_settings(installation, audit_embedder=chosen))


def test_what_a_server_gave_is_stored_with_what_it_cost(
    stocked: Installation, tenant_id: uuid.UUID, answers: Embeddings
) -> None:
    installation = by_server(stocked, answers, openai_embedding_price=0.5)
    [done] = update(installation)
    assert done.new_events == EVENTS
    # The first request asked for a word, to learn how long vectors are.
    assert answers.asked[0] == ["event"]
    assert done.new_texts == done.texts == len(set(answers.texts)) - 1 > 50
    assert (done.spent.tokens, done.spent.requests) == (answers.tokens - 1, len(answers.asked) - 1)
    [(name, dimension, digest, source, used, requests, tokens)] = rows(
        installation,
        "select name, dimension, digest, source, in_use, requests, tokens from audit_embedding_models",
    )
    assert (name, dimension, used) == ("some-model", 8, True)
    assert digest == default_embedder(installation).digest
    assert source == answers.url
    assert (requests, tokens) == (done.spent.requests, done.spent.tokens)
    inputs = [
        one for (each,) in rows(installation, "select inputs from audit_lineage where output_kind = 'text_vectors'")
        for one in each
    ]  # fmt: skip
    assert sum(one["tokens"] for one in inputs) == tokens
    assert sum(one["cost"] for one in inputs) == pytest.approx(tokens * 0.5 / 1_000_000)
    assert {(one["key"], one["digest"], one["server"]) for one in inputs} == {
        ("some-model", digest, f"127.0.0.1:{answers.server.port}")
    }
    with installation.database.connection("audit_pipeline") as conn:
        texts = read_texts(conn, tenant_id, model_in_use(conn, tenant_id, default_embedder(installation)))
    np.testing.assert_array_equal(texts.vectors, vectors_of(texts.texts, 8))

    asked = len(answers.asked)
    [again] = update(installation)
    assert (again.new_events, again.new_texts, len(answers.asked)) == (0, 0, asked), "nothing new, nothing asked"


def test_what_was_paid_for_is_not_paid_again_when_a_server_fails(stocked: Installation, answers: Embeddings) -> None:
    installation = by_server(stocked, answers)
    answers.next += [None, None, None, None, BUSY]
    with pytest.raises(EmbeddingServerError, match="the next run goes on from there"):
        update(installation)
    assert rows(installation, "select count(embedding) from audit_embeddings") == [(30,)]
    assert rows(installation, "select sum(requests) from audit_embedding_models") == [(4,)]
    in_flight = answers.asked[-1]
    update(installation)
    times = Counter(answers.texts) - Counter(["event"])
    assert {text for text, count in times.items() if count > 1} == set(in_flight)
    assert max(times.values()) == 2
    assert [one.embedded for one in embeddings.coverage(installation)] == [EVENTS]


def test_what_was_paid_for_is_not_paid_again_after_a_kill(
    stocked: Installation, answers: Embeddings, postgres: EmbeddedPostgres
) -> None:
    reached = threading.Event()
    killed = threading.Event()

    def wait_for_the_kill(answer: dict[str, Any]) -> dict[str, Any]:
        reached.set()
        assert killed.wait(60)
        return answer

    answers.next += [None, None, None, None, wait_for_the_kill]
    worker = Path(__file__).with_name("embedding_worker.py")
    arguments = [postgres.home, stocked.database._dbname, stocked.settings.audit_home]
    url = answers.url
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, worker, *map(str, arguments), url], env=os.environ | {"PYTHONPATH": str(root)}
    ) as process:
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
    killed.set()
    assert rows(stocked, "select count(embedding) from audit_embeddings") == [(30,)]
    in_flight = answers.asked[4]
    update(by_server(stocked, answers))
    times = Counter(answers.texts) - Counter(["event"])
    assert {text for text, count in times.items() if count > 1} <= set(in_flight)
    assert set(times) == texts_of(stocked)


def test_a_permanent_refusal_loses_no_event(stocked: Installation, answers: Embeddings) -> None:
    installation = by_server(stocked, answers)
    answers.next += [None, (401, {}, b"{}")]
    with pytest.raises(EmbeddingServerError, match="OPENAI_API_KEY"):
        update(installation)
    assert rows(installation, "select count(*) from audit_event_texts") == [(EVENTS,)]
    assert [(one.events, one.embedded) for one in embeddings.coverage(installation)] == [(EVENTS, 0)]
    update(installation)
    assert [one.embedded for one in embeddings.coverage(installation)] == [EVENTS]


def nearest(installation: Installation, tenant_id: uuid.UUID, text: str) -> tuple[str, float]:
    """The text that search finds for a text, as the server does it, and how near it is."""
    with installation.database.connection("audit_pipeline") as conn:
        embedder = embedder_in_use(installation, conn, tenant_id)
    assert embedder is not None
    [vector] = embedder.encode([text])
    parameters = {"model": embedding_model(embedder), "embedding": embeddings.vector_text(vector), "limit": 1}
    with installation.database.tenant_connection(tenant_id) as conn:
        _, found, _, _, similarity = conn.execute(query("server/select_nearest_texts"), parameters).fetchone()
    return found, similarity


def test_a_change_of_model_is_seen_by_nobody_until_it_is_whole(
    stocked: Installation, tenant_id: uuid.UUID, folder: Path, answers: Embeddings
) -> None:
    update(by_folder(stocked, folder))
    tagging.tag_events(stocked, default_embedder(by_folder(stocked, folder)), run_id="test")
    installation = by_server(stocked, answers, audit_embedding_model_dir=folder, audit_embedder="openai")
    [(tagged,)] = rows(installation, "select count(category) from audit_embeddings")
    assert tagged == len(texts_of(installation)) > 50

    # New events come while the new model's server fails: the old model, which is here, goes on.
    answers.next += [None, None, None, (503, {"Retry-After": "3600"}, b"{}")]
    installation.ledger.append(tenant_id, [Event(event_type="moon.landed", entity_type="rocket", entity_id="r")])
    export(installation)
    with pytest.raises(EmbeddingServerError):
        update(installation)
    assert in_use(installation, tenant_id) == folder.name
    assert [(one.events, one.embedded) for one in embeddings.coverage(installation)] == [(EVENTS + 1, EVENTS + 1)]
    # It has two numbers a text, so several texts may lie in one place.
    assert nearest(installation, tenant_id, LANDED)[1] > 0.999
    [done] = tagging.tag_events(installation, default_embedder(installation), run_id="test")
    assert done.written is not None

    seen: list[tuple[str, int, int]] = []
    wholly_done = threading.Event()

    def look() -> None:
        while not wholly_done.is_set():
            with installation.database.tenant_connection(tenant_id) as conn:
                seen.append(
                    conn.execute(
                        "select max(m.name), count(*), count(e.category) from audit_event_texts t "
                        "join audit_embedding_models m on m.in_use "
                        "join audit_embeddings e on e.model = m.model and e.text_hash = t.text_hash "
                        "where e.embedding is not null"
                    ).fetchone()
                )

    looker = threading.Thread(target=look)
    looker.start()
    [done] = update(installation)
    wholly_done.set()
    looker.join()
    assert done.former is not None
    assert done.former.startswith(f"{folder.name}@")
    assert in_use(installation, tenant_id) == "some-model"
    assert {name for name, _, _ in seen} <= {folder.name, "some-model"}
    assert {(embedded, tagged) for _, embedded, tagged in seen} == {(EVENTS + 1, EVENTS + 1)}
    assert len(set(answers.texts)) == len(texts_of(installation)) + 1
    assert len(answers.texts) == len(set(answers.texts)) + 10, "only the batch that failed was asked for twice"
    assert nearest(installation, tenant_id, LANDED)[0] == LANDED

    [tagged_again] = tagging.tag_events(installation, default_embedder(installation), run_id="test")
    assert tagged_again.written is not None, "classifiers of the new model tag everything anew"


def test_vectors_that_are_not_used_wait_for_a_week(
    stocked: Installation, tenant_id: uuid.UUID, folder: Path, answers: Embeddings
) -> None:
    kept = (
        "select m.name, count(e.embedding) from audit_embedding_models m "
        "left join audit_embeddings e using (tenant_id, model) group by 1 order by 1"
    )
    update(by_folder(stocked, folder))
    chosen = by_server(stocked, answers)
    update(chosen)
    count = len(texts_of(stocked))
    assert rows(stocked, kept) == [(folder.name, count), ("some-model", count)]
    asked = len(answers.asked)

    update(by_folder(stocked, folder))
    update(chosen)
    assert len(answers.asked) == asked, "who changes there and back pays once"

    with stocked.database.connect_admin() as conn:
        conn.execute("update audit_embedding_models set used_at = used_at - interval '8 days'")
    update(chosen)
    assert rows(stocked, kept) == [(folder.name, 0), ("some-model", count)]
    assert rows(stocked, "select removed_at is null from audit_embedding_models order by name") == [(False,), (True,)]
    update(by_folder(stocked, folder))
    assert in_use(stocked, tenant_id) == folder.name
    assert rows(stocked, "select count(*) from audit_embedding_models where removed_at is not null") == [(0,)]


def test_tenants_share_no_vector(stocked: Installation, story: list[Event], answers: Embeddings) -> None:
    stocked.ledger.append(uuid.uuid4(), story)
    export(stocked)
    first, second = update(by_server(stocked, answers))
    assert first.new_texts == second.new_texts == len(texts_of(stocked))
    assert set(Counter(answers.texts).values()) - {1} == {2}, "each asked for its own"


def test_an_erasure_waits_for_no_server(stocked: Installation, tenant_id: uuid.UUID, answers: Embeddings) -> None:
    installation = by_server(stocked, answers)
    update(installation)
    asked = len(answers.asked)
    answers.default = BUSY
    # Texts of before, as another version of the rendering made them.
    with stocked.database.connect_admin() as conn:
        conn.execute("update audit_embeddings set text_hash = sha256(text_hash)")
        conn.execute("update audit_event_texts set text_hash = sha256(text_hash)")
    embeddings.render_again(
        installation, default_embedder(installation), tenant_id, [3, 4, 5], because={"kind": "test"}, run_id="test"
    )
    assert len(answers.asked) == asked
    assert [one.embedded for one in embeddings.coverage(installation)] == [EVENTS - 3]
    answers.default = None
    update(installation)
    assert [one.embedded for one in embeddings.coverage(installation)] == [EVENTS]


def test_a_model_that_is_not_to_be_had_any_more_is_nobodys(
    stocked: Installation, tenant_id: uuid.UUID, folder: Path, answers: Embeddings
) -> None:
    def used(installation: Installation) -> object:
        with installation.database.connection("audit_pipeline") as conn:
            return embedder_in_use(installation, conn, tenant_id)

    assert used(stocked) is None
    update(by_server(stocked, answers))
    assert used(stocked) is None, "without its address there is no asking"
    renamed = by_server(stocked, answers, openai_embedding_model="the next one")
    assert embedding_model(used(renamed)) == embedding_model(default_embedder(by_server(stocked, answers)))  # type: ignore[arg-type]
    update(by_folder(stocked, folder))
    assert isinstance(used(stocked), OnnxFolderEmbedder)
    (folder / "model.onnx").unlink()
    assert used(stocked) is None


def test_texts_of_a_model_of_another_length_do_not_get_in_the_way(
    stocked: Installation, tenant_id: uuid.UUID, folder: Path, answers: Embeddings
) -> None:
    answers.dimension = 1536
    update(by_folder(stocked, folder))
    update(by_server(stocked, answers))
    assert rows(stocked, "select distinct vector_dims(embedding) from audit_embeddings order by 1") == [(2,), (1536,)]
    for text in sorted(texts_of(stocked))[:5]:
        assert nearest(by_server(stocked, answers), tenant_id, text)[0] == text


def test_an_upgrade_keeps_the_newest_model_in_use_and_a_downgrade_the_one_in_use(
    database: Database, tenant_id: uuid.UUID
) -> None:
    with database.connect_admin() as conn:
        migrate.rollback(conn, 18)
        for model, vector, at in (("old@1", "[1]", "2026-01-01"), ("new@2", "[1,0]", "2026-02-01")):
            conn.execute(
                "insert into audit_embeddings (tenant_id, model, text_hash, text, embedding, created_at) "
                "values (%s, %s, sha256('a'), 'a', %s, %s)",
                [tenant_id, model, vector, at],
            )
        migrate.migrate(conn)
        read = "select model, name, dimension, in_use from audit_embedding_models order by model"
        assert conn.execute(read).fetchall() == [("new@2", "new", 2, True), ("old@1", "old", 1, False)]
        conn.execute(
            "insert into audit_embeddings (tenant_id, model, text_hash, text) values (%s, 'new@2', sha256('b'), 'b')",
            [tenant_id],
        )
        migrate.rollback(conn, 18)
        assert conn.execute("select model, text from audit_embeddings").fetchall() == [("new@2", "a")]
