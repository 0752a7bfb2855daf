"""Which embedder the settings choose, and which model each tenant uses.

The two differ while a tenant changes its model: the one in use stays until the chosen one has a vector of every text.
Whoever compares vectors (tagging, training, search) asks `model_in_use`; whoever has a question to embed asks
`embedder_in_use`. How texts get their vectors is in `derive.embeddings`, how models run in `intelligence`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.errors import ConfigurationError
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder
from audit_pipelines.intelligence.embedding_server import KNOWN_DIMENSIONS, OpenAIEmbedder
from audit_pipelines.intelligence.onnx_folder import OnnxFolderEmbedder
from audit_pipelines.outgoing import Outgoing
from audit_pipelines.settings import Settings

BUILT_IN: Final = "built in"


def default_embedder(installation: Installation) -> Embedder:
    """Return the embedder that the settings choose; it loads its model, or calls out, at first use.

    Without `AUDIT_EMBEDDER`: a folder if `AUDIT_EMBEDDING_MODEL_DIR` names one, else a server if there is an
    `OPENAI_API_KEY`, else MiniLM, offline.

    Raises `ConfigurationError` where what `AUDIT_EMBEDDER` chooses lacks its setting.
    """
    settings = installation.settings
    folder, key = settings.audit_embedding_model_dir, settings.openai_api_key
    chosen = settings.audit_embedder or ("onnx" if folder else "openai" if key else "minilm")
    if chosen == "minilm":
        return _minilm(settings)
    if chosen == "onnx":
        if folder is None:
            raise ConfigurationError(
                "AUDIT_EMBEDDER is onnx: expected AUDIT_EMBEDDING_MODEL_DIR to name a folder with model.onnx and "
                "tokenizer.json, got none"
            )
        return OnnxFolderEmbedder(folder.expanduser().absolute(), settings.audit_embedding_pooling)
    if key is None:
        raise ConfigurationError(
            "AUDIT_EMBEDDER is openai: expected OPENAI_API_KEY, got none; servers that want no key take any"
        )
    dimensions = settings.openai_embedding_dimensions
    known = None if dimensions else _known_dimension(installation)
    return _server(settings, key, settings.openai_embedding_model, dimensions, known)


def embedding_model(embedder: Embedder) -> str:
    """Return the name under which vectors are stored: vectors of different digests are never compared."""
    return f"{embedder.name}@{embedder.digest[:16]}"


def model_in_use(conn: Connection, tenant_id: UUID, embedder: Embedder) -> str:
    """Return the name of the model whose vectors a tenant uses: every text has one, but those that came just now.

    For a tenant without texts it is the model of `embedder`, which will be the first.
    """
    row = conn.execute(query("derive/select_embedding_model_in_use"), {"tenant_id": tenant_id}).fetchone()
    return row[0] if row else embedding_model(embedder)


def embedder_in_use(installation: Installation, conn: Connection, tenant_id: UUID) -> Embedder | None:
    """Return an embedder of the model that a tenant uses, for a question to compare with its texts.

    None where it has none, or where its model is not to be had any more: a folder that is gone, a server whose address
    the settings no longer name. `is_local` says whether a text stays on this machine.
    """
    row = conn.execute(query("derive/select_embedding_model_in_use"), {"tenant_id": tenant_id}).fetchone()
    if row is None:
        return None
    model, name, dimension, source = row
    for candidate in _candidates(installation, name, dimension, source):
        try:
            if embedding_model(candidate) == model:
                return candidate
        except ConfigurationError:
            continue
    return None


def is_local(embedder: Embedder) -> bool:
    """Return whether texts stay on this machine."""
    return not isinstance(embedder, OpenAIEmbedder)


def source_of(embedder: Embedder) -> str:
    """Return where an embedder's model runs: built in, a folder, or the address of a server."""
    if isinstance(embedder, OpenAIEmbedder):
        return embedder.source
    return str(embedder.folder) if isinstance(embedder, OnnxFolderEmbedder) else BUILT_IN


def _candidates(installation: Installation, name: str, dimension: int, source: str) -> Iterator[Embedder]:
    settings = installation.settings
    if source == BUILT_IN:
        yield _minilm(settings)
    elif source == settings.openai_base_url:
        # A length that is not the model's own was asked for.
        asked = dimension if KNOWN_DIMENSIONS.get(name, dimension) != dimension else None
        if settings.openai_api_key:
            yield _server(settings, settings.openai_api_key, name, asked, dimension)
    elif Path(source).is_dir():
        yield OnnxFolderEmbedder(Path(source), settings.audit_embedding_pooling)


def _minilm(settings: Settings) -> MiniLMEmbedder:
    return MiniLMEmbedder(settings.storage_dir / "embedders")


def _known_dimension(installation: Installation) -> int | None:
    """Return how long the server's vectors were before, so that it need not be asked, and a change is noticed."""
    settings = installation.settings
    named = {"name": settings.openai_embedding_model, "source": settings.openai_base_url}
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("derive/select_known_dimension"), named).fetchone()
    return row[0] if row else None


def _server(
    settings: Settings, key: SecretStr, name: str, dimensions: int | None, known_dimension: int | None
) -> OpenAIEmbedder:
    # Whoever set the address meant it, an inner one too.
    host = urlsplit(settings.openai_base_url).hostname or ""
    return OpenAIEmbedder(
        name,
        base_url=settings.openai_base_url,
        api_key=key,
        organisation=settings.openai_org_id,
        dimensions=dimensions,
        known_dimension=known_dimension,
        batch_size=settings.openai_embedding_batch_size,
        max_retries=settings.openai_max_retries,
        timeout_s=settings.openai_timeout,
        outgoing=Outgoing.allowing((*settings.audit_outgoing_allowed, host)),
    )
