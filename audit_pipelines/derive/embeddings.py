"""Meaning of events: each distinct canonical text once, as a vector in `audit_embeddings`; events point to texts.

How a text is rendered and embedded is decided in `intelligence`, by whom in `derive.embedders`. Incremental by tenant:
events beyond the highest `seq` in `audit_event_texts` are rendered, and only texts without a vector are embedded. Texts
are shared within a tenant and never between tenants, neither stored nor in memory.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import numpy as np
import polars as pl

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage, readings
from audit_pipelines.derive.accesses import IS_ACCESS
from audit_pipelines.derive.embedders import embedder_in_use, embedding_model, is_local, model_in_use, source_of
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.errors import EmbeddingServerError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder, Vectors
from audit_pipelines.intelligence.embedding_server import OpenAIEmbedder, Spent, split
from audit_pipelines.intelligence.render import COLUMNS, render_texts, text_hash
from audit_pipelines.intelligence.search.readings import Reading
from audit_pipelines.lake.datasets import Lake

# Rows of one INSERT … SELECT FROM unnest: COPY is refused under row-level security, and this is as fast.
_BATCH: Final = 10_000
# Bounds the texts of details in memory, and what is rendered again after a kill.
_EVENTS_AT_ONCE: Final = 200_000
# Texts that a model on this machine embeds in 4 s.
_TEXTS_AT_ONCE: Final = 1_000

KEPT_DAYS: Final = 7
"""Days for which the vectors of a model that a tenant has left, or was changing to, stay."""


@dataclass(frozen=True, slots=True)
class EmbeddingUpdate:
    """What an update did for one tenant."""

    tenant_id: UUID
    new_events: int
    new_texts: int
    """Texts that got a vector of the chosen model."""
    texts: int
    """Distinct texts of the tenant under that model."""
    new_sentences: int
    """Sentences that got a vector because the tenant has new kinds of event, for the search; none where texts leave
    this machine, since a server's vectors cost."""
    spent: Spent
    former: str | None
    """The model that the tenant used until this update; None where that is the same."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of a tenant's events in the lake have a vector."""

    tenant_id: UUID
    events: int
    embedded: int


def update_embeddings(installation: Installation, embedder: Embedder, *, run_id: str) -> list[EmbeddingUpdate]:
    """Give every event in the lake a text and every text a vector of `embedder`.

    First every tenant's events get their texts, in transactions of so many events each with its row of `audit_lineage`;
    then texts get vectors, a transaction a batch, so a run that is cut off pays again for the batch on its way alone.
    A tenant that uses another model changes to this one when all its texts have a vector of it. Until then, new texts
    get one of the model in use as well, if that runs on this machine. Vectors of a model that a tenant has left are
    removed after `KEPT_DAYS`: who changes back before pays nothing. Kinds of event that are new are read as sentences
    (`readings`), so that no question waits for theirs.

    Raises `EmbeddingServerError` when a server fails; what it gave is stored, and what is in use stays in use.
    """
    lake = Lake(installation.settings.lake_dir)
    tenants = lake.tenants()
    with exclusive(installation.database, "event_embeddings"):
        new_events = [_add_events(installation, lake, embedder, tenant_id, run_id) for tenant_id in tenants]
        for tenant_id in tenants:
            _serve(installation, embedder, tenant_id, run_id)
        return [
            _cover(installation, embedder, tenant_id, count, run_id)
            for tenant_id, count in zip(tenants, new_events, strict=True)
        ]


def coverage(installation: Installation) -> list[Coverage]:
    """Count each tenant's events in the lake and those of them whose text has a vector of the model in use."""
    lake = Lake(installation.settings.lake_dir)
    with installation.database.connection("audit_pipeline") as conn:
        embedded = dict(conn.execute(query("derive/count_embedded")).fetchall())
    return [
        Coverage(
            tenant_id,
            sum(part.last_seq - part.first_seq + 1 for part in lake.parts(tenant_id)),
            embedded.get(tenant_id, 0),
        )
        for tenant_id in lake.tenants()
    ]


def _add_events(installation: Installation, lake: Lake, embedder: Embedder, tenant_id: UUID, run_id: str) -> int:
    """Render the tenant's events that have no text yet; return how many they are."""
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("derive/select_text_watermark"), {"tenant_id": tenant_id}).fetchone()
    first = row[0] if row else 0
    events = lake.events(tenant_id, from_seq=first, columns=("seq", "row_hash", *COLUMNS))
    for some in events.iter_slices(_EVENTS_AT_ONCE):
        with installation.database.connection("audit_pipeline") as conn:
            model = _register(conn, embedder, tenant_id)
            hashes = _insert_new_texts(conn, tenant_id, model, _render(some))
            _insert_event_texts(conn, tenant_id, some["seq"], hashes)
            source = lineage.ledger_input(some["seq"][0], some["seq"][-1], some["row_hash"][-1])
            key = f"seq {some['seq'][0]}-{some['seq'][-1]}"
            output = lineage.Output(tenant_id, "event_embeddings", key, _digest(some["seq"], hashes), (source,))
            lineage.record(conn, [output], run_id=run_id)
    return events.height


