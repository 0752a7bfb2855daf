"""The life of models on a real Postgres: registered, compared, used or put aside, overruled, and made again."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import psycopg
import pytest

from audit_pipelines.derive import drift, embeddings, features, promotion, scoring, tagging, training, walk_forward
from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.detectors import fit
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event


class WordEmbedder:
    """Bags of hashed words: texts that share words lie near each other, and it costs nothing."""

    name = "words"
    dimension = 64
    digest = hashlib.sha256(b"words").hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.replace(";", "").replace(",", "").split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
                vectors[row] += np.random.default_rng(seed).standard_normal(self.dimension)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


EMBEDDER = WordEmbedder()


@pytest.fixture(scope="module")
def story() -> list[Event]:
    """2,500 events of a small company, none of which arrives late: prefixes of the history stay what they were."""
    events = generate(7, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8).events
    return sorted(events, key=lambda event: event.occurred_at or datetime.min.replace(tzinfo=UTC))[:2500]


@pytest.fixture
def stocked(installation: Installation, tenant_id: uuid.UUID, story: list[Event]) -> Installation:
    _come(installation, tenant_id, story[:1200])
    return installation


def _come(installation: Installation, tenant_id: uuid.UUID, events: Sequence[Event]) -> None:
    installation.ledger.append(tenant_id, list(events))
    export_window(installation, date(2025, 1, 1), datetime.now(UTC).date() + timedelta(days=1), run_id="test")
    features.update_event_features(installation, run_id="test")
    embeddings.update_embeddings(installation, EMBEDDER, run_id="test")


def _rows(installation: Installation, sql: str, *parameters: object):
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(sql, parameters).fetchall()


def _detector(installation: Installation):
    (trained,) = training.train_anomaly_detector(installation, run_id="test")
    return trained


def _classifier(installation: Installation, **arguments: object):
    (trained,) = training.train_classifier(installation, "risk_classifier", EMBEDDER, run_id="test", **arguments)
    return trained


def test_a_detector_that_is_not_worse_takes_over(
    stocked: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    first = _detector(stocked)
    assert first.decision is not None
    assert first.decision.used
    _come(stocked, tenant_id, story[1200:2400])
    second = _detector(stocked)
    assert second.decision is not None
    assert second.decision.used, second.decision.reason
    assert second.decision.compared_with == first.model_id
    assert "neither was fitted on" in second.decision.reason
    assert _rows(stocked, "select model_id, used, decided_by from audit_model_decisions order by decision_id") == [
        (first.model_id, True, "training"),
        (second.model_id, True, "training"),
    ]
    assert len(_rows(stocked, "select 1 from audit_lineage where output_kind = 'model_decision'")) == 2
    assert first.metrics["later"]["alert_share"] < 0.05


def test_a_worse_detector_is_kept_and_scores_nothing(
    stocked: Installation, tenant_id: uuid.UUID, story: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted on features that were muffled, it finds everything odd."""
    first = _detector(stocked)
    _come(stocked, tenant_id, story[1200:2400])

    def muffled(past: pl.DataFrame, *, seed: int, events: int | None = None):
        quiet = past.with_columns(pl.col(pl.Float64) * 0.1)
        return fit(quiet.with_columns(past["risk"], past["tenant_events"]), seed=seed, events=events)

    with monkeypatch.context() as patched:
        patched.setattr(walk_forward, "fit", muffled)
        patched.setattr("audit_pipelines.derive.detector_choice.fit", muffled)
        worse = _detector(stocked)
    assert worse.decision is not None
    assert not worse.decision.used
    assert "excess_alerts" in worse.decision.reason
    assert len(_rows(stocked, "select 1 from audit_ml_models where model_id = %s", worse.model_id)) == 1
    _come(stocked, tenant_id, story[2400:])
    scoring.score_events(stocked, run_id="test")
    used = set(Lake(stocked.settings.lake_dir).read("event_scores", tenant_id, ("model_id",))["model_id"])
    assert worse.model_id not in used
    assert first.model_id in used

    owner = promotion.override(stocked, worse.model_id, used=True, reason="we want to see it", run_id="by hand")
    assert owner == tenant_id
    scoring.score_events(stocked, run_id="test")
    used = set(Lake(stocked.settings.lake_dir).read("event_scores", tenant_id, ("model_id",))["model_id"])
    assert worse.model_id in used
    ((by, reason),) = _rows(
        stocked, "select decided_by, reason from audit_model_decisions order by decision_id desc limit 1"
    )
    assert (by, reason) == ("operator", "we want to see it")


