"""`event_tags`: category and risk of every event, by the classifiers in use over the distinct texts.

What the labels mean and how they are learnt is decided in `intelligence.classifiers`. Labels go to the texts in
`audit_embeddings`, where search filters by them, and to the lake per event.
"""

from dataclasses import dataclass
from uuid import UUID

import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage, promotion
from audit_pipelines.derive.embedders import model_in_use
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.models import load
from audit_pipelines.derive.training import Lessons, Texts, fit_classifier, read_texts
from audit_pipelines.derive.window import Redo, TenantUpdate, TenantWindow, tenant_windows, write
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.classifiers import TrainedClassifier
from audit_pipelines.intelligence.embed import Embedder
from audit_pipelines.intelligence.teaching import KINDS, STRUCTURE, Kind, structure_features
from audit_pipelines.lake.datasets import Lake


@dataclass(frozen=True, slots=True)
class _InUse:
    """A classifier with the id and digest under which it is registered."""

    classifier: TrainedClassifier
    model_id: str
    digest: str


def tag_events(
    installation: Installation, embedder: Embedder, *, run_id: str, redo: Redo | None = None
) -> list[TenantUpdate]:
    """Bring `event_tags` up to date; a tenant whose classifiers were never trained gets them trained first."""
    lake, taught = Lake(installation.settings.lake_dir), Lessons(installation, embedder)
    with exclusive(installation.database, "event_tags"):
        return [
            _tag_tenant(installation, lake, window, embedder, taught, run_id=run_id, redo=redo)
            for window in tenant_windows(lake, redo)
        ]


def _tag_tenant(
    installation: Installation,
    lake: Lake,
    window: TenantWindow,
    embedder: Embedder,
    taught: Lessons,
    *,
    run_id: str,
    redo: Redo | None,
) -> TenantUpdate:
    with installation.database.connection("audit_pipeline") as conn:
        model = model_in_use(conn, window.tenant_id, embedder)
        texts = read_texts(conn, window.tenant_id, model)
        used = {
            kind: _in_use(
                conn, installation, window.tenant_id, kind, texts=texts, model=model, taught=taught, run_id=run_id
            )
            for kind in KINDS
        }
        digests = [used[kind].digest for kind in KINDS]
        stamp = window.stamp(model, *digests)
        if redo is None and lake.stamp("event_tags", window.tenant_id) == stamp:
            return TenantUpdate(window.tenant_id, window.through_seq + 1, None)
        tags = _tags(texts, used)
        _store(conn, window.tenant_id, model, tags)
        event_texts = _event_texts(conn, window)
    events = lake.events(window.tenant_id, columns=("tenant_id", "seq", "event_id"))
    frame = events.join(event_texts, on="seq", how="inner", maintain_order="left").join(
        tags, on="text_hash", how="left", maintain_order="left"
    )
    beside = tuple(lineage.file_input("model", each.model_id, each.digest) for each in used.values())
    written = write(
        installation, lake, "event_tags", window, frame, stamp=stamp, beside=beside, run_id=run_id, redo=redo
    )
    return TenantUpdate(window.tenant_id, written.rows, written)


def _in_use(
    conn: Connection,
    installation: Installation,
    tenant_id: UUID,
    kind: Kind,
    *,
    texts: Texts,
    model: str,
    taught: Lessons,
    run_id: str,
) -> _InUse:
    """Return the classifier in use; where none reads the vectors and features of now, the newly trained one."""
    if used := promotion.in_use(conn, installation, tenant_id, kind):
        artefact = load(installation, kind, used.digest)
        if artefact.metadata["embedder"] == model and artefact.metadata["feature_names"][1:] == list(STRUCTURE):
            return _InUse(TrainedClassifier.from_artefact(artefact), used.model_id, used.digest)
    vectors = taught.vectors(conn, tenant_id, model)
    trained = fit_classifier(
        conn, installation, tenant_id, kind, texts=texts, model=model, taught=vectors, run_id=run_id
    )
    artefact = load(installation, kind, trained.digest)
    return _InUse(TrainedClassifier.from_artefact(artefact), trained.model_id, trained.digest)


def _tags(texts: Texts, used: dict[Kind, _InUse]) -> pl.DataFrame:
    structure = structure_features(texts.texts)
    columns: dict[str, object] = {"text_hash": texts.hashes}
    for kind in KINDS:
        name = kind.removesuffix("_classifier")
        labels, confidence = used[kind].classifier.predict(texts.vectors, structure)
        columns |= {name: labels, f"{name}_confidence": confidence}
    schema = {
        "text_hash": pl.Binary,
        "category": pl.String,
        "category_confidence": pl.Float64,
        "risk": pl.String,
        "risk_confidence": pl.Float64,
    }
    return pl.DataFrame(columns, schema=schema)


def _store(conn: Connection, tenant_id: UUID, model: str, tags: pl.DataFrame) -> None:
    columns = {name: tags[name].to_list() for name in tags.columns}
    conn.execute(query("derive/update_text_tags"), {"tenant_id": tenant_id, "model": model, **columns})


def _event_texts(conn: Connection, window: TenantWindow) -> pl.DataFrame:
    parameters = {"tenant_id": window.tenant_id, "through_seq": window.through_seq}
    rows = conn.execute(query("derive/select_event_texts"), parameters, binary=True).fetchall()
    return pl.DataFrame(rows, schema={"seq": pl.Int64, "text_hash": pl.Binary}, orient="row")