def _serve(installation: Installation, embedder: Embedder, tenant_id: UUID, run_id: str) -> None:
    """Keep the model in use whole, if it is another one and runs here: the chosen one may be long in coming."""
    with installation.database.connection("audit_pipeline") as conn:
        if model_in_use(conn, tenant_id, embedder) == embedding_model(embedder):
            return
        serving = embedder_in_use(installation, conn, tenant_id)
    if serving is not None and is_local(serving):
        new_texts, _ = _embed(installation, serving, tenant_id, run_id)
        if new_texts:
            _read_kinds(installation, serving, tenant_id)


def _read_kinds(installation: Installation, embedder: Embedder, tenant_id: UUID) -> int:
    """Make the vectors of the sentences that the tenant's kinds of event are read as, where it runs here."""
    if not is_local(embedder):
        return 0
    named = {"tenant_id": tenant_id, "model": embedding_model(embedder)}
    with installation.database.connection("audit_pipeline") as conn:
        events = [event for (event,) in conn.execute(query("derive/select_kinds"), named)]
    kinds = {Reading(event, failed) for event in events for failed in (False, True)}
    return readings.of_installation(installation, embedder).learn(kinds)


def _cover(
    installation: Installation, embedder: Embedder, tenant_id: UUID, new_events: int, run_id: str
) -> EmbeddingUpdate:
    """Give every text of the tenant a vector of `embedder`, then let the tenant use that model."""
    with installation.database.connection("audit_pipeline") as conn:
        model = _register(conn, embedder, tenant_id)
    new_texts, spent = _embed(installation, embedder, tenant_id, run_id)
    # A new kind of event has a new text: without one, nothing is read every few minutes.
    new_sentences = _read_kinds(installation, embedder, tenant_id) if new_texts else 0
    named = {"tenant_id": tenant_id, "model": model}
    with installation.database.connection("audit_pipeline") as conn:
        former = model_in_use(conn, tenant_id, embedder)
        if former != model:
            conn.execute(query("derive/copy_text_tags"), named | {"former": former})
            conn.execute(query("derive/retire_model"), named)
            conn.execute(query("derive/use_model"), named)
        conn.execute(query("derive/remove_unused_vectors"), named | {"days": KEPT_DAYS})
        count = conn.execute(query("derive/count_texts"), named).fetchone()
    texts = count[0] if count else 0
    left = None if former == model else former
    return EmbeddingUpdate(tenant_id, new_events, new_texts, texts, new_sentences, spent, left)


def _embed(installation: Installation, embedder: Embedder, tenant_id: UUID, run_id: str) -> tuple[int, Spent]:
    """Embed the tenant's texts that have no vector of `embedder`, each batch stored before the next is asked for."""
    model = embedding_model(embedder)
    named: dict[str, Any] = {"tenant_id": tenant_id, "model": model}
    with installation.database.connection("audit_pipeline") as conn:
        missing: dict[bytes, str] = dict(conn.execute(query("derive/select_unembedded_texts"), named).fetchall())
    hashes = list(missing)
    begun, done = spent_by(embedder), 0
    for batch in _batches(embedder, missing.values()):
        before = spent_by(embedder)
        try:
            vectors = embedder.encode(batch)
        except EmbeddingServerError:
            with installation.database.connection("audit_pipeline") as conn:
                _add_costs(conn, named, spent_by(embedder) - before)
            raise
        spent = spent_by(embedder) - before
        keys = hashes[done : done + len(batch)]
        done += len(batch)
        with installation.database.connection("audit_pipeline") as conn:
            _register(conn, embedder, tenant_id)
            written = [vector_text(vector) for vector in vectors]
            conn.execute(query("derive/upsert_vectors"), named | {"hashes": keys, "texts": batch, "vectors": written})
            _add_costs(conn, named, spent)
            digest = _digest_of_vectors(keys, vectors)
            source = _model_input(installation, embedder, len(batch), spent)
            output = lineage.Output(tenant_id, "text_vectors", f"sha256 {digest.hex()}", digest, (source,), model)
            lineage.record(conn, [output], run_id=run_id)
    return done, spent_by(embedder) - begun


def _add_costs(conn: Connection, named: dict[str, Any], spent: Spent) -> None:
    conn.execute(query("derive/add_model_costs"), named | {"requests": spent.requests, "tokens": spent.tokens})