def test_a_worse_classifier_is_kept_and_tags_nothing(
    stocked: Installation, tenant_id: uuid.UUID, story: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _classifier(stocked)
    _come(stocked, tenant_id, story[1200:2400])
    right = training.train

    def confused(kind, texts, vectors, structure, **arguments):
        return right(kind, texts, vectors[::-1], structure[::-1], **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training, "train", confused)
        worse = _classifier(stocked)
    assert worse.decision is not None
    assert not worse.decision.used
    assert "worse on" in worse.decision.reason
    tagging.tag_events(stocked, EMBEDDER, run_id="test")
    ((inputs,),) = _rows(stocked, "select inputs from audit_lineage where output_kind = 'event_tags'")
    keys = {one.get("key") for one in inputs}
    assert first.model_id in keys
    assert worse.model_id not in keys
    with stocked.database.connection("audit_pipeline") as conn:
        in_use = promotion.in_use(conn, stocked, tenant_id, "risk_classifier")
    assert in_use is not None
    assert in_use.model_id == first.model_id
    promotion.override(stocked, first.model_id, used=False, reason="tried", run_id="by hand")
    with stocked.database.connection("audit_pipeline") as conn:
        assert promotion.in_use(conn, stocked, tenant_id, "risk_classifier") is None


def test_decisions_need_a_reason_a_model_and_its_file(stocked: Installation) -> None:
    trained = _detector(stocked)
    with pytest.raises(ValidationError, match="--reason"):
        promotion.override(stocked, trained.model_id, used=False, reason=" ", run_id="by hand")
    with pytest.raises(ValidationError, match="found 0"):
        promotion.override(stocked, "risk_classifier:none", used=True, reason="try", run_id="by hand")
    path = stocked.settings.storage_dir / "ml_models" / "anomaly_detector" / f"{trained.digest}.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TamperedError):
        promotion.override(stocked, trained.model_id, used=True, reason="try", run_id="by hand")
    with stocked.database.connection("audit_pipeline") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("update audit_model_decisions set used = false")


def test_a_model_names_the_newest_checkpoint_over_its_training(
    stocked: Installation, tenant_id: uuid.UUID, story: list[Event]
) -> None:
    columns = "training_tree_size, training_root, training_last_seq"
    unsealed = _detector(stocked)
    where = f"select {columns} from audit_ml_models where model_id = %s"
    assert _rows(stocked, where, unsealed.model_id) == [(None, None, 1199)]
    stocked.seal(tenant_id)
    _come(stocked, tenant_id, story[1200:1500])
    newest = stocked.seal(tenant_id)
    assert newest is not None
    sealed = _detector(stocked)
    assert _rows(stocked, where, sealed.model_id) == [(newest.size, newest.root, 1499)]


def test_a_flood_of_verdicts_changes_few_tags(stocked: Installation, tenant_id: uuid.UUID) -> None:
    """One person calls 1,000 events harmless; at most one text in twenty gets another risk."""
    before = _classifier(stocked)
    tagging.tag_events(stocked, EMBEDDER, run_id="test")
    risks = "select text_hash, risk from audit_embeddings where tenant_id = %s order by 1"
    was = dict(_rows(stocked, risks, tenant_id))

    def flood(_conn: object, _tenant: uuid.UUID) -> pl.DataFrame:
        columns = {"seq": range(1000), "verdict": ["false_positive"] * 1000, "weight": [0.1] * 1000}
        return pl.DataFrame({**columns, "analysts": [1] * 1000})

    flooded = _classifier(stocked, labels=flood)
    assert flooded.digest != before.digest
    assert flooded.metrics["texts_with_verdicts"] > 10
    tagging.tag_events(stocked, EMBEDDER, run_id="test")
    now = dict(_rows(stocked, risks, tenant_id))
    changed = sum(was[text] != now[text] for text in was)
    assert changed <= len(was) / 20


def test_a_week_of_habits_is_no_drift_and_another_life_is(installation: Installation, tenant_id: uuid.UUID) -> None:
    week = generate(8, datetime(2026, 11, 20, tzinfo=UTC), days=7, people=30, services=8, attacks=False).events
    _come(installation, tenant_id, week)
    tagging.tag_events(installation, EMBEDDER, run_id="test")
    of_features, of_classes = drift.feature_drift(installation), drift.class_drift(installation)
    assert {one.tenant_id for one in of_features} == {tenant_id}
    assert of_features == sorted(of_features, key=lambda one: -one.ks)
    assert of_features[0].ks <= drift.KS_LIMIT
    assert {one.classifier for one in of_classes} == {"category_classifier", "risk_classifier"}
    assert not any(one.drifted for one in of_classes)

    start = datetime(2026, 11, 20, tzinfo=UTC)
    other = [
        Event(
            event_type="invoice.refund.approved",
            entity_type="invoice",
            entity_id=str(number),
            actor=f"clerk-{number % 40}",
            outcome="success",
            occurred_at=start + timedelta(seconds=40 * number),
        )
        for number in range(6000)
    ]
    _come(installation, tenant_id, other)
    tagging.tag_events(installation, EMBEDDER, run_id="test")
    assert drift.feature_drift(installation)[0].ks > drift.KS_LIMIT
    assert {one.classifier for one in drift.class_drift(installation) if one.drifted} >= {"category_classifier"}


def test_a_few_days_are_too_little_for_drift(stocked: Installation) -> None:
    assert drift.feature_drift(stocked) == []


_PROGRAM = """
import json, sys
import numpy as np
from audit_pipelines.intelligence.classifiers import train
from audit_pipelines.intelligence.teaching import TextVerdict, structure_features
from audit_pipelines.intelligence.detectors import fit
from audit_pipelines.intelligence.features import FEATURES
from audit_pipelines.intelligence.registry import ModelArtefact
import polars as pl
random = np.random.default_rng(3)
texts = sorted(f"{thing} {act}; {thing}; {outcome}" for thing in ("user", "role", "file", "key", "trail", "rule")
               for act in ("read", "create", "delete", "export", "grant") for outcome in ("success", "failure"))
vectors = random.standard_normal((len(texts), 48)).astype(np.float32)
said = tuple({TextVerdict(text, "benign", 1.0, 2) for text in texts[:9]})
arguments = {"came": np.arange(len(texts)), "verdicts": said}
made = [train(kind, texts, vectors, structure_features(texts), **arguments).to_artefact(code_version="1").digest
        for kind in ("category_classifier", "risk_classifier")]
columns = {each.name: random.exponential(1.0, 3000) for each in FEATURES}
frame = pl.DataFrame({"seq": np.arange(3000), "occurred_at": np.arange(3000), **columns})
made.append(ModelArtefact.build("anomaly_detector", fit(frame, seed=0).to_arrays(), {}).digest)
print(json.dumps(made))
"""


def test_two_processes_with_other_hashes_and_threads_train_the_same() -> None:
    """No order of a set and no number of threads is in a model."""

    def train(seed: str, threads: str) -> list[str]:
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), threads)
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, **settings, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        return list(json.loads(done.stdout))

    first = train("1", "1")
    assert len(set(first)) == 3
    assert train("2", "2") == first


def test_an_artefact_of_another_kind_is_not_loaded(stocked: Installation) -> None:
    trained = _detector(stocked)
    folder = stocked.settings.storage_dir / "ml_models"
    other = folder / "risk_classifier" / f"{trained.digest}.npz"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes((folder / "anomaly_detector" / f"{trained.digest}.npz").read_bytes())
    with pytest.raises(TamperedError):
        training.load(stocked, "risk_classifier", trained.digest)
