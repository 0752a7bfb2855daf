"""What is derived from the lake, on a real Postgres, without Dagster and without the embedding model."""

import hashlib
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from audit_pipelines.derive import (
    anomalies,
    embedders,
    embeddings,
    features,
    models,
    readings,
    reporting,
    scoring,
    sources,
    tagging,
    training,
)
from audit_pipelines.derive.controls import check_controls
from audit_pipelines.derive.walk_forward import SEED
from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.generator.generate import generate
from audit_pipelines.generator.vocabulary import SPECS
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.intelligence.detectors import walk_forward
from audit_pipelines.intelligence.render import label_words
from audit_pipelines.intelligence.search.readings import Reading
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.access import Access
from audit_pipelines.ledger.event import Event
from audit_pipelines.settings import Settings


class HashEmbedder:
    """Vectors out of a hash: the same for the same text, and free."""

    def __init__(self, name: str = "hash") -> None:
        self.name = name
        self.dimension = 16
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        rows = [np.frombuffer(hashlib.shake_128(text.encode()).digest(16), dtype=np.uint8) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), 16) + 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def story() -> list[Event]:
    """1,500 events of a small company."""
    return generate(5, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8).events[:1500]


@pytest.fixture
def stocked(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> Installation:
    installation.ledger.append(tenant_id, story)
    _export(installation)
    return installation


def _export(installation: Installation) -> None:
    today = datetime.now(UTC).date()
    export_window(installation, date(2025, 1, 1), today + timedelta(days=1), run_id="test")


def _rows(installation: Installation, sql: str, *parameters: object):
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(sql, parameters).fetchall()


def _scored(installation: Installation) -> None:
    features.update_event_features(installation, run_id="test")
    scoring.score_events(installation, run_id="test")


def test_each_text_is_embedded_once(stocked: Installation, tenant_id: uuid.UUID, story: list[Event]) -> None:
    embedder = HashEmbedder()
    (first,) = embeddings.update_embeddings(stocked, embedder, run_id="test")
    assert first.new_events == 1500
    assert first.new_texts == first.texts == len(embedder.seen) - first.new_sentences
    assert len(embedder.seen) == len(set(embedder.seen))
    assert [(one.events, one.embedded) for one in embeddings.coverage(stocked)] == [(1500, 1500)]

    known = msgspec.structs.replace(story[0], event_id="again")
    stocked.ledger.append(tenant_id, [known, Event(event_type="moon.landed", entity_type="rocket", entity_id="r1")])
    _export(stocked)
    (second,) = embeddings.update_embeddings(stocked, embedder, run_id="test")
    assert (second.new_events, second.new_texts) == (2, 1)
    new = embedder.seen[-1 - second.new_sentences :]
    assert new[0].startswith("moon landed; rocket")
    assert new[1] == "moon landed"
    assert len(embedder.seen) == len(set(embedder.seen))


def test_sentences_for_new_kinds_are_there_before_the_first_question(stocked: Installation) -> None:
    """Else it would pay 4 s for them."""
    (first,) = embeddings.update_embeddings(stocked, HashEmbedder(), run_id="test")
    assert first.new_sentences > 100
    asked = HashEmbedder()
    kinds = {Reading(label_words(name), failed) for name in SPECS for failed in (False, True)}
    known = {Reading(event, failed) for event in _events(stocked) for failed in (False, True)}
    assert known <= kinds
    assert len(known) > 100
    readings.of_installation(stocked, asked).nearness(known, HashEmbedder().encode(["who is it?"])[0])
    assert not asked.seen
    (second,) = embeddings.update_embeddings(stocked, asked, run_id="test")
    assert second.new_sentences == 0


@pytest.mark.parametrize("left", [0, 100])
def test_a_file_of_sentences_that_is_cut_off_is_made_anew(stocked: Installation, left: int) -> None:
    embedder, kinds = HashEmbedder(), {Reading("sso login"), Reading("db export")}
    made = readings.of_installation(stocked, embedder).learn(kinds)
    (path,) = (stocked.settings.storage_dir / "embedders").glob("readings-*.npz")
    path.write_bytes(path.read_bytes()[:left])
    assert readings.of_installation(stocked, embedder).learn(kinds) == made > 0
    assert readings.of_installation(stocked, embedder).learn(kinds) == 0


def _events(installation: Installation) -> set[str]:
    return {event.split("; ")[0] for (event,) in _rows(installation, "select text from audit_embeddings")}


def test_a_vector_is_stored_as_it_was_made(stocked: Installation, tenant_id: uuid.UUID) -> None:
    embedder = HashEmbedder()
    embeddings.update_embeddings(stocked, embedder, run_id="test")
    with stocked.database.connection("audit_pipeline") as conn:
        texts = training.read_texts(conn, tenant_id, embedders.embedding_model(embedder))
    assert (texts.vectors == HashEmbedder().encode(texts.texts)).all()
    assert sum(texts.events) == texts.trained_on.rows == 1500


def test_another_model_embeds_the_old_texts_too(stocked: Installation) -> None:
    embeddings.update_embeddings(stocked, HashEmbedder(), run_id="test")
    other = HashEmbedder("other")
    (update,) = embeddings.update_embeddings(stocked, other, run_id="test")
    assert update.new_events == 0
    assert update.new_texts == update.texts > 0
    assert [(one.events, one.embedded) for one in embeddings.coverage(stocked)] == [(1500, 1500)]


def test_scores_are_those_of_a_walk_through_the_past(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    lake = Lake(stocked.settings.lake_dir)
    scores = lake.read("event_scores", tenant_id)
    expected = walk_forward(lake.read("event_features", tenant_id), seed=SEED)
    assert scores["seq"].to_list() == expected["seq"].to_list()
    assert scores["score"].to_list() == expected["score"].to_list()
    registered = dict(_rows(stocked, "select model_id, training_rows from audit_ml_models"))
    place = pl.int_range(scores.height, eager=True)
    for model_id, first in zip(scores["model_id"], place, strict=True):
        assert registered[model_id] <= first


def test_new_events_leave_old_scores_as_they_are(
    installation: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    in_order = sorted(story, key=lambda event: event.occurred_at)
    installation.ledger.append(tenant_id, in_order[:1000])
    _export(installation)
    _scored(installation)
    training.train_anomaly_detector(installation, run_id="test")
    before = Lake(installation.settings.lake_dir).read("event_scores", tenant_id)

    installation.ledger.append(tenant_id, in_order[1000:])
    _export(installation)
    _scored(installation)
    after = Lake(installation.settings.lake_dir).read("event_scores", tenant_id)
    assert after.height == 1500
    assert after.head(1000).equals(before)
    # The detector trained on the first thousand takes over where its training ends.
    trained = _rows(installation, "select model_id from audit_ml_models where training_rows = 1000")
    assert after["model_id"][1000] == trained[0][0]


def test_training_again_gives_the_same_digest(stocked: Installation) -> None:
    embedder = HashEmbedder()
    embeddings.update_embeddings(stocked, embedder, run_id="test")
    features.update_event_features(stocked, run_id="test")

    def train() -> list[tuple[str, bool]]:
        done = training.train_anomaly_detector(stocked, run_id="test")
        done += training.train_classifier(stocked, "category_classifier", embedder, run_id="test")
        done += training.train_classifier(stocked, "risk_classifier", embedder, run_id="test")
        return [(one.digest, one.is_new) for one in done]

    first, second = train(), train()
    assert [digest for digest, _ in first] == [digest for digest, _ in second]
    assert {is_new for _, is_new in first} == {True}
    assert {is_new for _, is_new in second} == {False}
    assert _rows(stocked, "select count(*) from audit_ml_models") == [(3,)]


def test_a_model_names_the_checkpoint_over_its_training(stocked: Installation, tenant_id: uuid.UUID) -> None:
    checkpoint = stocked.seal(tenant_id)
    features.update_event_features(stocked, run_id="test")
    training.train_anomaly_detector(stocked, run_id="test")
    ((root, first, last, rows),) = _rows(
        stocked, "select training_root, training_first_seq, training_last_seq, training_rows from audit_ml_models"
    )
    assert root == checkpoint.root
    assert (first, last, rows) == (0, 1499, 1500)


def test_lost_model_files_are_fitted_again_to_the_same_digest(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    before = Lake(stocked.settings.lake_dir).read("event_scores", tenant_id)
    registered = _rows(stocked, "select model_id, trained_at from audit_ml_models order by 1")
    shutil.rmtree(stocked.settings.storage_dir)
    shutil.rmtree(stocked.settings.lake_dir)
    _export(stocked)
    _scored(stocked)
    assert Lake(stocked.settings.lake_dir).read("event_scores", tenant_id).equals(before)
    assert _rows(stocked, "select model_id, trained_at from audit_ml_models order by 1") == registered


def test_a_changed_model_file_scores_nothing(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    for path in (stocked.settings.storage_dir / "ml_models").rglob("*.npz"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    Lake(stocked.settings.lake_dir).dataset_path("event_scores", tenant_id).parent.unlink()
    with pytest.raises(TamperedError):
        scoring.score_events(stocked, run_id="test")


def test_anomalies_are_the_scores_over_the_threshold(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    (update,) = anomalies.update_anomalies(stocked, run_id="first")
    scores = Lake(stocked.settings.lake_dir).read("event_scores", tenant_id)
    over = scores.filter(pl.col("score") >= 0.7)
    assert update.anomalies == update.new == over.height > 0
    rows = _rows(stocked, "select seq, score, model_id, reasons, severity from audit_anomalies order by seq")
    assert [row[:3] for row in rows] == over.sort("seq").select("seq", "score", "model_id").rows()
    assert all(reasons and all(one["text"] for one in reasons) for *_, reasons, _ in rows)
    assert _rows(
        stocked, "select count(*) from audit_anomalies a join audit_logs l using (tenant_id, seq, row_hash)"
    ) == [(over.height,)]


def test_detection_again_keeps_ids_and_verdicts(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    anomalies.update_anomalies(stocked, run_id="first")
    with stocked.database.tenant_connection(tenant_id) as conn:
        conn.execute("update audit_anomalies set verdict = 'benign' where seq = (select min(seq) from audit_anomalies)")
    before = _rows(stocked, "select seq, anomaly_id, verdict, detected_at, run_id from audit_anomalies order by seq")

    (again,) = anomalies.update_anomalies(stocked, run_id="second")
    assert (again.new, again.withdrawn) == (0, 0)
    assert (
        _rows(stocked, "select seq, anomaly_id, verdict, detected_at, run_id from audit_anomalies order by seq")
        == before
    )

    strict = assemble(
        stocked.settings.model_copy(update={"audit_anomaly_threshold": 0.999}), stocked.keyring, stocked.database
    )
    (withdrawn,) = anomalies.update_anomalies(strict, run_id="third")
    assert withdrawn.withdrawn == len(before) - 1
    assert _rows(stocked, "select verdict from audit_anomalies") == [("benign",)]


def test_a_young_tenant_gets_no_anomalies(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> None:
    installation.ledger.append(tenant_id, story[:99])
    _export(installation)
    _scored(installation)
    (update,) = anomalies.update_anomalies(installation, run_id="test")
    assert (update.enough, update.events, update.anomalies) == (False, 99, 0)


def test_every_event_is_tagged(stocked: Installation, tenant_id: uuid.UUID) -> None:
    embedder = HashEmbedder()
    embeddings.update_embeddings(stocked, embedder, run_id="test")
    (update,) = tagging.tag_events(stocked, embedder, run_id="test")
    tags = Lake(stocked.settings.lake_dir).read("event_tags", tenant_id)
    assert update.rows == tags.height == 1500
    assert tags["category"].null_count() == tags["risk"].null_count() == 0
    assert _rows(stocked, "select count(*) from audit_embeddings where category is null or risk is null") == [(0,)]
    (again,) = tagging.tag_events(stocked, embedder, run_id="test")
    assert again.written is None


def test_a_report_is_made_recorded_and_found_complete(stocked: Installation, tenant_id: uuid.UUID) -> None:
    stocked.seal(tenant_id)
    _scored(stocked)
    anomalies.update_anomalies(stocked, run_id="test")
    (made,) = reporting.make_reports(stocked, "security", reporting.Period(), run_id="test")
    assert made.report.totals.events == 1500
    assert made.report.integrity.result == "intact"
    assert made.report.integrity.checkpoint is not None
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.digest
    # Nothing was embedded here, and the check says so.
    (fault,) = reporting.newest_faults(stocked, "security")
    assert "'embedded': 0" in fault.what
    made.path.unlink()
    assert "is gone" in reporting.newest_faults(stocked, "security")[0].what
    assert "has no compliance report" in reporting.newest_faults(stocked, "compliance")[0].what
    with pytest.raises(ValidationError, match="raw_events"):
        reporting.make_reports(stocked, "security", reporting.Period(tenant_id=uuid.uuid4()), run_id="test")


def test_a_report_over_a_broken_chain_says_so(stocked: Installation, tenant_id: uuid.UUID) -> None:
    with stocked.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set entry = entry || ' ' where tenant_id = %s and seq = 7", [tenant_id])
    (made,) = reporting.make_reports(stocked, "compliance", reporting.Period(), run_id="test")
    assert made.report.integrity.result == "tampered"
    assert "seq 7" in made.report.integrity.finding
    chain = next(one for one in made.report.controls if one.control == "Hash chain intact")
    assert chain.result == "fail"


def test_controls_look_at_the_system_itself(stocked: Installation, tenant_id: uuid.UUID) -> None:
    stocked.seal(tenant_id)
    settings = stocked.settings.model_copy(update={"audit_controller": "Example Ltd, Dublin"})
    stocked = replace(stocked, settings=settings)

    def results() -> dict[str, str]:
        (verification,) = stocked.verify(tenant_id)
        return {one.control: one.result for one in check_controls(stocked, verification)}

    assert set(results().values()) == {"pass"}
    with stocked.database.connect_admin() as conn:
        conn.execute("grant update on audit_logs to audit_app")
        conn.execute("alter table audit_anomalies no force row level security")
        conn.execute("set session_replication_role = replica")
        conn.execute("update audit_logs set ip_address = '192.0.2.1' where tenant_id = %s and seq = 0", [tenant_id])
    (stocked.settings.anchors_dir / f"{tenant_id}.notes").unlink()
    assert {control for control, result in results().items() if result == "fail"} == {
        "Hash chain intact",
        "Ledger is append-only",
        "Tenants kept apart",
        "Addresses sealed",
        "Checkpoints anchored outside the database",
    }


def test_the_control_of_anchors_knows_all_of_them(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    addresses = f"file://{tmp_path}/far,file://{blocked}"
    changed = {"audit_anchors": addresses, "audit_home": installation.settings.audit_home}
    anchored = replace(installation, settings=Settings(_env_file=None, **changed))
    anchored.ledger.append(tenant_id, [Event(event_type="a.b", entity_type="record", entity_id="1")])
    anchored.seal(tenant_id)

    def control() -> tuple[str, str]:
        (verification,) = anchored.verify(tenant_id)
        name = "Checkpoints anchored outside the database"
        (one,) = [one for one in check_controls(anchored, verification) if one.control == name]
        return one.result, one.evidence

    result, evidence = control()
    assert result == "fail"
    assert f"file://{tmp_path}/far is behind by 1 events since 20" in evidence
    assert "not tried yet" in evidence
    anchored.anchor_due()
    result, evidence = control()
    assert result == "fail"
    assert "Further anchors configured: 2. file://" in evidence
    assert f"file://{tmp_path}/far has the newest checkpoint." in evidence
    assert f"file://{blocked} is behind by 1 events since 20" in evidence
    assert "the folder cannot be written: Not a directory." in evidence
    changed["audit_anchors"] = f"file://{tmp_path}/far"
    anchored = replace(installation, settings=Settings(_env_file=None, **changed))
    assert control()[0] == "pass"
    far = tmp_path / "far" / f"{tenant_id}.notes"
    far.write_bytes(far.read_bytes()[:-1] + b"x")
    result, evidence = control()
    assert result == "fail"
    assert f"in anchor file://{tmp_path}/far are none that sealing wrote." in evidence


def test_a_source_that_stops_is_silent(stocked: Installation, tenant_id: uuid.UUID) -> None:
    assert sources.silent_sources(stocked) == []
    later = datetime.now(UTC) + timedelta(hours=7)
    (silent,) = sources.silent_sources(stocked, now=later)
    assert silent.tenant_id == tenant_id
    assert sources.stored_events(stocked) == 1500


def test_lineage_names_inputs_by_digest(stocked: Installation, tenant_id: uuid.UUID) -> None:
    _scored(stocked)
    ((inputs, model_id, version),) = _rows(
        stocked,
        "select inputs, model_id, code_version from audit_lineage"
        " where output_kind = 'event_scores' and output_key like '%%/manifest.json'",
    )
    ((head,),) = _rows(stocked, "select encode(head_hash, 'hex') from audit_chain_heads")
    assert inputs[0] == {"kind": "audit_logs", "first_seq": 0, "last_seq": 1499, "digest": head}
    digests = {one["key"]: one["digest"] for one in inputs[1:]}
    assert model_id in digests
    with stocked.database.connection("audit_pipeline") as conn:
        registered = {
            one.model_id: one.digest for one in models.registered(conn, stocked, tenant_id, "anomaly_detector")
        }
    assert digests == registered
    assert "+" in version
    assert json.dumps(inputs)


def test_accesses_are_copied_and_no_behaviour(stocked: Installation, tenant_id: uuid.UUID, story: list[Event]) -> None:
    """A dashboard that asks all the time changes no score; each access still has its row everywhere."""
    _scored(stocked)
    lake = Lake(stocked.settings.lake_dir)
    before = lake.read("event_scores", tenant_id)
    reader = story[0].actor or "auditor"
    for number in range(150):
        access = Access(actor=reader, action="events.list", filters={"outcome": "failure"}, result_count=number)
        stocked.access_log.record(tenant_id, access)
    only_read = uuid.uuid4()
    for _ in range(120):
        stocked.access_log.record(only_read, Access(actor="auditor", action="events.list", filters={}, result_count=0))
    _export(stocked)
    embedder = HashEmbedder()
    embeddings.update_embeddings(stocked, embedder, run_id="test")
    training.train_anomaly_detector(stocked, run_id="test")
    _scored(stocked)
    features.update_actor_features(stocked, run_id="test")
    updates = anomalies.update_anomalies(stocked, run_id="test")

    after = lake.read("event_scores", tenant_id)
    business = after.filter(pl.col("model_id") != "")
    assert business.sort("seq").drop("model_id").equals(before.sort("seq").drop("model_id"))
    assert after.height == lake.events(tenant_id).height == len(story) + 150
    assert after.filter(pl.col("model_id") == "")["score"].unique().to_list() == [0.0]
    assert lake.read("event_features", tenant_id).height == len(story)
    assert lake.read("event_scores", only_read).height == lake.events(only_read).height == 120
    assert {update.tenant_id: update.enough for update in updates} == {tenant_id: True, only_read: False}
    texts = _rows(stocked, "select distinct text from audit_embeddings where text like 'audit access%%'")
    assert texts == [("audit access events list; audit access; success",)]
    assert all(one.events == one.embedded for one in embeddings.coverage(stocked))


def test_reading_is_no_sign_that_a_source_lives(stocked: Installation, tenant_id: uuid.UUID) -> None:
    late = datetime.now(UTC) + timedelta(days=2)
    stocked.access_log.record(tenant_id, Access(actor="auditor", action="events.list", filters={}, result_count=0))
    [(last,)] = _rows(stocked, "select max(recorded_at) from audit_logs where entity_type <> 'audit.access'")
    [silent] = sources.silent_sources(stocked, now=late)
    assert silent.last_recorded_at == last