def _batches(embedder: Embedder, texts: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(embedder, OpenAIEmbedder):
        return embedder.batches(texts)
    return split(texts, most_texts=_TEXTS_AT_ONCE, most_tokens=sys.maxsize)


def spent_by(embedder: Embedder) -> Spent:
    """Return what an embedder has asked of a server since it was made; nothing for one that runs here."""
    return embedder.spent if isinstance(embedder, OpenAIEmbedder) else Spent()


def _model_input(installation: Installation, embedder: Embedder, texts: int, spent: Spent) -> dict[str, Any]:
    made = lineage.file_input("embedding_model", embedder.name, embedder.digest) | {"texts": texts}
    if not isinstance(embedder, OpenAIEmbedder):
        return made
    made |= {"server": urlsplit(embedder.source).netloc, "requests": spent.requests, "tokens": spent.tokens}
    cost = cost_of(installation, spent)
    return made if cost is None else made | {"cost": cost}


def cost_of(installation: Installation, spent: Spent) -> float | None:
    """Return what the tokens cost by `OPENAI_EMBEDDING_PRICE`, in its currency; None without a price."""
    price = installation.settings.openai_embedding_price
    return None if price is None else spent.tokens * price / 1_000_000


def _register(conn: Connection, embedder: Embedder, tenant_id: UUID) -> str:
    model = embedding_model(embedder)
    entry = {
        "tenant_id": tenant_id,
        "model": model,
        "name": embedder.name,
        "dimension": embedder.dimension,
        "digest": embedder.digest,
        "source": source_of(embedder),
    }
    conn.execute(query("derive/register_embedding_model"), entry)
    return model


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

    Returns the digest of which text each of them has. `because` is the input by which the lineage says why. Texts that
    are new get their vectors at once where the model in use runs on this machine, else with the next run: an erasure
    waits for nobody's server.
    """
    lake = Lake(installation.settings.lake_dir)
    with exclusive(installation.database, "event_embeddings"):
        with installation.database.connection("audit_pipeline") as conn:
            model = model_in_use(conn, tenant_id, embedder)
            events = lake.events(tenant_id, from_seq=min(seqs, default=0), columns=("seq", *COLUMNS))
            events = events.filter(pl.col("seq").is_in(list(seqs)))
            hashes = _insert_new_texts(conn, tenant_id, model, _render(events))
            for rows in events.select("seq", hash=hashes).iter_slices(_BATCH):
                changed = {"tenant_id": tenant_id, "seqs": rows["seq"].to_list(), "hashes": rows["hash"].to_list()}
                conn.execute(query("privacy/update_event_texts"), changed)
            conn.execute(query("privacy/delete_orphan_texts"), {"tenant_id": tenant_id})
            asked = {"tenant_id": tenant_id, "seqs": list(seqs)}
            row = conn.execute(query("privacy/count_event_texts"), asked).fetchone()
            digest = bytes(row[1]) if row else hashlib.sha256(b"").digest()
            key = f"seq {min(seqs, default=0)}-{max(seqs, default=0)} of one person"
            output = lineage.Output(tenant_id, "event_embeddings", key, digest, (because,))
            lineage.record(conn, [output], run_id=run_id)
            serving = embedder if model == embedding_model(embedder) else embedder_in_use(installation, conn, tenant_id)
        if serving is not None and is_local(serving):
            _embed(installation, serving, tenant_id, run_id)
    return digest


def _render(events: pl.DataFrame) -> pl.Series:
    # What a reader asked for is not what happened: a search for failures is none.
    return render_texts(events.with_columns(details=pl.when(IS_ACCESS).then(None).otherwise(pl.col("details"))))


def _insert_new_texts(conn: Connection, tenant_id: UUID, model: str, texts: pl.Series) -> pl.Series:
    """Store the texts that the tenant has under no model; return the hash of each text, in the order of `texts`."""
    distinct = texts.unique().to_list()
    hashes = [text_hash(text) for text in distinct]
    asked = {"tenant_id": tenant_id, "hashes": hashes}
    known = {row[0] for row in conn.execute(query("derive/select_known_texts"), asked)}
    new = sorted((text, digest) for text, digest in zip(distinct, hashes, strict=True) if digest not in known)
    for start in range(0, len(new), _BATCH):
        some = new[start : start + _BATCH]
        row = {"tenant_id": tenant_id, "model": model, "texts": [text for text, _ in some]}
        conn.execute(query("derive/insert_texts"), row | {"hashes": [digest for _, digest in some]})
    return texts.replace_strict(distinct, pl.Series(hashes, dtype=pl.Binary), return_dtype=pl.Binary)


def vector_text(vector: Vectors) -> str:
    """Return a vector as pgvector reads it; every float32 survives the way there and back."""
    return "[" + ",".join(np.format_float_positional(value, unique=True) for value in vector) + "]"


def _insert_event_texts(conn: Connection, tenant_id: UUID, seqs: pl.Series, hashes: pl.Series) -> None:
    for rows in pl.DataFrame({"seq": seqs, "hash": hashes}).iter_slices(_BATCH):
        parameters = {"tenant_id": tenant_id, "seqs": rows["seq"].to_list(), "hashes": rows["hash"].to_list()}
        conn.execute(query("derive/insert_event_texts"), parameters, binary=True)


def _digest(seqs: pl.Series, hashes: pl.Series) -> bytes:
    state = hashlib.sha256()
    for seq, digest in zip(seqs, hashes, strict=True):
        state.update(seq.to_bytes(8) + digest)
    return state.digest()


def _digest_of_vectors(hashes: Sequence[bytes], vectors: Vectors) -> bytes:
    state = hashlib.sha256()
    for digest, vector in zip(hashes, vectors, strict=True):
        state.update(digest + vector.astype("<f4").tobytes())
    return state.digest()
