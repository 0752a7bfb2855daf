"""Meaning of events: each distinct canonical text once, as a vector in `audit_embeddings`; events point to texts.

How a text is rendered and embedded is decided in `intelligence`. Incremental by tenant: events beyond the highest `seq`
in `audit_event_texts` are rendered, and only texts never seen before are embedded.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.accesses import IS_ACCESS
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder, Vectors
from audit_pipelines.intelligence.render import COLUMNS, render_texts, text_hash
from audit_pipelines.lake.datasets import Lake

# Rows of one INSERT … SELECT FROM unnest: COPY is refused under row-level security, and this is as fast.
_BATCH: Final = 10_000
_TEXT_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class EmbeddingUpdate:
    """What an update did for one tenant."""

    tenant_id: UUID
    new_events: int
    new_texts: int
    texts: int
    """Distinct texts of the tenant under this model."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a tenant's events in the lake have a vector."""

    tenant_id: UUID
    events: int
    embedded: int


def default_embedder(installation: Installation) -> MiniLMEmbedder:
    """Return the offline embedder; it loads its model at first use."""
    return MiniLMEmbedder(installation.settings.storage_dir / "embedders")


def embedding_model(embedder: Embedder) -> str:
    """Return the name under which vectors are stored: vectors of different digests are never compared."""
    return f"{embedder.name}@{embedder.digest[:16]}"


def update_embeddings(installation: Installation, embedder: Embedder, *, run_id: str) -> list[EmbeddingUpdate]:
    """Give every event in the lake a text and every text a vector of `embedder`.

    Each tenant is one transaction with its row of `audit_lineage`, so a run that is cut off repeats nothing it paid for
    and leaves nothing half. Texts that only another model has embedded are embedded as well.
    """
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "event_embeddings"):
        return [_update_tenant(installation, lake, embedder, tenant_id, run_id) for tenant_id in lake.tenants()]


def coverage(installation: Installation, embedder: Embedder) -> list[Coverage]:
    """Count each tenant's events in the lake and those of them whose text has a vector of `embedder`."""
    lake = Lake(installation.settings.lake_dir)
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("derive/count_embedded"), {"model": embedding_model(embedder)}).fetchall()
    embedded = dict(rows)
    return [
        Coverage(
            tenant_id,
            sum(part.last_seq - part.first_seq + 1 for part in lake.parts(tenant_id)),
            embedded.get(tenant_id, 0),
        )
        for tenant_id in lake.tenants()
    ]


def _update_tenant(
    installation: Installation, lake: Lake, embedder: Embedder, tenant_id: UUID, run_id: str
) -> EmbeddingUpdate:
    model = embedding_model(embedder)
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("derive/select_text_watermark"), {"tenant_id": tenant_id}).fetchone()
        first = row[0] if row else 0
        events = lake.events(tenant_id, from_seq=first, columns=("seq", "row_hash", *COLUMNS))
        # What a reader asked for is not what happened: a search for failures is none.
        events = events.with_columns(details=pl.when(IS_ACCESS).then(None).otherwise(pl.col("details")))
        texts = render_texts(events)
        distinct = sorted(texts.unique().to_list())
        hashes = {text: text_hash(text) for text in distinct}
        known = _known(conn, tenant_id, model, list(hashes.values()))
        new = {digest: text for text, digest in hashes.items() if digest not in known}
        new |= dict(conn.execute(query("derive/select_unembedded_texts"), {"tenant_id": tenant_id, "model": model}))
        _insert_texts(conn, tenant_id, model, new, embedder.encode(list(new.values())))
        if not events.is_empty():
            column = texts.replace_strict(distinct, [hashes[text].hex() for text in distinct]).to_list()
            pairs = list(zip(events["seq"].to_list(), (bytes.fromhex(each) for each in column), strict=True))
            _insert_event_texts(conn, tenant_id, pairs)
            source = lineage.ledger_input(first, events["seq"][-1], events["row_hash"][-1])
            output = lineage.Output(
                tenant_id, "event_embeddings", f"seq {first}-{events['seq'][-1]}", _digest(pairs), (source,), model
            )
            lineage.record(conn, [output], run_id=run_id)
        count = conn.execute(query("derive/count_texts"), {"tenant_id": tenant_id, "model": model}).fetchone()
    return EmbeddingUpdate(tenant_id, events.height, len(new), count[0] if count else 0)


def render_again(
    installation: Installation,
    embedder: Embedder,
    tenant_id: UUID,
    seqs: Sequence[int],
    *,
    because: dict[str, object],
    run_id: str,
) -> bytes:
    """Give some events of a tenant the texts that the lake has for them now; delete texts that no event has any more.

    Returns the digest of which text each of them has. `because` is the input by which the lineage says why.
    """
    lake, model = Lake(installation.settings.lake_dir), embedding_model(embedder)
    with (
        exclusive(installation.database, "event_embeddings"),
        installation.database.connection("audit_pipeline") as conn,
    ):
        events = lake.events(tenant_id, from_seq=min(seqs, default=0), columns=("seq", *COLUMNS))
        events = events.filter(pl.col("seq").is_in(list(seqs)))
        texts = render_texts(events).to_list()
        hashes = {text: text_hash(text) for text in texts}
        known = _known(conn, tenant_id, model, list(hashes.values()))
        new = {digest: text for text, digest in hashes.items() if digest not in known}
        _insert_texts(conn, tenant_id, model, new, embedder.encode(list(new.values())))
        pairs = list(zip(events["seq"].to_list(), (hashes[text] for text in texts), strict=True))
        for start in range(0, len(pairs), _BATCH):
            rows = pairs[start : start + _BATCH]
            changed = {"tenant_id": tenant_id, "seqs": [seq for seq, _ in rows], "hashes": [each for _, each in rows]}
            conn.execute(query("privacy/update_event_texts"), changed)
        conn.execute(query("privacy/delete_orphan_texts"), {"tenant_id": tenant_id})
        asked = {"tenant_id": tenant_id, "seqs": list(seqs)}
        row = conn.execute(query("privacy/count_event_texts"), asked).fetchone()
        digest = bytes(row[1]) if row else hashlib.sha256(b"").digest()
        key = f"seq {min(seqs, default=0)}-{max(seqs, default=0)} of one person"
        output = lineage.Output(tenant_id, "event_embeddings", key, digest, (because,), model)
        lineage.record(conn, [output], run_id=run_id)
    return digest


def _known(conn: Connection, tenant_id: UUID, model: str, hashes: list[bytes]) -> set[bytes]:
    parameters = {"tenant_id": tenant_id, "model": model, "hashes": hashes}
    return {row[0] for row in conn.execute(query("derive/select_known_texts"), parameters)}


def _insert_texts(conn: Connection, tenant_id: UUID, model: str, texts: dict[bytes, str], vectors: Vectors) -> None:
    hashes = list(texts)
    for start in range(0, len(hashes), _TEXT_BATCH):
        some = hashes[start : start + _TEXT_BATCH]
        parameters = {
            "tenant_id": tenant_id,
            "model": model,
            "hashes": some,
            "texts": [texts[digest] for digest in some],
            "vectors": [vector_text(vector) for vector in vectors[start : start + _TEXT_BATCH]],
        }
        conn.execute(query("derive/insert_texts"), parameters)


def vector_text(vector: Vectors) -> str:
    """Return a vector as pgvector reads it; every float32 survives the way there and back."""
    return "[" + ",".join(np.format_float_positional(value, unique=True) for value in vector) + "]"


def _insert_event_texts(conn: Connection, tenant_id: UUID, pairs: Sequence[tuple[int, bytes]]) -> None:
    for start in range(0, len(pairs), _BATCH):
        rows = pairs[start : start + _BATCH]
        parameters = {"tenant_id": tenant_id, "seqs": [seq for seq, _ in rows], "hashes": [each for _, each in rows]}
        conn.execute(query("derive/insert_event_texts"), parameters, binary=True)


def _digest(pairs: Sequence[tuple[int, bytes]]) -> bytes:
    state = hashlib.sha256()
    for seq, digest in pairs:
        state.update(seq.to_bytes(8) + digest)
    return state.digest()
